//! JSON exactly as it was sent: an object keeps the order of its fields, and duplicates. [`Fields`] hands out the
//! fields one by one, so that every error names the place, what was found and what was expected.

mod reader;

use std::fmt;

use serde::de::IgnoredAny;

pub(crate) use types::shorten;

use self::reader::Unread;
use crate::errors::ErrorCode;
use crate::problem::Problem;

/// The most fields that an object may have; no valid request has more.
pub(crate) const FIELDS_MAX: usize = 256;

/// The deepest nesting of arrays and objects in a body.
const DEPTH_MAX: usize = 127;

#[derive(Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// A number with exactly the characters that were sent, such as `1.50` or `12345678901234567890123`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Number(String);

impl Number {
    /// A number as it is displayed.
    pub(crate) fn of(number: &impl fmt::Display) -> Self {
        Self(number.to_string())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A number without a fraction. 1.0 and 1e2 are such numbers, up to 2^53, from where on a double loses digits.
    pub(crate) fn as_i64(&self) -> Option<i64> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let double = || self.as_f64().filter(|double| double.fract() == 0.0 && double.abs() <= EXACT);
        #[expect(clippy::cast_possible_truncation, reason = "the double is whole and at most 2^53")]
        self.0.parse().ok().or_else(|| double().map(|double| double as i64))
    }

    /// The nearest double; `None` if the number is too large for one.
    pub(crate) fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok().filter(|double: &f64| double.is_finite())
    }

    /// Whether it is written without fraction and exponent, and fits into 64 bits.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.parse::<i64>().is_ok() || self.0.parse::<u64>().is_ok()
    }
}

impl Json {
    /// Parses a body: UTF-8 with exactly one JSON value.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let malformed = |detail: String| Problem::new(ErrorCode::MalformedJson, detail);
        if let Some(what) = not_json(body) {
            return Err(malformed(format!("the body {what}")));
        }
        let text = std::str::from_utf8(body)
            .map_err(|error| malformed(format!("the body is not UTF-8 after byte {}", error.valid_up_to())))?;
        Self::read(text).map_err(malformed)
    }

    /// Parses a text with exactly one JSON value; an error says what is wrong.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        reader::read(text).map_err(|unread| {
            // The library describes errors better.
            match (serde_json::from_str::<IgnoredAny>(text), unread) {
                (Err(error), _) => with_word(text, &error),
                (Ok(_), Unread::Surrogate(at)) => {
                    format!("the string at byte {at} has an escape that is half of a surrogate pair")
                }
                (Ok(_), Unread::Nested | Unread::Malformed) => {
                    format!("arrays and objects are nested deeper than {DEPTH_MAX}")
                }
            }
        })
    }

    /// The value as JSON text, without spaces, with the fields of objects sorted by name, and with every number as it was
    /// sent. Rejects what such a text could not keep, or what many programs could not read: duplicate
    /// fields, U+0000, and numbers beyond the range of a double. `pointer` is the place of the value.
    pub(crate) fn canonical(&self, pointer: &str) -> Result<String, Problem> {
        let mut text = String::new();
        self.write(pointer, &mut text)?;
        Ok(text)
    }

    fn write(&self, pointer: &str, out: &mut String) -> Result<(), Problem> {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
            Self::Number(number) if number.as_f64().is_none() => {
                let detail = format!("found {}, which is beyond the range of a double", shorten(number.as_str()));
                return Err(Problem::new(ErrorCode::InvalidField, detail).at(pointer));
            }
            Self::Number(number) => out.push_str(number.as_str()),
            Self::Text(text) => write_text(text, pointer, out)?,
            Self::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    item.write(&format!("{pointer}/{place}"), out)?;
                }
                out.push(']');
            }
            Self::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by(|(a, _), (b, _)| a.cmp(b));
                reject_duplicates(fields.iter().map(|(name, _)| name.as_str()), pointer)?;
                out.push('{');
                for (place, (name, value)) in fields.into_iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    write_text(name, pointer, out)?;
                    out.push(':');
                    value.write(&pointer_to(pointer, name), out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) const fn as_number(&self) -> Option<&Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    pub(crate) const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(yes) = self { Some(*yes) } else { None }
    }

    /// What an error says was found: a number or a boolean as it is, and the kind of anything else. Not for values that may be
    /// personal.
    pub(crate) fn found(&self) -> String {
        match self {
            Self::Number(number) => format!("the number {}", shorten(number.as_str())),
            Self::Bool(yes) => yes.to_string(),
            Self::Null | Self::Text(_) | Self::List(_) | Self::Object(_) => self.kind().to_owned(),
        }
    }

    /// The kind of the value. It does not show the value, which may be personal.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(number) if number.is_whole() => "a whole number",
            Self::Number(_) => "a number with a fraction or beyond 64 bits",
            Self::Text(_) => "a string",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// What a body is that is not JSON in UTF-8, if its first bytes say so.
fn not_json(body: &[u8]) -> Option<&'static str> {
    Some(match body {
        [0xef, 0xbb, 0xbf, ..] => "begins with a byte order mark; send it without",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
            "is not UTF-8 but looks like UTF-16; send it as UTF-8"
        }
        [0x1f, 0x8b, ..] => "is compressed (gzip); send it uncompressed",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "is compressed (zstd); send it uncompressed",
        [b'P', b'K', 3, 4, ..] => "is a zip archive; send JSON",
        _ if body.trim_ascii().is_empty() => "is empty; send JSON",
        _ => return None,
    })
}

/// The message of an error. If a word outside of strings cannot be read, the message shows it.
fn with_word(text: &str, error: &serde_json::Error) -> String {
    const WORD_CHARS_MAX: usize = 16;
    let message = error.to_string();
    let outside = ["expected value", "expected ident", "key must be a string"].iter().any(|it| message.starts_with(it));
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let rest = line.get(error.column().saturating_sub(1)..).filter(|_| outside).unwrap_or_default();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut chars = rest.chars();
    let first = chars.next().filter(|c| !c.is_control());
    let word: String = first.into_iter().chain(chars.take_while(|c| is_word(*c)).take(WORD_CHARS_MAX)).collect();
    if word.is_empty() { message } else { format!("{message}, found `{word}`") }
}

fn write_text(text: &str, pointer: &str, out: &mut String) -> Result<(), Problem> {
    if text.contains('\0') {
        let detail = "found the character U+0000, which cannot be kept";
        return Err(Problem::new(ErrorCode::InvalidField, detail).at(pointer));
    }
    out.push_str(&serde_json::to_string(text).expect("a text is JSON"));
    Ok(())
}

/// The JSON pointer (RFC 6901) of a field of the object at `pointer`.
pub(crate) fn pointer_to(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", shorten(name).replace('~', "~0").replace('/', "~1"))
}

/// Rejects a name that occurs twice among the sorted names of the object at `pointer`.
fn reject_duplicates<'n>(names: impl Iterator<Item = &'n str> + Clone, pointer: &str) -> Result<(), Problem> {
    match names.clone().zip(names.skip(1)).find(|(a, b)| a == b) {
        None => Ok(()),
        Some((name, _)) => {
            let detail = format!("the object contains the field `{}` twice", shorten(name));
            Err(Problem::new(ErrorCode::DuplicateField, detail).at(pointer_to(pointer, name)))
        }
    }
}

/// The fields of an object, to be taken one by one. Null counts as absent.
pub(crate) struct Fields {
    pointer: String,
    fields: Vec<(String, Json)>,
}

impl Fields {
    /// The fields of a whole body. Rejects duplicates and fields that are not in `known`.
    pub(crate) fn of_body(body: &[u8], known: &[&str]) -> Result<Self, Problem> {
        Self::of(Json::parse(body)?, String::new())?.among(known)
    }

    /// Rejects fields that are not in `known`.
    pub(crate) fn among(self, known: &[&str]) -> Result<Self, Problem> {
        if let Some((name, _)) = self.fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let expected = if known.is_empty() { "no fields".to_owned() } else { one_of(known) };
            let detail = format!("there is no field `{}`, expected {expected}", shorten(name));
            return Err(Problem::new(ErrorCode::UnknownField, detail).at(self.pointer_of(name)));
        }
        Ok(self)
    }

    /// The fields of the object at `pointer`. Rejects duplicates.
    pub(crate) fn of(value: Json, pointer: String) -> Result<Self, Problem> {
        let invalid = |detail: String| Problem::new(ErrorCode::InvalidField, detail).at(pointer.clone());
        let Json::Object(fields) = value else {
            return Err(invalid(format!("found {}, expected an object", value.found())));
        };
        if fields.len() > FIELDS_MAX {
            return Err(invalid(format!("found an object of {} fields, expected at most {FIELDS_MAX}", fields.len())));
        }
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        reject_duplicates(names.iter().copied(), &pointer)?;
        Ok(Self { pointer, fields })
    }

    /// The JSON pointer (RFC 6901) of a field.
    pub(crate) fn pointer_of(&self, name: &str) -> String {
        pointer_to(&self.pointer, name)
    }

    /// Removes a field and returns it; `None` if it is absent or null.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json> {
        let position = self.fields.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.fields.swap_remove(position);
        Some(value).filter(|value| *value != Json::Null)
    }

    /// Whether a field is present and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, value)| known == name && *value != Json::Null)
    }

    /// The names of the fields that nobody has taken and that are not null.
    pub(crate) fn names(&self) -> Vec<String> {
        self.fields.iter().filter(|(_, value)| *value != Json::Null).map(|(name, _)| name.clone()).collect()
    }

    /// The name of a field that nobody has taken; null counts as one.
    pub(crate) fn first_name(&self) -> Option<String> {
        self.fields.first().map(|(name, _)| name.clone())
    }

    /// The fields that nobody has taken.
    pub(crate) fn rest(self) -> Vec<(String, Json)> {
        self.fields
    }

    pub(crate) fn invalid(&self, name: &str, detail: impl Into<String>) -> Problem {
        Problem::new(ErrorCode::InvalidField, detail).at(self.pointer_of(name))
    }

    /// Reads a field that must be present.
    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &str) -> Result<Option<T>, Problem>,
    ) -> Result<T, Problem> {
        read(self, name)?.ok_or_else(|| {
            Problem::new(ErrorCode::MissingField, format!("the field `{name}` is required")).at(self.pointer_of(name))
        })
    }

    /// Reads a string of at most `bytes_max` bytes, without control characters.
    pub(crate) fn text(&mut self, name: &str, expected: &str, bytes_max: usize) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Text(text)) => match text_fault(&text, bytes_max) {
                None => Ok(Some(text)),
                Some(fault) => Err(self.invalid(name, format!("found {fault}, expected {expected}"))),
            },
            Some(other) => Err(self.invalid(name, format!("found {}, expected {expected}", other.found()))),
        }
    }

    /// Reads a string and parses it as a `T`. `expected` describes the form, such as `a string with an id`.
    pub(crate) fn parsed<T>(&mut self, name: &str, expected: &str) -> Result<Option<T>, Problem>
    where
        T: std::str::FromStr,
        T::Err: fmt::Display,
    {
        /// No valid value is this long.
        const BYTES_MAX: usize = 256;
        let Some(text) = self.text(name, expected, BYTES_MAX)? else { return Ok(None) };
        text.parse().map(Some).map_err(|error: T::Err| self.invalid(name, error.to_string()))
    }

    /// Reads a boolean; false if the field is absent.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name) {
            None => Ok(false),
            Some(Json::Bool(yes)) => Ok(yes),
            Some(other) => Err(self.invalid(name, format!("found {}, expected true or false", other.found()))),
        }
    }

    /// A required array of 1 to `most` values.
    pub(crate) fn list(&mut self, name: &str, most: usize) -> Result<Vec<Json>, Problem> {
        let expected = format!("expected an array of 1 to {most} {name}");
        let list = self.required(name, |fields, name| match fields.take(name) {
            None => Ok(None),
            Some(Json::List(list)) => Ok(Some(list)),
            Some(other) => Err(fields.invalid(name, format!("found {}, {expected}", other.found()))),
        })?;
        if !(1..=most).contains(&list.len()) {
            return Err(self.invalid(name, format!("found an array of {}, {expected}", list.len())));
        }
        Ok(list)
    }

    /// Reads a whole number from `min` to `max`.
    pub(crate) fn number(&mut self, name: &str, min: u32, max: u32) -> Result<Option<u32>, Problem> {
        let found = match self.take(name) {
            None => return Ok(None),
            Some(Json::Number(number)) => match number.as_i64().and_then(|number| u32::try_from(number).ok()) {
                Some(number) if (min..=max).contains(&number) => return Ok(Some(number)),
                _ => shorten(number.as_str()),
            },
            Some(other) => other.found(),
        };
        Err(self.invalid(name, format!("found {found}, expected a whole number from {min} to {max}")))
    }
}

/// What is wrong with a text: its length, or a control character in it.
pub(crate) fn text_fault(text: &str, bytes_max: usize) -> Option<String> {
    if text.len() > bytes_max {
        return Some(format!("a string of {} bytes, more than the limit of {bytes_max}", text.len()));
    }
    let control = text.chars().find(|c| c.is_control())?;
    Some(format!("a string with the control character U+{:04X}", u32::from(control)))
}

/// `one of a, b, c`.
pub(crate) fn one_of(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}
