//! The keys of an issuer (RFC 7517): how a published set is read, and when it has to be fetched again.

use std::sync::Arc;

use types::{Span, Timestamp, shorten};

use crate::algorithm::Algorithm;
use crate::json::{Json, JsonError, parse_object};
use crate::jwk::{JwkError, Key};

/// The largest key set that is read.
pub const KEY_SET_BYTES_MAX: usize = 256 * 1024;
/// The most keys that a set may have, those included that Finaira does not use.
pub const KEYS_MAX: usize = 64;
/// How old a key set gets before it is fetched again.
pub const REFRESH_AFTER: Span = Span::from_secs(10 * 60);
/// How long a key set is used while it cannot be fetched again. An issuer that withdraws a key is believed at the next
/// fetch, so this bounds how long somebody who blocks the fetches can keep a withdrawn key alive.
pub const STALE_AFTER: Span = Span::from_secs(6 * 60 * 60);
/// The least time between two fetches that unknown keys cause. Anyone can send a token with an invented `kid`.
pub const UNKNOWN_KEY_INTERVAL: Span = Span::from_secs(30);
/// How long a fetch may take. One that has not ended by then counts as failed.
pub const FETCH_TIMEOUT: Span = Span::from_secs(10);
/// The wait after one failed fetch. It doubles with each further one.
pub const BACKOFF_MIN: Span = Span::from_secs(1);
/// The longest wait after failed fetches.
pub const BACKOFF_MAX: Span = Span::from_secs(5 * 60);

/// Why a published key set is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Longer than the bound.
    #[error("the key set has {0} bytes; expected at most {KEY_SET_BYTES_MAX}")]
    Size(usize),
    /// Not an object in JSON.
    #[error("the key set is not valid: {0}")]
    Json(JsonError),
    /// There is no list of keys.
    #[error("the key set has {0} as `keys`; expected a list of objects")]
    Keys(&'static str),
    /// More keys than the bound.
    #[error("the key set has {0} keys; expected at most {KEYS_MAX}")]
    Many(usize),
    /// A key is private or symmetric, so its secret is known to everybody who read the set.
    #[error("key {place} of the set: {error}")]
    Private {
        /// Its place in the list, from 1.
        place: usize,
        /// Which member says so.
        error: JwkError,
    },
    /// Two different keys have one name, so that it is not certain which one a token means.
    #[error("two keys of the set have the `kid` `{0}`")]
    SameKid(String),
}

/// The keys of a published set that can verify signatures.
#[derive(Debug, Default)]
pub struct Keys {
    usable: Vec<Key>,
    /// For each key that is not used, its place in the list from 1, and why.
    pub skipped: Vec<(usize, JwkError)>,
}

impl Keys {
    /// Reads a key set. Keys of unknown types and keys for other purposes are skipped.
    ///
    /// # Errors
    /// Fails if the set is malformed, has a private key, or has two different keys with one `kid`.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        if bytes.len() > KEY_SET_BYTES_MAX {
            return Err(KeySetError::Size(bytes.len()));
        }
        let set = parse_object(bytes).map_err(KeySetError::Json)?;
        let Some(Json::List(list)) = set.get("keys") else {
            return Err(KeySetError::Keys(set.get("keys").map_or("nothing", Json::kind)));
        };
        if list.len() > KEYS_MAX {
            return Err(KeySetError::Many(list.len()));
        }
        let mut keys = Self::default();
        for (place, item) in (1..).zip(list) {
            let Json::Object(members) = item else { return Err(KeySetError::Keys(item.kind())) };
            match Key::parse(members) {
                Ok(key) if keys.usable.iter().any(|known| known.is_same_as(&key)) => {}
                // RFC 7517, section 4.5: keys of different types may share a name.
                Ok(key) if keys.usable.iter().any(|known| key.kid().is_some() && overlap(known, &key)) => {
                    return Err(KeySetError::SameKid(shorten(key.kid().unwrap_or_default())));
                }
                Ok(key) => keys.usable.push(key),
                Err(error @ JwkError::Private(_)) => return Err(KeySetError::Private { place, error }),
                Err(error) => keys.skipped.push((place, error)),
            }
        }
        Ok(keys)
    }

    /// The keys that can verify signatures.
    pub fn usable(&self) -> &[Key] {
        &self.usable
    }
}

/// Whether a token's `kid` and `alg` could mean either key.
fn overlap(one: &Key, other: &Key) -> bool {
    one.kid() == other.kid() && Algorithm::ALL.into_iter().any(|algorithm| one.fits(algorithm) && other.fits(algorithm))
}

/// Why a key set should be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Time has passed. Ask whenever the clock is looked at.
    Age,
    /// A token names a key that is not in the set: the issuer may have added it since.
    UnknownKey,
}

/// Why there is no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The set was never fetched, or too long ago.
    Unavailable,
    /// No key has this name and fits the algorithm.
    Unknown,
    /// The token names no key, and several fit its algorithm.
    Ambiguous,
}

/// The keys of one issuer over time: a state machine without clock and network. A key that leaves the set is retired, and
/// with it every token that it verified ([`Key::is_retired`]). So are all of them when the set is dropped.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
    fetched_at: Option<Timestamp>,
    /// When the last fetch started.
    started_at: Option<Timestamp>,
    is_fetching: bool,
    failures: u32,
}

impl KeySet {
    /// Whether the set should be fetched now. If so, the fetch counts as started; report how it ended to
    /// [`KeySet::fetched`]. One fetch runs at a time, at most one in [`UNKNOWN_KEY_INTERVAL`] is because of unknown keys,
    /// and failures make the next one wait longer.
    pub fn start_fetch(&mut self, now: Timestamp, need: Need) -> bool {
        if now < self.next_fetch_at(need) {
            return false;
        }
        if self.is_fetching {
            self.failures = self.failures.saturating_add(1);
        }
        self.is_fetching = true;
        self.started_at = Some(now);
        true
    }

    /// The earliest time at which [`KeySet::start_fetch`] says yes.
    pub fn next_fetch_at(&self, need: Need) -> Timestamp {
        let Some(started) = self.started_at else { return Timestamp::ZERO };
        if self.is_fetching {
            return started.saturating_add(FETCH_TIMEOUT);
        }
        let backoff = started.saturating_add(self.backoff());
        match (need, self.fetched_at) {
            (_, None) => backoff,
            (Need::Age, Some(fetched)) => backoff.max(fetched.saturating_add(REFRESH_AFTER)),
            (Need::UnknownKey, Some(_)) => backoff.max(started.saturating_add(UNKNOWN_KEY_INTERVAL)),
        }
    }

    fn backoff(&self) -> Span {
        let Some(doublings) = self.failures.checked_sub(1) else { return Span::from_ns(0) };
        let ns = BACKOFF_MIN.ns().saturating_mul(1_u64.checked_shl(doublings.min(32)).unwrap_or(u64::MAX));
        Span::from_ns(ns.min(BACKOFF_MAX.ns()))
    }

    /// Ends a fetch. `None` means that it failed; the keys stay as they are. Returns how many keys left the set.
    pub fn fetched(&mut self, now: Timestamp, result: Option<Keys>) -> usize {
        self.is_fetching = false;
        let Some(keys) = result else {
            self.failures = self.failures.saturating_add(1);
            return 0;
        };
        (self.failures, self.fetched_at) = (0, Some(now));
        let before = std::mem::take(&mut self.keys);
        self.keys = keys
            .usable
            .into_iter()
            .map(|key| before.iter().find(|known| known.is_same_as(&key)).map_or_else(|| Arc::new(key), Arc::clone))
            .collect();
        let gone = before.iter().filter(|known| !self.keys.iter().any(|key| Arc::ptr_eq(key, known)));
        gone.map(|key| key.retire()).count()
    }

    /// Whether a fetch is under way that may still succeed.
    pub fn is_fetching(&self, now: Timestamp) -> bool {
        self.is_fetching && self.started_at.is_some_and(|started| now < started.saturating_add(FETCH_TIMEOUT))
    }

    /// When the keys were last fetched.
    pub const fn fetched_at(&self) -> Option<Timestamp> {
        self.fetched_at
    }

    /// Until when the keys may be used, or `None` if they were never fetched.
    pub fn usable_until(&self) -> Option<Timestamp> {
        self.fetched_at.map(|fetched| fetched.saturating_add(STALE_AFTER))
    }

    /// The key that a token means.
    pub(crate) fn find(&self, kid: Option<&str>, algorithm: Algorithm, now: Timestamp) -> Result<&Arc<Key>, NoKey> {
        if self.usable_until().is_none_or(|until| now >= until) {
            return Err(NoKey::Unavailable);
        }
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm) && (kid.is_none() || key.kid() == kid));
        let first = fitting.next().ok_or(NoKey::Unknown)?;
        if fitting.next().is_some() { Err(NoKey::Ambiguous) } else { Ok(first) }
    }
}

impl Drop for KeySet {
    fn drop(&mut self) {
        self.keys.iter().for_each(|key| key.retire());
    }
}
