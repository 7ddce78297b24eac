//! Checks the files of the repository without a build. Each finding names a file, a line and a remedy.

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

/// Runs all checks and reports every finding.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::load(root)?;
    let packages = arrows::packages(root)?;
    let mut findings = arrows::check(&tree, &packages);
    findings.extend(arrows::unused(&tree, &packages));
    for check in [sizes::check, leftovers::check, manners::check, errors::check, documents::check] {
        findings.extend(check(&tree));
    }
    findings.sort();
    for finding in &findings {
        eprintln!("{finding}");
    }
    ensure!(findings.is_empty(), "tidy has {} findings in {} files", findings.len(), tree.len());
    println!("tidy: {} files, no findings", tree.len());
    Ok(())
}

/// Something to fix.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// The line, from 1. Findings about the whole file have line 1.
    line: usize,
    /// What is wrong and how to fix it.
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

/// The lines of a text with their numbers from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// Asserts that a check finds exactly `expected`, one line per finding.
#[cfg(test)]
#[track_caller]
fn expect(findings: &[Finding], expected: &[&str]) {
    let found: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert_eq!(found, expected);
}
