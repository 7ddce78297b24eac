//! Events about lists.

use engine::{AddedValue, ListFact, ListValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::EventData;
use crate::lists::shown;

/// A list was made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ListMade {
    /// The name of the list.
    list: String,
    /// What its values are: an entity, such as `device`, or `text`.
    holds: String,
    /// What it is for: `block`, `allow` or `watch`.
    purpose: &'static str,
    /// For people to read; may be empty.
    description: String,
}

/// Values were added to a list, or got another expiry or reason.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ListValuesAdded {
    /// The name of the list.
    list: String,
    values: Vec<ListValueAdded>,
}

/// A value that was added to a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ListValueAdded {
    /// The text. Absent in a list of entities.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The token of the entity. Absent in a list of texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// From when on it is not in the list any more; null if it stays until it is removed.
    #[schema(required, format = "date-time")]
    expires_at: Option<String>,
    /// Why it is in the list; may be empty.
    reason: String,
}

/// Values were removed from a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ListValuesRemoved {
    /// The name of the list.
    list: String,
    /// The texts, or the tokens of the entities.
    values: Vec<String>,
}

/// A list was deleted with its values.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ListDeleted {
    /// The name that it had.
    list: String,
}

pub(super) fn list_data(fact: &ListFact) -> (&'static str, EventData) {
    let list = fact.list().to_string();
    match fact {
        ListFact::Made { of, purpose, description, .. } => {
            let (holds, purpose, description) = (of.to_string(), purpose.name(), description.to_string());
            ("list_made", EventData::ListMade(ListMade { list, holds, purpose, description }))
        }
        ListFact::ValuesAdded { values, .. } => {
            let one = |added: &AddedValue| {
                let (value, token) = shown(&added.value);
                let expires_at = added.expires_at.map(|at| at.to_string());
                ListValueAdded { value, token, expires_at, reason: added.reason.to_string() }
            };
            let values = values.iter().map(one).collect();
            ("list_values_added", EventData::ListValuesAdded(ListValuesAdded { list, values }))
        }
        ListFact::ValuesRemoved { values, .. } => {
            let one = |value: &ListValue| match value {
                ListValue::Text(text) => text.to_string(),
                ListValue::Entity(token) => token.to_string(),
            };
            let values = values.iter().map(one).collect();
            ("list_values_removed", EventData::ListValuesRemoved(ListValuesRemoved { list, values }))
        }
        ListFact::Deleted { .. } => ("list_deleted", EventData::ListDeleted(ListDeleted { list })),
    }
}
