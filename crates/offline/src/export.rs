//! Copies a tenant's directory into a data directory of its own.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use datadir::{JOURNAL, KEYS, ShardPlace};
use disk::{Directory, DirectoryError, create_directory};
use journal::Fault;
use types::TenantId;

/// The name of the lock file of a directory, which is not copied.
const LOCK: &str = "lock";

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    pub files: u64,
    pub bytes: u64,
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A server has the tenant open, or a directory cannot be used.
    #[error("{0}; a running server closes a tenant when it is suspended")]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The data directory has no such tenant.
    #[error("{0} has no tenant {1}")]
    NoTenant(PathBuf, TenantId),
    /// The target exists.
    #[error("{0} exists; name a directory that does not")]
    Occupied(PathBuf),
    /// The file system reported an error.
    #[error("cannot {action} {path}: {cause}")]
    Io { action: &'static str, path: PathBuf, cause: io::Error },
}

/// Copies the journal and the keys of a tenant into the new directory `to`. The index and the proofs are left out, because
/// the next start there rebuilds them. Nobody may have the tenant open meanwhile: the copy holds the locks of its
/// folders, so it is consistent.
///
/// # Errors
/// If there is no such tenant, if it is open, if `to` exists, or if a file cannot be copied. Then there is no `to`.
pub fn export(data: &Path, tenant: TenantId, to: &Path) -> Result<Exported, ExportError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |cause| ExportError::Io { action, path, cause }
    };
    if to.try_exists().map_err(io("look for", to))? {
        return Err(ExportError::Occupied(to.to_owned()));
    }
    let source = directory_of(data, tenant)?;
    let journal = Directory::open_existing(&source.join(JOURNAL))?;
    let keys = Directory::open_existing(&source.join(KEYS))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_directory(parent).map_err(io("create", parent))?;
    let unfinished = tempfile::Builder::new().prefix("export-").tempdir_in(parent).map_err(io("create", parent))?;
    let mut exported = Exported::default();
    for (name, folder) in [(JOURNAL, journal), (KEYS, keys)] {
        let copy = unfinished.path().join(name);
        create_directory(&copy).map_err(io("create", &copy))?;
        copy_files(folder.path(), &copy, &mut exported)?;
        sync(&copy)?;
    }
    sync(unfinished.path())?;
    let unfinished = unfinished.keep();
    let renamed = std::fs::rename(&unfinished, to).map_err(io("rename", &unfinished));
    if renamed.is_err() {
        drop(std::fs::remove_dir_all(&unfinished));
    }
    renamed?;
    sync(parent)?;
    Ok(exported)
}

/// The directory of a tenant: that of the whole installation for its first one.
fn directory_of(data: &Path, tenant: TenantId) -> Result<PathBuf, ExportError> {
    let none = || ExportError::NoTenant(data.to_owned(), tenant);
    if let Some(place) = ShardPlace::of_tenant(data, tenant).filter(|place| place.directory.is_dir()) {
        return Ok(place.directory);
    }
    if !data.join(JOURNAL).is_dir() {
        return Err(none());
    }
    let journal = Directory::open_existing(&data.join(JOURNAL))?;
    let first = ShardPlace::found(data, &journal)?;
    if first.tenant == tenant { Ok(first.directory) } else { Err(none()) }
}

fn copy_files(from: &Path, to: &Path, exported: &mut Exported) -> Result<(), ExportError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |cause| ExportError::Io { action, path, cause }
    };
    for item in std::fs::read_dir(from).map_err(io("list", from))? {
        let item = item.map_err(io("list", from))?;
        let (source, copy) = (item.path(), to.join(item.file_name()));
        if item.file_name() == LOCK || !item.file_type().map_err(io("look at", &source))?.is_file() {
            continue;
        }
        // The permissions are copied too: only the owner may read these files.
        exported.bytes += std::fs::copy(&source, &copy).map_err(io("copy", &source))?;
        exported.files += 1;
        File::open(&copy).and_then(|file| file.sync_all()).map_err(io("sync", &copy))?;
    }
    Ok(())
}

fn sync(directory: &Path) -> Result<(), ExportError> {
    let synced = File::open(directory).and_then(|file| file.sync_all());
    synced.map_err(|cause| ExportError::Io { action: "sync", path: directory.to_owned(), cause })
}
