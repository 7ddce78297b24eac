//! Which payments a list contains: parses the conditions, and checks payments against them.

use std::collections::BTreeMap;

use engine::{Payment, PaymentDecided, PaymentStatus};
use policy::{Policy, Verdict};
use types::{Amount, LedgerId, Name, Timestamp, shorten};

use crate::errors::ErrorCode;
use crate::filters;
use crate::json::one_of;
use crate::parameters::{Parameters, invalid};
use crate::past::period;
use crate::problem::Problem;
use crate::requests::ledger_id;
use crate::routes::ENTITY;

/// Which payments to return: those that meet all the given conditions. Bounds are inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentFilter {
    pub status: Option<PaymentStatus>,
    pub payment_type: Option<Name>,
    pub decision: Option<Verdict>,
    pub reason: Option<Name>,
    pub tag: Option<String>,
    pub label: Option<Name>,
    pub ledger: Option<LedgerId>,
    /// In minor units.
    pub min_amount: Amount,
    /// In minor units.
    pub max_amount: Amount,
    /// Of the decision, as is the other one.
    pub min_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    /// JSON texts by key.
    pub metadata: Vec<(String, String)>,
    /// Entities that a payment names in any of its attributes.
    pub entities: Vec<EntityNamed>,
    /// From the newest to the oldest.
    pub reversed: bool,
}

/// An entity, such as a customer, as a request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityNamed {
    /// The name in the policy, such as `customer`.
    pub kind: Name,
    /// The value in the form in which it is compared.
    pub value: String,
    /// Whether each value has a key of its own.
    pub personal: bool,
}

impl EntityNamed {
    /// An entity of a kind that the policy declares. `None` if it declares no such kind.
    pub fn of(policy: Option<&Policy>, kind: &str, value: &str) -> Option<Self> {
        let entity = policy?.entities().iter().find(|entity| entity.name.as_str() == kind)?;
        let value = entity.normalise.apply(value).into_owned();
        Some(Self { kind: entity.name.clone(), value, personal: entity.personal })
    }
}

impl PaymentFilter {
    /// Reads the parameters of `GET /v1/payments`, of which the route knows all but those that the policy names.
    ///
    /// # Errors
    /// If a value is invalid, or a parameter is neither one of the route nor an entity of the policy.
    pub fn read(parameters: &Parameters, known: &[&str], policy: Option<&Policy>) -> Result<Self, Problem> {
        let mut entities = Vec::new();
        for (name, value) in parameters.beyond(known) {
            let entity = EntityNamed::of(policy, name, value).ok_or_else(|| unknown(name, known, policy))?;
            entities.push(entity);
        }
        let (min_timestamp, max_timestamp) = period(parameters, "min_timestamp", "max_timestamp")?;
        let min_amount = parameters.parsed("min_amount")?.unwrap_or(Amount::ZERO);
        let max_amount = parameters.parsed("max_amount")?.unwrap_or(Amount::MAX);
        if min_amount > max_amount {
            let detail = format!("found {min_amount}, which is more than `max_amount` ({max_amount})");
            return Err(invalid("min_amount", detail));
        }
        let (statuses, verdicts) =
            (PaymentStatus::ALL.map(|one| (one.name(), one)), Verdict::ALL.map(|one| (one.name(), one)));
        Ok(Self {
            status: one_named(parameters, "status", &statuses)?,
            payment_type: parameters.parsed("type")?,
            decision: one_named(parameters, "decision", &verdicts)?,
            reason: parameters.parsed("reason")?,
            tag: parameters.get("tag").map(str::to_owned),
            label: parameters.parsed("label")?,
            ledger: parameters.get("ledger").map(|text| ledger_id("ledger", text)).transpose()?,
            min_amount,
            max_amount,
            min_timestamp,
            max_timestamp,
            metadata: filters::metadata(parameters)?,
            entities,
            reversed: parameters.flag("reversed")?,
        })
    }

    /// Whether a payment meets all conditions, apart from those about entities.
    pub fn fits(&self, payment: &Payment, decided: &PaymentDecided, metadata: &BTreeMap<String, String>) -> bool {
        let is = |wanted: Option<bool>| wanted.unwrap_or(true);
        is(self.status.map(|status| payment.status == status))
            && is(self.payment_type.as_ref().map(|name| payment.payment_type == *name))
            && is(self.decision.map(|verdict| payment.verdict == verdict))
            && is(self.reason.as_ref().map(|code| decided.reasons.iter().any(|reason| reason.code == *code)))
            && is(self.tag.as_ref().map(|tag| decided.tags.contains(tag)))
            && is(self.label.as_ref().map(|name| payment.label.as_ref().is_some_and(|label| label.name == *name)))
            && is(self.ledger.map(|ledger| payment.ledger == ledger))
            && (self.min_amount..=self.max_amount).contains(&payment.amount)
            && (self.min_timestamp..=self.max_timestamp).contains(&payment.decided_at)
            && self.metadata.iter().all(|(key, json)| metadata.get(key) == Some(json))
    }

    /// The names of the given conditions.
    pub fn names(&self) -> Vec<String> {
        let given = [
            (self.status.is_some(), "status"),
            (self.payment_type.is_some(), "type"),
            (self.decision.is_some(), "decision"),
            (self.reason.is_some(), "reason"),
            (self.tag.is_some(), "tag"),
            (self.label.is_some(), "label"),
            (self.ledger.is_some(), "ledger"),
            (self.min_amount > Amount::ZERO, "min_amount"),
            (self.max_amount < Amount::MAX, "max_amount"),
            (self.min_timestamp > Timestamp::ZERO, "min_timestamp"),
            (self.max_timestamp < Timestamp::MAX, "max_timestamp"),
        ];
        let entities = self.entities.iter().map(|entity| entity.kind.to_string());
        let metadata = self.metadata.iter().map(|(key, _)| format!("metadata.{}", shorten(key)));
        given.iter().filter(|(is, _)| *is).map(|(_, name)| (*name).to_owned()).chain(entities).chain(metadata).collect()
    }
}

fn one_named<T: Copy>(parameters: &Parameters, name: &str, all: &[(&str, T)]) -> Result<Option<T>, Problem> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    let found = all.iter().find(|(known, _)| *known == text).map(|(_, one)| *one);
    found.map(Some).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(known, _)| *known).collect();
        invalid(name, format!("found `{}`, expected one of {}", shorten(text), names.join(", ")))
    })
}

/// The error about a parameter that is neither one of the route nor an entity of the policy.
fn unknown(name: &str, known: &[&str], policy: Option<&Policy>) -> Problem {
    let entities = policy.into_iter().flat_map(Policy::entities).map(|entity| entity.name.as_str());
    let expected: Vec<&str> = known.iter().copied().filter(|name| *name != ENTITY.name).chain(entities).collect();
    let detail = format!("there is no parameter `{}`, expected {}", shorten(name), one_of(&expected));
    Problem::new(ErrorCode::UnknownParameter, detail).at(shorten(name))
}
