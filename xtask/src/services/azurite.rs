//! Azurite, an object store that speaks Azure Blob, from npm. `xtask/services/azurite/server.mjs` says how it is set up.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::install::npm;
use super::ports::ports;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing, remove};

pub(super) const SERVER: Server = Server {
    name: "azurite",
    variable: "FINAIRA_REQUIRE_AZURITE",
    takes: Takes::Keep,
    patience: Duration::from_secs(120),
    stop: Stop::TERM,
    get: npm,
    prepare,
    settle: nothing,
    end_rest: nothing,
};

fn prepare(folders: &Folders, _: &Options) -> Result<Starting> {
    let [port] = ports(folders)?;
    let ready = folders.run.join("ready.json");
    // One from the run before would say that it is ready already.
    remove(&ready)?;
    let settings = json!({"ready": ready, "port": port, "data": folders.data()});
    let mut command = Command::new("node");
    command.arg(folders.home.join("server.mjs")).arg(settings.to_string());
    Ok(Starting { command, readiness: Readiness::File(ready) })
}
