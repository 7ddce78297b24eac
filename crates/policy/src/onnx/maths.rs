//! Functions that give the same bits on every machine.
//!
//! The platform's functions are not used, because their last bit differs between platforms, and a score must not. These
//! use only additions, multiplications, divisions and exact operations, which IEEE 754 defines to the bit.

use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN_2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// e^x, to within 2 units in the last place. Below -708, where the result would be subnormal, it is 0. NaN stays NaN.
///
/// e^x = 2^k e^r with |r| <= ln(2)/2. ln(2) is in two parts (those of fdlibm), so that k ln(2) is exact in the first, and
/// e^r is its Taylor series up to r^13/13!.
pub(super) fn exp(x: f64) -> f64 {
    if x < -708.0 {
        return 0.0;
    }
    if x > 709.0 {
        return f64::INFINITY;
    }
    let k = (x * LOG2_E).round();
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let series = (1..=13_u8).rev().fold(1.0, |sum, n| 1.0 + sum * r / f64::from(n));
    series * power_of_two(k)
}

/// The natural logarithm, to within a few units in the last place. NaN for negative numbers.
///
/// ln(2^k m) = k ln(2) + ln(m) with m around 1, and ln(m) = 2 artanh(s) with s = (m - 1) / (m + 1), as a series.
pub(super) fn ln(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_infinite() {
        return x;
    }
    // A subnormal number gets a normal exponent first.
    let (x, shift) = if x < f64::MIN_POSITIVE { (x * power_of_two(54.0), -54.0) } else { (x, 0.0) };
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i16 - 1023;
    let m = f64::from_bits((x.to_bits() & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    let (m, k) = if m > SQRT_2 { (m / 2.0, f64::from(exponent) + 1.0) } else { (m, f64::from(exponent)) };
    let s = (m - 1.0) / (m + 1.0);
    let series = (0..=11_u8).rev().fold(0.0, |sum, n| 1.0 / f64::from(2 * n + 1) + sum * s * s);
    (k + shift) * LN_2 + 2.0 * s * series
}

/// The hyperbolic tangent.
pub(super) fn tanh(x: f64) -> f64 {
    // Near zero, 1 - e^-2x would lose digits; the series is exact there to single precision.
    if x.abs() < 0.01 {
        let square = x * x;
        return x * (1.0 + square * (-1.0 / 3.0 + square * (2.0 / 15.0 - square * 17.0 / 315.0)));
    }
    let e = exp(-2.0 * x.abs());
    ((1.0 - e) / (1.0 + e)).copysign(x)
}

/// `base` to the power of `exponent`, for a base that is not negative. NaN otherwise, except for whole exponents.
pub(super) fn pow(base: f64, exponent: f64) -> f64 {
    if exponent == 0.0 {
        return 1.0;
    }
    if exponent.fract() == 0.0 && exponent.abs() <= 64.0 {
        let mut product = 1.0;
        let mut left = exponent.abs();
        while left >= 1.0 {
            product *= base;
            left -= 1.0;
        }
        return if exponent < 0.0 { 1.0 / product } else { product };
    }
    exp(exponent * ln(base))
}

/// 2^k for a whole k in -1022..=1023. NaN counts as 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "k is whole and in -1022..=1023")]
fn power_of_two(k: f64) -> f64 {
    f64::from_bits(((k + 1023.0) as u64) << 52)
}
