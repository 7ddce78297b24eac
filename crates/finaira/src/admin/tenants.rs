//! `finaira admin tenant`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Target, export};
use crate::backtest::table::Table;
use crate::stdio::outln;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create a tenant, and print its first API key
    Create {
        /// A name for people to read
        #[arg(long)]
        name: String,
        /// Whether the tenant is for real money or for trying things out
        #[arg(long, value_enum, default_value_t = Mode::Live)]
        mode: Mode,
        /// The live tenant that the new one is a sandbox of; with --mode test
        #[arg(long, value_name = "TENANT")]
        sandbox_of: Option<u32>,
        #[command(flatten)]
        quotas: QuotaOptions,
        #[command(flatten)]
        target: Target,
    },
    /// List all tenants
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Show a tenant, with the size of its files
    Show {
        #[command(flatten)]
        one: One,
    },
    /// Refuse all requests of a tenant; nothing is lost
    Suspend {
        #[command(flatten)]
        one: One,
    },
    /// Accept requests of a suspended tenant again
    Resume {
        #[command(flatten)]
        one: One,
    },
    /// Set the quotas of a tenant; one that is not given is removed
    Quotas {
        #[command(flatten)]
        quotas: QuotaOptions,
        #[command(flatten)]
        one: One,
    },
    /// Erase everything that a suspended tenant has; nobody can bring it back
    Remove {
        /// Confirms it: the name of the tenant
        #[arg(long, value_name = "NAME")]
        confirm_name: String,
        #[command(flatten)]
        one: One,
    },
    /// Copy the journal and the keys of a tenant into a new directory, which is a data directory of its own
    ///
    /// A server may run if the tenant is suspended.
    Export {
        /// Number of the tenant
        tenant: u32,
        /// Data directory that has the tenant
        #[arg(long, env = "FINAIRA_DATA", value_name = "DIR")]
        data: PathBuf,
        /// Directory to create
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Mode {
    Live,
    Test,
}

#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// Number of the tenant
    tenant: u32,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
pub(super) struct QuotaOptions {
    /// Most requests in a second
    #[arg(long, value_name = "NUMBER")]
    requests_per_second: Option<u32>,
    /// Size of the tenant's files, in bytes, from which on its writes are refused
    #[arg(long, value_name = "BYTES")]
    disk_bytes: Option<u64>,
}

impl QuotaOptions {
    fn json(&self) -> Value {
        let mut quotas = json!({});
        if let Some(rate) = self.requests_per_second {
            quotas["requests_per_second"] = rate.into();
        }
        if let Some(bytes) = self.disk_bytes {
            quotas["disk_bytes"] = bytes.into();
        }
        quotas
    }
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Create { name, mode, sandbox_of, quotas, target } => {
            let mode = match mode {
                Mode::Live => "live",
                Mode::Test => "test",
            };
            let mut body = json!({"name": name, "mode": mode, "quotas": quotas.json()});
            if let Some(of) = sandbox_of {
                body["sandbox_of"] = (*of).into();
            }
            let answer = target.with(|connection| connection.post(None, "/v1/tenants", &body))?;
            if target.json {
                return outln!("{answer}");
            }
            outln!("Created tenant {}.", answer["tenant"]["id"])?;
            outln!("Its API key (shown once, keep it): {}", answer["key"].as_str().unwrap_or_default())
        }
        Command::List { target } => {
            let items = target.with(|connection| connection.list(None, "/v1/tenants"))?;
            show(&items, target.json)
        }
        Command::Show { one } => {
            let path = format!("/v1/tenants/{}", one.tenant);
            let tenant = one.target.with(|connection| connection.get(None, &path))?;
            show(&[tenant], one.target.json)
        }
        Command::Suspend { one } => change(one, "suspend", &json!({})),
        Command::Resume { one } => change(one, "resume", &json!({})),
        Command::Quotas { quotas, one } => change(one, "quotas", &quotas.json()),
        Command::Remove { confirm_name, one } => {
            let path = format!("/v1/tenants/{}", one.tenant);
            let removed = one.target.with(|connection| {
                let found = connection.get(None, &path)?;
                let name = found["name"].as_str().unwrap_or_default();
                anyhow::ensure!(
                    name == confirm_name,
                    "tenant {} is named `{name}`, not `{confirm_name}`; nothing was removed",
                    one.tenant
                );
                connection.post(None, &format!("{path}/remove"), &json!({}))
            })?;
            show(&[removed], one.target.json)
        }
        Command::Export { tenant, data, to } => export::run(data, *tenant, to),
    }
}

fn change(one: &One, verb: &str, body: &Value) -> anyhow::Result<()> {
    let path = format!("/v1/tenants/{}/{verb}", one.tenant);
    let tenant = one.target.with(|connection| connection.post(None, &path, body))?;
    show(&[tenant], one.target.json)
}

fn show(tenants: &[Value], is_json: bool) -> anyhow::Result<()> {
    if is_json {
        return outln!("{}", Value::from(tenants));
    }
    let mut table = Table::new(["TENANT", "mode", "state", "sandbox of", "requests/s", "disk quota", "disk"]);
    let number = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for tenant in tenants {
        table.row(vec![
            format!("{} {}", tenant["id"], text(&tenant["name"])),
            text(&tenant["mode"]),
            text(&tenant["state"]),
            number(&tenant["sandbox_of"]),
            number(&tenant["quotas"]["requests_per_second"]),
            number(&tenant["quotas"]["disk_bytes"]),
            number(&tenant["disk_bytes"]),
        ]);
    }
    let mut out = String::new();
    table.write_to(&mut out);
    crate::stdio::out(format_args!("{out}"))
}
