//! Waits until a server is ready, and no longer than it runs.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Readiness;
use super::process::wait_until;

/// How long one answer may take. A server that starts on a busy machine may be slow, and one that will not answer is asked again.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

/// Returns the description of a server that is ready.
pub(super) fn wait(child: &mut Child, readiness: &Readiness, log: &Path, patience: Duration) -> Result<Value> {
    let described = wait_until(patience, || {
        if let Some(status) = child.try_wait().context("cannot look at the server")? {
            bail!("it ended before it was ready: {status}");
        }
        match readiness {
            Readiness::File(path) => match fs::read(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                text => {
                    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
                    serde_json::from_slice(&text).context("its description is not JSON").map(Some)
                }
            },
            Readiness::Answers { port, path, description } => Ok(answers(*port, path).then(|| description.clone())),
            Readiness::Says { text, description } => {
                let log = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
                Ok(String::from_utf8_lossy(&log).contains(text).then(|| description.clone()))
            }
        }
    })?;
    described.with_context(|| format!("it was not ready after {} s", patience.as_secs()))
}

/// Whether GET on this path of this port is answered with 200. Any error means that it is not yet.
fn answers(port: u16, path: &str) -> bool {
    ask(port, "GET", path, &[], "").is_ok_and(|status| status == "200")
}

/// Sends a request to this port, and returns the status of the answer.
pub(super) fn ask(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_PATIENCE)?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes())?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    let status = start.strip_prefix(b"HTTP/1.1 ").unwrap_or_default();
    Ok(String::from_utf8_lossy(status).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::Command;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_that_ended_is_not_waited_for() {
        let mut child = Command::new("false").spawn().unwrap();
        let readiness = Readiness::File("/nowhere/ready.json".into());
        let error =
            wait(&mut child, &readiness, Path::new("/nowhere/log"), Duration::from_secs(600)).unwrap_err().to_string();
        assert_eq!(error, "it ended before it was ready: exit status: 1");
    }

    #[test]
    fn a_server_that_is_never_ready_is_given_up() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let readiness = Readiness::File("/nowhere/ready.json".into());
        let error = wait(&mut child, &readiness, Path::new("/nowhere/log"), Duration::ZERO).unwrap_err().to_string();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(error, "it was not ready after 0 s");
    }

    #[test]
    fn a_server_is_ready_when_it_answers_200() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for status in std::iter::once("503 Service Unavailable").chain(std::iter::repeat("200 OK")) {
                let mut stream = loop {
                    let (mut stream, _) = listener.accept().unwrap();
                    // All of it: closing a connection with unread bytes would reset it.
                    let mut request = [0; 1024];
                    // A client that waited for too long is gone, and tries again.
                    let Ok(read) = stream.read(&mut request) else { continue };
                    assert!(request[..read].starts_with(b"GET /ready HTTP/1.1\r\n"));
                    break stream;
                };
                drop(write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"));
            }
        });
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let readiness = Readiness::Answers { port, path: "/ready".into(), description: json!({"a": 1}) };
        let description = wait(&mut child, &readiness, Path::new("/nowhere/log"), Duration::from_secs(60));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(description.unwrap(), json!({"a": 1}));
    }

    #[test]
    fn a_server_is_ready_when_its_log_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let output = fs::File::create(&log).unwrap();
        // The byte before the text is not UTF-8.
        let mut child = Command::new("sh")
            .args(["-c", r"printf '\377 is ready\n'; exec sleep 600"])
            .stdout(output)
            .spawn()
            .unwrap();
        let readiness = |text| Readiness::Says { text, description: json!({"a": 1}) };
        let found = wait(&mut child, &readiness("is ready"), &log, Duration::from_secs(60));
        let missed = wait(&mut child, &readiness("is open"), &log, Duration::ZERO);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.unwrap(), json!({"a": 1}));
        assert_eq!(missed.unwrap_err().to_string(), "it was not ready after 0 s");
    }
}
