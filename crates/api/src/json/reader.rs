//! Reads JSON (RFC 8259) once, with the characters of numbers, which `serde_json` would convert.

use std::borrow::Cow;

use super::{DEPTH_MAX, Json, Number};

/// Reads a text with exactly one JSON value.
///
/// # Errors
/// If the text is not JSON, or what it has cannot be represented.
pub(super) fn read(text: &str) -> Result<Json, Unread> {
    Reader { text, at: 0 }.whole()
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

/// Why a text cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    Malformed,
    /// Arrays and objects are nested too deeply.
    Nested,
    /// The string at this byte has an escape that is not a character.
    Surrogate(usize),
}

impl<'t> Reader<'t> {
    fn whole(mut self) -> Result<Json, Unread> {
        let value = self.value(DEPTH_MAX)?;
        if self.peek().is_some() { Err(Unread::Malformed) } else { Ok(value) }
    }

    /// Reads a value that contains arrays and objects up to this depth.
    fn value(&mut self, depth: usize) -> Result<Json, Unread> {
        Ok(match self.peek() {
            Some(b'"') => Json::Text(self.string()?.into_owned()),
            Some(b'[') => {
                let inner = depth.checked_sub(1).ok_or(Unread::Nested)?;
                let mut items = Vec::new();
                self.members(b']', |reader| {
                    items.push(reader.value(inner)?);
                    Ok(())
                })?;
                Json::List(items)
            }
            Some(b'{') => {
                let inner = depth.checked_sub(1).ok_or(Unread::Nested)?;
                let mut fields = Vec::with_capacity(8);
                self.members(b'}', |reader| {
                    if reader.peek() != Some(b'"') {
                        return Err(Unread::Malformed);
                    }
                    let name = reader.string()?.into_owned();
                    reader.expect(b':')?;
                    fields.push((name, reader.value(inner)?));
                    Ok(())
                })?;
                Json::Object(fields)
            }
            Some(b'-' | b'0'..=b'9') => Json::Number(Number(self.number()?.to_owned())),
            Some(_) => {
                let words = [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))];
                let rest = self.rest();
                let found = words.into_iter().find(|(word, _)| rest.starts_with(word.as_bytes()));
                let (word, value) = found.ok_or(Unread::Malformed)?;
                self.advance(word.len());
                value
            }
            None => return Err(Unread::Malformed),
        })
    }

    /// Reads an array or object, from its opening to its closing bracket.
    fn members(&mut self, end: u8, mut read: impl FnMut(&mut Self) -> Result<(), Unread>) -> Result<(), Unread> {
        self.advance(1);
        if self.peek() == Some(end) {
            self.advance(1);
            return Ok(());
        }
        loop {
            read(self)?;
            match self.peek() {
                Some(b',') => self.advance(1),
                Some(byte) if byte == end => {
                    self.advance(1);
                    return Ok(());
                }
                _ => return Err(Unread::Malformed),
            }
        }
    }

    /// Reads the string whose opening quote is next.
    fn string(&mut self) -> Result<Cow<'t, str>, Unread> {
        let start = self.at;
        self.advance(1);
        let inner = self.at;
        let mut is_plain = true;
        loop {
            match self.rest() {
                [b'"', ..] => break,
                [b'\\', ..] => {
                    is_plain = false;
                    self.advance(2);
                }
                [0..=0x1f, ..] | [] => return Err(Unread::Malformed),
                [_, ..] => self.advance(1),
            }
        }
        let end = self.at;
        self.advance(1);
        if is_plain {
            return self.text.get(inner..end).map(Cow::Borrowed).ok_or(Unread::Malformed);
        }
        let quoted = self.text.get(start..self.at).ok_or(Unread::Malformed)?;
        serde_json::from_str(quoted).map(Cow::Owned).or(Err(Unread::Surrogate(start)))
    }

    fn number(&mut self) -> Result<&'t str, Unread> {
        let start = self.at;
        if self.next_is(b'-') {
            self.advance(1);
        }
        // Nothing follows a leading zero.
        if self.next_is(b'0') {
            self.advance(1);
        } else {
            self.digits()?;
        }
        if self.next_is(b'.') {
            self.advance(1);
            self.digits()?;
        }
        if self.next_is(b'e') || self.next_is(b'E') {
            self.advance(1);
            if self.next_is(b'+') || self.next_is(b'-') {
                self.advance(1);
            }
            self.digits()?;
        }
        self.text.get(start..self.at).ok_or(Unread::Malformed)
    }

    /// Skips one digit or more.
    fn digits(&mut self) -> Result<(), Unread> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.advance(count);
        if count == 0 { Err(Unread::Malformed) } else { Ok(()) }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Unread> {
        if self.peek() != Some(byte) {
            return Err(Unread::Malformed);
        }
        self.advance(1);
        Ok(())
    }

    /// Skips spaces, and returns the byte after them.
    fn peek(&mut self) -> Option<u8> {
        let spaces = self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.advance(spaces);
        self.rest().first().copied()
    }

    fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn next_is(&self, byte: u8) -> bool {
        self.rest().first() == Some(&byte)
    }

    fn rest(&self) -> &'t [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::Value;

    use super::*;

    /// The value as `serde_json` represents it.
    fn plain(json: &Json) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(yes) => Value::Bool(*yes),
            Json::Number(number) => serde_json::from_str(number.as_str()).expect("a number is JSON"),
            Json::Text(text) => Value::String(text.clone()),
            Json::List(items) => items.iter().map(plain).collect(),
            Json::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        }
    }

    #[track_caller]
    fn check_as_the_library(text: &str) {
        let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
        match (Json::read(text), serde_json::from_str::<Value>(text)) {
            (Ok(read), Ok(expected)) => assert_eq!(plain(&read), expected, "{text}"),
            // The library has no double for a number such as 1e999.
            (Ok(_), Err(_)) => assert!(is_json, "{text}"),
            (Err(error), expected) => assert!(expected.is_err(), "{text}: {error}"),
        }
    }

    #[test]
    fn the_grammar_is_that_of_the_library() {
        let texts = [
            "0",
            "-0",
            "01",
            "-",
            "+1",
            "1.",
            ".5",
            "1.5",
            "1e5",
            "1E+5",
            "1e-",
            "1e",
            "0.0e0",
            "00",
            "-01",
            "1 2",
            "",
            " ",
            "null",
            "nul",
            "nullx",
            "true",
            "false ",
            "tru",
            "[]",
            "[ ]",
            "[,]",
            "[1,]",
            "[1 2]",
            "[1,2]",
            "]",
            "[",
            "{}",
            "{ }",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{1:2}",
            "{\"a\" : [1 , {} ]}",
            "{\"a\":1,\"a\":2}",
            "\"",
            "\"a",
            "\"\\\"",
            "\"\\\\\"",
            "\"\\n\\u00e9\\ud83d\\ude00\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\",
            "\"\\ud800\"",
            "\"\t\"",
            "\"\u{7f}é\u{1F600}\"",
            "\u{a0}1",
            "1\u{b}",
            "/**/1",
            "NaN",
            "Infinity",
            "'a'",
        ];
        texts.into_iter().for_each(check_as_the_library);
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::read(&nested(DEPTH_MAX)).is_ok());
        for depth in [DEPTH_MAX + 1, 100_000] {
            assert!(Json::read(&nested(depth)).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_the_library_reads_it(text in "[\\[\\]{}\",:0-9eE+\\-.tnul \\\\a]{0,12}") {
            check_as_the_library(&text);
        }
    }
}
