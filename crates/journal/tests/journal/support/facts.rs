//! Facts with every field in use, of which the golden journals are made.

use std::sync::Arc;

use engine::{
    AtDeadline, CaptureTerms, Cause, Deadline, DecisionForm, EntityAttributesSet, Fact, Incremented, Leg, LegRefusal,
    PaymentChanged, PaymentDecided, PaymentStatus, PlainValue, PolicyActivated, Portion, StreamOpened,
};
use features::{RecordChange, StreamId, Update};
use ledger::{Account, AccountFlags, Book, NewAccount, Transfer, TransferFlags, TransferKey, TransferStatus};
use policy::{Effect, EntityValue, Failure, FailureCause, FeatureValue, MissingReason, Reason, Verdict};
use types::{AccountId, Amount, Code, Digest, LedgerId, Name, PaymentId, Seq, Timestamp, Token, TransferId};

use super::header;

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn at(seq: u64) -> Timestamp {
    header(seq).decided_at
}

/// An increment that raised a hold.
pub(crate) fn incremented() -> Incremented {
    let leg = |number, amount| Leg {
        transfer: TransferKey::Leg { payment: PaymentId::new(13), number },
        debit: AccountId::new(4),
        credit: AccountId::new(u128::MAX - 1),
        amount,
        moved: Amount::new(7),
        code: Code::new(300),
    };
    Incremented { legs: Some([leg(4, Amount::new(600)), leg(300, Amount::MAX)].into()), ..declined() }
}

/// An increment that raised nothing, with everything that a decision can have.
pub(crate) fn declined() -> Incremented {
    let PaymentDecided { policy, reasons, tags, features, models, .. } = failed(45);
    Incremented {
        policy,
        verdict: Verdict::Decline,
        score: 999,
        reasons,
        tags,
        features,
        models,
        lists: Vec::new(),
        refusal: Some(LegRefusal { leg: 1, status: TransferStatus::ExceedsCredits }),
        legs: None,
        accepted_updates: vec![0, 300],
    }
}

/// Every part of a policy that can fail, and every cause.
pub(crate) fn failed(seq: u64) -> PaymentDecided {
    let failures = [
        (policy::Part::Stream(name("spend")), FailureCause::Overflow),
        (policy::Part::Model(name("fraud")), FailureCause::NoProbability),
        (policy::Part::Rule(name("velocity")), FailureCause::Missing("features.count_1h".into())),
        (policy::Part::Rule(name("share")), FailureCause::DivisionByZero),
        (policy::Part::Rule(name("whole")), FailureCause::InvalidConversion),
        (policy::Part::Rule(name("bug")), FailureCause::Mistyped),
        (policy::Part::Leg(0), FailureCause::NegativeAmount(-5)),
        (policy::Part::Leg(300), FailureCause::SameAccount),
    ];
    let mut decided = decided(seq);
    decided.reasons.extend(failures.map(|(part, cause)| Reason {
        code: name("failed"),
        effect: Effect::Review,
        failure: Some(Failure { part, cause }),
    }));
    decided
}

pub(crate) fn book(seq: u64) -> ledger::Fact {
    let asset = "EUR/2".parse().unwrap();
    ledger::Fact::BookOpened(Book { id: LedgerId::new(978), asset, opened_at: at(seq) })
}

pub(crate) fn account(seq: u64, flags: AccountFlags) -> ledger::Fact {
    ledger::Fact::AccountOpened(Account::open(&NewAccount { flags, ..new_account(seq) }, at(seq)))
}

pub(crate) fn new_account(seq: u64) -> NewAccount {
    NewAccount {
        id: AccountId::new(u128::from(seq)),
        ledger: LedgerId::new(978),
        code: Code::new(10),
        user_data_128: 128,
        user_data_64: 0,
        user_data_32: 32,
        ..NewAccount::default()
    }
}

pub(crate) fn plain(seq: u64) -> Transfer {
    Transfer {
        key: TransferKey::Client(TransferId::new(u128::from(seq))),
        debit: AccountId::new(4),
        credit: AccountId::new(5),
        amount: Amount::new(1_250),
        pending: None,
        user_data_128: 0,
        user_data_64: 0,
        user_data_32: 0,
        timeout_s: 0,
        ledger: LedgerId::new(978),
        code: Code::new(1),
        flags: TransferFlags::NONE,
        timestamp: at(seq),
    }
}

pub(crate) fn leg(seq: u64, payment: u128, number: u16) -> ledger::Fact {
    let key = TransferKey::Leg { payment: PaymentId::new(payment), number };
    ledger::Fact::TransferCreated(Transfer { key, flags: TransferFlags::PENDING, ..plain(seq) })
}

pub(crate) fn update(seq: u64, change: RecordChange) -> Update {
    Update { stream: StreamId::new(1), entity: Token::new(99), at: at(seq), seq: Seq::new(seq), change }
}

pub(crate) fn activated(seq: u64) -> PolicyActivated {
    PolicyActivated {
        artifact: Digest::of(b"bundle"),
        name: name("retail"),
        features: vec![name("spend_1d"), name("at_night")],
        models: vec![name("fraud")],
        lists: Vec::new(),
        streams: vec![StreamOpened {
            id: StreamId::new(1),
            key: Digest::of(b"stream"),
            retention: "30d".parse().unwrap(),
            records_max: 4_096,
            entities_max: 1_000_000,
            recorded_since: Timestamp::ZERO,
        }],
        ledger_facts: vec![book(seq)],
    }
}

pub(crate) fn decided(seq: u64) -> PaymentDecided {
    PaymentDecided {
        payment: PaymentId::new(u128::from(seq)),
        content: Digest::of(b"content"),
        policy: Seq::new(12),
        payment_type: name("card"),
        ledger: LedgerId::new(978),
        amount: Amount::new(1_250),
        attributes: vec![
            (name("country"), PlainValue::Text("LV".into())),
            (name("items"), PlainValue::Int(-3)),
            (name("risk"), PlainValue::Double(0.25)),
            (name("present"), PlainValue::Bool(true)),
            (name("since"), PlainValue::Time(at(1))),
            (name("customer"), PlainValue::Entity(Token::new(99))),
            (name("to"), PlainValue::Account(AccountId::new(5))),
        ],
        verdict: Verdict::Review,
        score: 710,
        reasons: vec![
            Reason { code: name("risky"), effect: Effect::Score(-200), failure: None },
            Reason { code: name("score_review"), effect: Effect::Review, failure: None },
            Reason { code: name("blocked"), effect: Effect::Decline, failure: None },
        ],
        tags: vec!["no device".to_owned()],
        features: vec![
            (0, FeatureValue::Int(5_000)),
            (1, FeatureValue::Double(-0.5)),
            (2, FeatureValue::Bool(false)),
            (3, FeatureValue::Text("night".into())),
            (4, FeatureValue::Missing(MissingReason::WindowTruncated)),
        ],
        models: vec![(0, Some(0.91)), (1, None)],
        lists: Vec::new(),
        late: false,
        status: PaymentStatus::InReview,
        refusal: None,
        capture: CaptureTerms::Manual { deadline: "7d".parse().unwrap(), then: AtDeadline::Expire },
        deadline: Some(Deadline { at: at(seq).saturating_add("24h".parse().unwrap()), then: AtDeadline::Proceed }),
        ledger_facts: vec![account(seq, AccountFlags::HISTORY), leg(seq, u128::from(seq), 0)],
        updates: vec![update(seq, RecordChange::Insert { value: -1_250, item: None })],
        accepted_updates: vec![0],
        form: DecisionForm::Long,
    }
}

pub(crate) fn refused(seq: u64) -> PaymentDecided {
    PaymentDecided {
        verdict: Verdict::Approve,
        status: PaymentStatus::Refused,
        refusal: Some(LegRefusal { leg: 0, status: TransferStatus::ExceedsCredits }),
        capture: CaptureTerms::Immediate,
        deadline: None,
        late: true,
        ledger_facts: Vec::new(),
        accepted_updates: Vec::new(),
        ..decided(seq)
    }
}

pub(crate) fn changed(seq: u64, cause: Cause, status: PaymentStatus) -> PaymentChanged {
    let held = status == PaymentStatus::Held;
    let deadline = Deadline { at: at(seq).saturating_add("7d".parse().unwrap()), then: AtDeadline::Expire };
    PaymentChanged {
        payment: PaymentId::new(13),
        cause,
        portion: Portion::All,
        status,
        sums: None,
        deadline: held.then_some(deadline),
        ledger_facts: if held { Vec::new() } else { vec![leg(seq, 13, 1)] },
        updates: if held { Vec::new() } else { vec![update(13, RecordChange::Remove)] },
        increment: None,
    }
}

/// Attributes of every type that are set for an entity, a decision that lacked one, and some of them removed and replaced. They begin with
/// this sequence.
pub(crate) fn with_attributes(seq: u64) -> [Fact; 3] {
    let set = |changes: &[(&str, Option<EntityValue>)]| {
        let changes = changes.iter().map(|(attribute, value)| (name(attribute), value.clone())).collect();
        Fact::EntityAttributes(EntityAttributesSet { kind: name("customer"), entity: Token::new(99), changes })
    };
    let opened_at = Timestamp::from_ns(1_795_086_400_000_000_000);
    let features = vec![(0, FeatureValue::Int(2)), (1, FeatureValue::Missing(MissingReason::NotSet))];
    [
        set(&[
            ("kyc_level", Some(EntityValue::Int(-2))),
            ("segment", Some(EntityValue::Text("business".into()))),
            ("limit", Some(EntityValue::Double(0.5))),
            ("staff", Some(EntityValue::Bool(true))),
            ("opened_at", Some(EntityValue::Time(opened_at))),
        ]),
        Fact::PaymentDecided(Arc::new(PaymentDecided { features, ..decided(seq + 1) })),
        set(&[("staff", None), ("kyc_level", Some(EntityValue::Int(3)))]),
    ]
}
