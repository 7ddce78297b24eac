//! The state that all requests share: the tenants, and how a request finds its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::installation::TenantState;
use api::{ErrorCode, Problem, Scope};
use axum::http::HeaderMap;
use edge::admission::{Address, Client};
use edge::auth::{AuthError, Caller, Presented};
use engine::{AdmitSubject, PrincipalKind, Sender};
use oauth::{Scheme, Verified, VerifiedToken};
use types::{ActorId, CredentialId, RequestId, TenantId, TokenSubject, shorten};
use vault::{ApiKey, KeyTenant};

use crate::awake::Activity;
use crate::backtests::Backtests;
use crate::http::app::App;
use crate::http::call::only;
use crate::http::doors::{Admitted, Doors, LastRefused};
use crate::http::failure::Failure;
use crate::http::issuing::values;
use crate::identity::{Asked, Identity, LetIn, TokenRefusal, fetch_now};
use crate::tenants::{For, Tenants};
use crate::tls::ClientCertificate;

/// Everything that requests share.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) activity: Activity,
    pub(crate) doors: Doors,
    pub(crate) backtests: Backtests,
    process: u32,
    requests: AtomicU64,
}

impl Host {
    pub(crate) fn new(tenants: Arc<Tenants>) -> Arc<Self> {
        let mut process = [0; 4];
        datadir::random(&mut process);
        let process = u32::from_le_bytes(process);
        let metrics = Arc::clone(&tenants.home().core.shared().metrics);
        let doors = Doors::new(tenants.limits(), metrics);
        let (activity, backtests) = (Activity::new(), Backtests::default());
        Arc::new(Self { tenants, activity, doors, backtests, process, requests: AtomicU64::new(0) })
    }

    /// The first tenant, which also answers requests that need no credential.
    pub(crate) fn home(&self) -> &Arc<App> {
        self.tenants.home()
    }

    /// An id for a request without one: a random prefix of the process, and a counter.
    pub(crate) fn next_request_id(&self) -> String {
        format!("{:08x}-{}", self.process, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Finds out by its credential who sent a request, which came from an address. It leaves no trace yet, so that a request that
    /// is not admitted has none.
    ///
    /// # Errors
    /// If there is no valid credential, if its tenant is suspended or not available, or if it was used for too many DPoP proofs.
    pub(crate) async fn find(
        &self,
        (method, path): (&str, &str),
        headers: &HeaderMap,
        (certificate, from): (Option<ClientCertificate>, Address),
    ) -> Result<Found, NotFound> {
        let at = self.home().core.now();
        let authorization = only(headers, "Authorization")?;
        if authorization.is_some_and(is_token) {
            let proofs = values(headers, "dpop");
            let (scheme, token) = oauth::presented(authorization.as_slice())
                .map_err(|error| Problem::new(ErrorCode::InvalidHeader, error.to_string()).at("Authorization"))?;
            let certificate = certificate.map(|certificate| certificate.thumbprint);
            let asked = Asked { scheme, token, proofs: &proofs, certificate, method, path };
            return self.of_token(asked, from).await;
        }
        let presented = Presented { authorization, at };
        match presented.api_key() {
            Ok(key) => {
                let caller = self.of_api_key(&key, presented, from).await?;
                Ok(Found::ApiKey { key: Box::new(key), caller })
            }
            Err(error) => {
                // Whoever guesses learns nothing more after too many failures. An API key costs one hash, so it is always checked.
                self.doors.may_check(from)?;
                Err(Problem::from(error).into())
            }
        }
    }

    /// Access tokens: who they are about, in their tenant.
    async fn of_token(&self, asked: Asked<'_>, from: Address) -> Result<Found, NotFound> {
        let home = self.home();
        let now = home.core.now();
        let known = self.identity().known(asked.token, now);
        if known.is_none() || asked.scheme == Scheme::Dpop {
            // To check a signature is costly, that of a token or of a proof.
            self.doors.may_check(from)?;
        }
        let let_in = match self.identity().authenticate(asked, known, now) {
            // Once its keys are there, the token may count.
            Err(TokenRefusal::NeedsKeys(issuer, _)) => {
                fetch_now(&self.tenants, &issuer).await;
                self.identity().authenticate(asked, None, home.core.now())
            }
            done => done,
        };
        let let_in = let_in.map_err(|refusal| {
            let TokenRefusal::ProofsFull(Verified { token, .. }, wait) = &refusal else {
                return NotFound::from(refusal.into_problem());
            };
            let (client, wait) = (subject_of(token).map(|subject| Client::of_subject(token.tenant, &subject)), *wait);
            NotFound { failure: Failure::from(refusal.into_problem()).retry_after(wait), client: client.ok() }
        })?;
        let token = &let_in.verified.token;
        let tenant = token.tenant;
        if tenant != home.core.tenant() {
            let known = self.tenants.known(tenant).ok_or_else(|| unknown_tenant(tenant))?;
            if known.state == TenantState::Suspended {
                return Err(suspended(tenant).into());
            }
        }
        let subject = subject_of(token)?;
        Ok(Found::Token { subject, let_in })
    }

    /// Lets in who sent a request, once it is admitted and permitted: opens its tenant, and adds the principal that a token is
    /// about if this is its first request.
    ///
    /// # Errors
    /// If the tenant is not available, if it does not know the API key any more, or if it has as many principals as it can.
    pub(crate) async fn let_in(&self, found: Found) -> Result<(Arc<App>, Caller, Proven), Failure> {
        let (subject, let_in) = match found {
            Found::ApiKey { key, caller } => {
                let proven = Proven::ApiKey(key.credential());
                let home = self.home();
                let tenant = key.tenant().number();
                if tenant == home.core.tenant() {
                    return Ok((Arc::clone(home), caller, proven));
                }
                let app = self.tenants.app(tenant, For::Request).await?;
                // It may have been opened anew, and changed its keys meanwhile.
                let caller = app.core.identify(&key, app.core.now()).map_err(Problem::from)?;
                return Ok((app, caller, proven));
            }
            Found::Token { subject, let_in } => (subject, let_in),
        };
        let token = &let_in.verified.token;
        let app = self.tenants.app(token.tenant, For::Request).await?;
        let actor = self.principal(&app, subject, token).await?;
        let scopes = token.scopes.0;
        let caller = Caller { actor, sender: Sender::Token { scopes }, scopes };
        Ok((app, caller, Proven::Token(let_in)))
    }

    /// The principal that a token is about. Its first request adds it.
    async fn principal(&self, app: &App, subject: TokenSubject, token: &VerifiedToken) -> Result<ActorId, Failure> {
        if let Some(actor) = app.subject(&subject) {
            return Ok(actor);
        }
        let kind = if token.subject == token.client { PrincipalKind::Service } else { PrincipalKind::Person };
        let admit = AdmitSubject { subject: subject.clone(), kind, name: shorten(&token.subject).into() };
        let answered = app.core.ask(ActorId::SYSTEM, RequestId::default(), admit).await?;
        let (_, actor) = answered.map_err(|refusal| Problem::from(&refusal))?;
        app.note_subject(subject, actor);
        Ok(actor)
    }

    /// Admits a request of a client, or refuses it.
    ///
    /// # Errors
    /// If the request is refused.
    pub(crate) fn admit(
        &self,
        client: Client,
        headers: &HeaderMap,
        last_refused: Option<&LastRefused>,
    ) -> Result<Admitted, Failure> {
        let quota = self.tenants.installation().requests_quota(client.tenant);
        self.doors.admit(client, quota, (headers, last_refused))
    }

    /// What is known about access tokens.
    pub(crate) fn identity(&self) -> &Identity {
        &self.tenants.installation().identity
    }

    /// API keys: which principal of its tenant one belongs to. Only a tenant that was not open since the start is opened for that.
    async fn of_api_key(
        &self,
        key: &ApiKey,
        Presented { at, .. }: Presented<'_>,
        from: Address,
    ) -> Result<Caller, Failure> {
        let home = self.home();
        let tenant = key.tenant().number();
        if tenant == home.core.tenant() {
            return Ok(home.core.identify(key, at).map_err(Problem::from)?);
        }
        let known = self.tenants.known(tenant).filter(|known| KeyTenant::of(tenant, known.is_test()) == key.tenant());
        let known = known.ok_or(AuthError::Unknown).map_err(Problem::from)?;
        // A request without a valid key does not open a tenant, and does not learn that it is suspended.
        let caller = self.tenants.keys(tenant).map(|keys| keys.identify(key, at)).transpose().map_err(Problem::from)?;
        if known.state == TenantState::Suspended {
            return Err(suspended(tenant).into());
        }
        if let Some(caller) = caller {
            return Ok(caller);
        }
        // Whoever guesses makes the server open no tenants.
        self.doors.may_check(from)?;
        let app = self.tenants.app(tenant, For::Keys).await?;
        Ok(app.core.identify(key, app.core.now()).map_err(Problem::from)?)
    }

    /// Refuses a caller of another tenant than the first on a route that administers the installation.
    ///
    /// # Errors
    /// If the route is for the first tenant only, and the caller is of another one.
    pub(crate) fn permit_home(&self, tenant: TenantId, scope: Scope) -> Result<(), Problem> {
        if Scope::INSTALLATION.contains(scope) { self.only_home(tenant) } else { Ok(()) }
    }

    /// Refuses a caller of another tenant than the first.
    ///
    /// # Errors
    /// If the caller is of another tenant.
    pub(crate) fn only_home(&self, tenant: TenantId) -> Result<(), Problem> {
        let home = self.home().core.tenant();
        if tenant == home {
            return Ok(());
        }
        let detail =
            format!("only credentials of tenant {home} administer the installation, this one is of tenant {tenant}");
        Err(Problem::new(ErrorCode::FirstTenantOnly, detail))
    }
}

/// Why nobody is let in.
#[derive(Debug)]
pub(crate) struct NotFound {
    pub(crate) failure: Failure,
    /// Who sent the request all the same, so that it counts for its sender.
    pub(crate) client: Option<Client>,
}

impl<F: Into<Failure>> From<F> for NotFound {
    fn from(failure: F) -> Self {
        Self { failure: failure.into(), client: None }
    }
}

/// Who sent a request, before it is admitted.
#[derive(Debug)]
pub(crate) enum Found {
    ApiKey { key: Box<ApiKey>, caller: Caller },
    Token { subject: TokenSubject, let_in: LetIn },
}

impl Found {
    /// What limits of requests are about.
    pub(crate) fn client(&self) -> Client {
        match self {
            Self::ApiKey { key, .. } => Client::of_api_key(key.tenant().number(), key.credential()),
            Self::Token { subject, let_in } => Client::of_subject(let_in.verified.token.tenant, subject),
        }
    }

    /// The scopes of the credential, as bits.
    pub(crate) fn scopes(&self) -> u32 {
        match self {
            Self::ApiKey { caller, .. } => caller.scopes,
            Self::Token { let_in, .. } => let_in.verified.token.scopes.0,
        }
    }
}

/// What showed who a caller is, to be checked again later.
#[derive(Debug, Clone)]
pub(crate) enum Proven {
    /// Nothing, on a route that needs no credential.
    Nothing,
    ApiKey(CredentialId),
    Token(LetIn),
}

impl Proven {
    /// The API key that was used.
    pub(crate) const fn api_key(&self) -> Option<CredentialId> {
        match self {
            Self::ApiKey(credential) => Some(*credential),
            Self::Nothing | Self::Token(_) => None,
        }
    }
}

/// Whether a header `Authorization` has an access token rather than an API key. Every token has dots, and no API key has one.
fn is_token(authorization: &[u8]) -> bool {
    let scheme = authorization.split(|byte| *byte == b' ').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"dpop") || scheme.eq_ignore_ascii_case(b"bearer") && authorization.contains(&b'.')
}

fn subject_of(token: &VerifiedToken) -> Result<TokenSubject, Problem> {
    let subject = TokenSubject::new(&token.issuer, &token.subject);
    subject.map_err(|error| Problem::new(ErrorCode::InvalidToken, error.to_string()))
}

/// A token for a tenant that is not there is like a token of nobody.
fn unknown_tenant(tenant: TenantId) -> Problem {
    Problem::new(ErrorCode::InvalidToken, format!("the token is for tenant {tenant}, which does not exist"))
}

/// The problem of a request to a suspended tenant.
pub(crate) fn suspended(tenant: TenantId) -> Problem {
    Problem::new(ErrorCode::TenantSuspended, format!("tenant {tenant} is suspended"))
}
