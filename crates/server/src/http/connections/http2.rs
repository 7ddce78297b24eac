//! The bounds of HTTP/2. All requests of a connection share them.

use std::time::Duration;

use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::http::connections::READ_BYTES_MAX;

/// Most requests in progress on one connection. A client that wants more waits, or opens another connection.
const STREAMS_MAX: u32 = 128;
/// Bytes of a request's body that a client may send before the server has taken them.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The same for all requests of a connection together.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes of an answer that wait for the client to take them, beyond the piece that a handler gave last.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// Most bytes of one frame.
const FRAME_BYTES_MAX: u32 = 64 << 10;
/// Most requests that a client may cancel before the server has looked at them (CVE-2023-44487, "rapid reset").
const RESETS_UNSEEN_MAX: usize = 20;
/// Most requests that the server may have to cancel because of errors of the client.
const RESETS_OF_ERRORS_MAX: usize = 128;
/// How often the server asks whether the client is still there, and how long it waits for the answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// A protocol with these bounds.
pub(super) fn protocol() -> Builder<TokioExecutor> {
    let mut protocol = Builder::new(TokioExecutor::new());
    let (ping_every, pong_within) = PING;
    protocol
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_UNSEEN_MAX)
        .max_local_error_reset_streams(RESETS_OF_ERRORS_MAX)
        .keep_alive_interval(ping_every)
        .keep_alive_timeout(pong_within);
    protocol
}

/// Most bytes of a request's head: as many as with HTTP/1.1.
const HEAD_BYTES_MAX: u32 = 64 << 10;
const _: () = assert!(HEAD_BYTES_MAX as usize == READ_BYTES_MAX);
