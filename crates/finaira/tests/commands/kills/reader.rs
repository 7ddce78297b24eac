//! A reader of the event feed: events that it has seen never vanish or change, and nothing happens twice.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::Client;

const PAGE: usize = 200;

#[derive(Default)]
pub(super) struct Reader {
    /// Every event that was returned, in order from the first.
    seen: Vec<Value>,
    /// How many of them have been checked again.
    checked: usize,
}

impl Reader {
    /// Reads the next page. Returns false if the connection broke.
    pub(super) fn go_on(&mut self, client: &Client) -> bool {
        let Some(page) = page(client, self.seen.last()) else { return false };
        self.seen.extend(page);
        true
    }

    /// Checks that the events before the kill are returned again, unchanged.
    pub(super) fn check_seen(&mut self, client: &Client) {
        let mut place = self.checked;
        while place < self.seen.len() {
            let before = place.checked_sub(1).and_then(|before| self.seen.get(before));
            let page = page(client, before).expect("the server answers");
            let seen = &self.seen[place..self.seen.len().min(place + page.len())];
            assert!(!page.is_empty(), "events vanished after: {:?}", self.seen.last());
            assert_eq!(&page[..seen.len()], seen, "events are returned unchanged");
            place += page.len();
        }
        self.checked = self.seen.len();
    }

    /// Reads all events from the first one, and returns their number.
    pub(super) fn check_all(&self, client: &Client) -> usize {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let next = page(client, all.last()).expect("the server answers");
            if next.is_empty() {
                break;
            }
            all.extend(next);
        }
        assert_eq!(all[..self.seen.len()], self.seen, "events are returned unchanged");
        let mut spent = BTreeSet::new();
        for (event, sequence) in all.iter().zip(1_u64..) {
            assert_eq!(event["sequence"], sequence, "the feed has no gaps: {event}");
            let (kind, data) = (event["kind"].as_str().unwrap_or_default(), &event["data"]);
            let id = match kind {
                "transfer_created" | "transfer_failed" | "payment_decided" => {
                    data["id"].as_str().or(data["payment"].as_str()).map(str::to_owned)
                }
                "payment_changed" => Some(data.to_string()),
                _ => continue,
            };
            let id = id.unwrap_or_else(|| panic!("the event does not name its object: {event}"));
            assert!(spent.insert((kind == "payment_decided", id)), "the event happened twice: {event}");
        }
        all.len()
    }
}

fn page(client: &Client, after: Option<&Value>) -> Option<Vec<Value>> {
    let cursor = after.and_then(|event| event["cursor"].as_str()).map_or(String::new(), |at| format!("&cursor={at}"));
    let reply = client.try_get(&format!("/v1/events?limit={PAGE}{cursor}"))?;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body["items"].as_array().cloned()
}
