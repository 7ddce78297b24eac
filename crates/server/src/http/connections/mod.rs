//! Accepts connections, serves HTTP/1.1 on each, bounds how many there are and how long they wait, and closes them in an
//! orderly way.

mod register;
mod stream;

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Request, Response, header};
use edge::admission::Address;
use futures_util::FutureExt as _;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) use crate::http::connections::register::Patience;
use crate::http::connections::register::{Connection, Order, Phase, Place, Register};
use crate::http::connections::stream::Stream;
use crate::http::{failure, observe};
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
    core: &Core,
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    until: impl Future<Output = ()>,
) {
    let metrics = &core.shared().metrics;
    let register = Arc::new(Register::new(metrics.connections.clone()));
    let refusals = Arc::new(tokio::sync::Semaphore::new(REFUSALS_MAX));
    metrics.connections_max.set(i64::try_from(bounds.connections_max).unwrap_or(i64::MAX));
    let accept = |accepted: std::io::Result<(TcpStream, SocketAddr)>| match accepted {
        Ok((socket, from)) => {
            if register.len() < bounds.connections_max {
                let from = Address::of(from.ip());
                tokio::spawn(one(core.clone(), (socket, from), router.clone(), register.enter()));
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
async fn one(core: Core, (socket, from): (TcpStream, Address), router: Router, place: Place) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot turn off Nagle's algorithm; short answers may be delayed");
    }
    let connection = Arc::clone(&place.connection);
    let service = Watched { inner: TowerToHyperService::new(router), connection: Arc::clone(&connection), from };
    let io = TokioIo::new(Stream::new(socket, Arc::clone(&connection), core.clone()));
    let mut protocol = http1::Builder::new();
    // The register bounds the time for a head.
    protocol.header_read_timeout(None).max_buf_size(READ_BYTES_MAX);
    let mut served = protocol.serve_connection(io, service);
    let ending = loop {
        tokio::select! {
            ended = &mut served => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection was closed before its response was complete");
                }
                break None;
            }
            order = connection.ordered() => match order {
                Order::Finish => Pin::new(&mut served).graceful_shutdown(),
                Order::End(ending) => break Some(ending),
            }
        }
    };
    match ending {
        Some(ending) => {
            core.shared().metrics.count_connection_ended(ending.name());
            tracing::debug!(reason = ending.name(), "the server closed a connection");
        }
        None if connection.must_linger() => linger(served.into_parts().io.into_inner().into_socket()).await,
        None => {}
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
async fn linger(mut socket: TcpStream) {
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

/// The router, with a note of what happens on its connection.
struct Watched {
    inner: TowerToHyperService<Router>,
    connection: Arc<Connection>,
    from: Address,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Sent>, std::convert::Infallible>> + Send>>;

impl Service<Request<Incoming>> for Watched {
    type Response = Response<Sent>;
    type Error = std::convert::Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let connection = Arc::clone(&self.connection);
        let has_body = !request.body().is_end_stream();
        connection.enter(if has_body { Phase::Receiving } else { Phase::Answering });
        let mut request = request.map(|body| Received { body, connection: Arc::clone(&self.connection) });
        request.extensions_mut().insert(self.from);
        let answering = self.inner.call(request);
        Box::pin(async move {
            let mut response = answering.await?;
            if observe::is_authenticated(&response) {
                connection.note_known();
            }
            if connection.is_draining() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| Sent { body, connection }))
        })
    }
}

/// The body of a request.
struct Received {
    body: Incoming,
    connection: Arc<Connection>,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || this.body.is_end_stream() {
            this.connection.advance(Phase::Receiving, Phase::Answering);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.connection.phase() == Phase::Receiving {
            self.connection.note_unread();
        }
    }
}

/// The body of an answer.
struct Sent {
    body: Body,
    connection: Arc<Connection>,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if frame.is_pending() && this.body.size_hint().exact().is_none() {
            this.connection.note_streaming();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.connection.enter(Phase::Flushing);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::http::app::App;
    use crate::{Opened, Options};

    /// Short enough for a test; the sweep comes once a second.
    const HASTE: Patience = Patience {
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

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn connections_that_wait_for_too_long_are_closed_and_the_others_are_not() {
        let data = tempfile::tempdir().unwrap();
        let options = Options { disk_reserve_bytes: 0, ..Options::new(data.path()) };
        let opened = Opened::open(&options).unwrap();
        let core = opened.core.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounds = Bounds { connections_max: 100, patience: HASTE };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let router = crate::http::router(opened.host());
        let serving = core.clone();
        let server = tokio::spawn(async move {
            serve(&serving, listener, router, bounds, async { drop(stopped.await) }).await;
        });
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
        let text = core.metrics_text();
        let ended = |reason: &str| {
            let name = format!("finaira_connections_ended_total{{reason=\"{reason}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse::<u32>().unwrap())
        };
        assert_eq!((ended("idle_timeout"), ended("head_timeout"), ended("write_timeout")), (2, 1, 1), "{text}");
        drop((greedy, stop));
        server.await.unwrap();
        drop(core);
        opened.close().unwrap();
    }
}
