//! Renders what is known about an entity, such as a customer.

use std::collections::BTreeMap;

use ledger::Assets;
use policy::FeatureValue;
use serde::Serialize;
use types::{Name, Timestamp};
use utoipa::ToSchema;

use crate::decisions::{Feature, Payment};
use crate::responses::Unknown;

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
    /// When its first payment was decided.
    #[schema(format = "date-time")]
    first_seen: String,
    /// When its last payment was decided.
    #[schema(format = "date-time")]
    last_seen: String,
    /// How many payments were counted: all of them, or the newest 2,000.
    payments: u64,
    /// Whether all of its payments were counted.
    complete: bool,
    /// How many of the counted payments have each verdict.
    decisions: BTreeMap<&'static str, u64>,
    /// How many of the counted payments have each label now.
    labels: BTreeMap<String, u64>,
    /// The values that the features of the active policy have for it now, as far as they are about this entity alone.
    features: Vec<Feature>,
    /// Its newest payments, from the newest to the oldest. `GET /v1/payments` lists the others.
    newest: Vec<Payment>,
}

impl Entity {
    /// Returns `None` if the entity has no payments.
    ///
    /// # Errors
    /// If `assets` lacks the ledger of a payment.
    pub fn new(
        kind: &Name,
        totals: &EntityTotals,
        features: &[(Name, FeatureValue)],
        assets: &Assets,
    ) -> Result<Option<Self>, Unknown> {
        let Some((first, last)) = totals.seen else { return Ok(None) };
        let newest = totals.newest.iter().map(|payment| Payment::new(payment, None, assets));
        Ok(Some(Self {
            entity: kind.to_string(),
            first_seen: first.to_string(),
            last_seen: last.to_string(),
            payments: totals.payments,
            complete: totals.complete,
            decisions: totals.decisions.clone(),
            labels: totals.labels.iter().map(|(label, count)| (label.to_string(), *count)).collect(),
            features: features.iter().map(|(name, value)| Feature::new(name.to_string(), value)).collect(),
            newest: newest.collect::<Result<_, _>>()?,
        }))
    }
}
