//! The journal as its users see it: what every journal promises (`contract.rs`), entries as bytes (`codec.rs`), what a
//! start finds after a stop, a crash or damage (`recovery.rs`, `damage.rs`), and journals of format version 1 (`golden.rs`).

mod support;

mod codec;
mod contract;
mod damage;
mod golden;
mod recovery;
