//! Runs the commands as users do: with the real binary, and for `finaira serve` over a real socket.

mod backtest;
mod backup;
mod bad_input;
mod bench;
mod concurrency;
mod crash;
mod credentials;
mod demo;
mod disk_faults;
mod following;
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
