//! Renders what is known about an entity, such as a customer, and parses the attributes that are set for it.

use std::collections::BTreeMap;

use engine::{ENTITY_CHANGES_MAX, EntityAttributeReply, EntityAttributesReply};
use ledger::Assets;
use policy::limits::ENTITY_TEXT_BYTES_MAX;
use policy::{EntityAttribute, EntityAttributeType, EntityValue, FeatureValue, Policy};
use serde::Serialize;
use types::{Name, Timestamp, shorten};
use utoipa::ToSchema;

use crate::decisions::{Feature, Payment};
use crate::errors::ErrorCode;
use crate::json::{Fields, Json, one_of, text_fault};
use crate::payments::{Given as _, entity_fault, pointer};
use crate::problem::Problem;
use crate::responses::Unknown;

/// Attributes of an entity to set or to remove.
#[derive(Debug, ToSchema)]
#[schema(as = EntityAttributesBody)]
pub struct EntityAttributesBody {
    /// 1 to 64 attributes that the active policy declares for the entity, by name: strings of 1 to 256 bytes, numbers or booleans; a
    /// timestamp is a string with an RFC 3339 time. Null removes an attribute, also one that the policy does not declare any more. Those that are not named stay as they
    /// are. The values are kept in the clear, so they must not be personal data.
    #[schema(value_type = Object, example = json!({"kyc_level": 2, "segment": "business"}))]
    pub attributes: (),
}

/// A request to set attributes of an entity. It was not checked against a policy yet. Its `Debug` form shows no values.
pub struct EntityAttributesRequest(Vec<(Name, Json)>);

impl std::fmt::Debug for EntityAttributesRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&Name> = self.0.iter().map(|(name, _)| name).collect();
        f.debug_struct("EntityAttributesRequest").field("names", &names).finish_non_exhaustive()
    }
}

impl EntityAttributesRequest {
    /// Parses the body of `PUT /v1/entities/{entity}/{key}`.
    ///
    /// # Errors
    /// If the body is invalid, whatever a policy declares.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let mut fields = Fields::of_body(body, &["attributes"])?;
        let given = fields.required("attributes", |fields, name| Ok(fields.take(name)))?;
        let given = Fields::of(given, "/attributes".to_owned())?.rest();
        if !(1..=ENTITY_CHANGES_MAX).contains(&given.len()) {
            let detail = format!("found {} attributes, expected 1 to {ENTITY_CHANGES_MAX}", given.len());
            return Err(fields.invalid("attributes", detail));
        }
        let one = |(name, value): (String, Json)| match name.parse() {
            Ok(parsed) => Ok((parsed, value)),
            Err(_not_a_name) => {
                let detail = "expected the name of an attribute: 1 to 64 of a-z, 0-9 and _, the first one a letter";
                Err(Problem::new(ErrorCode::InvalidField, detail).at(pointer(&name)))
            }
        };
        Ok(Self(given.into_iter().map(one).collect::<Result<_, _>>()?))
    }

    /// Whether it only removes attributes.
    pub fn only_removes(&self) -> bool {
        self.0.iter().all(|(_, value)| *value == Json::Null)
    }

    /// The values, as the policy declares them for entities of a kind that it has.
    ///
    /// # Errors
    /// If the policy declares no such attribute, or one of another type.
    pub fn against(&self, policy: &Policy, kind: &Name) -> Result<Vec<(Name, Option<EntityValue>)>, Problem> {
        let entity = policy.entities().iter().find(|entity| entity.name == *kind);
        let declared = entity.map_or(&[][..], |entity| &entity.attributes);
        let one = |(name, value): &(Name, Json)| {
            if *value == Json::Null {
                return Ok((name.clone(), None));
            }
            let Some(attribute) = declared.iter().find(|attribute| attribute.name == *name) else {
                let names: Vec<&str> = declared.iter().map(|attribute| attribute.name.as_str()).collect();
                let expected = if names.is_empty() { "none".to_owned() } else { one_of(&names) };
                let detail = format!("the active policy declares no attribute `{name}` of {kind}, expected {expected}");
                return Err(Problem::new(ErrorCode::UnknownAttribute, detail).at(pointer(name.as_str())));
            };
            Ok((name.clone(), Some(entity_value(attribute, value)?)))
        };
        self.0.iter().map(one).collect()
    }
}

/// Reads the value of an attribute of an entity.
fn entity_value(attribute: &EntityAttribute, value: &Json) -> Result<EntityValue, Problem> {
    let unfit = |found: String, expected: &str| {
        let detail = format!("found {found}, expected {expected}");
        Problem::new(ErrorCode::InvalidAttribute, detail).at(pointer(attribute.name.as_str()))
    };
    let other = |expected: &str| unfit(value.found(), expected);
    Ok(match attribute.ty {
        EntityAttributeType::Text => {
            let expected = format!("a string of 1 to {ENTITY_TEXT_BYTES_MAX} bytes");
            let text = value.text().ok_or_else(|| other(&expected))?;
            let fault = if text.is_empty() { Some("an empty string".to_owned()) } else { None };
            match fault.or_else(|| text_fault(&text, ENTITY_TEXT_BYTES_MAX)) {
                None => EntityValue::Text(text.into()),
                Some(fault) => return Err(unfit(fault, &expected)),
            }
        }
        EntityAttributeType::Int => {
            EntityValue::Int(value.int().ok_or_else(|| other("a whole number from -2^63 to 2^63 - 1"))?)
        }
        EntityAttributeType::Double => value.double().and_then(EntityValue::double).ok_or_else(|| other("a number"))?,
        EntityAttributeType::Bool => EntityValue::Bool(value.bool().ok_or_else(|| other("true or false"))?),
        EntityAttributeType::Time => EntityValue::Time(value.time().ok_or_else(|| other(Json::TIME))?),
    })
}

/// Checks the key of an entity in a path, as payments check the values of their entities. The message does not show it, because it may
/// be personal.
///
/// # Errors
/// If no payment could name it.
pub fn check_key(key: &str) -> Result<(), Problem> {
    match entity_fault(key) {
        None => Ok(()),
        Some(fault) => {
            let detail = format!("the key is {fault}, expected 1 to 256 characters, none of them a control character");
            Err(Problem::new(ErrorCode::InvalidParameter, detail).at("key"))
        }
    }
}

/// The problem of a request that names a kind of entity that the active policy does not declare.
pub fn unknown_kind(policy: Option<&Policy>, kind: &str) -> Problem {
    let kinds: Vec<&str> = policy.into_iter().flat_map(Policy::entities).map(|one| one.name.as_str()).collect();
    let detail = format!("found `{}`, expected an entity of the active policy: {}", shorten(kind), kinds.join(", "));
    Problem::new(ErrorCode::EntityNotFound, detail)
}

/// The attributes that were set for an entity.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(title = "EntityAttributes")]
pub struct EntityAttributes {
    /// The name of the entity in the active policy, such as `customer`.
    entity: String,
    /// In order of name.
    attributes: Vec<SetAttribute>,
}

impl From<&EntityAttributesReply> for EntityAttributes {
    fn from(reply: &EntityAttributesReply) -> Self {
        Self { entity: reply.kind.to_string(), attributes: reply.attributes.iter().map(SetAttribute::from).collect() }
    }
}

/// An attribute of an entity, and who set it.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct SetAttribute {
    /// The name in the policy that was active when it was set.
    #[schema(example = "kyc_level")]
    name: String,
    /// A string, number or boolean; a timestamp is a string.
    #[schema(example = 2)]
    value: serde_json::Value,
    /// Since when it has this value.
    #[schema(format = "date-time")]
    set_at: String,
    /// The number of the principal that set it.
    set_by: u64,
    /// The sequence of the entry that set it.
    sequence: u64,
}

impl From<&EntityAttributeReply> for SetAttribute {
    fn from(reply: &EntityAttributeReply) -> Self {
        Self {
            name: reply.name.to_string(),
            value: shown_value(&reply.value),
            set_at: reply.set_at.to_string(),
            set_by: reply.set_by.get(),
            sequence: reply.set.get(),
        }
    }
}

pub(crate) fn shown_value(value: &EntityValue) -> serde_json::Value {
    match value {
        EntityValue::Text(value) => (&**value).into(),
        EntityValue::Int(value) => (*value).into(),
        EntityValue::Double(value) => (*value).into(),
        EntityValue::Bool(value) => (*value).into(),
        EntityValue::Time(at) => at.to_string().into(),
    }
}

/// What an entity's payments add up to.
#[derive(Debug, Clone, Default)]
pub struct EntityTotals {
    /// When its first and its last payment were decided.
    pub seen: Option<(Timestamp, Timestamp)>,
    /// How many payments were counted.
    pub payments: u64,
    /// Whether these are all of its payments, not only the newest.
    pub complete: bool,
    /// Counted payments by verdict.
    pub decisions: BTreeMap<&'static str, u64>,
    /// Counted payments by the label that they have now.
    pub labels: BTreeMap<Name, u64>,
    /// The newest payments, from the newest to the oldest.
    pub newest: Vec<engine::Payment>,
}

/// An entity, such as a customer, and its payments.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(title = "Entity")]
pub struct Entity {
    /// The name of the entity in the active policy, such as `customer`.
    entity: String,
    /// When its first payment was decided; null if it has none, but attributes.
    #[schema(required, format = "date-time")]
    first_seen: Option<String>,
    /// When its last payment was decided; null if it has none.
    #[schema(required, format = "date-time")]
    last_seen: Option<String>,
    /// How many payments were counted: all of them, or the newest 2,000.
    payments: u64,
    /// Whether all of its payments were counted.
    complete: bool,
    /// How many of the counted payments have each verdict.
    decisions: BTreeMap<&'static str, u64>,
    /// How many of the counted payments have each label now.
    labels: BTreeMap<String, u64>,
    /// The attributes that were set for it, in order of name.
    attributes: Vec<SetAttribute>,
    /// The values that the features of the active policy have for it now, as far as they are about this entity alone.
    features: Vec<Feature>,
    /// Its newest payments, from the newest to the oldest. `GET /v1/payments` lists the others.
    newest: Vec<Payment>,
}

impl Entity {
    /// Returns `None` if the entity has neither payments nor attributes.
    ///
    /// # Errors
    /// If `assets` lacks the ledger of a payment.
    pub fn new(
        totals: &EntityTotals,
        attributes: &EntityAttributesReply,
        features: &[(Name, FeatureValue)],
        assets: &Assets,
    ) -> Result<Option<Self>, Unknown> {
        if totals.seen.is_none() && attributes.attributes.is_empty() {
            return Ok(None);
        }
        let newest = totals.newest.iter().map(|payment| Payment::new(payment, None, assets));
        Ok(Some(Self {
            entity: attributes.kind.to_string(),
            first_seen: totals.seen.map(|(first, _)| first.to_string()),
            last_seen: totals.seen.map(|(_, last)| last.to_string()),
            payments: totals.payments,
            complete: totals.complete,
            decisions: totals.decisions.clone(),
            labels: totals.labels.iter().map(|(label, count)| (label.to_string(), *count)).collect(),
            attributes: attributes.attributes.iter().map(SetAttribute::from).collect(),
            features: features.iter().map(|(name, value)| Feature::new(name.to_string(), value)).collect(),
            newest: newest.collect::<Result<_, _>>()?,
        }))
    }
}
