//! Stories about payments: each line is a step, with its expected result at the end.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use engine::{
    Answered, Applied, ChangePayment, CreatePayment, Engine, Entry, Fact, IncrementPayment, NewPayment, Operation,
    PastPayment, PastPayments, PaymentReply, PaymentSums, Portion, RecordLabel, Refusal, Request, SetLimits, Verb,
    account_id, query,
};
use fixtures::token;
use ledger::{Account, Limits};
use policy::{AttributeKind, AttributeValue, Policy};
use types::{ActorId, Amount, Digest, LedgerId, Origin, PaymentId, RequestId, Seq, ShardId, Span, TenantId, Timestamp};

/// Runs a story. A step with another result than expected fails the test, and the message shows its line. At the end, a
/// replay of the entries must reproduce the state. An engine that keeps only open payments in memory must tell the same
/// story.
#[track_caller]
pub(crate) fn check(story: &str) {
    let [remembered, forgotten] = [false, true].map(|forgets| tell(story, forgets));
    assert_eq!(remembered.entries(), forgotten.entries(), "an engine that forgets payments makes the same entries");
}

#[track_caller]
fn tell(story: &str, forgets: bool) -> World {
    let mut world = World::new(fixtures::WALLET, forgets);
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (step, expected) = line.split_once("->").unwrap_or((line, ""));
        let words: Vec<&str> = step.split_whitespace().collect();
        let found = world.step(&words);
        assert_eq!(found, expected.trim(), "in `{line}`");
    }
    world.replay_equals_live();
    world
}

pub(crate) struct World {
    engine: Engine,
    policy: Arc<Policy>,
    now: Timestamp,
    entries: Entries,
    forgets: bool,
    /// The payments that were asked for, for those that decide them again.
    asked: HashMap<PaymentId, NewPayment>,
}

/// The journal, from which a forgetful engine reads payments.
#[derive(Debug, Clone, Default)]
struct Entries(Arc<Mutex<Vec<Entry>>>);

impl Entries {
    fn push(&self, applied: &Applied<'_>) {
        self.0.lock().unwrap().push(applied.entry.clone());
    }
}

impl PastPayments for Entries {
    fn find(&self, id: PaymentId) -> Option<PastPayment> {
        let entries = self.0.lock().unwrap();
        let decided = |entry: &&Entry| matches!(&entry.fact, Fact::PaymentDecided(decided) if decided.payment == id);
        let mut payment = PastPayment::new(entries.iter().find(decided)?)?;
        for entry in entries.iter() {
            payment.follow(entry);
        }
        Some(payment)
    }
}

impl World {
    /// A world with this policy, in which the engine keeps only open payments in memory if it `forgets`.
    pub(crate) fn new(policy: &str, forgets: bool) -> Self {
        let bundle = fixtures::bundle(policy);
        let policy = fixtures::compile(&bundle);
        let mut engine = Engine::new(ShardId::new(0), TenantId::new(1));
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let entries = Entries::default();
        engine.set_past_payments(Box::new(entries.clone()));
        engine.start(now, Origin::new(7), &mut |applied: Applied<'_>| entries.push(&applied));
        let mut world = Self { engine, policy: Arc::clone(&policy), now, entries, forgets, asked: HashMap::new() };
        let (artifact, activation) = fixtures::installation(&bundle, &policy);
        world.ask(0, artifact).unwrap();
        world.ask(0, activation).unwrap();
        world
    }

    fn ask<O: Operation>(&mut self, request: u128, operation: O) -> Answered<O> {
        let mut sink = |applied: Applied<'_>| self.entries.push(&applied);
        while self.engine.execute_due(self.now, &mut sink) {}
        let (id, command) = (RequestId::new(request), operation.into());
        let request = Request { tenant: TenantId::new(1), actor: ActorId::new(1), id, command };
        let answer = O::answer(self.engine.execute(self.now, &request, &mut sink));
        if self.forgets {
            self.engine.forget_through(0, self.engine.applied());
        }
        answer
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.0.lock().unwrap().clone()
    }

    pub(crate) fn step(&mut self, words: &[&str]) -> String {
        // The engine gives every entry a time of its own, and the story's clock keeps up with it.
        self.now = self.now.max(self.engine.clock().saturating_add(Span::from_ns(1)));
        match words {
            ["wait", span] => {
                self.now = self.now.saturating_add(span.parse::<Span>().unwrap());
                String::new()
            }
            ["pay", id, payment_type, amount, attributes @ ..] => self.pay(id, payment_type, amount, attributes),
            ["label", id, label] => {
                let recorded = self.ask(0, RecordLabel { payment: payment_id(id), label: label.parse().unwrap() });
                match recorded {
                    Ok((made, label)) => format!("{made:?} positive={}", label.label.positive),
                    Err(refusal) => refusal.to_string(),
                }
            }
            ["wallet", customer] => {
                let wallet = self.account("wallet", Some(customer));
                format!("{} held {}", wallet.credits_posted.get() - wallet.debits_posted.get(), wallet.debits_pending)
            }
            ["min_balance", customer, limit] => {
                let account = self.account("wallet", Some(customer)).id.into();
                let limits = Limits { min_balance: Some(limit.parse().unwrap()), max_balance: None };
                self.ask(0, SetLimits { account, limits }).unwrap();
                String::new()
            }
            ["show", id] => outcome(self.ask(0, query::Payment(payment_id(id)))),
            // Captured, released and refunded, and how many transfers were made.
            ["sums", id] => {
                let payment = self.ask(0, query::Payment(payment_id(id))).unwrap().payment;
                let PaymentSums { captured, released, refunded } = payment.sums;
                format!("{captured} {released} {refunded} in {}", payment.transfers)
            }
            ["unresolved"] => {
                let query = query::Pending { ledger: None, account: None, after: Timestamp::ZERO, limit: 100 };
                self.ask(0, query).unwrap().items.len().to_string()
            }
            ["entries"] => self.entries().len().to_string(),
            // Without forgetting, this step says nothing.
            ["in_memory", count] if self.forgets => {
                assert_eq!(self.engine.payments_in_memory().to_string(), *count);
                String::new()
            }
            ["in_memory", _] => String::new(),
            ["increment", id, request, amount] => {
                let payment = payment_id(id);
                let again = self.asked.get(&payment).cloned().map(Box::new);
                let amount = Amount::new(amount.parse().unwrap());
                let asked = self.ask(request[1..].parse().unwrap(), IncrementPayment { payment, amount, again });
                asked.map_or_else(|refusal| refusal.to_string(), |(_, reply)| incremented(&reply))
            }
            [verb, id, request, portion @ ..] => {
                let verb = Verb::ALL.into_iter().find(|known| known.name() == *verb).unwrap();
                let request = request[1..].parse().unwrap();
                let portion = match portion {
                    [] => Portion::All,
                    [amount] => Portion::Part(Amount::new(amount.parse().unwrap())),
                    [amount, "final"] => Portion::Last(Amount::new(amount.parse().unwrap())),
                    other => panic!("no such portion: {other:?}"),
                };
                let change = ChangePayment { payment: payment_id(id), verb, portion };
                outcome(self.ask(request, change).map(|(_, reply)| reply))
            }
            other => panic!("no such step: {other:?}"),
        }
    }

    /// The account of a template: its single one, or that of a holder.
    pub(crate) fn account(&mut self, template: &str, holder: Option<&str>) -> Account {
        let id = account_id(&template.parse().unwrap(), LedgerId::new(978), holder.map(token));
        self.ask(0, query::Account(id.into())).unwrap().account
    }

    fn pay(&mut self, id: &str, payment_type: &str, amount: &str, attributes: &[&str]) -> String {
        let policy = Arc::clone(&self.policy);
        let (idx, payment_type) = policy.payment_type(payment_type).unwrap();
        let mut occurred_at = None;
        let mut values = vec![None; payment_type.attributes.len()];
        let mut content = format!("{amount} {}", payment_type.name);
        for attribute in attributes {
            content.push_str(attribute);
            let (name, value) = attribute.split_once('=').unwrap();
            match (name, payment_type.attribute(name)) {
                ("ago", _) => occurred_at = self.now.checked_sub(value.parse().unwrap()),
                ("in", _) => occurred_at = Some(self.now.saturating_add(value.parse().unwrap())),
                (_, Some((idx, attribute))) => {
                    assert!(matches!(attribute.kind, AttributeKind::Entity(_)));
                    values[idx.get()] = Some(AttributeValue::Entity { token: token(value), text: value.into() });
                }
                (_, None) => panic!("no such attribute: {name}"),
            }
        }
        let new = NewPayment {
            payment: payment_id(id),
            content: Digest::of(content.as_bytes()),
            policy: policy.digest(),
            payment_type: idx,
            amount: Amount::new(amount.parse().unwrap()),
            occurred_at,
            attributes: values,
            sealed: None,
        };
        self.asked.insert(new.payment, new.clone());
        let decided = self.ask(0, CreatePayment(Box::new(new)));
        outcome(decided.map(|(_, reply)| reply))
    }

    /// A replay of the entries gives the same state.
    #[track_caller]
    pub(crate) fn replay_equals_live(&self) {
        self.replay_of_equals_live(&self.entries());
    }

    /// A replay of these entries instead of its own gives the same state.
    #[track_caller]
    pub(crate) fn replay_of_equals_live(&self, entries: &[Entry]) {
        let mut replayed = Engine::new(ShardId::new(0), TenantId::new(1));
        for entry in entries {
            assert!(replayed.agrees_with(entry));
            replayed.apply(entry);
        }
        assert_eq!(replayed.applied(), Seq::new(entries.len() as u64), "every entry is in the journal");
        assert_eq!(replayed.digest(), self.engine.digest(), "a replay gives the state of the live engine");
    }
}

fn payment_id(name: &str) -> PaymentId {
    PaymentId::new(name[1..].parse().unwrap())
}

/// What an increment made of a payment: its amount, and what was decided if this request did it.
fn incremented(reply: &PaymentReply) -> String {
    let payment = &reply.payment;
    let raised = payment.increments.last().is_some_and(|last| last.raised);
    let mut text =
        format!("{} {} of {}", if raised { "raised" } else { "kept" }, payment.status.name(), payment.amount);
    if let Some(increment) = reply.increments.last() {
        text.extend(increment.reasons.iter().map(|reason| format!(" {}", reason.code)));
        text.extend(increment.refusal.map(|refusal| format!(" {}", refusal.status.name())));
    }
    text
}

fn outcome(answer: Result<Box<PaymentReply>, Refusal>) -> String {
    match answer {
        Ok(reply) => {
            let payment = &reply.payment;
            let reasons = reply.decided.iter().flat_map(|decided| &decided.reasons);
            let reasons = reasons.map(|reason| format!(" {}", reason.code)).collect::<String>();
            let refusal = payment.refusal.map(|refusal| format!(" {}", refusal.status.name())).unwrap_or_default();
            let late = if reply.decided.as_ref().is_some_and(|decided| decided.late) { " late" } else { "" };
            format!("{}{reasons}{refusal}{late}", payment.status.name())
        }
        Err(refusal) => refusal.to_string(),
    }
}
