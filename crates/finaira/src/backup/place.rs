//! Where a copy goes: a directory of its own.

use std::io::ErrorKind;
use std::path::Path;

use disk::Directory;

use super::failure::Failure;

/// Opens the directory of a copy, and locks it. It is new, empty, or holds a copy that was begun before: nothing else is
/// ever written into.
pub(super) fn open(to: &Path) -> Result<Directory, Failure> {
    for name in names(to)? {
        match name.as_str() {
            "journal" => {}
            // What a `verify` that was killed left behind.
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
        "{} holds `{name}`, which is no part of a copy; a copy needs a directory of its own",
        directory.display()
    );
    Failure::OtherContent(text)
}

/// The names in a directory; none when it is not there.
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
