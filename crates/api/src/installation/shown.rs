//! How clients, issuers and roles are shown, and the bodies that describe them.

use serde::Serialize;
use serde_json::value::RawValue;
use types::Timestamp;
use utoipa::ToSchema;

use super::{Client, ClientAuthentication, CustomRole, Grant, TokenIssuer};

/// A client to register.
#[derive(Debug, ToSchema)]
#[schema(as = NewClient)]
pub struct ClientBody {
    /// Its `client_id`: 1 to 128 of A-Z, a-z, 0-9, `-`, `.`, `_` and `~`. Without it, the server makes one.
    #[schema(example = "checkout-eu")]
    pub client_id: Option<String>,
    /// A name for people to read, 1 to 128 bytes.
    #[schema(example = "checkout, Europe")]
    pub name: String,
    /// The tenant that its tokens are for. Without it, the tenant of the request.
    #[schema(minimum = 1, example = 1)]
    pub tenant: Option<u32>,
    /// What its tokens may do. Give this or `role`. The request itself must have all of it.
    #[schema(example = json!(["payments:read", "payments:write"]))]
    pub scopes: Option<Vec<String>>,
    /// The name of a role, whose scopes its tokens get. A later change of the role changes its new tokens.
    #[schema(example = "developer")]
    pub role: Option<String>,
    pub authentication: ClientAuthenticationBody,
    /// How long its tokens live, in seconds, 10 to 3600; 600 if it is absent.
    #[schema(minimum = 10, maximum = 3600, example = 600)]
    pub token_lifetime_s: Option<u32>,
    /// What its tokens must be bound to: `optional` (nothing, unless it sends a DPoP proof), `dpop`, or `certificate`.
    #[schema(example = "optional")]
    pub binding: Option<String>,
}

/// How a client shows who it is.
#[derive(Debug, ToSchema)]
#[schema(as = NewClientAuthentication)]
pub struct ClientAuthenticationBody {
    /// `client_secret`, which the server draws, or `private_key_jwt`.
    #[schema(example = "client_secret")]
    pub method: String,
    /// The public keys of the client (RFC 7517), for `private_key_jwt`.
    #[schema(value_type = Option<Object>)]
    pub jwks: Option<String>,
}

/// A client of the built-in issuer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Client)]
pub struct ClientShown {
    #[schema(example = "checkout-eu")]
    client_id: String,
    /// A name for people to read.
    name: String,
    /// The tenant that its tokens are for.
    tenant: u32,
    /// What its tokens may do; null if a role says it.
    #[schema(required)]
    scopes: Option<Vec<&'static str>>,
    /// The role whose scopes its tokens get; null if they are listed.
    #[schema(required)]
    role: Option<String>,
    /// `client_secret` or `private_key_jwt`.
    #[schema(example = "client_secret")]
    method: &'static str,
    /// How many secrets are valid at the moment.
    secrets: usize,
    /// Its public keys; null if it has a secret.
    #[schema(required, value_type = Option<Object>)]
    jwks: Option<Box<RawValue>>,
    /// How long its tokens live, in seconds; null for the default.
    #[schema(required)]
    token_lifetime_s: Option<u32>,
    /// What its tokens must be bound to: `optional`, `dpop` or `certificate`.
    binding: &'static str,
    /// `active` or `revoked`.
    state: &'static str,
    /// When it was registered.
    #[schema(format = "date-time")]
    created_at: String,
}

/// The answer to a request that makes a secret of a client.
#[derive(Clone, Serialize, ToSchema)]
pub struct ClientCreated {
    client: ClientShown,
    /// The secret. The server stores only its hash, so this answer is the only one that shows it; null if the client signs
    /// assertions, and in the answer to a retry.
    #[schema(required, example = "fin_cs_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE")]
    client_secret: Option<String>,
}

// The secret is left out so that it does not get into logs.
impl std::fmt::Debug for ClientCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCreated").field("client", &self.client).finish_non_exhaustive()
    }
}

impl ClientCreated {
    /// `client_secret` is `None` if there is none, or if an earlier request made it.
    pub fn new(client: ClientShown, client_secret: Option<String>) -> Self {
        Self { client, client_secret }
    }
}

impl ClientShown {
    pub fn new(client: &Client, created_at: Timestamp) -> Self {
        let (scopes, role) = shown_grant(&client.grant);
        let (method, secrets, jwks) = match &client.authentication {
            ClientAuthentication::SecretHashes(hashes) => ("client_secret", hashes.len(), None),
            ClientAuthentication::Jwks(jwks) => ("private_key_jwt", 0, RawValue::from_string(jwks.to_string()).ok()),
        };
        Self {
            client_id: client.id.to_string(),
            name: client.name.to_string(),
            tenant: client.tenant.get(),
            scopes,
            role,
            method,
            secrets,
            jwks,
            token_lifetime_s: client.token_lifetime_s,
            binding: super::client::binding_name(client.binding),
            state: client.state.name(),
            created_at: created_at.to_string(),
        }
    }
}

fn shown_grant(grant: &Grant) -> (Option<Vec<&'static str>>, Option<String>) {
    match grant {
        Grant::Scopes(scopes) => (Some(scopes.names().collect()), None),
        Grant::Role(name) => (None, Some(name.to_string())),
    }
}

/// An issuer whose access tokens are to be accepted.
#[derive(Debug, ToSchema)]
#[schema(as = NewIssuer)]
pub struct IssuerBody {
    /// Its name, as `iss` of its tokens has it: an https address.
    #[schema(example = "https://id.example/realms/shop")]
    pub issuer: String,
    /// What `aud` of its tokens must contain.
    #[schema(example = "https://pay.example")]
    pub audience: String,
    /// What it signs with, such as `ES256` and `RS256`.
    #[schema(example = json!(["ES256"]))]
    pub algorithms: Vec<String>,
    /// `access_token_jwt` (RFC 9068), or `plain_jwt` for issuers such as Keycloak.
    #[schema(example = "access_token_jwt")]
    pub profile: Option<String>,
    /// Whether its tokens must be bound to their sender: `optional` or `required`.
    #[schema(example = "optional")]
    pub binding: Option<String>,
    pub tenants: IssuerTenantsBody,
    /// Which scopes its tokens give, 1 to 256 rules. A token that no rule matches gives none.
    pub rules: Vec<IssuerRuleBody>,
}

/// Which tenants tokens are for: one, or the one that a claim names.
#[derive(Debug, ToSchema)]
#[schema(as = NewIssuerTenants)]
pub struct IssuerTenantsBody {
    /// The tenant that all tokens are for. Give this, or `claim` and `values`.
    #[schema(minimum = 1, example = 1)]
    pub fixed: Option<u32>,
    /// The name of the claim that says it, or the list of the names on the way to it.
    #[schema(value_type = Option<Object>)]
    pub claim: Option<String>,
    /// The tenant for each value of the claim. A token with another value is refused.
    #[schema(value_type = Option<Object>)]
    pub values: Option<String>,
}

/// Gives scopes to tokens with a value in a claim.
#[derive(Debug, ToSchema)]
#[schema(as = NewIssuerRule)]
pub struct IssuerRuleBody {
    /// The name of the claim, or the list of the names on the way to it.
    #[schema(value_type = Object, example = "scope")]
    pub claim: String,
    /// `listed`: a text is one value, a list is several. `spaced`: a text has spaces between its values.
    #[schema(example = "spaced")]
    pub values: Option<String>,
    /// The value that the claim must have, exactly.
    #[schema(example = "payments:write")]
    pub value: String,
    /// What the token then may do. Give this or `role`. The request itself must have all of it.
    #[schema(example = json!(["payments:write"]))]
    pub scopes: Option<Vec<String>>,
    /// The name of a role, whose scopes the token then has.
    #[schema(example = "developer")]
    pub role: Option<String>,
}

/// An issuer whose access tokens are accepted.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Issuer)]
pub struct IssuerShown {
    /// Its settings, as they were sent.
    #[schema(value_type = Object)]
    settings: Box<RawValue>,
    /// When it was added.
    #[schema(format = "date-time")]
    created_at: String,
    /// When its keys were last fetched; null if they never were since the start.
    #[schema(required, format = "date-time")]
    keys_fetched_at: Option<String>,
}

impl IssuerShown {
    pub fn new(issuer: &TokenIssuer, created_at: Timestamp, keys_fetched_at: Option<Timestamp>) -> Self {
        Self {
            settings: RawValue::from_string(issuer.document()).unwrap_or_default(),
            created_at: created_at.to_string(),
            keys_fetched_at: keys_fetched_at.map(|at| at.to_string()),
        }
    }
}

/// A role of the installation.
#[derive(Debug, ToSchema)]
#[schema(as = NewRole)]
pub struct RoleBody {
    /// Its name: 1 to 64 of a-z, 0-9 and `_`, starting with a letter, and not that of a built-in role.
    #[schema(example = "cashier")]
    pub name: String,
    /// Its scopes. The request itself must have all of them.
    #[schema(example = json!(["payments:read", "payments:write"]))]
    pub scopes: Vec<String>,
    /// What the role is for.
    #[schema(example = "takes payments at the counter")]
    pub summary: Option<String>,
}

/// A role of the installation.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Role)]
pub struct RoleShown {
    name: String,
    scopes: Vec<&'static str>,
    summary: String,
    /// When it was added.
    #[schema(format = "date-time")]
    created_at: String,
}

impl RoleShown {
    pub fn new(role: &CustomRole, created_at: Timestamp) -> Self {
        Self {
            name: role.name.to_string(),
            scopes: role.scopes.names().collect(),
            summary: role.summary.to_string(),
            created_at: created_at.to_string(),
        }
    }
}

/// A request for a token. A client with a secret may send it in the header `Authorization: Basic` instead.
#[derive(Debug, ToSchema)]
pub struct TokenForm {
    #[schema(example = "client_credentials")]
    pub grant_type: String,
    pub client_id: Option<String>,
    pub client_secret: Option<String>,
    /// For a client that signs: `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`.
    pub client_assertion_type: Option<String>,
    pub client_assertion: Option<String>,
    /// The scopes that the token should have, with spaces between them. Without it, all that the client may have.
    #[schema(example = "payments:read payments:write")]
    pub scope: Option<String>,
    /// The server that the token is for: this one.
    pub resource: Option<String>,
}

/// A question about a token, from a client that authenticates as for a token.
#[derive(Debug, ToSchema)]
pub struct TokenQuestionForm {
    pub token: String,
    pub client_id: Option<String>,
    pub client_secret: Option<String>,
    pub client_assertion_type: Option<String>,
    pub client_assertion: Option<String>,
}

/// The keys of the built-in issuer, by their names (`kid`).
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = SigningKeys)]
pub struct SigningKeysShown {
    /// The key that signs.
    pub active: String,
    /// The key that will sign after this one.
    pub next: String,
    /// The keys that sign no longer, whose tokens may still be valid.
    pub retired: Vec<String>,
}
