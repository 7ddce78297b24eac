//! Rows in the text format of `COPY`.

use std::fmt::{Display, Write as _};

use types::Timestamp;

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

    /// Adds a column whose text has no character that must be escaped: a number, an id, a name or a time.
    pub(super) fn plain(&mut self, value: impl Display) -> &mut Self {
        self.begin();
        // Writing to a string cannot fail.
        let _infallible = write!(self.text, "{value}");
        self
    }

    /// Adds a column with any text.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.begin();
        escape(value, &mut self.text);
        self
    }

    /// Adds a column that is null if there is no value.
    pub(super) fn option(&mut self, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => self.text(&value.to_string()),
            None => self.plain("\\N"),
        }
    }

    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.plain(if value { 't' } else { 'f' })
    }

    /// Adds a time, rounded down to a microsecond. PostgreSQL itself would round to the nearest.
    pub(super) fn time(&mut self, at: Timestamp) -> &mut Self {
        self.plain(floored(at))
    }

    /// As [`CopyText::time`], or null.
    pub(super) fn time_option(&mut self, at: Option<Timestamp>) -> &mut Self {
        self.option(at.map(floored))
    }

    /// Adds JSON. `jsonb` has no character 0, which becomes U+FFFD.
    pub(super) fn json(&mut self, value: &serde_json::Value) -> &mut Self {
        self.text(&value.to_string().replace("\\u0000", "\\ufffd"))
    }

    /// Adds an array of texts.
    pub(super) fn array<'t>(&mut self, values: impl Iterator<Item = &'t str>) -> &mut Self {
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

    pub(super) fn end_row(&mut self) {
        self.text.push('\n');
        self.is_in_row = false;
    }

    fn begin(&mut self) {
        if std::mem::replace(&mut self.is_in_row, true) {
            self.text.push('\t');
        }
    }
}

const fn floored(at: Timestamp) -> Timestamp {
    Timestamp::from_ns(at.ns() - at.ns() % 1_000)
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
        rows.plain(8).end_row();
        let expected = "7\ta\\tb\\\\c\\nd\\re\u{fffd}\t\\N\t\\\\N\tt\t{\"x\",\"a \\\\\"b\\\\\" \\\\\\\\ c\",\"\"}\n8\n";
        assert_eq!(rows.text, expected);
    }
}
