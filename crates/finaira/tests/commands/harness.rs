//! Runs the real binary and talks to it over a real socket.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A server process, which is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    /// `http://127.0.0.1:<port>`, or with `https://`.
    pub(crate) address: String,
    /// The API key, if this start generated one.
    pub(crate) key: Option<String>,
    log: Arc<Mutex<Vec<u8>>>,
    /// Reads the log until the process ends.
    reader: Option<std::thread::JoinHandle<()>>,
}

/// Talks to a server. Clones are cheap.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    address: String,
    pub(crate) key: String,
}

/// A response.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) replayed: bool,
    pub(crate) retry_after: Option<String>,
    pub(crate) tag: Option<String>,
    /// The nonce for the next DPoP proof.
    pub(crate) nonce: Option<String>,
}

impl Reply {
    /// The stable code of an error.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("(no code)")
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or("(absent)")
    }
}

impl Server {
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    pub(crate) fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::start_in(data, arguments, &[])
    }

    /// As [`Server::start_with`], with additional environment variables.
    pub(crate) fn start_in(data: &Path, arguments: &[&str], environment: &[(&str, &Path)]) -> Self {
        let mut command = command(data, arguments);
        Self::spawn(command.envs(environment.iter().copied()))
    }

    /// As [`Server::start_with`], with at most `descriptors` open files.
    pub(crate) fn start_with_descriptors(data: &Path, descriptors: u32) -> Self {
        let serve = command(data, &[]);
        let mut limited = Command::new("sh");
        limited.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""));
        limited.arg(serve.get_program()).args(serve.get_args());
        Self::spawn(limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// Starts a server with exactly these arguments and variables of the environment.
    pub(crate) fn start_as(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
        command.arg("serve").args(arguments).envs(environment.iter().copied());
        Self::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        let (mut key, mut address) = (None, None);
        while address.is_none() {
            let Some(Ok(line)) = lines.next() else {
                let mut errors = String::new();
                if let Some(mut stderr) = child.stderr.take() {
                    stderr.read_to_string(&mut errors).expect("standard error is text");
                }
                panic!("the server ended before it listened: {errors}");
            };
            if let Some((_, found)) = line.split_once(" (shown once, keep it): ") {
                key = Some(found.to_owned());
            }
            if let Some(found) = line.strip_prefix("Listening on ") {
                address = Some(found.to_owned());
            }
        }
        // The log must be read, because a full pipe would block the server.
        let mut stderr = BufReader::new(child.stderr.take().expect("standard error is piped"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            let mut line = Vec::new();
            while stderr.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                shared.lock().expect("no thread panics while it has the lock").append(&mut line);
            }
        });
        Self { child, address: address.unwrap_or_default(), key, log, reader: Some(reader) }
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().expect("no thread panics while it has the lock")).into_owned()
    }

    /// Waits until the log contains `text`.
    #[track_caller]
    pub(crate) fn logs(&self, text: &str) {
        eventually_within(Duration::from_secs(60), || self.log().contains(text).then_some(()));
    }

    /// Returns the output of a start that is expected to fail.
    pub(crate) fn failing_start(data: &Path) -> (ExitStatus, String) {
        Self::failing_start_with(data, &[])
    }

    pub(crate) fn failing_start_with(data: &Path, arguments: &[&str]) -> (ExitStatus, String) {
        Self::failing_start_in(data, arguments, &[])
    }

    pub(crate) fn failing_start_in(
        data: &Path,
        arguments: &[&str],
        environment: &[(&str, &Path)],
    ) -> (ExitStatus, String) {
        let mut command = command(data, arguments);
        let output = command.envs(environment.iter().copied()).output().expect("the binary runs");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub(crate) fn client(&self, key: &str) -> Client {
        self.client_over(key, ureq::tls::TlsConfig::default())
    }

    /// A client that trusts, and shows, these certificates.
    pub(crate) fn client_over(&self, key: &str, tls: ureq::tls::TlsConfig) -> Client {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .tls_config(tls)
            .build();
        Client { agent: config.into(), address: self.address.clone(), key: key.to_owned() }
    }

    /// The id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL, which simulates a crash.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process ends");
    }

    /// Waits until the server ends by itself. Returns its exit status and its whole log.
    pub(crate) fn wait_with_log(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("the process ends");
        let reader = self.reader.take().expect("the log is read only once");
        reader.join().expect("the log is read to its end");
        (status, self.log())
    }

    /// Sends SIGTERM and returns the exit status.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().expect("the process ends")
    }

    /// Sends a signal, named without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// The address and port.
    pub(crate) fn socket_address(&self) -> &str {
        self.address.split_once("://").map_or("", |(_, address)| address)
    }

    /// Opens a connection and sends bytes over it.
    pub(crate) fn connect(&self, sent: &[u8]) -> std::net::TcpStream {
        let mut socket = std::net::TcpStream::connect(self.socket_address()).expect("the server accepts");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        socket.write_all(sent).expect("the bytes are sent");
        socket
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Killing fails if the server has already ended, which is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a command to its end. Returns whether it succeeded, and its whole output.
pub(crate) fn finaira(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_finaira")).args(arguments).output().expect("the binary runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
    command.arg("serve").arg("--data").arg(data).args(["--segment-bytes", "1048576"]);
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Client {
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.try_get(path).expect("the server answers")
    }

    pub(crate) fn try_get(&self, path: &str) -> Option<Reply> {
        let request = self.agent.get(format!("{}{path}", self.address));
        read(request.header("Authorization", format!("Bearer {}", self.key)).call())
    }

    /// Returns a body that is not text.
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        let request = self.agent.get(format!("{}{path}", self.address));
        let response = request.header("Authorization", format!("Bearer {}", self.key)).call();
        let mut response = response.expect("the server answers");
        assert_eq!(response.status(), 200, "{path}");
        response.body_mut().read_to_vec().expect("a body")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.try_post(path, body).expect("the server answers")
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Reply {
        let request = self.agent.put(format!("{}{path}", self.address));
        let request = request.header("Authorization", format!("Bearer {}", self.key));
        let request = request.header("Content-Type", "application/json");
        read(request.send(serde_json::to_vec(body).expect("JSON"))).expect("the server answers")
    }

    /// Returns `None` if the connection broke. Nobody knows then whether the request took effect.
    pub(crate) fn try_post(&self, path: &str, body: &Value) -> Option<Reply> {
        self.try_send(path, &[("Content-Type", "application/json")], &serde_json::to_vec(body).expect("JSON"))
    }

    /// Applies a verb to a payment.
    pub(crate) fn verb(&self, payment: &str, verb: &str, key: &str) -> Reply {
        let path = format!("/v1/payments/{payment}/{verb}");
        self.try_send(&path, &[("Idempotency-Key", key)], b"").expect("the server answers")
    }

    /// Applies a verb to a part of a payment.
    pub(crate) fn part(&self, payment: u128, verb: &str, key: &str, portion: &Value) -> Reply {
        let path = format!("/v1/payments/{payment}/{verb}");
        let headers = [("Idempotency-Key", key), ("Content-Type", "application/json")];
        self.send(&path, &headers, &serde_json::to_vec(portion).expect("JSON"))
    }

    pub(crate) fn send(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.try_send(path, headers, body).expect("the server answers")
    }

    pub(crate) fn try_send(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Reply> {
        let mut request = self.agent.post(format!("{}{path}", self.address));
        if !headers.iter().any(|(name, _)| *name == "Authorization") {
            request = request.header("Authorization", format!("Bearer {}", self.key));
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        read(request.send(body))
    }

    /// Sends packed records and returns the resulting records.
    pub(crate) fn packed(&self, path: &str, body: &[u8]) -> Vec<u8> {
        self.try_packed(path, body).expect("the server answers")
    }

    /// As [`Client::packed`], but returns `None` if the connection broke. Tries again while the queue is full.
    pub(crate) fn try_packed(&self, path: &str, body: &[u8]) -> Option<Vec<u8>> {
        let send = || {
            let request = self.agent.post(format!("{}{path}", self.address));
            let request = request.header("Authorization", format!("Bearer {}", self.key));
            request.content_type("application/vnd.finaira.packed").send(body).ok()
        };
        let mut response =
            eventually(|| send().map_or(Some(None), |sent| (sent.status() != 503).then_some(Some(sent))))?;
        let body = response.body_mut().read_to_vec().ok()?;
        assert_eq!(response.status(), 200, "{}", String::from_utf8_lossy(&body));
        assert_eq!(response.headers()["Content-Type"], "application/vnd.finaira.packed");
        Some(body)
    }

    /// Sends packed records once. Returns the status and the body, or `None` if the connection broke.
    pub(crate) fn packed_once(&self, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let request = self.agent.post(format!("{}{path}", self.address));
        let request = request.header("Authorization", format!("Bearer {}", self.key));
        let mut response = request.content_type("application/vnd.finaira.packed").send(body).ok()?;
        Some((response.status().as_u16(), response.body_mut().read_to_vec().ok()?))
    }

    /// Activates a policy, given as the text of its `policy.toml`.
    pub(crate) fn activate(&self, policy: &str) -> Reply {
        self.send("/v1/policies", &[("Content-Type", "application/x-tar")], &archive(policy))
    }

    /// Makes a payment whose id is a number.
    pub(crate) fn pay(&self, id: u128, payment_type: &str, amount: u64, attributes: &Value) -> Reply {
        self.post("/v1/payments", &payment(id, payment_type, amount, attributes))
    }

    /// Returns the posted and the reserved balance of a customer's wallet, in minor units.
    pub(crate) fn wallet(&self, customer: &str) -> (u128, u128) {
        let reply = self.get(&format!("/v1/accounts?template=wallet&holder={customer}"));
        assert_eq!(reply.status, 200, "{reply:?}");
        let account = &reply.body["items"][0];
        let number = |field: &str| account[field].as_str().map_or(0, |text| text.parse::<u128>().expect("a number"));
        (number("credits_posted") - number("debits_posted"), number("debits_pending"))
    }
}

/// Packs a policy, given as the text of its `policy.toml`.
pub(crate) fn archive(policy: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(policy.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "policy.toml", policy.as_bytes()).expect("writing to memory succeeds");
    archive.into_inner().expect("writing to memory succeeds")
}

/// Builds the body of a payment in EUR/2.
pub(crate) fn payment(id: u128, payment_type: &str, amount: u64, attributes: &Value) -> Value {
    json!({
        "id": id.to_string(),
        "type": payment_type,
        "amount": amount.to_string(),
        "asset": "EUR/2",
        "attributes": attributes,
    })
}

fn read(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Option<Reply> {
    let mut response = result.ok()?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (replayed, retry_after) = (header("Idempotent-Replayed").is_some(), header("Retry-After"));
    let (tag, nonce) = (header("ETag"), header("DPoP-Nonce"));
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().ok()?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Some(Reply { status, body, replayed, retry_after, tag, nonce })
}

/// Creates a data directory, a server on it, and a client with the API key that the server printed.
pub(crate) fn first_start(arguments: &[&str]) -> (tempfile::TempDir, Server, Client) {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(data.path(), arguments);
    let client = server.client(server.key.as_deref().expect("the first start prints an API key"));
    (data, server, client)
}

/// Calls `attempt` until it returns a value, for at most ten seconds.
#[track_caller]
pub(crate) fn eventually<T>(attempt: impl FnMut() -> Option<T>) -> T {
    eventually_within(Duration::from_secs(10), attempt)
}

/// Calls `attempt` until it returns a value, for at most `most`.
#[expect(clippy::disallowed_methods, reason = "waiting for another process")]
#[track_caller]
pub(crate) fn eventually_within<T>(most: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(start.elapsed() < most, "it did not happen within {most:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
