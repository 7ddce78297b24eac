//! Transfers as clients see them.

use std::collections::BTreeMap;

use engine::{AnyTransfer, TransferReply};
use ledger::{PendingState, TransferFlags, TransferKey};
use serde::Serialize;
use serde_json::value::RawValue;
use types::{Amount, Timestamp};
use utoipa::ToSchema;

use super::{Assets, Balances, Unknown, UserData, names, shown_metadata, state_name};

/// A transfer that a client or a payment made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Transfer {
    /// The id, if a client made the transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The payment that made the transfer, if a payment did.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<String>,
    /// The number of the transfer among those of the payment, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u16>,
    /// The account that the amount leaves.
    debit_account: String,
    /// The account that the amount reaches.
    credit_account: String,
    /// The amount that was moved, reserved or released, in minor units.
    #[schema(example = "1250")]
    amount: String,
    /// The asset of the amount.
    #[schema(example = "EUR/2")]
    asset: String,
    /// The number of the ledger of both accounts.
    #[schema(format = Int64)]
    ledger: u32,
    /// The client's classification of the transfer, or the one that the policy gives to a leg.
    code: u16,
    /// The flags of the transfer.
    flags: Vec<&'static str>,
    /// For a pending transfer, what became of it: `pending`, `posted`, `voided` or `expired`. For a scheduled transfer:
    /// `scheduled` or `cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// The pending transfer that this transfer posted or voided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_id: Option<String>,
    /// The seconds after which a pending transfer expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Int64)]
    timeout_s: Option<u32>,
    /// When a pending transfer with a timeout expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    #[serde(flatten)]
    user_data: UserData,
    /// When the transfer was made. Absent while it is scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    created_at: Option<String>,
    /// When a scheduled transfer is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    scheduled_at: Option<String>,
    /// What the client attached: any JSON value for each key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object, required = false)]
    metadata: BTreeMap<String, Box<RawValue>>,
    /// The current balances of the debit account. Absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    debit_balances: Option<Balances>,
    /// The current balances of the credit account. Absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_balances: Option<Balances>,
}

impl Transfer {
    /// A transfer, and what became of it if it is pending.
    ///
    /// # Errors
    /// If `assets` lacks the transfer's ledger.
    pub fn new(transfer: &ledger::Transfer, state: Option<PendingState>, assets: &Assets) -> Result<Self, Unknown> {
        let (id, payment, number) = match transfer.key {
            TransferKey::Client(id) => (Some(id.to_string()), None, None),
            TransferKey::Leg { payment, number } => (None, Some(payment.to_string()), Some(number)),
        };
        Ok(Self {
            id,
            payment,
            number,
            debit_account: transfer.debit.to_string(),
            credit_account: transfer.credit.to_string(),
            amount: transfer.amount.to_string(),
            asset: assets.of(transfer.ledger)?.to_string(),
            ledger: transfer.ledger.get(),
            code: transfer.code.get(),
            flags: names(TransferFlags::ALL, |flag| transfer.flags.contains(flag)),
            state: state.map(state_name),
            pending_id: transfer.pending.map(|pending| pending.to_string()),
            timeout_s: Some(transfer.timeout_s).filter(|&timeout| timeout > 0),
            expires_at: transfer.expires_at().map(|at| at.to_string()),
            user_data: UserData::new(transfer.user_data_128, transfer.user_data_64, transfer.user_data_32),
            created_at: Some(transfer.timestamp.to_string()),
            scheduled_at: None,
            metadata: BTreeMap::new(),
            debit_balances: None,
            credit_balances: None,
        })
    }

    /// A transfer that was made, or one that is scheduled.
    ///
    /// # Errors
    /// If `assets` lacks the transfer's ledger.
    pub fn any(transfer: &AnyTransfer, assets: &Assets) -> Result<Self, Unknown> {
        match transfer {
            AnyTransfer::Made(reply) => Self::with_balances(reply, assets),
            AnyTransfer::Scheduled(scheduled) => Self::scheduled(scheduled, "scheduled", assets),
        }
    }

    /// A transfer with the current balances of both accounts.
    ///
    /// # Errors
    /// If `assets` lacks the transfer's ledger.
    pub fn with_balances(reply: &TransferReply, assets: &Assets) -> Result<Self, Unknown> {
        Ok(Self {
            debit_balances: Some((&reply.debit).into()),
            credit_balances: Some((&reply.credit).into()),
            metadata: shown_metadata(&reply.metadata),
            ..Self::new(&reply.transfer, reply.state, assets)?
        })
    }

    /// A transfer that is scheduled, or was cancelled.
    ///
    /// # Errors
    /// If `assets` lacks the transfer's ledger.
    pub fn scheduled(scheduled: &ledger::Scheduled, state: &'static str, assets: &Assets) -> Result<Self, Unknown> {
        Ok(Self {
            state: Some(state),
            scheduled_at: Some(scheduled.at.to_string()),
            ..Self::asked(&scheduled.new, scheduled.at, assets)?
        })
    }

    /// A transfer that an approval would make.
    ///
    /// # Errors
    /// If `assets` lacks the transfer's ledger.
    pub(crate) fn proposed(new: &ledger::NewTransfer, assets: &Assets) -> Result<Self, Unknown> {
        let shown = Self::asked(new, Timestamp::ZERO, assets)?;
        Ok(if new.amount == Amount::MAX { Self { amount: "max".to_owned(), ..shown } } else { shown })
    }

    /// A transfer that a request asks for, without its times.
    fn asked(new: &ledger::NewTransfer, at: Timestamp, assets: &Assets) -> Result<Self, Unknown> {
        let asked = ledger::Transfer {
            key: new.key,
            debit: new.debit,
            credit: new.credit,
            amount: new.amount,
            pending: new.pending,
            user_data_128: new.user_data_128,
            user_data_64: new.user_data_64,
            user_data_32: new.user_data_32,
            timeout_s: new.timeout_s,
            ledger: new.ledger,
            code: new.code,
            flags: new.flags,
            timestamp: at,
        };
        Ok(Self { created_at: None, expires_at: None, ..Self::new(&asked, None, assets)? })
    }

    /// The id, if a client made the transfer.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}
