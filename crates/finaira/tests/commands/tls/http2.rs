//! HTTP/2: by ALPN over TLS and with prior knowledge on a plain port, with many requests at once, within bounds, and while the
//! server stops.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use h2::client::SendRequest;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version;
use ureq::http::{Request, Response};

use super::authority::Authority;
use crate::guard::{prepare, received};
use crate::harness::{Client, Server, eventually};

type Bytes = bytes::Bytes;

/// A connection of HTTP/2 whose task runs in the background.
async fn connect(
    server: &Server,
    authority: Option<&Authority>,
) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let socket = TcpStream::connect(server.socket_address()).await.expect("the server accepts");
    match authority {
        Some(authority) => {
            let config = authority.config(&[&version::TLS13], &["h2"], None);
            let name = ServerName::try_from("localhost").expect("a name");
            let socket = TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("TLS");
            assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            shake_hands(socket).await
        }
        None => shake_hands(socket).await,
    }
}

async fn shake_hands(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    // Until a client knows the server's limit, it sends at most 100 requests (RFC 9113, section 6.5.2); this library would send any
    // number.
    let shaken = h2::client::Builder::new().initial_max_send_streams(100).handshake(socket).await;
    let (sender, connection) = shaken.expect("HTTP/2");
    (sender, tokio::spawn(connection))
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("https://localhost{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

/// Sends a request, and returns its status and its body.
async fn send(sender: &SendRequest<Bytes>, request: Request<()>, body: &[u8]) -> Result<(u16, Vec<u8>), h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let (answer, mut sending) = sender.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        sending.send_data(Bytes::copy_from_slice(body), true)?;
    }
    let answer: Response<h2::RecvStream> = answer.await?;
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    let mut received = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        received.extend_from_slice(&piece);
    }
    Ok((status, received))
}

fn transfer(key: &str, id: u32) -> (Request<()>, Vec<u8>) {
    let body = json!({"id": id.to_string(), "debit_account": "1", "credit_account": "2", "amount": "1", "asset": "EUR/2", "code": 1});
    let (authorization, body) = (format!("Bearer {key}"), body.to_string().into_bytes());
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    (request("POST", "/v1/transfers", &headers), body)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Many requests at once on one connection, more than the server takes at a time.
fn many_at_once(server: &Server, authority: Option<&Authority>, client: &Client, key: &str) {
    runtime().block_on(async {
        let (sender, _connection) = connect(server, authority).await;
        let requests: Vec<_> = (10..510)
            .map(|id| {
                let (sender, (request, body)) = (sender.clone(), transfer(key, id));
                tokio::spawn(async move { send(&sender, request, &body).await })
            })
            .collect();
        for request in requests {
            let (status, body) = request.await.expect("no panic").expect("an answer");
            assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
        }
        let (status, body) = send(&sender, request("GET", "/v1/ledgers", &[]), b"").await.expect("an answer");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((status, body["code"].as_str()), (401, Some("missing_api_key")));
        let (status, body) = send(&sender, request("GET", "/openapi.json", &[]), b"").await.expect("an answer");
        assert!(status == 200 && body.len() > 100_000, "{status}, {} bytes", body.len());
    });
    assert_eq!(received(client), 500);
}

#[test]
fn many_requests_share_a_connection_with_tls_and_without() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, key) = prepare(Server::start(data.path()));
    many_at_once(&server, None, &client, &key);
    assert!(server.stop().success());

    let authority = Authority::new();
    authority.install(&authority.issue());
    let data = tempfile::tempdir().expect("a directory");
    let server = authority.start(data.path(), &[]);
    let key = server.key.clone().expect("the first start prints an API key");
    let client = server.client_over(&key, authority.trust(None));
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);
    for id in 1..=2 {
        assert_eq!(client.post("/v1/accounts", &json!({"id": id.to_string(), "ledger": 1, "code": 1})).status, 201);
    }
    many_at_once(&server, Some(&authority), &client, &key);
    assert!(server.stop().success());
}

#[test]
fn heads_are_checked_as_with_the_older_version() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    runtime().block_on(async {
        let (sender, _connection) = connect(&server, None).await;
        for (headers, status) in [
            (vec![("host", "localhost")], 200),
            (vec![("host", "other")], 400),
            (vec![("host", "localhost"), ("host", "localhost")], 400),
        ] {
            let sent = send(&sender, request("GET", "/healthz", &headers), b"").await;
            assert_eq!(sent.map(|(status, _)| status).ok(), Some(status), "{headers:?}");
        }
        // Too large a head costs the client this request, and not the connection.
        let long = "x".repeat(100_000);
        let sent = send(&sender, request("GET", "/healthz", &[("x-a", &long)]), b"").await;
        assert_eq!(sent.map(|(status, _)| status).ok(), Some(431));
        let sent = send(&sender, request("GET", "/healthz", &[]), b"").await.expect("an answer");
        assert_eq!(sent, (200, b"ok\n".to_vec()));
    });
    assert!(server.stop().success());
}

/// A frame: length, type, flags, stream, content.
fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// CVE-2023-44487: requests that are cancelled as soon as they are sent. All of them are in one piece, so that the server cannot have
/// looked at the first ones when the last ones arrive.
#[test]
fn a_flood_of_cancelled_requests_ends_its_connection_and_no_other() {
    const GOAWAY: u8 = 7;
    const ENHANCE_YOUR_CALM: u8 = 11;
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let mut flood = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, b"")].concat();
    for stream in (1..200).step_by(2) {
        // GET https / and the authority `x`, then RST_STREAM with CANCEL.
        flood.extend(frame(1, 5, stream, b"\x82\x87\x84\x01\x01x"));
        flood.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut answer = Vec::new();
    // The server may close before it has read everything.
    drop(server.connect(&flood).read_to_end(&mut answer));
    let mut rest = answer.as_slice();
    let mut last = None;
    while let Some((head, content)) = rest.split_first_chunk::<9>() {
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        last = Some((head[3], content[..length].to_vec()));
        rest = &content[length..];
    }
    let (kind, content) = last.expect("frames");
    assert_eq!((kind, content.get(4..8)), (GOAWAY, Some(&[0, 0, 0, ENHANCE_YOUR_CALM][..])), "{content:?}");
    assert_eq!(server.client("").get("/healthz").status, 200);
    assert!(server.stop().success());
}

#[test]
fn a_stop_tells_clients_to_leave_and_finishes_their_requests() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, _client, key) = prepare(Server::start(data.path()));
    runtime().block_on(async {
        // The second connection is idle, and of a known client.
        let (busy, busy_connection) = connect(&server, None).await;
        let (idle, idle_connection) = connect(&server, None).await;
        let (first, body) = transfer(&key, 10);
        assert_eq!(send(&idle, first, &body).await.expect("an answer").0, 201);
        let (last, body) = transfer(&key, 11);
        let mut ready = busy.clone().ready().await.expect("ready");
        let (answer, mut sending) = ready.send_request(last, false).expect("it is sent");
        sending.send_data(Bytes::copy_from_slice(&body[..5]), false).expect("it is sent");
        // The server has seen the head once it has counted a request of the same connection.
        assert_eq!(send(&busy, request("GET", "/healthz", &[]), b"").await.expect("an answer").0, 200);
        server.signal("TERM");
        eventually(|| idle_connection.is_finished().then_some(()));
        idle_connection.await.expect("no panic").expect("it ended in an orderly way");
        sending.send_data(Bytes::copy_from_slice(&body[5..]), true).expect("the request goes on");
        assert_eq!(answer.await.expect("an answer").status().as_u16(), 201);
        drop((ready, busy));
        tokio::time::timeout(Duration::from_secs(10), busy_connection)
            .await
            .expect("it ends")
            .expect("no panic")
            .expect("in an orderly way");
    });
    let (status, log) = server.wait_with_log();
    assert!(status.success(), "{log}");
}
