//! Policies: the document, the stored bundle, and the uploaded archive.

use std::io::Write as _;
use std::sync::Arc;

use policy::{Bundle, BundleError, DOCUMENT, Policy, model_files};

use super::models::LOGISTIC_REGRESSION;
use crate::{Verdict, check_line};

const RETAIL: &str = include_str!("../../../../policies/retail/policy.toml");
const EXAMPLE: &str = include_str!("../../../policy/example/policy.toml");

/// A `policy.toml`. Each of its models is the same valid one.
pub(super) fn policy(document: &[u8]) -> Verdict {
    let mut files = vec![(DOCUMENT.to_owned(), document.to_vec())];
    files.extend(model_files(document).into_iter().map(|name| (name, LOGISTIC_REGRESSION.to_vec())));
    match Bundle::new(files) {
        Ok(bundle) => compile(&bundle),
        Err(error) => check_line(error),
    }
}

fn compile(bundle: &Bundle) -> Verdict {
    let same = Bundle::from_bytes(&bundle.to_bytes()).map(|same| same.digest());
    assert_eq!(same, Ok(bundle.digest()), "a stored bundle reads back unchanged");
    let policy = match Policy::compile(bundle) {
        Ok(policy) => Arc::new(policy),
        Err(problems) => {
            assert!(!problems.is_empty(), "a policy that does not compile has problems");
            for problem in &problems {
                check_line(problem);
            }
            return crate::desk::check_problem(&api::Problem::invalid_policy(problems));
        }
    };
    assert_eq!(policy.digest(), bundle.digest());
    crate::desk::activate(bundle, &policy);
    Verdict::Accepted
}

/// A bundle in its stored form.
pub(super) fn bundle(bytes: &[u8]) -> Verdict {
    match Bundle::from_bytes(bytes) {
        Ok(bundle) => {
            assert!(bundle.to_bytes() == bytes, "a bundle has one encoding");
            compile(&bundle);
            Verdict::Accepted
        }
        Err(error) => check_bundle(&error),
    }
}

fn check_bundle(error: &BundleError) -> Verdict {
    check_line(error)
}

/// An uploaded archive: tar, or tar with gzip.
pub(super) fn archive(bytes: &[u8]) -> Verdict {
    match api::archive::bundle(bytes) {
        Ok(bundle) => {
            let same = Bundle::from_bytes(&bundle.to_bytes()).map(|same| same.digest());
            assert_eq!(same, Ok(bundle.digest()), "a stored bundle reads back unchanged");
            Verdict::Accepted
        }
        Err(problem) => crate::desk::check_problem(&problem),
    }
}

pub(super) fn policy_seeds() -> Vec<(String, Vec<u8>)> {
    let documents = [("wallet", fixtures::WALLET), ("example", EXAMPLE), ("retail", RETAIL)];
    documents.iter().map(|(name, document)| ((*name).to_owned(), with_the_model(document).into_bytes())).collect()
}

/// Replaces the inputs of the document's model by those of the model that the targets use.
fn with_the_model(document: &str) -> String {
    let inputs =
        document.split_once("[models.").and_then(|(_, model)| model.split_once("inputs = [")?.1.split_once(']'));
    let Some((inputs, _)) = inputs else { return document.to_owned() };
    let document = document.replacen(inputs, "\"double(payment.amount)\", \"1.0\", \"2.0\", \"3.0\", \"4.0\"", 1);
    // The texts for customers name an input.
    let Some((before, reasons)) = document.split_once(".reasons]") else { return document };
    let Some((inputs, after)) = reasons.split_once("[reasons.") else { return document };
    let (first, named) = (inputs.find('"'), inputs.find("\" ="));
    let Some((first, named)) = first.zip(named) else { return document };
    let (head, key) = (&inputs[..=first], &inputs[named..]);
    format!("{before}.reasons]{head}double(payment.amount){key}[reasons.{after}")
}

fn small_bundle() -> Bundle {
    let document = "name = \"small\"\n[ledgers.eur]\nid = 978\nasset = \"EUR/2\"\n";
    Bundle::new([(DOCUMENT.to_owned(), document.as_bytes().to_vec())]).expect("the document makes a valid bundle")
}

pub(super) fn bundle_seeds() -> Vec<(String, Vec<u8>)> {
    let models = model_files(EXAMPLE.as_bytes()).into_iter().map(|name| (name, LOGISTIC_REGRESSION.to_vec()));
    let files = models.chain([(DOCUMENT.to_owned(), EXAMPLE.as_bytes().to_vec())]);
    let large = Bundle::new(files).expect("the example makes a valid bundle");
    vec![("small".to_owned(), small_bundle().to_bytes()), ("example".to_owned(), large.to_bytes())]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("writing to memory succeeds")
}

pub(super) fn archive_seeds() -> Vec<(String, Vec<u8>)> {
    let archived = |folder: &str, files: &[(&str, &[u8])]| {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, format!("{folder}{name}"), *bytes).expect("writing to memory succeeds");
        }
        archive.into_inner().expect("writing to memory succeeds")
    };
    let small = small_bundle();
    let document = small.file(DOCUMENT).unwrap_or_default();
    let folder = "a-folder-with-a-long-name/".repeat(5);
    vec![
        ("flat".to_owned(), archived("", &[(DOCUMENT, document)])),
        ("folder".to_owned(), archived("policy/", &[(DOCUMENT, document), ("models/unused.onnx", b"no model")])),
        ("long-names".to_owned(), archived(&folder, &[(DOCUMENT, document)])),
        ("gzip".to_owned(), gzip(&archived("", &[(DOCUMENT, document)]))),
    ]
}
