//! Moto, an object store that speaks S3 and keeps everything in memory, from PyPI. It is there sooner than `s3`, but checks no signatures.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::json;

use super::install::{environment_python, pip};
use super::ports::ports;
use super::ready::ask;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing};

pub(super) const SERVER: Server = Server {
    name: "moto",
    variable: "FINAIRA_REQUIRE_MOTO",
    takes: Takes::Nothing,
    patience: Duration::from_secs(120),
    // It has nothing to lose.
    stop: Stop { signal: Signal::KILL, patience: Duration::from_secs(10) },
    get: pip,
    prepare,
    settle,
    end_rest: nothing,
};

const BUCKET: &str = "finaira";

fn prepare(folders: &Folders, _: &Options) -> Result<Starting> {
    let [port] = ports(folders)?;
    let mut command = Command::new(environment_python(folders));
    command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
    let description = json!({
        "url": format!("http://127.0.0.1:{port}"),
        "host": "127.0.0.1",
        "port": port,
        "region": "us-east-1",
        "bucket": BUCKET,
        "access_key": "any",
        "secret_key": "any",
        // It has DuckDB as well.
        "python": environment_python(folders),
    });
    Ok(Starting { command, readiness: Readiness::Answers { port, path: "/moto-api/".to_owned(), description } })
}

/// Makes the bucket.
fn settle(folders: &Folders) -> Result<()> {
    let [port] = ports(folders)?;
    let status = ask(port, "PUT", &format!("/{BUCKET}"), &[], "").context("cannot make the bucket")?;
    ensure!(status == "200", "the bucket was answered with {status}, expected 200");
    Ok(())
}
