//! Assets: a code and a scale, such as `EUR/2`.

use std::fmt;
use std::str::FromStr;

use crate::shown::shorten;

/// The unit that a ledger counts in: a code and the scale of its minor unit. `EUR/2` is euros in cents, `JPY/0` yen,
/// `BTC/8` satoshis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset {
    code: [u8; Self::CODE_BYTES_MAX],
    scale: u8,
}

impl Asset {
    /// Length of the longest code, in bytes.
    pub const CODE_BYTES_MAX: usize = 16;
    /// Largest scale, in decimal digits after the point.
    pub const SCALE_MAX: u8 = 18;

    /// Creates an asset. The code has 1 to 16 characters of `A-Z 0-9 _` and starts with a letter; the scale is at most
    /// 18.
    pub fn new(code: &str, scale: u8) -> Result<Self, AssetParseError> {
        let plain = code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        let starts = code.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
        if !plain || !starts || code.len() > Self::CODE_BYTES_MAX {
            return Err(AssetParseError::Code(shorten(code)));
        }
        if scale > Self::SCALE_MAX {
            return Err(AssetParseError::Scale(scale.to_string()));
        }
        let mut padded = [0; Self::CODE_BYTES_MAX];
        padded.iter_mut().zip(code.bytes()).for_each(|(slot, byte)| *slot = byte);
        Ok(Self { code: padded, scale })
    }

    /// The code without the scale, such as `EUR`.
    pub fn code(&self) -> &str {
        let text = std::str::from_utf8(&self.code).unwrap_or_default();
        text.trim_end_matches('\0')
    }

    /// Number of decimal digits of the minor unit, 0 to 18.
    pub const fn scale(&self) -> u8 {
        self.scale
    }

    /// Minor units per major unit, 10^scale.
    pub const fn minor_per_major(&self) -> u64 {
        10_u64.saturating_pow(self.scale as u32)
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.code(), self.scale)
    }
}

/// Why a string is not a valid [`Asset`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssetParseError {
    /// There is no `/` between code and scale.
    #[error("`{0}` is not an asset with its scale, such as \"EUR/2\"")]
    Shape(String),
    /// The part before the `/` is not a valid code.
    #[error("asset code `{0}` must have 1 to 16 characters of A-Z, 0-9 and _ and start with a letter")]
    Code(String),
    /// The part after the `/` is not a valid scale.
    #[error("asset scale `{0}` must be a whole number from 0 to 18")]
    Scale(String),
}

impl FromStr for Asset {
    type Err = AssetParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((code, scale)) = text.split_once('/') else {
            return Err(AssetParseError::Shape(shorten(text)));
        };
        let digits = (1..=2).contains(&scale.len()) && scale.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = scale.parse::<u8>().ok().filter(|_| digits && (scale == "0" || !scale.starts_with('0')));
        Self::new(code, parsed.ok_or_else(|| AssetParseError::Scale(shorten(scale)))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_reads_as_it_is_written() {
        for text in ["EUR/2", "JPY/0", "BTC/8", "POINTS_2024/18"] {
            assert_eq!(text.parse::<Asset>().map(|asset| asset.to_string()), Ok(text.to_owned()));
        }
        for bad in
            ["EUR", "eur/2", "/2", "EUR/", "EUR/19", "EUR/02", "EUR/+2", "2EUR/2", "ABCDEFGHIJKLMNOPQ/2", "E R/2"]
        {
            assert!(bad.parse::<Asset>().is_err(), "{bad}");
        }
    }

    #[test]
    fn minor_units_follow_the_scale() {
        assert_eq!("EUR/2".parse::<Asset>().map(|asset| asset.minor_per_major()), Ok(100));
        assert_eq!("X/18".parse::<Asset>().map(|asset| asset.minor_per_major()), Ok(1_000_000_000_000_000_000));
    }
}
