//! Identity: the principals that make requests, and the credentials with which they authenticate.
//!
//! The actor of an entry is a principal, whichever of its credentials the request used. If a credential is lost or
//! replaced, the entries still name the same actor.

use std::collections::BTreeMap;

use types::{ActorId, CredentialId, Digest, DigestBuilder, RequestId, Timestamp};

use crate::decide::{Decide, Decided, Recording};
use crate::entry::{Entry, Fact};
use crate::{Answered, Engine, Made, Refusal};

/// A fact about principals and credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityFact {
    /// A principal was added.
    PrincipalAdded(PrincipalAdded),
    /// A credential was added to a principal.
    CredentialAdded(CredentialAdded),
    /// A principal and its API key were added together, both with the key's number. Releases before format version 4
    /// wrote this fact; this release only reads it.
    ApiKeyAdded(ApiKeyAdded),
}

/// A principal: a person or a program that can make requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalAdded {
    /// The number that entries have as their actor.
    pub actor: ActorId,
    pub kind: PrincipalKind,
    /// A name for people to read.
    pub name: Box<str>,
}

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// Finaira itself, or a part of it that acts on its own. It has no credentials.
    System,
    /// A program that calls the API.
    Service,
    Person,
}

impl PrincipalKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::System, Self::Service, Self::Person];

    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Service => "service",
            Self::Person => "person",
        }
    }
}

/// A credential, with which a principal authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialAdded {
    /// The number of the credential. The text of an API key contains it.
    pub credential: CredentialId,
    /// The principal that it belongs to.
    pub principal: ActorId,
    pub kind: CredentialKind,
    /// What requests with this credential may do: a set of bits, which `api` names.
    pub scopes: u32,
    /// A name for people to read.
    pub name: Box<str>,
}

/// How a principal authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// With a secret. The journal contains only its hash.
    ApiKey { hash: Digest },
}

impl CredentialKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiKey { .. } => "api_key",
        }
    }
}

/// An API key of a release that did not have principals yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyAdded {
    /// The number of the key, which is also the number of its principal.
    pub key: ActorId,
    /// The hash of the secret.
    pub hash: Digest,
    /// What requests with this key may do: a set of bits, which `api` names.
    pub scopes: u32,
    /// A name for people to read.
    pub name: Box<str>,
}

/// Why a principal or a credential was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityRefusal {
    #[error("principal {0} not found")]
    PrincipalNotFound(ActorId),
    #[error("principal {0} exists with different content")]
    PrincipalExistsWithDifferentContent(ActorId),
    /// A principal of the kind system cannot have credentials.
    #[error("principal {0} is of the kind `system`, which has no credentials")]
    PrincipalIsSystem(ActorId),
    #[error("credential {0} exists with different content")]
    CredentialExistsWithDifferentContent(CredentialId),
}

/// A principal as the state keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub kind: PrincipalKind,
    /// A name for people to read.
    pub name: Box<str>,
    /// When it was added; 0 for the system itself, which no entry adds.
    pub added_at: Timestamp,
}

/// All principals and credentials: the fold of the facts about them.
#[derive(Debug)]
pub(crate) struct Identities {
    pub(crate) principals: BTreeMap<ActorId, Principal>,
    pub(crate) credentials: BTreeMap<CredentialId, CredentialAdded>,
}

impl Default for Identities {
    fn default() -> Self {
        let system = Principal { kind: PrincipalKind::System, name: "system".into(), added_at: Timestamp::ZERO };
        Self { principals: BTreeMap::from([(ActorId::SYSTEM, system)]), credentials: BTreeMap::new() }
    }
}

/// Adds a principal. The caller chooses the number, so that it can retry.
impl Decide for PrincipalAdded {
    fn decide(&self, engine: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Made>, Refusal> {
        match engine.state.identities.principals.get(&self.actor) {
            None => Ok(Decided::Now(Recording::of(Fact::Identity(IdentityFact::PrincipalAdded(self.clone()))))),
            Some(known) if (known.kind, &known.name) == (self.kind, &self.name) => Ok(Decided::Before(Made::Before)),
            Some(_) => Err(IdentityRefusal::PrincipalExistsWithDifferentContent(self.actor).into()),
        }
    }

    fn made(&self, _: &mut Engine, _: &Entry) -> Answered<Self> {
        Ok(Made::Now)
    }
}

/// Adds a credential to a principal that exists. The caller chooses the number, so that it can retry.
impl Decide for CredentialAdded {
    fn decide(&self, engine: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Made>, Refusal> {
        let Identities { principals, credentials } = &engine.state.identities;
        let principal = principals.get(&self.principal);
        let principal = principal.ok_or(IdentityRefusal::PrincipalNotFound(self.principal))?;
        if principal.kind == PrincipalKind::System {
            return Err(IdentityRefusal::PrincipalIsSystem(self.principal).into());
        }
        match credentials.get(&self.credential) {
            None => Ok(Decided::Now(Recording::of(Fact::Identity(IdentityFact::CredentialAdded(self.clone()))))),
            Some(known) if known == self => Ok(Decided::Before(Made::Before)),
            Some(_) => Err(IdentityRefusal::CredentialExistsWithDifferentContent(self.credential).into()),
        }
    }

    fn made(&self, _: &mut Engine, _: &Entry) -> Answered<Self> {
        Ok(Made::Now)
    }
}

impl Identities {
    pub(crate) fn apply(&mut self, at: Timestamp, fact: &IdentityFact) {
        match fact {
            IdentityFact::PrincipalAdded(added) => self.add_principal(at, added.clone()),
            IdentityFact::CredentialAdded(added) => self.add_credential(added.clone()),
            IdentityFact::ApiKeyAdded(ApiKeyAdded { key, hash, scopes, name }) => {
                self.add_principal(
                    at,
                    PrincipalAdded { actor: *key, kind: PrincipalKind::Service, name: name.clone() },
                );
                self.add_credential(CredentialAdded {
                    credential: CredentialId::new(key.get()),
                    principal: *key,
                    kind: CredentialKind::ApiKey { hash: *hash },
                    scopes: *scopes,
                    name: name.clone(),
                });
            }
        }
    }

    fn add_principal(&mut self, added_at: Timestamp, PrincipalAdded { actor, kind, name }: PrincipalAdded) {
        let replaced = self.principals.insert(actor, Principal { kind, name, added_at });
        assert!(replaced.is_none(), "ENG-21: a principal is added once");
    }

    fn add_credential(&mut self, added: CredentialAdded) {
        let principal = self.principals.get(&added.principal);
        assert!(
            principal.is_some_and(|principal| principal.kind != PrincipalKind::System),
            "ENG-22: a credential belongs to a principal that can have credentials"
        );
        let replaced = self.credentials.insert(added.credential, added);
        assert!(replaced.is_none(), "ENG-23: a credential is added once");
    }
}

impl IdentityFact {
    /// Adds the new state to a digest. For an API key of an earlier release it adds what that release added, so that the
    /// digests in its journal still match.
    pub(crate) fn digest_into(&self, builder: &mut DigestBuilder) {
        match self {
            Self::PrincipalAdded(PrincipalAdded { actor, kind, name }) => {
                builder.u64(actor.get()).bytes(kind.name().as_bytes()).bytes(name.as_bytes());
            }
            Self::CredentialAdded(CredentialAdded { credential, principal, kind, scopes, name }) => {
                builder.u64(credential.get()).u64(principal.get()).bytes(kind.name().as_bytes());
                match kind {
                    CredentialKind::ApiKey { hash } => builder.bytes(hash.as_bytes()),
                };
                builder.u64(u64::from(*scopes)).bytes(name.as_bytes());
            }
            Self::ApiKeyAdded(ApiKeyAdded { key, hash, scopes, .. }) => {
                builder.u64(key.get()).bytes(hash.as_bytes()).u64(u64::from(*scopes));
            }
        }
    }
}
