//! What the memory of verified tokens forgets, and what a hit costs.

use std::hint::black_box;
use std::time::Instant;

use oauth::{Keys, Need, STALE_AFTER, TokenCache, Verifier};
use types::{Span, Timestamp};

use crate::support::{ISSUER, NOW, NOW_S, PLAIN, key_set, plain_token, published_keys, token, verifier, world};

fn after(seconds: u64) -> Timestamp {
    NOW.saturating_add(Span::from_secs(seconds))
}

/// Verifies a token, and remembers it.
fn remember(cache: &TokenCache, verifier: &Verifier, token: &str) {
    cache.insert(token, verifier.verify(token, NOW).unwrap());
}

#[test]
fn a_token_is_remembered_until_it_expires() {
    let (cache, verifier, token) = (TokenCache::new(100), verifier(), token(|_, _| {}));
    assert!(cache.is_empty() && cache.get(&token, NOW).is_none());
    remember(&cache, &verifier, &token);
    let remembered = cache.get(&token, NOW).map(|verified| verified.token);
    assert_eq!(remembered, Some(verifier.verify(&token, NOW).unwrap().token));
    assert!(cache.get(&token, after(299)).is_some());
    assert!(cache.get(&format!("{token}A"), NOW).is_none());
    assert!(cache.get(&token, after(300)).is_none());
    assert!(cache.is_empty(), "it is forgotten as soon as it is asked for in vain");
}

#[test]
fn a_token_is_not_remembered_longer_than_its_keys_may_be_used() {
    let (cache, verifier) = (TokenCache::new(100), verifier());
    let token = token(|_, claims| claims["exp"] = (NOW_S + 1_000_000).into());
    remember(&cache, &verifier, &token);
    assert!(cache.get(&token, Timestamp::from_ns(NOW.ns() + STALE_AFTER.ns() - 1)).is_some());
    assert!(cache.get(&token, NOW.saturating_add(STALE_AFTER)).is_none());
}

#[test]
fn a_key_that_leaves_takes_its_tokens_along() {
    let (cache, mut verifier) = (TokenCache::new(100), verifier());
    let (ec, ed) = (token(|_, _| {}), plain_token(|_, _| {}));
    let header = serde_json::json!({"typ": "at+jwt", "alg": "RS256", "kid": "rsa"}).to_string();
    let rsa = world().rsa.jws(oauth::Algorithm::Rs256, &header, &crate::support::claims().to_string());
    for token in [&ec, &ed, &rsa] {
        remember(&cache, &verifier, token);
    }
    let old = verifier.verify(&rsa, NOW).unwrap();
    let remembered = |cache: &TokenCache| [&ec, &rsa, &ed].map(|token| cache.get(token, NOW).is_some());
    let publish = |verifier: &mut Verifier, issuer: &str, keys: &[u8]| {
        verifier.keys(issuer).unwrap().fetched(NOW, Some(Keys::parse(keys).unwrap()))
    };
    // The same keys again, in another order.
    assert_eq!(publish(&mut verifier, ISSUER, &published_keys()), 0);
    assert_eq!(remembered(&cache), [true, true, true]);
    assert_eq!(publish(&mut verifier, ISSUER, &key_set(&[world().ec.published("ec")])), 1);
    assert_eq!(remembered(&cache), [true, false, true]);
    // Somebody who verified it before the key left remembers it afterwards.
    cache.insert(&rsa, old);
    assert_eq!(remembered(&cache), [true, false, true]);
    assert!(verifier.revoke(PLAIN) && !verifier.revoke(PLAIN));
    assert_eq!(remembered(&cache), [true, false, false]);
    drop(verifier);
    assert_eq!(remembered(&cache), [false, false, false], "other settings mean other issuers");
}

#[test]
fn a_key_with_the_same_name_is_another_key() {
    let (cache, mut verifier, token) = (TokenCache::new(100), verifier(), token(|_, _| {}));
    remember(&cache, &verifier, &token);
    let keys = key_set(&[world().attacker.published("ec")]);
    assert!(!verifier.keys(ISSUER).unwrap().start_fetch(NOW, Need::UnknownKey));
    verifier.keys(ISSUER).unwrap().fetched(NOW, Some(Keys::parse(&keys).unwrap()));
    assert!(cache.get(&token, NOW).is_none());
}

#[test]
fn the_cache_is_bounded_and_keeps_what_is_used() {
    let (cache, verifier, used) = (TokenCache::new(320), verifier(), token(|_, _| {}));
    let verified = verifier.verify(&used, NOW).unwrap();
    cache.insert(&used, verified.clone());
    for number in 0..20_000 {
        cache.insert(&number.to_string(), verified.clone());
        assert!(cache.get(&used, NOW).is_some(), "after {number} others");
    }
    assert!((160..=320).contains(&cache.len()), "{cache:?}");
    assert!(cache.get("19999", NOW).is_some() && cache.get("0", NOW).is_none());
}

/// The mean time of one of `count` calls, in the fastest of several rounds: other processes only make a round slower.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn fastest_ns(rounds: usize, count: usize, mut call: impl FnMut(usize)) -> u128 {
    let round = || {
        let started = Instant::now();
        (0..count).for_each(&mut call);
        started.elapsed().as_nanos() / count as u128
    };
    std::iter::repeat_with(round).take(rounds).min().unwrap()
}

/// `cargo test --release -p oauth a_remembered_token -- --nocapture` prints the costs. Without optimisation only the path is
/// tested.
#[test]
fn a_remembered_token_costs_little() {
    const TOKENS: usize = 10_000;
    let (cache, verifier) = (TokenCache::new(4 * TOKENS), verifier());
    // A token of a usual size, about 1 KiB.
    let token = token(|_, claims| claims["x"] = "x".repeat(500).into());
    let verified = verifier.verify(&token, NOW).unwrap();
    let tokens: Vec<String> = (0..TOKENS).map(|number| format!("{token}{number}")).collect();
    for token in &tokens {
        cache.insert(token, verified.clone());
    }
    let rounds = if cfg!(debug_assertions) { 1 } else { 50 };
    let hit_ns = fastest_ns(rounds, TOKENS, |number| {
        assert!(black_box(cache.get(black_box(&tokens[number]), NOW)).is_some());
    });
    let miss_ns = fastest_ns(rounds, 20, |_| assert!(black_box(verifier.verify(black_box(&token), NOW)).is_ok()));
    println!("{} bytes: {hit_ns} ns for a remembered token, {miss_ns} ns to verify one with ES256", tokens[0].len());
    if !cfg!(debug_assertions) {
        assert!(hit_ns < 3_000, "{hit_ns} ns for a remembered token; expected less than 3000");
    }
}
