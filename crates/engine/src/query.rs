//! Looking things up, and showing what a command made.

use std::collections::BTreeMap;

use ledger::{MetadataOf, Transfer, TransferKey};
use types::{LedgerId, PaymentId, Seq, Timestamp};

use crate::command::{Command, PAGE_MAX, Query};
use crate::details::{AccountReply, TransferReply, named};
use crate::entry::{Entry, Fact, PaymentStatus};
use crate::payment::Payment;
use crate::{Answer, Engine, LabelReply, Made, PaymentReply, Refusal, Reply};

/// Payments looked at for one page, so that a filter that matches nothing cannot hold the engine.
const PAYMENTS_SCANNED_MAX: usize = 4 * PAGE_MAX;

impl Engine {
    pub(crate) fn query(&self, at: Timestamp, query: &Query) -> Answer {
        let state = &self.state;
        match query {
            Query::Ledgers => Ok(Reply::Ledgers(state.ledger.books().copied().collect())),
            Query::Account(name) => {
                let account = named(&state.ledger.plan(at), name)?;
                Ok(Reply::Account(Made::Before, Box::new(AccountReply::present(&state.ledger, account))))
            }
            Query::LookupAccounts(ids) => {
                let found = ids.iter().filter_map(|id| state.ledger.account(*id).copied());
                Ok(Reply::Accounts(found.collect()))
            }
            Query::LookupTransfers(ids) => {
                let keys = ids.iter().map(|id| TransferKey::Client(*id));
                let found = keys.filter_map(|key| {
                    let transfer = state.ledger.transfer(key)?;
                    Some((transfer, state.ledger.pending_state(key, at)))
                });
                Ok(Reply::Transfers(found.collect()))
            }
            Query::Accounts { filter, after, limit } => Ok(self.accounts_page(filter, *after, (*limit).min(PAGE_MAX))),
            Query::Transfer(id) => self.transfer_reply(Made::Before, TransferKey::Client(*id), at),
            Query::TransfersByMetadata { metadata, after, limit } => {
                Ok(self.transfers_by_metadata(metadata, *after, (*limit).min(PAGE_MAX)))
            }
            Query::Pending { account, ledger, after, limit } => {
                let fits = |transfer: &Transfer| {
                    account.is_none_or(|id| transfer.debit == id || transfer.credit == id)
                        && ledger.is_none_or(|id| transfer.ledger == id)
                        && transfer.expires_at().is_none_or(|expiry| expiry > at)
                };
                Ok(self.pending_page(fits, *after, (*limit).min(PAGE_MAX)))
            }
            Query::PendingStates(keys) => {
                let states = keys.iter().map(|key| state.ledger.pending_state(*key, at));
                Ok(Reply::PendingStates(states.collect()))
            }
            Query::AccountsOpened(id, at) => {
                let book = state.ledger.book(*id).ok_or(Refusal::LedgerNotFound(*id))?;
                Ok(Reply::AccountsOpened(*book, state.ledger.accounts_opened(*id, *at)))
            }
            Query::Payment(id) => self.payment_reply(Made::Before, *id, at, None),
            Query::Payments { status, after, limit } => {
                Ok(self.payments_page(at, *status, *after, (*limit).min(PAGE_MAX)))
            }
            Query::Import(id) => self.import_reply(Made::Before, *id),
            Query::Imports => Ok(Reply::Imports(state.ledger.imports().to_vec())),
            Query::Policy => match &state.policy {
                Some(active) => Ok(Reply::Policy(Made::Before, active.clone())),
                None => Err(Refusal::NoActivePolicy),
            },
            Query::AddressSums(id, prefix) => {
                let book = state.ledger.book(*id).ok_or(Refusal::LedgerNotFound(*id))?;
                let sums = state.ledger.sums_below(*id, prefix).unwrap_or_default();
                Ok(Reply::AddressSums(*book, prefix.clone(), sums))
            }
            Query::Scheduled { after, limit } => Ok(self.scheduled_page(*after, (*limit).min(PAGE_MAX))),
            Query::TrialBalance(id) => match (state.ledger.book(*id), state.ledger.trial_balance(*id)) {
                (Some(book), Some(totals)) => Ok(Reply::TrialBalance(*book, totals)),
                (_, _) => Err(Refusal::LedgerNotFound(*id)),
            },
        }
    }

    /// What a command made, as it is right after it.
    pub(crate) fn made(&self, made: Made, command: &Command, entry: Option<&Entry>) -> Answer {
        match command {
            Command::OpenLedger { id, .. } => self.ledger_reply(made, *id),
            Command::OpenAccount(_)
            | Command::CreateTransfer(_)
            | Command::ReverseTransfer(_)
            | Command::Change(_)
            | Command::CreateAccounts(_)
            | Command::CreateTransfers { .. }
            | Command::Batch(_)
            | Command::Import(_)
            | Command::DryRun(_) => unreachable!("ENG-16: orders and batches are executed event by event"),
            Command::CreatePayment(new) => self.payment_reply(made, new.payment, self.state.clock, entry),
            Command::ChangePayment { payment, .. } => self.payment_reply(made, *payment, self.state.clock, None),
            Command::RecordLabel { payment, .. } => self.label_reply(made, *payment),
            Command::StoreArtifact(_) => Ok(Reply::Artifact(made)),
            Command::ActivatePolicy { .. } => match &self.state.policy {
                Some(active) => Ok(Reply::Policy(made, active.clone())),
                None => Err(Refusal::NoActivePolicy),
            },
            Command::Identity(_) => Ok(Reply::Identity(made)),
            Command::Query(query) => self.query(self.state.clock, query),
        }
    }

    pub(crate) fn ledger_reply(&self, made: Made, id: LedgerId) -> Answer {
        let book = self.state.ledger.book(id).ok_or(Refusal::LedgerNotFound(id))?;
        Ok(Reply::Ledger(made, *book))
    }

    pub(crate) fn transfer_reply(&self, made: Made, key: TransferKey, at: Timestamp) -> Answer {
        let ledger = &self.state.ledger;
        let not_found = || match key {
            TransferKey::Client(id) => Refusal::TransferNotFound(id),
            TransferKey::Leg { payment, .. } => Refusal::PaymentNotFound(payment),
        };
        match (TransferReply::planned(&ledger.plan(at), key), key) {
            (Some(reply), _) => Ok(Reply::Transfer(made, Box::new(reply))),
            (None, TransferKey::Client(id)) => {
                let scheduled = ledger.scheduled(id).ok_or_else(not_found)?;
                Ok(Reply::Scheduled(made, Box::new(*scheduled)))
            }
            (None, TransferKey::Leg { .. }) => Err(not_found()),
        }
    }

    pub(crate) fn payment_metadata(&self, id: PaymentId) -> BTreeMap<String, String> {
        self.state.ledger.metadata(MetadataOf::Payment(id)).cloned().unwrap_or_default()
    }

    pub(crate) fn payment_reply(&self, made: Made, id: PaymentId, at: Timestamp, entry: Option<&Entry>) -> Answer {
        let payment = self.state.payments.get(&id).ok_or(Refusal::PaymentNotFound(id))?.as_of(at);
        let decided = match entry.map(|entry| &entry.fact) {
            Some(Fact::PaymentDecided(decided)) => Some(std::sync::Arc::clone(decided)),
            Some(_) | None => None,
        };
        Ok(Reply::Payment(made, Box::new(PaymentReply { payment, decided, metadata: self.payment_metadata(id) })))
    }

    pub(crate) fn label_reply(&self, made: Made, id: PaymentId) -> Answer {
        let payment = self.state.payments.get(&id).ok_or(Refusal::PaymentNotFound(id))?;
        let label = payment.label.clone().expect("ENG-15: a recorded label stands");
        Ok(Reply::Label(made, LabelReply { payment: id, label }))
    }

    fn payments_page(&self, at: Timestamp, status: Option<PaymentStatus>, after: Seq, limit: usize) -> Reply {
        let order = &self.state.payment_order;
        let start = order.partition_point(|(seq, _)| *seq <= after);
        let mut payments: Vec<Payment> = Vec::new();
        let mut next = None;
        let mut scanned = order.iter().skip(start);
        for (seq, id) in scanned.by_ref().take(PAYMENTS_SCANNED_MAX) {
            let payment = self.state.payments.get(id).expect("ENG-4: what is listed was decided");
            if status.is_none_or(|wanted| payment.status_at(at) == wanted) {
                payments.push(payment.as_of(at));
            }
            next = Some(*seq);
            if payments.len() >= limit {
                break;
            }
        }
        let more = scanned.next().is_some();
        Reply::Payments { payments, next: next.filter(|_| more) }
    }
}
