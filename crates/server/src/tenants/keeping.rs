//! Opens and closes tenants.

use std::sync::Arc;
use std::time::Duration;

use api::installation::TenantState;
use datadir::{JOURNAL, ShardPlace};
use disk::{Directory, DirectoryError};
use tokio::sync::{oneshot, watch};
use types::TenantId;
use vault::KeyTenant;

use super::slots::{Due, Open, State};
use super::{For, Tenants, Unopened, ended};
use crate::clock::Stopwatch;
use crate::http::App;
use crate::open::{OpenError, Stopped};
use crate::shard::{FirstKey, Setup, Shard, refuse_a_lost_journal};

/// Time between two looks for tenants to open and to close.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long late readers may keep using the directory of a tenant that was just closed.
const REOPENED_WITHIN: Duration = Duration::from_secs(15);
/// How often the index of a tenant may be damaged before it stays closed.
const DAMAGES_MAX: usize = 4;

impl Tenants {
    /// Opens every tenant once, to learn what is due there and whether it is intact. Then it closes tenants without requests,
    /// and opens those where something is due. Runs until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut were_put_off = 0;
        loop {
            look.tick().await;
            self.finish().await;
            let mut put_off = 0;
            for tenant in self.to_open() {
                // One after another, so that they do not take the disk from requests.
                match self.app(tenant, For::Due).await {
                    Ok(app) => drop(app),
                    Err(Unopened::TooManyOpen(..)) => put_off += 1,
                    Err(error) => tracing::warn!(tenant = tenant.get(), %error, "a tenant cannot be opened"),
                }
                self.close_idle();
            }
            if put_off > 0 && were_put_off == 0 {
                tracing::warn!(
                    put_off,
                    open_max = self.open_max,
                    "something is due in tenants that cannot be opened: too many are open"
                );
            }
            were_put_off = put_off;
            self.close_idle();
        }
    }

    /// Tenants where something is due, or may be.
    fn to_open(&self) -> Vec<TenantId> {
        let now = self.home.core.now();
        let active = self.installation.in_states(&[TenantState::Active]);
        let slots = self.lock();
        let is_due = |tenant: &TenantId| match slots.known.get(tenant) {
            Some(slot) => matches!(slot.state, State::Closed) && slot.due.is_reached(now),
            None => true,
        };
        active.into_iter().filter(|tenant| *tenant != self.home.core.tenant()).filter(is_due).collect()
    }

    fn close_idle(&self) {
        let now = self.home.core.now();
        for (tenant, slot) in &mut self.lock().known {
            let is_suspended = self.installation.is_suspended(*tenant);
            slot.close_if(|open| is_suspended || open.is_idle(now, self.options.tenant_idle));
        }
    }

    /// Opens a tenant, once the one that makes room for it is closed. `moved` is dropped at the end.
    pub(super) async fn open(
        self: Arc<Self>,
        tenant: TenantId,
        why: For,
        (after, moved): (Option<watch::Receiver<()>>, watch::Sender<()>),
    ) {
        if let Some(closing) = after {
            ended(closing).await;
        }
        match self.open_shard(tenant, FirstKey::Never).await {
            Ok(shard) => self.begin_keeping(tenant, shard, Some(why)),
            Err(why) => self.note_failed(tenant, &why),
        }
        drop(moved);
    }

    /// Opens the shard of a tenant on a blocking thread.
    pub(super) async fn open_shard(self: &Arc<Self>, tenant: TenantId, first_key: FirstKey) -> Result<Shard, String> {
        // The semaphore is never closed.
        let _one_of_few = self.opening.acquire().await.ok();
        let stopwatch = Stopwatch::start();
        loop {
            let tenants = Arc::clone(self);
            let opening = tokio::task::spawn_blocking(move || tenants.open_now(tenant, first_key)).await;
            match opening {
                Ok(Ok(shard)) => {
                    let elapsed_ms = u64::try_from(stopwatch.elapsed().as_millis()).unwrap_or(u64::MAX);
                    tracing::debug!(tenant = tenant.get(), elapsed_ms, "opened");
                    return Ok(shard);
                }
                Ok(Err(OpenError::Directory(DirectoryError::InUse(_)))) if stopwatch.elapsed() < REOPENED_WITHIN => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Ok(Err(error)) => return Err(error.to_string()),
                Err(panicked) => return Err(panicked.to_string()),
            }
        }
    }

    fn open_now(&self, tenant: TenantId, first_key: FirstKey) -> Result<Shard, OpenError> {
        let place = ShardPlace::of_tenant(&self.options.data, tenant).ok_or(OpenError::NoSuchTenant(tenant))?;
        refuse_a_lost_journal(&place.directory)?;
        if first_key == FirstKey::Never && !place.directory.is_dir() {
            return Err(OpenError::JournalMissing(place.folder(JOURNAL)));
        }
        let journal = Directory::open(&place.folder(JOURNAL))?;
        let is_test = self.installation.tenant(tenant).is_some_and(|known| known.is_test());
        let key_tenant = KeyTenant::of(tenant, is_test);
        let setup = Setup { place, journal, key_tenant, first_key, installation: Arc::clone(&self.installation) };
        let shard = Shard::open(&self.options, setup, Arc::clone(&self.clocks))?;
        shard.core.shared().guard.follow_clock_of(&self.home.core);
        Ok(shard)
    }

    /// Makes an opened shard available to requests. `why` says who waits for it; `None` if it was just created.
    pub(super) fn begin_keeping(self: &Arc<Self>, tenant: TenantId, shard: Shard, why: Option<For>) {
        let app = App::new(shard.core.clone(), Arc::clone(&self.installation));
        let (close, closing) = oneshot::channel();
        let mut slots = self.lock();
        let slot = slots.known.entry(tenant).or_default();
        slot.keys = Some(Arc::clone(&shard.core.shared().api_keys));
        let used = matches!(why, Some(For::Request) | None).then(Stopwatch::start);
        let awaited = matches!(why, Some(For::Request | For::Keys)).then(Stopwatch::start);
        slot.state = State::Open(Open { app, used, awaited, close });
        drop(slots);
        tokio::spawn(Arc::clone(self).keep(tenant, shard, closing));
    }

    /// Waits until a tenant fails or is to be closed, and ends its threads.
    async fn keep(self: Arc<Self>, tenant: TenantId, shard: Shard, closing: oneshot::Receiver<watch::Sender<()>>) {
        let core = shard.core.clone();
        let closed = tokio::select! {
            () = core.failed() => None,
            closed = closing => closed.ok(),
        };
        let has_failed = closed.is_none();
        let moved = closed.unwrap_or_else(|| {
            let (moved, moving) = watch::channel(());
            if let Some(slot) = self.lock().known.get_mut(&tenant) {
                slot.state = State::Closing(moving);
            }
            moved
        });
        core.stop();
        let ended = tokio::task::spawn_blocking(move || shard.end()).await;
        let due = core.next_due().map_or(Due::Never, Due::At);
        drop(core);
        match ended {
            Ok(Ok(())) if !has_failed => {
                tracing::debug!(tenant = tenant.get(), "closed");
                self.note_closed(tenant, due);
            }
            Ok(Ok(())) => self.note_failed(tenant, "its threads ended"),
            Ok(Err(Stopped::IndexDamaged { fault, .. })) => self.note_index_damaged(tenant, &fault),
            Ok(Err(stopped)) => self.note_failed(tenant, &stopped.to_string()),
            Err(panicked) => self.note_failed(tenant, &format!("a thread panicked: {panicked}")),
        }
        drop(moved);
    }

    fn note_closed(&self, tenant: TenantId, due: Due) {
        if let Some(slot) = self.lock().known.get_mut(&tenant) {
            slot.state = State::Closed;
            slot.due = due;
        }
    }

    /// The next opening rebuilds the index.
    fn note_index_damaged(&self, tenant: TenantId, fault: &index::Fault) {
        let mut slots = self.lock();
        let slot = slots.known.entry(tenant).or_default();
        slot.damages += 1;
        if slot.damages < DAMAGES_MAX {
            tracing::warn!(tenant = tenant.get(), %fault, "the index of a tenant is damaged; it will be rebuilt");
            slot.state = State::Closed;
            slot.due = Due::Unknown;
            return;
        }
        drop(slots);
        self.note_failed(tenant, &format!("the index was damaged several times since the start: {fault}"));
    }

    pub(super) fn note_failed(&self, tenant: TenantId, why: &str) {
        tracing::error!(tenant = tenant.get(), why, "a tenant failed; other tenants go on");
        let mut slots = self.lock();
        let slot = slots.known.entry(tenant).or_default();
        slot.state = State::Failed { why: why.into(), since: Stopwatch::start() };
    }

    /// Closes every open tenant. No request may run any more.
    pub(crate) async fn close(self: &Arc<Self>) {
        self.lock().is_stopping = true;
        loop {
            let moving = {
                let mut slots = self.lock();
                for slot in slots.known.values_mut() {
                    // A request that was given up on may still be counted.
                    slot.close_now();
                }
                slots.known.values().find_map(|slot| slot.state.moving().cloned())
            };
            let Some(moving) = moving else { return };
            ended(moving).await;
        }
    }
}
