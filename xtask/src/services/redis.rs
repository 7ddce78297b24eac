//! Redis, from Debian.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::install::debian;
use super::ports::ports;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing};

pub(super) const SERVER: Server = Server {
    name: "redis",
    variable: "FINAIRA_REQUIRE_REDIS",
    takes: Takes::Keep,
    patience: Duration::from_secs(60),
    stop: Stop::TERM,
    get: |_| debian("redis-server", PACKAGE).map(drop),
    prepare,
    settle: nothing,
    end_rest: nothing,
};

const PACKAGE: &str = "redis-server";
/// The user that it has by itself. `--requirepass` sets its password.
const USER: &str = "default";
const PASSWORD: &str = "finaira";

fn prepare(folders: &Folders, _: &Options) -> Result<Starting> {
    let [port] = ports(folders)?;
    let mut command = Command::new(debian("redis-server", PACKAGE)?);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--requirepass", PASSWORD]);
    // With `everysec`, its default, it acknowledges before it writes while a sync takes long.
    command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(folders.data());
    let description = json!({
        "url": format!("redis://{USER}:{PASSWORD}@127.0.0.1:{port}/"),
        "host": "127.0.0.1",
        "port": port,
        "user": USER,
        "password": PASSWORD,
    });
    Ok(Starting { command, readiness: Readiness::Says { text: "Ready to accept connections", description } })
}
