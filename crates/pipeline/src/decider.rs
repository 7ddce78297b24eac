use engine::{Answer, Applied, Engine, Entry};
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
        let Self { engine, builder, frames } = self;
        let mut sink = |applied: Applied<'_>| push(builder, frames, applied.entry);
        for _ in 0..EXPIRIES_PER_BATCH_MAX {
            if !engine.execute_due(now, &mut sink) {
                break;
            }
        }
        let mut answers = Vec::new();
        for ask in asks {
            let answer = engine.execute(now, &ask.request, &mut sink);
            answers.push((ask.reply_to, engine.applied(), answer));
        }
        self.frames.extend(self.builder.finish());
        Batch { frames: std::mem::take(&mut self.frames), answers }
    }

    /// Starts the history of an empty journal: its first frame.
    pub fn start(&mut self, now: Timestamp, origin: types::Origin) -> Vec<Frame> {
        let entry = self.engine.start(now, origin);
        self.builder.push(&entry);
        self.builder.finish().into_iter().collect()
    }
}

/// Adds an entry to the frame that is being built; when it does not fit any more, to another.
fn push(builder: &mut FrameBuilder, frames: &mut Vec<Frame>, entry: &Entry) {
    if builder.try_push(entry).is_none() {
        frames.extend(builder.finish());
        builder.push(entry);
    }
}
