//! The watch thread: twice a second, also without any requests, it checks the clock, the free disk space and the index's
//! thread.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use disk::{Directory, Disk};
use pipeline::{DiskQuota, DiskSpace};

use crate::clock::Stopwatch;
use crate::core::Core;
use crate::tenants::size;
use crate::threads::CommitError;

/// Interval between two checks.
const EVERY: Duration = Duration::from_millis(500);
/// Every how many checks the files of a tenant with a quota are measured.
const MEASURE_EVERY_LOOKS: u64 = 4;

/// Tells background threads to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopSign(Arc<(Mutex<bool>, Condvar)>);

impl StopSign {
    pub(crate) fn raise(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits for `span`. Returns true if the thread must end.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let since = Stopwatch::start();
        let mut raised = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = time.saturating_sub(since.elapsed());
            if *raised || left.is_zero() {
                return *raised;
            }
            raised = self.0.1.wait_timeout(raised, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The directories whose disks are checked, and the bytes that must stay free on each.
#[derive(Debug)]
pub(crate) struct Reserve {
    pub(crate) directories: Vec<Directory>,
    pub(crate) bytes: u64,
}

impl Reserve {
    /// The free space of the fullest disk; `None` if the system does not report it.
    fn look(&self) -> Option<DiskSpace> {
        let room = |directory: &Directory| match directory.free_bytes() {
            Ok(free_bytes) => Some(DiskSpace {
                directory: directory.path().to_string_lossy().into(),
                free_bytes,
                reserve_bytes: self.bytes,
            }),
            Err(error) => {
                tracing::debug!(%error, directory = %directory.path().display(), "cannot read the free space of the disk");
                None
            }
        };
        self.directories.iter().filter_map(room).min_by_key(|space| space.free_bytes)
    }
}

/// Checks once.
pub(crate) fn look(core: &Core, reserve: &Reserve) {
    let shared = core.shared();
    if let Some(space) = reserve.look() {
        shared.guard.note_disk(space);
    }
    shared.guard.observe();
    if let Some(damage) = shared.index.log_damage() {
        shared.guard.note_fault(&damage);
    }
    if let Err(fault) = shared.index.check() {
        core.give_up(CommitError::Index(fault));
    }
}

/// Compares the size of the tenant's files with its quota, if it has one.
fn measure(core: &Core, reserve: &Reserve) {
    let shared = core.shared();
    let quota = shared.installation.disk_quota(core.tenant()).map(|quota_bytes| {
        let used_bytes = reserve.directories.iter().map(|directory| size::of(directory.path())).sum();
        DiskQuota { used_bytes, quota_bytes }
    });
    shared.guard.note_quota(quota);
}

/// Checks until the thread is told to end.
pub(crate) fn run(core: &Core, reserve: &Reserve, stop: &StopSign) {
    for round in 0_u64.. {
        look(core, reserve);
        if round.is_multiple_of(MEASURE_EVERY_LOOKS) {
            measure(core, reserve);
        }
        if stop.wait(EVERY) {
            return;
        }
    }
}
