//! An auditor who has nothing but a vkey and two independent libraries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error, Hash, HashReader as _, Tile, TileHashReader, TileReader, check_record, check_tree, record_hash,
    stored_hash_index, tree_hash,
};

use crate::harness::{Client, Reply};

/// Somebody who was given the key of a log.
pub(super) struct Auditor {
    pub(super) vkey: String,
    /// The first checkpoint that the auditor saw.
    pub(super) first: String,
}

/// Returns the newest checkpoint without verifying it.
pub(super) fn checkpoint(client: &Client) -> Checkpoint {
    let reply = client.get("/v1/proofs/checkpoint");
    assert_eq!(reply.status, 200, "{reply:?}");
    let note = Note::from_bytes(reply.body.as_str().expect("a note").as_bytes()).expect("a note");
    Checkpoint::from_bytes(note.text()).expect("a checkpoint")
}

impl Auditor {
    pub(super) fn new(client: &Client) -> Self {
        let keys = client.get("/v1/proofs/keys").body;
        let vkey = keys["vkey"].as_str().expect("a vkey").to_owned();
        let first = client.get("/v1/proofs/checkpoint").body.as_str().expect("a note").to_owned();
        Self { vkey, first }
    }

    /// Verifies a signed note and returns its checkpoint.
    #[track_caller]
    pub(super) fn open(&self, note: &str) -> Checkpoint {
        open(note, &self.vkey)
    }

    /// Checks the proof of an entry, and returns the entry in readable form.
    #[track_caller]
    pub(super) fn check_entry(&self, reply: &Reply) -> Value {
        assert_eq!(reply.status, 200, "{reply:?}");
        let proof = &reply.body;
        let signed = self.open(proof["checkpoint"].as_str().expect("a note"));
        let hashes = hashes(&proof["hashes"]);
        let entry = STANDARD.decode(proof["entry"].as_str().expect("an entry")).expect("base64");
        let index = proof["index"].as_u64().expect("an index");
        let leaf = record_hash(&sha256(&entry));
        check_record(&hashes, signed.size(), *signed.hash(), index, leaf).expect("the proof holds");
        assert_eq!(proof["sequence"], index + 1);
        assert_eq!(proof["tree_size"], signed.size());
        assert_eq!(proof["leaf_hash"], STANDARD.encode(leaf.0));
        // The response contains the same proof as a single text.
        let text = proof["proof"].as_str().expect("a tlog-proof");
        let lines: String = hashes.iter().map(|hash| format!("{}\n", STANDARD.encode(hash.0))).collect();
        let note = proof["checkpoint"].as_str().expect("a note");
        assert_eq!(text, format!("c2sp.org/tlog-proof@v1\nindex {index}\n{lines}\n{note}"));
        proof["event"].clone()
    }

    /// Checks that the log has only grown since a checkpoint.
    #[track_caller]
    pub(super) fn check_consistency(&self, client: &Client, old: &str) {
        let old = self.open(old);
        let reply = client.get(&format!("/v1/proofs/consistency?from={}", old.size()));
        assert_eq!(reply.status, 200, "{reply:?}");
        let new = self.open(reply.body["checkpoint"].as_str().expect("a note"));
        assert_eq!(
            (new.size(), old.size()),
            (reply.body["to"].as_u64().expect("a size"), reply.body["from"].as_u64().expect("a size"))
        );
        let hashes = hashes(&reply.body["hashes"]);
        check_tree(&hashes, new.size(), *new.hash(), old.size(), *old.hash()).expect("the log only grew");
    }

    /// Reads the tree tile by tile, checks all of it against the root, and checks every leaf against its bundle.
    #[track_caller]
    pub(super) fn check_tiles(&self, client: &Client) {
        let note = client.get("/v1/proofs/checkpoint").body;
        let signed = self.open(note.as_str().expect("a note"));
        let served = Served(client);
        let reader = TileHashReader::new(signed.size(), *signed.hash(), &served);
        assert_eq!(tree_hash(signed.size(), &reader).expect("the tiles are valid"), *signed.hash());
        let indexes: Vec<u64> = (0..signed.size()).map(|leaf| stored_hash_index(0, leaf)).collect();
        let hashes = reader.read_hashes(&indexes).expect("the tiles are valid");
        let mut leaves = Vec::new();
        for first in (0..signed.size()).step_by(256) {
            let width = u32::try_from(256.min(signed.size() - first)).expect("at most 256");
            let path = Tile::new(8, 0, first / 256, width, true).path().replacen("tile/8/data", "tile/entries", 1);
            let mut bundle = &client.bytes(&format!("/v1/proofs/{path}"))[..];
            while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
                let (leaf, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
                leaves.push(record_hash(leaf));
                bundle = rest;
            }
        }
        assert!(leaves == hashes, "the leaves in the bundles equal those in the tree");
    }
}

/// Verifies a note with this key and returns its checkpoint.
#[track_caller]
pub(super) fn open(note: &str, vkey: &str) -> Checkpoint {
    let verifier = StandardVerifier::new(vkey).expect("a vkey");
    let note = Note::from_bytes(note.as_bytes()).expect("a note");
    note.verify(&VerifierList::new(vec![Box::new(verifier)])).expect("the key signed the note");
    let signed = Checkpoint::from_bytes(note.text()).expect("a checkpoint");
    assert_eq!(signed.origin(), vkey.split('+').next().unwrap_or_default());
    signed
}

fn hashes(list: &Value) -> Vec<Hash> {
    let hash = |text: &Value| Hash::parse_hash(text.as_str().expect("text")).expect("a hash");
    list.as_array().expect("a list").iter().map(hash).collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

/// The tiles of a server.
struct Served<'a>(&'a Client);

impl TileReader for Served<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let path = |tile: &Tile| format!("/v1/proofs/{}", tile.path().replacen("tile/8/", "tile/", 1));
        Ok(tiles.iter().map(|tile| self.0.bytes(&path(tile))).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}
