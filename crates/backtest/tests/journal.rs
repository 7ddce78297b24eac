//! Backtests over journals in memory.

use std::sync::Arc;

use backtest::{Failure, Progress, Report, Transition, Wanted, run};
use engine::{
    AddToList, AddedValue, Applied, ChangePayment, Command, CreatePayment, Engine, Entry, Fact, IncrementPayment,
    ListOf, ListPurpose, ListValue, MakeList, NewPayment, Portion, RecordLabel, Request, Verb,
};
use fixtures::{WALLET, bundle, compile, installation, token};
use journal::{Fault, Reader};
use policy::{AttributeValue, Policy, Verdict};
use types::{ActorId, Amount, Digest, Origin, PaymentId, RequestId, Seq, ShardId, TenantId, Timestamp};

/// Entries of a journal, of which each read returns at most ten.
#[derive(Debug, Clone)]
struct Entries(Arc<Vec<Entry>>);

impl Reader for Entries {
    fn durable(&self) -> Seq {
        Seq::new(self.0.len() as u64)
    }

    fn read(&self, from: Seq) -> Result<Vec<Entry>, Fault> {
        Ok(self.0.iter().filter(|entry| entry.header.seq >= from).take(10).cloned().collect())
    }
}

/// The wallet with lists, a rule for each, and increments that raise amounts.
fn document() -> String {
    WALLET.to_owned()
        + r#"
[lists.blocked_customers]
holds = "customer"
[lists.countries]
holds = "text"
[[rules]]
name = "blocked_customer"
when = "payment.customer in list('blocked_customers')"
then = { decline = true }
payments = ["card"]
[[rules]]
name = "country"
when = "has(payment.country) && payment.country in list('countries')"
then = { review = true }
payments = ["transfer"]
[[rules]]
name = "known_fraud"
when = "features.fraud_rate_30d > 0.1"
then = { score = 200 }
"#
}

const DAY: u64 = 86_400_000_000_000;
const MINUTE: u64 = 60_000_000_000;

/// An engine that writes a journal.
struct Desk {
    engine: Engine,
    entries: Vec<Entry>,
    policy: Arc<Policy>,
    now: u64,
    requests: u128,
}

impl Desk {
    fn new(document: &str) -> Self {
        let bundle = bundle(document);
        let policy = compile(&bundle);
        let mut engine = Engine::new(ShardId::default(), TenantId::default());
        let mut entries = Vec::new();
        engine.start(Timestamp::from_ns(1), Origin::new(7), &mut |applied: Applied<'_>| {
            entries.push(applied.entry.clone());
        });
        let mut desk = Self { engine, entries, policy: Arc::clone(&policy), now: 20_000 * DAY, requests: 0 };
        desk.activate(document);
        desk
    }

    fn activate(&mut self, document: &str) {
        let bundle = bundle(document);
        self.policy = compile(&bundle);
        let (chunk, activate) = installation(&bundle, &self.policy);
        assert!(self.ask(chunk));
        assert!(self.ask(activate));
    }

    /// Asks for something after all that is due. Returns whether it was not refused.
    fn ask(&mut self, command: impl Into<Command>) -> bool {
        self.requests += 1;
        let now = Timestamp::from_ns(self.now);
        let entries = &mut self.entries;
        let mut sink = |applied: Applied<'_>| entries.push(applied.entry.clone());
        while self.engine.execute_due(now, &mut sink) {}
        let request = Request {
            tenant: TenantId::default(),
            actor: ActorId::SYSTEM,
            id: RequestId::new(self.requests),
            command: command.into(),
        };
        self.engine.execute(now, &request, &mut sink).is_ok()
    }

    fn payment(&self, id: u128, kind: &str, amount: u128, attributes: &[(&str, AttributeValue)]) -> Box<NewPayment> {
        let (payment_type, spec) = self.policy.payment_type(kind).expect("a type");
        let value = |name: &str| attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        Box::new(NewPayment {
            payment: PaymentId::new(id),
            content: Digest::of(&id.to_le_bytes()),
            policy: self.policy.digest(),
            payment_type,
            amount: Amount::new(amount),
            occurred_at: None,
            attributes: spec.attributes.iter().map(|attribute| value(attribute.name.as_str())).collect(),
            sealed: None,
        })
    }

    fn pay(&mut self, id: u128, kind: &str, amount: u128, attributes: &[(&str, AttributeValue)]) -> bool {
        self.ask(CreatePayment(self.payment(id, kind, amount, attributes)))
    }

    fn label(&mut self, id: u128, label: &str) -> bool {
        self.ask(RecordLabel { payment: PaymentId::new(id), label: label.parse().expect("a name") })
    }

    fn verb(&mut self, id: u128, verb: Verb, portion: Portion) -> bool {
        self.ask(ChangePayment { payment: PaymentId::new(id), verb, portion })
    }

    fn journal(&self) -> Entries {
        Entries(Arc::new(self.entries.clone()))
    }

    fn backtest(&self, document: &str) -> Result<Report, Failure> {
        self.backtest_of(&wanted(document))
    }

    fn backtest_of(&self, wanted: &Wanted) -> Result<Report, Failure> {
        run(&self.journal(), wanted, &mut |_| true)
    }
}

fn wanted(document: &str) -> Wanted {
    Wanted { policy: compile(&bundle(document)), from: None, until: None, segment: None }
}

fn entity(name: &str) -> AttributeValue {
    AttributeValue::Entity { token: token(name), text: name.into() }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::Text(text.into())
}

fn made(report: &Report, before: Verdict, after: Verdict) -> (u64, u128) {
    let of = |(found, _): &(Transition, Option<types::Asset>)| *found == Transition { before, after };
    let sums = report.transitions.iter().filter(|(key, _)| of(key)).map(|(_, sum)| *sum);
    sums.fold((0, 0), |all, sum| (all.0 + sum.payments, all.1 + sum.amount))
}

/// A pseudo-random number below `below`, the same in every run.
fn random(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// A month of payments of ten customers with everything that can happen to a payment, and lists that change.
fn month(state: &mut u64) -> Desk {
    let mut desk = Desk::new(&document());
    let list = |name: &str, of: ListOf| MakeList {
        name: name.parse().expect("a name"),
        of,
        purpose: ListPurpose::Block,
        description: "".into(),
    };
    let customers = ListOf::Entity("customer".parse().expect("a name"));
    for customer in 0..10 {
        assert!(desk.pay(1 + customer, "top_up", 100_000_000, &[("customer", entity(&format!("c{customer}")))]));
    }
    let mut reached = [0_u32; 6];
    for id in 100..1_600_u128 {
        // Now and then many payments come within an hour.
        desk.now += if id / 200 % 3 == 1 { MINUTE / 4 } else { random(state, 40) * MINUTE };
        let customer = format!("c{}", random(state, 10));
        let amount = u128::from(random(state, 60_000)) + 1;
        let device = format!("d{}", random(state, 20));
        match random(state, 3) {
            0 => {
                let mut attributes = vec![("customer", entity(&customer)), ("recipient", entity("c3"))];
                if random(state, 4) == 0 {
                    attributes.push(("country", text(["NO", "KP"][usize::from(random(state, 2) == 1)])));
                }
                desk.pay(id, "transfer", amount, &attributes);
            }
            _ => {
                let mut attributes = vec![("customer", entity(&customer))];
                if random(state, 8) == 0 {
                    attributes.push(("device", entity(&device)));
                }
                desk.pay(id, "card", amount / 3 + 1, &attributes);
            }
        }
        let earlier = id - u128::from(random(state, 40));
        let part = Amount::new(amount / 3 + 1);
        let is_done = match random(state, 9) {
            0 => (0, desk.verb(earlier, Verb::Void, Portion::All)),
            1 => (1, desk.verb(earlier, Verb::Capture, Portion::Part(part))),
            2 => {
                // Reviews end soon by themselves.
                let recent = id - u128::from(random(state, 3));
                let verb = if random(state, 2) == 0 { Verb::Decline } else { Verb::Approve };
                (2, desk.verb(recent, verb, Portion::All))
            }
            3 => (3, desk.label(earlier, if random(state, 3) == 0 { "legitimate" } else { "fraud" })),
            4 => {
                // Cards are asked for again as they were; the windows do not read the device.
                let again = desk.entries.iter().find_map(|entry| {
                    let Fact::PaymentDecided(decided) = &entry.fact else { return None };
                    (decided.payment == PaymentId::new(earlier)).then(|| Arc::clone(decided))
                });
                let Some(decided) = again.filter(|decided| decided.payment_type.as_str() == "card") else { continue };
                let attributes: Vec<(&str, AttributeValue)> = decided
                    .attributes
                    .iter()
                    .filter_map(|(name, value)| {
                        let engine::PlainValue::Entity(token) = value else { return None };
                        Some((name.as_str(), AttributeValue::Entity { token: *token, text: "x".into() }))
                    })
                    .collect();
                let again = Some(desk.payment(earlier, "card", 0, &attributes));
                let payment = PaymentId::new(earlier);
                (4, desk.ask(IncrementPayment { payment, amount: part, again }))
            }
            5 => {
                if id % 5 == 0 {
                    let blocked = "blocked_customers".parse().expect("a name");
                    desk.ask(list("blocked_customers", customers.clone()));
                    desk.ask(list("countries", ListOf::Text));
                    let value = |value| {
                        vec![AddedValue {
                            value,
                            expires_at: Some(Timestamp::from_ns(desk.now + 3 * DAY)),
                            reason: Arc::from(""),
                        }]
                    };
                    let (one, other) =
                        (value(ListValue::Entity(token(&customer))), value(ListValue::Text("KP".into())));
                    desk.ask(AddToList { list: blocked, of: customers.clone(), values: one });
                    let countries = "countries".parse().expect("a name");
                    (5, desk.ask(AddToList { list: countries, of: ListOf::Text, values: other }))
                } else {
                    (5, false)
                }
            }
            _ => continue,
        };
        reached[is_done.0] += u32::from(is_done.1);
    }
    assert!(reached.iter().all(|count| *count > 10), "everything happens: {reached:?}");
    desk
}

#[test]
fn a_policy_changes_nothing_in_its_own_journal() {
    for mut seed in 1..6 {
        let desk = month(&mut seed);
        let report = desk.backtest(&document()).expect("a report");
        let declined = made(&report, Verdict::Decline, Verdict::Decline).0;
        let reviewed = made(&report, Verdict::Review, Verdict::Review).0;
        assert!(report.payments > 1_400 && declined > 100 && reviewed > 100, "{declined} {reviewed}");
        for rule in ["card_velocity", "daily_limit", "known_fraud", "blocked_customer", "country"] {
            let fired = report.reasons.get(rule).expect("a rule");
            assert!(fired.payments.before > 3, "{rule}: {fired:?}");
        }
        assert_eq!((report.changed, report.other_reasons, report.other_scores), (0, 0, 0), "{:?}", report.kept.first());
        assert!(report.not_decided.is_empty() && report.kept.is_empty());
        assert_eq!(report.alerts.before, report.alerts.after);

        // Windows and lists are the same when the comparison begins later.
        let middle = desk.entries[desk.entries.len() / 2].header.decided_at;
        let wanted = Wanted { from: Some(middle), ..wanted(&document()) };
        let later = desk.backtest_of(&wanted).expect("a report");
        assert!(later.payments > 500 && later.payments < report.payments);
        assert_eq!((later.changed, later.other_reasons, later.other_scores), (0, 0, 0), "{:?}", later.kept.first());
        let earlier = Wanted { from: None, until: Some(middle), ..wanted };
        assert_eq!(desk.backtest_of(&earlier).expect("a report").payments, report.payments - later.payments);
    }
}

#[test]
fn the_numbers_of_another_policy_are_exact() {
    let mut desk = Desk::new(WALLET);
    let alice = ("customer", entity("alice"));
    assert!(desk.pay(1, "top_up", 1_000_000, std::slice::from_ref(&alice)));
    // Approved, and the fourth is under review because it has a device.
    for (id, amount) in [(2, 100), (3, 900), (4, 2_000)] {
        assert!(desk.pay(id, "card", amount, std::slice::from_ref(&alice)));
    }
    assert!(desk.pay(5, "card", 700, &[alice.clone(), ("device", entity("d"))]));
    desk.now += DAY;
    let transfer = [alice.clone(), ("recipient", entity("bob"))];
    assert!(desk.pay(6, "transfer", 60_000, &transfer));
    assert!(desk.pay(7, "transfer", 100, &transfer));
    for (id, label) in [(3, "fraud"), (5, "fraud"), (2, "legitimate"), (4, "fraud"), (4, "legitimate"), (6, "fraud")] {
        assert!(desk.label(id, label));
    }
    let other = WALLET
        .replace(
            "when = \"has(payment.device)\"\nthen = { review = true }",
            "when = \"payment.amount > 800\"\nthen = { decline = true }",
        )
        .replace("payment.amount >= 50000", "payment.amount >= 70000");
    let wanted = Wanted { segment: Some("customer".parse().expect("a name")), ..wanted(&other) };
    let report = desk.backtest_of(&wanted).expect("a report");
    assert_eq!(report.payments, 7);
    // Cards 3 and 4 are declined, card 5 is approved, transfer 6 is approved.
    assert_eq!(made(&report, Verdict::Approve, Verdict::Decline), (2, 2_900));
    assert_eq!(made(&report, Verdict::Review, Verdict::Approve), (2, 60_700));
    assert_eq!(made(&report, Verdict::Approve, Verdict::Approve), (3, 1_000_200));
    assert_eq!((report.changed, report.alerts.before, report.alerts.after), (4, 2, 2));
    let days: Vec<(u64, u64, u64)> =
        report.days.values().map(|day| (day.payments, day.alerts.before, day.alerts.after)).collect();
    assert_eq!(days, [(5, 1, 2), (2, 1, 0)]);
    let caught = report.caught.values().next().expect("an asset");
    assert_eq!((caught.fraud.payments, caught.fraud.amount), (3, 61_600));
    assert_eq!((caught.fraud_caught_before.amount, caught.fraud_caught_after.amount), (60_700, 900));
    assert_eq!((caught.fraud_gained.amount, caught.fraud_lost.amount), (900, 60_700));
    assert_eq!((caught.legitimate.payments, caught.legitimate_stopped_after.amount), (2, 2_000));
    let rule = report.reasons.get("unknown_device").expect("a rule");
    assert_eq!((rule.payments.before, rule.payments.after, rule.only.before, rule.only.after), (1, 2, 1, 2));
    let card = report.types.get("card").expect("a type");
    assert_eq!((card.payments, card.changed, card.fraud_caught.before, card.fraud_caught.after), (4, 3, 1, 1));
    let (_, segments) = report.segments.as_ref().expect("segments");
    assert_eq!(segments.get(&Some(token("alice").to_string())).expect("a segment").payments, 7);
    let kept: Vec<(u128, String, Option<bool>)> =
        report.kept.iter().map(|kept| (kept.payment.get(), kept.transition.name(), kept.fraud)).collect();
    let expected = [
        (3, "approve_to_decline", Some(true)),
        (4, "approve_to_decline", Some(false)),
        (5, "review_to_approve", Some(true)),
        (6, "review_to_approve", Some(true)),
    ];
    assert_eq!(kept, expected.map(|(id, name, label)| (id, name.to_owned(), label)));
}

#[test]
fn history_stays_what_it_was() {
    // The fourth payment would be within the limit if the third had been declined. It was made, so it counts.
    let mut desk = Desk::new(WALLET);
    let alice = ("customer", entity("alice"));
    assert!(desk.pay(1, "top_up", 1_000_000, std::slice::from_ref(&alice)));
    for (id, amount) in [(2, 10_000), (3, 10_000), (4, 30_000), (5, 5_000)] {
        assert!(desk.pay(id, "card", amount, std::slice::from_ref(&alice)));
    }
    let stricter = WALLET.replace("features.spent_1d > 100000", "features.spent_1d > 40000");
    let report = desk.backtest(&stricter).expect("a report");
    let declined: Vec<u128> = report.kept.iter().map(|kept| kept.payment.get()).collect();
    assert_eq!(declined, [4, 5]);
}

#[test]
fn a_policy_that_reads_what_the_journal_lacks_is_refused_by_name() {
    let mut desk = Desk::new(WALLET);
    let alice = ("customer", entity("alice"));
    assert!(desk.pay(1, "top_up", 1_000_000, std::slice::from_ref(&alice)));
    assert!(desk.pay(2, "card", 100, std::slice::from_ref(&alice)));
    let with_rule = |document: &str, kind: &str, when: &str| {
        format!(
            "{document}\n[[rules]]\nname = \"new\"\nwhen = \"{when}\"\nthen = {{ review = true }}\npayments = [\"{kind}\"]\n"
        )
    };
    let refused = |document: &str| desk.backtest(document).expect_err("a refusal").to_string();
    let personal = refused(&with_rule(WALLET, "transfer", "has(payment.email)"));
    assert!(personal.contains("`payment.email`, which is personal"), "{personal}");
    let entity_text = refused(&with_rule(WALLET, "card", "payment.customer == 'alice'"));
    assert!(entity_text.contains("the text of `payment.customer`"), "{entity_text}");
    // Another entity, and a list, need only the token.
    let by_token = with_rule(WALLET, "transfer", "payment.customer == payment.recipient");
    assert_eq!(desk.backtest(&by_token).expect("a report").changed, 0);

    let country = "[payments.card.attributes]\ncountry = { type = \"string\", required = false }\n";
    let newer = WALLET.replace("[payments.card.attributes]\n", country);
    let unread = desk.backtest(&newer).expect("nothing reads the new attribute");
    assert_eq!((unread.payments, unread.changed), (2, 0));
    let newer = with_rule(&newer, "card", "has(payment.country) && payment.country == 'KP'");
    let missing = refused(&newer);
    assert!(missing.contains("`payment.country`, which is not an attribute of the policy `wallet`"), "{missing}");

    // Once it is recorded, later payments can be compared.
    desk.activate(&newer);
    desk.now += MINUTE;
    assert!(desk.pay(3, "card", 100, &[alice, ("country", text("KP"))]));
    let from = Some(Timestamp::from_ns(desk.now));
    let later = desk.backtest_of(&Wanted { from, ..wanted(&newer) }).expect("a report");
    assert_eq!((later.payments, later.changed, later.gaps), (1, 0, 1));
    let milder = desk.backtest_of(&Wanted { from, ..wanted(WALLET) }).expect("a report");
    assert_eq!((made(&milder, Verdict::Review, Verdict::Approve).0, milder.payments), (1, 1));
}

#[test]
fn payments_that_the_policy_does_not_know_are_counted_apart() {
    let mut desk = Desk::new(WALLET);
    let alice = ("customer", entity("alice"));
    assert!(desk.pay(1, "top_up", 1_000_000, std::slice::from_ref(&alice)));
    assert!(desk.pay(2, "card", 100, &[alice]));
    let renamed = WALLET.replace("top_up", "deposit");
    let report = desk.backtest(&renamed).expect("a report");
    assert_eq!(report.payments, 1);
    let why: Vec<String> = report.not_decided.keys().map(ToString::to_string).collect();
    assert_eq!(why, ["the policy has no payment type `top_up`"]);
}

#[test]
fn a_backtest_ends_when_it_is_told_to_and_shows_its_progress() {
    let desk = month(&mut 9);
    let mut seen = Vec::new();
    let mut go_on = |progress: Progress| {
        seen.push(progress);
        seen.len() < 20
    };
    let ended = run(&desk.journal(), &wanted(&document()), &mut go_on);
    assert!(matches!(ended, Err(Failure::Cancelled)), "{ended:?}");
    let mut last = Progress::default();
    let done = run(&desk.journal(), &wanted(&document()), &mut |progress| {
        assert!(progress.read >= last.read && progress.read <= progress.total, "{progress:?}");
        last = progress;
        true
    });
    let report = done.expect("a report");
    assert_eq!((last.read, last.payments), (last.total, report.payments));
}
