//! The handle through which request handlers reach the engine's queue, the journal's reader and the keys.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use datadir::{KeyStore, ShardPlace};
use disk::Directory;
use edge::auth::{ApiKeys, AuthError, Authenticator, Caller};
use engine::{Answered, Engine, Operation, Request, WritesClosed};
use index::Index;
use journal::{Fault, FileReader, Identity, Reader};
use ledger::Assets;
use pipeline::Ask;
use policy::Policy;
use tokio::sync::{oneshot, watch};
use types::{ActorId, CredentialId, RequestId, Seq, ShardId, TenantId, Timestamp};
use vault::{ApiKey, KeyTenant};

use crate::guard::{Confirmed, Guard};
use crate::metrics::Metrics;
use crate::past::{PastError, PastReader};
use crate::policies::Policies;
use crate::proofs::Proofs;
use crate::readers::{Pool, Readers};
use crate::tail::Tail;
use crate::tenants::Installation;
use crate::threads::{CommitError, Inbox};

/// A handle on a running engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Core(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) tenant: TenantId,
    pub(crate) shard: ShardId,
    /// The tenant as the text of its API keys names it.
    pub(crate) key_tenant: KeyTenant,
    pub(crate) identity: Identity,
    pub(crate) inbox: Inbox,
    pub(crate) reader: FileReader<Directory>,
    pub(crate) index: Index,
    /// Run what reads files.
    pub(crate) readers: Readers,
    /// Earlier policies, for explanations.
    pub(crate) policies: Policies,
    pub(crate) durable: watch::Receiver<Seq>,
    /// Closed once both threads have ended. It is separate from `durable`, which would wake its waiters at every sync.
    pub(crate) running: watch::Receiver<()>,
    pub(crate) keys: Arc<KeyStore<Directory>>,
    /// Shared, because they are still needed while the shard is closed.
    pub(crate) api_keys: Arc<ApiKeys>,
    pub(crate) policy: RwLock<Option<Arc<Policy>>>,
    /// Serialises policy installations, so that the edge and the engine agree which policy came last.
    pub(crate) installing: tokio::sync::Mutex<()>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) guard: Guard,
    /// Why the server ends, if the cause lies outside the threads of the pipeline.
    pub(crate) failure: Mutex<Option<CommitError>>,
    /// True once the server begins to stop.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) tail: Tail,
    /// The assets of all ledgers as of the last batch. Every ledger that an answer names is in it.
    pub(crate) assets: RwLock<Arc<Assets>>,
    /// Opened imports. The rows of an import become visible once the entry with this sequence is durable.
    pub(crate) opened_imports: RwLock<Vec<(ledger::ImportNumber, Seq)>>,
    /// `None` if the server runs without proofs.
    pub(crate) proofs: Option<Proofs>,
    /// The settings of the installation, which follow the system journal.
    pub(crate) installation: Arc<Installation>,
    /// When the engine must do something without being asked, in nanoseconds; the maximum if never. As of the last time
    /// that its thread looked.
    pub(crate) next_due_ns: AtomicU64,
}

impl Shared {
    /// Records what the engine decided since the last call: credentials that were added or revoked, and ledgers and imports
    /// that were opened. It runs before the answers are sent.
    pub(crate) fn note_decided(&self, engine: &Engine) {
        self.api_keys.follow(engine);
        if self.shard == ShardPlace::SYSTEM_SHARD {
            self.installation.follow(engine);
        }
        let opened = engine.opened_imports();
        if self.opened_imports.read().unwrap_or_else(PoisonError::into_inner).len() < opened.len() {
            let mut known = self.opened_imports.write().unwrap_or_else(PoisonError::into_inner);
            let is_new = |number: &ledger::ImportNumber| known.iter().all(|(before, _)| before != number);
            let new: Vec<_> = opened.into_iter().filter(is_new).collect();
            known.extend(new.into_iter().map(|number| (number, engine.applied())));
        }
        let known = self.assets.read().unwrap_or_else(PoisonError::into_inner).len();
        if engine.ledgers().len() > known {
            let assets = Arc::new(Assets::new(engine.ledgers()));
            *self.assets.write().unwrap_or_else(PoisonError::into_inner) = assets;
        }
    }

    /// The imports whose rows are visible.
    fn durably_opened(&self) -> Vec<ledger::ImportNumber> {
        let durable = self.reader.durable();
        let known = self.opened_imports.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|(_, seq)| *seq <= durable).map(|(number, _)| *number).collect()
    }
}

/// Why the engine gives no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("too many requests wait; try again in a second")]
    QueueFull,
    #[error("the server is stopping")]
    Stopping,
    /// The journal failed. Only the next start shows whether the request took effect.
    #[error("the journal failed; the request may or may not have taken effect")]
    Failed,
}

impl Core {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    pub fn tenant(&self) -> TenantId {
        self.0.tenant
    }

    /// When the engine must do something without being asked; `None` if never.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let due_ns = self.0.next_due_ns.load(Ordering::Relaxed);
        (due_ns != u64::MAX).then_some(Timestamp::from_ns(due_ns))
    }

    /// The shard of the journal.
    pub fn shard(&self) -> ShardId {
        self.0.shard
    }

    /// The history and epoch of the journal.
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    /// Sends a request to the engine. The answer arrives when every entry that it depends on is durable. Dropping the future
    /// does not cancel the request.
    ///
    /// # Errors
    /// If there is no answer; see [`Unavailable`].
    pub async fn ask<O: Operation>(
        &self,
        actor: ActorId,
        id: RequestId,
        operation: O,
    ) -> Result<Answered<O>, Unavailable> {
        self.ask_as((self.0.tenant, actor), id, operation).await
    }

    /// As [`Core::ask`], for a principal of another tenant. Only the system journal takes such requests.
    ///
    /// # Errors
    /// As [`Core::ask`].
    pub(crate) async fn ask_as<O: Operation>(
        &self,
        (tenant, actor): (TenantId, ActorId),
        id: RequestId,
        operation: O,
    ) -> Result<Answered<O>, Unavailable> {
        let request = Request { tenant, actor, id, command: operation.into() };
        let (reply_to, answer) = oneshot::channel();
        self.0.inbox.offer(Ask { request, reply_to }).inspect_err(|unavailable| {
            if *unavailable == Unavailable::QueueFull {
                self.0.metrics.queue_refused.inc();
            }
        })?;
        answer.await.map(O::answer).map_err(|_dropped| Unavailable::Failed)
    }

    /// The active policy, compiled.
    pub(crate) fn policy(&self) -> Option<Arc<Policy>> {
        self.0.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Parses requests with this policy from now on. The engine has activated it already.
    pub(crate) fn set_policy(&self, policy: Arc<Policy>) {
        *self.0.policy.write().unwrap_or_else(PoisonError::into_inner) = Some(policy);
    }

    /// The assets of all ledgers that the answers given so far can name.
    pub(crate) fn assets(&self) -> Arc<Assets> {
        Arc::clone(&self.0.assets.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs a query about the past on a blocking thread, because it reads files.
    ///
    /// # Errors
    /// If the query fails; see [`PastError`].
    pub async fn past<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut PastReader<'_>) -> Result<T, PastError> + Send + 'static,
    ) -> Result<T, PastError> {
        let core = self.clone();
        let asked = self.0.readers.queries.run(move |asker| {
            let opened = core.0.durably_opened();
            ask(&mut PastReader::new(&core.0.index, core.0.reader.clone(), opened, asker.clone()))
        });
        let answer = asked.await.unwrap_or_else(|panicked| Err(Fault::Poisoned(panicked.to_string()).into()));
        answer.inspect_err(|error| self.note_unread(error))
    }

    /// Looks something up by id in the index, on a blocking thread of its own pool: it reads few entries, so it does not wait for
    /// the longer queries about the past.
    ///
    /// # Errors
    /// If the index or the journal cannot be read.
    pub(crate) async fn look_up<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Index) -> Result<T, index::Fault> + Send + 'static,
    ) -> Result<T, PastError> {
        let core = self.clone();
        let found = self.0.readers.lookups.run(move |_asker| look(&core.0.index)).await;
        let found = found.map_err(|panicked| Fault::Poisoned(panicked.to_string()).into());
        found.and_then(|found| found.map_err(PastError::from)).inspect_err(|error| self.note_unread(error))
    }

    /// Handles a read failure of a query: it may mean that the journal or the index is damaged.
    pub(crate) fn note_unread(&self, error: &PastError) {
        match error {
            PastError::Journal(fault) | PastError::Index(index::Fault::Log(fault)) => self.0.guard.note_fault(fault),
            PastError::Index(fault) => {
                if let Some(damage) = fault.as_damage() {
                    self.give_up(CommitError::Index(damage));
                }
            }
            PastError::Field(_)
            | PastError::NothingToFind
            | PastError::WouldScan { .. }
            | PastError::TooMuchToAddUp(_)
            | PastError::TooManyToRead(_)
            | PastError::Abandoned => {}
        }
    }

    /// Handles a failed lookup of the engine. The engine cannot decide without the index or without a readable disk, so the
    /// server stops. If only the journal is damaged, the server continues to serve reads.
    pub(crate) fn note_undecidable(&self, fault: index::Fault) {
        match &fault {
            index::Fault::Log(damage) if damage.is_damage() => self.0.guard.note_fault(damage),
            index::Fault::Io { .. }
            | index::Fault::Damaged { .. }
            | index::Fault::Log(_)
            | index::Fault::NoRoom(_)
            | index::Fault::Stopped(_) => self.give_up(CommitError::Index(fault)),
        }
    }

    /// Stops the server because only a restart can fix the problem. Requests that wait are still decided and answered.
    pub(crate) fn give_up(&self, why: CommitError) {
        let mut failure = self.0.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            tracing::error!(%why, "the server stops");
            *failure = Some(why);
        }
        drop(failure);
        self.0.inbox.close();
    }

    /// The time to decide by, as the clock guard sees it.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.guard.observe().0
    }

    /// Why writes are refused at the moment, if they are.
    pub(crate) fn writes_closed(&self) -> Option<WritesClosed> {
        self.0.guard.why()
    }

    /// Accepts the wall clock because an operator confirmed it.
    pub(crate) fn confirm_clock(&self, by: ActorId) -> Confirmed {
        let confirmed = self.0.guard.confirm_clock(by);
        self.0.inbox.wake();
        confirmed
    }

    /// How far the index has progressed.
    pub(crate) fn index_status(&self) -> index::Status {
        self.0.index.status()
    }

    /// The sequence of the last durable entry.
    pub fn durable(&self) -> Seq {
        self.0.reader.durable()
    }

    /// Waits until an entry after `seq` is durable. Returns false if the server stops first.
    pub async fn wait_durable_past(&self, seq: Seq) -> bool {
        let mut durable = self.0.durable.clone();
        durable.wait_for(|durable| *durable > seq).await.is_ok()
    }

    /// Begins to stop: the server is not ready any more, and streams end. Requests are still answered.
    pub(crate) fn drain(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Rejects new requests. Requests that wait are still decided and answered.
    pub(crate) fn stop(&self) {
        self.drain();
        self.0.inbox.close();
    }

    /// Becomes true once the server begins to stop.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }

    /// Waits until the server begins to stop.
    pub(crate) async fn stopped(&self) {
        // An error means that the sender was dropped, and with it the server.
        drop(self.stopping().wait_for(|stopping| *stopping).await);
    }

    /// Reads the journal's files on a blocking thread of a pool.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(crate) async fn read_journal<T: Send + 'static>(
        &self,
        pool: &Pool,
        read: impl FnOnce(&FileReader<Directory>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let reader = self.0.reader.clone();
        let reading = pool.run(move |_asker| read(&reader));
        let read = reading.await.unwrap_or_else(|panicked| Err(Fault::Poisoned(panicked.to_string())));
        read.inspect_err(|fault| self.0.guard.note_fault(fault))
    }

    /// The Merkle tree leaves of `count` durable entries, starting at `from`.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(crate) async fn leaves(&self, from: Seq, count: usize) -> Result<Vec<[u8; 32]>, Fault> {
        self.read_journal(&self.0.readers.proofs, move |reader| crate::proofs::leaf_data(reader, from, count)).await
    }

    /// The state of the proofs; `None` if the server runs without proofs.
    pub(crate) fn proofs(&self) -> Option<&Proofs> {
        self.0.proofs.as_ref()
    }

    /// What finds out who sent a request.
    pub fn authenticator(&self) -> &impl Authenticator {
        &*self.0.api_keys
    }

    /// The caller that an API key of this tenant identifies.
    ///
    /// # Errors
    /// If the key is not known, or not valid any more.
    pub(crate) fn identify(&self, key: &ApiKey, at: Timestamp) -> Result<Caller, AuthError> {
        self.0.api_keys.identify(key, at)
    }

    /// Checks that a credential that was accepted before is still valid.
    ///
    /// # Errors
    /// If the credential expired or was revoked.
    pub(crate) fn check_credential(&self, credential: CredentialId) -> Result<(), AuthError> {
        self.0.api_keys.check(credential, self.now())
    }

    /// The minute in which a credential was last used since the start.
    pub(crate) fn last_used(&self, credential: CredentialId) -> Option<Timestamp> {
        self.0.api_keys.last_used(credential)
    }

    pub fn metrics_text(&self) -> String {
        if let Some(proofs) = &self.0.proofs {
            self.0.metrics.proofs_behind_entries.set(i64::try_from(proofs.lag()).unwrap_or(i64::MAX));
        }
        self.note_lag();
        self.0.metrics.text()
    }

    /// Why load balancers should send no requests to this server; `None` if they should.
    pub(crate) fn unready(&self) -> Option<&'static str> {
        if *self.0.stopping.borrow() {
            return Some("the server is stopping");
        }
        (!self.0.inbox.is_open()).then_some("the server failed and takes no requests")
    }

    pub(crate) fn count_request(&self, method: &str, route: &str, status: u16, seconds: f64) {
        self.0.metrics.count_request(method, route, status);
        self.0.metrics.request_seconds.observe(seconds);
    }
}
