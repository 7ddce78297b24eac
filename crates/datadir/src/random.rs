//! The operating system's random numbers, for keys and for the names of histories.

use types::Origin;

/// Where keys are drawn from; see [`vault::Random`].
pub type Random = Box<dyn vault::Random + Send>;

/// The operating system's generator, for [`crate::KeyStore::open`].
pub fn system_random() -> Random {
    Box::new(random)
}

/// Fills `bytes` from the operating system's generator.
pub fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("without randomness no key can be made: stopping is the only safe answer");
}

/// A name for a new history.
pub fn new_origin() -> Origin {
    let mut bytes = [0; 16];
    random(&mut bytes);
    Origin::new(u128::from_le_bytes(bytes).clamp(1, u128::MAX - 1))
}
