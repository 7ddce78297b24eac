//! NATS with JetStream, from Debian.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::install::debian;
use super::ports::ports;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing};

pub(super) const SERVER: Server = Server {
    name: "nats",
    variable: "FINAIRA_REQUIRE_NATS",
    takes: Takes::Keep,
    patience: Duration::from_secs(60),
    stop: Stop::TERM,
    get: |_| debian("nats-server", PACKAGE).map(drop),
    prepare,
    settle: nothing,
    end_rest: nothing,
};

const PACKAGE: &str = "nats-server";
const USER: &str = "finaira";

fn prepare(folders: &Folders, _: &Options) -> Result<Starting> {
    let [port, monitor] = ports(folders)?;
    let mut command = Command::new(debian("nats-server", PACKAGE)?);
    command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--http_port", &monitor.to_string()]);
    command.args(["--user", USER, "--pass", USER, "--jetstream", "--store_dir"]).arg(folders.data());
    let description = json!({
        "url": format!("nats://{USER}:{USER}@127.0.0.1:{port}"),
        "host": "127.0.0.1",
        "port": port,
        "user": USER,
        "password": USER,
        "monitor": format!("http://127.0.0.1:{monitor}"),
    });
    Ok(Starting { command, readiness: Readiness::Answers { port: monitor, path: "/healthz".to_owned(), description } })
}
