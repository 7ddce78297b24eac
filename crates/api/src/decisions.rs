//! Payments and the decisions about them, as clients see them.

use std::collections::BTreeMap;

use engine::{AtDeadline, CaptureTerms, Incremented, LegRefusal, PaymentDecided, PlainValue, PolicyActivated};
use policy::{Effect, FeatureValue, Part};
use serde::Serialize;
use serde_json::value::RawValue;
use types::{Name, Seq, Timestamp};
use utoipa::ToSchema;

use crate::responses::{Assets, KnownLabel, Unknown, shown_metadata};

/// A payment in its current state.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Payment {
    /// The id of the payment.
    id: String,
    /// The name of the payment type.
    #[schema(example = "card")]
    r#type: String,
    /// The current status: `posted`, `held`, `in_review`, `declined`, `refused`, `voided`, `expired` or `refunded`.
    #[schema(example = "posted")]
    status: &'static str,
    /// The amount that was authorised, in minor units: at first, and by the increments that raised the hold.
    #[schema(example = "1250")]
    amount: String,
    /// What was posted of the amount, in minor units.
    #[schema(example = "1250")]
    captured: String,
    /// What was held of the amount and then released, in minor units: by a void, a decline or a deadline, or as the rest of a final
    /// capture. What is neither captured nor released of an open payment is held.
    #[schema(example = "0")]
    released: String,
    /// What was moved back of what was captured, in minor units.
    #[schema(example = "0")]
    refunded: String,
    /// The asset of the amount.
    #[schema(example = "EUR/2")]
    asset: String,
    /// The number of the payment's ledger.
    #[schema(format = Int64)]
    ledger: u32,
    /// The verdict of the policy: `approve`, `review` or `decline`.
    verdict: &'static str,
    /// The score that the policy computed, from 0 to 1000.
    #[schema(maximum = 1000)]
    score: u16,
    /// The reasons for the verdict and the score. Absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<Reason>>,
    /// The tags that rules attached. Absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    /// `immediate`: an approval moves the money. `manual`: an approval reserves the money until it is captured.
    capture: &'static str,
    /// What happens if nobody acts, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Deadline>,
    /// The amounts that the payment moves or reserves.
    legs: Vec<Leg>,
    /// Why the ledger refused the payment, if its status is `refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<RefusedLeg>,
    /// The increments of the hold that were decided, in order; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    increments: Vec<Increment>,
    /// What the payment turned out to be, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<KnownLabel>,
    /// When the payment was decided.
    #[schema(format = "date-time")]
    decided_at: String,
    /// When the payment happened, if its type lets the client say so; otherwise equal to `decided_at`.
    #[schema(format = "date-time")]
    occurred_at: String,
    /// The sequence of the journal entry that decided the payment.
    sequence: u64,
    /// What the client attached: any JSON value for each key. Absent in lists.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object, required = false)]
    metadata: BTreeMap<String, Box<RawValue>>,
}

impl Payment {
    /// When the payment was decided.
    pub(crate) fn decided_at(&self) -> &str {
        &self.decided_at
    }

    /// A payment with its decision. Lists leave the decision out.
    ///
    /// # Errors
    /// If `assets` lacks the payment's ledger.
    pub fn new(payment: &engine::Payment, decided: Option<&PaymentDecided>, assets: &Assets) -> Result<Self, Unknown> {
        Ok(Self {
            id: payment.id.to_string(),
            r#type: payment.payment_type.to_string(),
            status: payment.status.name(),
            amount: payment.amount.to_string(),
            captured: payment.sums.captured.to_string(),
            released: payment.sums.released.to_string(),
            refunded: payment.sums.refunded.to_string(),
            asset: assets.of(payment.ledger)?.to_string(),
            ledger: payment.ledger.get(),
            verdict: payment.verdict.name(),
            score: payment.score,
            reasons: decided.map(|decided| decided.reasons.iter().map(Reason::from).collect()),
            tags: decided.map(|decided| decided.tags.clone()),
            capture: capture_name(payment.capture),
            deadline: payment.deadline.map(Deadline::from),
            legs: payment.legs.iter().map(Leg::from).collect(),
            refusal: payment.refusal.map(RefusedLeg::from),
            increments: payment.increments.iter().map(Increment::from).collect(),
            label: payment.label.as_ref().map(KnownLabel::from),
            decided_at: payment.decided_at.to_string(),
            occurred_at: payment.occurred_at.to_string(),
            sequence: payment.seq.get(),
            metadata: BTreeMap::new(),
        })
    }

    /// Adds what the client attached: JSON texts by key.
    #[must_use]
    pub fn with_metadata(self, metadata: &BTreeMap<String, String>) -> Self {
        Self { metadata: shown_metadata(metadata), ..self }
    }

    /// Adds the reasons, the tags and the refusal of an increment, given by its place.
    #[must_use]
    pub fn with_increment(mut self, place: usize, decided: &Incremented) -> Self {
        if let Some(increment) = self.increments.get_mut(place) {
            increment.reasons = Some(decided.reasons.iter().map(Reason::from).collect());
            increment.tags = Some(decided.tags.clone());
            increment.refusal = decided.refusal.map(RefusedLeg::from);
        }
        self
    }

    pub fn id(&self) -> &str {
        &self.id
    }
}

/// An increment of a hold: the policy decided the payment again, with the raised amount.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = DecidedIncrement)]
struct Increment {
    /// By how much the hold was to be raised, in minor units.
    #[schema(example = "1250")]
    amount: String,
    /// Whether the hold was raised. It was not if the verdict is not `approve`, or if the ledger refused to reserve more.
    raised: bool,
    /// The verdict of the policy: `approve`, `review` or `decline`.
    verdict: &'static str,
    /// The score that the policy computed, from 0 to 1000.
    #[schema(maximum = 1000)]
    score: u16,
    /// The reasons for the verdict and the score. Absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<Reason>>,
    /// The tags that rules attached. Absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    /// Why the ledger refused to reserve more, if it did. Absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<RefusedLeg>,
    /// When the increment was decided.
    #[schema(format = "date-time")]
    decided_at: String,
    /// The sequence of the journal entry that decided it.
    sequence: u64,
}

impl From<&engine::Increment> for Increment {
    fn from(increment: &engine::Increment) -> Self {
        Self {
            amount: increment.amount.to_string(),
            raised: increment.raised,
            verdict: increment.verdict.name(),
            score: increment.score,
            reasons: None,
            tags: None,
            refusal: None,
            decided_at: increment.decided_at.to_string(),
            sequence: increment.seq.get(),
        }
    }
}

/// A reason for the verdict, or for a part of the score.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Reason {
    /// The name of a rule, or a built-in reason code.
    #[schema(example = "card_velocity")]
    code: String,
    /// The effect: `decline`, `review` or `score`.
    effect: &'static str,
    /// The points that the reason added to the score.
    #[serde(skip_serializing_if = "Option::is_none")]
    points: Option<i16>,
    /// The description of the rule. Only in the full decision, and only while the server has its policy loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// What could not be computed, for a built-in reason that comes from a failure. If several parts failed, the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

/// A part of the policy that could not be computed for a payment. It names a rule, a model, a stream or a leg. If it names none of them, it is
/// `decision.score`, which makes one score of those of the models.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Failure {
    /// The name of the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// The name of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// The name of the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    /// The position of the leg in the payment type, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    leg: Option<u16>,
    /// The stable name of the cause.
    #[schema(example = "division_by_zero")]
    cause: &'static str,
    /// The part and the cause in a sentence.
    #[schema(example = "rule card_velocity: division by zero")]
    detail: String,
}

impl From<&policy::Failure> for Failure {
    fn from(failure: &policy::Failure) -> Self {
        let (detail, cause) = (failure.to_string(), failure.cause.name());
        let none = Self { rule: None, model: None, stream: None, leg: None, cause, detail };
        match &failure.part {
            Part::Rule(name) => Self { rule: Some(name.to_string()), ..none },
            Part::Model(name) => Self { model: Some(name.to_string()), ..none },
            Part::Stream(name) => Self { stream: Some(name.to_string()), ..none },
            Part::Leg(number) => Self { leg: Some(*number), ..none },
            Part::Score => none,
        }
    }
}

impl From<&policy::Reason> for Reason {
    fn from(reason: &policy::Reason) -> Self {
        let (effect, points) = match reason.effect {
            Effect::Decline => ("decline", None),
            Effect::Review => ("review", None),
            Effect::Score(points) => ("score", Some(points)),
        };
        let failure = reason.failure.as_ref().map(Failure::from);
        Self { code: reason.code.to_string(), effect, points, description: None, failure }
    }
}

impl Reason {
    /// A reason with the description of its rule, if that is known.
    pub(crate) fn described(reason: &policy::Reason, rule: Option<&policy::Rule>) -> Self {
        let description = rule.map(|rule| rule.description.clone()).filter(|text| !text.is_empty());
        Self { description, ..reason.into() }
    }
}

/// What happens to a payment if nobody acts, and when.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Deadline {
    /// The instant of the deadline.
    #[schema(format = "date-time")]
    at: String,
    /// `expire`: the money is released. `proceed`: a review counts as approved, and a hold as captured.
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

/// One movement of money within a payment, in the payment's asset.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Leg {
    /// The account that the amount leaves.
    debit_account: String,
    /// The account that the amount reaches.
    credit_account: String,
    /// The amount in minor units.
    amount: String,
    /// The code of the transfer.
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
// Its name in the OpenAPI document, which generated clients use.
#[schema(as = Refusal)]
pub(crate) struct RefusedLeg {
    /// The position of the leg in the payment type, from 0.
    leg: u16,
    /// The name of the ledger's status.
    #[schema(example = "exceeds_credits")]
    code: &'static str,
    /// The permanent number of the status, in the table of transfers.
    number: u16,
    /// What the status means.
    title: String,
}

impl From<LegRefusal> for RefusedLeg {
    fn from(refusal: LegRefusal) -> Self {
        let LegRefusal { leg, status } = refusal;
        Self { leg, code: status.name(), number: status.number(), title: status.to_string() }
    }
}

/// A decision, with everything that led to it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Decision {
    /// The id of the payment.
    payment: String,
    /// The verdict of the policy: `approve`, `review` or `decline`.
    verdict: &'static str,
    /// The score that the policy computed, from 0 to 1000.
    #[schema(maximum = 1000)]
    score: u16,
    /// The reasons, in the order in which they applied.
    reasons: Vec<Reason>,
    /// The tags that rules attached.
    tags: Vec<String>,
    /// The attributes that are not personal. An entity is an object with its `token`.
    #[schema(value_type = Object)]
    attributes: BTreeMap<String, serde_json::Value>,
    /// Every feature of the payment type, as it was at the moment of the decision.
    features: Vec<Feature>,
    /// The outputs of the models.
    models: Vec<ModelOutput>,
    /// The lists that rules, features or models looked into.
    lists: Vec<ListVersion>,
    /// The policy that decided.
    policy: PolicyVersion,
    /// When the payment was decided.
    #[schema(format = "date-time")]
    decided_at: String,
    /// When the payment happened, if its type lets the client say so; otherwise equal to `decided_at`.
    #[schema(format = "date-time")]
    occurred_at: String,
    /// True if `occurred_at` was further in the past than the payment type allows. The decision then used `decided_at`
    /// instead.
    late: bool,
    /// The sequence of the journal entry that contains the decision.
    sequence: u64,
}

/// A feature at one moment: its value, or why the value is missing.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Feature {
    /// The name of the feature in the policy.
    name: String,
    /// A number, a boolean or a string; null if the value is missing.
    value: serde_json::Value,
    /// Why the value is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "window_truncated")]
    missing: Option<&'static str>,
}

impl Feature {
    /// A feature of a decision, given by its number. `names` is the fact that activated the policy.
    pub(crate) fn named((number, value): &(u16, FeatureValue), names: &PolicyActivated) -> Self {
        Self::new(name_of(&names.features, *number), value)
    }

    pub(crate) fn new(name: String, value: &FeatureValue) -> Self {
        let missing = if let FeatureValue::Missing(reason) = value { Some(reason.as_str()) } else { None };
        Self { name, value: feature_json(value), missing }
    }
}

/// The output of a model.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ModelOutput {
    /// The name of the model in the policy.
    name: String,
    /// The probability that the model returned; null if it did not return a number.
    #[schema(required)]
    probability: Option<f64>,
    /// The BLAKE3 digest of the model's file, in hexadecimal. Only while the server has the policy loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// A list as a decision saw it.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ListVersion {
    /// The name of the list.
    name: String,
    /// The sequence of the entry that had changed the list last; 0 if the list did not exist and so had no values.
    version: u64,
}

/// The policy that made a decision.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PolicyVersion {
    /// The name of the policy.
    name: String,
    /// The BLAKE3 digest of the policy's bundle, in hexadecimal.
    digest: String,
    /// The sequence of the entry that activated the policy.
    sequence: u64,
}

impl PolicyVersion {
    /// `names` is the fact that activated the policy, in the entry `activated`.
    pub(crate) fn new(names: &PolicyActivated, activated: Seq) -> Self {
        Self { name: names.name.to_string(), digest: names.artifact.to_string(), sequence: activated.get() }
    }
}

/// The sequence and the times of a decision, from the header of its entry.
#[derive(Debug, Clone, Copy)]
pub struct DecidedAt {
    pub seq: Seq,
    /// By the engine's clock.
    pub decided_at: Timestamp,
    /// As the client declared it; otherwise equal to `decided_at`.
    pub occurred_at: Timestamp,
}

impl From<&engine::Header> for DecidedAt {
    fn from(header: &engine::Header) -> Self {
        Self { seq: header.seq, decided_at: header.decided_at, occurred_at: header.occurred_at }
    }
}

impl Decision {
    /// A decision as its entry records it. `names`, the fact that activated its policy, names features, models and lists. If
    /// `compiled` is that policy, it adds the descriptions of rules and the digests of models.
    pub fn new(
        at: DecidedAt,
        decided: &PaymentDecided,
        names: &PolicyActivated,
        compiled: Option<&policy::Policy>,
    ) -> Self {
        let compiled = compiled.filter(|policy| policy.digest() == names.artifact);
        let describe = |reason: &policy::Reason| {
            Reason::described(
                reason,
                compiled.and_then(|policy| policy.rules().iter().find(|rule| rule.name == reason.code)),
            )
        };
        let model = |(number, probability): &(u16, Option<f64>)| {
            let spec = compiled.and_then(|policy| policy.models().get(usize::from(*number)));
            ModelOutput {
                name: name_of(&names.models, *number),
                probability: *probability,
                digest: spec.map(|spec| spec.digest.to_string()),
            }
        };
        let list = |(number, version): &(u16, Seq)| ListVersion {
            name: name_of(&names.lists, *number),
            version: version.get(),
        };
        Self {
            payment: decided.payment.to_string(),
            verdict: decided.verdict.name(),
            score: decided.score,
            reasons: decided.reasons.iter().map(describe).collect(),
            tags: decided.tags.clone(),
            attributes: decided.attributes.iter().map(|(name, value)| (name.to_string(), plain_json(value))).collect(),
            features: decided.features.iter().map(|feature| Feature::named(feature, names)).collect(),
            models: decided.models.iter().map(model).collect(),
            lists: decided.lists.iter().map(list).collect(),
            policy: PolicyVersion::new(names, decided.policy),
            decided_at: at.decided_at.to_string(),
            occurred_at: at.occurred_at.to_string(),
            late: decided.late,
            sequence: at.seq.get(),
        }
    }
}

pub(crate) const fn capture_name(capture: CaptureTerms) -> &'static str {
    match capture {
        CaptureTerms::Immediate => "immediate",
        CaptureTerms::Manual { .. } => "manual",
    }
}

/// The name at position `number`, or `#number` if there is none.
pub(crate) fn name_of(names: &[Name], number: u16) -> String {
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
