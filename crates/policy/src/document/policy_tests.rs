//! `[[tests]]`: what the policy should decide about example payments. `engine::run_policy_tests` runs them.

use toml::de::DeValue;
use types::{AccountId, Amount, Digest, Name, Span, Timestamp, TimestampParseError, Token};

use super::Draft;
use super::reader::{Located, Node, Table, any_text, choice, flag, parsed, span, text, text_within, whole};
use super::section::{items, name};
use crate::evaluation::Verdict;
use crate::index::{EntityIdx, PaymentTypeIdx};
use crate::limits::{
    ENTITY_TEXT_BYTES_MAX, REACH_MAX, RULES_MAX, SCORE_MAX, TAG_BYTES_MAX, TEST_ATTRIBUTES_MAX, TEST_PAYMENTS_MAX,
    TESTS_MAX, TEXT_BYTES_MAX,
};
use crate::problem::{Place, suggestion};
use crate::reason::SYSTEM_REASONS;
use crate::spec::{
    AttributeKind, EntityAttributeType, PaymentType, PolicyTest, TestAttribute, TestExpectation, TestPayment,
};
use crate::value::{AttributeValue, EntityValue};

/// When the payment of a test is decided if it does not say: 2026-01-01T12:00:00Z, a Thursday.
const AT_DEFAULT: Timestamp = Timestamp::from_ns(1_767_268_800_000_000_000);
/// The largest `times` of a payment of the history.
const TIMES_MAX: i64 = 1000;
/// The earliest time of a payment, so that what comes before it is after 1970.
const AT_MIN: Timestamp = Timestamp::from_ns(2 * REACH_MAX.ns());

pub(super) fn tests(document: &mut Table<'_>, draft: &Draft<'_>) -> Vec<PolicyTest> {
    let mut names: Vec<Name> = Vec::new();
    let mut payments_count = 0;
    let mut attributes_count = 0;
    let mut read = |node: Node<'_>| {
        let mut table = node.table()?;
        let problems = table.problems;
        let key = table.need("name", text);
        let name = key.as_ref().and_then(|key| name(key, problems));
        if let (Some(key), Some(name)) = (&key, &name) {
            if names.contains(name) {
                problems.report(&key.place, format_args!("an earlier test already has the name `{name}`"));
            }
            names.push(name.clone());
        }
        let description = table.description();
        let entities = items(&mut table, "entities", TEST_ATTRIBUTES_MAX);
        let entities: Vec<_> = entities.into_iter().map(|entity| attributes_of(entity, draft)).collect();
        attributes_count += entities.iter().flatten().map(Vec::len).sum::<usize>();
        let history = items(&mut table, "history", TEST_PAYMENTS_MAX);
        let history: Vec<_> = history.into_iter().map(|payment| past_payment(payment, draft)).collect();
        payments_count += history.iter().flatten().map(|(_, times)| times).sum::<usize>();
        let payment = table.needed("payment").and_then(|payment| payment_under_test(payment, draft));
        let expect = table.needed("expect").and_then(|expect| expectation(expect, draft));
        table.finish();
        let attributes = entities.into_iter().collect::<Option<Vec<_>>>()?;
        let mut attributes: Vec<TestAttribute> = attributes.into_iter().flatten().collect();
        attributes.sort_by_key(|attribute| std::cmp::Reverse((attribute.before.is_none(), attribute.before)));
        let history = history.into_iter().collect::<Option<Vec<_>>>()?;
        let mut history: Vec<TestPayment> = match payments_count > TEST_PAYMENTS_MAX {
            true => Vec::new(),
            false => history.into_iter().flat_map(|(payment, times)| vec![payment; times]).collect(),
        };
        // In order of time; what happened at the same time stays in the order of the document.
        history.sort_by_key(|payment| std::cmp::Reverse(payment.before));
        let (payment, at) = payment?;
        Some(PolicyTest { name: name?, description, attributes, history, payment, at, expect: expect? })
    };
    let tests: Vec<_> = items(document, "tests", TESTS_MAX).into_iter().filter_map(&mut read).collect();
    if payments_count > TEST_PAYMENTS_MAX {
        let message =
            format_args!("have {payments_count} payments of history together, at most {TEST_PAYMENTS_MAX} are allowed");
        document.problems.report(&Place { path: "tests".to_owned(), ..document.place.clone() }, message);
    }
    if attributes_count > TEST_ATTRIBUTES_MAX {
        let message = format_args!(
            "set {attributes_count} attributes of entities together, at most {TEST_ATTRIBUTES_MAX} are allowed"
        );
        document.problems.report(&Place { path: "tests".to_owned(), ..document.place.clone() }, message);
    }
    tests
}

/// The attributes that a test sets for an entity.
fn attributes_of(node: Node<'_>, draft: &Draft<'_>) -> Option<Vec<TestAttribute>> {
    let mut table = node.table()?;
    let problems = table.problems;
    let kind = table.need("entity", text).and_then(|kind| draft.entities.find(&kind, problems));
    let key = table.need("key", text_within(TEXT_BYTES_MAX));
    let before = table.get("before", span(Span::from_ns(0)..=REACH_MAX)).map(|before| before.value);
    let given = table.needed("attributes").and_then(Node::entries);
    table.finish();
    let (kind, key, given) = (kind?, key?, given?);
    let entity = draft.entities.get(kind)?;
    let token = token(EntityIdx::at(kind), &entity.normalise.apply(key.value));
    let one = |(name, node): (Located<&str>, Node<'_>)| {
        let Some(attribute) = entity.attribute(name.value) else {
            let hint = suggestion(name.value, entity.attributes.iter().map(|attribute| attribute.name.as_str()));
            problems.report(&name.place, format_args!("entity `{}` has no such attribute{hint}", entity.name));
            return None;
        };
        let value = node.read(|value| entity_value(attribute.ty, value))?.value;
        Some(TestAttribute { entity: entity.name.clone(), token, attribute: attribute.name.clone(), value, before })
    };
    let read: Vec<Option<TestAttribute>> = given.into_iter().map(one).collect();
    read.into_iter().collect()
}

fn entity_value(ty: EntityAttributeType, value: &DeValue<'_>) -> Result<EntityValue, String> {
    match ty {
        EntityAttributeType::Text => {
            text_within(ENTITY_TEXT_BYTES_MAX)(value).map(|text| EntityValue::Text(text.into()))
        }
        EntityAttributeType::Int => whole(i64::MIN..=i64::MAX)(value).map(EntityValue::Int),
        EntityAttributeType::Double => finite(value).map(EntityValue::Double),
        EntityAttributeType::Bool => flag(value).map(EntityValue::Bool),
        EntityAttributeType::Time => time(value).map(EntityValue::Time),
    }
}

/// A payment of the history, and how often it happens.
fn past_payment(node: Node<'_>, draft: &Draft<'_>) -> Option<(TestPayment, usize)> {
    let mut table = node.table()?;
    let before = table.need("before", span(Span::from_ns(0)..=REACH_MAX));
    let times = table.or("times", 1, whole(1..=TIMES_MAX));
    let label = table.get("label", parsed::<Name>).map(|label| label.value);
    let payment = payment(&mut table, draft);
    table.finish();
    Some((TestPayment { before: before?.value, label, ..payment? }, times))
}

fn payment_under_test(node: Node<'_>, draft: &Draft<'_>) -> Option<(TestPayment, Timestamp)> {
    let mut table = node.table()?;
    let at = table.get("at", time);
    if let Some(at) = at.as_ref().filter(|at| at.value < AT_MIN) {
        table.problems.report(&at.place, format_args!("is {}, expected a time from {AT_MIN} on", at.value));
    }
    let payment = payment(&mut table, draft);
    table.finish();
    Some((payment?, at.map_or(AT_DEFAULT, |at| at.value)))
}

/// Reads a time, which may be a time of TOML or a string.
fn time(value: &DeValue<'_>) -> Result<Timestamp, String> {
    match value.as_datetime() {
        Some(time) => time.to_string().parse().map_err(|error: TimestampParseError| error.to_string()),
        None => parsed(value),
    }
}

/// The type, the amount and the attributes of a payment.
fn payment(table: &mut Table<'_>, draft: &Draft<'_>) -> Option<TestPayment> {
    let problems = table.problems;
    let payment_type = table.need("payment", text).and_then(|payment| draft.payments.find(&payment, problems));
    let amount = table.need("amount", whole::<u64>(0..=i64::MAX));
    let given = table.node("attributes").and_then(Node::entries).unwrap_or_default();
    let place = table.place.clone();
    let payment_type = payment_type?;
    let spec = &draft.payments.get(payment_type)?.spec;
    let mut attributes: Vec<Option<AttributeValue>> = vec![None; spec.attributes.len()];
    for (key, node) in given {
        if let Some((position, value)) = attribute(&key, node, spec, draft) {
            attributes.get_mut(position)?.replace(value);
        }
    }
    let absent = |(attribute, value): (&crate::spec::Attribute, &Option<AttributeValue>)| {
        (attribute.required && value.is_none()).then(|| attribute.name.to_string())
    };
    let missing: Vec<_> = spec.attributes.iter().zip(&attributes).filter_map(absent).collect();
    if !missing.is_empty() {
        problems
            .report(&place, format_args!("`attributes` lacks {}, which `{}` requires", missing.join(", "), spec.name));
    }
    Some(TestPayment {
        payment_type: PaymentTypeIdx::at(payment_type),
        amount: Amount::new(u128::from(amount?.value)),
        attributes,
        before: Span::from_ns(0),
        label: None,
    })
}

/// The position of an attribute and its value.
fn attribute(
    key: &Located<&str>,
    node: Node<'_>,
    spec: &PaymentType,
    draft: &Draft<'_>,
) -> Option<(usize, AttributeValue)> {
    let problems = draft.problems;
    let Some((idx, attribute)) = spec.attribute(key.value) else {
        let hint = suggestion(key.value, spec.attributes.iter().map(|attribute| attribute.name.as_str()));
        problems.report(&key.place, format_args!("payment type `{}` has no such attribute{hint}", spec.name));
        return None;
    };
    let value = match attribute.kind {
        AttributeKind::Text { chars_max } => node.read(|value| {
            let text = any_text(value)?;
            let chars_count = text.chars().count();
            if chars_count > usize::from(chars_max) {
                return Err(format!("has {chars_count} characters, at most {chars_max} are allowed"));
            }
            Ok(AttributeValue::Text(text.into()))
        }),
        AttributeKind::Int => node.read(|value| whole(i64::MIN..=i64::MAX)(value).map(AttributeValue::Int)),
        AttributeKind::Double => node.read(double),
        AttributeKind::Bool => node.read(|value| flag(value).map(AttributeValue::Bool)),
        AttributeKind::Time => node.read(|value| time(value).map(AttributeValue::Time)),
        AttributeKind::Entity(entity) => node.read(|value| {
            let text = text_within(TEXT_BYTES_MAX)(value)?;
            let text = draft.entities.get(entity.get()).map_or(text.into(), |known| known.normalise.apply(text));
            Ok(AttributeValue::Entity { token: token(entity, &text), text: text.into() })
        }),
        AttributeKind::Account => node.read(|value| {
            let number: u128 = parsed(value)?;
            Ok(AttributeValue::Account(AccountId::new(number)))
        }),
    };
    Some((idx.get(), value?.value))
}

fn double(value: &DeValue<'_>) -> Result<AttributeValue, String> {
    finite(value).map(AttributeValue::Double)
}

/// A finite number. −0.0 becomes 0.0.
fn finite(value: &DeValue<'_>) -> Result<f64, String> {
    let written = value.as_float().map(|float| float.as_str()).or_else(|| value.as_integer().map(|int| int.as_str()));
    let number = written.and_then(|written| written.replace('_', "").parse().ok());
    let number: Option<f64> = number;
    number
        .filter(|number| number.is_finite())
        .map(|number| number + 0.0)
        .ok_or_else(|| "expected a finite number".to_owned())
}

/// A token that stands for this entity in tests.
fn token(entity: EntityIdx, text: &str) -> Token {
    Token::new(Digest::of(format!("{}\0{text}", entity.number()).as_bytes()).head_u128())
}

fn expectation(node: Node<'_>, draft: &Draft<'_>) -> Option<TestExpectation> {
    let mut table = node.table()?;
    let problems = table.problems;
    let words = Verdict::ALL.map(|verdict| (verdict.name(), verdict));
    let verdict = table.need("verdict", choice(&words));
    let score = table.get("score", whole::<u16>(0..=i64::from(SCORE_MAX)));
    let reasons = list(&mut table, "reasons", |reason| {
        let rules = draft.rules.iter().flatten().filter_map(|rule| rule.spec.as_ref()).map(|rule| rule.name.as_str());
        let known: Vec<&str> = rules.chain(SYSTEM_REASONS).collect();
        if !known.contains(&reason.value) {
            let hint = suggestion(reason.value, known.iter().copied());
            problems.report(
                &reason.place,
                format_args!("there is no rule or reason `{}`{hint}", types::shorten(reason.value)),
            );
        }
    });
    let tags = list(&mut table, "tags", |_| ());
    table.finish();
    let at = |place: &Place| problems.place(place);
    let verdict = verdict?;
    Some(TestExpectation {
        verdict: (at(&verdict.place), verdict.value),
        score: score.map(|score| (at(&score.place), score.value)),
        reasons: reasons.map(|reasons| (at(&reasons.place), reasons.value)),
        tags: tags.map(|tags| (at(&tags.place), tags.value)),
    })
}

fn list(table: &mut Table<'_>, key: &'static str, check: impl Fn(&Located<&str>)) -> Option<Located<Vec<String>>> {
    let node = table.node(key)?;
    let (problems, place) = (node.problems, node.place.clone());
    let items = node.items()?;
    if items.len() > RULES_MAX {
        problems.report(&place, format_args!("has {} items, at most {RULES_MAX} are allowed", items.len()));
    }
    let values = items.into_iter().take(RULES_MAX).filter_map(|item| {
        let value = item.read(text_within(TAG_BYTES_MAX))?;
        check(&value);
        Some(value.value.to_owned())
    });
    Some(Located { value: values.collect(), place })
}
