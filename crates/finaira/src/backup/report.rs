//! Reports how far the copy is behind: a bar on a terminal, or a line every few seconds elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use server::{Clock, Stopwatch};
use types::{Seq, Timestamp};

use super::failure::Failure;
use super::watch::{Lag, Watch};
use crate::stdio::errln;

#[derive(Debug)]
pub(super) struct Report {
    bar: Option<ProgressBar>,
    since: Stopwatch,
    /// The time between lines where there is no terminal.
    interval: Duration,
    next_line: Duration,
    /// Everything that was decided before this time is in the copy.
    complete_until: Timestamp,
}

impl Report {
    pub(super) fn new(interval: Duration) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{wide_bar} {msg}").expect("the template is valid");
            ProgressBar::new(0).with_style(style)
        });
        Self { bar, since: Stopwatch::start(), interval, next_line: Duration::ZERO, complete_until: Timestamp::ZERO }
    }

    fn text(&self, last: Seq, lag: Lag) -> String {
        let (entries, bytes, age) = (HumanCount(lag.entries), HumanBytes(lag.bytes), self.age());
        format!("lag {entries} entries, {bytes}, {age}; synced to sequence {}", HumanCount(last.get()))
    }
}

impl Watch for Report {
    fn complete_until(&mut self, moment: Timestamp) {
        self.complete_until = self.complete_until.max(moment);
    }

    fn progress(&mut self, last: Seq, lag: Lag) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.set_length(last.get().saturating_add(lag.entries));
            bar.set_position(last.get());
            bar.set_message(self.text(last, lag));
        } else if self.since.elapsed() >= self.next_line {
            self.next_line = self.since.elapsed() + self.interval;
            errln!("{}", self.text(last, lag));
        }
        Ok(())
    }

    fn age(&self) -> String {
        let tenths = Clock.now().since(self.complete_until).ns() / 100_000_000;
        format!("{}.{} s", HumanCount(tenths / 10), tenths % 10)
    }

    fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| errln!("{text}")),
            None => errln!("{text}"),
        }
    }

    fn finish(&self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.since.elapsed()
    }
}
