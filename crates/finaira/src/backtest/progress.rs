//! Shows the progress of a run: a bar on a terminal, or a line every few seconds elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use server::Stopwatch;

use super::table::thousands;
use crate::stdio::errln;

/// The interval between lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Progress {
    /// What is counted, such as "rows".
    what: &'static str,
    rows: u64,
    done: u64,
    since: Stopwatch,
    bar: Option<ProgressBar>,
    next_line: Duration,
}

impl Progress {
    /// Shows the progress over this many rows.
    pub(crate) fn new(rows: u64) -> Self {
        Self::of("rows", rows)
    }

    /// Shows the progress over `rows` of something else than rows.
    pub(crate) fn of(what: &'static str, rows: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} {msg}, {per_sec}, {eta} left");
            ProgressBar::new(rows).with_style(style.expect("the template is valid")).with_message(what)
        });
        Self { what, rows, done: 0, since: Stopwatch::start(), bar, next_line: LINE_INTERVAL }
    }

    /// Adds to the number of rows that are done.
    pub(crate) fn add(&mut self, rows: usize) {
        self.reach(self.done + rows as u64);
    }

    /// Sets the number of rows that are done.
    pub(crate) fn reach(&mut self, done: u64) {
        self.done = done;
        let elapsed = self.since.elapsed();
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        } else if elapsed >= self.next_line {
            self.next_line = elapsed + LINE_INTERVAL;
            let rate = per_second(self.done, elapsed);
            let left = self.rows.saturating_sub(self.done).checked_div(rate).unwrap_or_default();
            let [done, rows, rate] = [self.done, self.rows, rate].map(|number| thousands(number.into()));
            errln!("{done} of {rows} {}, {rate} a second, {left} s left", self.what);
        }
    }

    /// Removes the bar and returns the elapsed time.
    pub(crate) fn finish(self) -> Duration {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.since.elapsed()
    }
}

/// A rate in whole units per second.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> u64 {
    let nanos = elapsed.as_nanos().max(1);
    u64::try_from(u128::from(count) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}
