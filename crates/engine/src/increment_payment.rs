//! Increments: raising what a payment holds. The policy decides an increment like a new payment of the incremented amount.
//!
//! The amount that rules and limits see is the whole one, not the difference: otherwise several small increments would pass a limit
//! on the amount of a payment that one payment would fail. For the same reason the records of the payment in feature windows are
//! taken out while it is decided, and, once it is approved, move to the time of the increment with their new values. Windows that
//! end later count the payment once, as long as they would have counted a new one.

use std::sync::Arc;

use features::{RecordChange, Update};
use ledger::{NewTransfer, Outcome, TransferFlags, TransferKey, TransferStatus};
use policy::{Facts, LegPlan, Policy, Verdict};
use types::{Amount, PaymentId, RequestId, Timestamp};

use crate::change_payment::{movement, resolve};
use crate::create_payment::{StreamHistory, account_for, ledger_of, legs_of, updates_of};
use crate::decide::{Decide, Decided, Recording};
use crate::entry::{Cause, Entry, Fact, Incremented, LegRefusal, PaymentChanged, PaymentStatus, Portion, Verb};
use crate::payment::{Asked, Leg, Payment};
use crate::{Answered, Engine, Made, NewPayment, NotIncrementable, PaymentReply, Refusal};

/// Raise what a payment holds by an amount, if the policy approves it.
#[derive(Debug, Clone)]
pub struct IncrementPayment {
    pub payment: PaymentId,
    /// By how much, in minor units; at least 1.
    pub amount: Amount,
    /// The payment as it was asked for, parsed with the active policy, to decide it again. Its amount is not used. `None` if that is
    /// not possible: then only an earlier answer can be given.
    pub again: Option<Box<NewPayment>>,
}

/// The legs for an incremented amount, and the transfers that reserve them.
struct Raised {
    legs: Box<[Leg]>,
    facts: Vec<ledger::Fact>,
}

/// Why legs were not raised.
enum NotRaised {
    /// The increment is not possible, whatever the policy decides.
    Not(NotIncrementable),
    /// The ledger refused to reserve more.
    Refused(LegRefusal),
}

impl From<NotIncrementable> for NotRaised {
    fn from(not: NotIncrementable) -> Self {
        Self::Not(not)
    }
}

impl Decide for IncrementPayment {
    fn payment(&self) -> Option<PaymentId> {
        Some(self.payment)
    }

    fn decide(&self, engine: &Engine, at: Timestamp, request: RequestId) -> Result<Decided<Self::Reply>, Refusal> {
        Ok(match engine.decide_increment(at, request, self)? {
            Decided::Before(reply) => Decided::Before((Made::Before, reply)),
            Decided::Now(changed) => Decided::Now(Recording::of(Fact::PaymentChanged(changed))),
        })
    }

    fn made(&self, engine: &mut Engine, entry: &Entry) -> Answered<Self> {
        let mut reply = engine.payment_reply(self.payment, engine.state.clock)?;
        if let Fact::PaymentChanged(changed) = &entry.fact {
            reply.increments = changed.increment.iter().cloned().collect();
        }
        Ok((Made::Now, reply))
    }
}

impl Engine {
    /// What an increment does to a payment, unless the same request already did it.
    pub(crate) fn decide_increment(
        &self,
        at: Timestamp,
        request: RequestId,
        increment: &IncrementPayment,
    ) -> Result<Decided<Box<PaymentReply>, PaymentChanged>, Refusal> {
        let IncrementPayment { payment: id, amount, ref again } = *increment;
        let (verb, portion) = (Verb::Increment, Portion::Part(amount));
        let payment = match self.unless_asked(at, request, id, Asked { verb, portion })? {
            Decided::Before(reply) => return Ok(Decided::Before(reply)),
            Decided::Now(payment) => payment,
        };
        let status = payment.status_at(at);
        if (payment.status, status) != (PaymentStatus::Held, PaymentStatus::Held) {
            return Err(Refusal::PaymentStatusConflict { verb, status });
        }
        let not = Refusal::NotIncrementable;
        let again = again.as_deref().ok_or(not(NotIncrementable::NotReadable))?;
        let active = self.state.policy.as_ref().ok_or(Refusal::NoActivePolicy)?;
        let policy = self.policy.as_deref().ok_or(Refusal::NoActivePolicy)?;
        if policy.digest() != again.policy {
            return Err(Refusal::PolicyChanged);
        }
        let payment_type = policy.payment_types().get(again.payment_type.get());
        let payment_type = payment_type.expect("ENG-11: the edge parsed the payment with this policy");
        if ledger_of(policy, payment_type) != payment.ledger {
            return Err(not(NotIncrementable::OtherLedger));
        }
        let total = payment.amount.checked_add(amount).ok_or(not(NotIncrementable::TooLarge))?;
        let facts = Facts {
            payment_type: again.payment_type,
            amount: total,
            decided_at: at,
            // The increment happens now, whenever the payment happened.
            occurred_at: at,
            attributes: &again.attributes,
        };
        let history = StreamHistory::now(&self.state, &active.activated.streams, Some(payment));
        let mut evaluation = policy.evaluate(&facts, &history);
        let plans = legs_of(&mut evaluation);
        let (mut raised, mut refusal) = (None, None);
        if evaluation.verdict == Verdict::Approve {
            match self.raise(at, policy, (payment, total), &plans) {
                Ok(done) => raised = Some(done),
                Err(NotRaised::Refused(refused)) => refusal = Some(refused),
                Err(NotRaised::Not(reason)) => return Err(not(reason)),
            }
        }
        let (mut updates, mut accepted_updates) = (Vec::new(), Vec::new());
        if raised.is_some() {
            (updates, accepted_updates) = updates_of(&evaluation, &history, payment.seq, payment.status);
            moved(payment, &mut updates, &mut accepted_updates);
        }
        let (legs, ledger_facts) = raised.map(|raised| (raised.legs, raised.facts)).unzip();
        let decided = Incremented {
            policy: active.seq,
            verdict: evaluation.verdict,
            score: evaluation.score.get(),
            reasons: evaluation.reasons,
            tags: evaluation.tags,
            features: evaluation.features.into_iter().map(|(idx, value)| (idx.number(), value)).collect(),
            models: evaluation.models.into_iter().map(|(idx, value)| (idx.number(), value)).collect(),
            lists: history.looked_into(),
            refusal,
            legs,
            accepted_updates,
        };
        Ok(Decided::Now(PaymentChanged {
            payment: id,
            cause: Cause::Verb(verb),
            portion,
            status: payment.status,
            sums: Some(payment.sums),
            deadline: payment.deadline,
            ledger_facts: ledger_facts.unwrap_or_default(),
            updates,
            increment: Some(Arc::new(decided)),
        }))
    }

    /// Reserves, of each leg for the incremented amount, what its share of the hold is now.
    fn raise(
        &self,
        at: Timestamp,
        policy: &Policy,
        (payment, total): (&Payment, Amount),
        plans: &[LegPlan],
    ) -> Result<Raised, NotRaised> {
        let present = payment.present();
        let mut plan = self.state.ledger.plan(at);
        let mut before = payment.legs.iter().peekable();
        let mut legs = Vec::with_capacity(plans.len());
        let mut transfers = Vec::new();
        let new = Payment { amount: total, captured_before: payment.sums.captured, ..payment.clone() };
        for leg in plans {
            let debit = account_for(&mut plan, policy, leg.debit);
            let credit = account_for(&mut plan, policy, leg.credit);
            let same = |old: &&Leg| (old.debit, old.credit, old.code) == (debit, credit, leg.code);
            let old = before.next_if(same);
            let now = old.map(|old| payment.parts(old, &present));
            let moved = now.map_or(Amount::ZERO, |now| now.captured);
            if leg.amount < moved {
                return Err(NotIncrementable::BelowCaptured.into());
            }
            // No transfer has this number, so nothing is taken for the hold of a leg that holds nothing yet.
            let unnamed = TransferKey::Leg { payment: payment.id, number: u16::MAX };
            let transfer = old.map_or(unnamed, |old| old.transfer);
            let mut raised = Leg { transfer, debit, credit, amount: leg.amount, moved, code: leg.code };
            let (held, then) = (now.map_or(Amount::ZERO, |now| now.held), new.parts(&raised, &present).held);
            if held != then {
                // The ledger resolves a pending transfer once, so a new one takes its place.
                if !held.is_zero() {
                    transfers.push((leg.leg, resolve(&raised, TransferFlags::VOID_PENDING_TRANSFER, Amount::ZERO)));
                }
                if !then.is_zero() {
                    let held = NewTransfer { flags: TransferFlags::PENDING, ..movement(payment, &raised, then) };
                    raised.transfer =
                        TransferKey::Leg { payment: payment.id, number: number(payment, transfers.len()) };
                    transfers.push((leg.leg, held));
                }
            }
            legs.push(raised);
        }
        if before.next().is_some() {
            return Err(NotIncrementable::OtherLegs.into());
        }
        for (position, (leg, transfer)) in transfers.into_iter().enumerate() {
            let key = TransferKey::Leg { payment: payment.id, number: number(payment, position) };
            match plan.create_transfer(&NewTransfer { key, ..transfer }) {
                Outcome::Created { .. } => {}
                Outcome::Refused(refused) => {
                    let status: TransferStatus = refused.status;
                    return Err(NotRaised::Refused(LegRefusal { leg, status }));
                }
                Outcome::Exists { .. } => unreachable!("ENG-6: a payment uses each of its transfer numbers once"),
            }
        }
        Ok(Raised { legs: legs.into(), facts: plan.into_facts() })
    }
}

/// The number of a transfer that follows those that the payment has made.
fn number(payment: &Payment, position: usize) -> u16 {
    let position = u16::try_from(position).expect("ENG-6: a payment makes few transfers");
    payment.transfers.checked_add(position).expect("ENG-6: a payment makes few transfers")
}

/// Turns the updates that add the records of a decision into those that move the records that the payment has: the old ones are
/// removed first, and new ones keep the label.
fn moved(payment: &Payment, updates: &mut Vec<Update>, accepted: &mut [u16]) {
    let remove = |record: &crate::payment::Recorded| Update {
        stream: record.stream,
        entity: record.entity,
        at: record.at,
        seq: payment.seq,
        change: RecordChange::Remove,
    };
    let is_positive = payment.label.as_ref().is_some_and(|label| label.positive);
    let label = |update: &Update| Update { change: RecordChange::Label { positive: true }, ..*update };
    let labels: Vec<Update> = updates.iter().filter(|_| is_positive).map(label).collect();
    updates.splice(..0, payment.records.iter().map(remove));
    updates.extend(labels);
    let removed = u16::try_from(payment.records.len()).expect("ENG-28: a payment has few records");
    for position in accepted {
        *position = position.checked_add(removed).expect("ENG-28: a payment has few records");
    }
}
