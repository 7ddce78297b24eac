//! Counts which faults occurred in which states, over several runs.

use std::collections::BTreeMap;
use std::fmt;

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The process is killed, but the machine continues.
    Kill,
    /// The machine crashes and loses everything that was not synced.
    CrashDropping,
    /// The machine crashes, and unsynced writes are torn and reordered.
    CrashTearing,
    /// The power fails in the middle of an operation.
    PowerLoss,
    /// A write fails half-way.
    WriteError,
    /// A sync fails and loses pages.
    SyncError,
    /// The journal cannot be read.
    ReadError,
    /// The disk is full.
    DiskFull,
    /// The disk has less free space than the server keeps in reserve.
    DiskReserve,
    /// A bit flips in a frame that the mark covers.
    RotInFrame,
    /// A bit flips after the last frame.
    RotInTail,
    /// A bit flips in the mark.
    RotInMark,
    /// A bit flips in an index file, or the file is missing.
    RotInIndex,
    /// The wall clock jumps back.
    ClockBack,
    /// The wall clock jumps ahead.
    ClockAhead,
    /// The server doubts the clock, and an operator confirms or corrects it.
    ClockDoubted,
    /// The disk takes seconds for the operations of the writer.
    SlowDisk,
    /// A request arrives twice.
    Duplicate,
    /// A reply is lost, and its client sends the request again.
    LostReply,
    /// A client disconnects before its answer arrives.
    Vanished,
}

/// The state of the process when the fault occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// Nothing is in progress.
    Idle,
    /// Requests wait in the queue.
    Queued,
    /// A batch is decided, but the journal has not taken it.
    Decided,
    /// The key store writes keys that the next frames need.
    SavingKeys,
    /// The journal appends frames.
    Appending,
    /// Frames are appended but not synced.
    Unsynced,
    /// Frames are synced, and their answers are not released yet.
    Unreleased,
    /// Answers were released that the mark does not cover.
    Unmarked,
    /// The journal starts the next segment.
    Rotating,
    /// A generation of the index waits to be written, or is being written.
    Sealing,
    /// The process is starting, or no process runs.
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

/// How often each fault occurred in each state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(FaultKind, When), u64>);

impl Coverage {
    /// Counts one fault.
    pub(crate) fn count(&mut self, fault: FaultKind, when: When) {
        *self.0.entry((fault, when)).or_default() += 1;
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(*key).or_default() += count;
        }
    }

    /// How often a fault occurred in a state.
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
