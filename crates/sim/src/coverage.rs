//! Which faults came in which states, counted over runs.

use std::collections::BTreeMap;
use std::fmt;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The process is killed, the machine goes on.
    Kill,
    /// The machine crashes and loses all that was not synced.
    CrashDropping,
    /// The machine crashes and tears and reorders what was not synced.
    CrashTearing,
    /// The power goes in the middle of an operation.
    PowerLoss,
    /// A write fails half-way.
    WriteError,
    /// A sync fails and loses pages.
    SyncError,
    /// The journal cannot be read.
    ReadError,
    /// The disk is full.
    DiskFull,
    /// The disk has less room left than is kept free.
    DiskReserve,
    /// A bit of a frame turns that the mark covers.
    RotInFrame,
    /// A bit turns behind the last frame.
    RotInTail,
    /// A bit of the mark turns.
    RotInMark,
    /// A bit of a file of the index turns, or the file is gone.
    RotInIndex,
    /// The clock jumps back.
    ClockBack,
    /// The clock jumps ahead.
    ClockAhead,
    /// The clock is not believed, and an operator confirms it or sets it right.
    ClockDoubted,
    /// A disk that takes seconds for what the writer does.
    SlowDisk,
    /// A request arrives twice.
    Duplicate,
    /// A reply is lost, and its client asks again.
    LostReply,
    /// A client goes away before its answer.
    Vanished,
}

/// Where the process is when it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// Nothing is under way.
    Idle,
    /// Requests wait.
    Queued,
    /// A batch is decided and not taken by the journal.
    Decided,
    /// Keys are written that the next frames need.
    SavingKeys,
    /// Frames are being appended.
    Appending,
    /// Frames are appended and not synced.
    Unsynced,
    /// Frames are synced, and answers wait to be given.
    Unreleased,
    /// Answers are given that the mark does not cover.
    Unmarked,
    /// The next segment is begun.
    Rotating,
    /// A generation of the index waits, or is written.
    Sealing,
    /// A start is under way, or nothing runs.
    Starting,
}

const WHENS: [When; 11] = [
    When::Idle,
    When::Queued,
    When::Decided,
    When::SavingKeys,
    When::Appending,
    When::Unsynced,
    When::Unreleased,
    When::Unmarked,
    When::Rotating,
    When::Sealing,
    When::Starting,
];

/// How often what came when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(FaultKind, When), u64>);

impl Coverage {
    /// Counts one.
    pub(crate) fn count(&mut self, fault: FaultKind, when: When) {
        *self.0.entry((fault, when)).or_default() += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(*key).or_default() += count;
        }
    }

    /// How often a fault came in a state.
    pub fn of(&self, fault: FaultKind, when: When) -> u64 {
        self.0.get(&(fault, when)).copied().unwrap_or(0)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<14}", "")?;
        for when in WHENS {
            write!(f, "{:>11}", format!("{when:?}"))?;
        }
        writeln!(f)?;
        let mut faults: Vec<FaultKind> = self.0.keys().map(|(fault, _)| *fault).collect();
        faults.dedup();
        for fault in faults {
            write!(f, "{:<14}", format!("{fault:?}"))?;
            for when in WHENS {
                write!(f, "{:>11}", self.of(fault, when))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
