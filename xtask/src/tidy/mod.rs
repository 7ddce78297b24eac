//! Checks over the files of the repository that need no build: each finding names file, line and remedy.

mod arrows;
mod documents;
mod errors;
mod leftovers;
mod manners;
mod sizes;
mod tree;

use std::fmt;
use std::path::Path;

use anyhow::{Result, ensure};

use tree::Tree;

/// Runs every check and reports all findings at once.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::load(root)?;
    let mut findings = arrows::check(&tree, &arrows::packages(root)?);
    for check in [sizes::check, leftovers::check, manners::check, errors::check, documents::check] {
        findings.extend(check(&tree));
    }
    findings.sort();
    for finding in &findings {
        eprintln!("{finding}");
    }
    ensure!(findings.is_empty(), "tidy has {} findings in {} files", findings.len(), tree.len());
    println!("tidy: {} files, nothing to mend", tree.len());
    Ok(())
}

/// Something to mend.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// 1-based; 1 when it is about the whole file.
    line: usize,
    /// What is wrong and what to do about it.
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Lines of a text with their 1-based numbers.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// The whole of what a check finds, one line each, must be `expected`.
#[cfg(test)]
#[track_caller]
fn expect(findings: &[Finding], expected: &[&str]) {
    let found: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert_eq!(found, expected);
}
