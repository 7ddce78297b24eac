//! Tenants: the document of one, the requests to create and change it, and how it is shown.

use serde::Serialize;
use types::{RequestId, TenantId, Timestamp, shorten};
use utoipa::ToSchema;

use crate::json::{Fields, Json, Number};
use crate::parameters;
use crate::problem::Problem;

/// The longest name of a tenant.
const NAME_BYTES_MAX: usize = 128;
/// The smallest quota of disk space: two segments and a small index.
pub const QUOTA_DISK_BYTES_MIN: u64 = 4 << 20;
/// The largest number that every JSON reader keeps.
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// A tenant, as its document in the system journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub name: Box<str>,
    pub mode: Mode,
    /// The live tenant that this one is a sandbox of.
    pub sandbox_of: Option<TenantId>,
    pub state: TenantState,
    pub quotas: Quotas,
    /// The request that created it, by which a retry finds it; `None` for the first tenant.
    pub request: Option<RequestId>,
}

/// Whether a tenant is for real money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Live,
    /// For trying things out. The text of its API keys says so.
    Test,
}

impl Mode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

/// What happens with a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantState {
    /// Its journal and its first API key are being made. A start undoes what was left in this state.
    Creating,
    Active,
    /// Its requests are refused. Nothing is lost.
    Suspended,
    /// Its directory is being erased. A start finishes this.
    Removing,
    /// Its directory was erased. Its number is never used again.
    Removed,
}

impl TenantState {
    const ALL: [Self; 5] = [Self::Creating, Self::Active, Self::Suspended, Self::Removing, Self::Removed];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Removing => "removing",
            Self::Removed => "removed",
        }
    }
}

/// How much a tenant may use; `None` is without a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quotas {
    pub requests_per_second: Option<u32>,
    /// The size of its directory from which on its writes are refused.
    pub disk_bytes: Option<u64>,
}

impl Tenant {
    /// The first tenant of an installation, as long as it has no document.
    pub fn first() -> Self {
        Self {
            name: "first tenant".into(),
            mode: Mode::Live,
            sandbox_of: None,
            state: TenantState::Active,
            quotas: Quotas::default(),
            request: None,
        }
    }

    pub const fn is_test(&self) -> bool {
        matches!(self.mode, Mode::Test)
    }

    /// The document, in its only spelling: without spaces, with sorted fields.
    pub fn document(&self) -> String {
        let text = |text: &str| Json::Text(text.to_owned());
        let quotas = [
            ("disk_bytes", self.quotas.disk_bytes.map(|bytes| Json::Number(Number::of(&bytes)))),
            ("requests_per_second", self.quotas.requests_per_second.map(|rate| Json::Number(Number::of(&rate)))),
        ];
        let fields = [
            ("mode", Some(text(self.mode.name()))),
            ("name", Some(text(&self.name))),
            ("quotas", Some(object(quotas))),
            ("request", self.request.map(|request| Json::Text(request.to_string()))),
            ("sandbox_of", self.sandbox_of.map(|tenant| Json::Number(Number::of(&tenant)))),
            ("state", Some(text(self.state.name()))),
        ];
        object(fields).canonical("").unwrap_or_default()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If it does not describe a tenant.
    pub fn read(document: &str) -> Result<Self, Problem> {
        let known = ["mode", "name", "quotas", "request", "sandbox_of", "state"];
        let mut fields = Fields::of_body(document.as_bytes(), &known)?;
        let state = fields.required("state", |fields, field| fields.text(field, "a state", NAME_BYTES_MAX))?;
        let state = TenantState::ALL.into_iter().find(|known| known.name() == state);
        let state = state.ok_or_else(|| fields.invalid("state", "expected the state of a tenant"))?;
        let request = fields.parsed("request", "a request id")?;
        let NewTenant { name, mode, sandbox_of, quotas } = read_new(&mut fields)?;
        Ok(Self { name, mode, sandbox_of, state, quotas, request })
    }
}

fn object<const N: usize>(fields: [(&str, Option<Json>); N]) -> Json {
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Json::Object(present.collect())
}

/// A tenant to create.
#[derive(Debug, ToSchema)]
#[schema(as = NewTenant)]
pub struct TenantBody {
    /// A name for people to read, 1 to 128 bytes.
    #[schema(example = "Shop Ltd")]
    pub name: String,
    /// `live`, or `test` for trying things out.
    #[schema(example = "test")]
    pub mode: String,
    /// The live tenant that this one, in the mode `test`, is a sandbox of.
    #[schema(minimum = 1, example = 2)]
    pub sandbox_of: Option<u32>,
    pub quotas: Option<QuotasBody>,
}

/// How much a tenant may use. What is absent has no limit.
#[derive(Debug, ToSchema)]
#[schema(as = NewQuotas)]
pub struct QuotasBody {
    /// Most requests in a second, at least 1.
    #[schema(minimum = 1, example = 500)]
    pub requests_per_second: Option<u32>,
    /// Size of the directory from which on writes are refused, at least 4194304.
    #[schema(minimum = 4_194_304, example = 1_073_741_824_u64)]
    pub disk_bytes: Option<u64>,
}

/// A tenant to create, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTenant {
    pub name: Box<str>,
    pub mode: Mode,
    pub sandbox_of: Option<TenantId>,
    pub quotas: Quotas,
}

/// Parses the body of `POST /v1/tenants`.
///
/// # Errors
/// If the body does not describe a tenant.
pub fn new_tenant(body: &[u8]) -> Result<NewTenant, Problem> {
    read_new(&mut Fields::of_body(body, &["name", "mode", "sandbox_of", "quotas"])?)
}

fn read_new(fields: &mut Fields) -> Result<NewTenant, Problem> {
    let expected = format!("a string of 1 to {NAME_BYTES_MAX} bytes");
    let name = fields.required("name", |fields, name| fields.text(name, &expected, NAME_BYTES_MAX))?;
    if name.trim().is_empty() {
        return Err(fields.invalid("name", format!("found an empty string, expected {expected}")));
    }
    let expected = "`live` or `test`";
    let mode = match fields.required("mode", |fields, mode| fields.text(mode, expected, NAME_BYTES_MAX))?.as_str() {
        "live" => Mode::Live,
        "test" => Mode::Test,
        other => return Err(fields.invalid("mode", format!("found `{}`, expected {expected}", shorten(other)))),
    };
    let sandbox_of = fields.number("sandbox_of", 1, u32::MAX)?.map(TenantId::new);
    if sandbox_of.is_some() && mode == Mode::Live {
        return Err(fields.invalid("sandbox_of", "found it in the mode `live`, expected the mode `test`"));
    }
    let quotas = match fields.take("quotas") {
        None => Quotas::default(),
        Some(quotas) => read_quotas(&mut Fields::of(quotas, fields.pointer_of("quotas"))?.among(QUOTAS)?)?,
    };
    Ok(NewTenant { name: name.into(), mode, sandbox_of, quotas })
}

const QUOTAS: &[&str] = &["requests_per_second", "disk_bytes"];

/// Parses the body of `POST /v1/tenants/{id}/quotas`.
///
/// # Errors
/// If the body does not describe quotas.
pub fn quotas(body: &[u8]) -> Result<Quotas, Problem> {
    read_quotas(&mut Fields::of_body(body, QUOTAS)?)
}

fn read_quotas(fields: &mut Fields) -> Result<Quotas, Problem> {
    let requests_per_second = fields.number("requests_per_second", 1, u32::MAX)?;
    let disk_bytes = match fields.take("disk_bytes") {
        None => None,
        Some(found) => {
            let number = found.as_number().and_then(|number| number.as_str().parse().ok());
            let expected = format!("expected a whole number from {QUOTA_DISK_BYTES_MIN} to {WHOLE_MAX}");
            let fits = number.filter(|bytes| (QUOTA_DISK_BYTES_MIN..=WHOLE_MAX).contains(bytes));
            Some(fits.ok_or_else(|| fields.invalid("disk_bytes", format!("found {}, {expected}", found.found())))?)
        }
    };
    Ok(Quotas { requests_per_second, disk_bytes })
}

/// Parses the number of a tenant in a path.
///
/// # Errors
/// If it is not a number of a tenant.
pub fn tenant_id(text: &str) -> Result<TenantId, Problem> {
    let number = parameters::number("id", text, 1..=u64::from(u32::MAX))?;
    Ok(TenantId::new(u32::try_from(number).unwrap_or(u32::MAX)))
}

/// A tenant.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantShown {
    /// The number of the tenant. Its directory and the text of its API keys contain it.
    #[schema(example = 2)]
    id: u32,
    /// A name for people to read.
    #[schema(example = "Shop Ltd")]
    name: String,
    /// `live` or `test`.
    #[schema(example = "live")]
    mode: &'static str,
    /// The tenant that this one is a sandbox of; null if it is none.
    #[schema(required)]
    sandbox_of: Option<u32>,
    /// `active`, `suspended` or `removed`; `creating` and `removing` while that is in progress.
    #[schema(example = "active")]
    state: &'static str,
    quotas: QuotasShown,
    /// When the tenant was created; null for the first tenant.
    #[schema(required, format = "date-time")]
    created_at: Option<String>,
    /// Whether its journal is open at the moment. A tenant without requests is closed after a while, and opened by the next
    /// request.
    is_open: bool,
    /// The size of its files; null in lists.
    #[schema(required)]
    disk_bytes: Option<u64>,
}

/// How much a tenant may use.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Quotas)]
struct QuotasShown {
    /// Most requests in a second; null if there is no limit.
    #[schema(required)]
    requests_per_second: Option<u32>,
    /// Size of the directory from which on writes are refused; null if there is no limit.
    #[schema(required)]
    disk_bytes: Option<u64>,
}

/// The answer to a request to create a tenant.
#[derive(Clone, Serialize, ToSchema)]
pub struct TenantCreated {
    tenant: TenantShown,
    /// The first API key of the tenant, which may do everything there. Only the first answer shows it; null in the answer
    /// to a retry.
    #[schema(required, example = "fin_t2_1_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE")]
    key: Option<String>,
    /// What to know about `key`.
    note: &'static str,
}

// The key is left out so that it does not get into logs.
impl std::fmt::Debug for TenantCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantCreated").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl TenantCreated {
    /// `key` is `None` if an earlier request created the tenant.
    pub fn new(tenant: TenantShown, key: Option<String>) -> Self {
        let note = match key {
            Some(_) => "the key is shown only in this answer; keep it",
            None => {
                "the first answer to this request showed the key, and nobody can show it again; if it is lost, make another one with `finaira admin key create`"
            }
        };
        Self { tenant, key, note }
    }
}

impl TenantShown {
    pub fn new(
        id: TenantId,
        tenant: &Tenant,
        created_at: Option<Timestamp>,
        (is_open, disk_bytes): (bool, Option<u64>),
    ) -> Self {
        let Quotas { requests_per_second, disk_bytes: quota } = tenant.quotas;
        Self {
            id: id.get(),
            name: tenant.name.to_string(),
            mode: tenant.mode.name(),
            sandbox_of: tenant.sandbox_of.map(TenantId::get),
            state: tenant.state.name(),
            quotas: QuotasShown { requests_per_second, disk_bytes: quota },
            created_at: created_at.map(|at| at.to_string()),
            is_open,
            disk_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_reads_as_it_was_written() {
        let all = Tenant {
            name: "A \"b\" é".into(),
            mode: Mode::Test,
            sandbox_of: Some(TenantId::new(2)),
            state: TenantState::Suspended,
            quotas: Quotas { requests_per_second: Some(7), disk_bytes: Some(5 << 20) },
            request: Some(RequestId::new(9)),
        };
        assert_eq!(
            all.document(),
            r#"{"mode":"test","name":"A \"b\" é","quotas":{"disk_bytes":5242880,"requests_per_second":7},"request":"00000000-0000-0000-0000-000000000009","sandbox_of":2,"state":"suspended"}"#
        );
        for state in TenantState::ALL {
            for tenant in [all.clone(), Tenant::first()] {
                let tenant = Tenant { state, ..tenant };
                assert_eq!(Tenant::read(&tenant.document()), Ok(tenant));
            }
        }
    }

    #[test]
    fn a_request_that_describes_no_tenant_is_refused_at_its_field() {
        let refused = |body: &str| new_tenant(body.as_bytes()).unwrap_err().field().unwrap_or_default().to_owned();
        for (body, pointer) in [
            (r#"{"mode":"live"}"#, "/name"),
            (r#"{"name":" ","mode":"live"}"#, "/name"),
            (r#"{"name":"a","mode":"Live"}"#, "/mode"),
            (r#"{"name":"a","mode":"live","sandbox_of":2}"#, "/sandbox_of"),
            (r#"{"name":"a","mode":"test","sandbox_of":0}"#, "/sandbox_of"),
            (r#"{"name":"a","mode":"live","quotas":{"disk_bytes":1}}"#, "/quotas/disk_bytes"),
            (r#"{"name":"a","mode":"live","quotas":{"disk_bytes":4194304.5}}"#, "/quotas/disk_bytes"),
            (r#"{"name":"a","mode":"live","quotas":{"requests_per_second":0}}"#, "/quotas/requests_per_second"),
            (r#"{"name":"a","mode":"live","quotas":{"other":1}}"#, "/quotas/other"),
            (r#"{"name":"a","mode":"live","state":"active"}"#, "/state"),
        ] {
            assert_eq!(refused(body), pointer, "{body}");
        }
    }
}
