//! What a data directory holds, and how it is opened: journal and index folded into an engine, the key store, the keys that
//! sign checkpoints. Whatever opens one does it through this crate, with a server around it or without.

mod key_store;
mod proof_keys;
mod random;
mod recover;

pub use key_store::{KEY_LOG, KEY_OWNER, KeyStore, KeyStoreError, ROOT_KEY};
pub use proof_keys::{
    CHECKPOINT, KeySource, PROOF_KEY, PROOF_VKEYS, ProofKeyError, ProofKeys, checked_key, known_keys, log_name,
    open_checkpoint,
};
pub use random::{Random, new_origin, random, system_random};
pub use recover::{Fold, Pace, RecoverError, Started, Terms, recover};

use types::{ShardId, TenantId};

/// The folder of the journal.
pub const JOURNAL: &str = "journal";
/// The folder of the key store and of the keys that sign checkpoints.
pub const KEYS: &str = "keys";
/// The folder of the index.
pub const INDEX: &str = "index";
/// The folder of the Merkle tree.
pub const PROOFS: &str = "proofs";

/// An installation has one tenant, for now.
pub const TENANT: TenantId = TenantId::new(1);
/// An installation has one shard, for now.
pub const SHARD: ShardId = ShardId::new(0);
