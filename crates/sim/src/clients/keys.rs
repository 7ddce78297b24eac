//! Requests for API keys.

use api::Operation;
use serde_json::json;
use types::{CredentialId, Span, Timestamp};

use super::http;
use crate::Rng;
use crate::edge::Http;

/// The number of a key that manages keys in most cases.
pub(super) fn some_key(rng: &mut Rng) -> u64 {
    match rng.below(10) {
        0 => 1 + rng.below(30),
        1..=3 => 1_000,
        _ => 1_000 + rng.below(30),
    }
}

pub(super) fn new_api_key(now: Timestamp, rng: &mut Rng) -> Http {
    let mut body = match rng.below(4) {
        0 => json!({"name": "simulated", "role": *rng.pick(&["administrator", "auditor"])}),
        _ => json!({"name": "simulated", "scopes": ["keys:manage", "payments:read"]}),
    };
    if rng.percent(50) {
        body["principal"] = json!(*rng.pick(&[1, 2, 3, 1_000]));
    } else {
        body["new_principal"] = json!({"kind": *rng.pick(&["service", "person"]), "name": "simulated"});
    }
    if rng.percent(30) {
        let seconds = 1 + rng.below(60);
        body["expires_at"] = json!(now.saturating_add(Span::from_secs(seconds)).to_string());
    }
    let key = rng.percent(40).then(|| format!("key-{}", rng.below(6)));
    let sent = http(Operation::CreateApiKey, String::new(), "", &body);
    Http { key, credential: CredentialId::new(some_key(rng)), ..sent }
}
