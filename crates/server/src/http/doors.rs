//! Where requests are admitted or refused, and the watch over how long they wait; see [`edge::admission`].

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use edge::admission::{
    Address, Admission, By, Client, Limits, RATE_LIMIT, RATE_LIMIT_POLICY, Refusal, Standing, units,
};
use tokio::net::UnixStream;
use tokio::sync::{Notify, Semaphore};
use types::{Span, TenantId};

use crate::Core;
use crate::clock::{Stopwatch, duration, span};
use crate::http::bodies::Bodies;
use crate::http::failure::Failure;
use crate::http::host::Host;
use crate::metrics::Metrics;

/// How often the watch looks how late it is.
const TICK: Duration = Duration::from_millis(10);
/// How long a window of measurements is, at the end of which limits change.
const WINDOW: Duration = Duration::from_millis(100);
/// Most answers that wait at the same time, because their senders ignore refusals. Further ones are sent at once.
const HELD_BACK_MAX: usize = 16_384;
/// How often the log says how many requests were refused.
const REPORT_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Doors {
    admission: Mutex<Admission>,
    /// The clock of the admission.
    clock: Stopwatch,
    is_watching: AtomicBool,
    begun: Notify,
    held_back: Semaphore,
    /// Chosen at random, so that nobody can make two credentials look the same.
    credentials: RandomState,
    pub(crate) bodies: Arc<Bodies>,
    metrics: Arc<Metrics>,
}

/// A request that was admitted.
#[derive(Debug)]
pub(crate) struct Admitted {
    client: Client,
    quota: Option<u32>,
    units: u64,
    standing: Standing,
}

/// From whom the last request of a connection came, if it was refused. While its sender has no room for another request, the
/// next ones are refused before anything else is done with them.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastRefused(Arc<Mutex<Option<Refused>>>);

/// Whether a client showed a valid credential on a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownClient(Arc<AtomicBool>);

impl KnownClient {
    pub(crate) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_known(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Clone, Copy)]
struct Refused {
    /// A hash of the credential, which every further request has to show as well.
    credential: u64,
    client: Client,
    quota: Option<u32>,
}

impl LastRefused {
    fn lock(&self) -> MutexGuard<'_, Option<Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Doors {
    pub(crate) fn new(limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            admission: Mutex::new(Admission::new(limits)),
            clock: Stopwatch::start(),
            is_watching: AtomicBool::new(false),
            begun: Notify::new(),
            held_back: Semaphore::new(HELD_BACK_MAX),
            credentials: RandomState::new(),
            bodies: Arc::default(),
            metrics,
        }
    }

    fn now(&self) -> Span {
        span(self.clock.elapsed())
    }

    /// The admission, which is about to change, so that the watch has to run.
    fn lock(&self) -> MutexGuard<'_, Admission> {
        if !self.is_watching.load(Ordering::Relaxed) {
            self.begun.notify_one();
        }
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, refusal: Box<Refusal>) -> Failure {
        self.metrics.count_refused(refusal.by);
        refusal.into()
    }

    /// Admits a request of a client, or refuses it and notes that for the connection. `quota` is the quota of the tenant, if it has
    /// one.
    ///
    /// # Errors
    /// If the request is refused.
    pub(crate) fn admit(
        &self,
        client: Client,
        quota: Option<u32>,
        (headers, last_refused): (&HeaderMap, Option<&LastRefused>),
    ) -> Result<Admitted, Failure> {
        let units = declared_units(headers);
        let asked = self.lock().ask(self.now(), client, units, quota);
        if let (Err(_), Some(last), Some(credential)) = (&asked, last_refused, self.credential(headers)) {
            *last.lock() = Some(Refused { credential, client, quota });
        }
        let standing = asked.map_err(|refusal| self.refused(refusal))?;
        self.metrics.requests_admitted.inc();
        Ok(Admitted { client, quota, units, standing })
    }

    /// A hash of the credential of a request that has one.
    fn credential(&self, headers: &HeaderMap) -> Option<u64> {
        Some(self.credentials.hash_one(headers.get(header::AUTHORIZATION)?.as_bytes()))
    }

    /// Refuses a request if the last one of its connection was refused, had the same credential, and its sender still has no room.
    /// `may_be_refused` says whether a request like this is ever refused unread.
    /// To find out who sent a request, where it goes and how it is logged costs most of what a refusal costs.
    pub(crate) fn refuse_again(
        &self,
        last_refused: &LastRefused,
        headers: &HeaderMap,
        may_be_refused: impl FnOnce() -> bool,
    ) -> Option<Failure> {
        let mut last = last_refused.lock();
        let Refused { credential, client, quota } = (*last)?;
        if self.credential(headers) == Some(credential)
            && may_be_refused()
            && let Some(refusal) = self.lock().refuse(self.now(), client, declared_units(headers), quota)
        {
            return Some(self.refused(refusal));
        }
        *last = None;
        None
    }

    /// Counts the body of an admitted request if it is larger than its head said.
    pub(crate) fn received(&self, admitted: &mut Admitted, body_bytes: usize) {
        let received = units(u64::try_from(body_bytes).unwrap_or(u64::MAX));
        let more = received.saturating_sub(admitted.units);
        if more > 0 {
            admitted.units = received;
            self.lock().add(self.now(), admitted.client, more, admitted.quota);
        }
    }

    /// Counts the answer to an admitted request, and adds to it how the client stands with its limits.
    pub(crate) fn answered(&self, admitted: &Admitted, answer: &mut HeaderMap) {
        self.lock().answered(admitted.client.tenant, admitted.units);
        show(admitted.standing, answer);
    }

    /// Asks whether a credential of this address may be checked if that is costly.
    ///
    /// # Errors
    /// If too many requests from there could not be authenticated.
    pub(crate) fn may_check(&self, address: Address) -> Result<(), Failure> {
        let asked = self.lock().may_check(self.now(), address);
        asked.map_err(|refusal| self.refused(refusal))
    }

    /// Counts a request that could not be authenticated, and chooses its answer: after too many, the sender learns nothing more. It counts also if its
    /// credential is malformed (400), or if what is needed to check it is not there yet (503), because anybody can cause that.
    pub(crate) fn unauthenticated(&self, address: Address, failure: Failure) -> Failure {
        if !matches!(failure.status(), 400 | 401 | 503) {
            return failure;
        }
        match self.lock().failed(self.now(), address) {
            Ok(()) => failure,
            Err(refusal) => self.refused(refusal),
        }
    }

    /// Counts a request that could not be authenticated. The next one learns that there were too many.
    pub(crate) fn note_unauthenticated(&self, address: Address) {
        if let Err(refusal) = self.lock().failed(self.now(), address) {
            tracing::debug!(refusal = ?refusal.by, "too many requests of an address could not be authenticated");
        }
    }

    /// Delays a refusal as [`Refusal::late`] says, but not longer than until the server begins to stop. Returns for how long.
    pub(crate) async fn hold_back(&self, failure: &Failure, core: &Core) -> Duration {
        let late = failure.refusal().map_or(Span::ZERO, |refusal| refusal.late);
        if late == Span::ZERO {
            return Duration::ZERO;
        }
        let Ok(_waits) = self.held_back.try_acquire() else { return Duration::ZERO };
        let since = Stopwatch::start();
        let mut stopping = core.stopping();
        drop(tokio::time::timeout(duration(late), stopping.wait_for(|is_stopping| *is_stopping)).await);
        since.elapsed()
    }

    fn end_window(&self, length: Duration, lag: Duration, waits: &[(TenantId, Duration)]) -> bool {
        let wait = |tenant: TenantId| {
            let found = waits.iter().find(|(of, _)| *of == tenant);
            found.map_or(Span::ZERO, |(_, wait)| span(*wait))
        };
        let mut admission = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        admission.end_window(self.now(), span(length), span(lag), wait);
        let (limit, is_calm) = (admission.limit(), admission.is_calm());
        drop(admission);
        let longest = waits.iter().map(|(_, wait)| *wait).max().unwrap_or_default();
        self.metrics.set_admission(lag.as_secs_f64(), longest.as_secs_f64(), limit);
        is_calm
    }
}

/// The units of a request by what its head says.
fn declared_units(headers: &HeaderMap) -> u64 {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    units(declared.unwrap_or(0))
}

/// Adds how a client stands with its limits to an answer.
pub(crate) fn show(standing: Standing, answer: &mut HeaderMap) {
    let Some((policy, state)) = standing.fields() else { return };
    for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            answer.insert(name, value);
        }
    }
}

/// Measures how late requests are looked at and how long they wait for engines, as long as there are requests. Runs forever, as a task of
/// its own.
pub(crate) async fn watch(host: Arc<Host>) -> std::convert::Infallible {
    let doors = &host.doors;
    loop {
        doors.begun.notified().await;
        doors.is_watching.store(true, Ordering::Relaxed);
        let mut report = Report::new(&doors.metrics);
        let mut probe = Probe::new();
        loop {
            let (length, lag) = probe.window().await;
            let waits = host.tenants.take_queue_waits();
            let is_calm = doors.end_window(length, lag, &waits);
            report.write(&doors.metrics, is_calm);
            if is_calm {
                break;
            }
        }
        doors.is_watching.store(false, Ordering::Relaxed);
    }
}

/// Measures how late the server looks at what arrives at a socket: a byte goes through a pair of sockets, which wait in line with those of
/// the clients. A timer would show only how many tasks are ready, and not what waits in the sockets.
struct Probe {
    /// `None` if the process has no descriptor left; then lag is measured with timers.
    sockets: Option<(UnixStream, UnixStream)>,
    /// When the byte was sent that has not arrived.
    sent: Option<Stopwatch>,
}

impl Probe {
    fn new() -> Self {
        Self { sockets: UnixStream::pair().ok(), sent: None }
    }

    /// Measures for a window. Returns how long it was, and the shortest lag in it.
    async fn window(&mut self) -> (Duration, Duration) {
        let (window, mut shortest) = (Stopwatch::start(), Duration::MAX);
        while window.elapsed() < WINDOW {
            shortest = shortest.min(self.lag(WINDOW.saturating_sub(window.elapsed())).await);
        }
        (window.elapsed(), shortest)
    }

    /// The lag now, or how long the byte has been on its way after so much time.
    async fn lag(&mut self, within: Duration) -> Duration {
        let tick = Stopwatch::start();
        let Some((near, far)) = &self.sockets else {
            tokio::time::sleep(TICK).await;
            return tick.elapsed().saturating_sub(TICK);
        };
        if self.sent.is_none() {
            tokio::time::sleep(TICK).await;
            // The other end is open, and its buffer is empty.
            let is_sent = near.try_write(&[0]).is_ok();
            self.sent = is_sent.then(Stopwatch::start);
        }
        let Some(sent) = &self.sent else { return tick.elapsed().saturating_sub(TICK) };
        let arrived = async {
            // Reads until nothing is left, so that the next byte counts as arrived only when its socket's turn comes.
            let mut is_read = false;
            while !is_read && far.readable().await.is_ok() {
                while far.try_read(&mut [0; 8]).is_ok_and(|bytes| bytes > 0) {
                    is_read = true;
                }
            }
        };
        match tokio::time::timeout(within.max(TICK), arrived).await {
            Ok(()) => {
                let lag = sent.elapsed();
                self.sent = None;
                lag
            }
            Err(_elapsed) => sent.elapsed(),
        }
    }
}

/// Logs how many requests were refused. A line for each would cost more than the refusal.
struct Report {
    since: Stopwatch,
    before: [u64; By::ALL_NAMES.len()],
}

impl Report {
    fn new(metrics: &Metrics) -> Self {
        Self { since: Stopwatch::start(), before: metrics.refused() }
    }

    fn write(&mut self, metrics: &Metrics, is_last: bool) {
        if !is_last && self.since.elapsed() < REPORT_EVERY {
            return;
        }
        let refused = metrics.refused();
        if refused != self.before {
            let [client, tenant, address, share, server] = std::array::from_fn(|by| {
                refused.get(by).zip(self.before.get(by)).map_or(0, |(now, before)| now - before)
            });
            tracing::warn!(client, tenant, address, share, server, "requests were refused, by what limits them");
        }
        *self = Self { since: Stopwatch::start(), before: refused };
    }
}
