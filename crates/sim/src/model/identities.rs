//! Principals and their credentials, by the rules of identity.

use std::collections::BTreeMap;

use engine::{
    AddApiKey, AdmitSubject, Credential, CredentialAdded, CredentialKind, CredentialReply, CredentialRevoked, Engine,
    Header, IdentityFact, KEYS_MANAGE, KeyOwner, PrincipalAdded, PrincipalKind, RevokeCredential, Sender,
};
use types::{ActorId, CredentialId, RequestId, Timestamp};

use super::ensure;

/// All principals except the system itself.
#[derive(Debug, Default, Clone)]
pub(crate) struct Identities {
    principals: BTreeMap<ActorId, (PrincipalAdded, Timestamp)>,
    credentials: BTreeMap<CredentialId, Credential>,
    /// The keys that requests with an id added.
    requests: BTreeMap<RequestId, CredentialId>,
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

    /// The expected answer to a request for the principal of a subject, and the fact that it makes.
    pub(crate) fn outcome_of_subject(&self, asked: &AdmitSubject) -> (&'static str, Option<IdentityFact>) {
        if self.principals.values().any(|(known, _)| known.subject.as_ref() == Some(&asked.subject)) {
            return ("before", None);
        }
        if asked.kind == PrincipalKind::System {
            return ("principal_is_system", None);
        }
        let AdmitSubject { subject, kind, name } = asked.clone();
        let added = PrincipalAdded { actor: self.next_principal(), kind, name, subject: Some(subject) };
        ("now", Some(IdentityFact::PrincipalAdded(added)))
    }

    /// Whether access tokens can be about this principal.
    pub(crate) fn is_admitted(&self, actor: ActorId) -> bool {
        self.principals.get(&actor).is_some_and(|(known, _)| known.subject.is_some())
    }

    fn next_principal(&self) -> ActorId {
        ActorId::new(self.principals.last_key_value().map_or(0, |(last, _)| last.get()) + 1)
    }

    /// The expected answer to a new credential.
    pub(crate) fn outcome_of_credential(&self, added: &CredentialAdded) -> &'static str {
        match (self.principals.get(&added.principal), self.credentials.get(&added.credential)) {
            (None, _) if added.principal == ActorId::SYSTEM => "principal_is_system",
            (None, _) => "principal_not_found",
            (Some((principal, _)), _) if principal.kind == PrincipalKind::System => "principal_is_system",
            (_, None) => "now",
            (_, Some(known)) if known.added == *added => "before",
            (_, Some(_)) => "credential_exists_with_different_content",
        }
    }

    /// The expected answer to a request for an API key, and the facts that it makes.
    pub(crate) fn outcome_of_key(
        &self,
        asked: &AddApiKey,
        at: Timestamp,
        request: RequestId,
    ) -> (&'static str, Vec<IdentityFact>) {
        let refused = |code| (code, Vec::new());
        let sender = match self.sender(asked.sender, at) {
            Ok(sender) => sender,
            Err(code) => return refused(code),
        };
        if let Some(known) = self.requests.get(&request).and_then(|number| self.credentials.get(number)) {
            let (owner, _) = &self.principals[&known.added.principal];
            let is_owner = match &asked.owner {
                KeyOwner::Known(actor) => *actor == owner.actor,
                KeyOwner::New { kind, name } => (*kind, name) == (owner.kind, &owner.name),
            };
            let told = (&known.added.name, known.added.scopes, known.added.expires_at);
            let is_same = is_owner && told == (&asked.name, asked.scopes, asked.expires_at);
            return refused(if is_same { "before" } else { "request_id_reused" });
        }
        if asked.scopes & !sender.added.scopes != 0 {
            return refused("scopes_not_held");
        }
        if asked.expires_at.is_some_and(|expiry| expiry <= at) {
            return refused("expiry_not_later");
        }
        let mut facts = Vec::new();
        let principal = match &asked.owner {
            KeyOwner::Known(actor) => match self.principals.get(actor) {
                None => return refused("principal_not_found"),
                Some((known, _)) if known.kind == PrincipalKind::System => return refused("principal_is_system"),
                Some(_) => *actor,
            },
            KeyOwner::New { kind, name } => {
                let actor = self.next_principal();
                facts.push(IdentityFact::PrincipalAdded(PrincipalAdded {
                    actor,
                    kind: *kind,
                    name: name.clone(),
                    subject: None,
                }));
                actor
            }
        };
        if self.credentials.contains_key(&asked.credential) {
            return refused("credential_exists_with_different_content");
        }
        facts.push(IdentityFact::CredentialAdded(CredentialAdded {
            credential: asked.credential,
            principal,
            kind: CredentialKind::ApiKey { hash: asked.hash },
            scopes: asked.scopes,
            name: asked.name.clone(),
            expires_at: asked.expires_at,
        }));
        ("now", facts)
    }

    /// The expected answer to a request to revoke a credential.
    pub(crate) fn outcome_of_revocation(&self, asked: &RevokeCredential, at: Timestamp) -> &'static str {
        if let Err(code) = self.sender(asked.sender, at) {
            return code;
        }
        let Some(known) = self.credentials.get(&asked.credential) else { return "api_key_not_found" };
        if known.revoked_at.is_some() {
            return "before";
        }
        let manages = |known: &Credential| known.added.scopes & KEYS_MANAGE != 0;
        let stays = |known: &&Credential| {
            let ended = known.revoked_at.is_some() || known.added.expires_at.is_some();
            known.added.credential != asked.credential && manages(known) && !ended
        };
        let is_over = known.added.expires_at.is_some_and(|expiry| expiry <= at);
        if manages(known) && !is_over && !self.credentials.values().any(|known| stays(&known)) {
            return "last_key_manager";
        }
        "now"
    }

    /// The credential of a request. One that was revoked or has expired never works again.
    pub(super) fn active(&self, sender: Sender, at: Timestamp) -> Result<&Credential, &'static str> {
        let Sender::ApiKey(sender) = sender else { return Err("not_simulated") };
        let known = self.credentials.get(&sender).ok_or("api_key_not_found")?;
        if known.revoked_at.is_some() {
            return Err("api_key_revoked");
        }
        if known.added.expires_at.is_some_and(|expiry| expiry <= at) {
            return Err("api_key_expired");
        }
        Ok(known)
    }

    /// The credential of a request about credentials.
    fn sender(&self, sender: Sender, at: Timestamp) -> Result<&Credential, &'static str> {
        let known = self.active(sender, at)?;
        if known.added.scopes & KEYS_MANAGE == 0 { Err("insufficient_scope") } else { Ok(known) }
    }

    /// Whether a reply shows a credential as it is.
    pub(crate) fn shows(&self, told: &CredentialReply) -> bool {
        let (known, owner) = (&told.credential, self.principals.get(&told.credential.added.principal));
        let is_owner = owner.is_some_and(|(owner, _)| owner.name == told.principal.name);
        is_owner && self.credentials.get(&known.added.credential) == Some(known)
    }

    pub(crate) fn knows(&self, credential: CredentialId) -> bool {
        self.credentials.contains_key(&credential)
    }

    /// The number of credentials after this one.
    pub(crate) fn count_after(&self, credential: u64) -> usize {
        self.credentials.keys().filter(|known| known.get() > credential).count()
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
                if header.request != RequestId::default() {
                    self.requests.insert(header.request, added.credential);
                }
                let credential = Credential { added: added.clone(), added_at: header.decided_at, revoked_at: None };
                let replaced = self.credentials.insert(added.credential, credential);
                ensure(replaced.is_none(), "SIM-2", || format!("entry {seq} adds a credential again"))
            }
            IdentityFact::CredentialRevoked(CredentialRevoked { credential }) => {
                let known = self.credentials.get_mut(credential);
                let revoked = known.map(|known| known.revoked_at.replace(header.decided_at));
                ensure(revoked == Some(None), "SIM-2", || format!("entry {seq} revokes a credential again"))
            }
            IdentityFact::ApiKeyAdded(_) => Err(format!("SIM-2: entry {seq} is one that is not written any more")),
        }
    }

    /// Checks that the engine knows the same principals and credentials.
    pub(crate) fn compare(&self, engine: &Engine) -> Result<(), String> {
        let known = engine.principals().filter(|(actor, _)| *actor != ActorId::SYSTEM);
        let principals = known.map(|(actor, known)| {
            let added =
                PrincipalAdded { actor, kind: known.kind, name: known.name.clone(), subject: known.subject.clone() };
            (actor, (added, known.added_at))
        });
        ensure(self.principals == principals.collect(), "SIM-5", || "the engine has other principals".to_owned())?;
        let credentials = engine.credentials().map(|known| (known.added.credential, known.clone()));
        ensure(self.credentials == credentials.collect(), "SIM-5", || "the engine has other credentials".to_owned())?;
        let admitted = self.principals.values().filter_map(|(known, _)| Some((known.subject.as_ref()?, known.actor)));
        let told: std::collections::BTreeSet<_> = engine.subjects_added_since(0).collect();
        ensure(told == admitted.collect(), "SIM-5", || "the engine tells other subjects".to_owned())
    }
}
