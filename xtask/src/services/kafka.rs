//! One broker of Apache Kafka, from Maven Central. `xtask/services/kafka` has its version and its settings.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::install::{jars, run};
use super::ports::ports;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing};

pub(super) const SERVER: Server = Server {
    name: "kafka",
    variable: "FINAIRA_REQUIRE_KAFKA",
    takes: Takes::Keep,
    patience: Duration::from_secs(180),
    stop: Stop::TERM,
    get: jars,
    prepare,
    settle: nothing,
    end_rest: nothing,
};

/// The name of its cluster: 22 characters, as it wants them.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

fn prepare(folders: &Folders, options: &Options) -> Result<Starting> {
    let [port, controller] = ports(folders)?;
    let (listener, quorum) = (port.to_string(), controller.to_string());
    let data = folders.data().display().to_string();
    let settings =
        folders.fill("server.properties", &[("PORT", &listener), ("CONTROLLER_PORT", &quorum), ("DATA", &data)])?;
    let logging = folders.fill("log4j2.properties", &[])?;
    if !options.keep {
        let mut format = java(folders);
        format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]).arg(&settings);
        run(&mut format, "")?;
    }
    let mut command = java(folders);
    command.arg("kafka.Kafka").arg(&settings);
    command.env("JDK_JAVA_OPTIONS", format!("-Dlog4j2.configurationFile=file:{}", logging.display()));
    let description = json!({
        "url": format!("127.0.0.1:{port}"),
        "host": "127.0.0.1",
        "port": port,
        "tools": folders.jars().join("*").display().to_string(),
    });
    Ok(Starting { command, readiness: Readiness::Says { text: "Kafka Server started", description } })
}

/// Java with little memory. The second compiler would still be warming up when the tests are over.
fn java(folders: &Folders) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xms64m", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError"]);
    java.arg("-cp").arg(folders.jars().join("*"));
    java
}
