//! The bounded queue of requests that wait for the engine.

use std::collections::VecDeque;

use engine::Request;

/// A request and the handle through which it is answered.
#[derive(Debug)]
pub struct Ask<R> {
    pub request: Request,
    /// Where the answer is sent.
    pub reply_to: R,
}

/// Requests that wait for the engine. The bound is on their events: a batch counts as many as it contains.
#[derive(Debug)]
pub struct Queue<R> {
    waiting: VecDeque<Ask<R>>,
    events: usize,
    events_max: usize,
}

/// The queue is full. The request is returned; its caller is told to try again later.
#[derive(Debug)]
pub struct Full<R>(pub Box<Ask<R>>);

impl<R> Queue<R> {
    /// A queue for at most `events_max` events, or a single larger request.
    pub fn new(events_max: usize) -> Self {
        Self { waiting: VecDeque::new(), events: 0, events_max }
    }

    /// Adds a request at the end.
    ///
    /// # Errors
    /// When the queue is full.
    pub fn offer(&mut self, ask: Ask<R>) -> Result<(), Full<R>> {
        let events = self.events.saturating_add(ask.request.events_count());
        if events > self.events_max && (!self.waiting.is_empty() || self.events_max == 0) {
            return Err(Full(Box::new(ask)));
        }
        self.events = events;
        self.waiting.push_back(ask);
        Ok(())
    }

    /// Takes requests from the front until they contain `events` events or the queue is empty; the last one may exceed
    /// it.
    pub fn take(&mut self, events: usize) -> Vec<Ask<R>> {
        let mut taken = 0_usize;
        let reached = |ask: &Ask<R>| {
            let goes_on = taken < events;
            taken = taken.saturating_add(ask.request.events_count());
            goes_on
        };
        let count = self.waiting.iter().map(reached).take_while(|goes_on| *goes_on).count();
        let asks: Vec<_> = self.waiting.drain(..count).collect();
        self.events -= asks.iter().map(|ask| ask.request.events_count()).sum::<usize>();
        asks
    }

    /// The number of waiting requests.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use engine::query;
    use types::{AccountId, ActorId, RequestId, TenantId};

    use super::*;

    fn ask(events: u128) -> Ask<()> {
        let ids = (0..events).map(AccountId::new).collect();
        let command = query::LookupAccounts(ids).into();
        let request = Request { tenant: TenantId::new(1), actor: ActorId::SYSTEM, id: RequestId::default(), command };
        Ask { request, reply_to: () }
    }

    fn sizes(asks: &[Ask<()>]) -> Vec<usize> {
        asks.iter().map(|ask| ask.request.events_count()).collect()
    }

    #[test]
    fn a_queue_is_bounded_by_events() {
        let mut queue = Queue::new(10);
        for events in [4, 6] {
            queue.offer(ask(events)).unwrap();
        }
        assert_eq!(queue.offer(ask(1)).unwrap_err().0.request.events_count(), 1);
        assert_eq!(sizes(&queue.take(1)), [4]);
        queue.offer(ask(4)).unwrap();
        assert!(queue.offer(ask(1)).is_err());
        assert_eq!(sizes(&queue.take(7)), [6, 4]);
        queue.offer(ask(11)).unwrap();
        assert_eq!(sizes(&queue.take(usize::MAX)), [11]);
        assert!(queue.is_empty());
    }
}
