//! Finds marks of unfinished work. Open points belong in issues.

use super::tree::Tree;
use super::{Finding, numbered};

/// The marks of unfinished work, and what to do about each. They are split in two, so that this file passes its own
/// check.
const MARKS: &[(&str, &str)] = &[
    (concat!("to", "do!"), "write the code"),
    (concat!("unimple", "mented!"), "write the code, or make the case impossible by its type"),
    (concat!("db", "g!"), "remove it, or use a tracing event"),
    (concat!("TO", "DO"), "do it, or open an issue and remove the mark"),
    (concat!("FIX", "ME"), "fix it, or open an issue and remove the mark"),
    (concat!("XX", "X"), "explain it, or open an issue and remove the mark"),
];

const IGNORE: &str = concat!("#[ig", "nore");

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(&[".rs", ".toml", ".md"]) {
        for (number, line) in numbered(text) {
            for (mark, remedy) in MARKS.iter().filter(|(mark, _)| stands_in(line, mark)) {
                findings.push(Finding::new(path, number, format!("`{mark}` is left over; {remedy}")));
            }
            let reasonless = |at: (usize, &str)| !line.split_at(at.0 + IGNORE.len()).1.starts_with(" = \"");
            if line.match_indices(IGNORE).any(reasonless) {
                let message = format!("a test is ignored without a reason; write `{IGNORE} = \"why\"]` or run it");
                findings.push(Finding::new(path, number, message));
            }
        }
    }
    findings
}

/// Whether `mark` is in the line as a separate word.
fn stands_in(line: &str, mark: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(mark).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = rest.split_at(mark.len()).1;
        !before.ends_with(in_word) && (mark.ends_with('!') || !after.starts_with(in_word))
    })
}

#[cfg(test)]
mod tests {
    use super::super::expect;
    use super::*;

    #[test]
    fn the_marks_are_the_usual_ones() {
        let marks: Vec<String> = MARKS.iter().map(|(mark, _)| mark.trim_end_matches('!').to_lowercase()).collect();
        assert_eq!(marks, ["todo", "unimplemented", "dbg", "todo", "fixme", "xxx"]);
    }

    #[test]
    fn every_mark_is_found_in_code_manifests_and_documents() {
        for (mark, remedy) in MARKS {
            for path in ["a.rs", "a.toml", "a.md"] {
                let text = format!("fine\n({mark}) twice {mark}\n");
                let message = format!("{path}:2: `{mark}` is left over; {remedy}");
                expect(&check(&Tree::of(&[(path, &text)])), &[&message]);
            }
            expect(&check(&Tree::of(&[("data.csv", mark)])), &[]);
        }
    }

    #[test]
    fn part_of_a_word_is_not_a_mark() {
        for (mark, _) in MARKS {
            expect(&check(&Tree::of(&[("a.rs", &format!("A{mark} _{mark}"))])), &[]);
        }
        expect(&check(&Tree::of(&[("a.toml", "todo = \"warn\"")])), &[]);
    }

    #[test]
    fn an_ignored_test_needs_a_reason() {
        expect(&check(&Tree::of(&[("a.rs", &format!("{IGNORE} = \"takes an hour\"]"))])), &[]);
        let message = format!("a.rs:1: a test is ignored without a reason; write `{IGNORE} = \"why\"]` or run it");
        for bare in ["]", " = \"why\"] {IGNORE}]"] {
            let text = format!("{IGNORE}{}", bare.replace("{IGNORE}", IGNORE));
            expect(&check(&Tree::of(&[("a.rs", &text)])), &[&message]);
        }
    }
}
