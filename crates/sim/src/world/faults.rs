//! The faults of a simulated world.

use journal::{Fault, Reader as _};
use pipeline::Step;
use types::{Seq, Span};

use super::{World, held};
use crate::coverage::{FaultKind, When};
use crate::process::{Death, Machine, Process};
use crate::{Crash, Trouble};

/// Size of a segment's header.
const HEADER_BYTES: usize = 4_096;
/// Maximum number of zeros at the end of a frame.
const GAP_BYTES: usize = 512;

impl World {
    /// Advances the clocks: usually a little, sometimes long enough for timeouts and deadlines. Sometimes the wall
    /// clock jumps back or far ahead.
    pub(super) fn pass_time(&mut self, process: Option<&Process>) {
        let ns = match self.rng.below(900) {
            0 => {
                self.count_clock(FaultKind::ClockBack, process);
                let most = *self.rng.pick(&[2_000_000_000, 2_000_000_000, 60_000_000_000, 7_200_000_000_000]);
                let back = Span::from_ns(self.rng.below(most));
                self.wall = self.wall.checked_sub(back).unwrap_or_default();
                return;
            }
            1 => {
                self.count_clock(FaultKind::ClockAhead, process);
                let most = *self.rng.pick(&[9_000_000_000, 4_000_000_000_000, 200_000_000_000_000]);
                self.wall = self.wall.saturating_add(Span::from_ns(self.rng.below(most)));
                return;
            }
            2..18 => self.rng.below(60_000_000_000),
            18..130 => 0,
            _ => self.rng.below(10_000_000),
        };
        self.let_pass(ns);
    }

    fn let_pass(&mut self, ns: u64) {
        self.wall = self.wall.saturating_add(Span::from_ns(ns));
        self.passed = self.passed.saturating_add(Span::from_ns(ns));
    }

    /// Operators correct or confirm clocks, and free space on full disks.
    pub(super) fn operate(&mut self, process: &mut Process) {
        if process.is_doubtful() && self.rng.percent(2) {
            let when = self.when(process);
            self.summary.coverage.count(FaultKind::ClockDoubted, when);
            if self.rng.percent(50) {
                process.confirm(self.reading());
            } else {
                self.wall = process.engine().clock();
            }
        }
        if self.free_bytes < super::ROOM_BYTES {
            if self.rng.percent(2) {
                self.free_bytes = super::ROOM_BYTES;
            }
        } else if self.rng.below(1_500) == 0 {
            let when = self.when(process);
            self.summary.coverage.count(FaultKind::DiskReserve, when);
            self.free_bytes = self.rng.below(1 << 20);
        }
    }

    fn count_clock(&mut self, fault: FaultKind, process: Option<&Process>) {
        let when = process.map_or(When::Starting, |process| self.when(process));
        self.summary.coverage.count(fault, when);
    }

    /// Lets time pass for an operation on a slow disk.
    pub(super) fn wait_for_the_disk(&mut self, process: &Process) {
        if self.slow_disk {
            let when = self.when(process);
            self.summary.coverage.count(FaultKind::SlowDisk, when);
            let ns = self.rng.below(5_000_000_000);
            self.let_pass(ns);
        }
    }

    /// The state of the process. If several operations are in progress, the most advanced one counts.
    pub(super) fn when(&self, process: &Process) -> When {
        let [queued, decided, waiting] = process.load();
        if process.shared.index.status().generations_waiting > 0 {
            return When::Sealing;
        }
        match process.next_step(self.passed) {
            Some(Step::Mark) => When::Unmarked,
            Some(Step::SaveKeys) => When::SavingKeys,
            Some(Step::Append) => When::Appending,
            Some(Step::Sync) => When::Unsynced,
            Some(Step::Index) => When::Unreleased,
            None if waiting > 0 => When::Unreleased,
            None if decided > 0 => When::Decided,
            None if queued > 0 => When::Queued,
            None if process.is_unmarked() => When::Unmarked,
            None => When::Idle,
        }
    }

    pub(super) fn make_trouble(&mut self) {
        let troubles = [
            Some(Trouble::Write),
            Some(Trouble::Sync),
            Some(Trouble::NoSpace),
            Some(Trouble::PowerLoss),
            Some(Trouble::PowerLoss),
            None,
        ];
        match *self.rng.pick(&troubles) {
            Some(trouble) => {
                let Machine { disk, keys, index, .. } = self.machine.clone();
                let well = u32::try_from(self.rng.below(9)).unwrap_or(0);
                match self.rng.below(10) {
                    0..2 => keys.trouble_here(trouble, well / 8),
                    2 => index.trouble_here(trouble, well),
                    _ => disk.trouble(trouble, well),
                }
            }
            None => self.slow_disk = !self.slow_disk,
        }
    }

    /// Handles the end of the process. The disk failed, a reader found damage, or it is a violation.
    pub(super) fn die(&mut self, process: &Process, death: &Death) -> Result<(), String> {
        let struck = self.machine.disk.struck();
        if !death.is_of_the_disk() {
            return Err(format!("SIM-6: {death}"));
        }
        let when = match death {
            Death::Index(_) => When::Sealing,
            Death::Keys(_) => When::SavingKeys,
            Death::Journal(Fault::Io { file, .. }) if file == "mark" => When::Unmarked,
            // A new segment was started, so the failed operation belongs to the rotation.
            Death::Journal(Fault::Io { .. }) if self.machine.disk.segments() > self.segments => When::Rotating,
            Death::Journal(Fault::Io { action: "write", .. }) => When::Appending,
            Death::Journal(Fault::Io { action: "sync", .. }) => When::Unsynced,
            Death::Journal(Fault::Io { .. }) => When::Rotating,
            Death::Journal(_) => self.when(process),
        };
        self.count_struck(struck, when);
        self.summary.failures += 1;
        // An engine that panicked in the middle of a batch is ahead of the model.
        let is_unwound = matches!(death, Death::Journal(Fault::Poisoned(why)) if why == super::UNWOUND);
        self.left = Some(held(process.engine())).filter(|_| !is_unwound);
        self.power(false);
        Ok(())
    }

    pub(super) fn count_struck(&mut self, struck: Option<Trouble>, when: When) {
        let fault = match struck {
            Some(Trouble::Write) => FaultKind::WriteError,
            Some(Trouble::Sync) => FaultKind::SyncError,
            Some(Trouble::NoSpace) => FaultKind::DiskFull,
            Some(Trouble::PowerLoss) => FaultKind::PowerLoss,
            Some(Trouble::Read) => FaultKind::ReadError,
            None => return,
        };
        self.summary.coverage.count(fault, when);
    }

    /// Ends the process without warning.
    pub(super) fn end(&mut self, process: &Process, crashes: bool) {
        self.left = Some(held(process.engine()));
        let when = self.when(process);
        let fault = self.power(crashes);
        self.summary.coverage.count(fault, when);
    }

    /// The process is gone, and sometimes the machine crashes too. The next start may meet faults of its own.
    pub(super) fn power(&mut self, crashes: bool) -> FaultKind {
        let fault = if crashes || self.rng.percent(60) {
            self.summary.crashes += 1;
            let crash = *self.rng.pick(&self.crashes);
            self.machine.disk.crash(crash, &mut self.rng);
            if crash == Crash::DropsUnsynced { FaultKind::CrashDropping } else { FaultKind::CrashTearing }
        } else {
            self.summary.kills += 1;
            self.machine.disk.restart(self.rng.percent(50));
            FaultKind::Kill
        };
        self.machine.disk.struck();
        if self.rng.percent(20) {
            let troubles = [Trouble::Write, Trouble::Sync, Trouble::NoSpace, Trouble::PowerLoss, Trouble::Read];
            let trouble = *self.rng.pick(&troubles);
            self.machine.disk.trouble(trouble, u32::try_from(self.rng.below(9)).unwrap_or(0));
        }
        fault
    }

    /// Flips a bit while no process runs. The choice of the bit depends on what the start must detect: after a proper
    /// stop the mark covers every frame.
    pub(super) fn rot_before_a_start(&mut self) {
        if self.rot.is_some() || !self.rng.percent(30) {
            return;
        }
        let (journal, index) = (self.machine.journal.clone(), self.machine.index.clone());
        let kind = *self.rng.pick(&[
            FaultKind::RotInFrame,
            FaultKind::RotInFrame,
            FaultKind::RotInTail,
            FaultKind::RotInMark,
            FaultKind::RotInIndex,
            FaultKind::RotInIndex,
        ]);
        let names = |disk: &crate::SimDisk| disk::Disk::list(disk).unwrap_or_default();
        let turn = |disk: &crate::SimDisk, name: &str, offset: usize, rng: &mut crate::Rng| disk.rot(name, offset, rng);
        let rot = match kind {
            FaultKind::RotInFrame if self.stopped => {
                let segments: Vec<String> =
                    names(&journal).into_iter().filter(|name| name.starts_with("segment-")).collect();
                if segments.is_empty() {
                    return;
                }
                let name = self.rng.pick(&segments).clone();
                let used = journal.used(&name).saturating_sub(HEADER_BYTES);
                if used == 0 {
                    return;
                }
                let offset = HEADER_BYTES + self.rng.place(used);
                turn(&journal, &name, offset, &mut self.rng)
            }
            FaultKind::RotInTail if self.stopped => {
                let segments: Vec<String> =
                    names(&journal).into_iter().filter(|name| name.starts_with("segment-")).collect();
                let Some(name) = segments.last().cloned() else { return };
                let used = journal.used(&name).saturating_sub(HEADER_BYTES);
                let length = journal.length(&name).unwrap_or(0);
                let Some(room) = length.checked_sub(HEADER_BYTES + used + GAP_BYTES).filter(|room| *room > 0) else {
                    return;
                };
                let offset = HEADER_BYTES + used + GAP_BYTES + self.rng.place(room);
                turn(&journal, &name, offset, &mut self.rng)
            }
            FaultKind::RotInMark if self.stopped => {
                let length = journal.length("mark").unwrap_or(0);
                if length == 0 {
                    return;
                }
                let offset = self.rng.place(length);
                turn(&journal, "mark", offset, &mut self.rng)
            }
            FaultKind::RotInIndex => {
                let files = names(&index);
                if files.is_empty() {
                    return;
                }
                let name = self.rng.pick(&files).clone();
                if self.rng.percent(30) {
                    let removed = disk::Disk::remove(&index, &name);
                    if removed.and_then(|()| disk::Disk::sync_directory(&index)).is_ok() {
                        self.summary.coverage.count(kind, When::Starting);
                    }
                    return;
                }
                let length = index.length(&name).unwrap_or(0);
                if length == 0 {
                    return;
                }
                let offset = self.rng.place(length);
                // Nobody has to restore an index file, because a start rebuilds damaged files.
                if turn(&index, &name, offset, &mut self.rng).is_some() {
                    self.bad_index = true;
                    self.summary.coverage.count(kind, When::Starting);
                }
                return;
            }
            // The previous process did not stop properly, so the start need not detect the bit.
            FaultKind::RotInFrame | FaultKind::RotInTail | FaultKind::RotInMark => return,
            // These are not flipped bits.
            FaultKind::Kill
            | FaultKind::CrashDropping
            | FaultKind::CrashTearing
            | FaultKind::PowerLoss
            | FaultKind::WriteError
            | FaultKind::SyncError
            | FaultKind::ReadError
            | FaultKind::DiskFull
            | FaultKind::DiskReserve
            | FaultKind::ClockBack
            | FaultKind::ClockAhead
            | FaultKind::ClockDoubted
            | FaultKind::SlowDisk
            | FaultKind::Duplicate
            | FaultKind::LostReply
            | FaultKind::Vanished => return,
        };
        if let Some(rot) = rot {
            self.summary.coverage.count(kind, When::Starting);
            self.rot = Some((rot, kind));
        }
    }

    /// Flips a bit while a process runs. Whoever reads it gets an error and no wrong data.
    pub(super) fn turn_a_bit_while_running(&mut self, process: &mut Process) -> Result<(), String> {
        if self.rot.is_some() || process.next_step(self.passed).is_some() {
            return Ok(());
        }
        let segments: Vec<String> = disk::Disk::list(&self.machine.journal).unwrap_or_default();
        let segments: Vec<&String> = segments.iter().filter(|name| name.starts_with("segment-")).collect();
        if segments.is_empty() {
            return Ok(());
        }
        let name = (*self.rng.pick(&segments)).clone();
        let used = self.machine.journal.used(&name).saturating_sub(HEADER_BYTES);
        if used == 0 {
            return Ok(());
        }
        let offset = HEADER_BYTES + self.rng.place(used);
        let Some(rot) = self.machine.journal.rot(&name, offset, &mut self.rng) else { return Ok(()) };
        let when = self.when(process);
        self.summary.coverage.count(FaultKind::RotInFrame, when);
        let reader = journal::SegmentStore::segments(process.journal());
        let mut from = Seq::new(1);
        let mut found = false;
        loop {
            match reader.read(from) {
                Ok(entries) if entries.is_empty() => break,
                Ok(entries) => {
                    self.checker.read(&entries)?;
                    from = entries.last().map_or(from, |last| last.header.seq).next();
                }
                Err(Fault::Damaged { .. } | Fault::Undecodable { .. }) => {
                    found = true;
                    break;
                }
                Err(fault) => return Err(format!("SIM-6: a flipped bit was reported as: {fault}")),
            }
        }
        self.machine.journal.mend(&rot);
        if !found {
            return Err(format!(
                "SIM-6: a bit of {} was flipped at byte {offset}, and no reader reported it",
                rot.name
            ));
        }
        self.summary.damages += 1;
        Ok(())
    }

    /// Handles a start that found damage. It must be the damage that this world caused. The operator restores the
    /// bytes.
    pub(super) fn damaged(&mut self, death: &Death) -> Result<(), String> {
        let Some((rot, kind)) = &self.rot else { return Err(format!("SIM-6: {death}")) };
        if *kind == FaultKind::RotInTail {
            return Err(format!("SIM-6: a flipped bit after the last frame was reported as: {death}"));
        }
        let named = matches!(death, Death::Journal(Fault::Damaged { file, .. }) if *file == rot.name);
        let excused = matches!(
            death,
            Death::Journal(
                Fault::Damaged { .. }
                    | Fault::Undecodable { .. }
                    | Fault::FormatVersion { .. }
                    | Fault::OtherShard { .. }
            )
        );
        if !named && !excused {
            return Err(format!("SIM-6: a flipped bit in {} was reported as: {death}", rot.name));
        }
        self.summary.damages += 1;
        self.mend();
        Ok(())
    }

    /// Handles a reader that found damage. The operator restores the bytes.
    pub(super) fn found(&mut self, fault: &Fault) {
        if matches!(fault, Fault::Damaged { .. } | Fault::Undecodable { .. }) {
            self.summary.damages += 1;
        }
        self.mend();
    }

    /// Called after a successful start. Files that the start rewrote need no repair.
    pub(super) fn settle(&mut self) {
        if self.rot.as_ref().is_some_and(|(_, kind)| *kind == FaultKind::RotInFrame) {
            self.mend();
        }
        self.rot = None;
    }

    /// Repairs a flipped bit.
    pub(super) fn mend(&mut self) {
        if let Some((rot, _)) = self.rot.take() {
            self.machine.journal.mend(&rot);
        }
    }
}
