//! The file of the key store.

use types::TenantId;
use vault::{RootKey, Vault};

use crate::{Verdict, check_line};

const TENANT: TenantId = TenantId::new(1);
const ROOT: [u8; 32] = [9; 32];

/// Generates different bytes in every draw, and the same ones in every run.
struct Counting(u64);

impl vault::Random for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            self.0 += 1;
            let drawn = blake3::hash(&self.0.to_le_bytes());
            chunk.iter_mut().zip(drawn.as_bytes()).for_each(|(byte, drawn)| *byte = *drawn);
        }
    }
}

/// A file that opens is cut off where the vault says. New keys can then be added, and rewriting the file preserves all
/// keys.
pub(super) fn key_store(bytes: &[u8]) -> Verdict {
    let root = RootKey::from_bytes(ROOT);
    let mut random = Counting(1 << 32);
    let (mut vault, accepted) = match Vault::open(&root, bytes, &mut random) {
        Ok(opened) => opened,
        Err(error) => return check_line(error),
    };
    let mut file = bytes.get(..accepted).expect("the accepted length is within the file").to_vec();
    let before = vault.subjects();
    let token = vault.token(TENANT, "customer", "somebody new", true, &mut random).expect("there is room");
    file.extend(vault.take_unsaved());
    assert_eq!(vault.subjects(), before + 1, "the new subject has a key");
    for file in [file, vault.compacted()] {
        let (again, accepted) = Vault::open(&root, &file, &mut random).expect("the written file opens");
        assert_eq!((again.subjects(), accepted), (before + 1, file.len()));
        assert_eq!(again.known_token(TENANT, "customer", "somebody new", true), Some(token));
    }
    if accepted == 0 {
        Verdict::Refused("no key in the file was completely saved".to_owned())
    } else {
        Verdict::Accepted
    }
}

pub(super) fn seeds() -> Vec<(String, Vec<u8>)> {
    let root = RootKey::from_bytes(ROOT);
    let mut random = Counting(0);
    let (mut vault, _) = Vault::open(&root, &[], &mut random).expect("an empty store opens");
    for name in ["ann", "bob", "cem"] {
        vault.token(TENANT, "customer", name, true, &mut random).expect("there is room");
    }
    assert!(vault.erase(TENANT, "customer", "bob"), "the key exists");
    let file = vault.take_unsaved();
    let torn = file.get(..file.len() - 60).unwrap_or_default().to_vec();
    vec![("three".to_owned(), file), ("torn".to_owned(), torn), ("rewritten".to_owned(), vault.compacted())]
}
