//! Properties: a changed token is never accepted, and no input makes the readers panic.

use oauth::jws::{Compact, EmbeddedKey};
use oauth::{Algorithm, HttpUri, Keys, Proofs, Spender, Target, Thumbprint, Verifier, key_set_uri, presented};
use proptest::prelude::*;
use types::TenantId;

use crate::support::{ISSUER, NOW, claims, header, key_set, published_keys, text, token, verifier, world};

thread_local! {
    static VERIFIER: Verifier = verifier();
}

fn is_accepted(token: &str) -> bool {
    VERIFIER.with(|verifier| verifier.verify(token, NOW).is_ok())
}

/// Gives the bytes to everything that reads bytes from outside.
fn read_everywhere(bytes: &[u8]) {
    drop(Keys::parse(bytes));
    drop(key_set_uri(ISSUER, bytes));
    assert!(presented(&[bytes]).is_err() || !bytes.is_empty());
    let proofs = Proofs::new(vec![Algorithm::Es256], [1; 32], 10);
    let uri = HttpUri::parse("https://pay.example/").unwrap();
    let target = Target { method: "POST", uri: &uri };
    let spender = Spender { tenant: TenantId::new(1), issuer: ISSUER, subject: "checkout" };
    assert!(proofs.check(&[bytes], target, ("token", Thumbprint::of(b"")), spender, NOW).is_err());
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(!is_accepted(text));
    drop(HttpUri::parse(text));
    drop(Compact::parse(text, EmbeddedKey::Refused));
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let valid = token(|_, _| {});
    assert!(is_accepted(&valid));
    for length in 0..valid.len() {
        assert!(!is_accepted(&valid[..length]), "the first {length} bytes");
        assert!(!is_accepted(&valid[length + 1..]), "without the first {} bytes", length + 1);
    }
    let mut flips = 0;
    for (place, bit) in (0..valid.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
        let mut bytes = valid.clone().into_bytes();
        bytes[place] ^= 1 << bit;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        assert!(!is_accepted(&changed), "bit {bit} of byte {place}");
        flips += 1;
    }
    assert!(flips > 7 * (valid.len() - 1));
}

#[test]
fn every_flipped_bit_of_the_decoded_parts_is_refused() {
    let valid = token(|_, _| {});
    let parts: Vec<&str> = valid.split('.').collect();
    let decode = |part: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()
    };
    for (number, part) in parts.iter().enumerate() {
        let decoded = decode(part);
        for (place, bit) in (0..decoded.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
            let mut bytes = decoded.clone();
            bytes[place] ^= 1 << bit;
            let changed = text(&bytes);
            let mut parts = parts.clone();
            parts[number] = &changed;
            assert!(!is_accepted(&parts.join(".")), "bit {bit} of byte {place} of part {number}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_everywhere(&bytes);
    }

    #[test]
    fn no_text_in_a_part_makes_a_reader_panic(
        header in "[{}\\[\\]\":,a-z0-9\\\\. ]{0,80}",
        payload in "[{}\\[\\]\":,a-z0-9\\\\. ]{0,80}",
    ) {
        read_everywhere(header.as_bytes());
        read_everywhere(format!("{}.{}.AAAA", text(header.as_bytes()), text(payload.as_bytes())).as_bytes());
        // Signed as it should be, so that what comes after the signature reads it too.
        let token = world().ec.jws(Algorithm::Es256, &crate::support::header().to_string(), &payload);
        assert!(!is_accepted(&token));
    }

    #[test]
    fn a_changed_document_never_makes_a_reader_panic(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for document in [
            published_keys(),
            key_set(&[world().ed.published("ed")]),
            token(|_, _| {}).into_bytes(),
            header().to_string().into_bytes(),
            format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"https://id.example/certs"}}"#).into_bytes(),
        ] {
            let mut document = document;
            let place = place.index(document.len());
            if document[place] != byte {
                document[place] = byte;
                read_everywhere(&document);
            }
        }
    }

    #[test]
    fn a_claim_of_any_other_type_is_refused(claim in prop::sample::select(vec!["iss", "sub", "aud", "exp", "iat", "client_id", "jti", "scope"]), value in prop::sample::select(vec!["null", "true", "{}", "[[]]", "[1]", "-1", "[null]"])) {
        let mut claims = claims();
        claims[claim] = serde_json::from_str(value).unwrap();
        let token = world().ec.jws(Algorithm::Es256, &header().to_string(), &claims.to_string());
        assert!(!is_accepted(&token), "{claim}: {value}");
    }
}
