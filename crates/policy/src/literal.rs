//! Finds places inside TOML strings.

use std::ops::Range;

/// The byte of `document` at which the character at `line` and `column` (from 1) of a string's value is written.
/// `literal` is the range of the string including its quotes. Escapes, and line ends that are not part of the value,
/// are counted as TOML reads them. Returns the end of the string if it has no such character, and the start of the
/// value if it is not a string.
pub(crate) fn offset(document: &str, literal: &Range<usize>, line: u32, column: u32) -> usize {
    let Some(written) = document.get(literal.clone()) else { return literal.start };
    let Some(quote) = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| written.starts_with(quote)) else {
        return literal.start;
    };
    let escapes = quote.starts_with('"');
    let mut at = quote.len();
    if quote.len() == 3 {
        // A line end directly after the opening quotes is not part of the value.
        at += line_end(rest(written, at));
    }
    let end = written.len().saturating_sub(quote.len()).max(at);
    let (mut current_line, mut current_column) = (1, 1);
    while at < end {
        let here = rest(written, at);
        let escaped = if escapes { escape(here) } else { None };
        if let Some(Escape { length, in_value: false }) = escaped {
            at += length;
            continue;
        }
        if (current_line, current_column) == (line, column) {
            break;
        }
        let newline = line_end(here);
        if newline > 0 || here.starts_with("\\n") && escapes {
            current_line += 1;
            current_column = 1;
        } else {
            current_column += 1;
        }
        let length = escaped.map_or(newline, |escape| escape.length);
        at += if length > 0 { length } else { here.chars().next().map_or(1, char::len_utf8) };
    }
    literal.start + at.min(end)
}

struct Escape {
    length: usize,
    /// False for a backslash at the end of a line. It continues the line and stands for nothing.
    in_value: bool,
}

fn escape(here: &str) -> Option<Escape> {
    let escaped = here.strip_prefix('\\')?;
    let in_value = |digits: usize| Some(Escape { length: 2 + digits, in_value: true });
    match escaped.chars().next()? {
        'x' => in_value(2),
        'u' => in_value(4),
        'U' => in_value(8),
        c if c.is_ascii_whitespace() => {
            let skipped = escaped.len() - escaped.trim_start_matches([' ', '\t', '\r', '\n']).len();
            Some(Escape { length: 1 + skipped, in_value: false })
        }
        _ => in_value(0),
    }
}

/// Length in bytes of the line end that `here` starts with, or 0.
fn line_end(here: &str) -> usize {
    if here.starts_with("\r\n") { 2 } else { usize::from(here.starts_with('\n')) }
}

fn rest(written: &str, at: usize) -> &str {
    written.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `|` marks where the character should be found.
    #[track_caller]
    fn check(marked: &str, line: u32, column: u32) {
        let expected = marked.find('|').expect("a mark");
        let document = marked.replacen('|', "", 1);
        let start = "when = ".len();
        assert_eq!(offset(&document, &(start..document.len()), line, column), expected, "{marked}");
    }

    #[test]
    fn a_character_is_found_where_it_is_written() {
        check("when = \"|a > b\"", 1, 1);
        check("when = \"a > |b\"", 1, 5);
        check("when = 'a > |b'", 1, 5);
        check("when = 'é > |b'", 1, 5);
        check("when = \"a == \\\"x\\\" |&& b\"", 1, 10);
        check("when = \"\\u00e9 \\x41 |b\"", 1, 5);
        check("when = 'a \\n |b'", 1, 6);
        check("when = \"a\\n|b\"", 2, 1);
        check("when = \"abc|\"", 1, 99);
    }

    #[test]
    fn lines_of_a_long_string_are_counted_as_toml_reads_them() {
        check("when = \"\"\"\na &&\n  |b\"\"\"", 2, 3);
        check("when = '''\r\na &&\r\n  |b'''", 2, 3);
        check("when = \"\"\"|a\"\"\"", 1, 1);
        check("when = \"\"\"a && \\\n     |b\"\"\"", 1, 6);
        check("when = '''\na \\\n|b'''", 2, 1);
    }

    #[test]
    fn another_value_is_placed_at_its_start() {
        check("when = |5", 1, 3);
    }
}
