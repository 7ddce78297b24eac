use std::collections::VecDeque;

use engine::Request;

/// A request and whatever its answer is sent through.
#[derive(Debug)]
pub struct Ask<R> {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub reply_to: R,
}

/// Requests that wait for the engine, at most a fixed number of them.
#[derive(Debug)]
pub struct Queue<R> {
    waiting: VecDeque<Ask<R>>,
    asks_max: usize,
}

/// The queue is full: the request comes back, and its caller is told to come again later.
#[derive(Debug)]
pub struct Full<R>(pub Box<Ask<R>>);

impl<R> Queue<R> {
    /// A queue for at most `asks_max` requests.
    pub fn new(asks_max: usize) -> Self {
        Self { waiting: VecDeque::new(), asks_max }
    }

    /// Adds a request at the end.
    ///
    /// # Errors
    /// When the queue is full.
    pub fn offer(&mut self, ask: Ask<R>) -> Result<(), Full<R>> {
        if self.waiting.len() >= self.asks_max {
            return Err(Full(Box::new(ask)));
        }
        self.waiting.push_back(ask);
        Ok(())
    }

    /// Takes up to `count` requests from the front.
    pub fn take(&mut self, count: usize) -> Vec<Ask<R>> {
        let count = count.min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True when none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
