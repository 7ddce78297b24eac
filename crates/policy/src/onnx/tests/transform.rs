//! The exponential and the transforms of scores, whose bits must be the same on every machine.

use super::super::maths::{exp, ln, pow, tanh};
use super::super::transform::Transform;

#[test]
fn exp_is_within_two_units_in_the_last_place_of_the_platforms() {
    let mut worst = 0;
    for step in 0..100_000 {
        let x = -7.08e-3 * f64::from(step);
        worst = worst.max(exp(x).to_bits().abs_diff(x.exp().to_bits()));
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
        assert_eq!(format!("{:#x}", exp(x).to_bits()), format!("{bits:#x}"), "e^{x}");
    }
    assert!(exp(f64::NAN).is_nan());
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

#[test]
fn logarithms_and_tangents_are_those_of_the_platform_to_single_precision_and_more() {
    for step in 1..50_000_u32 {
        let x = 1e-4 * f64::from(step) * f64::from(step);
        assert!((ln(x) - x.ln()).abs() <= 1e-14 * x.ln().abs().max(1.0), "ln {x}");
        let y = 1e-3 * f64::from(step) - 20.0;
        assert!((tanh(y) - y.tanh()).abs() <= 1e-13, "tanh {y}");
        assert!((pow(2.0, y) / 2.0_f64.powf(y) - 1.0).abs() <= 1e-13, "2^{y}");
    }
    assert_eq!((ln(0.0), ln(f64::INFINITY)), (f64::NEG_INFINITY, f64::INFINITY));
    assert!(ln(-1.0).is_nan() && ln(f64::NAN).is_nan() && tanh(f64::NAN).is_nan());
    assert!((ln(5e-324) - 5e-324_f64.ln()).abs() < 1e-12);
    assert_eq!((pow(-2.0, 3.0), pow(-2.0, -1.0), pow(f64::NAN, 0.0)), (-8.0, -0.5, 1.0));
    assert!(pow(-2.0, 0.5).is_nan());
    assert!((exp(700.0) / 700.0_f64.exp() - 1.0).abs() < 1e-14);
    assert!(exp(710.0).is_infinite());
}
