//! Rows as documents: flat JSON objects with the names of the API.
//!
//! Targets with documents store them, and a verification compares them with what any target holds. Ids, amounts and times are texts, because JSON's
//! numbers are not exact for all of them.

use std::str::FromStr;

use api::decisions::Decision;
use ledger::{Account, AccountFlags, Address, Limits, PendingState, Transfer, TransferFlags, TransferKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{Code, LedgerId, Seq, Timestamp};

use crate::rows::{AccountRow, PaymentRow, TransferRow};
use crate::target::Fault;

/// What a target returned. Missing documents are left out.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    pub accounts: Vec<AccountDocument>,
    pub transfers: Vec<TransferDocument>,
    pub payments: Vec<PaymentDocument>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDocument {
    pub id: String,
    pub ledger: u32,
    pub code: u16,
    pub flags: Vec<String>,
    pub user_data_128: String,
    pub user_data_64: String,
    pub user_data_32: u32,
    pub opened_at: String,
    pub opened_at_ns: u64,
    pub debits_pending: String,
    pub debits_posted: String,
    pub credits_pending: String,
    pub credits_posted: String,
    pub min_balance: Option<String>,
    pub max_balance: Option<String>,
    pub address: Option<String>,
    pub sequence: u64,
}

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferDocument {
    /// A client's id, or `<payment>/<number>`.
    pub id: String,
    pub payment: Option<String>,
    pub debit_account: String,
    pub credit_account: String,
    pub amount: String,
    pub pending_id: Option<String>,
    /// What became of a pending transfer: `pending`, `posted`, `voided` or `expired`.
    pub state: Option<String>,
    pub ledger: u32,
    pub code: u16,
    pub flags: Vec<String>,
    pub user_data_128: String,
    pub user_data_64: String,
    pub user_data_32: u32,
    pub timeout_s: u32,
    pub created_at: String,
    pub created_at_ns: u64,
    pub sequence: u64,
}

/// A payment in its current state, with its decision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PaymentDocument {
    pub id: String,
    pub r#type: String,
    pub status: String,
    pub ledger: u32,
    pub amount: String,
    pub captured: String,
    pub released: String,
    pub refunded: String,
    pub verdict: String,
    pub score: u16,
    pub reasons: Value,
    pub tags: Vec<String>,
    pub attributes: Value,
    pub features: Value,
    pub models: Value,
    pub policy: String,
    pub policy_sequence: u64,
    pub late: bool,
    pub deadline: Option<String>,
    pub deadline_ns: Option<u64>,
    pub label: Option<String>,
    pub label_positive: Option<bool>,
    pub actor: u64,
    pub decided_at: String,
    pub decided_at_ns: u64,
    pub occurred_at: String,
    pub occurred_at_ns: u64,
    /// The entry that decided the payment.
    pub sequence: u64,
    /// The last entry about the payment.
    pub changed_sequence: u64,
    /// The last entry that `amount` includes, from a target that writes parts of a payment at different times. `None` from others: then that is
    /// `changed_sequence`.
    #[serde(skip)]
    pub amount_sequence: Option<u64>,
}

impl From<&AccountRow> for AccountDocument {
    fn from(row: &AccountRow) -> Self {
        let AccountRow { account, limits, address, sequence } = row;
        Self {
            id: account.id.to_string(),
            ledger: account.ledger.get(),
            code: account.code.get(),
            flags: names(AccountFlags::ALL, |flag| account.flags.contains(flag)),
            user_data_128: account.user_data_128.to_string(),
            user_data_64: account.user_data_64.to_string(),
            user_data_32: account.user_data_32,
            opened_at: account.timestamp.to_string(),
            opened_at_ns: account.timestamp.ns(),
            debits_pending: account.debits_pending.to_string(),
            debits_posted: account.debits_posted.to_string(),
            credits_pending: account.credits_pending.to_string(),
            credits_posted: account.credits_posted.to_string(),
            min_balance: limits.min_balance.map(|limit| limit.to_string()),
            max_balance: limits.max_balance.map(|limit| limit.to_string()),
            address: address.as_ref().map(|address| address.as_str().to_owned()),
            sequence: sequence.get(),
        }
    }
}

impl AccountDocument {
    /// The account as a row.
    ///
    /// # Errors
    /// When a field is not what this release writes.
    pub fn row(&self) -> Result<AccountRow, Fault> {
        let account = Account {
            id: parse("id", &self.id)?,
            ledger: LedgerId::new(self.ledger),
            code: Code::new(self.code),
            flags: flags(&self.flags, AccountFlags::ALL, AccountFlags::NONE, AccountFlags::with),
            user_data_128: parse("user_data_128", &self.user_data_128)?,
            user_data_64: parse("user_data_64", &self.user_data_64)?,
            user_data_32: self.user_data_32,
            timestamp: Timestamp::from_ns(self.opened_at_ns),
            debits_pending: parse("debits_pending", &self.debits_pending)?,
            debits_posted: parse("debits_posted", &self.debits_posted)?,
            credits_pending: parse("credits_pending", &self.credits_pending)?,
            credits_posted: parse("credits_posted", &self.credits_posted)?,
        };
        let limit = |name, limit: &Option<String>| limit.as_ref().map(|limit| parse(name, limit)).transpose();
        let limits = Limits {
            min_balance: limit("min_balance", &self.min_balance)?,
            max_balance: limit("max_balance", &self.max_balance)?,
        };
        let address: Option<Address> = self.address.as_ref().map(|address| parse("address", address)).transpose()?;
        Ok(AccountRow { account, limits, address, sequence: Seq::new(self.sequence) })
    }
}

impl From<&TransferRow> for TransferDocument {
    fn from(row: &TransferRow) -> Self {
        let TransferRow { transfer, state, sequence } = row;
        let payment = match transfer.key {
            TransferKey::Leg { payment, .. } => Some(payment.to_string()),
            TransferKey::Client(_) => None,
        };
        Self {
            id: transfer.key.to_string(),
            payment,
            debit_account: transfer.debit.to_string(),
            credit_account: transfer.credit.to_string(),
            amount: transfer.amount.to_string(),
            pending_id: transfer.pending.map(|key| key.to_string()),
            state: state.map(|state| state_name(state).to_owned()),
            ledger: transfer.ledger.get(),
            code: transfer.code.get(),
            flags: names(TransferFlags::ALL, |flag| transfer.flags.contains(flag)),
            user_data_128: transfer.user_data_128.to_string(),
            user_data_64: transfer.user_data_64.to_string(),
            user_data_32: transfer.user_data_32,
            timeout_s: transfer.timeout_s,
            created_at: transfer.timestamp.to_string(),
            created_at_ns: transfer.timestamp.ns(),
            sequence: sequence.get(),
        }
    }
}

impl TransferDocument {
    /// The transfer.
    ///
    /// # Errors
    /// When a field is not what this release writes.
    pub fn transfer(&self) -> Result<Transfer, Fault> {
        Ok(Transfer {
            key: transfer_key(&self.id)?,
            debit: parse("debit_account", &self.debit_account)?,
            credit: parse("credit_account", &self.credit_account)?,
            amount: parse("amount", &self.amount)?,
            pending: self.pending_id.as_ref().map(|key| transfer_key(key)).transpose()?,
            user_data_128: parse("user_data_128", &self.user_data_128)?,
            user_data_64: parse("user_data_64", &self.user_data_64)?,
            user_data_32: self.user_data_32,
            timeout_s: self.timeout_s,
            ledger: LedgerId::new(self.ledger),
            code: Code::new(self.code),
            flags: flags(&self.flags, TransferFlags::ALL, TransferFlags::NONE, TransferFlags::with),
            timestamp: Timestamp::from_ns(self.created_at_ns),
        })
    }
}

impl From<&PaymentRow> for PaymentDocument {
    fn from(row: &PaymentRow) -> Self {
        let PaymentRow { header, decided, policy, now, without } = row;
        let decision = Decision::new(header.into(), decided, policy, None);
        let mut decision = serde_json::to_value(&decision).unwrap_or_default();
        let mut part = |name: &str, is_left_out: bool| {
            decision.get_mut(name).filter(|_| !is_left_out).map(Value::take).unwrap_or_default()
        };
        let sums = now.sums.unwrap_or_default();
        let deadline = now.deadline.unwrap_or(decided.deadline).map(|deadline| deadline.at);
        Self {
            id: decided.payment.to_string(),
            r#type: decided.payment_type.to_string(),
            status: now.status.unwrap_or(decided.status).name().to_owned(),
            ledger: decided.ledger.get(),
            amount: now.amount.unwrap_or(decided.amount).to_string(),
            captured: sums.captured.to_string(),
            released: sums.released.to_string(),
            refunded: sums.refunded.to_string(),
            verdict: decided.verdict.name().to_owned(),
            score: decided.score,
            reasons: part("reasons", without.reasons),
            tags: decided.tags.clone(),
            attributes: part("attributes", without.attributes),
            features: part("features", without.features),
            models: part("models", without.models),
            policy: policy.name.to_string(),
            policy_sequence: decided.policy.get(),
            late: decided.late,
            deadline: deadline.map(|at| at.to_string()),
            deadline_ns: deadline.map(Timestamp::ns),
            label: now.label.as_ref().map(|(label, _)| label.to_string()),
            label_positive: now.label.as_ref().map(|(_, positive)| *positive),
            actor: header.actor.get(),
            decided_at: header.decided_at.to_string(),
            decided_at_ns: header.decided_at.ns(),
            occurred_at: header.occurred_at.to_string(),
            occurred_at_ns: header.occurred_at.ns(),
            sequence: header.seq.get(),
            changed_sequence: now.sequence.get(),
            amount_sequence: None,
        }
    }
}

/// The name of what became of a pending transfer.
pub const fn state_name(state: PendingState) -> &'static str {
    match state {
        PendingState::Pending => "pending",
        PendingState::Posted => "posted",
        PendingState::Voided => "voided",
        PendingState::Expired => "expired",
    }
}

/// Parses the name of a transfer: a client's id, or `<payment>/<number>`.
///
/// # Errors
/// When it is neither.
pub fn transfer_key(text: &str) -> Result<TransferKey, Fault> {
    match text.split_once('/') {
        None => Ok(TransferKey::Client(parse("id", text)?)),
        Some((payment, number)) => {
            Ok(TransferKey::Leg { payment: parse("id", payment)?, number: parse("id", number)? })
        }
    }
}

/// Parses a text that this release wrote.
pub(crate) fn parse<T: FromStr>(field: &str, text: &str) -> Result<T, Fault> {
    text.parse().map_err(|_unparsed| Fault::Contradicts(format!("`{text}` is not a value of the field {field}")))
}

fn names<F: Copy>(all: &[(&'static str, F)], is_set: impl Fn(F) -> bool) -> Vec<String> {
    all.iter().filter(|(_, flag)| is_set(*flag)).map(|(name, _)| (*name).to_owned()).collect()
}

/// The flags with these names.
pub(crate) fn flags<F: Copy>(names: &[String], all: &[(&str, F)], none: F, with: fn(F, F) -> F) -> F {
    let set = all.iter().filter(|(name, _)| names.iter().any(|found| found == name));
    set.fold(none, |flags, (_, flag)| with(flags, *flag))
}
