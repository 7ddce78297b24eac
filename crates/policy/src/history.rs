//! What a payment adds to streams, and what its features read from them.

use std::sync::LazyLock;

use features::{Candidate, Item, Moments, View, Wide};
use types::{DigestBuilder, Timestamp, Token};

use crate::cel::{EvalError, Program, Value};
use crate::compiled_type::{AMOUNT, BUILT_IN, How, Payment, StreamPlan};
use crate::evaluate::entity;
use crate::evaluation::{StreamRecord, WindowSource};
use crate::index::FeatureIdx;
use crate::limits::FEATURE_TEXT_BYTES_MAX;
use crate::spec::{AggregateKind, EntityAttribute};
use crate::value::{EntityValue, FeatureValue, MissingReason};

/// A stream as of one payment.
pub(crate) struct StreamNow {
    /// What the records are asked by: the token of the entity, or one that is derived from those of a pair and from the group. `None` if
    /// the payment leaves out an attribute.
    entity: Result<Option<Token>, EvalError>,
    /// The payment's time on the stream's clock.
    at: Timestamp,
    /// What the payment adds to the stream, if it adds something.
    pub(crate) record: Result<Option<Candidate>, EvalError>,
}

impl StreamNow {
    pub(crate) fn of(plan: &StreamPlan, payment: &Payment<'_>) -> Self {
        let entity = records_of(plan, payment);
        let record = match (entity, &plan.value) {
            (Ok(Some(_)), Some(value)) => record(plan, value, payment),
            (Err(error), Some(_)) => Err(error),
            (Ok(_) | Err(_), _) => Ok(None),
        };
        Self { entity, at: payment.facts.at(plan.clock), record }
    }

    pub(crate) fn stream_record(&self, plan: &StreamPlan) -> Option<StreamRecord> {
        let Candidate { value, item } = self.record.ok().flatten()?;
        let entity = self.entity.ok().flatten()?;
        Some(StreamRecord { stream: plan.stream, entity, at: self.at, value, item, counts: plan.counts })
    }
}

/// The token by which a stream keeps the records that a payment is about.
///
/// For a pair or a group it is derived from the tokens of the entities, which come from keys that can be erased. Once one of them is
/// gone, nobody can tell any more which records belong to that entity.
fn records_of(plan: &StreamPlan, payment: &Payment<'_>) -> Result<Option<Token>, EvalError> {
    static CONTEXT: LazyLock<DigestBuilder> =
        LazyLock::new(|| DigestBuilder::new("finaira 2026-11 records of a pair or a group"));
    let Some(first) = entity(payment.facts, plan.entity) else { return Ok(None) };
    if plan.pair.is_none() && plan.group.is_none() {
        return Ok(Some(first));
    }
    let mut derived = CONTEXT.clone();
    derived.u128(first.get()).u64(u64::from(plan.pair.is_some()));
    if let Some(pair) = plan.pair {
        let Some(second) = entity(payment.facts, pair) else { return Ok(None) };
        derived.u128(second.get());
    }
    if let Some(group) = &plan.group {
        group.eval(payment, |value| add_value(value?, &mut derived))?;
    }
    Ok(Some(Token::new(derived.digest().head_u128())))
}

/// What a payment adds to a stream that records payments of its type, unless the filter leaves it out.
fn record(plan: &StreamPlan, value: &Program, payment: &Payment<'_>) -> Result<Option<Candidate>, EvalError> {
    if !plan.filter.as_ref().map_or(Ok(true), |filter| filter.eval_bool(payment))? {
        return Ok(None);
    }
    Ok(Some(Candidate { value: value.eval_int(payment)?, item: item(plan, payment)? }))
}

/// The item of a payment. A payment that leaves out an attribute that its item reads has none.
fn item(plan: &StreamPlan, payment: &Payment<'_>) -> Result<Option<Item>, EvalError> {
    static CONTEXT: LazyLock<DigestBuilder> = LazyLock::new(|| DigestBuilder::new("finaira 2026-11 item of a record"));
    let Some(item) = &plan.item else { return Ok(None) };
    item.eval(payment, |value| {
        let number = match value {
            // Tokens are random numbers already.
            Ok(Value::Entity(token, _)) => head(&token.get().to_le_bytes()),
            Ok(value) => {
                let mut derived = CONTEXT.clone();
                add_value(value, &mut derived)?;
                head(derived.digest().as_bytes())
            }
            Err(EvalError::Missing(slot)) if slot != AMOUNT => return Ok(None),
            Err(error) => return Err(error),
        };
        // One of 2^64 values has no number of its own and shares that of another.
        Ok(Item::new(number.max(1)))
    })
}

/// The first 64 bits.
fn head<const N: usize>(bytes: &[u8; N]) -> u64 {
    bytes.first_chunk().map_or(0, |head| u64::from_le_bytes(*head))
}

/// Adds a value to what a token or an item is derived from. Entities are their tokens.
fn add_value(value: Value<'_>, into: &mut DigestBuilder) -> Result<(), EvalError> {
    if let Value::Text(text) = value {
        into.u64(0).bytes(text.as_bytes());
    } else if let Value::Int(value) = value {
        into.u64(1).i128(value.into());
    } else if let Value::Bool(value) = value {
        into.u64(2).u64(value.into());
    } else if let Value::Entity(token, _) = value {
        into.u64(3).u128(token.get());
    } else if let Value::Account(id) = value {
        into.u64(4).u128(id.get());
    } else {
        return Err(EvalError::WrongResult);
    }
    Ok(())
}

/// The records in one window as of a payment.
#[derive(Clone, Copy)]
pub(crate) struct WindowNow<'h> {
    view: View<'h>,
    /// Count, sum and labels, if several features may need them.
    sums: Option<features::Aggregate>,
}

impl<'h> WindowNow<'h> {
    pub(crate) fn of(view: View<'h>, with_sums: bool) -> Self {
        Self { view, sums: with_sums.then(|| view.aggregate()) }
    }

    fn sums(&self) -> features::Aggregate {
        self.sums.unwrap_or_else(|| self.view.aggregate())
    }
}

/// The features of a payment in the order of the document, with the values of those that are attributes of entities. The others are
/// not known yet.
pub(crate) fn attributes_now(payment: &Payment<'_>, history: &dyn WindowSource) -> Vec<(FeatureIdx, FeatureValue)> {
    let value = |planned: &crate::compiled_type::FeaturePlan| {
        let value = match &planned.how {
            How::Attribute { of, kind, attribute } => match entity(payment.facts, *of) {
                Some(token) => {
                    let value = history.attribute(kind, &attribute.name, token);
                    attribute_value(value, attribute, payment.facts.decided_at)
                }
                None => FeatureValue::Missing(MissingReason::AttributeAbsent),
            },
            How::Aggregate { .. } | How::Expression(_) => FeatureValue::Missing(MissingReason::Unavailable),
        };
        (planned.feature, value)
    };
    payment.plan.features.iter().map(value).collect()
}

/// The feature that an attribute of an entity is at `at`. A value that was set when the policy declared another type does not count.
pub(crate) fn attribute_value(value: Option<&EntityValue>, attribute: &EntityAttribute, at: Timestamp) -> FeatureValue {
    match value {
        None => FeatureValue::Missing(MissingReason::NotSet),
        Some(value) if value.ty() != attribute.ty => FeatureValue::Missing(MissingReason::OutOfRange),
        Some(value) => value.as_feature(at),
    }
}

/// Computes the features of a payment, of which `values` has the attributes of entities. Each comes after those that it reads; the result
/// is in the order of the document.
pub(crate) fn features_now(
    payment: &Payment<'_>,
    mut values: Vec<(FeatureIdx, FeatureValue)>,
    streams: &[StreamNow],
    history: &dyn WindowSource,
) -> Vec<(FeatureIdx, FeatureValue)> {
    let plan = payment.plan;
    let known = Payment { features: &values, ..*payment };
    let window = |planned: &crate::compiled_type::WindowPlan| {
        let now = streams.get(planned.stream).expect("POL-4: a plan names its own streams");
        let stream = plan.streams.get(planned.stream).expect("POL-4: a plan names its own streams");
        let reason = |error| missing_reason(error, &known);
        let candidate = now.record.map_err(reason)?;
        let entity = now.entity.map_err(reason)?.ok_or(MissingReason::AttributeAbsent)?;
        let view = history.view(stream.stream, entity, planned.window, now.at, candidate)?;
        Ok(WindowNow::of(view, planned.sums))
    };
    let windows: Vec<Result<WindowNow<'_>, MissingReason>> = plan.windows.iter().map(window).collect();
    let at = |window: usize| *windows.get(window).expect("POL-4: a plan names its own windows");
    let mut scratch = Vec::new();
    for place in &plan.slots {
        let planned = plan.features.get(*place).expect("POL-4: a plan names its own features");
        let payment = &Payment { features: &values, ..*payment };
        let value = match &planned.how {
            How::Attribute { .. } => continue,
            How::Expression(program) => expression_value(program, payment),
            How::Aggregate { window, aggregate, before } => match (at(*window), before.map(at).transpose()) {
                (Ok(now), Ok(before)) => {
                    let planned = plan.windows.get(*window).expect("POL-4: a plan names its own windows");
                    let stream = plan.streams.get(planned.stream).expect("POL-4: a plan names its own streams");
                    aggregate_value(*aggregate, (now, before), planned.window, Some((stream, payment)), &mut scratch)
                }
                (Err(missing), _) | (Ok(_), Err(missing)) => FeatureValue::Missing(missing),
            },
        };
        if let Some(known) = values.get_mut(*place) {
            known.1 = value;
        }
    }
    values
}

fn expression_value(program: &Program, payment: &Payment<'_>) -> FeatureValue {
    program.eval(payment, |value| match value {
        Ok(Value::Int(value)) => FeatureValue::Int(value),
        Ok(Value::Double(value)) => FeatureValue::double(value),
        Ok(Value::Bool(value)) => FeatureValue::Bool(value),
        Ok(Value::Text(text)) if text.len() > FEATURE_TEXT_BYTES_MAX => {
            FeatureValue::Missing(MissingReason::OutOfRange)
        }
        Ok(Value::Text(text)) => FeatureValue::Text(text.into()),
        Ok(
            Value::Null
            | Value::Uint(_)
            | Value::Bytes(_)
            | Value::Time(_)
            | Value::Duration(_)
            | Value::Account(_)
            | Value::Entity(..)
            | Value::Type(_)
            | Value::List(_)
            | Value::Map(_),
        ) => FeatureValue::Missing(MissingReason::ExpressionFailed),
        Err(error) => FeatureValue::Missing(missing_reason(error, payment)),
    })
}

/// Why an expression has no value: a missing value is a missing attribute, or a feature that is missing for a reason of its own.
fn missing_reason(error: EvalError, payment: &Payment<'_>) -> MissingReason {
    match error {
        EvalError::Missing(AMOUNT) => MissingReason::OutOfRange,
        EvalError::Missing(slot) => {
            let number = usize::from(slot.0).checked_sub(BUILT_IN.len() + payment.plan.attributes);
            let read = number.and_then(|number| payment.features.get(*payment.plan.slots.get(number)?));
            match read {
                // What the expression lacks is what the feature lacks.
                Some((_, FeatureValue::Missing(reason))) => *reason,
                Some(_) | None => MissingReason::AttributeAbsent,
            }
        }
        EvalError::Mistyped(_)
        | EvalError::Overflow
        | EvalError::DivisionByZero
        | EvalError::InvalidConversion
        | EvalError::NoOverload
        | EvalError::NotFound
        | EvalError::DuplicateKey
        | EvalError::TooLong
        | EvalError::WrongResult => MissingReason::ExpressionFailed,
    }
}

/// The value of an aggregate over a window, and over the one before it if it compares two. `payment` is what it is compared with.
pub(crate) fn aggregate_value(
    aggregate: AggregateKind,
    (now, before): (WindowNow<'_>, Option<WindowNow<'_>>),
    window: features::Window,
    payment: Option<(&StreamPlan, &Payment<'_>)>,
    scratch: &mut Vec<i64>,
) -> FeatureValue {
    let too_few = FeatureValue::Missing(MissingReason::TooFewRecords);
    let int =
        |value: i128| i64::try_from(value).map_or(FeatureValue::Missing(MissingReason::OutOfRange), FeatureValue::Int);
    let exact = |value: Option<i64>| value.map_or(too_few.clone(), FeatureValue::Int);
    let seconds = |span: Option<types::Span>| exact(span.map(|span| (span.ns() / NS_PER_SECOND).cast_signed()));
    let view = now.view;
    match aggregate {
        AggregateKind::Count => int(now.sums().count.into()),
        AggregateKind::Sum => int(now.sums().sum),
        AggregateKind::Mean => share(now.sums().sum, now.sums().count),
        AggregateKind::LabelCount => int(now.sums().positives.into()),
        AggregateKind::LabelRate => share(now.sums().positives.into(), now.sums().count),
        AggregateKind::Stddev => FeatureValue::double(deviation(&view.moments())),
        AggregateKind::Min => exact(view.extremes().map(|(min, _)| min)),
        AggregateKind::Max => exact(view.extremes().map(|(_, max)| max)),
        AggregateKind::Quantile(quantile) => exact(view.quantile(quantile, scratch)),
        AggregateKind::Last => exact(view.last()),
        AggregateKind::Previous => exact(view.previous()),
        AggregateKind::SinceLast => seconds(view.since_last()),
        AggregateKind::SinceFirst => seconds(view.since_first()),
        AggregateKind::Distinct => int(view.distinct().into()),
        AggregateKind::CountChange(length) | AggregateKind::SumChange(length) => {
            let counts = matches!(aggregate, AggregateKind::CountChange(_));
            let part = |window: WindowNow<'_>| {
                let sums = window.sums();
                if counts { i128::from(sums.count) } else { sums.sum }
            };
            match before.map(part) {
                None | Some(0) => too_few,
                Some(before) => FeatureValue::double(
                    quotient(part(now), before) * quotient(length.ns().into(), window.length.ns().into()),
                ),
            }
        }
        AggregateKind::Ratio | AggregateKind::ZScore | AggregateKind::Seen => match payment {
            Some((stream, payment)) => compared(aggregate, view.earlier(), stream, payment),
            None => FeatureValue::Missing(MissingReason::Unavailable),
        },
    }
}

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Compares what a payment adds, or would add if the filter did not leave it out, with the earlier records.
fn compared(aggregate: AggregateKind, earlier: View<'_>, stream: &StreamPlan, payment: &Payment<'_>) -> FeatureValue {
    let missing = |error| FeatureValue::Missing(missing_reason(error, payment));
    if aggregate == AggregateKind::Seen {
        return match item(stream, payment) {
            Ok(Some(item)) => FeatureValue::Bool(earlier.has_seen(item)),
            Ok(None) => FeatureValue::Missing(MissingReason::AttributeAbsent),
            Err(error) => missing(error),
        };
    }
    let value = stream.value.as_ref().expect("POL-4: only a payment type with records is compared with them");
    let value = match value.eval_int(payment) {
        Ok(value) => i128::from(value),
        Err(error) => return missing(error),
    };
    let is_score = aggregate == AggregateKind::ZScore;
    let moments = match is_score {
        true => earlier.moments(),
        false => {
            let sums = earlier.aggregate();
            Moments { count: sums.count, sum: sums.sum, squares: Wide::default() }
        }
    };
    // The value and the count are below 2^63 and 2^33, so the product is exact.
    let scaled = value * i128::from(moments.count);
    // Without two records that differ there is no spread, and without records no sum.
    let has_measure = if is_score { moments.spread() > Wide::default() } else { moments.sum != 0 };
    if !has_measure {
        return FeatureValue::Missing(MissingReason::TooFewRecords);
    }
    FeatureValue::double(match is_score {
        true => quotient(scaled - moments.sum, moments.count.into()) / deviation(&moments),
        false => quotient(scaled, moments.sum),
    })
}

/// The standard deviation of a sample: √((n Σx² − (Σx)²) / (n (n − 1))). The numerator and the denominator are exact until each is
/// rounded to the nearest double; then the quotient and the root are rounded.
fn deviation(moments: &Moments) -> f64 {
    let pairs = u128::from(moments.count) * u128::from(moments.count.saturating_sub(1));
    if pairs == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "the nearest double is intended")]
    let pairs = pairs as f64;
    (nearest(moments.spread()) / pairs).sqrt()
}

/// The nearest double.
fn nearest(number: Wide) -> f64 {
    let (significant, cut) = number.significant();
    #[expect(clippy::cast_precision_loss, reason = "the nearest double is intended")]
    let rounded = significant as f64;
    // A power of two below 2^193: the bits of its exponent.
    rounded * f64::from_bits((1023 + u64::from(cut)) << 52)
}

/// The quotient of the nearest doubles, or 0.0 if `count` is 0. Both steps round by IEEE 754, so the result is the same
/// on every machine.
fn share(part: i128, count: u64) -> FeatureValue {
    FeatureValue::double(if count == 0 { 0.0 } else { quotient(part, count.into()) })
}

#[expect(clippy::cast_precision_loss, reason = "the nearest double is intended")]
fn quotient(part: i128, whole: i128) -> f64 {
    part as f64 / whole as f64
}
