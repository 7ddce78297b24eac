//! `[streams]` and `[features]`.

use features::{Quantile, Window};
use types::{DigestBuilder, Name, Span};

use super::reader::{Located, Node, Table, choice, millionths, span, text, whole};
use super::section::{SPAN_MIN, Section};
use super::{Draft, Source, payment_list, source, source_or};
use crate::compile::reads_one_of;
use crate::index::{AttributeIdx, EntityAttributeIdx, EntityIdx, PaymentTypeIdx, StreamIdx};
use crate::limits::{
    FEATURES_MAX, REACH_MAX, STREAM_ENTITIES_MAX, STREAM_ENTITIES_MAX_DEFAULT, STREAM_RECORDS_MAX,
    STREAM_RECORDS_MAX_DEFAULT, STREAMS_MAX,
};
use crate::problem::suggestion;
use crate::spec::{
    AggregateKind, AttributeKind, Counts, Entity, FeatureSource, FeatureType, Normalise, StreamClock, StreamSpec,
};

/// A stream and where its records come from.
#[derive(Debug)]
pub(crate) struct StreamDraft {
    pub(crate) spec: StreamSpec,
    /// The payment types that have the attributes that identify the stream's entities: their features can ask the
    /// stream.
    pub(crate) askers: Vec<Asker>,
    /// The payment types that have records in the stream.
    pub(crate) recorders: Vec<PaymentTypeIdx>,
    pub(crate) group: Option<Source>,
    pub(crate) value: Source,
    pub(crate) item: Option<Source>,
    pub(crate) filter: Option<Source>,
}

/// A payment type whose features can ask a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) payment: PaymentTypeIdx,
    pub(crate) entity: AttributeIdx,
    /// The attribute with the other entity of a pair.
    pub(crate) pair: Option<AttributeIdx>,
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
    let of = attributes_of(&mut table);
    let payments = payment_list(&mut table, draft);
    let group = table.get("group", source);
    let value = source_or(&mut table, "value", "payment.amount");
    let item = table.get("item", source);
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
    let keyed: Vec<Keyed> = of.iter().map(|of| keyed_by(of, draft)).collect();
    let has_all =
        |payment: &PaymentTypeIdx| keyed.iter().all(|keyed| keyed.iter().any(|(known, _, _)| known == payment));
    let recorders = match &payments {
        Some(listed) => listed.clone(),
        None => draft.every_payment().into_iter().filter(has_all).collect(),
    };
    // A name that no payment type knows explains more than a pair that no payment type has.
    if let Some((of, keyed)) = of.iter().zip(&keyed).find(|(_, keyed)| keyed.is_empty()) {
        stream_entity(of, keyed, &recorders, draft)?;
    }
    let entities = of.iter().zip(&keyed).map(|(of, keyed)| stream_entity(of, keyed, &recorders, draft));
    let entities: Vec<EntityIdx> = entities.collect::<Option<_>>()?;
    let entity = *entities.first()?;
    let mut key = DigestBuilder::new("finaira policy stream v1");
    key.bytes(name.as_str().as_bytes());
    for (entity, of) in entities.iter().zip(&of) {
        let kind = draft.entities.get(entity.get())?;
        key.bytes(kind.name.as_str().as_bytes()).u64(u64::from(kind.personal)).bytes(of.value.as_bytes());
    }
    key.bytes(value.value.as_bytes());
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
    for entity in &entities {
        let normalise = draft.entities.get(entity.get())?.normalise;
        if normalise != Normalise::default() {
            let Normalise { trim, lowercase, nfc } = normalise;
            key.bytes(b"normalise").u64(u64::from(trim)).u64(u64::from(lowercase)).u64(u64::from(nfc));
        }
    }
    for (what, source) in [("group", &group), ("item", &item)] {
        if let Some(source) = source {
            key.bytes(what.as_bytes()).bytes(source.value.as_bytes());
        }
    }
    let spec = StreamSpec {
        name,
        key: key.digest(),
        entity,
        pair: entities.get(1).copied(),
        is_grouped: group.is_some(),
        has_items: item.is_some(),
        keeps_spreads: false,
        clock,
        counts,
        retention: Span::ZERO,
        records_max,
        entities_max,
    };
    let asker = |payment: PaymentTypeIdx| {
        let mut attributes = keyed.iter().zip(&entities).map(|(keyed, entity)| {
            let same = keyed.iter().find(|(known, _, kind)| *known == payment && kind == entity);
            same.map(|(_, attribute, _)| *attribute)
        });
        let entity = attributes.next()??;
        match attributes.next() {
            Some(pair) => Some(Asker { payment, entity, pair: Some(pair?) }),
            None => Some(Asker { payment, entity, pair: None }),
        }
    };
    // A payment that adds no records need not have what the group is computed from.
    let asks = |payment: &PaymentTypeIdx| group.is_none() || recorders.contains(payment);
    let askers = draft.every_payment().into_iter().filter(asks).filter_map(asker).collect();
    Some(StreamDraft { spec, askers, recorders, group, value, item, filter })
}

/// The names under `of`: one attribute, or two different ones.
fn attributes_of<'d>(table: &mut Table<'d>) -> Option<Vec<Located<&'d str>>> {
    let node = table.needed("of")?;
    let (problems, place) = (node.problems, node.place.clone());
    let nodes = node.one_or_more();
    let given = nodes.len();
    let names: Vec<_> = nodes.into_iter().take(2).filter_map(|node| node.read(text)).collect();
    let is_same = matches!(&names[..], [one, other] if one.value == other.value);
    if !(1..=2).contains(&given) || is_same {
        problems.report(&place, "expected one entity attribute, or a list of two different ones");
        return None;
    }
    (names.len() == given).then_some(names)
}

/// The payment types that have an entity attribute, with that attribute and its kind.
type Keyed = Vec<(PaymentTypeIdx, AttributeIdx, EntityIdx)>;

/// The payment types that have an entity attribute of this name.
fn keyed_by(of: &Located<&str>, draft: &Draft<'_>) -> Keyed {
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
        let message = match keyed.is_empty() {
            true => format!("no payment type has an entity attribute `{}`", of.value),
            false => format!("no payment type with the entity attribute `{}` has the other one of the pair", of.value),
        };
        problems.report(&of.place, message);
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
    let attribute = table.node("attribute");
    match (expression, stream, attribute) {
        (None, None, Some(attribute)) => attribute_feature(name, attribute, payments, table, draft),
        (Some(expression), None, None) => {
            let expression = expression.read(source);
            table.finish();
            let expression = expression?;
            let source = FeatureSource::Expression(expression.value.clone());
            let payments = payments.unwrap_or_else(|| draft.every_payment());
            Some(FeatureDraft { name, ty: None, source, expression: Some(expression), payments })
        }
        (None, Some(stream), None) => {
            let stream = stream.read(text).and_then(|stream| draft.streams.find(&stream, problems));
            let aggregate = table.need("aggregate", choice(&AGGREGATES));
            let length = table.need("window", span(SPAN_MIN..=REACH_MAX));
            let delay = table.get("delay", span(Span::ZERO..=REACH_MAX));
            let (quantile, before) = (table.node("quantile"), table.node("compare_to"));
            let (has_quantile, has_before) = (quantile.is_some(), before.is_some());
            let quantile = quantile.and_then(|node| node.read(millionths));
            let before = before.and_then(|node| node.read(span(SPAN_MIN..=REACH_MAX)));
            table.finish();
            let (stream, aggregate, length) = (stream?, aggregate?, length?);
            let wants = |wanted: bool, given: bool, key: &str| match (wanted, given) {
                (true, true) | (false, false) => {}
                (true, false) => problems.report(&aggregate.place, format_args!("needs `{key}`")),
                (false, true) => problems.report(&place, format_args!("`{key}` is not used by this aggregate")),
            };
            wants(matches!(aggregate.value, Written::Quantile), has_quantile, "quantile");
            let compares = matches!(aggregate.value, Written::CountChange | Written::SumChange);
            wants(compares && has_before, has_before, "compare_to");
            let before = before.as_ref().map_or(length.value, |before| before.value);
            let aggregate = Located {
                value: aggregate.value.kind(quantile.map(|share| share.value), before)?,
                place: aggregate.place,
            };
            let delay_place = delay.as_ref().map_or(&length.place, |delay| &delay.place);
            let window = Window { length: length.value, delay: delay.as_ref().map_or(Span::ZERO, |delay| delay.value) };
            let source = FeatureSource::Aggregate { stream: StreamIdx::at(stream), aggregate: aggregate.value, window };
            let (_, reach) = source.reach()?;
            if reach > REACH_MAX {
                let parts = if compares { "window, delay and compare_to" } else { "window and delay" };
                let message = format_args!("{parts} are {reach} together, at most {REACH_MAX} are allowed");
                problems.report(delay_place, message);
            }
            let StreamDraft { askers, recorders, item, spec, .. } = draft.streams.get(stream)?;
            if aggregate.value.needs_items() && item.is_none() {
                let message = format_args!("stream `{}` has no `item`, which this aggregate is about", spec.name);
                problems.report(&aggregate.place, message);
            }
            let asks = |payment: &PaymentTypeIdx| askers.iter().any(|asker| asker.payment == *payment);
            if let Some(other) = payments.iter().flatten().find(|asked| !asks(asked)) {
                let payment = draft.payments.name(other.get());
                let message = match spec.is_grouped && !recorders.contains(other) {
                    true => format!(
                        "payment type `{payment}` adds no records to stream `{}`, so it has no group",
                        spec.name
                    ),
                    false => {
                        format!("payment type `{payment}` lacks the attribute that identifies the stream's entity")
                    }
                };
                problems.report(&place, message);
                return None;
            }
            let adds = |payment: &PaymentTypeIdx| !aggregate.value.is_about_payment() || recorders.contains(payment);
            if let Some(other) = payments.iter().flatten().find(|asked| !adds(asked)) {
                let payment = draft.payments.name(other.get());
                let message = format_args!(
                    "payment type `{payment}` adds no records to stream `{}`, so this aggregate has nothing of it to compare",
                    spec.name
                );
                problems.report(&place, message);
                return None;
            }
            let every = || askers.iter().map(|asker| asker.payment).filter(adds).collect();
            let payments = payments.unwrap_or_else(every);
            Some(FeatureDraft { name, ty: Some(aggregate.value.ty()), source, expression: None, payments })
        }
        _ => {
            problems.report(&place, "expected exactly one of `stream`, `attribute` and `expression`");
            None
        }
    }
}

/// A feature that is an attribute of the payment's entity.
fn attribute_feature(
    name: Name,
    attribute: Node<'_>,
    payments: Option<Vec<PaymentTypeIdx>>,
    mut table: Table<'_>,
    draft: &Draft<'_>,
) -> Option<FeatureDraft> {
    let problems = table.problems;
    let attribute = attribute.read(text);
    let of = table.need("of", text);
    table.finish();
    let (attribute, of) = (attribute?, of?);
    let keyed = keyed_by(&of, draft);
    let payments = payments.unwrap_or_else(|| keyed.iter().map(|(payment, _, _)| *payment).collect());
    let idx = stream_entity(&of, &keyed, &payments, draft)?;
    // An entity with problems is reported already.
    let entity = draft.entities.get(idx.get())?;
    let Some(position) = entity.attributes.iter().position(|known| known.name.as_str() == attribute.value) else {
        let near = suggestion(attribute.value, entity.attributes.iter().map(|known| known.name.as_str()));
        let declare = || format!("; declare it under [entities.{}.attributes]", entity.name);
        let hint = Some(near).filter(|near| !near.is_empty()).unwrap_or_else(declare);
        let message =
            format_args!("entity `{}` has no attribute `{}`{hint}", entity.name, types::shorten(attribute.value));
        problems.report(&attribute.place, message);
        return None;
    };
    let ty = entity.attributes.get(position)?.ty.feature();
    let of = of.value.parse().ok()?;
    let source = FeatureSource::Attribute { of, entity: idx, attribute: EntityAttributeIdx::at(position) };
    Some(FeatureDraft { name, ty: Some(ty), source, expression: None, payments })
}

/// An aggregate as it is written; some have settings of their own.
#[derive(Debug, Clone, Copy)]
enum Written {
    Plain(AggregateKind),
    Quantile,
    CountChange,
    SumChange,
}

const AGGREGATES: [(&str, Written); 20] = [
    ("count", Written::Plain(AggregateKind::Count)),
    ("sum", Written::Plain(AggregateKind::Sum)),
    ("mean", Written::Plain(AggregateKind::Mean)),
    ("stddev", Written::Plain(AggregateKind::Stddev)),
    ("min", Written::Plain(AggregateKind::Min)),
    ("max", Written::Plain(AggregateKind::Max)),
    ("median", Written::Plain(AggregateKind::Quantile(Quantile::MEDIAN))),
    ("quantile", Written::Quantile),
    ("last", Written::Plain(AggregateKind::Last)),
    ("previous", Written::Plain(AggregateKind::Previous)),
    ("since_last", Written::Plain(AggregateKind::SinceLast)),
    ("since_first", Written::Plain(AggregateKind::SinceFirst)),
    ("ratio", Written::Plain(AggregateKind::Ratio)),
    ("zscore", Written::Plain(AggregateKind::ZScore)),
    ("count_change", Written::CountChange),
    ("sum_change", Written::SumChange),
    ("distinct", Written::Plain(AggregateKind::Distinct)),
    ("seen", Written::Plain(AggregateKind::Seen)),
    ("label_count", Written::Plain(AggregateKind::LabelCount)),
    ("label_rate", Written::Plain(AggregateKind::LabelRate)),
];

impl Written {
    /// The aggregate with its settings. `None` if it needs a quantile and has none.
    fn kind(self, millionths: Option<u32>, before: Span) -> Option<AggregateKind> {
        Some(match self {
            Self::Plain(kind) => kind,
            Self::Quantile => AggregateKind::Quantile(millionths.and_then(Quantile::of_millionths)?),
            Self::CountChange => AggregateKind::CountChange(before),
            Self::SumChange => AggregateKind::SumChange(before),
        })
    }
}

/// Sets what each stream keeps for its features: how far back it can be asked, which is its longest window with its delay and the
/// window before, and whether it keeps spreads.
pub(super) fn set_needs(streams: &mut Section<StreamDraft>, features: &Section<FeatureDraft>) {
    for (position, stream) in streams.iter_mut() {
        let reaches = features.iter().filter_map(|(_, feature)| feature.source.reach());
        let reaches = reaches.filter(|(stream, _)| stream.get() == position);
        stream.spec.retention = reaches.map(|(_, reach)| reach).max().unwrap_or_default();
        stream.spec.keeps_spreads = features.iter().any(|(_, feature)| match feature.source {
            FeatureSource::Aggregate { stream, aggregate, .. } => stream.get() == position && aggregate.needs_spreads(),
            FeatureSource::Expression(_) | FeatureSource::Attribute { .. } => false,
        });
    }
}

/// Makes the keys of streams that read attributes of entities cover what they read, because their expressions only name a feature.
pub(super) fn cover_attributes(
    streams: &mut Section<StreamDraft>,
    features: &Section<FeatureDraft>,
    entities: &Section<Entity>,
) {
    for (_, stream) in streams.iter_mut() {
        let sources = [Some(&stream.value), stream.filter.as_ref(), stream.group.as_ref(), stream.item.as_ref()];
        let mut key = DigestBuilder::new("finaira policy stream of attributes v1");
        key.bytes(stream.spec.key.as_bytes());
        let mut is_changed = false;
        for (_, feature) in features.iter() {
            let FeatureSource::Attribute { of, entity, attribute } = &feature.source else { continue };
            if !sources.iter().flatten().any(|source| reads_one_of(source, &[feature.name.as_str()])) {
                continue;
            }
            let Some(entity) = entities.get(entity.get()) else { continue };
            let Some(attribute) = entity.attributes.get(attribute.get()) else { continue };
            for part in [&feature.name, of, &entity.name, &attribute.name] {
                key.bytes(part.as_str().as_bytes());
            }
            key.bytes(attribute.ty.as_str().as_bytes());
            // They say which token a value of the entity has.
            let Normalise { trim, lowercase, nfc } = entity.normalise;
            for flag in [entity.personal, trim, lowercase, nfc] {
                key.u64(flag.into());
            }
            is_changed = true;
        }
        if is_changed {
            stream.spec.key = key.digest();
        }
    }
}
