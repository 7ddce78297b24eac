//! Requests about attributes of entities. Few customers and few values, so that requests repeat and replace each other.

use api::Operation;
use serde_json::json;
use types::{Span, Timestamp};

use super::{CUSTOMERS, http};
use crate::Rng;
use crate::edge::Sent;

pub(super) fn request(now: Timestamp, rng: &mut Rng) -> Sent {
    let customer = format!("customer/customer%20{}", rng.below(CUSTOMERS));
    let mut attributes = serde_json::Map::new();
    if rng.percent(70) {
        let level = if rng.percent(20) { None } else { Some(1 + rng.below(3)) };
        attributes.insert("level".to_owned(), json!(level));
    }
    // Only the second policy declares it, and any policy lets a request remove it.
    if rng.percent(40) || attributes.is_empty() {
        let seconds = Span::from_secs(rng.below(300));
        let since = if rng.percent(20) { None } else { Some(now.saturating_add(seconds).to_string()) };
        attributes.insert("since".to_owned(), json!(since));
    }
    Sent::Http(http(Operation::SetEntityAttributes, customer, "", &json!({"attributes": attributes})))
}
