//! The whole system under simulated clocks, disk and network, from one seed.
//!
//! A [`World`] runs what a server runs, step by step: `edge` parses requests and renders responses, payments are
//! tokenised and sealed with the key store, the queue, decider and writer decide, write and release, the file journal, its
//! mark, the index and the keys write to a [`SimDisk`], and a start goes through `datadir::recover`. Every write and sync can
//! fail or be the last one; what was not synced is lost, torn and reordered; bits turn; the disk fills; clocks are set
//! back and ahead, and the clock guard and the gate for writes see it; requests come twice, late and in another order,
//! replies are lost, clients vanish and come back with the same ids.
//!
//! Each run makes at least [`REQUESTS_MIN`] requests over every kind of command and at least [`CRASHES_MIN`] crashes. A
//! model that shares no code with `ledger`, `features` or `policy` decides every command once more as it is decided, and
//! keeps nothing of what a crash took away. These hold after every step and every start:
//!
//! | id | what must hold |
//! | --- | --- |
//! | SIM-0 | Nothing panics, and every run comes to its end. |
//! | SIM-1 | Sequences are without gaps, times increase, and the journal is never shorter than an answer that was given or an entry that was read. |
//! | SIM-2 | What a start finds is the beginning of what was decided, entry for entry: nothing twice, nothing else, nothing invented. |
//! | SIM-3 | Every command leaves the entries that the model expects and no others, and every answer says and shows what the model holds at its moment. |
//! | SIM-4 | No account crosses its limit or zero, debits equal credits, and time ends holds only when it has come. |
//! | SIM-5 | After a start the engine holds what the model holds, features included, and what the engine held that ran before. |
//! | SIM-6 | A start fails only for damage that was done, and finds it; whoever reads a damaged frame hears so. After a proper stop nothing is torn. |
//! | SIM-7 | A decision has the features that come out of a plain list of all payments, and the verdict, score and reasons of its rules. |
//! | SIM-8 | The bytes that a client gets say what the answer says. |
//! | SIM-9 | The keys of every durable entry are there and open what it sealed. |
//!
//! After damage the world plays the operator: it puts the bytes back and starts again. Files of the index need no
//! operator. Which faults came in which states is counted in a [`Coverage`]. A [`Plant`] puts a bug into a world from
//! outside, to show that it would be found.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a checker names what is right; whatever else there is or will be is wrong until somebody thinks of it"
)]

mod checker;
mod clients;
mod coverage;
mod edge;
mod model;
mod network;
mod plants;
mod policies;
mod process;
mod rng;
mod sim_disk;
mod world;

pub use checker::Violation;
pub use coverage::{Coverage, FaultKind, When};
pub use plants::Plant;
pub use rng::Rng;
pub use sim_disk::{Crash, SimDisk, SimFile, Trouble};
pub use world::{CRASHES_MIN, REQUESTS_MIN, Summary, World};
