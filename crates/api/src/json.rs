//! JSON exactly as it was sent: an object keeps the order of its fields, and duplicates. [`Fields`] hands out the
//! fields one by one, so that every error names the place, what was found and what was expected.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

pub(crate) use types::shorten;

use crate::errors::ErrorCode;
use crate::problem::Problem;

/// The most fields that an object may have; no valid request has more.
pub(crate) const FIELDS_MAX: usize = 256;

#[derive(Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
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
        serde_json::from_str(text).map_err(|error| malformed(with_word(text, &error)))
    }

    /// The value as JSON text, without spaces, and with the fields of objects sorted by name.
    pub(crate) fn canonical(&self) -> String {
        self.to_value().to_string()
    }

    fn to_value(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(yes) => (*yes).into(),
            Self::Number(number) => number.clone().into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(Self::to_value).collect(),
            Self::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value.to_value())).collect(),
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) const fn as_number(&self) -> Option<&serde_json::Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    pub(crate) const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(yes) = self { Some(*yes) } else { None }
    }

    /// What an error says was found: a number or a boolean as it is, and the kind of anything else. Not for values that may be
    /// personal.
    pub(crate) fn found(&self) -> String {
        match self {
            Self::Number(number) => format!("the number {number}"),
            Self::Bool(yes) => yes.to_string(),
            Self::Null | Self::Text(_) | Self::List(_) | Self::Object(_) => self.kind().to_owned(),
        }
    }

    /// The kind of the value. It does not show the value, which may be personal.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(number) if number.is_f64() => "a number with a fraction or beyond 64 bits",
            Self::Number(_) => "a whole number",
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

/// A number without a fraction. 1.0 and 1e2 are such numbers, up to 2^53, from where on a double loses digits.
pub(crate) fn whole(number: &serde_json::Number) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT);
    #[expect(clippy::cast_possible_truncation, reason = "the float is whole and at most 2^53")]
    number.as_i64().or_else(|| float().map(|float| float as i64))
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("a number is not finite"))?;
        Ok(Json::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(field) = fields.next_entry()? {
            object.push(field);
        }
        Ok(Json::Object(object))
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
        let twice = names.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some((*a).to_owned()),
            _ => None,
        });
        let fields = Self { pointer, fields };
        match twice {
            Some(name) => {
                let detail = format!("the object contains the field `{}` twice", shorten(&name));
                Err(Problem::new(ErrorCode::DuplicateField, detail).at(fields.pointer_of(&name)))
            }
            None => Ok(fields),
        }
    }

    /// The JSON pointer (RFC 6901) of a field.
    pub(crate) fn pointer_of(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, shorten(name).replace('~', "~0").replace('/', "~1"))
    }

    /// Removes a field and returns it; `None` if it is absent or null.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json> {
        let position = self.fields.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.fields.swap_remove(position);
        Some(value).filter(|value| *value != Json::Null)
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

    /// Reads a whole number from `min` to `max`.
    pub(crate) fn number(&mut self, name: &str, min: u32, max: u32) -> Result<Option<u32>, Problem> {
        let found = match self.take(name) {
            None => return Ok(None),
            Some(Json::Number(number)) => match whole(&number).and_then(|number| u32::try_from(number).ok()) {
                Some(number) if (min..=max).contains(&number) => return Ok(Some(number)),
                _ => number.to_string(),
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
