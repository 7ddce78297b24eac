//! Lookups, on the engine thread, of transfers that the ledger no longer keeps.

use std::cell::RefCell;
use std::sync::Arc;

use engine::{PastPayment, PastPayments};
use journal::Position;
use ledger::{Past, PastTransfer, TransferStatus};
use types::{PaymentId, Timestamp, TransferId};

use crate::event::{CREATED, CREATED_PENDING, import_of, state_of};
use crate::fault::Fault;
use crate::filter::Probe;
use crate::log::Log;
use crate::payments;
use crate::run::Run;
use crate::view::{Listed, Shared};

/// Looks into the finished runs. The ledger still keeps everything newer.
#[derive(Debug)]
pub(crate) struct PastIndex {
    shared: Arc<Shared>,
    log: Arc<dyn Log>,
    /// The list of runs at the last lookup. A lookup takes the lock only if the list has changed since.
    seen: RefCell<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    version: u64,
    runs: Arc<Vec<Listed>>,
    /// The lowest and the highest id of all runs. New ids that rise with time are outside this range.
    range: Option<(u128, u128)>,
    /// The transfer times of the generation that was searched last.
    timestamps: Option<(u32, Vec<u64>)>,
}

impl PastIndex {
    pub(crate) fn new(shared: Arc<Shared>, log: Arc<dyn Log>) -> Self {
        Self { shared, log, seen: RefCell::default() }
    }

    fn refresh(&self, seen: &mut Seen) {
        let version = self.shared.version();
        if version != seen.version {
            // The list may already be newer than `version`. It is then fetched once more than necessary.
            seen.version = version;
            seen.runs = self.shared.view().runs;
            let ranges = seen.runs.iter().filter_map(|listed| listed.run.ids.range());
            seen.range = ranges.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
        }
    }

    /// Whether a transfer in the runs has exactly this timestamp. Timestamps rise along the log, and an import
    /// asks for rising timestamps, so this reads few generations and each of them once.
    fn look_for(&self, seen: &mut Seen, at: u64) -> Result<bool, Fault> {
        for listed in seen.runs.iter().rev() {
            for (number, row) in (listed.run.first()..).zip(&listed.run.generations) {
                let extent = row.extent();
                if at < extent.earliest || extent.latest < at {
                    continue;
                }
                if seen.timestamps.as_ref().is_none_or(|(of, _)| *of != number) {
                    let mut timestamps = Vec::new();
                    let span = (Position::from_number(extent.first), Position::from_number(extent.last));
                    self.log.timestamps(span.0, span.1, &mut |at| timestamps.push(at.ns()))?;
                    timestamps.sort_unstable();
                    seen.timestamps = Some((number, timestamps));
                }
                if seen.timestamps.as_ref().is_some_and(|(_, timestamps)| timestamps.binary_search(&at).is_ok()) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn look_up(&self, runs: &[Listed], id: TransferId) -> Result<Option<PastTransfer>, Fault> {
        let probe = Probe::of(id.get());
        for (number, listed) in runs.iter().enumerate().rev() {
            let ids = &listed.run.ids;
            let row = if ids.may_hold(id.get(), &probe) { ids.read(id.get())? } else { None };
            let Some(row) = row else { continue };
            if let Some(import) = import_of(row.tag()) {
                let transfer = self.log.transfer_at(Position::from_number(row.number()), id)?;
                return Ok(Some(PastTransfer::Staged { import, transfer }));
            }
            if !matches!(row.tag(), CREATED | CREATED_PENDING) {
                let status = TransferStatus::from_number(row.tag()).ok_or_else(|| unknown_status(&listed.run))?;
                return Ok(Some(PastTransfer::Failed(status)));
            }
            let transfer = self.log.transfer_at(Position::from_number(row.number()), id)?;
            let mut state = None;
            if row.tag() == CREATED_PENDING {
                state = Some(ledger::PendingState::Pending);
                for later in &runs[number..] {
                    if let Some(resolution) = later.run.resolutions.find(id.get())? {
                        state = Some(state_of(resolution.tag()));
                    }
                }
            }
            return Ok(Some(PastTransfer::Created { transfer, state }));
        }
        Ok(None)
    }
}

impl PastIndex {
    fn read_payment(&self, runs: &[Listed], id: PaymentId) -> Result<Option<PastPayment>, Fault> {
        let Some(found) = payments::find(runs.iter().map(|listed| &listed.run.payments), id)? else { return Ok(None) };
        payments::read(&*self.log, &found).map(Some)
    }
}

fn unknown_status(run: &Run) -> Fault {
    run.ids.table().file().damaged(0, "an id failed with a status that this release does not know")
}

/// The payload of an unwind: a lookup in the middle of a decision could not read the index or the log. The decision
/// cannot continue without an answer, and the ledger's rules should not have to handle disk errors. So the lookup
/// unwinds out of the plan, which has changed nothing, to the caller that drives the engine.
#[derive(Debug)]
pub struct Unread(pub Fault);

fn unread(fault: Fault) -> ! {
    // This is not a bug, so it unwinds without the panic hook, which would print a message.
    std::panic::resume_unwind(Box::new(Unread(fault)))
}

impl Past for PastIndex {
    /// # Panics
    /// Unwinds with [`Unread`] if the index or the log cannot be read: the engine must not decide without an answer.
    fn find(&self, id: TransferId) -> Option<PastTransfer> {
        let mut seen = self.seen.borrow_mut();
        self.refresh(&mut seen);
        if seen.range.is_none_or(|(first, last)| id.get() < first || last < id.get()) {
            return None;
        }
        match self.look_up(&seen.runs, id) {
            Ok(found) => found,
            Err(fault) => unread(fault),
        }
    }

    /// # Panics
    /// As [`PastIndex::find`].
    fn has_timestamp(&self, at: Timestamp) -> bool {
        let mut seen = self.seen.borrow_mut();
        self.refresh(&mut seen);
        match self.look_for(&mut seen, at.ns()) {
            Ok(found) => found,
            Err(fault) => unread(fault),
        }
    }
}

impl PastPayments for PastIndex {
    /// # Panics
    /// As [`PastIndex::find`].
    fn find(&self, id: PaymentId) -> Option<PastPayment> {
        let mut seen = self.seen.borrow_mut();
        self.refresh(&mut seen);
        match self.read_payment(&seen.runs, id) {
            Ok(found) => found,
            Err(fault) => unread(fault),
        }
    }
}
