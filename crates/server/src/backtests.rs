//! The backtests of a server: they wait in a queue, and one thread runs them one after another.
//!
//! Nothing about them is journaled. They and their results are in memory, bounded in number, and gone after a restart.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::backtests::{Asked, Backtest, BacktestPayment, Known, PaymentsFilter, State, problem};
use api::{ErrorCode, Problem};
use backtest::{Failure, Progress, Report, Wanted};
use disk::Directory;
use journal::FileReader;
use types::{ActorId, RequestId, TenantId, Timestamp};

use crate::clock::Stopwatch;
use crate::http::App;
use crate::watch::StopSign;

/// The most backtests of a tenant that are kept; the oldest that has ended makes room.
const KEPT_MAX: usize = 16;
/// The most backtests of a tenant that wait or run.
const UNENDED_MAX: usize = 4;
/// The most backtests of all tenants that wait or run. Each keeps its tenant open.
const UNENDED_IN_ALL_MAX: usize = 64;
/// The most results of all tenants together that are kept, each with at most about 25 MiB. The tenant with the most loses its oldest.
const RESULTS_MAX: usize = 32;
/// The thread's nice value, the lowest priority.
const NICE: i32 = 19;
/// How long the thread works before it looks whether to pause, which it does after every 64 entries: a thread of the server that wakes up on its processor may have to wait that long.
const WORKS_FOR: Duration = Duration::from_micros(500);
/// How many times as long it pauses, so that it takes at most a quarter of one processor.
const PAUSES: u32 = 3;

/// All backtests of a server.
#[derive(Debug, Default)]
pub(crate) struct Backtests {
    jobs: Arc<Mutex<Jobs>>,
}

#[derive(Debug, Default)]
struct Jobs {
    /// In the order in which they were asked for.
    all: VecDeque<Job>,
    /// Whether the thread runs.
    is_working: bool,
    /// The tenant whose backtest ran last: others come first.
    last: Option<TenantId>,
}

/// A backtest.
#[derive(Debug, Clone)]
struct Job {
    id: RequestId,
    tenant: TenantId,
    asked: Asked,
    created: (Timestamp, ActorId),
    ended_at: Option<Timestamp>,
    progress: Arc<Counted>,
    began: Option<Stopwatch>,
    /// Tells the thread to end it.
    cancel: StopSign,
    stage: Stage,
}

/// What the thread needs for a backtest.
#[derive(Debug, Clone)]
struct Work {
    wanted: Arc<Wanted>,
    /// What was durable when it was asked for. It shares no lock with the threads that write the journal, which must not wait for an idle thread.
    reader: FileReader<Directory>,
    /// The tenant stays open for it.
    app: Arc<App>,
}

/// How far a backtest is, without a lock for the same reason.
#[derive(Debug, Default)]
struct Counted {
    read: AtomicU64,
    total: AtomicU64,
    payments: AtomicU64,
}

impl Counted {
    fn set(&self, Progress { read, total, payments }: Progress) {
        self.read.store(read, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.payments.store(payments, Ordering::Relaxed);
    }

    fn get(&self) -> Progress {
        let [read, total, payments] =
            [&self.read, &self.total, &self.payments].map(|count| count.load(Ordering::Relaxed));
        Progress { read, total, payments }
    }
}

#[derive(Debug, Clone)]
enum Stage {
    Waiting(Work),
    Running,
    Done(Arc<Report>),
    Failed(Box<Problem>),
    Cancelled,
}

impl Stage {
    const fn has_ended(&self) -> bool {
        match self {
            Self::Waiting(_) | Self::Running => false,
            Self::Done(_) | Self::Failed(_) | Self::Cancelled => true,
        }
    }
}

impl Job {
    fn shown(&self, with_result: bool) -> Backtest {
        let state = match &self.stage {
            Stage::Waiting(_) => State::Waiting,
            Stage::Running => State::Running,
            Stage::Done(report) => State::Done(report),
            Stage::Failed(problem) => State::Failed(problem),
            Stage::Cancelled => State::Cancelled,
        };
        let known = Known {
            id: self.id,
            asked: &self.asked,
            state,
            progress: self.progress.get(),
            seconds_left: self.seconds_left(),
            created: self.created,
            ended_at: self.ended_at,
        };
        Backtest::new(&known, with_result)
    }

    fn seconds_left(&self) -> Option<u64> {
        let Progress { read, total, .. } = self.progress.get();
        let began = self.began.filter(|_| matches!(self.stage, Stage::Running))?;
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).ok()?;
        let left_ms = elapsed_ms.checked_mul(total.saturating_sub(read))?.checked_div(read)?;
        Some(left_ms.div_ceil(1_000))
    }

    fn end(&mut self, stage: Stage, at: Timestamp) {
        self.stage = stage;
        self.ended_at = Some(at);
    }
}

impl Backtests {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        lock(&self.jobs)
    }

    /// Puts a backtest of a tenant's journal into the queue.
    ///
    /// # Errors
    /// If too many of the tenant wait, or the thread cannot be started.
    pub(crate) fn start(&self, app: &Arc<App>, by: ActorId, wanted: Wanted) -> Result<(RequestId, Backtest), Problem> {
        let (tenant, now) = (app.core.tenant(), app.core.now());
        let reader = app.core.shared().reader.apart();
        let mut jobs = self.lock();
        let unended = jobs.all.iter().filter(|job| job.tenant == tenant && !job.stage.has_ended()).count();
        if unended >= UNENDED_MAX {
            let detail = format!("{unended} backtests wait or run, which is the limit; wait for one, or cancel one");
            return Err(Problem::new(ErrorCode::TooManyBacktests, detail));
        }
        if jobs.all.iter().filter(|job| !job.stage.has_ended()).count() >= UNENDED_IN_ALL_MAX {
            let detail = format!(
                "{UNENDED_IN_ALL_MAX} backtests of all tenants wait or run, which is the limit; try again later"
            );
            return Err(Problem::new(ErrorCode::TooManyBacktests, detail));
        }
        if !jobs.is_working {
            let shared = Arc::clone(&self.jobs);
            let worker = std::thread::Builder::new().name("backtests".to_owned());
            worker.spawn(move || work(&shared)).map_err(|error| {
                tracing::error!(%error, "cannot start the thread of backtests");
                Problem::new(ErrorCode::Internal, "internal error; the server log has the details")
            })?;
            jobs.is_working = true;
        }
        let mut bytes = [0; 16];
        datadir::random(&mut bytes);
        // 0 and the maximum are the ids of nothing.
        let id = RequestId::new(u128::from_le_bytes(bytes).clamp(1, u128::MAX - 1));
        let job = Job {
            id,
            tenant,
            asked: Asked::from(&wanted),
            created: (now, by),
            ended_at: None,
            progress: Arc::default(),
            began: None,
            cancel: StopSign::default(),
            stage: Stage::Waiting(Work { wanted: Arc::new(wanted), reader, app: Arc::clone(app) }),
        };
        let shown = job.shown(false);
        jobs.all.push_back(job);
        jobs.make_room(tenant);
        Ok((id, shown))
    }

    /// The backtests of a tenant, in the order in which they were asked for.
    pub(crate) fn list(&self, tenant: TenantId) -> Vec<Backtest> {
        self.lock().all.iter().filter(|job| job.tenant == tenant).map(|job| job.shown(false)).collect()
    }

    /// A backtest with its result.
    ///
    /// # Errors
    /// If the tenant has no such backtest.
    pub(crate) fn get(&self, tenant: TenantId, id: RequestId) -> Result<Backtest, Problem> {
        // A result is rendered without the lock, because that takes a while.
        let job = self.lock().find(tenant, id)?.clone();
        Ok(job.shown(true))
    }

    /// Tells a backtest to end, unless it has ended.
    ///
    /// # Errors
    /// If the tenant has no such backtest.
    pub(crate) fn cancel(&self, tenant: TenantId, id: RequestId, now: Timestamp) -> Result<Backtest, Problem> {
        let mut jobs = self.lock();
        let job = jobs.find(tenant, id)?;
        if !job.stage.has_ended() {
            job.cancel.raise();
            job.end(Stage::Cancelled, now);
        }
        Ok(job.shown(false))
    }

    /// Ends all backtests of a tenant, which is suspended or removed.
    pub(crate) fn end_all(&self, tenant: TenantId, now: Timestamp) {
        let mut jobs = self.lock();
        for job in jobs.all.iter_mut().filter(|job| job.tenant == tenant && !job.stage.has_ended()) {
            job.cancel.raise();
            job.end(Stage::Cancelled, now);
        }
    }

    /// Some of the payments of a result from the place `from` on, and the place at which the next ones begin.
    ///
    /// # Errors
    /// If there is no such result.
    pub(crate) fn payments(
        &self,
        (tenant, id): (TenantId, RequestId),
        filter: &PaymentsFilter,
        (from, limit): (usize, usize),
    ) -> Result<(Vec<BacktestPayment>, Option<usize>), Problem> {
        let report = {
            let mut jobs = self.lock();
            let job = jobs.find(tenant, id)?;
            let Stage::Done(report) = &job.stage else {
                let detail = format!("backtest {id} has no result; look it up to see its status");
                return Err(Problem::new(ErrorCode::BacktestNotDone, detail));
            };
            Arc::clone(report)
        };
        let mut found = report.kept.iter().enumerate().skip(from).filter(|(_, kept)| filter.fits(kept));
        let page: Vec<BacktestPayment> = found.by_ref().take(limit).map(|(_, kept)| kept.into()).collect();
        Ok((page, found.next().map(|(place, _)| place)))
    }
}

impl Jobs {
    fn find(&mut self, tenant: TenantId, id: RequestId) -> Result<&mut Job, Problem> {
        let found = self.all.iter_mut().find(|job| (job.tenant, job.id) == (tenant, id));
        found.ok_or_else(|| {
            let detail = format!("there is no backtest {id}; the server keeps the last {KEPT_MAX} since its start");
            Problem::new(ErrorCode::BacktestNotFound, detail)
        })
    }

    /// Forgets the oldest backtests that have ended.
    fn make_room(&mut self, tenant: TenantId) {
        let of_tenant = |job: &Job| job.tenant == tenant;
        while self.all.iter().filter(|job| of_tenant(job)).count() > KEPT_MAX {
            let Some(place) = self.all.iter().position(|job| of_tenant(job) && job.stage.has_ended()) else { break };
            self.all.remove(place);
        }
        let has_result = |job: &Job| matches!(job.stage, Stage::Done(_));
        loop {
            let mut results = BTreeMap::<TenantId, usize>::new();
            for job in self.all.iter().filter(|job| has_result(job)) {
                let count = results.entry(job.tenant).or_default();
                *count = count.saturating_add(1);
            }
            let most = results.iter().max_by_key(|(_, count)| **count).map(|(tenant, _)| *tenant);
            if results.values().sum::<usize>() <= RESULTS_MAX {
                return;
            }
            let oldest = self.all.iter().position(|job| Some(job.tenant) == most && has_result(job));
            let Some(place) = oldest else { return };
            self.all.remove(place);
        }
    }

    /// Takes the next backtest to run: the first that waits, but of another tenant than the last one if there is one.
    fn next(&mut self) -> Option<(RequestId, Work, Arc<Counted>, StopSign)> {
        let waits = |job: &Job| matches!(job.stage, Stage::Waiting(_));
        let of_others = self.all.iter().position(|job| waits(job) && Some(job.tenant) != self.last);
        let place = of_others.or_else(|| self.all.iter().position(waits))?;
        let job = self.all.get_mut(place)?;
        let Stage::Waiting(work) = std::mem::replace(&mut job.stage, Stage::Running) else { return None };
        job.began = Some(Stopwatch::start());
        self.last = Some(job.tenant);
        Some((job.id, work, Arc::clone(&job.progress), job.cancel.clone()))
    }
}

fn lock(jobs: &Mutex<Jobs>) -> MutexGuard<'_, Jobs> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets every other thread go first. A nice value alone lets a thread that runs finish its time slice of some milliseconds.
#[expect(unsafe_code, reason = "no safe library has this call")]
fn yield_to_others() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "backtests run at the usual priority");
    }
    // SAFETY: the structure consists of numbers, so zeros are a valid value; this policy takes no other priority.
    let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a structure of the right type that lives through the call, which only reads it. 0 is this thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } != 0 {
        tracing::debug!("backtests do not run as an idle thread");
    }
}

/// Runs backtests until none waits.
fn work(jobs: &Arc<Mutex<Jobs>>) {
    yield_to_others();
    loop {
        let (id, work, progress, cancel) = {
            let mut jobs = lock(jobs);
            match jobs.next() {
                Some(next) => next,
                None => {
                    jobs.is_working = false;
                    return;
                }
            }
        };
        let ran = catch_unwind(AssertUnwindSafe(|| run(&work, &progress, &cancel)));
        let Work { app, .. } = work;
        let stage = match ran {
            Ok(Ok(report)) => Stage::Done(Arc::new(report)),
            Ok(Err(Failure::Cancelled)) => Stage::Cancelled,
            Ok(Err(failure)) => {
                if let Failure::Journal(fault) = &failure {
                    app.core.shared().guard.note_fault(fault);
                }
                Stage::Failed(Box::new(problem(&failure)))
            }
            Err(_panic) => {
                tracing::error!(backtest = %id, "a backtest panicked");
                let detail = "internal error; the server log has the details";
                Stage::Failed(Box::new(Problem::new(ErrorCode::Internal, detail)))
            }
        };
        let now = app.core.now();
        let tenant = app.core.tenant();
        // From here on, the tenant may be closed.
        drop(app);
        let mut jobs = lock(jobs);
        if let Ok(job) = jobs.find(tenant, id)
            && !job.stage.has_ended()
        {
            job.end(stage, now);
        }
        jobs.make_room(tenant);
    }
}

/// Runs one backtest in small steps, with pauses between them.
fn run(Work { wanted, reader, app }: &Work, counted: &Counted, cancel: &StopSign) -> Result<Report, Failure> {
    let stopping = app.core.shared().stopping.subscribe();
    let mut since = Stopwatch::start();
    backtest::run(reader, wanted, &mut |progress| {
        let worked = since.elapsed();
        if worked < WORKS_FOR {
            return true;
        }
        counted.set(progress);
        let must_end = *stopping.borrow() || cancel.wait(worked.saturating_mul(PAUSES));
        since = Stopwatch::start();
        !must_end
    })
    .inspect(|report| {
        let all = report.last.get().saturating_mul(2);
        counted.set(Progress { read: all, total: all, payments: report.payments });
    })
}
