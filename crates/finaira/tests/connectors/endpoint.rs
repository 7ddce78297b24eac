//! What a running connector answers at the address that its configuration names with `listen`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// An address that is free for a moment, until a connector takes it.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").to_string()
}

/// Writes the configuration `from` to `to`, with this address to answer at.
pub(crate) fn with_endpoint(from: &Path, to: &Path, address: &str) {
    let text = std::fs::read_to_string(from).expect("the configuration");
    std::fs::write(to, format!("listen = \"{address}\"\n{text}")).expect("the configuration is written");
}

/// What the address answers: the status and the body.
pub(crate) fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    let status = answer.get(9..12)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

/// The value of a metric of the target `tried`.
pub(crate) fn metric(metrics: &str, name: &str) -> Option<f64> {
    let line = format!("finaira_connect_{name}{{target=\"tried\"}} ");
    metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok())
}
