//! The way from a decided batch to its answers: save keys, append, sync, update the index, release.

use std::collections::VecDeque;
use std::fmt::Display;

use engine::Answer;
use index::Index;
use journal::{DurableLog, Fault, Frame, FrameAt, SegmentStore, StartAt};
use types::{Seq, Span};

use crate::decider::Batch;
use crate::frame_notes::FrameNotes;

/// How soon after an acknowledgement the mark must cover it.
pub const MARK_WITHIN: Span = Span::from_ns(10_000_000);

pub trait KeySaver {
    type Error: std::error::Error + 'static;

    /// Writes and syncs every key that was made since the last call.
    fn save_keys(&self) -> Result<(), Self::Error>;
}

/// Receives what durable frames did, so that it can be queried.
pub trait Indexer {
    /// Adds what a frame did. Frames come in order; the frame is stored at `at`, and `behind` is the place after it.
    fn index(&self, feed: FrameNotes, at: FrameAt, behind: StartAt) -> Result<(), index::Fault>;
}

impl Indexer for Index {
    fn index(&self, feed: FrameNotes, at: FrameAt, behind: StartAt) -> Result<(), index::Fault> {
        for (ledger, fields) in feed.chosen() {
            self.choose(*ledger, *fields);
        }
        let (batch, generation) = feed.placed(at, behind);
        self.publish(batch);
        generation.map_or(Ok(()), |generation| self.seal(generation))
    }
}

/// Why nothing more is written. The process must stop and restart.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<K> {
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The index failed: no data is lost, but a restart must rebuild the index.
    #[error("the index failed: {0}")]
    Index(#[from] index::Fault),
    /// Keys could not be saved, so entries that need them must not be written.
    #[error(transparent)]
    Keys(K),
}

/// One step of a [`Writer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Writes the mark, because it is due and more writes follow.
    Mark,
    /// Saves the keys that the next frames need: without its key, a sealed entry could never be read.
    SaveKeys,
    /// Appends one frame.
    Append,
    /// Makes everything that was appended durable.
    Sync,
    /// Tells the index what one durable frame did.
    Index,
}

/// Makes batches durable in the order in which they were decided, and releases their answers.
///
/// It has no thread and no clock: its driver calls [`Writer::step`] until nothing is left to do, then
/// [`Writer::release`], and [`Writer::mark_in_time`] when [`Writer::mark_due`] says so. Times are readings of a
/// monotonic clock.
///
/// * An answer is released only after every entry that it depends on is durable and indexed, so that a client that has
///   the answer can also query what it says.
/// * After any failure nothing more is written and nothing is released: a batch must not become durable without the one
///   before it.
///
/// The journal is both a durable log and its local segments. They are one value, so that a frame is at its place once
/// it is durable.
#[derive(Debug)]
pub struct Writer<R, J> {
    journal: J,
    /// The number of the next batch that [`Writer::hold`] accepts.
    next_batch: u64,
    /// Each answer, and the last entry that it depends on, in the order of batches.
    answers: VecDeque<(R, Seq, Answer)>,
    /// Frames to append.
    frames: VecDeque<(Frame, FrameNotes)>,
    /// Whether `frames` may need keys that are not saved yet.
    keys_unsaved: bool,
    /// Frames that are appended but not synced.
    appended: VecDeque<Written>,
    /// Frames that are synced but not in the index yet.
    durable: VecDeque<Written>,
    /// The last entry that is durable and indexed.
    indexed: Seq,
    /// When the first entry that the mark does not cover became durable and indexed.
    unmarked_since: Option<Span>,
    poisoned: Option<String>,
}

/// What a frame did, and where it is stored.
#[derive(Debug)]
struct Written {
    feed: FrameNotes,
    at: FrameAt,
    behind: StartAt,
}

impl<R, J: DurableLog + SegmentStore> Writer<R, J> {
    /// A writer that continues after the last entry of the journal; all entries must be indexed.
    pub fn new(journal: J) -> Self {
        Self {
            next_batch: 0,
            answers: VecDeque::new(),
            frames: VecDeque::new(),
            keys_unsaved: false,
            appended: VecDeque::new(),
            durable: VecDeque::new(),
            indexed: journal.durable(),
            unmarked_since: None,
            poisoned: None,
            journal,
        }
    }

    /// The journal, read-only.
    pub fn journal(&self) -> &J {
        &self.journal
    }

    /// The last entry that is durable and indexed.
    pub fn indexed(&self) -> Seq {
        self.indexed
    }

    /// The number of waiting answers.
    pub fn answers_waiting(&self) -> usize {
        self.answers.len()
    }

    /// Whether the thread that decided this batch should write it itself, because handing it to another thread would
    /// only cost time: no request waits to be decided, and every earlier batch is written.
    pub fn takes_at_once(&self, batch: &Batch<R>, requests_waiting: usize) -> bool {
        let is_idle = self.frames.is_empty() && self.appended.is_empty() && self.durable.is_empty();
        requests_waiting == 0 && is_idle && batch.number == self.next_batch
    }

    /// Adds a batch to write.
    ///
    /// # Panics
    /// When it is not the next batch in the order of decisions (PIP-4).
    pub fn hold(&mut self, batch: Batch<R>) {
        assert_eq!(batch.number, self.next_batch, "PIP-4: batches become durable in the order they were decided in");
        self.next_batch += 1;
        self.keys_unsaved |= !batch.frames.is_empty();
        self.frames.extend(batch.frames);
        self.answers.extend(batch.answers);
    }

    /// What [`Writer::step`] does next; `None` once every batch is durable and indexed.
    pub fn next_step(&self, now: Span) -> Option<Step> {
        if !self.durable.is_empty() {
            Some(Step::Index)
        } else if self.keys_unsaved {
            Some(if self.mark_is_due(now) { Step::Mark } else { Step::SaveKeys })
        } else if !self.frames.is_empty() {
            Some(Step::Append)
        } else if !self.appended.is_empty() {
            Some(Step::Sync)
        } else {
            None
        }
    }

    /// Does the next step and returns it; `None` if nothing is left to do.
    ///
    /// # Errors
    /// When this step or an earlier one failed.
    ///
    /// # Panics
    /// When the durable position goes back (PIP-1).
    pub fn step<K: KeySaver>(
        &mut self,
        now: Span,
        keys: &K,
        index: &impl Indexer,
    ) -> Result<Option<Step>, WriteError<K::Error>> {
        self.guarded(|writer| {
            let step = writer.next_step(now);
            match step {
                None => {}
                Some(Step::Mark) => writer.write_mark()?,
                Some(Step::SaveKeys) => {
                    keys.save_keys().map_err(WriteError::Keys)?;
                    writer.keys_unsaved = false;
                }
                Some(Step::Append) => writer.append()?,
                Some(Step::Sync) => writer.sync()?,
                Some(Step::Index) => writer.index(now, index)?,
            }
            Ok(step)
        })
    }

    /// Every answer whose entries are durable and indexed, in the order of requests; none after a failure.
    pub fn release(&mut self) -> impl Iterator<Item = (R, Answer)> {
        let ready = match &self.poisoned {
            None => self.answers.partition_point(|(_, needed, _)| *needed <= self.indexed),
            Some(_) => 0,
        };
        self.answers.drain(..ready).map(|(reply_to, _, answer)| (reply_to, answer))
    }

    /// When the mark is due; `None` while it covers everything.
    pub fn mark_due(&self) -> Option<Span> {
        self.unmarked_since.map(|since| since.saturating_add(MARK_WITHIN))
    }

    /// Writes the mark if it is due.
    ///
    /// # Errors
    /// When this step or an earlier one failed.
    pub fn mark_in_time(&mut self, now: Span) -> Result<(), Fault> {
        self.guarded(|writer| if writer.mark_is_due(now) { writer.write_mark() } else { Ok(()) })
    }

    /// Writes the mark even if it is not due yet, for a clean stop.
    ///
    /// # Errors
    /// The same as [`Writer::mark_in_time`].
    pub fn mark(&mut self) -> Result<(), Fault> {
        self.guarded(Self::write_mark)
    }

    fn mark_is_due(&self, now: Span) -> bool {
        self.mark_due().is_some_and(|due| due <= now)
    }

    fn write_mark(&mut self) -> Result<(), Fault> {
        self.journal.mark()?;
        self.unmarked_since = None;
        Ok(())
    }

    fn append(&mut self) -> Result<(), Fault> {
        if let Some((frame, feed)) = self.frames.pop_front() {
            self.journal.append(&frame)?;
            let behind = self.journal.place();
            self.appended.push_back(Written { feed, at: FrameAt::before(behind, &frame), behind });
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Fault> {
        let durable = self.journal.sync()?;
        assert!(durable >= self.indexed, "PIP-1: the durable position never goes back");
        let covered = self.appended.partition_point(|written| written.behind.seq <= durable);
        self.durable.extend(self.appended.drain(..covered));
        Ok(())
    }

    fn index(&mut self, now: Span, index: &impl Indexer) -> Result<(), index::Fault> {
        if let Some(Written { feed, at, behind }) = self.durable.pop_front() {
            index.index(feed, at, behind)?;
            self.indexed = behind.seq;
            self.unmarked_since.get_or_insert(now);
        }
        Ok(())
    }

    /// Runs a step, unless an earlier failure left it unknown what is durable; remembers a failure.
    fn guarded<T, E: Display + From<Fault>>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        if let Some(why) = &self.poisoned {
            return Err(Fault::Poisoned(why.clone()).into());
        }
        work(self).inspect_err(|error| self.poisoned = Some(error.to_string()))
    }
}
