//! oidc-provider, an OpenID Connect server from npm. `xtask/services/oidc-provider/server.mjs` says how it is set up.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{Folders, Options, Readiness, Starting, need, run};

const INSTALL: &str = "install Node.js 20.12 or later with npm, for example: apt-get install nodejs npm";

pub(super) fn get(folders: &Folders) -> Result<()> {
    need("node", INSTALL)?;
    // The script finds its package beside itself, so it is copied to where npm installs.
    for file in ["package.json", "package-lock.json", "server.mjs"] {
        let from = folders.source.join(file);
        fs::copy(&from, folders.home.join(file)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let stamp = fs::read_to_string(folders.source.join("package-lock.json"))?;
    if folders.has_stamp(&stamp) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folders.home);
    run(&mut npm, INSTALL)?;
    folders.set_stamp(&stamp)
}

pub(super) fn prepare(folders: &Folders, options: &Options) -> Result<Starting> {
    let ready = folders.run.join("ready.json");
    let settings = json!({"ready": ready, "audience": options.audience, "token_seconds": options.token_seconds});
    let mut command = Command::new("node");
    command.arg(folders.home.join("server.mjs")).arg(settings.to_string()).current_dir(&folders.run);
    Ok(Starting { command, readiness: Readiness::File(ready) })
}
