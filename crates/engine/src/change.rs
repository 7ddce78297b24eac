//! Changes that do not move money: addresses, limits, metadata, cancelled schedules, the choice of indexes. A change
//! that is already in effect leaves no entry.

use std::sync::Arc;

use ledger::{Address, IndexedFields, Limits, MetadataOf, Plan, TransferKey};
use types::{LedgerId, PaymentId, Timestamp, TransferId};

use crate::details::{AccountName, AccountReply, MetadataChanges, client_transfer, named};
use crate::guard::Guarding;
use crate::order::made;
use crate::take_orders::{Judge, execute_judged};
use crate::{Answered, Engine, Made, PaymentReply, Refusal};

/// Give an account an address. This is possible once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAddress {
    pub account: AccountName,
    pub address: Address,
}

/// Limit the balance of an account, replacing earlier limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetLimits {
    pub account: AccountName,
    pub limits: Limits,
}

/// Set and remove metadata of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAccountMetadata {
    pub account: AccountName,
    pub values: MetadataChanges,
}

/// Set and remove metadata of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetTransferMetadata {
    pub transfer: TransferId,
    pub values: MetadataChanges,
}

/// Set and remove metadata of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetPaymentMetadata {
    pub payment: PaymentId,
    pub values: MetadataChanges,
}

/// Cancel a scheduled transfer. Its id cannot be used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelScheduled(pub TransferId);

/// Choose the fields by which transfers of a ledger can be found, replacing earlier choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChooseIndexes {
    pub ledger: LedgerId,
    pub fields: IndexedFields,
}

execute_judged!(
    SetAddress,
    SetLimits,
    SetAccountMetadata,
    SetTransferMetadata,
    SetPaymentMetadata,
    CancelScheduled,
    ChooseIndexes
);

impl Judge for SetAddress {
    fn judge(&self, _: &Engine, plan: &mut Plan<'_>, _: Timestamp) -> Answered<Self> {
        let account = named(plan, &self.account)?;
        let made = made(plan.set_address(account.id, &self.address), Refusal::Change)?;
        Ok((made, Box::new(AccountReply::planned(plan, account))))
    }
}

impl Judge for SetLimits {
    fn judge(&self, engine: &Engine, plan: &mut Plan<'_>, _: Timestamp) -> Answered<Self> {
        let account = named(plan, &self.account)?;
        if plan.limits(account.id) != self.limits {
            engine.approval_rules().limits.check("setting limits of an account")?;
        }
        let made = made(plan.set_limits(account.id, self.limits), Refusal::Change)?;
        Ok((made, Box::new(AccountReply::planned(plan, account))))
    }
}

impl Judge for SetAccountMetadata {
    fn judge(&self, _: &Engine, plan: &mut Plan<'_>, _: Timestamp) -> Answered<Self> {
        let account = named(plan, &self.account)?;
        let made = set_metadata(plan, MetadataOf::Account(account.id), &self.values)?;
        Ok((made, Box::new(AccountReply::planned(plan, account))))
    }
}

impl Judge for SetTransferMetadata {
    fn judge(&self, _: &Engine, plan: &mut Plan<'_>, _: Timestamp) -> Answered<Self> {
        client_transfer(plan, self.transfer)?;
        let made = set_metadata(plan, MetadataOf::Transfer(TransferKey::Client(self.transfer)), &self.values)?;
        Ok((made, Box::new(client_transfer(plan, self.transfer)?)))
    }
}

impl Judge for SetPaymentMetadata {
    fn payment(&self) -> Option<PaymentId> {
        Some(self.payment)
    }

    fn judge(&self, engine: &Engine, plan: &mut Plan<'_>, at: Timestamp) -> Answered<Self> {
        let payment = engine.state.payments.get(self.payment).ok_or(Refusal::PaymentNotFound(self.payment))?;
        let of = MetadataOf::Payment(self.payment);
        let made = set_metadata(plan, of, &self.values)?;
        Ok((
            made,
            Box::new(PaymentReply {
                payment: Arc::new(payment.as_of(at)),
                decided: None,
                increments: Vec::new(),
                metadata: plan.metadata(of),
            }),
        ))
    }
}

impl Judge for CancelScheduled {
    fn judge(&self, _: &Engine, plan: &mut Plan<'_>, _: Timestamp) -> Answered<Self> {
        let scheduled = plan.scheduled(self.0);
        let made = made(plan.cancel_scheduled(self.0), Refusal::Transfer)?;
        Ok((made, scheduled.map(Box::new)))
    }
}

impl Judge for ChooseIndexes {
    fn judge(&self, _: &Engine, plan: &mut Plan<'_>, _: Timestamp) -> Answered<Self> {
        made(plan.choose_indexes(self.ledger, self.fields), Refusal::Change)
    }
}

fn set_metadata(plan: &mut Plan<'_>, of: MetadataOf, values: &MetadataChanges) -> Result<Made, Refusal> {
    made(plan.set_metadata(of, values), Refusal::Change)
}

impl Guarding for SetLimits {
    fn view(&self, engine: &Engine, at: Timestamp) -> Option<Answered<Self>> {
        Some(account(engine, at, &self.account))
    }

    fn version(&self, engine: &Engine, at: Timestamp) -> Result<Option<u64>, Refusal> {
        Ok(Some(account(engine, at, &self.account)?.1.version()))
    }
}

impl Guarding for SetAccountMetadata {
    fn view(&self, engine: &Engine, at: Timestamp) -> Option<Answered<Self>> {
        Some(account(engine, at, &self.account))
    }

    fn version(&self, engine: &Engine, at: Timestamp) -> Result<Option<u64>, Refusal> {
        Ok(Some(account(engine, at, &self.account)?.1.version()))
    }
}

impl Guarding for SetTransferMetadata {
    fn view(&self, engine: &Engine, at: Timestamp) -> Option<Answered<Self>> {
        let plan = engine.state.ledger.plan(at);
        Some(client_transfer(&plan, self.transfer).map(|reply| (Made::Before, Box::new(reply))))
    }

    fn version(&self, engine: &Engine, at: Timestamp) -> Result<Option<u64>, Refusal> {
        Ok(Some(client_transfer(&engine.state.ledger.plan(at), self.transfer)?.version()))
    }
}

impl Guarding for SetPaymentMetadata {
    fn view(&self, engine: &Engine, at: Timestamp) -> Option<Answered<Self>> {
        Some(engine.payment_reply(self.payment, at).map(|reply| (Made::Before, reply)))
    }

    fn version(&self, engine: &Engine, _: Timestamp) -> Result<Option<u64>, Refusal> {
        engine.payment_version(self.payment).map(Some)
    }
}

impl Guarding for ChooseIndexes {
    fn view(&self, _: &Engine, _: Timestamp) -> Option<Answered<Self>> {
        Some(Ok(Made::Before))
    }
}

/// The account as it is now.
fn account(engine: &Engine, at: Timestamp, name: &AccountName) -> Answered<SetLimits> {
    let plan = engine.state.ledger.plan(at);
    Ok((Made::Before, Box::new(AccountReply::planned(&plan, named(&plan, name)?))))
}
