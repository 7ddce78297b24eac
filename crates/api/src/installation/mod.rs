//! The settings of an installation: their documents in the system journal, the requests that change them, and how they are
//! shown.

mod tenant;

pub use tenant::{
    Mode, NewTenant, QUOTA_DISK_BYTES_MIN, Quotas, QuotasBody, Tenant, TenantBody, TenantCreated, TenantShown,
    TenantState, new_tenant, quotas, tenant_id,
};
