//! The keys of the issuer over time.

use issuer::{KeyRing, RETIRED_KEYS_MAX, RotationError, SigningAlgorithm, SigningKey, TOKEN_LIFETIME_MAX};
use oauth::{Keys, TokenCache, TokenError};
use proptest::prelude::*;
use serde_json::Value;
use types::{Span, Timestamp};

use crate::support::{NOW, Scene, by_secret, fetch, key, later, verifier};

fn ring() -> KeyRing {
    KeyRing::new(key(SigningAlgorithm::Es256), key(SigningAlgorithm::EdDsa), NOW).unwrap()
}

#[test]
fn a_key_is_published_before_and_after_it_signs() {
    let mut keys = ring();
    let (first, second) = (keys.active().kid().to_owned(), keys.next().kid().to_owned());
    keys.rotate(later(100), key(SigningAlgorithm::Es256)).unwrap();
    let third = keys.next().kid().to_owned();
    assert_eq!(keys.kids().collect::<Vec<_>>(), [&*second, &*third, &*first]);
    assert_eq!(keys.active().kid(), second);
    let end = later(100).saturating_add(TOKEN_LIFETIME_MAX).saturating_add(Span::from_secs(60));
    assert_eq!(keys.expire_at(), Some(end));
    assert_eq!(keys.expire(Timestamp::from_ns(end.ns() - 1)), 0);
    assert_eq!(keys.expire(end), 1);
    assert_eq!(keys.kids().collect::<Vec<_>>(), [&*second, &*third]);
}

#[test]
fn the_published_set_has_no_secret() {
    let mut keys = ring();
    keys.rotate(NOW, key(SigningAlgorithm::Es256)).unwrap();
    // `Keys::parse` refuses a set with a private member.
    let set = Keys::parse(keys.jwks().as_bytes()).unwrap();
    assert_eq!((set.usable().len(), set.skipped.len()), (3, 0));
    let names: Vec<_> = set.usable().iter().filter_map(|key| key.kid()).collect();
    assert_eq!(names, keys.kids().collect::<Vec<_>>());
    let document: Value = serde_json::from_slice(&keys.to_document()).unwrap();
    for (entry, private) in document["keys"].as_array().unwrap().iter().zip([true, true, false]) {
        let secret = entry["jwk"]["d"].as_str();
        assert_eq!(secret.is_some(), private);
        assert!(secret.is_none_or(|secret| !keys.jwks().contains(secret) && !format!("{keys:?}").contains(secret)));
    }
}

#[test]
fn a_key_is_named_by_its_thumbprint_and_made_from_the_given_bytes() {
    // RFC 8037, appendices A.1 to A.3.
    let seed = oauth::base64url::decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let key = SigningKey::generate(SigningAlgorithm::EdDsa, seed.try_into().unwrap()).unwrap();
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let jwk: Value = serde_json::from_str(&key.public_jwk()).unwrap();
    assert_eq!(jwk["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    // RFC 7515, appendix A.3.1.
    let secret = oauth::base64url::decode("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI").unwrap();
    let key = SigningKey::generate(SigningAlgorithm::Es256, secret.try_into().unwrap()).unwrap();
    let jwk: Value = serde_json::from_str(&key.public_jwk()).unwrap();
    assert_eq!(jwk["x"], "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
    assert_eq!(jwk["y"], "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    for bytes in [[0; 32], [0xff; 32]] {
        assert!(SigningKey::generate(SigningAlgorithm::Es256, bytes).is_err(), "no number of the group");
    }
}

#[test]
fn stored_keys_are_read_as_they_were_written() {
    let mut keys = ring();
    keys.rotate(later(5), key(SigningAlgorithm::Es256)).unwrap();
    let document = keys.to_document();
    let read = KeyRing::from_document(&document).unwrap();
    assert_eq!((read.jwks(), read.rotate_at(), read.expire_at()), (keys.jwks(), keys.rotate_at(), keys.expire_at()));
    assert_eq!(read.to_document(), document);
}

#[test]
fn a_document_that_was_changed_is_refused() {
    let mut keys = ring();
    keys.rotate(NOW, key(SigningAlgorithm::Es256)).unwrap();
    let good: Value = serde_json::from_slice(&keys.to_document()).unwrap();
    let secret = good["keys"][0]["jwk"]["d"].as_str().unwrap().to_owned();
    let refuses = |change: &dyn Fn(&mut Value), reason: &str| {
        let mut document = good.clone();
        change(&mut document);
        let found =
            KeyRing::from_document(document.to_string().as_bytes()).map(drop).map_err(|error| error.to_string());
        assert!(found.as_ref().is_err_and(|error| error.contains(reason) && !error.contains(&secret)), "{found:?}");
    };
    refuses(&|document| document["version"] = 2.into(), "version 2");
    refuses(&|document| document["more"] = 2.into(), "malformed at line 1");
    refuses(&|document| document["keys"][0]["jwk"]["more"] = 2.into(), "malformed");
    refuses(&|document| document["keys"][0]["state"] = "next".into(), "2 next and 0 active");
    refuses(&|document| drop(document["keys"].as_array_mut().unwrap().remove(0)), "1 next and 0 active");
    refuses(&|document| document["keys"][0]["jwk"]["d"] = "AQ".into(), "`d` of the key");
    refuses(&|document| document["keys"][0]["jwk"]["d"] = document["keys"][1]["jwk"]["d"].clone(), "do not belong");
    refuses(&|document| document["keys"][0]["jwk"]["x"] = document["keys"][1]["jwk"]["x"].clone(), "do not belong");
    refuses(&|document| document["keys"][0]["jwk"]["kid"] = "mine".into(), "do not belong");
    refuses(&|document| document["keys"][0]["jwk"]["alg"] = "HS256".into(), "expected ES256 or EdDSA");
    refuses(&|document| document["keys"][2]["jwk"]["x"] = "AQ".into(), "`x` of the key");
    refuses(&|document| document["keys"][2]["jwk"]["d"] = secret.clone().into(), "private half of the retired key");
    refuses(
        &|document| {
            let retired = document["keys"][2].clone();
            document["keys"].as_array_mut().unwrap().push(retired);
        },
        "twice",
    );
    refuses(&|document| document["keys"] = vec![document["keys"][0].clone(); 11].into(), "11 keys");
    assert!(KeyRing::from_document(b"").is_err());
    assert!(KeyRing::from_document(&vec![b' '; 65 * 1024]).unwrap_err().to_string().contains("66560 bytes"));
}

#[test]
fn a_withdrawn_key_ends_its_tokens_at_once() {
    let mut scene = Scene::new();
    let (mut verifier, cache) = (scene.verifier(), TokenCache::new(10));
    let token = scene.post(&by_secret("")).unwrap().access_token;
    cache.insert(&token, verifier.verify(&token, NOW).unwrap());
    let (first, second) = (scene.keys.active().kid().to_owned(), scene.keys.next().kid().to_owned());
    scene.keys.withdraw(&first, NOW, key(SigningAlgorithm::Es256)).unwrap();
    assert_eq!(scene.keys.active().kid(), second);
    fetch(&mut verifier, &scene.keys, NOW);
    assert!(cache.get(&token, NOW).is_none());
    assert!(matches!(verifier.verify(&token, NOW), Err(TokenError::UnknownKey { .. })));
    let token = scene.post(&by_secret("")).unwrap().access_token;
    assert!(verifier.verify(&token, NOW).is_ok());
    // The next key and a retired one can be withdrawn as well.
    let next = scene.keys.next().kid().to_owned();
    scene.keys.withdraw(&next, NOW, key(SigningAlgorithm::Es256)).unwrap();
    scene.keys.rotate(NOW, key(SigningAlgorithm::Es256)).unwrap();
    scene.keys.withdraw(&second, NOW, key(SigningAlgorithm::Es256)).unwrap();
    assert!(!scene.keys.kids().any(|kid| kid == first || kid == second || kid == next));
    let error = scene.keys.withdraw(&first, NOW, key(SigningAlgorithm::Es256));
    assert_eq!(error, Err(RotationError::Unknown(first)));
}

#[test]
fn retired_keys_are_bounded() {
    let mut keys = ring();
    for _ in 0..RETIRED_KEYS_MAX {
        keys.rotate(NOW, key(SigningAlgorithm::EdDsa)).unwrap();
    }
    let before = keys.jwks();
    let full = keys.rotate(NOW, key(SigningAlgorithm::EdDsa));
    assert!(matches!(full, Err(RotationError::Many(until)) if Some(until) == keys.expire_at()));
    assert_eq!(keys.jwks(), before);
    assert!(KeyRing::from_document(&keys.to_document()).is_ok());
    let later = keys.expire_at().unwrap();
    assert_eq!(keys.rotate(later, key(SigningAlgorithm::EdDsa)), Ok(()));
    let same = SigningKey::generate(SigningAlgorithm::EdDsa, [1; 32]).unwrap();
    let again = SigningKey::generate(SigningAlgorithm::EdDsa, [1; 32]).unwrap();
    assert!(matches!(KeyRing::new(same, again, NOW), Err(RotationError::Twice(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whenever keys rotate and whenever a resource server fetches them, each token is accepted until it expires by everybody
    /// who fetches the keys at least once between the publication of a key and its first use.
    #[test]
    fn no_rotation_ends_a_token(steps in proptest::collection::vec((0_u64..2_000, any::<bool>()), 1..12)) {
        let mut scene = Scene::new();
        let client = std::sync::Arc::get_mut(scene.clients.clients.get_mut("checkout").unwrap()).unwrap();
        client.token_lifetime = Some(TOKEN_LIFETIME_MAX);
        let mut verifier = verifier(&scene.issuer, &scene.keys, NOW);
        let (mut now, mut tokens) = (NOW, Vec::new());
        for (pause_s, rotates) in steps {
            now = now.saturating_add(Span::from_secs(pause_s));
            scene.keys.expire(now);
            if rotates && scene.keys.rotate(now, key(SigningAlgorithm::EdDsa)).is_ok() {
                // The keys survive a restart at any time.
                scene.keys = KeyRing::from_document(&scene.keys.to_document()).unwrap();
            }
            // Before this fetch, the server has the set from before the rotation.
            let granted = scene.ask_at(&crate::support::request(&by_secret("")), now).unwrap();
            prop_assert!(verifier.verify(&granted.access_token, now).is_ok(), "signed with a key that was not published");
            tokens.push((granted.access_token, now.saturating_add(Span::from_secs(granted.expires_in_s))));
            fetch(&mut verifier, &scene.keys, now);
            tokens.retain(|(_, expires_at)| now < *expires_at);
            for (token, _) in &tokens {
                prop_assert!(verifier.verify(token, now).is_ok());
            }
        }
    }
}
