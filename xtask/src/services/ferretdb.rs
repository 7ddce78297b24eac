//! FerretDB on PostgreSQL, from the Go module proxy. It stands for MongoDB, whose protocol it speaks, because no package has a MongoDB
//! server. PostgreSQL must be up before; FerretDB keeps its data there. On SQLite, an update with a condition beside the id reads the whole
//! collection.
//!
//! It has no transactions, no change streams and no Decimal128, and an update is not atomic. Each update of a command keeps a connection to PostgreSQL until
//! the command ends, and a command with more updates than it has connections hangs for good.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::install::{GoProgram, go};
use super::ports::ports;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing};

pub(super) const SERVER: Server = Server {
    name: "ferretdb",
    variable: "FINAIRA_REQUIRE_FERRETDB",
    takes: Takes::Keep,
    patience: Duration::from_secs(60),
    // One that hangs ignores the signal.
    stop: Stop { patience: Duration::from_secs(5), ..Stop::TERM },
    get: |folders| go(folders, &PROGRAM),
    prepare,
    settle: nothing,
    end_rest: nothing,
};

const PROGRAM: GoProgram = GoProgram {
    module: "github.com/FerretDB/FerretDB",
    version: "v1.24.2",
    sum: "h1:trrUU0LbmusMbyubhPS1IELncvrIwKrsRT2LW1UUWCw=",
    package: "./cmd/ferretdb",
    // It panics at its start without its version.
    file: Some(("build/version/version.txt", "v1.24.2\n")),
};

/// Its connections to PostgreSQL, of which that takes 100.
const CONNECTIONS: u32 = 60;

/// The address of the PostgreSQL that is up.
fn postgres(folders: &Folders) -> Result<String> {
    let missing = "ferretdb keeps its data in PostgreSQL; start it first: cargo xtask services up postgres";
    let path = folders.home.with_file_name("postgres").join("running.json");
    let running: Value =
        serde_json::from_slice(&fs::read(path).context(missing)?).context("running.json is not JSON")?;
    running.pointer("/description/url").and_then(Value::as_str).map(str::to_owned).context(missing)
}

fn prepare(folders: &Folders, _: &Options) -> Result<Starting> {
    let [port, debug] = ports(folders)?;
    let mut command = Command::new(folders.program());
    command.args(["--handler=postgresql", "--telemetry=disable", "--log-level=error"]);
    command.arg(format!("--postgresql-url={}?pool_max_conns={CONNECTIONS}", postgres(folders)?));
    command.arg(format!("--state-dir={}", folders.data().display()));
    command.arg(format!("--listen-addr=127.0.0.1:{port}")).arg(format!("--debug-addr=127.0.0.1:{debug}"));
    let description = json!({
        "url": format!("mongodb://127.0.0.1:{port}/finaira"),
        "host": "127.0.0.1",
        "port": port,
        "database": "finaira",
    });
    let path = "/debug/readyz".to_owned();
    Ok(Starting { command, readiness: Readiness::Answers { port: debug, path, description } })
}
