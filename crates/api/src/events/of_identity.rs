//! Events about identity: principals and their credentials. They leave out the hashes of secrets.

use engine::IdentityFact;
use serde::Serialize;
use utoipa::ToSchema;

use super::EventData;
use crate::scope::Scope;

/// A principal was added.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct PrincipalAdded {
    /// The number of the principal, which is the actor of the entries that its requests make.
    principal: u64,
    /// What the principal is: `system`, `service` or `person`.
    kind: &'static str,
    /// A name for people to read.
    name: String,
    /// The issuer of the access tokens that are about this principal. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// What that issuer calls the principal: the claim `sub` of its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
}

/// A credential was added to a principal.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct CredentialAdded {
    /// The number of the credential. The text of an API key contains it: `fin_<number>_…`.
    credential: u64,
    /// The number of the principal that the credential belongs to.
    principal: u64,
    /// How the principal authenticates: `api_key`.
    kind: &'static str,
    /// A name for people to read.
    name: String,
    /// The scopes that the credential grants.
    scopes: Vec<&'static str>,
    /// From when on the credential is not valid any more; absent if it is valid until it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    expires_at: Option<String>,
}

/// A credential was revoked: requests with it are refused from now on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct CredentialRevoked {
    /// The number of the credential.
    credential: u64,
}

/// A principal and its API key were added together, both with the same number. Only releases that did not have
/// principals yet made this event.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ApiKeyAdded {
    /// The number of the API key and of its principal, which is the actor of the entries that its requests make.
    key: u64,
    /// A name for people to read.
    name: String,
    /// The scopes that the credential grants.
    scopes: Vec<&'static str>,
}

pub(super) fn identity_data(fact: &IdentityFact) -> (&'static str, EventData) {
    let scopes = |bits| Scope::from_bits(bits).names().collect();
    match fact {
        IdentityFact::PrincipalAdded(added) => {
            let subject = added.subject.as_ref();
            let data = PrincipalAdded {
                principal: added.actor.get(),
                kind: added.kind.name(),
                name: added.name.to_string(),
                issuer: subject.map(|subject| subject.issuer().to_owned()),
                subject: subject.map(|subject| subject.subject().to_owned()),
            };
            ("principal_added", EventData::PrincipalAdded(data))
        }
        IdentityFact::CredentialAdded(added) => {
            let data = CredentialAdded {
                credential: added.credential.get(),
                principal: added.principal.get(),
                kind: added.kind.name(),
                name: added.name.to_string(),
                scopes: scopes(added.scopes),
                expires_at: added.expires_at.map(|at| at.to_string()),
            };
            ("credential_added", EventData::CredentialAdded(data))
        }
        IdentityFact::CredentialRevoked(revoked) => {
            let data = CredentialRevoked { credential: revoked.credential.get() };
            ("credential_revoked", EventData::CredentialRevoked(data))
        }
        IdentityFact::ApiKeyAdded(added) => {
            let data = ApiKeyAdded { key: added.key.get(), name: added.name.to_string(), scopes: scopes(added.scopes) };
            ("api_key_added", EventData::ApiKeyAdded(data))
        }
    }
}
