//! A small file system of its own.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

pub(crate) const MIB: u64 = 1 << 20;

/// A file system in memory, which is unmounted when this is dropped.
pub(crate) struct Mounted {
    _directory: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

impl Mounted {
    /// Returns `None` if the system does not allow mounting, unless `FINAIRA_REQUIRE_MOUNT=1` makes that an error.
    #[expect(clippy::disallowed_methods, reason = "an environment variable of this test")]
    pub(crate) fn of_bytes(bytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("small");
        fs::create_dir(&path).expect("a directory");
        let options = format!("size={bytes},mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).output();
        let why = match mounted {
            Ok(output) if output.status.success() => return Some(Self { _directory: directory, path }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let required = std::env::var("FINAIRA_REQUIRE_MOUNT").is_ok_and(|value| value == "1");
        assert!(!required, "FINAIRA_REQUIRE_MOUNT=1, but nothing can be mounted: {why}");
        eprintln!("SKIPPED: nothing can be mounted here: {why}");
        None
    }

    /// Makes the file system read-only.
    pub(crate) fn make_read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.path).status();
        assert!(status.expect("mount runs").success());
    }

    /// Fills a part of the file system; removing the file frees it.
    pub(crate) fn ballast(&self, bytes: u64) -> PathBuf {
        let path = self.path.join("ballast");
        fs::write(&path, vec![1; usize::try_from(bytes).expect("small")]).expect("there is room");
        path
    }

    /// Fills the file system to the last byte; removing the file frees it.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.path.join("ballast");
        let mut file = fs::File::create(&path).expect("a file");
        while file.write_all(&[1; 4096]).is_ok() {}
        path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.path).status());
    }
}
