//! The background thread: it writes generations as runs, merges every eight runs, and builds the tables of chosen
//! fields.
//!
//! The thread does one task at a time, the most urgent first. A merge may take seconds, so it pauses regularly to do
//! what has become more urgent, such as new generations and smaller merges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use disk::Disk;
use types::Origin;

use crate::fault::Fault;
use crate::fields::{self, Wanted};
use crate::log::Log;
use crate::run::{Run, Waiting};
use crate::view::{Listed, Shared, State};

/// How many runs are merged into one.
pub(crate) const FAN_IN: usize = 8;
/// How often the thread checks again whether the disk has space.
const ROOM_EVERY: Duration = Duration::from_secs(1);
/// With this many runs at one level, merging them takes precedence over new generations, which then have to wait.
const OVERDUE: usize = 2 * FAN_IN;

/// A task of the thread.
#[derive(Debug)]
enum Task {
    Seal(Arc<Waiting>),
    /// Merge these runs, each of which covers `FAN_IN` to the power of the level generations.
    Merge(Vec<Listed>, u32),
    Complete(Listed, Wanted),
}

#[derive(Debug)]
pub(crate) struct Worker<D: Disk> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: D,
    pub(crate) origin: Origin,
    pub(crate) log: Arc<dyn Log>,
}

/// The fault that ends unfinished work when the index closes.
fn stopping() -> Fault {
    Fault::Stopped("it is closing".to_owned())
}

/// Records that the thread is gone if it panics.
struct Alive<'a>(&'a Shared);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if std::thread::panicking() {
            state.failed.get_or_insert_with(|| Fault::Stopped("the background thread panicked".to_owned()));
        }
        self.0.notify();
    }
}

impl<D: Disk> Worker<D> {
    /// Works until the owner is dropped or a fault occurs.
    pub(crate) fn run(self) {
        let _alive = Alive(&self.shared);
        loop {
            match self.attend(None).and_then(|()| self.pause()) {
                Ok(()) => {}
                Err(fault) if fault.is_lack_of_room() => {
                    if !self.wait_for_room(&fault) {
                        return;
                    }
                }
                Err(fault) => return self.give_up(fault),
            }
        }
    }

    /// Does all pending work on the caller's thread.
    pub(crate) fn work(&self) {
        if self.shared.lock().failed.is_some() {
            return;
        }
        match self.attend(None) {
            Ok(()) => {
                let mut state = self.shared.lock();
                state.idle = !state.merges_wait;
                state.merges_wait = false;
            }
            Err(fault) if fault.is_lack_of_room() => self.shared.lock().short = Some(fault.to_string()),
            Err(fault) => self.give_up(fault),
        }
    }

    /// Waits briefly for disk space. Returns false if the owner is being dropped.
    fn wait_for_room(&self, fault: &Fault) -> bool {
        let mut state = self.shared.lock();
        state.short = Some(fault.to_string());
        self.shared.notify();
        if !state.stopping {
            state = self.shared.wait_for(state, ROOM_EVERY);
        }
        !state.stopping
    }

    /// Whether a merge of these runs leaves enough disk space free. A disk that does not report its free space counts
    /// as large enough.
    fn has_room(&self, inputs: &[Listed]) -> bool {
        let tables = |input: &Listed| input.fields.values().map(|table| table.bytes()).sum::<u64>();
        let written: u64 = inputs.iter().map(|input| input.run.bytes().0 + tables(input)).sum();
        let kept_free = self.shared.kept_free.load(Ordering::Relaxed);
        self.disk.free_bytes().map_or(true, |free| free >= written.saturating_add(kept_free))
    }

    fn give_up(&self, fault: Fault) {
        let mut state = self.shared.lock();
        match fault {
            Fault::Log(damage) if damage.is_damage() => {
                state.short.get_or_insert_with(|| damage.to_string());
                state.log_damage.get_or_insert(Arc::new(damage));
            }
            fault @ (Fault::Io { .. }
            | Fault::Damaged { .. }
            | Fault::Log(_)
            | Fault::NoRoom(_)
            | Fault::Stopped(_)) => {
                if !state.stopping {
                    state.failed.get_or_insert(fault);
                }
            }
        }
        self.shared.notify();
    }

    /// Waits until there may be something to do.
    fn pause(&self) -> Result<(), Fault> {
        let mut state = self.shared.lock();
        loop {
            if state.stopping {
                return Err(stopping());
            }
            if next_task(&state, None).is_some() {
                return Ok(());
            }
            if state.merges_wait {
                state = self.shared.wait_for(state, ROOM_EVERY);
                state.merges_wait = false;
                continue;
            }
            if !state.idle {
                state.idle = true;
                self.shared.notify();
            }
            state = self.shared.wait(state);
        }
    }

    /// Does all pending tasks. While a merge of some level is under way, it does only tasks that are more urgent than
    /// that merge.
    fn attend(&self, merging: Option<u32>) -> Result<(), Fault> {
        loop {
            let task = {
                let mut state = self.shared.lock();
                if state.stopping {
                    return Err(stopping());
                }
                let task = next_task(&state, merging);
                state.idle &= task.is_none();
                task
            };
            match task {
                None => return Ok(()),
                Some(Task::Seal(waiting)) => self.seal(&waiting)?,
                Some(Task::Merge(inputs, _)) if !self.has_room(&inputs) => self.shared.lock().merges_wait = true,
                Some(Task::Merge(inputs, level)) => self.merge(&inputs, level)?,
                Some(Task::Complete(listed, wanted)) => self.complete(&listed, &wanted)?,
            }
        }
    }

    fn seal(&self, waiting: &Arc<Waiting>) -> Result<(), Fault> {
        let wanted = self.shared.lock().choices.lacking(&BTreeMap::new());
        let extents = [waiting.extent()];
        let fields =
            fields::build(&self.disk, self.origin, &*self.log, &wanted, (waiting.number, &extents), &mut || Ok(()))?;
        let run = Arc::new(Run::seal(&self.disk, self.origin, waiting)?);
        self.sync_directory()?;
        let mut state = self.shared.lock();
        // Both lists change under one lock, so that a query finds the generation in exactly one of them.
        state.view.waiting.remove(0);
        let runs = state.view.runs.iter().cloned().chain([Listed { run, fields }]).collect();
        self.shared.set_runs(&mut state, runs);
        state.short = None;
        Ok(())
    }

    fn merge(&self, inputs: &[Listed], level: u32) -> Result<(), Fault> {
        let runs: Vec<Arc<Run>> = inputs.iter().map(|input| Arc::clone(&input.run)).collect();
        let tables: Vec<_> = inputs.iter().map(|input| input.fields.clone()).collect();
        let mut yielded = || self.attend(Some(level));
        let fields = fields::merge_all(&self.disk, self.origin, &tables, &mut yielded)?;
        let run = Arc::new(Run::merge(&self.disk, self.origin, &runs, &mut yielded)?);
        self.sync_directory()?;
        self.replace(inputs, Listed { run, fields });
        for input in inputs {
            input.run.remove();
            input.fields.values().for_each(|table| table.remove());
        }
        Ok(())
    }

    fn complete(&self, listed: &Listed, wanted: &Wanted) -> Result<(), Fault> {
        let extents: Vec<_> = listed.run.generations.iter().map(|row| row.extent()).collect();
        let built = {
            // Only smaller merges run meanwhile, and those do not change this run.
            let mut yielded = || self.attend(Some(level(listed)));
            fields::build(&self.disk, self.origin, &*self.log, wanted, (listed.run.first(), &extents), &mut yielded)?
        };
        self.sync_directory()?;
        let mut fields = listed.fields.clone();
        fields.extend(built);
        self.replace(std::slice::from_ref(listed), Listed { run: Arc::clone(&listed.run), fields });
        Ok(())
    }

    /// Replaces the adjacent runs `inputs` by `output`.
    fn replace(&self, inputs: &[Listed], output: Listed) {
        let mut state = self.shared.lock();
        let mut runs = state.view.runs.to_vec();
        let start = runs.partition_point(|listed| listed.run.first() < output.run.first());
        runs.splice(start..start + inputs.len(), [output]);
        self.shared.set_runs(&mut state, runs);
    }

    fn sync_directory(&self) -> Result<(), Fault> {
        self.disk.sync_directory().map_err(Fault::io("sync the directory of", "the index"))
    }
}

/// The most urgent task. If a merge of level `merging` is under way, only tasks that are more urgent than it count.
fn next_task(state: &State, merging: Option<u32>) -> Option<Task> {
    let runs = &state.view.runs;
    let levels = runs.first().map_or(0, |listed| level(listed) + 1);
    let count = |of: u32| runs.iter().filter(|listed| level(listed) == of).count();
    let mut smaller = if state.merges_wait { 0..0 } else { 0..merging.unwrap_or(levels) };
    let merge = |of| group(runs, of).map(|inputs| Task::Merge(inputs, of));
    if let Some(task) = smaller.clone().filter(|&of| count(of) >= OVERDUE).find_map(merge) {
        return Some(task);
    }
    if merging.is_some_and(|of| count(of) >= OVERDUE) {
        return None;
    }
    if let Some(waiting) = state.view.waiting.first() {
        return Some(Task::Seal(Arc::clone(waiting)));
    }
    smaller.find_map(merge).or_else(|| {
        let lacking = |listed: &Listed| (listed.clone(), state.choices.lacking(&listed.fields));
        let mut incomplete =
            runs.iter().rev().map(lacking).filter(|(_, wanted)| merging.is_none() && !wanted.is_empty());
        incomplete.next().map(|(listed, wanted)| Task::Complete(listed, wanted))
    })
}

/// The oldest adjacent runs of a level that can be merged into one of the next level.
fn group(runs: &[Listed], of: u32) -> Option<Vec<Listed>> {
    let start = runs.iter().position(|listed| level(listed) == of)?;
    let group = runs.get(start..start + FAN_IN)?;
    group.iter().all(|listed| level(listed) == of).then(|| group.to_vec())
}

/// How often the generations of a run were merged.
fn level(listed: &Listed) -> u32 {
    listed.run.width().ilog(FAN_IN as u64)
}
