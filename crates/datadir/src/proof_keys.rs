//! The keys that sign checkpoints.
//!
//! ```text
//! DIR/keys/proof.key         the key, if it was generated here: the vkey on one line, the seed in base64 on the next
//! DIR/keys/proof.vkeys       every vkey that ever signed here, one per line, the current one last
//! DIR/keys/proof.handovers   the notes that an old key and its successor both signed
//! ```
//!
//! A key signs one history, because its name contains the journal's origin and shard. If the origin has changed because
//! the journal was continued from a copy, the stored key is replaced. A key file from elsewhere that signed another
//! history before is rejected.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use disk::{Directory, Disk as _, DiskFile as _, NotWritten};
use proof::{Checkpoint, KeyError, SignedCheckpoint, SigningKey, VerifierKey};
use types::{Origin, ShardId};

use crate::random;

/// The file of the key, in the folder [`crate::KEYS`].
pub const PROOF_KEY: &str = "proof.key";
/// The file that lists every vkey that ever signed here.
pub const PROOF_VKEYS: &str = "proof.vkeys";
/// The last checkpoint. It is stored beside the key that signed it and moves with that key, so that the key does not
/// sign another history.
pub const CHECKPOINT: &str = "proof.checkpoint";
const HANDOVERS: &str = "proof.handovers";
/// A limit far above the size of any of these files.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the signing key comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KeySource {
    /// The key in `DIR/keys/proof.key`, which the first start generates.
    #[default]
    Kept,
    /// A new key that replaces the one in `DIR/keys/proof.key`.
    Renewed,
    /// A file whose last line is 32 bytes in base64.
    File(PathBuf),
}

/// Why no key can sign.
#[derive(Debug, thiserror::Error)]
pub enum ProofKeyError {
    /// A file could not be read, written or synced.
    #[error("cannot {action} {file}: {cause}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        file: String,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The file does not contain a key.
    #[error("{0} contains no key; expected 32 bytes in base64 on its last line")]
    NoKey(String),
    /// The stored key does not match its own vkey.
    #[error(
        "{PROOF_KEY} is damaged: its last line is not the key that its first line names; restore the file from a copy, or generate a new key with --new-proof-key"
    )]
    Damaged,
    /// Another key signed last.
    #[error(
        "the last checkpoint was signed with the key {last}, which is not the key in {PROOF_KEY}: restore the file from a copy; if the key is stored elsewhere, pass it with --proof-key; or generate a new one with --new-proof-key"
    )]
    NotTheLast {
        /// The vkey of the key that signed last.
        last: String,
    },
    /// A line in the list of keys cannot be parsed.
    #[error("line {line} of {PROOF_VKEYS} is invalid: {error}")]
    Vkey {
        /// The number of the line, from 1.
        line: usize,
        error: KeyError,
    },
    /// The key signed another history.
    #[error(
        "the key of {file} has already signed the history {signed}, and this history is {here}; every history needs its own key"
    )]
    OtherHistory {
        /// The file that contains the key.
        file: String,
        /// The name of the history that the key signed.
        signed: String,
        /// The name of this history.
        here: String,
    },
}

/// The key that signs, and the keys that signed this history before.
#[derive(Debug)]
pub struct ProofKeys {
    pub key: SigningKey,
    /// Keys that signed this history before, the newest last.
    pub retired: Vec<VerifierKey>,
    /// Notes that a key and its successor both signed.
    pub handovers: String,
}

/// The name of a history in checkpoints and of the keys that sign it.
pub fn log_name(origin: Origin, shard: ShardId) -> String {
    format!("finaira/{origin}/{shard}")
}

/// Returns every key that ever signed in this directory, for any history.
pub fn known_keys(directory: &Directory) -> Result<Vec<VerifierKey>, ProofKeyError> {
    let text = read(directory, PROOF_VKEYS)?.unwrap_or_default();
    let lines = (1..).zip(text.lines());
    lines.map(|(line, vkey)| vkey.parse().map_err(|error| ProofKeyError::Vkey { line, error })).collect()
}

impl ProofKeys {
    /// Opens the key for the history named `name`, and generates or replaces it if necessary. `signed` is the last
    /// checkpoint of this history; a new key and its predecessor both sign it.
    pub fn open(
        directory: &Directory,
        name: &str,
        source: &KeySource,
        signed: Option<&Checkpoint>,
    ) -> Result<Self, ProofKeyError> {
        let mut known = known_keys(directory)?;
        let last = last_of(&known, name).cloned();
        let (key, old) = match source {
            KeySource::File(path) => (given_key(path, name, &known)?, kept_key(directory, name).unwrap_or_default()),
            KeySource::Kept => match checked_key(directory, name, &known)? {
                Some(key) => (key, None),
                None => (new_key(name), None),
            },
            // An unreadable key may be the reason why a new one was requested, so errors are ignored.
            KeySource::Renewed => match kept_key(directory, name).unwrap_or_default() {
                // A crash interrupted the rotation after this key was written: complete it with the same key.
                Some(made) if last.is_some() && !known.contains(made.verifier()) => (made, None),
                old => (new_key(name), old),
            },
        };
        let mut handovers = read(directory, HANDOVERS)?.unwrap_or_default();
        if last.as_ref() != Some(key.verifier()) {
            // This lets anybody who trusts the old key trust the new one.
            if let (Some(old), Some(signed)) = (old.filter(|old| Some(old.verifier()) == last.as_ref()), signed) {
                let note = signed.clone().sign(&[&old, &key]).note;
                handovers = format!("{handovers}{note}\n");
                write(directory, HANDOVERS, &handovers)?;
            }
            // Write the key before listing it: a stored key that is not listed belongs to an interrupted rotation.
            if !matches!(source, KeySource::File(_)) {
                keep(directory, &key)?;
            }
            known.retain(|vkey| vkey != key.verifier());
            known.push(key.verifier().clone());
            let lines: String = known.iter().map(|vkey| format!("{vkey}\n")).collect();
            write(directory, PROOF_VKEYS, &lines)?;
            tracing::info!(vkey = %key.verifier(), "a new key signs the checkpoints; give its vkey to those who check proofs");
        }
        let retired = known.into_iter().filter(|vkey| vkey.name() == name && vkey != key.verifier()).collect();
        Ok(Self { key, retired, handovers: own_notes(&handovers, name) })
    }
}

/// The key that last signed the history of this name.
fn last_of<'a>(known: &'a [VerifierKey], name: &str) -> Option<&'a VerifierKey> {
    known.iter().rev().find(|vkey| vkey.name() == name)
}

/// The stored key, if it is for this history.
fn kept_key(directory: &Directory, name: &str) -> Result<Option<SigningKey>, ProofKeyError> {
    let Some(text) = read(directory, PROOF_KEY)? else { return Ok(None) };
    let seed = seed_of(&text).ok_or_else(|| ProofKeyError::NoKey(PROOF_KEY.to_owned()))?;
    let vkey = text.lines().next().unwrap_or_default();
    let named: VerifierKey = vkey.parse().map_err(|_error| ProofKeyError::Damaged)?;
    let key = SigningKey::new(named.name(), &seed).ok_or(ProofKeyError::Damaged)?;
    if *key.verifier() != named {
        return Err(ProofKeyError::Damaged);
    }
    Ok(Some(key).filter(|key| key.verifier().name() == name))
}

/// The stored key. It must be the key that signed this history last, or a key that has not signed yet. Returns `None`
/// if no key exists and none has signed this history.
pub fn checked_key(
    directory: &Directory,
    name: &str,
    known: &[VerifierKey],
) -> Result<Option<SigningKey>, ProofKeyError> {
    let kept = kept_key(directory, name)?;
    let Some(last) = last_of(known, name) else { return Ok(kept) };
    match kept {
        Some(key) if key.verifier() == last || !known.contains(key.verifier()) => Ok(Some(key)),
        Some(_) | None => Err(ProofKeyError::NotTheLast { last: last.to_string() }),
    }
}

fn keep(directory: &Directory, key: &SigningKey) -> Result<(), ProofKeyError> {
    write(directory, PROOF_KEY, &made_key(key.verifier(), key))?;
    tracing::warn!(
        file = PROOF_KEY,
        "the key that signs checkpoints was generated here; anybody who has this file can sign other histories"
    );
    Ok(())
}

fn new_key(name: &str) -> SigningKey {
    let mut seed = [0; SigningKey::SEED_BYTES];
    random(&mut seed);
    SigningKey::new(name, &seed).expect("PRF-3: the name of a history is a valid key name")
}

fn made_key(vkey: &VerifierKey, key: &SigningKey) -> String {
    format!("{vkey}\n{}\n", STANDARD.encode(key.seed()))
}

fn given_key(path: &Path, name: &str, known: &[VerifierKey]) -> Result<SigningKey, ProofKeyError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|cause| ProofKeyError::Io {
        action: "read",
        file: file.clone(),
        cause,
    })?;
    let seed = seed_of(&text).ok_or_else(|| ProofKeyError::NoKey(file.clone()))?;
    let key = SigningKey::new(name, &seed).ok_or_else(|| ProofKeyError::NoKey(file.clone()))?;
    let of_another = |vkey: &&VerifierKey| vkey.bytes() == key.verifier().bytes() && vkey.name() != name;
    match known.iter().find(of_another) {
        None => Ok(key),
        Some(vkey) => Err(ProofKeyError::OtherHistory { file, signed: vkey.name().to_owned(), here: name.to_owned() }),
    }
}

fn seed_of(text: &str) -> Option<[u8; SigningKey::SEED_BYTES]> {
    let last = text.lines().rfind(|line| !line.trim().is_empty())?;
    STANDARD.decode(last.trim()).ok()?.try_into().ok()
}

/// The handovers of this history, each followed by an empty line.
fn own_notes(handovers: &str, name: &str) -> String {
    let own = proof::notes_of(handovers).filter(|note| note.starts_with(&format!("{name}\n")));
    own.map(|note| note + "\n").collect()
}

/// Opens a checkpoint if one of these keys signed it.
pub fn open_checkpoint(note: &str, keys: &[VerifierKey]) -> Option<SignedCheckpoint> {
    keys.iter().find_map(|key| SignedCheckpoint::open(note, key).ok())
}

fn read(directory: &Directory, name: &str) -> Result<Option<String>, ProofKeyError> {
    let io = |action| move |cause| ProofKeyError::Io { action, file: name.to_owned(), cause };
    let Some(file) = directory.open(name).map_err(io("open"))? else { return Ok(None) };
    let length = file.len().map_err(io("measure"))?.min(FILE_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let count = file.read_at(&mut bytes, 0).map_err(io("read"))?;
    bytes.truncate(count);
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn write(directory: &Directory, name: &str, text: &str) -> Result<(), ProofKeyError> {
    let io = |NotWritten { action, cause }| ProofKeyError::Io { action, file: name.to_owned(), cause };
    disk::write_atomically(directory, name, text.as_bytes()).map_err(io)
}
