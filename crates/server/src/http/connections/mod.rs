//! Accepts connections, serves HTTP on each, bounds how many there are and how long they wait, and closes them in an
//! orderly way.

mod http2;
mod opening;
mod register;
mod service;
mod socket;
mod stream;

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use edge::admission::Address;
use futures_util::FutureExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::http::connections::opening::{Opened, Protocol, open};
pub(crate) use crate::http::connections::register::Patience;
use crate::http::connections::register::{Connection, Ending, Order, Place, Register};
use crate::http::connections::service::Watched;
use crate::http::connections::stream::Stream;
use crate::http::{self, Host, failure};
use crate::tls::Tls;
use crate::{Core, descriptors};

/// Most bytes that a connection reads at once, and the limit on a request's head. The buffer grows to this size only for
/// clients that send that much. A larger limit is slower, because the allocator requests and returns larger buffers page by
/// page: a batch of 1 MiB took 0.2 ms in pieces of 64 KiB, 0.4 ms in pieces of 128 KiB and 1.2 ms in pieces of 512 KiB.
pub(crate) const READ_BYTES_MAX: usize = 64 << 10;
/// Pause after accepting a connection failed, for example because no file descriptor was free.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Time between two looks for connections that have waited for too long.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// While the server stops: how long known clients may begin another request on an open connection.
const LAST_REQUESTS_WITHIN: Duration = Duration::from_millis(500);
/// While the server stops: how long the requests in progress may take.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How long, and for how many bytes, the server reads on after an answer that came before the end of the request. Closing at
/// once would reset the connection, and the client might never see the answer.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 1 << 20);
/// Most connections that are being told at one time that there are too many.
const REFUSALS_MAX: usize = 32;

/// How many connections there may be, and how long they may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) connections_max: usize,
    pub(crate) patience: Patience,
}

/// Answers requests on every connection until `until` resolves. Then it finishes the requests in progress, and those that known
/// clients send within a moment on connections that are open already.
pub(super) async fn serve(
    host: &Arc<Host>,
    (listener, tls): (TcpListener, Option<Arc<Tls>>),
    bounds: Bounds,
    until: impl Future<Output = ()>,
) {
    let router = http::router(Arc::clone(host));
    let metrics = &host.home().core.shared().metrics;
    let register = Arc::new(Register::new(metrics.connections.clone()));
    let refusals = Arc::new(tokio::sync::Semaphore::new(REFUSALS_MAX));
    metrics.connections_max.set(i64::try_from(bounds.connections_max).unwrap_or(i64::MAX));
    let accept = |accepted: std::io::Result<(TcpStream, SocketAddr)>| match accepted {
        Ok((socket, from)) => {
            if register.len() < bounds.connections_max {
                let serving = one(
                    Arc::clone(host),
                    (socket, tls.clone()),
                    (router.clone(), Address::of(from.ip())),
                    register.enter(),
                );
                tokio::spawn(serving);
            } else if tls.is_some() {
                // To tell the reason would take a handshake, which costs more than the answer to most requests.
                metrics.connections_refused.inc();
            } else if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                metrics.connections_refused.inc();
                tokio::spawn(async move {
                    refuse(socket).await;
                    drop(permit);
                });
            } else {
                metrics.connections_refused.inc();
            }
            true
        }
        Err(error) if is_of_one_connection(error.kind()) => true,
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            if descriptors::are_used_up(&error) {
                register.evict();
            }
            false
        }
    };
    let mut until = pin!(until);
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        let is_accepted = tokio::select! {
            accepted = listener.accept() => accept(accepted),
            _ = sweep.tick() => {
                register.sweep(bounds.patience);
                true
            }
            () = &mut until => break,
        };
        if !is_accepted {
            tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
        }
        // Makes room before the next connection takes a descriptor.
        let is_full = register.len() >= bounds.connections_max;
        if is_full && register.evict() {
            let room = register.at_most(bounds.connections_max.saturating_sub(1));
            // A connection that was told to end does so at once; the bound only makes sure that accepting goes on.
            drop(tokio::time::timeout(ACCEPT_AGAIN_AFTER, room).await);
        }
    }
    // Those whose connections are complete, but not accepted yet. Closing the listener would reset them.
    while let Some(accepted) = listener.accept().now_or_never() {
        if !accept(accepted) {
            break;
        }
    }
    drop(listener);
    stop(&register).await;
}

async fn stop(register: &Register) {
    register.drain();
    if tokio::time::timeout(LAST_REQUESTS_WITHIN, register.at_most(0)).await.is_ok() {
        return;
    }
    register.finish();
    if tokio::time::timeout(STOP_WITHIN, register.at_most(0)).await.is_err() {
        let connections = register.len();
        tracing::warn!(seconds = STOP_WITHIN.as_secs(), connections, "requests were still open at the end");
    }
}

/// Serves one connection to its end.
async fn one(
    host: Arc<Host>,
    (socket, tls): (TcpStream, Option<Arc<Tls>>),
    (router, from): (Router, Address),
    place: Place,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot turn off Nagle's algorithm; short answers may be delayed");
    }
    let core = host.home().core.clone();
    let connection = &place.connection;
    // In a box, because the state of a handshake is large and soon gone.
    let mut opening = Box::pin(open(&core, socket, tls.as_deref(), connection));
    let opened = tokio::select! {
        opened = &mut opening => opened,
        ending = ended(connection) => {
            note_ended(&core, ending);
            None
        }
    };
    drop(opening);
    let Some(Opened { socket, protocol, certificate }) = opened else { return };
    let service = Watched::new(host, router, Arc::clone(connection), (from, certificate));
    let stream = Stream::new(socket, Arc::clone(connection), core.clone());
    match protocol {
        Protocol::Http1 => serve_http1(&core, stream, service, connection).await,
        Protocol::Http2 => serve_http2(&core, stream, service, connection).await,
    }
}

/// Waits until the connection has to end before its first request. Then there is nothing to finish.
async fn ended(connection: &Connection) -> Ending {
    match connection.ordered().await {
        Order::Finish => Ending::Stopped,
        Order::End(ending) => ending,
    }
}

fn note_ended(core: &Core, ending: Ending) {
    core.shared().metrics.count_connection_ended(ending.name());
    tracing::debug!(reason = ending.name(), "the server closed a connection");
}

async fn serve_http1(core: &Core, stream: Stream, service: Watched, connection: &Connection) {
    let mut protocol = http1::Builder::new();
    // The register bounds the time for a head.
    protocol.header_read_timeout(None).max_buf_size(READ_BYTES_MAX);
    let mut served = protocol.serve_connection(TokioIo::new(stream), service);
    loop {
        tokio::select! {
            ended = &mut served => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection was closed before its response was complete");
                }
                break;
            }
            order = connection.ordered() => match order {
                Order::Finish => std::pin::Pin::new(&mut served).graceful_shutdown(),
                Order::End(ending) => return note_ended(core, ending),
            }
        }
    }
    if connection.must_linger() {
        linger(served.into_parts().io.into_inner().into_socket()).await;
    }
}

async fn serve_http2(core: &Core, stream: Stream, service: Watched, connection: &Connection) {
    connection.multiplex();
    let served = http2::protocol().serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    if connection.is_draining() {
        served.as_mut().graceful_shutdown();
    }
    loop {
        tokio::select! {
            ended = &mut served => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection of HTTP/2 ended with an error");
                }
                return;
            }
            order = connection.ordered() => match order {
                Order::Finish => served.as_mut().graceful_shutdown(),
                Order::End(ending) => return note_ended(core, ending),
            }
        }
    }
}

/// Tells a client that there are too many connections.
async fn refuse(mut socket: TcpStream) {
    // An error means that the client is gone.
    if socket.write_all(&failure::too_many_connections()).await.is_ok() {
        linger(socket).await;
    }
}

/// Ends the answer and reads on for a while, so that the client sees it before the connection closes.
async fn linger(mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    let (within, bytes_max) = LINGER;
    let reading = async {
        socket.shutdown().await?;
        let mut buffer = vec![0; 16 << 10];
        let mut total = 0;
        loop {
            let read = socket.read(&mut buffer).await?;
            total += read;
            if read == 0 || total > bytes_max {
                return std::io::Result::Ok(());
            }
        }
    };
    // Whatever ends it, the socket is closed now.
    drop(tokio::time::timeout(within, reading).await);
}

/// Whether an error concerns only one connection, which closed before it was accepted.
fn is_of_one_connection(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests;
