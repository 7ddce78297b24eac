//! The background thread: makes runs of generations, merges runs by eight, completes tables of chosen fields.
//!
//! One thread does one thing at a time, the most urgent first. A merge may take seconds, so it looks up every now and
//! then, and what became more urgent meanwhile, generations and smaller merges, is done before it goes on.

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

/// Runs that are merged into one.
pub(crate) const FAN_IN: usize = 8;
/// How often it looks whether there is room on the disk again.
const ROOM_EVERY: Duration = Duration::from_secs(1);
/// Runs of one level from which on merging them goes before new generations, which then have to wait.
const OVERDUE: usize = 2 * FAN_IN;

/// What the thread does next.
#[derive(Debug)]
enum Task {
    Seal(Arc<Waiting>),
    /// These runs, each of `FAN_IN` to the power of the level generations.
    Merge(Vec<Listed>, u32),
    Complete(Listed, Wanted),
}

/// What the thread needs.
#[derive(Debug)]
pub(crate) struct Worker<D: Disk> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: D,
    pub(crate) origin: Origin,
    pub(crate) log: Arc<dyn Log>,
}

/// Why work ends before it is done.
fn stopping() -> Fault {
    Fault::Stopped("it is closing".to_owned())
}

/// Says that the thread is gone, should it panic.
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
    /// Works until the owner goes away or the world fails.
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

    /// Does all there is to do, on the caller's thread.
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

    /// Waits a moment for room on the disk; false when the owner goes away.
    fn wait_for_room(&self, fault: &Fault) -> bool {
        let mut state = self.shared.lock();
        state.short = Some(fault.to_string());
        self.shared.notify();
        if !state.stopping {
            state = self.shared.wait_for(state, ROOM_EVERY);
        }
        !state.stopping
    }

    /// Whether a merge of these runs leaves the disk as much room as it should; a disk that does not say has it.
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

    /// Does all there is to do; while a merge of some level is under way, only what is more urgent than it.
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
        // In one step, so that a query finds the generation in one of both places.
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
            // Smaller merges do not touch this run.
            let mut yielded = || self.attend(Some(level(listed)));
            fields::build(&self.disk, self.origin, &*self.log, wanted, (listed.run.first(), &extents), &mut yielded)?
        };
        self.sync_directory()?;
        let mut fields = listed.fields.clone();
        fields.extend(built);
        self.replace(std::slice::from_ref(listed), Listed { run: Arc::clone(&listed.run), fields });
        Ok(())
    }

    /// Puts `output` in the place of `inputs`, which stand side by side.
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

/// The most urgent task, among those more urgent than a merge of level `merging` if one is under way.
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

/// The oldest runs of a level that make one of the next.
fn group(runs: &[Listed], of: u32) -> Option<Vec<Listed>> {
    let start = runs.iter().position(|listed| level(listed) == of)?;
    let group = runs.get(start..start + FAN_IN)?;
    group.iter().all(|listed| level(listed) == of).then(|| group.to_vec())
}

/// How often the generations of a run were merged.
fn level(listed: &Listed) -> u32 {
    listed.run.width().ilog(FAN_IN as u64)
}
