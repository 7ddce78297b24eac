//! Checks what every file and crate must have: a `//!` line in every Rust file, and the workspace's lints and licence
//! in every crate.

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
}
