//! The state that all requests share: the tenants, and how a request finds its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::installation::TenantState;
use api::{ErrorCode, Problem, Scope};
use axum::http::HeaderMap;
use edge::admission::Address;
use edge::auth::{AuthError, Caller, Presented};
use vault::{ApiKey, KeyTenant};

use crate::awake::Activity;
use crate::http::app::App;
use crate::http::call::only;
use crate::http::doors::Doors;
use crate::http::failure::Failure;
use crate::tenants::{For, Tenants};

/// Everything that requests share.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) activity: Activity,
    pub(crate) doors: Doors,
    process: u32,
    requests: AtomicU64,
}

impl Host {
    pub(crate) fn new(tenants: Arc<Tenants>) -> Arc<Self> {
        let mut process = [0; 4];
        datadir::random(&mut process);
        let process = u32::from_le_bytes(process);
        let metrics = Arc::clone(&tenants.home().core.shared().metrics);
        let doors = Doors::new(tenants.limits(), metrics);
        Arc::new(Self { tenants, activity: Activity::new(), doors, process, requests: AtomicU64::new(0) })
    }

    /// The first tenant, which also answers requests that need no credential.
    pub(crate) fn home(&self) -> &Arc<App> {
        self.tenants.home()
    }

    /// An id for a request without one: a random prefix of the process, and a counter.
    pub(crate) fn next_request_id(&self) -> String {
        format!("{:08x}-{}", self.process, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Finds the tenant and the caller of a request by its credential, which came from an address.
    ///
    /// # Errors
    /// If there is no valid credential, or if its tenant is suspended or not available.
    pub(crate) async fn find(&self, headers: &HeaderMap, from: Address) -> Result<(Arc<App>, Caller), Failure> {
        let at = self.home().core.now();
        let presented = Presented { authorization: only(headers, "Authorization")?, at };
        match presented.api_key() {
            Ok(key) => self.of_api_key(&key, presented).await,
            Err(error) => {
                // Whoever guesses learns nothing more after too many failures. An API key costs one hash, so it is always checked.
                self.doors.may_check(from)?;
                Err(Problem::from(error).into())
            }
        }
    }

    async fn of_api_key(
        &self,
        key: &ApiKey,
        Presented { at, .. }: Presented<'_>,
    ) -> Result<(Arc<App>, Caller), Failure> {
        let home = self.home();
        let tenant = key.tenant().number();
        if tenant != home.core.tenant() {
            let known =
                self.tenants.known(tenant).filter(|known| KeyTenant::of(tenant, known.is_test()) == key.tenant());
            let known = known.ok_or(AuthError::Unknown).map_err(Problem::from)?;
            let (open, keys) = self.tenants.at_hand(tenant);
            // A request without a valid key does not open a tenant, and does not learn that it is suspended.
            if let Some(keys) = keys {
                keys.identify(key, at).map_err(Problem::from)?;
            }
            if known.state == TenantState::Suspended {
                return Err(suspended(tenant).into());
            }
            let app = match open {
                Some(open) => open,
                None => self.tenants.app(tenant, For::Request).await?,
            };
            let caller = app.core.identify(key, app.core.now()).map_err(Problem::from)?;
            return Ok((app, caller));
        }
        let caller = home.core.identify(key, at).map_err(Problem::from)?;
        Ok((Arc::clone(home), caller))
    }

    /// Refuses a caller of another tenant than the first on a route that administers the installation.
    ///
    /// # Errors
    /// If the route is for the first tenant only, and the caller is of another one.
    pub(crate) fn permit_home(&self, app: &App, scope: Scope) -> Result<(), Problem> {
        if Scope::INSTALLATION.contains(scope) { self.only_home(app) } else { Ok(()) }
    }

    /// Refuses a caller of another tenant than the first.
    ///
    /// # Errors
    /// If the caller is of another tenant.
    pub(crate) fn only_home(&self, app: &App) -> Result<(), Problem> {
        let (home, tenant) = (self.home().core.tenant(), app.core.tenant());
        if tenant == home {
            return Ok(());
        }
        let detail =
            format!("only credentials of tenant {home} administer the installation, this one is of tenant {tenant}");
        Err(Problem::new(ErrorCode::FirstTenantOnly, detail))
    }
}

/// The problem of a request to a suspended tenant.
pub(crate) fn suspended(tenant: types::TenantId) -> Problem {
    Problem::new(ErrorCode::TenantSuspended, format!("tenant {tenant} is suspended"))
}
