//! Remembers verified tokens, so that the next request with one costs a hash and a look-up.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use types::Timestamp;

use crate::access_token::Verified;

/// How many independent parts the cache has, each with a lock.
const SHARDS: usize = 16;

/// A bounded memory of verified tokens.
///
/// It holds what a token says under the BLAKE3 hash of its text: neither a prefix nor the time that a look-up takes says
/// anything about the token of somebody else. A token is forgotten when it expires, when its key leaves the set of its
/// issuer, when the issuer is revoked, and when it was not used while half of the cache filled with others.
pub struct TokenCache {
    shards: [Mutex<Shard>; SHARDS],
    /// How many tokens one of the two maps of a shard holds.
    half: usize,
}

type Tokens = HashMap<[u8; 32], Verified, foldhash::fast::RandomState>;

/// Tokens that were used lately, and tokens that were used before those. When the first map is full, it replaces the second.
#[derive(Default)]
struct Shard {
    recent: Tokens,
    older: Tokens,
}

impl TokenCache {
    /// A cache for at most `tokens_max` tokens, rounded up to a multiple of 32.
    pub fn new(tokens_max: usize) -> Self {
        let half = tokens_max.div_ceil(SHARDS.saturating_mul(2)).max(1);
        Self { shards: Default::default(), half }
    }

    /// What this token says, if it was verified before and still counts.
    pub fn get(&self, token: &str, now: Timestamp) -> Option<Verified> {
        let hash = *blake3::hash(token.as_bytes()).as_bytes();
        let mut shard = self.shard(&hash).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verified) = shard.recent.get(&hash) {
            if verified.counts(now) {
                return Some(verified.clone());
            }
            shard.recent.remove(&hash);
            return None;
        }
        let verified = shard.older.remove(&hash).filter(|verified| verified.counts(now))?;
        shard.insert(hash, verified.clone(), self.half);
        Some(verified)
    }

    /// Remembers what [`crate::Verifier::verify`] found about `token`.
    pub fn insert(&self, token: &str, verified: Verified) {
        let hash = *blake3::hash(token.as_bytes()).as_bytes();
        self.shard(&hash).lock().unwrap_or_else(PoisonError::into_inner).insert(hash, verified, self.half);
    }

    /// Forgets all tokens.
    pub fn clear(&self) {
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }

    /// How many tokens are remembered, among them some that do not count any more.
    pub fn len(&self) -> usize {
        let len = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.recent.len().saturating_add(shard.older.len())
        };
        self.shards.iter().map(len).sum()
    }

    /// Whether no token is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, hash: &[u8; 32]) -> &Mutex<Shard> {
        &self.shards[usize::from(hash[0]) % SHARDS]
    }
}

impl Shard {
    fn insert(&mut self, hash: [u8; 32], verified: Verified, half: usize) {
        if self.recent.len() >= half {
            self.older = std::mem::take(&mut self.recent);
        }
        self.older.remove(&hash);
        self.recent.insert(hash, verified);
    }
}

impl Verified {
    /// Whether the key that verified the token is not used any more. The token then does not count either.
    pub fn is_withdrawn(&self) -> bool {
        self.key.is_retired()
    }

    /// Whether the token still counts.
    fn counts(&self, now: Timestamp) -> bool {
        now < self.until && !self.is_withdrawn()
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("tokens", &self.len()).finish_non_exhaustive()
    }
}
