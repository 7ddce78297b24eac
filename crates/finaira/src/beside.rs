//! Reads the journal of a data directory beside the server that may be writing it.

use std::path::Path;

use anyhow::{Context as _, bail};
use datadir::{JOURNAL, ShardPlace};
use disk::Directory;
use journal::FileReader;
use types::TenantId;

/// A reader of what is durable now in the journal of a tenant, or of the first one of a data directory. It takes no lock and changes nothing.
///
/// # Errors
/// Fails if there is no such tenant or no journal, or if the journal cannot be read.
pub(crate) fn reader_of(data: &Path, tenant: Option<TenantId>) -> anyhow::Result<FileReader<Directory>> {
    let (journal, place) = journal_of(data, tenant)?;
    let reader = FileReader::up_to_the_mark(journal, place.shard);
    let reader = reader.with_context(|| format!("cannot read {}", place.folder(JOURNAL).display()))?;
    reader.with_context(|| format!("{} has no journal", place.directory.display()))
}

/// The directory of a tenant's journal, which is not locked.
fn journal_of(data: &Path, tenant: Option<TenantId>) -> anyhow::Result<(Directory, ShardPlace)> {
    if let Some(place) = tenant.and_then(|tenant| ShardPlace::of_tenant(data, tenant))
        && place.folder(JOURNAL).is_dir()
    {
        return Ok((Directory::beside_others(&place.folder(JOURNAL))?, place));
    }
    let journal = Directory::beside_others(&data.join(JOURNAL))?;
    let first = ShardPlace::found(data, &journal)?;
    match tenant {
        Some(tenant) if tenant != first.tenant => bail!("{} has no tenant {tenant}", data.display()),
        Some(_) | None => Ok((journal, first)),
    }
}
