//! Limits the size of files: Rust files over the limit may only shrink, and no large blob enters the repository.

use std::collections::BTreeMap;

use super::tree::Tree;
use super::{Finding, numbered};

/// The limit for a Rust file. A longer one probably covers two subjects.
const LINES_MAX: usize = 600;
/// A ceiling must be lowered if it is more than this far above its file.
const SLACK_LINES: usize = 20;
/// The limit for a blob. Every clone carries every version of every blob forever.
const BLOB_BYTES_MAX: usize = 3 * 512 * 1024;
/// The list of longer files: one `<ceiling> <path>` per line; `#` starts a comment.
const RATCHET: &str = "xtask/ratchet.txt";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut ceilings = ceilings(tree.text(RATCHET).unwrap_or_default(), &mut findings);
    for (path, text) in tree.texts(&[".rs"]) {
        let lines = text.lines().count();
        let ceiling = ceilings.remove(path);
        if let Some(complaint) = complaint(lines, ceiling.map(|(_, ceiling)| ceiling)) {
            // The finding is about the file if it is too long, and about the list if the ceiling is too high.
            let (path, line) = match ceiling {
                Some((number, ceiling)) if lines <= ceiling => (RATCHET, number),
                _ => (path, lines),
            };
            findings.push(Finding::new(path, line, complaint));
        }
    }
    for (path, (number, _)) in ceilings {
        findings.push(Finding::new(RATCHET, number, format!("there is no Rust file {path}; remove its line")));
    }
    for (path, bytes) in tree.sizes().filter(|(_, bytes)| *bytes > BLOB_BYTES_MAX) {
        let message =
            format!("{bytes} bytes, {BLOB_BYTES_MAX} at most; make it smaller, or generate or fetch it when needed");
        findings.push(Finding::new(path, 1, message));
    }
    findings
}

/// For each path, its line in the list and its ceiling.
fn ceilings<'a>(list: &'a str, findings: &mut Vec<Finding>) -> BTreeMap<&'a str, (usize, usize)> {
    let mut ceilings = BTreeMap::new();
    for (number, line) in numbered(list).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
        let parsed = line.split_once(' ').and_then(|(ceiling, path)| Some((path.trim(), ceiling.parse().ok()?)));
        let Some((path, ceiling)) = parsed else {
            findings.push(Finding::new(RATCHET, number, format!("`{line}` does not have the form `<ceiling> <path>`")));
            continue;
        };
        if ceilings.insert(path, (number, ceiling)).is_some() {
            findings.push(Finding::new(RATCHET, number, format!("{path} is listed twice; keep one line")));
        }
    }
    ceilings
}

fn complaint(lines: usize, ceiling: Option<usize>) -> Option<String> {
    match ceiling {
        None if lines > LINES_MAX => Some(format!(
            "{lines} lines, {LINES_MAX} at most; split it by subject, or list it in {RATCHET} with `{lines}`"
        )),
        Some(ceiling) if lines > ceiling => Some(format!(
            "{lines} lines, its ceiling is {ceiling}; a listed file may only shrink, so move new code out"
        )),
        Some(_) if lines <= LINES_MAX => {
            Some(format!("{lines} lines fit the limit of {LINES_MAX} for every file; remove this line"))
        }
        Some(ceiling) if ceiling - lines > SLACK_LINES => {
            Some(format!("the file has {lines} lines; lower its ceiling from {ceiling} to {lines}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::expect;
    use super::*;

    #[track_caller]
    fn finds(lines: usize, list: &str, expected: &[&str]) {
        let text = "x\n".repeat(lines);
        expect(&check(&Tree::of(&[("a.rs", &text), (RATCHET, list)])), expected);
    }

    #[test]
    fn long_files_are_listed() {
        finds(600, "", &[]);
        finds(601, "# why\n\n601 a.rs\n", &[]);
        finds(
            601,
            "",
            &["a.rs:601: 601 lines, 600 at most; split it by subject, or list it in xtask/ratchet.txt with `601`"],
        );
    }

    #[test]
    fn ceilings_only_go_down() {
        finds(700, "720 a.rs", &[]);
        finds(
            721,
            "720 a.rs",
            &["a.rs:721: 721 lines, its ceiling is 720; a listed file may only shrink, so move new code out"],
        );
        finds(699, "720 a.rs", &["xtask/ratchet.txt:1: the file has 699 lines; lower its ceiling from 720 to 699"]);
        finds(
            600,
            "#\n610 a.rs",
            &["xtask/ratchet.txt:2: 600 lines fit the limit of 600 for every file; remove this line"],
        );
    }

    #[test]
    fn the_list_has_each_existing_file_once() {
        finds(1, "700 b.rs", &["xtask/ratchet.txt:1: there is no Rust file b.rs; remove its line"]);
        finds(1, "many b.rs", &["xtask/ratchet.txt:1: `many b.rs` does not have the form `<ceiling> <path>`"]);
        finds(700, "700 a.rs\n700 a.rs", &["xtask/ratchet.txt:2: a.rs is listed twice; keep one line"]);
    }

    #[test]
    fn large_blobs_stay_out() {
        let blob = "x".repeat(BLOB_BYTES_MAX);
        expect(&check(&Tree::of(&[("data.bin", &blob)])), &[]);
        let message =
            "data.bin:1: 1572865 bytes, 1572864 at most; make it smaller, or generate or fetch it when needed";
        expect(&check(&Tree::of(&[("data.bin", &(blob + "x"))])), &[message]);
    }
}
