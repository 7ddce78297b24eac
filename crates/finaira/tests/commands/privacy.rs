//! No personal data is on disk in the clear.

use std::path::{Path, PathBuf};

use fixtures::WALLET;
use serde_json::json;

use crate::harness::Server;

const CUSTOMER: &str = "customer-Zaphod-4711";
const RECIPIENT: &str = "customer-Trillian-0815";
const DEVICE: &str = "device-b7e1f0c2";
const EMAIL: &str = "zaphod.b@example.org";
const NOTE: &str = "for the Pan Galactic Gargle Blaster";

#[test]
fn no_personal_value_and_no_entity_key_is_in_any_file() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let key = server.key.clone().expect("the first start prints an API key");
    let client = server.client(&key);
    assert_eq!(client.activate(WALLET).status, 201);
    assert_eq!(client.pay(1, "top_up", 500_000, &json!({"customer": CUSTOMER})).status, 201);
    let attributes = json!({
        "customer": CUSTOMER, "recipient": RECIPIENT, "device": DEVICE, "country": "NO", "email": EMAIL, "note": NOTE,
    });
    assert_eq!(client.pay(2, "transfer", 1_234, &attributes).text("status"), "posted");
    // Reviewed, refused and repeated payments leave no personal data either.
    assert_eq!(client.pay(3, "transfer", 90_000, &attributes).text("status"), "in_review");
    assert_eq!(
        client
            .pay(4, "transfer", 49_999, &json!({"customer": RECIPIENT, "recipient": CUSTOMER, "email": EMAIL}))
            .text("status"),
        "refused"
    );
    assert_eq!(client.pay(2, "transfer", 1_234, &attributes).status, 200);
    assert_eq!(client.get(&format!("/v1/accounts?template=wallet&holder={CUSTOMER}")).status, 200);
    assert_eq!(client.post("/v1/labels", &json!({"payment": "2", "label": "fraud"})).status, 201);
    // A key with the right scope gets all values back.
    let opened = client.get("/v1/payments/2/personal-data");
    let sealed = json!({"customer": CUSTOMER, "recipient": RECIPIENT, "device": DEVICE, "email": EMAIL, "note": NOTE});
    assert_eq!((opened.status, &opened.body["attributes"]), (200, &sealed), "{opened:?}");
    assert_eq!(opened.body["erased"], json!([]));
    assert!(server.stop().success());

    let mut files = Vec::new();
    collect(data.path(), &mut files);
    assert!(files.len() >= 4, "there are files of the journal and of the keys: {files:?}");
    let mut plain_country_found = false;
    for file in files {
        let bytes = std::fs::read(&file).expect("a file");
        for secret in [CUSTOMER, RECIPIENT, DEVICE, EMAIL, NOTE, "Zaphod", "Trillian", "zaphod", &key] {
            for form in forms(secret) {
                assert!(!contains(&bytes, &form), "{secret} is in {}", file.display());
            }
        }
        plain_country_found |= contains(&bytes, b"country\x00\x02NO");
    }
    assert!(plain_country_found, "the search finds a value that is not personal, so it would find the others");
}

/// The forms in which a text could be written: plain, hexadecimal and UTF-16.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let utf16 = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![text.as_bytes().to_vec(), hex.into_bytes(), utf16]
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for item in std::fs::read_dir(directory).expect("a directory") {
        let path = item.expect("an item").path();
        if path.is_dir() {
            collect(&path, into);
        } else {
            into.push(path);
        }
    }
}
