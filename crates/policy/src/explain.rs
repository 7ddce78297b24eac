//! Explains a decision: what became of each rule, and how models came to their scores.

use types::{Name, Timestamp, Token};

use crate::cel::{Listed, Program, Slot};
use crate::compiled_type::{BUILT_IN, Lists, ModelPlan, Payment, RulePlan};
use crate::evaluate::inputs;
use crate::evaluation::{Facts, FailureCause, WindowSource};
use crate::index::{FeatureIdx, ListIdx, ModelIdx, StreamIdx};
use crate::onnx::{Contributions, Unexplained};
use crate::policy::Policy;
use crate::reason::ReasonText;
use crate::spec::{PaymentType, Rule};
use crate::value::{AttributeValue, EntityValue, FeatureValue};

/// How a model came to its answer for one payment.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation<'p> {
    pub model: ModelIdx,
    pub name: &'p Name,
    pub answer: Result<Explained<'p>, NotExplained>,
}

/// The score of a model, divided among its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained<'p> {
    /// In 0..=1, as the decision has it. `None` if the model gave none.
    pub probability: Option<f64>,
    /// The score before any input is known: for trees the mean over the training data. As the score itself, it is before
    /// the transform into a probability, so log odds for most models.
    pub expected: f64,
    /// `expected` and all contributions together.
    pub score: f64,
    /// One per input, in the order of the model's columns.
    pub inputs: Vec<Contribution<'p>>,
}

/// What one input of a model contributed to a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution<'p> {
    /// The expression of the policy that gives the input.
    pub expression: &'p str,
    /// The name of the column, if the model's file has names.
    pub column: Option<&'p str>,
    /// What the model read. NaN is a missing value.
    pub value: f32,
    /// How much it raised the score, or lowered it if negative.
    pub contribution: f64,
    /// What to tell a customer, if the input raised the score and the policy has a text for it.
    pub reason: Option<&'p ReasonText>,
}

/// Why the answer of a model cannot be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotExplained {
    /// No payment can be explained with this model.
    #[error("{0}")]
    Model(#[from] Unexplained),
    /// An input has no value for this payment, so the model was not asked.
    #[error("an input of the model has no value: {0}")]
    Input(FailureCause),
    /// An input reads something that is not stored in the clear.
    #[error("an input of the model was not computed again: {0}")]
    Sealed(Sealed),
    /// An input looks into a list.
    #[error("an input of the model was not computed again: {LOOKS_INTO_A_LIST}")]
    List,
}

/// The stable name of what depends on a list.
pub const LIST: &str = "list";
/// Why it is not computed again.
pub const LOOKS_INTO_A_LIST: &str = "it looks into a list, which may have changed since";

/// Stands for the history when only what is stored is read.
struct NoHistory;

impl WindowSource for NoHistory {
    fn view(
        &self,
        _stream: StreamIdx,
        _entity: Token,
        _window: features::Window,
        _at: Timestamp,
        _candidate: Option<features::Candidate>,
    ) -> Result<features::View<'_>, features::Missing> {
        // The values of features are stored, so nothing asks for records.
        Err(features::Missing::UnknownStream)
    }

    fn list_has(&self, _list: ListIdx, _value: Listed<'_>, _at: Timestamp) -> bool {
        // What looks into a list is not evaluated.
        false
    }

    fn attribute(&self, _kind: &Name, _attribute: &Name, _entity: Token) -> Option<&EntityValue> {
        // The values of features are stored, so nothing asks for attributes.
        None
    }
}

impl NotExplained {
    /// The stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Model(unexplained) => unexplained.name(),
            Self::Input(_) => "input_without_value",
            Self::Sealed(_) => Sealed::NAME,
            Self::List => LIST,
        }
    }
}

/// An expression reads an attribute whose value is stored only in the sealed section of the decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it reads payment.{0}, of which the value is sealed")]
pub struct Sealed(pub Name);

impl Sealed {
    /// The stable name.
    pub const NAME: &'static str = "sealed_attribute";
}

/// What became of a rule for one payment.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTrace<'p> {
    pub rule: &'p Rule,
    pub outcome: RuleOutcome,
    /// What to tell a customer if the rule held, if the policy has a text for it.
    pub reason: Option<&'p ReasonText>,
}

/// What a rule's condition evaluates to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleOutcome {
    Held,
    NotHeld,
    NoValue(FailureCause),
    /// The outcome depends on a value that is not stored in the clear.
    Sealed(Sealed),
    /// The outcome depends on a list, which may have changed since.
    List,
}

/// What is known of a payment long after its decision.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// What was decided. Personal attributes are `None`, whether or not the payment had them; the text of an entity is empty.
    pub facts: Facts<'a>,
    /// Those of the payment's [`Evaluation`](crate::Evaluation).
    pub features: &'a [(FeatureIdx, FeatureValue)],
    /// Those of the payment's evaluation too. Expressions that read a model's probability read it here.
    pub models: &'a [(ModelIdx, Option<f64>)],
}

impl Policy {
    /// Explains the answers of all models of the payment's type, in order. `features` and `models` are those of the payment's
    /// [`Evaluation`](crate::Evaluation), so no history is needed, and the result is the same however much later. It takes
    /// a hundred times as long as the models themselves, so it does not belong on the engine's thread.
    ///
    /// # Panics
    /// POL-1: if the facts do not fit the payment type, or the features or models are not those of the type, in order.
    pub fn explain(
        &self,
        facts: &Facts<'_>,
        features: &[(FeatureIdx, FeatureValue)],
        models: &[(ModelIdx, Option<f64>)],
    ) -> Vec<Explanation<'_>> {
        let stored = Stored { facts: *facts, features, models };
        let payment = self.decided(&stored);
        payment.plan.models.iter().map(|plan| self.explained(plan, &payment, None)).collect()
    }

    /// As [`Policy::explain`], for a payment of which only what is stored in the clear is known.
    ///
    /// # Panics
    /// As [`Policy::explain`].
    pub fn explain_stored(&self, stored: &Stored<'_>) -> Vec<Explanation<'_>> {
        let payment = self.decided(stored);
        let seals = self.seals(stored);
        payment.plan.models.iter().map(|plan| self.explained(plan, &payment, Some(&seals))).collect()
    }

    /// Evaluates all rules of the payment's type again, in order. Each has the outcome that it had when the payment was decided, or the
    /// outcome is not known because it depends on a sealed value.
    ///
    /// # Panics
    /// As [`Policy::explain`].
    pub fn trace(&self, stored: &Stored<'_>) -> Vec<RuleTrace<'_>> {
        let payment = self.decided(stored);
        let seals = self.seals(stored);
        // Without the sealed values. A condition that holds or does not hold without a value does so whatever the value is, because only
        // a side of `&&` or `||` that decides, or the other branch of a choice, keeps a missing value from being the answer.
        let facts = Facts { attributes: &seals.without, ..stored.facts };
        let without = Payment { facts: &facts, ..payment };
        let trace = |plan: &RulePlan| {
            let rule = self.rules().iter().find(|rule| rule.name == plan.name);
            let rule = rule.expect("POL-4: a plan names rules of its policy");
            let outcome = match seals.read_by(&plan.when) {
                _ if plan.when.reads_lists() => RuleOutcome::List,
                None => match plan.when.eval_bool(&payment) {
                    Ok(true) => RuleOutcome::Held,
                    Ok(false) => RuleOutcome::NotHeld,
                    Err(error) => RuleOutcome::NoValue(self.cause(error, &payment)),
                },
                Some(name) if seals.tested_by(&plan.when) => RuleOutcome::Sealed(Sealed(name.clone())),
                Some(name) => match plan.when.eval_bool(&without) {
                    Ok(true) => RuleOutcome::Held,
                    Ok(false) => RuleOutcome::NotHeld,
                    Err(_) => RuleOutcome::Sealed(Sealed(name.clone())),
                },
            };
            RuleTrace { rule, outcome, reason: self.reason(rule.reason) }
        };
        payment.plan.rules.iter().map(trace).collect()
    }

    /// A payment that was decided, with all its features and models.
    fn decided<'a>(&'a self, stored: &'a Stored<'a>) -> Payment<'a> {
        let Stored { facts, features, models } = stored;
        let position = facts.payment_type.get();
        let plan = self.plans.get(position).expect("POL-1: the payment type is one of this policy");
        assert_eq!(facts.attributes.len(), plan.attributes, "POL-1: one value per attribute of the type");
        let fits = plan.features.iter().map(|feature| feature.feature).eq(features.iter().map(|(feature, _)| *feature));
        assert!(fits, "POL-1: the features are those of the payment's type, in order");
        let fits = plan.models.iter().map(|model| model.model).eq(models.iter().map(|(model, _)| *model));
        assert!(fits, "POL-1: the models are those of the payment's type, in order");
        let amount = i64::try_from(facts.amount.get()).ok();
        Payment { plan, facts, amount, features, models, lists: Lists(&NoHistory) }
    }

    /// What of a stored payment is sealed.
    fn seals<'a>(&'a self, stored: &Stored<'_>) -> Seals<'a> {
        let payment_type = self.payment_types().get(stored.facts.payment_type.get());
        let payment_type = payment_type.expect("POL-1: the payment type is one of this policy");
        let without =
            payment_type.attributes.iter().zip(stored.facts.attributes).map(|(attribute, value)| match value {
                Some(AttributeValue::Entity { .. }) => None,
                value => value.clone().filter(|_| !attribute.personal),
            });
        let is_entity =
            stored.facts.attributes.iter().map(|value| matches!(value, Some(AttributeValue::Entity { .. }))).collect();
        Seals { payment_type, is_entity, without: without.collect() }
    }

    /// Explains one model. `seals` are given if only what is stored in the clear is known of the payment.
    fn explained(&self, plan: &ModelPlan, payment: &Payment<'_>, seals: Option<&Seals<'_>>) -> Explanation<'_> {
        let spec = self.models().get(plan.model.get()).expect("POL-4: a plan names models of its policy");
        let model = self.models.get(plan.model.get()).expect("POL-4: a plan names models of its policy");
        let sealed = seals.and_then(|seals| plan.inputs.iter().find_map(|input| seals.read_by(input)));
        if let Some(name) = sealed {
            let answer = Err(NotExplained::Sealed(Sealed(name.clone())));
            return Explanation { model: plan.model, name: &spec.name, answer };
        }
        if plan.inputs.iter().any(Program::reads_lists) {
            return Explanation { model: plan.model, name: &spec.name, answer: Err(NotExplained::List) };
        }
        let mut found = Contributions::new();
        let answer =
            inputs(plan, payment).map_err(|error| NotExplained::Input(self.cause(error, payment))).and_then(|row| {
                model.contributions(&row, &mut found)?;
                let columns = model.columns().unwrap_or_default();
                let parts = spec.inputs.iter().zip(&row).zip(found.columns()).zip(&spec.reasons).enumerate();
                let inputs = parts.map(|(at, (((expression, value), contribution), reason))| Contribution {
                    expression,
                    column: columns.get(at).map(String::as_str),
                    value: *value,
                    contribution: *contribution,
                    reason: self.reason(*reason).filter(|_| *contribution > 0.0),
                });
                Ok(Explained {
                    probability: model.probability(&row),
                    expected: found.expected(),
                    score: found.score(),
                    inputs: inputs.collect(),
                })
            });
        Explanation { model: plan.model, name: &spec.name, answer }
    }
}

/// What of a stored payment is sealed: personal attributes, and the values of entities, of which only tokens are in the clear.
struct Seals<'p> {
    payment_type: &'p PaymentType,
    /// For each attribute, whether the payment has an entity in it.
    is_entity: Vec<bool>,
    /// The attributes without what is sealed.
    without: Vec<Option<AttributeValue>>,
}

impl Seals<'_> {
    /// The first attribute on whose sealed value the program may depend.
    fn read_by(&self, program: &Program) -> Option<&Name> {
        let sealed = |slot: &Slot| {
            let position = usize::from(slot.0).checked_sub(BUILT_IN.len())?;
            let attribute = self.payment_type.attributes.get(position)?;
            // Whether the payment has an entity is not sealed, only which one.
            let has_entity = self.is_entity.get(position).copied().unwrap_or_default();
            let is_sealed = attribute.personal || has_entity && program.reads(*slot);
            is_sealed.then_some(&attribute.name)
        };
        program.slots().iter().find_map(sealed)
    }

    /// Whether the program asks if there is a value where there is a sealed one.
    fn tested_by(&self, program: &Program) -> bool {
        program.tested().iter().any(|slot| {
            let position = usize::from(slot.0).checked_sub(BUILT_IN.len());
            let attribute = position.and_then(|position| Some((position, self.payment_type.attributes.get(position)?)));
            attribute.is_some_and(|(position, attribute)| {
                attribute.personal || self.is_entity.get(position).copied().unwrap_or_default()
            })
        })
    }
}
