//! The keys that sign checkpoints.
//!
//! ```text
//! DIR/keys/proof.key         the key, when it was made here: the vkey on one line, the seed in base64 on the next
//! DIR/keys/proof.vkeys       every vkey that ever signed here, one a line, the present one last
//! DIR/keys/proof.handovers   what an old key and its successor both signed, one note after the other
//! ```
//!
//! A key signs one history: its name carries the journal's origin and shard. When the origin changed, because the journal
//! was continued from a copy, the key is replaced; a key that is given and signed another history before is refused.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use disk::{Directory, Disk as _, DiskFile as _};
use proof::{Checkpoint, KeyError, SignedCheckpoint, SigningKey, VerifierKey};
use types::{Origin, ShardId};

use crate::random;

/// The file of the key, in the folder [`crate::KEYS`].
pub const PROOF_KEY: &str = "proof.key";
/// The file of the vkeys that ever signed.
pub const PROOF_VKEYS: &str = "proof.vkeys";
/// The last checkpoint, beside the key that signed it: where the key goes, it goes too, so that the key signs nothing else.
pub const CHECKPOINT: &str = "proof.checkpoint";
const HANDOVERS: &str = "proof.handovers";
/// Far more than any of these files ever holds.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the key comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KeySource {
    /// `DIR/keys/proof.key`, which is made on the first start.
    #[default]
    Kept,
    /// A new key in the place of `DIR/keys/proof.key`.
    Renewed,
    /// A file whose last line is 32 bytes in base64.
    File(PathBuf),
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum ProofKeyError {
    /// Reading or writing failed.
    #[error("cannot {action} {file}: {cause}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: String,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file holds something else.
    #[error("{0} holds no key; expected 32 bytes in base64 on its last line")]
    NoKey(String),
    /// The kept key is not the one that it says it is.
    #[error(
        "{PROOF_KEY} is damaged: its last line is not the key that its first line names; put the file back from a copy, or have a new key made with --new-proof-key"
    )]
    Damaged,
    /// Another key signed last.
    #[error(
        "the key that signed last, {last}, is not that of {PROOF_KEY}: put the file back from a copy; if the key is kept elsewhere, give it with --proof-key; or have a new one made with --new-proof-key"
    )]
    NotTheLast {
        /// The key that signed last, as a vkey.
        last: String,
    },
    /// The list of keys was changed.
    #[error("line {line} of {PROOF_VKEYS} is wrong: {error}")]
    Vkey {
        /// Which line.
        line: usize,
        /// What is wrong.
        error: KeyError,
    },
    /// The key signed another history.
    #[error(
        "the key of {file} signed the history {signed} before, this one is {here}; every history needs a key of its own"
    )]
    OtherHistory {
        /// Where the key is from.
        file: String,
        /// What it signed.
        signed: String,
        /// What it would sign.
        here: String,
    },
}

/// The key that signs, and those that did.
#[derive(Debug)]
pub struct ProofKeys {
    pub key: SigningKey,
    /// Keys that signed this history before, the newest last.
    pub retired: Vec<VerifierKey>,
    /// Notes that a key and its successor both signed.
    pub handovers: String,
}

/// The name of a history in checkpoints, and of the keys that sign it.
pub fn log_name(origin: Origin, shard: ShardId) -> String {
    format!("finaira/{origin}/{shard}")
}

/// Every key that ever signed in this directory, whatever history.
pub fn known_keys(directory: &Directory) -> Result<Vec<VerifierKey>, ProofKeyError> {
    let text = read(directory, PROOF_VKEYS)?.unwrap_or_default();
    let lines = (1..).zip(text.lines());
    lines.map(|(line, vkey)| vkey.parse().map_err(|error| ProofKeyError::Vkey { line, error })).collect()
}

impl ProofKeys {
    /// Opens the key for the history of this name; makes or replaces it where that is due. `signed` is the last checkpoint
    /// of this history, for a new key to take over from.
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
            // What is there may be the reason for a new one.
            KeySource::Renewed => match kept_key(directory, name).unwrap_or_default() {
                // A crash cut its making short.
                Some(made) if last.is_some() && !known.contains(made.verifier()) => (made, None),
                old => (new_key(name), old),
            },
        };
        let mut handovers = read(directory, HANDOVERS)?.unwrap_or_default();
        if last.as_ref() != Some(key.verifier()) {
            // Whoever trusts the old key can come to trust the new one.
            if let (Some(old), Some(signed)) = (old.filter(|old| Some(old.verifier()) == last.as_ref()), signed) {
                let note = signed.clone().sign(&[&old, &key]).note;
                handovers = format!("{handovers}{note}\n");
                write(directory, HANDOVERS, &handovers)?;
            }
            // Before it is listed: a key that is not listed yet is one whose making a crash cut short.
            if !matches!(source, KeySource::File(_)) {
                keep(directory, &key)?;
            }
            known.retain(|vkey| vkey != key.verifier());
            known.push(key.verifier().clone());
            let lines: String = known.iter().map(|vkey| format!("{vkey}\n")).collect();
            write(directory, PROOF_VKEYS, &lines)?;
            tracing::info!(vkey = %key.verifier(), "a new key signs the checkpoints; give it to whoever checks proofs");
        }
        let retired = known.into_iter().filter(|vkey| vkey.name() == name && vkey != key.verifier()).collect();
        Ok(Self { key, retired, handovers: own_notes(&handovers, name) })
    }
}

/// The key that signed the history of this name last.
fn last_of<'a>(known: &'a [VerifierKey], name: &str) -> Option<&'a VerifierKey> {
    known.iter().rev().find(|vkey| vkey.name() == name)
}

/// The key that is kept, when it is of this history.
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

/// The key that is kept, which must be the one that signed this history last, or one that did not sign yet. `None` before
/// the first.
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
        "the key that signs checkpoints was made here; whoever has this file can sign other histories"
    );
    Ok(())
}

fn new_key(name: &str) -> SigningKey {
    let mut seed = [0; SigningKey::SEED_BYTES];
    random(&mut seed);
    SigningKey::new(name, &seed).expect("PRF-3: the name of a history is the name of a key")
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

/// A checkpoint that one of these keys signed.
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

/// Writes a small file so that it is there whole or not at all.
fn write(directory: &Directory, name: &str, text: &str) -> Result<(), ProofKeyError> {
    let io = |action| move |cause| ProofKeyError::Io { action, file: name.to_owned(), cause };
    let unfinished = format!("{name}.new");
    let file = directory.create(&unfinished).map_err(io("create"))?;
    file.write_at(text.as_bytes(), 0).map_err(io("write"))?;
    file.sync().map_err(io("sync"))?;
    directory.rename(&unfinished, name).map_err(io("rename"))?;
    directory.sync_directory().map_err(io("sync the directory of"))
}
