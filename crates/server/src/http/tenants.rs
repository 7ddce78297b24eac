//! Handlers that administer tenants. Their caller is one of the first tenant.

use std::sync::Arc;

use api::installation::{TenantCreated, TenantShown, new_tenant, quotas, tenant_id};
use api::responses::Page;
use api::{CursorOrigin, List, Scope, requests};
use axum::response::Response;
use edge::AuditWanted;
use edge::auth::permitted_on_route;
use types::TenantId;

use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, found, rendered};
use crate::tenants::{By, Change, not_found};

pub(crate) async fn create(call: Call) -> Handled {
    let new = new_tenant(&call.body)?;
    let (number, made, key) = call.host.tenants.create(call.by(), new).await?;
    let tenant = call.shown(number, Measured::Yes).await?;
    let location = format!("/v1/tenants/{number}");
    Ok(rendered(edge::Response::created(made, location, &TenantCreated::new(tenant, key))))
}

pub(crate) fn list(call: &Call) -> Handled {
    let history = call.app.history();
    let limit = call.head.parameters.limit()?;
    let after: u64 = call.head.parameters.cursor(history, List::Tenants)?;
    let tenants = &call.host.tenants;
    let home = call.app.core.tenant();
    let mut numbers: Vec<TenantId> = tenants.installation().all().into_iter().map(|(number, _)| number).collect();
    if !numbers.contains(&home) {
        numbers.push(home);
    }
    numbers.sort_unstable();
    numbers.retain(|number| u64::from(number.get()) > after);
    let has_more = numbers.len() > limit;
    numbers.truncate(limit);
    let next_cursor = numbers.last().filter(|_| has_more).map(|last| history.cursor(List::Tenants, last.get()));
    let items = numbers.iter().filter_map(|number| call.shown_as(*number, (tenants.is_open(*number), None)));
    Ok(found(&Page { items: items.collect(), next_cursor }))
}

pub(crate) async fn get(call: Call) -> Handled {
    let number = tenant_id(call.head.path_id())?;
    Ok(found(&call.shown(number, Measured::Yes).await?))
}

pub(crate) async fn change(call: Call, change: Change) -> Handled {
    requests::verb(&call.body)?;
    let (host, number, now) = (Arc::clone(&call.host), tenant_id(call.head.path_id())?, call.app.core.now());
    let answer = changed(call, change).await?;
    if matches!(change, Change::Suspend) {
        host.backtests.end_all(number, now);
    }
    Ok(answer)
}

pub(crate) async fn set_quotas(call: Call) -> Handled {
    let quotas = quotas(&call.body)?;
    changed(call, Change::SetQuotas(quotas)).await
}

async fn changed(call: Call, change: Change) -> Result<Response, Failure> {
    let number = tenant_id(call.head.path_id())?;
    let made = call.host.tenants.change(call.by(), number, change).await?;
    let tenant = call.shown(number, Measured::No).await?;
    Ok(rendered(edge::Response::found(&tenant).made(made)))
}

/// Who administered the installation: the audit of the system journal. Its entries name tenants, so reading them takes the scope
/// that listing tenants takes.
pub(crate) async fn audit(call: Call) -> Handled {
    call.host.only_home(call.app.core.tenant())?;
    permitted_on_route(call.caller.scopes, Scope::TENANTS_READ)?;
    let system = call.host.tenants.system();
    let history = CursorOrigin { origin: system.identity().origin, shard: system.shard() };
    let wanted = AuditWanted::read(&call.head.parameters, history)?;
    let page = system.past(move |past| past.audit(&wanted)).await?;
    Ok(rendered(call.app.edge.show_audit(&call.at_the_edge(), history, page).await?))
}

/// Whether the files of a tenant are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measured {
    Yes,
    No,
}

impl Call {
    /// Who administers.
    pub(crate) fn by(&self) -> By {
        let request = self.app.edge.request_of(&self.at_the_edge());
        By { tenant: self.app.core.tenant(), actor: self.caller.actor, request }
    }

    async fn shown(&self, number: TenantId, measured: Measured) -> Result<TenantShown, Failure> {
        let tenants = &self.host.tenants;
        let sizes = match measured {
            Measured::Yes => tenants.measured(number).await,
            Measured::No => (tenants.is_open(number), None),
        };
        Ok(self.shown_as(number, sizes).ok_or_else(|| not_found(number))?)
    }

    fn shown_as(&self, number: TenantId, sizes: (bool, Option<u64>)) -> Option<TenantShown> {
        let tenants = &self.host.tenants;
        let tenant = tenants.known_or_first(number)?;
        let created_at = tenants.installation().known(number).map(|known| known.added_at);
        let created_at = created_at.filter(|_| number != self.host.home().core.tenant());
        Some(TenantShown::new(number, &tenant, created_at, sizes))
    }
}
