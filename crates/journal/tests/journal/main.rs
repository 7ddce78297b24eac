//! Tests of the journal's public interface: the contracts of logs and stores (`log_contract.rs`, `store_contract.rs`),
//! the encodings of entries (`codec.rs`), what a start finds after a stop, a crash or damage (`recovery.rs`,
//! `damage.rs`, `exhaustive.rs`), reads by position (`places.rs`), following (`tail.rs`), copies (`copy.rs`), and
//! journals of every format version (`golden.rs`, `versions.rs`), and reads beside the writer (`marked.rs`).
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
mod marked;
mod places;
mod recovery;
mod scrub;
mod store_contract;
mod tail;
mod versions;
