//! Reads an uploaded policy, an uncompressed tar archive of its folder, into a bundle.

use std::io::Read as _;

use policy::Bundle;
use policy::limits::BUNDLE_BYTES_MAX;
use tar::EntryType;
use types::shorten;

use crate::errors::ErrorCode;
use crate::problem::Problem;

/// Reads the bundle from an archive of a policy folder. The paths may start with the name of the folder.
///
/// # Errors
/// If the archive cannot be read, contains anything but files and folders, is too large, or has no policy document.
pub fn bundle(archive: &[u8]) -> Result<Bundle, Problem> {
    let invalid = |detail: String| Problem::new(ErrorCode::InvalidArchive, detail);
    let files = files(archive).map_err(invalid)?;
    let document = |path: &&str| *path == policy::DOCUMENT || path.ends_with(concat!("/", "policy.toml"));
    let shortest = files.iter().map(|(path, _)| path.as_str()).filter(document).min_by_key(|path| path.len());
    let shortest = shortest.ok_or_else(|| invalid(format!("the archive has no `{}`", policy::DOCUMENT)))?;
    let folder = shortest.strip_suffix(policy::DOCUMENT).unwrap_or_default().to_owned();
    let inside = files.into_iter().filter_map(|(path, bytes)| Some((path.strip_prefix(&folder)?.to_owned(), bytes)));
    Bundle::new(inside).map_err(|error| invalid(error.to_string()))
}

/// Every regular file of an archive with its path.
fn files(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    // The message of the library quotes what it found, which may contain control characters.
    let unreadable = |error: std::io::Error| {
        format!("the archive cannot be read: {}", error.to_string().replace(char::is_control, "\u{fffd}"))
    };
    let mut files = Vec::new();
    let mut left = BUNDLE_BYTES_MAX;
    for entry in tar::Archive::new(archive).entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = String::from_utf8(entry.path_bytes().into_owned()).map_err(|_bytes| "a path is not UTF-8")?;
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::Directory | EntryType::XGlobalHeader) {
            continue;
        }
        if kind != EntryType::Regular {
            return Err(format!("`{}` is a {kind:?}, expected files and folders only", shorten(&path)));
        }
        let mut bytes = Vec::new();
        entry.take((left as u64).saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        left = left
            .checked_sub(bytes.len())
            .ok_or_else(|| format!("the files of the archive have more than {BUNDLE_BYTES_MAX} bytes in total"))?;
        files.push((path.strip_prefix("./").unwrap_or(&path).to_owned(), bytes));
    }
    Ok(files)
}
