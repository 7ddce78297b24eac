//! What Finaira knows about an issuer before any token arrives: which tokens count, for which tenants, with which scopes.

use std::collections::BTreeMap;
use std::fmt;

use types::{TenantId, shorten};

use crate::algorithm::Algorithm;
use crate::claims::{ClaimError, Claims, error};
use crate::json::Json;
use crate::uri::{HttpUri, UriError};

/// The most rules that an issuer has.
pub const RULES_MAX: usize = 256;
/// The most names on the way to a nested claim.
pub const PATH_NAMES_MAX: usize = 8;

/// Scopes, as the bits that the API gives them. This crate does not look inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(pub u32);

impl Scopes {
    /// The scopes of either.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What an issuer may do, as the operator configures it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// The value of `iss`, compared byte by byte.
    pub issuer: String,
    /// What `aud` must contain: the name of this server at that issuer.
    pub audience: String,
    /// The algorithms that the issuer signs with.
    pub algorithms: Vec<Algorithm>,
    /// Which form its tokens have.
    pub profile: Profile,
    /// Which tenants its tokens are for.
    pub tenants: Tenants,
    /// Which scopes its tokens give. A token that no rule matches has none.
    pub rules: Vec<ScopeRule>,
    /// Whether its tokens must be bound to their sender.
    pub binding: Binding,
}

/// The form of an issuer's access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// RFC 9068: `typ` is `at+jwt`, and `client_id` and `jti` are required.
    AccessTokenJwt,
    /// For issuers that follow no standard here, such as Keycloak: `typ` may also be `JWT` or absent, `azp` stands in for
    /// `client_id`, and `jti` may be absent. Nothing then says for certain that a token is an access token, so one with a claim
    /// of ID tokens (`nonce`, `at_hash`, `c_hash`, `s_hash`) or of event tokens (`events`) is refused, and so is one that names
    /// another purpose in the claims `typ` (Keycloak) or `token_use` (Cognito).
    PlainJwt,
}

/// Whether tokens must be bound to a key of their sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// A token without `cnf` counts for whoever sends it. One with `cnf` is bound in any case.
    Optional,
    /// A token without `cnf` is refused.
    Required,
}

/// Which tenant a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    /// Every token of the issuer is for this one.
    Fixed(TenantId),
    /// A claim says it. A value that is not listed is refused, so an issuer cannot name the tenant of another one.
    Claim {
        /// The names on the way to the claim, a single one for a claim at the top.
        path: Vec<String>,
        /// The tenants of the issuer by the value of the claim.
        tenants: BTreeMap<String, TenantId>,
    },
    /// A claim says its number, in decimal, and may name every tenant. Only for the issuer that is built into this server.
    Numbered {
        /// The names on the way to the claim.
        path: Vec<String>,
    },
}

/// Gives scopes to tokens with a value in a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeRule {
    /// The names on the way to the claim: `["realm_access", "roles"]` for the roles of a Keycloak realm.
    pub path: Vec<String>,
    /// How the claim holds its values.
    pub values: Values,
    /// The value that the claim must have among its values, exactly.
    pub value: String,
    /// What the token then may do.
    pub scopes: Scopes,
}

/// How a claim holds several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// A text is one value, a list of texts is several.
    Listed,
    /// A text with spaces between the values, such as `scope` (RFC 8693, section 4.2); a list of texts is several values too.
    Spaced,
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The name of the issuer is not one.
    #[error("issuer `{issuer}`: {error}")]
    Issuer {
        /// The name, shortened.
        issuer: String,
        /// What is wrong with it.
        error: UriError,
    },
    /// Its documents would come over an unprotected connection.
    #[error("issuer `{0}`: expected https, or a loopback address")]
    Unprotected(String),
    /// A name of an issuer has no query and no fragment (RFC 8414, section 2).
    #[error("issuer `{0}`: expected neither a query nor a fragment")]
    Suffix(String),
    /// A setting is empty.
    #[error("issuer `{issuer}`: `{setting}` is empty; expected at least one")]
    Empty {
        /// The name of the issuer, shortened.
        issuer: String,
        /// The setting.
        setting: &'static str,
    },
    /// A setting has more items than its bound.
    #[error("issuer `{issuer}`: `{setting}` has {found} items; expected at most {max}")]
    Many {
        /// The name of the issuer, shortened.
        issuer: String,
        /// The setting.
        setting: &'static str,
        /// How many it has.
        found: usize,
        /// How many it may have.
        max: usize,
    },
    /// Two settings for one issuer.
    #[error("issuer `{0}` is configured twice")]
    Twice(String),
    /// More issuers than the bound.
    #[error("{found} issuers; expected at most {max}")]
    ManyIssuers {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
}

impl IssuerSettings {
    /// Checks that the settings can mean something.
    ///
    /// # Errors
    /// Fails if a part is empty or too large, or if the issuer's name is not an https address.
    pub fn check(&self) -> Result<(), SettingsError> {
        let issuer = || shorten(&self.issuer);
        let uri = HttpUri::parse(&self.issuer).map_err(|error| SettingsError::Issuer { issuer: issuer(), error })?;
        if !uri.is_trustworthy() {
            return Err(SettingsError::Unprotected(issuer()));
        }
        if self.issuer.contains(['?', '#']) {
            return Err(SettingsError::Suffix(issuer()));
        }
        let paths = self.rules.iter().map(|rule| &rule.path);
        let (tenant_path, has_tenants) = match &self.tenants {
            Tenants::Fixed(_) => (None, true),
            Tenants::Claim { path, tenants } => (Some(path), !tenants.is_empty()),
            Tenants::Numbered { path } => (Some(path), true),
        };
        let mut paths = paths.chain(tenant_path);
        let empty = [
            ("audience", self.audience.is_empty()),
            ("algorithms", self.algorithms.is_empty()),
            ("tenants", !has_tenants),
            ("path", paths.clone().any(Vec::is_empty)),
            ("value", self.rules.iter().any(|rule| rule.value.is_empty())),
        ];
        if let Some((setting, _)) = empty.into_iter().find(|(_, is_empty)| *is_empty) {
            return Err(SettingsError::Empty { issuer: issuer(), setting });
        }
        let many = |setting, found, max| Err(SettingsError::Many { issuer: issuer(), setting, found, max });
        if self.rules.len() > RULES_MAX {
            return many("rules", self.rules.len(), RULES_MAX);
        }
        match paths.find(|path| path.len() > PATH_NAMES_MAX) {
            Some(path) => many("path", path.len(), PATH_NAMES_MAX),
            None => Ok(()),
        }
    }

    /// The scopes that the rules give to a token with these claims.
    pub(crate) fn scopes(&self, claims: Claims<'_>) -> Result<Scopes, ClaimError> {
        let mut scopes = Scopes::default();
        for rule in &self.rules {
            let found = claims.texts(&rule.path)?;
            let has = |text: &&str| match rule.values {
                Values::Listed => **text == rule.value,
                Values::Spaced => text.split(' ').any(|word| word == rule.value),
            };
            if found.iter().any(has) {
                scopes = scopes.with(rule.scopes);
            }
        }
        Ok(scopes)
    }

    /// The tenant of a token with these claims, or `None` if the issuer may not speak for the one that it names.
    pub(crate) fn tenant(&self, claims: Claims<'_>) -> Result<Option<TenantId>, ClaimError> {
        let (path, tenants) = match &self.tenants {
            Tenants::Fixed(tenant) => return Ok(Some(*tenant)),
            Tenants::Claim { path, tenants } => (path, Some(tenants)),
            Tenants::Numbered { path } => (path, None),
        };
        match (claims.at(path)?, tenants) {
            (Some(Json::Text(value)), Some(tenants)) => Ok(tenants.get(value).copied()),
            (Some(Json::Text(value)), None) => Ok(numbered(value)),
            (other, _) => Err(error(&path.join("."), other.map_or("missing", Json::kind), "the name of a tenant")),
        }
    }
}

/// The tenant with this number, written as [`TenantId`] is displayed and in no other way.
fn numbered(text: &str) -> Option<TenantId> {
    let tenant = TenantId::new(text.parse().ok()?);
    (tenant.to_string() == text).then_some(tenant)
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
