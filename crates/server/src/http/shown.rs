use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use api::History;
use api::responses::{Assets, Unknown};
use engine::{Query, Reply};
use tokio::sync::Semaphore;
use types::{Asset, LedgerId};

use crate::http::events::STREAMS_MAX;
use crate::http::failure::{Failure, internal};
use crate::{Caller, Core};

/// What all handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) core: Core,
    pub(crate) streams: Arc<Semaphore>,
    assets: RwLock<Arc<Assets>>,
    process: u32,
    requests: AtomicU64,
}

impl App {
    pub(crate) fn new(core: Core) -> Arc<Self> {
        let mut process = [0; 4];
        crate::key_store::random(&mut process);
        Arc::new(Self {
            core,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            assets: RwLock::default(),
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

    /// Shows something with the assets of its ledgers, after looking those up that are new.
    pub(crate) async fn show<T>(
        &self,
        caller: Caller,
        show: impl Fn(&Assets) -> Result<T, Unknown> + Send,
    ) -> Result<T, Failure> {
        let known = self.known_assets();
        match show(&known) {
            Ok(shown) => Ok(shown),
            Err(Unknown::Policy(_)) => Err(internal("an entry names a policy that was never activated")),
            Err(Unknown::Ledger(_)) => {
                let known = self.look_up_assets(caller).await?;
                show(&known).map_err(|_unknown| internal("something stands in a ledger that does not exist"))
            }
        }
    }

    /// What a ledger counts; `None` when there is no such ledger.
    pub(crate) async fn asset(&self, caller: Caller, ledger: LedgerId) -> Result<Option<Asset>, Failure> {
        match self.known_assets().of(ledger) {
            Ok(asset) => Ok(Some(asset)),
            Err(_unknown) => Ok(self.look_up_assets(caller).await?.of(ledger).ok()),
        }
    }

    fn known_assets(&self) -> Arc<Assets> {
        Arc::clone(&self.assets.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn look_up_assets(&self, caller: Caller) -> Result<Arc<Assets>, Failure> {
        let Reply::Ledgers(books) = self.core.query(caller, Query::Ledgers).await?? else {
            return Err(internal("the engine answered something else than ledgers"));
        };
        let known = Arc::new(Assets::new(&books));
        *self.assets.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&known);
        Ok(known)
    }
}
