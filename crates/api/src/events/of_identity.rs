//! Events about identity: principals and their credentials. They leave out the hashes of secrets.

use engine::IdentityFact;
use serde::Serialize;
use utoipa::ToSchema;

use super::EventData;
use crate::scope::Scope;

/// A principal was added.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct PrincipalAdded {
    /// Its number, which entries carry as the actor.
    principal: u64,
    /// `system`, `service` or `person`.
    kind: &'static str,
    /// For people.
    name: String,
}

/// A principal got one more credential.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct CredentialAdded {
    /// Its number; an API key has it in its text, `fin_<number>_…`.
    credential: u64,
    /// The principal that it belongs to.
    principal: u64,
    /// `api_key`.
    kind: &'static str,
    /// For people.
    name: String,
    /// What it may do.
    scopes: Vec<&'static str>,
}

/// A principal and its API key in one, both with this number. Only releases before principals wrote this event.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ApiKeyAdded {
    /// Its number, which entries carry as the actor.
    key: u64,
    /// For people.
    name: String,
    /// What it may do.
    scopes: Vec<&'static str>,
}

pub(super) fn identity_data(fact: &IdentityFact) -> (&'static str, EventData) {
    let scopes = |bits| Scope::from_bits(bits).names().collect();
    match fact {
        IdentityFact::PrincipalAdded(added) => {
            let data =
                PrincipalAdded { principal: added.actor.get(), kind: added.kind.name(), name: added.name.to_string() };
            ("principal_added", EventData::PrincipalAdded(data))
        }
        IdentityFact::CredentialAdded(added) => {
            let data = CredentialAdded {
                credential: added.credential.get(),
                principal: added.principal.get(),
                kind: added.kind.name(),
                name: added.name.to_string(),
                scopes: scopes(added.scopes),
            };
            ("credential_added", EventData::CredentialAdded(data))
        }
        IdentityFact::ApiKeyAdded(added) => {
            let data = ApiKeyAdded { key: added.key.get(), name: added.name.to_string(), scopes: scopes(added.scopes) };
            ("api_key_added", EventData::ApiKeyAdded(data))
        }
    }
}
