//! Unsigned integers of 256 bits, for sums of squares.

/// An unsigned integer below 2^256. Sums of squares stay far below that; see [`Moments`](crate::Moments).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Wide {
    high: u128,
    low: u128,
}

const HALF_BITS: u32 = 64;
const HALF: u128 = (1 << HALF_BITS) - 1;

impl Wide {
    pub const fn new(value: u128) -> Self {
        Self { high: 0, low: value }
    }

    /// The number with these 64-bit words, the lowest first.
    pub(crate) fn of_words([a, b, c]: [u64; 3]) -> Self {
        Self { high: c.into(), low: u128::from(a) | u128::from(b) << HALF_BITS }
    }

    /// Its 64-bit words, the lowest first.
    pub fn words(self) -> [u64; 4] {
        let word = |half: u128| u64::try_from(half & HALF).unwrap_or_default();
        [self.low, self.low >> HALF_BITS, self.high, self.high >> HALF_BITS].map(word)
    }

    /// The sum, which wraps at 2^256.
    pub(crate) fn plus(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        Self { high: self.high.wrapping_add(other.high).wrapping_add(u128::from(carry)), low }
    }

    /// The difference, which wraps below 0.
    pub(crate) fn minus(self, other: Self) -> Self {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Self { high: self.high.wrapping_sub(other.high).wrapping_sub(u128::from(borrow)), low }
    }

    /// The product of two numbers of 128 bits, which is exact.
    pub(crate) fn product(a: u128, b: u128) -> Self {
        let ([a_high, a_low], [b_high, b_low]) = (halves(a), halves(b));
        // Each product of two halves is below 2^128.
        let [low, high] = [a_low.wrapping_mul(b_low), a_high.wrapping_mul(b_high)];
        let [one, other] = [a_high.wrapping_mul(b_low), a_low.wrapping_mul(b_high)];
        let crossed = |part: u128| Self { high: part >> HALF_BITS, low: part << HALF_BITS };
        Self { high, low }.plus(crossed(one)).plus(crossed(other))
    }

    /// The product with a number of 64 bits, which wraps at 2^256.
    pub(crate) fn times(self, factor: u64) -> Self {
        let high = Self::product(self.high, factor.into()).low;
        Self::product(self.low, factor.into()).plus(Self { high, low: 0 })
    }

    /// The 64 most significant bits of the number and how many bits follow them. The last of the 64 bits is set if any of those that
    /// follow is, so that rounding the 64 bits to fewer than 63 bits rounds the number itself.
    pub fn significant(self) -> (u64, u32) {
        let bits = match self.high {
            0 => u128::BITS.saturating_sub(self.low.leading_zeros()),
            high => u128::BITS.saturating_mul(2).saturating_sub(high.leading_zeros()),
        };
        let cut = bits.saturating_sub(HALF_BITS);
        let (kept, lost) = if cut >= u128::BITS {
            let shift = cut.saturating_sub(u128::BITS);
            (self.high >> shift, self.low | cut_off(self.high, shift))
        } else if cut == 0 {
            (self.low, 0)
        } else {
            (self.low >> cut | self.high << u128::BITS.saturating_sub(cut), cut_off(self.low, cut))
        };
        (u64::try_from(kept & HALF).unwrap_or_default() | u64::from(lost != 0), cut)
    }
}

/// The last `count` bits of a number, fewer than 128.
fn cut_off(value: u128, count: u32) -> u128 {
    value & 1_u128.checked_shl(count).unwrap_or_default().wrapping_sub(1)
}

fn halves(value: u128) -> [u128; 2] {
    [value >> HALF_BITS, value & HALF]
}
