//! `finaira admin key`.

use serde_json::{Value, json};
use types::{TenantId, Timestamp};

use super::Target;
use crate::backtest::table::Table;
use crate::stdio::outln;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create an API key, and print it
    Create {
        /// A name for people to read
        #[arg(long)]
        name: String,
        /// Name of the role whose scopes the key gets, such as administrator or developer
        #[arg(long, required_unless_present = "scope", conflicts_with = "scope")]
        role: Option<String>,
        /// Scope of the key; may be given several times
        #[arg(long)]
        scope: Vec<String>,
        /// Number of the principal that the key belongs to; without it, the key gets a new service of its own name
        #[arg(long, value_name = "NUMBER")]
        principal: Option<u32>,
        /// From when on the key is not valid any more, such as 2027-01-31T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<Timestamp>,
        #[command(flatten)]
        of: Of,
    },
    /// List all API keys
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Revoke an API key
    Revoke {
        /// Number of the key
        key: u64,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Of {
    /// Number of the tenant; with --data, and the first tenant if it is not given
    #[arg(long, value_name = "NUMBER")]
    tenant: Option<u32>,
    #[command(flatten)]
    target: Target,
}

impl Of {
    fn tenant(&self) -> Option<TenantId> {
        self.tenant.map(TenantId::new)
    }
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Create { name, role, scope, principal, expires_at, of } => {
            let mut body = json!({"name": name});
            match role {
                Some(role) => body["role"] = role.as_str().into(),
                None => body["scopes"] = scope.as_slice().into(),
            }
            match principal {
                Some(principal) => body["principal"] = (*principal).into(),
                None => body["new_principal"] = json!({"kind": "service", "name": name}),
            }
            if let Some(at) = expires_at {
                body["expires_at"] = at.to_string().into();
            }
            let answer = of.target.with(|connection| connection.post(of.tenant(), "/v1/api-keys", &body))?;
            if of.target.json {
                return outln!("{answer}");
            }
            outln!("Created API key {}.", answer["api_key"]["id"])?;
            outln!("The key (shown once, keep it): {}", answer["key"].as_str().unwrap_or_default())
        }
        Command::List { of } => {
            let items = of.target.with(|connection| connection.list(of.tenant(), "/v1/api-keys"))?;
            show(&items, of.target.json)
        }
        Command::Revoke { key, of } => {
            let path = format!("/v1/api-keys/{key}/revoke");
            let revoked = of.target.with(|connection| connection.post(of.tenant(), &path, &json!({})))?;
            show(&[revoked], of.target.json)
        }
    }
}

fn show(keys: &[Value], is_json: bool) -> anyhow::Result<()> {
    if is_json {
        return outln!("{}", Value::from(keys));
    }
    let mut table = Table::new(["KEY", "principal", "status", "created", "scopes"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for key in keys {
        table.row(vec![
            format!("{} {}", key["id"], text(&key["name"])),
            format!("{} {}", key["principal"]["id"], text(&key["principal"]["name"])),
            text(&key["status"]),
            text(&key["created_at"]),
            key["scopes"].as_array().map_or(0, Vec::len).to_string(),
        ]);
    }
    let mut out = String::new();
    table.write_to(&mut out);
    crate::stdio::out(format_args!("{out}"))
}
