//! Changes of a payment: verbs of people and services, and deadlines that passed.

use features::{RecordChange, Update};
use ledger::{NewTransfer, Outcome, TransferFlags, TransferKey, TransferStatus};
use types::{Amount, LedgerId, PaymentId, RequestId, Timestamp};

use crate::decide::{Decide, Decided, Recording};
use crate::entry::{AtDeadline, CaptureTerms, Cause, Deadline, Entry, Fact, PaymentChanged, PaymentStatus, Verb};
use crate::payment::{Leg, Payment};
use crate::{Answered, Engine, Made, PaymentReply, Refusal};

/// What a change does to the money of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Movement {
    /// Reserved money stays reserved.
    Keep,
    /// Reserved money is moved.
    Post,
    /// Reserved money is released.
    Void,
    /// Moved money is moved back.
    Reverse,
}

/// Apply a verb to a payment.
#[derive(Debug, Clone)]
pub struct ChangePayment {
    pub payment: PaymentId,
    pub verb: Verb,
}

impl Decide for ChangePayment {
    fn payment(&self) -> Option<PaymentId> {
        Some(self.payment)
    }

    fn decide(&self, engine: &Engine, at: Timestamp, request: RequestId) -> Result<Decided<Self::Reply>, Refusal> {
        Ok(match engine.decide_change(at, request, self)? {
            Decided::Before(reply) => Decided::Before((Made::Before, reply)),
            Decided::Now(changed) => Decided::Now(Recording::of(Fact::PaymentChanged(changed))),
        })
    }

    fn made(&self, engine: &mut Engine, _: &Entry) -> Answered<Self> {
        Ok((Made::Now, engine.payment_reply(self.payment, engine.state.clock)?))
    }
}

impl Engine {
    /// What a verb does to a payment, unless the same request already did it.
    pub(crate) fn decide_change(
        &self,
        at: Timestamp,
        request: RequestId,
        change: &ChangePayment,
    ) -> Result<Decided<Box<PaymentReply>, PaymentChanged>, Refusal> {
        let ChangePayment { payment: id, verb } = *change;
        let payment = self.state.payments.get(id).ok_or(Refusal::PaymentNotFound(id))?;
        match payment.asked_by(request) {
            Some(asked) if asked == verb => return Ok(Decided::Before(self.payment_reply(id, at)?)),
            Some(asked) => return Err(Refusal::RequestIdReused(asked)),
            None => {}
        }
        if payment.changes.len() >= Payment::CHANGES_MAX {
            return Err(Refusal::TooManyChanges(Payment::CHANGES_MAX));
        }
        let status = payment.status_at(at);
        let conflict = Refusal::PaymentStatusConflict { verb, status };
        let (next, movement) = transition(payment, status, verb).ok_or(conflict)?;
        let facts = self.move_payment(at, payment, movement).map_err(Refusal::Transfer)?;
        Ok(Decided::Now(changed(at, payment, Cause::Verb(verb), next, facts)))
    }

    /// The fact that records a deadline that passed.
    pub(crate) fn pass_deadline(&self, at: Timestamp, id: PaymentId) -> PaymentChanged {
        let payment = self.state.payments.get(id).expect("ENG-5: only a decided payment has a deadline");
        let proceeds = payment.deadline.is_some_and(|deadline| deadline.then == AtDeadline::Proceed);
        if proceeds {
            let (next, movement) = approved(payment);
            if let Ok(facts) = self.move_payment(at, payment, movement) {
                return changed(at, payment, Cause::Deadline, next, facts);
            }
            // An account was closed in the meantime, so no money can move and the payment expires.
        }
        let facts = self.move_payment(at, payment, Movement::Void).expect("ENG-13: reserved money can be released");
        changed(at, payment, Cause::Deadline, PaymentStatus::Expired, facts)
    }

    fn move_payment(
        &self,
        at: Timestamp,
        payment: &Payment,
        movement: Movement,
    ) -> Result<Vec<ledger::Fact>, ledger::StatusRefusal<TransferStatus>> {
        let mut plan = self.state.ledger.plan(at);
        let transfers = |leg: &Leg, number| {
            let key = TransferKey::Leg { payment: payment.id, number };
            match movement {
                Movement::Keep => None,
                Movement::Post => Some(resolve(key, leg, TransferFlags::POST_PENDING_TRANSFER, Amount::MAX)),
                Movement::Void => Some(resolve(key, leg, TransferFlags::VOID_PENDING_TRANSFER, Amount::ZERO)),
                Movement::Reverse => Some(reverse(key, leg, payment.ledger)),
            }
        };
        // The transfers are reversed in the opposite order, so that an account that only passed the money on has it
        // back in time.
        let ordered: Vec<&Leg> = match movement {
            Movement::Reverse => payment.legs.iter().rev().collect(),
            Movement::Keep | Movement::Post | Movement::Void => payment.legs.iter().collect(),
        };
        for (number, leg) in (payment.transfers..).zip(ordered) {
            let Some(transfer) = transfers(leg, number) else { continue };
            match plan.create_transfer(&transfer) {
                Outcome::Created { .. } => {}
                Outcome::Refused(refusal) => return Err(refusal),
                Outcome::Exists { .. } => unreachable!("ENG-6: a payment uses each of its transfer numbers once"),
            }
        }
        Ok(plan.into_facts())
    }
}

/// The status that a verb leads to, and what it does to the money. `None` if the status does not allow the verb.
fn transition(payment: &Payment, status: PaymentStatus, verb: Verb) -> Option<(PaymentStatus, Movement)> {
    // A deadline has passed that is not journaled yet. No verb applies before that entry is written.
    if status != payment.status {
        return None;
    }
    match (verb, status) {
        (Verb::Approve, PaymentStatus::InReview) | (Verb::Capture, PaymentStatus::Held) => Some(approved(payment)),
        (Verb::Decline, PaymentStatus::InReview) => Some((PaymentStatus::Declined, Movement::Void)),
        (Verb::Void, PaymentStatus::InReview | PaymentStatus::Held) => Some((PaymentStatus::Voided, Movement::Void)),
        (Verb::Refund, PaymentStatus::Posted) => Some((PaymentStatus::Refunded, Movement::Reverse)),
        (_, _) => None,
    }
}

/// Where an approval leads: from a review, to the hold or the posting that the payment type asks for; from a hold, to
/// the posting.
fn approved(payment: &Payment) -> (PaymentStatus, Movement) {
    match (payment.status, payment.capture) {
        (PaymentStatus::InReview, CaptureTerms::Manual { .. }) => (PaymentStatus::Held, Movement::Keep),
        (_, _) => (PaymentStatus::Posted, Movement::Post),
    }
}

fn changed(
    at: Timestamp,
    payment: &Payment,
    cause: Cause,
    status: PaymentStatus,
    ledger_facts: Vec<ledger::Fact>,
) -> PaymentChanged {
    let deadline = match (status, payment.capture) {
        (PaymentStatus::Held, CaptureTerms::Manual { deadline, then }) => {
            Some(Deadline { at: at.saturating_add(deadline), then })
        }
        (_, _) => None,
    };
    PaymentChanged { payment: payment.id, cause, status, deadline, ledger_facts, updates: withdrawn(payment, status) }
}

/// Removes the records by which a payment counted as accepted, if it is declined or voided, or expires. The removal takes
/// effect now, for the time at which each record counted. A refund removes nothing, because the payment was made.
fn withdrawn(payment: &Payment, status: PaymentStatus) -> Vec<Update> {
    if !matches!(status, PaymentStatus::Declined | PaymentStatus::Voided | PaymentStatus::Expired) {
        return Vec::new();
    }
    let accepted = payment.records.iter().filter(|record| record.accepted);
    let remove = |record: &crate::payment::Recorded| Update {
        stream: record.stream,
        entity: record.entity,
        at: record.at,
        seq: payment.seq,
        change: RecordChange::Remove,
    };
    accepted.map(remove).collect()
}

/// A post or void of a held leg, from which it inherits everything else.
fn resolve(key: TransferKey, leg: &Leg, flags: TransferFlags, amount: Amount) -> NewTransfer {
    NewTransfer { amount, pending: Some(leg.transfer), flags, ..NewTransfer::named(key) }
}

fn reverse(key: TransferKey, leg: &Leg, ledger: LedgerId) -> NewTransfer {
    NewTransfer {
        debit: leg.credit,
        credit: leg.debit,
        amount: leg.amount,
        ledger,
        code: leg.code,
        ..NewTransfer::named(key)
    }
}
