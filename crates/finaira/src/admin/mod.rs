//! `finaira admin` administers an installation: its tenants, API keys, clients, issuers and roles. It sends the requests of the API, either to a
//! running server or, while no server runs, to the data directory itself.

mod connection;
mod export;
mod identity;
mod keys;
mod tenants;

use std::path::PathBuf;

use crate::admin::connection::Connection;
use crate::remote;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Create, list, suspend, resume, remove and export tenants
    #[command(subcommand)]
    Tenant(tenants::Command),
    /// Create, list and revoke API keys
    #[command(subcommand)]
    Key(keys::Command),
    /// Register, list and revoke clients of the built-in issuer of access tokens
    #[command(subcommand)]
    Client(identity::ClientCommand),
    /// Add, list and remove issuers whose access tokens are accepted
    #[command(subcommand)]
    Issuer(identity::IssuerCommand),
    /// Add, list and remove roles of the installation
    #[command(subcommand)]
    Role(identity::RoleCommand),
}

/// Where to administer, and how to show the result.
#[derive(Debug, Clone, clap::Args)]
struct Target {
    /// Data directory on which no server runs; whoever can write there needs no API key
    #[arg(long, env = "FINAIRA_DATA", value_name = "DIR", required_unless_present = "url", conflicts_with = "url")]
    data: Option<PathBuf>,
    /// Address of a running server, such as http://127.0.0.1:7070
    #[arg(long, value_name = "URL", requires = "api_key_file", value_parser = remote::url)]
    url: Option<String>,
    /// File with the API key for the server
    #[arg(long, env = "FINAIRA_API_KEY_FILE", value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    #[command(flatten)]
    trust: remote::Trust,
    /// Print the answer of the API as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.what {
        What::Tenant(command) => tenants::run(command),
        What::Key(command) => keys::run(command),
        What::Client(command) => identity::of_clients(command),
        What::Issuer(command) => identity::of_issuers(command),
        What::Role(command) => identity::of_roles(command),
    }
}

impl Target {
    /// Runs `work` with a connection, and closes it.
    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let mut connection = Connection::open(self)?;
        let done = work(&mut connection);
        // A failure of the work is the reason to report.
        let closed = connection.close();
        let done = done?;
        closed?;
        Ok(done)
    }
}
