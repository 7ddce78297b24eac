//! Texts that a file writes in another form than payments have them.

use policy::DecimalMark;

use crate::cell::Cell;

/// A number with a decimal point. `room` keeps its text.
pub(crate) fn number<'a>(cell: Cell<'a>, mark: DecimalMark, room: &'a mut String) -> Cell<'a> {
    match (cell, mark) {
        (Cell::Text(text), DecimalMark::Comma) => {
            *room = pointed(text);
            Cell::Text(room)
        }
        (cell, _) => cell,
    }
}

/// A number with a decimal point instead of a comma. A point becomes a comma, so that 1.234 stays no number: it could be
/// a thousand or a fraction.
pub(crate) fn pointed(text: &str) -> String {
    let swap = |c| match c {
        ',' => '.',
        '.' => ',',
        c => c,
    };
    text.chars().map(swap).collect()
}

/// A text on one line: each tab and each end of a line is a space. Payments have no control characters, and a line break
/// in the name of a shop should not cost the payment. `room` keeps the text.
pub(crate) fn one_line<'a>(cell: Cell<'a>, room: &'a mut String) -> Cell<'a> {
    if let Cell::Text(text) = cell
        && text.contains(['\t', '\r', '\n'])
    {
        *room = text.replace("\r\n", " ").replace(['\t', '\r', '\n'], " ");
        return Cell::Text(room);
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_comma_is_the_only_mark_of_its_file() {
        let amount = |text, mark| number(Cell::Text(text), mark, &mut String::new()).amount(2).map(types::Amount::get);
        for (text, point, comma) in [
            ("12,50", None, Some(1_250)),
            ("12.50", Some(1_250), None),
            ("1.234", None, None),
            ("1,234", None, None),
            ("1.234,56", None, None),
            ("12", Some(1_200), Some(1_200)),
            ("1,5e1", None, Some(1_500)),
        ] {
            assert_eq!(amount(text, DecimalMark::Point), point, "{text}");
            assert_eq!(amount(text, DecimalMark::Comma), comma, "{text}");
        }
        let mut room = String::new();
        assert_eq!(number(Cell::Double(12.5), DecimalMark::Comma, &mut room), Cell::Double(12.5));
    }

    #[test]
    fn a_text_is_on_one_line() {
        for (text, expected) in [("a\r\nb\nc\rd\te", "a b c d e"), ("\n\n", "  "), ("a\u{1b}b", "a\u{1b}b")] {
            assert_eq!(one_line(Cell::Text(text), &mut String::new()), Cell::Text(expected), "{text:?}");
        }
    }
}
