//! The way from a decided batch to its answers: save keys, append, sync, tell the index, release.

use std::collections::VecDeque;
use std::fmt::Display;

use engine::Answer;
use index::Index;
use journal::{DurableLog, Fault, Frame, FrameAt, SegmentStore, StartAt};
use types::{Seq, Span};

use crate::decider::Batch;
use crate::frame_notes::FrameNotes;

/// How soon after an acknowledgement the mark covers it.
pub const MARK_WITHIN: Span = Span::from_ns(10_000_000);

/// Makes keys durable.
pub trait KeySaver {
    /// Why that failed.
    type Error: std::error::Error + 'static;

    /// Writes and syncs every key that was made since the last call.
    fn save_keys(&self) -> Result<(), Self::Error>;
}

/// Learns what durable frames did, so that it can be queried.
pub trait Indexer {
    /// Takes what a frame did. Frames come in order; the frame stands at `at`, and `behind` is the place after it.
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

/// Why nothing more is written. The process must stop and start anew.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<K> {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The index failed: nothing is lost, but a restart must rebuild it.
    #[error("the index failed: {0}")]
    Index(#[from] index::Fault),
    /// Keys could not be saved, so entries that need them must not be written.
    #[error(transparent)]
    Keys(K),
}

/// What a [`Writer`] does at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Writes the mark, because it is due and more is about to be written.
    Mark,
    /// Saves the keys that the next frames need: an entry that stays sealed for ever would be lost.
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
/// It has no thread and no clock: whoever drives it calls [`Writer::step`] until nothing is left to do, then
/// [`Writer::release`], and [`Writer::mark_in_time`] when [`Writer::mark_due`] says so. Times are readings of a monotonic
/// clock.
///
/// * An answer is released only when every entry that it rests on is durable and indexed, so that whoever has the answer
///   also finds what it says.
/// * After any failure nothing more is written and nothing is released: a batch must not become durable without the one
///   before it.
///
/// The journal is a durable log and the local segments that are kept of it: one value is both, so that a frame is at its
/// place once it is durable.
#[derive(Debug)]
pub struct Writer<R, J> {
    journal: J,
    /// The number of the batch that is held next.
    next_batch: u64,
    /// Each answer, and the last entry that it rests on; in the order of batches.
    answers: VecDeque<(R, Seq, Answer)>,
    /// To be appended.
    frames: VecDeque<(Frame, FrameNotes)>,
    /// Whether `frames` may need keys that are not saved.
    keys_unsaved: bool,
    /// Not synced.
    appended: VecDeque<Written>,
    /// Synced; the index is still to be told.
    durable: VecDeque<Written>,
    /// The last entry that is durable and indexed.
    indexed: Seq,
    /// When an entry became durable and indexed that the mark does not cover.
    unmarked_since: Option<Span>,
    poisoned: Option<String>,
}

/// What a frame did, and where it stands.
#[derive(Debug)]
struct Written {
    feed: FrameNotes,
    at: FrameAt,
    behind: StartAt,
}

impl<R, J: DurableLog + SegmentStore> Writer<R, J> {
    /// A writer behind everything that the journal holds; all of that must be indexed.
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

    /// The journal, for looking at.
    pub fn journal(&self) -> &J {
        &self.journal
    }

    /// The last entry that is durable and indexed.
    pub fn indexed(&self) -> Seq {
        self.indexed
    }

    /// How many answers wait.
    pub fn answers_waiting(&self) -> usize {
        self.answers.len()
    }

    /// Whether the thread that decided this batch should write it itself, because handing it to another thread would only
    /// take time: no request waits to be decided meanwhile, and every batch before this one is written.
    pub fn takes_at_once(&self, batch: &Batch<R>, requests_waiting: usize) -> bool {
        let is_idle = self.frames.is_empty() && self.appended.is_empty() && self.durable.is_empty();
        requests_waiting == 0 && is_idle && batch.number == self.next_batch
    }

    /// Takes a batch that is to be written.
    ///
    /// # Panics
    /// When it is not the batch that was decided next (PIP-4).
    pub fn hold(&mut self, batch: Batch<R>) {
        assert_eq!(batch.number, self.next_batch, "PIP-4: batches become durable in the order they were decided in");
        self.next_batch += 1;
        self.keys_unsaved |= !batch.frames.is_empty();
        self.frames.extend(batch.frames);
        self.answers.extend(batch.answers);
    }

    /// What [`Writer::step`] does next; `None` once everything that was held is durable and indexed.
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

    /// Does what is next and says what that was; `None` when nothing is left to do.
    ///
    /// # Errors
    /// When it failed, or anything failed before.
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
    /// When it failed, or anything failed before.
    pub fn mark_in_time(&mut self, now: Span) -> Result<(), Fault> {
        self.guarded(|writer| if writer.mark_is_due(now) { writer.write_mark() } else { Ok(()) })
    }

    /// Writes the mark, whether or not it is due: at a clean stop.
    ///
    /// # Errors
    /// As [`Writer::mark_in_time`].
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

    /// Does something unless an earlier failure left it unknown what is durable; remembers a failure.
    fn guarded<T, E: Display + From<Fault>>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        if let Some(why) = &self.poisoned {
            return Err(Fault::Poisoned(why.clone()).into());
        }
        work(self).inspect_err(|error| self.poisoned = Some(error.to_string()))
    }
}
