//! The paths of tiles (C2SP tlog-tiles): `tile/<level>/<index>[.p/<width>]` and `tile/entries/<index>[.p/<width>]`. An
//! index is written in groups of three digits, with an `x` before all groups but the last: `x001/x234/067`.

use std::fmt;
use std::str::FromStr;

/// The number of hashes in a full tile, and of entries in a full bundle.
pub(crate) const TILE_WIDTH: u16 = 256;
/// The number of levels. A tile of level 7 covers 2^64 leaves.
pub(crate) const LEVELS: u8 = 8;

/// The path of a tile, which may be partial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TilePath {
    /// The kind of tile.
    pub of: TileOf,
    /// The number of the tile among the tiles of its kind, from 0.
    pub index: u64,
    /// The number of hashes or entries, from 1 to 256. A tile with fewer than 256 is partial.
    pub width: u16,
}

/// The content of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileOf {
    /// Hashes of leaves at level 0; at other levels, hashes of the full tiles one level below.
    Hashes {
        /// The level, from 0 to 7.
        level: u8,
    },
    /// An entry bundle, which contains the leaves themselves.
    Entries,
}

/// The text is not the path of a tile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the path of a tile; expected tile/<level>/<index> or tile/entries/<index>, followed by .p/<width> for a partial tile"
)]
pub struct PathError(String);

impl FromStr for TilePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let parsed = parse(text);
        // Each tile has exactly one path, so that caches store it once.
        parsed.filter(|path| path.to_string() == text).ok_or_else(|| PathError(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<TilePath> {
    let (of, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let of = match of {
        "entries" => TileOf::Entries,
        level => TileOf::Hashes { level: level.parse().ok().filter(|level| *level < LEVELS)? },
    };
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?),
        None => (rest, TILE_WIDTH),
    };
    let mut number: u64 = 0;
    for group in index.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        let value: u64 =
            Some(digits).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?.parse().ok()?;
        number = number.checked_mul(1000)?.checked_add(value)?;
    }
    Some(TilePath { of, index: number, width })
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            TileOf::Hashes { level } => write!(f, "tile/{level}/")?,
            TileOf::Entries => f.write_str("tile/entries/")?,
        }
        let mut groups = Vec::new();
        let mut rest = self.index;
        while rest >= 1000 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        groups.push(rest);
        while let Some(group) = groups.pop() {
            let more = if groups.is_empty() { "" } else { "/" };
            let mark = if groups.is_empty() { "" } else { "x" };
            write!(f, "{mark}{group:03}{more}")?;
        }
        if self.width < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}
