//! Authentication: which principal sent a request.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::sync::{PoisonError, RwLock};

use engine::ApiKeyAdded;
use types::ActorId;
use vault::ApiKey;

/// Who sent a request, and what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The key's number, which entries carry.
    pub actor: ActorId,
    /// What the key may do, the bits of `api::Scope`.
    pub scopes: u32,
}

/// What a transport received that identifies the sender of a request, as it arrived and not yet checked.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The value of the `Authorization` header.
    pub authorization: Option<&'a [u8]>,
}

/// Why a request has no caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No `Authorization` header, or an empty one.
    #[error("no API key: send it as `Authorization: Bearer fin_…`")]
    Missing,
    /// Not a bearer token of the right form.
    #[error("the Authorization header holds no API key of the form `Bearer fin_<number>_<secret>`")]
    Malformed,
    /// No such key.
    #[error("this API key is not known here")]
    Unknown,
}

/// Finds out who sent a request.
///
/// The answer is a future because an implementation may need the network, for example to fetch the keys of a token's
/// issuer. One that needs no I/O answers at once. Dropping the future has no effect beyond giving up the answer.
pub trait Authenticator: Send + Sync {
    /// Who sent a request that came with this.
    ///
    /// # Errors
    /// When it identifies no known principal; see [`AuthError`].
    fn authenticate(&self, presented: Presented<'_>) -> impl Future<Output = Result<Caller, AuthError>> + Send;
}

/// Authenticates API keys, from memory and at once.
#[derive(Debug, Default)]
pub(crate) struct ApiKeys(RwLock<BTreeMap<ActorId, ApiKeyAdded>>);

impl ApiKeys {
    pub(crate) fn replace(&self, keys: Vec<ApiKeyAdded>) {
        let keys = keys.into_iter().map(|key| (key.key, key)).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn identify(&self, presented: Presented<'_>) -> Result<Caller, AuthError> {
        let header = presented.authorization.filter(|value| !value.is_empty()).ok_or(AuthError::Missing)?;
        let header = std::str::from_utf8(header).map_err(|_not_text| AuthError::Malformed)?;
        let (scheme, text) = header.split_once(' ').ok_or(AuthError::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(AuthError::Malformed);
        }
        let key: ApiKey = text.trim().parse().map_err(|_unparsed| AuthError::Malformed)?;
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = keys.get(&key.actor()).filter(|known| key.matches(&known.hash));
        known.map(|known| Caller { actor: known.key, scopes: known.scopes }).ok_or(AuthError::Unknown)
    }
}

impl Authenticator for ApiKeys {
    fn authenticate(&self, presented: Presented<'_>) -> impl Future<Output = Result<Caller, AuthError>> + Send {
        ready(self.identify(presented))
    }
}
