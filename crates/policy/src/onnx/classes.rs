//! Checks the two classes of a classifier.

use super::LoadError;
use super::operator::Operator;

/// Refuses class labels other than 0 and 1 in this order, because which of the two is fraud must not be a guess.
pub(super) fn check(operator: &mut Operator, ints: &str) -> Result<(), LoadError> {
    let strings = operator.strings("classlabels_strings");
    let labels = operator.ints(ints);
    if !strings.is_empty() {
        return Err(operator.error("its classes are strings; train on the labels 0 and 1"));
    }
    if labels != [0, 1] {
        let shown = labels.iter().take(3).map(i64::to_string).collect::<Vec<_>>().join(", ");
        let more = if labels.len() > 3 { ", …" } else { "" };
        return Err(operator.error(format!("its classes are [{shown}{more}], but only [0, 1] is supported")));
    }
    Ok(())
}
