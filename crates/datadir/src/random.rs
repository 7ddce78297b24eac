//! Random numbers of the operating system, for keys and for the origins of histories.

use types::Origin;

/// The source from which keys are drawn; see [`vault::Random`].
pub type Random = Box<dyn vault::Random + Send>;

/// Returns the operating system's generator, for [`crate::KeyStore::open`].
pub fn system_random() -> Random {
    Box::new(random)
}

/// Fills `bytes` from the operating system's generator.
pub fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes)
        .expect("the operating system returned no random bytes, and no key can be generated without them");
}

/// Draws a random origin for a new history.
pub fn new_origin() -> Origin {
    let mut bytes = [0; 16];
    random(&mut bytes);
    Origin::new(u128::from_le_bytes(bytes).clamp(1, u128::MAX - 1))
}
