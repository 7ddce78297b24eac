//! Accepts connections, serves HTTP/1.1 on each, and closes them in an orderly way.

use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

/// Most bytes that a connection reads at once, and the limit on a request's head. The buffer grows to this size only for
/// clients that send that much. A larger limit is slower, because the allocator requests and returns larger buffers page by
/// page: a batch of 1 MiB took 0.2 ms in pieces of 64 KiB, 0.4 ms in pieces of 128 KiB and 1.2 ms in pieces of 512 KiB.
const READ_BYTES_MAX: usize = 64 << 10;
/// Pause after accepting a connection failed, for example because no file descriptor was free.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Answers requests on every connection until `until` resolves, and then finishes open requests.
pub(super) async fn serve(listener: TcpListener, router: Router, until: impl Future<Output = ()>) {
    let mut until = pin!(until);
    let open = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut until => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_of_one_connection(error.kind()) => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection delays small answers");
        }
        let service = TowerToHyperService::new(router.clone());
        let mut protocol = http1::Builder::new();
        let connection = protocol.max_buf_size(READ_BYTES_MAX).serve_connection(TokioIo::new(stream), service);
        let connection = open.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended before its time");
            }
        });
    }
    drop(listener);
    open.shutdown().await;
}

/// Whether an error concerns only one connection, which closed before it was accepted.
fn is_of_one_connection(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}
