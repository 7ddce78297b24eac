//! Checks both directions against the independent crates `tlog_tiles` and `signed_note`: they read our output, and we
//! read theirs.

use disk::Directory;
use proof::{
    Checkpoint, SignedCheckpoint, SigningKey, TileOf, TilePath, Tiles, VerifierKey, consistency, inclusion, leaf_of,
    verify_consistency, verify_inclusion,
};
use signed_note::{StandardVerifier, VerifierList};
use tlog_tiles::{
    Hash, HashReader as _, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree,
    record_hash, stored_hash_index, tree_hash,
};

use super::{checkpoint, directory, leaves, store};

/// Serves tiles by their paths, as an HTTP server would.
struct Served<'a>(&'a Tiles<Directory>);

impl TileReader for Served<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            // The paths of `tlog_tiles` contain the tile height.
            let path: TilePath = tile.path().replacen("tile/8/", "tile/", 1).parse().unwrap();
            let TileOf::Hashes { level } = path.of else { panic!("{path} is not a tile of hashes") };
            let hashes = self.0.tile(level, path.index, path.width).unwrap().unwrap();
            hashes.as_flattened().to_vec()
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn tlog_tiles_accepts_our_tiles_and_creates_the_same_proofs() {
    let (_path, directory) = directory();
    // There are more than 256 full tiles at the lowest level, so three levels have hashes.
    let size = 65_536 + 2_000 + 77;
    let store = store(&directory, size);
    let tiles = store.tiles();
    let all = leaves(0..size);
    for size in [1, 2, 255, 256, 257, 40_000, 65_535, 65_536, 65_537, size] {
        let root = tiles.root_at(size).unwrap().unwrap();
        let served = Served(&tiles);
        let reader = TileHashReader::new(size, Hash(root), &served);
        // The reader verifies every tile against the root.
        assert_eq!(tree_hash(size, &reader).unwrap(), Hash(root));
        for index in [0, 1, size / 3, size / 2, size - 1].into_iter().filter(|index| *index < size) {
            let leaf = all[usize::try_from(index).unwrap()];
            let found = reader.read_hashes(&[stored_hash_index(0, index)]).unwrap();
            assert_eq!(found, [Hash(leaf)], "leaf {index} of {size}");
            let ours: Vec<Hash> = inclusion(&tiles, index, size).unwrap().into_iter().map(Hash).collect();
            let theirs = prove_record(size, index, &reader).unwrap();
            assert_eq!(ours, theirs, "leaf {index} of {size}");
            check_record(&ours, size, Hash(root), index, Hash(leaf)).unwrap();
            let theirs: Vec<_> = theirs.into_iter().map(|hash| hash.0).collect();
            assert!(verify_inclusion(&leaf, (index, size), &theirs, &root));

            let (old, old_root) = (index + 1, tiles.root_at(index + 1).unwrap().unwrap());
            let ours: Vec<Hash> = consistency(&tiles, old, size).unwrap().into_iter().map(Hash).collect();
            let theirs = prove_tree(size, old, &reader).unwrap();
            assert_eq!(ours, theirs, "{old} to {size}");
            check_tree(&ours, size, Hash(root), old, Hash(old_root)).unwrap();
            let theirs: Vec<_> = theirs.into_iter().map(|hash| hash.0).collect();
            assert!(verify_consistency((old, &old_root), (size, &root), &theirs));
        }
    }
    assert_eq!(tiles.root_at(size).unwrap(), Some(store.root()));
}

#[test]
fn tlog_tiles_hashes_leaves_the_same() {
    for data in [&b""[..], b"a", &[7; 32], &[9; 300]] {
        assert_eq!(record_hash(data).0, leaf_of(data));
    }
}

#[test]
fn tlog_tiles_names_tiles_the_same() {
    let indexes = [0, 7, 999, 1_000, 1_001, 123_456, 999_999, 1_000_000, 1_234_067, 98_765_432_109];
    for (index, width) in indexes.into_iter().flat_map(|index| [1_u16, 8, 255, 256].map(|width| (index, width))) {
        for level in 0..3 {
            let theirs = Tile::new(8, level, index, u32::from(width), false).path().replacen("tile/8/", "tile/", 1);
            let ours = TilePath { of: TileOf::Hashes { level }, index, width };
            assert_eq!(ours.to_string(), theirs);
            assert_eq!(theirs.parse(), Ok(ours));
        }
        let theirs = Tile::new(8, 0, index, u32::from(width), true).path().replacen("tile/8/data", "tile/entries", 1);
        assert_eq!(TilePath { of: TileOf::Entries, index, width }.to_string(), theirs);
    }
    assert_eq!("tile/0/x001/x234/067.p/8".parse::<TilePath>().unwrap().index, 1_234_067);
}

fn key(seed: u8) -> SigningKey {
    SigningKey::new("finaira/test", &[seed; 32]).unwrap()
}

fn known(keys: &[&VerifierKey]) -> VerifierList {
    VerifierList::new(keys.iter().map(|key| Box::new(StandardVerifier::new(&key.to_string()).unwrap()) as _).collect())
}

#[test]
fn signed_note_verifies_our_checkpoints() {
    let (_path, directory) = directory();
    let store = store(&directory, 1_000);
    let signed = checkpoint(&store).sign(&[&key(1), &key(2)]).note.to_string();
    let note = signed_note::Note::from_bytes(signed.as_bytes()).unwrap();
    let (verified, unverified) = note.verify(&known(&[key(1).verifier()])).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 1));
    assert_eq!(note.verify(&known(&[key(1).verifier(), key(2).verifier()])).unwrap().0.len(), 2);
    assert!(note.verify(&known(&[key(3).verifier()])).is_err());
    let read = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((read.origin(), read.size(), read.hash().0), ("finaira/test", 1_000, store.root()));
    assert_eq!(note.to_bytes(), signed.as_bytes());
}

#[test]
fn we_read_checkpoints_of_signed_note() {
    let body = tlog_tiles::Checkpoint::new("finaira/test", 42, Hash([7; 32]), "an extension\n").unwrap();
    let mut note = signed_note::Note::new(&body.to_bytes(), &[]).unwrap();
    let secret = {
        use base64::Engine as _;
        let seed = [&[1][..], &[9; 32]].concat();
        let encoded = base64::engine::general_purpose::STANDARD.encode(seed);
        format!("PRIVATE+KEY+finaira/test+{:08x}+{encoded}", key(9).verifier().id())
    };
    let signer = signed_note::StandardSigner::new(&secret).unwrap();
    note.add_sigs(&[&signer]).unwrap();
    let text = String::from_utf8(note.to_bytes()).unwrap();
    let read = SignedCheckpoint::open(&text, key(9).verifier()).unwrap();
    let extensions = vec!["an extension".to_owned()];
    let expected = Checkpoint { origin: "finaira/test".to_owned(), size: 42, root: [7; 32], extensions };
    assert_eq!(read.checkpoint, expected);
    // Ed25519 is deterministic: the same key and text give the same signature.
    assert_eq!(expected.sign(&[&key(9)]).note.to_string(), text);
}
