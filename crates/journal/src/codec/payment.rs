//! Encodes payments.

use std::sync::Arc;

use engine::{
    AtDeadline, CaptureTerms, Cause, Deadline, DecisionForm, Header, Incremented, Leg, LegRefusal, PaymentChanged,
    PaymentDecided, PaymentStatus, PaymentSums, PlainValue, Portion, Verb,
};
use ledger::TransferKey;
use policy::{Effect, Failure, FailureCause, FeatureValue, MissingReason, Part, Reason, Verdict};
use types::{AccountId, Amount, Code, Digest, LedgerId, Name, PaymentId, Seq, Span, Timestamp, Token};

use super::fact::{
    decode_bool, decode_many, decode_name, decode_text, decode_updates, encode_name, encode_updates, has_items,
};
use super::{compact_features, ledger_facts, lists};
use crate::bytes::{DecodeError, Decoder, Encoder};

pub(super) fn encode_decided(header: &Header, decided: &PaymentDecided, into: &mut Encoder) {
    into.u128(decided.payment.get());
    if decided.form == DecisionForm::Compact {
        into.begin_references(decided.payment.get());
    }
    into.raw(decided.content.as_bytes());
    into.varint(decided.policy.get());
    encode_name(&decided.payment_type, into);
    into.varint(decided.ledger.get());
    into.varint(decided.amount.get());
    into.count(decided.attributes.len());
    for (name, value) in &decided.attributes {
        encode_name(name, into);
        encode_plain(value, into);
    }
    into.u8(VERDICTS.number(decided.verdict));
    into.varint(decided.score);
    into.count(decided.reasons.len());
    for reason in &decided.reasons {
        encode_name(&reason.code, into);
        encode_effect(reason.effect, into);
    }
    into.count(decided.tags.len());
    decided.tags.iter().for_each(|tag| into.counted(tag.as_bytes()));
    match decided.form {
        DecisionForm::Long => {
            into.count(decided.features.len());
            for (number, value) in &decided.features {
                into.varint(*number);
                encode_feature(value, into);
            }
        }
        DecisionForm::Compact => compact_features::encode(&decided.features, into),
    }
    into.count(decided.models.len());
    for (number, probability) in &decided.models {
        into.varint(*number);
        into.u8(u8::from(probability.is_some()));
        if let Some(probability) = probability {
            into.u64(probability.to_bits());
        }
    }
    into.u8(u8::from(decided.late));
    into.u8(STATUSES.number(decided.status));
    into.u8(u8::from(decided.refusal.is_some()));
    if let Some(refusal) = decided.refusal {
        into.varint(refusal.leg);
        into.varint(refusal.status.number());
    }
    match decided.capture {
        CaptureTerms::Immediate => into.u8(0),
        CaptureTerms::Manual { deadline, then } => {
            into.u8(1);
            into.varint(deadline.ns());
            into.u8(AT_DEADLINE.number(then));
        }
    }
    encode_deadline(header, decided.deadline, into);
    ledger_facts::encode_all(header, &decided.ledger_facts, into);
    encode_updates(header, &decided.updates, into);
    into.count(decided.accepted_updates.len());
    decided.accepted_updates.iter().for_each(|position| into.varint(*position));
    if version(decided) >= FAILURES_VERSION {
        into.count(failures(decided).count());
        for (position, failure) in failures(decided) {
            into.varint(position);
            encode_failure(failure, into);
        }
    }
    if !decided.lists.is_empty() {
        lists::encode_versions(&decided.lists, into);
    }
    into.end_references();
}

/// The first version of a decision in which a reason of the system names what failed.
const FAILURES_VERSION: u16 = 2;
/// The version of a decision in its compact form: it contains each id once, and features take fewer bytes.
const COMPACT_VERSION: u16 = 3;
/// The version of a compact decision that adds records with items.
const ITEMS_VERSION: u16 = 4;
/// The version of a compact decision that looked into lists. It may have records with items.
pub(super) const LISTS_VERSION: u16 = 5;

pub(super) fn version(decided: &PaymentDecided) -> u16 {
    match decided.form {
        DecisionForm::Compact if !decided.lists.is_empty() => LISTS_VERSION,
        DecisionForm::Compact if has_items(&decided.updates) => ITEMS_VERSION,
        DecisionForm::Compact => COMPACT_VERSION,
        DecisionForm::Long if failures(decided).next().is_some() => FAILURES_VERSION,
        DecisionForm::Long => 1,
    }
}

/// The failures, each with the position of its reason.
fn failures(decided: &PaymentDecided) -> impl Iterator<Item = (u16, &Failure)> {
    (0..).zip(&decided.reasons).filter_map(|(position, reason)| Some((position, reason.failure.as_ref()?)))
}

pub(super) fn decode_decided(
    header: &Header,
    version: u16,
    from: &mut Decoder<'_>,
) -> Result<PaymentDecided, DecodeError> {
    let form = if version >= COMPACT_VERSION { DecisionForm::Compact } else { DecisionForm::Long };
    let mut decided = decode_first(header, (form, version >= ITEMS_VERSION), from)?;
    if version >= FAILURES_VERSION {
        for (position, failure) in decode_many(from, |from| Ok((from.varint::<u16>()?, decode_failure(from)?)))? {
            let unknown = DecodeError::Unknown { what: "position of a reason", value: u64::from(position) };
            decided.reasons.get_mut(usize::from(position)).ok_or(unknown)?.failure = Some(failure);
        }
    }
    if version >= LISTS_VERSION {
        decided.lists = lists::decode_versions(from)?;
    }
    Ok(decided)
}

/// What every version of a decision has.
fn decode_first(
    header: &Header,
    (form, knows_items): (DecisionForm, bool),
    from: &mut Decoder<'_>,
) -> Result<PaymentDecided, DecodeError> {
    let payment = PaymentId::new(from.u128()?);
    if form == DecisionForm::Compact {
        from.begin_references(payment.get());
    }
    Ok(PaymentDecided {
        payment,
        content: Digest::new(from.array()?),
        policy: Seq::new(from.varint()?),
        payment_type: decode_name(from)?,
        ledger: LedgerId::new(from.varint()?),
        amount: Amount::new(from.varint()?),
        attributes: decode_many(from, |from| Ok((decode_name(from)?, decode_plain(from)?)))?,
        verdict: VERDICTS.value(from.u8()?)?,
        score: from.varint()?,
        reasons: decode_many(from, |from| {
            Ok(Reason { code: decode_name(from)?, effect: decode_effect(from)?, failure: None })
        })?,
        tags: decode_many(from, decode_text)?,
        features: match form {
            DecisionForm::Long => decode_many(from, |from| Ok((from.varint()?, decode_feature(from)?)))?,
            DecisionForm::Compact => compact_features::decode(from)?,
        },
        models: decode_many(from, |from| {
            let number = from.varint()?;
            let probability = if decode_bool(from)? { Some(f64::from_bits(from.u64()?)) } else { None };
            Ok((number, probability))
        })?,
        lists: Vec::new(),
        late: decode_bool(from)?,
        status: STATUSES.value(from.u8()?)?,
        refusal: match decode_bool(from)? {
            true => Some(LegRefusal { leg: from.varint()?, status: ledger_facts::decode_status(from)? }),
            false => None,
        },
        capture: match from.u8()? {
            0 => CaptureTerms::Immediate,
            1 => CaptureTerms::Manual { deadline: Span::from_ns(from.varint()?), then: AT_DEADLINE.value(from.u8()?)? },
            other => return Err(DecodeError::Unknown { what: "capture", value: u64::from(other) }),
        },
        deadline: decode_deadline(header, from)?,
        ledger_facts: ledger_facts::decode_all(header, from)?,
        updates: decode_updates(header, knows_items, from)?,
        accepted_updates: decode_many(from, |from| from.varint())?,
        form,
    })
}

pub(super) fn encode_changed(header: &Header, changed: &PaymentChanged, into: &mut Encoder) {
    into.u128(changed.payment.get());
    match changed.cause {
        Cause::Deadline => into.u8(0),
        Cause::Verb(verb) => into.u8(1 + VERBS.number(verb)),
    }
    into.u8(STATUSES.number(changed.status));
    encode_deadline(header, changed.deadline, into);
    ledger_facts::encode_all(header, &changed.ledger_facts, into);
    encode_updates(header, &changed.updates, into);
    if let Some(sums) = changed.sums {
        let (tag, amount) = match changed.portion {
            Portion::All => (0, None),
            Portion::Part(amount) => (1, Some(amount)),
            Portion::Last(amount) => (2, Some(amount)),
        };
        into.u8(tag);
        let sums = [sums.captured, sums.released, sums.refunded];
        amount.into_iter().chain(sums).for_each(|amount| into.varint(amount.get()));
    }
    if let Some(increment) = &changed.increment {
        encode_increment(increment, into);
    }
}

/// The version of a change with the sums after it and the amount that was asked for.
pub(super) const SUMS_VERSION: u16 = 2;
/// The version of a change that also has the decision about an increment.
const INCREMENT_VERSION: u16 = 3;
/// The version of an increment that moves records with items.
const CHANGED_ITEMS_VERSION: u16 = 4;
/// The version of an increment whose decision looked into lists. It may move records with items.
pub(super) const CHANGED_LISTS_VERSION: u16 = 5;

pub(super) fn changed_version(changed: &PaymentChanged) -> u16 {
    match (&changed.increment, changed.sums) {
        (Some(increment), _) if !increment.lists.is_empty() => CHANGED_LISTS_VERSION,
        (Some(_), _) if has_items(&changed.updates) => CHANGED_ITEMS_VERSION,
        (Some(_), _) => INCREMENT_VERSION,
        (None, Some(_)) => SUMS_VERSION,
        (None, None) => 1,
    }
}

fn encode_increment(increment: &Incremented, into: &mut Encoder) {
    into.varint(increment.policy.get());
    into.u8(VERDICTS.number(increment.verdict));
    into.varint(increment.score);
    into.count(increment.reasons.len());
    for reason in &increment.reasons {
        encode_name(&reason.code, into);
        encode_effect(reason.effect, into);
        into.u8(u8::from(reason.failure.is_some()));
        if let Some(failure) = &reason.failure {
            encode_failure(failure, into);
        }
    }
    into.count(increment.tags.len());
    increment.tags.iter().for_each(|tag| into.counted(tag.as_bytes()));
    into.count(increment.features.len());
    for (number, value) in &increment.features {
        into.varint(*number);
        encode_feature(value, into);
    }
    into.count(increment.models.len());
    for (number, probability) in &increment.models {
        into.varint(*number);
        into.u8(u8::from(probability.is_some()));
        if let Some(probability) = probability {
            into.u64(probability.to_bits());
        }
    }
    into.u8(u8::from(increment.refusal.is_some()));
    if let Some(refusal) = increment.refusal {
        into.varint(refusal.leg);
        into.varint(refusal.status.number());
    }
    into.u8(u8::from(increment.legs.is_some()));
    if let Some(legs) = &increment.legs {
        into.count(legs.len());
        for leg in legs {
            let TransferKey::Leg { number, .. } = leg.transfer else {
                unreachable!("JRN-8: a payment's legs are its own transfers")
            };
            into.varint(number);
            into.u128(leg.debit.get());
            into.u128(leg.credit.get());
            into.varint(leg.amount.get());
            into.varint(leg.moved.get());
            into.varint(leg.code.get());
        }
    }
    into.count(increment.accepted_updates.len());
    increment.accepted_updates.iter().for_each(|position| into.varint(*position));
    if !increment.lists.is_empty() {
        lists::encode_versions(&increment.lists, into);
    }
}

fn decode_increment(payment: PaymentId, version: u16, from: &mut Decoder<'_>) -> Result<Incremented, DecodeError> {
    let leg = |from: &mut Decoder<'_>| {
        Ok(Leg {
            transfer: TransferKey::Leg { payment, number: from.varint()? },
            debit: AccountId::new(from.u128()?),
            credit: AccountId::new(from.u128()?),
            amount: decode_amount(from)?,
            moved: decode_amount(from)?,
            code: Code::new(from.varint()?),
        })
    };
    Ok(Incremented {
        policy: Seq::new(from.varint()?),
        verdict: VERDICTS.value(from.u8()?)?,
        score: from.varint()?,
        reasons: decode_many(from, |from| {
            let (code, effect) = (decode_name(from)?, decode_effect(from)?);
            let failure = if decode_bool(from)? { Some(decode_failure(from)?) } else { None };
            Ok(Reason { code, effect, failure })
        })?,
        tags: decode_many(from, decode_text)?,
        features: decode_many(from, |from| Ok((from.varint()?, decode_feature(from)?)))?,
        models: decode_many(from, |from| {
            let number = from.varint()?;
            let probability = if decode_bool(from)? { Some(f64::from_bits(from.u64()?)) } else { None };
            Ok((number, probability))
        })?,
        refusal: match decode_bool(from)? {
            true => Some(LegRefusal { leg: from.varint()?, status: ledger_facts::decode_status(from)? }),
            false => None,
        },
        legs: if decode_bool(from)? { Some(decode_many(from, leg)?.into()) } else { None },
        accepted_updates: decode_many(from, |from| from.varint())?,
        lists: if version >= CHANGED_LISTS_VERSION { lists::decode_versions(from)? } else { Vec::new() },
    })
}

pub(super) fn decode_changed(
    header: &Header,
    version: u16,
    from: &mut Decoder<'_>,
) -> Result<PaymentChanged, DecodeError> {
    let mut changed = PaymentChanged {
        payment: PaymentId::new(from.u128()?),
        cause: match from.u8()? {
            0 => Cause::Deadline,
            verb => Cause::Verb(VERBS.value(verb - 1)?),
        },
        portion: Portion::All,
        status: STATUSES.value(from.u8()?)?,
        sums: None,
        deadline: decode_deadline(header, from)?,
        ledger_facts: ledger_facts::decode_all(header, from)?,
        updates: decode_updates(header, version >= CHANGED_ITEMS_VERSION, from)?,
        increment: None,
    };
    if version >= SUMS_VERSION {
        changed.portion = match from.u8()? {
            0 => Portion::All,
            1 => Portion::Part(decode_amount(from)?),
            2 => Portion::Last(decode_amount(from)?),
            other => return Err(DecodeError::Unknown { what: "portion of a payment", value: u64::from(other) }),
        };
        let [captured, released, refunded] = [decode_amount(from)?, decode_amount(from)?, decode_amount(from)?];
        changed.sums = Some(PaymentSums { captured, released, refunded });
    }
    if version >= INCREMENT_VERSION {
        changed.increment = Some(Arc::new(decode_increment(changed.payment, version, from)?));
    }
    Ok(changed)
}

fn decode_amount(from: &mut Decoder<'_>) -> Result<Amount, DecodeError> {
    Ok(Amount::new(from.varint()?))
}

/// Values by their permanent numbers, from 0. Append new values at the end; never reorder them.
pub(super) struct Table<T: 'static> {
    pub(super) what: &'static str,
    pub(super) values: &'static [T],
}

impl<T: Copy + PartialEq> Table<T> {
    pub(super) fn number(&self, value: T) -> u8 {
        let position = self.values.iter().position(|known| *known == value).expect("JRN-5: a table has every value");
        u8::try_from(position).expect("JRN-5: tables are short")
    }

    pub(super) fn value(&self, number: u8) -> Result<T, DecodeError> {
        let unknown = DecodeError::Unknown { what: self.what, value: u64::from(number) };
        self.values.get(usize::from(number)).copied().ok_or(unknown)
    }
}

const VERDICTS: Table<Verdict> =
    Table { what: "verdict", values: &[Verdict::Approve, Verdict::Review, Verdict::Decline] };
const STATUSES: Table<PaymentStatus> = Table { what: "payment status", values: &PaymentStatus::ALL };
const VERBS: Table<Verb> = Table { what: "verb", values: &Verb::ALL };
const AT_DEADLINE: Table<AtDeadline> =
    Table { what: "effect of a deadline", values: &[AtDeadline::Expire, AtDeadline::Proceed] };
pub(super) const MISSING: Table<MissingReason> =
    Table { what: "reason for a missing feature", values: &MissingReason::ALL };

fn encode_deadline(header: &Header, deadline: Option<Deadline>, into: &mut Encoder) {
    match deadline {
        None => into.u8(0),
        Some(deadline) => {
            into.u8(1 + AT_DEADLINE.number(deadline.then));
            into.varint(deadline.at.since(header.decided_at).ns());
        }
    }
}

fn decode_deadline(header: &Header, from: &mut Decoder<'_>) -> Result<Option<Deadline>, DecodeError> {
    match from.u8()? {
        0 => Ok(None),
        then => {
            let then = AT_DEADLINE.value(then - 1)?;
            let at: Timestamp = header.decided_at.saturating_add(Span::from_ns(from.varint()?));
            Ok(Some(Deadline { at, then }))
        }
    }
}

fn encode_effect(effect: Effect, into: &mut Encoder) {
    match effect {
        Effect::Decline => into.u8(0),
        Effect::Review => into.u8(1),
        Effect::Score(points) => {
            into.u8(2);
            into.zigzag(i64::from(points));
        }
    }
}

fn decode_effect(from: &mut Decoder<'_>) -> Result<Effect, DecodeError> {
    match from.u8()? {
        0 => Ok(Effect::Decline),
        1 => Ok(Effect::Review),
        2 => match i16::try_from(from.zigzag()?) {
            Ok(points) => Ok(Effect::Score(points)),
            Err(_) => Err(DecodeError::Unknown { what: "score", value: 0 }),
        },
        other => Err(DecodeError::Unknown { what: "effect", value: u64::from(other) }),
    }
}

fn encode_failure(failure: &Failure, into: &mut Encoder) {
    let mut named = |number: u8, name: &Name| {
        into.u8(number);
        encode_name(name, into);
    };
    match &failure.part {
        Part::Stream(name) => named(0, name),
        Part::Model(name) => named(1, name),
        Part::Rule(name) => named(2, name),
        Part::Leg(number) => {
            into.u8(3);
            into.varint(*number);
        }
        Part::Score => into.u8(4),
    }
    match &failure.cause {
        FailureCause::Missing(path) => {
            into.u8(0);
            into.counted(path.as_bytes());
        }
        FailureCause::Overflow => into.u8(1),
        FailureCause::DivisionByZero => into.u8(2),
        FailureCause::InvalidConversion => into.u8(3),
        FailureCause::Mistyped => into.u8(4),
        FailureCause::NoProbability => into.u8(5),
        FailureCause::NegativeAmount(amount) => {
            into.u8(6);
            into.zigzag(*amount);
        }
        FailureCause::SameAccount => into.u8(7),
        FailureCause::NotFound => into.u8(8),
    }
}

fn decode_failure(from: &mut Decoder<'_>) -> Result<Failure, DecodeError> {
    let part = match from.u8()? {
        0 => Part::Stream(decode_name(from)?),
        1 => Part::Model(decode_name(from)?),
        2 => Part::Rule(decode_name(from)?),
        3 => Part::Leg(from.varint()?),
        4 => Part::Score,
        other => return Err(DecodeError::Unknown { what: "part of a policy", value: u64::from(other) }),
    };
    let cause = match from.u8()? {
        0 => FailureCause::Missing(decode_text(from)?.into()),
        1 => FailureCause::Overflow,
        2 => FailureCause::DivisionByZero,
        3 => FailureCause::InvalidConversion,
        4 => FailureCause::Mistyped,
        5 => FailureCause::NoProbability,
        6 => FailureCause::NegativeAmount(from.zigzag()?),
        7 => FailureCause::SameAccount,
        8 => FailureCause::NotFound,
        other => return Err(DecodeError::Unknown { what: "cause of a failure", value: u64::from(other) }),
    };
    Ok(Failure { part, cause })
}

fn encode_plain(value: &PlainValue, into: &mut Encoder) {
    match value {
        PlainValue::Text(text) => {
            into.u8(0);
            into.counted(text.as_bytes());
        }
        PlainValue::Int(int) => {
            into.u8(1);
            into.zigzag(*int);
        }
        PlainValue::Double(double) => {
            into.u8(2);
            into.u64(double.to_bits());
        }
        PlainValue::Bool(yes) => {
            into.u8(3);
            into.u8(u8::from(*yes));
        }
        PlainValue::Time(at) => {
            into.u8(4);
            into.u64(at.ns());
        }
        PlainValue::Entity(token) => {
            into.u8(5);
            into.id(token.get());
        }
        PlainValue::Account(id) => {
            into.u8(6);
            into.id(id.get());
        }
    }
}

fn decode_plain(from: &mut Decoder<'_>) -> Result<PlainValue, DecodeError> {
    match from.u8()? {
        0 => Ok(PlainValue::Text(decode_text(from)?.into())),
        1 => Ok(PlainValue::Int(from.zigzag()?)),
        2 => Ok(PlainValue::Double(f64::from_bits(from.u64()?))),
        3 => Ok(PlainValue::Bool(decode_bool(from)?)),
        4 => Ok(PlainValue::Time(Timestamp::from_ns(from.u64()?))),
        5 => Ok(PlainValue::Entity(Token::new(from.id()?))),
        6 => Ok(PlainValue::Account(AccountId::new(from.id()?))),
        other => Err(DecodeError::Unknown { what: "type of attribute", value: u64::from(other) }),
    }
}

fn encode_feature(value: &FeatureValue, into: &mut Encoder) {
    match value {
        FeatureValue::Int(int) => {
            into.u8(0);
            into.zigzag(*int);
        }
        FeatureValue::Double(double) => {
            into.u8(1);
            into.u64(double.to_bits());
        }
        FeatureValue::Bool(yes) => {
            into.u8(2);
            into.u8(u8::from(*yes));
        }
        FeatureValue::Text(text) => {
            into.u8(3);
            into.counted(text.as_bytes());
        }
        FeatureValue::Missing(reason) => {
            into.u8(4);
            into.u8(MISSING.number(*reason));
        }
    }
}

fn decode_feature(from: &mut Decoder<'_>) -> Result<FeatureValue, DecodeError> {
    match from.u8()? {
        0 => Ok(FeatureValue::Int(from.zigzag()?)),
        1 => Ok(FeatureValue::Double(f64::from_bits(from.u64()?))),
        2 => Ok(FeatureValue::Bool(decode_bool(from)?)),
        3 => Ok(FeatureValue::Text(decode_text(from)?.into())),
        4 => Ok(FeatureValue::Missing(MISSING.value(from.u8()?)?)),
        other => Err(DecodeError::Unknown { what: "type of feature", value: u64::from(other) }),
    }
}

/// The plain section contains names as text; see [`Name::BYTES_MAX`].
const _: () = assert!(Name::BYTES_MAX <= 127, "a name's length takes one byte");
