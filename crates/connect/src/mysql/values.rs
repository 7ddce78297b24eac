//! Rows as `insert … values (…), (…)`.

use std::fmt::{Display, Write as _};

use types::Timestamp;

use crate::tables::{Put, to_microsecond};

/// Statements that insert rows, each with as many rows as fit.
#[derive(Debug)]
pub(super) struct Values {
    /// What each statement begins with, up to `values `.
    head: String,
    /// What each statement ends with.
    tail: String,
    /// The bytes after which a statement ends.
    bytes_max: usize,
    done: Vec<String>,
    statement: String,
    is_in_row: bool,
}

impl Values {
    pub(super) fn new(table: &str, columns: &str, tail: &str, bytes_max: usize) -> Self {
        let columns = if columns.is_empty() { String::new() } else { format!(" ({columns})") };
        let head = format!("insert into {table}{columns} values ");
        Self { head, tail: tail.to_owned(), bytes_max, done: Vec::new(), statement: String::new(), is_in_row: false }
    }

    /// The statements; none if there are no rows.
    pub(super) fn into_statements(mut self) -> Vec<String> {
        self.end_statement();
        self.done
    }

    fn end_statement(&mut self) {
        if !self.statement.is_empty() {
            self.statement.push_str(&self.tail);
            self.done.push(std::mem::take(&mut self.statement));
        }
    }

    fn begin(&mut self) {
        let separator = match (std::mem::replace(&mut self.is_in_row, true), self.statement.is_empty()) {
            (true, _) => ",",
            (false, true) => {
                self.statement.push_str(&self.head);
                "("
            }
            (false, false) => ",(",
        };
        self.statement.push_str(separator);
    }
}

impl Put for Values {
    fn number(&mut self, value: impl Display) -> &mut Self {
        self.begin();
        // Writing to a string cannot fail.
        let _infallible = write!(self.statement, "{value}");
        self
    }

    fn plain(&mut self, value: impl Display) -> &mut Self {
        self.begin();
        let _infallible = write!(self.statement, "'{value}'");
        self
    }

    fn text(&mut self, value: &str) -> &mut Self {
        self.begin();
        quote(value, &mut self.statement);
        self
    }

    fn bool(&mut self, value: bool) -> &mut Self {
        self.number(u8::from(value))
    }

    fn time(&mut self, at: Timestamp) -> &mut Self {
        let text = to_microsecond(at).to_string();
        // The column has no time zone. All times are in UTC.
        self.plain(text.trim_end_matches('Z'))
    }

    fn array<'t>(&mut self, values: impl Iterator<Item = &'t str>) -> &mut Self {
        let values: Vec<&str> = values.collect();
        self.text(&serde_json::Value::from(values).to_string())
    }

    fn null(&mut self) -> &mut Self {
        self.number("null")
    }

    fn end_row(&mut self) {
        self.statement.push(')');
        self.is_in_row = false;
        if self.statement.len() >= self.bytes_max {
            self.end_statement();
        }
    }
}

/// Writes a text as a literal. Every connection turns off `NO_BACKSLASH_ESCAPES`, and has a character set in which the bytes of a quote and
/// of a backslash are never a part of another character.
fn quote(value: &str, into: &mut String) {
    into.push('\'');
    for letter in value.chars() {
        match letter {
            '\\' => into.push_str("\\\\"),
            '\'' => into.push_str("\\'"),
            '\0' => into.push_str("\\0"),
            other => into.push(other),
        }
    }
    into.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_escaped() {
        let mut rows = Values::new("t", "a, b", " on duplicate key update a = a", 1_000);
        rows.number(7).plain("x").text("it's \\ \"a\"\n\0ü").option(None::<u8>).option(Some("null")).bool(true);
        rows.array(["x", "a \"b\" \\ 'c'"].into_iter()).time(Timestamp::from_ns(1_999_999_999)).end_row();
        rows.null().end_row();
        let expected = "insert into t (a, b) values (7,'x','it\\'s \\\\ \"a\"\n\\0ü',null,'null',1,\
             '[\"x\",\"a \\\\\"b\\\\\" \\\\\\\\ \\'c\\'\"]','1970-01-01T00:00:01.999999'),(null) on duplicate key update a = a";
        assert_eq!(rows.into_statements(), [expected]);
    }

    #[test]
    fn a_statement_ends_when_it_is_long_enough() {
        let mut rows = Values::new("t", "", "", 25);
        for number in 0..3 {
            rows.number(number).end_row();
        }
        assert_eq!(rows.into_statements(), ["insert into t values (0),(1)", "insert into t values (2)"]);
        assert!(Values::new("t", "", "", 25).into_statements().is_empty());
    }
}
