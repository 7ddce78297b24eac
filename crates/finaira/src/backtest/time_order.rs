//! Sorts the rows of a file by time, whatever their order in the file.

use tables::{Column, Input, Row, RowGroup};
use types::Timestamp;

/// The facts about a file's times that must be known before its rows are read.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// The number of rows in the file.
    pub(crate) rows: u64,
    /// For each batch, the earliest time in any later batch.
    later: Vec<Timestamp>,
}

impl Schedule {
    /// Reads all times of the file.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub(crate) fn read(input: &Input, time: usize) -> anyhow::Result<Self> {
        let (mut rows, mut earliest) = (0, Vec::new());
        for batch in input.batches(&[time])? {
            let RowGroup { rows: batch_rows, columns, .. } = batch?;
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

    /// After this batch has been read, all rows up to this time are known.
    fn complete_until(&self, batch: usize) -> Timestamp {
        self.later.get(batch).copied().unwrap_or(Timestamp::MAX)
    }
}

/// Rows that wait for earlier ones further down in the file. If the file is in order of time, none waits.
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

    /// Adds those rows of the next batch that have a time, and returns the rows before which no row of a later batch
    /// can come. They are in order of time; rows of the same instant keep the order of the file.
    pub(crate) fn pass(&mut self, rows: impl IntoIterator<Item = (Timestamp, Row)>) -> Vec<(Timestamp, Row)> {
        self.waiting.extend(rows);
        let until = self.schedule.complete_until(self.batches);
        self.batches += 1;
        if self.waiting.iter().all(|(at, _)| *at > until) {
            return Vec::new();
        }
        // This sort is stable, and fast for rows that are already in order.
        self.waiting.sort_by_key(|(at, _)| *at);
        let ready = self.waiting.partition_point(|(at, _)| *at <= until);
        let waiting = self.waiting.split_off(ready);
        std::mem::replace(&mut self.waiting, waiting)
    }
}
