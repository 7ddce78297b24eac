//! Deciding the payments of a journal again with another policy.
//!
//! [`Again`] folds entries like the state does, but only what decisions read: feature windows, with the streams of the other policy,
//! lists and attributes of entities. History stays as it happened: a payment counts as accepted in the windows if it was accepted then, whatever the other
//! policy says about it, and no account changes. So each decision answers one question: what would the policy have said about this
//! payment, after everything that did happen before it?

use std::collections::VecDeque;
use std::sync::Arc;

use features::{RecordChange, Stream, Update, Windows};
use foldhash::{HashMap, HashMapExt as _};
use policy::{
    Attribute, AttributeKind, AttributeValue, Counts, Evaluation, Facts, PaymentType, PaymentTypeIdx, Policy, Reads,
    StreamRecord,
};
use types::{Amount, DigestBuilder, Name, PaymentId, Seq, Span, Timestamp};

use crate::activate_policy::retention;
use crate::create_payment::{StreamHistory, ledger_of, legs_of, occurred};
use crate::entity_attributes::EntityAttributes;
use crate::entry::{
    CaptureTerms, Entry, Fact, Header, LabelRecorded, PaymentChanged, PaymentDecided, PaymentStatus, PlainValue,
    Portion, StreamOpened,
};
use crate::lists::{ListRefusal, Lists, declared_by};
use crate::payment::Recorded;

/// Why a policy cannot decide payments of a journal again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error(
        "payment type `{payment_type}`: the policy reads `payment.{attribute}`, which is personal, and a backtest does not open personal data"
    )]
    Personal { payment_type: Name, attribute: Name },
    #[error(
        "payment type `{payment_type}`: the policy reads the text of `payment.{attribute}`, of which the journal has only a token; an entity can be counted, looked up in a list and compared with another one"
    )]
    EntityText { payment_type: Name, attribute: Name },
}

/// Why a payment was not decided again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NotDecided {
    /// The policy has no such payment type.
    #[error("the policy has no payment type `{0}`")]
    OtherType(Name),
    /// The policy has the type, in another ledger.
    #[error("the policy has payment type `{0}` in another ledger")]
    OtherLedger(Name),
    #[error("payment type `{payment_type}` requires `{attribute}`, which the payment does not have")]
    Required { payment_type: Name, attribute: Name },
    #[error(
        "`{attribute}` of payment type `{payment_type}` has another type in the policy, or the value is too long for it"
    )]
    Mistyped { payment_type: Name, attribute: Name },
    /// The policy would have refused the request because of its `occurred_at`.
    #[error("payment type `{0}` does not accept the time at which the payment occurred")]
    Occurred(Name),
}

/// What is needed to change the records of a payment later.
#[derive(Debug)]
struct Known {
    seq: Seq,
    records: Box<[Recorded]>,
    /// Whether its label is positive by the other policy.
    positive: bool,
    /// The time of the decision, or of the last increment.
    at: Timestamp,
    /// What an increment needs. `None` once the payment cannot be incremented any more.
    holds: Option<Box<Holds>>,
}

/// A payment that may be incremented.
#[derive(Debug)]
struct Holds {
    payment_type: PaymentTypeIdx,
    amount: Amount,
    attributes: Box<[Option<AttributeValue>]>,
}

/// A fold of a journal that decides its payments with a policy that did not decide them then.
#[derive(Debug)]
pub struct Again {
    policy: Arc<Policy>,
    /// What the policy reads of each attribute of each payment type.
    reads: Vec<Vec<Reads>>,
    streams: Vec<StreamOpened>,
    windows: Windows,
    lists: Lists,
    attributes: EntityAttributes,
    /// The payments of which windows can still have records, and those that may be incremented.
    known: HashMap<PaymentId, Known>,
    /// When a payment was decided or incremented, in order.
    order: VecDeque<(Timestamp, PaymentId)>,
    /// How long windows can have the records of a payment.
    reach: Span,
    records_dropped: u64,
}

impl Again {
    /// A fold that has seen no entry.
    ///
    /// # Errors
    /// If the policy reads something that is not in the clear in any journal.
    pub fn new(policy: Arc<Policy>) -> Result<Self, Unreadable> {
        let mut reads = Vec::with_capacity(policy.payment_types().len());
        for (number, payment_type) in (0_u16..).zip(policy.payment_types()) {
            let read = policy.reads(PaymentTypeIdx::new(number));
            for (attribute, read) in payment_type.attributes.iter().zip(&read) {
                let (payment_type, name) = (payment_type.name.clone(), attribute.name.clone());
                match read {
                    Reads::Nothing => {}
                    Reads::EntityText => return Err(Unreadable::EntityText { payment_type, attribute: name }),
                    Reads::Value if attribute.personal => {
                        return Err(Unreadable::Personal { payment_type, attribute: name });
                    }
                    Reads::Value => {}
                }
            }
            reads.push(read);
        }
        let mut windows = Windows::default();
        let streams: Vec<StreamOpened> = (0..)
            .map(features::StreamId::new)
            .zip(policy.streams())
            .map(|(id, stream)| StreamOpened {
                id,
                key: stream.key,
                retention: retention(&policy, stream),
                records_max: stream.records_max,
                entities_max: stream.entities_max,
                // The fold sees every payment from the beginning of the journal.
                recorded_since: Timestamp::ZERO,
            })
            .collect();
        for (opened, stream) in streams.iter().zip(policy.streams()) {
            windows.open(&Stream {
                id: opened.id,
                retention: opened.retention,
                records_max: opened.records_max,
                entities_max: opened.entities_max,
                recorded_since: opened.recorded_since,
            });
            if stream.keeps_spreads {
                windows.keep_spreads(opened.id);
            }
        }
        let mut lists = Lists::default();
        let names: Vec<Name> = policy.lists().iter().map(|list| list.name.clone()).collect();
        lists.declare(&names);
        let reach = streams.iter().map(|stream| stream.retention).max().unwrap_or_default();
        let (known, order) = (HashMap::new(), VecDeque::new());
        let attributes = EntityAttributes::default();
        Ok(Self { policy, reads, streams, windows, lists, attributes, known, order, reach, records_dropped: 0 })
    }

    /// The policy with which payments are decided again.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// How far back from a payment its decision depends on others.
    pub const fn reach(&self) -> Span {
        self.reach
    }

    /// How many window records were dropped because of the limits of their streams.
    pub const fn records_dropped(&self) -> u64 {
        self.records_dropped
    }

    /// The number of records in windows, and of payments in memory.
    pub fn held(&self) -> u64 {
        self.windows.records().saturating_add(self.known.len() as u64)
    }

    /// The number of payments in memory.
    pub fn payments_in_memory(&self) -> usize {
        self.known.len()
    }

    /// What of the attributes that the policy reads an earlier policy did not record, for a payment type that both have: the attribute,
    /// and why it cannot be read.
    pub fn unrecorded(&self, earlier: &Policy, payment_type: &Name) -> Option<(Name, &'static str)> {
        let (idx, now) = self.policy.payment_type(payment_type.as_str())?;
        let (_, then) = earlier.payment_type(payment_type.as_str())?;
        let reads = self.reads.get(idx.get())?;
        now.attributes.iter().zip(reads).filter(|(_, reads)| **reads != Reads::Nothing).find_map(|(attribute, _)| {
            let why = match then.attribute(attribute.name.as_str()) {
                None => "is not an attribute of",
                Some((_, before)) if before.personal => "is personal in",
                Some((_, before)) if !is_same_kind((&self.policy, attribute), (earlier, before)) => {
                    "is of another type in"
                }
                Some(_) => return None,
            };
            Some((attribute.name.clone(), why))
        })
    }

    /// Takes the next entry of the journal.
    ///
    /// If it decided a payment and `decide` is true, the result is what the policy decides about it. Otherwise only the records are
    /// kept, which takes less time.
    ///
    /// # Errors
    /// If a list was made that the policy declares with other values.
    pub fn take(&mut self, entry: &Entry, decide: bool) -> Result<Option<Result<Evaluation, NotDecided>>, ListRefusal> {
        let header = &entry.header;
        match &entry.fact {
            Fact::PaymentDecided(decided) => {
                self.forget(header.decided_at);
                return Ok(self.decided(header, decided, decide));
            }
            Fact::PaymentChanged(changed) => self.changed(header, changed),
            Fact::LabelRecorded(recorded) => self.labelled(recorded),
            Fact::List(fact) => {
                self.lists.apply(header, fact);
                if let crate::lists::ListFact::Made { list, of, .. } = fact
                    && let Some((_, declared)) = declared_by(&self.policy).find(|(name, _)| *name == list)
                    && declared != *of
                {
                    return Err(ListRefusal::PolicyConflict { list: list.clone(), of: of.clone(), declared });
                }
            }
            Fact::EntityAttributes(set) => self.attributes.apply(header, set, &mut DigestBuilder::discarding()),
            Fact::JournalStarted { .. }
            | Fact::JournalContinued { .. }
            | Fact::Ledger(_)
            | Fact::ArtifactStored(_)
            | Fact::PolicyActivated(_)
            | Fact::Identity(_)
            | Fact::Approval(_)
            | Fact::Setting(_)
            | Fact::PersonalDataRead(_)
            | Fact::KeyUsed(_)
            | Fact::StateDigest(_) => {}
        }
        Ok(None)
    }

    /// Decides a payment, and keeps the records that it adds.
    fn decided(
        &mut self,
        header: &Header,
        decided: &PaymentDecided,
        decide: bool,
    ) -> Option<Result<Evaluation, NotDecided>> {
        let (payment_type, occurred_at, attributes) = match self.asked(header, decided) {
            Ok(asked) => asked,
            Err(why) => return decide.then_some(Err(why)),
        };
        let facts = Facts {
            payment_type,
            amount: decided.amount,
            decided_at: header.decided_at,
            occurred_at,
            attributes: &attributes,
        };
        let history = self.history();
        let (records, evaluation) = if decide {
            let mut evaluation = self.policy.evaluate(&facts, &history);
            drop(legs_of(&mut evaluation));
            (std::mem::take(&mut evaluation.records), Some(evaluation))
        } else {
            (self.policy.records(&facts, &history), None)
        };
        let accepted = matches!(decided.status, PaymentStatus::Posted | PaymentStatus::Held | PaymentStatus::InReview);
        let (inserts, recorded) = self.inserts(&records, header.seq, accepted);
        let may_be_incremented = matches!(decided.capture, CaptureTerms::Manual { .. }) && decided.status.is_open();
        let holds = may_be_incremented
            .then(|| Box::new(Holds { payment_type, amount: decided.amount, attributes: attributes.into() }));
        self.apply(&inserts);
        if !recorded.is_empty() || (holds.is_some() && !self.streams.is_empty()) {
            let at = header.decided_at;
            self.known
                .insert(decided.payment, Known { seq: header.seq, records: recorded, positive: false, at, holds });
            self.order.push_back((at, decided.payment));
        }
        evaluation.map(Ok)
    }

    /// A payment as the policy reads it: its type, when it occurred, and its attributes.
    fn asked(
        &self,
        header: &Header,
        decided: &PaymentDecided,
    ) -> Result<(PaymentTypeIdx, Timestamp, Vec<Option<AttributeValue>>), NotDecided> {
        let name = &decided.payment_type;
        let (idx, payment_type) =
            self.policy.payment_type(name.as_str()).ok_or_else(|| NotDecided::OtherType(name.clone()))?;
        if ledger_of(&self.policy, payment_type) != decided.ledger {
            return Err(NotDecided::OtherLedger(name.clone()));
        }
        let at = header.decided_at;
        let declared = (header.occurred_at != at).then_some(header.occurred_at);
        // A policy without `occurred_at` takes the time of the decision; a client that knows the policy declares none.
        let declared = declared.filter(|_| payment_type.occurred_at.is_some());
        let (occurred_at, _) =
            occurred(at, declared, payment_type).map_err(|_too_far_ahead| NotDecided::Occurred(name.clone()))?;
        Ok((idx, occurred_at, self.attributes(payment_type, idx, decided)?))
    }

    fn attributes(
        &self,
        payment_type: &PaymentType,
        idx: PaymentTypeIdx,
        decided: &PaymentDecided,
    ) -> Result<Vec<Option<AttributeValue>>, NotDecided> {
        let reads = self.reads.get(idx.get()).map_or(&[][..], Vec::as_slice);
        let name = &payment_type.name;
        // They are in the order of the type that the deciding policy had, which is nearly always that of this one.
        let mut rest = decided.attributes.iter().peekable();
        let mut values = Vec::with_capacity(payment_type.attributes.len());
        for (attribute, reads) in payment_type.attributes.iter().zip(reads) {
            let next = rest.next_if(|(name, _)| *name == attribute.name);
            let found = next.or_else(|| decided.attributes.iter().find(|(name, _)| *name == attribute.name));
            let value = found.map(|(_, value)| attribute_value(value)).filter(|_| !attribute.personal);
            let is_read = *reads != Reads::Nothing;
            values.push(match value {
                Some(value) if attribute.kind.admits(&value) => Some(value),
                None if !attribute.required => None,
                Some(_) if is_read => {
                    return Err(NotDecided::Mistyped { payment_type: name.clone(), attribute: attribute.name.clone() });
                }
                None if is_read => {
                    return Err(NotDecided::Required { payment_type: name.clone(), attribute: attribute.name.clone() });
                }
                // Nothing reads it, so any value does.
                Some(_) | None if attribute.required => Some(any_value(attribute.kind)),
                Some(_) | None => None,
            });
        }
        Ok(values)
    }

    fn history(&self) -> StreamHistory<'_> {
        StreamHistory::of((&self.windows, &self.lists, &self.attributes), &self.streams)
    }

    /// The updates that add records of a payment, and what must be known of them later.
    fn inserts(&self, records: &[StreamRecord], seq: Seq, accepted: bool) -> (Vec<Update>, Box<[Recorded]>) {
        let history = self.history();
        let counted = || records.iter().filter(|record| accepted || record.counts == Counts::Attempted);
        let update = |record: &StreamRecord| Update {
            stream: history.id(record.stream),
            entity: record.entity,
            at: record.at,
            seq,
            change: RecordChange::Insert { value: record.value, item: record.item },
        };
        let recorded = |record: &StreamRecord| Recorded {
            stream: history.id(record.stream),
            entity: record.entity,
            at: record.at,
            accepted: record.counts == Counts::Accepted,
        };
        (counted().map(update).collect(), counted().map(recorded).collect())
    }

    fn apply(&mut self, updates: &[Update]) {
        for update in updates {
            match self.windows.apply(update) {
                features::UpdateOutcome::Dropped(_) | features::UpdateOutcome::Trimmed => {
                    self.records_dropped = self.records_dropped.saturating_add(1);
                }
                features::UpdateOutcome::Kept | features::UpdateOutcome::Unchanged => {}
            }
        }
    }

    /// Removes and moves records as the change of the payment did then.
    fn changed(&mut self, header: &Header, changed: &PaymentChanged) {
        let Some(mut known) = self.known.remove(&changed.payment) else { return };
        let mut updates = Vec::new();
        if let Some(increment) = &changed.increment {
            if let (Some(_), Portion::Part(by), Some(holds)) =
                (&increment.legs, changed.portion, known.holds.as_deref_mut())
            {
                holds.amount = Amount::new(holds.amount.get().saturating_add(by.get()));
                let at = header.decided_at;
                let facts = Facts {
                    payment_type: holds.payment_type,
                    amount: holds.amount,
                    decided_at: at,
                    occurred_at: at,
                    attributes: &holds.attributes,
                };
                let records = self.policy.records(&facts, &self.history());
                let (inserts, recorded) = self.inserts(&records, known.seq, true);
                updates.extend(known.records.iter().map(|record| update_of(record, known.seq, RecordChange::Remove)));
                updates.extend(&inserts);
                if known.positive {
                    let label = RecordChange::Label { positive: true };
                    updates.extend(recorded.iter().map(|record| update_of(record, known.seq, label)));
                }
                known.records = recorded;
                known.at = at;
                self.order.push_back((at, changed.payment));
            }
        } else if matches!(changed.status, PaymentStatus::Declined | PaymentStatus::Voided | PaymentStatus::Expired) {
            let accepted = known.records.iter().filter(|record| record.accepted);
            updates.extend(accepted.map(|record| update_of(record, known.seq, RecordChange::Remove)));
            known.records = known.records.iter().filter(|record| !record.accepted).copied().collect();
        }
        if !changed.status.is_open() {
            known.holds = None;
        }
        self.apply(&updates);
        self.known.insert(changed.payment, known);
    }

    fn labelled(&mut self, recorded: &LabelRecorded) {
        let positive = self.policy.is_positive_label(recorded.label.as_str());
        let Some(known) = self.known.get_mut(&recorded.payment).filter(|known| known.positive != positive) else {
            return;
        };
        known.positive = positive;
        let label = RecordChange::Label { positive };
        let updates: Vec<Update> = known.records.iter().map(|record| update_of(record, known.seq, label)).collect();
        self.apply(&updates);
    }

    /// Forgets payments whose records no later window can contain, unless they may still be incremented.
    fn forget(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.order.pop_front_if(|(at, _)| at.saturating_add(self.reach) < now) {
            match self.known.get_mut(&id) {
                // It was incremented since, which has a place of its own.
                Some(known) if known.at != at => {}
                Some(known) if known.holds.is_some() => {
                    known.at = now;
                    self.order.push_back((now, id));
                }
                Some(_) => {
                    self.known.remove(&id);
                }
                None => {}
            }
        }
    }
}

const fn update_of(record: &Recorded, seq: Seq, change: RecordChange) -> Update {
    Update { stream: record.stream, entity: record.entity, at: record.at, seq, change }
}

/// Whether the values of two attributes mean the same.
fn is_same_kind((policy, one): (&Policy, &Attribute), (earlier, other): (&Policy, &Attribute)) -> bool {
    match (one.kind, other.kind) {
        (AttributeKind::Entity(one), AttributeKind::Entity(other)) => {
            let name = |policy: &Policy, idx: policy::EntityIdx| {
                policy.entities().get(idx.get()).map(|entity| entity.name.clone())
            };
            name(policy, one) == name(earlier, other)
        }
        (AttributeKind::Text { .. }, AttributeKind::Text { .. }) => true,
        (one, other) => one == other,
    }
}

/// A stored value as expressions read it. The text of an entity is not stored in the clear.
fn attribute_value(value: &PlainValue) -> AttributeValue {
    match value {
        PlainValue::Text(text) => AttributeValue::Text(text.clone()),
        PlainValue::Int(value) => AttributeValue::Int(*value),
        PlainValue::Double(value) => AttributeValue::Double(*value),
        PlainValue::Bool(value) => AttributeValue::Bool(*value),
        PlainValue::Time(at) => AttributeValue::Time(*at),
        PlainValue::Entity(token) => AttributeValue::Entity { token: *token, text: "".into() },
        PlainValue::Account(id) => AttributeValue::Account(*id),
    }
}

/// A value for an attribute that nothing reads.
fn any_value(kind: AttributeKind) -> AttributeValue {
    match kind {
        AttributeKind::Text { .. } => AttributeValue::Text("".into()),
        AttributeKind::Int => AttributeValue::Int(0),
        AttributeKind::Double => AttributeValue::Double(0.0),
        AttributeKind::Bool => AttributeValue::Bool(false),
        AttributeKind::Time => AttributeValue::Time(Timestamp::ZERO),
        AttributeKind::Entity(_) => AttributeValue::Entity { token: types::Token::new(0), text: "".into() },
        AttributeKind::Account => AttributeValue::Account(types::AccountId::new(0)),
    }
}
