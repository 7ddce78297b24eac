//! `finaira admin tenant export`: a copy of a tenant's directory.

use std::path::Path;

use anyhow::Context as _;
use offline::export;
use types::TenantId;

use crate::backtest::table::thousands;
use crate::stdio::outln;

pub(super) fn run(data: &Path, tenant: u32, to: &Path) -> anyhow::Result<()> {
    let tenant = TenantId::new(tenant);
    let exported = export(data, tenant, to).with_context(|| format!("cannot export tenant {tenant}"))?;
    outln!(
        "Copied {} files, {} bytes, of tenant {tenant} to {}.",
        exported.files,
        thousands(exported.bytes.into()),
        to.display()
    )?;
    outln!("Check the copy with `finaira verify {}`. It contains the keys of personal data.", to.display())
}
