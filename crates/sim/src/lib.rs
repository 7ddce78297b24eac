//! Runs the whole system from one seed, with simulated clocks, disk and network.
//!
//! A [`World`] runs the parts of a server step by step: `edge` parses requests and renders responses; the key store
//! tokenises and seals payments; the queue, the decider and the writer decide, write and release; the file journal, its
//! mark, the index and the keys write to a [`SimDisk`]; and a start goes through `datadir::recover`. Any write or sync
//! can fail, or be the last one before a crash. Unsynced data is lost, torn and reordered. Bits flip, and the disk fills up.
//! Clocks jump back and ahead, and the clock guard and the gate for writes react to it. Requests arrive twice, late and
//! out of order, replies are lost, and clients disconnect and return with the same ids.
//!
//! Each run makes at least [`REQUESTS_MIN`] requests, with every kind of command among them, and at least
//! [`CRASHES_MIN`] crashes. A model decides every command again, at the time it is decided, and drops everything
//! that a crash removed. It shares no rules with `ledger`, `features` or `policy`; it uses their types, and the transfer
//! rules that the ledger's own tests use. These rules hold after every step and every start:
//!
//! | id | rule |
//! | --- | --- |
//! | SIM-0 | Nothing panics, and every run finishes. |
//! | SIM-1 | Sequence numbers have no gaps, timestamps increase, and the journal never ends before an entry that an answer depended on or that somebody read. |
//! | SIM-2 | A start finds a prefix of the decided entries, entry for entry: none twice, none different, none added. |
//! | SIM-3 | Every command leaves exactly the entries that the model expects, and every answer has the outcome and shows the state that the model holds at that moment. |
//! | SIM-4 | No account crosses its limit or zero, debits equal credits, and holds expire only when their time has come. |
//! | SIM-5 | After a start the engine holds the same state as the model, features included, and the same state as the previous engine. |
//! | SIM-6 | A start fails only because of damage that the world caused, and detects it; whoever reads a damaged frame gets an error. After a proper stop nothing is torn. |
//! | SIM-7 | A decision has the features that follow from a plain list of all payments, and the verdict, score and reasons that follow from its rules. |
//! | SIM-8 | The bytes that a client receives match the engine's answer. |
//! | SIM-9 | The keys of every durable entry exist and open what it sealed. |
//! | SIM-10 | A search of the index finds exactly the payments that have or had its terms, in order. |
//!
//! After damage the world acts as the operator: it restores the bytes and starts again. Damaged index files need no
//! operator. A [`Coverage`] counts which faults occurred in which states. A [`Plant`] puts a bug into a world from
//! outside, to show that the checker finds it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the checker lists the cases that are correct; every other case, present or future, counts as a violation"
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
