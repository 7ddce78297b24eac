//! Access tokens (RFC 9068): which ones count, and what they say.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{Span, TenantId, Timestamp, shorten};

use crate::algorithm::Algorithm;
use crate::claims::{ClaimError, Claims};
use crate::code::Code;
use crate::issuer::{Binding, IssuerSettings, Profile, Scopes, SettingsError};
use crate::json::{Json, JsonError, Members, parse_object};
use crate::jwk::{Key, Thumbprint};
use crate::jws::{Compact, EmbeddedKey, JwsError};
use crate::key_set::{KeySet, NoKey};

/// How far ahead of this server's clock `iat` and `nbf` may be. FAPI 2.0 (section 5.3.2.1) asks for at least 10 s and at most
/// 60 s. `exp` gets no such allowance.
pub const CLOCK_SKEW_MAX: Span = Span::from_secs(30);
/// The most issuers.
pub const ISSUERS_MAX: usize = 64;

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// Who issued it.
    pub issuer: Arc<str>,
    /// Who it is about, a name that only means something together with the issuer.
    pub subject: String,
    /// The program that got it.
    pub client: String,
    /// The name of the token itself.
    pub id: Option<String>,
    /// The tenant that it is for.
    pub tenant: TenantId,
    /// What it allows.
    pub scopes: Scopes,
    /// From when on it is worth nothing.
    pub expires_at: Timestamp,
    /// What its sender must prove.
    pub confirmation: Confirmation,
}

/// The keys that a token is bound to (`cnf`, RFC 7800). Its sender must prove to have every one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confirmation {
    /// `jkt`: the key of the DPoP proof (RFC 9449, section 6.1).
    pub dpop_key: Option<Thumbprint>,
    /// `x5t#S256`: the certificate of the TLS client (RFC 8705, section 3.1).
    pub certificate: Option<Thumbprint>,
}

/// Why a token does not count. The texts never contain the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not a JWS that may be looked at.
    #[error("the token is not valid: {0}")]
    Jws(JwsError),
    /// Its payload is not an object in JSON.
    #[error("the claims of the token are not valid: {0}")]
    Payload(JsonError),
    /// A claim is missing or has another type.
    #[error("the token is not valid: {0}")]
    Claim(ClaimError),
    /// Another type of token.
    #[error("the type of the token is {found}; expected {expected}")]
    Type {
        /// The `typ` of its header, shortened.
        found: String,
        /// What the issuer's profile asks for.
        expected: &'static str,
    },
    /// A claim shows that this is another kind of token, such as an ID token.
    #[error("the claim `{0}` shows that this is not an access token")]
    Purpose(&'static str),
    /// Nobody whose tokens count.
    #[error("the token is of the issuer `{0}`, which is not configured")]
    Issuer(String),
    /// The issuer does not sign with this algorithm.
    #[error("the token is signed with {found}; expected {expected}")]
    Algorithm {
        /// What the header says.
        found: &'static str,
        /// What the settings allow.
        expected: String,
    },
    /// No key of the issuer has this name and fits the algorithm. After another fetch it may.
    #[error("the issuer has no key {kid} for {algorithm}")]
    UnknownKey {
        /// The issuer's name, as it is configured.
        issuer: Arc<str>,
        /// The name of the key, shortened.
        kid: String,
        /// What it should be used with.
        algorithm: &'static str,
    },
    /// The token names no key, and several fit.
    #[error("the token names no key, and the issuer has several that fit; expected a `kid`")]
    AmbiguousKey,
    /// The keys of the issuer were never fetched, or too long ago.
    #[error("the keys of the issuer `{0}` are not available at the moment")]
    KeysUnavailable(Arc<str>),
    /// Somebody else made it, or changed it.
    #[error("the signature of the token is not that of its issuer")]
    Signature,
    /// Its time is over.
    #[error("the token expired at {at}; it is {now}")]
    Expired {
        /// `exp`.
        at: Timestamp,
        /// The time of this server.
        now: Timestamp,
    },
    /// Its time has not begun.
    #[error("the token has `{claim}` {at}; it is {now}, and at most {CLOCK_SKEW_MAX} ahead are accepted")]
    Early {
        /// `nbf` or `iat`.
        claim: &'static str,
        /// What it says.
        at: Timestamp,
        /// The time of this server.
        now: Timestamp,
    },
    /// It is for another server.
    #[error("the token is for another audience; expected `{0}`")]
    Audience(String),
    /// The issuer may not speak for the tenant.
    #[error("the token is for a tenant that its issuer may not speak for")]
    Tenant,
    /// The issuer's tokens must be bound to their sender.
    #[error("the token is not bound to its sender; expected `cnf` with `jkt` or `x5t#S256`")]
    NotBound,
    /// It is bound in a way that Finaira cannot check.
    #[error("the token is bound by `cnf.{0}`; expected `jkt` or `x5t#S256`")]
    UnknownBinding(String),
    /// It does not allow what the request asks for.
    #[error("the token has the scopes {found}; expected {expected}")]
    InsufficientScope {
        /// What it allows.
        found: Scopes,
        /// What is needed.
        expected: Scopes,
    },
}

impl TokenError {
    /// What the client is told.
    pub const fn code(&self) -> Code {
        match self {
            Self::KeysUnavailable(_) => Code::TemporarilyUnavailable,
            Self::InsufficientScope { .. } => Code::InsufficientScope,
            Self::Jws(_)
            | Self::Payload(_)
            | Self::Claim(_)
            | Self::Type { .. }
            | Self::Purpose(_)
            | Self::Issuer(_)
            | Self::Algorithm { .. }
            | Self::UnknownKey { .. }
            | Self::AmbiguousKey
            | Self::Signature
            | Self::Expired { .. }
            | Self::Early { .. }
            | Self::Audience(_)
            | Self::Tenant
            | Self::NotBound
            | Self::UnknownBinding(_) => Code::InvalidToken,
        }
    }
}

impl VerifiedToken {
    /// Checks that the token allows `scopes`.
    ///
    /// # Errors
    /// Fails if it lacks one of them.
    pub const fn require(&self, scopes: Scopes) -> Result<(), TokenError> {
        if self.scopes.contains(scopes) {
            return Ok(());
        }
        Err(TokenError::InsufficientScope { found: self.scopes, expected: scopes })
    }
}

/// A token that was verified, and how long that holds. [`crate::TokenCache`] remembers it.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What it says.
    pub token: Arc<VerifiedToken>,
    pub(crate) key: Arc<Key>,
    /// When the token expires, or the keys of its issuer get too old to be used, whichever is earlier.
    pub(crate) until: Timestamp,
}

/// The issuers whose tokens count, and their keys.
#[derive(Debug, Default)]
pub struct Verifier {
    issuers: BTreeMap<Arc<str>, Issuer>,
}

#[derive(Debug)]
struct Issuer {
    name: Arc<str>,
    settings: IssuerSettings,
    keys: KeySet,
}

impl Verifier {
    /// Starts without keys: every token is answered [`TokenError::KeysUnavailable`] until they are fetched.
    ///
    /// # Errors
    /// Fails if settings cannot be used; see [`SettingsError`].
    pub fn new(settings: Vec<IssuerSettings>) -> Result<Self, SettingsError> {
        if settings.len() > ISSUERS_MAX {
            return Err(SettingsError::ManyIssuers { found: settings.len(), max: ISSUERS_MAX });
        }
        let mut issuers = BTreeMap::new();
        for settings in settings {
            settings.check()?;
            let name: Arc<str> = settings.issuer.as_str().into();
            let issuer = Issuer { name: Arc::clone(&name), settings, keys: KeySet::default() };
            if issuers.insert(Arc::clone(&name), issuer).is_some() {
                return Err(SettingsError::Twice(shorten(&name)));
            }
        }
        Ok(Self { issuers })
    }

    /// Adds an issuer, or replaces its settings; its keys stay. What a [`crate::TokenCache`] remembers follows the earlier settings, so
    /// the caller clears it before any other token is verified.
    ///
    /// # Errors
    /// Fails, and changes nothing, if the settings cannot be used, or if there are too many issuers.
    pub fn put(&mut self, settings: IssuerSettings) -> Result<(), SettingsError> {
        settings.check()?;
        if let Some(known) = self.issuers.get_mut(settings.issuer.as_str()) {
            known.settings = settings;
            return Ok(());
        }
        if self.issuers.len() >= ISSUERS_MAX {
            return Err(SettingsError::ManyIssuers { found: self.issuers.len().saturating_add(1), max: ISSUERS_MAX });
        }
        let name: Arc<str> = settings.issuer.as_str().into();
        self.issuers.insert(Arc::clone(&name), Issuer { name, settings, keys: KeySet::default() });
        Ok(())
    }

    /// The settings of an issuer.
    pub fn settings(&self, issuer: &str) -> Option<&IssuerSettings> {
        self.issuers.get(issuer).map(|issuer| &issuer.settings)
    }

    /// The names of the issuers.
    pub fn issuers(&self) -> impl Iterator<Item = &Arc<str>> {
        self.issuers.keys()
    }

    /// Trusts an issuer no longer: its tokens are refused, the remembered ones too. Returns whether it was trusted before.
    pub fn revoke(&mut self, issuer: &str) -> bool {
        self.issuers.remove(issuer).is_some()
    }

    /// When the keys of an issuer were last fetched.
    pub fn fetched_at(&self, issuer: &str) -> Option<Timestamp> {
        self.issuers.get(issuer)?.keys.fetched_at()
    }

    /// The keys of an issuer, to be fetched.
    pub fn keys(&mut self, issuer: &str) -> Option<&mut KeySet> {
        self.issuers.get_mut(issuer).map(|issuer| &mut issuer.keys)
    }

    /// Verifies an access token. Says nothing about who sent it: [`crate::Sender::check`] does.
    ///
    /// # Errors
    /// Fails unless everything about the token is as it should be; see [`TokenError`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, TokenError> {
        let jws = Compact::parse(token, EmbeddedKey::Refused).map_err(TokenError::Jws)?;
        let members = parse_object(jws.payload()).map_err(TokenError::Payload)?;
        let claims = Claims(&members);
        // The issuer is what the token claims; the signature then shows whether it is true.
        let name = claims.required_name("iss").map_err(TokenError::Claim)?;
        let issuer = self.issuers.get(name).ok_or_else(|| TokenError::Issuer(shorten(name)))?;
        let settings = &issuer.settings;
        if !settings.algorithms.contains(&jws.algorithm()) {
            let expected = Algorithm::names(&settings.algorithms);
            return Err(TokenError::Algorithm { found: jws.algorithm().name(), expected });
        }
        check_type(&jws, settings.profile)?;
        let key = issuer.key_of(&jws, now)?;
        if !jws.is_signed_by(key) {
            return Err(TokenError::Signature);
        }
        let token = read(claims, issuer, now)?;
        let until = issuer.keys.usable_until().map_or(token.expires_at, |until| until.min(token.expires_at));
        Ok(Verified { token: Arc::new(token), key: Arc::clone(key), until })
    }
}

impl Issuer {
    fn key_of(&self, jws: &Compact<'_>, now: Timestamp) -> Result<&Arc<Key>, TokenError> {
        let algorithm = jws.algorithm();
        self.keys.find(jws.kid(), algorithm, now).map_err(|none| match none {
            NoKey::Unavailable => TokenError::KeysUnavailable(Arc::clone(&self.name)),
            NoKey::Ambiguous => TokenError::AmbiguousKey,
            NoKey::Unknown => {
                let kid = jws.kid().map_or_else(|| "without a name".to_owned(), |kid| format!("`{}`", shorten(kid)));
                TokenError::UnknownKey { issuer: Arc::clone(&self.name), kid, algorithm: algorithm.name() }
            }
        })
    }
}

fn check_type(jws: &Compact<'_>, profile: Profile) -> Result<(), TokenError> {
    let (accepted, expected) = match profile {
        Profile::AccessTokenJwt => (jws.has_type("at+jwt"), "`at+jwt`"),
        Profile::PlainJwt => {
            (jws.typ().is_none() || jws.has_type("at+jwt") || jws.has_type("JWT"), "`at+jwt`, `JWT` or none")
        }
    };
    if accepted {
        return Ok(());
    }
    let found = jws.typ().map_or_else(|| "missing".to_owned(), |typ| format!("`{}`", shorten(typ)));
    Err(TokenError::Type { found, expected })
}

/// Reads the claims of a token whose signature was verified.
fn read(claims: Claims<'_>, issuer: &Issuer, now: Timestamp) -> Result<VerifiedToken, TokenError> {
    let settings = &issuer.settings;
    let claim = TokenError::Claim;
    let expires_at = claims.required_time("exp").map_err(claim)?;
    if now >= expires_at {
        return Err(TokenError::Expired { at: expires_at, now });
    }
    let issued_at = claims.required_time("iat").map_err(claim)?;
    let not_before = claims.time("nbf").map_err(claim)?;
    for (claim, at) in [("nbf", not_before), ("iat", Some(issued_at))] {
        if let Some(at) = at.filter(|at| *at > now.saturating_add(CLOCK_SKEW_MAX)) {
            return Err(TokenError::Early { claim, at, now });
        }
    }
    if !claims.texts(&["aud"]).map_err(claim)?.contains(&settings.audience.as_str()) {
        return Err(TokenError::Audience(settings.audience.clone()));
    }
    let subject = claims.required_name("sub").map_err(claim)?;
    let client = claims.name("client_id").map_err(claim)?;
    let id = claims.name("jti").map_err(claim)?;
    let client = match settings.profile {
        Profile::AccessTokenJwt => {
            claims.required_name("jti").map_err(claim)?;
            claims.required_name("client_id").map_err(claim)?
        }
        Profile::PlainJwt => {
            check_purpose(claims)?;
            client.map_or_else(|| claims.required_name("azp"), Ok).map_err(claim)?
        }
    };
    // It must be text even if no rule uses it (RFC 9068, section 2.2.3).
    claims.text("scope").map_err(claim)?;
    let confirmation = confirmation(claims.0)?;
    if settings.binding == Binding::Required && confirmation == Confirmation::default() {
        return Err(TokenError::NotBound);
    }
    Ok(VerifiedToken {
        issuer: Arc::clone(&issuer.name),
        subject: subject.to_owned(),
        client: client.to_owned(),
        id: id.map(str::to_owned),
        tenant: settings.tenant(claims).map_err(claim)?.ok_or(TokenError::Tenant)?,
        scopes: settings.scopes(claims).map_err(claim)?,
        expires_at,
        confirmation,
    })
}

fn check_purpose(claims: Claims<'_>) -> Result<(), TokenError> {
    const OF_OTHERS: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "events"];
    const PURPOSES: [(&str, &[&str]); 2] = [("typ", &["Bearer", "DPoP"]), ("token_use", &["access"])];
    if let Some(claim) = OF_OTHERS.into_iter().find(|claim| claims.0.contains_key(*claim)) {
        return Err(TokenError::Purpose(claim));
    }
    for (claim, accepted) in PURPOSES {
        let purpose = claims.text(claim).map_err(TokenError::Claim)?;
        if purpose.is_some_and(|purpose| !accepted.contains(&purpose)) {
            return Err(TokenError::Purpose(claim));
        }
    }
    Ok(())
}

fn confirmation(members: &Members) -> Result<Confirmation, TokenError> {
    let wrong = |claim: &str, found| {
        TokenError::Claim(crate::claims::error(claim, found, "the base64url of a SHA-256 thumbprint"))
    };
    let members = match members.get("cnf") {
        None => return Ok(Confirmation::default()),
        Some(Json::Object(members)) => members,
        Some(other) => return Err(TokenError::Claim(crate::claims::error("cnf", other.kind(), "an object"))),
    };
    let mut confirmation = Confirmation::default();
    for (method, value) in members {
        let place = match method.as_str() {
            "jkt" => &mut confirmation.dpop_key,
            "x5t#S256" => &mut confirmation.certificate,
            other => return Err(TokenError::UnknownBinding(shorten(other))),
        };
        let claim = format!("cnf.{method}");
        let Json::Text(text) = value else { return Err(wrong(&claim, value.kind())) };
        *place = Some(Thumbprint::parse(text).ok_or_else(|| wrong(&claim, "another text"))?);
    }
    if confirmation == Confirmation::default() {
        return Err(TokenError::Claim(crate::claims::error("cnf", "empty", "`jkt` or `x5t#S256`")));
    }
    Ok(confirmation)
}
