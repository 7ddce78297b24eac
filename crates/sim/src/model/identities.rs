//! Principals and their credentials, by the rules of identity.

use std::collections::BTreeMap;

use engine::{CredentialAdded, Engine, Header, IdentityFact, PrincipalAdded, PrincipalKind};
use types::{ActorId, CredentialId, Timestamp};

use super::ensure;

/// All principals except the system itself.
#[derive(Debug, Default, Clone)]
pub(crate) struct Identities {
    principals: BTreeMap<ActorId, (PrincipalAdded, Timestamp)>,
    credentials: BTreeMap<CredentialId, CredentialAdded>,
}

impl Identities {
    /// The expected answer to a new principal.
    pub(crate) fn outcome_of_principal(&self, added: &PrincipalAdded) -> &'static str {
        match self.principals.get(&added.actor) {
            None if added.actor != ActorId::SYSTEM => "now",
            Some((known, _)) if known == added => "before",
            None | Some(_) => "principal_exists_with_different_content",
        }
    }

    /// The expected answer to a new credential.
    pub(crate) fn outcome_of_credential(&self, added: &CredentialAdded) -> &'static str {
        match (self.principals.get(&added.principal), self.credentials.get(&added.credential)) {
            (None, _) if added.principal == ActorId::SYSTEM => "principal_is_system",
            (None, _) => "principal_not_found",
            (Some((principal, _)), _) if principal.kind == PrincipalKind::System => "principal_is_system",
            (_, None) => "now",
            (_, Some(known)) if known == added => "before",
            (_, Some(_)) => "credential_exists_with_different_content",
        }
    }

    /// Applies a fact. Fails if something is added twice or a credential has no principal.
    pub(crate) fn apply(&mut self, header: &Header, fact: &IdentityFact) -> Result<(), String> {
        let seq = header.seq;
        match fact {
            IdentityFact::PrincipalAdded(added) => {
                let replaced = self.principals.insert(added.actor, (added.clone(), header.decided_at));
                ensure(replaced.is_none(), "SIM-2", || format!("entry {seq} adds a principal again"))
            }
            IdentityFact::CredentialAdded(added) => {
                let is_known = self.principals.contains_key(&added.principal);
                ensure(is_known, "SIM-2", || format!("entry {seq} adds a credential of nobody"))?;
                let replaced = self.credentials.insert(added.credential, added.clone());
                ensure(replaced.is_none(), "SIM-2", || format!("entry {seq} adds a credential again"))
            }
            IdentityFact::ApiKeyAdded(_) => Err(format!("SIM-2: entry {seq} is one that is not written any more")),
        }
    }

    /// Checks that the engine knows the same principals and credentials.
    pub(crate) fn compare(&self, engine: &Engine) -> Result<(), String> {
        let known = engine.principals().filter(|(actor, _)| *actor != ActorId::SYSTEM);
        let principals = known.map(|(actor, known)| {
            let added = PrincipalAdded { actor, kind: known.kind, name: known.name.clone() };
            (actor, (added, known.added_at))
        });
        ensure(self.principals == principals.collect(), "SIM-5", || "the engine has other principals".to_owned())?;
        let credentials = engine.credentials().map(|added| (added.credential, added.clone()));
        ensure(self.credentials == credentials.collect(), "SIM-5", || "the engine has other credentials".to_owned())
    }
}
