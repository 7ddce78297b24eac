//! Decides the payments of a journal again with another policy, and compares the decisions with those that were made.
//!
//! ```text
//! journal::Reader ──entries──► Survey: labels, assets, what earlier policies recorded
//!                 ──entries──► engine::Again: windows and lists as they were; the other policy's decision
//!                                       └──► Report: what differs, with the payments behind each number
//! ```
//!
//! The journal is read twice, because a label counts for a payment that was decided long before it. Both passes only read, so a server
//! may write to the journal meanwhile; what it adds after the start of the backtest is not part of it. In memory are what the windows
//! of the policy hold, the labels, and the report, which is bounded.
//!
//! History stays what it was. A payment that the other policy would have declined still counts in later windows if it was made, no
//! balance changes, and nobody reacts to a decision that was never made.
#![deny(clippy::float_arithmetic, clippy::indexing_slicing)]

mod report;
mod survey;

use std::sync::Arc;

use engine::{Again, Fact, ListRefusal, Unreadable};
use journal::{Fault, Reader};
use policy::Policy;
use types::{Name, Seq, Timestamp};

pub use report::{
    Caught, Change, Day, Fired, PAYMENTS_KEPT_MAX, PaymentChange, Report, SEGMENT_VALUES_MAX, Segment, Sum, Transition,
    Verdicts,
};
pub use survey::LABELS_MAX;

use crate::report::Decision;
use crate::survey::Survey;

/// Most records in windows, and payments that may still change them, that a backtest keeps in memory: at 100 bytes each, about 6 GiB.
const RECORDS_MAX: u64 = 1 << 26;
/// Every how many entries that is checked.
const RECORDS_CHECKED_EVERY: u64 = 1024;

/// How many entries are taken between two questions whether to go on.
const STEP_ENTRIES: usize = 64;

/// What a backtest shall find out.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The policy to decide with.
    pub policy: Arc<Policy>,
    /// Only payments decided at or after this instant are compared. Earlier ones still count in windows.
    pub from: Option<Timestamp>,
    /// Only payments decided before this instant are compared.
    pub until: Option<Timestamp>,
    /// An attribute by whose values the payments are counted.
    pub segment: Option<Name>,
}

impl Wanted {
    fn includes(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && !self.is_over(at)
    }

    fn is_over(&self, at: Timestamp) -> bool {
        self.until.is_some_and(|until| at >= until)
    }
}

/// How far a backtest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// How many entries were read. Each is read twice.
    pub read: u64,
    /// How many entries are to be read.
    pub total: u64,
    /// How many payments were compared.
    pub payments: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The policy reads what no journal has in the clear.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The policy reads what an earlier policy did not record.
    #[error(
        "payment type `{payment_type}`: the policy reads `payment.{attribute}`, which {why} the policy `{policy}` that entry {activated} activated, so the journal does not have it for the payments that this policy decided, of which the last was at {last}; compare only later payments, with `from`"
    )]
    Unrecorded {
        payment_type: Name,
        attribute: Name,
        why: &'static str,
        policy: Name,
        activated: Seq,
        /// The last payment that was decided without it.
        last: Timestamp,
    },
    /// A list holds other values than the policy declares.
    #[error(transparent)]
    List(#[from] ListRefusal),
    #[error(
        "the journal has more than {LABELS_MAX} labelled payments, also outside the time that is compared, which a backtest keeps in memory"
    )]
    TooManyLabels,
    #[error(
        "the windows of the policy hold more than {RECORDS_MAX} records and payments at the same time; use shorter windows, or fewer streams"
    )]
    TooManyRecords,
    #[error(transparent)]
    Journal(#[from] Fault),
    /// It was told to end.
    #[error("the backtest was cancelled")]
    Cancelled,
}

/// Runs a backtest over all entries that are durable now. It calls `go_on` often, and ends if that returns false.
///
/// # Errors
/// See [`Failure`].
pub fn run<R: Reader>(reader: &R, wanted: &Wanted, go_on: &mut dyn FnMut(Progress) -> bool) -> Result<Report, Failure> {
    let mut again = Again::new(Arc::clone(&wanted.policy))?;
    let last = reader.durable();
    let mut progress = Progress { total: last.get().saturating_mul(2), ..Progress::default() };
    let mut survey = Survey::default();
    read(reader, last, &mut progress, go_on, |entry, _| {
        survey.take(entry, wanted, &again)?;
        Ok(true)
    })?;
    survey.check()?;
    let mut report = Report::new(wanted, last, survey.assets());
    // A window of a compared payment contains no records of payments that were decided before this instant.
    let reached = wanted.from.map(|from| from.checked_sub(again.reach()).unwrap_or_default());
    read(reader, last, &mut progress, go_on, |entry, progress| {
        if entry.header.seq.get().is_multiple_of(RECORDS_CHECKED_EVERY) && again.held() > RECORDS_MAX {
            return Err(Failure::TooManyRecords);
        }
        let at = entry.header.decided_at;
        if wanted.is_over(at) {
            return Ok(false);
        }
        report.note_time(at);
        let Fact::PaymentDecided(decided) = &entry.fact else {
            again.take(entry, false)?;
            return Ok(true);
        };
        // A payment that is open may be incremented later, which moves its records.
        if reached.is_some_and(|reached| at < reached) && !decided.status.is_open() {
            return Ok(true);
        }
        let is_compared = wanted.includes(at);
        if let Some(found) = again.take(entry, is_compared)? {
            let label = survey.label(decided.payment);
            report.add(&Decision { header: &entry.header, decided, label }, found);
            progress.payments = progress.payments.saturating_add(1);
        } else if survey.lacks_attributes(decided) {
            report.note_gap();
        }
        Ok(true)
    })?;
    report.finish(again.records_dropped());
    Ok(report)
}

/// Reads entries 1 to `last` in order, until `take` returns false.
fn read<R: Reader>(
    reader: &R,
    last: Seq,
    progress: &mut Progress,
    go_on: &mut dyn FnMut(Progress) -> bool,
    mut take: impl FnMut(&engine::Entry, &mut Progress) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let done = progress.read;
    let mut next = Seq::new(1);
    while next <= last {
        if !go_on(*progress) {
            return Err(Failure::Cancelled);
        }
        let entries = reader.read(next)?;
        let Some(newest) = entries.last().map(|entry| entry.header.seq) else { break };
        for step in entries.chunks(STEP_ENTRIES) {
            for entry in step.iter().filter(|entry| entry.header.seq <= last) {
                if !take(entry, progress)? {
                    progress.read = done.saturating_add(last.get());
                    return Ok(());
                }
                progress.read = done.saturating_add(entry.header.seq.get());
            }
            if !go_on(*progress) {
                return Err(Failure::Cancelled);
            }
        }
        next = newest.next();
    }
    Ok(())
}
