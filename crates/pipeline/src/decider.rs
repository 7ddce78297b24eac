use engine::{Answer, Engine, Entry};
use journal::{Frame, FrameBuilder};
use types::{Seq, Timestamp};

use crate::queue::Ask;

/// The most deadlines and timeouts that one batch journals before its own commands.
pub const EXPIRIES_PER_BATCH_MAX: usize = 8_192;

/// Executes requests in order and packs their entries into frames.
#[derive(Debug)]
pub struct Decider {
    engine: Engine,
    builder: FrameBuilder,
    frames: Vec<Frame>,
}

/// What one run of the decider brought. The frames go to the journal, in order; the answers wait for it.
#[derive(Debug)]
pub struct Batch<R> {
    /// To be appended in this order; none when nothing changed.
    pub frames: Vec<Frame>,
    /// Each answer, and the entry that must be durable before it is given.
    pub answers: Vec<(R, Seq, Answer)>,
}

impl Decider {
    /// A decider over an engine that has folded every entry of its journal.
    pub fn new(engine: Engine) -> Self {
        Self { engine, builder: FrameBuilder::default(), frames: Vec::new() }
    }

    /// The engine, for looking at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Journals what time brought by `now`, then executes the requests in order.
    pub fn work<R>(&mut self, now: Timestamp, asks: impl IntoIterator<Item = Ask<R>>) -> Batch<R> {
        // A crash may have cut the digest that was due after the last entry.
        if let Some(digest) = self.engine.execute_digest(now) {
            self.push(&digest);
        }
        for _ in 0..EXPIRIES_PER_BATCH_MAX {
            let Some(entry) = self.engine.execute_due(now) else { break };
            self.record(now, &entry);
        }
        let mut answers = Vec::new();
        for ask in asks {
            let executed = self.engine.execute(now, &ask.request);
            if let Some(entry) = &executed.entry {
                self.record(now, entry);
            }
            answers.push((ask.reply_to, self.engine.applied(), executed.answer));
        }
        self.frames.extend(self.builder.finish());
        Batch { frames: std::mem::take(&mut self.frames), answers }
    }

    /// Starts the history of an empty journal: its first frame.
    pub fn start(&mut self, now: Timestamp, origin: types::Origin) -> Vec<Frame> {
        let entry = self.engine.start(now, origin);
        self.record(now, &entry);
        self.builder.finish().into_iter().collect()
    }

    fn record(&mut self, now: Timestamp, entry: &Entry) {
        self.push(entry);
        if let Some(digest) = self.engine.execute_digest(now) {
            self.push(&digest);
        }
    }

    fn push(&mut self, entry: &Entry) {
        if self.builder.try_push(entry).is_none() {
            self.frames.extend(self.builder.finish());
            self.builder.push(entry);
        }
    }
}
