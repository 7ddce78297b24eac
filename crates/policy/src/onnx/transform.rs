//! Turns a score into a probability, with the same bits on every machine.

/// What a model does with its score (ONNX's `post_transform`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    /// The score is the probability.
    None,
    /// The score is the log odds of class 1.
    Logistic,
    /// The score is the log weight of class 1 less that of class 0.
    Softmax,
}

impl Transform {
    /// The words in a file.
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("NONE", Self::None), ("LOGISTIC", Self::Logistic), ("SOFTMAX", Self::Softmax)];

    pub(super) fn apply(self, score: f32) -> f64 {
        match self {
            Self::None => f64::from(score),
            Self::Logistic => f64::from(logistic(score)),
            Self::Softmax => softmax(score),
        }
    }
}

/// 1 / (1 + e^-x), in single precision and in the form in which ONNX's reference runtime computes it. Below one half
/// its results carry the rounding of `1 - v` (6e-8), which a better formula would not reproduce.
fn logistic(x: f32) -> f32 {
    let v = 1.0 / (1.0 + exp_single(-x.abs()));
    if x < 0.0 { 1.0 - v } else { v }
}

/// The share of class 1 if its log weight is above that of class 0 by `x`.
fn softmax(x: f32) -> f64 {
    let e = exp_below_zero(-f64::from(x.abs()));
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is intended")]
fn exp_single(x: f32) -> f32 {
    exp_below_zero(f64::from(x)) as f32
}

/// e^x for x <= 0, to within 2 units in the last place. Below -708, where the result would be subnormal, it is 0. NaN
/// stays NaN.
///
/// The platform's `exp` is not used, because its last bit differs between platforms, and a score must not. This
/// function uses only additions, multiplications and exact operations, which IEEE 754 defines to the bit: e^x = 2^k e^r
/// with |r| <= ln(2)/2. ln(2) is in two parts (those of fdlibm), so that k ln(2) is exact in the first, and e^r is its
/// Taylor series up to r^13/13!.
pub(super) fn exp_below_zero(x: f64) -> f64 {
    const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN_2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    if x < -708.0 {
        return 0.0;
    }
    let k = (x * std::f64::consts::LOG2_E).round();
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let series = (1..=13_u8).rev().fold(1.0, |sum, n| 1.0 + sum * r / f64::from(n));
    series * power_of_two(k)
}

/// 2^k for a whole k in -1022..=0. NaN counts as 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "k is whole and in -1022..=0")]
fn power_of_two(k: f64) -> f64 {
    f64::from_bits(((k + 1023.0) as u64) << 52)
}
