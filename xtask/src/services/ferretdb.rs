//! FerretDB on SQLite, from the Go module proxy. It stands for MongoDB, whose protocol it speaks, because no package has a MongoDB
//! server.
//!
//! It has no transactions, no change streams and no Decimal128. A command with many updates (50 to 100) makes it hang for good;
//! 20 are fine.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

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

fn prepare(folders: &Folders, _: &Options) -> Result<Starting> {
    let [port, debug] = ports(folders)?;
    let mut command = Command::new(folders.program());
    command.args(["--handler=sqlite", "--telemetry=disable", "--log-level=warn"]);
    command.arg(format!("--sqlite-url=file:{}/?mode=rwc", folders.data().display()));
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
