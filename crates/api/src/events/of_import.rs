//! Events of imports.

use serde::Serialize;
use utoipa::ToSchema;

use crate::responses::{Account, Transfer};

/// An import of an existing book began to take rows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ImportStarted {
    /// Its id.
    pub(super) import: String,
    /// Its number among all imports.
    pub(super) number: u16,
    /// Where its rows will stand.
    #[schema(format = Int64)]
    pub(super) ledger: u32,
}

/// An account of an import, which nobody sees until the import is opened.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct AccountStaged {
    /// The number of the import.
    pub(super) import: u16,
    /// The account.
    pub(super) account: Account,
}

/// A transfer of an import, which nobody sees until the import is opened.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TransferStaged {
    /// The number of the import.
    pub(super) import: u16,
    /// The transfer.
    pub(super) transfer: Transfer,
}

/// How far an import is; it may be opened or discarded with this.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ImportNoted {
    /// The number of the import.
    pub(super) import: u16,
    /// What it is from now on.
    pub(super) state: &'static str,
    /// Accounts that were staged before.
    pub(super) accounts: u64,
    /// Transfers that were staged before.
    pub(super) transfers: u64,
}
