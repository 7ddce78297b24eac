//! Changes of a payment: verbs of people and services, and deadlines that passed.

use features::{RecordChange, Update};
use ledger::{NewTransfer, Outcome, TransferFlags, TransferKey, TransferStatus};
use types::{Amount, PaymentId, RequestId, Timestamp};

use crate::command::Execute;
use crate::decide::{Decide, Decided, Recording};
use crate::entry::{
    AtDeadline, CaptureTerms, Cause, Deadline, Entry, Fact, PaymentChanged, PaymentStatus, PaymentSums, Portion, Verb,
};
use crate::payment::{Asked, Leg, Next, Payment};
use crate::{Answered, Engine, Made, PaymentReply, Refusal, Request, Sink};

/// The most verbs of a batch.
pub const VERBS_MAX: usize = 1_000;

/// Apply a batch of verbs, one after another, each under a request id of its own. Each has its own answer, the same as if it had
/// been sent alone.
#[derive(Debug, Clone)]
pub struct ChangePaymentBatch(pub Vec<(RequestId, ChangePayment)>);

/// Apply a verb to a payment.
#[derive(Debug, Clone)]
pub struct ChangePayment {
    pub payment: PaymentId,
    pub verb: Verb,
    /// How much of the payment; [`Portion::All`] for an approval or a decline.
    pub portion: Portion,
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

impl Execute for ChangePaymentBatch {
    fn events_count(&self) -> usize {
        self.0.len()
    }

    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        let apply = |(id, change): &(RequestId, ChangePayment)| {
            engine
                .with_payment(Some(change.payment), |engine| change.carry_out(engine, now, (request.actor, *id), sink))
        };
        Ok(self.0.iter().map(apply).collect())
    }

    /// While writes are refused, a batch is refused as a whole: its payments may have to be brought back into memory first.
    fn without_entry(&self, _: &Engine, _: Timestamp, _: &Request) -> Option<Answered<Self>> {
        None
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
        let ChangePayment { payment: id, verb, portion } = *change;
        let asked = Asked { verb, portion };
        let payment = match self.unless_asked(at, request, id, asked)? {
            Decided::Before(reply) => return Ok(Decided::Before(reply)),
            Decided::Now(payment) => payment,
        };
        let next = next(payment, at, asked)?;
        let facts = self.move_payment(at, payment, &next).map_err(Refusal::Transfer)?;
        Ok(Decided::Now(changed(at, payment, (Cause::Verb(verb), portion), &next, facts)))
    }

    /// The payment that a request is about, unless the same request changed it before.
    ///
    /// # Errors
    /// If there is no such payment, if the request asked for something else before, or if the payment takes no more verbs.
    pub(crate) fn unless_asked(
        &self,
        at: Timestamp,
        request: RequestId,
        id: PaymentId,
        asked: Asked,
    ) -> Result<Decided<Box<PaymentReply>, &Payment>, Refusal> {
        let payment = self.state.payments.get(id).ok_or(Refusal::PaymentNotFound(id))?;
        match payment.asked_by(request) {
            Some(before) if before == asked => return Ok(Decided::Before(self.payment_reply(id, at)?)),
            Some(before) => return Err(Refusal::RequestIdReused(before)),
            None => {}
        }
        if payment.changes.len() >= Payment::CHANGES_MAX {
            return Err(Refusal::TooManyChanges(Payment::CHANGES_MAX));
        }
        Ok(Decided::Now(payment))
    }

    /// The fact that records a deadline that passed.
    pub(crate) fn pass_deadline(&self, at: Timestamp, id: PaymentId) -> PaymentChanged {
        let payment = self.state.payments.get(id).expect("ENG-5: only a decided payment has a deadline");
        let cause = (Cause::Deadline, Portion::All);
        let proceeds = payment.deadline.is_some_and(|deadline| deadline.then == AtDeadline::Proceed);
        if proceeds {
            let next = payment.approved();
            if let Ok(facts) = self.move_payment(at, payment, &next) {
                return changed(at, payment, cause, &next, facts);
            }
            // An account was closed in the meantime, so no money can move and what is held is released.
        }
        let next = payment.ended(PaymentStatus::Expired);
        let facts = self.move_payment(at, payment, &next).expect("ENG-13: reserved money can be released");
        changed(at, payment, cause, &next, facts)
    }

    /// Moves, of each leg, the difference between what it has now and what it has next.
    fn move_payment(
        &self,
        at: Timestamp,
        payment: &Payment,
        next: &Next,
    ) -> Result<Vec<ledger::Fact>, ledger::StatusRefusal<TransferStatus>> {
        let mut transfers = Vec::new();
        for leg in &payment.legs {
            let (now, then) = (payment.parts(leg, &payment.present()), payment.parts(leg, next));
            let captured = then.captured.saturating_sub(now.captured);
            if !captured.is_zero() {
                transfers.push(resolve(leg, TransferFlags::POST_PENDING_TRANSFER, captured));
            } else if then.held < now.held {
                transfers.push(resolve(leg, TransferFlags::VOID_PENDING_TRANSFER, Amount::ZERO));
            }
            if then.held < now.held && !then.held.is_zero() {
                transfers.push(NewTransfer { flags: TransferFlags::PENDING, ..movement(payment, leg, then.held) });
            }
        }
        // The transfers are reversed in the opposite order, so that an account that only passed the money on has it
        // back in time.
        for leg in payment.legs.iter().rev() {
            let (now, then) = (payment.parts(leg, &payment.present()), payment.parts(leg, next));
            let refunded = then.refunded.saturating_sub(now.refunded);
            if !refunded.is_zero() {
                let forward = movement(payment, leg, refunded);
                transfers.push(NewTransfer { debit: forward.credit, credit: forward.debit, ..forward });
            }
        }
        let mut plan = self.state.ledger.plan(at);
        for (number, transfer) in (payment.transfers..).zip(transfers) {
            let key = TransferKey::Leg { payment: payment.id, number };
            match plan.create_transfer(&NewTransfer { key, ..transfer }) {
                Outcome::Created { .. } => {}
                Outcome::Refused(refusal) => return Err(refusal),
                Outcome::Exists { .. } => unreachable!("ENG-6: a payment uses each of its transfer numbers once"),
            }
        }
        Ok(plan.into_facts())
    }
}

/// What a request makes of a payment.
fn next(payment: &Payment, at: Timestamp, Asked { verb, portion }: Asked) -> Result<Next, Refusal> {
    let (status, sums) = (payment.status, payment.sums);
    let now = payment.status_at(at);
    let conflict = Refusal::PaymentStatusConflict { verb, status: now };
    // A deadline has passed that is not journaled yet. No verb applies before that entry is written.
    if now != status {
        return Err(conflict);
    }
    let of = |left| {
        let refused = |requested| Refusal::AmountExceedsLeft { verb, requested, left };
        portion.of(left).map(|amount| (amount, amount == left)).map_err(refused)
    };
    let sum = |one: Amount, other| one.checked_add(other).expect("ENG-25: the parts are within the amount");
    match (verb, status) {
        (Verb::Approve, PaymentStatus::InReview) => Ok(payment.approved()),
        (Verb::Decline, PaymentStatus::InReview) => Ok(payment.ended(PaymentStatus::Declined)),
        (Verb::Capture, PaymentStatus::Held) => {
            let (amount, is_all) = of(payment.held())?;
            let captured = sum(sums.captured, amount);
            if is_all || matches!(portion, Portion::Last(_)) {
                let released = payment.amount.saturating_sub(captured);
                return Ok(Next { status: PaymentStatus::Posted, sums: PaymentSums { captured, released, ..sums } });
            }
            Ok(Next { status, sums: PaymentSums { captured, ..sums } })
        }
        (Verb::Void, PaymentStatus::InReview | PaymentStatus::Held) => {
            let (amount, is_all) = of(payment.held())?;
            if is_all {
                return Ok(payment.ended(PaymentStatus::Voided));
            }
            Ok(Next { status, sums: PaymentSums { released: sum(sums.released, amount), ..sums } })
        }
        (Verb::Refund, PaymentStatus::Posted) => {
            let (amount, is_all) = of(sums.captured.saturating_sub(sums.refunded))?;
            let status = if is_all { PaymentStatus::Refunded } else { status };
            Ok(Next { status, sums: PaymentSums { refunded: sum(sums.refunded, amount), ..sums } })
        }
        (_, _) => Err(conflict),
    }
}

fn changed(
    at: Timestamp,
    payment: &Payment,
    (cause, portion): (Cause, Portion),
    &Next { status, sums }: &Next,
    ledger_facts: Vec<ledger::Fact>,
) -> PaymentChanged {
    let deadline = match (status, payment.capture) {
        // A payment that stays as it is but for its sums keeps its deadline.
        (_, _) if status == payment.status => payment.deadline,
        (PaymentStatus::Held, CaptureTerms::Manual { deadline, then }) => {
            Some(Deadline { at: at.saturating_add(deadline), then })
        }
        (_, _) => None,
    };
    let updates = withdrawn(payment, status);
    PaymentChanged {
        payment: payment.id,
        cause,
        portion,
        status,
        sums: Some(sums),
        deadline,
        ledger_facts,
        updates,
        increment: None,
    }
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

/// A post or void of what is held of a leg, from which it inherits everything else. The caller sets the key.
pub(crate) fn resolve(leg: &Leg, flags: TransferFlags, amount: Amount) -> NewTransfer {
    NewTransfer { amount, pending: Some(leg.transfer), flags, ..NewTransfer::named(leg.transfer) }
}

/// A transfer of an amount from and to the accounts of a leg. The caller sets the key.
pub(crate) fn movement(payment: &Payment, leg: &Leg, amount: Amount) -> NewTransfer {
    NewTransfer {
        debit: leg.debit,
        credit: leg.credit,
        amount,
        ledger: payment.ledger,
        code: leg.code,
        ..NewTransfer::named(leg.transfer)
    }
}
