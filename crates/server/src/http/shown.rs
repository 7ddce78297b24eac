//! The state that all handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::History;
use api::responses::{Assets, Unknown};
use tokio::sync::Semaphore;
use types::Digest;

use crate::Core;
use crate::awake::Activity;
use crate::http::events::STREAMS_MAX;
use crate::http::failure::{Failure, internal};

/// What all handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) core: Core,
    pub(crate) streams: Arc<Semaphore>,
    /// What keys the ids that stand for an `Idempotency-Key`.
    pub(crate) id_secret: Digest,
    pub(crate) activity: Activity,
    process: u32,
    requests: AtomicU64,
}

impl App {
    pub(crate) fn new(core: Core) -> Arc<Self> {
        let mut process = [0; 4];
        datadir::random(&mut process);
        let id_secret = core.request_hash(b"finaira ids from idempotency keys");
        Arc::new(Self {
            core,
            id_secret,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            activity: Activity::new(),
            process: u32::from_le_bytes(process),
            requests: AtomicU64::new(0),
        })
    }

    /// An id for a request that brought none: drawn once a process, then counted.
    pub(crate) fn next_request_id(&self) -> String {
        format!("{:08x}-{}", self.process, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Which history cursors are of.
    pub(crate) fn history(&self) -> History {
        History { origin: self.core.identity().origin, shard: self.core.shard() }
    }

    /// Shows something with the assets of its ledgers.
    pub(crate) fn show<T>(&self, show: impl FnOnce(&Assets) -> Result<T, Unknown>) -> Result<T, Failure> {
        Ok(show(&self.core.assets())?)
    }
}

impl From<Unknown> for Failure {
    fn from(unknown: Unknown) -> Self {
        match unknown {
            Unknown::Policy(_) => internal("an entry names a policy that was never activated"),
            Unknown::Ledger(_) => internal("something stands in a ledger that does not exist"),
        }
    }
}
