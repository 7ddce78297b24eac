//! Shows how the labels of a file were read. A label that the policy does not list as positive is negative, so a value
//! that is written in another way than the policy expects would otherwise pass unnoticed.

use policy::LabelColumn;
use tables::Labels;
use types::shorten;

use super::table::{Table, thousands};

/// How many values are listed.
const SHOWN_MAX: usize = 8;

/// The values of the label column with their numbers of rows, the most frequent first.
pub(crate) fn table(labels: &Labels) -> Table {
    let mut table = Table::new(["value", "rows", "read as"]);
    let mut row =
        |value: String, rows: u64, read: &str| table.row(vec![value, thousands(rows.into()), read.to_owned()]);
    let values = labels.values();
    for (value, label) in values.iter().take(SHOWN_MAX) {
        let read = match label.positive {
            Some(true) => "positive",
            Some(false) => "negative",
            None => "missing",
        };
        row(format!("`{}`", shorten(value)), label.rows, read);
    }
    let hidden = values.get(SHOWN_MAX..).unwrap_or_default();
    let hidden_rows = hidden.iter().map(|(_, label)| label.rows).sum::<u64>().saturating_add(labels.others());
    match (hidden.len(), labels.others()) {
        (0, 0) => {}
        (count, 0) => row(format!("{} more values", thousands(count as u128)), hidden_rows, ""),
        (count, _) => row(format!("more than {} more values", thousands(count as u128)), hidden_rows, ""),
    }
    if labels.missing() > 0 {
        row("no value".to_owned(), labels.missing(), "missing");
    }
    table
}

/// What is suspicious about the labels of a file.
pub(crate) fn warnings(labels: &Labels, column: &LabelColumn) -> Vec<String> {
    let name = shorten(&column.column);
    let listed: Vec<String> = column.positive.iter().take(SHOWN_MAX).map(|value| shorten(value)).collect();
    let listed = listed.join("`, `");
    let mut warnings = Vec::new();
    if !labels.has_positive() {
        warnings
            .push(format!("warning: column `{name}` has no positive label; the policy lists `{listed}` as positive"));
    }
    let (meanings, more) = (labels.meanings(), if labels.others() > 0 { "more than " } else { "" });
    if meanings > 2 || labels.others() > 0 {
        warnings.push(format!(
            "warning: column `{name}` has {more}{} different labels; all except `{listed}` count as negative",
            thousands(meanings as u128)
        ));
    }
    warnings
}
