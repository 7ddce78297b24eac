//! Messages in transit: they arrive late, twice, out of order, or never.

use types::Span;

use crate::Rng;

/// Messages in one direction.
#[derive(Debug)]
pub(crate) struct Network<M> {
    under_way: Vec<(Span, M)>,
}

impl<M> Default for Network<M> {
    fn default() -> Self {
        Self { under_way: Vec::new() }
    }
}

impl<M> Network<M> {
    /// Sends a message. It usually arrives at once, sometimes seconds later.
    pub(crate) fn send(&mut self, now: Span, message: M, rng: &mut Rng) {
        let ns = match rng.below(10) {
            0 => rng.below(3_000_000_000),
            1..4 => rng.below(20_000_000),
            _ => 0,
        };
        self.under_way.push((now.saturating_add(Span::from_ns(ns)), message));
    }

    /// Returns one of the messages that have arrived, not necessarily the oldest.
    pub(crate) fn arrive(&mut self, now: Span, rng: &mut Rng) -> Option<M> {
        let arrived: Vec<usize> = (0..self.under_way.len()).filter(|place| self.under_way[*place].0 <= now).collect();
        if arrived.is_empty() {
            return None;
        }
        let place = if rng.percent(70) { arrived[0] } else { *rng.pick(&arrived) };
        Some(self.under_way.remove(place).1)
    }

    /// Drops all messages in transit.
    pub(crate) fn cut(&mut self) {
        self.under_way.clear();
    }
}
