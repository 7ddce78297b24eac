//! API keys: who may add and revoke them, what a retry gets, and that somebody can always manage them.

use engine::{
    AddApiKey, Answered, Applied, CredentialAdded, CredentialKind, CredentialStatus, Engine, Entry, IdentityRefusal,
    KEYS_MANAGE, KeyOwner, Made, Operation, PrincipalAdded, PrincipalKind, Refusal, Request, RevokeCredential, query,
};
use proptest::prelude::*;
use types::{ActorId, CredentialId, Digest, Origin, RequestId, ShardId, Span, TenantId, Timestamp};

const START: Timestamp = Timestamp::from_ns(1_767_225_600_000_000_000);

/// An engine with one principal and one key that may do everything, and all entries.
struct World {
    engine: Engine,
    entries: Vec<Entry>,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let engine = Engine::new(ShardId::new(0), TenantId::new(1));
        let mut world = Self { engine, entries: Vec::new(), now: START };
        world
            .engine
            .start(START, Origin::new(7), &mut |applied: Applied<'_>| world.entries.push(applied.entry.clone()));
        let first = PrincipalAdded {
            actor: ActorId::new(1),
            kind: PrincipalKind::Service,
            name: "first".into(),
            subject: None,
        };
        world.ask(0, first).expect("a principal");
        let credential = CredentialAdded {
            credential: CredentialId::new(1),
            principal: ActorId::new(1),
            kind: CredentialKind::ApiKey { hash: Digest::of(b"1") },
            scopes: KEYS_MANAGE | 0xff,
            name: "first".into(),
            expires_at: None,
        };
        world.ask(0, credential).expect("a credential");
        world
    }

    fn ask<O: Operation>(&mut self, request: u128, operation: O) -> Answered<O> {
        let (tenant, command) = (TenantId::new(1), operation.into());
        let request = Request { tenant, actor: ActorId::new(1), id: RequestId::new(request), command };
        let mut sink = |applied: Applied<'_>| self.entries.push(applied.entry.clone());
        O::answer(self.engine.execute(self.now, &request, &mut sink))
    }

    /// Adds a key with the request id 0, which no retry has.
    fn add(&mut self, asked: AddApiKey) -> Result<Made, IdentityRefusal> {
        identity(self.ask(0, asked))
    }

    fn revoke(&mut self, sender: u64, credential: u64) -> Result<Made, IdentityRefusal> {
        let (sender, credential) = (CredentialId::new(sender), CredentialId::new(credential));
        identity(self.ask(0, RevokeCredential { sender: sender.into(), credential }))
    }

    fn status(&mut self, credential: u64) -> CredentialStatus {
        self.ask(0, query::ApiKey(CredentialId::new(credential))).expect("a key").status
    }

    /// Whether a replay of the entries gives the same state.
    fn replays(&self) {
        let mut replayed = Engine::new(ShardId::new(0), TenantId::new(1));
        for entry in &self.entries {
            replayed.apply(entry);
        }
        assert!(replayed.credentials().eq(self.engine.credentials()));
        assert!(replayed.principals().eq(self.engine.principals()));
        assert_eq!(replayed.digest(), self.engine.digest());
    }
}

fn identity<T>(answer: Result<(Made, T), Refusal>) -> Result<Made, IdentityRefusal> {
    match answer {
        Ok((made, _)) => Ok(made),
        Err(Refusal::Identity(refusal)) => Err(refusal),
        Err(other) => panic!("{other:?}"),
    }
}

fn key(sender: u64, number: u64, scopes: u32) -> AddApiKey {
    AddApiKey {
        sender: CredentialId::new(sender).into(),
        credential: CredentialId::new(number),
        hash: Digest::of(&number.to_le_bytes()),
        owner: KeyOwner::Known(ActorId::new(1)),
        scopes,
        name: "key".into(),
        expires_at: None,
    }
}

#[test]
fn a_key_gives_what_it_has_and_nothing_else() {
    let mut world = World::new();
    assert_eq!(world.add(key(1, 2, KEYS_MANAGE | 1)), Ok(Made::Now));
    assert_eq!(world.add(key(2, 3, 3)), Err(IdentityRefusal::ScopesNotHeld { missing: 2 }));
    assert_eq!(world.add(key(2, 3, 1)), Ok(Made::Now));
    assert_eq!(world.add(key(3, 4, 1)), Err(IdentityRefusal::SenderMayNotManage(CredentialId::new(3))));
    assert_eq!(world.add(key(9, 4, 1)), Err(IdentityRefusal::CredentialNotFound(CredentialId::new(9))));
    let taken = IdentityRefusal::CredentialExistsWithDifferentContent(CredentialId::new(3));
    assert_eq!(world.add(key(1, 3, 1)), Err(taken));
    let owner = KeyOwner::Known(ActorId::new(5));
    assert_eq!(
        world.add(AddApiKey { owner, ..key(1, 4, 1) }),
        Err(IdentityRefusal::PrincipalNotFound(ActorId::new(5)))
    );
    world.replays();
}

#[test]
fn a_retry_gets_the_same_key_and_its_principal_is_added_once() {
    let mut world = World::new();
    let owner = KeyOwner::New { kind: PrincipalKind::Person, name: "Ann".into() };
    let ann = AddApiKey { owner, ..key(1, 2, 1) };
    let (made, first) = world.ask(77, ann.clone()).expect("a key");
    assert_eq!((made, first.credential.added.principal), (Made::Now, ActorId::new(2)));
    let entries = world.entries.len();
    // Each attempt draws a secret and takes a number of its own.
    let again = AddApiKey { credential: CredentialId::new(3), hash: Digest::of(b"other"), ..ann.clone() };
    assert_eq!(world.ask(77, again), Ok((Made::Before, first)));
    for (other, place) in [
        (AddApiKey { name: "other".into(), ..ann.clone() }, "/name"),
        (AddApiKey { scopes: 3, ..ann.clone() }, "/scopes"),
        (AddApiKey { owner: KeyOwner::Known(ActorId::new(1)), ..ann.clone() }, "/principal"),
        (AddApiKey { expires_at: Some(Timestamp::MAX), ..ann }, "/expires_at"),
    ] {
        assert_eq!(world.ask(77, other), Err(Refusal::KeyUsedWithOtherContent(place.to_owned())));
    }
    assert_eq!(world.entries.len(), entries);
    world.replays();
}

#[test]
fn a_key_that_ended_manages_nothing_any_more() {
    let mut world = World::new();
    let later = START.saturating_add(Span::from_secs(10));
    world.add(AddApiKey { expires_at: Some(later), ..key(1, 2, KEYS_MANAGE) }).expect("a key");
    world.add(key(2, 3, KEYS_MANAGE)).expect("a key");
    assert_eq!(world.status(2), CredentialStatus::Active);
    world.now = later;
    assert_eq!(world.status(2), CredentialStatus::Expired);
    let sender = CredentialId::new(2);
    let expired = IdentityRefusal::SenderEnded { sender, status: CredentialStatus::Expired };
    assert_eq!(world.add(key(2, 4, KEYS_MANAGE)), Err(expired));
    assert_eq!(world.revoke(2, 3), Err(expired));
    let passed = IdentityRefusal::ExpiryNotLater { expires_at: later, now: later };
    assert_eq!(world.add(AddApiKey { expires_at: Some(later), ..key(1, 4, 1) }), Err(passed));

    assert_eq!(world.revoke(1, 3), Ok(Made::Now));
    assert_eq!(world.revoke(1, 3), Ok(Made::Before), "revoking twice changes nothing");
    assert_eq!(world.status(3), CredentialStatus::Revoked);
    let sender = CredentialId::new(3);
    let revoked = IdentityRefusal::SenderEnded { sender, status: CredentialStatus::Revoked };
    assert_eq!(world.add(key(3, 4, KEYS_MANAGE)), Err(revoked));
    assert_eq!(world.revoke(3, 1), Err(revoked));
    world.replays();
}

#[test]
fn one_key_that_can_manage_keys_and_never_expires_remains() {
    let mut world = World::new();
    let last = IdentityRefusal::LastManager(CredentialId::new(1));
    assert_eq!(world.revoke(1, 1), Err(last));
    let later = START.saturating_add(Span::from_secs(10));
    world.add(AddApiKey { expires_at: Some(later), ..key(1, 2, KEYS_MANAGE) }).expect("a key");
    world.add(key(1, 3, 1)).expect("a key");
    assert_eq!(world.revoke(2, 1), Err(last), "one that will expire is not enough, nor one with other scopes");
    world.add(key(1, 4, KEYS_MANAGE)).expect("a key");
    assert_eq!(world.revoke(1, 1), Ok(Made::Now), "a key may revoke itself");
    assert_eq!(world.revoke(4, 4), Err(IdentityRefusal::LastManager(CredentialId::new(4))));
    assert_eq!(world.revoke(4, 2), Ok(Made::Now));
    world.replays();
}

#[test]
fn pages_list_every_key_once() {
    let mut world = World::new();
    for number in 2..=5 {
        world.add(key(1, number, 1)).expect("a key");
    }
    assert_eq!(world.ask(0, query::NextCredential), Ok(CredentialId::new(6)));
    let (mut after, mut listed) = (0, Vec::new());
    loop {
        let page = world.ask(0, query::ApiKeys { after, limit: 2 }).expect("a page");
        listed.extend(page.items.iter().map(|told| told.credential.added.credential.get()));
        match page.next {
            Some(next) => after = next.get(),
            None => break,
        }
    }
    assert_eq!(listed, [1, 2, 3, 4, 5]);
}

proptest! {
    /// Whatever keys add and revoke, somebody can manage keys at any later time, no key has more than the first one, and a
    /// replay knows the same.
    #[test]
    fn nobody_is_locked_out(
        steps in prop::collection::vec((1_u64..8, 1_u64..8, any::<bool>(), 0_u32..4, prop::option::of(1_u64..50)), 1..60),
    ) {
        let mut world = World::new();
        for (sender, number, adds, scopes, expiry) in steps {
            world.now = world.now.saturating_add(Span::from_secs(3));
            let scopes = if scopes > 1 { scopes | KEYS_MANAGE } else { 1 };
            let expires_at = expiry.map(|seconds| world.now.saturating_add(Span::from_secs(seconds)));
            let active = world.engine.credentials().any(|known| {
                known.added.credential.get() == sender && known.manages()
                    && known.status_at(world.now) == CredentialStatus::Active
            });
            let answer = if adds {
                world.add(AddApiKey { expires_at, ..key(sender, number, scopes) })
            } else {
                world.revoke(sender, number)
            };
            prop_assert!(active || answer.is_err(), "a key that ended or cannot manage keys was obeyed");
            let stays = world.engine.credentials().any(|known| {
                known.manages() && known.status_at(Timestamp::MAX) == CredentialStatus::Active
            });
            prop_assert!(stays);
            prop_assert!(world.engine.credentials().all(|known| known.added.scopes & !(KEYS_MANAGE | 0xff) == 0));
        }
        world.replays();
    }
}
