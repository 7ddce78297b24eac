//! Reversing a transfer.

use ledger::{NewTransfer, Plan, TransferFlags, TransferKey};
use types::{DigestBuilder, RequestId, Timestamp, TransferId};

use crate::command::Execute;
use crate::details::client_transfer;
use crate::order::made;
use crate::take_orders::Judge;
use crate::{Answered, Demand, Engine, Made, Refusal, Request, Sink};

/// Reverse a transfer by a new transfer, whose id is [`reversal_id`].
#[derive(Debug, Clone)]
pub struct ReverseTransfer(pub TransferId);

impl Execute for ReverseTransfer {
    /// A refusal leaves no entry, whatever its status: no client chose the id of the reversal, and a repeated request
    /// asks for the same reversal.
    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        let at = engine.next_instant(now);
        let mut plan = engine.state.ledger.plan(at);
        let reply = self.judge(engine, &mut plan, at)?;
        let facts = plan.into_facts();
        let reversal = RequestId::new(reversal_id(self.0).get());
        engine.commit_together(now, request.actor, |_| reversal, facts, sink);
        Ok(reply)
    }

    fn without_entry(&self, engine: &Engine, at: Timestamp, _: &Request) -> Option<Answered<Self>> {
        let mut plan = engine.state.ledger.plan(at);
        let answer = self.judge(engine, &mut plan, at);
        (answer.is_err() || plan.into_facts().is_empty()).then_some(answer)
    }
}

impl Judge for ReverseTransfer {
    fn judge(&self, engine: &Engine, plan: &mut Plan<'_>, _: Timestamp) -> Answered<Self> {
        let (made, reply) = self.reverse(plan)?;
        let transfer = &reply.transfer;
        let asset = plan.book(transfer.ledger).map(|book| book.asset);
        let bound = asset.and_then(|asset| engine.approval_rules().reversals_above.get(&asset));
        let needs_approval = made == Made::Now && bound.is_some_and(|bound| transfer.amount > *bound);
        if needs_approval {
            Demand::Approval.check("a reversal of this amount")?;
        }
        Ok((made, reply))
    }
}

impl ReverseTransfer {
    /// Plans the reversal, whatever the rules of four eyes demand.
    pub(crate) fn reverse(&self, plan: &mut Plan<'_>) -> Answered<Self> {
        let Self(id) = *self;
        let original = plan.transfer(TransferKey::Client(id)).ok_or(Refusal::TransferNotFound(id))?;
        if original.flags.intersects(TransferFlags::PENDING | TransferFlags::VOID_PENDING_TRANSFER) {
            return Err(Refusal::TransferNotReversible(id));
        }
        let reversal = NewTransfer {
            debit: original.credit,
            credit: original.debit,
            amount: original.amount,
            user_data_128: original.user_data_128,
            user_data_64: original.user_data_64,
            user_data_32: original.user_data_32,
            ledger: original.ledger,
            code: original.code,
            ..NewTransfer::named(TransferKey::Client(reversal_id(id)))
        };
        let made = made(plan.create_transfer(&reversal), Refusal::Transfer)?;
        Ok((made, Box::new(client_transfer(plan, reversal_id(id))?)))
    }
}

/// The id of the transfer that reverses another one. It is derived, so that a repeated request finds the first
/// reversal.
pub fn reversal_id(of: TransferId) -> TransferId {
    let mut builder = DigestBuilder::new("finaira 2026-11 id of a reversal");
    builder.u128(of.get());
    TransferId::new(builder.digest().head_u128().clamp(1, u128::MAX - 1))
}
