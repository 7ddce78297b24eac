//! Decides whether writes are allowed. Threads that find a problem (clock, disk space, damage) report it here, and the
//! engine thread asks before every batch.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use engine::WritesClosed;
use journal::Fault;
use pipeline::{ClockBounds, ClockGuard, DiskQuota, DiskSpace, Doubt, Gate};
use types::{ActorId, TenantId, Timestamp};

use crate::Core;
use crate::clock::Clocks;
use crate::metrics::Metrics;

pub(crate) struct Guard {
    of: GuardOf,
    clocks: Arc<dyn Clocks>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// The first tenant, if this is the guard of another shard.
    clock_of: OnceLock<Core>,
}

/// The shard of a guard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuardOf {
    pub(crate) tenant: TenantId,
    /// Whether it is the first tenant, which reports what concerns the whole process.
    pub(crate) is_first: bool,
}

struct State {
    clock: ClockGuard,
    gate: Gate,
    /// Segments in which damage was found, which the scrub writes down.
    suspects: BTreeSet<u64>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("gate", &self.lock().gate).finish_non_exhaustive()
    }
}

/// The result of confirming the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confirmed {
    /// The engine's time after the confirmation.
    pub(crate) now: Timestamp,
    /// Whether the clock was doubted before.
    pub(crate) was_doubted: bool,
}

impl Guard {
    /// A guard for a journal whose last entry was decided at `last`.
    pub(crate) fn new(
        of: GuardOf,
        clocks: Arc<dyn Clocks>,
        bounds: ClockBounds,
        last: Option<Timestamp>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let clock = ClockGuard::start(bounds, last, clocks.read());
        let state = State { clock, gate: Gate::default(), suspects: BTreeSet::new() };
        let guard = Self { of, clocks, metrics, state: Mutex::new(state), clock_of: OnceLock::new() };
        guard.observe();
        guard
    }

    /// The time to decide by, and why writes are refused, if they are.
    pub(crate) fn observe(&self) -> (Timestamp, Option<WritesClosed>) {
        self.change(|state| {
            // Both are read under the lock so that readings stay in order.
            let reading = self.clocks.read();
            let now = state.clock.observe(reading);
            #[expect(clippy::cast_precision_loss, reason = "a metric in seconds")]
            self.metrics.clock_behind.set(state.clock.behind(reading.wall).ns() as f64 / 1e9);
            state.gate.note_clock(state.clock.doubt().or_else(|| self.doubt_of_the_first()));
            (now, state.gate.why())
        })
    }

    /// Follows what the first tenant knows about the clock, from now on. While its clock is doubted, this shard writes nothing
    /// either. If it is believed now, this shard believes it too, however long ago its own last entry was. A shard whose
    /// last entry is after the present time keeps its doubt.
    pub(crate) fn follow_clock_of(&self, first: &Core) {
        // It is set once, right after the shard was opened.
        drop(self.clock_of.set(first.clone()));
        self.observe();
        let is_ahead = self.lock().clock.doubt().is_some_and(|doubt| doubt.wall > doubt.expected);
        if is_ahead && first.shared().guard.is_clock_believed() {
            self.confirm_clock(ActorId::SYSTEM);
        }
    }

    fn doubt_of_the_first(&self) -> Option<Doubt> {
        self.clock_of.get().and_then(|first| first.shared().guard.lock().clock.doubt())
    }

    /// Why writes are refused, if they are.
    pub(crate) fn why(&self) -> Option<WritesClosed> {
        self.lock().gate.why()
    }

    /// Whether the wall clock is believed.
    pub(crate) fn is_clock_believed(&self) -> bool {
        self.lock().clock.doubt().is_none()
    }

    /// Records the free space of the fullest disk.
    pub(crate) fn note_disk(&self, space: DiskSpace) {
        self.metrics.disk_free.set(i64::try_from(space.free_bytes).unwrap_or(i64::MAX));
        self.change(|state| state.gate.note_disk(space));
    }

    /// Records how much disk a tenant with a quota uses; `None` if it has no quota.
    pub(crate) fn note_quota(&self, quota: Option<DiskQuota>) {
        self.change(|state| state.gate.note_quota(quota));
    }

    /// Records that reading the journal failed. Damage stops the writes.
    pub(crate) fn note_fault(&self, fault: &Fault) {
        if fault.is_damage() {
            self.change(|state| {
                state.gate.note_damage(&fault.to_string());
                state.suspects.extend(fault.segment());
            });
        }
    }

    /// Segments in which damage was found.
    pub(crate) fn suspects(&self) -> BTreeSet<u64> {
        self.lock().suspects.clone()
    }

    /// Accepts the wall clock because an operator confirmed it.
    pub(crate) fn confirm_clock(&self, by: ActorId) -> Confirmed {
        self.change(|state| {
            let reading = self.clocks.read();
            state.clock.observe(reading);
            let doubt = state.clock.doubt();
            if let Some(doubt) = doubt {
                state.clock.confirm(reading);
                let (wall, expected) = (doubt.wall.to_string(), doubt.expected.to_string());
                if self.of.is_first {
                    tracing::warn!(actor = by.get(), wall, expected, "the clock was confirmed");
                }
            }
            let now = state.clock.observe(reading);
            state.gate.note_clock(state.clock.doubt().or_else(|| self.doubt_of_the_first()));
            Confirmed { now, was_doubted: doubt.is_some() }
        })
    }

    /// Changes the state, and logs once if that opens or closes the writes.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let before = state.gate.reasons();
        let changed = change(&mut state);
        let after = state.gate.reasons();
        if before == after {
            return changed;
        }
        let (before_any, why) = (before.contains(&true), state.gate.why());
        drop(state);
        self.metrics.set_writes_closed(after);
        let tenant = self.of.tenant.get();
        match why {
            Some(why @ WritesClosed::JournalDamaged(_)) => tracing::error!(tenant, %why, "writes are refused"),
            Some(why @ WritesClosed::DiskQuotaReached { .. }) => tracing::warn!(tenant, %why, "writes are refused"),
            Some(why @ (WritesClosed::DiskReserveReached { .. } | WritesClosed::ClockNotBelieved { .. })) => {
                if self.of.is_first {
                    tracing::warn!(tenant, %why, "writes are refused");
                } else {
                    // All shards have the same disk and clock, and the first tenant reports them.
                    tracing::debug!(tenant, %why, "writes are refused");
                }
            }
            None if before_any && self.of.is_first => tracing::info!(tenant, "writes are accepted again"),
            None if before_any => tracing::debug!(tenant, "writes are accepted again"),
            None => {}
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use engine::{Answered, OpenLedger, Refusal, query};
    use pipeline::Reading;
    use types::{LedgerId, RequestId, Span};

    use super::*;
    use crate::{Opened, Options};

    /// Clocks that a test sets, in seconds.
    #[derive(Debug)]
    struct TestClocks(Mutex<(u64, u64)>);

    impl Clocks for TestClocks {
        fn read(&self) -> Reading {
            let (wall, monotonic) = *self.0.lock().unwrap();
            let wall = Timestamp::from_ns(wall * 1_000_000_000);
            Reading { wall, monotonic: Span::from_secs(monotonic), is_synchronised: false }
        }
    }

    impl TestClocks {
        /// Advances each clock by its own amount.
        fn pass(&self, wall: u64, monotonic: u64) {
            let mut now = self.0.lock().unwrap();
            *now = (now.0 + wall, now.1 + monotonic);
        }
    }

    async fn open_ledger(core: &Core, id: u32) -> Answered<OpenLedger> {
        let asset = "EUR/2".parse().unwrap();
        let open = OpenLedger { id: LedgerId::new(id), asset };
        core.ask(ActorId::SYSTEM, RequestId::default(), open).await.unwrap()
    }

    #[track_caller]
    fn assert_refused(answer: &Answered<OpenLedger>) {
        let refused = matches!(answer, Err(Refusal::WritesClosed(WritesClosed::ClockNotBelieved { .. })));
        assert!(refused, "{answer:?}");
    }

    #[tokio::test]
    async fn a_clock_that_jumps_ahead_stops_the_writes_until_it_is_back_or_confirmed() {
        let data = tempfile::tempdir().unwrap();
        let clocks = Arc::new(TestClocks(Mutex::new((1_000_000, 50))));
        let options = Options { disk_reserve_bytes: 0, ..Options::new(data.path()) };
        let opened = Opened::open_by(&options, Arc::clone(&clocks) as Arc<dyn Clocks>).unwrap();
        let core = opened.core.clone();
        open_ledger(&core, 1).await.unwrap();
        clocks.pass(3_600, 5);
        assert_refused(&open_ledger(&core, 2).await);
        let durable = core.durable();
        let ledgers = core.ask(ActorId::SYSTEM, RequestId::default(), query::Ledgers);
        assert!(ledgers.await.unwrap().is_ok(), "reads go on");
        assert_eq!(core.now(), Timestamp::from_ns(1_000_005 * 1_000_000_000), "by the monotonic clock");
        assert_eq!(core.durable(), durable, "nothing was written");
        // The clock becomes right by itself.
        *clocks.0.lock().unwrap() = (1_000_007, 57);
        open_ledger(&core, 2).await.unwrap();
        // The jump was right after all.
        clocks.pass(7_200, 1);
        assert_refused(&open_ledger(&core, 3).await);
        assert!(core.confirm_clock(ActorId::SYSTEM).was_doubted);
        assert!(!core.confirm_clock(ActorId::SYSTEM).was_doubted);
        open_ledger(&core, 3).await.unwrap();
        let last = core.entry(core.durable()).await.unwrap().unwrap();
        assert_eq!(last.header.decided_at, Timestamp::from_ns(1_007_207 * 1_000_000_000));
        drop(core);
        opened.close().unwrap();
        // A start a day and a second after the last entry.
        clocks.pass(86_401, 86_401);
        let opened = Opened::open_by(&options, Arc::clone(&clocks) as Arc<dyn Clocks>).unwrap();
        assert_refused(&open_ledger(&opened.core, 4).await);
        opened.close().unwrap();
        let confirmed = Options { confirm_clock: true, ..options };
        let opened = Opened::open_by(&confirmed, clocks as Arc<dyn Clocks>).unwrap();
        open_ledger(&opened.core, 4).await.unwrap();
        opened.close().unwrap();
    }
}
