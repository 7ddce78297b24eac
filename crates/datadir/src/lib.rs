//! Defines what a data directory contains, and opens it: it folds the journal and the index into an engine, and reads
//! the key store and the keys that sign checkpoints. The server and the offline tools both open data directories
//! through this crate.

mod key_store;
mod place;
mod proof_keys;
mod random;
mod recover;
mod secret;

pub use key_store::{KEY_LOG, KEY_OWNER, KeyStore, KeyStoreError, ROOT_KEY};
pub use place::{SYSTEM, ShardPlace, TENANTS};
pub use proof_keys::{
    CHECKPOINT, KeySource, PROOF_KEY, PROOF_VKEYS, ProofKeyError, ProofKeys, checked_key, known_keys, log_name,
    open_checkpoint,
};
pub use random::{Random, new_origin, random, system_random};
pub use recover::{Fold, Pace, RecoverError, Started, Terms, recover};
pub use secret::{NewSecretFile, Secret, SecretFileError, read_secret_file};

/// The folder of the journal.
pub const JOURNAL: &str = "journal";
/// The folder of the key store and of the keys that sign checkpoints.
pub const KEYS: &str = "keys";
/// The folder of the index.
pub const INDEX: &str = "index";
/// The folder of the Merkle tree.
pub const PROOFS: &str = "proofs";
