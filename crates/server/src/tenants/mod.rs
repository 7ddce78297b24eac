//! The tenants of an installation. The first tenant and the system journal are open while the server runs. Every other
//! tenant is opened when a request needs it or when something is due there, and closed after a while without requests.
//!
//! A tenant that fails, for example because its journal is damaged, stops alone: its requests get status 503 with the
//! reason, and the next request after a pause opens it again.

mod administration;
mod installation;
mod keeping;
pub(crate) mod size;
mod slots;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::installation::{Tenant, TenantState};
use edge::admission::Limits;
use edge::auth::{ApiKeys, AuthError};
use tokio::sync::{Semaphore, watch};
use types::TenantId;

use crate::clock::Clocks;
use crate::core::Core;
use crate::descriptors;
use crate::http::App;
use crate::identity::Fetch;
use crate::open::Options;
pub(crate) use crate::tenants::administration::{By, Change, newest_tenant_directory, not_found};
pub(crate) use crate::tenants::installation::Installation;
use crate::tenants::slots::{Room, Slots, State};

/// Most tenants that are opened at the same time.
const OPENINGS_MAX: usize = 2;
/// Most requests that wait for tenants to open.
const WAITING_MAX: usize = 4_096;
/// How long a request waits for its tenant to open.
const OPEN_WITHIN: Duration = Duration::from_secs(20);
/// How soon a tenant that failed may be opened again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Why a request does not get its tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unopened {
    /// The tenant is suspended.
    #[error("tenant {0} is suspended")]
    Suspended(TenantId),
    /// The tenant failed, or cannot be opened.
    #[error("tenant {0} is not available: {1}")]
    Failed(TenantId, Arc<str>),
    /// It takes too long, or too many requests wait.
    #[error("tenant {0} is being opened; try again in a second")]
    Opening(TenantId),
    /// As many tenants as may be open have requests in progress.
    #[error(
        "tenant {0} cannot be opened now: {1} other tenants are open, which is the limit, and all have requests in progress"
    )]
    TooManyOpen(TenantId, usize),
    #[error("the server is stopping")]
    Stopping,
}

/// All tenants.
#[derive(Debug)]
pub(crate) struct Tenants {
    /// For opening tenants.
    options: Options,
    clocks: Arc<dyn Clocks>,
    /// The first tenant.
    home: Arc<App>,
    /// The system journal.
    system: Core,
    installation: Arc<Installation>,
    slots: Mutex<Slots>,
    /// Most tenants that are open at the same time, the first not counted.
    open_max: usize,
    opening: Semaphore,
    waiting: Semaphore,
    /// Held while tenants are created, changed or removed.
    administering: tokio::sync::Mutex<()>,
}

/// Why a tenant is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// A request, whose sender is known.
    Request,
    /// To learn whether it knows the API key of a request. That does not count as use, because anybody can send one.
    Keys,
    /// To learn what is due, or to do it.
    Due,
}

impl Tenants {
    pub(crate) fn new(
        options: Options,
        clocks: Arc<dyn Clocks>,
        (home, system): (Core, Core),
        installation: Arc<Installation>,
    ) -> Arc<Self> {
        let home = App::new(home, Arc::clone(&installation));
        let open_max = descriptors::Shares::now(options.open_tenants).tenants;
        if open_max < options.open_tenants {
            tracing::warn!(
                open_max,
                wanted = options.open_tenants,
                "the limit on open files allows fewer open tenants"
            );
        }
        Arc::new(Self {
            open_max,
            options,
            clocks,
            home,
            system,
            installation,
            slots: Mutex::default(),
            opening: Semaphore::new(OPENINGS_MAX),
            waiting: Semaphore::new(WAITING_MAX),
            administering: tokio::sync::Mutex::default(),
        })
    }

    /// The first tenant.
    pub(crate) fn home(&self) -> &Arc<App> {
        &self.home
    }

    /// How to get the keys of issuers.
    pub(crate) fn fetch(&self) -> Option<Arc<dyn Fetch>> {
        self.options.fetch.clone()
    }

    /// The system journal.
    pub(crate) fn system(&self) -> &Core {
        &self.system
    }

    /// The settings of the installation.
    pub(crate) fn installation(&self) -> &Arc<Installation> {
        &self.installation
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tenant with this number, unless there is none that can have credentials: it is unknown, not ready yet, or
    /// removed.
    pub(crate) fn known(&self, tenant: TenantId) -> Option<Arc<Tenant>> {
        self.installation.tenant(tenant).filter(|known| match known.state {
            TenantState::Active | TenantState::Suspended => true,
            TenantState::Creating | TenantState::Removing | TenantState::Removed => false,
        })
    }

    /// The API keys of a tenant other than the first, if it was open since the start.
    pub(crate) fn keys(&self, tenant: TenantId) -> Option<Arc<ApiKeys>> {
        self.lock().known.get(&tenant)?.keys.clone()
    }

    /// A tenant, which is opened if necessary.
    pub(crate) async fn app(self: &Arc<Self>, tenant: TenantId, why: For) -> Result<Arc<App>, Unopened> {
        if tenant == self.home.core.tenant() {
            return Ok(Arc::clone(&self.home));
        }
        if let Found::Open(opened) = self.try_app(tenant, why)? {
            return Ok(opened);
        }
        let Ok(_waits) = self.waiting.try_acquire() else { return Err(Unopened::Opening(tenant)) };
        let opened = async {
            loop {
                match self.try_app(tenant, why)? {
                    Found::Open(opened) => return Ok(opened),
                    Found::Moving(moving) => ended(moving).await,
                }
            }
        };
        tokio::time::timeout(OPEN_WITHIN, opened).await.unwrap_or(Err(Unopened::Opening(tenant)))
    }

    /// A tenant if it is open. If it is closed, this begins to open it, or to make room for it.
    fn try_app(self: &Arc<Self>, tenant: TenantId, why: For) -> Result<Found, Unopened> {
        let mut slots = self.lock();
        if slots.is_stopping {
            return Err(Unopened::Stopping);
        }
        // Under the lock, so that a tenant is not opened after it was closed in order to be removed.
        match self.installation.state(tenant) {
            Some(TenantState::Active) => {}
            Some(TenantState::Suspended) => return Err(Unopened::Suspended(tenant)),
            Some(TenantState::Creating | TenantState::Removing | TenantState::Removed) | None => {
                return Err(Unopened::Failed(tenant, "it does not exist".into()));
            }
        }
        let slot = slots.known.entry(tenant).or_default();
        if let Some(open) = slot.take_open(why) {
            return Ok(Found::Open(open));
        }
        match &slot.state {
            State::Failed { why, since } if since.elapsed() < RETRY_AFTER => {
                return Err(Unopened::Failed(tenant, Arc::clone(why)));
            }
            State::Opening(moving) | State::Closing(moving) => return Ok(Found::Moving(moving.clone())),
            State::Closed | State::Failed { .. } | State::Open(_) => {}
        }
        Ok(Found::Moving(match slots.room(self.open_max) {
            Room::Free(after) => {
                let (moved, moving) = watch::channel(());
                slots.known.entry(tenant).or_default().state = State::Opening(moving.clone());
                tokio::spawn(Arc::clone(self).open(tenant, why, (after, moved)));
                moving
            }
            Room::Soon(moving) => moving,
            Room::None => return Err(Unopened::TooManyOpen(tenant, self.open_max)),
        }))
    }

    /// Waits until a tenant is not being opened or closed any more.
    async fn moved(&self, tenant: TenantId) {
        let moving = self.lock().known.get(&tenant).and_then(|slot| slot.state.moving().cloned());
        if let Some(moving) = moving {
            ended(moving).await;
        }
    }

    /// Calls `each` with every open tenant but the first.
    fn each_open(&self, mut each: impl FnMut(&Core)) {
        for slot in self.lock().known.values() {
            if let State::Open(open) = &slot.state {
                each(&open.app.core);
            }
        }
    }

    /// The limits on requests.
    pub(crate) fn limits(&self) -> Limits {
        self.options.limits
    }

    /// How long requests waited for the engine of each open tenant since the last call.
    pub(crate) fn take_queue_waits(&self) -> Vec<(TenantId, Duration)> {
        let wait = |core: &Core| (core.tenant(), core.shared().inbox.take_wait());
        let mut waits = vec![wait(&self.home.core)];
        self.each_open(|core| waits.push(wait(core)));
        waits
    }

    /// Ends streams, because the server is about to stop.
    pub(crate) fn drain(&self) {
        self.system.drain();
        self.each_open(Core::drain);
    }

    /// How many tenants may be open at the same time, if the limit on open files allows it.
    pub(crate) fn open_wanted(&self) -> usize {
        self.options.open_tenants
    }

    /// How many tenants are open, the first included.
    pub(crate) fn open_count(&self) -> usize {
        let mut count = 1;
        self.each_open(|_| count += 1);
        count
    }

    /// Closes open tenants that are suspended, as soon as no request uses them.
    fn close_suspended(&self) {
        for (tenant, slot) in &mut self.lock().known {
            if self.installation.is_suspended(*tenant) {
                slot.close_if(|_| true);
            }
        }
    }

    /// Confirms the clock for all shards.
    pub(crate) fn confirm_clock(&self, by: types::ActorId) -> crate::guard::Confirmed {
        let confirmed = self.home.core.confirm_clock(by);
        self.system.confirm_clock(by);
        self.each_open(|core| {
            core.confirm_clock(by);
        });
        confirmed
    }

    /// Waits until one more tenant may be open, and counts this one, which is being made.
    async fn take_room(&self, tenant: TenantId) -> Result<watch::Sender<()>, Unopened> {
        let taken = async {
            loop {
                let soon = {
                    let mut slots = self.lock();
                    match slots.room(self.open_max) {
                        Room::Free(after) => {
                            let (moved, moving) = watch::channel(());
                            slots.known.entry(tenant).or_default().state = State::Opening(moving);
                            return Ok((moved, after));
                        }
                        Room::Soon(moving) => moving,
                        Room::None => return Err(Unopened::TooManyOpen(tenant, self.open_max)),
                    }
                };
                ended(soon).await;
            }
        };
        let taken = tokio::time::timeout(OPEN_WITHIN, taken).await;
        let (moved, after) = taken.unwrap_or(Err(Unopened::Opening(tenant)))?;
        if let Some(closing) = after {
            ended(closing).await;
        }
        Ok(moved)
    }
}

/// What a request for a tenant finds.
enum Found {
    Open(Arc<App>),
    /// The request has to wait until this has ended, and then to look again.
    Moving(watch::Receiver<()>),
}

/// Waits until a tenant is not being opened or closed any more.
async fn ended(mut moving: watch::Receiver<()>) {
    while moving.changed().await.is_ok() {}
}

/// Why a caller that was accepted before is not any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("tenant {0} is suspended")]
    Suspended(TenantId),
    #[error(transparent)]
    Credential(#[from] AuthError),
    #[error("{}", _0.detail())]
    Token(Box<api::Problem>),
}
