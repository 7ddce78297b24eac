//! The audit: which conditions it takes, which entries meet them, and what it shows of them.

use std::sync::Arc;

use api::audit::{AuditFilter, AuditItem, Deed};
use api::events::Event;
use api::{CursorOrigin, Parameters};
use engine::{
    Cause, Entry, Fact, Header, IdentityFact, PaymentChanged, PaymentStatus, PersonalDataRead, Portion, Principal,
    PrincipalAdded, PrincipalKind, SettingFact, SettingKind, Verb,
};
use journal::{Context, EntryInContext};
use ledger::{Transfer, TransferFlags, TransferKey};
use types::{
    AccountId, ActorId, Amount, Code, LedgerId, Origin, PaymentId, RequestId, Seq, ShardId, TenantId, Timestamp,
    TokenSubject, TransferId,
};

fn entry(actor: u64, fact: Fact) -> Entry {
    let at = Timestamp::from_ns(1_795_000_000_000_000_000);
    let header = Header {
        shard: ShardId::new(0),
        seq: Seq::new(7),
        tenant: TenantId::new(1),
        actor: ActorId::new(actor),
        request: RequestId::new(9),
        decided_at: at,
        occurred_at: at,
    };
    Entry { header, fact, sealed: None }
}

fn changed(cause: Cause) -> Fact {
    Fact::PaymentChanged(PaymentChanged {
        payment: PaymentId::new(3),
        cause,
        portion: Portion::All,
        status: PaymentStatus::Posted,
        sums: None,
        deadline: None,
        ledger_facts: vec![ledger::Fact::TransferCreated(transfer())],
        updates: Vec::new(),
        increment: None,
    })
}

fn transfer() -> Transfer {
    Transfer {
        key: TransferKey::Client(TransferId::new(5)),
        debit: AccountId::new(1),
        credit: AccountId::new(2),
        amount: Amount::new(1),
        pending: None,
        user_data_128: 0,
        user_data_64: 0,
        user_data_32: 0,
        timeout_s: 0,
        ledger: LedgerId::new(1),
        code: Code::new(1),
        flags: TransferFlags::NONE,
        timestamp: Timestamp::from_ns(1),
    }
}

fn read() -> Fact {
    Fact::PersonalDataRead(PersonalDataRead { payment: PaymentId::new(3), attributes: [].into() })
}

fn filter(query: &str) -> Result<AuditFilter, String> {
    let known = ["actor", "kind", "payment", "since", "until", "reversed"];
    let parameters = Parameters::parse(query, &known).expect("known parameters");
    AuditFilter::read(&parameters).map_err(|problem| problem.detail().to_owned())
}

#[test]
fn entries_meet_all_conditions_that_are_given() {
    let deeds = [
        entry(2, changed(Cause::Verb(Verb::Approve))),
        entry(2, read()),
        entry(4, Fact::Ledger(ledger::Fact::TransferCreated(transfer()))),
        entry(0, changed(Cause::Deadline)),
    ];
    let fitting = |filter: &AuditFilter| deeds.iter().map(|one| u8::from(filter.fits(one))).collect::<Vec<_>>();
    for (query, expected) in [
        ("", [1, 1, 1, 0]),
        ("actor=2", [1, 1, 0, 0]),
        ("actor=0", [0, 0, 0, 1]),
        ("kind=payment_changed", [1, 0, 0, 0]),
        ("kind=personal_data_read,transfer_created", [0, 1, 1, 0]),
        ("payment=3", [1, 1, 0, 0]),
        ("payment=3&kind=personal_data_read&actor=4", [0, 0, 0, 0]),
    ] {
        assert_eq!(fitting(&filter(query).expect("a filter")), expected, "{query}");
    }
    let of_account = |id| AuditFilter { account: Some(AccountId::new(id)), ..filter("").expect("a filter") };
    assert_eq!(fitting(&of_account(1)), [1, 0, 1, 0]);
    assert_eq!(fitting(&of_account(3)), [0, 0, 0, 0]);
}

#[test]
fn wrong_conditions_are_named() {
    for (query, expected) in [
        ("kind=payment_changed,approve", "found `approve`, expected"),
        ("actor=Ann", "found `Ann`, expected a whole number"),
        ("since=2027-01-02T00:00:00Z&until=2027-01-01T00:00:00Z", "expected a time that is not before `since`"),
    ] {
        let found = filter(query).expect_err("a problem");
        assert!(found.contains(expected), "{query}: {found}");
    }
}

#[test]
fn a_deed_is_shown_with_its_actor_and_what_it_was_done_to() {
    let rita = Principal { kind: PrincipalKind::Person, name: "Rita".into(), subject: None, added_at: Timestamp::ZERO };
    let shown =
        |fact, principal| serde_json::to_value(AuditItem::new(Deed::from(&entry(2, fact)), principal)).expect("JSON");
    let expected = serde_json::json!({
        "sequence": 7, "decided_at": "2026-11-18T11:06:40Z",
        "actor": {"id": 2, "tenant": 1, "kind": "person", "name": "Rita"},
        "kind": "payment_changed", "verb": "approve", "resource": "payment:00000000-0000-0000-0000-000000000003",
        "request": "00000000-0000-0000-0000-000000000009",
    });
    assert_eq!(shown(changed(Cause::Verb(Verb::Approve)), Some(&rita)), expected);
    let name = "ops".parse().expect("a name");
    let setting = shown(Fact::Setting(SettingFact::Removed { kind: SettingKind::Role, name }), None);
    assert_eq!(
        (&setting["resource"], &setting["actor"]),
        (&"role:ops".into(), &serde_json::json!({"id": 2, "tenant": 1}))
    );
}

#[test]
fn events_show_settings_subjects_and_reads() {
    let told = |fact| {
        let context = Context { assets: Arc::default(), policy: None };
        let history = CursorOrigin { origin: Origin::new(9), shard: ShardId::new(0) };
        let event =
            Event::new(&EntryInContext { entry: entry(2, fact), context }, history).expect("nothing is unknown");
        let json = serde_json::to_value(event).expect("JSON");
        (json["kind"].as_str().map(str::to_owned), json["data"].clone())
    };
    let put = |document: &str| {
        let name = "https://login.example.org".parse().expect("a name");
        Fact::Setting(SettingFact::Put { kind: SettingKind::Issuer, name, document: document.into() })
    };
    let expected = serde_json::json!({
        "setting": "issuer", "name": "https://login.example.org", "document": {"audience": "finaira"},
    });
    assert_eq!(told(put(r#"{"audience":"finaira"}"#)), (Some("setting_put".to_owned()), expected));
    assert_eq!(told(put("no JSON")).1["document"], "no JSON");
    let name = "ops".parse().expect("a name");
    let removed = Fact::Setting(SettingFact::Removed { kind: SettingKind::Role, name });
    let expected = serde_json::json!({"setting": "role", "name": "ops"});
    assert_eq!(told(removed), (Some("setting_removed".to_owned()), expected));
    let expected = serde_json::json!({"payment": "00000000-0000-0000-0000-000000000003", "attributes": []});
    assert_eq!(told(read()), (Some("personal_data_read".to_owned()), expected));
    let subject = Some(TokenSubject::new("https://login.example.org", "3f2a").expect("short texts"));
    let (actor, kind) = (ActorId::new(8), PrincipalKind::Person);
    let added = IdentityFact::PrincipalAdded(PrincipalAdded { actor, kind, name: "Ann".into(), subject });
    let expected = serde_json::json!({
        "principal": 8, "kind": "person", "name": "Ann", "issuer": "https://login.example.org", "subject": "3f2a",
    });
    assert_eq!(told(Fact::Identity(added)), (Some("principal_added".to_owned()), expected));
}
