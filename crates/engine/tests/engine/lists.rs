//! Lists: what changes them, when a change takes effect, what a decision says about them, and that a replay has the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{
    ActivatePolicy, AddToList, AddedValue, Answered, Applied, CreatePayment, DeleteList, Engine, Entry, Fact,
    LIST_CHANGE_BYTES_MAX, LIST_CHANGES_MAX, ListOf, ListPurpose, ListRefusal, ListValue, Made, MakeList, NewPayment,
    Operation, PaymentStatus, Refusal, RemoveFromList, Request, query,
};
use fixtures::token;
use policy::{AttributeValue, Policy};
use proptest::prelude::*;
use types::{ActorId, Amount, Digest, Name, Origin, PaymentId, RequestId, Seq, ShardId, Span, TenantId, Timestamp};

const START: Timestamp = Timestamp::from_ns(1_767_225_600_000_000_000);

/// A policy that declines customers in one list and countries in another one.
const POLICY: &str = r#"
name = "listed"
[ledgers.eur]
id = 978
asset = "EUR/2"
[entities.customer]
[accounts.bank]
ledger = "eur"
code = 10
[accounts.shop]
ledger = "eur"
code = 20
[lists.blocked]
holds = "customer"
[lists.countries]
holds = "text"
[payments.card]
ledger = "eur"
[payments.card.attributes]
customer = { type = "entity", entity = "customer" }
country = { type = "string" }
[[payments.card.legs]]
debit = { account = "bank" }
credit = { account = "shop" }
code = 1
[[rules]]
name = "sanctioned"
when = "payment.country in list('countries')"
then = { decline = true }
[[rules]]
name = "blocked"
when = "payment.amount > 100 && payment.customer in list('blocked')"
then = { decline = true }
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
        world.activate().expect("a policy");
        world
    }

    fn activate(&mut self) -> Result<(), Refusal> {
        let (artifact, activation): (_, ActivatePolicy) =
            fixtures::installation(&fixtures::bundle(POLICY), &Arc::clone(&self.policy));
        self.ask(artifact)?;
        self.ask(activation).map(|_| ())
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

    fn make(&mut self, list: &str, of: ListOf) -> Result<Made, ListRefusal> {
        let make = MakeList { name: name(list), of, purpose: ListPurpose::Block, description: "".into() };
        told(self.ask(make)).map(|(made, _)| made)
    }

    /// Adds values; returns how many changed the list, and its version.
    fn add(&mut self, list: &str, of: ListOf, values: Vec<AddedValue>) -> Result<(usize, Seq), ListRefusal> {
        told(self.ask(AddToList { list: name(list), of, values })).map(|told| (told.changed, told.list.version))
    }

    fn remove(&mut self, list: &str, of: ListOf, values: Vec<ListValue>) -> Result<(usize, Seq), ListRefusal> {
        told(self.ask(RemoveFromList { list: name(list), of, values })).map(|told| (told.changed, told.list.version))
    }

    /// Decides a payment, and returns its status and the versions of the lists that it looked into, by name.
    fn pay(&mut self, customer: &str, country: &str, amount: u128) -> (PaymentStatus, BTreeMap<String, u64>) {
        self.payments += 1;
        let (idx, _) = self.policy.payment_type("card").expect("a payment type");
        let customer = AttributeValue::Entity { token: token(customer), text: customer.into() };
        let new = NewPayment {
            payment: PaymentId::new(self.payments),
            content: Digest::of(&self.payments.to_le_bytes()),
            policy: self.policy.digest(),
            payment_type: idx,
            amount: Amount::new(amount),
            occurred_at: None,
            attributes: vec![Some(customer), Some(AttributeValue::Text(country.into()))],
            sealed: None,
        };
        let (_, reply) = self.ask(CreatePayment(Box::new(new))).expect("a decision");
        let decided = reply.decided.expect("a decision that was made now");
        let named = |(number, version): &(u16, Seq)| {
            (self.policy.lists()[usize::from(*number)].name.to_string(), version.get())
        };
        (decided.status, decided.lists.iter().map(named).collect())
    }

    /// Whether a replay of the entries gives the same state.
    #[track_caller]
    fn replays(&self) {
        let mut replayed = empty();
        for entry in &self.entries {
            assert!(replayed.agrees_with(entry));
            replayed.apply(entry);
        }
        assert!(replayed.lists().eq(self.engine.lists()));
        assert_eq!(replayed.digest(), self.engine.digest());
    }
}

fn empty() -> Engine {
    Engine::new(ShardId::new(1), TenantId::new(1)).with_digest_interval(3)
}

fn name(name: &str) -> Name {
    name.parse().expect("a name")
}

fn customers() -> ListOf {
    ListOf::Entity(name("customer"))
}

fn text(text: &str) -> ListValue {
    ListValue::Text(text.into())
}

fn added(value: ListValue, expires_at: Option<Timestamp>, reason: &str) -> AddedValue {
    AddedValue { value, expires_at, reason: reason.into() }
}

fn told<T>(answer: Result<T, Refusal>) -> Result<T, ListRefusal> {
    answer.map_err(|refusal| {
        let Refusal::List(refusal) = refusal else { panic!("{refusal:?}") };
        refusal
    })
}

fn versions(listed: &[(&str, u64)]) -> BTreeMap<String, u64> {
    listed.iter().map(|(list, version)| ((*list).to_owned(), *version)).collect()
}

#[test]
fn the_next_payment_is_decided_with_a_value_and_names_the_version_of_each_list_it_looked_into() {
    let mut world = World::with_policy();
    // No list was made yet, so all are empty; a rule that stops before it looks names no list.
    assert_eq!(world.pay("ann", "NO", 50), (PaymentStatus::Posted, versions(&[("countries", 0)])));
    assert_eq!(world.pay("ann", "NO", 500), (PaymentStatus::Posted, versions(&[("blocked", 0), ("countries", 0)])));
    assert_eq!(world.make("blocked", customers()), Ok(Made::Now));
    assert_eq!(world.make("blocked", customers()), Ok(Made::Before));
    assert_eq!(world.make("countries", ListOf::Text), Ok(Made::Now));
    let ann = ListValue::Entity(token("ann"));
    let (_, blocked) = world.add("blocked", customers(), vec![added(ann.clone(), None, "fraud")]).unwrap();
    let countries = world.engine.list(&name("countries")).expect("a list").version;
    let both = versions(&[("blocked", blocked.get()), ("countries", countries.get())]);
    assert_eq!(world.pay("ann", "NO", 500), (PaymentStatus::Declined, both.clone()));
    assert_eq!(world.pay("bob", "NO", 500), (PaymentStatus::Posted, both));
    // The value is removed, and the list has another version.
    let (changed, removed) = world.remove("blocked", customers(), vec![ann]).unwrap();
    assert_eq!((changed, removed > blocked), (1, true));
    let after = versions(&[("blocked", removed.get()), ("countries", countries.get())]);
    assert_eq!(world.pay("ann", "NO", 500), (PaymentStatus::Posted, after));
    world.replays();
}

#[test]
fn a_value_expires_at_the_time_of_the_decision() {
    let mut world = World::with_policy();
    world.make("countries", ListOf::Text).unwrap();
    let expires_at = START.saturating_add(Span::from_secs(60));
    world.add("countries", ListOf::Text, vec![added(text("KP"), Some(expires_at), "for a minute")]).unwrap();
    assert_eq!(world.pay("ann", "KP", 1).0, PaymentStatus::Declined);
    world.now = expires_at.checked_sub(Span::from_ns(1)).unwrap();
    assert_eq!(world.pay("ann", "KP", 1).0, PaymentStatus::Declined);
    world.now = expires_at;
    assert_eq!(world.pay("ann", "KP", 1).0, PaymentStatus::Posted);
    let asked = query::ListedValue { list: name("countries"), of: ListOf::Text, value: text("KP") };
    let shown = world.ask(asked).unwrap();
    assert_eq!((shown.has_expired, &*shown.reason, shown.added_by), (true, "for a minute", ActorId::new(5)));
    // A later expiry replaces the first one.
    world.add("countries", ListOf::Text, vec![added(text("KP"), None, "")]).unwrap();
    assert_eq!(world.pay("ann", "KP", 1).0, PaymentStatus::Declined);
    world.replays();
}

#[test]
fn what_changes_nothing_leaves_no_entry() {
    let mut world = World::new();
    world.make("countries", ListOf::Text).unwrap();
    let values = vec![added(text("KP"), None, "un"), added(text("IR"), None, "un")];
    let first = world.add("countries", ListOf::Text, values.clone()).unwrap();
    let entries = world.entries.len();
    assert_eq!(world.add("countries", ListOf::Text, values.clone()), Ok((0, first.1)));
    assert_eq!(world.remove("countries", ListOf::Text, vec![text("NO")]), Ok((0, first.1)));
    assert_eq!(world.entries.len(), entries);
    // An entry has only what it changes.
    let more = [values, vec![added(text("SY"), None, "un")]].concat();
    assert_eq!(world.add("countries", ListOf::Text, more).unwrap().0, 1);
    let facts = world
        .entries
        .iter()
        .rev()
        .filter_map(|entry| if let Fact::List(fact) = &entry.fact { Some(fact) } else { None });
    let last = facts.take(1).last().expect("a list changed");
    assert_eq!(last.values(), 1);
    world.replays();
}

#[test]
fn a_list_and_the_policy_agree_about_what_it_holds() {
    let mut world = World::new();
    world.make("blocked", ListOf::Text).unwrap();
    let conflict = ListRefusal::PolicyConflict { list: name("blocked"), of: ListOf::Text, declared: customers() };
    assert_eq!(told(world.activate()), Err(conflict));
    told(world.ask(DeleteList(name("blocked")))).unwrap();
    world.activate().unwrap();
    let conflict = ListRefusal::DeclaredOtherwise { list: name("blocked"), of: ListOf::Text, declared: customers() };
    assert_eq!(world.make("blocked", ListOf::Text), Err(conflict));
    world.make("blocked", customers()).unwrap();
    assert_eq!(told(world.ask(DeleteList(name("blocked")))), Err(ListRefusal::InUse(name("blocked"))));
    let other = ListRefusal::HoldsOther { list: name("blocked"), of: customers(), given: ListOf::Text };
    assert_eq!(world.add("blocked", ListOf::Text, vec![added(text("x"), None, "")]), Err(other));
    assert_eq!(world.add("nothing", ListOf::Text, vec![]), Err(ListRefusal::NotFound(name("nothing"))));
    world.replays();
}

#[test]
fn one_request_is_bounded() {
    let mut world = World::new();
    world.make("countries", ListOf::Text).unwrap();
    let many = |count: usize| (0..count).map(|number| added(text(&format!("{number}")), None, "")).collect::<Vec<_>>();
    let too_many = LIST_CHANGES_MAX + 1;
    assert_eq!(world.add("countries", ListOf::Text, many(too_many)), Err(ListRefusal::TooManyChanges(too_many)));
    assert_eq!(world.add("countries", ListOf::Text, many(LIST_CHANGES_MAX)).unwrap().0, LIST_CHANGES_MAX);
    let long = vec![added(text(&"x".repeat(LIST_CHANGE_BYTES_MAX)), None, "y")];
    let too_large = ListRefusal::TooLarge(LIST_CHANGE_BYTES_MAX + 1);
    assert_eq!(world.add("countries", ListOf::Text, long), Err(too_large));
}

#[test]
fn pages_have_every_value_once_whatever_changes_in_between() {
    let mut world = World::new();
    world.make("countries", ListOf::Text).unwrap();
    let values = (0..100).map(|number| added(text(&format!("{number}")), None, "")).collect();
    world.add("countries", ListOf::Text, values).unwrap();
    let (mut after, mut seen) = (None, Vec::new());
    for turn in 0.. {
        let page = world.ask(query::ListValues { list: name("countries"), after, limit: 7 }).unwrap();
        seen.extend(page.items.into_iter().map(|item| item.value));
        // Values that were shown go, and others take their places.
        world.remove("countries", ListOf::Text, vec![text(&format!("{turn}"))]).unwrap();
        world.add("countries", ListOf::Text, vec![added(text(&format!("new {turn}")), None, "")]).unwrap();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let stayed: Vec<ListValue> = (0..100).map(|number| text(&format!("{number}"))).collect();
    assert!(stayed.iter().all(|value| seen.iter().filter(|one| *one == value).count() == 1), "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A list has what a map has after the same changes, and a replay has the same.
    #[test]
    fn a_list_is_a_map(changes in prop::collection::vec((any::<bool>(), 0..40_u8, 0..3_u8), 1..200)) {
        let mut world = World::new();
        world.make("countries", ListOf::Text).unwrap();
        let mut map: BTreeMap<u8, u8> = BTreeMap::new();
        for (adds, value, reason) in changes {
            let listed = text(&value.to_string());
            let expected = match adds {
                true => usize::from(map.insert(value, reason) != Some(reason)),
                false => usize::from(map.remove(&value).is_some()),
            };
            let changed = match adds {
                true => world.add("countries", ListOf::Text, vec![added(listed, None, &reason.to_string())]),
                false => world.remove("countries", ListOf::Text, vec![listed]),
            };
            prop_assert_eq!(changed.unwrap().0, expected);
        }
        let page = world.ask(query::ListValues { list: name("countries"), after: None, limit: 1000 }).unwrap();
        let shown: BTreeMap<String, String> = page
            .items
            .iter()
            .map(|item| {
                let ListValue::Text(text) = &item.value else { panic!("a text") };
                (text.to_string(), item.reason.to_string())
            })
            .collect();
        let expected = map.iter().map(|(value, reason)| (value.to_string(), reason.to_string())).collect();
        prop_assert_eq!(shown, expected);
        world.replays();
    }
}
