//! Accounts and transfers: what would happen ([`Ledger::plan`]) and what has happened ([`Ledger::apply`]).
//!
//! A [`Plan`] judges requests against the present state and against its own earlier steps, and turns the accepted ones
//! into [`Fact`]s. [`Ledger::apply`] folds facts, and only facts, into the balances: every node and every replay runs
//! exactly that. The statuses, their order of precedence and their numbers are those of the field's reference ledger;
//! Finaira's own start at 1000.
//!
//! What always holds, and where it is asserted:
//!
//! | id | invariant | checked |
//! | --- | --- | --- |
//! | LED-1 | In every book debits equal credits, posted and pending alike. | after every transfer and expiry |
//! | LED-2 | No account crosses a limit that its flags set, and no transfer moves one across its numeric limits. | at every transfer and expiry |
//! | LED-3 | Timestamps of accounts increase strictly, and so do those of transfers; no account shares one with a transfer. Those of an import increase within it. | before every creation |
//! | LED-4 | An id names one thing for ever: it is created once, fails once, and never both. | at every creation and failure |
//! | LED-5 | A pending transfer resolves once: posted, voided or expired. | before every resolution |
//! | LED-6 | The debits of an account, pending and posted, add up to an amount; so do its credits; none goes below zero. | in every sum |
//! | LED-7 | Pending transfers expire in the order of their time, then of their creation. | before every expiry |
//! | LED-8 | A transfer moves between two accounts of its own ledger, and an account stands in an open book. | before every creation |
//! | LED-9 | A row of an import is staged while that import is, and moves money within it; it is opened or discarded once. | at every row |
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
pub use effect::Movement;
pub use fact::Fact;
pub use flags::{AccountFlags, IndexedFields, TransferFlags};
pub use import::{IMPORTS_STAGED_MAX, Import, ImportNumber, ImportProgress, ImportState, ImportStatus, Places};
pub use limits::Limits;
pub use metadata::{METADATA_KEY_BYTES_MAX, METADATA_KEYS_MAX, METADATA_VALUE_BYTES_MAX, MetadataOf};
pub use past::{Past, PastTransfer};
pub use plan::{Batch, CHAIN_EVENTS_MAX, Event, ImportRefusal, Plan, Planned, PlannedChain, Step};
pub use records::{Account, Book, NewAccount, NewTransfer, PendingState, Transfer, TransferKey};
pub use refusal::{Detail, Outcome, Refusal};
pub use schedule::Scheduled;
pub use state::Ledger;
pub use status::{AccountStatus, BookStatus, ChangeStatus, TransferStatus};
pub use totals::TrialBalance;
