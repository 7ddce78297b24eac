//! RabbitMQ with streams and the HTTP interface of its management plugin, from Debian.
//!
//! The port mapper of Erlang, `epmd`, would be started by it as a daemon and outlive it. It is started here instead, so that it can
//! be ended.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::install::{debian, python};
use super::ports::ports;
use super::process::{Running, stop, wait_until};
use super::ready::ask;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, remove};

pub(super) const SERVER: Server = Server {
    name: "rabbitmq",
    variable: "FINAIRA_REQUIRE_RABBITMQ",
    takes: Takes::Keep,
    patience: Duration::from_secs(180),
    stop: Stop { patience: Duration::from_secs(60), ..Stop::TERM },
    get,
    prepare,
    settle,
    end_rest,
};

/// The Python of Debian, whose client reads queues and streams for tests.
const PYTHON: &str = "/usr/bin/python3";
/// The script below `/usr/lib`: the one in the `PATH` changes to a user that may not write here.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// It accepts this user with this password from the loopback address only.
const USER: &str = "guest";
const PLUGINS: &str = "[rabbitmq_management, rabbitmq_stream].\n";
/// `USER` with its password, as HTTP wants it.
const BASIC: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";
const NODE: &str = "finaira@localhost";
/// What takes part in the consensus about streams.
const COORDINATOR: &[u8] = b"rabbit_stream_coordinator";
/// How long `epmd` may take to listen, and the first stream to be written.
const PATIENCE: Duration = Duration::from_secs(20);

fn get(_: &Folders) -> Result<()> {
    debian("rabbitmq-server", "rabbitmq-server")?;
    python("pika", "python3-pika").map(drop)
}

fn prepare(folders: &Folders, _: &Options) -> Result<Starting> {
    let [port, stream, management, distribution, epmd] = ports(folders)?;
    let written = |name: &str, text: &str| -> Result<PathBuf> {
        let path = folders.run.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    };
    let settings = format!(
        "management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management}\n\
         stream.listeners.tcp.1 = 127.0.0.1:{stream}\n\
         stream.advertised_host = 127.0.0.1\n\
         stream.advertised_port = {stream}\n"
    );
    written("rabbitmq.conf", &settings)?;
    let plugins = written("plugins", PLUGINS)?;
    start_epmd(folders, epmd)?;
    let mut command = Command::new(PROGRAM);
    // With this variable the script becomes the server. Without it the script would stay its parent, and could be killed alone.
    command.env("RABBITMQ_ALLOW_INPUT", "1").arg("-noinput");
    // The folder with the cookie that its control program needs.
    command.env("HOME", &folders.run);
    command.env("RABBITMQ_NODENAME", NODE).env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
    command.env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1").env("RABBITMQ_NODE_PORT", port.to_string());
    command.env("RABBITMQ_DIST_PORT", distribution.to_string());
    command.env("RABBITMQ_MNESIA_BASE", folders.data()).env("RABBITMQ_LOGS", "-");
    command.env("RABBITMQ_LOG_BASE", folders.run.join("logs")).env("RABBITMQ_PID_FILE", folders.run.join("pid"));
    command.env("RABBITMQ_CONFIG_FILE", folders.run.join("rabbitmq")).env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins);
    command.env("ERL_EPMD_PORT", epmd.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
    command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}");
    let description = json!({
        "url": format!("amqp://{USER}:{USER}@127.0.0.1:{port}/%2f"),
        "host": "127.0.0.1",
        "port": port,
        "user": USER,
        "password": USER,
        "stream_port": stream,
        "python": PYTHON,
        "management": format!("http://127.0.0.1:{management}"),
    });
    Ok(Starting { command, readiness: Readiness::Says { text: "Server startup complete", description } })
}

fn start_epmd(folders: &Folders, port: u16) -> Result<()> {
    let mut epmd = Command::new(debian("epmd", "erlang-base")?);
    epmd.args(["-address", "127.0.0.1", "-port", &port.to_string()]).current_dir(&folders.run);
    epmd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let epmd = Running::of(epmd.spawn().context("cannot start epmd")?.id())?;
    epmd.write(&epmd_file(folders), &Value::Null)?;
    let listens = || Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(()));
    wait_until(PATIENCE, listens)?.with_context(|| format!("epmd does not listen on port {port}"))
}

/// Makes a first stream and removes it. Half a second later RabbitMQ writes that this node coordinates streams, and this only once.
/// Otherwise a node that is killed soon after a test made its first stream finds no stream again.
fn settle(folders: &Folders) -> Result<()> {
    let [_, _, management, _, _] = ports(folders)?;
    let names = folders.data().join(NODE).join("coordination").join(NODE).join("names.dets");
    let is_written = || match fs::read(&names) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", names.display())),
        Ok(found) => Ok(found.windows(COORDINATOR.len()).any(|window| window == COORDINATOR).then_some(())),
    };
    if is_written()?.is_some() {
        return Ok(());
    }
    let stream = |method: &str, body: &str, expected: &str| -> Result<()> {
        let headers = [("authorization", BASIC), ("content-type", "application/json")];
        let status = ask(management, method, "/api/queues/%2f/first-stream", &headers, body);
        let status = status.with_context(|| format!("{method} of the first stream failed"))?;
        ensure!(status == expected, "{method} of the first stream was answered with {status}, expected {expected}");
        Ok(())
    };
    stream("PUT", r#"{"durable": true, "arguments": {"x-queue-type": "stream"}}"#, "201")?;
    wait_until(PATIENCE, is_written)?.context("RabbitMQ did not write that it coordinates streams")?;
    stream("DELETE", "", "204")
}

fn end_rest(folders: &Folders) -> Result<()> {
    let file = epmd_file(folders);
    if let Some(epmd) = Running::read(&file)? {
        stop(&epmd, Stop::TERM).context("cannot stop epmd")?;
    }
    remove(&file)
}

/// Beside the folder of the run, so that a new run does not forget the helper of the one before.
fn epmd_file(folders: &Folders) -> PathBuf {
    folders.home.join(Path::new("epmd.json"))
}
