//! Which journals a data directory has.

use std::io;
use std::path::{Path, PathBuf};

use datadir::{JOURNAL, SYSTEM, ShardPlace, TENANTS};
use disk::Directory;
use journal::FileJournal;
use types::TenantId;

use crate::verify::VerifyError;

/// A directory with a journal of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataPart {
    pub directory: PathBuf,
    /// Whose journal must be there. `None` for the first tenant of a data directory, which its segments name.
    pub place: Option<ShardPlace>,
}

impl DataPart {
    /// The number of entries that the mark covers, or 0 if it cannot be read now.
    pub fn marked_entries(&self) -> u64 {
        let Ok(journal) = Directory::open_existing(&self.directory.join(JOURNAL)) else { return 0 };
        FileJournal::marked_before_opening(&journal).ok().flatten().map_or(0, |(_, seq)| seq.get())
    }

    /// The tenant whose journal is here.
    ///
    /// # Errors
    /// If there is no journal, if it is in use, or if its segments cannot be read.
    pub fn found_tenant(&self) -> Result<TenantId, VerifyError> {
        let journal = Directory::open_existing(&self.directory.join(JOURNAL))?;
        Ok(ShardPlace::found(&self.directory, &journal)?.tenant)
    }
}

/// The directories with a journal in a data directory: that of the first tenant, that of the system if there is one, and
/// those of the other tenants in the order of their numbers.
///
/// # Errors
/// If a directory cannot be listed.
pub fn parts_of(data: &Path) -> io::Result<Vec<DataPart>> {
    let mut parts = vec![DataPart { directory: data.to_owned(), place: None }];
    if data.join(SYSTEM).is_dir() {
        parts.push(ShardPlace::of_the_system(data).into());
    }
    let items = match std::fs::read_dir(data.join(TENANTS)) {
        Ok(items) => items,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(parts),
        Err(error) => return Err(error),
    };
    let mut tenants = Vec::new();
    for item in items {
        let item = item?;
        let name = item.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok()).map(TenantId::new);
        let place = number.and_then(|number| ShardPlace::of_tenant(data, number));
        // The server opens only directories with such a name.
        tenants.extend(place.filter(|place| place.directory == item.path()));
    }
    tenants.sort_unstable_by_key(|place| place.tenant);
    parts.extend(tenants.into_iter().map(DataPart::from));
    Ok(parts)
}

impl From<ShardPlace> for DataPart {
    fn from(place: ShardPlace) -> Self {
        Self { directory: place.directory.clone(), place: Some(place) }
    }
}
