//! The work of a backup: request, check, write and sync, until there is no more to copy or a signal stops it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use api::segments::BYTES_MAX;
use disk::Directory;
use indicatif::HumanCount;
use journal::{CopyFault, FileCopy};
use server::Clock;
use types::{Seq, ShardId};

use super::client::{Client, Original};
use super::failure::Failure;
use super::watch::{Lag, Watch};

/// How long the server is asked to wait for more entries. A stop is noticed within this time.
const WAIT: Duration = Duration::from_secs(1);
/// The shortest time between requests when the copy is up to date, because each one costs a sync here and work there.
const PACE: Duration = Duration::from_millis(20);
/// The first pause before an unreachable server is asked again. Each further pause is twice as long, up to the maximum.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A backup that does not follow gives up after this many failures in a row, about 6 s.
const FAILURES_MAX: u32 = 7;

/// Asks the work to stop.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    pub(crate) fn set(&self, worker: &Thread) {
        self.0.store(true, Ordering::Release);
        worker.unpark();
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Returns after this time, or earlier if the work is stopped.
    fn pause(&self, time: Duration) {
        if !self.is_set() {
            std::thread::park_timeout(time);
        }
    }
}

/// How the work ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The copy has everything that was durable when the work began.
    Whole { last: Seq, entries: u64, took: Duration },
    /// A signal stopped the work after this synced entry.
    Stopped(Seq),
    /// The server did not respond in time for a clean stop.
    CutOff,
}

impl Ended {
    pub(crate) fn text(&self, to: &Path, follow: bool) -> String {
        let to = to.display();
        match self {
            Self::Whole { last, entries, took } => {
                let (last, entries) = (HumanCount(last.get()), HumanCount(*entries));
                format!(
                    "{to} has everything up to sequence {last}; {entries} entries copied in {:.1} s",
                    took.as_secs_f64()
                )
            }
            Self::Stopped(last) if follow => {
                format!("stopped; {to} has everything up to sequence {}", HumanCount(last.get()))
            }
            Self::Stopped(last) => format!("{to} has everything up to sequence {} so far", HumanCount(last.get())),
            Self::CutOff => format!("stopped without waiting for the server; the next backup continues {to}"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Work<W> {
    client: Client,
    directory: Directory,
    follow: bool,
    stop: Arc<Stop>,
    watch: W,
    copy: Option<FileCopy<Directory>>,
    /// The last entry of the server and of the copy when the work began.
    target: Option<Seq>,
    begun_at: Seq,
    /// Where damaged bytes arrived. If it happens again at the same place, it is not a transmission error.
    spoilt_at: Option<(u64, u64)>,
    failures: u32,
}

impl<W: Watch> Work<W> {
    pub(crate) fn new(client: Client, directory: Directory, watch: W, follow: bool, stop: Arc<Stop>) -> Self {
        let (target, spoilt_at) = (None, None);
        Self {
            client,
            directory,
            follow,
            stop,
            watch,
            copy: None,
            target,
            begun_at: Seq::ZERO,
            spoilt_at,
            failures: 0,
        }
    }

    pub(crate) fn run(mut self) -> Result<Ended, Failure> {
        // Open an interrupted copy first, because it may be all that is left: opening makes it one on which a server
        // can start.
        if let Some(shard) = FileCopy::shard_before_opening(&self.directory).map_err(CopyFault::from)? {
            self.copy = Some(self.open_copy(shard)?);
        }
        let ended = loop {
            match self.connected() {
                Ok(ended) => break Ok(ended),
                Err(failure) if failure.is_final() => break Err(failure),
                Err(failure) => {
                    self.failures += 1;
                    if !self.follow && self.failures >= FAILURES_MAX {
                        let (to, last) = (self.directory.path().display(), HumanCount(self.last().get()));
                        let held = format!("{failure}; {to} has everything up to sequence {last}");
                        break Err(Failure::Unreachable(held));
                    }
                    let doublings = (self.failures - 1).min(16);
                    let pause = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX);
                    let age = match self.last() {
                        Seq::ZERO => "nothing has been copied".to_owned(),
                        _ => format!("the copy is {} old", self.watch.age()),
                    };
                    self.watch.note(&format!("{failure}; trying again in {:.1} s; {age}", pause.as_secs_f64()));
                    self.stop.pause(pause);
                }
            }
            if self.stop.is_set() {
                break Ok(Ended::Stopped(self.last()));
            }
        };
        let took = self.watch.finish();
        ended.map(|ended| match ended {
            Ended::Whole { last, entries, .. } => Ended::Whole { last, entries, took },
            other @ (Ended::Stopped(_) | Ended::CutOff) => other,
        })
    }

    fn last(&self) -> Seq {
        self.copy.as_ref().map_or(Seq::ZERO, FileCopy::last)
    }

    fn open_copy(&mut self, shard: ShardId) -> Result<FileCopy<Directory>, Failure> {
        let copy = FileCopy::open(self.directory.clone(), shard).map_err(CopyFault::from)?;
        self.begun_at = copy.last();
        self.watch.opened(&copy)?;
        self.watch.complete_until(copy.last_time());
        Ok(copy)
    }

    /// Works with a server that may have been unreachable, or may be another one.
    fn connected(&mut self) -> Result<Ended, Failure> {
        let first = self.client.original(1)?;
        let mut copy = match self.copy.take() {
            Some(copy) => copy,
            None => self.open_copy(ShardId::new(first.shard))?,
        };
        copy.forget_partial();
        let place = copy.wanted();
        let worked = self.same_history(&copy, &first).and_then(|()| self.copy_all(&mut copy));
        match worked {
            Err(Trouble::Damaged(fault)) => {
                // Opening the copy again discards the damaged piece.
                drop(copy);
                let copy =
                    FileCopy::open(self.directory.clone(), ShardId::new(first.shard)).map_err(CopyFault::from)?;
                self.watch.opened(&copy)?;
                let again = self.spoilt_at.replace(copy.wanted()) == Some(copy.wanted());
                self.copy = Some(copy);
                Err(if again { fault.into() } else { Failure::Unreachable(fault.to_string()) })
            }
            Err(Trouble::Failed(failure)) => {
                if copy.wanted() != place {
                    self.spoilt_at = None;
                }
                self.copy = Some(copy);
                Err(failure)
            }
            Ok(ended) => {
                self.copy = Some(copy);
                Ok(ended)
            }
        }
    }

    /// Rejects a server whose journal does not contain what the copy contains.
    fn same_history(&self, copy: &FileCopy<Directory>, first: &Original) -> Result<(), Trouble> {
        self.not_behind(copy, first)?;
        for held in copy.held().map_err(CopyFault::from)? {
            let there = self.client.bytes(held.segment, held.offset, held.bytes.len())?;
            if there != held.bytes {
                let segment = self.client.original(held.segment)?;
                let here = copy.identity().map(|identity| identity.origin.to_string()).unwrap_or_default();
                let origin = segment.items.first().map_or("none", |segment| segment.origin.as_str());
                let what = if origin == here {
                    format!("they differ from byte {} of segment {} or earlier", held.offset, held.segment)
                } else {
                    format!("segment {} has origin {here} in the copy and {origin} on the server", held.segment)
                };
                return Err(self.differs(&what).into());
            }
        }
        Ok(())
    }

    /// Rejects a server that has less than the copy, because it lost entries or was restored from an older copy.
    fn not_behind(&self, copy: &FileCopy<Directory>, original: &Original) -> Result<(), Failure> {
        let (here, there) = (copy.last().get(), original.durable.sequence);
        if here <= there {
            return Ok(());
        }
        let (here, there) = (HumanCount(here), HumanCount(there));
        Err(self.differs(&format!("the copy ends with sequence {here}, but the server with {there}")))
    }

    fn differs(&self, what: &str) -> Failure {
        let to = self.directory.path().display();
        Failure::OtherContent(format!("{to} contains a different history than the server: {what}"))
    }

    fn copy_all(&mut self, copy: &mut FileCopy<Directory>) -> Result<Ended, Trouble> {
        let mut wait = None;
        loop {
            if self.stop.is_set() {
                return Ok(Ended::Stopped(copy.sync().map_err(CopyFault::from)?));
            }
            let (segment, offset) = copy.wanted();
            let original = match wait.take() {
                None => self.client.original(segment)?,
                Some(wait) => self.client.original_after(segment, copy.last(), wait)?,
            };
            let answered_at = Clock.now();
            self.not_behind(copy, &original)?;
            let target = *self.target.get_or_insert(Seq::new(original.durable.sequence));
            let holds_all = copy.last().get() >= original.durable.sequence;
            if !holds_all {
                self.take(copy, &original, segment, offset)?;
            }
            // Only a successful piece resets the count of failures.
            self.failures = 0;
            let last = copy.last();
            let behind = lag(copy, &original)?;
            if behind.entries == 0 {
                self.watch.complete_until(answered_at);
                wait = Some(WAIT);
            }
            self.watch.complete_until(copy.last_time());
            self.watch.progress(last, behind)?;
            if !self.follow && last >= target {
                let entries = last.get() - self.begun_at.get();
                return Ok(Ended::Whole { last, entries, took: Duration::ZERO });
            }
            if behind.entries == 0 {
                self.stop.pause(PACE);
            }
        }
    }

    /// Copies one piece of a segment, and syncs it.
    fn take(
        &self,
        copy: &mut FileCopy<Directory>,
        original: &Original,
        segment: u64,
        offset: u64,
    ) -> Result<(), Trouble> {
        let file_bytes = original.file_bytes(segment)?;
        let bytes = self.client.bytes(segment, offset, BYTES_MAX)?;
        if !bytes.is_empty() {
            copy.take(&bytes, file_bytes)?;
            copy.sync().map_err(CopyFault::from)?;
        } else if segment < original.durable.segment {
            copy.finish_segment()?;
        } else {
            let what = format!(
                "the server sent nothing at byte {offset} of segment {segment}, although the segment continues there"
            );
            return Err(Failure::Unreachable(what).into());
        }
        Ok(())
    }
}

fn lag(copy: &FileCopy<Directory>, original: &Original) -> Result<Lag, Failure> {
    let durable = original.durable;
    let (segment, offset) = copy.wanted();
    let entries = durable.sequence.saturating_sub(copy.last().get());
    let bytes = match durable.segment.checked_sub(segment) {
        None => 0,
        Some(0) => durable.offset.saturating_sub(offset),
        Some(segments) => {
            // The response no longer contains a segment that was just finished. Other segments have about the same
            // length.
            let file_bytes = original.items.first().map_or(0, |segment| segment.bytes);
            (segments.saturating_mul(file_bytes).saturating_add(durable.offset)).saturating_sub(offset)
        }
    };
    Ok(Lag { entries, bytes })
}

/// An interruption of the work with a server.
enum Trouble {
    /// The received bytes were damaged.
    Damaged(CopyFault),
    Failed(Failure),
}

impl From<CopyFault> for Trouble {
    fn from(fault: CopyFault) -> Self {
        match fault {
            CopyFault::Received { .. } => Self::Damaged(fault),
            CopyFault::Own(_) | CopyFault::OtherHistory { .. } => Self::Failed(fault.into()),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
