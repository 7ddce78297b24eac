//! Reads an uploaded policy, a tar archive of its folder, into a bundle. The archive may be compressed with gzip.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;
use policy::Bundle;
use policy::limits::BUNDLE_BYTES_MAX;
use tar::EntryType;
use types::shorten;

use crate::errors::ErrorCode;
use crate::problem::Problem;
use crate::routes::ARCHIVE_BYTES_MAX;

/// The media types of an archive. Its first bytes say whether it is compressed, whichever of them is declared.
pub const MEDIA_TYPES: [&str; 2] = ["application/x-tar", "application/gzip"];

const GZIP: &[u8] = b"\x1F\x8B";

/// How files of other compressions and archives begin, for messages.
const OTHERS: [(&str, &[u8]); 4] = [
    ("a zip archive", b"PK\x03\x04"),
    ("compressed with zstd", b"\x28\xB5\x2F\xFD"),
    ("compressed with xz", b"\xFD7zXZ\0"),
    ("compressed with bzip2", b"BZh91AY&SY"),
];

/// Reads the bundle from an archive of a policy folder. The paths may start with the name of the folder.
///
/// # Errors
/// If the archive cannot be read, contains anything but files and folders, is too large, or has no policy document.
pub fn bundle(archive: &[u8]) -> Result<Bundle, Problem> {
    let invalid = |detail: String| Problem::new(ErrorCode::InvalidArchive, detail);
    let archive = decompressed(archive).map_err(invalid)?;
    let files = files(&archive).map_err(invalid)?;
    let document = |path: &&str| *path == policy::DOCUMENT || path.ends_with(concat!("/", "policy.toml"));
    let shortest = files.iter().map(|(path, _)| path.as_str()).filter(document).min_by_key(|path| path.len());
    let shortest = shortest.ok_or_else(|| invalid(format!("the archive has no `{}`", policy::DOCUMENT)))?;
    let folder = shortest.strip_suffix(policy::DOCUMENT).unwrap_or_default().to_owned();
    let inside = files.into_iter().filter_map(|(path, bytes)| Some((path.strip_prefix(&folder)?.to_owned(), bytes)));
    Bundle::new(inside).map_err(|error| invalid(error.to_string()))
}

/// The archive itself, or its content if it is compressed. What exceeds the limit of an archive is not decompressed.
fn decompressed(archive: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if let Some((found, _)) = OTHERS.iter().find(|(_, start)| archive.starts_with(start)) {
        return Err(format!("the archive is {found}, expected tar, uncompressed or compressed with gzip"));
    }
    if !archive.starts_with(GZIP) {
        return Ok(Cow::Borrowed(archive));
    }
    let mut content = Vec::new();
    let mut limited = MultiGzDecoder::new(archive).take((ARCHIVE_BYTES_MAX as u64).saturating_add(1));
    let read = limited.read_to_end(&mut content);
    read.map_err(|error| format!("the archive cannot be decompressed with gzip: {error}"))?;
    if content.len() > ARCHIVE_BYTES_MAX {
        return Err(format!("the decompressed archive has more than {ARCHIVE_BYTES_MAX} bytes"));
    }
    Ok(Cow::Owned(content))
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
