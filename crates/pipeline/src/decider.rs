//! Executes requests in order and packs their entries into frames.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use engine::{Answer, Applied, Engine, Refusal, Sink, WritesClosed};
use journal::{EntryOffset, Frame, FrameBuilder};
use types::{Seq, Timestamp};

use crate::frame_notes::{FrameNotes, Notes};
use crate::queue::Ask;

/// The most deadlines and timeouts that one batch journals before its own requests.
pub const EXPIRIES_PER_BATCH_MAX: usize = 8_192;

/// Executes requests in order and packs their entries into frames.
#[derive(Debug)]
pub struct Decider {
    engine: Engine,
    closed: Option<WritesClosed>,
    /// The read error that stopped a lookup, until [`Decider::take_unread`] takes it.
    unread: Option<index::Fault>,
    packer: Packer,
    /// The number of batches so far.
    batches: u64,
}

/// The result of one run of the decider. The frames go to the journal in order; the answers wait until they are
/// durable.
#[derive(Debug)]
pub struct Batch<R> {
    /// The batch's number, from 0: batches become durable in this order.
    pub number: u64,
    /// Frames to append in this order, each with what its entries did; empty if nothing changed.
    pub frames: Vec<(Frame, FrameNotes)>,
    /// Each answer, and the entry that must be durable before the answer is sent.
    pub answers: Vec<(R, Seq, Answer)>,
}

impl Decider {
    /// A decider for an engine that has replayed every entry of its journal. `notes` continues after what the index has
    /// already received.
    pub fn new(engine: Engine, notes: Notes) -> Self {
        Self {
            engine,
            closed: None,
            unread: None,
            packer: Packer { builder: FrameBuilder::default(), notes, frames: Vec::new() },
            batches: 0,
        }
    }

    /// The engine, read-only.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Lets the ledger drop client transfers that are in the index's tables: the first `recorded` records.
    pub fn forget_through(&mut self, recorded: u64, covered: Seq) {
        self.engine.forget_through(recorded, covered);
    }

    /// Sets why nothing may be written from now on, as returned by [`crate::Gate::why`], or that writing is allowed.
    pub fn set_closed(&mut self, why: Option<WritesClosed>) {
        self.closed = why;
    }

    /// When a deadline or timeout next causes a write; `None` if there is none, or while nothing may be written.
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.closed.is_some() { None } else { self.engine.next_due() }
    }

    /// Journals the deadlines and timeouts that passed by `now`, then executes the requests in order. While nothing may
    /// be written (PIP-2), it journals nothing; reads still show what has expired as expired.
    pub fn work<R>(&mut self, now: Timestamp, asks: impl IntoIterator<Item = Ask<R>>) -> Batch<R> {
        let due = if self.closed.is_some() { 0 } else { EXPIRIES_PER_BATCH_MAX };
        for _ in 0..due {
            if !matches!(self.look(|engine, packer| engine.execute_due(now, packer)), Ok(true)) {
                break;
            }
        }
        let mut answers = Vec::new();
        for Ask { request, reply_to } in asks {
            let closed = self.closed.take();
            let before = self.engine.applied();
            let answer = self.look(|engine, packer| match &closed {
                None => engine.execute(now, &request, packer),
                Some(closed) => engine.answer_closed(now, &request, closed),
            });
            self.closed = closed;
            match answer {
                Ok(answer) => answers.push((reply_to, self.engine.applied(), answer)),
                Err(Some(refusal)) if self.engine.applied() == before => answers.push((reply_to, before, Err(refusal))),
                // Part of the request was applied, or it cannot be answered before a restart. A retry gets an answer.
                Err(Some(_) | None) => drop(reply_to),
            }
        }
        self.finish(answers)
    }

    fn finish<R>(&mut self, answers: Vec<(R, Seq, Answer)>) -> Batch<R> {
        let number = self.batches;
        self.batches += 1;
        let frames = self.packer.finish();
        assert!(self.closed.is_none() || frames.is_empty(), "PIP-2: nothing is journaled while writes are refused");
        Batch { number, frames, answers }
    }

    /// The read error that stopped a lookup since the last call.
    pub fn take_unread(&mut self) -> Option<index::Fault> {
        self.unread.take()
    }

    /// Runs the engine. A lookup that cannot read panics and unwinds out of planning, which only reads: everything
    /// that was applied before it is complete and is journaled, and the failed request had no effect. If the journal is
    /// damaged, the request is refused, because the server continues to serve reads; otherwise it gets no answer.
    fn look<T>(&mut self, work: impl FnOnce(&mut Engine, &mut Packer) -> T) -> Result<T, Option<Refusal>> {
        let Self { engine, packer, .. } = self;
        let fault = match catch_unwind(AssertUnwindSafe(|| work(engine, packer))) {
            Ok(done) => return Ok(done),
            Err(panic) => match panic.downcast::<index::Unread>() {
                Ok(unread) => unread.0,
                Err(panic) => resume_unwind(panic),
            },
        };
        let refusal = match &fault {
            index::Fault::Log(damage) if damage.is_damage() => {
                Some(WritesClosed::JournalDamaged(damage.to_string().into()).into())
            }
            index::Fault::Io { .. }
            | index::Fault::Damaged { .. }
            | index::Fault::Log(_)
            | index::Fault::NoRoom(_)
            | index::Fault::Stopped(_) => None,
        };
        self.unread.get_or_insert(fault);
        Err(refusal)
    }

    /// Starts the history of an empty journal: its first frame.
    pub fn start<R>(&mut self, now: Timestamp, origin: types::Origin) -> Batch<R> {
        self.engine.start(now, origin, &mut self.packer);
        self.finish(Vec::new())
    }
}

/// Packs entries into frames, and notes what they did.
#[derive(Debug)]
struct Packer {
    builder: FrameBuilder,
    notes: Notes,
    frames: Vec<(Frame, FrameNotes)>,
}

impl Packer {
    fn finish(&mut self) -> Vec<(Frame, FrameNotes)> {
        self.end_frame();
        std::mem::take(&mut self.frames)
    }

    fn end_frame(&mut self) {
        if let Some(frame) = self.builder.finish() {
            let feed = self.notes.take(frame.last());
            self.frames.push((frame, feed));
        }
    }

    fn place(&mut self, applied: &Applied<'_>) -> EntryOffset {
        if let Some(placed) = self.builder.try_push(applied.entry) {
            return placed;
        }
        self.end_frame();
        self.builder.push(applied.entry)
    }
}

impl Sink for Packer {
    fn take(&mut self, applied: Applied<'_>) {
        let placed = self.place(&applied);
        if self.notes.note(placed, applied) {
            self.end_frame();
        }
    }

    fn hold_together(&mut self, count: usize, text_bytes: usize) {
        let bytes = count.saturating_mul(FrameBuilder::TRANSFER_BYTES_MAX).saturating_add(text_bytes);
        if self.builder.payload_bytes_left() < bytes {
            self.end_frame();
        }
    }
}
