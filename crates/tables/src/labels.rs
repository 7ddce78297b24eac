//! The values of a file's label column, and how they are read.

use std::collections::{BTreeMap, BTreeSet};

use policy::{DecimalMark, LabelColumn};

use crate::cell::{Cell, WHOLE_DOUBLE_MAX};
use crate::forms::pointed;

/// How many different values are counted one by one.
const VALUES_MAX: usize = 1_000;

/// How long a value may be to be counted by itself.
const VALUE_BYTES_MAX: usize = 256;

/// Reads labels and counts their values.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    decimal: DecimalMark,
    /// The positive values of the policy, in their normal form.
    positive: Vec<String>,
    /// The values, as the file has them.
    values: BTreeMap<Box<str>, Label>,
    /// The rows without a value.
    missing: u64,
    /// The rows whose value is too long or not among the first [`VALUES_MAX`] different ones.
    others: u64,
    has_positive: bool,
}

/// A value of the label column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// The number of rows that have it.
    pub rows: u64,
    /// Whether it means fraud; `None` if it means that there is no label.
    pub positive: Option<bool>,
}

impl Labels {
    pub(crate) fn new(column: &LabelColumn, decimal: DecimalMark) -> Self {
        let positive = column.positive.iter().filter_map(|value| normal(value, decimal)).collect();
        Self { decimal, positive, ..Self::default() }
    }

    /// Whether the label of a row means fraud; `None` if the row has no label.
    pub(crate) fn read(&mut self, cell: Cell<'_>) -> Option<bool> {
        let Some(text) = cell.text() else {
            self.missing += 1;
            return None;
        };
        if let Some(label) = self.values.get_mut(&*text) {
            label.rows += 1;
            return label.positive;
        }
        let positive = normal(&text, self.decimal).map(|value| self.positive.contains(&value));
        self.has_positive |= positive == Some(true);
        if self.values.len() < VALUES_MAX && text.len() <= VALUE_BYTES_MAX {
            self.values.insert(text.into(), Label { rows: 1, positive });
        } else {
            self.others += 1;
        }
        positive
    }

    /// The values and how they are read, the most frequent first.
    pub fn values(&self) -> Vec<(&str, Label)> {
        let mut values: Vec<_> = self.values.iter().map(|(value, label)| (value.as_ref(), *label)).collect();
        values.sort_by_key(|(_, label)| std::cmp::Reverse(label.rows));
        values
    }

    /// The number of rows without a value.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The number of rows whose value is not counted by itself, because it is long or there are too many.
    pub fn others(&self) -> u64 {
        self.others
    }

    /// Whether a row is labelled as fraud.
    pub fn has_positive(&self) -> bool {
        self.has_positive
    }

    /// The number of values counted by themselves that differ in meaning: `1` and `1.0` are one.
    pub fn meanings(&self) -> usize {
        self.values.keys().filter_map(|value| normal(value, self.decimal)).collect::<BTreeSet<_>>().len()
    }
}

/// The form in which labels are compared: without spaces around it, a number in its shortest form, and 1 or 0 for a
/// boolean. Programs write the same labels as 1, 1.0 (if a value of the column is missing), True, or a boolean.
/// Returns `None` if there is no label: for no text, or for a number that is missing.
fn normal(text: &str, decimal: DecimalMark) -> Option<String> {
    let text = text.trim();
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    let number = match decimal {
        DecimalMark::Comma if text.contains(',') => pointed(text).parse::<f64>(),
        DecimalMark::Comma | DecimalMark::Point => text.parse(),
    };
    match number {
        _ if text.is_empty() || is("nan") => None,
        _ if is("true") => Some("1".to_owned()),
        _ if is("false") => Some("0".to_owned()),
        // Longer numbers are codes, which are compared digit by digit.
        Ok(number) if number.abs() < WHOLE_DOUBLE_MAX => Some((number + 0.0).to_string()),
        _ => Some(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(positive: &[&str]) -> Labels {
        let positive = positive.iter().map(|&value| value.to_owned()).collect();
        Labels::new(&LabelColumn { column: "fraud".to_owned(), positive, delay: types::Span::ZERO }, DecimalMark::Point)
    }

    #[test]
    fn a_label_means_the_same_in_every_form() {
        let one = ["1", "1.0", " 1", "1 ", "1.000", "1e0", "true", "True", "TRUE", "\ttrue "];
        let zero = ["0", "0.0", "-0.0", " 0", "false", "False", " FALSE"];
        for positive in ["1", "1.0", "true", "True"] {
            let mut labels = labels(&[positive]);
            for (texts, expected) in [(&one[..], true), (&zero[..], false)] {
                for text in texts {
                    assert_eq!(labels.read(Cell::Text(text)), Some(expected), "{text:?} of {positive}");
                }
            }
            let one = Cell::Decimal { unscaled: 100, scale: 2 };
            for cell in [Cell::Int(1), Cell::Double(1.0), Cell::Float(1.0), Cell::Bool(true), one] {
                assert_eq!(labels.read(cell), Some(true), "{cell:?} of {positive}");
            }
            for cell in [Cell::Int(0), Cell::Double(0.0), Cell::Bool(false), Cell::Text("Y"), Cell::Text("1,0")] {
                assert_eq!(labels.read(cell), Some(false), "{cell:?} of {positive}");
            }
            for cell in [Cell::Null, Cell::Text(" "), Cell::Text("NaN"), Cell::Text("nan"), Cell::Double(f64::NAN)] {
                assert_eq!(labels.read(cell), None, "{cell:?}");
            }
        }
    }

    #[test]
    fn a_label_may_have_a_decimal_comma() {
        let labels = labels(&["1"]);
        let mut labels = Labels { decimal: DecimalMark::Comma, ..labels };
        assert_eq!(
            ["1,0", "1", "1.0", "0,0"].map(|text| labels.read(Cell::Text(text)).unwrap()),
            [true, true, true, false]
        );
    }

    #[test]
    fn other_labels_are_compared_as_they_are_written() {
        let mut labels = labels(&["Fraud", "10000000000000001", "inf"]);
        for (text, positive) in [
            ("Fraud", true),
            (" Fraud ", true),
            ("fraud", false),
            ("10000000000000001", true),
            ("10000000000000000", false),
            ("inf", true),
            ("infinity", false),
        ] {
            assert_eq!(labels.read(Cell::Text(text)), Some(positive), "{text}");
        }
    }

    #[test]
    fn values_are_counted_with_the_way_they_are_read() {
        let mut labels = labels(&["1"]);
        for text in ["0", "1", "0", " 1", "0", "NaN"] {
            labels.read(Cell::Text(text));
        }
        labels.read(Cell::Null);
        let label = |rows, positive| Label { rows, positive };
        let expected = [
            ("0", label(3, Some(false))),
            (" 1", label(1, Some(true))),
            ("1", label(1, Some(true))),
            ("NaN", label(1, None)),
        ];
        assert_eq!(labels.values(), expected);
        assert_eq!((labels.missing(), labels.others(), labels.meanings()), (1, 0, 2));
        assert!(labels.has_positive());
        labels.read(Cell::Text(&"x".repeat(VALUE_BYTES_MAX + 1)));
        assert_eq!((labels.others(), labels.meanings()), (1, 2));

        for number in 0..2 * VALUES_MAX as u64 {
            labels.read(Cell::Text(&format!("code {number}")));
        }
        assert_eq!(labels.values().len(), VALUES_MAX);
        assert_eq!(labels.others(), VALUES_MAX as u64 + 5);
        assert_eq!(labels.read(Cell::Text("1.000")), Some(true), "a value that is not counted by itself is read");
    }
}
