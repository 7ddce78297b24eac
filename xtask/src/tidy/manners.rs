//! What every crate and every room does: it says what it is about, and takes the workspace's lints and licence.

use super::tree::Tree;
use super::{Finding, numbered};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(&["/lib.rs", "/main.rs", "/mod.rs"]) {
        if !text.starts_with("//!") {
            findings.push(Finding::new(path, 1, "begin the file with a `//!` line that says what is in this room"));
        }
    }
    for (path, text) in tree.texts(&["/Cargo.toml"]) {
        for (section, line) in [("[package]", "license.workspace = true"), ("[lints]", "workspace = true")] {
            if !section_has(text, section, line) {
                findings.push(Finding::new(path, 1, format!("write `{line}` under `{section}`, as every crate does")));
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
    fn a_room_says_what_is_in_it() {
        for name in ["lib.rs", "main.rs", "cel/mod.rs"] {
            let path = format!("crates/a/src/{name}");
            expect(&check(&Tree::of(&[(&path, "//! Accounts.\n")])), &[]);
            let message = format!("{path}:1: begin the file with a `//!` line that says what is in this room");
            expect(&check(&Tree::of(&[(&path, "use std::fmt;\n//! Accounts.\n")])), &[&message]);
        }
        expect(&check(&Tree::of(&[("crates/a/src/accounts.rs", "use std::fmt;\n")])), &[]);
    }

    #[test]
    fn a_crate_takes_the_workspaces_lints_and_licence() {
        const MANIFEST: &str = "[package]\nlicense.workspace = true\n\n[lints]\nworkspace = true\n";
        const LICENCE: &str =
            "crates/a/Cargo.toml:1: write `license.workspace = true` under `[package]`, as every crate does";
        const LINTS: &str = "crates/a/Cargo.toml:1: write `workspace = true` under `[lints]`, as every crate does";
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
        // The workspace itself is no crate.
        expect(&check(&Tree::of(&[("Cargo.toml", "[workspace]\n")])), &[]);
    }
}
