//! Attributes of entities: what sets them, when a change takes effect, what is refused, and that a replay has the same.

use std::sync::Arc;

use engine::{
    ActivatePolicy, Answered, Applied, CreatePayment, ENTITY_CHANGES_MAX, ENTITY_NAMES_MAX, Engine,
    EntityAttributesReply, EntityAttributesSet, EntityRefusal, Entry, Fact, Made, NewPayment, Operation,
    PaymentDecided, Refusal, Request, SetEntityAttributes, query,
};
use fixtures::token;
use policy::{AttributeValue, EntityAttributeType, EntityValue, FeatureValue, MissingReason, Policy, Verdict};
use proptest::prelude::*;
use types::{ActorId, Amount, Digest, Name, Origin, PaymentId, RequestId, Seq, ShardId, Span, TenantId, Timestamp};

const START: Timestamp = Timestamp::from_ns(1_767_225_600_000_000_000);

/// A policy that declines customers of a low level.
const POLICY: &str = r#"
name = "levels"
[ledgers.eur]
id = 978
asset = "EUR/2"
[entities.customer]
[entities.customer.attributes]
level = { type = "int" }
segment = { type = "string" }
since = { type = "timestamp" }
[entities.shop]
[accounts.bank]
ledger = "eur"
code = 10
[accounts.shop]
ledger = "eur"
code = 20
[payments.card]
ledger = "eur"
[payments.card.attributes]
customer = { type = "entity", entity = "customer" }
[[payments.card.legs]]
debit = { account = "bank" }
credit = { account = "shop" }
code = 1
[streams.trusted]
of = "customer"
where = "has(features.level) && features.level > 2"
[features.level]
of = "customer"
attribute = "level"
[features.age]
of = "customer"
attribute = "since"
[features.trusted_1h]
stream = "trusted"
aggregate = "count"
window = "1h"
[[rules]]
name = "unknown"
when = "!has(features.level)"
then = { review = true }
[[rules]]
name = "low"
when = "features.level < 2"
then = { decline = true }
[decision]
on_missing_feature = "approve"
"#;

struct World {
    engine: Engine,
    policy: Arc<Policy>,
    entries: Vec<Entry>,
    now: Timestamp,
    payments: u128,
}

impl World {
    fn new() -> Self {
        let policy = fixtures::compile(&fixtures::bundle(POLICY));
        let mut world = Self { engine: empty(), policy, entries: Vec::new(), now: START, payments: 0 };
        world
            .engine
            .start(START, Origin::new(7), &mut |applied: Applied<'_>| world.entries.push(applied.entry.clone()));
        world
    }

    fn with_policy() -> Self {
        let mut world = Self::new();
        world.activate(POLICY);
        world
    }

    fn activate(&mut self, document: &str) {
        let bundle = fixtures::bundle(document);
        self.policy = fixtures::compile(&bundle);
        let (artifact, activation): (_, ActivatePolicy) = fixtures::installation(&bundle, &Arc::clone(&self.policy));
        self.ask(artifact).expect("a stored artifact");
        self.ask(activation).expect("an active policy");
    }

    fn ask<O: Operation>(&mut self, operation: O) -> Answered<O> {
        let request = Request {
            tenant: TenantId::new(1),
            actor: ActorId::new(5),
            id: RequestId::new(9),
            command: operation.into(),
        };
        let mut sink = |applied: Applied<'_>| self.entries.push(applied.entry.clone());
        O::answer(self.engine.execute(self.now, &request, &mut sink))
    }

    fn set(&mut self, customer: &str, changes: &[(&str, Option<EntityValue>)]) -> Result<Made, Refusal> {
        self.set_of("customer", customer, changes).map(|(made, _)| made)
    }

    fn set_of(
        &mut self,
        kind: &str,
        key: &str,
        changes: &[(&str, Option<EntityValue>)],
    ) -> Answered<SetEntityAttributes> {
        let changes = changes.iter().map(|(attribute, value)| (name(attribute), value.clone())).collect();
        let (policy, kind) = (self.policy.digest(), name(kind));
        self.ask(SetEntityAttributes { policy, kind, entity: token(key), changes })
    }

    fn attributes(&mut self, customer: &str) -> EntityAttributesReply {
        *self.ask(query::EntityAttributes(name("customer"), token(customer))).expect("attributes")
    }

    fn pay(&mut self, customer: &str) -> Arc<PaymentDecided> {
        self.payments += 1;
        let (idx, _) = self.policy.payment_type("card").expect("a payment type");
        let new = NewPayment {
            payment: PaymentId::new(self.payments),
            content: Digest::of(&self.payments.to_le_bytes()),
            policy: self.policy.digest(),
            payment_type: idx,
            amount: Amount::new(7),
            occurred_at: None,
            attributes: vec![Some(AttributeValue::Entity { token: token(customer), text: customer.into() })],
            sealed: None,
        };
        let (_, reply) = self.ask(CreatePayment(Box::new(new))).expect("a decided payment");
        reply.decided.expect("the answer to a new payment has its decision")
    }

    /// The value of a feature of a decision.
    fn feature(&self, decided: &PaymentDecided, wanted: &str) -> FeatureValue {
        let place = self.policy.features().iter().position(|feature| feature.name.as_str() == wanted);
        let place = u16::try_from(place.expect("a feature")).expect("few features");
        let (_, value) = decided.features.iter().find(|(number, _)| *number == place).expect("a value");
        value.clone()
    }
}

fn empty() -> Engine {
    Engine::new(ShardId::new(0), TenantId::new(1))
}

fn name(name: &str) -> Name {
    name.parse().expect("a name")
}

const fn int(value: i64) -> Option<EntityValue> {
    Some(EntityValue::Int(value))
}

#[test]
fn a_payment_is_decided_with_the_value_at_its_place_in_the_journal() {
    let mut world = World::with_policy();
    let before = world.pay("ann");
    assert_eq!(world.set("ann", &[("level", int(1))]), Ok(Made::Now));
    let low = world.pay("ann");
    assert_eq!(world.set("ann", &[("level", int(3))]), Ok(Made::Now));
    let high = world.pay("ann");
    assert_eq!(world.set("ann", &[("level", None)]), Ok(Made::Now));
    let after = world.pay("ann");
    let found: Vec<_> = [&before, &low, &high, &after]
        .into_iter()
        .map(|decided| (decided.verdict, world.feature(decided, "level"), world.feature(decided, "trusted_1h")))
        .collect();
    let unset = FeatureValue::Missing(MissingReason::NotSet);
    let count = FeatureValue::Int;
    // The stream records payments by the level that counted for them.
    assert_eq!(
        found,
        [
            (Verdict::Review, unset.clone(), count(0)),
            (Verdict::Decline, FeatureValue::Int(1), count(0)),
            (Verdict::Approve, FeatureValue::Int(3), count(1)),
            (Verdict::Review, unset, count(1)),
        ]
    );
    // Nobody else is affected.
    let bob = world.pay("bob");
    assert_eq!(world.feature(&bob, "level"), FeatureValue::Missing(MissingReason::NotSet));
}

#[test]
fn a_time_becomes_an_age_at_the_decision() {
    let mut world = World::with_policy();
    let since = EntityValue::Time(START);
    world.set("ann", &[("since", Some(since))]).expect("a value");
    world.now = START.saturating_add(Span::from_secs(90));
    let decided = world.pay("ann");
    assert_eq!(world.feature(&decided, "age"), FeatureValue::Int(90));
    world.now = world.now.saturating_add(Span::from_secs(30));
    let decided = world.pay("ann");
    assert_eq!(world.feature(&decided, "age"), FeatureValue::Int(120));
}

#[test]
fn an_entry_has_what_changes_and_a_repeated_request_makes_none() {
    let mut world = World::with_policy();
    let business = Some(EntityValue::Text("business".into()));
    assert_eq!(world.set("ann", &[("level", int(1)), ("segment", business.clone())]), Ok(Made::Now));
    let first = world.entries.len();
    assert_eq!(world.set("ann", &[("segment", business.clone()), ("since", None)]), Ok(Made::Before));
    assert_eq!(world.entries.len(), first);
    assert_eq!(world.set("ann", &[("segment", business), ("level", int(2))]), Ok(Made::Now));
    let entry = world.entries.last().expect("an entry");
    let expected =
        EntityAttributesSet { kind: name("customer"), entity: token("ann"), changes: [(name("level"), int(2))].into() };
    assert_eq!(entry.fact, Fact::EntityAttributes(expected));
    let seq = entry.header.seq;
    let shown = world.attributes("ann").attributes;
    let shown: Vec<_> = shown.iter().map(|one| (one.name.as_str(), one.set, one.set_by.get())).collect();
    assert_eq!(shown, [("level", seq, 5), ("segment", Seq::new(seq.get() - 1), 5)]);
    assert_eq!(world.attributes("bob").attributes, []);
}

#[test]
fn what_the_policy_does_not_declare_is_refused() {
    let mut world = World::new();
    assert_eq!(world.set("ann", &[("level", int(1))]), Err(Refusal::NoActivePolicy));
    world.activate(POLICY);
    let told = |refusal: EntityRefusal| Err(Refusal::Entity(refusal));
    let (kind, attribute) = (name("customer"), name("colour"));
    assert_eq!(
        world.set("ann", &[("colour", int(1))]),
        told(EntityRefusal::UnknownAttribute { kind: kind.clone(), attribute })
    );
    let (found, expected) = (EntityAttributeType::Double, EntityAttributeType::Int);
    let attribute = name("level");
    assert_eq!(
        world.set("ann", &[("level", EntityValue::double(1.0))]),
        told(EntityRefusal::OtherType { kind, attribute, found, expected })
    );
    for (text, is_allowed) in [("", false), ("x", true), (&"x".repeat(256), true), (&"x".repeat(257), false)] {
        let text: Box<str> = text.into();
        let found = text.len();
        let refusal = EntityRefusal::TextLength { attribute: name("segment"), found };
        let expected = if is_allowed { Ok(Made::Now) } else { told(refusal) };
        assert_eq!(world.set("ann", &[("segment", Some(EntityValue::Text(text)))]), expected);
    }
    assert_eq!(
        world.set_of("device", "d", &[("level", int(1))]).map(|(made, _)| made),
        told(EntityRefusal::UnknownKind(name("device")))
    );
    assert_eq!(world.set("ann", &[]), told(EntityRefusal::ChangesCount(0)));
    let names: Vec<String> = (0..=ENTITY_CHANGES_MAX).map(|number| format!("a{number}")).collect();
    let changes: Vec<_> = names.iter().map(|name| (name.as_str(), None)).collect();
    assert_eq!(world.set("ann", &changes), told(EntityRefusal::ChangesCount(ENTITY_CHANGES_MAX + 1)));
    assert_eq!(world.set("ann", &[("level", int(1)), ("level", None)]), told(EntityRefusal::NamedTwice(name("level"))));
    let other = SetEntityAttributes {
        policy: Digest::of(b"another policy"),
        kind: name("customer"),
        entity: token("ann"),
        changes: vec![(name("level"), int(1))],
    };
    assert_eq!(world.ask(other).map(|(made, _)| made), Err(Refusal::PolicyChanged));
}

#[test]
fn values_outlive_a_policy_and_count_again_for_one_that_declares_them_in_the_same_way() {
    let mut world = World::with_policy();
    world.set("ann", &[("level", int(3)), ("segment", Some(EntityValue::Text("x".into())))]).expect("values");
    world.activate(&POLICY.replace("level = { type = \"int\" }", "level = { type = \"double\" }"));
    let decided = world.pay("ann");
    assert_eq!(world.feature(&decided, "level"), FeatureValue::Missing(MissingReason::OutOfRange));
    world.activate(POLICY);
    let decided = world.pay("ann");
    assert_eq!(world.feature(&decided, "level"), FeatureValue::Int(3));
    // What no policy declares any more can be removed.
    world.activate(&POLICY.replace("segment = ", "part = "));
    assert_eq!(world.set("ann", &[("segment", None)]), Ok(Made::Now));
    let shown: Vec<_> = world.attributes("ann").attributes.into_iter().map(|one| one.name.to_string()).collect();
    assert_eq!(shown, ["level"]);
}

#[test]
fn a_kind_has_a_limited_number_of_attributes_with_values() {
    let mut world = World::with_policy();
    let declared = |numbers: std::ops::Range<usize>| {
        let lines: String = numbers.map(|number| format!("a{number} = {{ type = \"int\" }}\n")).collect();
        POLICY.replace("since = ", &format!("{lines}since = "))
    };
    let half = ENTITY_NAMES_MAX / 2 - 3;
    let mut count = 0;
    for from in [0, 100] {
        world.activate(&declared(from..from + half));
        for number in from..from + half {
            assert_eq!(world.set("ann", &[(&format!("a{number}"), int(1))]), Ok(Made::Now));
            count += 1;
        }
    }
    world.activate(&declared(200..220));
    for number in 200..200 + ENTITY_NAMES_MAX - count {
        assert_eq!(world.set("bob", &[(&format!("a{number}"), int(1))]), Ok(Made::Now));
    }
    let full = Err(Refusal::Entity(EntityRefusal::TooManyNames(name("customer"))));
    assert_eq!(world.set("ann", &[("a219", int(1))]), full);
    // One that has a value can be set for others, and one that nobody has any more makes room.
    assert_eq!(world.set("bob", &[("a200", int(5))]), Ok(Made::Now));
    assert_eq!(world.set("ann", &[("a0", None)]), Ok(Made::Now));
    assert_eq!(world.set("ann", &[("a219", int(1))]), Ok(Made::Now));
    assert_eq!(world.engine.entity_values(), ENTITY_NAMES_MAX);
}

proptest! {
    /// A replay has the same attributes, and the same digest of the state.
    #[test]
    fn a_replay_has_the_same_attributes(
        requests in prop::collection::vec((0..3_u8, prop::collection::btree_map(0..3_usize, prop::option::of(0..3_i64), 1..4)), 1..40)
    ) {
        let mut world = World::with_policy();
        for (customer, changes) in requests {
            let value = |place: usize, value: i64| match place {
                0 => EntityValue::Int(value),
                1 => EntityValue::Text(value.to_string().into()),
                _ => EntityValue::Time(Timestamp::from_ns(value.unsigned_abs())),
            };
            let names = ["level", "segment", "since"];
            let changes: Vec<_> =
                changes.into_iter().map(|(place, number)| (names[place], number.map(|number| value(place, number)))).collect();
            world.set(&customer.to_string(), &changes).expect("an answer");
        }
        let mut replayed = empty();
        for entry in &world.entries {
            replayed.apply(entry);
        }
        let kind = name("customer");
        for customer in ["0", "1", "2"] {
            let entity = token(customer);
            prop_assert_eq!(replayed.entity_attributes(&kind, entity), world.engine.entity_attributes(&kind, entity));
        }
        prop_assert_eq!(replayed.entity_values(), world.engine.entity_values());
        prop_assert_eq!(replayed.digest(), world.engine.digest());
    }
}
