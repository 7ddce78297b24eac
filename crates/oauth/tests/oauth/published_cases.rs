//! The public test cases of the project Wycheproof for JSON Web Signatures and Keys.
//!
//! They are not part of the repository. `FINAIRA_SHARED` names the folder that has them in `data/jose`. Without it the test is
//! skipped, unless `FINAIRA_REQUIRE_SHARED=1` says that it must run.

use std::fs;
use std::path::Path;

use oauth::jws::{Compact, EmbeddedKey};
use oauth::{KeySetError, Keys};
use serde_json::{Value, json};

/// Cases that are valid by their `result`, although the key's `alg` contradicts the signature. The figures of RFC 7520 were
/// filed with a key whose `alg` is another one (PS256 for a signature with PS384) or a misspelt one (`ES521`). Finaira refuses
/// them, because it uses a key only with the algorithm that the key names, as cases 332 to 340 of the same file ask for. With
/// the algorithm of the figure in the key, it accepts them.
const ALG_CONTRADICTS: [(u64, &str); 4] = [(346, "PS384"), (347, "ES512"), (350, "PS384"), (351, "ES512")];

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Refused,
    /// The key set is not used at all, because one of its keys is symmetric or private.
    RefusedByPolicy,
}

fn outcome(keys: &[Value], jws: &str) -> Outcome {
    let keys = match Keys::parse(&crate::support::key_set(keys)) {
        Ok(keys) => keys,
        Err(KeySetError::Private { .. }) => return Outcome::RefusedByPolicy,
        Err(_) => return Outcome::Refused,
    };
    let Ok(jws) = Compact::parse(jws, EmbeddedKey::Refused) else { return Outcome::Refused };
    let accepted = keys.usable().iter().any(|key| key.kid() == jws.kid() && jws.is_signed_by(key));
    if accepted { Outcome::Accepted } else { Outcome::Refused }
}

#[test]
fn every_published_signature_is_accepted_or_refused_as_its_result_says() {
    let Some(file) = shared("data/jose/json_web_signature_test.json") else { return };
    let (mut accepted, mut refused, mut by_policy) = (0, 0, 0);
    for group in file["testGroups"].as_array().unwrap() {
        let key = if group["public"].is_object() { &group["public"] } else { &group["private"] };
        for case in group["tests"].as_array().unwrap() {
            let number = case["tcId"].as_u64().unwrap();
            let jws = case["jws"].as_str().map_or_else(|| case["jws"].to_string(), str::to_owned);
            let found = outcome(std::slice::from_ref(key), &jws);
            let contradicts = ALG_CONTRADICTS.iter().find(|(its, _)| *its == number);
            let expected = match (key["kty"].as_str(), case["result"].as_str(), contradicts) {
                (Some("oct"), ..) => Outcome::RefusedByPolicy,
                (_, Some("valid"), None) => Outcome::Accepted,
                (_, Some("invalid"), None) => Outcome::Refused,
                (_, Some("valid"), Some((_, alg))) => {
                    let mut corrected = key.clone();
                    corrected["alg"] = json!(alg);
                    assert_eq!(outcome(&[corrected], &jws), Outcome::Accepted, "case {number}, corrected");
                    Outcome::Refused
                }
                other => panic!("case {number}: {other:?}"),
            };
            assert_eq!(found, expected, "case {number}: {}", case["comment"]);
            match found {
                Outcome::Accepted => accepted += 1,
                Outcome::Refused => refused += 1,
                Outcome::RefusedByPolicy => by_policy += 1,
            }
        }
    }
    assert_eq!(accepted + refused + by_policy, 401);
    println!("{accepted} accepted, {refused} refused, {by_policy} with HMAC refused");
    assert!(accepted >= 30 && by_policy >= 38, "{accepted} accepted, {by_policy} with HMAC refused");
}

#[test]
fn every_published_key_is_used_or_refused_as_its_result_says() {
    let Some(file) = shared("data/jose/json_web_key_test.json") else { return };
    let mut cases = 0;
    for group in file["testGroups"].as_array().unwrap() {
        let set = if group["public"].is_object() { &group["public"] } else { &group["private"] };
        let keys = set["keys"].as_array().unwrap();
        for case in group["tests"].as_array().unwrap() {
            let symmetric = keys.iter().any(|key| key["kty"] == "oct");
            let expected = match (symmetric, case["result"].as_str()) {
                (true, _) => Outcome::RefusedByPolicy,
                (false, Some("valid")) => Outcome::Accepted,
                (false, _) => Outcome::Refused,
            };
            assert_eq!(outcome(keys, case["jws"].as_str().unwrap()), expected, "case {}", case["tcId"]);
            cases += 1;
        }
    }
    assert_eq!(cases, 26);
}

/// Reads a file of the shared data, or returns `None` if there is none.
#[expect(clippy::disallowed_methods, reason = "the environment tells whether there is shared data to test with")]
fn shared(part: &str) -> Option<Value> {
    let Ok(folder) = std::env::var("FINAIRA_SHARED") else {
        let required = std::env::var("FINAIRA_REQUIRE_SHARED").is_ok_and(|value| value == "1");
        assert!(!required, "FINAIRA_REQUIRE_SHARED=1, but FINAIRA_SHARED does not name the shared folder");
        println!("skipped: FINAIRA_SHARED does not name the folder with {part}");
        return None;
    };
    Some(serde_json::from_slice(&fs::read(Path::new(&folder).join(part)).unwrap()).unwrap())
}
