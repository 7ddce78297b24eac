//! Checks the promises of `finaira serve` with the real binary over a real socket.

mod backup;
mod bad_input;
mod concurrency;
mod crash;
mod disk_faults;
mod generations;
mod guard;
mod harness;
mod imports;
mod kills;
mod lifecycle;
mod orders;
mod packed;
mod past;
mod privacy;
mod proofs;
mod restore;
mod settings;
mod small_disk;
mod statuses;
mod verify;
