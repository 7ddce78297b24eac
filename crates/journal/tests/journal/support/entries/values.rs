//! Random values that many entries have.

use proptest::prelude::*;
use types::{Digest, Name};

pub(super) fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::new)
}

pub(super) fn name() -> impl Strategy<Value = Name> {
    "[a-z][a-z0-9_]{0,20}".prop_map(|text| text.parse().expect("the pattern is that of names"))
}

/// Finite numbers.
pub(super) fn number() -> impl Strategy<Value = f64> {
    proptest::num::f64::NORMAL | proptest::num::f64::ZERO | proptest::num::f64::SUBNORMAL
}
