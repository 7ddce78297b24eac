//! Principals and credentials: what can be added, in which order, and what entries of earlier releases mean.

use engine::{
    AdmitSubject, ApiKeyAdded, Applied, CredentialAdded, CredentialKind, Engine, Entry, Fact, Header, IdentityFact,
    IdentityRefusal, Made, Operation, Principal, PrincipalAdded, PrincipalKind, Refusal, Reply, Request,
};
use types::{ActorId, CredentialId, Digest, Origin, RequestId, Seq, ShardId, Span, TenantId, Timestamp, TokenSubject};

const START: Timestamp = Timestamp::from_ns(1_767_225_600_000_000_000);
const ORIGIN: Origin = Origin::new(7);

/// An engine with an empty history, and all entries.
struct World {
    engine: Engine,
    entries: Vec<Entry>,
}

impl World {
    fn new() -> Self {
        let mut world = Self { engine: Engine::new(ShardId::new(0), TenantId::new(1)), entries: Vec::new() };
        world.engine.start(START, ORIGIN, &mut |applied: Applied<'_>| world.entries.push(applied.entry.clone()));
        world
    }

    /// Executes an operation. A refusal must be about identity.
    fn ask(&mut self, operation: impl Operation<Reply = Made>) -> Result<Made, IdentityRefusal> {
        let (tenant, command) = (TenantId::new(1), operation.into());
        let request = Request { tenant, actor: ActorId::SYSTEM, id: RequestId::default(), command };
        let mut sink = |applied: Applied<'_>| self.entries.push(applied.entry.clone());
        match self.engine.execute(START, &request, &mut sink) {
            Ok(Reply::Made(made)) => Ok(made),
            Err(Refusal::Identity(refusal)) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }
}

impl World {
    fn admit(&mut self, asked: AdmitSubject) -> Result<(Made, ActorId), IdentityRefusal> {
        let (tenant, command) = (TenantId::new(1), asked.into());
        let request = Request { tenant, actor: ActorId::SYSTEM, id: RequestId::default(), command };
        let mut sink = |applied: Applied<'_>| self.entries.push(applied.entry.clone());
        AdmitSubject::answer(self.engine.execute(START, &request, &mut sink)).map_err(|refusal| {
            let Refusal::Identity(refusal) = refusal else { panic!("{refusal:?}") };
            refusal
        })
    }
}

fn principal(actor: u64, kind: PrincipalKind, name: &str) -> PrincipalAdded {
    PrincipalAdded { actor: ActorId::new(actor), kind, name: name.into(), subject: None }
}

fn credential(number: u64, principal: u64) -> CredentialAdded {
    CredentialAdded {
        credential: CredentialId::new(number),
        principal: ActorId::new(principal),
        kind: CredentialKind::ApiKey { hash: Digest::of(&number.to_le_bytes()) },
        scopes: 5,
        name: "made at start".into(),
        expires_at: None,
    }
}

fn known(engine: &Engine) -> (Vec<(ActorId, Principal)>, Vec<CredentialAdded>) {
    let principals = engine.principals().map(|(actor, principal)| (actor, principal.clone()));
    (principals.collect(), engine.credentials().map(|known| known.added.clone()).collect())
}

#[test]
fn a_principal_comes_before_its_credentials() {
    let mut world = World::new();
    let unknown = IdentityRefusal::PrincipalNotFound(ActorId::new(3));
    assert_eq!(world.ask(credential(7, 3)), Err(unknown));
    assert_eq!(world.ask(principal(3, PrincipalKind::Person, "Ann")), Ok(Made::Now));
    assert_eq!(world.ask(credential(7, 3)), Ok(Made::Now));
    assert_eq!(world.ask(credential(8, 3)), Ok(Made::Now), "a principal can have several credentials");
    let (principals, credentials) = known(&world.engine);
    let ann = Principal {
        kind: PrincipalKind::Person,
        name: "Ann".into(),
        subject: None,
        added_at: START.saturating_add(Span::from_ns(1)),
    };
    assert_eq!(principals[1..], [(ActorId::new(3), ann)]);
    assert_eq!(credentials, [credential(7, 3), credential(8, 3)]);
}

#[test]
fn a_number_is_used_once_and_a_repeated_request_changes_nothing() {
    let mut world = World::new();
    let ann = principal(3, PrincipalKind::Person, "Ann");
    world.ask(ann.clone()).unwrap();
    world.ask(principal(4, PrincipalKind::Service, "checkout")).unwrap();
    world.ask(credential(7, 3)).unwrap();
    let entries = world.entries.len();
    assert_eq!(world.ask(ann.clone()), Ok(Made::Before));
    assert_eq!(world.ask(credential(7, 3)), Ok(Made::Before));
    for other in [PrincipalAdded { name: "Bob".into(), ..ann }, principal(3, PrincipalKind::Service, "Ann")] {
        let refusal = IdentityRefusal::PrincipalExistsWithDifferentContent(ActorId::new(3));
        assert_eq!(world.ask(other), Err(refusal));
    }
    let seven = credential(7, 3);
    let others = [
        credential(7, 4),
        CredentialAdded { kind: credential(8, 3).kind, ..seven.clone() },
        CredentialAdded { scopes: 4, ..seven.clone() },
        CredentialAdded { name: "other".into(), ..seven },
    ];
    for other in others {
        let refusal = IdentityRefusal::CredentialExistsWithDifferentContent(CredentialId::new(7));
        assert_eq!(world.ask(other), Err(refusal));
    }
    assert_eq!(world.entries.len(), entries, "none of this left an entry");
}

#[test]
fn nobody_authenticates_as_the_system() {
    let mut world = World::new();
    let (first, system) = world.engine.principals().next().unwrap();
    assert_eq!((first, system.kind), (ActorId::SYSTEM, PrincipalKind::System));
    let exists = IdentityRefusal::PrincipalExistsWithDifferentContent(ActorId::SYSTEM);
    assert_eq!(world.ask(principal(0, PrincipalKind::Service, "me")), Err(exists));
    world.ask(principal(5, PrincipalKind::System, "retention")).unwrap();
    for actor in [0, 5] {
        let refusal = IdentityRefusal::PrincipalIsSystem(ActorId::new(actor));
        assert_eq!(world.ask(credential(1, actor)), Err(refusal));
    }
}

#[test]
fn a_replay_restores_the_same_principals_and_credentials() {
    let mut world = World::new();
    for (number, kind) in (1..).zip(PrincipalKind::ALL) {
        world.ask(principal(number, kind, kind.name())).unwrap();
    }
    let before = world.engine.digest();
    world.ask(credential(1, 2)).unwrap();
    assert_ne!(world.engine.digest(), before);
    let mut replayed = Engine::new(ShardId::new(0), TenantId::new(1));
    for entry in &world.entries {
        replayed.apply(entry);
    }
    assert_eq!(known(&replayed), known(&world.engine));
    assert_eq!(replayed.digest(), world.engine.digest());
}

/// The journal of a release without principals has two API keys and the digest that that release computed.
#[test]
fn an_api_key_of_an_earlier_release_is_a_principal_and_its_credential() {
    let api_key = |number: u64, name: &str| {
        Fact::Identity(IdentityFact::ApiKeyAdded(ApiKeyAdded {
            key: ActorId::new(number),
            hash: Digest::of(&number.to_le_bytes()),
            scopes: 5,
            name: name.into(),
        }))
    };
    let facts = [Fact::JournalStarted { origin: ORIGIN }, api_key(1, "made at start"), api_key(2, "made at start")];
    let mut engine = Engine::new(ShardId::new(0), TenantId::new(1));
    for (seq, fact) in (1..).zip(facts) {
        let at = START.saturating_add(Span::from_ns(seq - 1));
        let header = Header {
            shard: ShardId::new(0),
            seq: Seq::new(seq),
            tenant: TenantId::new(1),
            actor: ActorId::SYSTEM,
            request: RequestId::default(),
            decided_at: at,
            occurred_at: at,
        };
        engine.apply(&Entry { header, fact, sealed: None });
    }
    let (principals, credentials) = known(&engine);
    let service = |nanoseconds| Principal {
        subject: None,
        kind: PrincipalKind::Service,
        name: "made at start".into(),
        added_at: START.saturating_add(Span::from_ns(nanoseconds)),
    };
    assert_eq!(principals[1..], [(ActorId::new(1), service(1)), (ActorId::new(2), service(2))]);
    assert_eq!(credentials, [credential(1, 1), credential(2, 2)]);
    let digest = "c132593f2e9075ec3276a13d09a589e6ab75bce03318fef23b557193dd466f27";
    assert_eq!(engine.digest().digest.to_string(), digest, "the digest of the facts in scheme 3");
}

#[test]
fn a_subject_gets_one_principal_and_keeps_it() {
    let (mut world, subject) = (World::new(), |issuer: &str| TokenSubject::new(issuer, "3f2a").expect("short texts"));
    world.ask(principal(7, PrincipalKind::Service, "checkout")).expect("a principal");
    let ann = |issuer| AdmitSubject { subject: subject(issuer), kind: PrincipalKind::Person, name: "Ann".into() };
    let entries = world.entries.len();
    assert_eq!(world.admit(ann("https://a")), Ok((Made::Now, ActorId::new(8))));
    assert_eq!(world.admit(ann("https://a")), Ok((Made::Before, ActorId::new(8))));
    let renamed = AdmitSubject { kind: PrincipalKind::Service, name: "other".into(), ..ann("https://a") };
    assert_eq!(world.admit(renamed), Ok((Made::Before, ActorId::new(8))), "it stays what it is");
    assert_eq!(world.admit(ann("https://b")), Ok((Made::Now, ActorId::new(9))), "another issuer means another one");
    let system = AdmitSubject { kind: PrincipalKind::System, ..ann("https://c") };
    let refused = IdentityRefusal::PrincipalIsSystem(ActorId::new(10));
    assert_eq!(world.admit(system), Err(refused));
    assert_eq!(world.entries.len() - entries, 2);

    let engine = &world.engine;
    assert_eq!(engine.principal_of(&subject("https://b")), Some(ActorId::new(9)));
    assert_eq!(engine.principal_of(&subject("https://c")), None);
    let added: Vec<_> = engine.subjects_added_since(1).map(|(subject, actor)| (subject.clone(), actor)).collect();
    assert_eq!((engine.subject_changes(), added), (2, vec![(subject("https://b"), ActorId::new(9))]));
    let taken = PrincipalAdded { subject: Some(subject("https://a")), ..principal(20, PrincipalKind::Person, "Ann") };
    let refused = IdentityRefusal::PrincipalExistsWithDifferentContent(ActorId::new(8));
    assert_eq!(world.ask(taken), Err(refused));

    let mut replayed = Engine::new(ShardId::new(0), TenantId::new(1));
    for entry in &world.entries {
        replayed.apply(entry);
    }
    assert_eq!(replayed.principal_of(&subject("https://b")), Some(ActorId::new(9)));
    assert_eq!(replayed.digest(), world.engine.digest());
}
