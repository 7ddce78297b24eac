//! One run of the decider, command by command: what time brought, then what was asked.

use engine::{Answer, Command, Entry, Fact, Made, Refusal, Reply, Request};
use ledger::ImportState;
use types::{ActorId, RequestId, Seq, Span, Timestamp};

use super::{Model, ensure, identities};

/// A request that was decided, its answer, and the last entry there was then.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) request: &'a Request,
    pub(crate) seq: Seq,
    pub(crate) answer: &'a Answer,
}

/// What is being judged.
#[derive(Debug)]
pub(crate) struct Turn<'m, 'e> {
    pub(crate) model: &'m mut Model,
    pub(crate) now: Timestamp,
    entries: &'e [Entry],
    request: &'e Request,
}

/// What time brings next.
enum Due {
    Deadline(types::PaymentId),
    Timeout(ledger::TransferKey),
    Scheduled(Box<ledger::Scheduled>),
}

impl Model {
    /// Judges what one run of the decider made: the entries, and the answers with the entries they rest on.
    pub(crate) fn judge(&mut self, now: Timestamp, steps: &[Step<'_>], entries: &[Entry]) -> Result<(), String> {
        let nobody = nobody();
        let mut turn = Turn { model: self, now, entries, request: &nobody };
        turn.due()?;
        let mut rest = turn.entries;
        for step in steps {
            let count = rest.iter().take_while(|entry| entry.header.seq <= step.seq).count();
            let (mine, later) = rest.split_at(count);
            rest = later;
            let mut turn = Turn { model: self, now, entries: mine, request: step.request };
            let judged = turn.command(step).and_then(|()| turn.finish());
            judged.map_err(|what| {
                format!("{what}\n  asked {:?}\n  answered {:?}\n  with {mine:?}", step.request, step.answer)
            })?;
        }
        ensure(rest.is_empty(), "SIM-2", || format!("nobody asked for {rest:?}"))?;
        self.books.balance()
    }
}

fn nobody() -> Request {
    let command = Command::Query(engine::Query::Ledgers);
    Request { tenant: crate::process::TENANT, actor: ActorId::SYSTEM, id: RequestId::default(), command }
}

impl<'e> Turn<'_, 'e> {
    /// Who asks, for what.
    pub(crate) fn request(&self) -> &'e Request {
        self.request
    }

    /// The instant of the next entry.
    pub(crate) fn next_at(&self) -> Timestamp {
        self.now.max(self.model.clock.saturating_add(Span::from_ns(1)))
    }

    /// Digests, and what goes with them, come between the entries that somebody asked for.
    pub(crate) fn housekeeping(&mut self) -> Result<(), String> {
        while let Some((entry, rest)) = self.entries.split_first() {
            let is_note = matches!(
                &entry.fact,
                Fact::StateDigest(_) | Fact::Ledger(ledger::Fact::ImportNoted { state: ImportState::Staged, .. })
            );
            if !is_note {
                break;
            }
            ensure(entry.header.actor == ActorId::SYSTEM, "SIM-2", || format!("somebody asked for {entry:?}"))?;
            self.entries = rest;
            self.model.apply(entry)?;
        }
        Ok(())
    }

    /// The next entry is this fact, made now and by this request.
    pub(crate) fn expect(&mut self, request: RequestId, fact: &Fact) -> Result<(), String> {
        self.expect_like(request, |entry| {
            ensure(entry.fact == *fact, "SIM-3", || format!("the entry is {:?}\n  and should be {fact:?}", entry.fact))
        })
    }

    /// The next entry is made now and by this request, and passes.
    pub(crate) fn expect_like(
        &mut self,
        request: RequestId,
        check: impl FnOnce(&Entry) -> Result<(), String>,
    ) -> Result<(), String> {
        let at = self.next_at();
        let Some((entry, rest)) = self.entries.split_first() else {
            return Err("SIM-3: an entry is missing".to_owned());
        };
        check(entry)?;
        let header = &entry.header;
        let by = (header.actor, header.request, header.decided_at);
        let expected = (self.request.actor, request, at);
        ensure(by == expected, "SIM-3", || format!("the entry says {by:?}, and should say {expected:?}"))?;
        self.entries = rest;
        self.model.apply(entry)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.housekeeping()?;
        ensure(self.entries.is_empty(), "SIM-2", || format!("nobody asked for {:?}", self.entries))
    }

    /// What time alone brings, all of it and in its order.
    fn due(&mut self) -> Result<(), String> {
        for _ in 0..pipeline::EXPIRIES_PER_BATCH_MAX {
            self.housekeeping()?;
            let at = self.next_at();
            let model = &self.model;
            let deadline = model.payments.next_deadline().map(|(due, payment)| (due, Due::Deadline(payment)));
            let timeout = model.books.next_timeout().map(|(due, key)| (due, Due::Timeout(key)));
            let scheduled = model.books.next_scheduled().map(|one| (one.at, Due::Scheduled(Box::new(one))));
            let first = [deadline, timeout, scheduled].into_iter().flatten().min_by_key(|(due, _)| *due);
            let fact = match first.filter(|(due, _)| *due <= at) {
                None => return Ok(()),
                Some((_, Due::Timeout(key))) => Fact::Ledger(ledger::Fact::TransferExpired(key)),
                Some((_, Due::Scheduled(one))) => Fact::Ledger(super::orders::execute(&model.books, &one, at)),
                Some((_, Due::Deadline(payment))) => {
                    self.deadline(payment)?;
                    continue;
                }
            };
            self.expect(RequestId::default(), &fact)?;
        }
        Ok(())
    }

    fn command(&mut self, step: &Step<'_>) -> Result<(), String> {
        self.housekeeping()?;
        let Step { request, answer, .. } = *step;
        match &request.command {
            Command::OpenLedger { id, asset } => self.open_ledger(*id, *asset, answer)?,
            Command::OpenAccount(order) => self.open_account(order, answer)?,
            Command::CreateTransfer(order) => self.create_transfer(order, answer)?,
            Command::ReverseTransfer(id) => self.reverse(*id, answer)?,
            Command::Change(change) => self.change(change, answer)?,
            Command::Batch(orders) => self.batch(orders, answer)?,
            Command::DryRun(command) => return self.dry_run(command, answer),
            Command::CreateAccounts(events) => self.packed_accounts(events, answer)?,
            Command::CreateTransfers { events, balances } => self.packed_transfers(events, *balances, answer)?,
            Command::CreatePayment(new) => self.create_payment(new, answer)?,
            Command::ChangePayment { payment, verb } => self.change_payment(*payment, *verb, answer)?,
            Command::RecordLabel { payment, label } => self.record_label(*payment, label, answer)?,
            Command::StoreArtifact(chunk) => {
                let known = self.model.chunks.get(&chunk.artifact);
                let made = known.is_none_or(|parts| !parts.contains_key(&chunk.index));
                says(answer, if made { "now" } else { "before" })?;
                if made {
                    self.expect(request.id, &Fact::ArtifactStored(chunk.clone()))?;
                }
            }
            Command::ActivatePolicy { artifact, .. } => self.activate(*artifact, answer)?,
            Command::Identity(command) => {
                let expected = self.model.identities.outcome(command);
                says(answer, expected)?;
                if expected == "now" {
                    self.expect(request.id, &Fact::Identity(identities::fact(command)))?;
                }
            }
            Command::Import(command) => self.import(command, answer)?,
            Command::Query(query) => return self.query(query, answer),
        }
        let at = self.next_at();
        match answer {
            Ok(reply) => self.model.shows(at, reply),
            Err(_) => Ok(()),
        }
    }
}

/// The answer is made now, was made before, or is refused with this code.
pub(crate) fn says(answer: &Answer, expected: &str) -> Result<(), String> {
    let told = outcome(answer);
    ensure(told == expected, "SIM-3", || format!("the answer is {told}, and should be {expected}"))
}

/// What an answer says in one word.
pub(crate) fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Ok(reply) => made(reply).map_or("shown", word),
        Err(refusal) => code(refusal),
    }
}

/// The word for something made.
pub(crate) const fn word(made: Made) -> &'static str {
    match made {
        Made::Now => "now",
        Made::Before => "before",
    }
}

/// The stable code of a refusal.
pub(crate) fn code(refusal: &Refusal) -> &'static str {
    api::Problem::from(refusal).code().as_str()
}

fn made(reply: &Reply) -> Option<Made> {
    match reply {
        Reply::Ledger(made, _)
        | Reply::Account(made, _)
        | Reply::Transfer(made, _)
        | Reply::Payment(made, _)
        | Reply::Label(made, _)
        | Reply::Artifact(made)
        | Reply::Policy(made, _)
        | Reply::Import(made, _)
        | Reply::Identity(made)
        | Reply::Scheduled(made, _)
        | Reply::Cancelled(made, ..)
        | Reply::Indexes(made, ..) => Some(*made),
        Reply::Ledgers(_)
        | Reply::Accounts(_)
        | Reply::AccountsPage { .. }
        | Reply::ScheduledPage { .. }
        | Reply::AddressSums(..)
        | Reply::Batch(_)
        | Reply::Transfers(_)
        | Reply::AccountResults(_)
        | Reply::TransferResults { .. }
        | Reply::TransferIds(..)
        | Reply::Pending(..)
        | Reply::PendingStates(_)
        | Reply::AccountsOpened(..)
        | Reply::Payments { .. }
        | Reply::Imports(_)
        | Reply::TrialBalance(..) => None,
    }
}

impl Model {
    /// Judges what is answered while nothing may be written: what leaves no entry as ever, everything else is refused
    /// with the reason why.
    pub(crate) fn judge_closed(&mut self, now: Timestamp, steps: &[Step<'_>], why: &'static str) -> Result<(), String> {
        for step in steps {
            if outcome(step.answer) == why {
                let read = matches!(step.request.command, Command::Query(_) | Command::DryRun(_));
                ensure(!read, "SIM-3", || format!("reads go on, and {:?} is refused", step.request))?;
                continue;
            }
            self.judge_one(now, step)
                .map_err(|what| format!("{what}\n  asked {:?}\n  answered {:?}", step.request, step.answer))?;
        }
        Ok(())
    }

    /// Judges one request that leaves no entry.
    pub(crate) fn judge_one(&mut self, now: Timestamp, step: &Step<'_>) -> Result<(), String> {
        Turn { model: self, now, entries: &[], request: step.request }.command(step)
    }
}
