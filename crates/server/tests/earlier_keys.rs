//! A data directory of a release before principals: its API keys go on being the same actors.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use datadir::{KeyStore, Pace, Started, Terms, recover};
use disk::Directory;
use edge::auth::{AuthError, Authenticator as _, Caller, Presented};
use engine::{ApiKeyAdded, Entry, Fact, Header, IdentityFact};
use journal::{DurableLog as _, FrameBuilder, Layout, SegmentStore as _};
use server::{Core, KeyFor, OpenError, Opened, Options};
use types::{ActorId, CredentialId, Origin, RequestId, Seq, ShardId, Span, TenantId, Timestamp};
use vault::ApiKey;

const ORIGIN: Origin = Origin::new(7);
const START: Timestamp = Timestamp::from_ns(1_795_000_000_000_000_000);

fn key(number: u64) -> ApiKey {
    let secret = u8::try_from(number).unwrap();
    ApiKey::generate(CredentialId::new(number), &mut |bytes: &mut [u8]| bytes.fill(secret))
}

/// The entries that the earlier release wrote for a first start and one more key.
fn entries() -> Vec<Entry> {
    let api_key = |number: u64| {
        let key = key(number);
        Fact::Identity(IdentityFact::ApiKeyAdded(ApiKeyAdded {
            key: ActorId::new(number),
            hash: key.hash(),
            scopes: if number == 1 { api::Scope::ALL.bits() } else { api::Scope::LEDGER_READ.bits() },
            name: "made at start".into(),
        }))
    };
    let facts = [Fact::JournalStarted { origin: ORIGIN }, api_key(1), api_key(2)];
    let entry = |(seq, fact)| {
        let at = START.saturating_add(Span::from_ns(seq));
        let header = Header {
            shard: ShardId::new(0),
            seq: Seq::new(seq),
            tenant: TenantId::new(1),
            actor: ActorId::SYSTEM,
            request: RequestId::default(),
            decided_at: at,
            occurred_at: at,
        };
        Entry { header, fact, sealed: None }
    };
    (1..).zip(facts).map(entry).collect()
}

async fn ask(core: &Core, key: &str) -> Result<Caller, AuthError> {
    let header = format!("Bearer {key}");
    core.authenticator().authenticate(Presented { authorization: Some(header.as_bytes()), at: START }).await
}

#[tokio::test]
async fn keys_of_an_earlier_release_are_the_actors_that_they_were() {
    let data = tempfile::tempdir().unwrap();
    {
        let directory = |name: &str| Directory::open(&data.path().join(name)).unwrap();
        let (journal_directory, index, keys) = (directory("journal"), directory("index"), directory("keys"));
        let (shard, tenant) = (ShardId::new(0), TenantId::new(1));
        let terms = Terms { layout: Layout::STANDARD, shard, tenant, pace: Pace::Standard, signed: None };
        let Started { mut journal, .. } = recover(&journal_directory, &index, terms, || ORIGIN).unwrap();
        drop(KeyStore::open(&keys, journal.lineage(), false, Box::new(|bytes: &mut [u8]| bytes.fill(9))).unwrap());
        let mut frame = FrameBuilder::default();
        for entry in entries() {
            frame.push(&entry);
        }
        journal.append(&frame.finish().unwrap()).unwrap();
        journal.sync().unwrap();
        journal.mark().unwrap();
    }
    let all = Caller { actor: ActorId::new(1), sender: CredentialId::new(1).into(), scopes: api::Scope::ALL.bits() };
    let reads =
        Caller { actor: ActorId::new(2), sender: CredentialId::new(2).into(), scopes: api::Scope::LEDGER_READ.bits() };
    let options = Options { confirm_clock: true, disk_reserve_bytes: 0, ..Options::new(data.path()) };
    let opened = Opened::open(&options).unwrap();
    assert!(opened.api_key.is_none(), "a journal with a key needs no other");
    assert_eq!(ask(&opened.core, &key(1).reveal()).await, Ok(all));
    assert_eq!(ask(&opened.core, &key(2).reveal()).await, Ok(reads));
    assert_eq!(opened.core.durable(), Seq::new(3), "a start writes nothing");
    opened.close().unwrap();

    let with_key = |whose| Opened::open(&Options { new_api_key: Some(whose), ..options.clone() });
    let told = |opened: Result<Opened, OpenError>| opened.map(drop).unwrap_err().to_string();
    let several = "there are several principals; say which one gets the new API key, with --principal: ";
    assert!(told(with_key(KeyFor::OnlyPrincipal)).starts_with(several), "both are listed");
    for nobody in [0, 3] {
        let refused = told(with_key(KeyFor::Principal(ActorId::new(nobody))));
        assert!(refused.starts_with(&format!("principal {nobody} cannot get an API key; ")), "{refused}");
    }
    let opened = with_key(KeyFor::Principal(ActorId::new(2))).unwrap();
    let new = opened.api_key.clone().unwrap();
    assert_eq!(new.principal.0, ActorId::new(2));
    assert!(new.key.starts_with("fin_3_"), "keys are numbered on");
    let second = Caller { sender: CredentialId::new(3).into(), scopes: api::Scope::ALL.bits(), ..reads };
    assert_eq!(ask(&opened.core, &new.key).await, Ok(second), "the new key is one of the principal that was named");
    assert_eq!(ask(&opened.core, &key(1).reveal()).await, Ok(all));
    assert_eq!(ask(&opened.core, &key(2).reveal()).await, Ok(reads));
    opened.close().unwrap();
}
