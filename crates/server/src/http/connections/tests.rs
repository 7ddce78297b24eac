//! Connections that wait for too long, over real sockets.

use std::io::{Read as _, Write as _};

use super::*;
use crate::tls::{ClientAuth, TlsFiles};
use crate::{Opened, Options};

/// Short enough for a test; the sweep comes once a second.
const HASTE: Patience = Patience {
    handshake: Duration::from_millis(100),
    head: Duration::from_millis(100),
    idle: Duration::from_millis(100),
    write: Duration::from_millis(100),
    half_closed: Duration::from_secs(60),
};

/// What a client receives until the connection ends, within five seconds.
fn rest(mut socket: &std::net::TcpStream) -> String {
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut received = Vec::new();
    match socket.read_to_end(&mut received) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection is still open: {error}"),
    }
    String::from_utf8(received).unwrap()
}

/// A server with short patience.
struct Served {
    core: Core,
    address: std::net::SocketAddr,
    opened: Opened,
    server: tokio::task::JoinHandle<()>,
    stop: tokio::sync::oneshot::Sender<()>,
    _data: tempfile::TempDir,
}

impl Served {
    async fn start(tls: Option<Arc<Tls>>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let options = Options { disk_reserve_bytes: 0, ..Options::new(data.path()) };
        let opened = Opened::open(&options).unwrap();
        let core = opened.core.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounds = Bounds { connections_max: 100, patience: HASTE };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = opened.host();
        let server = tokio::spawn(async move {
            serve(&serving, (listener, tls), bounds, async { drop(stopped.await) }).await;
        });
        Self { core, address, opened, server, stop, _data: data }
    }

    /// How many connections ended for a reason.
    fn ended(&self, reason: &str) -> u32 {
        let name = format!("finaira_connections_ended_total{{reason=\"{reason}\"}} ");
        let text = self.core.metrics_text();
        text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
    }

    /// Waits until a connection has ended for a reason.
    async fn ends(&self, reason: &str) {
        let ended = async {
            while self.ended(reason) == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(10), ended).await;
        assert!(within.is_ok(), "no connection ended with {reason}: {}", self.core.metrics_text());
    }

    async fn stop(self) {
        drop((self.stop, self.core));
        self.server.await.unwrap();
        self.opened.close().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_wait_for_too_long_are_closed_and_the_others_are_not() {
    let served = Served::start(None).await;
    let address = served.address;
    let clients = tokio::task::spawn_blocking(move || {
        let connect = |sent: &str| {
            let mut socket = std::net::TcpStream::connect(address).unwrap();
            socket.write_all(sent.as_bytes()).unwrap();
            socket
        };
        let request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        let silent = connect("");
        let half_a_head = connect("GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ");
        let answered = connect(request);
        // It asks for more than all buffers on the way can hold, and reads nothing.
        let greedy = connect("");
        let all = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
        let mut asking = greedy.try_clone().unwrap();
        let sender = std::thread::spawn(move || drop(asking.write_all(all.as_bytes())));
        assert_eq!(rest(&silent), "");
        assert_eq!(rest(&half_a_head), "");
        let answer = rest(&answered);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
        sender.join().unwrap();
        greedy
    });
    let greedy = clients.await.unwrap();
    let ended = ["idle_timeout", "head_timeout", "write_timeout"].map(|reason| served.ended(reason));
    assert_eq!(ended, [2, 1, 1], "{}", served.core.metrics_text());
    drop(greedy);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_is_ended_with_tls_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let [certificate_file, key_file] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&certificate_file, certificate.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let files = TlsFiles { certificate: certificate_file, key: key_file, clients: ClientAuth::Off };
    let served = Served::start(Some(Tls::load(files).unwrap())).await;
    let address = served.address;
    let greedy = tokio::task::spawn_blocking(move || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
        let config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
        let client = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut stream = rustls::StreamOwned::new(client, std::net::TcpStream::connect(address).unwrap());
        stream.sock.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        // The server ends the connection before it has read everything.
        drop(stream.write_all("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000).as_bytes()));
        stream
    });
    served.ends("write_timeout").await;
    drop(greedy.await.unwrap());
    served.stop().await;
}

/// A client of HTTP/2 has a second way to take nothing: it never opens the window of its request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_opens_its_window_is_ended() {
    let served = Served::start(None).await;
    let mut socket = TcpStream::connect(served.address).await.unwrap();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS with an INITIAL_WINDOW_SIZE of 0, then GET http /healthz of the authority `x`.
    sent.extend(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00");
    let head = b"\x82\x86\x04\x08/healthz\x01\x01x";
    sent.extend([0, 0, u8::try_from(head.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
    sent.extend(head);
    socket.write_all(&sent).await.unwrap();
    served.ends("write_timeout").await;
    assert_eq!(served.ended("idle_timeout"), 0, "the request was in progress");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_needs_is_read_or_the_answer_says_that_the_connection_ends() {
    let served = Served::start(None).await;
    let head = |length: usize, more: &str| {
        format!("POST /v1/ledgers HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{more}\r\n")
    };
    let open = || {
        let socket = std::net::TcpStream::connect(served.address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    };

    // Two requests without a credential; the body of the first one comes a little later than its head.
    let mut socket = open();
    socket.write_all(head(2, "").as_bytes()).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    socket.write_all(b"{}").unwrap();
    socket.write_all(format!("{}{{}}", head(2, "Connection: close\r\n")).as_bytes()).unwrap();
    let answers = rest(&socket);
    assert_eq!(answers.matches("HTTP/1.1 401").count(), 2, "{answers}");
    assert_eq!(answers.to_ascii_lowercase().matches("connection: close").count(), 1, "{answers}");

    // Bodies that do not come, are too long, or wait for a permission.
    for (request, what) in [
        (head(2, ""), "no body"),
        (format!("{}{}", head(900_000, ""), "x".repeat(400_000)), "a long body"),
        (head(2, "Expect: 100-continue\r\n"), "a body that waits"),
    ] {
        let mut socket = open();
        socket.write_all(request.as_bytes()).unwrap();
        let answer = rest(&socket);
        assert!(answer.starts_with("HTTP/1.1 401"), "{what}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{what}: {answer}");
    }
    served.stop().await;
}
