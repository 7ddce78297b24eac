//! Explains the scores of models, for a payment that was decided.

use std::cell::Cell;

use types::{Name, Timestamp, Token};

use crate::cel::Listed;
use crate::compiled_type::{Lists, ModelPlan, Payment};
use crate::evaluate::inputs;
use crate::evaluation::{Facts, FailureCause, WindowSource};
use crate::index::{FeatureIdx, ListIdx, ModelIdx, StreamIdx};
use crate::onnx::{Contributions, Unexplained};
use crate::policy::Policy;
use crate::value::FeatureValue;

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
    /// An input looks into a list. Only the decision's own journal has the list as it was.
    #[error("an input of the model looks into a list, which may have changed since")]
    List,
}

/// Stands for the history when only stored values are read. It notes whether a list was asked for.
#[derive(Debug, Default)]
struct Stored {
    has_asked: Cell<bool>,
}

impl WindowSource for Stored {
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
        self.has_asked.set(true);
        false
    }
}

impl Policy {
    /// Explains the answers of all models of the payment's type, in order. `features` are those of the payment's
    /// [`Evaluation`](crate::Evaluation), so no history is needed, and the result is the same however much later. It takes
    /// a hundred times as long as the models themselves, so it does not belong on the engine's thread.
    ///
    /// # Panics
    /// POL-1: if the facts do not fit the payment type, or the features are not those of the type, in order.
    pub fn explain(&self, facts: &Facts<'_>, features: &[(FeatureIdx, FeatureValue)]) -> Vec<Explanation<'_>> {
        let position = facts.payment_type.get();
        let plan = self.plans.get(position).expect("POL-1: the payment type is one of this policy");
        assert_eq!(facts.attributes.len(), plan.attributes, "POL-1: one value per attribute of the type");
        let fits = plan.features.iter().map(|feature| feature.feature).eq(features.iter().map(|(feature, _)| *feature));
        assert!(fits, "POL-1: the features are those of the payment's type, in order");
        let stored = Stored::default();
        let lists = Lists(&stored);
        let payment = Payment { plan, facts, amount: i64::try_from(facts.amount.get()).ok(), features, lists };
        let mut found = Contributions::new();
        let explain = |plan: &ModelPlan| {
            let spec = self.models().get(plan.model.get()).expect("POL-4: a plan names models of its policy");
            let model = self.models.get(plan.model.get()).expect("POL-4: a plan names models of its policy");
            stored.has_asked.set(false);
            let row = inputs(plan, &payment);
            let row = if stored.has_asked.get() {
                Err(NotExplained::List)
            } else {
                row.map_err(|error| NotExplained::Input(self.cause(error, &payment)))
            };
            let answer = row.and_then(|row| {
                model.contributions(&row, &mut found)?;
                let columns = model.columns().unwrap_or_default();
                let parts = spec.inputs.iter().zip(&row).zip(found.columns()).enumerate();
                let inputs = parts.map(|(at, ((expression, value), contribution))| Contribution {
                    expression,
                    column: columns.get(at).map(String::as_str),
                    value: *value,
                    contribution: *contribution,
                });
                Ok(Explained {
                    probability: model.probability(&row),
                    expected: found.expected(),
                    score: found.score(),
                    inputs: inputs.collect(),
                })
            });
            Explanation { model: plan.model, name: &spec.name, answer }
        };
        plan.models.iter().map(explain).collect()
    }
}
