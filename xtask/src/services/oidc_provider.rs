//! oidc-provider, an OpenID Connect server from npm. `xtask/services/oidc-provider/server.mjs` says how it is set up.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::install::npm;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing};

pub(super) const SERVER: Server = Server {
    name: "oidc-provider",
    variable: "FINAIRA_REQUIRE_OIDC_PROVIDER",
    takes: Takes::Tokens,
    patience: Duration::from_secs(60),
    stop: Stop::TERM,
    get: npm,
    prepare,
    settle: nothing,
    end_rest: nothing,
};

fn prepare(folders: &Folders, options: &Options) -> Result<Starting> {
    let ready = folders.run.join("ready.json");
    let settings = json!({"ready": ready, "audience": options.audience, "token_seconds": options.token_seconds});
    let mut command = Command::new("node");
    command.arg(folders.home.join("server.mjs")).arg(settings.to_string());
    Ok(Starting { command, readiness: Readiness::File(ready) })
}
