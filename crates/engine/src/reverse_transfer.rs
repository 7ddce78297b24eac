//! Moving back what a transfer moved.

use ledger::{NewTransfer, Plan, TransferFlags, TransferKey};
use types::{DigestBuilder, RequestId, Timestamp, TransferId};

use crate::details::client_transfer;
use crate::order::{Ordered, made};
use crate::{Engine, OrderReply, Refusal, Request, Sink};

impl Engine {
    /// Reverses a transfer. A refusal leaves no entry, whatever its status: nobody chose the reversal's id, and asking
    /// again is the same wish.
    pub(crate) fn reverse_transfer(
        &mut self,
        now: Timestamp,
        request: &Request,
        id: TransferId,
        sink: &mut dyn Sink,
    ) -> Ordered {
        let mut plan = self.state.ledger.plan(self.next_instant(now));
        let reply = judge_reversal(&mut plan, id)?;
        let facts = plan.into_facts();
        let reversal = RequestId::new(reversal_id(id).get());
        self.commit_together(now, request.actor, |_| reversal, facts, sink);
        Ok(reply)
    }
}

/// What becomes of the reversal of a transfer.
pub(crate) fn judge_reversal(plan: &mut Plan<'_>, id: TransferId) -> Ordered {
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
    Ok(OrderReply::Transfer(made, Box::new(client_transfer(plan, reversal_id(id))?)))
}

/// The id of the one transfer that reverses another. Derived, so that a second try finds the first.
pub fn reversal_id(of: TransferId) -> TransferId {
    let mut builder = DigestBuilder::new("finaira 2026-11 id of a reversal");
    builder.u128(of.get());
    TransferId::new(builder.digest().head_u128().clamp(1, u128::MAX - 1))
}
