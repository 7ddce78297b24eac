//! Checks that the required documents exist, and that relative links in documents have a target.

use super::tree::Tree;
use super::{Finding, numbered};

const REQUIRED: [&str; 6] =
    ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "SECURITY.md", "docs/ARCHITECTURE.md"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let missing = REQUIRED.iter().filter(|path| !tree.holds(path));
    let mut findings: Vec<Finding> =
        missing.map(|path| Finding::new(path, 1, "this required document is missing; write it")).collect();
    for (path, text) in tree.texts(&[".md"]) {
        for (number, link) in links(text) {
            let target = link.split_once('#').map_or(link, |(target, _)| target);
            // A target with a scheme is external; an empty target before `#` means this page.
            if target.is_empty() || target.contains(':') {
                continue;
            }
            if !resolve(path, target).is_some_and(|target| tree.holds(&target)) {
                let message =
                    format!("the link `{link}` has no target; correct it (relative to this file) or remove it");
                findings.push(Finding::new(path, number, message));
            }
        }
    }
    findings
}

/// Returns the targets of `[text](target)` and of `[label]: target` outside code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in numbered(text) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let defined = line.strip_prefix('[').and_then(|line| line.split_once("]: ")).map(|(_, target)| target);
        let inline = line.match_indices("](").filter(|(at, _)| !in_code(line, *at)).map(|(at, _)| {
            let target = line.split_at(at + 2).1;
            target.split_once(')').map_or(target, |(target, _)| target)
        });
        for target in defined.into_iter().chain(inline) {
            // A title may follow the target.
            let target = target.split_whitespace().next().unwrap_or_default();
            found.push((number, target.trim_start_matches('<').trim_end_matches('>')));
        }
    }
    found
}

/// Whether a position in a line is between backticks.
fn in_code(line: &str, at: usize) -> bool {
    line.split_at(at).0.matches('`').count() % 2 == 1
}

/// The path from the root that a link in `page` refers to, or `None` if it leaves the repository.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut folders: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => page.split('/').collect::<Vec<_>>().split_last()?.1.to_vec(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(folders.pop()?),
            part => folders.push(part),
        }
    }
    Some(folders.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::expect;
    use super::*;

    /// Checks a tree with the required documents and `text` as docs/ARCHITECTURE.md.
    #[track_caller]
    fn finds(text: &str, expected: &[&str]) {
        let files = [
            ("README.md", ""),
            ("CHANGELOG.md", ""),
            ("CONTRIBUTING.md", ""),
            ("LICENSE", ""),
            ("SECURITY.md", ""),
            ("docs/adr/0001-log.md", ""),
            ("docs/ARCHITECTURE.md", text),
        ];
        expect(&check(&Tree::of(&files)), expected);
    }

    #[test]
    fn the_required_documents_must_exist() {
        finds("", &[]);
        for absent in REQUIRED {
            let rest: Vec<(&str, &str)> =
                REQUIRED.iter().filter(|path| **path != absent).map(|path| (*path, "")).collect();
            let message = format!("{absent}:1: this required document is missing; write it");
            expect(&check(&Tree::of(&rest)), &[&message]);
        }
    }

    #[test]
    fn links_with_a_target_pass() {
        finds("[a](adr/0001-log.md) ![b](../README.md#top \"title\") [c](adr/) [d](/LICENSE) [e](..)", &[]);
        finds("[here](#here) [web](https://example.com/x) [mail](mailto:a@example.com)\n[ref]: <adr/0001-log.md>", &[]);
        finds("`[a](nowhere.md)`\n```\n[a](nowhere.md)\n```\n", &[]);
    }

    #[test]
    fn links_without_a_target_are_found() {
        for (text, link) in [
            ("see [a](adr/0002-log.md).", "adr/0002-log.md"),
            ("`code` [a](../CHANGES.md#top)", "../CHANGES.md#top"),
            ("[out](../../README.md)", "../../README.md"),
            ("[ref]: adr/none.md", "adr/none.md"),
            ("```\n```\n[a](adr/000)", "adr/000"),
        ] {
            let line = text.lines().count();
            let message = format!(
                "docs/ARCHITECTURE.md:{line}: the link `{link}` has no target; correct it (relative to this file) or remove it"
            );
            finds(text, &[&message]);
        }
    }
}
