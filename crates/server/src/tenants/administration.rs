//! Creates, changes and removes tenants. Each step is an entry in the system journal, and a start finishes what was
//! interrupted: a tenant whose creation did not end is erased, because nobody got its API key, and one whose removal did
//! not end is removed. A tenant that somebody used was created, even if the system journal was restored to an earlier point.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::installation::{NewTenant, Quotas, Tenant, TenantState};
use api::{ErrorCode, Problem};
use datadir::{JOURNAL, ShardPlace, TENANTS};
use disk::{Directory, DirectoryError};
use engine::{Expected, Made, PutSetting, SettingKind};
use types::{ActorId, RequestId, Seq, TenantId};

use super::installation::KnownTenant;
use super::slots::{Slot, State};
use super::{RETRY_AFTER, Tenants, size};
use crate::clock::Stopwatch;
use crate::http::failure::Failure;
use crate::open::KeyFor;
use crate::shard::{FirstKey, refuse_a_lost_journal};

/// Most tenants that are not removed, the first not counted.
const TENANTS_MAX: usize = 1_024;
/// How long a removal waits for the requests of the tenant to end.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);

/// Who administers, for the entry in the system journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By {
    pub(crate) tenant: TenantId,
    pub(crate) actor: ActorId,
    pub(crate) request: RequestId,
}

impl By {
    const SYSTEM: Self = Self { tenant: ShardPlace::SYSTEM_TENANT, actor: ActorId::SYSTEM, request: RequestId::new(0) };
}

/// What a request wants to change about an existing tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Suspend,
    Resume,
    Remove,
    SetQuotas(Quotas),
}

impl Tenants {
    /// Creates a tenant. Returns its number, and the text of its first API key if this request created it.
    ///
    /// # Errors
    /// If there are too many tenants, if the request was used for another one, or if the tenant cannot be made.
    pub(crate) async fn create(
        self: &Arc<Self>,
        by: By,
        new: NewTenant,
    ) -> Result<(TenantId, Made, Option<String>), Failure> {
        let tenants = Arc::clone(self);
        // A task of its own: if the client disconnects, the creation still ends.
        let creating = tokio::spawn(async move { tenants.create_now(by, new).await });
        creating.await.map_err(|_panicked| crate::Unavailable::Failed)?
    }

    async fn create_now(
        self: &Arc<Self>,
        by: By,
        NewTenant { name, mode, sandbox_of, quotas }: NewTenant,
    ) -> Result<(TenantId, Made, Option<String>), Failure> {
        let _one_at_a_time = self.administering.lock().await;
        let request = Some(by.request).filter(|request| *request != RequestId::default());
        let all = self.installation.all();
        let before = all.iter().find(|(_, known)| request.is_some() && known.tenant.request == request);
        if let Some((number, KnownTenant { tenant, .. })) = before {
            if (&tenant.name, tenant.mode, tenant.sandbox_of) != (&name, mode, sandbox_of) {
                let detail = format!("the Idempotency-Key was used to create tenant {number}, which differs");
                return Err(Problem::new(ErrorCode::RequestIdReused, detail).into());
            }
            return Ok((*number, Made::Before, None));
        }
        let live = all.iter().filter(|(_, known)| known.tenant.state != TenantState::Removed).count();
        if live >= TENANTS_MAX {
            let detail = format!("there are {TENANTS_MAX} tenants, which is the limit");
            return Err(Problem::new(ErrorCode::TooManyTenants, detail).into());
        }
        if let Some(of) = sandbox_of {
            let is_live = self.known_or_first(of).is_some_and(|known| !known.is_test() && is_usable(known.state));
            if !is_live {
                let detail = format!("there is no live tenant {of} that could have a sandbox");
                return Err(Problem::new(ErrorCode::TenantNotFound, detail).at("/sandbox_of").into());
            }
        }
        let known = all.iter().map(|(number, _)| number.get()).max().unwrap_or_default();
        // A system journal that was restored to an earlier point does not know tenants that were created later.
        let newest = known.max(newest_tenant_directory(&self.options.data).unwrap_or_default());
        let number = newest.max(self.home.core.tenant().get()).max(ShardPlace::FIRST_TENANT.get()).saturating_add(1);
        let number = TenantId::new(number);
        let place = ShardPlace::of_tenant(&self.options.data, number).ok_or_else(|| {
            let detail = "every number of a tenant was used";
            Problem::new(ErrorCode::TooManyTenants, detail)
        })?;
        let tenant = Tenant { name, mode, sandbox_of, state: TenantState::Creating, quotas, request };
        let room = self.take_room(number).await?;
        let created = self.create_at(by, (number, tenant), &place).await;
        if let Some(slot) = self.lock().known.get_mut(&number)
            && matches!(slot.state, State::Opening(_))
        {
            // Nothing was opened.
            slot.state = State::Closed;
        }
        drop(room);
        let key = created?;
        tracing::info!(tenant = number.get(), actor = by.actor.get(), "a tenant was created");
        Ok((number, Made::Now, Some(key)))
    }

    async fn create_at(
        self: &Arc<Self>,
        by: By,
        (number, tenant): (TenantId, Tenant),
        place: &ShardPlace,
    ) -> Result<String, Failure> {
        let version = self.put(by, number, &tenant, Expected::Absent).await?;
        let key = self.make(number, place).await.map_err(|why| {
            tracing::error!(tenant = number.get(), why, "a tenant cannot be created");
            let detail = format!("tenant {number} cannot be created; the server log says why");
            Problem::new(ErrorCode::TenantUnavailable, detail)
        })?;
        // From here on the tenant exists.
        self.put(by, number, &Tenant { state: TenantState::Active, ..tenant }, Expected::Version(version)).await?;
        Ok(key)
    }

    /// Makes the journal of a new tenant and its first API key, and opens it.
    async fn make(self: &Arc<Self>, number: TenantId, place: &ShardPlace) -> Result<String, String> {
        // Nothing of an earlier tenant may come back.
        erase(place.directory.clone()).await.map_err(|error| error.to_string())?;
        let mut shard = self.open_shard(number, FirstKey::For(KeyFor::OnlyPrincipal)).await?;
        let key = shard.api_key.take();
        self.begin_keeping(number, shard, None);
        key.map(|key| key.key).ok_or_else(|| "its first start made no API key".to_owned())
    }

    /// Changes a tenant. Returns whether anything changed.
    ///
    /// # Errors
    /// If there is no such tenant, or if its state does not allow the change.
    pub(crate) async fn change(self: &Arc<Self>, by: By, number: TenantId, change: Change) -> Result<Made, Failure> {
        let tenants = Arc::clone(self);
        let changing = tokio::spawn(async move { tenants.change_now(by, number, change).await });
        changing.await.map_err(|_panicked| crate::Unavailable::Failed)?
    }

    async fn change_now(self: &Arc<Self>, by: By, number: TenantId, change: Change) -> Result<Made, Failure> {
        let _one_at_a_time = self.administering.lock().await;
        let known = self.installation.known(number);
        let expected = known.as_ref().map_or(Expected::Absent, |known| Expected::Version(known.version));
        let tenant = self.known_or_first(number).ok_or_else(|| not_found(number))?;
        let is_first = number == self.home.core.tenant();
        let conflict = |what: &str| {
            let detail = format!("tenant {number} is {}, so {what}", tenant.state.name());
            Failure::from(Problem::new(ErrorCode::TenantStateConflict, detail))
        };
        let state = match (change, tenant.state) {
            (Change::Suspend | Change::Remove, _) if is_first => {
                let detail = format!("tenant {number} is the first tenant, which administers the others");
                return Err(Problem::new(ErrorCode::TenantStateConflict, detail).into());
            }
            (Change::SetQuotas(quotas), TenantState::Active | TenantState::Suspended) => {
                let changed = Tenant { quotas, ..Tenant::clone(&tenant) };
                self.put(by, number, &changed, expected).await?;
                return Ok(if tenant.quotas == quotas { Made::Before } else { Made::Now });
            }
            (Change::SetQuotas(_), _) => return Err(conflict("it has no quotas")),
            (Change::Suspend, TenantState::Suspended)
            | (Change::Resume, TenantState::Active)
            | (Change::Remove, TenantState::Removed) => return Ok(Made::Before),
            (Change::Suspend, TenantState::Active) => TenantState::Suspended,
            (Change::Resume, TenantState::Suspended) => TenantState::Active,
            (Change::Remove, TenantState::Suspended | TenantState::Removing) => TenantState::Removing,
            (Change::Suspend, _) => return Err(conflict("it cannot be suspended")),
            (Change::Resume, _) => return Err(conflict("it cannot be resumed")),
            (Change::Remove, _) => return Err(conflict("it cannot be removed; suspend it first")),
        };
        let changed = Tenant { state, ..Tenant::clone(&tenant) };
        if state == TenantState::Removing {
            self.remove(by, number, changed, expected).await?;
        } else {
            self.put(by, number, &changed, expected).await?;
            if state == TenantState::Suspended {
                self.close_suspended();
            }
        }
        tracing::info!(tenant = number.get(), actor = by.actor.get(), state = state.name(), "a tenant was changed");
        Ok(Made::Now)
    }

    /// Erases the directory of a tenant.
    async fn remove(
        self: &Arc<Self>,
        by: By,
        number: TenantId,
        removing: Tenant,
        expected: Expected,
    ) -> Result<(), Failure> {
        let place = ShardPlace::of_tenant(&self.options.data, number).ok_or_else(|| not_found(number))?;
        self.closed(number).await?;
        // Whoever reads the directory, such as an export, has its lock.
        if place.folder(JOURNAL).is_dir() {
            let lock = Directory::open(&place.folder(JOURNAL)).map_err(|error| {
                Problem::new(ErrorCode::TenantStateConflict, format!("tenant {number} cannot be removed: {error}"))
            })?;
            drop(lock);
        }
        let version = self.put(by, number, &removing, expected).await?;
        erase(place.directory).await.map_err(|error| {
            tracing::error!(tenant = number.get(), %error, "cannot erase the directory of a tenant");
            Problem::new(ErrorCode::TenantUnavailable, format!("the directory of tenant {number} cannot be erased"))
        })?;
        let removed = Tenant { state: TenantState::Removed, ..removing };
        self.put(by, number, &removed, Expected::Version(version)).await?;
        self.lock().known.remove(&number);
        Ok(())
    }

    /// Finishes what an earlier process, or a failure, left undone.
    pub(super) async fn finish(self: &Arc<Self>) {
        let unfinished = [TenantState::Creating, TenantState::Removing];
        if self.installation.in_states(&unfinished).is_empty() {
            return;
        }
        // While a request administers, it has unfinished tenants itself.
        let Ok(_one_at_a_time) = self.administering.try_lock() else { return };
        for number in self.installation.in_states(&unfinished) {
            let Some(KnownTenant { tenant, version, .. }) = self.installation.known(number) else { continue };
            let was = tenant.state.name();
            if tenant.state == TenantState::Creating {
                match self.was_used(number).await {
                    Ok(Some(false)) => {}
                    Ok(Some(true)) => {
                        let active = Tenant { state: TenantState::Active, ..Tenant::clone(&tenant) };
                        if self.put(By::SYSTEM, number, &active, Expected::Version(version)).await.is_ok() {
                            tracing::warn!(
                                tenant = number.get(),
                                "a tenant whose creation did not end was used, so it stays: the system journal is older than its journal"
                            );
                        }
                        continue;
                    }
                    Ok(None) => continue,
                    Err(why) => {
                        self.note_failed(
                            number,
                            &format!("its creation did not end, and it cannot be looked at: {why}"),
                        );
                        continue;
                    }
                }
            }
            let removing = Tenant { state: TenantState::Removing, ..Tenant::clone(&tenant) };
            match self.remove(By::SYSTEM, number, removing, Expected::Version(version)).await {
                Ok(()) => tracing::warn!(tenant = number.get(), was, "an unfinished tenant was removed"),
                Err(_logged) => tracing::debug!(tenant = number.get(), was, "an unfinished tenant stays; tried again"),
            }
        }
    }

    /// Whether a tenant whose creation did not end was used; `None` if that cannot be looked at now.
    async fn was_used(self: &Arc<Self>, number: TenantId) -> Result<Option<bool>, String> {
        let is_too_soon =
            |slot: &Slot| matches!(slot.state, State::Failed { since, .. } if since.elapsed() < RETRY_AFTER);
        if self.lock().known.get(&number).is_some_and(is_too_soon) || self.closed(number).await.is_err() {
            return Ok(None);
        }
        let Some(place) = ShardPlace::of_tenant(&self.options.data, number) else { return Ok(None) };
        let looking = tokio::task::spawn_blocking(move || {
            // Its journal may be on a volume that is not mounted.
            refuse_a_lost_journal(&place.directory).map_err(|error| error.to_string())?;
            if !place.folder(JOURNAL).is_dir() {
                return Ok(Some(false));
            }
            match Directory::open(&place.folder(JOURNAL)) {
                Ok(journal) => place.was_used(&journal).map(Some).map_err(|fault| fault.to_string()),
                Err(DirectoryError::InUse(_)) => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        });
        looking.await.map_err(|panicked| panicked.to_string())?
    }

    /// The tenant with this number. The first tenant exists without a setting.
    pub(crate) fn known_or_first(&self, number: TenantId) -> Option<Arc<Tenant>> {
        let first = || (number == self.home.core.tenant()).then(|| Arc::new(Tenant::first()));
        self.installation.tenant(number).or_else(first)
    }

    /// Whether a tenant is open, and the size of its files.
    pub(crate) async fn measured(&self, number: TenantId) -> (bool, Option<u64>) {
        let home = number == self.home.core.tenant();
        let is_open = home || matches!(self.lock().known.get(&number).map(|slot| &slot.state), Some(State::Open(_)));
        let parts = if home {
            size::parts_of(&self.options.data)
        } else {
            ShardPlace::of_tenant(&self.options.data, number).map(|place| place.directory).into_iter().collect()
        };
        let measuring = tokio::task::spawn_blocking(move || parts.iter().map(|part| size::of(part)).sum());
        (is_open, measuring.await.ok())
    }

    pub(crate) fn is_open(&self, number: TenantId) -> bool {
        number == self.home.core.tenant()
            || matches!(self.lock().known.get(&number).map(|slot| &slot.state), Some(State::Open(_)))
    }

    /// Puts the document of a tenant. Returns its version.
    async fn put(&self, by: By, number: TenantId, tenant: &Tenant, expected: Expected) -> Result<Seq, Failure> {
        let name = number.to_string().parse().map_err(|_unnamed| not_found(number))?;
        let document = tenant.document().into();
        let put = PutSetting { kind: SettingKind::Tenant, name, document, expected };
        let answered = self.system.ask_as((by.tenant, by.actor), by.request, put).await?;
        let (_, setting) = answered.map_err(|refusal| Problem::from(&refusal))?;
        Ok(setting.version)
    }

    /// Waits until no request uses a tenant that is suspended, and its shard is closed.
    async fn closed(&self, number: TenantId) -> Result<(), Failure> {
        let stopwatch = Stopwatch::start();
        loop {
            let is_open = {
                let mut slots = self.lock();
                let Some(slot) = slots.known.get_mut(&number) else { return Ok(()) };
                slot.close_if(|_| true);
                match &slot.state {
                    State::Closed | State::Failed { .. } => return Ok(()),
                    State::Opening(_) | State::Closing(_) => false,
                    State::Open(_) => true,
                }
            };
            if stopwatch.elapsed() >= CLOSED_WITHIN {
                let detail = format!("requests of tenant {number} still run; try again in a minute");
                return Err(Problem::new(ErrorCode::TenantStateConflict, detail).into());
            }
            if is_open {
                tokio::time::sleep(Duration::from_millis(20)).await;
            } else {
                self.moved(number).await;
            }
        }
    }
}

const fn is_usable(state: TenantState) -> bool {
    matches!(state, TenantState::Active | TenantState::Suspended)
}

/// The highest number of a tenant that has a directory.
pub(crate) fn newest_tenant_directory(data: &Path) -> Option<u32> {
    let numbers =
        std::fs::read_dir(data.join(TENANTS)).ok()?.filter_map(|item| item.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(|number| ShardPlace::of_tenant(data, TenantId::new(*number)).is_some()).max()
}

pub(crate) fn not_found(number: TenantId) -> Problem {
    Problem::new(ErrorCode::TenantNotFound, format!("tenant {number} does not exist"))
}

/// Erases a directory and everything in it.
async fn erase(directory: std::path::PathBuf) -> std::io::Result<()> {
    tokio::task::spawn_blocking(move || erase_now(&directory)).await.map_err(std::io::Error::other)?
}

fn erase_now(directory: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match directory.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
