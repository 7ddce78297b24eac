//! `finaira admin client`, `finaira admin issuer` and `finaira admin role`.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::Target;
use crate::backtest::table::Table;
use crate::stdio::outln;

/// Most bytes of a file with keys or settings.
const FILE_BYTES_MAX: usize = 64 << 10;

/// Clients of the built-in issuer of access tokens.
#[derive(Debug, clap::Subcommand)]
pub(super) enum ClientCommand {
    /// Register a client, and print its secret if it has one
    Create {
        /// Its client id; without it, the server makes one
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// A name for people to read
        #[arg(long)]
        name: String,
        /// Number of the tenant that its tokens are for; without it, that of the API key
        #[arg(long, value_name = "NUMBER")]
        tenant: Option<u32>,
        /// Name of the role whose scopes its tokens get
        #[arg(long, required_unless_present = "scope", conflicts_with = "scope")]
        role: Option<String>,
        /// Scope of its tokens; may be given several times
        #[arg(long)]
        scope: Vec<String>,
        /// File with its public keys (a JSON Web Key Set), for a client that signs assertions instead of having a secret
        #[arg(long, value_name = "FILE")]
        jwks: Option<PathBuf>,
        #[command(flatten)]
        target: Target,
    },
    /// List all clients
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Revoke a client: its tokens count no longer
    Revoke {
        /// Its client id
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Give a client another secret, and print it; the last one stays valid
    RotateSecret {
        /// Its client id
        id: String,
        #[command(flatten)]
        target: Target,
    },
}

/// Issuers whose access tokens are accepted.
#[derive(Debug, clap::Subcommand)]
pub(super) enum IssuerCommand {
    /// Accept the tokens of an issuer, or replace its settings
    Put {
        /// File with its settings as JSON, as for POST /v1/issuers
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// List all issuers
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Remove an issuer: its tokens count no longer
    Remove {
        /// Its name, which is an address
        issuer: String,
        #[command(flatten)]
        target: Target,
    },
}

/// Roles of the installation.
#[derive(Debug, clap::Subcommand)]
pub(super) enum RoleCommand {
    /// Add a role, or replace it
    Put {
        /// Its name
        name: String,
        /// Scope of the role; may be given several times
        #[arg(long, required = true)]
        scope: Vec<String>,
        /// What the role is for
        #[arg(long, default_value = "")]
        summary: String,
        #[command(flatten)]
        target: Target,
    },
    /// List all roles that were added
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Remove a role: it gives nothing any more
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

pub(super) fn of_clients(command: &ClientCommand) -> anyhow::Result<()> {
    match command {
        ClientCommand::Create { id, name, tenant, role, scope, jwks, target } => {
            let mut body = json!({"name": name, "authentication": {"method": "client_secret"}});
            if let Some(id) = id {
                body["client_id"] = id.as_str().into();
            }
            if let Some(tenant) = tenant {
                body["tenant"] = (*tenant).into();
            }
            match role {
                Some(role) => body["role"] = role.as_str().into(),
                None => body["scopes"] = scope.as_slice().into(),
            }
            if let Some(file) = jwks {
                body["authentication"] = json!({"method": "private_key_jwt", "jwks": read(file)?});
            }
            let answer = target.with(|connection| connection.post(None, "/v1/clients", &body))?;
            shown_once(target, &answer)
        }
        ClientCommand::List { target } => {
            let items = target.with(|connection| connection.list(None, "/v1/clients"))?;
            show(target, &items, ["CLIENT", "tenant", "state", "method", "created"], |client| {
                ["client_id", "tenant", "state", "method", "created_at"].map(|field| plain(&client[field]))
            })
        }
        ClientCommand::Revoke { id, target } => post(target, &format!("/v1/clients/{}/revoke", encoded(id)), "Revoked"),
        ClientCommand::RotateSecret { id, target } => {
            let path = format!("/v1/clients/{}/rotate-secret", encoded(id));
            let answer = target.with(|connection| connection.post(None, &path, &json!({})))?;
            shown_once(target, &answer)
        }
    }
}

pub(super) fn of_issuers(command: &IssuerCommand) -> anyhow::Result<()> {
    match command {
        IssuerCommand::Put { file, target } => {
            let settings = read(file)?;
            let answer = target.with(|connection| connection.post(None, "/v1/issuers", &settings))?;
            if target.json {
                return outln!("{answer}");
            }
            outln!("Tokens of {} are accepted.", plain(&answer["settings"]["issuer"]))
        }
        IssuerCommand::List { target } => {
            let items = target.with(|connection| connection.list(None, "/v1/issuers"))?;
            show(target, &items, ["ISSUER", "audience", "keys fetched", "created"], |issuer| {
                let settings = &issuer["settings"];
                [&settings["issuer"], &settings["audience"], &issuer["keys_fetched_at"], &issuer["created_at"]]
                    .map(plain)
            })
        }
        IssuerCommand::Remove { issuer, target } => {
            post(target, &format!("/v1/issuers/{}/remove", encoded(issuer)), "Removed")
        }
    }
}

pub(super) fn of_roles(command: &RoleCommand) -> anyhow::Result<()> {
    match command {
        RoleCommand::Put { name, scope, summary, target } => {
            let body = json!({"name": name, "scopes": scope, "summary": summary});
            let answer = target.with(|connection| connection.post(None, "/v1/roles", &body))?;
            if target.json {
                return outln!("{answer}");
            }
            outln!("Role {} has {} scopes.", plain(&answer["name"]), answer["scopes"].as_array().map_or(0, Vec::len))
        }
        RoleCommand::List { target } => {
            let items = target.with(|connection| connection.list(None, "/v1/roles"))?;
            show(target, &items, ["ROLE", "scopes", "created", "summary"], |role| {
                let scopes = role["scopes"].as_array().map_or(0, Vec::len).to_string();
                [plain(&role["name"]), scopes, plain(&role["created_at"]), plain(&role["summary"])]
            })
        }
        RoleCommand::Remove { name, target } => post(target, &format!("/v1/roles/{}/remove", encoded(name)), "Removed"),
    }
}

/// Prints a client with the secret that this answer alone has.
fn shown_once(target: &Target, answer: &Value) -> anyhow::Result<()> {
    if target.json {
        return outln!("{answer}");
    }
    outln!("Client {}", plain(&answer["client"]["client_id"]))?;
    match answer["client_secret"].as_str() {
        Some(secret) => outln!("The secret (shown once, keep it): {secret}"),
        None => outln!("It has no secret; it signs assertions."),
    }
}

fn post(target: &Target, path: &str, done: &str) -> anyhow::Result<()> {
    let answer = target.with(|connection| connection.post(None, path, &json!({})))?;
    if target.json { outln!("{answer}") } else { outln!("{done}.") }
}

fn show<const N: usize>(
    target: &Target,
    items: &[Value],
    header: [&str; N],
    row: impl Fn(&Value) -> [String; N],
) -> anyhow::Result<()> {
    if target.json {
        return outln!("{}", Value::from(items));
    }
    let mut table = Table::new(header);
    for item in items {
        table.row(row(item).to_vec());
    }
    let mut out = String::new();
    table.write_to(&mut out);
    crate::stdio::out(format_args!("{out}"))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn read(file: &PathBuf) -> anyhow::Result<Value> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(bytes.len() <= FILE_BYTES_MAX, "{} has more than {FILE_BYTES_MAX} bytes", file.display());
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", file.display()))
}

/// A name as a part of a path.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
