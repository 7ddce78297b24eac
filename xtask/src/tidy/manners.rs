//! Checks what every file and crate must have: a `//!` line in every Rust file, the workspace's lints and licence in
//! every crate, and no test that cargo is told to leave out.

use super::tree::Tree;
use super::{Finding, numbered};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(&[".rs"]) {
        let purpose = text.lines().next().and_then(|line| line.strip_prefix("//!"));
        if purpose.is_none_or(|purpose| purpose.trim().is_empty()) {
            findings.push(Finding::new(path, 1, "begin the file with a `//!` line that says what the file is for"));
        }
    }
    for (path, text) in tree.texts(&["/Cargo.toml"]) {
        for (section, line) in [("[package]", "license.workspace = true"), ("[lints]", "workspace = true")] {
            if !section_has(text, section, line) {
                findings.push(Finding::new(path, 1, format!("write `{line}` under `{section}`, as in every crate")));
            }
        }
        findings.extend(library(tree, path, text));
    }
    findings
}

/// Crates have no doc tests, because each crate's would be built as a program of its own, and those without unit tests do
/// not build a program for them. This checks that no test or example is lost that way.
fn library(tree: &Tree, manifest: &str, text: &str) -> Vec<Finding> {
    let source = manifest.replace("Cargo.toml", "src/");
    let mut findings = Vec::new();
    if !tree.holds(&format!("{source}lib.rs")) {
        return findings;
    }
    if !section_has(text, "[lib]", "doctest = false") {
        findings.push(Finding::new(manifest, 1, "write `doctest = false` under `[lib]`, as in every crate"));
    }
    let is_untested = section_has(text, "[lib]", "test = false");
    for (path, text) in tree.texts(&[".rs"]).filter(|(path, _)| path.starts_with(&source)) {
        let mut is_fenced = false;
        for (number, line) in numbered(text) {
            let line = line.trim_start();
            if is_untested && line.starts_with("#[") && line.ends_with("test]") {
                let message =
                    format!("this test never runs; move it to tests/, or remove `test = false` from {manifest}");
                findings.push(Finding::new(path, number, message));
            }
            let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
            let Some(language) = comment.and_then(|comment| comment.trim_start().strip_prefix("```")) else { continue };
            is_fenced = !is_fenced;
            if is_fenced && matches!(language.trim(), "" | "rust") {
                let message = "nothing compiles this example; make it a test, or name its language (such as `text`)";
                findings.push(Finding::new(path, number, message));
            }
        }
    }
    findings
}

fn section_has(manifest: &str, section: &str, wanted: &str) -> bool {
    let mut inside = false;
    for (_, line) in numbered(manifest) {
        if line.starts_with('[') {
            inside = line == section;
        } else if inside && line == wanted {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::expect;
    use super::*;

    #[test]
    fn a_rust_file_must_say_what_it_is_for() {
        #[track_caller]
        fn finds(text: &str, is_finding: bool) {
            const MESSAGE: &str =
                "crates/a/tests/b.rs:1: begin the file with a `//!` line that says what the file is for";
            let expected: &[&str] = if is_finding { &[MESSAGE] } else { &[] };
            expect(&check(&Tree::of(&[("crates/a/tests/b.rs", text)])), expected);
        }
        finds("//! Accounts.\n", false);
        finds("//! Accounts.\n#![no_main]\n", false);
        finds("use std::fmt;\n//! Accounts.\n", true);
        finds("/// Accounts.\nstruct Accounts;\n", true);
        finds("//!\n//! Accounts.\n", true);
        finds("", true);
    }

    #[test]
    fn a_crate_must_use_the_workspaces_lints_and_licence() {
        const MANIFEST: &str = "[package]\nlicense.workspace = true\n\n[lints]\nworkspace = true\n";
        const LICENCE: &str =
            "crates/a/Cargo.toml:1: write `license.workspace = true` under `[package]`, as in every crate";
        const LINTS: &str = "crates/a/Cargo.toml:1: write `workspace = true` under `[lints]`, as in every crate";
        #[track_caller]
        fn finds(manifest: &str, expected: &[&str]) {
            expect(&check(&Tree::of(&[("crates/a/Cargo.toml", manifest)])), expected);
        }
        finds(MANIFEST, &[]);
        finds(&MANIFEST.replace("license.workspace = true", ""), &[LICENCE]);
        finds(&MANIFEST.replace("license.workspace = true", "license = \"MIT\""), &[LICENCE]);
        finds(&MANIFEST.replace("[lints]", "[elsewhere]"), &[LINTS]);
        finds(&MANIFEST.replace("[lints]", "[lints]\n[elsewhere]"), &[LINTS]);
        finds(&MANIFEST.replace("\nworkspace", "\n# workspace"), &[LINTS]);
        finds("", &[LICENCE, LINTS]);
        // The manifest of the workspace itself is not checked.
        expect(&check(&Tree::of(&[("Cargo.toml", "[workspace]\n")])), &[]);
    }

    #[test]
    fn a_target_that_is_switched_off_hides_no_test() {
        const MANIFEST: &str =
            "[package]\nlicense.workspace = true\n[lints]\nworkspace = true\n[lib]\ndoctest = false\n";
        #[track_caller]
        fn finds(manifest: &str, source: &str, expected: &[&str]) {
            let files = [
                ("crates/a/Cargo.toml", manifest),
                ("crates/a/src/lib.rs", "//! A.\n"),
                ("crates/a/src/b.rs", source),
                ("crates/ab/src/c.rs", "//! C.\n/// ```\n"),
            ];
            expect(&check(&Tree::of(&files)), expected);
        }
        const UNTESTED: &str =
            "this test never runs; move it to tests/, or remove `test = false` from crates/a/Cargo.toml";
        const EXAMPLE: &str = "nothing compiles this example; make it a test, or name its language (such as `text`)";
        let test = "//! B.\n    #[test]\n    #[tokio::test]\n#[cfg(test)]\n";
        finds(MANIFEST, test, &[]);
        let untested = format!("{MANIFEST}test = false\n");
        let [first, second] = [2, 3].map(|line| format!("crates/a/src/b.rs:{line}: {UNTESTED}"));
        finds(&untested, test, &[&first, &second]);
        let without = MANIFEST.replace("doctest = false", "");
        finds(
            &without,
            "//! B.\n",
            &["crates/a/Cargo.toml:1: write `doctest = false` under `[lib]`, as in every crate"],
        );
        finds(MANIFEST, "//! ```text\n//! A\n//! ```\n/// ``` toml\n/// ```\n", &[]);
        let [first, second] = [1, 4].map(|line| format!("crates/a/src/b.rs:{line}: {EXAMPLE}"));
        finds(MANIFEST, "//! ```\n//! A\n//! ```\n    /// ```rust\n", &[&first, &second]);
    }
}
