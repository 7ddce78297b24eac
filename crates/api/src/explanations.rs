//! The explanation of a decision, computed again from what the journal has of it.

use std::fmt;

use engine::{PaymentDecided, PlainValue, PolicyActivated};
use policy::{
    AttributeValue, Explained, Facts, FeatureIdx, FeatureValue, ModelIdx, OnFailure, PaymentType, PaymentTypeIdx,
    Policy, ReasonText, RuleEffect, RuleOutcome, Sealed, Stored,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::decisions::{DecidedAt, Feature, PolicyVersion, Reason, name_of};

/// Most reasons for a customer that are listed for a model.
const CUSTOMER_REASONS_MAX: usize = 4;

/// Why the policy that made a decision is not at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPolicy {
    /// Its bundle is stored before its activation, but further back than a search may go.
    TooFarBack(u64),
    /// The journal lacks parts of the bundle.
    Incomplete,
    /// This release does not accept the policy.
    NotCompiled(String),
}

impl fmt::Display for NoPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFarBack(entries_max) => write!(
                f,
                "the parts of its bundle are not among the {entries_max} entries before its activation, and more are not searched"
            ),
            Self::Incomplete => f.write_str("the journal does not have all parts of its bundle"),
            Self::NotCompiled(problem) => write!(f, "this release cannot compile it: {problem}"),
        }
    }
}

impl NoPolicy {
    /// The stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooFarBack(_) => "policy_too_far_back",
            Self::Incomplete => "policy_incomplete",
            Self::NotCompiled(_) => "policy_not_compiled",
        }
    }
}

/// Why a decision was made: what the policy's thresholds, rules and models say about the payment, computed again from the stored
/// decision.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Explanation {
    /// The id of the payment.
    payment: String,
    /// The name of the payment type.
    #[schema(example = "card")]
    r#type: String,
    /// The verdict of the policy: `approve`, `review` or `decline`.
    verdict: &'static str,
    /// The score that the policy computed, from 0 to 1000.
    #[schema(maximum = 1000)]
    score: u16,
    /// What turned the score and failures into a verdict. Absent if the policy is not at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    thresholds: Option<DecisionThresholds>,
    /// The reasons, in the order in which they applied, as the journal has them.
    reasons: Vec<Reason>,
    /// The tags that rules attached.
    tags: Vec<String>,
    /// The policy that decided.
    policy: PolicyVersion,
    /// Why that policy is not at hand. Then rules and models are not explained.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_unavailable: Option<Why>,
    /// Every feature of the payment type, as it was at the moment of the decision.
    features: Vec<Feature>,
    /// The models of the payment type, each with its score divided among its inputs.
    models: Vec<ExplainedModel>,
    /// The rules of the payment type, in order, each with its outcome. Absent if the policy is not at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<TracedRule>>,
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

/// What turns scores and failures into a verdict.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct DecisionThresholds {
    /// A score from this on leads to a review; null if no score does.
    #[schema(required, maximum = 1000)]
    review_at: Option<u16>,
    /// A score from this on leads to a decline; null if no score does.
    #[schema(required, maximum = 1000)]
    decline_at: Option<u16>,
    /// The verdict if something that is read is missing: `approve`, `review` or `decline`.
    on_missing_feature: &'static str,
    /// The verdict if a model gives no number: `approve`, `review` or `decline`.
    on_model_error: &'static str,
}

/// Why something is not explained.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = NotExplained)]
struct Why {
    /// The stable name of the cause.
    #[schema(example = "no_covers")]
    code: &'static str,
    /// The cause in a sentence.
    detail: String,
}

/// A reason in the words of a letter to a customer.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct CustomerReason {
    /// The stable code, which the policy chooses.
    #[schema(example = "high_spend")]
    code: String,
    /// The text of the policy.
    #[schema(example = "The amount spent within a day is unusually high")]
    text: String,
}

impl From<&ReasonText> for CustomerReason {
    fn from(reason: &ReasonText) -> Self {
        Self { code: reason.code.to_string(), text: reason.text.clone() }
    }
}

/// How a model came to its probability.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ExplainedModel {
    /// The name of the model in the policy.
    name: String,
    /// The BLAKE3 digest of the model's file, in hexadecimal. Absent if the policy is not at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// The probability that the model returned; null if it did not return a number.
    #[schema(required)]
    probability: Option<f64>,
    /// The score before any input is known: the mean over the training data. Log odds for most models.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<f64>,
    /// The score from which the model computes the probability: `expected` and all contributions together.
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
    /// What each input contributed to the margin, the largest contribution first, whether it raised or lowered the margin.
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<Vec<ModelInput>>,
    /// What to tell a customer: at most four reasons, that of the inputs which raised the margin most first. Inputs with the same
    /// reason count together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    customer_reasons: Vec<CustomerReason>,
    /// Why the probability is not divided among the inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_explained: Option<Why>,
}

/// What an input contributed to the margin of a model.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ModelInput {
    /// The expression of the policy that gives the input.
    #[schema(example = "features.customer_spend_1d")]
    expression: String,
    /// The name of the model's column, if the model's file has names.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    /// What the model read; null if that was a missing value.
    #[schema(required)]
    value: Option<f32>,
    /// How much the input raised the margin, or lowered it if negative.
    contribution: f64,
    /// What to tell a customer, if the input raised the margin and the policy has a text for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<CustomerReason>,
}

/// What became of a rule.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct TracedRule {
    /// The name of the rule.
    #[schema(example = "card_velocity")]
    name: String,
    /// The description of the rule, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The condition of the rule.
    #[schema(example = "features.customer_count_1h > 5")]
    when: String,
    /// What the rule does if it holds: `decline`, `review`, `score` or `tag`.
    effect: &'static str,
    /// `held`, `not_held`, `no_value` if the condition could not be computed, or `not_evaluated` if the outcome is not known because it
    /// depends on a sealed value.
    outcome: &'static str,
    /// Why the condition has no value, or why it was not evaluated again.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Why>,
    /// What to tell a customer, if the rule held and the policy has a text for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<CustomerReason>,
}

impl Explanation {
    /// The explanation of a decision. `names` is the fact that activated its policy, and `policy` that policy, compiled. This takes
    /// some time, so it does not belong on a thread that serves connections.
    pub fn new(
        at: DecidedAt,
        decided: &PaymentDecided,
        names: &PolicyActivated,
        policy: Result<&Policy, &NoPolicy>,
    ) -> Self {
        let compiled = policy.ok();
        let describe = |reason: &policy::Reason| {
            let rule = compiled.and_then(|policy| policy.rules().iter().find(|rule| rule.name == reason.code));
            Reason::described(reason, rule)
        };
        let found = compiled.and_then(|policy| Some((policy, policy.payment_type(decided.payment_type.as_str())?)));
        let (models, rules) = match found {
            Some((policy, payment_type)) => explained(at, decided, names, (policy, payment_type)),
            None => (decided.models.iter().map(|model| ExplainedModel::bare(model, names)).collect(), None),
        };
        Self {
            payment: decided.payment.to_string(),
            r#type: decided.payment_type.to_string(),
            verdict: decided.verdict.name(),
            score: decided.score,
            thresholds: compiled.map(|policy| DecisionThresholds::of(policy.thresholds())),
            reasons: decided.reasons.iter().map(describe).collect(),
            tags: decided.tags.clone(),
            policy: PolicyVersion::new(names, decided.policy),
            policy_unavailable: policy.err().map(|why| Why { code: why.name(), detail: why.to_string() }),
            features: decided.features.iter().map(|feature| Feature::named(feature, names)).collect(),
            models,
            rules,
            decided_at: at.decided_at.to_string(),
            occurred_at: at.occurred_at.to_string(),
            late: decided.late,
            sequence: at.seq.get(),
        }
    }
}

/// What the models and rules of a policy say about a stored decision.
fn explained(
    at: DecidedAt,
    decided: &PaymentDecided,
    names: &PolicyActivated,
    (policy, (number, payment_type)): (&Policy, (PaymentTypeIdx, &PaymentType)),
) -> (Vec<ExplainedModel>, Option<Vec<TracedRule>>) {
    let attributes: Vec<Option<AttributeValue>> = payment_type
        .attributes
        .iter()
        .map(|attribute| {
            let stored = decided.attributes.iter().find(|(name, _)| *name == attribute.name);
            stored.map(|(_, value)| attribute_value(value))
        })
        .collect();
    let features: Vec<(FeatureIdx, FeatureValue)> =
        decided.features.iter().map(|(number, value)| (FeatureIdx::new(*number), value.clone())).collect();
    let facts = Facts {
        payment_type: number,
        amount: decided.amount,
        decided_at: at.decided_at,
        // A payment that was declared too late was judged by when it was decided.
        occurred_at: if decided.late { at.decided_at } else { at.occurred_at },
        attributes: &attributes,
    };
    let models: Vec<(ModelIdx, Option<f64>)> =
        decided.models.iter().map(|(number, probability)| (ModelIdx::new(*number), *probability)).collect();
    let stored = Stored { facts, features: &features, models: &models };
    let explanations = policy.explain_stored(&stored);
    let models = decided.models.iter().map(|model| {
        let answer = explanations.iter().find(|explained| explained.model == ModelIdx::new(model.0));
        let bare = ExplainedModel {
            digest: policy.models().get(usize::from(model.0)).map(|spec| spec.digest.to_string()),
            ..ExplainedModel::bare(model, names)
        };
        match answer.map(|explained| &explained.answer) {
            Some(Ok(explained)) => bare.explained(explained),
            Some(Err(why)) => bare.not_explained(Why { code: why.name(), detail: why.to_string() }),
            None => bare.not_explained(Why::differs()),
        }
    });
    let rules = policy.trace(&stored).into_iter().map(|trace| TracedRule::new(&trace, decided));
    (models.collect(), Some(rules.collect()))
}

impl DecisionThresholds {
    fn of(thresholds: policy::Thresholds) -> Self {
        let name = |on_failure: OnFailure| match on_failure {
            OnFailure::Approve => "approve",
            OnFailure::Review => "review",
            OnFailure::Decline => "decline",
        };
        Self {
            review_at: thresholds.review_at,
            decline_at: thresholds.decline_at,
            on_missing_feature: name(thresholds.on_missing_feature),
            on_model_error: name(thresholds.on_model_error),
        }
    }
}

impl Why {
    /// Computing it again does not give what the journal has. No release should make that happen.
    fn differs() -> Self {
        let detail = "computing it again gives something else than what was decided; what was decided is shown";
        Self { code: "not_reproduced", detail: detail.to_owned() }
    }
}

impl ExplainedModel {
    /// A model with what the decision itself has of it.
    fn bare((number, probability): &(u16, Option<f64>), names: &PolicyActivated) -> Self {
        Self {
            name: name_of(&names.models, *number),
            digest: None,
            probability: *probability,
            expected: None,
            margin: None,
            inputs: None,
            customer_reasons: Vec::new(),
            not_explained: None,
        }
    }

    fn not_explained(self, why: Why) -> Self {
        Self { not_explained: Some(why), ..self }
    }

    fn explained(self, explained: &Explained<'_>) -> Self {
        if explained.probability.map(f64::to_bits) != self.probability.map(f64::to_bits) {
            return self.not_explained(Why::differs());
        }
        let mut inputs: Vec<_> = explained.inputs.iter().collect();
        inputs.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
        let mut reasons: Vec<(&ReasonText, f64)> = Vec::new();
        for input in &inputs {
            let Some(reason) = input.reason else { continue };
            match reasons.iter_mut().find(|(known, _)| known.code == reason.code) {
                Some((_, sum)) => *sum += input.contribution,
                None => reasons.push((reason, input.contribution)),
            }
        }
        reasons.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let input = |input: &policy::Contribution<'_>| ModelInput {
            expression: input.expression.to_owned(),
            column: input.column.map(str::to_owned),
            value: Some(input.value).filter(|value| value.is_finite()),
            contribution: input.contribution,
            reason: input.reason.map(CustomerReason::from),
        };
        Self {
            expected: Some(explained.expected),
            margin: Some(explained.score),
            inputs: Some(inputs.into_iter().map(input).collect()),
            customer_reasons: reasons.iter().take(CUSTOMER_REASONS_MAX).map(|(reason, _)| (*reason).into()).collect(),
            ..self
        }
    }
}

impl TracedRule {
    /// What became of a rule, so that it agrees with the reasons of the decision.
    fn new(trace: &policy::RuleTrace<'_>, decided: &PaymentDecided) -> Self {
        let rule = trace.rule;
        let (effect, leaves_a_reason) = match rule.then {
            RuleEffect::Decline => ("decline", true),
            RuleEffect::Review => ("review", true),
            RuleEffect::Score(_) => ("score", true),
            RuleEffect::Tag(_) => ("tag", false),
        };
        let has_held = leaves_a_reason && decided.reasons.iter().any(|reason| reason.code == rule.name);
        let unknown = match &trace.outcome {
            RuleOutcome::Sealed(sealed) => Some((Sealed::NAME, sealed.to_string())),
            RuleOutcome::List => Some((policy::LIST, policy::LOOKS_INTO_A_LIST.to_owned())),
            RuleOutcome::Held | RuleOutcome::NotHeld | RuleOutcome::NoValue(_) => None,
        };
        let (outcome, why) = match (&trace.outcome, unknown) {
            (_, Some((code, cause))) if has_held => {
                let detail = format!(
                    "{cause}, so the rule was not evaluated again; it held, because it is a reason of the decision"
                );
                ("held", Some(Why { code, detail }))
            }
            (_, Some((code, cause))) => {
                let known = if leaves_a_reason {
                    "; it did not hold or had no value, because it is no reason of the decision"
                } else {
                    ""
                };
                let detail = format!("{cause}, so the rule was not evaluated again{known}");
                ("not_evaluated", Some(Why { code, detail }))
            }
            (RuleOutcome::Held, None) if has_held || !leaves_a_reason => ("held", None),
            (RuleOutcome::NotHeld, None) if !has_held => ("not_held", None),
            (RuleOutcome::NoValue(cause), None) if !has_held => {
                ("no_value", Some(Why { code: cause.name(), detail: cause.to_string() }))
            }
            (RuleOutcome::Held, None) => ("not_held", Some(Why::differs())),
            (RuleOutcome::NotHeld | RuleOutcome::NoValue(_) | RuleOutcome::Sealed(_) | RuleOutcome::List, None) => {
                ("held", Some(Why::differs()))
            }
        };
        Self {
            name: rule.name.to_string(),
            description: Some(rule.description.clone()).filter(|text| !text.is_empty()),
            when: rule.when.clone(),
            effect,
            outcome,
            why,
            reason: trace.reason.filter(|_| outcome == "held").map(CustomerReason::from),
        }
    }
}

/// A stored value as expressions read it. The text of an entity is not stored in the clear.
fn attribute_value(value: &PlainValue) -> AttributeValue {
    match value {
        PlainValue::Text(text) => AttributeValue::Text(text.clone()),
        PlainValue::Int(value) => AttributeValue::Int(*value),
        PlainValue::Double(value) => AttributeValue::Double(*value),
        PlainValue::Bool(value) => AttributeValue::Bool(*value),
        PlainValue::Time(at) => AttributeValue::Time(*at),
        PlainValue::Entity(token) => AttributeValue::Entity { token: *token, text: "".into() },
        PlainValue::Account(id) => AttributeValue::Account(*id),
    }
}
