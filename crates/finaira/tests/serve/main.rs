//! The promises of `finaira serve`, checked on the real binary over a real socket.

mod backup;
mod bad_input;
mod concurrency;
mod crash;
mod generations;
mod harness;
mod imports;
mod lifecycle;
mod orders;
mod packed;
mod past;
mod privacy;
mod settings;
mod statuses;
