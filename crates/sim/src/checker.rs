//! Checks every batch with the model, and checks after each start that no acknowledged entry was lost.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    AccountName, Cause, Command, CreatePayment, Dry, Engine, Entry, Fact, NewPayment, PastPayment, Portion, Request,
    Verb, WritesClosed, query,
};
use index::{Candidate, Index, PaymentsWanted, Term};
use journal::ContextSource as _;
use ledger::TransferKey;
use policy::AttributeValue;
use types::{ActorId, Amount, Digest, PaymentId, RequestId, Seq, Timestamp};

use crate::Rng;
use crate::edge::{Failure, Shared};
use crate::model::{Model, Step, ensure};
use crate::policies;
use crate::process::{DecidedBatch, LookedUp, TENANT};

/// A broken rule, and how to reproduce it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}\n  seed {seed}, step {step}; to repeat: FINAIRA_SIM_SEED={seed} cargo test -p sim seeds")]
pub struct Violation {
    /// The seed of the run.
    pub seed: u64,
    /// The step of the run at which the rule was broken.
    pub step: u32,
    /// The broken rule (see the documentation of the crate), and what broke it.
    pub what: String,
}

/// Checks everything that the engine decides, remembers up to which entry clients or readers were told, and compares
/// both with what a start finds.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    model: Model,
    /// Every entry that was decided and not lost since.
    decided: Vec<Entry>,
    /// The last entry that an answer depended on or a reader saw.
    told: Seq,
    /// An entry that a crash removed.
    pub(crate) lost: Option<Entry>,
    /// The kinds of entries, the payment statuses, and the parts of payments that occurred.
    pub(crate) kinds: BTreeSet<&'static str>,
}

/// What a search may find.
#[derive(Debug, Default)]
struct Found {
    /// The entry that decided the payment.
    seq: Seq,
    terms: Vec<Term>,
    is_open: bool,
}

/// Maximum number of customers whose features are computed after a start.
const FORESEEN_MAX: usize = 12;
/// Maximum number of transfers that are looked up in an engine after a start.
const LOOKED_UP_MAX: usize = 150;

impl Checker {
    /// Checks what one run of the decider produced.
    pub(crate) fn decided(&mut self, now: Timestamp, batch: DecidedBatch) -> Result<(), String> {
        let DecidedBatch { asked, answers, entries, closed, is_cut } = batch;
        if is_cut {
            // The checker cannot match these entries with requests, so it only applies them to the model.
            entries.iter().try_for_each(|entry| self.model.apply(entry))?;
            self.decided.extend(entries);
            return Ok(());
        }
        ensure(asked.len() == answers.len(), "SIM-3", || "there is not an answer for each request".to_owned())?;
        let steps: Vec<Step<'_>> =
            asked.iter().zip(&answers).map(|(request, (seq, answer))| Step { request, seq: *seq, answer }).collect();
        let mut rest = entries.as_slice();
        if let [first, later @ ..] = rest
            && matches!(first.fact, Fact::JournalStarted { .. })
        {
            self.model.apply(first)?;
            rest = later;
        }
        match closed {
            None => self.model.judge(now, &steps, rest)?,
            Some(why) => {
                ensure(rest.is_empty(), "SIM-2", || {
                    format!("writes are refused, but these entries were made: {rest:?}")
                })?;
                self.model.judge_closed(now, &steps, why)?;
            }
        }
        self.kinds.extend(entries.iter().flat_map(kinds));
        self.decided.extend(entries);
        Ok(())
    }

    /// Records that an answer was given that depends on this entry.
    pub(crate) fn told(&mut self, seq: Seq) {
        self.told = self.told.max(seq);
    }

    /// Checks entries that a reader read from the journal.
    pub(crate) fn read(&mut self, entries: &[Entry]) -> Result<(), String> {
        for entry in entries {
            self.same(entry)?;
            self.told(entry.header.seq);
        }
        Ok(())
    }

    /// Checks a payment that a client looked up: it is as the entries up to that moment left it, and all of them are durable.
    pub(crate) fn looked_up(&mut self, looked_up: &LookedUp, shared: &Shared) -> Result<(), String> {
        let LookedUp { payment, through, result } = looked_up;
        let mut expected: Option<PastPayment> = None;
        for entry in self.decided.iter().take_while(|entry| entry.header.seq <= *through) {
            match &mut expected {
                Some(expected) => drop(expected.follow(entry)),
                None => expected = PastPayment::new(entry).filter(|found| found.payment.id == *payment),
            }
        }
        self.told(*through);
        let expected = expected.map(|expected| {
            let reply = expected.reply(shared.now());
            let shown = api::decisions::Payment::new(&reply.payment, reply.decided.as_deref(), &shared.assets());
            let mut shown = shown.map_err(|unknown| unknown.what().to_owned())?.with_metadata(&reply.metadata);
            for (place, increment) in reply.increments.iter().enumerate() {
                shown = shown.with_increment(place, increment);
            }
            serde_json::to_value(&shown).map_err(|error| error.to_string())
        });
        let same = match (expected.transpose()?, result) {
            (None, Err(Failure::Problem(problem))) => problem.code().as_str() == "payment_not_found",
            (Some(expected), Ok(edge::Response { body: edge::Body::Json(bytes), .. })) => {
                serde_json::from_slice::<serde_json::Value>(bytes).is_ok_and(|shown| shown == expected)
            }
            (_, _) => false,
        };
        ensure(same, "SIM-8", || format!("payment {payment} as of entry {through} was shown as {result:?}"))
    }

    /// Checks SIM-10: a search of the index by the terms of a payment finds exactly the payments that have or had them, in order.
    /// What is searched for depends on the last entry alone, so that it does not change the run.
    ///
    /// # Errors
    /// If the index cannot be read. The inner error is a broken rule.
    pub(crate) fn search(&self, index: &Index, through: Seq) -> Result<Result<(), String>, index::Fault> {
        let mut payments: BTreeMap<PaymentId, Found> = BTreeMap::new();
        for entry in self.decided.iter().take_while(|entry| entry.header.seq <= through) {
            let Some(id) = entry.fact.payment() else { continue };
            let found = payments.entry(id).or_insert_with(|| Found { seq: entry.header.seq, ..Found::default() });
            Term::of_entry(entry, |term| found.terms.push(term));
            if let Fact::PaymentDecided(decided) = &entry.fact {
                found.is_open = decided.status.is_open();
            }
            if let Fact::PaymentChanged(changed) = &entry.fact {
                found.is_open = changed.status.is_open();
            }
        }
        let mut rng = Rng::new(through.get());
        let Some(one) = payments.values().nth(rng.place(payments.len().max(1))) else { return Ok(Ok(())) };
        let terms: Vec<Term> = (0..rng.below(4)).map(|_| *rng.pick(&one.terms)).collect();
        let (open, reversed) = (rng.percent(30), rng.percent(50));
        let fits = |found: &&Found| (found.is_open || !open) && terms.iter().all(|term| found.terms.contains(term));
        let mut expected: Vec<Seq> = payments.values().filter(fits).map(|found| found.seq).collect();
        expected.sort_unstable();
        if reversed {
            expected.reverse();
        }
        let conditions = terms.iter().map(|term| vec![*term]).collect();
        let wanted = PaymentsWanted { conditions, open, reversed, ..PaymentsWanted::default() };
        let mut search = index.find_payments(&wanted);
        let (mut told, mut steps) = (Vec::new(), usize::MAX);
        while let Candidate::At(seq, _) = search.next(&mut steps)? {
            told.push(seq);
        }
        Ok(ensure(told == expected, "SIM-10", || format!("{wanted:?} found {told:?}, expected {expected:?}")))
    }

    fn same(&self, entry: &Entry) -> Result<(), String> {
        let seq = entry.header.seq;
        let place = seq.get().checked_sub(1).and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| self.decided.get(place)) {
            Some(decided) => ensure(decided == entry, "SIM-2", || {
                format!("entry {seq} is {entry:?}\n  but was decided as {decided:?}")
            }),
            None => Err(format!("SIM-2: entry {seq} was never decided: {entry:?}")),
        }
    }

    /// Checks everything after a start that found these entries and restored `engine`. Returns true if entries were
    /// lost that nobody had been told of.
    pub(crate) fn check(&mut self, entries: &[Entry], engine: &mut Engine, rng: &mut Rng) -> Result<bool, String> {
        let last = entries.last().map_or(Seq::ZERO, |entry| entry.header.seq);
        ensure(self.told <= last, "SIM-1", || {
            format!("answers depend on entry {}, but the journal ends with {last}", self.told)
        })?;
        entries.iter().try_for_each(|entry| self.same(entry))?;
        let is_lost = entries.len() < self.decided.len();
        if is_lost {
            self.lost = self.decided.get(entries.len()).cloned();
            self.decided.truncate(entries.len());
            self.model = Model::default();
            for entry in &self.decided {
                self.model.apply(entry)?;
            }
            self.model.books.balance()?;
        }
        self.check_engine(engine, rng)?;
        Ok(is_lost)
    }

    /// Checks SIM-5: the restored engine holds the same state as the model.
    fn check_engine(&mut self, engine: &mut Engine, rng: &mut Rng) -> Result<(), String> {
        let model = &mut self.model;
        let at = (engine.applied(), engine.clock());
        let accounts = model.books.accounts.keys().map(|id| query::Account(AccountName::Id(*id)).into());
        let mut commands: Vec<Command> = accounts.collect();
        commands.extend(model.books.books.keys().map(|id| Command::from(query::TrialBalance(*id))));
        commands.extend(model.payments.all.keys().map(|id| Command::from(query::Payment(*id))));
        commands.extend([query::Ledgers.into(), query::Imports.into(), query::Policy.into()]);
        commands.push(query::Scheduled { after: (Timestamp::ZERO, 0), limit: engine::PAGE_MAX }.into());
        let transfers: Vec<TransferKey> = model.books.transfers.keys().copied().collect();
        let skipped = transfers.len().div_ceil(LOOKED_UP_MAX);
        let first = rng.place(skipped.max(1));
        for key in transfers.into_iter().skip(first).step_by(skipped.max(1)) {
            if let TransferKey::Client(id) = key {
                commands.push(query::Transfer(id).into());
            }
        }
        let failed = model.books.failed.keys().map(|id| Command::from(query::Transfer(*id))).step_by(7);
        commands.extend(failed);
        commands.extend(foreseen(model));
        // The check must not make an entry, not even a state digest that is due: nothing would write it.
        let closed = WritesClosed::JournalDamaged("a check only reads".into());
        for command in commands {
            let request = Request { tenant: TENANT, actor: ActorId::SYSTEM, id: RequestId::default(), command };
            let (clock, applied) = (engine.clock(), engine.applied());
            let answer = engine.answer_closed(clock, &request, &closed);
            let step = Step { request: &request, seq: applied, answer: &answer };
            let shown = model.judge_one(clock, &step);
            shown
                .map_err(|what| format!("SIM-5: after a start: {what}\n  asked {request:?}\n  answered {answer:?}"))?;
        }
        ensure(at == (model.seq, model.clock), "SIM-5", || {
            format!("the engine is at {at:?}, the model at {:?}", (model.seq, model.clock))
        })?;
        model.approvals.compare(engine)?;
        model.identities.compare(engine)?;
        model.settings.compare(engine)?;
        model.payments.lists.compare(engine)?;
        model.payments.attributes.compare(engine)
    }
}

/// A dry run of a payment for every customer and merchant, so that the engine computes all features again.
fn foreseen(model: &Model) -> Vec<Command> {
    let Some(active) = &model.payments.active else { return Vec::new() };
    let Some(variant) = policies::variant(active.artifact) else { return Vec::new() };
    let Some((card, _)) = variant.policy.payment_type("card") else { return Vec::new() };
    let seen: BTreeSet<_> = model.payments.all.values().filter_map(|paid| paid.entities()).collect();
    // The policies of the simulation do not compare entities with texts.
    let entity = |token| Some(AttributeValue::Entity { token, text: "".into() });
    let dry = |(number, (customer, merchant)): (u128, (types::Token, Option<types::Token>))| {
        let merchant = merchant.unwrap_or(customer);
        Command::from(Dry(CreatePayment(Box::new(NewPayment {
            payment: PaymentId::new(u128::MAX / 2 + number),
            content: Digest::default(),
            policy: active.artifact,
            payment_type: card,
            amount: Amount::new(7),
            occurred_at: None,
            attributes: vec![entity(customer), entity(merchant), None],
            sealed: None,
        }))))
    };
    (1..).zip(seen).take(FORESEEN_MAX).map(dry).collect()
}

fn kinds(entry: &Entry) -> impl Iterator<Item = &'static str> {
    let status = match &entry.fact {
        Fact::PaymentDecided(decided) => Some(decided.status.name()),
        Fact::PaymentChanged(changed) => Some(changed.status.name()),
        Fact::JournalStarted { .. }
        | Fact::JournalContinued { .. }
        | Fact::Ledger(_)
        | Fact::LabelRecorded(_)
        | Fact::ArtifactStored(_)
        | Fact::PolicyActivated(_)
        | Fact::Identity(_)
        | Fact::Approval(_)
        | Fact::Setting(_)
        | Fact::List(_)
        | Fact::EntityAttributes(_)
        | Fact::PersonalDataRead(_)
        | Fact::KeyUsed(_)
        | Fact::StateDigest(_) => None,
    };
    let part = if let Fact::PaymentChanged(changed) = &entry.fact {
        match (changed.cause, changed.portion) {
            (Cause::Verb(Verb::Capture), Portion::Part(_)) => Some("part_captured"),
            (Cause::Verb(Verb::Capture), Portion::Last(_)) => Some("last_part_captured"),
            (Cause::Verb(Verb::Void), Portion::Part(_)) => Some("part_voided"),
            (Cause::Verb(Verb::Refund), Portion::Part(_)) => Some("part_refunded"),
            (Cause::Verb(Verb::Increment), _) => match &changed.increment {
                Some(increment) if increment.legs.is_some() => Some("hold_raised"),
                Some(_) | None => Some("hold_kept"),
            },
            (_, _) => None,
        }
    } else {
        None
    };
    [journal::kind_name(entry)].into_iter().chain(status).chain(part)
}
