//! Amounts: unsigned integers in minor units, with checked arithmetic.

use std::fmt;
use std::str::FromStr;

use crate::shown::shorten;

/// A quantity of one asset in its minor units (cents of `EUR/2`). Unsigned; arithmetic is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(u128);

impl Amount {
    pub const ZERO: Self = Self(0);
    /// The largest amount, 2^128 − 1. In a request to post a pending transfer it means "all of it".
    pub const MAX: Self = Self(u128::MAX);

    pub const fn new(minor: u128) -> Self {
        Self(minor)
    }

    /// The number of minor units.
    pub const fn get(self) -> u128 {
        self.0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Returns the sum, or `None` if it exceeds [`Amount::MAX`].
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Returns the difference, or `None` if it would be negative.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// Returns the difference, or zero if it would be negative.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns this amount × `part` ÷ `whole`, rounded half up. The result is exact for all amounts.
    ///
    /// # Panics
    /// If `part` is greater than `whole`, or `whole` is zero.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "`rest` stays below `whole`, and `quotient` is at most `self`")]
    pub fn share(self, part: Self, whole: Self) -> Self {
        assert!(part <= whole && !whole.is_zero(), "a share is a part of a whole that is not zero");
        // Long multiplication and division, bit by bit: `quotient` × `whole` + `rest` is the product so far. It needs no number of
        // more than 128 bits, because `rest` stays below `whole`.
        let (part, whole) = (part.0, whole.0);
        let (mut quotient, mut rest) = (0_u128, 0_u128);
        let plus = |rest: u128, more: u128| match whole - rest {
            room if more >= room => (1, more - room),
            _ => (0, rest + more),
        };
        for bit in (0..u128::BITS).rev() {
            let (carried, doubled) = plus(rest, rest);
            (quotient, rest) = (2 * quotient + carried, doubled);
            if self.0 >> bit & 1 == 1 {
                let (carried, added) = plus(rest, part);
                (quotient, rest) = (quotient + carried, added);
            }
        }
        Self(quotient + plus(rest, rest).0)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Most amounts are small, and formatting wide integers is slow.
        match u64::try_from(self.0) {
            Ok(small) => small.fmt(f),
            Err(_) => self.0.fmt(f),
        }
    }
}

/// Why a string is not a valid [`Amount`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountParseError {
    /// The string is not made of decimal digits only: it has a sign, space, fraction or leading zero, or is empty.
    #[error("`{0}` is not a whole number of minor units, such as \"1250\"")]
    NotWhole(String),
    /// The number exceeds 2^128 − 1.
    #[error("`{0}` exceeds the largest amount, 2^128 - 1")]
    Overflow(String),
}

impl FromStr for Amount {
    type Err = AmountParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical = text == "0" || !text.starts_with('0');
        if text.is_empty() || !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AmountParseError::NotWhole(shorten(text)));
        }
        match text.parse() {
            Ok(minor) => Ok(Self(minor)),
            Err(_) => Err(AmountParseError::Overflow(shorten(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_plain_run_of_digits() {
        assert_eq!("1250".parse(), Ok(Amount::new(1250)));
        assert_eq!("0".parse(), Ok(Amount::ZERO));
        assert_eq!(u128::MAX.to_string().parse(), Ok(Amount::MAX));
        for bad in ["", "-1", "+1", "1.5", "1e3", " 1", "01", "0x10", "１"] {
            assert!(matches!(bad.parse::<Amount>(), Err(AmountParseError::NotWhole(_))), "{bad}");
        }
        let above = "340282366920938463463374607431768211456";
        assert!(matches!(above.parse::<Amount>(), Err(AmountParseError::Overflow(_))));
    }

    #[test]
    fn a_share_is_rounded_half_up_and_exact_for_all_amounts() {
        let share = |amount, part, whole| Amount::new(amount).share(Amount::new(part), Amount::new(whole)).get();
        for (amount, part, whole) in (0..20).flat_map(|a| (1..20).flat_map(move |w| (0..=w).map(move |p| (a, p, w)))) {
            // Twice the product, rounded half up, is between these multiples of twice the whole.
            let (share, exact) = (share(amount, part, whole), 2 * amount * part + whole);
            assert!((share * 2 * whole..(share + 1) * 2 * whole).contains(&exact), "{amount} × {part} / {whole}");
        }
        let max = u128::MAX;
        assert_eq!(share(max, max, max), max);
        assert_eq!(share(max, 0, max), 0);
        assert_eq!(share(max, 1, 2), 1 << 127);
        assert_eq!(share(max, 1 << 127, max), 1 << 127);
        assert_eq!(share(3, max - 1, max), 3);
        assert_eq!(share(max - 1, max - 1, max), max - 2);
    }

    #[test]
    fn arithmetic_is_checked_at_both_ends() {
        assert_eq!(Amount::MAX.checked_add(Amount::new(1)), None);
        assert_eq!(Amount::ZERO.checked_sub(Amount::new(1)), None);
        assert_eq!(Amount::new(3).checked_sub(Amount::new(1)), Some(Amount::new(2)));
    }
}
