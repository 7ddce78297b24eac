//! Names of the installation's settings.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::shown::shorten;

/// The name of a setting: 1 to 256 visible ASCII characters, so that the address of an issuer fits. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingName(Arc<str>);

impl SettingName {
    /// Length of the longest name, in bytes.
    pub const BYTES_MAX: usize = 256;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SettingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for SettingName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The string is not a valid [`SettingName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a setting: 1 to 256 visible ASCII characters")]
pub struct SettingNameParseError(String);

impl FromStr for SettingName {
    type Err = SettingNameParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_visible && (1..=Self::BYTES_MAX).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(SettingNameParseError(shorten(text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_name_and_blanks_are_not() {
        for good in ["7", "https://login.example.org/realms/a?b=c#d", &"~".repeat(256)] {
            assert_eq!(good.parse::<SettingName>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "a b", "a\n", "é", "\u{7f}", &"a".repeat(257)] {
            assert!(bad.parse::<SettingName>().is_err(), "{bad}");
        }
    }
}
