//! Names of things inside a policy.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::shown::shorten;

/// An identifier in a policy: 1 to 64 characters of `a-z 0-9 _`, starting with a letter. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Length of the longest name, in bytes.
    pub const BYTES_MAX: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The string is not a valid [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: 1 to 64 of a-z, 0-9 and _, starting with a letter")]
pub struct NameParseError(String);

impl FromStr for Name {
    type Err = NameParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if plain && starts && text.len() <= Self::BYTES_MAX {
            Ok(Self(text.into()))
        } else {
            Err(NameParseError(shorten(text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert_eq!("velocity_1h".parse::<Name>().map(|name| name.to_string()), Ok("velocity_1h".to_owned()));
        for bad in ["", "1h", "_x", "Velocity", "a-b", "a b", &"a".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
