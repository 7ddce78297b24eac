//! The journal as its users see it: what every log and every store of segments promises (`log_contract.rs`, `store_contract.rs`), entries as bytes (`codec.rs`), what a
//! start finds after a stop, a crash or damage (`recovery.rs`, `damage.rs`, `exhaustive.rs`), reading by position
//! (`places.rs`), following (`tail.rs`), copies (`copy.rs`), and journals of every format version (`golden.rs`, `versions.rs`).
#![expect(clippy::unwrap_used, reason = "an error that a test does not expect fails it, helpers included")]

mod support;

mod codec;
mod continued;
mod copy;
mod damage;
mod exhaustive;
mod golden;
mod imports;
mod log_contract;
mod places;
mod recovery;
mod scrub;
mod store_contract;
mod tail;
mod versions;
