//! Tests that every fact is either in the tables or listed for replay.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{
    ApiKeyAdded, ApprovalFact, ApprovalRules, ArtifactChunk, CaptureTerms, Cause, DecisionForm, DepartedHistory,
    EntityAttributesSet, Header, IdentityFact, KeyUsed, LabelRecorded, ListFact, PaymentChanged, PaymentDecided,
    PaymentStatus, PersonalDataRead, PolicyActivated, Portion, SettingFact, SettingKind, StateDigest,
};
use features::Windows;
use ledger::{
    Account, Book, Import, ImportNumber, ImportState, Ledger, Limits, MetadataOf, NewAccount, NewTransfer, Scheduled,
};
use policy::{EntityValue, Verdict};
use types::{
    AccountId, ActorId, Amount, Code, ImportId, Name, Origin, PaymentId, RequestId, ShardId, TenantId, Token,
    TransferId,
};

use super::*;

const LEDGER: LedgerId = LedgerId::new(1);
const ID: TransferId = TransferId::new(7);
const PAYMENT: PaymentId = PaymentId::new(9);
const LEG: TransferKey = TransferKey::Leg { payment: PAYMENT, number: 0 };

fn transfer(key: TransferKey) -> Transfer {
    Transfer {
        key,
        debit: AccountId::new(1),
        credit: AccountId::new(2),
        amount: Amount::new(5),
        pending: None,
        user_data_128: 0,
        user_data_64: 0,
        user_data_32: 0,
        timeout_s: 0,
        ledger: LEDGER,
        code: Code::new(1),
        flags: TransferFlags::NONE,
        timestamp: Timestamp::from_ns(5),
    }
}

/// At least one fact of every kind of the ledger, with what it touches.
fn ledger_facts() -> Vec<(ledger::Fact, Touched)> {
    use ledger::Fact;
    let (account, import) = (AccountId::new(1), ImportNumber::new(1).unwrap());
    let opened = Account::open(&NewAccount::default(), Timestamp::from_ns(5));
    let (one, two) =
        (Touched::Account(AccountPlace(0)), Touched::Transfer { debit: AccountPlace(0), credit: AccountPlace(1) });
    let scheduled = Scheduled { new: NewTransfer::named(TransferKey::Client(ID)), at: Timestamp::from_ns(9) };
    let started = Import {
        id: ImportId::new(1),
        number: import,
        ledger: LEDGER,
        content: Digest::default(),
        started_at: Timestamp::from_ns(5),
    };
    let book = Book { id: LEDGER, asset: "EUR/2".parse().unwrap(), opened_at: Timestamp::from_ns(5) };
    vec![
        (Fact::BookOpened(book), Touched::Nothing),
        (Fact::AccountOpened(opened), one),
        (Fact::TransferCreated(transfer(TransferKey::Client(ID))), two),
        (Fact::TransferCreated(transfer(LEG)), two),
        (Fact::TransferFailed { id: ID, status: TransferStatus::ExceedsCredits }, Touched::Failed),
        (Fact::TransferExpired(TransferKey::Client(ID)), two),
        (Fact::TransferExpired(LEG), two),
        (Fact::LimitsSet { account, limits: Limits::NONE }, Touched::Nothing),
        (Fact::AddressSet { account, address: "bank:de".parse().unwrap() }, Touched::Nothing),
        (Fact::MetadataSet { of: MetadataOf::Account(account), values: Vec::new() }, Touched::Nothing),
        (Fact::MetadataSet { of: MetadataOf::Payment(PAYMENT), values: Vec::new() }, Touched::Nothing),
        (Fact::TransferScheduled(scheduled), Touched::Nothing),
        (Fact::ScheduledCancelled { id: ID }, Touched::Failed),
        (Fact::IndexesChosen { ledger: LEDGER, fields: IndexedFields::CODE }, Touched::Nothing),
        (Fact::ImportStarted(started), Touched::Nothing),
        (Fact::AccountStaged { import, account: opened }, one),
        (Fact::TransferStaged { import, transfer: transfer(TransferKey::Client(ID)) }, two),
        (Fact::ImportNoted { import, state: ImportState::Opened, progress: Box::default() }, Touched::Nothing),
    ]
}

/// Numbers the kinds of facts: a new kind needs a number here, and a sample above.
fn ledger_kind(fact: &ledger::Fact) -> usize {
    match fact {
        ledger::Fact::BookOpened(_) => 0,
        ledger::Fact::AccountOpened(_) => 1,
        ledger::Fact::TransferCreated(_) => 2,
        ledger::Fact::TransferFailed { .. } => 3,
        ledger::Fact::TransferExpired(_) => 4,
        ledger::Fact::LimitsSet { .. } => 5,
        ledger::Fact::AddressSet { .. } => 6,
        ledger::Fact::MetadataSet { .. } => 7,
        ledger::Fact::TransferScheduled(_) => 8,
        ledger::Fact::ScheduledCancelled { .. } => 9,
        ledger::Fact::IndexesChosen { .. } => 10,
        ledger::Fact::ImportStarted(_) => 11,
        ledger::Fact::AccountStaged { .. } => 12,
        ledger::Fact::TransferStaged { .. } => 13,
        ledger::Fact::ImportNoted { .. } => 14,
    }
}
const LEDGER_KINDS: usize = 15;

/// At least one fact of every kind, with what it touches.
fn facts() -> Vec<(Fact, Vec<Touched>)> {
    let name: Name = "name".parse().unwrap();
    let (one, two) =
        (Touched::Account(AccountPlace(0)), Touched::Transfer { debit: AccountPlace(0), credit: AccountPlace(1) });
    let opened = ledger::Fact::AccountOpened(Account::open(&NewAccount::default(), Timestamp::from_ns(5)));
    let moved = ledger::Fact::TransferCreated(transfer(LEG));
    let decided = PaymentDecided {
        payment: PAYMENT,
        content: Digest::default(),
        policy: Seq::new(1),
        payment_type: name.clone(),
        ledger: LEDGER,
        amount: Amount::new(5),
        attributes: Vec::new(),
        verdict: Verdict::Approve,
        score: 0,
        reasons: Vec::new(),
        tags: Vec::new(),
        features: Vec::new(),
        models: Vec::new(),
        lists: Vec::new(),
        late: false,
        status: PaymentStatus::Posted,
        refusal: None,
        capture: CaptureTerms::Immediate,
        deadline: None,
        ledger_facts: vec![opened.clone(), moved.clone()],
        updates: Vec::new(),
        accepted_updates: Vec::new(),
        form: DecisionForm::Compact,
    };
    let changed = PaymentChanged {
        payment: PAYMENT,
        cause: Cause::Deadline,
        portion: Portion::All,
        status: PaymentStatus::Expired,
        sums: None,
        deadline: None,
        ledger_facts: vec![moved],
        updates: Vec::new(),
        increment: None,
    };
    let recorded = LabelRecorded { payment: PAYMENT, label: name.clone(), positive: true, updates: Vec::new() };
    let chunk = ArtifactChunk { artifact: Digest::default(), index: 0, count: 1, bytes: Arc::from([1]) };
    let activated = PolicyActivated {
        artifact: Digest::default(),
        name,
        features: Vec::new(),
        models: Vec::new(),
        lists: Vec::new(),
        streams: Vec::new(),
        ledger_facts: vec![opened],
    };
    let key = ApiKeyAdded { key: ActorId::new(1), hash: Digest::default(), scopes: 0, name: "key".into() };
    let name = "seven".parse().unwrap();
    let setting = SettingFact::Removed { kind: SettingKind::Role, name };
    let attributes = EntityAttributesSet {
        kind: "customer".parse().unwrap(),
        entity: Token::new(7),
        changes: [("level".parse().unwrap(), Some(EntityValue::Int(2)))].into(),
    };
    let departed = DepartedHistory { origin: Origin::new(7), size: 1, root: Digest::default() };
    let of_ledger = ledger_facts().into_iter().map(|(fact, touched)| (Fact::Ledger(fact), vec![touched]));
    of_ledger
        .chain([
            (Fact::JournalStarted { origin: Origin::new(7) }, vec![]),
            (Fact::JournalContinued { origin: Origin::new(8), departed }, vec![]),
            (Fact::PaymentDecided(Arc::new(decided)), vec![one, two]),
            (Fact::PaymentChanged(changed), vec![two]),
            (Fact::LabelRecorded(recorded), vec![]),
            (Fact::ArtifactStored(chunk), vec![]),
            (Fact::PolicyActivated(Arc::new(activated)), vec![one]),
            (Fact::Identity(IdentityFact::ApiKeyAdded(key)), vec![]),
            (Fact::Approval(ApprovalFact::RulesSet(ApprovalRules::default())), vec![]),
            (Fact::Setting(setting), vec![]),
            (Fact::List(ListFact::Deleted { list: "blocked".parse().unwrap() }), vec![]),
            (Fact::EntityAttributes(attributes), vec![]),
            (Fact::PersonalDataRead(PersonalDataRead { payment: PaymentId::new(7), attributes: [].into() }), vec![]),
            (Fact::KeyUsed(KeyUsed { items: 0, parts: [1].into() }), vec![]),
            (Fact::StateDigest(StateDigest { scheme: 1, digest: Digest::default() }), vec![]),
        ])
        .collect()
}

/// Like [`ledger_kind`], for all facts.
fn kind(fact: &Fact) -> usize {
    match fact {
        Fact::Ledger(fact) => ledger_kind(fact),
        Fact::JournalStarted { .. } => LEDGER_KINDS,
        Fact::JournalContinued { .. } => LEDGER_KINDS + 1,
        Fact::PaymentDecided(_) => LEDGER_KINDS + 2,
        Fact::PaymentChanged(_) => LEDGER_KINDS + 3,
        Fact::LabelRecorded(_) => LEDGER_KINDS + 4,
        Fact::ArtifactStored(_) => LEDGER_KINDS + 5,
        Fact::PolicyActivated(_) => LEDGER_KINDS + 6,
        Fact::Identity(_) => LEDGER_KINDS + 7,
        Fact::StateDigest(_) => LEDGER_KINDS + 8,
        Fact::KeyUsed(_) => LEDGER_KINDS + 9,
        Fact::Setting(_) => LEDGER_KINDS + 10,
        Fact::PersonalDataRead(_) => LEDGER_KINDS + 11,
        Fact::Approval(_) => LEDGER_KINDS + 12,
        Fact::List(_) => LEDGER_KINDS + 13,
        Fact::EntityAttributes(_) => LEDGER_KINDS + 14,
    }
}
const KINDS: usize = LEDGER_KINDS + 15;

fn events_of(fact: Fact, touched: &[Touched]) -> Vec<IndexedFact> {
    let at = Timestamp::from_ns(5);
    let header = Header {
        shard: ShardId::new(0),
        seq: Seq::new(1),
        tenant: TenantId::new(1),
        actor: ActorId::SYSTEM,
        request: RequestId::default(),
        decided_at: at,
        occurred_at: at,
    };
    let entry = Entry { header, fact, sealed: None };
    let mut notes = Notes::new(Seq::ZERO);
    let (ledger, streams) = (Ledger::default(), Windows::default());
    let applied = Applied {
        entry: &entry,
        touched,
        windows: &[],
        changes: None,
        ledger: &ledger,
        streams: &streams,
        decided: Some(Seq::new(5)),
    };
    notes.note(EntryOffset { offset: 0, is_row: false }, applied);
    notes.feed.events.iter().map(|noted| noted.event).collect()
}

#[test]
fn a_restart_finds_every_fact_in_the_tables_or_folds_its_entry_again() {
    let facts = facts();
    let kinds: BTreeSet<usize> = facts.iter().map(|(fact, _)| kind(fact)).collect();
    assert_eq!(kinds, (0..KINDS).collect(), "there is a sample of every kind");
    for (fact, touched) in facts {
        let events = events_of(fact.clone(), &touched);
        let folded = events.iter().filter(|event| **event == IndexedFact::Other).count();
        // Postings of accounts answer queries, but restore nothing.
        let restores = |event: &&IndexedFact| !matches!(event, IndexedFact::Other | IndexedFact::Leg { .. });
        let in_tables = events.iter().filter(restores).count();
        match fact.restored_from() {
            RestoredFrom::Entry => assert_eq!(folded, 1, "{fact:?} is listed for replay, once: {events:?}"),
            RestoredFrom::Nothing => assert_eq!(events, []),
            RestoredFrom::Tables if matches!(fact, Fact::StateDigest(_)) => assert_eq!(events, []),
            RestoredFrom::Tables => assert_eq!((folded, in_tables), (0, 1), "{fact:?} is in a table: {events:?}"),
            RestoredFrom::Recent => assert_eq!(events, [IndexedFact::KeyUsed], "{fact:?}"),
            RestoredFrom::Payment => {
                let is_listed = |event: &&IndexedFact| {
                    matches!(event, IndexedFact::Payment { .. } | IndexedFact::PaymentChanged { .. })
                };
                let listed = events.iter().filter(is_listed).count();
                assert_eq!((folded, listed), (0, 1), "{fact:?} is listed with its payment: {events:?}");
            }
        }
    }
}
