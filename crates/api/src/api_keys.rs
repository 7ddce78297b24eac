//! API keys: parses the requests and renders the answers.

use engine::{CredentialReply, KeyOwner, PrincipalKind};
use serde::Serialize;
use types::{ActorId, CredentialId, Timestamp, shorten};
use utoipa::ToSchema;

use crate::errors::ErrorCode;
use crate::json::{Fields, one_of};
use crate::parameters;
use crate::problem::Problem;
use crate::scope::{Role, Scope};

/// The longest name of an API key or a principal.
const NAME_BYTES_MAX: usize = 128;

/// An API key to create.
#[derive(Debug, ToSchema)]
#[schema(as = NewApiKey)]
pub struct ApiKeyBody {
    /// A name for people to read, 1 to 128 bytes.
    #[schema(example = "checkout, production")]
    pub name: String,
    /// The number of the principal that the key belongs to. Give this or `new_principal`.
    #[schema(format = Int64, minimum = 1, example = 1)]
    pub principal: Option<u32>,
    /// A principal that is added with the key.
    pub new_principal: Option<PrincipalBody>,
    /// The scopes of the key. Give this or `role`. The key of the request must have all of them.
    #[schema(example = json!(["payments:read", "payments:write"]))]
    pub scopes: Option<Vec<String>>,
    /// The name of a role, whose scopes the key gets.
    #[schema(example = "developer")]
    pub role: Option<String>,
    /// From when on the key is not valid any more. Without it, the key is valid until it is revoked.
    #[schema(format = "date-time")]
    pub expires_at: Option<String>,
}

/// A principal to add.
#[derive(Debug, ToSchema)]
#[schema(as = NewPrincipal)]
pub struct PrincipalBody {
    /// What the principal is: `service` or `person`.
    #[schema(example = "service")]
    pub kind: String,
    /// A name for people to read, 1 to 128 bytes.
    #[schema(example = "checkout")]
    pub name: String,
}

/// An API key to create, parsed.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    pub name: Box<str>,
    pub owner: KeyOwner,
    pub scopes: Scope,
    pub expires_at: Option<Timestamp>,
}

/// The principal that an API key belongs to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeyPrincipal {
    /// The number of the principal, which is the actor of the entries that its requests make.
    #[schema(example = 1)]
    id: u64,
    /// What the principal is: `service` or `person`.
    #[schema(example = "service")]
    kind: &'static str,
    /// A name for people to read.
    name: String,
}

/// An API key, without its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ApiKey {
    /// The number of the key, which its text contains: `fin_<number>_…`.
    #[schema(example = 2)]
    id: u64,
    /// A name for people to read.
    name: String,
    principal: KeyPrincipal,
    /// What requests with this key may do.
    scopes: Vec<&'static str>,
    /// `active`, `expired` or `revoked`. A key that has ended never becomes active again.
    #[schema(example = "active")]
    status: &'static str,
    /// When the key was created.
    #[schema(format = "date-time")]
    created_at: String,
    /// From when on the key is not valid any more; null if it stays valid until it is revoked.
    #[schema(required, format = "date-time")]
    expires_at: Option<String>,
    /// When the key was revoked; null if it was not.
    #[schema(required, format = "date-time")]
    revoked_at: Option<String>,
    /// The minute in which the key was last used. The server remembers it until it stops; null if the key was not used
    /// since the start of the server.
    #[schema(required, format = "date-time")]
    last_used_at: Option<String>,
}

/// The answer to a request to create an API key.
#[derive(Clone, Serialize, ToSchema)]
pub struct CreatedApiKey {
    api_key: ApiKey,
    /// The key itself, for the header `Authorization: Bearer`. The server stores only its hash, so this answer is the only
    /// one that shows it; null in the answer to a retry.
    #[schema(required, example = "fin_2_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE")]
    key: Option<String>,
    /// What to know about `key`.
    note: &'static str,
}

// The key is left out so that it does not get into logs.
impl std::fmt::Debug for CreatedApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedApiKey").field("api_key", &self.api_key).finish_non_exhaustive()
    }
}

impl CreatedApiKey {
    /// `key` is `None` if an earlier request created the key.
    pub fn new(api_key: ApiKey, key: Option<String>) -> Self {
        let note = match key {
            Some(_) => "the key is shown only in this answer; keep it",
            None => {
                "the first answer to this request showed the key, and nobody can show it again; if it is lost, revoke it and create another one"
            }
        };
        Self { api_key, key, note }
    }
}

impl ApiKey {
    /// `last_used` is the minute in which the key was last used, if it is known.
    pub fn new(reply: &CredentialReply, last_used: Option<Timestamp>) -> Self {
        let CredentialReply { credential, principal, status } = reply;
        let added = &credential.added;
        let text = |at: Timestamp| at.to_string();
        Self {
            id: added.credential.get(),
            name: added.name.to_string(),
            principal: KeyPrincipal {
                id: added.principal.get(),
                kind: principal.kind.name(),
                name: principal.name.to_string(),
            },
            scopes: Scope::from_bits(added.scopes).names().collect(),
            status: status.name(),
            created_at: text(credential.added_at),
            expires_at: added.expires_at.map(text),
            revoked_at: credential.revoked_at.map(text),
            last_used_at: last_used.map(text),
        }
    }
}

/// Parses the body of `POST /v1/api-keys`.
///
/// # Errors
/// If the body does not describe an API key.
pub fn new_key(body: &[u8]) -> Result<NewApiKey, Problem> {
    let known = ["name", "principal", "new_principal", "scopes", "role", "expires_at"];
    let mut fields = Fields::of_body(body, &known)?;
    let name = name(&mut fields)?;
    let owner = owner(&mut fields)?;
    let scopes = scopes(&mut fields)?;
    let expires_at: Option<Timestamp> =
        fields.parsed("expires_at", "a string with a time, such as \"2027-01-31T00:00:00Z\"")?;
    Ok(NewApiKey { name, owner, scopes, expires_at })
}

/// Parses the number of an API key in a path.
///
/// # Errors
/// If it is not a number of a key.
pub fn key_id(text: &str) -> Result<CredentialId, Problem> {
    parameters::number("id", text, 1..=u64::MAX).map(CredentialId::new)
}

fn name(fields: &mut Fields) -> Result<Box<str>, Problem> {
    let expected = format!("a string of 1 to {NAME_BYTES_MAX} bytes");
    let name = fields.required("name", |fields, name| fields.text(name, &expected, NAME_BYTES_MAX))?;
    if name.trim().is_empty() {
        return Err(fields.invalid("name", format!("found an empty string, expected {expected}")));
    }
    Ok(name.into())
}

fn owner(fields: &mut Fields) -> Result<KeyOwner, Problem> {
    let known = fields.number("principal", 1, u32::MAX)?;
    match (known, fields.take("new_principal")) {
        (Some(actor), None) => Ok(KeyOwner::Known(ActorId::new(u64::from(actor)))),
        (None, Some(new)) => {
            let mut new = Fields::of(new, fields.pointer_of("new_principal"))?.among(&["kind", "name"])?;
            let expected = "`service` or `person`";
            let kind = new.required("kind", |new, kind| new.text(kind, expected, NAME_BYTES_MAX))?;
            let kind = match kind.as_str() {
                "service" => PrincipalKind::Service,
                "person" => PrincipalKind::Person,
                other => {
                    return Err(new.invalid("kind", format!("found `{}`, expected {expected}", shorten(other))));
                }
            };
            Ok(KeyOwner::New { kind, name: name(&mut new)? })
        }
        (Some(_), Some(_)) => {
            Err(fields.invalid("new_principal", "expected `principal` or `new_principal`, found both"))
        }
        (None, None) => Err(neither(fields, "principal", "new_principal")),
    }
}

fn neither(fields: &Fields, one: &str, other: &str) -> Problem {
    let detail = format!("expected `{one}` or `{other}`, found neither");
    Problem::new(ErrorCode::MissingField, detail).at(fields.pointer_of(one))
}

fn scopes(fields: &mut Fields) -> Result<Scope, Problem> {
    let role = fields.text("role", "a string with the name of a role", NAME_BYTES_MAX)?;
    let listed = Scope::listed(fields)?;
    let role = match (role, listed) {
        (None, None) => return Err(neither(fields, "scopes", "role")),
        (None, Some(scopes)) => return Ok(scopes),
        (Some(_), Some(_)) => return Err(fields.invalid("role", "expected `scopes` or `role`, found both")),
        (Some(role), None) => role,
    };
    let named = Role::named(&role).map(|role| role.scopes);
    named.ok_or_else(|| {
        let names: Vec<&str> = Role::TABLE.iter().map(|role| role.name).collect();
        fields.invalid("role", format!("found `{}`, expected {}", shorten(&role), one_of(&names)))
    })
}
