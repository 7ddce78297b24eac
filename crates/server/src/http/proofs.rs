//! Serves proofs: inclusion of entries, consistency between sizes, checkpoints, keys and tiles.

use std::sync::Arc;

use api::events::Event;
use api::proofs::{ConsistencyProof, EntryProof, ProofKeys};
use api::{ErrorCode, Problem};
use axum::http::header;
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use disk::Directory;
use engine::Entry;
use journal::Fault;
use proof::{Hash, SignedCheckpoint, StoreError, TileOf, TilePath, Tiles, TlogProof};
use types::{Seq, TransferId, shorten};

use crate::Core;
use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, found};
use crate::proofs::Proofs;

pub(crate) async fn of_transfer(call: Call) -> Handled {
    let id: TransferId = call.head.id()?;
    let entry = call.app.core.past(move |history| history.entry_of(id)).await?;
    let absent = || Problem::new(ErrorCode::TransferNotFound, format!("transfer {id} does not exist"));
    call.proof_of(entry.ok_or_else(absent)?).await
}

pub(crate) async fn of_payment(call: Call) -> Handled {
    let (entry, _) = call.app.edge.decision_of(&call.at_the_edge()).await?;
    call.proof_of(entry).await
}

pub(crate) async fn of_entry(call: Call) -> Handled {
    let text = call.head.path_id();
    let sequence = text.parse().ok().filter(|sequence| *sequence > 0 && text.bytes().all(|byte| byte.is_ascii_digit()));
    let sequence: u64 = sequence.ok_or_else(|| {
        let detail = format!("found `{}`, expected the number of an entry, 1 or higher", shorten(text));
        Problem::new(ErrorCode::InvalidParameter, detail).at("sequence")
    })?;
    let entry = call.app.core.entry(Seq::new(sequence)).await?;
    let last = call.app.core.durable();
    let absent = || Problem::new(ErrorCode::EntryNotFound, format!("there is no entry {sequence}, the last is {last}"));
    call.proof_of(entry.ok_or_else(absent)?).await
}

pub(crate) async fn of_consistency(call: Call) -> Handled {
    let proofs = call.proofs()?;
    let given = |name| call.head.parameters.parsed::<u64>(name);
    let (from, to) = (given("from")?, given("to")?);
    let from = from
        .filter(|from| *from > 0)
        .ok_or_else(|| out_of_range("from", "expected a number of entries, 1 or higher"))?;
    let signed = call.covering(&proofs, to.unwrap_or(from).max(from)).await?;
    let to = to.unwrap_or(signed.checkpoint.size);
    if from > to {
        return Err(out_of_range("from", &format!("found {from}, expected at most the newer size, {to}")));
    }
    let ask = move |tiles: &Tiles<Directory>| {
        let hashes = proof::consistency(tiles, from, to)?;
        Ok((hashes, tiles.root_at(from)?.unwrap_or_default(), tiles.root_at(to)?.unwrap_or_default()))
    };
    let vkey = proofs.keys.key.verifier().to_string();
    let (hashes, from_root, to_root) = asked(&call.app.core, proofs, ask).await?;
    Ok(found(&ConsistencyProof {
        from,
        to,
        from_root: STANDARD.encode(from_root),
        to_root: STANDARD.encode(to_root),
        hashes: in_base64(&hashes),
        checkpoint: signed.note.to_string(),
        vkey,
    }))
}

pub(crate) async fn checkpoint(call: Call) -> Handled {
    let proofs = call.proofs()?;
    // The first checkpoint appears within milliseconds of the start; wait for it.
    let signed = call.covering(&proofs, 1).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], signed.note.to_string()).into_response())
}

pub(crate) fn keys(call: &Call) -> Handled {
    let keys = call.proofs()?.keys;
    let vkey = keys.key.verifier();
    Ok(found(&ProofKeys {
        origin: vkey.name().to_owned(),
        vkey: vkey.to_string(),
        retired: keys.retired.iter().map(ToString::to_string).collect(),
        handovers: keys.handovers.clone(),
    }))
}

pub(crate) async fn tile(call: Call) -> Handled {
    const TILE: &str = "/v1/proofs/";
    let proofs = call.proofs()?;
    let path = call.head.path().strip_prefix(TILE).unwrap_or_default();
    let no_tile = |detail: String| Problem::new(ErrorCode::TileNotFound, detail);
    let tile: TilePath = path.parse().map_err(|error: proof::PathError| no_tile(error.to_string()))?;
    let bytes = match tile.of {
        TileOf::Hashes { level } => {
            let ask = move |tiles: &Tiles<Directory>| tiles.tile(level, tile.index, tile.width);
            asked(&call.app.core, proofs, ask).await?.map(|hashes| hashes.as_flattened().to_vec())
        }
        TileOf::Entries => bundle(&call, &proofs, tile).await?,
    };
    let bytes = bytes.ok_or_else(|| no_tile(format!("the tree of the newest checkpoint has no {tile}")))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

/// An entry bundle: each leaf, preceded by its length. The leaves are computed from the journal.
async fn bundle(call: &Call, proofs: &Proofs, tile: TilePath) -> Result<Option<Vec<u8>>, Failure> {
    let first =
        tile.index.checked_mul(256).filter(|first| first.saturating_add(u64::from(tile.width)) <= proofs.tiles.size());
    let Some(first) = first else { return Ok(None) };
    let leaves = call.app.core.leaves(Seq::new(first + 1), usize::from(tile.width)).await?;
    let mut bytes = Vec::with_capacity(leaves.len() * 34);
    for leaf in leaves {
        bytes.extend(32_u16.to_be_bytes());
        bytes.extend(leaf);
    }
    Ok(Some(bytes))
}

fn out_of_range(name: &str, detail: &str) -> Failure {
    Problem::new(ErrorCode::InvalidParameter, detail).at(name).into()
}

fn in_base64(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash)).collect()
}

/// Queries the tree on a blocking thread, because it reads files.
async fn asked<T: Send + 'static>(
    core: &Core,
    proofs: Proofs,
    ask: impl Fn(&Tiles<Directory>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Failure> {
    let asking = core.shared().readers.proofs.run(move |_asker| proofs.ask(ask));
    asking.await.map_err(|panicked| failed(&panicked.to_string()))?.map_err(|error| {
        match &error {
            StoreError::Journal(fault) => core.shared().guard.note_fault(fault),
            StoreError::OtherHistory { first, .. } => changed(core, Seq::new(*first), &error.to_string()),
            StoreError::Io { .. } | StoreError::Damaged { .. } => {}
        }
        failed(&error.to_string())
    })
}

/// Reports an entry that differs from the signed one as damage, even if its checksum matches.
fn changed(core: &Core, seq: Seq, what: &str) {
    let position = core.shared().reader.frame_position(seq);
    let fault = position.map_or_else(|fault| fault, |position| Fault::damaged_at(position, seq, what));
    core.shared().guard.note_fault(&fault);
}

fn failed(error: &str) -> Failure {
    tracing::error!(error, "cannot prove");
    Problem::new(ErrorCode::ProofsFailed, "the proofs cannot be read; the log of the server says why").into()
}

impl Call {
    fn proofs(&self) -> Result<Proofs, Failure> {
        let off = || Problem::new(ErrorCode::ProofsOff, "the server was started with --proofs off");
        Ok(self.app.core.proofs().cloned().ok_or_else(off)?)
    }

    /// A checkpoint of at least `size` entries. It waits briefly for recently written entries, and does not wait for a size that
    /// the journal has not reached.
    async fn covering(&self, proofs: &Proofs, size: u64) -> Result<Arc<SignedCheckpoint>, Failure> {
        let last = self.app.core.durable();
        if size > last.get() {
            let detail = format!("there is no entry {size}, the last is {last}");
            return Err(Problem::new(ErrorCode::EntryNotFound, detail).into());
        }
        let behind = || {
            let detail = format!("{} entries are not covered yet", proofs.lag());
            Problem::new(ErrorCode::ProofsBehind, detail)
        };
        Ok(proofs.covering(size).await.ok_or_else(behind)?)
    }

    async fn proof_of(&self, entry: Entry) -> Handled {
        let proofs = self.proofs()?;
        let sequence = entry.header.seq.get();
        let signed = self.covering(&proofs, sequence).await?;
        let (index, tree_size) = (sequence - 1, signed.checkpoint.size);
        let vkey = proofs.keys.key.verifier().to_string();
        let hashes = asked(&self.app.core, proofs, move |tiles| proof::inclusion(tiles, index, tree_size)).await?;
        let canonical = journal::canonical(&entry);
        let leaf = proof::entry_leaf(&canonical);
        if !proof::verify_inclusion(&leaf, (index, tree_size), &hashes, &signed.checkpoint.root) {
            let what = format!("entry {sequence} is not the one that was signed: the journal was changed");
            changed(&self.app.core, entry.header.seq, &what);
            return Err(failed(&what));
        }
        let event = Event::new(&self.app.core.in_context(entry).await?, self.app.history())?;
        let proof = TlogProof { index, hashes, checkpoint: SignedCheckpoint::clone(&signed) };
        Ok(found(&EntryProof {
            sequence,
            index,
            tree_size,
            entry: STANDARD.encode(&canonical),
            leaf_hash: STANDARD.encode(leaf),
            hashes: in_base64(&proof.hashes),
            checkpoint: signed.note.to_string(),
            proof: proof.to_string(),
            vkey,
            event,
        }))
    }
}
