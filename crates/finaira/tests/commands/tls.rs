//! TLS over a real socket: versions, protocols, certificates of clients, reloads, and clients that speak something else.

pub(crate) mod authority;
mod clients;
mod http2;
mod tokens;

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use tokio_rustls::rustls::version;

use crate::harness::{Server, eventually_within};
use authority::{Authority, Connection};

/// The server looks at its files every two seconds, and the machine is busy during tests.
const SOON: Duration = Duration::from_secs(30);

fn metric(server: &Server, authority: &Authority, name: &str) -> f64 {
    let text = server.client_over("", authority.trust(None)).get("/metrics").body;
    let text = text.as_str().unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    found.unwrap_or(0.0)
}

#[test]
fn only_tls_1_3_is_spoken_and_the_client_chooses_the_version_of_http() {
    let authority = Authority::new();
    authority.install(&authority.issue());
    let data = tempfile::tempdir().expect("a directory");
    let server = authority.start(data.path(), &[]);
    assert!(server.address.starts_with("https://127.0.0.1:"), "{}", server.address);
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"][..], Some("h2")),
        (&["http/1.1"][..], Some("http/1.1")),
        (&[][..], None),
    ] {
        let mut connection = authority.connect(&server, offered, None);
        connection.shake_hands().expect("TLS 1.3 is spoken");
        assert_eq!(connection.protocol().as_deref(), chosen, "{offered:?}");
        if chosen != Some("h2") {
            let answer = connection.get("/healthz").expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        }
    }
    let mut old = Connection::open(&server, authority.config(&[&version::TLS12], &[], None));
    let refused = old.shake_hands().expect_err("TLS 1.2 is refused");
    assert!(refused.contains("ProtocolVersion"), "{refused}");
    let mut strange = authority.connect(&server, &["spdy/3"], None);
    let refused = strange.shake_hands().expect_err("no protocol in common");
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    assert!(metric(&server, &authority, "finaira_tls_handshakes_total") >= 4.0);
    assert!(metric(&server, &authority, "finaira_connections_ended_total{reason=\"handshake_failed\"}") >= 2.0);
    let not_after = metric(&server, &authority, "finaira_tls_certificate_not_after_seconds{certificate=\"server\"}");
    assert!(not_after > 4_000_000_000.0, "{not_after}");
    assert!(server.stop().success());
}

#[test]
fn the_wrong_protocol_gets_a_reason() {
    let authority = Authority::new();
    authority.install(&authority.issue());
    let data = tempfile::tempdir().expect("a directory");
    let server = authority.start(data.path(), &[]);
    let rest = |mut socket: std::net::TcpStream| {
        let mut answer = Vec::new();
        // The server may close before it has read everything.
        drop(socket.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    };
    let plain = rest(server.connect(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(plain.starts_with("HTTP/1.1 400") && plain.contains("expected TLS: use https://"), "{plain}");
    assert_eq!(rest(server.connect(b"\x00\x01\x02")), "", "what is no HTTP gets no HTTP");
    let reason = "finaira_connections_ended_total{reason=\"plain_http_on_tls_port\"}";
    assert!((metric(&server, &authority, reason) - 2.0).abs() < 0.5);
    assert!(server.stop().success());

    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let mut connection = authority.connect(&server, &[], None);
    let refused = connection.shake_hands().expect_err("the port speaks plain HTTP");
    assert!(refused.contains("corrupt message"), "{refused}");
    let told = rest(server.connect(b"\x16\x03\x01\x02\x00\x01"));
    assert!(told.starts_with("HTTP/1.1 400") && told.contains("this server has no certificate"), "{told}");
    assert!(server.stop().success());
}

#[test]
fn a_handshake_that_stalls_ends() {
    let authority = Authority::new();
    authority.install(&authority.issue());
    let data = tempfile::tempdir().expect("a directory");
    let server = authority.start(data.path(), &[]);
    #[expect(clippy::disallowed_methods, reason = "the test measures how long the server waits")]
    let since = Instant::now();
    // Nothing, and the beginning of a record that says it is longer.
    for mut socket in [server.connect(b""), server.connect(b"\x16\x03\x01\x02\x00\x01\x00\x01")] {
        let mut answer = Vec::new();
        drop(socket.read_to_end(&mut answer));
    }
    assert!(since.elapsed() < Duration::from_secs(19), "{:?}", since.elapsed());
    let ended = metric(&server, &authority, "finaira_connections_ended_total{reason=\"handshake_timeout\"}");
    assert!((ended - 2.0).abs() < 0.5, "{ended}");
    assert!(server.stop().success());
}

#[test]
fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let [first, second] = [(); 2].map(|()| authority.issue());
    authority.install(&first);
    let data = tempfile::tempdir().expect("a directory");
    let server = authority.start(data.path(), &[]);
    let mut open = authority.connect(&server, &[], None);
    assert!(open.get("/healthz").expect("an answer").contains(" 200 "));
    assert_eq!(open.shown(), first.der());

    authority.install(&second);
    let shown = || {
        let mut new = authority.connect(&server, &[], None);
        new.shake_hands().expect("TLS");
        new.shown()
    };
    eventually_within(SOON, || (shown() == second.der()).then_some(()));
    assert!(open.get("/healthz").expect("an answer").contains(" 200 "), "open connections stay");
    server.logs("loaded the new TLS certificate");

    authority.write("server.key", &first.key);
    server.logs("the new TLS certificate cannot be used; the old one stays");
    assert_eq!(shown(), second.der());
    let failed = metric(&server, &authority, "finaira_tls_reloads_total{result=\"failed\"}");
    assert!((failed - 1.0).abs() < 0.5, "{failed}");
    // SIGHUP still stops the server.
    server.signal("HUP");
    let (status, log) = server.wait_with_log();
    assert!(status.success(), "{log}");

    let (status, errors) = Server::failing_start_with(
        data.path(),
        &["--tls-certificate", &authority.argument("server.pem"), "--tls-key", &authority.argument("server.key")],
    );
    assert!(!status.success() && errors.contains("do not belong together"), "{errors}");
}

#[test]
fn clients_show_certificates_of_the_authority_or_none() {
    let [authority, other] = [(); 2].map(|()| Authority::new());
    authority.install(&authority.issue());
    let (own, foreign) = (authority.issue(), other.issue());
    let ca = authority.argument("ca.pem");
    for (mode, none, right, wrong) in
        [("off", true, true, true), ("optional", true, true, false), ("required", false, true, false)]
    {
        let data = tempfile::tempdir().expect("a directory");
        let arguments: &[&str] = &["--tls-client-auth", mode, "--tls-client-ca", &ca];
        let server = authority.start(data.path(), if mode == "off" { &[] } else { arguments });
        for (shown, is_accepted) in [(None, none), (Some(&own), right), (Some(&foreign), wrong)] {
            let mut connection = authority.connect(&server, &[], shown);
            let answer = connection.get("/healthz");
            let is_answered = answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 OK"));
            assert_eq!(is_answered, is_accepted, "{mode}, {}: {answer:?}", shown.is_some());
        }
        assert!(server.stop().success());
    }
}

#[test]
fn what_does_not_fit_together_is_refused_at_the_start() {
    let authority = Authority::new();
    authority.install(&authority.issue());
    let data = tempfile::tempdir().expect("a directory");
    let [certificate, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| authority.argument(name));
    let pair = ["--tls-certificate", &certificate, "--tls-key", &key];
    for (arguments, told) in [
        (vec!["--tls-certificate", &certificate], "without --tls-key"),
        (vec!["--tls-key", &key], "without --tls-certificate"),
        (vec!["--tls-client-auth", "required"], "need TLS"),
        ([&pair[..], &["--tls-client-auth", "required"]].concat(), "without --tls-client-ca"),
        ([&pair[..], &["--tls-client-ca", &ca]].concat(), "--tls-client-auth optional or required"),
        (vec!["--listen", "0.0.0.0:0"], "--allow-plain-http"),
        (vec!["--listen", "[::]:0"], "--allow-plain-http"),
    ] {
        let (status, errors) = Server::failing_start_with(data.path(), &arguments);
        assert!(!status.success() && errors.contains(told), "{arguments:?}: {errors}");
    }
    assert!(std::fs::read_dir(data.path()).expect("the directory").next().is_none(), "nothing was created");
    for arguments in [
        vec!["--listen", "0.0.0.0:0", "--allow-plain-http"],
        vec!["--listen", "0.0.0.0:0", "--allow-plain-http=on"],
        [&pair[..], &["--listen", "0.0.0.0:0"]].concat(),
    ] {
        assert!(Server::start_with(data.path(), &arguments).stop().success(), "{arguments:?}");
    }
}

#[test]
fn a_request_in_pieces_and_a_large_answer_pass() {
    let authority = Authority::new();
    authority.install(&authority.issue());
    let data = tempfile::tempdir().expect("a directory");
    let server = authority.start(data.path(), &[]);
    let mut connection = authority.connect(&server, &["http/1.1"], None);
    for piece in ["GET /openapi.json HT", "TP/1.1\r\nHost: x\r\nConnec", "tion: close\r\n\r\n"] {
        connection.0.write_all(piece.as_bytes()).expect("it is sent");
        connection.0.flush().expect("it is sent");
    }
    let mut answer = String::new();
    connection.0.read_to_string(&mut answer).expect("the end is announced by TLS");
    assert!(answer.len() > 100_000 && answer.trim_end().ends_with('}'), "{} bytes", answer.len());
    assert!(server.stop().success());
}
