//! The index as its users see it: open it, publish events to it, query the past, and close it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use disk::Disk;
use engine::PastPayments;
use ledger::{IndexedFields, Past};
use types::{LedgerId, Origin, Seq};

use crate::event::{Generation, IndexUpdate};
use crate::fault::Fault;
use crate::log::Log;
use crate::past::PastIndex;
use crate::restore::{self, Restored};
use crate::run::Waiting;
use crate::view::{Shared, View};
use crate::worker::Worker;

/// How many generations may wait for the background thread.
pub const GENERATIONS_WAITING_MAX: usize = 2;

/// The index of a journal. Dropping it stops the background thread. Generations that are still waiting are lost, and
/// the next start publishes them again.
#[derive(Debug)]
pub struct Index {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Arc<dyn Log>,
    worker: Option<Hand>,
}

/// Who does the background work.
#[derive(Debug)]
enum Hand {
    Thread(JoinHandle<()>),
    /// The caller of [`Index::work`].
    Caller(Box<dyn Attend>),
}

/// A worker whose type is erased.
trait Attend: fmt::Debug + Send + Sync {
    /// Does all pending work.
    fn attend(&self);
}

impl<D: Disk> Attend for Worker<D> {
    fn attend(&self) {
        self.work();
    }
}

/// The progress of the background work, and the size of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Generations that are not in tables yet.
    pub generations_waiting: usize,
    /// Whether all work is done.
    pub idle: bool,
    /// The number of runs.
    pub runs: usize,
    /// Runs that lack the table of a chosen field.
    pub runs_incomplete: usize,
    /// The size of all tables on disk, in bytes.
    pub disk_bytes: u64,
    /// The part of `disk_bytes` that ids and their filters take.
    pub ids_bytes: u64,
    /// The part of `disk_bytes` that postings take.
    pub postings_bytes: u64,
    /// The part of `disk_bytes` that balances take.
    pub balances_bytes: u64,
    /// The part of `disk_bytes` that the tables of chosen fields take.
    pub fields_bytes: u64,
    /// The memory that filters and fences take, in bytes.
    pub memory_bytes: usize,
}

impl Index {
    /// Opens the index in a directory of its own, which may be empty. Damaged and leftover files are removed. The
    /// caller must publish everything that follows [`Restored::end`] again.
    pub fn open<D: Disk>(disk: &D, origin: Origin, log: impl Log) -> Result<(Self, Restored), Fault> {
        let (mut index, worker, restored) = Self::with_worker(disk, origin, log)?;
        let worker = std::thread::Builder::new().name("index".to_owned()).spawn(move || worker.run());
        let worker = worker.map_err(Fault::io("start the thread of", "the index"))?;
        index.worker = Some(Hand::Thread(worker));
        Ok((index, restored))
    }

    /// As [`Index::open`], but without a thread: the caller runs the background work with [`Index::work`]. Simulations
    /// use this to control the order in which everything happens.
    ///
    /// # Errors
    /// The errors of [`Index::open`].
    pub fn open_in_place<D: Disk>(disk: &D, origin: Origin, log: impl Log) -> Result<(Self, Restored), Fault> {
        let (mut index, worker, restored) = Self::with_worker(disk, origin, log)?;
        index.worker = Some(Hand::Caller(Box::new(worker)));
        Ok((index, restored))
    }

    fn with_worker<D: Disk>(disk: &D, origin: Origin, log: impl Log) -> Result<(Self, Worker<D>, Restored), Fault> {
        let (runs, damaged) = restore::open_runs(disk, origin)?;
        let shared = Arc::new(Shared::default());
        shared.set_runs(&mut shared.lock(), runs);
        let restored = Restored::new(Arc::clone(&shared.lock().view.runs), damaged);
        let log: Arc<dyn Log> = Arc::new(log);
        let worker = Worker { shared: Arc::clone(&shared), disk: disk.clone(), origin, log: Arc::clone(&log) };
        Ok((Self { shared, log, worker: None }, worker, restored))
    }

    /// Does all pending background work of an index that was opened in place.
    ///
    /// # Errors
    /// Fails if the work fails now, or failed before.
    pub fn work(&self) -> Result<(), Fault> {
        if let Some(Hand::Caller(worker)) = &self.worker {
            worker.attend();
        }
        self.shared.lock().check()
    }

    /// Makes events visible to queries. Their entries must be durable, and come in the order of the log.
    pub fn publish(&self, mut batch: IndexUpdate) {
        if !batch.is_empty() {
            let open = batch.payments.opened_and_closed();
            batch.payments.sort();
            let mut state = self.shared.lock();
            open.keep(&mut state.open_payments);
            state.view.publish(batch);
        }
    }

    /// Tells the index which payments are open at the end of its tables, by the entries that decided them. Later ones follow from
    /// what is published.
    pub fn restore_open(&self, payments: impl Iterator<Item = Seq>) {
        self.shared.lock().open_payments.extend(payments.map(Seq::get));
    }

    /// Ends the current generation, which consists of everything published since the previous call. Blocks while
    /// [`GENERATIONS_WAITING_MAX`] generations are not in tables yet.
    ///
    /// # Errors
    /// Fails if the background thread has stopped, or if it waits for disk space while [`GENERATIONS_WAITING_MAX`]
    /// generations are not in tables. It is safe to continue after an error, but memory use grows.
    pub fn seal(&self, generation: Generation) -> Result<(), Fault> {
        let mut state = self.shared.lock();
        if let Some(Hand::Caller(_)) = &self.worker
            && state.view.waiting.len() >= GENERATIONS_WAITING_MAX
        {
            drop(state);
            self.work()?;
            state = self.shared.lock();
        }
        while state.view.waiting.len() >= GENERATIONS_WAITING_MAX && state.failed.is_none() {
            if let Some(short) = &state.short {
                return Err(Fault::NoRoom(short.clone()));
            }
            state = self.shared.wait(state);
        }
        state.check()?;
        let View { runs: _, waiting: _, open } = &mut state.view;
        let batches = std::mem::take(open);
        let (number, accounts_before) = (state.view.next_generation(), state.view.accounts());
        state.view.waiting.push(Arc::new(Waiting { number, generation, batches, accounts_before }));
        state.idle = false;
        drop(state);
        self.shared.notify();
        Ok(())
    }

    /// Sets which fields of a ledger are indexed. The background thread adds missing tables to existing runs.
    pub fn choose(&self, ledger: LedgerId, fields: IndexedFields) {
        let fields = u8::try_from(fields.bits()).expect("IDX-4: there are five fields");
        let mut state = self.shared.lock();
        state.choices.choose(ledger, fields);
        state.idle = false;
        drop(state);
        self.shared.notify();
    }

    /// Lets a merge begin only if its output leaves at least `bytes` of the disk free.
    pub fn keep_free(&self, bytes: u64) {
        self.shared.kept_free.store(bytes, Ordering::Relaxed);
    }

    /// Checks whether the background thread still runs.
    ///
    /// # Errors
    /// Fails if it has stopped.
    pub fn check(&self) -> Result<(), Fault> {
        self.shared.lock().check()
    }

    /// Damage of the log that the background work found. The work has then ended, and generations that wait for tables
    /// stay in memory.
    pub fn log_damage(&self) -> Option<Arc<journal::Fault>> {
        self.shared.lock().log_damage.clone()
    }

    /// The ledger's count of records up to which all records are in tables. The ledger may drop those records from
    /// memory.
    pub fn covered(&self) -> u64 {
        self.shared.covered()
    }

    /// The last entry that is in tables. The engine may forget payments that are not open and have not changed since.
    pub fn sealed(&self) -> Seq {
        self.shared.sealed()
    }

    /// Waits until all background work is done.
    ///
    /// # Errors
    /// Fails if the background thread has stopped, or lacks disk space for its output.
    pub fn drain(&self) -> Result<(), Fault> {
        if let Some(Hand::Caller(_)) = &self.worker {
            return self.work();
        }
        let mut state = self.shared.lock();
        while !state.idle && state.failed.is_none() {
            if let Some(short) = &state.short {
                return Err(Fault::NoRoom(short.clone()));
            }
            state = self.shared.wait(state);
        }
        state.check()
    }

    /// Returns the progress of the background work and the size of the index.
    pub fn status(&self) -> Status {
        let state = self.shared.lock();
        let mut status = Status {
            generations_waiting: state.view.waiting.len(),
            idle: state.idle,
            runs: state.view.runs.len(),
            ..Status::default()
        };
        for listed in state.view.runs.iter() {
            let (total, [ids, postings, balances]) = listed.run.bytes();
            let fields: u64 = listed.fields.values().map(|table| table.bytes()).sum();
            status.disk_bytes += total + fields;
            status.ids_bytes += ids;
            status.postings_bytes += postings;
            status.balances_bytes += balances;
            status.fields_bytes += fields;
            status.memory_bytes += listed.run.memory_bytes();
            status.runs_incomplete += usize::from(!state.choices.lacking(&listed.fields).is_empty());
        }
        status
    }

    /// Reads payments that the engine no longer keeps.
    pub fn past_payments(&self) -> Box<dyn PastPayments> {
        Box::new(PastIndex::new(Arc::clone(&self.shared), Arc::clone(&self.log)))
    }

    /// Answers the ledger's questions about ids that it no longer keeps.
    pub fn past(&self) -> Box<dyn Past> {
        Box::new(PastIndex::new(Arc::clone(&self.shared), Arc::clone(&self.log)))
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.notify();
        if let Some(Hand::Thread(worker)) = self.worker.take() {
            // A panic of the thread was already reported.
            drop(worker.join());
        }
    }
}
