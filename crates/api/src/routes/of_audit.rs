//! The routes that say who did what.

use super::build::list;
use super::parameters::{ACTOR, CURSOR, KIND, LIMIT, OF_ACCOUNT, OF_PAYMENT, REVERSED, SINCE, UNTIL};
use super::{Operation, Route, page};
use crate::audit::AuditItem;
use crate::scope::Scope;

pub(super) const LIST: Route = list(
    Operation::ListAudit,
    "/v1/audit",
    Scope::AUDIT_READ,
    &[CURSOR, LIMIT, ACTOR, KIND, SINCE, UNTIL, OF_PAYMENT, OF_ACCOUNT, REVERSED],
    page::<AuditItem>(),
    "List who did what: the entries that principals caused. A page may be short although `next_cursor` continues",
);

/// The handler also checks `tenants:read`: a route has one scope.
pub(super) const LIST_OF_INSTALLATION: Route = list(
    Operation::ListInstallationAudit,
    "/v1/installation/audit",
    Scope::AUDIT_READ,
    &[CURSOR, LIMIT, ACTOR, KIND, SINCE, UNTIL, REVERSED],
    page::<AuditItem>(),
    "List who administered the installation: its tenants, issuers, clients and roles. Only for the first tenant, and \
     with the scope `tenants:read` as well",
);
