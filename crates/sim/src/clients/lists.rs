//! Requests about lists. Few lists and few values, so that they conflict.

use api::Operation;
use engine::{ListOf, ListValue, query};
use serde_json::json;
use types::{Span, Timestamp};

use super::{CUSTOMERS, Kind, http};
use crate::Rng;
use crate::edge::Sent;

pub(super) fn request(what: Kind, now: Timestamp, rng: &mut Rng) -> Sent {
    let name = (*rng.pick(&["blocked", "blocked", "countries"])).to_owned();
    let value = |rng: &mut Rng| match rng.below(4) {
        0 => format!("text {}", rng.below(3)),
        _ => format!("customer {}", rng.below(CUSTOMERS)),
    };
    Sent::Http(match what {
        Kind::NewList => {
            let holds = match (name.as_str(), rng.below(8)) {
                ("blocked", 0) | ("countries", 1..) => "text",
                (_, _) => "customer",
            };
            let purpose = if rng.percent(90) { "block" } else { "watch" };
            let body = json!({"name": name, "holds": holds, "purpose": purpose});
            http(Operation::CreateList, String::new(), "", &body)
        }
        Kind::ListValues => {
            let mut values: Vec<String> = (0..rng.below(3) + 1).map(|_| value(rng)).collect();
            values.sort();
            values.dedup();
            let reason = *rng.pick(&["", "case 1"]);
            let expires_at = rng.percent(40).then(|| {
                let seconds = rng.below(120);
                now.saturating_add(Span::from_secs(seconds)).to_string()
            });
            let one = |value: &String| json!({"value": value, "reason": reason, "expires_at": expires_at});
            let values: Vec<serde_json::Value> = values.iter().map(one).collect();
            http(Operation::AddListValues, name, "", &json!({"values": values}))
        }
        Kind::RemoveListValues => http(Operation::RemoveListValues, name, "", &json!({"values": [value(rng)]})),
        Kind::DeleteList => http(Operation::DeleteList, name, "", &json!({})),
        _ => match rng.below(4) {
            0 => http(Operation::ListLists, String::new(), "", &serde_json::Value::Null),
            1 => http(Operation::GetList, name, "", &serde_json::Value::Null),
            2 => http(Operation::ListListValues, name, rng.pick::<&str>(&["", "limit=2"]), &serde_json::Value::Null),
            _ => {
                let (list, value) = (name.parse().expect("a name"), ListValue::Text(value(rng).into()));
                return Sent::within(engine::Query::from(query::ListedValue { list, of: ListOf::Text, value }));
            }
        },
    })
}
