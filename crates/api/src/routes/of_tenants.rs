//! The routes that administer the tenants of an installation.

use super::build::{change, create, get, list};
use super::parameters::{CURSOR, LIMIT};
use super::{Body, Key, Operation, Route, page, shape};
use crate::installation::{QuotasBody, TenantBody, TenantCreated, TenantShown};
use crate::requests::VerbBody;
use crate::scope::Scope;

pub(super) const CREATE_TENANT: Route = create(
    Operation::CreateTenant,
    "/v1/tenants",
    Scope::TENANTS_MANAGE,
    Key::Request,
    (shape::<TenantBody>(), shape::<TenantCreated>()),
    "Create a tenant, with an API key that this answer shows once",
);

pub(super) const LIST_TENANTS: Route = list(
    Operation::ListTenants,
    "/v1/tenants",
    Scope::TENANTS_READ,
    &[CURSOR, LIMIT],
    page::<TenantShown>(),
    "List the tenants in the order of their numbers, also those that were removed",
);

pub(super) const GET_TENANT: Route =
    get(Operation::GetTenant, "/v1/tenants/{id}", Scope::TENANTS_READ, shape::<TenantShown>(), "Look up a tenant");

pub(super) const SUSPEND_TENANT: Route = verb(
    Operation::SuspendTenant,
    "/v1/tenants/{id}/suspend",
    "Suspend a tenant: all its requests are refused, and nothing is lost",
);

pub(super) const RESUME_TENANT: Route =
    verb(Operation::ResumeTenant, "/v1/tenants/{id}/resume", "Resume a tenant that is suspended");

pub(super) const REMOVE_TENANT: Route = verb(
    Operation::RemoveTenant,
    "/v1/tenants/{id}/remove",
    "Remove a tenant that is suspended: its directory is erased, and its number is never used again",
);

pub(super) const SET_TENANT_QUOTAS: Route = Route {
    key: Key::Unused,
    ..change(
        Operation::SetTenantQuotas,
        "/v1/tenants/{id}/quotas",
        Scope::TENANTS_MANAGE,
        (Body::Json(shape::<QuotasBody>()), shape::<TenantShown>()),
        "Set the quotas of a tenant; they replace the earlier ones",
    )
};

/// A route that changes the state of a tenant. To repeat the request changes nothing.
const fn verb(operation: Operation, path: &'static str, summary: &'static str) -> Route {
    Route {
        key: Key::Unused,
        ..change(
            operation,
            path,
            Scope::TENANTS_MANAGE,
            (Body::Empty(shape::<VerbBody>()), shape::<TenantShown>()),
            summary,
        )
    }
}
