//! The exponential and the transforms of scores, whose bits must be the same on every machine.

use super::super::transform::{Transform, exp_below_zero};

#[test]
fn exp_is_within_two_units_in_the_last_place_of_the_platforms() {
    let mut worst = 0;
    for step in 0..100_000 {
        let x = -7.08e-3 * f64::from(step);
        worst = worst.max(exp_below_zero(x).to_bits().abs_diff(x.exp().to_bits()));
    }
    assert!(worst <= 2, "{worst} units");
}

#[test]
fn exp_has_the_same_bits_on_every_machine() {
    for (x, bits) in [
        (0.0, 0x3ff0_0000_0000_0000_u64),
        (-1e-20, 0x3ff0_0000_0000_0000),
        (-0.1, 0x3fec_f46d_99d5_2b3a),
        (-1.0, 0x3fd7_8b56_362c_ef38),
        (-20.5, 0x3e15_7a3a_feed_00ac),
        (-708.0, 0x0017_c8ab_2288_c9ac),
        (-708.1, 0),
        (f64::NEG_INFINITY, 0),
    ] {
        assert_eq!(format!("{:#x}", exp_below_zero(x).to_bits()), format!("{bits:#x}"), "e^{x}");
    }
    assert!(exp_below_zero(f64::NAN).is_nan());
}

#[test]
fn a_transform_gives_one_half_at_no_evidence_and_the_ends_beyond_it() {
    for transform in [Transform::Logistic, Transform::Softmax] {
        for (score, expected) in [(0.0, 0.5), (-0.0, 0.5), (f32::MAX, 1.0), (f32::INFINITY, 1.0)] {
            assert!((transform.apply(score) - expected).abs() < f64::EPSILON, "{transform:?} of {score}");
            assert!((transform.apply(-score) - (1.0 - expected)).abs() < f64::EPSILON, "{transform:?} of -{score}");
        }
        assert!(transform.apply(f32::NAN).is_nan());
    }
}
