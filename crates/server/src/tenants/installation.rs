//! The settings of the installation, as the system journal has them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use api::installation::{Tenant, TenantState};
use engine::{ChangedSettings, Engine, Setting, SettingKind};
use types::{Seq, SettingName, TenantId, Timestamp};

use crate::identity::Identity;

/// The settings as of the last batch that the engine of the system journal decided. They are up to date before the answer
/// to a change is sent.
#[derive(Debug, Default)]
pub(crate) struct Installation {
    known: RwLock<Known>,
    /// Issuers, clients and roles.
    pub(crate) identity: Identity,
}

#[derive(Debug, Default)]
struct Known {
    tenants: BTreeMap<TenantId, KnownTenant>,
    /// How many of the engine's changes of settings these contain.
    changes: usize,
}

/// A tenant with a setting.
#[derive(Debug, Clone)]
pub(crate) struct KnownTenant {
    pub(crate) tenant: Arc<Tenant>,
    /// The entry that put the present document.
    pub(crate) version: Seq,
    pub(crate) added_at: Timestamp,
}

impl Installation {
    /// Follows what the engine of the system journal decided.
    pub(crate) fn follow(&self, engine: &Engine) {
        let known = self.read().changes;
        if known == engine.setting_changes() {
            return;
        }
        let ChangedSettings { are_all, changed } = engine.settings_changed_since(known);
        self.identity.follow(are_all, &changed);
        let mut state = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if are_all {
            state.tenants.clear();
        }
        for (kind, name, setting) in changed {
            match kind {
                SettingKind::Tenant => state.note_tenant(&name, setting.as_ref()),
                SettingKind::Issuer
                | SettingKind::Client
                | SettingKind::Role
                | SettingKind::RevokedToken
                | SettingKind::SigningKey => {}
            }
        }
        state.changes = engine.setting_changes();
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tenant with its setting, also one that was removed.
    pub(crate) fn known(&self, tenant: TenantId) -> Option<KnownTenant> {
        self.read().tenants.get(&tenant).cloned()
    }

    /// A tenant, also one that was removed. The first tenant may have no setting.
    pub(crate) fn tenant(&self, tenant: TenantId) -> Option<Arc<Tenant>> {
        self.read().tenants.get(&tenant).map(|known| Arc::clone(&known.tenant))
    }

    pub(crate) fn state(&self, tenant: TenantId) -> Option<TenantState> {
        self.read().tenants.get(&tenant).map(|known| known.tenant.state)
    }

    pub(crate) fn is_suspended(&self, tenant: TenantId) -> bool {
        self.state(tenant) == Some(TenantState::Suspended)
    }

    /// The size of its directory from which on a tenant may write nothing more.
    pub(crate) fn disk_quota(&self, tenant: TenantId) -> Option<u64> {
        self.read().tenants.get(&tenant)?.tenant.quotas.disk_bytes
    }

    /// Most requests of a tenant in a second, if it has a quota for them.
    pub(crate) fn requests_quota(&self, tenant: TenantId) -> Option<u32> {
        self.read().tenants.get(&tenant)?.tenant.quotas.requests_per_second
    }

    /// All tenants in one of these states, in order of their numbers.
    pub(crate) fn in_states(&self, states: &[TenantState]) -> Vec<TenantId> {
        let known = self.read();
        known.tenants.iter().filter(|(_, known)| states.contains(&known.tenant.state)).map(|(id, _)| *id).collect()
    }

    /// All tenants with a setting, in order of their numbers.
    pub(crate) fn all(&self) -> Vec<(TenantId, KnownTenant)> {
        self.read().tenants.iter().map(|(id, known)| (*id, known.clone())).collect()
    }
}

impl Known {
    fn note_tenant(&mut self, name: &SettingName, setting: Option<&Setting>) {
        let Ok(number) = name.as_str().parse() else {
            tracing::error!(%name, "a setting of a tenant is named by no number; it is ignored");
            return;
        };
        let tenant = TenantId::new(number);
        let Some(Setting { document, version, added_at, .. }) = setting else {
            self.tenants.remove(&tenant);
            return;
        };
        match Tenant::read(document) {
            Ok(read) => {
                let known = KnownTenant { tenant: Arc::new(read), version: *version, added_at: *added_at };
                self.tenants.insert(tenant, known);
            }
            // Without its document, the tenant cannot be used.
            Err(problem) => {
                self.tenants.remove(&tenant);
                tracing::error!(%name, problem = problem.detail(), "the setting of a tenant cannot be read; it is ignored");
            }
        }
    }
}
