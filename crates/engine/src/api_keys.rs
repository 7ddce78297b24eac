//! API keys: adding them, revoking them and looking them up on behalf of a credential that may manage them.

use types::{ActorId, CredentialId, Digest, RequestId, Timestamp};

use crate::command::{Execute, Look};
use crate::decide::{Decide, Decided, Recording};
use crate::entry::{Entry, Fact};
use crate::identity::{
    CREDENTIALS_MAX, Credential, CredentialAdded, CredentialKind, CredentialRevoked, CredentialStatus, IdentityFact,
    IdentityRefusal, Principal, PrincipalAdded, PrincipalKind,
};
use crate::query::{ApiKey, ApiKeys, NextCredential};
use crate::{Answered, Engine, Made, PAGE_MAX, Page, Refusal, Request, Sink};

/// Who owns a new API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOwner {
    /// A principal that exists.
    Known(ActorId),
    /// A principal that is added with the key. It gets the next free number.
    New { kind: PrincipalKind, name: Box<str> },
}

/// With whose authority a command is sent that the engine checks again: one about API keys, or the end of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// An API key. The engine checks it again, because it may have ended while the request waited.
    ApiKey(CredentialId),
    /// An access token with these scopes. The engine does not know tokens, so whoever sends the command has checked it.
    Token { scopes: u32 },
}

impl From<CredentialId> for Sender {
    fn from(credential: CredentialId) -> Self {
        Self::ApiKey(credential)
    }
}

/// Adds an API key, and its principal if that is new. A retry with the same request id gets the same key.
#[derive(Debug, Clone)]
pub struct AddApiKey {
    /// Who asks. It cannot give scopes that it lacks.
    pub sender: Sender,
    /// The number of the new key, which its hash depends on. It must be free; see [`NextCredential`].
    pub credential: CredentialId,
    pub hash: Digest,
    pub owner: KeyOwner,
    /// What requests with this key may do: a set of bits, which `api` names.
    pub scopes: u32,
    /// A name for people to read.
    pub name: Box<str>,
    /// From when on it is not valid any more; `None` if it stays valid until it is revoked.
    pub expires_at: Option<Timestamp>,
}

/// Revokes a credential. Doing so again changes nothing.
#[derive(Debug, Clone)]
pub struct RevokeCredential {
    /// Who asks. An API key may revoke itself.
    pub sender: Sender,
    pub credential: CredentialId,
}

/// A credential and its principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialReply {
    pub credential: Credential,
    pub principal: Principal,
    /// Whether it was valid when the engine answered.
    pub status: CredentialStatus,
}

/// The decision about a new API key that is not refused.
enum Judged {
    /// An earlier request with the same id added this one.
    Before(Box<CredentialReply>),
    /// The facts that add the key.
    Now(Vec<IdentityFact>),
}

impl AddApiKey {
    fn judge(&self, engine: &Engine, at: Timestamp, request: RequestId) -> Result<Judged, Refusal> {
        let identities = &engine.state.identities;
        let held = identities.manager(self.sender, at)?;
        if let Some(known) = identities.added_by(request) {
            self.check_retry(engine, known)?;
            return Ok(Judged::Before(Box::new(engine.credential_reply(known, at))));
        }
        let missing = self.scopes & !held;
        if missing != 0 {
            return Err(IdentityRefusal::ScopesNotHeld { missing }.into());
        }
        if let Some(expires_at) = self.expires_at.filter(|expiry| *expiry <= at) {
            return Err(IdentityRefusal::ExpiryNotLater { expires_at, now: at }.into());
        }
        let mut facts = Vec::with_capacity(2);
        let principal = match &self.owner {
            KeyOwner::Known(actor) => {
                identities.owner(*actor)?;
                *actor
            }
            KeyOwner::New { kind, name } => {
                let actor = identities.next_principal(*kind)?;
                let (kind, name) = (*kind, name.clone());
                facts.push(IdentityFact::PrincipalAdded(PrincipalAdded { actor, kind, name, subject: None }));
                actor
            }
        };
        if identities.credentials.contains_key(&self.credential) {
            return Err(IdentityRefusal::CredentialExistsWithDifferentContent(self.credential).into());
        }
        if identities.credentials.len() >= CREDENTIALS_MAX {
            return Err(IdentityRefusal::TooManyCredentials(CREDENTIALS_MAX).into());
        }
        facts.push(IdentityFact::CredentialAdded(CredentialAdded {
            credential: self.credential,
            principal,
            kind: CredentialKind::ApiKey { hash: self.hash },
            scopes: self.scopes,
            name: self.name.clone(),
            expires_at: self.expires_at,
        }));
        Ok(Judged::Now(facts))
    }

    /// Checks that a request asks for the key that an earlier one with the same id added. The secret is not compared: each
    /// attempt draws its own.
    fn check_retry(&self, engine: &Engine, known: &Credential) -> Result<(), Refusal> {
        let added = &known.added;
        let owner = match &self.owner {
            KeyOwner::Known(actor) => ("/principal", added.principal == *actor),
            KeyOwner::New { kind, name } => {
                let principal = engine.state.identities.principals.get(&added.principal);
                ("/new_principal", principal.is_some_and(|known| known.kind == *kind && known.name == *name))
            }
        };
        let parts = [
            ("/name", added.name == self.name),
            owner,
            ("/scopes", added.scopes == self.scopes),
            ("/expires_at", added.expires_at == self.expires_at),
        ];
        match parts.iter().find(|(_, is_same)| !is_same) {
            Some((pointer, _)) => Err(Refusal::KeyUsedWithOtherContent((*pointer).to_owned())),
            None => Ok(()),
        }
    }
}

impl Execute for AddApiKey {
    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        let at = engine.next_instant(now);
        let facts = match self.judge(engine, at, request.id)? {
            Judged::Before(reply) => return Ok((Made::Before, reply)),
            Judged::Now(facts) => facts,
        };
        if facts.len() > 1 {
            sink.hold_together(facts.len(), self.text_bytes());
        }
        for fact in facts {
            engine.commit(now, request.actor, request.id, Recording::of(Fact::Identity(fact)), sink);
        }
        let reply = engine.credential_by_number(self.credential, at)?;
        engine.journal_digest(now, sink);
        Ok((Made::Now, reply))
    }

    fn without_entry(&self, engine: &Engine, at: Timestamp, request: &Request) -> Option<Answered<Self>> {
        match self.judge(engine, at, request.id) {
            Ok(Judged::Before(reply)) => Some(Ok((Made::Before, reply))),
            Ok(Judged::Now(_)) => None,
            Err(refusal) => Some(Err(refusal)),
        }
    }
}

impl AddApiKey {
    fn text_bytes(&self) -> usize {
        let of_principal = match &self.owner {
            KeyOwner::Known(_) => 0,
            KeyOwner::New { name, .. } => name.len(),
        };
        self.name.len().saturating_add(of_principal)
    }
}

impl Decide for RevokeCredential {
    fn decide(&self, engine: &Engine, at: Timestamp, _: RequestId) -> Result<Decided<Self::Reply>, Refusal> {
        let identities = &engine.state.identities;
        identities.manager(self.sender, at)?;
        let credential = self.credential;
        let known = identities.credentials.get(&credential);
        let known = known.ok_or(IdentityRefusal::CredentialNotFound(credential))?;
        match known.status_at(at) {
            CredentialStatus::Revoked => {
                return Ok(Decided::Before((Made::Before, Box::new(engine.credential_reply(known, at)))));
            }
            CredentialStatus::Active if known.manages() && !identities.has_other_manager(credential) => {
                return Err(IdentityRefusal::LastManager(credential).into());
            }
            CredentialStatus::Active | CredentialStatus::Expired => {}
        }
        let revoked = IdentityFact::CredentialRevoked(CredentialRevoked { credential });
        Ok(Decided::Now(Recording::of(Fact::Identity(revoked))))
    }

    fn made(&self, engine: &mut Engine, entry: &Entry) -> Answered<Self> {
        Ok((Made::Now, engine.credential_by_number(self.credential, entry.header.decided_at)?))
    }
}

impl Look for ApiKey {
    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        engine.credential_by_number(self.0, at)
    }
}

impl Look for ApiKeys {
    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        let limit = self.limit.min(PAGE_MAX);
        let mut left = engine.state.identities.credentials.range(CredentialId::new(self.after.saturating_add(1))..);
        let items: Vec<CredentialReply> =
            left.by_ref().take(limit).map(|(_, known)| engine.credential_reply(known, at)).collect();
        let next = items.last().map(|last| last.credential.added.credential).filter(|_| left.next().is_some());
        Ok(Page { items, next })
    }
}

impl Look for NextCredential {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        let last = engine.state.identities.credentials.last_key_value();
        Ok(CredentialId::new(last.map_or(0, |(credential, _)| credential.get()).saturating_add(1)))
    }
}

impl Engine {
    fn credential_by_number(&self, number: CredentialId, at: Timestamp) -> Result<Box<CredentialReply>, Refusal> {
        let known = self.state.identities.credentials.get(&number);
        let known = known.ok_or(IdentityRefusal::CredentialNotFound(number))?;
        Ok(Box::new(self.credential_reply(known, at)))
    }

    fn credential_reply(&self, known: &Credential, at: Timestamp) -> CredentialReply {
        let principal = self.state.identities.principals.get(&known.added.principal);
        let principal = principal.expect("ENG-22: a credential belongs to a principal").clone();
        CredentialReply { credential: known.clone(), principal, status: known.status_at(at) }
    }
}
