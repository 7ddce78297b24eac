//! `[streams]` and `[features]`.

use features::Window;
use types::{DigestBuilder, Name, Span};

use super::reader::{Located, Table, choice, span, text, whole};
use super::section::{SPAN_MIN, Section};
use super::{Draft, Source, payment_list, source, source_or};
use crate::index::{AttributeIdx, EntityIdx, PaymentTypeIdx, StreamIdx};
use crate::limits::{
    FEATURES_MAX, REACH_MAX, STREAM_ENTITIES_MAX, STREAM_ENTITIES_MAX_DEFAULT, STREAM_RECORDS_MAX,
    STREAM_RECORDS_MAX_DEFAULT, STREAMS_MAX,
};
use crate::spec::{
    AggregateKind, AttributeKind, Counts, FeatureSource, FeatureType, Normalise, StreamClock, StreamSpec,
};

/// A stream and where its records come from.
#[derive(Debug)]
pub(crate) struct StreamDraft {
    pub(crate) spec: StreamSpec,
    /// The payment types that have the attribute that identifies the stream's entity: their features can ask the
    /// stream.
    pub(crate) askers: Vec<(PaymentTypeIdx, AttributeIdx)>,
    /// The payment types that have records in the stream.
    pub(crate) recorders: Vec<PaymentTypeIdx>,
    pub(crate) value: Source,
    pub(crate) filter: Option<Source>,
}

/// A feature. The type of an expression is known only when it is compiled.
#[derive(Debug)]
pub(crate) struct FeatureDraft {
    pub(crate) name: Name,
    pub(crate) ty: Option<FeatureType>,
    pub(crate) source: FeatureSource,
    /// The expression with its place.
    pub(crate) expression: Option<Source>,
    pub(crate) payments: Vec<PaymentTypeIdx>,
}

pub(super) fn streams(document: &mut Table<'_>, draft: &Draft<'_>) -> Section<StreamDraft> {
    Section::read(document, "streams", "stream", STREAMS_MAX, |name, table| stream(name, table, draft))
}

fn stream(name: Name, mut table: Table<'_>, draft: &Draft<'_>) -> Option<StreamDraft> {
    let of = table.need("of", text);
    let payments = payment_list(&mut table, draft);
    let value = source_or(&mut table, "value", "payment.amount");
    let filter = table.get("where", source);
    let counts = table.or(
        "counts",
        Counts::Accepted,
        choice(&[("accepted", Counts::Accepted), ("attempted", Counts::Attempted)]),
    );
    let clock = table.or(
        "clock",
        StreamClock::DecidedAt,
        choice(&[("decided_at", StreamClock::DecidedAt), ("occurred_at", StreamClock::OccurredAt)]),
    );
    let records_max = table.or("records_max", STREAM_RECORDS_MAX_DEFAULT, whole(1..=i64::from(STREAM_RECORDS_MAX)));
    let entities_max = table.or("entities_max", STREAM_ENTITIES_MAX_DEFAULT, whole(1..=i64::from(STREAM_ENTITIES_MAX)));
    table.finish();

    let (of, value) = (of?, value?);
    let keyed = keyed_by(&of, draft);
    let recorders = match &payments {
        Some(listed) => listed.clone(),
        None => keyed.iter().map(|(payment, _, _)| *payment).collect(),
    };
    let entity = stream_entity(&of, &keyed, &recorders, draft)?;
    let kind = draft.entities.get(entity.get())?;
    let mut key = DigestBuilder::new("finaira policy stream v1");
    key.bytes(name.as_str().as_bytes()).bytes(kind.name.as_str().as_bytes()).u64(u64::from(kind.personal));
    key.bytes(of.value.as_bytes()).bytes(value.value.as_bytes());
    key.bytes(filter.as_ref().map_or("true", |filter| filter.value.as_str()).as_bytes());
    key.u64(counts as u64).u64(clock as u64);
    // The list as it is written: a payment type that a later version adds has no past payments that the stream could
    // lack.
    let mut listed: Vec<_> = payments.iter().flatten().map(|payment| draft.payments.name(payment.get())).collect();
    listed.sort_unstable();
    for payment in listed {
        key.bytes(payment.as_bytes());
    }
    // Records of values that were not normalised in the same way are not found any more.
    if kind.normalise != Normalise::default() {
        let Normalise { trim, lowercase, nfc } = kind.normalise;
        key.bytes(b"normalise").u64(u64::from(trim)).u64(u64::from(lowercase)).u64(u64::from(nfc));
    }
    let spec =
        StreamSpec { name, key: key.digest(), entity, clock, counts, retention: Span::ZERO, records_max, entities_max };
    let askers = keyed.iter().filter(|(_, _, kind)| *kind == entity);
    let askers = askers.map(|(payment, attribute, _)| (*payment, *attribute)).collect();
    Some(StreamDraft { spec, askers, recorders, value, filter })
}

/// The payment types that have an entity attribute of this name.
fn keyed_by(of: &Located<&str>, draft: &Draft<'_>) -> Vec<(PaymentTypeIdx, AttributeIdx, EntityIdx)> {
    let keyed = draft.payments.iter().filter_map(|(position, payment)| {
        let (idx, attribute) = payment.spec.attribute(of.value)?;
        let AttributeKind::Entity(entity) = attribute.kind else { return None };
        Some((PaymentTypeIdx::at(position), idx, entity))
    });
    keyed.collect()
}

/// The one entity that the attribute has in all payment types that have records in the stream.
fn stream_entity(
    of: &Located<&str>,
    keyed: &[(PaymentTypeIdx, AttributeIdx, EntityIdx)],
    recorders: &[PaymentTypeIdx],
    draft: &Draft<'_>,
) -> Option<EntityIdx> {
    let problems = draft.problems;
    let mut entity = None;
    for payment in recorders.iter().filter(|payment| draft.payments.get(payment.get()).is_some()) {
        let Some((_, _, kind)) = keyed.iter().find(|(known, _, _)| known == payment) else {
            let payment = draft.payments.name(payment.get());
            let message = format_args!("payment type `{payment}` has no entity attribute `{}`", of.value);
            problems.report(&of.place, message);
            return None;
        };
        if *entity.get_or_insert(*kind) != *kind {
            let message = format_args!("attribute `{}` has different entities in different payment types", of.value);
            problems.report(&of.place, format_args!("{message}, expected `payments` that have the same one"));
            return None;
        }
    }
    // A payment type with problems may have the attribute.
    if entity.is_none() && draft.payments.broken().next().is_none() {
        problems.report(&of.place, format_args!("no payment type has an entity attribute `{}`", of.value));
    }
    entity
}

pub(super) fn features(document: &mut Table<'_>, draft: &Draft<'_>) -> Section<FeatureDraft> {
    Section::read(document, "features", "feature", FEATURES_MAX, |name, table| feature(name, table, draft))
}

fn feature(name: Name, mut table: Table<'_>, draft: &Draft<'_>) -> Option<FeatureDraft> {
    let problems = table.problems;
    let place = table.place.clone();
    let payments = payment_list(&mut table, draft);
    let expression = table.node("expression");
    let stream = table.node("stream");
    match (expression, stream) {
        (Some(expression), None) => {
            let expression = expression.read(source);
            table.finish();
            let expression = expression?;
            let source = FeatureSource::Expression(expression.value.clone());
            let payments = payments.unwrap_or_else(|| draft.every_payment());
            Some(FeatureDraft { name, ty: None, source, expression: Some(expression), payments })
        }
        (None, Some(stream)) => {
            let stream = stream.read(text).and_then(|stream| draft.streams.find(&stream, problems));
            let aggregate = table.need("aggregate", choice(&AGGREGATES));
            let length = table.need("window", span(SPAN_MIN..=REACH_MAX));
            let delay = table.get("delay", span(Span::ZERO..=REACH_MAX));
            table.finish();
            let (stream, aggregate, length) = (stream?, aggregate?.value, length?);
            let delay_place = delay.as_ref().map_or(&length.place, |delay| &delay.place);
            let window = Window { length: length.value, delay: delay.as_ref().map_or(Span::ZERO, |delay| delay.value) };
            let reach = window.length.saturating_add(window.delay);
            if reach > REACH_MAX {
                let message = format_args!("window and delay are {reach} together, at most {REACH_MAX} are allowed");
                problems.report(delay_place, message);
            }
            let askers = &draft.streams.get(stream)?.askers;
            if let Some(other) =
                payments.iter().flatten().find(|asked| !askers.iter().any(|(known, _)| known == *asked))
            {
                let payment = draft.payments.name(other.get());
                let message =
                    format_args!("payment type `{payment}` lacks the attribute that identifies the stream's entity");
                problems.report(&place, message);
                return None;
            }
            let payments = payments.unwrap_or_else(|| askers.iter().map(|(payment, _)| *payment).collect());
            let source = FeatureSource::Aggregate { stream: StreamIdx::at(stream), aggregate, window };
            Some(FeatureDraft { name, ty: Some(aggregate.ty()), source, expression: None, payments })
        }
        _ => {
            problems.report(&place, "expected exactly one of `stream` and `expression`");
            None
        }
    }
}

const AGGREGATES: [(&str, AggregateKind); 5] = [
    ("count", AggregateKind::Count),
    ("sum", AggregateKind::Sum),
    ("mean", AggregateKind::Mean),
    ("label_count", AggregateKind::LabelCount),
    ("label_rate", AggregateKind::LabelRate),
];

impl AggregateKind {
    const fn ty(self) -> FeatureType {
        match self {
            Self::Count | Self::Sum | Self::LabelCount => FeatureType::Int,
            Self::Mean | Self::LabelRate => FeatureType::Double,
        }
    }
}

/// Sets how far back each stream can be asked: its longest window with its delay.
pub(super) fn set_retentions(streams: &mut Section<StreamDraft>, features: &Section<FeatureDraft>) {
    for (position, stream) in streams.iter_mut() {
        let reach = |feature: &FeatureDraft| match feature.source {
            FeatureSource::Aggregate { stream, window, .. } if stream.get() == position => {
                Some(window.length.saturating_add(window.delay))
            }
            FeatureSource::Aggregate { .. } | FeatureSource::Expression(_) => None,
        };
        stream.spec.retention = features.iter().filter_map(|(_, feature)| reach(feature)).max().unwrap_or_default();
    }
}
