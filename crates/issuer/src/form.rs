//! Bodies of the type `application/x-www-form-urlencoded`, read strictly.

use std::collections::BTreeMap;

use types::shorten;

/// The largest body of a form. An assertion takes at most half of it.
pub const FORM_BYTES_MAX: usize = 16 * 1024;
/// The most parameters of a form, those included that have no meaning here.
pub const PARAMETERS_MAX: usize = 32;

const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// Why a body is not a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Another media type, or none.
    #[error("the header `Content-Type` is {0}; expected `{MEDIA_TYPE}`")]
    MediaType(&'static str),
    /// Longer than the bound.
    #[error("the body has {0} bytes; expected at most {FORM_BYTES_MAX}")]
    Size(usize),
    /// More parameters than the bound.
    #[error("the body has more than {PARAMETERS_MAX} parameters")]
    Many,
    /// A part between two `&` is not `name=value`.
    #[error("the body is malformed; expected `name=value` pairs with `&` between them")]
    Pair,
    /// What a `%` or a character stands for is not certain.
    #[error("the body has {0}; expected letters, digits and percent-encoded UTF-8")]
    Encoding(&'static str),
    /// Two values, of which different programs could take different ones (RFC 6749, section 3.2).
    #[error("the parameter `{0}` appears twice")]
    Twice(String),
}

/// The parameters of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a form. Each parameter may appear once, whether it has a meaning or not.
    pub(crate) fn parse(content_types: &[&[u8]], body: &[u8]) -> Result<Self, FormError> {
        check_media_type(content_types)?;
        if body.len() > FORM_BYTES_MAX {
            return Err(FormError::Size(body.len()));
        }
        let mut parameters = BTreeMap::new();
        if body.is_empty() {
            return Ok(Self(parameters));
        }
        for pair in body.split(|byte| *byte == b'&') {
            if parameters.len() >= PARAMETERS_MAX {
                return Err(FormError::Many);
            }
            let equals = pair.iter().position(|byte| *byte == b'=').ok_or(FormError::Pair)?;
            let (name, value) = pair.split_at_checked(equals).ok_or(FormError::Pair)?;
            let (name, value) = (decode(name)?, decode(value.strip_prefix(b"=").unwrap_or_default())?);
            if name.is_empty() {
                return Err(FormError::Pair);
            }
            if parameters.contains_key(&name) {
                return Err(FormError::Twice(shorten(&name)));
            }
            parameters.insert(name, value);
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter. One without a value counts as absent (RFC 6749, section 3.2).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

fn check_media_type(content_types: &[&[u8]]) -> Result<(), FormError> {
    let [content_type] = content_types else {
        return Err(FormError::MediaType(if content_types.is_empty() { "missing" } else { "there several times" }));
    };
    let text = std::str::from_utf8(content_type).map_err(|_bytes| FormError::MediaType("not text"))?;
    let (media_type, parameter) = text.split_once(';').unwrap_or((text, ""));
    let parameter = parameter.trim();
    let is_utf_8 = parameter.is_empty()
        || parameter.split_once('=').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        });
    if !media_type.trim().eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(FormError::MediaType("another media type"));
    }
    if is_utf_8 { Ok(()) } else { Err(FormError::MediaType("with a parameter other than `charset=utf-8`")) }
}

/// Decodes a name or a value: `+` is a space, `%` has two digits after it, and the result is UTF-8 without control characters.
pub(crate) fn decode(text: &[u8]) -> Result<String, FormError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let broken = FormError::Encoding("`%` without two hexadecimal digits");
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                let value = digit().zip(digit()).and_then(|(high, low)| u8::try_from((high << 4) | low).ok());
                bytes.push(value.ok_or(broken)?);
            }
            byte if byte.is_ascii_graphic() => bytes.push(byte),
            _ => return Err(FormError::Encoding("a byte that a form does not have")),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_bytes| FormError::Encoding("bytes that are not UTF-8"))?;
    if text.chars().any(char::is_control) { Err(FormError::Encoding("a control character")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    const TYPE: &[&[u8]] = &[FORM];

    #[track_caller]
    fn reads(body: &str, expected: &[(&str, &str)]) {
        let expected = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(Form::parse(TYPE, body.as_bytes()), Ok(Form(expected)), "{body}");
    }

    #[track_caller]
    fn refuses(body: &[u8], reason: &str) {
        let found = Form::parse(TYPE, body).map_err(|error| error.to_string());
        assert!(found.as_ref().is_err_and(|error| error.contains(reason)), "{found:?}, expected {reason}");
    }

    #[test]
    fn a_form_has_names_and_values() {
        reads("", &[]);
        reads("a=1&b=", &[("a", "1"), ("b", "")]);
        reads("a=x+y%2B%26%3d&%61b=%C3%bc", &[("a", "x y+&="), ("ab", "ü")]);
        reads("a==", &[("a", "=")]);
        assert_eq!(Form::parse(TYPE, b"a=").unwrap().get("a"), None);
    }

    #[test]
    fn anything_else_is_refused() {
        refuses(b"a", "`name=value`");
        refuses(b"a=1&", "`name=value`");
        refuses(b"a=1&&b=2", "`name=value`");
        refuses(b"=1", "`name=value`");
        refuses(b"a=1&a=1", "`a` appears twice");
        refuses(b"a=1&%61=2", "`a` appears twice");
        refuses(b"a=&a=1", "`a` appears twice");
        refuses(b"a=%", "two hexadecimal digits");
        refuses(b"a=%4", "two hexadecimal digits");
        refuses(b"a=%+4", "two hexadecimal digits");
        refuses(b"a=%zz", "two hexadecimal digits");
        refuses(b"a=%ff", "not UTF-8");
        refuses(b"a=%c0%80", "not UTF-8");
        refuses(b"a=%00", "control character");
        refuses(b"a=%0d%0aSet-Cookie", "control character");
        refuses(b"a= 1", "a byte that a form does not have");
        refuses(b"a=1\n", "a byte that a form does not have");
        refuses("a=ü".as_bytes(), "a byte that a form does not have");
        refuses(b"{\"grant_type\":\"client_credentials\"}", "`name=value`");
        refuses(&vec![b'a'; FORM_BYTES_MAX + 1], "16385 bytes");
        let many: Vec<_> = (0..=PARAMETERS_MAX).map(|number| format!("p{number}=")).collect();
        refuses(many.join("&").as_bytes(), "more than 32 parameters");
    }

    #[test]
    fn only_the_type_of_forms_is_read() {
        let parses = |content_types: &[&[u8]]| Form::parse(content_types, b"a=1").is_ok();
        assert!(parses(&[b"Application/X-WWW-Form-URLencoded; charset=\"UTF-8\""]));
        assert!(parses(&[b"application/x-www-form-urlencoded;charset=utf-8"]));
        for other in [
            &b"application/json"[..],
            b"application/x-www-form-urlencoded-x",
            b"multipart/form-data; boundary=x",
            b"application/x-www-form-urlencoded; charset=utf-16",
            b"application/x-www-form-urlencoded, application/json",
            b"\xff",
            b"",
        ] {
            assert!(!parses(&[other]), "{other:?}");
        }
        assert!(!parses(&[]));
        assert!(!parses(&[FORM, FORM]));
    }
}
