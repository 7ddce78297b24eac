//! The index: sorted tables beside the journal, from which queries are answered and a restart begins.
//!
//! Nothing in it is truth. Every file can be deleted or damaged: every block that is read is checked, and opening falls
//! back to the longest row of intact runs, after which the caller feeds again what the journal holds.
//!
//! The journal thread pushes what became durable into [`Batch`]es and publishes them ([`Index::publish`]): from then on
//! queries see it. At the end of every generation of [`GENERATION_ENTRIES`] it hands over how things stand
//! ([`Index::seal`]), and a background thread (`worker`) writes the generation's tables (`run`) and merges runs by
//! eight.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `run-<first>-<last>` | everything about generations `first` to `last`: ids, postings, accounts, balances … |
//! | `field-<name>-<first>-<last>` | the transfers of these generations by the values of a field that a ledger chose |
//! | `….new` | a file that is being written |
//!
//! | id | invariant | checked |
//! | --- | --- | --- |
//! | IDX-1 | Events come in order of position, below 2^47; an id fails for a status above 1. | when they are pushed |
//! | IDX-2 | The accounts that a generation opens are among its changes, without gaps in their places. | before it is written |

mod accounts;
mod array;
mod block;
mod changes;
mod check;
mod event;
mod fault;
mod fields;
mod filter;
mod fixed;
mod generation;
mod index;
mod keys;
mod log;
mod past;
mod positions;
mod postings;
mod query;
mod restore;
mod run;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod totals;
mod view;
mod worker;
mod yielding;

pub use accounts::Balances;
pub use changes::Changes;
pub use check::Check;
pub use event::{Batch, Event, GENERATION_ENTRIES, Generation, GenerationEnd, Placed};
pub use fault::Fault;
pub use fields::Field;
pub use index::{GENERATIONS_WAITING_MAX, Index, Status};
pub use log::Log;
pub use past::Unread;
pub use positions::{Bounds, CHUNK_POSITIONS_MAX, Positions};
pub use postings::Sides;
pub use query::{FieldError, Found, IdState};
pub use restore::{Restored, discard};
