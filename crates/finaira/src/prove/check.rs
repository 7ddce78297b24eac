//! Checks a folder that `finaira prove` wrote, without a server.

use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proof::{CheckpointError, Hash, Note, SignedCheckpoint, TlogProof, VerifierKey, verify_consistency};

use super::folder::{CONSISTENCY, ENTRY, HANDOVERS, LEAF, OLD_CHECKPOINT, PROOF, VKEY};
use crate::stdio::outln;

pub(super) fn run(folder: &Path, known: Option<&VerifierKey>) -> anyhow::Result<()> {
    // If the caller gave the key, the file with the key is not needed.
    let vkeys = if known.is_some() && !is_there(folder, VKEY)? { String::new() } else { text(folder, VKEY)? };
    let vkeys = vkeys.lines().map(|line| line.parse().with_context(|| format!("in {VKEY}")));
    let kept: Vec<VerifierKey> =
        if known.is_some() { vkeys.flatten().collect() } else { vkeys.collect::<Result<_, _>>()? };
    let key = known.or(kept.first()).with_context(|| format!("{VKEY} is empty"))?.clone();
    let said = if is_there(folder, PROOF)? {
        entry(folder, &key)?
    } else {
        consistency(folder, &trusted_with(&key, &kept, folder)?)?
    };
    outln!("{said}")?;
    outln!("signed by {key}")?;
    if known.is_none() {
        outln!(
            "this key is from the folder itself: compare it with the one that the operator gave you, or pass that one with --vkey"
        )?;
    }
    Ok(())
}

fn entry(folder: &Path, key: &VerifierKey) -> anyhow::Result<String> {
    let entry = bytes(folder, ENTRY)?;
    if is_there(folder, LEAF)? && bytes(folder, LEAF)? != proof::leaf_data(&entry) {
        bail!("{LEAF} is not the SHA-256 of {ENTRY}");
    }
    let proof: TlogProof = text(folder, PROOF)?.parse().with_context(|| format!("in {PROOF}"))?;
    proof.verify(&proof::entry_leaf(&entry), key).with_context(|| format!("{PROOF} is invalid"))?;
    Ok(format!("{ENTRY} is entry {} of {}", proof.index + 1, proof.checkpoint.checkpoint.size))
}

/// Returns the key and its predecessors: each of them signed a note together with a key that is already trusted.
fn trusted_with(key: &VerifierKey, kept: &[VerifierKey], folder: &Path) -> anyhow::Result<Vec<VerifierKey>> {
    let mut trusted = vec![key.clone()];
    if !is_there(folder, HANDOVERS)? {
        return Ok(trusted);
    }
    let handovers = text(folder, HANDOVERS)?;
    let handovers: Vec<Note> = proof::notes_of(&handovers)
        .map(|note| note.parse())
        .collect::<Result<_, _>>()
        .with_context(|| format!("in {HANDOVERS}"))?;
    // Each iteration adds one trusted key, or ends the loop.
    while let Some(older) = kept.iter().find(|older| {
        let both = |note: &Note| note.verify(older).is_ok() && trusted.iter().any(|key| note.verify(key).is_ok());
        !trusted.contains(older) && handovers.iter().any(both)
    }) {
        trusted.push(older.clone());
    }
    Ok(trusted)
}

/// Opens a checkpoint that one of these keys signed. Otherwise returns the error for the first key.
fn open(note: &str, keys: &[VerifierKey]) -> Result<SignedCheckpoint, CheckpointError> {
    let mut opened = keys.iter().map(|key| SignedCheckpoint::open(note, key));
    let first = opened.next().expect("there is at least one trusted key");
    first.or_else(|error| opened.find_map(Result::ok).ok_or(error))
}

fn consistency(folder: &Path, keys: &[VerifierKey]) -> anyhow::Result<String> {
    let old = open(&text(folder, OLD_CHECKPOINT)?, keys).with_context(|| format!("in {OLD_CHECKPOINT}"))?;
    let proof = text(folder, CONSISTENCY)?;
    let (head, note) = proof.split_once("\n\n").with_context(|| format!("{CONSISTENCY} has no checkpoint"))?;
    let new = open(note, keys).with_context(|| format!("in {CONSISTENCY}"))?;
    let mut lines = head.lines();
    let size = lines.next().and_then(|line| line.strip_prefix("old ")?.parse::<u64>().ok());
    if size != Some(old.checkpoint.size) {
        bail!("{CONSISTENCY} does not start with `old {}`", old.checkpoint.size);
    }
    let hash = |line: &str| STANDARD.decode(line).ok()?.try_into().ok();
    let hashes = lines
        .map(hash)
        .collect::<Option<Vec<Hash>>>()
        .with_context(|| format!("{CONSISTENCY} has a line that is not a hash"))?;
    let (before, after) = (&old.checkpoint, &new.checkpoint);
    if !verify_consistency((before.size, &before.root), (after.size, &after.root), &hashes) {
        bail!("the log of {} entries does not start with the log of {} entries", after.size, before.size);
    }
    Ok(format!("the log of {} entries starts with the log of {} entries", after.size, before.size))
}

fn is_there(folder: &Path, name: &str) -> anyhow::Result<bool> {
    let path = folder.join(name);
    path.try_exists().with_context(|| format!("cannot access {}", path.display()))
}

fn bytes(folder: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let path = folder.join(name);
    std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn text(folder: &Path, name: &str) -> anyhow::Result<String> {
    String::from_utf8(bytes(folder, name)?).with_context(|| format!("{name} is not text"))
}
