//! Random entries of every kind, with everything that an entry can contain.

mod attributes;
mod lists;
mod values;

use std::sync::Arc;

use engine::{
    ApiKeyAdded, ApprovalFact, ApprovalRules, ArtifactChunk, AtDeadline, CaptureTerms, Cause, CredentialAdded,
    CredentialKind, CredentialRevoked, Deadline, DecisionForm, Demand, DepartedHistory, Entry, Fact, Header,
    IdentityFact, KeyUsed, LabelRecorded, LegRefusal, PaymentChanged, PaymentDecided, PaymentStatus, PaymentSums,
    PersonalDataRead, PlainValue, PolicyActivated, Portion, PrincipalAdded, PrincipalKind, ProposalEnd, ProposalEnded,
    ProposalMade, Proposed, SettingFact, SettingKind, StateDigest, StreamOpened, Verb,
};
use features::{Item, RecordChange, StreamId, Update};
use ledger::{
    Account, AccountFlags, Book, IndexedFields, Limits, MetadataOf, NewAccount, NewTransfer, Scheduled, Transfer,
    TransferFlags, TransferKey, TransferStatus,
};
use policy::{Effect, Failure, FailureCause, FeatureValue, MissingReason, Part, Reason, Verdict};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use types::{
    AccountId, ActorId, Amount, Asset, Code, CredentialId, Digest, ImportId, KeyId, LedgerId, Origin, PaymentId,
    ProposalId, RequestId, Sealed, Seq, Span, TenantId, Timestamp, Token, TokenSubject, TransferId,
};

use self::values::{digest, name, number};
use super::{SHARD, header};

/// A part of an artifact with this number of bytes.
pub(crate) fn chunk(seq: u64, bytes: usize) -> Entry {
    let part = ArtifactChunk {
        artifact: Digest::of(&seq.to_le_bytes()),
        index: 0,
        count: 1,
        bytes: vec![u8::try_from(seq % 256).unwrap_or(0); bytes].into(),
    };
    Entry { header: header(seq), fact: Fact::ArtifactStored(part), sealed: None }
}

/// Up to eight consecutive entries that start at any sequence; tenants and actors change sometimes.
pub(crate) fn entry_run() -> impl Strategy<Value = Vec<Entry>> {
    let first = (1..u64::MAX / 2, 0..u64::MAX / 4);
    let steps = vec((prop_oneof![1..2_000_u64, 1..u64::MAX / 64], envelope()), 1..8);
    (first, steps).prop_flat_map(|((first, start), steps)| {
        let mut at = start;
        let entry = |(seq, (gap, envelope)): (u64, (u64, Envelope))| {
            at += gap;
            entry(envelope.header(Seq::new(seq), Timestamp::from_ns(at)), envelope.sealed)
        };
        (first..).zip(steps).map(entry).collect::<Vec<_>>()
    })
}

/// Two entries for the same place of a journal, often of the same kind.
pub(crate) fn entries_of_one_place() -> impl Strategy<Value = (Entry, Entry)> {
    (1..u64::MAX / 2, 0..u64::MAX / 4, envelope()).prop_flat_map(|(seq, at, envelope)| {
        let header = envelope.header(Seq::new(seq), Timestamp::from_ns(at));
        (entry(header, None), entry(header, envelope.sealed))
    })
}

#[derive(Debug, Clone)]
struct Envelope {
    tenant: u32,
    actor: u64,
    request: u128,
    occurred: Option<u64>,
    sealed: Option<Sealed>,
}

impl Envelope {
    fn header(&self, seq: Seq, at: Timestamp) -> Header {
        Header {
            shard: SHARD,
            seq,
            tenant: TenantId::new(self.tenant),
            actor: ActorId::new(self.actor),
            request: RequestId::new(self.request),
            decided_at: at,
            occurred_at: self.occurred.map_or(at, Timestamp::from_ns),
        }
    }
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let sealed = (vec(any::<u128>().prop_map(KeyId::new), 0..3), vec(any::<u8>(), 1..40))
        .prop_map(|(keys, ciphertext)| Sealed { keys, ciphertext: ciphertext.into() });
    (
        prop_oneof![3 => Just(1), 1 => any::<u32>()],
        prop_oneof![3 => Just(1), 1 => any::<u64>()],
        prop_oneof![1 => Just(0), 1 => any::<u128>()],
        option::of(0..u64::MAX / 2),
        option::of(sealed),
    )
        .prop_map(|(tenant, actor, request, occurred, sealed)| Envelope {
            tenant,
            actor,
            request,
            occurred,
            sealed,
        })
}

fn entry(header: Header, sealed: Option<Sealed>) -> BoxedStrategy<Entry> {
    let names = || vec(name(), 0..3);
    let fact = prop_oneof![
        1 => any::<u128>().prop_map(|origin| Fact::JournalStarted { origin: Origin::new(origin) }),
        1 => (any::<(u128, u128, u64)>(), digest()).prop_map(|((origin, departed, size), root)| {
            let departed = DepartedHistory { origin: Origin::new(departed), size, root };
            Fact::JournalContinued { origin: Origin::new(origin), departed }
        }),
        4 => ledger_fact(header).prop_map(Fact::Ledger),
        2 => imported(header).prop_map(Fact::Ledger),
        4 => decided(header).prop_map(|decided| Fact::PaymentDecided(Arc::new(decided))),
        2 => changed(header).prop_map(Fact::PaymentChanged),
        1 => (any::<u128>(), name(), any::<bool>(), updates(header)).prop_map(|(payment, label, positive, updates)| {
            let updates = with_items(updates, false);
            Fact::LabelRecorded(LabelRecorded { payment: PaymentId::new(payment), label, positive, updates })
        }),
        1 => (digest(), any::<u32>(), any::<u32>(), vec(any::<u8>(), 0..300)).prop_map(|(artifact, index, count, bytes)| {
            Fact::ArtifactStored(ArtifactChunk { artifact, index, count, bytes: bytes.into() })
        }),
        1 => (digest(), name(), (names(), names(), names()), vec(stream(), 0..3), ledger_facts(header)).prop_map(
            |(artifact, name, (features, models, lists), streams, ledger_facts)| {
                let activated = PolicyActivated { artifact, name, features, models, lists, streams, ledger_facts };
                Fact::PolicyActivated(Arc::new(activated))
            }
        ),
        1 => identity().prop_map(Fact::Identity),
        1 => setting().prop_map(Fact::Setting),
        1 => lists::list().prop_map(Fact::List),
        1 => attributes::entity_attributes().prop_map(Fact::EntityAttributes),
        1 => approval().prop_map(Fact::Approval),
        1 => (any::<u128>(), vec(name(), 0..3)).prop_map(|(payment, attributes)| {
            Fact::PersonalDataRead(PersonalDataRead { payment: PaymentId::new(payment), attributes: attributes.into() })
        }),
        1 => (any::<u32>(), vec(any::<u64>(), 0..5)).prop_map(|(items, parts)| {
            Fact::KeyUsed(KeyUsed { items, parts: parts.into() })
        }),
        1 => (any::<u16>(), digest()).prop_map(|(scheme, digest)| Fact::StateDigest(StateDigest { scheme, digest })),
    ];
    // A request whose id is the id of the object that it creates has a shorter encoding.
    (fact, any::<bool>())
        .prop_map(move |(fact, named)| {
            let mut header = header;
            if let (true, Fact::Ledger(ledger::Fact::TransferCreated(Transfer { key: TransferKey::Client(id), .. }))) =
                (named, &fact)
            {
                header.request = RequestId::new(id.get());
            }
            Entry { header, fact, sealed: sealed.clone() }
        })
        .boxed()
}

fn setting() -> impl Strategy<Value = SettingFact> {
    (select(SettingKind::ALL.to_vec()), "[!-~]{1,256}", ".{0,20}", any::<bool>()).prop_map(|(kind, name, text, put)| {
        let name = name.parse().expect("a name");
        match put {
            true => SettingFact::Put { kind, name, document: text.into() },
            false => SettingFact::Removed { kind, name },
        }
    })
}

fn approval() -> impl Strategy<Value = ApprovalFact> {
    let bounds = prop::collection::btree_map(("[A-Z]{1,16}", 0..=18_u8), any::<u128>(), 0..3);
    let rules = (any::<(bool, bool)>(), bounds).prop_map(|((limits, imports), bounds)| {
        let demand = |approval| if approval { Demand::Approval } else { Demand::Direct };
        let bounds = bounds.into_iter();
        let bound = |((code, scale), bound): ((String, u8), u128)| {
            (Asset::new(&code, scale).expect("an asset"), Amount::new(bound))
        };
        ApprovalRules { limits: demand(limits), imports: demand(imports), reversals_above: bounds.map(bound).collect() }
    });
    let limits = any::<(Option<i128>, Option<i128>)>();
    let limits = limits.prop_map(|(min_balance, max_balance)| Limits { min_balance, max_balance });
    let ids = any::<(u128, u128, u128, u64, u32)>();
    (ids, limits, rules, select(ProposalEnd::ALL.to_vec()), ".{0,20}", 0..7_u8).prop_map(
        |((number, debit, other, long, short), limits, rules, end, reason, which)| {
            let proposal = ProposalId::new(number);
            let operation = match which {
                0 => Proposed::Transfer(Box::new(NewTransfer {
                    debit: AccountId::new(debit),
                    amount: Amount::new(other),
                    pending: (short % 2 == 0).then(|| TransferKey::Client(TransferId::new(other))),
                    user_data_64: long,
                    timeout_s: short,
                    ledger: LedgerId::new(short),
                    flags: TransferFlags::PENDING,
                    ..NewTransfer::named(TransferKey::Client(TransferId::new(number)))
                })),
                1 => Proposed::SetLimits { account: AccountId::new(debit), limits },
                2 => Proposed::Reverse(TransferId::new(debit)),
                3 => Proposed::OpenImport(ImportId::new(debit)),
                4 => Proposed::SetRules(rules),
                5 => return ApprovalFact::RulesSet(rules),
                _ => return ApprovalFact::ProposalEnded(ProposalEnded { proposal, end }),
            };
            let (reason, expires_at) = (reason.into(), Timestamp::from_ns(long));
            ApprovalFact::ProposalMade(Box::new(ProposalMade { proposal, operation, reason, expires_at }))
        },
    )
}

fn identity() -> impl Strategy<Value = IdentityFact> {
    let subject = option::of((".{1,20}", ".{1,20}"));
    let kinds = select(PrincipalKind::ALL.to_vec());
    (any::<(u64, u64, u32, Option<u64>)>(), digest(), kinds, ".{0,20}", subject, 0..4_u8).prop_map(
        |((number, principal, scopes, expiry), hash, kind, name, subject, which)| {
            let (actor, name) = (ActorId::new(number), name.into());
            match which {
                0 => IdentityFact::PrincipalAdded(PrincipalAdded {
                    actor,
                    kind,
                    name,
                    subject: subject
                        .map(|(issuer, subject)| TokenSubject::new(&issuer, &subject).expect("short texts")),
                }),
                1 => IdentityFact::CredentialAdded(CredentialAdded {
                    credential: CredentialId::new(number),
                    principal: ActorId::new(principal),
                    kind: CredentialKind::ApiKey { hash },
                    scopes,
                    name,
                    expires_at: expiry.map(Timestamp::from_ns),
                }),
                2 => IdentityFact::CredentialRevoked(CredentialRevoked { credential: CredentialId::new(number) }),
                _ => IdentityFact::ApiKeyAdded(ApiKeyAdded { key: actor, hash, scopes, name }),
            }
        },
    )
}

fn reason() -> impl Strategy<Value = Reason> {
    let part = prop_oneof![
        name().prop_map(Part::Rule),
        name().prop_map(Part::Model),
        any::<u16>().prop_map(Part::Leg),
        Just(Part::Score)
    ];
    let cause = prop_oneof![
        Just(FailureCause::DivisionByZero),
        Just(FailureCause::NotFound),
        any::<i64>().prop_map(FailureCause::NegativeAmount),
        ".{0,10}".prop_map(|path| FailureCause::Missing(path.into())),
    ];
    let failure = (part, cause).prop_map(|(part, cause)| Failure { part, cause });
    (name(), effect(), option::of(failure)).prop_map(|(code, effect, failure)| Reason { code, effect, failure })
}

fn decided(header: Header) -> impl Strategy<Value = PaymentDecided> {
    let request = (any::<u128>(), digest(), any::<u64>(), name(), any::<u32>(), any::<u128>());
    let judged = (
        vec((name(), plain_value()), 0..4),
        select(vec![Verdict::Approve, Verdict::Review, Verdict::Decline]),
        any::<u16>(),
        vec(reason(), 0..3),
        vec(".{0,10}", 0..2),
        vec((any::<u16>(), feature_value()), 0..4),
        vec((any::<u16>(), option::of(0.0..=1.0)), 0..3),
        vec((any::<u16>(), any::<u64>()), 0..3),
        any::<bool>(),
    );
    let refusal = (any::<u16>(), select(TransferStatus::ALL)).prop_map(|(leg, status)| LegRefusal { leg, status });
    let capture = prop_oneof![
        Just(CaptureTerms::Immediate),
        (any::<u64>(), at_deadline()).prop_map(|(ns, then)| CaptureTerms::Manual { deadline: Span::from_ns(ns), then }),
    ];
    let made = (
        select(PaymentStatus::ALL.to_vec()),
        option::of(refusal),
        capture,
        option::of(deadline(header)),
        ledger_facts(header),
        updates(header),
        vec(any::<u16>(), 0..3),
        select(vec![DecisionForm::Long, DecisionForm::Compact]),
    );
    (request, judged, made).prop_map(|(request, judged, made)| {
        let (payment, content, policy, payment_type, ledger, amount) = request;
        let (attributes, verdict, score, reasons, tags, features, models, lists, late) = judged;
        let (status, refusal, capture, deadline, ledger_facts, updates, accepted_updates, form) = made;
        PaymentDecided {
            payment: PaymentId::new(payment),
            content,
            policy: Seq::new(policy),
            payment_type,
            ledger: LedgerId::new(ledger),
            amount: Amount::new(amount),
            attributes,
            verdict,
            score,
            reasons,
            tags,
            features,
            models,
            // Only compact decisions have lists.
            lists: lists
                .into_iter()
                .filter(|_| form == DecisionForm::Compact)
                .map(|(list, version)| (list, Seq::new(version)))
                .collect(),
            late,
            status,
            refusal,
            capture,
            deadline,
            ledger_facts,
            updates: with_items(updates, form == DecisionForm::Compact),
            accepted_updates,
            form,
        }
    })
}

fn incremented(
    payment: u128,
    decided: PaymentDecided,
    legs: Option<Vec<([u128; 4], [u16; 2])>>,
) -> Arc<engine::Incremented> {
    let leg = |([debit, credit, amount, moved], [number, code]): ([u128; 4], [u16; 2])| engine::Leg {
        transfer: TransferKey::Leg { payment: PaymentId::new(payment), number },
        debit: AccountId::new(debit),
        credit: AccountId::new(credit),
        amount: Amount::new(amount),
        moved: Amount::new(moved),
        code: Code::new(code),
    };
    Arc::new(engine::Incremented {
        policy: decided.policy,
        verdict: decided.verdict,
        score: decided.score,
        reasons: decided.reasons,
        tags: decided.tags,
        features: decided.features,
        models: decided.models,
        lists: decided.lists,
        refusal: decided.refusal,
        legs: legs.map(|legs| legs.into_iter().map(leg).collect()),
        accepted_updates: decided.accepted_updates,
    })
}

fn changed(header: Header) -> impl Strategy<Value = PaymentChanged> {
    let cause = prop_oneof![Just(Cause::Deadline), select(Verb::ALL.to_vec()).prop_map(Cause::Verb)];
    let status = select(PaymentStatus::ALL.to_vec());
    // Only changes with sums can be of a part.
    let amounts = option::of(any::<([u128; 4], u8)>());
    let moved = (option::of(deadline(header)), ledger_facts(header), updates(header));
    let increment = option::of((decided(header), option::of(vec(any::<([u128; 4], [u16; 2])>(), 0..3))));
    (any::<u128>(), cause, status, amounts, moved, increment).prop_map(
        |(payment, cause, status, amounts, (deadline, ledger_facts, updates), increment)| PaymentChanged {
            payment: PaymentId::new(payment),
            cause,
            portion: match amounts.map(|([amount, ..], kind)| (Amount::new(amount), kind % 3)) {
                Some((amount, 1)) => Portion::Part(amount),
                Some((amount, 2)) => Portion::Last(amount),
                _ => Portion::All,
            },
            status,
            sums: amounts.map(|([_, captured, released, refunded], _)| PaymentSums {
                captured: Amount::new(captured),
                released: Amount::new(released),
                refunded: Amount::new(refunded),
            }),
            deadline,
            ledger_facts,
            // Only increments add records, and an increment has sums.
            updates: with_items(updates, increment.is_some() && amounts.is_some()),
            increment: increment
                .filter(|_| amounts.is_some())
                .map(|(decided, legs)| incremented(payment, decided, legs)),
        },
    )
}

fn ledger_facts(header: Header) -> impl Strategy<Value = Vec<ledger::Fact>> {
    vec(ledger_fact(header), 0..3)
}

fn ledger_fact(header: Header) -> impl Strategy<Value = ledger::Fact> {
    prop_oneof![
        (any::<u32>(), "[A-Z][A-Z0-9_]{0,15}", 0..=Asset::SCALE_MAX, shortly_after(header)).prop_map(
            |(id, code, scale, opened_at)| {
                let asset = Asset::new(&code, scale).expect("the pattern is that of codes");
                ledger::Fact::BookOpened(Book { id: LedgerId::new(id), asset, opened_at })
            }
        ),
        (any::<(u128, u32, u16, u16)>(), user_data(), shortly_after(header)).prop_map(|(ids, user_data, at)| {
            let (id, ledger, code, flags) = ids;
            let (user_data_128, user_data_64, user_data_32) = user_data;
            let new = NewAccount {
                id: AccountId::new(id),
                ledger: LedgerId::new(ledger),
                code: Code::new(code),
                user_data_128,
                user_data_64,
                user_data_32,
                flags: AccountFlags::from_bits(flags),
                ..NewAccount::default()
            };
            ledger::Fact::AccountOpened(Account::open(&new, at))
        }),
        (transfer(), shortly_after(header))
            .prop_map(|(transfer, timestamp)| { ledger::Fact::TransferCreated(Transfer { timestamp, ..transfer }) }),
        (any::<u128>(), select(TransferStatus::ALL))
            .prop_map(|(id, status)| ledger::Fact::TransferFailed { id: TransferId::new(id), status }),
        transfer_key().prop_map(ledger::Fact::TransferExpired),
        ledger_setting(header),
    ]
}

fn ledger_setting(header: Header) -> impl Strategy<Value = ledger::Fact> {
    let metadata_of = prop_oneof![
        any::<u128>().prop_map(|id| MetadataOf::Account(AccountId::new(id))),
        transfer_key().prop_map(MetadataOf::Transfer),
        any::<u128>().prop_map(|id| MetadataOf::Payment(PaymentId::new(id))),
    ];
    let values = prop::collection::vec((any::<String>(), any::<Option<String>>()), 0..4);
    prop_oneof![
        any::<(u128, Option<i128>, Option<i128>)>().prop_map(|(account, min_balance, max_balance)| {
            ledger::Fact::LimitsSet { account: AccountId::new(account), limits: Limits { min_balance, max_balance } }
        }),
        (any::<u128>(), "[a-z]{1,9}(:[A-Z0-9_.-]{1,9}){0,3}").prop_map(|(account, address)| {
            let address = address.parse().expect("it has the form of an address");
            ledger::Fact::AddressSet { account: AccountId::new(account), address }
        }),
        (metadata_of, values).prop_map(|(of, values)| ledger::Fact::MetadataSet { of, values }),
        (transfer(), shortly_after(header)).prop_map(|(transfer, at)| {
            let new = NewTransfer {
                debit: transfer.debit,
                amount: transfer.amount,
                pending: transfer.pending,
                user_data_64: transfer.user_data_64,
                flags: transfer.flags,
                ..NewTransfer::named(transfer.key)
            };
            ledger::Fact::TransferScheduled(Scheduled { new, at })
        }),
        any::<u128>().prop_map(|id| ledger::Fact::ScheduledCancelled { id: TransferId::new(id) }),
        any::<(u32, u16)>().prop_map(|(ledger, bits)| ledger::Fact::IndexesChosen {
            ledger: LedgerId::new(ledger),
            fields: IndexedFields::from_bits(bits),
        }),
    ]
}

/// An account or transfer from another system, with a time before its entry's.
fn imported(header: Header) -> impl Strategy<Value = ledger::Fact> {
    let before = prop_oneof![0..header.decided_at.ns().max(1), Just(header.decided_at.ns().saturating_sub(1))];
    let account = NewAccount { flags: AccountFlags::IMPORTED, ..NewAccount::default() };
    (transfer(), before.prop_map(Timestamp::from_ns), any::<bool>()).prop_map(
        move |(transfer, timestamp, is_account)| {
            if is_account {
                ledger::Fact::AccountOpened(Account::open(&account, timestamp))
            } else {
                ledger::Fact::TransferCreated(Transfer { timestamp, ..transfer })
            }
        },
    )
}

/// Any transfer, at time 0.
pub(crate) fn transfer() -> impl Strategy<Value = Transfer> {
    let amount = prop_oneof![any::<u128>(), 0..100_000_u128];
    let pending = option::of(transfer_key());
    let timeout_s = prop_oneof![Just(0), any::<u32>()];
    (transfer_key(), any::<(u128, u128, u32, u16, u16)>(), amount, pending, user_data(), timeout_s).prop_map(
        |(key, (debit, credit, ledger, code, flags), amount, pending, user_data, timeout_s)| Transfer {
            key,
            debit: AccountId::new(debit),
            credit: AccountId::new(credit),
            amount: Amount::new(amount),
            pending,
            user_data_128: user_data.0,
            user_data_64: user_data.1,
            user_data_32: user_data.2,
            timeout_s,
            ledger: LedgerId::new(ledger),
            code: Code::new(code),
            flags: TransferFlags::from_bits(flags),
            timestamp: Timestamp::ZERO,
        },
    )
}

fn transfer_key() -> impl Strategy<Value = TransferKey> {
    prop_oneof![
        any::<u128>().prop_map(|id| TransferKey::Client(TransferId::new(id))),
        (any::<u128>(), any::<u16>())
            .prop_map(|(payment, number)| TransferKey::Leg { payment: PaymentId::new(payment), number }),
    ]
}

fn user_data() -> impl Strategy<Value = (u128, u64, u32)> {
    any::<([bool; 3], u128, u64, u32)>().prop_map(|(given, wide, medium, narrow)| {
        (u128::from(given[0]) * wide, u64::from(given[1]) * medium, u32::from(given[2]) * narrow)
    })
}

/// The updates, with or without the items of their records: only some forms of entries can have them.
fn with_items(mut updates: Vec<Update>, are_known: bool) -> Vec<Update> {
    for update in &mut updates {
        if let RecordChange::Insert { item, .. } = &mut update.change {
            *item = item.filter(|_| are_known);
        }
    }
    updates
}

fn updates(header: Header) -> impl Strategy<Value = Vec<Update>> {
    let change = prop_oneof![
        any::<(i64, u64)>()
            .prop_map(|(value, item)| RecordChange::Insert { value, item: Item::new(item * u64::from(item % 3 > 0)) }),
        Just(RecordChange::Remove),
        any::<bool>().prop_map(|positive| RecordChange::Label { positive }),
    ];
    let seq = prop_oneof![Just(header.seq.get()), 0..=header.seq.get()];
    vec(
        (any::<(u32, u128, u64)>(), seq, change).prop_map(|((stream, entity, at), seq, change)| Update {
            stream: StreamId::new(stream),
            entity: Token::new(entity),
            at: Timestamp::from_ns(at),
            seq: Seq::new(seq),
            change,
        }),
        0..3,
    )
}

fn plain_value() -> impl Strategy<Value = PlainValue> {
    prop_oneof![
        ".{0,12}".prop_map(|text| PlainValue::Text(text.into())),
        any::<i64>().prop_map(PlainValue::Int),
        number().prop_map(PlainValue::Double),
        any::<bool>().prop_map(PlainValue::Bool),
        any::<u64>().prop_map(|ns| PlainValue::Time(Timestamp::from_ns(ns))),
        any::<u128>().prop_map(|token| PlainValue::Entity(Token::new(token))),
        any::<u128>().prop_map(|id| PlainValue::Account(AccountId::new(id))),
    ]
}

fn feature_value() -> impl Strategy<Value = FeatureValue> {
    let missing = [
        MissingReason::AttributeAbsent,
        MissingReason::WindowTruncated,
        MissingReason::TooManyEntities,
        MissingReason::ExpressionFailed,
        MissingReason::OutOfRange,
        MissingReason::Unavailable,
        MissingReason::TooFewRecords,
        MissingReason::NotSet,
    ];
    prop_oneof![
        any::<i64>().prop_map(FeatureValue::Int),
        number().prop_map(FeatureValue::Double),
        any::<bool>().prop_map(FeatureValue::Bool),
        ".{0,12}".prop_map(|text| FeatureValue::Text(text.into())),
        select(missing.to_vec()).prop_map(FeatureValue::Missing),
    ]
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![Just(Effect::Decline), Just(Effect::Review), any::<i16>().prop_map(Effect::Score)]
}

fn stream() -> impl Strategy<Value = StreamOpened> {
    (any::<u32>(), digest(), any::<(u64, u32, u32)>()).prop_map(|(id, key, (ns, records_max, entities_max))| {
        StreamOpened {
            id: StreamId::new(id),
            key,
            retention: Span::from_ns(ns),
            records_max,
            entities_max,
            recorded_since: Timestamp::from_ns(ns >> 1),
        }
    })
}

fn deadline(header: Header) -> impl Strategy<Value = Deadline> {
    (any::<u32>(), at_deadline()).prop_map(move |(secs, then)| Deadline {
        at: header.decided_at.saturating_add(Span::from_secs(u64::from(secs))),
        then,
    })
}

fn at_deadline() -> impl Strategy<Value = AtDeadline> {
    select(vec![AtDeadline::Expire, AtDeadline::Proceed])
}

/// A time near the entry's.
fn shortly_after(header: Header) -> impl Strategy<Value = Timestamp> {
    (0..300_u64).prop_map(move |ns| header.decided_at.saturating_add(Span::from_ns(ns)))
}
