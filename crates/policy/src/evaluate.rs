//! Evaluates one payment: streams, features, models, score, rules, thresholds, legs, in this order.

use features::Window;
use types::{Amount, Name, Timestamp, Token};

use crate::cel::{EvalError, Program, Slot};
use crate::compiled_type::{AMOUNT, BUILT_IN, Lists, ModelPlan, Payment};
use crate::evaluation::{
    AccountRef, Effect, Evaluation, Facts, Failure, FailureCause, LegPlan, Part, Reason, Score, Verdict, WindowSource,
};
use crate::history::{StreamNow, WindowNow, aggregate_value, attribute_value, attributes_now, features_now};
use crate::index::AttributeIdx;
use crate::policy::Policy;
use crate::reason::Codes;
use crate::spec::{FeatureSource, FeatureSpec, Leg, LegAccount, OnFailure, RuleEffect, Thresholds};
use crate::value::{AttributeValue, FeatureValue};

impl Policy {
    /// Evaluates the policy for one payment.
    ///
    /// # Panics
    /// POL-1: if the facts do not fit the payment type. The edge must have checked that.
    pub fn evaluate(&self, facts: &Facts<'_>, history: &dyn WindowSource) -> Evaluation {
        let position = facts.payment_type.get();
        let plan = self.plans.get(position).expect("POL-1: the payment type is one of this policy");
        let spec = self.payment_types().get(position).expect("POL-1: the payment type is one of this policy");
        assert_eq!(facts.attributes.len(), spec.attributes.len(), "POL-1: one value per attribute of the type");
        debug_assert!(
            spec.attributes.iter().zip(facts.attributes).all(|(attribute, value)| match value {
                Some(value) => attribute.kind.admits(value),
                None => !attribute.required,
            }),
            "POL-1: each value is of its attribute's kind"
        );
        let amount = i64::try_from(facts.amount.get()).ok();

        let mut judgement = Judgement::new(self.thresholds(), &self.codes);
        let mut payment = Payment { plan, facts, amount, features: &[], models: &[], lists: Lists(history) };
        let features = attributes_now(&payment, history);
        let known = Payment { features: &features, ..payment };
        let streams: Vec<_> = plan.streams.iter().map(|stream| StreamNow::of(stream, &known)).collect();
        for (stream, now) in plan.streams.iter().zip(&streams) {
            if let Err(error) = now.record {
                let spec = self.streams().get(stream.stream.get()).expect("POL-4: a plan names streams of its policy");
                let failure = Failure { part: Part::Stream(spec.name.clone()), cause: self.cause(error, &payment) };
                judgement.failed(failure, &self.codes.stream_failed);
            }
        }
        let features = features_now(&payment, features, &streams, history);
        payment.features = &features;
        let mut models = Vec::with_capacity(plan.models.len());
        for model in &plan.models {
            let payment = Payment { models: &models, ..payment };
            let probability = self.probability(model, &payment, &mut judgement);
            models.push((model.model, probability));
        }
        payment.models = &models;
        judgement.model_score = match &plan.score {
            None => models.iter().filter_map(|(_, found)| *found).map(Score::of_probability).max().unwrap_or_default(),
            Some(program) => self.model_score(program, &payment, &mut judgement),
        };
        for rule in &plan.rules {
            match rule.when.eval_bool(&payment) {
                Ok(true) => judgement.rule(&rule.name, &rule.then),
                Ok(false) => {}
                Err(error) => {
                    let failure = Failure { part: Part::Rule(rule.name.clone()), cause: self.cause(error, &payment) };
                    judgement.failed(failure, &self.codes.rule_failed);
                }
            }
        }
        let score = judgement.score();
        let legs = match judgement.verdict {
            Verdict::Decline => Ok(Vec::new()),
            Verdict::Approve | Verdict::Review => self.legs(&spec.legs, &payment),
        };
        let records = plan.streams.iter().zip(&streams).filter_map(|(plan, now)| now.stream_record(plan)).collect();
        let Judgement { verdict, reasons, tags, .. } = judgement;
        Evaluation { verdict, score, reasons, tags, features, models, records, legs }
    }

    fn probability(&self, plan: &ModelPlan, payment: &Payment<'_>, judgement: &mut Judgement<'_>) -> Option<f64> {
        let inputs = inputs(plan, payment);
        let model = self.models.get(plan.model.get()).expect("POL-4: a plan names models of its policy");
        let probability = inputs
            .map_err(|error| self.cause(error, payment))
            .and_then(|inputs| model.probability(&inputs).ok_or(FailureCause::NoProbability));
        match probability {
            Ok(probability) => Some(probability),
            Err(cause) => {
                let spec = self.models().get(plan.model.get()).expect("POL-4: a plan names models of its policy");
                judgement.model_failed(Failure { part: Part::Model(spec.name.clone()), cause });
                None
            }
        }
    }

    /// The score that the policy makes of its models. One that cannot be computed counts as a model that gives no number.
    fn model_score(&self, program: &Program, payment: &Payment<'_>, judgement: &mut Judgement<'_>) -> Score {
        let probability = program.eval_number(payment).map_err(|error| self.cause(error, payment));
        match probability.and_then(|found| if found.is_nan() { Err(FailureCause::NoProbability) } else { Ok(found) }) {
            Ok(probability) => Score::of_probability(probability),
            Err(cause) => {
                judgement.model_failed(Failure { part: Part::Score, cause });
                Score::default()
            }
        }
    }

    fn legs(&self, legs: &[Leg], payment: &Payment<'_>) -> Result<Vec<LegPlan>, Failure> {
        let mut plans = Vec::with_capacity(legs.len());
        for ((number, leg), amount) in (0..).zip(legs).zip(&payment.plan.amounts) {
            let failed = |cause| Failure { part: Part::Leg(number), cause };
            // What is exactly the amount needs no calculation, so it may be larger than expressions can read.
            let minor = match amount.reads_only(AMOUNT) {
                true => payment.facts.amount.get(),
                false => {
                    let amount = amount.eval_int(payment).map_err(|error| failed(self.cause(error, payment)))?;
                    u128::try_from(amount).or(Err(failed(FailureCause::NegativeAmount(amount))))?
                }
            };
            let (debit, credit) = (account(leg.debit, payment.facts), account(leg.credit, payment.facts));
            if debit == credit {
                return Err(failed(FailureCause::SameAccount));
            }
            if minor > 0 {
                plans.push(LegPlan { leg: number, debit, credit, amount: Amount::new(minor), code: leg.code });
            }
        }
        Ok(plans)
    }

    /// Why an expression has no value for this payment.
    pub(crate) fn cause(&self, error: EvalError, payment: &Payment<'_>) -> FailureCause {
        match error {
            EvalError::Missing(AMOUNT) => FailureCause::Overflow,
            EvalError::Missing(slot) => FailureCause::Missing(self.path(slot, payment).into()),
            EvalError::Overflow => FailureCause::Overflow,
            EvalError::DivisionByZero => FailureCause::DivisionByZero,
            EvalError::InvalidConversion => FailureCause::InvalidConversion,
            EvalError::NotFound => FailureCause::NotFound,
            EvalError::TooLong | EvalError::DuplicateKey => FailureCause::Overflow,
            EvalError::Mistyped(_) | EvalError::NoOverload | EvalError::WrongResult => FailureCause::Mistyped,
        }
    }

    /// The name of the attribute, feature or model whose value is in `slot`. Nothing else can be missing.
    fn path(&self, slot: Slot, payment: &Payment<'_>) -> String {
        let spec = self.payment_types().get(payment.facts.payment_type.get());
        let attributes = spec.map_or(&[][..], |spec| &spec.attributes);
        let number = usize::from(slot.0).saturating_sub(BUILT_IN.len());
        match number.checked_sub(attributes.len()) {
            None => attributes.get(number).map_or_else(String::new, |attribute| format!("payment.{}", attribute.name)),
            Some(number) => match number.checked_sub(payment.plan.slots.len()) {
                None => {
                    let plan = payment.plan.slots.get(number).and_then(|place| payment.plan.features.get(*place));
                    let feature = plan.and_then(|plan| self.features().get(plan.feature.get()));
                    feature.map_or_else(String::new, |feature| format!("features.{}", feature.name))
                }
                Some(number) => {
                    let model = payment.plan.models.get(number).and_then(|plan| self.models().get(plan.model.get()));
                    model.map_or_else(String::new, |model| format!("models.{}", model.name))
                }
            },
        }
    }
}

/// The row that a model reads.
pub(crate) fn inputs(plan: &ModelPlan, payment: &Payment<'_>) -> Result<Vec<f32>, EvalError> {
    let number = |input: &Program| {
        #[expect(clippy::cast_possible_truncation, reason = "models calculate with the nearest 32-bit floats")]
        input.eval_number(payment).map(|number| number as f32)
    };
    plan.inputs.iter().map(number).collect()
}

/// The judgement of one payment while it is being made.
struct Judgement<'p> {
    thresholds: Thresholds,
    codes: &'p Codes,
    verdict: Verdict,
    reasons: Vec<Reason>,
    tags: Vec<String>,
    model_score: Score,
    rule_scores: i64,
}

impl<'p> Judgement<'p> {
    fn new(thresholds: Thresholds, codes: &'p Codes) -> Self {
        Self {
            thresholds,
            codes,
            verdict: Verdict::Approve,
            reasons: Vec::new(),
            tags: Vec::new(),
            model_score: Score::default(),
            rule_scores: 0,
        }
    }

    /// Adds one of the system's reasons. It is listed once, however often it applies, with the first failure.
    fn add(&mut self, code: &Name, effect: OnFailure, failure: Option<Failure>) {
        let (verdict, effect) = match effect {
            OnFailure::Approve => return,
            OnFailure::Review => (Verdict::Review, Effect::Review),
            OnFailure::Decline => (Verdict::Decline, Effect::Decline),
        };
        self.verdict = self.verdict.max(verdict);
        if !self.reasons.iter().any(|reason| reason.code == *code) {
            self.reasons.push(Reason { code: code.clone(), effect, failure });
        }
    }

    /// Handles an expression without a value: either something is missing, or a human should see why it failed.
    fn failed(&mut self, failure: Failure, code: &Name) {
        self.failed_with(failure, code, OnFailure::Review);
    }

    fn model_failed(&mut self, failure: Failure) {
        self.failed_with(failure, &self.codes.model_failed, self.thresholds.on_model_error);
    }

    fn failed_with(&mut self, failure: Failure, code: &Name, effect: OnFailure) {
        if matches!(failure.cause, FailureCause::Missing(_)) {
            self.add(&self.codes.feature_missing, self.thresholds.on_missing_feature, Some(failure));
        } else {
            self.add(code, effect, Some(failure));
        }
    }

    fn rule(&mut self, name: &Name, then: &RuleEffect) {
        let effect = match then {
            RuleEffect::Decline => Effect::Decline,
            RuleEffect::Review => Effect::Review,
            RuleEffect::Score(points) => Effect::Score(*points),
            RuleEffect::Tag(tag) => {
                if !self.tags.contains(tag) {
                    self.tags.push(tag.clone());
                }
                return;
            }
        };
        match effect {
            Effect::Decline => self.verdict = Verdict::Decline,
            Effect::Review => self.verdict = self.verdict.max(Verdict::Review),
            Effect::Score(points) => self.rule_scores += i64::from(points),
        }
        self.reasons.push(Reason { code: name.clone(), effect, failure: None });
    }

    /// Computes the score from all that was added to it, and applies the thresholds.
    fn score(&mut self) -> Score {
        let score = Score::clamped(i64::from(self.model_score.get()) + self.rule_scores);
        let reached = |threshold: Option<u16>| threshold.is_some_and(|threshold| score.get() >= threshold);
        if reached(self.thresholds.decline_at) {
            self.add(&self.codes.score_decline, OnFailure::Decline, None);
        } else if reached(self.thresholds.review_at) {
            self.add(&self.codes.score_review, OnFailure::Review, None);
        }
        score
    }
}

impl Policy {
    /// The values at `at` of all features that are about an entity of this kind alone: about its records, or its attributes. They are in
    /// their order. Features of pairs
    /// and groups, and those that compare a payment with records, have no value for an entity.
    pub fn features_of(
        &self,
        kind: &Name,
        entity: Token,
        at: Timestamp,
        history: &dyn WindowSource,
    ) -> Vec<(Name, FeatureValue)> {
        let value = |feature: &FeatureSpec| {
            if let FeatureSource::Attribute { entity: of, attribute, .. } = &feature.source {
                let of = self.entities().get(of.get()).filter(|of| of.name == *kind)?;
                let attribute = of.attributes.get(attribute.get())?;
                let value = attribute_value(history.attribute(kind, &attribute.name, entity), attribute, at);
                return Some((feature.name.clone(), value));
            }
            let FeatureSource::Aggregate { stream, aggregate, window } = feature.source else { return None };
            let spec = self.streams().get(stream.get())?;
            let is_of_one = spec.pair.is_none() && !spec.is_grouped && !aggregate.is_about_payment();
            self.entities().get(spec.entity.get()).filter(|entity| is_of_one && entity.name == *kind)?;
            let view = |window| history.view(stream, entity, window, at, None).map(|view| WindowNow::of(view, false));
            let before = aggregate
                .compared_to()
                .map(|length| view(Window { length, delay: window.delay.saturating_add(window.length) }));
            let value = match (view(window), before.transpose()) {
                (Ok(now), Ok(before)) => aggregate_value(aggregate, (now, before), window, None, &mut Vec::new()),
                (Err(missing), _) | (_, Err(missing)) => FeatureValue::Missing(missing.into()),
            };
            Some((feature.name.clone(), value))
        };
        self.features().iter().filter_map(value).collect()
    }
}

fn account(account: LegAccount, facts: &Facts<'_>) -> AccountRef {
    match account {
        LegAccount::Single(template) => AccountRef::Single(template),
        LegAccount::Of(template, attribute) => {
            AccountRef::Of(template, entity(facts, attribute).expect("POL-1: legs name required entity attributes"))
        }
        LegAccount::Attribute(attribute) => match facts.attributes.get(attribute.get()) {
            Some(Some(AttributeValue::Account(id))) => AccountRef::Id(*id),
            _ => panic!("POL-1: legs name required account attributes"),
        },
    }
}

pub(crate) fn entity(facts: &Facts<'_>, attribute: AttributeIdx) -> Option<Token> {
    match facts.attributes.get(attribute.get())? {
        Some(AttributeValue::Entity { token, .. }) => Some(*token),
        _ => None,
    }
}
