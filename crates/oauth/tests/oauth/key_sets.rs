//! Which published keys are used, and when a key set is fetched.

use oauth::{
    Algorithm, BACKOFF_MAX, FETCH_TIMEOUT, KeySet, Keys, Need, REFRESH_AFTER, STALE_AFTER, TokenError,
    UNKNOWN_KEY_INTERVAL,
};
use serde_json::{Value, json};
use types::{Span, Timestamp};

use crate::support::{ISSUER, NOW, NOW_S, Signer, key_set, published_keys, token, verifier, world};

fn after(seconds: u64) -> Timestamp {
    Timestamp::from_ns((NOW_S + seconds) * 1_000_000_000)
}

const fn seconds(span: Span) -> u64 {
    span.ns() / 1_000_000_000
}

#[track_caller]
fn refuses_set(set: &[u8], reason: &str) {
    let found = Keys::parse(set).map_err(|error| error.to_string());
    assert!(found.as_ref().is_err_and(|error| error.contains(reason)), "{found:?}");
}

#[track_caller]
fn skips(key: Value, reason: &str) {
    let keys = Keys::parse(&key_set(&[key, world().ec.published("good")])).unwrap();
    let found: Vec<String> = keys.skipped.iter().map(|(_, error)| error.to_string()).collect();
    assert!(keys.usable().len() == 1 && matches!(&found[..], [one] if one.contains(reason)), "{found:?}");
}

#[test]
fn a_set_is_refused_as_a_whole_if_it_cannot_be_trusted() {
    let ec = world().ec.published("a");
    refuses_set(b"", "not valid");
    refuses_set(b"[]", "found a list");
    refuses_set(b"{}", "nothing as `keys`");
    refuses_set(br#"{"keys":{}}"#, "an object as `keys`");
    refuses_set(br#"{"keys":[1]}"#, "a number as `keys`");
    refuses_set(br#"{"keys":[],"keys":[]}"#, "appears twice");
    refuses_set(&key_set(&vec![ec.clone(); 65]), "65 keys; expected at most 64");
    refuses_set(&vec![b' '; 256 * 1024 + 1], "262145 bytes");
    for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let mut key = ec.clone();
        key[private] = "AA".into();
        refuses_set(&key_set(&[ec.clone(), key]), &format!("member `{private}`"));
    }
    refuses_set(&key_set(&[json!({"kty": "oct", "k": "AA", "kid": "s"}), ec.clone()]), "key 1 of the set");
    let other = world().attacker.published("a");
    refuses_set(&key_set(&[ec.clone(), other]), "two keys of the set have the `kid` `a`");
    // One key that appears twice is one key, and keys of different types may share a name.
    let keys = key_set(&[ec.clone(), ec, world().rsa.published("a")]);
    assert_eq!(Keys::parse(&keys).unwrap().usable().len(), 2);
}

#[test]
fn a_key_that_cannot_verify_is_skipped() {
    let (ec, rsa, ed) = (world().ec.published("k"), world().rsa.published("k"), world().ed.published("k"));
    let set = |key: &Value, member: &str, value: Value| {
        let mut key = key.clone();
        key[member] = value;
        key
    };
    skips(set(&ec, "kty", "quantum".into()), "`kty` is `quantum`");
    skips(set(&ec, "kty", Value::Null), "member `kty` is null");
    skips(set(&ec, "crv", "P-224".into()), "`crv` is `P-224`");
    skips(set(&ec, "crv", "secp256k1".into()), "`crv` is `secp256k1`");
    skips(set(&ec, "crv", "P-384".into()), "numbers of the key");
    skips(set(&ec, "x", "AAAA".into()), "numbers of the key");
    skips(set(&ec, "y", ec["x"].clone()), "numbers of the key");
    skips(set(&ec, "x", "not base64url".into()), "member `x` is not base64url");
    skips(set(&ec, "use", "enc".into()), "`use` of the key says `enc`");
    skips(set(&ec, "use", json!(1)), "member `use` is a number");
    skips(set(&ec, "key_ops", json!(["sign"])), "`key_ops` of the key says `sign`");
    skips(set(&ec, "key_ops", json!([])), "`key_ops` of the key says ``");
    skips(set(&ec, "key_ops", "verify".into()), "member `key_ops` is text");
    skips(set(&ec, "alg", "RS256".into()), "RS256 needs a key of another type");
    skips(set(&ec, "alg", "ES384".into()), "ES384 needs a key of another type");
    skips(set(&ec, "alg", "ECDH-ES".into()), "`alg` of the key says `ECDH-ES`");
    skips(set(&ec, "alg", "none".into()), "`alg` of the key says `none`");
    skips(set(&ec, "kid", json!(1)), "member `kid` is a number");
    skips(set(&ec, "kid", "k".repeat(257).into()), "member `kid` is too long");
    skips(set(&rsa, "n", crate::support::text(&[0xff; 128]).into()), "1024 bits; expected 2048 to 8192");
    skips(set(&rsa, "n", crate::support::text(&[0x7f; 256]).into()), "2047 bits");
    skips(set(&rsa, "n", crate::support::text(&[0xff; 1025]).into()), "8200 bits");
    skips(set(&rsa, "n", crate::support::text(&[&[0], [0xff; 256].as_slice()].concat()).into()), "numbers of the key");
    for exponent in [&[1][..], &[3], &[1, 0, 0], &[2, 0, 0, 0, 1], &[0, 1, 0, 1], &[1; 9]] {
        let key = set(&rsa, "e", crate::support::text(exponent).into());
        let reason = if exponent[0] == 0 { "numbers of the key" } else { "the exponent" };
        skips(key, reason);
    }
    skips(set(&ed, "x", "AAAA".into()), "numbers of the key");
    skips(set(&ed, "crv", "X25519".into()), "`crv` is `X25519`");
}

#[test]
fn a_set_is_fetched_at_once_and_then_by_its_age() {
    let mut set = KeySet::default();
    assert!(set.start_fetch(NOW, Need::Age));
    assert!(!set.start_fetch(NOW, Need::Age), "one fetch runs at a time");
    assert!(!set.start_fetch(after(seconds(FETCH_TIMEOUT) - 1), Need::UnknownKey));
    set.fetched(after(1), Some(Keys::parse(&published_keys()).unwrap()));
    let due = 1 + seconds(REFRESH_AFTER);
    assert!(!set.start_fetch(after(due - 1), Need::Age));
    assert!(set.start_fetch(after(due), Need::Age));
    assert!(set.start_fetch(after(due).saturating_add(FETCH_TIMEOUT), Need::Age), "a fetch that hangs is given up");
    assert_eq!(set.usable_until(), Some(after(1).saturating_add(STALE_AFTER)));
}

#[test]
fn unknown_keys_cause_at_most_one_fetch_in_30_s() {
    let mut set = KeySet::default();
    assert!(set.start_fetch(NOW, Need::UnknownKey));
    set.fetched(NOW, Some(Keys::parse(&published_keys()).unwrap()));
    let mut fetches = 0;
    for second in 0..300 {
        for _ in 0..100 {
            if set.start_fetch(after(second), Need::UnknownKey) {
                fetches += 1;
                set.fetched(after(second), Some(Keys::parse(&published_keys()).unwrap()));
            }
        }
    }
    assert_eq!(fetches, 300 / seconds(UNKNOWN_KEY_INTERVAL) - 1);
}

#[test]
fn failures_make_the_next_fetch_wait_longer() {
    let mut set = KeySet::default();
    let (mut second, mut waits) = (0, Vec::new());
    for _ in 0..12 {
        assert!(set.start_fetch(after(second), Need::Age));
        set.fetched(after(second), None);
        let next = seconds(set.next_fetch_at(Need::Age).since(after(second)));
        assert!(!set.start_fetch(after(second + next - 1), Need::UnknownKey));
        waits.push(next);
        second += next;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert_eq!(seconds(BACKOFF_MAX), 300);
    assert!(set.start_fetch(after(second), Need::Age));
    set.fetched(after(second), Some(Keys::parse(&published_keys()).unwrap()));
    assert_eq!(set.next_fetch_at(Need::Age), after(second).saturating_add(REFRESH_AFTER));
}

#[test]
fn a_failed_fetch_keeps_the_keys_and_a_rotation_replaces_them() {
    let mut verifier = verifier();
    let old = token(|_, _| {});
    let rotated = Signer::generate(Algorithm::Es256);
    let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": "next"}).to_string();
    let new = rotated.jws(Algorithm::Es256, &header, &crate::support::claims().to_string());
    assert!(matches!(verifier.verify(&new, NOW), Err(TokenError::UnknownKey { .. })));
    let keys = verifier.keys(ISSUER).unwrap();
    assert!(keys.start_fetch(after(40), Need::UnknownKey));
    assert_eq!(keys.fetched(after(41), None), 0);
    assert!(verifier.verify(&old, after(42)).is_ok());
    let both = key_set(&[world().ec.published("ec"), rotated.published("next")]);
    let keys = verifier.keys(ISSUER).unwrap();
    assert!(keys.start_fetch(after(80), Need::UnknownKey));
    assert_eq!(keys.fetched(after(81), Some(Keys::parse(&both).unwrap())), 1, "the RSA key left");
    assert!(verifier.verify(&old, after(82)).is_ok() && verifier.verify(&new, after(82)).is_ok());
    let only_new = key_set(&[rotated.published("next")]);
    assert_eq!(verifier.keys(ISSUER).unwrap().fetched(after(90), Some(Keys::parse(&only_new).unwrap())), 1);
    assert!(matches!(verifier.verify(&old, after(91)), Err(TokenError::UnknownKey { .. })));
    assert!(verifier.revoke(ISSUER));
    assert!(verifier.keys(ISSUER).is_none(), "nothing fetches the keys of a revoked issuer again");
    assert_eq!(verifier.verify(&new, after(92)).unwrap_err(), TokenError::Issuer(ISSUER.into()));
}
