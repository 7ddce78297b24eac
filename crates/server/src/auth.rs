//! Who asks: API keys.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use engine::ApiKeyAdded;
use types::ActorId;
use vault::ApiKey;

/// Whoever a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The key's number, which entries carry.
    pub actor: ActorId,
    /// What the key may do, the bits of `api::Scope`.
    pub scopes: u32,
}

/// Why a request has no caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No `Authorization` header.
    #[error("no API key: send it as `Authorization: Bearer fin_…`")]
    Missing,
    /// Not a bearer token of the right form.
    #[error("the Authorization header holds no API key of the form `Bearer fin_<number>_<secret>`")]
    Malformed,
    /// No such key.
    #[error("this API key is not known here")]
    Unknown,
}

/// The keys that are let in: a fold of their entries.
#[derive(Debug, Default)]
pub(crate) struct ApiKeys(RwLock<BTreeMap<ActorId, ApiKeyAdded>>);

impl ApiKeys {
    pub(crate) fn replace(&self, keys: Vec<ApiKeyAdded>) {
        let keys = keys.into_iter().map(|key| (key.key, key)).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    pub(crate) fn authenticate(&self, header: Option<&str>) -> Result<Caller, AuthError> {
        let header = header.ok_or(AuthError::Missing)?;
        let (scheme, text) = header.split_once(' ').ok_or(AuthError::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(AuthError::Malformed);
        }
        let presented: ApiKey = text.trim().parse().map_err(|_unparsed| AuthError::Malformed)?;
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = keys.get(&presented.actor()).filter(|known| presented.matches(&known.hash));
        known.map(|known| Caller { actor: known.key, scopes: known.scopes }).ok_or(AuthError::Unknown)
    }
}
