//! Opens the directory of a copy.

use std::io::ErrorKind;
use std::path::Path;

use datadir::{SYSTEM, TENANTS};
use disk::Directory;

use super::failure::Failure;

/// Opens the directory of a copy, and locks it. The directory must be new, be empty, or contain a copy that was begun
/// before. A backup never writes into any other directory.
pub(crate) fn open(to: &Path) -> Result<Directory, Failure> {
    for name in names(to)? {
        match name.as_str() {
            "journal" => {}
            // Copies of the other journals of the installation, in the places that they have in a data directory. A data
            // directory itself has keys as well.
            SYSTEM | TENANTS => {}
            // A `verify` that was killed left this folder behind.
            name if name.starts_with("scratch-") => {}
            "keys" | "index" | "proofs" => {
                let text =
                    format!("{} is the data directory of a server; a copy needs a directory of its own", to.display());
                return Err(Failure::OtherContent(text));
            }
            _ => return Err(other_file(to, &name)),
        }
    }
    let journal = to.join("journal");
    for name in names(&journal)? {
        let digits = name.strip_prefix("segment-").unwrap_or_default();
        let is_segment = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_segment && name != "lock" && name != "mark" {
            return Err(other_file(&journal, &name));
        }
    }
    Directory::open(&journal).map_err(|error| Failure::Broken(error.to_string()))
}

fn other_file(directory: &Path, name: &str) -> Failure {
    let text = format!(
        "{} contains `{name}`, which is not part of a copy; a copy needs a directory of its own",
        directory.display()
    );
    Failure::OtherContent(text)
}

/// Returns the names in a directory, or none if it does not exist.
fn names(directory: &Path) -> Result<Vec<String>, Failure> {
    let broken = |error: std::io::Error| Failure::Broken(format!("cannot read {}: {error}", directory.display()));
    let items = match std::fs::read_dir(directory) {
        Ok(items) => items,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(broken(error)),
    };
    let name = |item: std::io::Result<std::fs::DirEntry>| Ok(item?.file_name().to_string_lossy().into_owned());
    items.map(name).collect::<std::io::Result<_>>().map_err(broken)
}
