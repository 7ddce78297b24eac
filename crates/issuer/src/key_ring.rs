//! The keys of the issuer over time.
//!
//! ```text
//! next ──rotate──► active ──rotate──► retired ──every token that it signed has expired──► gone
//! ```
//!
//! All of them are published. Resource servers keep the published keys for a while, so a key is published as the next one long
//! before it signs, and stays published until nothing that it signed can count any more.

use oauth::Algorithm;
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::{Span, Timestamp, shorten};

use crate::key::{Jwk, KeyError, PublicHalf, SigningKey};
use crate::token::{TOKEN_LIFETIME_MAX, seconds};

/// How long a key signs before it should be replaced. The caller does so, with [`KeyRing::rotate`].
pub const ROTATE_AFTER: Span = Span::from_secs(30 * 24 * 60 * 60);
/// The most retired keys. Whoever rotates more often has to wait until the first of them is gone.
pub const RETIRED_KEYS_MAX: usize = 8;

/// A token may be signed with a key a moment after another thread has retired it.
const RETIRED_MARGIN: Span = Span::from_secs(60);
/// The largest stored document: a next, an active and all retired keys take 4 KiB.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
const DOCUMENT_VERSION: u32 = 1;

/// The keys of the issuer.
#[derive(Debug)]
pub struct KeyRing {
    next: SigningKey,
    active: SigningKey,
    active_since: Timestamp,
    retired: Vec<Retired>,
}

/// A key that signs no longer. Its private half is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Retired {
    public: PublicHalf,
    /// From when on it is not published any more.
    until: Timestamp,
}

/// Why the keys were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// So many keys were retired lately that another one would not fit.
    #[error("{RETIRED_KEYS_MAX} keys were retired within the last hour; the next one can be after {0}")]
    Many(Timestamp),
    /// No key has this name.
    #[error("there is no key `{0}`")]
    Unknown(String),
    /// The new key is one of the present ones.
    #[error("the key `{0}` is there already")]
    Twice(String),
}

/// Why a stored document is not the keys of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Longer than the bound.
    #[error("the file of the signing keys has {0} bytes; expected at most {DOCUMENT_BYTES_MAX}")]
    Size(usize),
    /// Not the JSON that [`KeyRing::to_document`] writes. The place is named, and no value.
    #[error("the file of the signing keys is malformed at line {line}, column {column}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// Written by a later release.
    #[error("the file of the signing keys has version {0}; expected {DOCUMENT_VERSION}")]
    Version(u32),
    /// A key is not usable.
    #[error("the file of the signing keys is not valid: {0}")]
    Key(KeyError),
    /// Not one next and one active key.
    #[error("the file of the signing keys has {next} next and {active} active keys; expected one of each")]
    States {
        /// How many keys are the next one.
        next: usize,
        /// How many keys are active.
        active: usize,
    },
    /// More keys than there can be.
    #[error("the file of the signing keys has {0} keys; expected at most {max}", max = RETIRED_KEYS_MAX + 2)]
    Many(usize),
    /// One key stands there twice.
    #[error("the file of the signing keys has the key `{0}` twice")]
    Twice(String),
    /// The private half of a retired key, which signs nothing any more.
    #[error("the file of the signing keys has the private half of the retired key `{0}`")]
    RetiredPrivate(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    state: State,
    /// For an active key, since when it signs; for a retired one, until when it is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_ns: Option<u64>,
    jwk: Jwk,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Next,
    Active,
    Retired,
}

impl KeyRing {
    /// The first keys of an issuer.
    ///
    /// # Errors
    /// Fails if both are the same key.
    pub fn new(active: SigningKey, next: SigningKey, now: Timestamp) -> Result<Self, RotationError> {
        if active.kid() == next.kid() {
            return Err(RotationError::Twice(next.kid().to_owned()));
        }
        Ok(Self { next, active, active_since: now, retired: Vec::new() })
    }

    /// The key that signs.
    pub const fn active(&self) -> &SigningKey {
        &self.active
    }

    /// The key that will sign after this one.
    pub const fn next(&self) -> &SigningKey {
        &self.next
    }

    /// When the active key should be replaced.
    pub const fn rotate_at(&self) -> Timestamp {
        self.active_since.saturating_add(ROTATE_AFTER)
    }

    /// When the first retired key is to be removed from the set.
    pub fn expire_at(&self) -> Option<Timestamp> {
        self.retired.iter().map(|retired| retired.until).min()
    }

    /// The next key starts to sign, the active one retires, and `next` is published. The caller stores the result before it uses it.
    ///
    /// # Errors
    /// Fails, and changes nothing, if too many keys were retired lately, or if `next` is there already.
    pub fn rotate(&mut self, now: Timestamp, next: SigningKey) -> Result<(), RotationError> {
        self.expire(now);
        self.check_new(&next)?;
        if self.retired.len() >= RETIRED_KEYS_MAX {
            return Err(RotationError::Many(self.expire_at().unwrap_or(now)));
        }
        let next = std::mem::replace(&mut self.next, next);
        let last = std::mem::replace(&mut self.active, next);
        let until = now.saturating_add(TOKEN_LIFETIME_MAX).saturating_add(RETIRED_MARGIN);
        self.retired.push(Retired { public: last.public().clone(), until });
        self.active_since = now;
        Ok(())
    }

    /// Takes a key out of the set at once, because its secret became known: everything that it signed counts no longer. `spare`
    /// takes the place that becomes free, if one does.
    ///
    /// # Errors
    /// Fails, and changes nothing, if there is no such key, or if `spare` is there already.
    pub fn withdraw(&mut self, kid: &str, now: Timestamp, spare: SigningKey) -> Result<(), RotationError> {
        self.check_new(&spare)?;
        if kid == self.active.kid() {
            self.active = std::mem::replace(&mut self.next, spare);
            self.active_since = now;
        } else if kid == self.next.kid() {
            self.next = spare;
        } else {
            let place = self.retired.iter().position(|retired| retired.public.kid == kid);
            self.retired.remove(place.ok_or_else(|| RotationError::Unknown(shorten(kid)))?);
        }
        Ok(())
    }

    /// Removes the retired keys whose tokens have all expired. Returns how many.
    pub fn expire(&mut self, now: Timestamp) -> usize {
        let before = self.retired.len();
        self.retired.retain(|retired| now < retired.until);
        before.saturating_sub(self.retired.len())
    }

    /// The published set (RFC 7517).
    pub fn jwks(&self) -> String {
        let keys: Vec<_> = self.published().map(PublicHalf::jwk).collect();
        json!({ "keys": keys }).to_string()
    }

    /// The names of the published keys, the active one first.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.published().map(|public| public.kid.as_str())
    }

    /// The keys with their secrets, for a file that only the operator can read (mode 0600).
    pub fn to_document(&self) -> Vec<u8> {
        let mut keys = vec![
            Entry { state: State::Active, time_ns: Some(self.active_since.ns()), jwk: self.active.private_jwk() },
            Entry { state: State::Next, time_ns: None, jwk: self.next.private_jwk() },
        ];
        keys.extend(self.retired.iter().map(|retired| Entry {
            state: State::Retired,
            time_ns: Some(retired.until.ns()),
            jwk: retired.public.jwk(),
        }));
        serde_json::to_vec_pretty(&Document { version: DOCUMENT_VERSION, keys }).unwrap_or_default()
    }

    /// Reads what [`KeyRing::to_document`] wrote.
    ///
    /// # Errors
    /// Fails if anything about the document is not as it was written; see [`DocumentError`].
    pub fn from_document(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(DocumentError::Size(bytes.len()));
        }
        // The library's message may quote a value.
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| DocumentError::Json { line: error.line(), column: error.column() })?;
        if document.version != DOCUMENT_VERSION {
            return Err(DocumentError::Version(document.version));
        }
        if document.keys.len() > RETIRED_KEYS_MAX.saturating_add(2) {
            return Err(DocumentError::Many(document.keys.len()));
        }
        let (mut next, mut active, mut retired) = (Vec::new(), Vec::new(), Vec::new());
        for Entry { state, time_ns, jwk } in &document.keys {
            let time = Timestamp::from_ns(time_ns.unwrap_or_default());
            match state {
                State::Next => next.push(SigningKey::from_private_jwk(jwk).map_err(DocumentError::Key)?),
                State::Active => active.push((SigningKey::from_private_jwk(jwk).map_err(DocumentError::Key)?, time)),
                State::Retired => {
                    let public = PublicHalf::from_jwk(jwk).map_err(DocumentError::Key)?;
                    if jwk.is_private() {
                        return Err(DocumentError::RetiredPrivate(public.kid));
                    }
                    retired.push(Retired { public, until: time });
                }
            }
        }
        let states = DocumentError::States { next: next.len(), active: active.len() };
        let (Some(last), Some((active, active_since)), true, true) =
            (next.pop(), active.pop(), next.is_empty(), active.is_empty())
        else {
            return Err(states);
        };
        let ring = Self { next: last, active, active_since, retired };
        let mut kids: Vec<_> = ring.kids().collect();
        kids.sort_unstable();
        match kids.iter().zip(kids.iter().skip(1)).find(|(one, other)| one == other) {
            Some((twice, _)) => Err(DocumentError::Twice((*twice).to_owned())),
            None => Ok(ring),
        }
    }

    /// The algorithms of the keys that are or will be active.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms = vec![self.active.algorithm().algorithm(), self.next.algorithm().algorithm()];
        algorithms.dedup();
        algorithms
    }

    fn published(&self) -> impl Iterator<Item = &PublicHalf> {
        let retired = self.retired.iter().map(|retired| &retired.public);
        [self.active.public(), self.next.public()].into_iter().chain(retired)
    }

    fn check_new(&self, key: &SigningKey) -> Result<(), RotationError> {
        if self.kids().any(|kid| kid == key.kid()) {
            return Err(RotationError::Twice(key.kid().to_owned()));
        }
        Ok(())
    }

    /// For messages and metrics: since when the active key signs, in seconds since 1970.
    pub fn active_since_s(&self) -> u64 {
        seconds(self.active_since)
    }
}
