//! Nonces for DPoP proofs (RFC 9449, section 8), and the memory of the proofs that were used.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use types::{Span, Timestamp};

use crate::base64url;
use crate::jwk::Thumbprint;

/// How long one nonce is the current one. It is accepted until the next one's time is over too.
pub const NONCE_PERIOD: Span = Span::from_secs(60);
/// How many proofs a process remembers for one nonce unless it is told otherwise: 17,000 a second, in at most 35 MiB.
pub const PROOFS_PER_NONCE_MAX: usize = 1 << 20;

/// The number of a period of time: how often [`NONCE_PERIOD`] fits into the time since 1970.
type Period = u64;

const MAC_BYTES: usize = 16;
const NONCE_BYTES: usize = size_of::<Period>() + MAC_BYTES;

/// Issues nonces, and refuses a proof that was used before.
///
/// A nonce is the number of its period and a MAC of it, made with a key that the process draws at its start, so nothing is
/// stored for it. It is accepted during its own period and the next one, which bounds how long a proof can be used:
/// the proofs of a nonce are remembered exactly as long as the nonce is accepted.
///
/// **After a restart** the memory is empty. But the key is another one, so the nonces of all earlier proofs are refused, and
/// with them the proofs. That needs no clock and no disk. It costs each client one further round trip after a restart, which every DPoP
/// client must be able to make anyway. Rejected was to refuse proofs with an `iat` before the start: it trusts the clocks of
/// clients to the second.
pub(crate) struct Nonces {
    key: [u8; 32],
    used_max: usize,
    used: Mutex<Used>,
}

/// The proofs that were used with the nonces that are accepted.
#[derive(Default)]
struct Used {
    /// The current period. It never decreases: if the clock is set back, proofs that were forgotten must stay refused.
    current: Period,
    with_current: HashSet<u128, foldhash::fast::RandomState>,
    with_previous: HashSet<u128, foldhash::fast::RandomState>,
}

/// What became of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    First,
    Again,
    /// The nonce is not accepted any more.
    Late,
    /// As many proofs as can be remembered were used with this nonce.
    Full,
}

impl Nonces {
    pub(crate) fn new(key: [u8; 32], used_max: usize) -> Self {
        Self { key, used_max, used: Mutex::default() }
    }

    /// The nonce for the next proof.
    pub(crate) fn issue(&self, now: Timestamp) -> String {
        let current = self.advance(period_of(now)).current;
        let mut bytes = [0; NONCE_BYTES];
        let (number, mac) = bytes.split_at_mut(size_of::<Period>());
        number.copy_from_slice(&current.to_be_bytes());
        mac.copy_from_slice(&self.mac(current));
        base64url::encode(&bytes)
    }

    /// The period of a nonce that this process issued and that is still accepted.
    pub(crate) fn accept(&self, nonce: &str, now: Timestamp) -> Option<Period> {
        let bytes: [u8; NONCE_BYTES] = base64url::decode(nonce)?.try_into().ok()?;
        let (number, mac) = bytes.split_first_chunk()?;
        let period = Period::from_be_bytes(*number);
        if verify_slices_are_equal(mac, &self.mac(period)).is_err() {
            return None;
        }
        let current = self.advance(period_of(now)).current;
        (period == current || period.checked_add(1) == Some(current)).then_some(period)
    }

    /// Remembers the proof `jti` of the sender with `key`, made with the nonce of `period`.
    pub(crate) fn use_once(&self, period: Period, key: &Thumbprint, jti: &str, now: Timestamp) -> Use {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"proof").update(key.as_bytes()).update(jti.as_bytes());
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        let mut used = self.advance(period_of(now));
        let set = match used.current.checked_sub(period) {
            Some(0) => &mut used.with_current,
            Some(1) => &mut used.with_previous,
            _ => return Use::Late,
        };
        let id = u128::from_be_bytes(id);
        if set.contains(&id) {
            return Use::Again;
        }
        if set.len() >= self.used_max {
            return Use::Full;
        }
        set.insert(id);
        Use::First
    }

    /// Forgets the proofs of nonces that are not accepted any more.
    fn advance(&self, now: Period) -> std::sync::MutexGuard<'_, Used> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if now > used.current {
            let last = std::mem::take(&mut used.with_current);
            used.with_previous = if now.checked_sub(1) == Some(used.current) { last } else { HashSet::default() };
            used.current = now;
        }
        used
    }

    fn mac(&self, period: Period) -> [u8; MAC_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"nonce").update(&period.to_be_bytes());
        let mut mac = [0; MAC_BYTES];
        hasher.finalize_xof().fill(&mut mac);
        mac
    }
}

const fn period_of(now: Timestamp) -> Period {
    now.ns() / NONCE_PERIOD.ns()
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonces").field("used_max", &self.used_max).finish_non_exhaustive()
    }
}
