//! The whole system under a simulated clock and disk, from one seed.
//!
//! A [`World`] drives the real queue, decider, committer, engine and file journal, the very code that the server's
//! threads drive, over a [`SimDisk`] that loses what was not synced. Random clients send, repeat and look things up; the
//! process is killed and the machine crashes between any two steps. After every start a [`Checker`], which knows only
//! the answers that clients got and the entries that the journal gave back, compares the two:
//!
//! | id | what must hold |
//! | --- | --- |
//! | SIM-1 | Sequences are without gaps, times increase, and the journal is never shorter than an answer that was given. |
//! | SIM-2 | Nothing is decided twice; whatever was answered is there, and says the same. |
//! | SIM-3 | Every answer, reads included, shows what a naive fold of the entries up to its moment gives. |
//! | SIM-4 | No account crosses its limit, debits equal credits, and time ends holds only when it has come. |
//! | SIM-5 | The replayed engine holds what the naive fold gives, and what the engine held that ran before. |
//! | SIM-6 | A start finds no damage: this disk loses and tears what was not synced, but spoils nothing that was. After a proper stop nothing is torn either. |

mod checker;
mod clients;
mod disk;
mod fold;
mod policies;
mod process;
mod rng;
mod world;

pub use checker::{Checker, Violation};
pub use disk::{Crash, SimDisk, SimFile, Trouble};
pub use process::Hasty;
pub use rng::Rng;
pub use world::{Summary, World};
