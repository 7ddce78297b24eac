//! Journals of every format version, with every kind of entry. They must stay readable for ever, and the current
//! version must be written byte for byte. `UPDATE_EXPECT=1` rewrites the files of the current version, which is correct
//! only before that version is released. Leaves do not depend on the version.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{
    AddedValue, ApiKeyAdded, ApprovalFact, ApprovalRules, ArtifactChunk, Cause, CredentialAdded, CredentialKind,
    CredentialRevoked, DecisionForm, Demand, DepartedHistory, Entry, Fact, Header, IdentityFact, Incremented, KeyUsed,
    LabelRecorded, ListFact, ListOf, ListPurpose, ListValue, PaymentChanged, PaymentDecided, PaymentStatus,
    PaymentSums, PersonalDataRead, PlainValue, PolicyActivated, Portion, PrincipalAdded, PrincipalKind, ProposalEnd,
    ProposalEnded, ProposalMade, Proposed, SettingFact, SettingKind, StateDigest, Verb,
};
use expect_test::expect_file;
use features::{Item, RecordChange, Update};
use journal::{DurableLog, FORMAT_VERSION, Identity, KIND_NAMES, Part, canonical, kind_name, leaf_hash};
use ledger::{
    Account, AccountFlags, AccountPlace, Import, ImportNumber, ImportProgress, ImportState, IndexedFields, Limits,
    MetadataOf, NewAccount, NewTransfer, Places, Scheduled, Transfer, TransferFlags, TransferKey, TransferStatus,
};
use policy::{FeatureValue, MissingReason};
use types::{
    AccountId, ActorId, Amount, Asset, Code, CredentialId, Digest, Epoch, ImportId, KeyId, LedgerId, Name, Origin,
    PaymentId, ProposalId, RequestId, Sealed, Seq, SettingName, Span, Timestamp, Token, TokenSubject, TransferId,
};

use crate::support::facts::{
    account, activated, at, book, changed, decided, declined, failed, incremented, leg, name, new_account, plain,
    refused, update, with_attributes,
};
use crate::support::{Folder, ORIGIN, frame, header, root, small};

/// The files of a version, without trailing zeros.
fn files(version: u16) -> &'static [&'static str] {
    match version {
        1 | 2 => &["segment-00000001", "mark"],
        _ => &["segment-00000001", "segment-00000002", "mark"],
    }
}

/// The identity as which the golden journals since version 3 continue.
const CONTINUED: Identity =
    Identity { origin: Origin::new(0xfeed_0000_0000_0000_0000_0000_0000_0001), epoch: Epoch::new(2) };

/// The number of entries before that.
const CONTINUED_AFTER: usize = 38;

fn golden(version: u16, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/v{version}")).join(name)
}

#[test]
fn a_journal_of_the_present_version_is_written_byte_for_byte() {
    let folder = Folder::with_unmarked(&[]);
    let mut opened = folder.open();
    let entries = entries();
    let (before, after) = entries.split_at(CONTINUED_AFTER);
    for some in before.chunks(5) {
        opened.journal.append(&frame(some)).unwrap();
        opened.journal.sync().unwrap();
    }
    opened.journal.continue_as(CONTINUED, &frame(after)).unwrap();
    drop(opened);
    #[expect(clippy::disallowed_methods, reason = "the switch by which every golden file of the project is rewritten")]
    let update = std::env::var("UPDATE_EXPECT").is_ok();
    for name in files(FORMAT_VERSION) {
        let written = folder.read_trimmed(name);
        let golden = golden(FORMAT_VERSION, name);
        if update {
            std::fs::write(&golden, &written).unwrap();
        }
        let kept = std::fs::read(golden).unwrap();
        let differs = kept.iter().zip(&written).position(|(kept, written)| kept != written);
        assert!(kept == written, "{name} differs from byte {differs:?} on; {} and {} bytes", kept.len(), written.len());
    }
}

/// Opens the golden journal of a version and continues to write it.
#[track_caller]
fn check_readable(version: u16, entries: &[Entry]) {
    let folder = Folder::new();
    for name in files(version) {
        let mut bytes = std::fs::read(golden(version, name)).unwrap();
        bytes.resize(bytes.len().next_multiple_of(8192), 0);
        folder.write(name, &bytes);
    }
    let mut opened = folder.open();
    assert_eq!(opened.recovered.torn, None);
    let first = Part { identity: Identity { origin: ORIGIN, epoch: Epoch::new(1) }, first: Seq::new(1) };
    let lineage = match version {
        1 | 2 => vec![first],
        _ => vec![first, Part { identity: CONTINUED, first: Seq::new(CONTINUED_AFTER as u64 + 1) }],
    };
    assert_eq!(opened.journal.lineage(), lineage);
    assert_eq!(opened.entries, entries);
    let next = small(opened.recovered.last.next().get());
    opened.journal.append(&frame(std::slice::from_ref(&next))).unwrap();
    opened.journal.sync().unwrap();
    drop(opened);
    assert_eq!(folder.open().entries, [entries, &[next]].concat());
}

#[test]
fn a_journal_of_version_1_is_readable() {
    check_readable(1, &entries_of_version_1());
}

#[test]
fn a_journal_of_version_2_is_readable() {
    check_readable(2, &entries_of_version_2());
}

#[test]
fn a_journal_of_version_3_is_readable() {
    check_readable(3, &entries_of_version_3());
}

#[test]
fn a_journal_of_version_4_is_readable() {
    check_readable(4, &entries_of_version_4());
}

#[test]
fn a_journal_of_version_5_is_readable() {
    check_readable(5, &entries());
}

#[test]
fn leaves_never_change() {
    let versions = [
        (1, entries_of_version_1()),
        (2, entries_of_version_2()),
        (3, entries_of_version_3()),
        (4, entries_of_version_4()),
        (5, entries()),
    ];
    for (version, entries) in versions {
        let mut text = String::new();
        let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        for entry in entries {
            let (seq, kind) = (entry.header.seq, kind_name(&entry));
            writeln!(text, "{seq} {kind}\n  canonical {}", hex(&canonical(&entry))).unwrap();
            writeln!(text, "  leaf      {}", hex(&leaf_hash(&entry))).unwrap();
        }
        let kept = golden(version, "entries.txt");
        if version == FORMAT_VERSION {
            expect_file![kept].assert_eq(&text);
        } else {
            assert!(std::fs::read_to_string(kept).unwrap() == text, "version {version}: a released file never changes");
        }
    }
}

#[test]
fn the_golden_journals_have_every_kind_of_entry() {
    let mut kinds: Vec<&str> = entries().iter().map(kind_name).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut all = KIND_NAMES.to_vec();
    all.sort_unstable();
    assert_eq!(kinds, all);
}

/// The entries that a journal of version 4 could contain, then those that came later.
fn entries() -> Vec<Entry> {
    let mut entries = entries_of_version_4();
    // Every feature in its compact form, and ids that occur several times.
    let token = Token::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let doubles = [0.0, -0.0, 1.5, 53.21, f64::MAX, f64::NEG_INFINITY].map(FeatureValue::Double);
    let others = [
        FeatureValue::Int(-1),
        FeatureValue::Int(i64::MAX),
        FeatureValue::Bool(false),
        FeatureValue::Bool(true),
        FeatureValue::Text("Zoë".into()),
        FeatureValue::Missing(MissingReason::WindowTruncated),
    ];
    let mut compact = PaymentDecided {
        attributes: vec![
            (name("customer"), PlainValue::Entity(token)),
            (name("friend"), PlainValue::Entity(token)),
            (name("to"), PlainValue::Account(AccountId::new(5))),
        ],
        features: [0, 1, 2, 3, 4, 5, 9, 7, 8, 300, 301, 65_535]
            .into_iter()
            .zip(doubles.into_iter().chain(others))
            .collect(),
        ledger_facts: vec![
            account(50, AccountFlags::NONE),
            ledger::Fact::TransferCreated(Transfer {
                key: TransferKey::Leg { payment: PaymentId::new(50), number: 0 },
                credit: AccountId::new(50),
                ..plain(50)
            }),
        ],
        updates: vec![Update { entity: token, ..update(50, RecordChange::Insert { value: 7, item: None }) }],
        form: DecisionForm::Compact,
        ..failed(50)
    };
    compact.updates.push(Update { at: at(50).checked_sub(Span::from_secs(90)).unwrap(), ..compact.updates[0] });
    let late = Header { occurred_at: at(50).checked_sub(Span::from_secs(90)).unwrap(), ..header(50) };
    let sealed = Some(Sealed { keys: vec![KeyId::new(1), KeyId::new(2)], ciphertext: [7; 400].into() });
    entries.push(Entry { header: late, fact: Fact::PaymentDecided(Arc::new(compact)), sealed });
    let system = Header { actor: ActorId::SYSTEM, request: RequestId::default(), ..header(51) };
    let expired = Fact::PaymentChanged(changed(51, Cause::Deadline, PaymentStatus::Expired));
    entries.push(Entry { header: system, fact: expired, sealed: None });
    for (seq, increment) in (52..).zip([incremented(), declined()]) {
        let raised = increment.legs.is_some();
        let changed = PaymentChanged {
            portion: Portion::Part(Amount::new(300)),
            sums: Some(PaymentSums { captured: Amount::new(300), ..PaymentSums::default() }),
            ledger_facts: if raised { vec![leg(seq, 13, 4)] } else { Vec::new() },
            updates: if raised {
                vec![update(13, RecordChange::Insert { value: 600, item: None })]
            } else {
                Vec::new()
            },
            increment: Some(Arc::new(increment)),
            ..changed(seq, Cause::Verb(Verb::Increment), PaymentStatus::Held)
        };
        entries.push(Entry { header: header(seq), fact: Fact::PaymentChanged(changed), sealed: None });
    }
    let facts = [
        IdentityFact::CredentialAdded(CredentialAdded {
            credential: CredentialId::new(303),
            principal: ActorId::new(301),
            kind: CredentialKind::ApiKey { hash: Digest::of(b"a third key") },
            scopes: 1 << 16,
            name: "for a day".into(),
            expires_at: Some(Timestamp::from_ns(1_795_086_400_000_000_000)),
        }),
        IdentityFact::CredentialRevoked(CredentialRevoked { credential: CredentialId::new(302) }),
    ];
    for (seq, fact) in (54..).zip(facts) {
        entries.push(Entry { header: header(seq), fact: Fact::Identity(fact), sealed: None });
    }
    let subject = TokenSubject::new("https://login.example.org", "3f2a").expect("short texts");
    let (actor, kind, name) = (ActorId::new(304), PrincipalKind::Person, "Zoë".into());
    let admitted = PrincipalAdded { actor, kind, name, subject: Some(subject) };
    let name: SettingName = "https://login.example.org".parse().expect("a name");
    let facts = [
        Fact::Identity(IdentityFact::PrincipalAdded(admitted)),
        Fact::Setting(SettingFact::Put {
            kind: SettingKind::Issuer,
            name: name.clone(),
            document: r#"{"audience":"finaira"}"#.into(),
        }),
        Fact::Setting(SettingFact::Removed { kind: SettingKind::Issuer, name }),
        Fact::PersonalDataRead(PersonalDataRead { payment: PaymentId::new(13), attributes: [].into() }),
        Fact::PersonalDataRead(PersonalDataRead {
            payment: PaymentId::new(13),
            attributes: [self::name("email"), self::name("phone")].into(),
        }),
    ];
    for (seq, fact) in (56..).zip(facts) {
        entries.push(Entry { header: header(seq), fact, sealed: None });
    }
    for (seq, fact) in (61..).zip(approvals()) {
        let mut header = header(seq);
        if let ApprovalFact::ProposalMade(made) = &fact {
            header.request = RequestId::new(made.proposal.get());
        }
        entries.push(Entry { header, fact: Fact::Approval(fact), sealed: None });
    }
    let next = entries.last().map_or(0, |entry| entry.header.seq.get()) + 1;
    for (seq, fact) in (next..).zip(with_items(next)) {
        entries.push(Entry { header: header(seq), fact, sealed: None });
    }
    let next = entries.last().map_or(0, |entry| entry.header.seq.get()) + 1;
    for (seq, fact) in (next..).zip(with_lists(next)) {
        entries.push(Entry { header: header(seq), fact, sealed: None });
    }
    let next = entries.last().map_or(0, |entry| entry.header.seq.get()) + 1;
    for (seq, fact) in (next..).zip(with_attributes(next)) {
        entries.push(Entry { header: header(seq), fact, sealed: None });
    }
    entries
}

/// A decision and an increment that add records with items. They begin with this sequence.
fn with_items(seq: u64) -> [Fact; 2] {
    let item = Item::new(0x0123_4567_89ab_cdef);
    let remembered = update(seq, RecordChange::Insert { value: -7, item });
    let decided = PaymentDecided {
        features: vec![(0, FeatureValue::Bool(true)), (1, FeatureValue::Missing(MissingReason::TooFewRecords))],
        updates: vec![remembered, Update { change: RecordChange::Insert { value: 5, item: None }, ..remembered }],
        form: DecisionForm::Compact,
        ..failed(seq)
    };
    let moved = PaymentChanged {
        portion: Portion::Part(Amount::new(300)),
        sums: Some(PaymentSums { captured: Amount::new(300), ..PaymentSums::default() }),
        ledger_facts: vec![leg(seq + 1, 13, 5)],
        updates: vec![
            update(13, RecordChange::Remove),
            update(13, RecordChange::Insert { value: 600, item: Item::new(u64::MAX) }),
        ],
        increment: Some(Arc::new(incremented())),
        ..changed(seq + 1, Cause::Verb(Verb::Increment), PaymentStatus::Held)
    };
    [Fact::PaymentDecided(Arc::new(decided)), Fact::PaymentChanged(moved)]
}

/// Facts about lists, a policy that declares two of them, and a decision and an increment that looked into them. They begin with
/// this sequence.
fn with_lists(seq: u64) -> [Fact; 9] {
    let (texts, devices) = (name("sanctioned_countries"), name("blocked_devices"));
    let made = |list: &Name, of, purpose, description: &str| {
        Fact::List(ListFact::Made { list: list.clone(), of, purpose, description: description.into() })
    };
    let added = |value, expires_at, reason: &str| AddedValue { value, expires_at, reason: reason.into() };
    let text = |text: &str| ListValue::Text(text.into());
    let device = |token| ListValue::Entity(Token::new(token));
    let expires_at = Some(Timestamp::from_ns(1_795_086_400_000_000_000));
    let values = [added(text("KP"), None, ""), added(text("IR"), expires_at, "un"), added(text("SY"), None, "un")];
    let devices_added = [added(device(99), None, "fraud"), added(device(u128::MAX), expires_at, "")];
    let removed = [text("KP"), text("IR")];
    let activated =
        PolicyActivated { lists: vec![texts.clone(), devices.clone()], ledger_facts: Vec::new(), ..activated(seq + 5) };
    let lists = vec![(0, Seq::new(seq + 4)), (1, Seq::ZERO)];
    let [Fact::PaymentDecided(decided), Fact::PaymentChanged(changed)] = with_items(seq + 6) else {
        unreachable!("a decision and an increment")
    };
    let decided = PaymentDecided { lists: lists.clone(), ..Arc::unwrap_or_clone(decided) };
    let increment =
        changed.increment.map(|increment| Arc::new(Incremented { lists, ..Arc::unwrap_or_clone(increment) }));
    [
        made(&texts, ListOf::Text, ListPurpose::Block, "UN sanctions"),
        made(&devices, ListOf::Entity(name("device")), ListPurpose::Watch, ""),
        Fact::List(ListFact::ValuesAdded { list: texts.clone(), values: values.into() }),
        Fact::List(ListFact::ValuesAdded { list: devices.clone(), values: devices_added.into() }),
        Fact::List(ListFact::ValuesRemoved { list: texts, values: removed.into() }),
        Fact::PolicyActivated(Arc::new(activated)),
        Fact::PaymentDecided(Arc::new(decided)),
        Fact::PaymentChanged(PaymentChanged { increment, ..changed }),
        Fact::List(ListFact::Deleted { list: devices }),
    ]
}

/// Rules, a proposal of each operation, and each end of one.
fn approvals() -> Vec<ApprovalFact> {
    let asset = |code| Asset::new(code, 2).expect("an asset");
    let strict = ApprovalRules {
        limits: Demand::Approval,
        imports: Demand::Approval,
        reversals_above: [(asset("USD"), Amount::MAX), (asset("EUR"), Amount::new(100))].into(),
    };
    let transfer = NewTransfer {
        debit: AccountId::new(4),
        credit: AccountId::new(5),
        amount: Amount::MAX,
        pending: Some(TransferKey::Client(TransferId::new(7))),
        user_data_64: 64,
        timeout_s: 60,
        ledger: LedgerId::new(978),
        code: Code::new(9),
        flags: TransferFlags::POST_PENDING_TRANSFER,
        ..NewTransfer::named(TransferKey::Client(TransferId::new(703)))
    };
    let limits = Limits { min_balance: Some(i128::MIN), max_balance: None };
    let operations = [
        Proposed::Transfer(Box::new(transfer)),
        Proposed::SetLimits { account: AccountId::new(4), limits },
        Proposed::Reverse(TransferId::new(6)),
        Proposed::OpenImport(ImportId::new(8)),
        Proposed::SetRules(ApprovalRules::default()),
    ];
    let expires_at = Timestamp::from_ns(1_795_086_400_000_000_000);
    let made = (703..).zip(operations).map(|(number, operation)| {
        let (proposal, reason) = (ProposalId::new(number), if number == 703 { "ticket 4711" } else { "" }.into());
        ApprovalFact::ProposalMade(Box::new(ProposalMade { proposal, operation, reason, expires_at }))
    });
    let ended = (703..)
        .zip(ProposalEnd::ALL)
        .map(|(number, end)| ApprovalFact::ProposalEnded(ProposalEnded { proposal: ProposalId::new(number), end }));
    [ApprovalFact::RulesSet(strict)].into_iter().chain(made).chain(ended).collect()
}

/// The entries that a journal of version 3 could contain, then those that came later.
fn entries_of_version_4() -> Vec<Entry> {
    let mut entries = entries_of_version_3();
    let principal = |actor, kind, name: &str| {
        IdentityFact::PrincipalAdded(PrincipalAdded {
            actor: ActorId::new(actor),
            kind,
            name: name.into(),
            subject: None,
        })
    };
    let facts = [
        principal(301, PrincipalKind::Service, "checkout"),
        principal(u64::MAX, PrincipalKind::Person, "Zoë"),
        principal(2, PrincipalKind::System, ""),
        IdentityFact::CredentialAdded(CredentialAdded {
            credential: CredentialId::new(302),
            principal: ActorId::new(301),
            kind: CredentialKind::ApiKey { hash: Digest::of(b"another key") },
            scopes: u32::MAX,
            name: "made at start".into(),
            expires_at: None,
        }),
    ];
    for (seq, fact) in (41..).zip(facts) {
        entries.push(Entry { header: header(seq), fact: Fact::Identity(fact), sealed: None });
    }
    entries.push(Entry { header: header(45), fact: Fact::PaymentDecided(Arc::new(failed(45))), sealed: None });
    let used = KeyUsed { items: 2, parts: [1, u64::MAX, 7].into() };
    entries.push(Entry { header: header(46), fact: Fact::KeyUsed(used), sealed: None });
    let portions = [
        (Verb::Capture, Portion::Part(Amount::new(300))),
        (Verb::Capture, Portion::Last(Amount::MAX)),
        (Verb::Refund, Portion::All),
    ];
    for (seq, (verb, portion)) in (47..).zip(portions) {
        let [captured, released, refunded] = [Amount::new(300), Amount::MAX, Amount::new(7)];
        let sums = Some(PaymentSums { captured, released, refunded });
        let changed = PaymentChanged { portion, sums, ..changed(seq, Cause::Verb(verb), PaymentStatus::Held) };
        entries.push(Entry { header: header(seq), fact: Fact::PaymentChanged(changed), sealed: None });
    }
    entries
}

/// The entries that a journal of version 2 could contain, then those that came later; the last two belong to a history
/// that continues.
fn entries_of_version_3() -> Vec<Entry> {
    let mut entries = entries_of_version_2();
    let import = ImportNumber::new(300).unwrap();
    let before = Timestamp::from_ns(9);
    let staged = |seq| {
        let flags = TransferFlags::IMPORTED;
        ledger::Fact::TransferStaged { import, transfer: Transfer { flags, timestamp: before, ..plain(seq) } }
    };
    let texts = vec![("colour".to_owned(), Some("red".to_owned())), ("size".to_owned(), None)];
    let progress = ImportProgress {
        accounts: 1,
        transfers: 2,
        last_account: before,
        last_transfer: before,
        places: vec![Places { first: AccountPlace(200), count: 1 }],
    };
    let scheduled = NewTransfer {
        debit: AccountId::new(4),
        credit: AccountId::new(5),
        amount: Amount::new(7),
        ledger: LedgerId::new(978),
        code: Code::new(1),
        timeout_s: 60,
        ..NewTransfer::named(TransferKey::Client(TransferId::new(31)))
    };
    let facts = [
        ledger::Fact::LimitsSet {
            account: AccountId::new(4),
            limits: Limits { min_balance: Some(-500), max_balance: None },
        },
        ledger::Fact::AddressSet { account: AccountId::new(4), address: "bank:DE.04".parse().unwrap() },
        ledger::Fact::MetadataSet { of: MetadataOf::Account(AccountId::new(4)), values: texts.clone() },
        ledger::Fact::MetadataSet { of: MetadataOf::Transfer(plain(6).key), values: texts.clone() },
        ledger::Fact::MetadataSet { of: MetadataOf::Payment(PaymentId::new(13)), values: texts },
        ledger::Fact::TransferScheduled(Scheduled { new: scheduled, at: at(60) }),
        ledger::Fact::ScheduledCancelled { id: TransferId::new(31) },
        ledger::Fact::IndexesChosen { ledger: LedgerId::new(978), fields: IndexedFields::from_bits(0b1_0110) },
        ledger::Fact::ImportStarted(Import {
            id: ImportId::new(77),
            number: import,
            ledger: LedgerId::new(978),
            content: Digest::of(b"files"),
            started_at: at(34),
        }),
        ledger::Fact::AccountStaged {
            import,
            account: Account::open(&NewAccount { flags: AccountFlags::IMPORTED, ..new_account(35) }, before),
        },
        staged(36),
        staged(37),
        ledger::Fact::ImportNoted { import, state: ImportState::Opened, progress: Box::new(progress) },
    ];
    for (seq, fact) in (26..).zip(facts) {
        entries.push(Entry { header: header(seq), fact: Fact::Ledger(fact), sealed: None });
    }
    let leaves: Vec<[u8; 32]> = entries.iter().map(leaf_hash).collect();
    let departed = DepartedHistory { origin: ORIGIN, size: 38, root: Digest::new(root(&leaves)) };
    let system = Header { actor: ActorId::SYSTEM, request: RequestId::default(), ..header(39) };
    entries.push(Entry {
        header: system,
        fact: Fact::JournalContinued { origin: CONTINUED.origin, departed },
        sealed: None,
    });
    entries.push(small(40));
    entries
}

fn entries_of_version_2() -> Vec<Entry> {
    let mut entries = entries_of_version_1();
    let created = |transfer| Fact::Ledger(ledger::Fact::TransferCreated(transfer));
    let timed = |seq| Transfer { timeout_s: 60, flags: TransferFlags::PENDING, ..plain(seq) };
    let facts = [
        // Rows: two runs in one frame, then a transfer that cannot be a row.
        created(plain(19)),
        created(timed(20)),
        created(Transfer { pending: Some(TransferKey::Client(TransferId::new(20))), ..plain(21) }),
        created(plain(22)),
        created(Transfer { flags: TransferFlags::from_bits(1 << 15), ..plain(23) }),
        // Imported accounts and transfers, which are older than their entries.
        Fact::Ledger(account(1, AccountFlags::IMPORTED)),
        created(Transfer { flags: TransferFlags::IMPORTED, timestamp: Timestamp::from_ns(9), ..plain(25) }),
    ];
    for (seq, fact) in (19..).zip(facts) {
        let mut header = header(seq);
        if seq == 22 {
            header.request = RequestId::new(700);
            header.actor = ActorId::new(7);
        }
        entries.push(Entry { header, fact, sealed: None });
    }
    entries
}

fn entries_of_version_1() -> Vec<Entry> {
    let facts = [
        Fact::JournalStarted { origin: ORIGIN },
        Fact::Identity(IdentityFact::ApiKeyAdded(ApiKeyAdded {
            key: ActorId::new(300),
            hash: Digest::of(b"key"),
            scopes: u32::MAX,
            name: "made at start".into(),
        })),
        Fact::Ledger(book(3)),
        Fact::Ledger(account(4, AccountFlags::NONE)),
        Fact::Ledger(account(5, AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS)),
        Fact::Ledger(ledger::Fact::TransferCreated(plain(6))),
        Fact::Ledger(ledger::Fact::TransferCreated(Transfer {
            timeout_s: 3_600,
            flags: TransferFlags::PENDING,
            ..plain(7)
        })),
        Fact::Ledger(ledger::Fact::TransferCreated(Transfer {
            pending: Some(TransferKey::Client(TransferId::new(7))),
            flags: TransferFlags::POST_PENDING_TRANSFER,
            user_data_128: u128::MAX,
            user_data_64: 64,
            user_data_32: 32,
            amount: Amount::new(u128::MAX),
            ..plain(8)
        })),
        Fact::Ledger(ledger::Fact::TransferFailed { id: TransferId::new(9), status: TransferStatus::ExceedsCredits }),
        Fact::Ledger(ledger::Fact::TransferExpired(TransferKey::Leg { payment: PaymentId::new(10), number: 1 })),
        Fact::ArtifactStored(ArtifactChunk {
            artifact: Digest::of(b"bundle"),
            index: 0,
            count: 2,
            bytes: b"the first part".as_slice().into(),
        }),
        Fact::PolicyActivated(Arc::new(activated(12))),
        Fact::PaymentDecided(Arc::new(decided(13))),
        Fact::PaymentDecided(Arc::new(refused(14))),
        Fact::PaymentChanged(changed(15, Cause::Verb(Verb::Approve), PaymentStatus::Held)),
        Fact::PaymentChanged(changed(16, Cause::Deadline, PaymentStatus::Expired)),
        Fact::LabelRecorded(LabelRecorded {
            payment: PaymentId::new(13),
            label: name("chargeback"),
            positive: true,
            updates: vec![
                update(13, RecordChange::Label { positive: true }),
                update(13, RecordChange::Label { positive: false }),
            ],
        }),
        Fact::StateDigest(StateDigest { scheme: 1, digest: Digest::of(b"state") }),
    ];
    let entry = |(seq, fact)| {
        let mut header = header(seq);
        let mut sealed = None;
        match &fact {
            Fact::JournalStarted { .. } | Fact::JournalContinued { .. } | Fact::StateDigest(_) => {
                header.actor = ActorId::SYSTEM;
                header.request = RequestId::default();
            }
            Fact::PaymentDecided(decided) => {
                header.occurred_at = header.decided_at.checked_sub(Span::from_secs(90)).unwrap();
                header.request = RequestId::new(decided.payment.get());
                sealed = Some(Sealed { keys: vec![KeyId::new(1), KeyId::new(2)], ciphertext: [7; 40].into() });
            }
            Fact::Ledger(_)
            | Fact::PaymentChanged(_)
            | Fact::LabelRecorded(_)
            | Fact::ArtifactStored(_)
            | Fact::PolicyActivated(_)
            | Fact::Identity(_)
            | Fact::Approval(_)
            | Fact::Setting(_)
            | Fact::List(_)
            | Fact::EntityAttributes(_)
            | Fact::PersonalDataRead(_)
            | Fact::KeyUsed(_) => {}
        }
        Entry { header, fact, sealed }
    };
    (1..).zip(facts).map(entry).collect()
}
