//! Tests what the vault promises, on whole stores.

use std::collections::BTreeMap;

use proptest::prelude::*;
use types::{Digest, Sealed, TenantId, Token};

use crate::log::{HEADER_BYTES, RECORD_BYTES};
use crate::{Error, Full, OpenedPart, Part, Random, RootKey, UnsealError, Vault};

const ONE: TenantId = TenantId::new(1);
const TWO: TenantId = TenantId::new(2);

/// A reproducible stand-in for the operating system's generator.
struct Seeded(blake3::OutputReader);

impl Seeded {
    fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new_derive_key("vault tests").update(&seed.to_le_bytes()).finalize_xof())
    }
}

impl Random for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

/// A vault with its file and its source of randomness.
struct Store {
    vault: Vault,
    file: Vec<u8>,
    random: Seeded,
}

impl Store {
    fn new() -> Self {
        let mut random = Seeded::new(1);
        let (vault, accepted) = Vault::open(&root(), &[], &mut random).unwrap();
        assert_eq!(accepted, 0);
        Self { vault, file: Vec::new(), random }
    }

    fn token(&mut self, tenant: TenantId, kind: &str, value: &str) -> Token {
        self.vault.token(tenant, kind, value, true, &mut self.random).unwrap()
    }

    fn seal(&mut self, subject: Option<(&str, &str)>, context: &str, text: &str) -> Sealed {
        self.vault.seal(ONE, subject, context.as_bytes(), text.as_bytes(), &mut self.random).unwrap()
    }

    fn unseal(&self, context: &str, sealed: &Sealed) -> Result<String, UnsealError> {
        let bytes = self.vault.unseal(ONE, context.as_bytes(), sealed)?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    fn save(&mut self) {
        self.file.extend(self.vault.take_unsaved());
    }

    /// Saves everything and opens the file again, as after a clean stop.
    #[track_caller]
    fn reopen(mut self) -> Self {
        self.save();
        let (vault, accepted) = Vault::open(&root(), &self.file, &mut self.random).unwrap();
        assert_eq!(accepted, self.file.len());
        Self { vault, ..self }
    }
}

fn root() -> RootKey {
    RootKey::from_bytes([9; 32])
}

fn open(file: &[u8]) -> Result<(Vault, usize), Error> {
    Vault::open(&root(), file, &mut Seeded::new(2))
}

/// A file with three subjects, one of them erased: four records.
fn sample() -> Vec<u8> {
    let mut store = Store::new();
    for value in ["ann", "bob", "cid"] {
        store.token(ONE, "customer", value);
    }
    assert!(store.vault.erase(ONE, "customer", "bob"));
    store.save();
    store.file
}

#[test]
fn a_token_stands_for_one_value_of_one_kind_of_one_tenant() {
    let mut store = Store::new();
    let occurrences =
        [(ONE, "customer", "ann"), (TWO, "customer", "ann"), (ONE, "device", "ann"), (ONE, "customer", "anna")];
    // Without the boundary between kind and value, these would be hashed alike.
    let occurrences = occurrences.into_iter().chain([(ONE, "customera", "nn"), (ONE, "", ""), (ONE, "customer", "")]);
    let mut seen = Vec::new();
    for (tenant, kind, value) in occurrences {
        for personal in [false, true] {
            let Store { vault, random, .. } = &mut store;
            assert_eq!(vault.known_token(tenant, kind, value, personal).is_none(), personal);
            let token = vault.token(tenant, kind, value, personal, random).unwrap();
            assert_eq!(vault.token(tenant, kind, value, personal, random), Ok(token));
            assert_eq!(vault.known_token(tenant, kind, value, personal), Some(token));
            assert!(!seen.contains(&token), "{tenant} {kind} {value}");
            seen.push(token);
        }
    }
    assert_eq!(store.vault.subjects(), 7, "only personal values have keys");
}

#[test]
fn two_stores_give_one_value_two_tokens() {
    let (mut mine, mut other) = (Store::new(), Store::new());
    other.random = Seeded::new(3);
    other.vault = Vault::open(&root(), &[], &mut other.random).unwrap().0;
    for personal in [true, false] {
        let token = mine.vault.token(ONE, "card", "4711", personal, &mut mine.random);
        assert_ne!(token, other.vault.token(ONE, "card", "4711", personal, &mut other.random));
    }
    assert_ne!(mine.vault.request_hash(ONE, b"pay"), other.vault.request_hash(ONE, b"pay"));
}

#[test]
fn a_request_hash_depends_on_tenant_and_request() {
    let vault = Store::new().vault;
    assert_eq!(vault.request_hash(ONE, b"pay"), vault.request_hash(ONE, b"pay"));
    assert_ne!(vault.request_hash(ONE, b"pay"), vault.request_hash(TWO, b"pay"));
    assert_ne!(vault.request_hash(ONE, b"pay"), vault.request_hash(ONE, b"pay "));
    assert_ne!(vault.request_hash(ONE, b"pay"), Digest::of(b"pay"));
}

#[test]
fn sealed_data_opens_in_its_place_only() {
    let mut store = Store::new();
    for subject in [None, Some(("customer", "ann"))] {
        let sealed = store.seal(subject, "payment 1 email", "ann@example.org");
        assert_eq!(store.unseal("payment 1 email", &sealed), Ok("ann@example.org".to_owned()));
        assert_eq!(store.unseal("payment 2 email", &sealed), Err(UnsealError::Damaged));
        let elsewhere = store.vault.unseal(TWO, b"payment 1 email", &sealed);
        assert_eq!(elsewhere, Err(UnsealError::KeyErased(sealed.keys[0])), "another tenant has no such key");
        let again = store.seal(subject, "payment 1 email", "ann@example.org");
        assert_ne!(again.ciphertext, sealed.ciphertext, "equal plaintexts do not show");
        assert_eq!(again.keys, sealed.keys);
    }
}

#[test]
fn every_changed_bit_of_sealed_data_is_noticed() {
    let mut store = Store::new();
    let sealed = store.seal(Some(("customer", "ann")), "c", "hello");
    for bit in 0..sealed.ciphertext.len() * 8 {
        let mut changed = sealed.clone();
        changed.ciphertext[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(store.unseal("c", &changed), Err(UnsealError::Damaged), "bit {bit}");
    }
    for bytes in 0..sealed.ciphertext.len() {
        let cut = Sealed { ciphertext: sealed.ciphertext[..bytes].into(), ..sealed.clone() };
        assert_eq!(store.unseal("c", &cut), Err(UnsealError::Damaged), "{bytes} bytes");
    }
    for keys in [vec![], vec![sealed.keys[0]; 2]] {
        assert_eq!(store.unseal("c", &Sealed { keys, ..sealed.clone() }), Err(UnsealError::Damaged));
    }
}

#[test]
fn erasing_unlinks_a_subject_for_good() {
    let mut store = Store::new();
    let old = store.token(ONE, "customer", "ann");
    let other = store.token(TWO, "customer", "ann");
    let sealed = store.seal(Some(("customer", "ann")), "c", "hello");
    let kept = store.seal(None, "c", "kept");

    assert!(store.vault.erase(ONE, "customer", "ann"));
    assert!(!store.vault.erase(ONE, "customer", "ann"), "it is gone already");
    assert!(!store.vault.erase(ONE, "customer", "bob"), "it never was there");
    for reopened in [false, true] {
        assert_eq!(store.vault.known_token(ONE, "customer", "ann", true), None);
        assert_eq!(store.unseal("c", &sealed), Err(UnsealError::KeyErased(sealed.keys[0])));
        assert_eq!(store.unseal("c", &kept), Ok("kept".to_owned()));
        assert_eq!(store.vault.known_token(TWO, "customer", "ann", true), Some(other));
        if !reopened {
            store = store.reopen();
        }
    }
    assert_ne!(store.token(ONE, "customer", "ann"), old);
    let again = store.seal(Some(("customer", "ann")), "c", "hello");
    assert_ne!(again.keys, sealed.keys, "the name of the key does not link the two either");
    assert_eq!(store.unseal("c", &sealed), Err(UnsealError::KeyErased(sealed.keys[0])));
}

#[test]
fn a_compacted_file_has_the_live_keys_and_nothing_of_the_erased_ones() {
    let mut store = Store::new();
    let (ann, _, cid) = (store.token(ONE, "c", "ann"), store.token(ONE, "c", "bob"), store.token(ONE, "c", "cid"));
    store.vault.erase(ONE, "c", "bob");
    store.save();
    assert_eq!(store.file.len(), HEADER_BYTES + 4 * RECORD_BYTES);

    store.file = store.vault.compacted();
    assert_eq!(store.file.len(), HEADER_BYTES + 2 * RECORD_BYTES);
    // The vault that stayed open and one that reads the new file continue alike.
    let dan = store.token(ONE, "c", "dan");
    store = store.reopen();
    assert_eq!(store.vault.subjects(), 3);
    for (value, token) in [("ann", Some(ann)), ("bob", None), ("cid", Some(cid)), ("dan", Some(dan))] {
        assert_eq!(store.vault.known_token(ONE, "c", value, true), token, "{value}");
    }
    assert_eq!(store.vault.compacted(), store.vault.compacted());
}

#[test]
#[should_panic(expected = "VLT-1")]
fn a_store_with_unsaved_records_is_not_compacted() {
    Store::new().vault.compacted();
}

#[test]
fn a_full_store_makes_no_more_keys_and_serves_the_ones_it_has() {
    let mut store = Store::new();
    store.vault.set_subjects_max(1);
    let ann = store.token(ONE, "c", "ann");
    store.save();
    let full = Err(Full { subjects_max: 1 });
    assert_eq!(store.vault.token(ONE, "c", "bob", true, &mut store.random), full);
    assert_eq!(store.vault.seal(ONE, Some(("c", "bob")), b"", b"", &mut store.random).map(|_| ann), full);
    assert_eq!(store.vault.take_unsaved(), [], "what was refused leaves no record");
    assert_eq!(store.token(ONE, "c", "ann"), ann);
    assert!(store.vault.token(ONE, "c", "bob", false, &mut store.random).is_ok());
    store.vault.erase(ONE, "c", "ann");
    assert_ne!(store.token(ONE, "c", "bob"), ann);
}

#[test]
fn the_file_is_useless_without_its_root_key() {
    let opened = Vault::open(&RootKey::from_bytes([8; 32]), &sample(), &mut Seeded::new(2));
    assert_eq!(opened.map(drop), Err(Error::RootKey));
}

#[test]
fn other_files_are_refused() {
    let mut newer = sample();
    newer[8] = 2;
    let mut blank_start = sample();
    blank_start[..8].fill(0);
    let cases: [(&[u8], Error); 4] = [
        (b"{}", Error::NotAKeyStore),
        (&[7; 500], Error::NotAKeyStore),
        (&blank_start, Error::NotAKeyStore),
        (&newer, Error::Version(2)),
    ];
    for (file, error) in cases {
        assert_eq!(open(file).map(drop), Err(error));
    }
}

#[test]
fn every_truncation_cuts_the_torn_record_and_invents_nothing() {
    let file = sample();
    for bytes in 0..=file.len() {
        let (mut vault, accepted) = open(&file[..bytes]).unwrap();
        let records = bytes.saturating_sub(HEADER_BYTES) / RECORD_BYTES;
        let whole = if bytes < HEADER_BYTES { 0 } else { HEADER_BYTES + records * RECORD_BYTES };
        assert_eq!(accepted, whole, "cut at {bytes}");
        assert_eq!(vault.subjects(), [0, 1, 2, 3, 2][records], "cut at {bytes}");
        assert_eq!(vault.take_unsaved().is_empty(), whole > 0, "a header is written when there was none");
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let file = sample();
    for at in 0..file.len() {
        for change in [1, 0x80, 0xff, file[at]] {
            let mut changed = file.clone();
            changed[at] ^= change;
            if changed == file {
                continue;
            }
            let error = open(&changed).map(drop).unwrap_err();
            match at {
                0..8 => assert_eq!(error, Error::NotAKeyStore),
                8..12 => assert!(matches!(error, Error::Version(_))),
                _ => assert_eq!(error, Error::Damaged { offset: at / RECORD_BYTES * RECORD_BYTES }),
            }
        }
    }
}

#[test]
fn an_end_that_was_never_filled_is_cut_and_written_again() {
    let file = sample();
    for filled in 0..file.len() {
        let mut torn = file.clone();
        torn[filled..].fill(0);
        torn.resize(file.len() + 1000, 0);
        // A part whose tag was written is whole or damaged. No tag in this sample ends in zeros.
        let accepted = match open(&torn) {
            Ok((_, accepted)) => accepted,
            Err(error) => {
                let start = filled / RECORD_BYTES * RECORD_BYTES;
                assert!(filled - start > RECORD_BYTES - 16, "filled up to {filled}");
                assert_eq!(error, Error::Damaged { offset: start });
                continue;
            }
        };
        assert_eq!(accepted, filled / RECORD_BYTES * RECORD_BYTES, "filled up to {filled}");
    }
}

#[test]
fn records_cannot_be_left_out_repeated_or_exchanged() {
    let file = sample();
    let record = |number: usize| &file[HEADER_BYTES + number * RECORD_BYTES..][..RECORD_BYTES];
    let of = |numbers: &[usize]| {
        let records: Vec<&[u8]> = numbers.iter().map(|&number| record(number)).collect();
        [&file[..HEADER_BYTES], &records.concat()].concat()
    };
    assert!(open(&of(&[0, 1, 2, 3])).is_ok());
    for (numbers, at) in [(&[1, 2, 3][..], 0), (&[0, 2, 3], 1), (&[0, 0, 1, 2, 3], 1), (&[0, 2, 1, 3], 1)] {
        let offset = HEADER_BYTES + at * RECORD_BYTES;
        assert_eq!(open(&of(numbers)).map(drop), Err(Error::Damaged { offset }), "{numbers:?}");
    }
}

#[test]
fn version_1_is_pinned() {
    let mut store = Store::new();
    let personal = store.token(ONE, "customer", "ann");
    let shared = store.vault.token(ONE, "merchant", "acme", false, &mut store.random).unwrap();
    let sealed = store.seal(Some(("customer", "ann")), "payment 1", "ann@example.org");
    store.vault.erase(ONE, "customer", "ann");
    store.save();
    let pinned = [
        Digest::of(&store.file).to_string(),
        personal.to_string(),
        shared.to_string(),
        store.vault.request_hash(ONE, b"pay").to_string(),
        sealed.keys[0].to_string(),
        Digest::of(&sealed.ciphertext).to_string(),
    ];
    let expected = [
        "b6728bd6f11606fca35b367d88bc3c0f40de9178b9183b3838b0658d41ab08e1",
        "0f7d67fa-6e93-6179-1025-bb32e510757f",
        "d960c353-bf3c-c652-8824-d14c52235c7f",
        "11659d0d98d97d0c69256a52b34710db8a4364dbf787531b473a9b9013cf71d5",
        "cf81662b-facf-a4d5-7a11-210605dd3383",
        "c862f8732477165e29b6211ecf0bfc4406bd0bd0118a1861608cf48ac1b50326",
    ];
    assert_eq!(pinned, expected, "files of version 1 exist: a change here needs a version 2");
}

#[derive(Debug, Clone)]
enum Step {
    Token(u32, String),
    Seal(u32, String),
    Erase(u32, String),
    Save,
    Compact,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let value = || (1..3_u32, "[a-e]");
    prop_oneof![
        4 => value().prop_map(|(tenant, value)| Step::Token(tenant, value)),
        2 => value().prop_map(|(tenant, value)| Step::Seal(tenant, value)),
        2 => value().prop_map(|(tenant, value)| Step::Erase(tenant, value)),
        2 => Just(Step::Save),
        1 => Just(Step::Compact),
        1 => Just(Step::Crash),
    ]
}

/// What a vault must know, in a simple form: tokens by tenant and value, sealed data by what sealed it.
#[derive(Debug, Clone, Default)]
struct Model {
    tokens: BTreeMap<(u32, String), Token>,
    sealed: Vec<(u32, String, Token, Sealed)>,
}

impl Model {
    fn assert_describes(&self, vault: &Vault) {
        assert_eq!(vault.subjects(), self.tokens.len());
        for ((tenant, value), token) in &self.tokens {
            assert_eq!(vault.known_token(TenantId::new(*tenant), "c", value, true), Some(*token));
        }
        for (tenant, value, token, sealed) in &self.sealed {
            let opened = vault.unseal(TenantId::new(*tenant), b"ctx", sealed);
            if self.tokens.get(&(*tenant, value.clone())) == Some(token) {
                assert_eq!(opened, Ok(value.as_bytes().to_vec()));
            } else {
                assert_eq!(opened, Err(UnsealError::KeyErased(sealed.keys[0])));
            }
        }
    }
}

proptest! {
    #[test]
    fn a_vault_knows_what_was_saved_whatever_happened_since(steps in prop::collection::vec(step(), 0..40)) {
        let mut store = Store::new();
        store.save();
        let (mut model, mut saved) = (Model::default(), Model::default());
        for step in steps {
            let Store { vault, random, .. } = &mut store;
            match step {
                Step::Token(tenant, value) => {
                    let token = vault.token(TenantId::new(tenant), "c", &value, true, random).unwrap();
                    prop_assert_eq!(*model.tokens.entry((tenant, value)).or_insert(token), token);
                }
                Step::Seal(number, value) => {
                    let (tenant, subject) = (TenantId::new(number), Some(("c", value.as_str())));
                    let sealed = vault.seal(tenant, subject, b"ctx", value.as_bytes(), random).unwrap();
                    let token = vault.known_token(tenant, "c", &value, true).unwrap();
                    prop_assert_eq!(*model.tokens.entry((number, value.clone())).or_insert(token), token);
                    model.sealed.push((number, value, token, sealed));
                }
                Step::Erase(tenant, value) => {
                    let erased = vault.erase(TenantId::new(tenant), "c", &value);
                    prop_assert_eq!(model.tokens.remove(&(tenant, value)).is_some(), erased);
                }
                Step::Save | Step::Compact => {
                    store.save();
                    if matches!(step, Step::Compact) {
                        store.file = store.vault.compacted();
                    }
                    saved = model.clone();
                }
                Step::Crash => {
                    let (vault, accepted) = open(&store.file).unwrap();
                    prop_assert_eq!(accepted, store.file.len());
                    store.vault = vault;
                    // Data sealed after the last save may have outlived its key. It must not open.
                    model = Model { sealed: model.sealed, ..saved.clone() };
                }
            }
            model.assert_describes(&store.vault);
        }
    }

    #[test]
    fn nothing_of_a_value_is_in_the_file(value in "[ -~]{4,80}", erased: bool) {
        let mut store = Store::new();
        let token = store.token(ONE, "customer", &value);
        let sealed = store.seal(Some(("customer", &value)), "c", &value);
        if erased {
            store.vault.erase(ONE, "customer", &value);
        }
        store.save();
        let token = token.get().to_le_bytes();
        let key_id = sealed.keys[0].get().to_le_bytes();
        let plain_hash = Digest::of(value.as_bytes());
        for secret in [value.as_bytes(), b"customer", &token, &key_id, &plain_hash.as_bytes()[..8]] {
            prop_assert!(!store.file.windows(secret.len()).any(|window| window == secret));
            if secret != key_id {
                prop_assert!(!sealed.ciphertext.windows(secret.len()).any(|window| window == secret));
            }
        }
    }
}

/// Keys that are saved together reach the disk sector by sector, in any order.
#[test]
fn a_save_with_missing_sectors_is_cut_at_the_first_missing_one() {
    const SECTOR_BYTES: usize = 512;
    let mut store = Store::new();
    store.token(ONE, "customer", "ann");
    let mut file = store.vault.take_unsaved();
    for number in 0..12 {
        store.token(ONE, "customer", &number.to_string());
    }
    let saved = file.len();
    file.extend(store.vault.take_unsaved());
    for missing in saved / SECTOR_BYTES..file.len().div_ceil(SECTOR_BYTES) {
        let mut torn = file.clone();
        let from = (missing * SECTOR_BYTES).max(saved);
        let to = ((missing + 1) * SECTOR_BYTES).min(file.len());
        torn[from..to].fill(0);
        assert_eq!(open(&torn).map(|(_, accepted)| accepted), Ok(from), "sector {missing} is missing");
    }
    // Records of an earlier save are never cut, because something may depend on them.
    store.token(ONE, "customer", "zoe");
    let whole = [file.as_slice(), &store.vault.take_unsaved()].concat();
    for missing in HEADER_BYTES / RECORD_BYTES..file.len() / RECORD_BYTES {
        let mut damaged = whole.clone();
        let offset = missing * RECORD_BYTES;
        damaged[offset..offset + RECORD_BYTES].fill(0);
        assert_eq!(open(&damaged).map(drop), Err(Error::Damaged { offset }), "record {missing} is missing");
    }
}

#[test]
fn a_section_opens_as_it_was_sealed_and_notices_every_change() {
    let mut store = Store::new();
    let parts = [
        Part { label: &[0], owner: Some(("customer", "ann")), value: b"ann" },
        Part { label: &[1], owner: Some(("customer", "bob")), value: &[7; 300] },
        Part { label: b"email", owner: None, value: b"" },
    ];
    let opened = |sealed: &Sealed, vault: &Vault| vault.unseal_section(ONE, b"payment 1", sealed);
    for subject in [None, Some(("customer", "ann"))] {
        let sealed = store.vault.seal_section(ONE, subject, b"payment 1", &parts, &mut store.random).unwrap();
        let whole: Vec<OpenedPart> = parts
            .iter()
            .map(|part| OpenedPart { label: part.label.to_vec(), value: Some(part.value.to_vec()) })
            .collect();
        assert_eq!(opened(&sealed, &store.vault), Ok(whole));
        assert_eq!(store.vault.unseal_section(ONE, b"payment 2", &sealed), Err(UnsealError::Damaged));
        for bit in 0..8 * sealed.ciphertext.len() {
            let mut changed = sealed.clone();
            changed.ciphertext[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(&changed, &store.vault), Err(UnsealError::Damaged), "bit {bit}");
        }
    }
}

#[test]
fn the_parts_of_a_section_have_nonces_of_their_own() {
    let mut store = Store::new();
    let part = Part { label: b"name", owner: Some(("customer", "ann")), value: b"the same value" };
    let sealed = store.vault.seal_section(ONE, None, b"c", &[part, part], &mut store.random).unwrap();
    let plaintext = store.vault.unseal(ONE, b"c", &sealed).unwrap();
    let (first, second) = plaintext.split_at(plaintext.len() / 2);
    assert_eq!(first[..22], second[..22], "label, mark and key are the same");
    assert_ne!(first[22..], second[22..], "the ciphertexts differ");
}
