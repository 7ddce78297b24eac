//! What is evaluated for payments of one type, and how expressions read a payment.

use types::Name;

use crate::cel::{Listed, Program, Row, Slot, Type, Value};
use crate::evaluation::{Facts, WindowSource};
use crate::index::{AttributeIdx, FeatureIdx, ListIdx, ModelIdx, StreamIdx};
use crate::spec::{AggregateKind, AttributeKind, Counts, EntityAttribute, RuleEffect, StreamClock};
use crate::value::{AttributeValue, FeatureValue};

/// What every payment has, in the order of the first slots. No attribute can have one of these names.
pub(crate) const BUILT_IN: [(&str, Type, BuiltIn); 5] = [
    ("amount", Type::Int, BuiltIn::Amount),
    ("type", Type::Text, BuiltIn::Type),
    ("asset", Type::Text, BuiltIn::Asset),
    ("occurred_at", Type::Time, BuiltIn::OccurredAt),
    ("decided_at", Type::Time, BuiltIn::DecidedAt),
];

/// The slot of `payment.amount`. It has no value if the amount does not fit into 64 bits.
pub(crate) const AMOUNT: Slot = Slot(0);

/// A value that every payment has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BuiltIn {
    Amount,
    Type,
    Asset,
    OccurredAt,
    DecidedAt,
}

/// Everything that is evaluated for payments of one type, in the order of the document.
#[derive(Debug)]
pub(crate) struct CompiledType {
    pub(crate) type_name: Name,
    pub(crate) asset: Box<str>,
    /// Number of attributes of the type. The slots of features follow those of attributes, and those of models follow them.
    pub(crate) attributes: usize,
    pub(crate) streams: Vec<StreamPlan>,
    /// The windows that features read, each once.
    pub(crate) windows: Vec<WindowPlan>,
    pub(crate) features: Vec<FeaturePlan>,
    /// The positions in `features` of all of them in the order of their slots, which is that of evaluation: a feature comes after those
    /// that it reads.
    pub(crate) slots: Vec<usize>,
    pub(crate) models: Vec<ModelPlan>,
    /// What makes one probability of those of the models. Without it, the highest one counts.
    pub(crate) score: Option<Program>,
    pub(crate) rules: Vec<RulePlan>,
    pub(crate) amounts: Vec<Program>,
}

impl CompiledType {
    /// The position of a window in the plan. It is added if no feature reads it yet.
    pub(crate) fn window(&mut self, wanted: WindowPlan) -> usize {
        let same = |planned: &WindowPlan| (planned.stream, planned.window) == (wanted.stream, wanted.window);
        let known = self.windows.iter().position(same);
        if let Some(window) = known.and_then(|known| self.windows.get_mut(known)) {
            window.sums |= wanted.sums;
        }
        known.unwrap_or_else(|| {
            self.windows.push(wanted);
            self.windows.len() - 1
        })
    }

    /// Puts the features in the order of the document. They were added in an order in which each comes after those that it reads, and
    /// `slots` has their numbers in the document.
    pub(crate) fn order_features(&mut self) {
        self.features.sort_by_key(|planned| planned.feature);
        for slot in &mut self.slots {
            let place = self.features.iter().position(|planned| planned.feature.get() == *slot);
            *slot = place.unwrap_or(usize::MAX);
        }
    }
}

/// A stream that records payments of the type, or that their features read.
#[derive(Debug)]
pub(crate) struct StreamPlan {
    pub(crate) stream: StreamIdx,
    pub(crate) entity: AttributeIdx,
    /// The attribute with the other entity of a pair.
    pub(crate) pair: Option<AttributeIdx>,
    pub(crate) group: Option<Program>,
    pub(crate) clock: StreamClock,
    pub(crate) counts: Counts,
    /// The value of a record. `None` if the stream does not record payments of this type.
    pub(crate) value: Option<Program>,
    pub(crate) filter: Option<Program>,
    pub(crate) item: Option<Program>,
}

/// A window over the records of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowPlan {
    /// Index in [`CompiledType::streams`].
    pub(crate) stream: usize,
    pub(crate) window: features::Window,
    /// Whether a feature needs count, sum or labels.
    pub(crate) sums: bool,
}

#[derive(Debug)]
pub(crate) struct FeaturePlan {
    pub(crate) feature: FeatureIdx,
    pub(crate) how: How,
}

/// How a feature is computed for payments of the type.
#[derive(Debug)]
pub(crate) enum How {
    Aggregate {
        /// Index in [`CompiledType::windows`].
        window: usize,
        aggregate: AggregateKind,
        /// Index of the window before, for an aggregate that compares two.
        before: Option<usize>,
    },
    Expression(Program),
    Attribute {
        /// The attribute of the payment with the entity.
        of: AttributeIdx,
        /// The kind of the entity.
        kind: Name,
        attribute: EntityAttribute,
    },
}

#[derive(Debug)]
pub(crate) struct ModelPlan {
    pub(crate) model: ModelIdx,
    pub(crate) inputs: Vec<Program>,
}

#[derive(Debug)]
pub(crate) struct RulePlan {
    pub(crate) name: Name,
    pub(crate) when: Program,
    pub(crate) then: RuleEffect,
}

/// A payment with the features and the answers of models that are computed so far, as expressions see them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payment<'a> {
    pub(crate) plan: &'a CompiledType,
    pub(crate) facts: &'a Facts<'a>,
    /// The amount, if expressions can calculate with it.
    pub(crate) amount: Option<i64>,
    pub(crate) features: &'a [(FeatureIdx, FeatureValue)],
    /// In the order of the plan.
    pub(crate) models: &'a [(ModelIdx, Option<f64>)],
    pub(crate) lists: Lists<'a>,
}

/// The lists as they are now.
#[derive(Clone, Copy)]
pub(crate) struct Lists<'a>(pub(crate) &'a dyn WindowSource);

impl std::fmt::Debug for Lists<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lists").finish_non_exhaustive()
    }
}

impl Row for Payment<'_> {
    fn get(&self, slot: Slot) -> Option<Value<'_>> {
        let slot = usize::from(slot.0);
        if let Some((_, _, built_in)) = BUILT_IN.get(slot) {
            return Some(match built_in {
                BuiltIn::Amount => Value::Int(self.amount?),
                BuiltIn::Type => Value::Text(self.plan.type_name.as_str()),
                BuiltIn::Asset => Value::Text(&self.plan.asset),
                BuiltIn::OccurredAt => Value::Time(self.facts.occurred_at.into()),
                BuiltIn::DecidedAt => Value::Time(self.facts.decided_at.into()),
            });
        }
        let attribute = slot.checked_sub(BUILT_IN.len())?;
        match attribute.checked_sub(self.plan.attributes) {
            None => self.facts.attributes.get(attribute)?.as_ref().map(attribute_value),
            Some(slot) => match slot.checked_sub(self.plan.slots.len()) {
                None => feature_value(&self.features.get(*self.plan.slots.get(slot)?)?.1),
                Some(model) => self.models.get(model)?.1.map(Value::Double),
            },
        }
    }

    fn list_has(&self, list: u16, value: Listed<'_>) -> bool {
        self.lists.0.list_has(ListIdx::at(usize::from(list)), value, self.facts.decided_at)
    }
}

fn attribute_value(value: &AttributeValue) -> Value<'_> {
    match value {
        AttributeValue::Text(text) => Value::Text(text),
        AttributeValue::Int(value) => Value::Int(*value),
        AttributeValue::Double(value) => Value::Double(*value),
        AttributeValue::Bool(value) => Value::Bool(*value),
        AttributeValue::Time(at) => Value::Time((*at).into()),
        AttributeValue::Entity { token, text } => Value::Entity(*token, text),
        AttributeValue::Account(id) => Value::Account(*id),
    }
}

fn feature_value(value: &FeatureValue) -> Option<Value<'_>> {
    match value {
        FeatureValue::Int(value) => Some(Value::Int(*value)),
        FeatureValue::Double(value) => Some(Value::Double(*value)),
        FeatureValue::Bool(value) => Some(Value::Bool(*value)),
        FeatureValue::Text(text) => Some(Value::Text(text)),
        FeatureValue::Missing(_) => None,
    }
}

/// The type of an attribute in expressions.
pub(crate) fn attribute_type(kind: AttributeKind) -> Type {
    match kind {
        AttributeKind::Text { .. } => Type::Text,
        AttributeKind::Int => Type::Int,
        AttributeKind::Double => Type::Double,
        AttributeKind::Bool => Type::Bool,
        AttributeKind::Time => Type::Time,
        AttributeKind::Entity(entity) => Type::Entity(entity.number()),
        AttributeKind::Account => Type::Account,
    }
}
