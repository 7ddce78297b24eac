//! What is kept of every full block of records, for windows that ask for more than sums.

use crate::wide::Wide;

/// The smallest and the largest of the values of some records, and the sum of their squares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) squares: Wide,
}

impl Spread {
    /// That of no records.
    pub(crate) const NONE: Self = Self { min: i64::MAX, max: i64::MIN, squares: Wide::new(0) };

    /// With one more record.
    pub(crate) fn with(self, value: i64) -> Self {
        let magnitude = u128::from(value.unsigned_abs());
        // The square is at most 2^126.
        let square = Wide::new(magnitude.wrapping_mul(magnitude));
        Self { min: self.min.min(value), max: self.max.max(value), squares: self.squares.plus(square) }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max), squares: self.squares.plus(other.squares) }
    }
}

/// The spread of a full block. The sum of 32 squares has at most 131 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    min: i64,
    max: i64,
    squares: [u64; 3],
}

const _: () = assert!(size_of::<Block>() == 40);

impl Block {
    pub(crate) fn new(spread: Spread) -> Self {
        let [a, b, c, _] = spread.squares.words();
        Self { min: spread.min, max: spread.max, squares: [a, b, c] }
    }

    pub(crate) fn spread(self) -> Spread {
        Spread { min: self.min, max: self.max, squares: Wide::of_words(self.squares) }
    }
}
