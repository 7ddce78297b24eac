//! The index: sorted tables beside the journal that answer queries and speed up a restart.
//!
//! The index is derived data. Any of its files can be deleted or damaged: every read verifies checksums, and opening
//! keeps the longest sequence of intact runs. The caller then publishes the rest from the journal again.
//!
//! The journal thread collects durable events in [`IndexUpdate`]es and publishes them ([`Index::publish`]), which makes them
//! visible to queries. At the end of every generation of [`GENERATION_ENTRIES`] entries, it hands over the state
//! ([`Index::seal`]). A background thread (`worker`) writes the tables of the generation (`run`), and merges every
//! eight runs into one.
//!
//! | file | content |
//! | --- | --- |
//! | `run-<first>-<last>` | everything about generations `first` to `last`: ids, postings, accounts, balances, payments, window records … |
//! | `field-<name>-<first>-<last>` | the transfers of these generations by the values of a field that a ledger chose |
//! | `….new` | a file that is being written |
//!
//! | id | invariant | checked |
//! | --- | --- | --- |
//! | IDX-1 | Events are indexed in order of position, below 2^47; the status of a failed id is above 1. | when events are pushed |
//! | IDX-2 | The accounts that a generation opens are among its changes, and their places have no gaps. | before a run is written |
//! | IDX-4 | A ledger indexes at most five fields. | when the fields of a ledger are chosen |

mod accounts;
mod array;
mod block;
mod changes;
mod check;
mod event;
mod fault;
mod fields;
mod filter;
mod find;
mod fixed;
mod generation;
mod index;
mod keys;
mod log;
mod past;
mod payments;
mod positions;
mod postings;
mod query;
mod restore;
mod run;
mod table;
mod terms;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod totals;
mod view;
mod windows;
mod worker;
mod yielding;

pub use accounts::Balances;
pub use changes::AccountChanges;
pub use check::Check;
pub use event::{GENERATION_ENTRIES, Generation, GenerationEnd, IndexUpdate, IndexedEntry, IndexedFact};
pub use fault::Fault;
pub use fields::Field;
pub use find::{Candidate, PaymentsFound, PaymentsWanted};
pub use index::{GENERATIONS_WAITING_MAX, Index, Status};
pub use log::Log;
pub use past::Unread;
pub use payments::PaymentFound;
pub use positions::{Bounds, CHUNK_POSITIONS_MAX, Positions};
pub use postings::Sides;
pub use query::{FieldError, Found, IdState};
pub use restore::{Restored, discard};
pub use terms::Term;
pub use windows::WindowEntity;
