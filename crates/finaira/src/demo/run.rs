//! Plays the month against the server with several clients at once; each takes the next step, and waits until the steps that it
//! depends on are done.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use indicatif::ProgressBar;
use serde_json::json;
use types::Timestamp;

use super::client::{Answer, Client, Credential, Status};
use super::simulator::{Action, Month, Step};
use super::staff::Staff;

/// The number of concurrent clients.
const CLIENTS: usize = 8;
/// The number of concurrent clients in the burst.
const BURST_CLIENTS: usize = 20;
/// How often a client that waits for another one checks whether the demo was stopped.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// What happened to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was not tried, because an earlier payment that it depends on had failed.
    GivenUp,
    /// The server decided it.
    Decided {
        /// The status in the first response.
        first: Status,
        /// The current status.
        now: Status,
        /// The latency of the first response.
        latency: Duration,
        /// The number of reasons in the first response.
        reasons: usize,
    },
}

impl Fate {
    pub(super) const fn now(self) -> Option<Status> {
        match self {
            Self::GivenUp => None,
            Self::Decided { now, .. } => Some(now),
        }
    }

    pub(super) const fn latency(self) -> Option<Duration> {
        match self {
            Self::GivenUp => None,
            Self::Decided { latency, .. } => Some(latency),
        }
    }
}

/// The results of the retries.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Retries {
    pub(super) sent: usize,
    /// How many got exactly the same response as before.
    pub(super) same: usize,
}

/// A month that is being played.
pub(super) struct Run<'a> {
    month: &'a Month,
    start: Timestamp,
    base: &'a str,
    staff: &'a Staff,
    stopped: &'a AtomicBool,
    progress: ProgressBar,
    board: Mutex<Board>,
    changed: Condvar,
    failed: AtomicBool,
}

#[derive(Debug, Default)]
struct Board {
    fates: Vec<Option<Fate>>,
    /// The positions of the steps of the current phase that are done.
    done: Vec<bool>,
    retries: Retries,
    approved: usize,
    reviewed: usize,
    declined: usize,
    refused: usize,
}

/// The demo was stopped before its end.
#[derive(Debug)]
struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the demo was stopped before its end")
    }
}

impl std::error::Error for Interrupted {}

impl<'a> Run<'a> {
    pub(super) fn new(
        month: &'a Month,
        start: Timestamp,
        (base, staff): (&'a str, &'a Staff),
        stopped: &'a AtomicBool,
        progress: ProgressBar,
    ) -> Self {
        let board = Board { fates: vec![None; month.payments.len()], ..Board::default() };
        let (board, changed, failed) = (Mutex::new(board), Condvar::new(), AtomicBool::new(false));
        Self { month, start, base, staff, stopped, progress, board, changed, failed }
    }

    /// Plays everything: first the funding of the wallets, then the month, then the burst.
    pub(super) fn play(&self) -> anyhow::Result<()> {
        self.phase(&self.month.funding, CLIENTS)?;
        self.phase(&self.month.steps, CLIENTS)?;
        self.phase(&self.month.burst, BURST_CLIENTS)
    }

    /// What happened to each payment, in order, and the results of the retries.
    pub(super) fn results(self) -> (Vec<Fate>, Retries) {
        let board = self.board.into_inner().unwrap_or_else(PoisonError::into_inner);
        (board.fates.into_iter().map(|fate| fate.unwrap_or(Fate::GivenUp)).collect(), board.retries)
    }

    /// Executes the steps in order, several at a time, until all are done.
    fn phase(&self, steps: &[Step], clients: usize) -> anyhow::Result<()> {
        self.lock().done = vec![false; steps.len()];
        let next = AtomicUsize::new(0);
        let work = || {
            let (shop, review_desk) = (self.shop(), Client::new(self.base, Credential::Login(&self.staff.review_desk)));
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(step) = steps.get(number) else { return Ok(()) };
                self.wait_until(|board| step.after.iter().all(|after| board.done[*after]).then_some(()))?;
                self.take((&shop, &review_desk), step)?;
                self.lock().done[number] = true;
                self.changed.notify_all();
            }
        };
        let fail_all = |result: anyhow::Result<()>| {
            if result.is_err() {
                self.failed.store(true, Ordering::Relaxed);
                self.changed.notify_all();
            }
            result
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..clients).map(|_| scope.spawn(|| fail_all(work()))).collect();
            let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            let mut first = Ok(());
            for result in results {
                match result {
                    // Report the error that stopped the others rather than the fact that they stopped.
                    Ok(Err(error)) if first.is_ok() || !error.is::<Interrupted>() => first = Err(error),
                    Ok(_) => {}
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            first
        })
    }

    fn check_stopped(&self) -> Result<(), Interrupted> {
        let stopped = self.stopped.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed);
        if stopped { Err(Interrupted) } else { Ok(()) }
    }

    /// A client of the shop, with a connection of its own.
    fn shop(&self) -> Client<'_> {
        Client::new(self.base, Credential::Login(&self.staff.shop))
    }

    fn take(&self, (shop, review_desk): (&Client<'_>, &Client<'_>), step: &Step) -> anyhow::Result<()> {
        if step.action == Action::Send {
            return self.send(shop, step.payment);
        }
        let Fate::Decided { first, now, .. } = self.wait_for(step.payment)? else { return Ok(()) };
        let payment = &self.month.payments[step.payment];
        let id = payment.id.to_string();
        let decided = match (step.action, now) {
            (Action::Review, Status::InReview) => {
                let looks_bad = payment.fraud.is_some() == payment.reviewer_right;
                Some((review_desk, if looks_bad { "decline" } else { "approve" }))
            }
            (Action::Capture | Action::Void, Status::Held) | (Action::Refund, Status::Posted) => {
                step.action.verb().map(|verb| (shop, verb))
            }
            // Nobody reports a payment that did not happen. A reviewer reports the payments that they declined, so the
            // first status counts here and not the current one.
            (Action::Label, _) if !matches!(first, Status::Declined | Status::Refused) => {
                review_desk.label(&id)?;
                None
            }
            _ => None,
        };
        if let Some((client, verb)) = decided {
            let status = client.change(&id, verb)?;
            if let Some(Fate::Decided { now, .. }) = &mut self.lock().fates[step.payment] {
                *now = status;
            }
        }
        Ok(())
    }

    fn send(&self, client: &Client<'_>, number: usize) -> anyhow::Result<()> {
        let payment = &self.month.payments[number];
        if let Some(after) = payment.after {
            let before = self.wait_for(after.payment)?;
            let succeeded = matches!(before.now(), Some(Status::Posted | Status::Held));
            if after.succeeded && !succeeded {
                self.decide(number, Fate::GivenUp);
                return Ok(());
            }
        }
        let request = payment.request(self.start);
        let answer = client.pay(&request)?;
        if payment.resent {
            let again = client.pay(&request)?;
            let mut board = self.lock();
            board.retries.sent += 1;
            board.retries.same += usize::from(again.replayed && again.body == answer.body);
        }
        if matches!(answer.status, Status::Voided | Status::Refunded) {
            bail!("the response to payment {} has the status {:?}, which is not a decision", payment.id, answer.status);
        }
        let Answer { status, latency, body, .. } = answer;
        let reasons = body["reasons"].as_array().map_or(0, Vec::len);
        self.decide(number, Fate::Decided { first: status, now: status, latency, reasons });
        Ok(())
    }

    /// Sends a decided payment again with another amount, and returns the error code.
    pub(super) fn change_the_past(&self) -> anyhow::Result<String> {
        let payment = &self.month.payments[0];
        let mut request = payment.request(self.start);
        request["amount"] = json!((payment.cents + 1).to_string());
        self.shop().pay_refused(&request)
    }

    fn decide(&self, number: usize, fate: Fate) {
        let mut board = self.lock();
        board.fates[number] = Some(fate);
        match fate.now() {
            Some(Status::InReview) => board.reviewed += 1,
            Some(Status::Declined) => board.declined += 1,
            Some(Status::Refused) => board.refused += 1,
            Some(_) => board.approved += 1,
            None => {}
        }
        let Board { approved, reviewed, declined, refused, .. } = *board;
        drop(board);
        self.changed.notify_all();
        let counts = format!("approved {approved}, review {reviewed}, declined {declined}, no funds {refused}");
        self.progress.set_message(counts);
        self.progress.inc(1);
    }

    /// Waits until a payment that another client has taken has a response.
    fn wait_for(&self, number: usize) -> Result<Fate, Interrupted> {
        self.wait_until(|board| board.fates[number])
    }

    /// Waits until the board has what is looked for. No step waits for a later one, so this ends.
    fn wait_until<T>(&self, look: impl Fn(&Board) -> Option<T>) -> Result<T, Interrupted> {
        let mut board = self.lock();
        loop {
            self.check_stopped()?;
            if let Some(found) = look(&board) {
                return Ok(found);
            }
            (board, _) = self.changed.wait_timeout(board, STOP_CHECK).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
