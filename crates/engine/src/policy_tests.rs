//! Runs the tests that a policy contains: each in an engine of its own, in memory, with the times of the test.

use std::sync::Arc;

use foldhash::{HashSet, HashSetExt as _};
use ledger::NewAccount;
use policy::{AttributeValue, Bundle, Policy, PolicyTest, Problem, TestAttribute, TestExpectation, TestPayment};
use types::{AccountId, ActorId, Code, Digest, Name, Origin, PaymentId, RequestId, ShardId, TenantId, Timestamp};

use crate::{
    ActivatePolicy, Applied, ArtifactChunk, Command, CreateAccounts, CreatePayment, Engine, Fact, NewPayment,
    PaymentDecided, RecordLabel, Request, SetEntityAttributes,
};

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    pub name: Name,
    /// Where the decision is not as expected, at the places of the expectations. Empty if the test passed.
    pub problems: Vec<Problem>,
}

/// Checks a policy: compiles it, and runs the tests that it contains.
///
/// # Errors
/// All problems of the document; or if there is none, all expectations of tests that were not met.
pub fn check_policy(bundle: &Bundle) -> Result<Policy, Vec<Problem>> {
    let policy = Policy::compile(bundle)?;
    let problems: Vec<Problem> = run_policy_tests(bundle)?.into_iter().flat_map(|outcome| outcome.problems).collect();
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

/// Runs the tests that a policy contains, in the order of the document.
///
/// The payments of the history are decided like any others, at their times, with what is due between them. Accounts can
/// always pay, whatever flags the policy gives them, so that a test is about the decision alone.
///
/// # Errors
/// All problems of the document.
pub fn run_policy_tests(bundle: &Bundle) -> Result<Vec<TestOutcome>, Vec<Problem>> {
    let policy = Arc::new(Policy::compile_for_tests(bundle)?);
    let outcome = |test: &PolicyTest| {
        let problems = match decide(test, &policy, bundle) {
            Ok(decided) => problems(&test.expect, &decided),
            Err(message) => vec![test.expect.verdict.0.problem(message)],
        };
        TestOutcome { name: test.name.clone(), problems }
    };
    Ok(policy.tests().iter().map(outcome).collect())
}

/// Decides the payments of a test, and returns the last decision.
fn decide(test: &PolicyTest, policy: &Arc<Policy>, bundle: &Bundle) -> Result<Arc<PaymentDecided>, String> {
    let mut desk = Desk::new(policy, bundle)?;
    let before = |before| test.at.checked_sub(before).unwrap_or(Timestamp::ZERO);
    let mut attributes = test.attributes.iter().peekable();
    let mut set_until = |desk: &mut Desk<'_>, until: Timestamp| {
        let time_of = |attribute: &TestAttribute| attribute.before.map_or(Timestamp::ZERO, before);
        while let Some(attribute) = attributes.next_if(|next| time_of(next) <= until) {
            let why = |why| format!("attribute `{}` of a {} was refused: {why}", attribute.attribute, attribute.entity);
            desk.set(time_of(attribute), attribute).map_err(why)?;
        }
        Ok::<_, String>(())
    };
    for payment in &test.history {
        let at = before(payment.before);
        set_until(&mut desk, at)?;
        desk.decide(at, payment).map_err(|why| format!("a payment of the history was refused: {why}"))?;
    }
    set_until(&mut desk, test.at)?;
    desk.decide(test.at, &test.payment).map_err(|why| format!("the payment was refused: {why}"))
}

/// An engine with the policy.
struct Desk<'p> {
    engine: Engine,
    policy: &'p Arc<Policy>,
    /// The accounts that were opened because a payment names them.
    accounts: HashSet<AccountId>,
    /// The number of the last request.
    last: u128,
}

impl<'p> Desk<'p> {
    fn new(policy: &'p Arc<Policy>, bundle: &Bundle) -> Result<Self, String> {
        let mut engine = Engine::new(ShardId::default(), TenantId::default());
        engine.start(Timestamp::ZERO, Origin::new(1), &mut |_: Applied<'_>| {});
        engine.leave_out_digests();
        let mut desk = Self { engine, policy, accounts: HashSet::new(), last: 0 };
        let artifact = policy.digest();
        let bytes = bundle.to_bytes();
        let parts = bytes.chunks(ArtifactChunk::BYTES_MAX);
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        for (index, part) in (0..count).zip(parts) {
            desk.execute(Timestamp::ZERO, ArtifactChunk { artifact, index, count, bytes: part.into() })?;
        }
        desk.execute(Timestamp::ZERO, ActivatePolicy { artifact, policy: Arc::clone(policy) })?;
        Ok(desk)
    }

    fn execute(&mut self, at: Timestamp, operation: impl Into<Command>) -> Result<Option<Arc<PaymentDecided>>, String> {
        self.last = self.last.saturating_add(1);
        let id = RequestId::new(self.last);
        let request = Request { tenant: TenantId::default(), actor: ActorId::SYSTEM, id, command: operation.into() };
        let mut decided = None;
        let answer = self.engine.execute(at, &request, &mut |applied: Applied<'_>| {
            if let Fact::PaymentDecided(made) = &applied.entry.fact {
                decided = Some(Arc::clone(made));
            }
        });
        answer.map(|_| decided).map_err(|refusal| refusal.to_string())
    }

    /// Opens the accounts that a payment names by their ids, which a policy does not open itself.
    fn open_accounts(&mut self, at: Timestamp, payment: &TestPayment) -> Result<(), String> {
        let Some(spec) = self.policy.payment_types().get(payment.payment_type.get()) else { return Ok(()) };
        let Some(ledger) = self.policy.ledgers().get(spec.ledger.get()).map(|ledger| ledger.id) else { return Ok(()) };
        let mut accounts = Vec::new();
        for value in payment.attributes.iter().flatten() {
            if let AttributeValue::Account(id) = value
                && self.accounts.insert(*id)
            {
                accounts.push(NewAccount { id: *id, ledger, code: Code::new(1), ..NewAccount::default() });
            }
        }
        if accounts.is_empty() { Ok(()) } else { self.execute(at, CreateAccounts(accounts)).map(drop) }
    }

    /// Does what is due until a time.
    fn execute_due(&mut self, at: Timestamp) {
        while let Some(due) = self.engine.next_due().filter(|due| *due <= at) {
            if !self.engine.execute_due(due, &mut |_: Applied<'_>| {}) {
                break;
            }
        }
    }

    /// Sets an attribute of an entity at its time, after all that is due before it.
    fn set(&mut self, at: Timestamp, attribute: &TestAttribute) -> Result<(), String> {
        self.execute_due(at);
        let set = SetEntityAttributes {
            policy: self.policy.digest(),
            kind: attribute.entity.clone(),
            entity: attribute.token,
            changes: vec![(attribute.attribute.clone(), Some(attribute.value.clone()))],
        };
        self.execute(at, set).map(drop)
    }

    /// Decides a payment at its time, after all that is due before it, and labels it if it has a label.
    fn decide(&mut self, at: Timestamp, payment: &TestPayment) -> Result<Arc<PaymentDecided>, String> {
        self.execute_due(at);
        self.open_accounts(at, payment)?;
        let id = PaymentId::new(self.last.saturating_add(1));
        let types = self.policy.payment_types();
        let takes_time = types.get(payment.payment_type.get()).is_some_and(|ty| ty.occurred_at.is_some());
        let new = NewPayment {
            payment: id,
            content: Digest::of(&id.get().to_le_bytes()),
            policy: self.policy.digest(),
            payment_type: payment.payment_type,
            amount: payment.amount,
            occurred_at: takes_time.then_some(at),
            attributes: payment.attributes.clone(),
            sealed: None,
        };
        let decided = self.execute(at, CreatePayment(Box::new(new)))?.ok_or("it was not decided")?;
        if let Some(label) = &payment.label {
            self.execute(at, RecordLabel { payment: id, label: label.clone() })?;
        }
        Ok(decided)
    }
}

/// What is not as expected, each with what is.
fn problems(expected: &TestExpectation, decided: &PaymentDecided) -> Vec<Problem> {
    let reasons: Vec<&str> = decided.reasons.iter().map(|reason| reason.code.as_str()).collect();
    let tags: Vec<&str> = decided.tags.iter().map(String::as_str).collect();
    let mut problems = Vec::new();
    let (place, verdict) = &expected.verdict;
    if *verdict != decided.verdict {
        let because: Vec<String> = decided
            .reasons
            .iter()
            .map(|reason| match &reason.failure {
                Some(failure) => format!("{} ({failure})", reason.code),
                None => reason.code.to_string(),
            })
            .collect();
        let because = if because.is_empty() { "no reason".to_owned() } else { because.join(", ") };
        let found = format!("{} with {because} and score {}", decided.verdict.name(), decided.score);
        problems.push(place.problem(format_args!("expected {}, the decision is {found}", verdict.name())));
    }
    if let Some((place, score)) = expected.score.as_ref().filter(|(_, score)| *score != decided.score) {
        problems.push(place.problem(format_args!("expected {score}, the decision has {}", decided.score)));
    }
    for (expected, found) in [(&expected.reasons, &reasons), (&expected.tags, &tags)] {
        let Some((place, wanted)) = expected else { continue };
        let sorted = |words: &mut Vec<&str>| words.sort_unstable();
        let (mut wanted, mut found) = (wanted.iter().map(String::as_str).collect::<Vec<_>>(), found.clone());
        sorted(&mut wanted);
        sorted(&mut found);
        if wanted != found {
            let message = format_args!("expected {}, the decision has {}", listed(&wanted), listed(&found));
            problems.push(place.problem(message));
        }
    }
    problems
}

fn listed(words: &[&str]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
