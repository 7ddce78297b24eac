//! HTTP as clients send it, over real sockets: complete and broken messages, half-closed and idle connections, too many of
//! them, and connections that are open while the server stops.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::guard::{Sent, prepare, received, send, start};
use crate::harness::{Server, eventually};

/// What the server sends until it closes the connection.
fn rest(mut socket: &TcpStream) -> String {
    let mut received = Vec::new();
    match socket.read_to_end(&mut received) {
        Ok(_) => {}
        // The server may close before it has read everything.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection stays open: {error}, received {:?}", String::from_utf8_lossy(&received)),
    }
    String::from_utf8(received).expect("text")
}

/// The status and the code of the only answer on a connection that closes after it.
#[track_caller]
fn refused(server: &Server, sent: &[u8]) -> (u16, String) {
    let answer = rest(&server.connect(sent));
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole answer: {answer:?}"));
    assert!(head.contains("content-type: application/problem+json"), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert_eq!(Some(body["status"].as_u64()), Some(status.map(u64::from)), "{answer}");
    (status.unwrap_or_default(), body["code"].as_str().unwrap_or_default().to_owned())
}

fn transfer(key: &str, id: u32, end: &str) -> String {
    let body = json!({"id": id.to_string(), "debit_account": "1", "credit_account": "2", "amount": "1", "asset": "EUR/2", "code": 1});
    let body = body.to_string();
    format!(
        "POST /v1/transfers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{end}\r\n{body}",
        body.len()
    )
}

#[test]
fn messages_that_http_does_not_allow_get_a_problem_and_the_connection_closes() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, ..) = start(data.path(), &[]);
    let long = "x".repeat(200_000);
    for (sent, status, code) in [
        ("GET /healthz HTTP/1.1\r\n\r\n".to_owned(), 400, "invalid_header"),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(), 400, "invalid_header"),
        ("GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), 400, "invalid_header"),
        ("nonsense\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n".to_owned(), 400, "malformed_request"),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 431, "head_too_large"),
        (format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: {long}\r\n\r\n"), 431, "head_too_large"),
        (format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-A: b\r\n".repeat(101)), 431, "head_too_large"),
        (
            "POST /v1/transfers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(),
            501,
            "unsupported_transfer_coding",
        ),
    ] {
        let shown = sent.get(..40).unwrap_or(&sent).to_owned();
        assert_eq!(refused(&server, sent.as_bytes()), (status, code.to_owned()), "{shown}");
    }
    // A path that the buffer may still hold.
    let path = refused(&server, format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(65_600)).as_bytes());
    assert!(path.0 == 414 && path.1 == "uri_too_long" || path.0 == 431, "{path:?}");
    // A request of HTTP/1.0 needs no host.
    let answer = rest(&server.connect(b"GET /healthz HTTP/1.0\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.0 200 OK") && answer.ends_with("ok\n"), "{answer}");
    assert!(server.stop().success());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the time until the answer is what is tested")]
fn a_form_that_does_not_arrive_is_given_up_soon_and_counts_for_its_address() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, ..) = start(data.path(), &["--failed-requests-per-second", "1"]);
    let form = b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\n";
    let since = Instant::now();
    let open: Vec<_> = (0..40).map(|_| server.connect(form)).collect();
    let answers: Vec<_> = open.iter().map(rest).collect();
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    assert!(answers.iter().any(|answer| answer.starts_with("HTTP/1.1 408")), "{answers:?}");
    assert!(rest(&server.connect(form)).starts_with("HTTP/1.1 429"), "the address is known for it");
    assert!(server.stop().success());
}

#[test]
fn a_client_that_closes_its_sending_side_gets_its_answer() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, key) = start(data.path(), &[]);
    for id in 10..30 {
        let socket = server.connect(transfer(&key, id, "").as_bytes());
        socket.shutdown(Shutdown::Write).expect("the sending side closes");
        let answer = rest(&socket);
        assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer:?}");
    }
    assert_eq!(received(&client), 20);
    // A body that never arrives in full has no effect.
    let whole = transfer(&key, 40, "");
    let socket = server.connect(&whole.as_bytes()[..whole.len() - 1]);
    socket.shutdown(Shutdown::Write).expect("the sending side closes");
    drop(rest(&socket));
    assert_eq!(received(&client), 20);
    assert!(server.stop().success());
}

#[test]
fn paths_are_decoded_and_bodies_are_utf_8() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, _) = start(data.path(), &[]);
    let account = json!({"id": "3", "ledger": 1, "code": 1, "address": "customers:c42:wallet"});
    assert_eq!(client.post("/v1/accounts", &account).status, 201);
    for path in ["customers:c42:wallet", "customers%3Ac42%3Awallet", "customers%3ac42:wallet", "3", "%33"] {
        let found = client.get(&format!("/v1/accounts/{path}"));
        let id = "00000000-0000-0000-0000-000000000003";
        assert_eq!((found.status, found.text("id")), (200, id), "{path}");
        let balances = client.get(&format!("/v1/accounts/{path}/transfers"));
        assert_eq!(balances.status, 200, "{path}: {balances:?}");
    }
    for path in ["%3", "%zz", "%ff", "customers+c42", "a%2Fb", "%00"] {
        let found = client.get(&format!("/v1/accounts/{path}"));
        assert_eq!((found.status, found.code()), (400, "invalid_parameter"), "{path}: {found:?}");
    }
    let typed =
        |media_type: &str| client.send("/v1/ledgers", &[("Content-Type", media_type)], br#"{"id":1,"asset":"EUR/2"}"#);
    for accepted in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\""] {
        assert_eq!(typed(accepted).status, 200, "{accepted}");
    }
    for refused in ["application/json; charset=iso-8859-1", "text/json", "application/json;charset=utf-16"] {
        let reply = typed(refused);
        assert_eq!((reply.status, reply.code()), (415, "unsupported_media_type"), "{refused}: {reply:?}");
    }
    assert!(server.stop().success());
}

#[test]
fn connections_without_a_key_cannot_use_up_the_descriptors() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, client, _) = prepare(Server::start_with_descriptors(data.path(), 128));
    let mut idle: Vec<TcpStream> = Vec::new();
    let mut next = 1_000;
    // Several segments, while ever more clients connect and send nothing, half a head, or one request.
    for _ in 0..12 {
        for kind in 0..40 {
            let sent: &[u8] = match kind % 3 {
                0 => b"",
                1 => b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-",
                _ => b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            };
            idle.push(server.connect(sent));
        }
        assert!(matches!(send(&client, next), Some(Sent::Taken)), "after {} connections", idle.len());
        next += crate::guard::AT_ONCE;
    }
    assert_eq!(received(&client), next - 1_000);
    let segments = std::fs::read_dir(data.path().join("journal")).expect("the journal").count();
    assert!(segments > 5, "{segments} files: the journal began new segments meanwhile");
    let metrics = client.get("/metrics").body.as_str().unwrap_or_default().to_owned();
    let metric = |name: &str| {
        let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        found.unwrap_or_else(|| panic!("{name} is missing in {metrics}"))
    };
    assert!(metric("finaira_connections_ended_total{reason=\"evicted\"}") > 350.0, "{metrics}");
    assert!(metric("finaira_connections ") <= metric("finaira_connections_max "), "{metrics}");
    assert!((metric("process_max_fds ") - 128.0).abs() < 0.5);
    assert!(server.stop().success());
}

#[test]
fn a_stop_waits_for_requests_and_not_for_idle_connections() {
    for signal in ["TERM", "HUP"] {
        let data = tempfile::tempdir().expect("a directory");
        let (server, client, key) = start(data.path(), &[]);
        let silent = server.connect(b"");
        let half_a_head = server.connect(b"GET /healthz HTTP/1.1\r\nX-A: ");
        // A known client on a connection that stays open. Its next request arrives during the stop.
        let mut kept = server.connect(transfer(&key, 10, "").as_bytes());
        let mut answer = [0; 4096];
        let bytes = kept.read(&mut answer).expect("an answer");
        let first = String::from_utf8_lossy(&answer[..bytes]).into_owned();
        assert!(first.starts_with("HTTP/1.1 201") && !first.contains("connection: close"), "{first}");
        assert_eq!(received(&client), 1);
        server.signal(signal);
        let ready = eventually(|| {
            client.try_get("/readyz").map_or(Some(None), |ready| (ready.status != 200).then_some(Some(ready)))
        });
        if let Some(ready) = ready {
            assert_eq!((ready.status, ready.code()), (503, "not_ready"), "{ready:?}");
        }
        #[expect(clippy::disallowed_methods, reason = "the test measures how long a stop takes")]
        let since = Instant::now();
        kept.write_all(transfer(&key, 11, "").as_bytes()).expect("the connection is open");
        let last = rest(&kept);
        assert!(last.starts_with("HTTP/1.1 201") && last.contains("connection: close"), "{last:?}");
        assert_eq!((rest(&silent).as_str(), rest(&half_a_head).as_str()), ("", ""));
        let (status, log) = server.wait_with_log();
        assert!(status.success(), "{log}");
        assert!(since.elapsed() < Duration::from_secs(5), "the stop took {:?}", since.elapsed());
        let server = Server::start(data.path());
        assert_eq!(received(&server.client(&key)), 2, "after SIG{signal}");
        assert!(server.stop().success());
    }
}

#[test]
fn localhost_is_an_address_to_listen_on() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(data.path(), &["--listen", "localhost:0"]);
    assert!(server.address.starts_with("http://127.0.0.1:"), "{}", server.address);
    assert_eq!(server.client("").get("/healthz").status, 200);
    let (status, errors) = Server::failing_start_with(data.path(), &["--listen", "7070"]);
    assert!(!status.success() && errors.contains("such as 127.0.0.1:7070"), "{errors}");
    assert!(server.stop().success());
}
