//! The configuration file of `finaira connect`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use connect::{Filter, Without};
use datadir::Secret;
use serde::Deserialize;
use types::{LedgerId, Name, Seq};

/// A limit far above the size of such a file.
const BYTES_MAX: usize = 1 << 20;
/// Commands that are with the server at the same time, unless the configuration says otherwise, and the most of them.
const IN_FLIGHT: usize = 64;
const IN_FLIGHT_MAX: usize = 10_000;

/// What is copied from where to where.
#[derive(Debug)]
pub(super) struct Config {
    /// Where the copies of the journals are kept.
    pub(super) directory: PathBuf,
    /// Where metrics and the state of the targets are answered over HTTP; nowhere by default.
    pub(super) listen: Option<SocketAddr>,
    pub(super) tenants: Vec<Tenant>,
    pub(super) targets: Vec<TargetConfig>,
    pub(super) commands: Vec<CommandsConfig>,
}

/// A tenant, and the server that has its journal.
#[derive(Debug, Clone, Deserialize)]
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
#[derive(Debug, Clone)]
pub(super) struct TargetConfig {
    pub(super) name: String,
    /// The name of the tenant.
    pub(super) tenant: String,
    /// By default what is best for the kind.
    pub(super) batch_entries: Option<usize>,
    /// The first entry of a target that keeps events.
    pub(super) from: Option<Seq>,
    /// What a target that keeps rows is limited to.
    pub(super) filter: Arc<Filter>,
    /// The kind of the target, and its own settings.
    pub(super) kind: String,
    pub(super) settings: toml::Table,
}

/// A topic or a queue with commands.
#[derive(Debug)]
pub(super) struct CommandsConfig {
    pub(super) name: String,
    /// The name of the tenant.
    pub(super) tenant: String,
    /// Most commands that are with the server at the same time.
    pub(super) in_flight: usize,
    api_key_file: Option<PathBuf>,
    api_key_env: Option<String>,
    /// The kind of the broker, and its own settings.
    pub(super) kind: String,
    pub(super) settings: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    directory: PathBuf,
    listen: Option<SocketAddr>,
    tenants: Vec<Tenant>,
    #[serde(default)]
    targets: Vec<toml::Table>,
    #[serde(default)]
    commands: Vec<toml::Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommonOfCommands {
    name: String,
    tenant: String,
    kind: String,
    in_flight: Option<usize>,
    api_key_file: Option<PathBuf>,
    api_key_env: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    name: String,
    tenant: String,
    kind: String,
    batch_entries: Option<usize>,
    from: Option<u64>,
    ledgers: Option<Vec<u32>>,
    payment_types: Option<Vec<String>>,
    #[serde(default)]
    without: Without,
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
        let File { directory, listen, tenants, targets, commands } = parsed.map_err(|error| {
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
        let commands: Vec<CommandsConfig> = commands.into_iter().map(of_commands).collect::<anyhow::Result<_>>()?;
        for (number, found) in commands.iter().enumerate() {
            let earlier = commands.iter().take(number).any(|other| other.name == found.name);
            ensure!(!earlier, "two `[[commands]]` have the name `{}`; expected a name of its own for each", found.name);
            let known = tenants.iter().any(|tenant| tenant.name == found.tenant);
            ensure!(known, "commands `{}` name the tenant `{}`, which is not in the file", found.name, found.tenant);
        }
        ensure!(
            !targets.is_empty() || !commands.is_empty(),
            "found no target and no commands, expected at least one `[[targets]]` or `[[commands]]`"
        );
        Ok(Self { directory, listen, tenants, targets, commands })
    }
}

impl Tenant {
    /// A tenant of another server, whose API key is in a file.
    pub(super) fn of(name: &str, server: String, api_key_file: PathBuf) -> Self {
        Self { name: name.to_owned(), server, api_key_file: Some(api_key_file), api_key_env: None, ca: None }
    }

    pub(super) fn api_key(&self) -> anyhow::Result<Secret> {
        connect::secret(self.api_key_file.as_deref(), self.api_key_env.as_deref(), "api_key")
            .map_err(|error| anyhow!("tenant `{}`: {error}", self.name))?
            .with_context(|| format!("tenant `{}` has neither `api_key_file` nor `api_key_env`", self.name))
    }
}

impl CommandsConfig {
    /// The API key for these commands; `None` if it is that of the tenant.
    pub(super) fn api_key(&self) -> anyhow::Result<Option<Secret>> {
        connect::secret(self.api_key_file.as_deref(), self.api_key_env.as_deref(), "api_key")
            .map_err(|error| anyhow!("commands `{}`: {error}", self.name))
    }
}

/// Names are used in paths and metrics.
fn check_name(of: &str, name: &str) -> anyhow::Result<()> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    let is_name = !name.is_empty() && name.len() <= 63 && name.chars().all(fits);
    ensure!(is_name, "found the {of} name `{name}`, expected 1 to 63 letters, digits, `-` and `_`");
    Ok(())
}

fn filter(
    ledgers: Option<Vec<u32>>,
    payment_types: Option<Vec<String>>,
    without: Without,
) -> anyhow::Result<Arc<Filter>> {
    ensure!(ledgers.as_ref().is_none_or(|ledgers| !ledgers.is_empty()), "found no ledger in `ledgers`");
    let payment_types = payment_types.map(|types| {
        ensure!(!types.is_empty(), "found no type in `payment_types`");
        let name = |text: &String| {
            text.parse().map_err(|error| anyhow!("found `{text}` in `payment_types`, which is not a name: {error}"))
        };
        types.iter().map(name).collect::<anyhow::Result<Vec<Name>>>()
    });
    let ledgers = ledgers.map(|ledgers| ledgers.into_iter().map(LedgerId::new).collect());
    Ok(Arc::new(Filter { ledgers, payment_types: payment_types.transpose()?, without }))
}

fn target(table: toml::Table) -> anyhow::Result<TargetConfig> {
    let keys = ["name", "tenant", "kind", "batch_entries", "from", "ledgers", "payment_types", "without"];
    let (common, settings) = split(table, &keys);
    let common: Common = common.try_into().context("a target is not complete")?;
    let Common { name, tenant, kind, batch_entries, from, ledgers, payment_types, without } = common;
    check_name("target", &name)?;
    if let Some(found) = batch_entries {
        let fits = (1..=1_000_000).contains(&found);
        ensure!(fits, "target `{name}`: found `batch_entries` {found}, expected 1 to 1000000");
    }
    ensure!(from != Some(0), "target `{name}`: found `from` 0, expected the sequence of an entry, which is at least 1");
    let filter = filter(ledgers, payment_types, without).with_context(|| format!("target `{name}`"))?;
    Ok(TargetConfig { name, tenant, batch_entries, from: from.map(Seq::new), filter, kind, settings })
}

fn of_commands(table: toml::Table) -> anyhow::Result<CommandsConfig> {
    let keys = ["name", "tenant", "kind", "in_flight", "api_key_file", "api_key_env"];
    let (common, settings) = split(table, &keys);
    let CommonOfCommands { name, tenant, kind, in_flight, api_key_file, api_key_env } =
        common.try_into().context("a table of commands is not complete")?;
    check_name("commands", &name)?;
    let in_flight = in_flight.unwrap_or(IN_FLIGHT);
    ensure!(
        (1..=IN_FLIGHT_MAX).contains(&in_flight),
        "commands `{name}`: found `in_flight` {in_flight}, expected 1 to {IN_FLIGHT_MAX}"
    );
    Ok(CommandsConfig { name, tenant, in_flight, api_key_file, api_key_env, kind, settings })
}

/// Divides a table into what all kinds have in common, and what only one kind knows.
fn split(mut table: toml::Table, common: &[&str]) -> (toml::Table, toml::Table) {
    let found = common.iter().filter_map(|key| table.remove_entry(*key)).collect();
    (found, table)
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
        assert_eq!((target.kind.as_str(), target.batch_entries), ("postgres", None));
        assert!(connect::make(&target.kind, target.settings.clone()).is_ok());
    }

    #[test]
    fn the_example_is_valid() {
        let config = Config::parse(include_str!("../../../../examples/compose/connect.toml")).expect("a configuration");
        let kinds: Vec<&str> = config.targets.iter().map(|target| target.kind.as_str()).collect();
        assert_eq!(kinds, ["postgres", "kafka"]);
        let kafka = &config.targets[1];
        assert!(connect::make(&kafka.kind, kafka.settings.clone()).is_ok());
    }

    #[test]
    fn commands_need_no_target() {
        let (head, _) = WHOLE.split_once("[[targets]]").expect("targets");
        let text = format!("{head}\n[[commands]]\nname = \"in\"\ntenant = \"main\"\nkind = \"kafka\"\ntopic = \"a\"");
        let config = Config::parse(&text).expect("a configuration");
        let commands = &config.commands[0];
        assert_eq!((commands.kind.as_str(), commands.in_flight, commands.settings.len()), ("kafka", IN_FLIGHT, 1));
        for (from, to, expected) in [
            ("tenant = \"main\"", "tenant = \"other\"", "commands `in` name the tenant `other`"),
            ("topic", "in_flight = 0\ntopic", "found `in_flight` 0, expected 1 to 10000"),
        ] {
            let error = Config::parse(&text.replacen(from, to, 1)).expect_err(expected);
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        }
        let error = Config::parse(head).expect_err("nothing to do");
        assert!(error.to_string().contains("found no target and no commands"), "{error}");
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
            ("kind =", "without = [\"amount\"]\nkind =", "unknown variant `amount`, expected one of `reasons`"),
            ("kind =", "ledgers = []\nkind =", "found no ledger in `ledgers`"),
            ("kind =", "payment_types = [\"Not a name\"]\nkind =", "found `Not a name` in `payment_types`"),
            ("kind =", "from = 0\nkind =", "found `from` 0, expected the sequence of an entry"),
            ("directory =", "listen = \"here\"\ndirectory =", "invalid socket address"),
        ] {
            let error = Config::parse(&WHOLE.replacen(from, to, 1)).expect_err(expected);
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        }
        for (kind, settings, expected) in [
            ("oracle", "", "found the kind `oracle`, expected one of `archive`, `cassandra`, `kafka`"),
            ("postgres", "uri = \"x\"", "unknown field `uri`"),
            ("postgres", "url = \"postgresql://h/d\"\nschema = \"A b\"", "found the schema `A b`"),
        ] {
            let error = connect::make(kind, toml::from_str(settings).expect("a table")).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }
}
