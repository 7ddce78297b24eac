//! Claims with exact types. A claim of the wrong type is an error, and never counts as absent.

use std::time::Duration;

use types::{Timestamp, shorten};

use crate::json::{Json, Members, Number};

/// The longest text in a claim that names somebody or something.
pub const NAME_BYTES_MAX: usize = 256;

/// A claim is missing, has another type, or holds a value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("claim `{claim}` is {found}; expected {expected}")]
pub struct ClaimError {
    /// The claim, with dots between the names of nested ones.
    pub claim: String,
    /// What was found: its kind, not its value.
    pub found: &'static str,
    /// What was expected.
    pub expected: &'static str,
}

/// The claims of a token or of a proof.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claims<'a>(pub(crate) &'a Members);

impl<'a> Claims<'a> {
    /// A text, or `None` if there is no such claim.
    pub(crate) fn text(self, claim: &str) -> Result<Option<&'a str>, ClaimError> {
        match self.0.get(claim) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(other) => Err(error(claim, other.kind(), "text")),
        }
    }

    /// A text that names something: not empty, bounded, and without control characters.
    pub(crate) fn name(self, claim: &str) -> Result<Option<&'a str>, ClaimError> {
        let Some(text) = self.text(claim)? else { return Ok(None) };
        let found = match text {
            "" => "empty",
            text if text.len() > NAME_BYTES_MAX => "longer than 256 bytes",
            text if text.chars().any(char::is_control) => "text with control characters",
            text => return Ok(Some(text)),
        };
        Err(error(claim, found, "a name of 1 to 256 bytes"))
    }

    pub(crate) fn required_name(self, claim: &str) -> Result<&'a str, ClaimError> {
        self.name(claim)?.ok_or_else(|| error(claim, "missing", "text"))
    }

    /// A number of seconds since 1970 (RFC 7519, section 2), which may have a fraction.
    pub(crate) fn time(self, claim: &str) -> Result<Option<Timestamp>, ClaimError> {
        const EXPECTED: &str = "a number of seconds since 1970";
        let since_1970 = match self.0.get(claim) {
            None => return Ok(None),
            Some(Json::Number(Number::Whole(seconds))) => Some(Duration::from_secs(*seconds)),
            Some(Json::Number(Number::Real(seconds))) => Duration::try_from_secs_f64(*seconds).ok(),
            Some(Json::Number(Number::Negative)) => None,
            Some(other) => return Err(error(claim, other.kind(), EXPECTED)),
        };
        let ns = since_1970.and_then(|duration| u64::try_from(duration.as_nanos()).ok());
        let time = ns.map(Timestamp::from_ns).filter(|time| *time <= Timestamp::MAX);
        time.map(Some).ok_or_else(|| error(claim, "a number that is no time", EXPECTED))
    }

    pub(crate) fn required_time(self, claim: &str) -> Result<Timestamp, ClaimError> {
        self.time(claim)?.ok_or_else(|| error(claim, "missing", "a number of seconds since 1970"))
    }

    /// A text or a list of texts; an absent claim is an empty list.
    pub(crate) fn texts(self, path: &[impl AsRef<str>]) -> Result<Vec<&'a str>, ClaimError> {
        const EXPECTED: &str = "text or a list of texts";
        match self.at(path)? {
            None => Ok(Vec::new()),
            Some(Json::Text(text)) => Ok(vec![text]),
            Some(Json::List(list)) => {
                let text = |item: &'a Json| item.text().ok_or_else(|| error(&join(path), list_of(item), EXPECTED));
                list.iter().map(text).collect()
            }
            Some(other) => Err(error(&join(path), other.kind(), EXPECTED)),
        }
    }

    /// The claim at a path of names through nested objects. What is on the way there must be an object.
    pub(crate) fn at(self, path: &[impl AsRef<str>]) -> Result<Option<&'a Json>, ClaimError> {
        let Some((last, way)) = path.split_last() else { return Ok(None) };
        let mut members = self.0;
        for (depth, name) in (1..).zip(way) {
            members = match members.get(name.as_ref()) {
                None => return Ok(None),
                Some(Json::Object(inner)) => inner,
                Some(other) => {
                    let place = path.get(..depth).unwrap_or(path);
                    return Err(error(&join(place), other.kind(), "an object"));
                }
            };
        }
        Ok(members.get(last.as_ref()))
    }
}

pub(crate) fn error(claim: &str, found: &'static str, expected: &'static str) -> ClaimError {
    ClaimError { claim: shorten(claim), found, expected }
}

fn join(path: &[impl AsRef<str>]) -> String {
    path.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(".")
}

const fn list_of(item: &Json) -> &'static str {
    match item {
        Json::Null => "a list with null in it",
        Json::Bool => "a list with true or false in it",
        Json::Number(_) => "a list with a number in it",
        Json::Text(_) => "a list with text in it",
        Json::List(_) => "a list with a list in it",
        Json::Object(_) => "a list with an object in it",
    }
}
