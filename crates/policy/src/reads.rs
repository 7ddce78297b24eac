//! What a policy reads of a payment. Who decides a payment again long after it was made has only what is stored in the clear.

use crate::cel::Program;
use crate::compiled_type::{BUILT_IN, CompiledType, How, Lists, Payment};
use crate::evaluation::{Facts, StreamRecord, WindowSource};
use crate::history::{StreamNow, attributes_now};
use crate::index::PaymentTypeIdx;
use crate::policy::Policy;
use crate::spec::{AttributeKind, LegAccount};

/// How far a policy depends on an attribute of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reads {
    /// No decision depends on it.
    Nothing,
    /// Decisions depend on whether it is there, and on its value; of an entity only on the token.
    Value,
    /// Decisions may depend on the text for which the token of an entity stands.
    EntityText,
}

impl Policy {
    /// How far decisions about payments of a type depend on each of its attributes, in their order.
    ///
    /// # Panics
    /// POL-1: if the type is not one of this policy.
    pub fn reads(&self, payment_type: PaymentTypeIdx) -> Vec<Reads> {
        let plan = self.plans.get(payment_type.get()).expect("POL-1: the payment type is one of this policy");
        let spec = self.payment_types().get(payment_type.get()).expect("POL-1: the payment type is one of this policy");
        let mut reads = vec![Reads::Nothing; spec.attributes.len()];
        let mut note = |position: usize, found: Reads| {
            if let Some(known) = reads.get_mut(position) {
                *known = found.max(*known);
            }
        };
        for stream in &plan.streams {
            note(stream.entity.get(), Reads::Value);
            stream.pair.iter().for_each(|pair| note(pair.get(), Reads::Value));
        }
        for leg in &spec.legs {
            for account in [leg.debit, leg.credit] {
                if let LegAccount::Of(_, attribute) | LegAccount::Attribute(attribute) = account {
                    note(attribute.get(), Reads::Value);
                }
            }
        }
        for feature in &plan.features {
            match &feature.how {
                How::Attribute { of, .. } => note(of.get(), Reads::Value),
                How::Aggregate { .. } | How::Expression(_) => {}
            }
        }
        for program in programs(plan) {
            for slot in program.slots() {
                let Some(position) = usize::from(slot.0).checked_sub(BUILT_IN.len()) else { continue };
                let is_entity = matches!(
                    spec.attributes.get(position).map(|attribute| attribute.kind),
                    Some(AttributeKind::Entity(_))
                );
                let beyond = is_entity && program.reads_beyond_token(*slot);
                note(position, if beyond { Reads::EntityText } else { Reads::Value });
            }
        }
        reads
    }

    /// What a payment adds to streams, in their order, as [`Evaluation::records`](crate::Evaluation::records) has it, without
    /// evaluating anything else.
    ///
    /// # Panics
    /// POL-1: if the facts do not fit the payment type.
    pub fn records(&self, facts: &Facts<'_>, history: &dyn WindowSource) -> Vec<StreamRecord> {
        let plan = self.plans.get(facts.payment_type.get()).expect("POL-1: the payment type is one of this policy");
        assert_eq!(facts.attributes.len(), plan.attributes, "POL-1: one value per attribute of the type");
        let amount = i64::try_from(facts.amount.get()).ok();
        let payment = Payment { plan, facts, amount, features: &[], models: &[], lists: Lists(history) };
        let features = attributes_now(&payment, history);
        let payment = Payment { features: &features, ..payment };
        let record = |stream| StreamNow::of(stream, &payment).stream_record(stream);
        plan.streams.iter().filter_map(record).collect()
    }
}

/// All expressions that are evaluated for payments of a type.
fn programs(plan: &CompiledType) -> impl Iterator<Item = &Program> {
    let of_streams = plan.streams.iter().flat_map(|stream| {
        [&stream.group, &stream.value, &stream.filter, &stream.item].into_iter().filter_map(Option::as_ref)
    });
    let of_features = plan.features.iter().filter_map(|feature| match &feature.how {
        How::Expression(program) => Some(program),
        How::Aggregate { .. } | How::Attribute { .. } => None,
    });
    let of_models = plan.models.iter().flat_map(|model| &model.inputs);
    let of_rules = plan.rules.iter().map(|rule| &rule.when);
    of_streams.chain(of_features).chain(of_models).chain(&plan.score).chain(of_rules).chain(&plan.amounts)
}
