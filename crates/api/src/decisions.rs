//! What clients get to see of payments and of the decisions about them.

use std::collections::BTreeMap;

use engine::{AtDeadline, CaptureTerms, LegRefusal, PaymentDecided, PlainValue, PolicyActivated};
use policy::{Effect, FeatureValue, Verdict};
use serde::Serialize;
use types::{Name, Seq, Timestamp};
use utoipa::ToSchema;

use crate::responses::{Assets, KnownLabel, Unknown, shown_metadata};

/// A payment as it stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Payment {
    /// Its id.
    id: String,
    /// Its type.
    #[schema(example = "card")]
    r#type: String,
    /// Where it stands: `posted`, `held`, `in_review`, `declined`, `refused`, `voided`, `expired`, `refunded`.
    #[schema(example = "posted")]
    status: &'static str,
    /// In minor units.
    #[schema(example = "1250")]
    amount: String,
    /// What the amount counts.
    #[schema(example = "EUR/2")]
    asset: String,
    /// The ledger it is in.
    #[schema(format = Int64)]
    ledger: u32,
    /// What policy said: `approve`, `review`, `decline`.
    verdict: &'static str,
    /// 0 to 1000.
    #[schema(maximum = 1000)]
    score: u16,
    /// Why; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<Reason>>,
    /// What rules attached; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    /// `immediate`: an approval moves the money. `manual`: it reserves it until a capture.
    capture: &'static str,
    /// What happens next if nobody acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Deadline>,
    /// What moved or is reserved.
    legs: Vec<Leg>,
    /// Why the ledger refused, when the status says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
    /// What it turned out to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<KnownLabel>,
    /// When it was decided.
    #[schema(format = "date-time")]
    decided_at: String,
    /// When it happened, as far as its type lets clients say so.
    #[schema(format = "date-time")]
    occurred_at: String,
    /// The journal's entry that decided it.
    sequence: u64,
    /// What the client attached: any JSON by key; not in lists.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object, required = false)]
    metadata: BTreeMap<String, serde_json::Value>,
}

impl Payment {
    /// A payment with its decision; without it in lists.
    ///
    /// # Errors
    /// When `assets` lacks its ledger.
    pub fn new(payment: &engine::Payment, decided: Option<&PaymentDecided>, assets: &Assets) -> Result<Self, Unknown> {
        Ok(Self {
            id: payment.id.to_string(),
            r#type: payment.payment_type.to_string(),
            status: payment.status.name(),
            amount: payment.amount.to_string(),
            asset: assets.of(payment.ledger)?.to_string(),
            ledger: payment.ledger.get(),
            verdict: verdict_name(payment.verdict),
            score: payment.score,
            reasons: decided.map(|decided| decided.reasons.iter().map(Reason::from).collect()),
            tags: decided.map(|decided| decided.tags.clone()),
            capture: capture_name(payment.capture),
            deadline: payment.deadline.map(Deadline::from),
            legs: payment.legs.iter().map(Leg::from).collect(),
            refusal: payment.refusal.map(Refusal::from),
            label: payment.label.as_ref().map(KnownLabel::from),
            decided_at: payment.decided_at.to_string(),
            occurred_at: payment.occurred_at.to_string(),
            sequence: payment.seq.get(),
            metadata: BTreeMap::new(),
        })
    }

    /// With what the client attached: JSON texts by key.
    #[must_use]
    pub fn with_metadata(self, metadata: &BTreeMap<String, String>) -> Self {
        Self { metadata: shown_metadata(metadata), ..self }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// One thing that spoke for the verdict or added to the score.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Reason {
    /// The name of a rule, or one of the system's own reasons.
    #[schema(example = "card_velocity")]
    code: String,
    /// What it did: `decline`, `review` or `score`.
    effect: &'static str,
    /// What it added to the score.
    #[serde(skip_serializing_if = "Option::is_none")]
    points: Option<i16>,
    /// What the rule is about; only in the full decision, while its policy is at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

impl From<&policy::Reason> for Reason {
    fn from(reason: &policy::Reason) -> Self {
        let (effect, points) = match reason.effect {
            Effect::Decline => ("decline", None),
            Effect::Review => ("review", None),
            Effect::Score(points) => ("score", Some(points)),
        };
        Self { code: reason.code.to_string(), effect, points, description: None }
    }
}

/// When a payment moves on by itself.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Deadline {
    /// The instant.
    #[schema(format = "date-time")]
    at: String,
    /// `expire`: the money is free again. `proceed`: a review counts as approved, a hold as captured.
    then: &'static str,
}

impl From<engine::Deadline> for Deadline {
    fn from(deadline: engine::Deadline) -> Self {
        let then = match deadline.then {
            AtDeadline::Expire => "expire",
            AtDeadline::Proceed => "proceed",
        };
        Self { at: deadline.at.to_string(), then }
    }
}

/// One movement of a payment, in its asset.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Leg {
    /// From here.
    debit_account: String,
    /// To here.
    credit_account: String,
    /// In minor units.
    amount: String,
    /// The transfer's code.
    code: u16,
}

impl From<&engine::Leg> for Leg {
    fn from(leg: &engine::Leg) -> Self {
        Self {
            debit_account: leg.debit.to_string(),
            credit_account: leg.credit.to_string(),
            amount: leg.amount.to_string(),
            code: leg.code.get(),
        }
    }
}

/// Which leg the ledger refused, and why.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Refusal {
    /// Its position in the payment type, from 0.
    leg: u16,
    /// The ledger's status.
    #[schema(example = "exceeds_credits")]
    code: &'static str,
    /// The status's permanent number among those of transfers.
    number: u16,
    /// What it means.
    title: String,
}

impl From<LegRefusal> for Refusal {
    fn from(refusal: LegRefusal) -> Self {
        let LegRefusal { leg, status } = refusal;
        Self { leg, code: status.name(), number: status.number(), title: status.to_string() }
    }
}

/// A decision with everything that went into it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Decision {
    /// The payment.
    payment: String,
    /// What policy said: `approve`, `review`, `decline`.
    verdict: &'static str,
    /// 0 to 1000.
    #[schema(maximum = 1000)]
    score: u16,
    /// Why, in the order in which it applied.
    reasons: Vec<Reason>,
    /// What rules attached.
    tags: Vec<String>,
    /// The attributes that are not personal. Entities are objects with their `token`.
    #[schema(value_type = Object)]
    attributes: BTreeMap<String, serde_json::Value>,
    /// Every feature of the payment's type as it was at that moment.
    features: Vec<Feature>,
    /// What the models said.
    models: Vec<ModelOutput>,
    /// The policy that decided.
    policy: PolicyVersion,
    /// When it was decided.
    #[schema(format = "date-time")]
    decided_at: String,
    /// When the payment happened, as far as its type lets clients say so.
    #[schema(format = "date-time")]
    occurred_at: String,
    /// `occurred_at` came later than its type allows, so `decided_at` counted instead.
    late: bool,
    /// The journal's entry.
    sequence: u64,
}

/// A feature as it was at the moment of a decision: a value, or why there is none.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Feature {
    /// Its name in the policy.
    name: String,
    /// A number, a boolean or a string; null when it is missing.
    value: serde_json::Value,
    /// Why it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "window_truncated")]
    missing: Option<&'static str>,
}

/// What a model said.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ModelOutput {
    /// Its name in the policy.
    name: String,
    /// The probability it gave; null when it gave no number.
    #[schema(required)]
    probability: Option<f64>,
    /// The digest of its file, BLAKE3 in hexadecimal; while its policy is at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// Which policy decided.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct PolicyVersion {
    /// What it calls itself.
    name: String,
    /// The digest of its bundle, BLAKE3 in hexadecimal.
    digest: String,
    /// The entry that activated it.
    sequence: u64,
}

/// Where and when a decision was made, from its entry's header.
#[derive(Debug, Clone, Copy)]
pub struct DecidedAt {
    /// The entry.
    pub seq: Seq,
    /// The engine's time.
    pub decided_at: Timestamp,
    /// The client's time, where it was declared.
    pub occurred_at: Timestamp,
}

impl From<&engine::Header> for DecidedAt {
    fn from(header: &engine::Header) -> Self {
        Self { seq: header.seq, decided_at: header.decided_at, occurred_at: header.occurred_at }
    }
}

impl Decision {
    /// What an entry says of a decision, in the words of the policy that made it: `names` is what activated it,
    /// `compiled` the policy itself, for descriptions and digests of models, when it is at hand.
    pub fn new(
        at: DecidedAt,
        decided: &PaymentDecided,
        names: &PolicyActivated,
        compiled: Option<&policy::Policy>,
    ) -> Self {
        let compiled = compiled.filter(|policy| policy.digest() == names.artifact);
        let describe = |reason: &policy::Reason| {
            let rule = compiled.and_then(|policy| policy.rules().iter().find(|rule| rule.name == reason.code));
            let description = rule.map(|rule| rule.description.clone()).filter(|text| !text.is_empty());
            Reason { description, ..reason.into() }
        };
        let feature = |(number, value): &(u16, FeatureValue)| Feature {
            name: name_of(&names.features, *number),
            value: feature_json(value),
            missing: if let FeatureValue::Missing(reason) = value { Some(reason.as_str()) } else { None },
        };
        let model = |(number, probability): &(u16, Option<f64>)| {
            let spec = compiled.and_then(|policy| policy.models().get(usize::from(*number)));
            ModelOutput {
                name: name_of(&names.models, *number),
                probability: *probability,
                digest: spec.map(|spec| spec.digest.to_string()),
            }
        };
        Self {
            payment: decided.payment.to_string(),
            verdict: verdict_name(decided.verdict),
            score: decided.score,
            reasons: decided.reasons.iter().map(describe).collect(),
            tags: decided.tags.clone(),
            attributes: decided.attributes.iter().map(|(name, value)| (name.to_string(), plain_json(value))).collect(),
            features: decided.features.iter().map(feature).collect(),
            models: decided.models.iter().map(model).collect(),
            policy: PolicyVersion {
                name: names.name.to_string(),
                digest: names.artifact.to_string(),
                sequence: decided.policy.get(),
            },
            decided_at: at.decided_at.to_string(),
            occurred_at: at.occurred_at.to_string(),
            late: decided.late,
            sequence: at.seq.get(),
        }
    }
}

pub(crate) const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approve",
        Verdict::Review => "review",
        Verdict::Decline => "decline",
    }
}

pub(crate) const fn capture_name(capture: CaptureTerms) -> &'static str {
    match capture {
        CaptureTerms::Immediate => "immediate",
        CaptureTerms::Manual { .. } => "manual",
    }
}

/// What a policy calls its number `number`; the number itself if it were not there.
fn name_of(names: &[Name], number: u16) -> String {
    names.get(usize::from(number)).map_or_else(|| format!("#{number}"), Name::to_string)
}

fn feature_json(value: &FeatureValue) -> serde_json::Value {
    match value {
        FeatureValue::Int(value) => (*value).into(),
        FeatureValue::Double(value) => (*value).into(),
        FeatureValue::Bool(value) => (*value).into(),
        FeatureValue::Text(value) => (&**value).into(),
        FeatureValue::Missing(_) => serde_json::Value::Null,
    }
}

fn plain_json(value: &PlainValue) -> serde_json::Value {
    match value {
        PlainValue::Text(value) => (&**value).into(),
        PlainValue::Int(value) => (*value).into(),
        PlainValue::Double(value) => (*value).into(),
        PlainValue::Bool(value) => (*value).into(),
        PlainValue::Time(at) => at.to_string().into(),
        PlainValue::Entity(token) => serde_json::json!({ "token": token.to_string() }),
        PlainValue::Account(id) => id.to_string().into(),
    }
}
