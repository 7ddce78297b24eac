//! Events about imports.

use serde::Serialize;
use utoipa::ToSchema;

use crate::responses::{Account, Transfer};

/// The import of an existing book started.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ImportStarted {
    /// The id of the import, chosen by the client.
    pub(super) import: String,
    /// The number of the import among all imports, from 1.
    pub(super) number: u16,
    /// The number of the ledger that the rows belong to.
    #[schema(format = Int64)]
    pub(super) ledger: u32,
}

/// An account was added to an import. Nobody can see the account until the import is opened.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct AccountStaged {
    /// The number of the import.
    pub(super) import: u16,
    /// The account.
    pub(super) account: Account,
}

/// A transfer was added to an import. Nobody can see the transfer until the import is opened.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TransferStaged {
    /// The number of the import.
    pub(super) import: u16,
    /// The transfer.
    pub(super) transfer: Transfer,
}

/// The progress of an import, or its end.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ImportNoted {
    /// The number of the import.
    pub(super) import: u16,
    /// The state from now on: `staged`, `opened` or `discarded`.
    pub(super) state: &'static str,
    /// The number of accounts that were added so far.
    pub(super) accounts: u64,
    /// The number of transfers that were added so far.
    pub(super) transfers: u64,
}
