//! Restores the order of the file, whatever the order in which outcomes arrive.

use std::collections::VecDeque;

use super::output::Outcome;

/// Outcomes that wait for those of earlier rows. If the file is in order of time, none waits long.
#[derive(Debug, Default)]
pub(crate) struct FileOrder {
    /// The number of the first row whose outcome was not returned yet.
    first: u64,
    /// The outcomes from that row on.
    waiting: VecDeque<Option<Outcome>>,
}

impl FileOrder {
    /// Adds the outcome of a row.
    pub(crate) fn put(&mut self, outcome: Outcome) {
        let place = outcome.number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let place = place.expect("each row has exactly one outcome");
        if place >= self.waiting.len() {
            self.waiting.resize_with(place + 1, || None);
        }
        if let Some(slot) = self.waiting.get_mut(place) {
            *slot = Some(outcome);
        }
    }

    /// Returns all outcomes before which no outcome is missing.
    pub(crate) fn take(&mut self) -> Vec<Outcome> {
        let ready = self.waiting.iter().take_while(|outcome| outcome.is_some()).count();
        self.first += ready as u64;
        self.waiting.drain(..ready).flatten().collect()
    }
}
