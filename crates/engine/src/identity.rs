//! Identity: the principals that make requests, and the credentials with which they authenticate.
//!
//! The actor of an entry is a principal, whichever of its credentials the request used. If a credential is lost or
//! replaced, the entries still name the same actor.

use std::collections::{BTreeMap, BTreeSet};

use types::{ActorId, CredentialId, Digest, DigestBuilder, RequestId, Timestamp, TokenSubject};

use crate::api_keys::Sender;
use crate::decide::{Decide, Decided, Recording};
use crate::entry::{Entry, Fact, Header};
use crate::{Answered, Engine, Made, Refusal};

/// The scope of a credential that may add and revoke credentials, as a bit. The crate `api` names it.
pub const KEYS_MANAGE: u32 = 1 << 16;
/// The most credentials that a journal can add through the API, those that were revoked or have expired included. The
/// state keeps about 200 bytes of each.
pub const CREDENTIALS_MAX: usize = 262_144;
/// The most principals whose subject issuers of access tokens name. The state keeps up to about a kilobyte of each.
pub const SUBJECTS_MAX: usize = 262_144;

/// A fact about principals and credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityFact {
    /// A principal was added.
    PrincipalAdded(PrincipalAdded),
    /// A credential was added to a principal.
    CredentialAdded(CredentialAdded),
    /// A credential was revoked.
    CredentialRevoked(CredentialRevoked),
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
    /// Who its access tokens are about, if it has any.
    pub subject: Option<TokenSubject>,
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
    /// From when on it is not valid any more; `None` if it stays valid until it is revoked.
    pub expires_at: Option<Timestamp>,
}

/// A credential that is not valid any more, from its entry on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialRevoked {
    pub credential: CredentialId,
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
    #[error("API key {0} not found")]
    CredentialNotFound(CredentialId),
    /// The credential of the request ended after the request was authenticated.
    #[error("API key {sender}, which sent this request, is {}", status.name())]
    SenderEnded { sender: CredentialId, status: CredentialStatus },
    /// The credential of the request cannot add or revoke credentials; 0 stands for an access token.
    #[error("API key {0}, which sent this request, may not manage API keys")]
    SenderMayNotManage(CredentialId),
    /// A credential can only give scopes that it has.
    #[error("an API key cannot give scopes that it does not have itself")]
    ScopesNotHeld {
        /// The scopes that the sender lacks, as bits.
        missing: u32,
    },
    #[error("found the expiry {expires_at}, expected a time after {now}")]
    ExpiryNotLater { expires_at: Timestamp, now: Timestamp },
    #[error(
        "API key {0} is the last one without an expiry that can manage API keys; first make another one, without an expiry"
    )]
    LastManager(CredentialId),
    #[error("there are {0} API keys, which is the limit")]
    TooManyCredentials(usize),
    #[error("there are {0} principals with access tokens, which is the limit")]
    TooManySubjects(usize),
}

/// A principal as the state keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub kind: PrincipalKind,
    /// A name for people to read.
    pub name: Box<str>,
    /// Who its access tokens are about, if it has any.
    pub subject: Option<TokenSubject>,
    /// When it was added; 0 for the system itself, which no entry adds.
    pub added_at: Timestamp,
}

/// A credential as the state keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub added: CredentialAdded,
    pub added_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

/// Whether a credential is valid at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialStatus {
    Active,
    Expired,
    Revoked,
}

impl CredentialStatus {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Credential {
    /// Whether the credential is valid at `at`.
    pub fn status_at(&self, at: Timestamp) -> CredentialStatus {
        if self.revoked_at.is_some() {
            return CredentialStatus::Revoked;
        }
        let has_expired = self.added.expires_at.is_some_and(|expiry| expiry <= at);
        if has_expired { CredentialStatus::Expired } else { CredentialStatus::Active }
    }

    /// Whether it can manage credentials.
    pub const fn manages(&self) -> bool {
        self.added.scopes & KEYS_MANAGE != 0
    }
}

/// All principals and credentials: the fold of the facts about them.
#[derive(Debug)]
pub(crate) struct Identities {
    pub(crate) principals: BTreeMap<ActorId, Principal>,
    pub(crate) credentials: BTreeMap<CredentialId, Credential>,
    /// The credentials that requests with an id added, so that a retry is recognised.
    requests: BTreeMap<RequestId, CredentialId>,
    /// The credentials that manage others, never expire and are not revoked.
    managers: BTreeSet<CredentialId>,
    /// The credential of each fact about one, in order.
    pub(crate) changed: Vec<CredentialId>,
    /// The principals whose access tokens are about these subjects.
    pub(crate) subjects: BTreeMap<TokenSubject, ActorId>,
    /// The same, in the order in which they were added.
    pub(crate) admitted: Vec<(TokenSubject, ActorId)>,
}

impl Default for Identities {
    fn default() -> Self {
        let system =
            Principal { kind: PrincipalKind::System, name: "system".into(), subject: None, added_at: Timestamp::ZERO };
        Self {
            principals: BTreeMap::from([(ActorId::SYSTEM, system)]),
            credentials: BTreeMap::new(),
            requests: BTreeMap::new(),
            managers: BTreeSet::new(),
            changed: Vec::new(),
            subjects: BTreeMap::new(),
            admitted: Vec::new(),
        }
    }
}

/// Adds a principal. The caller chooses the number, so that it can retry.
impl Decide for PrincipalAdded {
    fn decide(&self, engine: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Made>, Refusal> {
        let identities = &engine.state.identities;
        if let Some(taken) = self.subject.as_ref().and_then(|subject| identities.subjects.get(subject))
            && *taken != self.actor
        {
            return Err(IdentityRefusal::PrincipalExistsWithDifferentContent(*taken).into());
        }
        match identities.principals.get(&self.actor) {
            None => Ok(Decided::Now(Recording::of(Fact::Identity(IdentityFact::PrincipalAdded(self.clone()))))),
            Some(known) if (known.kind, &known.name, &known.subject) == (self.kind, &self.name, &self.subject) => {
                Ok(Decided::Before(Made::Before))
            }
            Some(_) => Err(IdentityRefusal::PrincipalExistsWithDifferentContent(self.actor).into()),
        }
    }

    fn made(&self, _: &mut Engine, _: &Entry) -> Answered<Self> {
        Ok(Made::Now)
    }
}

/// Finds the principal whose access tokens are about this subject. The first time, it adds one with the next free number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmitSubject {
    pub subject: TokenSubject,
    /// What a principal that is added is. One that exists stays as it is.
    pub kind: PrincipalKind,
    /// A name for people to read. One that exists keeps its name.
    pub name: Box<str>,
}

impl Decide for AdmitSubject {
    fn decide(&self, engine: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Self::Reply>, Refusal> {
        let identities = &engine.state.identities;
        if let Some(actor) = identities.subjects.get(&self.subject) {
            return Ok(Decided::Before((Made::Before, *actor)));
        }
        if identities.subjects.len() >= SUBJECTS_MAX {
            return Err(IdentityRefusal::TooManySubjects(SUBJECTS_MAX).into());
        }
        let actor = identities.next_principal(self.kind)?;
        let (kind, name, subject) = (self.kind, self.name.clone(), Some(self.subject.clone()));
        let added = IdentityFact::PrincipalAdded(PrincipalAdded { actor, kind, name, subject });
        Ok(Decided::Now(Recording::of(Fact::Identity(added))))
    }

    fn made(&self, engine: &mut Engine, _: &Entry) -> Answered<Self> {
        let actor = engine.principal_of(&self.subject);
        Ok((Made::Now, actor.expect("ENG-32: the principal of a subject was just added")))
    }
}

/// Adds a credential to a principal that exists. The caller chooses the number, so that it can retry.
impl Decide for CredentialAdded {
    fn decide(&self, engine: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Made>, Refusal> {
        let identities = &engine.state.identities;
        identities.owner(self.principal)?;
        match identities.credentials.get(&self.credential) {
            None => Ok(Decided::Now(Recording::of(Fact::Identity(IdentityFact::CredentialAdded(self.clone()))))),
            Some(known) if known.added == *self => Ok(Decided::Before(Made::Before)),
            Some(_) => Err(IdentityRefusal::CredentialExistsWithDifferentContent(self.credential).into()),
        }
    }

    fn made(&self, _: &mut Engine, _: &Entry) -> Answered<Self> {
        Ok(Made::Now)
    }
}

impl Identities {
    /// A principal that can have credentials.
    pub(crate) fn owner(&self, actor: ActorId) -> Result<&Principal, IdentityRefusal> {
        let principal = self.principals.get(&actor).ok_or(IdentityRefusal::PrincipalNotFound(actor))?;
        if principal.kind == PrincipalKind::System {
            return Err(IdentityRefusal::PrincipalIsSystem(actor));
        }
        Ok(principal)
    }

    /// The number of a principal that is to be added.
    pub(crate) fn next_principal(&self, kind: PrincipalKind) -> Result<ActorId, IdentityRefusal> {
        let last = self.principals.last_key_value().map_or(0, |(actor, _)| actor.get());
        let actor = ActorId::new(last.saturating_add(1));
        if kind == PrincipalKind::System {
            return Err(IdentityRefusal::PrincipalIsSystem(actor));
        }
        if self.principals.contains_key(&actor) {
            return Err(IdentityRefusal::PrincipalExistsWithDifferentContent(actor));
        }
        Ok(actor)
    }

    /// The scopes of who sends a command at `at`. The transport checked an API key before; it may have ended while the command
    /// waited behind the one that revoked it.
    pub(crate) fn scopes_of(&self, sender: Sender, at: Timestamp) -> Result<u32, IdentityRefusal> {
        let sender = match sender {
            Sender::ApiKey(sender) => sender,
            Sender::Token { scopes } => return Ok(scopes),
        };
        let credential = self.credentials.get(&sender).ok_or(IdentityRefusal::CredentialNotFound(sender))?;
        match credential.status_at(at) {
            CredentialStatus::Active => Ok(credential.added.scopes),
            status @ (CredentialStatus::Expired | CredentialStatus::Revoked) => {
                Err(IdentityRefusal::SenderEnded { sender, status })
            }
        }
    }

    /// The scopes of who adds or revokes credentials at `at`.
    pub(crate) fn manager(&self, sender: Sender, at: Timestamp) -> Result<u32, IdentityRefusal> {
        let scopes = self.scopes_of(sender, at)?;
        if scopes & KEYS_MANAGE != 0 {
            return Ok(scopes);
        }
        Err(IdentityRefusal::SenderMayNotManage(match sender {
            Sender::ApiKey(sender) => sender,
            Sender::Token { .. } => CredentialId::new(0),
        }))
    }

    /// The credential that an earlier request with this id added.
    pub(crate) fn added_by(&self, request: RequestId) -> Option<&Credential> {
        self.requests.get(&request).and_then(|credential| self.credentials.get(credential))
    }

    /// Whether a credential other than this one manages others and never expires.
    pub(crate) fn has_other_manager(&self, than: CredentialId) -> bool {
        self.managers.iter().take(2).any(|manager| *manager != than)
    }

    pub(crate) fn apply(&mut self, header: &Header, fact: &IdentityFact) {
        match fact {
            IdentityFact::PrincipalAdded(added) => self.add_principal(header.decided_at, added.clone()),
            IdentityFact::CredentialAdded(added) => {
                if header.request != RequestId::default() {
                    self.requests.insert(header.request, added.credential);
                }
                self.add_credential(header.decided_at, added.clone());
            }
            IdentityFact::CredentialRevoked(CredentialRevoked { credential }) => {
                let known = self.credentials.get_mut(credential);
                let revoked = known.map(|known| known.revoked_at.replace(header.decided_at));
                assert_eq!(revoked, Some(None), "ENG-30: a credential that was added is revoked at most once");
                self.managers.remove(credential);
                self.changed.push(*credential);
            }
            IdentityFact::ApiKeyAdded(ApiKeyAdded { key, hash, scopes, name }) => {
                self.add_principal(
                    header.decided_at,
                    PrincipalAdded { actor: *key, kind: PrincipalKind::Service, name: name.clone(), subject: None },
                );
                let added = CredentialAdded {
                    credential: CredentialId::new(key.get()),
                    principal: *key,
                    kind: CredentialKind::ApiKey { hash: *hash },
                    scopes: *scopes,
                    name: name.clone(),
                    expires_at: None,
                };
                self.add_credential(header.decided_at, added);
            }
        }
    }

    fn add_principal(&mut self, added_at: Timestamp, added: PrincipalAdded) {
        let PrincipalAdded { actor, kind, name, subject } = added;
        if let Some(subject) = &subject {
            let taken = self.subjects.insert(subject.clone(), actor);
            assert!(taken.is_none(), "ENG-32: a subject has one principal");
            self.admitted.push((subject.clone(), actor));
        }
        let replaced = self.principals.insert(actor, Principal { kind, name, subject, added_at });
        assert!(replaced.is_none(), "ENG-21: a principal is added once");
    }

    fn add_credential(&mut self, added_at: Timestamp, added: CredentialAdded) {
        assert!(
            self.owner(added.principal).is_ok(),
            "ENG-22: a credential belongs to a principal that can have credentials"
        );
        let number = added.credential;
        let credential = Credential { added, added_at, revoked_at: None };
        if credential.manages() && credential.added.expires_at.is_none() {
            self.managers.insert(number);
        }
        self.changed.push(number);
        let replaced = self.credentials.insert(number, credential);
        assert!(replaced.is_none(), "ENG-23: a credential is added once");
    }
}

impl IdentityFact {
    /// Adds the new state to a digest. For an API key of an earlier release it adds what that release added, so that the
    /// digests in its journal still match.
    pub(crate) fn digest_into(&self, header: &Header, builder: &mut DigestBuilder) {
        match self {
            Self::PrincipalAdded(PrincipalAdded { actor, kind, name, subject }) => {
                builder.u64(actor.get()).bytes(kind.name().as_bytes()).bytes(name.as_bytes());
                // Earlier releases added none.
                if let Some(subject) = subject {
                    builder.bytes(subject.issuer().as_bytes()).bytes(subject.subject().as_bytes());
                }
            }
            Self::CredentialAdded(CredentialAdded { credential, principal, kind, scopes, name, expires_at }) => {
                builder.u64(credential.get()).u64(principal.get()).bytes(kind.name().as_bytes());
                match kind {
                    CredentialKind::ApiKey { hash } => builder.bytes(hash.as_bytes()),
                };
                builder.u64(u64::from(*scopes)).bytes(name.as_bytes());
                // Earlier releases made neither.
                if expires_at.is_some() || header.request != RequestId::default() {
                    builder.u64(expires_at.map_or(0, Timestamp::ns)).u128(header.request.get());
                }
            }
            Self::CredentialRevoked(CredentialRevoked { credential }) => {
                builder.bytes(b"revoked").u64(credential.get());
            }
            Self::ApiKeyAdded(ApiKeyAdded { key, hash, scopes, .. }) => {
                builder.u64(key.get()).bytes(hash.as_bytes()).u64(u64::from(*scopes));
            }
        }
    }
}
