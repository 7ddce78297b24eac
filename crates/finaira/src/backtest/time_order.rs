//! Rows of a file in the order of their times, whatever their order in the file.

use tables::{Batch, Column, Input, Row};
use types::Timestamp;

/// The times of a file, as far as they must be known before it is read.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// How many rows the file has.
    pub(crate) rows: u64,
    /// For each batch the earliest time in any later one.
    later: Vec<Timestamp>,
}

impl Schedule {
    /// Reads the times.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn read(input: &Input, time: usize) -> anyhow::Result<Self> {
        let (mut rows, mut earliest) = (0, Vec::new());
        for batch in input.batches(&[time])? {
            let Batch { rows: batch_rows, columns, .. } = batch?;
            rows += batch_rows as u64;
            let column = columns.first();
            let times = (0..batch_rows).filter_map(|row| column.map(|column: &Column| column.cell(row))?.time());
            earliest.push(times.min().unwrap_or(Timestamp::MAX));
        }
        let mut later = earliest;
        let mut next = Timestamp::MAX;
        for earliest in later.iter_mut().rev() {
            next = next.min(std::mem::replace(earliest, next));
        }
        Ok(Self { rows, later })
    }

    /// Until when everything is known once this batch is read.
    fn complete_until(&self, batch: usize) -> Timestamp {
        self.later.get(batch).copied().unwrap_or(Timestamp::MAX)
    }
}

/// Rows that wait for earlier ones further down in the file. A file in order of time lets none wait.
#[derive(Debug)]
pub(crate) struct TimeOrder {
    schedule: Schedule,
    batches: usize,
    waiting: Vec<(Timestamp, Row)>,
}

impl TimeOrder {
    pub(crate) fn new(schedule: Schedule) -> Self {
        Self { schedule, batches: 0, waiting: Vec::new() }
    }

    /// Takes the rows of the next batch that have a time, and gives back those that no later batch has an earlier row
    /// than: in order of time, those of one instant in the order of the file.
    pub(crate) fn pass(&mut self, rows: impl IntoIterator<Item = (Timestamp, Row)>) -> Vec<(Timestamp, Row)> {
        self.waiting.extend(rows);
        let until = self.schedule.complete_until(self.batches);
        self.batches += 1;
        if self.waiting.iter().all(|(at, _)| *at > until) {
            return Vec::new();
        }
        // Stable, and fast for rows that are in order already.
        self.waiting.sort_by_key(|(at, _)| *at);
        let ready = self.waiting.partition_point(|(at, _)| *at <= until);
        let waiting = self.waiting.split_off(ready);
        std::mem::replace(&mut self.waiting, waiting)
    }
}
