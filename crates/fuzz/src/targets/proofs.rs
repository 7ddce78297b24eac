//! Signed notes, checkpoints, proofs and tile paths from others.

use std::convert::Infallible;

use proof::{Checkpoint, Hash, Nodes, Note, SignedCheckpoint, SigningKey, TilePath, TlogProof, VerifierKey};

use super::texts::stable;
use crate::Verdict;

const LOG: &str = "finaira.example/attacked";
const LEAVES: u64 = 11;
const PROVED: u64 = 6;

/// The tree that the proofs belong to.
struct Leaves;

fn leaf(index: u64) -> Hash {
    proof::leaf_of(&index.to_le_bytes())
}

impl Nodes for Leaves {
    type Error = Infallible;

    fn node(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let Some(below) = level.checked_sub(1) else { return Ok(leaf(index)) };
        Ok(proof::node_of(&self.node(below, 2 * index)?, &self.node(below, 2 * index + 1)?))
    }
}

fn key() -> SigningKey {
    SigningKey::new(LOG, &[3; 32]).expect("the name is a valid key name")
}

fn checkpoint() -> Checkpoint {
    let mut tree = proof::Tree::new();
    (0..LEAVES).for_each(|index| tree.push(leaf(index)));
    Checkpoint { origin: LOG.to_owned(), size: LEAVES, root: tree.root(), extensions: vec!["more".to_owned()] }
}

/// Parsed values are written back unchanged, and no input proves anything that is not true.
pub(super) fn proof(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::no_input() };
    let verifier = key().verifier().clone();
    if let Ok(signed) = SignedCheckpoint::open(text, &verifier) {
        assert_eq!(signed.checkpoint, checkpoint(), "only one checkpoint was ever signed");
    }
    if let Ok(proof) = text.parse::<TlogProof>() {
        for index in 0..LEAVES {
            let proves = proof.verify(&leaf(index), &verifier).is_ok();
            assert!(!proves || proof.index == index, "leaf {index} is not number {}", proof.index);
        }
    }
    let verdicts =
        [stable::<TlogProof>(text), stable::<Note>(text), stable::<VerifierKey>(text), stable::<TilePath>(text)];
    let accepted = verdicts.contains(&Verdict::Accepted);
    if accepted {
        Verdict::Accepted
    } else {
        Verdict::Refused("the text is not a note, a proof or a tile path".to_owned())
    }
}

pub(super) fn seeds() -> Vec<(String, Vec<u8>)> {
    let key = key();
    let checkpoint = checkpoint().sign(&[&key]);
    let Ok(hashes) = proof::inclusion(&Leaves, PROVED, LEAVES);
    let proof = TlogProof { index: PROVED, hashes, checkpoint: checkpoint.clone() };
    assert_eq!(proof.verify(&leaf(PROVED), key.verifier()), Ok(()), "the proof in the seed is valid");
    let witnessed =
        format!("{}\u{2014} witness.example/w AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", checkpoint.note);
    let texts = [
        ("checkpoint", checkpoint.note.to_string()),
        ("witnessed", witnessed),
        ("proof", proof.to_string()),
        ("key", key.verifier().to_string()),
        ("tile", "tile/1/x001/x234/067.p/12".to_owned()),
        ("entries", "tile/entries/000".to_owned()),
    ];
    texts.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes())).collect()
}
