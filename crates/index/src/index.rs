//! The index as its users hold it: opened, fed with what happened, asked about the past, and stopped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use disk::Disk;
use ledger::{IndexedFields, Past};
use types::{LedgerId, Origin, Seq};

use crate::event::{Batch, Generation};
use crate::fault::Fault;
use crate::log::Log;
use crate::past::PastIndex;
use crate::restore::{self, Restored};
use crate::run::Waiting;
use crate::view::{Shared, View};
use crate::worker::Worker;

/// Generations that may wait for the background thread.
pub const GENERATIONS_WAITING_MAX: usize = 2;

/// The index of a journal. Dropping it stops the background thread; what waits then is fed again by the next start.
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
    /// Whoever calls [`Index::work`].
    Caller(Box<dyn Attend>),
}

/// A worker without its type.
trait Attend: fmt::Debug + Send + Sync {
    /// Does all there is to do.
    fn attend(&self);
}

impl<D: Disk> Attend for Worker<D> {
    fn attend(&self) {
        self.work();
    }
}

/// How far the background work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Generations that wait to become runs.
    pub generations_waiting: usize,
    /// Whether all work is done.
    pub idle: bool,
    /// Runs, each with its tables.
    pub runs: usize,
    /// Runs that lack a table of a chosen field.
    pub runs_incomplete: usize,
    /// Bytes on disk of all tables.
    pub disk_bytes: u64,
    /// Of these, ids with their filters.
    pub ids_bytes: u64,
    /// Of these, postings.
    pub postings_bytes: u64,
    /// Of these, balances.
    pub balances_bytes: u64,
    /// Of these, chosen fields.
    pub fields_bytes: u64,
    /// Bytes of memory of filters and fences.
    pub memory_bytes: usize,
}

impl Index {
    /// Opens the index in a directory of its own, which may be empty. What is damaged or left over is removed; the
    /// caller feeds again what follows [`Restored::end`].
    pub fn open<D: Disk>(disk: &D, origin: Origin, log: impl Log) -> Result<(Self, Restored), Fault> {
        let (mut index, worker, restored) = Self::with_worker(disk, origin, log)?;
        let worker = std::thread::Builder::new().name("index".to_owned()).spawn(move || worker.run());
        let worker = worker.map_err(Fault::io("start the thread of", "the index"))?;
        index.worker = Some(Hand::Thread(worker));
        Ok((index, restored))
    }

    /// As [`Index::open`], without a thread: the caller does the background work, when it likes, with [`Index::work`]. For
    /// simulations, where everything happens in one order.
    ///
    /// # Errors
    /// As [`Index::open`].
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

    /// Does the background work of an index that was opened in place, all there is.
    ///
    /// # Errors
    /// When that failed, now or before.
    pub fn work(&self) -> Result<(), Fault> {
        if let Some(Hand::Caller(worker)) = &self.worker {
            worker.attend();
        }
        self.shared.lock().check()
    }

    /// Makes events visible to queries. They come in order of entries and are durable.
    pub fn publish(&self, batch: Batch) {
        if !batch.is_empty() {
            self.shared.lock().view.publish(batch);
        }
    }

    /// Ends the present generation: everything published since the one before, and nothing after it, belongs to it.
    /// Waits while more than [`GENERATIONS_WAITING_MAX`] are not in tables yet.
    ///
    /// # Errors
    /// When the background thread gave up, or waits for room on the disk while more than that wait. Nothing becomes wrong
    /// by going on, but memory fills.
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

    /// Chooses the fields of a ledger that are indexed. Runs that lack one are completed in the background.
    pub fn choose(&self, ledger: LedgerId, fields: IndexedFields) {
        let fields = u8::try_from(fields.bits()).expect("IDX-4: there are five fields");
        let mut state = self.shared.lock();
        state.choices.choose(ledger, fields);
        state.idle = false;
        drop(state);
        self.shared.notify();
    }

    /// Lets merges begin only where what they write leaves so many bytes of the disk free.
    pub fn keep_free(&self, bytes: u64) {
        self.shared.kept_free.store(bytes, Ordering::Relaxed);
    }

    /// A fault when the background thread gave up.
    ///
    /// # Errors
    /// As it says.
    pub fn check(&self) -> Result<(), Fault> {
        self.shared.lock().check()
    }

    /// Damage of the log that the background work met. It ended then: what waits for tables stays in memory.
    pub fn log_damage(&self) -> Option<Arc<journal::Fault>> {
        self.shared.lock().log_damage.clone()
    }

    /// The ledger's count of records up to which everything stands in tables: the ledger may forget those.
    pub fn covered(&self) -> u64 {
        self.shared.covered()
    }

    /// The last entry that stands in tables.
    pub fn sealed(&self) -> Seq {
        self.shared.view().runs.last().map_or(Seq::ZERO, |listed| listed.run.end().end().last)
    }

    /// Waits until all background work is done.
    ///
    /// # Errors
    /// When the background thread gave up, or there is no room on the disk for what it writes.
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

    /// How far the background work is.
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

    /// What the ledger asks about ids that it no longer keeps.
    pub fn past(&self) -> Box<dyn Past> {
        Box::new(PastIndex::new(Arc::clone(&self.shared), Arc::clone(&self.log)))
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.notify();
        if let Some(Hand::Thread(worker)) = self.worker.take() {
            // A panic was reported where it happened.
            drop(worker.join());
        }
    }
}
