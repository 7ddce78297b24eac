//! Helpers for the tests that parse requests.

use api::{IdSource, Problem};
use types::{Digest, TenantId};

pub(crate) const TENANT: TenantId = TenantId::new(1);
pub(crate) const SECRET: Digest = Digest::new([7; 32]);
pub(crate) const NO_KEY: IdSource<'_> = IdSource { secret: SECRET, tenant: TENANT, key: None };

/// Checks that the input was rejected with this code, place (`-` for none) and detail.
#[track_caller]
pub(crate) fn check<T>(result: Result<T, Problem>, code: &str, field: &str, detail: &str) {
    let problem = result.err().expect("the input is invalid");
    let found = (problem.code().as_str(), problem.field().unwrap_or("-"), problem.detail());
    assert_eq!(found, (code, field, detail));
}
