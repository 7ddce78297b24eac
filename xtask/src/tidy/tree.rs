//! The files of a clone, in memory. Every check reads these files, and tests create their own.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The files of a repository, by path from its root, with `/` as the separator.
pub(super) struct Tree {
    files: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    /// Loads every file that git tracks or would track if it were added now. Tracked files that were deleted are left
    /// out.
    pub(super) fn load(root: &Path) -> Result<Self> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("cannot start git, which lists the files of the repository")?;
        let complaint = String::from_utf8_lossy(&listed.stderr);
        ensure!(listed.status.success(), "git ls-files: {}: {}", listed.status, complaint.trim());
        let listed = String::from_utf8(listed.stdout).context("a file name is not UTF-8; rename the file")?;
        let mut files = BTreeMap::new();
        for path in listed.split_terminator('\0') {
            match fs::read(root.join(path)) {
                Ok(bytes) => drop(files.insert(path.to_owned(), bytes)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
            }
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect() }
    }

    /// The number of files.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Every path with its file's size in bytes.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.len()))
    }

    /// The text files whose names end with one of `endings`, such as `".rs"`.
    pub(super) fn texts(&self, endings: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter(|(path, _)| endings.iter().any(|ending| path.ends_with(ending)))
            .filter_map(|(path, bytes)| Some((path.as_str(), str::from_utf8(bytes).ok()?)))
    }

    /// Returns a file if it exists and is text.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        str::from_utf8(self.files.get(path)?).ok()
    }

    /// Whether this file exists, or a folder with files in it. The root is the empty path.
    pub(super) fn holds(&self, path: &str) -> bool {
        let inside = |file: &String| file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        path.is_empty() || self.files.contains_key(path) || self.files.keys().any(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_the_files_of_a_clone_after_adding_everything() {
        let folder = tempfile::tempdir().unwrap();
        let git = |words: &[&str]| {
            let done = Command::new("git").args(words).current_dir(&folder).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        };
        let write = |path: &str, text: &str| fs::write(folder.path().join(path), text).unwrap();
        git(&["init", "--quiet"]);
        write("tracked.md", "1");
        write("deleted.md", "2");
        git(&["add", "."]);
        fs::remove_file(folder.path().join("deleted.md")).unwrap();
        write(".gitignore", "ignored.md\n");
        write("ignored.md", "3");
        fs::create_dir(folder.path().join("docs")).unwrap();
        write("docs/new ü.md", "4");

        let tree = Tree::load(folder.path()).unwrap();
        let names: Vec<&str> = tree.texts(&[""]).map(|(path, _)| path).collect();
        assert_eq!(names, [".gitignore", "docs/new ü.md", "tracked.md"]);
        assert_eq!(tree.text("docs/new ü.md"), Some("4"));
        assert!(tree.holds("docs") && tree.holds("tracked.md") && tree.holds(""));
        assert!(!tree.holds("doc") && !tree.holds("ignored.md") && !tree.holds("deleted.md"));
    }

    #[test]
    fn a_folder_that_is_not_a_repository_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        // Git also looks in the parent folders. A file named `.git` that names no repository ends that search.
        fs::write(folder.path().join(".git"), "gitdir: nowhere").unwrap();
        let error = Tree::load(folder.path()).map(|tree| tree.len()).unwrap_err().to_string();
        assert!(error.starts_with("git ls-files: exit status: 128: "), "{error}");
    }
}
