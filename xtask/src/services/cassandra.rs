//! Apache Cassandra, from Maven Central. `xtask/services/cassandra` has its version and its settings.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::install::jars;
use super::ports::ports;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing};

pub(super) const SERVER: Server = Server {
    name: "cassandra",
    variable: "FINAIRA_REQUIRE_CASSANDRA",
    takes: Takes::Keep,
    patience: Duration::from_secs(5 * 60),
    stop: Stop { patience: Duration::from_secs(60), ..Stop::TERM },
    get: jars,
    prepare,
    settle: nothing,
    end_rest: nothing,
};

/// It measures objects with this agent, which is one of its jars.
const AGENT: &str = "jamm-0.4.0.jar";

fn prepare(folders: &Folders, _: &Options) -> Result<Starting> {
    let [port, storage] = ports(folders)?;
    let data = folders.data().display().to_string();
    let settings = folders.fill(
        "cassandra.yaml",
        &[("PORT", &port.to_string()), ("STORAGE_PORT", &storage.to_string()), ("DATA", &data)],
    )?;
    let logging = folders.fill("logback.xml", &[])?;
    let mut command = Command::new("java");
    command.args(["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]);
    // What it uses of Java's own parts, in a file that Java reads.
    command.arg(format!("@{}", folders.source.join("java-options").display()));
    command.arg(format!("-javaagent:{}", folders.jars().join(AGENT).display()));
    command.arg(format!("-Dcassandra.config=file://{}", settings.display()));
    command.arg(format!("-Dlogback.configurationFile=file://{}", logging.display()));
    command.arg(format!("-Dcassandra.storagedir={data}"));
    // It is alone, so it waits for no other.
    command.args(["-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.ring_delay_ms=1"]);
    command.args(["-Dcassandra-foreground=yes", "-cp"]).arg(folders.jars().join("*"));
    command.arg("org.apache.cassandra.service.CassandraDaemon");
    let description = json!({"url": format!("127.0.0.1:{port}"), "host": "127.0.0.1", "port": port});
    Ok(Starting { command, readiness: Readiness::Says { text: "Starting listening for CQL clients", description } })
}
