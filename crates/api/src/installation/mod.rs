//! The settings of an installation: their documents in the system journal, the requests that change them, and how they are
//! shown.

mod client;
mod grant;
mod issuer;
mod role;
mod shown;
mod tenant;

pub use client::{
    CLIENT_SECRETS_MAX, Client, ClientAuthentication, ClientState, NewAuthentication, NewClient, new_client,
};
pub use grant::{Grant, Roles};
pub use issuer::{IssuerRule, TokenIssuer, new_issuer};
pub use role::{CustomRole, new_role};
pub use shown::{
    ClientAuthenticationBody, ClientBody, ClientCreated, ClientShown, IssuerBody, IssuerRuleBody, IssuerShown,
    IssuerTenantsBody, RoleBody, RoleShown, SigningKeysShown, TokenForm, TokenQuestionForm,
};
pub use tenant::{
    Mode, NewTenant, QUOTA_DISK_BYTES_MIN, Quotas, QuotasBody, Tenant, TenantBody, TenantCreated, TenantShown,
    TenantState, new_tenant, quotas, tenant_id,
};

use crate::errors::ErrorCode;
use crate::json::{Fields, Json};
use crate::problem::Problem;

/// The longest document of a setting.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024;
/// The longest name for people to read.
const NAME_BYTES_MAX: usize = 128;

/// A name for people to read.
fn name(fields: &mut Fields) -> Result<Box<str>, Problem> {
    let expected = format!("a string of 1 to {NAME_BYTES_MAX} bytes");
    let name = fields.required("name", |fields, name| fields.text(name, &expected, NAME_BYTES_MAX))?;
    if name.trim().is_empty() {
        return Err(fields.invalid("name", format!("found an empty string, expected {expected}")));
    }
    Ok(name.into())
}

/// One of a few words. `fallback` is what an absent field means, if it may be absent.
fn word<T: Copy>(fields: &mut Fields, field: &str, words: &[(&str, T)], fallback: Option<T>) -> Result<T, Problem> {
    let names: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let expected = names.join(" or ");
    let found = match (fields.text(field, &expected, NAME_BYTES_MAX)?, fallback) {
        (Some(found), _) => found,
        (None, Some(fallback)) => return Ok(fallback),
        (None, None) => return fields.required(field, |_, _| Ok(None)),
    };
    let known = words.iter().find(|(word, _)| *word == found).map(|(_, meaning)| *meaning);
    let found = types::shorten(&found);
    known.ok_or_else(|| fields.invalid(field, format!("found `{found}`, expected {expected}")))
}

/// An object with the fields that are there.
fn object<const N: usize>(fields: [(&str, Option<Json>); N]) -> Json {
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Json::Object(present.collect())
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

/// Checks that a document fits into a setting, so that a request that describes too much is refused before anything happens.
fn check_size(document: &str) -> Result<(), Problem> {
    if document.len() <= DOCUMENT_BYTES_MAX {
        return Ok(());
    }
    let detail = format!("the setting takes {} bytes, expected at most {DOCUMENT_BYTES_MAX}", document.len());
    Err(Problem::new(ErrorCode::InvalidField, detail))
}
