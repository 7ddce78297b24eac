//! `finaira prove` writes what others need to verify that something is in the journal, as a folder of files. It also
//! checks such a folder without a server.

mod check;
mod folder;
mod remote;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proof::{Hash, SignedCheckpoint, TlogProof, VerifierKey, verify_consistency};
use serde_json::Value;
use types::{PaymentId, TransferId};

use self::folder::Folder;
use self::remote::Remote;
use crate::stdio::outln;

#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "The API key needs the scope of what is proved: ledger:read, payments:read, events:read or proofs:read."
)]
pub(crate) enum Command {
    /// Prove that a transfer is in the journal
    Transfer(OfTransfer),
    /// Prove that the decision about a payment is in the journal
    Payment(OfPayment),
    /// Prove that an entry is in the journal, given its sequence
    Entry(OfEntry),
    /// Prove that the journal has only grown since a checkpoint
    Consistency(OfConsistency),
    /// Check a folder that one of the other commands wrote, without a server
    Check(Check),
}

#[derive(Debug, clap::Args)]
pub(crate) struct OfTransfer {
    /// Id of the transfer
    id: TransferId,
    #[command(flatten)]
    to: Destination,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OfPayment {
    /// Id of the payment
    id: PaymentId,
    #[command(flatten)]
    to: Destination,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OfEntry {
    /// Sequence of the entry, from 1
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    sequence: u64,
    #[command(flatten)]
    to: Destination,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OfConsistency {
    /// File with the older checkpoint
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// File with the newer checkpoint; the default is the server's newest
    #[arg(long, value_name = "FILE")]
    to_checkpoint: Option<PathBuf>,
    #[command(flatten)]
    to: Destination,
}

#[derive(Debug, clap::Args)]
struct Destination {
    /// Folder to write, which must not exist yet; by default it is named after what is proved
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The folder to check
    folder: PathBuf,
    /// The key of the log, from another source; the key in the folder does not prove who wrote it
    #[arg(long, value_name = "VKEY")]
    vkey: Option<VerifierKey>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckpointArgs {
    #[command(flatten)]
    remote: Remote,
    /// Print the key that verifies the checkpoint instead
    #[arg(long)]
    vkey: bool,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Transfer(of) => {
            entry(&format!("/v1/transfers/{}/proof", of.id), &format!("transfer {}", of.id), &of.to)
        }
        Command::Payment(of) => entry(&format!("/v1/payments/{}/proof", of.id), &format!("payment {}", of.id), &of.to),
        Command::Entry(of) => {
            entry(&format!("/v1/proofs/entries/{}", of.sequence), &format!("entry {}", of.sequence), &of.to)
        }
        Command::Consistency(of) => consistency(of),
        Command::Check(check) => check::run(&check.folder, check.vkey.as_ref()),
    }
}

/// Prints the newest checkpoint of a server, or the key that verifies it.
pub(crate) fn checkpoint(of: &CheckpointArgs) -> anyhow::Result<()> {
    if of.vkey {
        outln!("{}", text(&of.remote.json("/v1/proofs/keys")?, "vkey")?)
    } else {
        crate::stdio::out(format_args!("{}", of.remote.text("/v1/proofs/checkpoint")?))
    }
}

fn entry(path: &str, what: &str, to: &Destination) -> anyhow::Result<()> {
    let answer = to.remote.json(path)?;
    let entry = STANDARD.decode(text(&answer, "entry")?).context("the server's entry is not base64")?;
    let proof: TlogProof = text(&answer, "proof")?.parse().context("the server's proof cannot be parsed")?;
    let key: VerifierKey = text(&answer, "vkey")?.parse()?;
    // Never write an invalid proof.
    proof.verify(&proof::entry_leaf(&entry), &key).context("the server's proof is invalid")?;
    let folder = Folder::create(to.out.as_deref(), what)?;
    folder.write(folder::ENTRY, &entry)?;
    folder.write(folder::LEAF, &proof::leaf_data(&entry))?;
    folder.write_text(folder::EVENT, &format!("{:#}\n", answer["event"]))?;
    folder.write_text(folder::PROOF, &proof.to_string())?;
    folder.write_text(folder::VKEY, &format!("{key}\n"))?;
    folder.write_text(folder::HOW, &folder::how_to_check_an_entry(what, &proof, &key))?;
    folder.done(&format!("{what} is entry {} of {}", proof.index + 1, proof.checkpoint.checkpoint.size))
}

fn consistency(of: &OfConsistency) -> anyhow::Result<()> {
    let read = |file: &PathBuf| {
        let note = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let signed: SignedCheckpoint = note.parse().with_context(|| format!("in {}", file.display()))?;
        anyhow::Ok(signed)
    };
    let old = read(&of.from)?;
    let newer = of.to_checkpoint.as_ref().map(read).transpose()?;
    let keys = of.to.remote.json("/v1/proofs/keys")?;
    let key: VerifierKey = text(&keys, "vkey")?.parse()?;
    let retired = keys.get("retired").and_then(Value::as_array).context("the server's response has no retired keys")?;
    let retired = retired.iter().map(|vkey| Ok(vkey.as_str().unwrap_or_default().parse()?));
    let all: Vec<VerifierKey> = std::iter::once(Ok(key.clone())).chain(retired).collect::<anyhow::Result<_>>()?;
    // Never write an invalid proof, and do not accuse the server because of a checkpoint that it did not sign.
    let signed_here = |signed: &SignedCheckpoint| {
        let (origin, size) = (&signed.checkpoint.origin, signed.checkpoint.size);
        if origin != key.name() {
            bail!("a checkpoint of {size} entries is of {origin}, but the server's log is {}", key.name());
        }
        if !all.iter().any(|key| signed.note.verify(key).is_ok()) {
            bail!("the checkpoint of {size} entries was not signed with any key that the server ever had");
        }
        Ok(())
    };
    signed_here(&old)?;
    newer.as_ref().map_or(Ok(()), signed_here)?;
    let from = old.checkpoint.size;
    let upto = newer.as_ref().map_or(String::new(), |newer| format!("&to={}", newer.checkpoint.size));
    let answer = of.to.remote.json(&format!("/v1/proofs/consistency?from={from}{upto}"))?;
    let new = match newer {
        Some(newer) => newer,
        None => text(&answer, "checkpoint")?.parse()?,
    };
    signed_here(&new)?;
    let hashes = hashes(&answer)?;
    let (before, after) = (&old.checkpoint, &new.checkpoint);
    if !verify_consistency((before.size, &before.root), (after.size, &after.root), &hashes) {
        bail!(
            "the server's journal does not start with the {from} entries that {} covers: it was changed",
            of.from.display()
        );
    }
    let what = format!("consistency {from} {}", after.size);
    let folder = Folder::create(of.to.out.as_deref(), &what)?;
    folder.write_text(folder::OLD_CHECKPOINT, &old.note.to_string())?;
    folder.write_text(folder::CONSISTENCY, &folder::consistency(from, &hashes, &new))?;
    folder.write_text(folder::VKEY, &all.iter().map(|key| format!("{key}\n")).collect::<String>())?;
    folder.write_text(folder::HANDOVERS, text(&keys, "handovers")?)?;
    folder.write_text(folder::HOW, &folder::how_to_check_consistency(&key))?;
    folder.done(&format!("the journal of {} entries starts with those {from} entries", after.size))
}

fn text<'a>(answer: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    answer.get(field).and_then(Value::as_str).with_context(|| format!("the server's response has no {field}"))
}

fn hashes(answer: &Value) -> anyhow::Result<Vec<Hash>> {
    let list = answer.get("hashes").and_then(Value::as_array).context("the server's response has no hashes")?;
    let hash = |value: &Value| STANDARD.decode(value.as_str()?).ok()?.try_into().ok();
    list.iter().map(|value| hash(value).context("the server's response has an invalid hash")).collect()
}
