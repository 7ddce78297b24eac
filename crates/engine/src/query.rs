//! Queries: lookups that never make an entry.

use std::collections::BTreeMap;

use ledger::{AccountPlace, Book, MetadataOf, TransferKey};
use types::{
    AccountId, ActorId, CredentialId, ImportId, LedgerId, Name, PaymentId, ProposalId, Seq, SettingName, Timestamp,
    Token, TransferId,
};

use crate::accounts_page::AccountFilter;
use crate::approvals::ProposalStatus;
use crate::command::{Look, PAGE_MAX};
use crate::details::{AccountName, AccountReply, AnyTransfer, TransferReply, named};
use crate::lists::{ListOf, ListValue};
use crate::{Answered, Engine, LabelReply, Page, PaymentReply, Refusal, SettingKind};

/// All ledgers; there are only a few.
#[derive(Debug, Clone)]
pub struct Ledgers;

impl Look for Ledgers {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        Ok(engine.state.ledger.books().copied().collect())
    }
}

#[derive(Debug, Clone)]
pub struct Account(pub AccountName);

impl Look for Account {
    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        let ledger = &engine.state.ledger;
        let account = named(&ledger.plan(at), &self.0)?;
        Ok(Box::new(AccountReply::present(ledger, account)))
    }
}

/// The accounts with these ids, in this order, without those that do not exist. At most [`crate::EVENTS_MAX`].
#[derive(Debug, Clone)]
pub struct LookupAccounts(pub Vec<AccountId>);

impl Look for LookupAccounts {
    fn events_count(&self) -> usize {
        self.0.len()
    }

    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        Ok(self.0.iter().filter_map(|id| engine.state.ledger.account(*id).copied()).collect())
    }
}

/// The transfers with these ids, in this order, without those that do not exist. At most [`crate::EVENTS_MAX`].
#[derive(Debug, Clone)]
pub struct LookupTransfers(pub Vec<TransferId>);

impl Look for LookupTransfers {
    fn events_count(&self) -> usize {
        self.0.len()
    }

    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        let ledger = &engine.state.ledger;
        let found = self.0.iter().map(|id| TransferKey::Client(*id)).filter_map(|key| {
            let transfer = ledger.transfer(key)?;
            Some((transfer, ledger.pending_state(key, at)))
        });
        Ok(found.collect())
    }
}

/// Accounts in the order they were opened. A page that is not full may still have a place to continue from, because
/// only a bounded number of accounts is examined.
#[derive(Debug, Clone)]
pub struct Accounts {
    pub filter: Box<AccountFilter>,
    pub after: Option<AccountPlace>,
    pub limit: usize,
}

impl Look for Accounts {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        Ok(engine.accounts_page(&self.filter, self.after, self.limit.min(PAGE_MAX)))
    }
}

/// The transfer with this id, which a client chose.
#[derive(Debug, Clone)]
pub struct Transfer(pub TransferId);

impl Look for Transfer {
    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        let ledger = &engine.state.ledger;
        if let Some(made) = TransferReply::planned(&ledger.plan(at), TransferKey::Client(self.0)) {
            return Ok(AnyTransfer::Made(Box::new(made)));
        }
        let scheduled = ledger.scheduled(self.0).ok_or(Refusal::TransferNotFound(self.0))?;
        Ok(AnyTransfer::Scheduled(Box::new(*scheduled)))
    }
}

/// Client transfers that have these metadata values, in order of id. A page need not be full; see [`Accounts`].
#[derive(Debug, Clone)]
pub struct TransfersByMetadata {
    /// JSON texts by key; at least one.
    pub metadata: Vec<(String, String)>,
    pub after: Option<TransferId>,
    pub limit: usize,
}

impl Look for TransfersByMetadata {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        Ok(engine.transfers_by_metadata(&self.metadata, self.after, self.limit.min(PAGE_MAX)))
    }
}

/// Transfers that still reserve their amount, in the order they were made. A page need not be full; see [`Accounts`].
#[derive(Debug, Clone)]
pub struct Pending {
    pub account: Option<AccountId>,
    pub ledger: Option<LedgerId>,
    /// The timestamp of the last transfer of the previous page.
    pub after: Timestamp,
    pub limit: usize,
}

impl Look for Pending {
    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        let fits = |transfer: &ledger::Transfer| {
            self.account.is_none_or(|id| transfer.debit == id || transfer.credit == id)
                && self.ledger.is_none_or(|id| transfer.ledger == id)
                && transfer.expires_at().is_none_or(|expiry| expiry > at)
        };
        Ok(engine.pending_page(fits, self.after, self.limit.min(PAGE_MAX)))
    }
}

/// What became of these pending transfers.
#[derive(Debug, Clone)]
pub struct PendingStates(pub Vec<TransferKey>);

impl Look for PendingStates {
    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        Ok(self.0.iter().map(|key| engine.state.ledger.pending_state(*key, at)).collect())
    }
}

/// How many accounts a ledger had at an instant.
#[derive(Debug, Clone)]
pub struct AccountsOpened(pub LedgerId, pub Timestamp);

impl Look for AccountsOpened {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        let Self(id, at) = *self;
        Ok((engine.book(id)?, engine.state.ledger.accounts_opened(id, at)))
    }
}

#[derive(Debug, Clone)]
pub struct Payment(pub PaymentId);

impl Look for Payment {
    fn payment(&self) -> Option<PaymentId> {
        Some(self.0)
    }

    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        engine.payment_reply(self.0, at)
    }
}

/// The values that the features of the active policy have now for an entity of this kind, in the order of the policy.
#[derive(Debug, Clone)]
pub struct Features(pub Name, pub Token);

impl Look for Features {
    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        Ok(engine.features_of(&self.0, self.1, at))
    }
}

#[derive(Debug, Clone)]
pub struct Import(pub ImportId);

impl Look for Import {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        engine.import_status(self.0)
    }
}

#[derive(Debug, Clone)]
pub struct Imports;

impl Look for Imports {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        Ok(engine.state.ledger.imports().to_vec())
    }
}

/// The active policy.
#[derive(Debug, Clone)]
pub struct Policy;

impl Look for Policy {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        engine.active_policy()
    }
}

/// The sums over the accounts of a ledger.
#[derive(Debug, Clone)]
pub struct TrialBalance(pub LedgerId);

impl Look for TrialBalance {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        let totals = engine.state.ledger.trial_balance(self.0).ok_or(Refusal::LedgerNotFound(self.0))?;
        Ok((engine.book(self.0)?, totals))
    }
}

/// The sums over the accounts of a ledger whose address is this, or begins with this and a colon.
#[derive(Debug, Clone)]
pub struct AddressSums(pub LedgerId, pub Box<str>);

impl Look for AddressSums {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        let Self(id, prefix) = self;
        Ok((engine.book(*id)?, engine.state.ledger.sums_below(*id, prefix).unwrap_or_default()))
    }
}

/// Scheduled transfers, in order of their time.
#[derive(Debug, Clone)]
pub struct Scheduled {
    /// The place of the last transfer of the previous page: its time, and its number in the order of scheduling.
    pub after: (Timestamp, u64),
    pub limit: usize,
}

impl Look for Scheduled {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        let limit = self.limit.min(PAGE_MAX);
        let found = engine.state.ledger.scheduled_after(self.after, limit);
        let next = found.last().filter(|_| found.len() >= limit).map(|(place, _)| *place);
        Ok(Page { items: found.into_iter().map(|(_, scheduled)| *scheduled).collect(), next })
    }
}

/// The API key with this number.
#[derive(Debug, Clone)]
pub struct ApiKey(pub CredentialId);

/// API keys in order of number, also those that have ended.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    /// The number of the last key of the previous page, or 0.
    pub after: u64,
    pub limit: usize,
}

/// Those of these principals that exist. At most [`crate::EVENTS_MAX`].
#[derive(Debug, Clone)]
pub struct Principals(pub Vec<ActorId>);

impl Look for Principals {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        let known = &engine.state.identities.principals;
        Ok(self.0.iter().filter_map(|actor| Some((*actor, known.get(actor)?.clone()))).collect())
    }
}

/// The rules that say which operations need an approval.
#[derive(Debug, Clone)]
pub struct ApprovalRules;

/// The proposal with this id.
#[derive(Debug, Clone)]
pub struct Proposal(pub ProposalId);

/// Proposals that the state keeps, in the order in which they were made.
#[derive(Debug, Clone)]
pub struct Proposals {
    /// Only those with this status.
    pub status: Option<ProposalStatus>,
    /// The entry of the last proposal of the previous page, or 0.
    pub after: Seq,
    pub limit: usize,
}

/// The setting with this kind and name.
#[derive(Debug, Clone)]
pub struct Setting {
    pub kind: SettingKind,
    pub name: SettingName,
}

/// The settings of a kind, in order of name.
#[derive(Debug, Clone)]
pub struct Settings {
    pub kind: SettingKind,
    /// The name of the last setting of the previous page.
    pub after: Option<SettingName>,
    pub limit: usize,
}

/// All lists; there are only a few.
#[derive(Debug, Clone)]
pub struct Lists;

/// The list with this name.
#[derive(Debug, Clone)]
pub struct List(pub Name);

/// Values of a list, in the order of their places in it. A page need not be full; see [`Accounts`].
#[derive(Debug, Clone)]
pub struct ListValues {
    pub list: Name,
    /// The place where the previous page ended.
    pub after: Option<u64>,
    pub limit: usize,
}

/// What a list has of a value.
#[derive(Debug, Clone)]
pub struct ListedValue {
    pub list: Name,
    /// What the value is.
    pub of: ListOf,
    pub value: ListValue,
}

/// The attributes of an entity of this kind, in order of name. An entity that nobody has set an attribute of has none.
#[derive(Debug, Clone)]
pub struct EntityAttributes(pub Name, pub Token);

/// A number that no credential has yet. Another request may take it first.
#[derive(Debug, Clone)]
pub struct NextCredential;

impl Engine {
    pub(crate) fn payment_metadata(&self, id: PaymentId) -> BTreeMap<String, String> {
        self.state.ledger.metadata(MetadataOf::Payment(id)).cloned().unwrap_or_default()
    }

    pub(crate) fn payment_reply(&self, id: PaymentId, at: Timestamp) -> Result<Box<PaymentReply>, Refusal> {
        let payment = self.state.payments.as_of(id, at).ok_or(Refusal::PaymentNotFound(id))?;
        Ok(Box::new(PaymentReply {
            payment,
            decided: None,
            increments: Vec::new(),
            metadata: self.payment_metadata(id),
        }))
    }

    /// See [`PaymentReply::version`].
    pub(crate) fn payment_version(&self, id: PaymentId) -> Result<u64, Refusal> {
        Ok(self.payment_reply(id, self.state.clock)?.version())
    }

    pub(crate) fn label_reply(&self, id: PaymentId) -> Result<LabelReply, Refusal> {
        let payment = self.state.payments.get(id).ok_or(Refusal::PaymentNotFound(id))?;
        let label = payment.label.clone().expect("ENG-15: a recorded label is never lost");
        Ok(LabelReply { payment: id, version: self.payment_version(id)?, label })
    }

    pub(crate) fn book(&self, id: LedgerId) -> Result<Book, Refusal> {
        self.state.ledger.book(id).copied().ok_or(Refusal::LedgerNotFound(id))
    }
}
