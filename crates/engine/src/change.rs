//! Changing what stands beside balances: addresses, limits, metadata, the schedule, the choice of indexes.

use ledger::{Address, IndexedFields, Limits, MetadataOf, Plan, TransferKey};
use types::{LedgerId, PaymentId, Timestamp, TransferId};

use crate::details::{AccountName, AccountReply, MetadataChanges, client_transfer, named};
use crate::order::made;
use crate::{Answer, Engine, PaymentReply, Refusal, Reply, Request, Sink};

/// What to change. Asked again, it is so already and leaves no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Give an account its address, once.
    Address {
        /// The account.
        account: AccountName,
        /// Its address from now on.
        address: Address,
    },
    /// Bound the balance of an account, in place of the bounds before.
    Limits {
        /// The account.
        account: AccountName,
        /// Its bounds from now on.
        limits: Limits,
    },
    /// Set and remove metadata of an account.
    AccountMetadata {
        /// The account.
        account: AccountName,
        /// What changes.
        values: MetadataChanges,
    },
    /// Set and remove metadata of a transfer.
    TransferMetadata {
        /// The transfer.
        transfer: TransferId,
        /// What changes.
        values: MetadataChanges,
    },
    /// Set and remove metadata of a payment.
    PaymentMetadata {
        /// The payment.
        payment: PaymentId,
        /// What changes.
        values: MetadataChanges,
    },
    /// Give up a transfer that waits for its time. Its id stays spent.
    CancelScheduled(TransferId),
    /// Choose by which fields the transfers of a ledger can be found, in place of those before.
    Indexes {
        /// The ledger.
        ledger: LedgerId,
        /// The fields.
        fields: IndexedFields,
    },
}

impl Engine {
    /// Judges a change and makes its entry.
    pub(crate) fn execute_change(
        &mut self,
        now: Timestamp,
        request: &Request,
        change: &Change,
        sink: &mut dyn Sink,
    ) -> Answer {
        let at = self.next_instant(now);
        let mut plan = self.state.ledger.plan(at);
        let answer = self.judge_change(&mut plan, at, change);
        let facts = plan.into_facts();
        self.commit_together(now, request.actor, |_| request.id, facts, sink);
        answer
    }

    fn judge_change(&self, plan: &mut Plan<'_>, at: Timestamp, change: &Change) -> Answer {
        match change {
            Change::Address { account, address } => {
                let account = named(plan, account)?;
                let made = made(plan.set_address(account.id, address), Refusal::Change)?;
                Ok(Reply::Account(made, Box::new(AccountReply::planned(plan, account))))
            }
            Change::Limits { account, limits } => {
                let account = named(plan, account)?;
                let made = made(plan.set_limits(account.id, *limits), Refusal::Change)?;
                Ok(Reply::Account(made, Box::new(AccountReply::planned(plan, account))))
            }
            Change::AccountMetadata { account, values } => {
                let account = named(plan, account)?;
                let made = made(plan.set_metadata(MetadataOf::Account(account.id), values), Refusal::Change)?;
                Ok(Reply::Account(made, Box::new(AccountReply::planned(plan, account))))
            }
            Change::TransferMetadata { transfer, values } => {
                client_transfer(plan, *transfer)?;
                let of = MetadataOf::Transfer(TransferKey::Client(*transfer));
                let made = made(plan.set_metadata(of, values), Refusal::Change)?;
                Ok(Reply::Transfer(made, Box::new(client_transfer(plan, *transfer)?)))
            }
            Change::PaymentMetadata { payment, values } => {
                let found = self.state.payments.get(payment).ok_or(Refusal::PaymentNotFound(*payment))?;
                let of = MetadataOf::Payment(*payment);
                let made = made(plan.set_metadata(of, values), Refusal::Change)?;
                let metadata = plan.metadata(of);
                let reply = PaymentReply { payment: found.as_of(at), decided: None, metadata };
                Ok(Reply::Payment(made, Box::new(reply)))
            }
            Change::CancelScheduled(id) => {
                let scheduled = plan.scheduled(*id);
                let made = made(plan.cancel_scheduled(*id), Refusal::Transfer)?;
                Ok(Reply::Cancelled(made, *id, scheduled))
            }
            Change::Indexes { ledger, fields } => {
                let made = made(plan.choose_indexes(*ledger, *fields), Refusal::Change)?;
                Ok(Reply::Indexes(made, *ledger, *fields))
            }
        }
    }
}
