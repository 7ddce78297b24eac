//! Lists: parses the requests and renders the answers.

use std::sync::Arc;

use engine::{
    AddedValue, LIST_CHANGES_MAX, LIST_REASON_BYTES_MAX, LIST_TEXT_BYTES_MAX, ListChanged, ListOf, ListPurpose,
    ListReply, ListValue, ListedReply, MakeList,
};
use serde::Serialize;
use types::{Name, Timestamp, Token, shorten};
use utoipa::ToSchema;

use crate::errors::ErrorCode;
use crate::json::{Fields, Json, one_of, text_fault};
use crate::parameters::invalid;
use crate::problem::Problem;

/// How a request says that a list holds texts.
const TEXT: &str = "text";
const TIME: &str = "a string with a time, such as \"2027-01-31T00:00:00Z\"";
const TOKEN: &str = "a string with the token of an entity, as a list shows it";

/// A list to make.
#[derive(Debug, ToSchema)]
#[schema(as = NewList)]
pub struct ListBody {
    /// The name by which rules and requests refer to the list.
    #[schema(pattern = "^[a-z][a-z0-9_]{0,63}$", example = "blocked_devices")]
    pub name: String,
    /// What its values are: an entity of the policy, such as `device`, or `text`. Values of entities are kept as tokens, texts in the
    /// clear.
    #[schema(example = "device")]
    pub holds: String,
    /// What it is for: `block`, `allow` or `watch`. Rules say what follows from a value in it.
    #[schema(example = "block")]
    pub purpose: String,
    /// For people to read, at most 256 bytes.
    #[schema(example = "Devices of known fraud")]
    pub description: Option<String>,
}

/// Values to add to a list: 1 to 5000, and at most 160 KiB of texts and reasons together.
#[derive(Debug, ToSchema)]
#[schema(as = NewListValues)]
pub struct ListValuesBody {
    pub values: Vec<ListValueBody>,
}

/// A value to add. If the list has it already, it gets the new expiry and reason.
#[derive(Debug, ToSchema)]
#[schema(as = NewListValue)]
pub struct ListValueBody {
    /// A text of 1 to 256 bytes, or the value of an entity. Give this or `token`.
    #[schema(example = "d-4711")]
    pub value: Option<String>,
    /// The token of an entity, as a list shows it.
    pub token: Option<String>,
    /// From when on the value is not in the list any more. Without it, the value stays until it is removed.
    #[schema(format = "date-time")]
    pub expires_at: Option<String>,
    /// Why it is in the list, at most 256 bytes and no personal data, because it is not encrypted.
    #[schema(example = "chargeback, case 4711")]
    pub reason: Option<String>,
}

/// Values to remove from a list: 1 to 5000 together.
#[derive(Debug, ToSchema)]
#[schema(as = RemovedListValues)]
pub struct RemovedValuesBody {
    /// Texts, or values of entities.
    #[schema(example = json!(["d-4711"]))]
    pub values: Option<Vec<String>>,
    /// Tokens of entities, as a list shows them.
    pub tokens: Option<Vec<String>>,
}

/// A value as a request names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ValueNamed {
    /// A text, or the value of an entity.
    Value(String),
    /// The token of an entity.
    Token(Token),
}

/// A value to add, as a request names it.
#[derive(Debug, Clone)]
pub struct NewValue {
    pub value: ValueNamed,
    pub expires_at: Option<Timestamp>,
    pub reason: Arc<str>,
}

impl NewValue {
    /// The same with its value in the form in which a list has it.
    pub fn of(self, value: ListValue) -> AddedValue {
        AddedValue { value, expires_at: self.expires_at, reason: self.reason }
    }
}

/// A list without its values.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(title = "List")]
pub struct List {
    #[schema(example = "blocked_devices")]
    name: String,
    /// What its values are: an entity, such as `device`, or `text`.
    #[schema(example = "device")]
    holds: String,
    /// What it is for: `block`, `allow` or `watch`.
    #[schema(example = "block")]
    purpose: &'static str,
    /// For people to read; may be empty.
    description: String,
    /// How many values it has, those that have expired included.
    values: u64,
    /// The sequence of the entry that changed it last. Decisions name it.
    version: u64,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// The number of the principal that made it.
    created_by: u64,
    /// When it was changed last.
    #[schema(format = "date-time")]
    changed_at: String,
    /// The number of the principal that changed it last.
    changed_by: u64,
}

/// A list after a request to add or remove values.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChangedList {
    list: List,
    /// How many of the values changed the list.
    changed: u64,
    /// How many of them it had already with the same expiry and reason, or did not have, so that there was nothing to remove.
    unchanged: u64,
}

/// A value of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ListedValue {
    /// The text. Absent in a list of entities.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "KP")]
    value: Option<String>,
    /// The token of the entity. Absent in a list of texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// From when on it is not in the list any more; null if it stays until it is removed.
    #[schema(required, format = "date-time")]
    expires_at: Option<String>,
    /// Whether it has expired. Rules do not see it any more, but it counts as a value of the list until it is removed.
    expired: bool,
    /// Why it is in the list; may be empty.
    reason: String,
    /// When it was added, or got its present expiry and reason.
    #[schema(format = "date-time")]
    added_at: String,
    /// The number of the principal that did this.
    added_by: u64,
    /// The sequence of the entry that did this.
    sequence: u64,
}

impl From<&ListReply> for List {
    fn from(reply: &ListReply) -> Self {
        Self {
            name: reply.name.to_string(),
            holds: reply.of.to_string(),
            purpose: reply.purpose.name(),
            description: reply.description.to_string(),
            values: reply.values as u64,
            version: reply.version.get(),
            created_at: reply.made_at.to_string(),
            created_by: reply.made_by.get(),
            changed_at: reply.changed_at.to_string(),
            changed_by: reply.changed_by.get(),
        }
    }
}

impl From<&ListChanged> for ChangedList {
    fn from(reply: &ListChanged) -> Self {
        let ListChanged { list, changed, unchanged } = reply;
        Self { list: list.into(), changed: *changed as u64, unchanged: *unchanged as u64 }
    }
}

impl From<&ListedReply> for ListedValue {
    fn from(reply: &ListedReply) -> Self {
        let (value, token) = shown(&reply.value);
        Self {
            value,
            token,
            expires_at: reply.expires_at.map(|at| at.to_string()),
            expired: reply.has_expired,
            reason: reply.reason.to_string(),
            added_at: reply.added_at.to_string(),
            added_by: reply.added_by.get(),
            sequence: reply.added.get(),
        }
    }
}

/// The text and the token of a value, of which it has one.
pub(crate) fn shown(value: &ListValue) -> (Option<String>, Option<String>) {
    match value {
        ListValue::Text(text) => (Some(text.to_string()), None),
        ListValue::Entity(token) => (None, Some(token.to_string())),
    }
}

/// Parses the body of `POST /v1/lists`.
///
/// # Errors
/// If the body does not describe a list.
pub fn new_list(body: &[u8]) -> Result<MakeList, Problem> {
    let mut fields = Fields::of_body(body, &["name", "holds", "purpose", "description"])?;
    let name = fields.required("name", |fields, name| fields.parsed(name, "a string with the name of a list"))?;
    let holds = "a string with the name of an entity of the policy, or `text`";
    let holds: Name = fields.required("holds", |fields, name| fields.parsed(name, holds))?;
    let purposes = ListPurpose::ALL.map(ListPurpose::name);
    let expected = one_of(&purposes);
    let purpose = fields.required("purpose", |fields, name| fields.text(name, &expected, LIST_TEXT_BYTES_MAX))?;
    let known = ListPurpose::ALL.into_iter().find(|known| known.name() == purpose);
    let Some(purpose) = known else {
        return Err(fields.invalid("purpose", format!("found `{}`, expected {expected}", shorten(&purpose))));
    };
    let description = format!("a string of at most {LIST_REASON_BYTES_MAX} bytes");
    let description = fields.text("description", &description, LIST_REASON_BYTES_MAX)?.unwrap_or_default();
    let of = if holds.as_str() == TEXT { ListOf::Text } else { ListOf::Entity(holds) };
    Ok(MakeList { name, of, purpose, description: description.into() })
}

/// Parses the name of a list in a path.
///
/// # Errors
/// If it is not a name.
pub fn list_name(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|error: types::NameParseError| invalid("id", error.to_string()))
}

/// Parses the body of a request to add values.
///
/// # Errors
/// If a value is invalid, or named twice.
pub fn new_values(body: &[u8]) -> Result<Vec<NewValue>, Problem> {
    let mut fields = Fields::of_body(body, &["values"])?;
    let pointer = fields.pointer_of("values");
    let mut reason: Arc<str> = Arc::from("");
    let one = |(place, value): (usize, Json)| {
        let known = ["value", "token", "expires_at", "reason"];
        let mut fields = Fields::of(value, format!("{pointer}/{place}"))?.among(&known)?;
        let value = fields.text("value", &text_expected(), LIST_TEXT_BYTES_MAX)?;
        let token: Option<Token> = fields.parsed("token", TOKEN)?;
        let value = match (value, token) {
            (Some(value), None) if value.is_empty() => {
                return Err(fields.invalid("value", format!("found an empty string, expected {}", text_expected())));
            }
            (Some(value), None) => ValueNamed::Value(value),
            (None, Some(token)) => ValueNamed::Token(token),
            (Some(_), Some(_)) => return Err(fields.invalid("token", "expected `value` or `token`, found both")),
            (None, None) => {
                let detail = "expected `value` or `token`, found neither";
                return Err(Problem::new(ErrorCode::MissingField, detail).at(fields.pointer_of("value")));
            }
        };
        let expires_at: Option<Timestamp> = fields.parsed("expires_at", TIME)?;
        let expected = format!("a string of at most {LIST_REASON_BYTES_MAX} bytes");
        let given = fields.text("reason", &expected, LIST_REASON_BYTES_MAX)?.unwrap_or_default();
        if *given != *reason {
            reason = given.into();
        }
        Ok(NewValue { value, expires_at, reason: Arc::clone(&reason) })
    };
    let values = fields.list("values", LIST_CHANGES_MAX)?.into_iter().enumerate().map(one);
    let values = values.collect::<Result<Vec<_>, _>>()?;
    once(values.iter().map(|new| &new.value), "/values")?;
    Ok(values)
}

/// Parses the body of a request to remove values.
///
/// # Errors
/// If a value is invalid, or named twice.
pub fn removed_values(body: &[u8]) -> Result<Vec<ValueNamed>, Problem> {
    let mut fields = Fields::of_body(body, &["values", "tokens"])?;
    if !fields.has("values") && !fields.has("tokens") {
        let detail = "expected `values` or `tokens`, found neither";
        return Err(Problem::new(ErrorCode::MissingField, detail).at(fields.pointer_of("values")));
    }
    let mut named = Vec::new();
    for name in ["values", "tokens"] {
        if !fields.has(name) {
            continue;
        }
        for (place, value) in fields.list(name, LIST_CHANGES_MAX)?.into_iter().enumerate() {
            let wrong = |found: String, expected: &str| {
                let detail = format!("found {found}, expected {expected}");
                Problem::new(ErrorCode::InvalidField, detail).at(format!("{}/{place}", fields.pointer_of(name)))
            };
            let expected = if name == "values" { text_expected() } else { TOKEN.to_owned() };
            let Some(text) = value.as_text() else { return Err(wrong(value.found(), &expected)) };
            named.push(match name {
                "values" => match text_fault(text, LIST_TEXT_BYTES_MAX) {
                    Some(fault) => return Err(wrong(fault, &expected)),
                    None => ValueNamed::Value(text.to_owned()),
                },
                _ => ValueNamed::Token(text.parse().map_err(|_unparsed| wrong(format!("`{}`", shorten(text)), TOKEN))?),
            });
        }
    }
    for name in ["values", "tokens"] {
        let is_token = name == "tokens";
        let of_field = named.iter().filter(|named| matches!(named, ValueNamed::Token(_)) == is_token);
        once(of_field, &format!("/{name}"))?;
    }
    Ok(named)
}

fn text_expected() -> String {
    format!("a string of 1 to {LIST_TEXT_BYTES_MAX} bytes")
}

/// Refuses a value that is named twice. The message does not show it, because it may be personal.
fn once<'v>(values: impl Iterator<Item = &'v ValueNamed>, pointer: &str) -> Result<(), Problem> {
    let mut seen = std::collections::HashMap::new();
    for (place, value) in values.enumerate() {
        if let Some(first) = seen.insert(value, place) {
            return Err(named_twice(first, place, pointer));
        }
    }
    Ok(())
}

/// The problem of a request that names the same value at two places.
pub fn named_twice(first: usize, place: usize, pointer: &str) -> Problem {
    let detail = format!("the values at the places {first} and {place} are the same, expected each value once");
    Problem::new(ErrorCode::InvalidField, detail).at(format!("{pointer}/{place}"))
}
