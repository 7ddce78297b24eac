//! Accounts and transfers: [`Ledger::plan`] predicts what requests would do, [`Ledger::apply`] records what happened.
//!
//! A [`Plan`] judges requests against the current state and against its own earlier steps, and turns the accepted
//! requests into [`Fact`]s. [`Ledger::apply`] applies facts, and nothing else, to the balances: every node and every
//! replay runs the same code. The statuses, their order of precedence and their numbers are those of the field's
//! reference ledger; the numbers of Finaira's own statuses start at 1000.
//!
//! The invariants, and where each of them is asserted:
//!
//! | id | invariant | checked |
//! | --- | --- | --- |
//! | LED-1 | In every book debits equal credits, posted and pending alike. | after every transfer and expiry |
//! | LED-2 | No account crosses a limit set by its flags, and no transfer moves a balance across a numeric limit. | at every transfer and expiry |
//! | LED-3 | Timestamps of accounts increase strictly, and so do those of transfers; no account shares a timestamp with a transfer. The timestamps of an import increase within the import. | before every creation |
//! | LED-4 | An id names one thing forever: it is created once or fails once, never both. | at every creation and failure |
//! | LED-5 | A pending transfer resolves once: posted, voided or expired. | before every resolution |
//! | LED-6 | The debits of an account, pending and posted, fit in one amount, and so do its credits. No balance goes below zero. | in every sum |
//! | LED-7 | Pending transfers expire in the order of their expiry time, then of their creation. | before every expiry |
//! | LED-8 | A transfer moves money between two accounts of its own book, and an account belongs to an open book. | before every creation |
//! | LED-9 | A row is staged only while its import is, and moves money only within that import. An import is opened or discarded once. | at every row |
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

mod accounts;
mod addresses;
mod apply;
mod assets;
mod chunks;
mod digest;
mod effect;
mod fact;
mod flags;
mod import;
mod legs;
mod limits;
mod metadata;
mod openings;
mod past;
mod plan;
mod recents;
mod records;
mod refusal;
mod restore;
mod schedule;
mod settings;
mod staging;
mod state;
mod status;
mod totals;

pub use accounts::{AccountPlace, WARM_EVENTS};
pub use addresses::{Address, AddressParseError};
pub use apply::Touched;
pub use assets::{Assets, UnknownLedger};
pub use effect::{Movement, resolution};
pub use fact::Fact;
pub use flags::{AccountFlags, IndexedFields, TransferFlags};
pub use import::{IMPORTS_STAGED_MAX, Import, ImportNumber, ImportProgress, ImportState, ImportStatus, Places};
pub use limits::Limits;
pub use metadata::{METADATA_KEY_BYTES_MAX, METADATA_KEYS_MAX, METADATA_VALUE_BYTES_MAX, MetadataOf, change_metadata};
pub use past::{Past, PastTransfer};
pub use plan::{
    BatchContext, BatchEvent, CHAIN_EVENTS_MAX, ChainFailure, ImportRefusal, Mark, Plan, Planned, Setting, Step,
};
pub use records::{Account, Book, NewAccount, NewTransfer, PendingState, Transfer, TransferKey};
pub use refusal::{Detail, Outcome, StatusRefusal};
pub use restore::RestoredFrom;
pub use schedule::Scheduled;
pub use state::Ledger;
pub use status::{AccountStatus, BookStatus, ChangeStatus, TransferStatus};
pub use totals::TrialBalance;
