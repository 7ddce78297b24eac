//! The scrub: a thread that rereads every sealed segment and the whole index within a period, so that damage is found while
//! an intact copy still exists, and not when the data is needed.
//!
//! It runs at low priority and at a bounded rate. The segment that was checked longest ago is next, and checks are spread
//! over half the period, so that all of them finish within it with time to spare. A file records when each segment was
//! checked, so that a restart does not begin again. The next start checks segments in which damage was found before it
//! serves.

use std::time::Duration;

use disk::Directory;
use journal::{Fault, FileReader, ScrubLog};
use types::{Span, Timestamp};

use crate::clock::{Stopwatch, duration};
use crate::core::Core;
use crate::guard::Guard;
use crate::threads::CommitError;
use crate::watch::StopSign;

/// Most bytes that are read from the disk in a second, 32 MiB.
const BYTES_PER_SECOND_MAX: u32 = 32 << 20;
/// The thread's nice value: about a tenth of the processor time of another thread when all processors are busy.
const NICE: i32 = 10;
/// Longest sleep before it looks for more work.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How soon damage that a reader found is written to the scrub's file.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The scrub of a journal.
#[derive(Debug)]
pub(crate) struct Scrub {
    directory: Directory,
    reader: FileReader<Directory>,
    log: ScrubLog,
    period: Span,
    /// Whether a failure to write the scrub's file was logged already.
    is_unsaved: bool,
    /// When the last check of the index's tables began.
    index_since: Option<Timestamp>,
}

impl Scrub {
    /// Reads the file of an earlier process, and checks the segments in which that process found damage.
    pub(crate) fn start(
        directory: Directory,
        reader: FileReader<Directory>,
        origin: types::Origin,
        period: Span,
        guard: &Guard,
    ) -> Self {
        let log = ScrubLog::load(&directory, origin).unwrap_or_else(|error| {
            tracing::warn!(
                %error,
                "cannot read the scrub file; every segment counts as checked now, and damage found earlier is forgotten"
            );
            ScrubLog::new(origin)
        });
        let mut scrub = Self { directory, reader, log, period, is_unsaved: false, index_since: None };
        for number in scrub.log.suspects().clone() {
            tracing::info!(segment = number, "checking a segment in which damage was found earlier");
            match scrub.check(number, None) {
                Ok(_) => scrub.log.note_checked(number, guard.observe().0),
                Err(fault) => guard.note_fault(&fault),
            }
        }
        scrub
    }

    /// Checks segments until the thread is told to end.
    pub(crate) fn run(mut self, core: &Core, stop: &StopSign) {
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "the scrub runs at the usual priority");
        }
        let (guard, metrics) = (&core.shared().guard, &core.shared().metrics);
        loop {
            let stopwatch = Stopwatch::start();
            let sealed = self.reader.sealed_segments();
            let (now, _) = guard.observe();
            self.log.note_sealed(&sealed, now);
            self.take_suspects(guard);
            let half = Span::from_ns(self.period.ns() / 2);
            let next = self.log.next();
            let age = next.map_or(Span::ZERO, |(_, since)| now.since(since));
            metrics.scrub_oldest.set(duration(age).as_secs_f64());
            let mut pause = PAUSE_MAX;
            if let Some((number, _)) = next.filter(|_| age >= half) {
                match self.check(number, Some((guard, stop))) {
                    Ok(Some(bytes)) => {
                        metrics.scrub_bytes.inc_by(bytes);
                        metrics.scrub_segments.inc();
                        self.log.note_checked(number, guard.observe().0);
                    }
                    Ok(None) => {}
                    Err(fault) => {
                        guard.note_fault(&fault);
                        if fault.is_damage() {
                            self.log.suspect(number);
                        } else {
                            tracing::warn!(segment = number, error = %fault, "cannot check a segment; it is tried again");
                        }
                    }
                }
                self.save();
                let spacing = duration(half).checked_div(u32::try_from(sealed.len()).unwrap_or(u32::MAX));
                pause = spacing.unwrap_or_default().saturating_sub(stopwatch.elapsed());
            }
            metrics.scrub_damaged.set(i64::try_from(self.log.suspects().len()).unwrap_or(i64::MAX));
            // Segments come first, because the index can be rebuilt.
            let due = if age >= half { self.period } else { half };
            if self.index_since.is_none_or(|since| now.since(since) >= due) {
                self.index_since = Some(now);
                self.check_index(core, stop);
            }
            if self.wait(pause, guard, stop) {
                self.save();
                return;
            }
        }
    }

    /// Writes down newly found damaged segments.
    fn take_suspects(&mut self, guard: &Guard) {
        let met = guard.suspects();
        if !met.is_subset(self.log.suspects()) {
            met.into_iter().for_each(|number| self.log.suspect(number));
            self.save();
        }
    }

    /// Waits. Returns true if the thread must end.
    fn wait(&mut self, mut pause: Duration, guard: &Guard, stop: &StopSign) -> bool {
        loop {
            let step = pause.min(LOOK_EVERY);
            let is_stopping = stop.wait(step);
            self.take_suspects(guard);
            pause = pause.saturating_sub(step);
            if is_stopping || pause.is_zero() {
                return is_stopping;
            }
        }
    }

    /// Checks a whole segment and returns how many bytes it read, or `None` if it was told to end meanwhile. While the server
    /// runs, the rate is bounded.
    fn check(&mut self, number: u64, beside: Option<(&Guard, &StopSign)>) -> Result<Option<u64>, Fault> {
        let mut check = self.reader.check_segment(number)?;
        let mut bytes = 0;
        loop {
            let step = check.step()?;
            if step == 0 {
                return Ok(Some(bytes));
            }
            bytes += step;
            if let Some((guard, stop)) = beside {
                self.take_suspects(guard);
                if stop.wait(pause_for(step)) {
                    return Ok(None);
                }
            }
        }
    }

    /// Rereads all tables of the index. The next time the directory is opened, damaged tables are rebuilt.
    fn check_index(&mut self, core: &Core, stop: &StopSign) {
        let mut check = core.shared().index.check_tables();
        loop {
            match check.step() {
                Ok(0) => return,
                Ok(bytes) => {
                    core.shared().metrics.scrub_index_bytes.inc_by(bytes);
                    self.take_suspects(&core.shared().guard);
                    if stop.wait(pause_for(bytes)) {
                        return;
                    }
                }
                Err(fault) => {
                    match fault.as_damage() {
                        Some(damage) => core.give_up(CommitError::Index(damage)),
                        None => tracing::warn!(error = %fault, "cannot check the index; it is tried again"),
                    }
                    return;
                }
            }
        }
    }

    fn save(&mut self) {
        let saved = self.log.save(&self.directory);
        if let (Err(error), false) = (&saved, self.is_unsaved) {
            tracing::warn!(%error, "cannot save the scrub file");
        }
        self.is_unsaved = saved.is_err();
    }
}

/// How long to wait after reading this many bytes, to keep to the maximum rate.
fn pause_for(bytes: u64) -> Duration {
    Duration::from_secs(bytes).checked_div(BYTES_PER_SECOND_MAX).unwrap_or_default()
}
