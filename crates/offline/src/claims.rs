//! Reads the checkpoints that the journal is compared with.

use std::path::{Path, PathBuf};

use datadir::{CHECKPOINT, PROOF_VKEYS};
use disk::{Directory, Disk as _, DiskFile as _};
use proof::{Hash, SignedCheckpoint, VerifierKey};
use types::{Origin, ShardId};

use crate::verify::{Place, Verification, VerifyError, io_error};

/// A limit far above the size of a checkpoint or of the list of keys.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A checkpoint that was kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointFile {
    pub path: PathBuf,
    /// The key that signed it. Without one, it must be a key that the data directory lists.
    pub key: Option<VerifierKey>,
}

/// What a checkpoint says, after its signature was checked.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) file: String,
    /// Whether it was signed in this data directory.
    pub(super) is_own: bool,
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) root: Hash,
}

impl Claim {
    /// Whether the checkpoint covers this history: the name of a log ends with its origin and shard.
    pub(super) fn is_of(&self, origin: Origin, shard: ShardId) -> bool {
        self.origin.ends_with(&format!("/{origin}/{shard}"))
    }

    fn new(file: String, is_own: bool, signed: SignedCheckpoint) -> Self {
        let proof::Checkpoint { origin, size, root, .. } = signed.checkpoint;
        Self { file, is_own, origin, size, root }
    }
}

/// Reads the last checkpoint that was signed here, and the one that the caller gave, as far as they can be trusted.
pub(super) fn read_claims(
    keys: Option<&Directory>,
    given: Option<&CheckpointFile>,
    all: &mut Verification,
) -> Result<Vec<Claim>, VerifyError> {
    let known = match keys {
        Some(keys) => known_keys(keys, all)?,
        None => Vec::new(),
    };
    let mut claims = Vec::new();
    if let Some(note) = keys.map(|keys| read(keys, CHECKPOINT)).transpose()?.flatten() {
        match open(&note, &known) {
            Ok(signed) => claims.push(Claim::new(CHECKPOINT.to_owned(), true, signed)),
            Err(why) => {
                let advice = "compare the journal with a checkpoint that was kept elsewhere (--checkpoint); then delete keys/proof.checkpoint and start the server, which signs a new one";
                all.found(Place::Keys, format!("{CHECKPOINT} cannot be used: {why}"), advice);
            }
        }
    }
    if let Some(CheckpointFile { path, key }) = given {
        let unusable = |why| VerifyError::Checkpoint { path: path.clone(), why };
        let note = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
        let keys = key.as_ref().map_or(known.as_slice(), std::slice::from_ref);
        let signed = open(&note, keys).map_err(unusable)?;
        claims.push(Claim::new(shown(path), false, signed));
    }
    Ok(claims)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Checks the signature with those of the keys that have the name of the log.
fn open(note: &str, keys: &[VerifierKey]) -> Result<SignedCheckpoint, String> {
    let unsigned: SignedCheckpoint = note.parse().map_err(|error: proof::CheckpointError| error.to_string())?;
    let origin = &unsigned.checkpoint.origin;
    let mut why = format!("no key of {origin} is known; pass it with --key");
    for key in keys.iter().rev().filter(|key| key.name() == origin || keys.len() == 1) {
        match SignedCheckpoint::open(note, key) {
            Ok(signed) => return Ok(signed),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

fn known_keys(keys: &Directory, all: &mut Verification) -> Result<Vec<VerifierKey>, VerifyError> {
    let text = read(keys, PROOF_VKEYS)?.unwrap_or_default();
    let mut known = Vec::new();
    for (line, vkey) in (1..).zip(text.lines()) {
        match vkey.parse() {
            Ok(vkey) => known.push(vkey),
            Err(error) => {
                let advice = "restore the file from a copy of the keys";
                all.found(Place::Keys, format!("line {line} of {PROOF_VKEYS} is invalid: {error}"), advice);
            }
        }
    }
    Ok(known)
}

/// Reads a small file as text. Bytes that are not UTF-8 are replaced, because such a file is invalid anyway. Returns
/// `None` if the file does not exist.
fn read(directory: &Directory, name: &str) -> Result<Option<String>, VerifyError> {
    let failed = || io_error(format!("read {name}"));
    let Some(file) = directory.open(name).map_err(failed())? else { return Ok(None) };
    let bytes = file.len().map_err(failed())?.min(FILE_BYTES_MAX);
    let mut text = vec![0; usize::try_from(bytes).unwrap_or(0)];
    let count = file.read_at(&mut text, 0).map_err(failed())?;
    text.truncate(count);
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}
