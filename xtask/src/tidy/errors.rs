//! Checks that every stable error name has a page `docs/errors/<name>.md`, and that every such page belongs to an
//! error.

use std::collections::BTreeMap;

use super::tree::Tree;
use super::{Finding, numbered};

const PAGES: &str = "docs/errors/";
/// The sources of the names (see [`names_in`]): a folder, and a word in the path of the file inside it.
const SOURCES: [(&str, &str); 2] = [("crates/api/src/", "errors"), ("crates/ledger/src/", "status")];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut names = BTreeMap::new();
    for (folder, word) in SOURCES {
        let before = names.len();
        let named = |path: &str| path.strip_prefix(folder).is_some_and(|file| file.contains(word));
        for (path, text) in tree.texts(&[".rs"]).filter(|(path, _)| named(path)) {
            names.extend(names_in(text).map(|(number, name)| (name, (path, number))));
        }
        if names.len() == before {
            let message = format!(
                "no file `*{word}*.rs` has error names; write them in a table or in a `fn name(`, or correct SOURCES in tidy"
            );
            findings.push(Finding::new(folder, 1, message));
        }
    }
    for (name, (path, number)) in &names {
        let page = format!("{PAGES}{name}.md");
        if tree.text(&page).is_none_or(|text| text.trim().is_empty()) {
            let message = format!(
                "error `{name}` has no page; write {page} to explain what it means and what the caller should do"
            );
            findings.push(Finding::new(path, *number, message));
        }
    }
    for (path, _) in tree.texts(&[".md"]) {
        let name = path.strip_prefix(PAGES).and_then(|page| page.strip_suffix(".md"));
        if name.is_some_and(|name| name != "README" && !names.contains_key(name)) {
            findings.push(Finding::new(path, 1, "no error has this name; remove or rename the page"));
        }
    }
    findings
}

/// The error names in a file, with their lines: the string literals in the bodies of functions called `name`, and the
/// first literal in each row of a table. Such a row starts with a variant:
/// `ExceedsCredits = 54 "exceeds_credits" "…",`.
fn names_in(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut depth: Option<usize> = None;
    let text = text.split_once("#[cfg(test)]").map_or(text, |(code, _tests)| code);
    numbered(text).flat_map(move |(number, line)| {
        let code = line.split_once("//").map_or(line, |(code, _)| code);
        if depth.is_none() && code.contains("fn name(") {
            depth = Some(0);
        }
        let is_row = code.trim_start().starts_with(|c: char| c.is_ascii_uppercase()) && !code.contains("=>");
        let literals_max = match depth {
            Some(_) => usize::MAX,
            None => usize::from(is_row),
        };
        if let Some(open) = depth {
            let open = (open + code.matches('{').count()).saturating_sub(code.matches('}').count());
            depth = (open > 0).then_some(open);
        }
        let literals = code.split('"').skip(1).step_by(2).take(literals_max);
        literals.filter(|literal| is_name(literal)).map(move |name| (number, name))
    })
}

fn is_name(literal: &str) -> bool {
    !literal.is_empty() && literal.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::super::expect;
    use super::*;

    const API: &str = r#"
impl Code {
    /// The stable name, "never changed".
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found", // not "missing"
        }
    }
    pub const fn title(self) -> &'static str {
        "Not found"
    }
}
"#;
    const LEDGER: &str = r#"
macro_rules! statuses {
    () => { pub const fn name(self) -> &'static str { match self { $(Self::$variant => $text,)* } } };
}
statuses! {
    Closed = 65 "closed" "closed",
}
impl Status {
    fn hint(self) -> &'static str {
        match self {
            Self::Closed => "reopen",
        }
    }
}
#[cfg(test)]
    Open = 66 "open" "is open",
"#;

    #[track_caller]
    fn finds(api: &str, pages: &[&str], expected: &[&str]) {
        let pages: Vec<String> = pages.iter().map(|name| format!("docs/errors/{name}.md")).collect();
        let mut files = vec![("crates/api/src/errors.rs", api), ("crates/ledger/src/status.rs", LEDGER)];
        files.push(("crates/ledger/src/flags.rs", "fn name() { \"history\" }"));
        files.extend(pages.iter().map(|path| (path.as_str(), "What it means.")));
        expect(&check(&Tree::of(&files)), expected);
    }

    #[test]
    fn every_error_has_a_page() {
        finds(API, &["not_found", "closed", "README"], &[]);
        finds(
            API,
            &["closed"],
            &["crates/api/src/errors.rs:6: error `not_found` has no page; \
               write docs/errors/not_found.md to explain what it means and what the caller should do"],
        );
    }

    #[test]
    fn names_come_from_tables_and_from_fn_name() {
        assert_eq!(names_in(API).collect::<Vec<_>>(), [(6, "not_found")]);
        assert_eq!(names_in(LEDGER).collect::<Vec<_>>(), [(6, "closed")]);
        let row = names_in("Open = 1 \"first\" \"second\"\nHeld = 2 \"a sentence\"\n").collect::<Vec<_>>();
        assert_eq!(row, [(1, "first")]);
    }

    #[test]
    fn every_page_has_an_error() {
        finds(
            API,
            &["not_found", "closed", "missing"],
            &["docs/errors/missing.md:1: no error has this name; remove or rename the page"],
        );
    }

    #[test]
    fn a_source_without_names_is_not_skipped() {
        finds(
            "",
            &["closed"],
            &["crates/api/src/:1: no file `*errors*.rs` has error names; \
               write them in a table or in a `fn name(`, or correct SOURCES in tidy"],
        );
    }

    #[test]
    fn an_empty_page_does_not_count() {
        let tree = Tree::of(&[
            ("crates/api/src/errors.rs", API),
            ("crates/ledger/src/status.rs", LEDGER),
            ("docs/errors/closed.md", "Closed."),
            ("docs/errors/not_found.md", "\n"),
        ]);
        assert_eq!(check(&tree).len(), 1);
    }
}
