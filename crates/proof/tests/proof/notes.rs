//! Notes, keys, checkpoints and proofs as text: what is accepted and what is rejected.

use proof::{Checkpoint, Note, SignedCheckpoint, SigningKey, TilePath, TlogProof, VerifierKey, inclusion, leaf_of};

use super::{checkpoint, directory, store};

fn key(seed: u8) -> SigningKey {
    SigningKey::new("finaira/test", &[seed; 32]).unwrap()
}

fn signed() -> String {
    let checkpoint = Checkpoint { origin: "finaira/test".into(), size: 3, root: [5; 32], extensions: Vec::new() };
    checkpoint.sign(&[&key(1)]).note.to_string()
}

/// The example in the documentation of `golang.org/x/mod/sumdb/note`.
#[test]
fn a_known_note_is_verified() {
    let key: VerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    let signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
    let note: Note = format!("{text}\n\u{2014} PeterNeumann {signature}\n").parse().unwrap();
    assert_eq!(note.verify(&key), Ok(text));
    assert_eq!(key.to_string(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    let other: Note = format!("{}\n\u{2014} PeterNeumann {signature}\n", text.replace("your", "our")).parse().unwrap();
    assert_eq!(other.verify(&key).unwrap_err().to_string(), "the signature of PeterNeumann does not match the text");
}

#[test]
fn every_flipped_bit_of_a_checkpoint_is_detected() {
    let signed = signed();
    assert!(SignedCheckpoint::open(&signed, key(1).verifier()).is_ok());
    for bit in 0..signed.len() * 8 {
        let mut bytes = signed.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let accepted =
            String::from_utf8(bytes).is_ok_and(|text| SignedCheckpoint::open(&text, key(1).verifier()).is_ok());
        assert!(!accepted, "bit {bit}");
    }
    for end in 0..signed.len() {
        let cut = signed.get(..end).unwrap_or_default();
        assert!(SignedCheckpoint::open(cut, key(1).verifier()).is_err(), "{end} bytes");
    }
}

#[test]
fn signatures_of_witnesses_are_kept() {
    let cosigned = format!("{}\u{2014} witness.example/1 AAAAAQEBAQEBAQEBAQ==\n", signed());
    let read = SignedCheckpoint::open(&cosigned, key(1).verifier()).unwrap();
    assert_eq!(read.note.signatures().len(), 2);
    assert_eq!(read.note.signatures()[1].name, "witness.example/1");
    assert_eq!(read.note.to_string(), cosigned);
}

#[track_caller]
fn refuses(note: &str, expected: &str) {
    assert_eq!(SignedCheckpoint::open(note, key(1).verifier()).unwrap_err().to_string(), expected);
}

#[test]
fn an_invalid_checkpoint_is_rejected_with_the_reason() {
    let other = Checkpoint { origin: "another/log".into(), size: 3, root: [5; 32], extensions: Vec::new() };
    refuses("hello\n", "not a signed note: there is no empty line before the signatures");
    refuses("hello\n\nhello\n", "not a signed note: a signature line is malformed");
    refuses(&signed().replace("\n\n", "\n\u{1}\n\n"), "not a signed note: the text contains control characters");
    refuses(&other.clone().sign(&[&key(2)]).note.to_string(), "the note is not signed by finaira/test");
    refuses(
        &other.sign(&[&key(1)]).note.to_string(),
        "the checkpoint is of another/log, but the key is for finaira/test",
    );
    refuses(&signed().replace("\n3\n", "\n4\n"), "the signature of finaira/test does not match the text");
    refuses(&signed().replace("\n3\n", "\n03\n"), "not a checkpoint: the second line is not a number of entries");
    refuses(&signed().replace("\n3\n", "\n+3\n"), "not a checkpoint: the second line is not a number of entries");
    refuses(&signed().replace("BQUF", "BQU"), "not a checkpoint: the third line is not a hash of 32 bytes in base64");
}

#[test]
fn an_invalid_vkey_is_rejected() {
    let vkey = key(1).verifier().to_string();
    assert_eq!(vkey.parse::<VerifierKey>().as_ref(), Ok(key(1).verifier()));
    let refused = |text: &str| text.parse::<VerifierKey>().unwrap_err().to_string();
    let form = "not a verifier key; expected <name>+<8 hex digits>+<base64 of 33 bytes>";
    assert_eq!(refused(""), form);
    assert_eq!(refused("finaira/test"), form);
    assert_eq!(refused(&vkey.replace("finaira", "fina ira")), form);
    assert_eq!(refused(vkey.trim_end_matches('=').get(..vkey.len() - 4).unwrap()), form);
    assert!(refused(&vkey.replace("finaira", "finaire")).starts_with("the key id is "));
    assert_eq!(SigningKey::new("a b", &[0; 32]).map(|key| key.verifier().clone()), None);
}

#[test]
fn a_proof_survives_a_round_trip_and_proves_one_leaf() {
    let (_path, directory) = directory();
    let store = store(&directory, 700);
    let checkpoint = checkpoint(&store).sign(&[&key(1)]);
    let proof = TlogProof { index: 300, hashes: inclusion(&store.tiles(), 300, 700).unwrap(), checkpoint };
    let text = proof.to_string();
    let read: TlogProof = text.parse().unwrap();
    assert_eq!(read, proof);
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 300\n"));
    assert_eq!(read.verify(&leaf_of(&300_u64.to_le_bytes()), key(1).verifier()), Ok(()));
    let other = read.verify(&leaf_of(&301_u64.to_le_bytes()), key(1).verifier()).unwrap_err();
    assert_eq!(
        other.to_string(),
        "the proof does not show that this entry is number 300 of the 700 entries that the checkpoint covers"
    );
    assert!(read.verify(&leaf_of(&300_u64.to_le_bytes()), key(2).verifier()).is_err());
    let extra = text.replacen("\nindex", "\nextra YQ==\nindex", 1);
    assert_eq!(extra.parse::<TlogProof>().unwrap(), proof);
    for (wrong, why) in [
        (text.replacen("@v1", "@v2", 1), "not a tlog-proof: the first line is not c2sp.org/tlog-proof@v1"),
        (text.replacen("index 300", "index x", 1), "not a tlog-proof: the index line is missing"),
        (text.replacen("=\n", "\n", 1), "not a tlog-proof: a line is not a hash of 32 bytes in base64"),
    ] {
        assert_eq!(wrong.parse::<TlogProof>().unwrap_err().to_string(), why);
    }
}

#[test]
fn an_invalid_tile_path_is_rejected() {
    for path in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/1",
        "tile/0/0001",
        "tile/8/000",
        "tile/-1/000",
        "tile/00/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001/x002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/",
        "tile/0/000.p/01",
        "tile/data/000",
        "tile/0/+01",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "/tile/0/000",
    ] {
        assert!(path.parse::<TilePath>().is_err(), "{path}");
    }
}
