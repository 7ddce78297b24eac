//! The state that all handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::CursorOrigin;
use api::responses::Unknown;
use edge::{Edge, Installation};
use tokio::sync::Semaphore;

use crate::Core;
use crate::awake::Activity;
use crate::http::events::STREAMS_MAX;
use crate::http::failure::{Failure, internal};
use crate::http::sources::Running;

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) core: Core,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) edge: Edge<Running>,
    pub(crate) activity: Activity,
    process: u32,
    requests: AtomicU64,
}

impl App {
    pub(crate) fn new(core: Core) -> Arc<Self> {
        let mut process = [0; 4];
        datadir::random(&mut process);
        let history = CursorOrigin { origin: core.identity().origin, shard: core.shard() };
        let installation = Installation::new(core.tenant(), history, &*core.shared().keys);
        Arc::new(Self {
            edge: Edge { installation, sources: Running(core.clone()) },
            core,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            activity: Activity::new(),
            process: u32::from_le_bytes(process),
            requests: AtomicU64::new(0),
        })
    }

    /// An id for a request without one: a random prefix of the process, and a counter.
    pub(crate) fn next_request_id(&self) -> String {
        format!("{:08x}-{}", self.process, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// The history and shard that cursors name.
    pub(crate) fn history(&self) -> CursorOrigin {
        self.edge.installation.history
    }
}

impl From<Unknown> for Failure {
    fn from(unknown: Unknown) -> Self {
        internal(unknown.what())
    }
}
