//! Authentication: which principal sent a request.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::sync::{PoisonError, RwLock};

use api::{ErrorCode, Problem, Scope};
use engine::{CredentialAdded, CredentialKind};
use types::{ActorId, CredentialId, Digest};
use vault::ApiKey;

/// Who sent a request, and what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The principal, which entries carry. Every credential of a principal gives the same actor.
    pub actor: ActorId,
    /// The credential that was used.
    pub credential: CredentialId,
    /// The scopes of the credential that was used, as bits of `api::Scope`.
    pub scopes: u32,
}

/// The unchecked credentials of a request, as the transport received them.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The value of the `Authorization` header.
    pub authorization: Option<&'a [u8]>,
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
pub struct ApiKeys(RwLock<BTreeMap<CredentialId, (Digest, Caller)>>);

impl ApiKeys {
    /// Accepts the API keys among these credentials, and no others.
    pub fn replace<'a>(&self, credentials: impl Iterator<Item = &'a CredentialAdded>) {
        let keys = credentials.map(|added| {
            let CredentialKind::ApiKey { hash } = added.kind;
            let (credential, actor, scopes) = (added.credential, added.principal, added.scopes);
            (credential, (hash, Caller { actor, credential, scopes }))
        });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys.collect();
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
        let known = keys.get(&key.credential()).filter(|(hash, _)| key.matches(hash));
        known.map(|(_, caller)| *caller).ok_or(AuthError::Unknown)
    }
}

impl Authenticator for ApiKeys {
    fn authenticate(&self, presented: Presented<'_>) -> impl Future<Output = Result<Caller, AuthError>> + Send {
        ready(self.identify(presented))
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
    let caller = authenticator.authenticate(presented).await.map_err(|error| {
        let code = match error {
            AuthError::Missing => ErrorCode::MissingApiKey,
            AuthError::Malformed | AuthError::Unknown => ErrorCode::InvalidApiKey,
        };
        Problem::new(code, error.to_string())
    })?;
    permitted(Scope::from_bits(caller.scopes), scope, "this route")?;
    Ok(caller)
}

/// Checks that a credential with the scopes `has` may do `what`.
pub(crate) fn permitted(has: Scope, needs: Scope, what: &str) -> Result<(), Problem> {
    if has.contains(needs) {
        return Ok(());
    }
    let needed = needs.names().collect::<Vec<_>>().join(", ");
    Err(Problem::new(ErrorCode::InsufficientScope, format!("{what} needs the scope {needed}")))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn key(number: u64, secret: u8) -> ApiKey {
        ApiKey::generate(CredentialId::new(number), &mut |bytes: &mut [u8]| bytes.fill(secret))
    }

    fn added(key: &ApiKey, principal: u64, scopes: u32) -> CredentialAdded {
        CredentialAdded {
            credential: key.credential(),
            principal: ActorId::new(principal),
            kind: CredentialKind::ApiKey { hash: key.hash() },
            scopes,
            name: "known".into(),
        }
    }

    fn ask(keys: &ApiKeys, header: &str) -> Result<Caller, AuthError> {
        at_last(keys.authenticate(Presented { authorization: Some(header.as_bytes()) }))
    }

    #[test]
    fn every_key_of_a_principal_is_that_actor_with_the_scopes_of_the_key() {
        let (first, second, other) = (key(7, 1), key(8, 2), key(9, 3));
        let keys = ApiKeys::default();
        keys.replace([added(&first, 3, 5), added(&second, 3, 1), added(&other, 4, 5)].iter());
        for (key, actor, scopes) in [(&first, 3, 5), (&second, 3, 1), (&other, 4, 5)] {
            let caller = Caller { actor: ActorId::new(actor), credential: key.credential(), scopes };
            assert_eq!(ask(&keys, &format!("Bearer {}", key.reveal())), Ok(caller));
            assert_eq!(ask(&keys, &format!("bearer  {} ", key.reveal())), Ok(caller));
        }
    }

    #[test]
    fn what_is_no_known_key_is_nobody() {
        let (known, text) = (key(7, 1), key(7, 1).reveal());
        let keys = ApiKeys::default();
        keys.replace([added(&known, 3, 5)].iter());
        for unknown in [key(7, 2), key(8, 1)] {
            assert_eq!(ask(&keys, &format!("Bearer {}", unknown.reveal())), Err(AuthError::Unknown));
        }
        for malformed in ["Bearer", "Bearer ", &format!("Basic {text}"), &text, &format!("Bearer {text}x")] {
            assert_eq!(ask(&keys, malformed), Err(AuthError::Malformed), "{malformed}");
        }
        let not_text = Presented { authorization: Some(b"Bearer \xff") };
        assert_eq!(at_last(keys.authenticate(not_text)), Err(AuthError::Malformed));
        assert_eq!(ask(&keys, ""), Err(AuthError::Missing));
        assert_eq!(at_last(keys.authenticate(Presented { authorization: None })), Err(AuthError::Missing));
    }

    #[test]
    fn an_api_key_is_checked_without_waiting() {
        let keys = ApiKeys::default();
        let answer = keys.authenticate(Presented { authorization: Some(b"Bearer it") });
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
        let presented = Presented { authorization: Some(b"Bearer it") };
        let reads =
            Caller { actor: ActorId::new(7), credential: CredentialId::new(8), scopes: Scope::LEDGER_READ.bits() };
        let status =
            |answer, scope| at_last(authorise(&Slow(answer), presented, scope)).map_err(|problem| problem.status());
        assert_eq!(status(Ok(reads), Scope::LEDGER_READ), Ok(reads));
        assert_eq!(status(Ok(reads), Scope::LEDGER_WRITE), Err(403));
        assert_eq!(status(Err(AuthError::Unknown), Scope::LEDGER_READ), Err(401));
    }
}
