//! Authentication: which principal sent a request.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use api::{ErrorCode, Problem, Scope};
use engine::{Credential, CredentialKind, CredentialStatus, Engine, Sender};
use types::{ActorId, CredentialId, Span, Timestamp};
use vault::ApiKey;

/// Who sent a request, and what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The principal, which entries carry. Every credential of a principal gives the same actor.
    pub actor: ActorId,
    /// The credential that was used: an API key, or an access token.
    pub sender: Sender,
    /// The scopes of the credential that was used, as bits of `api::Scope`.
    pub scopes: u32,
}

/// The unchecked credentials of a request, as the transport received them.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The value of the `Authorization` header.
    pub authorization: Option<&'a [u8]>,
    /// When the request arrived, by the clock by which credentials expire.
    pub at: Timestamp,
}

impl Presented<'_> {
    /// Reads the API key of a request. Its text names the tenant; whether it is one of that tenant's keys is not checked.
    ///
    /// # Errors
    /// Fails if there is none, or if it does not have the form of a key.
    pub fn api_key(&self) -> Result<ApiKey, AuthError> {
        let header = self.authorization.filter(|value| !value.is_empty()).ok_or(AuthError::Missing)?;
        let header = std::str::from_utf8(header).map_err(|_not_text| AuthError::Malformed)?;
        let (scheme, text) = header.split_once(' ').ok_or(AuthError::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(AuthError::Malformed);
        }
        text.trim().parse().map_err(|_unparsed| AuthError::Malformed)
    }
}

/// Why a request could not be authenticated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No `Authorization` header, or an empty one.
    #[error("no API key: send it as `Authorization: Bearer fin_…`")]
    Missing,
    /// Not a bearer token of the right form.
    #[error("the Authorization header does not have the form `Bearer fin_<number>_<secret>`")]
    Malformed,
    /// No such key.
    #[error("this server does not know this API key")]
    Unknown,
    /// The key has expired.
    #[error("API key {credential} expired at {at}")]
    Expired { credential: CredentialId, at: Timestamp },
    /// The key was revoked.
    #[error("API key {credential} was revoked at {at}")]
    Revoked { credential: CredentialId, at: Timestamp },
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let code = match error {
            AuthError::Missing => ErrorCode::MissingApiKey,
            AuthError::Malformed | AuthError::Unknown => ErrorCode::InvalidApiKey,
            AuthError::Expired { .. } => ErrorCode::ApiKeyExpired,
            AuthError::Revoked { .. } => ErrorCode::ApiKeyRevoked,
        };
        Self::new(code, error.to_string())
    }
}

/// Authenticates requests.
///
/// The answer is a future because an implementation may need the network, for example to fetch the keys of a token's
/// issuer. One that needs no I/O answers at once. Dropping the future cancels the authentication and has no other
/// effect.
pub trait Authenticator: Send + Sync {
    /// Returns the caller that these credentials identify.
    ///
    /// # Errors
    /// Fails if they identify no known principal; see [`AuthError`].
    fn authenticate(&self, presented: Presented<'_>) -> impl Future<Output = Result<Caller, AuthError>> + Send;
}

/// Authenticates API keys, without I/O.
#[derive(Debug, Default)]
pub struct ApiKeys(RwLock<Keys>);

#[derive(Debug, Default)]
struct Keys {
    known: BTreeMap<CredentialId, Known>,
    /// How many of the engine's changes of credentials these keys contain.
    changes: usize,
}

#[derive(Debug)]
struct Known {
    credential: Credential,
    /// The minute of the last use in nanoseconds, or 0.
    last_used_ns: AtomicU64,
}

/// The resolution of the time of the last use.
const USED_EVERY: Span = Span::from_secs(60);

impl ApiKeys {
    /// Follows what the engine decided about credentials. If the server does this before it sends answers, a key is not
    /// accepted any more once the answer says that it was revoked.
    pub fn follow(&self, engine: &Engine) {
        let known = self.read().changes;
        if known < engine.credential_changes() {
            self.note(engine.credentials_changed_since(known), engine.credential_changes());
        }
    }

    fn note<'a>(&self, changed: impl Iterator<Item = &'a Credential>, changes: usize) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for credential in changed {
            let last_used_ns = keys.known.remove(&credential.added.credential).map(|known| known.last_used_ns);
            let known = Known { credential: credential.clone(), last_used_ns: last_used_ns.unwrap_or_default() };
            keys.known.insert(credential.added.credential, known);
        }
        keys.changes = changes;
    }

    /// Checks that a credential that was accepted before is still valid at `at`. Streams and long requests ask again.
    ///
    /// # Errors
    /// Fails if the credential ended or is not known.
    pub fn check(&self, credential: CredentialId, at: Timestamp) -> Result<(), AuthError> {
        self.read().known.get(&credential).ok_or(AuthError::Unknown)?.check(at)
    }

    /// The minute in which a key was last used since the start of the process.
    pub fn last_used(&self, credential: CredentialId) -> Option<Timestamp> {
        let used_ns = self.read().known.get(&credential)?.last_used_ns.load(Ordering::Relaxed);
        (used_ns > 0).then_some(Timestamp::from_ns(used_ns))
    }

    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller that a key identifies at `at`. The keys are those of one tenant, which the key names.
    ///
    /// # Errors
    /// Fails if the key is not known, or not valid any more.
    pub fn identify(&self, key: &ApiKey, at: Timestamp) -> Result<Caller, AuthError> {
        let keys = self.read();
        let known = keys.known.get(&key.credential()).ok_or(AuthError::Unknown)?;
        let added = &known.credential.added;
        let CredentialKind::ApiKey { hash } = &added.kind;
        if !key.matches(hash) {
            return Err(AuthError::Unknown);
        }
        // Only who has the secret learns why it is not valid any more.
        known.check(at)?;
        known.use_at(at);
        Ok(Caller { actor: added.principal, sender: Sender::ApiKey(added.credential), scopes: added.scopes })
    }
}

impl Known {
    fn check(&self, at: Timestamp) -> Result<(), AuthError> {
        let credential = self.credential.added.credential;
        match (self.credential.status_at(at), self.credential.revoked_at, self.credential.added.expires_at) {
            (CredentialStatus::Active, ..) => Ok(()),
            (CredentialStatus::Revoked, revoked_at, _) => {
                Err(AuthError::Revoked { credential, at: revoked_at.unwrap_or(at) })
            }
            (CredentialStatus::Expired, _, expires_at) => {
                Err(AuthError::Expired { credential, at: expires_at.unwrap_or(at) })
            }
        }
    }

    /// Remembers the minute of a use. It writes at most once a minute, so that requests do not contend for the memory.
    fn use_at(&self, at: Timestamp) {
        let past_minute_ns = at.ns().checked_rem(USED_EVERY.ns()).unwrap_or_default();
        let minute_ns = at.ns().saturating_sub(past_minute_ns);
        if self.last_used_ns.load(Ordering::Relaxed) != minute_ns {
            self.last_used_ns.store(minute_ns, Ordering::Relaxed);
        }
    }
}

impl Authenticator for ApiKeys {
    fn authenticate(&self, presented: Presented<'_>) -> impl Future<Output = Result<Caller, AuthError>> + Send {
        ready(presented.api_key().and_then(|key| self.identify(&key, presented.at)))
    }
}

/// Authenticates a request, and checks that its credential has the scope of the route.
///
/// # Errors
/// Fails if authentication fails, or if the credential lacks the scope.
pub async fn authorise(
    authenticator: &impl Authenticator,
    presented: Presented<'_>,
    scope: Scope,
) -> Result<Caller, Problem> {
    let caller = authenticator.authenticate(presented).await?;
    permitted_on_route(caller.scopes, scope)?;
    Ok(caller)
}

/// Checks that a credential with the scopes `has`, as bits, may use a route with this scope.
///
/// # Errors
/// Fails if the credential lacks it.
pub fn permitted_on_route(has: u32, scope: Scope) -> Result<(), Problem> {
    permitted(Scope::from_bits(has), scope, "this route")
}

/// Checks that a credential with the scopes `has` may do `what`.
pub(crate) fn permitted(has: Scope, needs: Scope, what: &str) -> Result<(), Problem> {
    if has.contains(needs) {
        return Ok(());
    }
    let needed = needs.names().collect::<Vec<_>>().join(", ");
    Err(Problem::insufficient_scope(needs, format!("{what} needs the scope {needed}")))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use engine::CredentialAdded;

    use super::*;

    fn key(number: u64, secret: u8) -> ApiKey {
        ApiKey::generate(CredentialId::new(number), &mut |bytes: &mut [u8]| bytes.fill(secret))
    }

    const NOW: Timestamp = Timestamp::from_ns(1_795_000_030_000_000_000);

    fn added(key: &ApiKey, principal: u64, scopes: u32) -> Credential {
        let added = CredentialAdded {
            credential: key.credential(),
            principal: ActorId::new(principal),
            kind: CredentialKind::ApiKey { hash: key.hash() },
            scopes,
            name: "known".into(),
            expires_at: None,
        };
        Credential { added, added_at: Timestamp::ZERO, revoked_at: None }
    }

    fn knowing(credentials: &[Credential]) -> ApiKeys {
        let keys = ApiKeys::default();
        keys.note(credentials.iter(), credentials.len());
        keys
    }

    fn ask(keys: &ApiKeys, header: &str) -> Result<Caller, AuthError> {
        ask_at(keys, header, NOW)
    }

    fn ask_at(keys: &ApiKeys, header: &str, at: Timestamp) -> Result<Caller, AuthError> {
        at_last(keys.authenticate(Presented { authorization: Some(header.as_bytes()), at }))
    }

    #[test]
    fn a_key_is_refused_once_it_expires_or_is_revoked() {
        let (key, other) = (key(7, 1), key(7, 2));
        let (text, guessed) = (format!("Bearer {}", key.reveal()), format!("Bearer {}", other.reveal()));
        let later = |ns| NOW.saturating_add(Span::from_ns(ns));
        let mut known = added(&key, 3, 5);
        known.added.expires_at = Some(later(2));
        let keys = knowing(std::slice::from_ref(&known));
        assert_eq!(keys.last_used(key.credential()), None);
        assert!(ask_at(&keys, &text, later(1)).is_ok());
        let minute = Timestamp::from_ns(1_795_000_020_000_000_000);
        assert_eq!(minute.to_string(), "2026-11-18T11:07:00Z");
        assert_eq!(keys.last_used(key.credential()), Some(minute));
        let expired = AuthError::Expired { credential: key.credential(), at: later(2) };
        assert_eq!(ask_at(&keys, &text, later(2)), Err(expired.clone()));
        assert_eq!(keys.check(key.credential(), later(2)), Err(expired));
        assert_eq!(ask_at(&keys, &guessed, later(2)), Err(AuthError::Unknown), "a guess learns nothing");

        known.revoked_at = Some(later(1));
        keys.note(std::iter::once(&known), 2);
        let revoked = AuthError::Revoked { credential: key.credential(), at: later(1) };
        assert_eq!(ask_at(&keys, &text, later(1)), Err(revoked.clone()));
        assert_eq!(keys.check(key.credential(), NOW), Err(revoked));
        assert_eq!(keys.last_used(key.credential()), Some(minute), "a change keeps the time of the last use");
    }

    #[test]
    fn every_key_of_a_principal_is_that_actor_with_the_scopes_of_the_key() {
        let (first, second, other) = (key(7, 1), key(8, 2), key(9, 3));
        let keys = knowing(&[added(&first, 3, 5), added(&second, 3, 1), added(&other, 4, 5)]);
        for (key, actor, scopes) in [(&first, 3, 5), (&second, 3, 1), (&other, 4, 5)] {
            let caller = Caller { actor: ActorId::new(actor), sender: key.credential().into(), scopes };
            assert_eq!(ask(&keys, &format!("Bearer {}", key.reveal())), Ok(caller));
            assert_eq!(ask(&keys, &format!("bearer  {} ", key.reveal())), Ok(caller));
        }
    }

    #[test]
    fn what_is_no_known_key_is_nobody() {
        let (known, text) = (key(7, 1), key(7, 1).reveal());
        let keys = knowing(&[added(&known, 3, 5)]);
        for unknown in [key(7, 2), key(8, 1)] {
            assert_eq!(ask(&keys, &format!("Bearer {}", unknown.reveal())), Err(AuthError::Unknown));
        }
        for malformed in ["Bearer", "Bearer ", &format!("Basic {text}"), &text, &format!("Bearer {text}x")] {
            assert_eq!(ask(&keys, malformed), Err(AuthError::Malformed), "{malformed}");
        }
        let not_text = Presented { authorization: Some(b"Bearer \xff"), at: NOW };
        assert_eq!(at_last(keys.authenticate(not_text)), Err(AuthError::Malformed));
        assert_eq!(ask(&keys, ""), Err(AuthError::Missing));
        assert_eq!(at_last(keys.authenticate(Presented { authorization: None, at: NOW })), Err(AuthError::Missing));
    }

    #[test]
    fn an_api_key_is_checked_without_waiting() {
        let keys = ApiKeys::default();
        let answer = keys.authenticate(Presented { authorization: Some(b"Bearer it"), at: NOW });
        let polled = pin!(answer).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready());
    }

    /// Polls a future until it has its answer.
    fn at_last<T>(future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return answer;
            }
        }
    }

    /// Lets some time pass before it answers, as one does that asks somebody else.
    struct Slow(Result<Caller, AuthError>);

    impl Authenticator for Slow {
        async fn authenticate(&self, presented: Presented<'_>) -> Result<Caller, AuthError> {
            assert_eq!(presented.authorization, Some(b"Bearer it".as_slice()));
            let mut asked = false;
            std::future::poll_fn(|_| if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending })
                .await;
            self.0.clone()
        }
    }

    #[test]
    fn a_request_waits_for_its_authenticator_and_needs_the_scope_of_its_route() {
        let presented = Presented { authorization: Some(b"Bearer it"), at: NOW };
        let reads =
            Caller { actor: ActorId::new(7), sender: CredentialId::new(8).into(), scopes: Scope::LEDGER_READ.bits() };
        let status =
            |answer, scope| at_last(authorise(&Slow(answer), presented, scope)).map_err(|problem| problem.status());
        assert_eq!(status(Ok(reads), Scope::LEDGER_READ), Ok(reads));
        assert_eq!(status(Ok(reads), Scope::LEDGER_WRITE), Err(403));
        assert_eq!(status(Err(AuthError::Unknown), Scope::LEDGER_READ), Err(401));
    }
}
