//! Bundles: their canonical bytes, their digest, and what is refused.

use policy::{Bundle, BundleError, is_file_name, model_files};
use proptest::prelude::*;

use crate::support::{EXAMPLE, bundle};

fn files(files: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

#[test]
fn a_bundle_reads_as_it_is_written() {
    let bundle = bundle(EXAMPLE);
    let read = Bundle::from_bytes(&bundle.to_bytes()).unwrap();
    assert_eq!(read, bundle);
    assert_eq!(read.digest(), bundle.digest());
    assert_eq!(read.files().map(|(name, _)| name).collect::<Vec<_>>(), ["models/fraud.onnx", "policy.toml"]);
}

#[test]
fn the_digest_is_permanent() {
    let bundle =
        Bundle::new(files(&[("policy.toml", b"name = \"a\"\n[models.m]\nfile = \"m\""), ("m", b"x")])).unwrap();
    expect_test::expect!["5b28813e2c2107a2aecb2376515cd9ba77ed4b11b288a760a842f227f2972b05"]
        .assert_eq(&bundle.digest().to_string());
}

#[test]
fn only_files_that_the_document_names_belong_to_it() {
    let with = |extra: &[(&str, &[u8])]| {
        let mut given = files(&[("policy.toml", EXAMPLE.as_bytes()), ("models/fraud.onnx", b"model")]);
        given.extend(files(extra));
        Bundle::new(given).unwrap()
    };
    let plain = with(&[]);
    assert_eq!(with(&[("README.md", b"notes"), ("../etc", b""), ("models/old.onnx", b"x")]).digest(), plain.digest());
    assert_eq!(model_files(EXAMPLE.as_bytes()), ["models/fraud.onnx"]);
}

#[test]
fn files_that_are_no_bundle_are_refused() {
    let two = files(&[("policy.toml", b""), ("policy.toml", b"")]);
    assert_eq!(Bundle::new(two), Err(BundleError::DuplicateFile("policy.toml".to_owned())));
    assert_eq!(Bundle::new(files(&[("README.md", b"")])), Err(BundleError::NoDocument));
    let large = vec![b' '; policy::limits::BUNDLE_BYTES_MAX + 1];
    assert_eq!(Bundle::new(files(&[("policy.toml", &large)])), Err(BundleError::TooLarge(large.len())));
    let many: String = (0..64).map(|number| format!("[models.m{number}]\nfile = \"m{number}\"\n")).collect();
    let mut given = files(&[("policy.toml", many.as_bytes())]);
    given.extend((0..64).map(|number| (format!("m{number}"), Vec::new())));
    assert_eq!(Bundle::new(given), Err(BundleError::TooManyFiles(65)));
}

#[test]
fn file_names_stay_inside_the_bundle() {
    for good in ["a", "policy.toml", "models/fraud-2_1.onnx", "a/b/c", &"a".repeat(128)] {
        assert!(is_file_name(good), "{good}");
    }
    for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "A", "a b", "a\\b", "é", "a\0", &"a".repeat(129)] {
        assert!(!is_file_name(bad), "{bad}");
    }
}

#[test]
fn bytes_that_are_not_canonical_are_refused() {
    let bytes = bundle(EXAMPLE).to_bytes();
    for length in 0..bytes.len() {
        assert!(Bundle::from_bytes(&bytes[..length]).is_err(), "cut off at {length}");
    }
    let trailing = [bytes.as_slice(), &[0]].concat();
    assert_eq!(Bundle::from_bytes(&trailing), Err(BundleError::NotCanonical("there are bytes after its end")));
    let other_version = [b"FINAPOL\x02", &bytes[8..]].concat();
    assert_eq!(
        Bundle::from_bytes(&other_version),
        Err(BundleError::NotCanonical("it does not start with the magic bytes"))
    );

    let raw = |files: &[(&str, &str)]| {
        let number = |length: usize| u32::try_from(length).unwrap().to_le_bytes().to_vec();
        let mut out = [b"FINAPOL\x01".to_vec(), number(files.len())].concat();
        for text in files.iter().flat_map(|(name, content)| [name, content]) {
            out.extend(number(text.len()));
            out.extend(text.bytes());
        }
        Bundle::from_bytes(&out)
    };
    let model = "[models.m]\nfile = \"m\"";
    assert!(raw(&[("m", ""), ("policy.toml", model)]).is_ok());
    let unsorted = raw(&[("policy.toml", model), ("m", "")]);
    assert_eq!(unsorted, Err(BundleError::NotCanonical("its files are not in order")));
    let unnamed = raw(&[("n", ""), ("policy.toml", model)]);
    assert_eq!(unnamed, Err(BundleError::NotCanonical("it has a file that its document does not name")));
    assert_eq!(raw(&[("../m", ""), ("policy.toml", model)]), Err(BundleError::FileName("../m".to_owned())));
    assert_eq!(raw(&[]), Err(BundleError::NoDocument));
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused_without_a_panic(at in 0_usize..4096, byte: u8, tail in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = bundle(EXAMPLE).to_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(bundle) = Bundle::from_bytes(&bytes) {
            prop_assert_eq!(bundle.to_bytes(), bytes);
            drop(policy::Policy::compile(&bundle));
        }
        drop(Bundle::from_bytes(&[b"FINAPOL\x01", tail.as_slice()].concat()));
    }
}
