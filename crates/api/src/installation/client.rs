//! Clients of the built-in issuer: the document of one, and the request to register it.

use issuer::{Authentication, ClientBinding, TOKEN_LIFETIME_MAX, TOKEN_LIFETIME_MIN, check_client_id};
use oauth::Keys;
use types::{Digest, RequestId, Span, TenantId};

use crate::errors::ErrorCode;
use crate::json::{Fields, Json, Number};
use crate::problem::Problem;
use crate::scope::Scope;

#[cfg(test)]
use super::DOCUMENT_BYTES_MAX;
use super::grant::{Grant, Roles};
use super::{check_size, name, object, text, word};

/// The most secrets that a client has at a time: one, and its successor.
pub const CLIENT_SECRETS_MAX: usize = 2;

/// A client, as its document in the system journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its `client_id`, which is the name of the setting.
    pub id: Box<str>,
    /// A name for people to read.
    pub name: Box<str>,
    pub tenant: TenantId,
    pub grant: Grant,
    pub authentication: ClientAuthentication,
    pub token_lifetime_s: Option<u32>,
    pub binding: ClientBinding,
    pub state: ClientState,
    /// The request that registered it, by which a retry finds it.
    pub request: Option<RequestId>,
}

/// How a client shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// With a secret that has one of these hashes.
    SecretHashes(Vec<Digest>),
    /// With assertions that it signs. The public keys as JSON (RFC 7517), in the spelling of `Json::canonical`.
    Jwks(Box<str>),
}

/// Whether a client gets tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientState {
    Active,
    /// It gets none, and those that it has do not count any more. This is final.
    Revoked,
}

/// A client to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClient {
    /// The id that it asks for. Without one, the server makes one.
    pub id: Option<Box<str>>,
    pub name: Box<str>,
    /// The tenant that it is for. Without one, that of the caller.
    pub tenant: Option<TenantId>,
    pub grant: Grant,
    pub authentication: NewAuthentication,
    pub token_lifetime_s: Option<u32>,
    pub binding: ClientBinding,
}

/// How a new client shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewAuthentication {
    /// With a secret that the server draws.
    Secret,
    /// As for [`ClientAuthentication::Jwks`].
    Jwks(Box<str>),
}

const BINDINGS: &[(&str, ClientBinding)] = &[
    ("optional", ClientBinding::Optional),
    ("dpop", ClientBinding::Dpop),
    ("certificate", ClientBinding::Certificate),
];
const STATES: &[(&str, ClientState)] = &[("active", ClientState::Active), ("revoked", ClientState::Revoked)];

/// The name of what the tokens of a client must be bound to.
pub(super) const fn binding_name(binding: ClientBinding) -> &'static str {
    match binding {
        ClientBinding::Optional => "optional",
        ClientBinding::Dpop => "dpop",
        ClientBinding::Certificate => "certificate",
    }
}

impl ClientState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
        }
    }
}

impl Client {
    /// Whether a request that describes `new` registered this client. `tenant` is that of whoever asks. Secrets may have been
    /// rotated since, and are not compared.
    pub fn is_as_asked(&self, new: &NewClient, tenant: TenantId) -> bool {
        let authenticates = match (&self.authentication, &new.authentication) {
            (ClientAuthentication::SecretHashes(_), NewAuthentication::Secret) => true,
            (ClientAuthentication::Jwks(known), NewAuthentication::Jwks(asked)) => known == asked,
            (ClientAuthentication::SecretHashes(_), NewAuthentication::Jwks(_))
            | (ClientAuthentication::Jwks(_), NewAuthentication::Secret) => false,
        };
        let own = (&self.name, self.tenant, &self.grant, self.token_lifetime_s, self.binding);
        let asked = (&new.name, new.tenant.unwrap_or(tenant), &new.grant, new.token_lifetime_s, new.binding);
        authenticates && own == asked && new.id.as_ref().is_none_or(|id| *id == self.id)
    }

    /// The document, in its only spelling: without spaces, with sorted fields.
    pub fn document(&self) -> String {
        let number = |number: &u32| Json::Number(Number::of(number));
        let authentication = match &self.authentication {
            ClientAuthentication::SecretHashes(hashes) => {
                let hashes = hashes.iter().map(|hash| text(&hash.to_string())).collect();
                object([("secret_hashes", Some(Json::List(hashes)))])
            }
            ClientAuthentication::Jwks(jwks) => object([("jwks", Json::read(jwks).ok())]),
        };
        let [role, scopes] = self.grant.fields();
        let fields = [
            ("authentication", Some(authentication)),
            ("binding", Some(text(binding_name(self.binding)))),
            ("client_id", Some(text(&self.id))),
            ("name", Some(text(&self.name))),
            ("request", self.request.map(|request| text(&request.to_string()))),
            role,
            scopes,
            ("state", Some(text(self.state.name()))),
            ("tenant", Some(number(&self.tenant.get()))),
            ("token_lifetime_s", self.token_lifetime_s.as_ref().map(number)),
        ];
        object(fields).canonical("").unwrap_or_default()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If it does not describe a client.
    pub fn read(document: &str) -> Result<Self, Problem> {
        let known = [
            "authentication",
            "binding",
            "client_id",
            "name",
            "request",
            "role",
            "scopes",
            "state",
            "tenant",
            "token_lifetime_s",
        ];
        let mut fields = Fields::of_body(document.as_bytes(), &known)?;
        let state = word(&mut fields, "state", STATES, None)?;
        let request = fields.parsed("request", "a request id")?;
        let mut authentication = nested(&mut fields, "authentication", &["secret_hashes", "jwks"])?;
        let authentication = if authentication.has("secret_hashes") {
            ClientAuthentication::SecretHashes(secret_hashes(&mut authentication)?)
        } else {
            ClientAuthentication::Jwks(jwks(&mut authentication)?)
        };
        let id = fields.required("client_id", |fields, _| client_id(fields))?;
        let tenant = fields.required("tenant", tenant)?;
        let Described { name, grant, token_lifetime_s, binding } = described(&mut fields)?;
        Ok(Self { id, name, tenant, grant, authentication, token_lifetime_s, binding, state, request })
    }

    /// The client, as the issuer looks it up.
    ///
    /// # Errors
    /// If its keys cannot be read any more.
    pub fn registered(&self, roles: &dyn Roles) -> Result<issuer::Client, Problem> {
        let authentication = match &self.authentication {
            ClientAuthentication::SecretHashes(hashes) => Authentication::Secrets(hashes.clone()),
            ClientAuthentication::Jwks(jwks) => Authentication::Keys(parse_keys(jwks)?),
        };
        Ok(issuer::Client {
            id: self.id.to_string(),
            tenant: self.tenant,
            scopes: self.scopes(roles).names().map(Into::into).collect(),
            authentication,
            token_lifetime: self.token_lifetime_s.map(|seconds| Span::from_secs(seconds.into())),
            binding: self.binding,
            is_revoked: self.state == ClientState::Revoked,
        })
    }

    /// What the client may do.
    pub fn scopes(&self, roles: &dyn Roles) -> Scope {
        self.grant.scopes(roles)
    }
}

/// Parses the body of `POST /v1/clients`.
///
/// # Errors
/// If the body does not describe a client.
pub fn new_client(body: &[u8]) -> Result<NewClient, Problem> {
    let known = ["client_id", "name", "tenant", "role", "scopes", "authentication", "token_lifetime_s", "binding"];
    let mut fields = Fields::of_body(body, &known)?;
    let (id, tenant) = (client_id(&mut fields)?, tenant(&mut fields, "tenant")?);
    let mut authentication = nested(&mut fields, "authentication", &["method", "jwks"])?;
    let methods = [("client_secret", false), ("private_key_jwt", true)];
    let authentication = match (word(&mut authentication, "method", &methods, None)?, authentication.has("jwks")) {
        (false, false) => NewAuthentication::Secret,
        (false, true) => {
            let detail = "found it for a client with a secret, expected the method `private_key_jwt`";
            return Err(authentication.invalid("jwks", detail));
        }
        (true, _) => NewAuthentication::Jwks(jwks(&mut authentication)?),
    };
    let Described { name, grant, token_lifetime_s, binding } = described(&mut fields)?;
    let new = NewClient { id, name, tenant, grant, authentication, token_lifetime_s, binding };
    check_size(
        &new.clone().into_client("0".into(), new.tenant.unwrap_or_default(), &[Digest::default()], None).document(),
    )?;
    Ok(new)
}

impl NewClient {
    /// The client that is registered: with the id that it asked for or `id`, and with `hashes` if it has a secret.
    #[must_use]
    pub fn into_client(self, id: Box<str>, tenant: TenantId, hashes: &[Digest], request: Option<RequestId>) -> Client {
        let authentication = match self.authentication {
            NewAuthentication::Secret => ClientAuthentication::SecretHashes(hashes.to_vec()),
            NewAuthentication::Jwks(jwks) => ClientAuthentication::Jwks(jwks),
        };
        Client {
            id: self.id.unwrap_or(id),
            name: self.name,
            tenant: self.tenant.unwrap_or(tenant),
            grant: self.grant,
            authentication,
            token_lifetime_s: self.token_lifetime_s,
            binding: self.binding,
            state: ClientState::Active,
            request,
        }
    }
}

/// What the document and the request have in common.
struct Described {
    name: Box<str>,
    grant: Grant,
    token_lifetime_s: Option<u32>,
    binding: ClientBinding,
}

fn described(fields: &mut Fields) -> Result<Described, Problem> {
    let seconds = |span: Span| u32::try_from(span.ns().div_euclid(Span::from_secs(1).ns())).unwrap_or(u32::MAX);
    let (min, max) = (seconds(TOKEN_LIFETIME_MIN), seconds(TOKEN_LIFETIME_MAX));
    Ok(Described {
        name: name(fields)?,
        grant: Grant::read(fields)?,
        token_lifetime_s: fields.number("token_lifetime_s", min, max)?,
        binding: word(fields, "binding", BINDINGS, Some(ClientBinding::Optional))?,
    })
}

fn nested(fields: &mut Fields, field: &str, known: &[&str]) -> Result<Fields, Problem> {
    let value = fields.required(field, |fields, field| Ok(fields.take(field)))?;
    Fields::of(value, fields.pointer_of(field))?.among(known)
}

fn client_id(fields: &mut Fields) -> Result<Option<Box<str>>, Problem> {
    let Some(id) = fields.text("client_id", "a string with the id of a client", 256)? else { return Ok(None) };
    check_client_id(&id).map_err(|error| fields.invalid("client_id", error.to_string()))?;
    Ok(Some(id.into()))
}

fn tenant(fields: &mut Fields, field: &str) -> Result<Option<TenantId>, Problem> {
    Ok(fields.number(field, 1, u32::MAX)?.map(TenantId::new))
}

fn secret_hashes(fields: &mut Fields) -> Result<Vec<Digest>, Problem> {
    let list = fields.list("secret_hashes", CLIENT_SECRETS_MAX)?;
    let hash = |json: &Json| json.as_text().and_then(|text| text.parse().ok());
    let hashes: Option<Vec<_>> = list.iter().map(hash).collect();
    hashes.ok_or_else(|| fields.invalid("secret_hashes", "expected digests of 64 hexadecimal digits"))
}

/// Reads the public keys of a client. Every key must be one that the client can sign with.
fn jwks(fields: &mut Fields) -> Result<Box<str>, Problem> {
    let value = fields.required("jwks", |fields, field| Ok(fields.take(field)))?;
    let pointer = fields.pointer_of("jwks");
    let text = value.canonical(&pointer)?;
    parse_keys(&text).map_err(|problem| problem.at(pointer))?;
    Ok(text.into())
}

fn parse_keys(jwks: &str) -> Result<Keys, Problem> {
    let invalid = |detail: String| Problem::new(ErrorCode::InvalidField, detail);
    let keys = Keys::parse(jwks.as_bytes()).map_err(|error| invalid(error.to_string()))?;
    if let Some((place, error)) = keys.skipped.first() {
        return Err(invalid(format!("key {place} of the set: {error}")));
    }
    if keys.usable().is_empty() {
        return Err(invalid("the key set has no keys, expected at least one".to_owned()));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 7515, appendix A.3.1.
    const KEY: &str = r#"{"crv":"P-256","kid":"1","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

    struct Cashier;

    impl Roles for Cashier {
        fn added(&self, name: &str) -> Option<Scope> {
            (name == "cashier").then_some(Scope::PAYMENTS_WRITE)
        }
    }

    fn jwks() -> Box<str> {
        format!(r#"{{"keys":[{KEY}]}}"#).into()
    }

    fn client() -> Client {
        Client {
            id: "checkout-1".into(),
            name: "Checkout \"A\"".into(),
            tenant: TenantId::new(2),
            grant: Grant::Scopes(Scope::PAYMENTS_READ.and(Scope::PAYMENTS_WRITE)),
            authentication: ClientAuthentication::SecretHashes(vec![Digest::new([1; 32]), Digest::new([2; 32])]),
            token_lifetime_s: Some(60),
            binding: ClientBinding::Dpop,
            state: ClientState::Active,
            request: Some(RequestId::new(9)),
        }
    }

    #[test]
    fn a_document_reads_as_it_was_written() {
        let (one, two) = (Digest::new([1; 32]), Digest::new([2; 32]));
        let document = format!(
            r#"{{"authentication":{{"secret_hashes":["{one}","{two}"]}},"binding":"dpop","client_id":"checkout-1","name":"Checkout \"A\"","request":"00000000-0000-0000-0000-000000000009","scopes":["payments:read","payments:write"],"state":"active","tenant":2,"token_lifetime_s":60}}"#
        );
        assert_eq!(client().document(), document);
        let signs = Client {
            grant: Grant::Role("cashier".parse().unwrap()),
            authentication: ClientAuthentication::Jwks(jwks()),
            token_lifetime_s: None,
            binding: ClientBinding::Certificate,
            state: ClientState::Revoked,
            request: None,
            ..client()
        };
        for client in [client(), signs] {
            assert_eq!(Client::read(&client.document()), Ok(client));
        }
    }

    #[test]
    fn a_retry_is_the_same_only_if_every_field_is() {
        let own = TenantId::new(7);
        let secret = r#"{"name":"A","scopes":["payments:read"],"authentication":{"method":"client_secret"}}"#;
        let made = |body: &str| new_client(body.as_bytes()).unwrap().into_client("drawn".into(), own, &[], None);
        let known = made(secret);
        let same = |known: &Client, body: &str| known.is_as_asked(&new_client(body.as_bytes()).unwrap(), own);
        assert!(same(&known, secret));
        assert!(same(&known, &secret.replacen('{', r#"{"tenant":7,"#, 1)), "it is the own tenant");
        let signs = |x: &str| {
            let method =
                format!(r#""method":"private_key_jwt","jwks":{{"keys":[{}]}}"#, KEY.replace(r#""kid":"1""#, x));
            secret.replace(r#""method":"client_secret""#, &method)
        };
        let signing = made(&signs(r#""kid":"1""#));
        assert!(same(&signing, &signs(r#""kid":"1""#)));
        assert!(
            !same(&signing, &signs(r#""kid":"2""#)) && !same(&signing, secret) && !same(&known, &signs(r#""kid":"1""#))
        );
        for (from, to) in [
            (r#""name":"A""#, r#""name":"B""#),
            (r#""name":"A""#, r#""name":"A","tenant":8"#),
            (r#""name":"A""#, r#""name":"A","client_id":"other""#),
            (r#""name":"A""#, r#""name":"A","binding":"dpop""#),
            (r#""name":"A""#, r#""name":"A","token_lifetime_s":60"#),
            ("payments:read", "payments:write"),
        ] {
            assert!(!same(&known, &secret.replace(from, to)), "{to}");
        }
    }

    #[test]
    fn a_request_becomes_a_client_that_the_issuer_knows() {
        let body = format!(
            r#"{{"name":"A","role":"cashier","authentication":{{"method":"private_key_jwt","jwks":{{"keys":[{KEY}]}}}}}}"#
        );
        let client = new_client(body.as_bytes()).unwrap().into_client("drawn".into(), TenantId::new(7), &[], None);
        assert_eq!((&*client.id, client.tenant, client.state), ("drawn", TenantId::new(7), ClientState::Active));
        assert_eq!(client.authentication, ClientAuthentication::Jwks(jwks()));
        let registered = client.registered(&Cashier).unwrap();
        assert_eq!(registered.scopes, ["payments:write".into()].into());
        assert!(matches!(registered.authentication, Authentication::Keys(keys) if keys.usable().len() == 1));
        let body =
            r#"{"client_id":"a","name":"A","tenant":3,"role":"gone","authentication":{"method":"client_secret"}}"#;
        let client = new_client(body.as_bytes()).unwrap();
        let client = client.into_client("drawn".into(), TenantId::new(7), &[Digest::default()], None);
        assert_eq!((&*client.id, client.tenant), ("a", TenantId::new(3)));
        let registered = client.registered(&Cashier).unwrap();
        assert!(registered.scopes.is_empty(), "a role that was removed gives nothing");
        assert!(matches!(registered.authentication, Authentication::Secrets(hashes) if hashes.len() == 1));
    }

    #[test]
    fn what_is_no_client_is_refused_at_its_field() {
        let with = |more: &str| format!(r#"{{"name":"A","scopes":["payments:read"],{more}}}"#);
        let secret = r#""authentication":{"method":"client_secret"}"#;
        let signs = |jwks: &str| with(&format!(r#""authentication":{{"method":"private_key_jwt","jwks":{jwks}}}"#));
        let private = KEY.replace(r#""x":"#, r#""d":"AQ","x":"#);
        let huge = format!(r#"{{"keys":[{KEY}],"x":"{}"}}"#, "x".repeat(DOCUMENT_BYTES_MAX));
        for (body, field, detail) in [
            (format!("{{{secret}}}"), "/name", "required"),
            (format!(r#"{{"name":"A",{secret}}}"#), "/scopes", "found neither"),
            (with(&format!(r#"{secret},"role":"auditor""#)), "/role", "found both"),
            (with(r#""authentication":{}"#), "/authentication/method", "required"),
            (with(r#""authentication":{"method":"none"}"#), "/authentication/method", "`client_secret` or"),
            (with(r#""authentication":{"method":"client_secret","secret":"x"}"#), "/authentication/secret", "no field"),
            (
                with(r#""authentication":{"method":"client_secret","jwks":{}}"#),
                "/authentication/jwks",
                "private_key_jwt",
            ),
            (with(r#""authentication":{"method":"private_key_jwt"}"#), "/authentication/jwks", "required"),
            (signs("{}"), "/authentication/jwks", "nothing as `keys`"),
            (signs(r#"{"keys":[]}"#), "/authentication/jwks", "no keys"),
            (signs(&format!(r#"{{"keys":[{private}]}}"#)), "/authentication/jwks", "private"),
            (signs(r#"{"keys":[{"kty":"oct","k":"AQ"}]}"#), "/authentication/jwks", "symmetric"),
            (signs(r#"{"keys":[{"kty":"quantum"}]}"#), "/authentication/jwks", "not supported"),
            (signs(r#""https://evil.example/jwks""#), "/authentication/jwks", "not valid"),
            (with(&format!(r#"{secret},"client_id":"a b""#)), "/client_id", "is not an id of a client"),
            (with(&format!(r#"{secret},"tenant":0"#)), "/tenant", "from 1"),
            (with(&format!(r#"{secret},"token_lifetime_s":3601"#)), "/token_lifetime_s", "from 10 to 3600"),
            (with(&format!(r#"{secret},"binding":"mtls""#)), "/binding", "expected `optional` or `dpop`"),
            (with(&format!(r#"{secret},"state":"revoked""#)), "/state", "no field"),
            (signs(&huge), "-", "at most 16384"),
        ] {
            let problem = new_client(body.as_bytes()).unwrap_err();
            assert_eq!(problem.field().unwrap_or("-"), field, "{body}: {}", problem.detail());
            assert!(problem.detail().contains(detail), "{body}: {}", problem.detail());
        }
    }
}
