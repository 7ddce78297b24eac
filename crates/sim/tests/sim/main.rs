//! Whole runs of the simulator, and tests of its parts.

mod journal_on_disk;
mod keys_on_disk;
mod long_history;
mod packed_batches;
mod rng;
mod seeds;
