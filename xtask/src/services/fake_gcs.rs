//! fake-gcs-server, an object store that speaks Google Cloud Storage, from the Go module proxy. It wants no credentials.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::install::{GoProgram, go};
use super::ports::ports;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing};

pub(super) const SERVER: Server = Server {
    name: "fake-gcs",
    variable: "FINAIRA_REQUIRE_FAKE_GCS",
    takes: Takes::Keep,
    patience: Duration::from_secs(60),
    stop: Stop::TERM,
    get: |folders| go(folders, &PROGRAM),
    prepare,
    settle: nothing,
    end_rest: nothing,
};

const PROGRAM: GoProgram = GoProgram {
    module: "github.com/fsouza/fake-gcs-server",
    version: "v1.56.1",
    sum: "h1:K03sAvbLvDz4hAynpCCUqnNRp+ik9JFSvHbkD/wTPOU=",
    package: ".",
    file: None,
};

const BUCKET: &str = "finaira";

fn prepare(folders: &Folders, _: &Options) -> Result<Starting> {
    let [port] = ports(folders)?;
    // A bucket is a folder.
    fs::create_dir_all(folders.data().join(BUCKET)).context("cannot make the bucket")?;
    let url = format!("http://127.0.0.1:{port}");
    let mut command = Command::new(folders.program());
    command.args(["-scheme", "http", "-host", "127.0.0.1", "-port", &port.to_string(), "-external-url", &url]);
    command.args(["-public-host", &format!("127.0.0.1:{port}"), "-backend", "filesystem", "-filesystem-root"]);
    command.arg(folders.data());
    let description = json!({"url": url, "host": "127.0.0.1", "port": port, "bucket": BUCKET});
    let path = format!("/storage/v1/b/{BUCKET}");
    Ok(Starting { command, readiness: Readiness::Answers { port, path, description } })
}
