//! The token endpoint.

use std::collections::BTreeSet;

use oauth::{
    Algorithm, Binding, Confirmation, HttpUri, IssuerSettings, Profile, Proofs, ScopeRule, Spender, Target, Tenants,
    Thumbprint, UriError, VerifiedToken, base64url,
};
use types::{Span, Timestamp, shorten};

use crate::authenticate::Authentic;
use crate::client::{Client, ClientBinding, Registry};
use crate::form::Form;
use crate::key::SigningAlgorithm;
use crate::key_ring::KeyRing;
use crate::refusal::Refusal;
use crate::replays::Replays;
use crate::token::{BoundTo, Claims, Granted, TOKEN_LIFETIME_MAX, TOKEN_LIFETIME_MIN, seconds};

/// The algorithms that clients may sign assertions with.
pub const ASSERTION_ALGORITHMS: [Algorithm; 8] = [
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::EdDsa,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Rs256,
];
/// The longest name of an issuer; the same bound as for every name in a token.
pub const NAME_BYTES_MAX: usize = oauth::NAME_BYTES_MAX;

/// How the issuer is configured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The public origin of this server, such as `https://pay.example`: the name of the issuer, and the audience of its tokens.
    pub origin: String,
    /// The names of all scopes, for the discovery document.
    pub scopes: Vec<String>,
    /// How long a token lives, unless its client's settings say otherwise.
    pub token_lifetime: Span,
    /// Whether clients can show certificates.
    pub takes_certificates: bool,
}

/// Why there is no issuer with these settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The origin is not an address.
    #[error("the origin `{origin}` is not valid: {error}")]
    Origin {
        /// The origin, shortened.
        origin: String,
        /// What is wrong with it.
        error: UriError,
    },
    /// The same origin has another form that programs write, and names of issuers are compared byte by byte.
    #[error(
        "the origin `{0}` is not in its normal form; expected scheme, host in lower case, and a port unless it is the default one"
    )]
    Form(String),
    /// Tokens would cross a network unprotected.
    #[error("the origin `{0}` is not protected; expected https, or a loopback address")]
    Unprotected(String),
    /// Longer than the bound.
    #[error("the origin has {0} bytes; expected at most {NAME_BYTES_MAX}")]
    Long(usize),
    /// A lifetime out of bounds.
    #[error("tokens live for {0}; expected {TOKEN_LIFETIME_MIN} to {TOKEN_LIFETIME_MAX}")]
    Lifetime(Span),
}

/// A request to one of the endpoints, as it arrived.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The values of all headers `Content-Type`.
    pub content_types: &'a [&'a [u8]],
    /// What follows `?` in the address.
    pub query: Option<&'a str>,
    /// The values of all headers `Authorization`.
    pub authorization: &'a [&'a [u8]],
    /// The values of all headers `DPoP`.
    pub proofs: &'a [&'a [u8]],
    /// The certificate that the TLS client proved to own, hashed in DER.
    pub certificate: Option<Thumbprint>,
    /// The body.
    pub body: &'a [u8],
}

/// The issuer. One lives as long as the process, because it remembers which assertions were used.
#[derive(Debug)]
pub struct Issuer {
    pub(crate) settings: Settings,
    pub(crate) token_endpoint: HttpUri,
    pub(crate) replays: Replays,
}

impl Issuer {
    /// The path of [`Issuer::token`].
    pub const TOKEN_PATH: &'static str = "/oauth/token";
    /// The path of [`Issuer::introspect`].
    pub const INTROSPECTION_PATH: &'static str = "/oauth/introspect";
    /// The path of [`Issuer::revoke`].
    pub const REVOCATION_PATH: &'static str = "/oauth/revoke";
    /// The path of [`KeyRing::jwks`].
    pub const JWKS_PATH: &'static str = "/oauth/jwks";

    /// # Errors
    /// Fails if the settings cannot be used; see [`SettingsError`].
    pub fn new(settings: Settings, replays: Replays) -> Result<Self, SettingsError> {
        let origin = || shorten(&settings.origin);
        if settings.origin.len() > NAME_BYTES_MAX {
            return Err(SettingsError::Long(settings.origin.len()));
        }
        let invalid = |error| SettingsError::Origin { origin: origin(), error };
        let uri = HttpUri::parse(&settings.origin).map_err(invalid)?;
        if uri.as_str().strip_suffix('/') != Some(&settings.origin) {
            return Err(SettingsError::Form(origin()));
        }
        if !uri.is_trustworthy() {
            return Err(SettingsError::Unprotected(origin()));
        }
        if !(TOKEN_LIFETIME_MIN..=TOKEN_LIFETIME_MAX).contains(&settings.token_lifetime) {
            return Err(SettingsError::Lifetime(settings.token_lifetime));
        }
        let endpoint = format!("{}{}", settings.origin, Self::TOKEN_PATH);
        let token_endpoint = HttpUri::parse(&endpoint).map_err(invalid)?;
        Ok(Self { settings, token_endpoint, replays })
    }

    /// The name of the issuer.
    pub fn name(&self) -> &str {
        &self.settings.origin
    }

    /// How `oauth::Verifier` verifies the tokens of this issuer. `rules` gives each name in `scope` its scopes. The verifier's
    /// keys come from [`KeyRing::jwks`], whenever that changes and often enough that they do not get stale.
    pub fn verifier_settings(&self, rules: Vec<ScopeRule>) -> IssuerSettings {
        IssuerSettings {
            issuer: self.settings.origin.clone(),
            audience: self.settings.origin.clone(),
            algorithms: vec![SigningAlgorithm::Es256.algorithm(), SigningAlgorithm::EdDsa.algorithm()],
            profile: Profile::AccessTokenJwt,
            tenants: Tenants::Numbered { path: vec!["tenant".to_owned()] },
            rules,
            binding: Binding::Optional,
        }
    }

    /// Answers the token endpoint, for a client that [`Issuer::authenticate`] found. `random` must be new for each request. If `proofs` refuses with
    /// [`Code::UseDpopNonce`](crate::Code::UseDpopNonce), the response carries its nonce, and so should every other response to a
    /// request with a proof.
    ///
    /// # Errors
    /// Fails unless everything about the request is as it should be; see [`Refusal`].
    pub fn token(
        &self,
        asked: &Authentic<'_>,
        keys: &KeyRing,
        proofs: &Proofs,
        random: [u8; 16],
        now: Timestamp,
    ) -> Result<Granted, Refusal> {
        let Authentic { request, form, client, .. } = asked;
        match form.get("grant_type") {
            Some("client_credentials") => {}
            Some(_) => return Err(Refusal::GrantType),
            None => return Err(Refusal::Missing("grant_type")),
        }
        let scope = scope(form, client)?;
        self.check_target(form)?;
        let confirmation = self.confirmation(request, client, proofs, now)?;
        asked.use_once(&self.replays, now)?;
        let lifetime = client.token_lifetime.unwrap_or(self.settings.token_lifetime);
        let lifetime = lifetime.clamp(TOKEN_LIFETIME_MIN, TOKEN_LIFETIME_MAX);
        let claims = Claims {
            iss: self.settings.origin.clone(),
            sub: client.id.clone(),
            aud: self.settings.origin.clone(),
            // Both are rounded down, so that a token never lives longer than it should.
            exp: seconds(now.saturating_add(lifetime)),
            iat: seconds(now),
            jti: base64url::encode(&random),
            client_id: client.id.clone(),
            scope,
            tenant: client.tenant.to_string(),
            cnf: BoundTo::new(confirmation),
        };
        Ok(Granted {
            access_token: claims.sign(keys.active()),
            token_type: claims.token_type(),
            expires_in_s: claims.exp.saturating_sub(claims.iat),
            scope: claims.scope,
            id: claims.jti,
            client_id: claims.client_id,
        })
    }

    /// Whether a token of this issuer that was verified, now or earlier, still counts: neither it nor its client was revoked, and
    /// the client still belongs to the tenant. To be asked for each request.
    pub fn is_current(&self, token: &VerifiedToken, registry: &dyn Registry) -> bool {
        let client = registry.client(&token.client);
        client.is_some_and(|client| !client.is_revoked && client.tenant == token.tenant)
            && token.id.as_deref().is_some_and(|id| !registry.is_revoked(id))
    }

    pub(crate) fn assertion_audiences(&self) -> [&str; 2] {
        [&self.settings.origin, self.token_endpoint.as_str()]
    }

    /// A client may say which server it wants the token for (RFC 8707, or `audience` as others call it). There is only this one.
    fn check_target(&self, form: &Form) -> Result<(), Refusal> {
        for parameter in ["resource", "audience"] {
            let Some(found) = form.get(parameter) else { continue };
            let is_this = found == self.settings.origin || found.strip_suffix('/') == Some(&self.settings.origin);
            if !is_this {
                return Err(Refusal::Target { parameter, expected: self.settings.origin.clone() });
            }
        }
        Ok(())
    }

    /// What the token is to be bound to. Uses up the DPoP proof.
    fn confirmation(
        &self,
        request: &Request<'_>,
        client: &Client,
        proofs: &Proofs,
        now: Timestamp,
    ) -> Result<Confirmation, Refusal> {
        let certificate = match client.binding {
            ClientBinding::Certificate => Some(request.certificate.ok_or(Refusal::NoCertificate)?),
            ClientBinding::Optional | ClientBinding::Dpop => None,
        };
        let dpop_key = match (request.proofs, client.binding) {
            ([], ClientBinding::Dpop) => return Err(Refusal::NoProof),
            ([], ClientBinding::Optional | ClientBinding::Certificate) => None,
            (headers, _) => {
                let target = Target { method: "POST", uri: &self.token_endpoint };
                let spender = Spender { tenant: client.tenant, issuer: self.name(), subject: &client.id };
                Some(proofs.check_token_request(headers, target, spender, now).map_err(Refusal::Proof)?)
            }
        };
        Ok(Confirmation { dpop_key, certificate })
    }
}

impl Request<'_> {
    pub(crate) fn form(&self) -> Result<Form, Refusal> {
        if self.query.is_some_and(|query| !query.is_empty()) {
            return Err(Refusal::Query);
        }
        Form::parse(self.content_types, self.body).map_err(Refusal::Form)
    }
}

/// The scopes that the client asks for, or all that it may have.
fn scope(form: &Form, client: &Client) -> Result<String, Refusal> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    match form.get("scope") {
        None => names.extend(client.scopes.iter().map(|name| &**name)),
        Some(scope) => {
            for name in scope.split(' ') {
                // RFC 6749, section 3.3.
                let is_plain = |c: char| matches!(c, '!'..='~') && !matches!(c, '"' | '\\');
                if name.is_empty() || !name.chars().all(is_plain) {
                    return Err(Refusal::ScopeSyntax);
                }
                if !client.scopes.contains(name) {
                    return Err(Refusal::Scope(shorten(name)));
                }
                names.insert(name);
            }
        }
    }
    if names.is_empty() {
        return Err(Refusal::NoScopes);
    }
    Ok(names.into_iter().collect::<Vec<_>>().join(" "))
}
