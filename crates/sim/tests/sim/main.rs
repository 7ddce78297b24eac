//! Whole runs of the simulator, and its parts one by one.

mod journal_on_disk;
mod keys_on_disk;
mod long_history;
mod packed_batches;
mod rng;
mod seeds;
