//! SeaweedFS, an object store that speaks S3, from the Go module proxy. It checks signatures.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::json;

use super::install::{GoProgram, go};
use super::ports::ports;
use super::process::wait_until;
use super::ready::ask;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing};

pub(super) const SERVER: Server = Server {
    name: "s3",
    variable: "FINAIRA_REQUIRE_S3",
    takes: Takes::Keep,
    patience: Duration::from_secs(120),
    stop: Stop { signal: Signal::TERM, patience: Duration::from_secs(10) },
    get: |folders| go(folders, &PROGRAM),
    prepare,
    settle,
    end_rest: nothing,
};

const PROGRAM: GoProgram = GoProgram {
    module: "github.com/seaweedfs/seaweedfs",
    version: "v0.0.0-20261109003541-7506e5f91cd6",
    sum: "h1:LOYZFToHq9F7pSR6lkPGfkM8RmHlVFrzndKdhmNZjrU=",
    package: "./weed",
    file: None,
};

const ACCESS_KEY: &str = "finaira";
const SECRET_KEY: &str = "finaira-secret";
const BUCKET: &str = "finaira";

fn prepare(folders: &Folders, _: &Options) -> Result<Starting> {
    let [port, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc] = ports(folders)?;
    let settings = folders.fill("s3.json", &[("ACCESS_KEY", ACCESS_KEY), ("SECRET_KEY", SECRET_KEY)])?;
    let mut command = Command::new(folders.program());
    command.args(["-logtostderr", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
    command.arg(format!("-dir={}", folders.data().display())).arg(format!("-s3.config={}", settings.display()));
    for (name, port) in [
        ("s3.port", port),
        ("s3.port.grpc", s3_grpc),
        ("master.port", master),
        ("master.port.grpc", master_grpc),
        ("volume.port", volume),
        ("volume.port.grpc", volume_grpc),
        ("filer.port", filer),
        ("filer.port.grpc", filer_grpc),
        // Servers for other protocols, on fixed ports unless they are turned off.
        ("s3.port.iceberg", 0),
        ("s3.port.lance", 0),
    ] {
        command.arg(format!("-{name}={port}"));
    }
    // Relative to the folder of the run, because the path of a socket must be short.
    command.args(["-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"]);
    command.args(["-volume.max=20", "-master.volumeSizeLimitMB=64", "-volume.preStopSeconds=0"]);
    // It has one master, which need not wait for others before it elects itself.
    command.args(["-master.peers=none", "-master.electionTimeout=1s"]);
    // Otherwise it would report its use to its makers.
    command.arg("-master.telemetry=false");
    let description = json!({
        "url": format!("http://127.0.0.1:{port}"),
        "host": "127.0.0.1",
        "port": port,
        "region": "us-east-1",
        "bucket": BUCKET,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
    });
    Ok(Starting { command, readiness: Readiness::Answers { port, path: "/healthz".to_owned(), description } })
}

/// Waits until an object can be written into the bucket, which takes some seconds longer than the first answer.
fn settle(folders: &Folders) -> Result<()> {
    let [_, _, _, _, _, _, filer, _] = ports(folders)?;
    let path = format!("/buckets/{BUCKET}/.ready");
    let request = |method: &str| ask(filer, method, &path, &[], if method == "PUT" { "ready" } else { "" });
    let written = || Ok(request("PUT").is_ok_and(|status| status == "201").then_some(()));
    wait_until(SERVER.patience, written)?.context("no object could be written")?;
    let status = request("DELETE").context("cannot remove the first object")?;
    ensure!(status == "204", "the removal of the first object was answered with {status}, expected 204");
    Ok(())
}
