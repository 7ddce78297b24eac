//! The beginning of a connection: the TLS handshake if there is one, and the choice between HTTP/1.1 and HTTP/2.
//!
//! The first bytes are looked at before anything is decided, so that a client that speaks the wrong protocol gets an answer
//! that says so.

use oauth::Thumbprint;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::Core;
use crate::http::connections::linger;
use crate::http::connections::register::{Connection, Phase};
use crate::http::connections::socket::Socket;
use crate::http::failure;
use crate::tls::{ClientCertificate, Tls};

/// The first byte of a TLS connection: a record with a handshake message.
const TLS_HANDSHAKE: u8 = 0x16;
/// How a connection of HTTP/2 begins.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// A connection over which requests can come.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) socket: Socket,
    pub(super) protocol: Protocol,
    /// The certificate that the client showed.
    pub(super) certificate: Option<ClientCertificate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Opens a connection. Returns `None` if it ended; the client knows why.
pub(super) async fn open(core: &Core, socket: TcpStream, tls: Option<&Tls>, connection: &Connection) -> Option<Opened> {
    if tls.is_some() {
        connection.enter(Phase::Handshake);
    }
    let mut first = [0; HTTP2_PREFACE.len()];
    // An error, or nothing at all, means that the client has left.
    let first = socket.peek(&mut first).await.ok().and_then(|bytes| first.get(..bytes)).unwrap_or_default();
    let &byte = first.first()?;
    match tls {
        Some(_) if byte != TLS_HANDSHAKE => {
            refuse(core, socket, "plain_http_on_tls_port", first, "found plain HTTP, expected TLS: use https://").await;
            None
        }
        Some(tls) => {
            let opened = shake_hands(core, socket, tls).await;
            connection.enter(Phase::Idle);
            opened
        }
        None if byte == TLS_HANDSHAKE => {
            let detail = "found the beginning of TLS, expected plain HTTP: this server has no certificate";
            refuse(core, socket, "tls_on_plain_port", b"GET", detail).await;
            None
        }
        None => {
            let protocol = if first == HTTP2_PREFACE { Protocol::Http2 } else { Protocol::Http1 };
            Some(Opened { socket: Socket::Plain(socket), protocol, certificate: None })
        }
    }
}

async fn shake_hands(core: &Core, socket: TcpStream, tls: &Tls) -> Option<Opened> {
    let metrics = &core.shared().metrics;
    let socket = match TlsAcceptor::from(tls.config()).accept(socket).into_fallible().await {
        Ok(socket) => socket,
        Err((error, socket)) => {
            // The library has told the client why. Its texts name no content of certificates.
            metrics.count_connection_ended("handshake_failed");
            tracing::debug!(%error, "a TLS handshake failed");
            linger(socket).await;
            return None;
        }
    };
    metrics.tls_handshakes.inc();
    let (_, session) = socket.get_ref();
    let protocol = if session.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.map(|der| ClientCertificate { thumbprint: Thumbprint::of(der) });
    Some(Opened { socket: Socket::Tls(Box::new(socket)), protocol, certificate })
}

/// Ends a connection that began with another protocol. Only a client that seems to speak HTTP gets a text.
async fn refuse(core: &Core, mut socket: TcpStream, reason: &'static str, first: &[u8], detail: &str) {
    core.shared().metrics.count_connection_ended(reason);
    let is_http = first.iter().take(3).all(u8::is_ascii_uppercase);
    // An error means that the client is gone.
    if is_http && socket.write_all(&failure::wrong_protocol(detail)).await.is_ok() {
        linger(socket).await;
    }
}
