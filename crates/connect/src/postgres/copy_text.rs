//! Rows in the text format of `COPY`.

use std::fmt::{Display, Write as _};

use types::Timestamp;

use crate::tables::{Put, to_microsecond};

/// Rows that are being written: one line each, with tabs between the columns.
#[derive(Debug, Default)]
pub(super) struct CopyText {
    text: String,
    is_in_row: bool,
}

impl CopyText {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    fn begin(&mut self) {
        if std::mem::replace(&mut self.is_in_row, true) {
            self.text.push('\t');
        }
    }
}

impl Put for CopyText {
    fn number(&mut self, value: impl Display) -> &mut Self {
        self.plain(value)
    }

    fn plain(&mut self, value: impl Display) -> &mut Self {
        self.begin();
        // Writing to a string cannot fail.
        let _infallible = write!(self.text, "{value}");
        self
    }

    fn text(&mut self, value: &str) -> &mut Self {
        self.begin();
        escape(value, &mut self.text);
        self
    }

    fn bool(&mut self, value: bool) -> &mut Self {
        self.plain(if value { 't' } else { 'f' })
    }

    fn time(&mut self, at: Timestamp) -> &mut Self {
        self.plain(to_microsecond(at))
    }

    /// `jsonb` has no character 0, which becomes U+FFFD.
    fn json(&mut self, value: &serde_json::Value) -> &mut Self {
        self.text(&value.to_string().replace("\\u0000", "\\ufffd"))
    }

    fn array<'t>(&mut self, values: impl Iterator<Item = &'t str>) -> &mut Self {
        let mut array = String::from("{");
        for (number, value) in values.enumerate() {
            if number > 0 {
                array.push(',');
            }
            array.push('"');
            for letter in value.chars() {
                if matches!(letter, '"' | '\\') {
                    array.push('\\');
                }
                array.push(letter);
            }
            array.push('"');
        }
        array.push('}');
        self.text(&array)
    }

    fn null(&mut self) -> &mut Self {
        self.plain("\\N")
    }

    fn end_row(&mut self) {
        self.text.push('\n');
        self.is_in_row = false;
    }
}

/// Escapes what has a meaning in the format. PostgreSQL cannot store the character 0, which JSON can contain: it becomes U+FFFD.
fn escape(value: &str, into: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            '\0' => into.push('\u{fffd}'),
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_escaped() {
        let mut rows = CopyText::default();
        rows.plain(7).text("a\tb\\c\nd\re\0").option(None::<u8>).option(Some("\\N")).bool(true);
        rows.array(["x", "a \"b\" \\ c", ""].into_iter()).end_row();
        rows.plain(8).time(Timestamp::from_ns(1_999_999_999)).end_row();
        let expected = "7\ta\\tb\\\\c\\nd\\re\u{fffd}\t\\N\t\\\\N\tt\t{\"x\",\"a \\\\\"b\\\\\" \\\\\\\\ c\",\"\"}\n8\t1970-01-01T00:00:01.999999Z\n";
        assert_eq!(rows.text, expected);
    }
}
