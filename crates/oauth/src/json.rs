//! JSON as a security token may have it: no member twice, a bounded depth, and numbers that keep their kind.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use types::shorten;

/// How deep objects and lists may nest, the outermost one included.
pub(crate) const NESTING_MAX: usize = 8;

/// The members of an object.
pub(crate) type Members = BTreeMap<String, Json>;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool,
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(Members),
}

/// A JSON number, as far as tokens need it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Whole(u64),
    Negative,
    /// Written with a fraction or an exponent, or above 2^64 - 1.
    Real(f64),
}

/// The bytes are not the JSON object that they should be. The message names members, and never quotes values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

impl Json {
    /// What kind of value this is, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    pub(crate) const fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text.as_str()) } else { None }
    }
}

/// Parses an object. Refuses an object that has a member twice, at any depth: two parsers could take different ones.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Members, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Depth(NESTING_MAX).deserialize(&mut deserializer).map_err(|error| JsonError(error.to_string()))?;
    deserializer.end().map_err(|error| JsonError(error.to_string()))?;
    let found = value.kind();
    if let Json::Object(members) = value {
        return Ok(members);
    }
    Err(JsonError(format!("expected an object, found {found}")))
}

/// Deserializes a value with at most this many levels.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn inner<E: de::Error>(self) -> Result<Self, E> {
        let deeper = self.0.checked_sub(1).map(Self);
        deeper.ok_or_else(|| E::custom(format_args!("nested deeper than {NESTING_MAX} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(Number::Whole(number)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(u64::try_from(number).map_or(Number::Negative, Number::Whole)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(Number::Real(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut members = Members::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(inner)?;
            if members.contains_key(&name) {
                return Err(de::Error::custom(format_args!("member `{}` appears twice", shorten(&name))));
            }
            members.insert(name, value);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(text: &str, reason: &str) {
        let found = parse_object(text.as_bytes()).map_err(|error| error.to_string());
        assert!(found.as_ref().is_err_and(|error| error.contains(reason)), "{text}: {found:?}");
    }

    #[test]
    fn values_keep_their_kind() {
        let members =
            parse_object(br#" {"a":1,"b":-1,"c":1.5,"d":"x","e":[null,true],"f":{"a":18446744073709551616}} "#);
        let nested = Members::from([("a".into(), Json::Number(Number::Real(18_446_744_073_709_551_616.0)))]);
        let expected = [
            ("a", Json::Number(Number::Whole(1))),
            ("b", Json::Number(Number::Negative)),
            ("c", Json::Number(Number::Real(1.5))),
            ("d", Json::Text("x".into())),
            ("e", Json::List(vec![Json::Null, Json::Bool])),
            ("f", Json::Object(nested)),
        ];
        assert_eq!(members, Ok(expected.map(|(name, value)| (name.to_owned(), value)).into()));
    }

    #[test]
    fn anything_but_one_plain_object_is_refused() {
        refuses("", "EOF");
        refuses("[]", "expected an object, found a list");
        refuses("{} {}", "trailing");
        refuses("{'a':1}", "key must be a string");
        refuses(r#"{"a":1,}"#, "trailing comma");
        refuses(r#"{"a":01}"#, "invalid number");
        refuses(r#"{"a":NaN}"#, "expected");
        refuses(r#"{"a":1e999}"#, "out of range");
        refuses("{\"a\":\"\n\"}", "control character");
        refuses(r#"{"a":"\ud800"}"#, "hex escape");
        refuses("\u{feff}{}", "expected value");
        assert!(parse_object(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_member_stands_there_once() {
        refuses(r#"{"alg":"RS256","alg":"none"}"#, "member `alg` appears twice");
        refuses(r#"{"alg":"RS256","\u0061lg":"none"}"#, "member `alg` appears twice");
        refuses(r#"{"a":[{"b":1,"b":1}]}"#, "member `b` appears twice");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert!(parse_object(nested(NESTING_MAX - 1).as_bytes()).is_ok());
        refuses(&nested(NESTING_MAX), "nested deeper than 8 levels");
        refuses(&nested(4_000), "nested deeper than 8 levels");
    }
}
