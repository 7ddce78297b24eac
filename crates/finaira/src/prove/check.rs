//! Looks at a folder that `finaira prove` wrote, without asking anybody.

use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proof::{Hash, SignedCheckpoint, TlogProof, VerifierKey, verify_consistency};

use super::folder::{CONSISTENCY, ENTRY, LEAF, OLD_CHECKPOINT, PROOF, VKEY};

#[expect(clippy::print_stdout, reason = "this command answers on standard output")]
pub(super) fn run(folder: &Path, known: Option<&VerifierKey>) -> anyhow::Result<()> {
    let key = match known {
        Some(key) => key.clone(),
        None => text(folder, VKEY)?.trim_end().parse().with_context(|| format!("in {VKEY}"))?,
    };
    let said = if is_there(folder, PROOF)? { entry(folder, &key)? } else { consistency(folder, &key)? };
    println!("{said}");
    println!("signed by {key}");
    if known.is_none() {
        println!(
            "this key is from the folder itself: compare it with the one that the operator gave you, or give that with --vkey"
        );
    }
    Ok(())
}

fn entry(folder: &Path, key: &VerifierKey) -> anyhow::Result<String> {
    let entry = bytes(folder, ENTRY)?;
    if is_there(folder, LEAF)? && bytes(folder, LEAF)? != proof::leaf_data(&entry) {
        bail!("{LEAF} is not the SHA-256 of {ENTRY}");
    }
    let proof: TlogProof = text(folder, PROOF)?.parse().with_context(|| format!("in {PROOF}"))?;
    proof.verify(&proof::entry_leaf(&entry), key).with_context(|| format!("{PROOF} does not hold"))?;
    Ok(format!("{ENTRY} is entry {} of {}", proof.index + 1, proof.checkpoint.checkpoint.size))
}

fn consistency(folder: &Path, key: &VerifierKey) -> anyhow::Result<String> {
    let old =
        SignedCheckpoint::open(&text(folder, OLD_CHECKPOINT)?, key).with_context(|| format!("in {OLD_CHECKPOINT}"))?;
    let proof = text(folder, CONSISTENCY)?;
    let (head, note) = proof.split_once("\n\n").with_context(|| format!("{CONSISTENCY} has no checkpoint"))?;
    let new = SignedCheckpoint::open(note, key).with_context(|| format!("in {CONSISTENCY}"))?;
    let mut lines = head.lines();
    let size = lines.next().and_then(|line| line.strip_prefix("old ")?.parse::<u64>().ok());
    if size != Some(old.checkpoint.size) {
        bail!("{CONSISTENCY} does not begin with `old {}`", old.checkpoint.size);
    }
    let hash = |line: &str| STANDARD.decode(line).ok()?.try_into().ok();
    let hashes = lines
        .map(hash)
        .collect::<Option<Vec<Hash>>>()
        .with_context(|| format!("{CONSISTENCY} has a line that is no hash"))?;
    let (before, after) = (&old.checkpoint, &new.checkpoint);
    if !verify_consistency((before.size, &before.root), (after.size, &after.root), &hashes) {
        bail!("the log of {} entries does not begin with the log of {}", after.size, before.size);
    }
    Ok(format!("the log of {} entries begins with the log of {}", after.size, before.size))
}

fn is_there(folder: &Path, name: &str) -> anyhow::Result<bool> {
    let path = folder.join(name);
    path.try_exists().with_context(|| format!("cannot look at {}", path.display()))
}

fn bytes(folder: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let path = folder.join(name);
    std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn text(folder: &Path, name: &str) -> anyhow::Result<String> {
    String::from_utf8(bytes(folder, name)?).with_context(|| format!("{name} is no text"))
}
