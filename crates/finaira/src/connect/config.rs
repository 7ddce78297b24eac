//! The configuration file of `finaira connect`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use datadir::Secret;
use serde::Deserialize;

/// A limit far above the size of such a file.
const BYTES_MAX: usize = 1 << 20;
/// Entries in a batch, unless the configuration says otherwise.
const BATCH_ENTRIES: usize = 16_384;

/// What is copied from where to where.
#[derive(Debug)]
pub(super) struct Config {
    /// Where the copies of the journals are kept.
    pub(super) directory: PathBuf,
    pub(super) tenants: Vec<Tenant>,
    pub(super) targets: Vec<TargetConfig>,
}

/// A tenant, and the server that has its journal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    /// The name in this file.
    pub(super) name: String,
    /// The address of the server.
    pub(super) server: String,
    /// A file whose first line is an API key of the tenant with the scope `journal:read`.
    api_key_file: Option<PathBuf>,
    /// The environment variable that holds the API key.
    api_key_env: Option<String>,
    /// The authorities that may have issued the server's certificate, in PEM.
    pub(super) ca: Option<PathBuf>,
}

/// A target with what all kinds of targets have in common.
#[derive(Debug)]
pub(super) struct TargetConfig {
    pub(super) name: String,
    /// The name of the tenant.
    pub(super) tenant: String,
    pub(super) batch_entries: usize,
    /// The kind of the target, and its own settings.
    pub(super) kind: String,
    pub(super) settings: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    directory: PathBuf,
    tenants: Vec<Tenant>,
    targets: Vec<toml::Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    name: String,
    tenant: String,
    kind: String,
    batch_entries: Option<usize>,
}

impl Config {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(bytes.len() <= BYTES_MAX, "{} has more than {BYTES_MAX} bytes", path.display());
        let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?;
        Self::parse(&text).with_context(|| format!("cannot use {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        // The error of the parser itself would quote the line, which may hold a password.
        let parsed: Result<File, _> = toml::from_str(text);
        let File { directory, tenants, targets } = parsed.map_err(|error| {
            let line =
                error.span().map_or(1, |span| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
            anyhow!("line {line}: {}", error.message())
        })?;
        for (number, tenant) in tenants.iter().enumerate() {
            check_name("tenant", &tenant.name)?;
            let earlier = tenants.iter().take(number).any(|other| other.name == tenant.name);
            ensure!(!earlier, "two tenants have the name `{}`; expected a name of its own for each", tenant.name);
        }
        let targets: Vec<TargetConfig> = targets.into_iter().map(target).collect::<anyhow::Result<_>>()?;
        for (number, target) in targets.iter().enumerate() {
            let earlier = targets.iter().take(number).any(|other| other.name == target.name);
            ensure!(!earlier, "two targets have the name `{}`; expected a name of its own for each", target.name);
            let known = tenants.iter().any(|tenant| tenant.name == target.tenant);
            ensure!(known, "target `{}` names the tenant `{}`, which is not in the file", target.name, target.tenant);
        }
        ensure!(!targets.is_empty(), "found no target, expected at least one `[[targets]]`");
        Ok(Self { directory, tenants, targets })
    }
}

impl Tenant {
    pub(super) fn api_key(&self) -> anyhow::Result<Secret> {
        connect::secret(self.api_key_file.as_deref(), self.api_key_env.as_deref(), "api_key")
            .map_err(|error| anyhow!("tenant `{}`: {error}", self.name))?
            .with_context(|| format!("tenant `{}` has neither `api_key_file` nor `api_key_env`", self.name))
    }
}

/// Names are used in paths and metrics.
fn check_name(of: &str, name: &str) -> anyhow::Result<()> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    let is_name = !name.is_empty() && name.len() <= 63 && name.chars().all(fits);
    ensure!(is_name, "found the {of} name `{name}`, expected 1 to 63 letters, digits, `-` and `_`");
    Ok(())
}

fn target(mut table: toml::Table) -> anyhow::Result<TargetConfig> {
    let mut common = toml::Table::new();
    for key in ["name", "tenant", "kind", "batch_entries"] {
        if let Some((key, value)) = table.remove_entry(key) {
            common.insert(key, value);
        }
    }
    let Common { name, tenant, kind, batch_entries } = common.try_into().context("a target is not complete")?;
    check_name("target", &name)?;
    let batch_entries = batch_entries.unwrap_or(BATCH_ENTRIES);
    ensure!(
        (1..=1_000_000).contains(&batch_entries),
        "target `{name}`: found `batch_entries` {batch_entries}, expected 1 to 1000000"
    );
    Ok(TargetConfig { name, tenant, batch_entries, kind, settings: table })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        directory = "copies"
        [[tenants]]
        name = "main"
        server = "http://127.0.0.1:7070"
        api_key_env = "KEY"
        [[targets]]
        name = "reports"
        tenant = "main"
        kind = "postgres"
        url = "postgresql://127.0.0.1/reports"
    "#;

    #[test]
    fn a_configuration_is_read() {
        let config = Config::parse(WHOLE).expect("a configuration");
        assert_eq!(config.targets.len(), 1);
        let target = &config.targets[0];
        assert_eq!((target.kind.as_str(), target.batch_entries), ("postgres", BATCH_ENTRIES));
        assert!(connect::make(&target.kind, target.settings.clone()).is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, expected) in [
            ("directory = \"copies\"", "", "missing field `directory`"),
            (
                "tenant = \"main\"",
                "tenant = \"other\"",
                "target `reports` names the tenant `other`, which is not in the file",
            ),
            ("name = \"reports\"", "name = \"a/b\"", "found the target name `a/b`"),
            ("api_key_env", "api_key", "unknown field `api_key`"),
            ("kind =", "batch_entries = 0\nkind =", "found `batch_entries` 0, expected 1 to 1000000"),
        ] {
            let error = Config::parse(&WHOLE.replacen(from, to, 1)).expect_err(expected);
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        }
        for (kind, settings, expected) in [
            ("oracle", "", "found the kind `oracle`, expected one of `kafka`"),
            ("postgres", "uri = \"x\"", "unknown field `uri`"),
            ("postgres", "url = \"postgresql://h/d\"\nschema = \"A b\"", "found the schema `A b`"),
        ] {
            let error = connect::make(kind, toml::from_str(settings).expect("a table")).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }
}
