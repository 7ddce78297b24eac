//! The bytes of one connection, as they pass between the socket and the HTTP library.
//!
//! The stream notes what the connection is doing. It also does two things that the library does not: a client that closes its
//! sending side after a complete request still gets its answer, and a request that cannot be parsed is answered with a problem
//! document.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Core;
use crate::http::connections::register::{Connection, Phase};
use crate::http::connections::socket::Socket;
use crate::http::failure;

#[derive(Debug)]
pub(super) struct Stream {
    socket: Socket,
    connection: Arc<Connection>,
    core: Core,
    /// What is left to send of a problem that replaces the library's own answer.
    substitute: Option<Vec<u8>>,
}

impl Stream {
    pub(super) fn new(socket: Socket, connection: Arc<Connection>, core: Core) -> Self {
        Self { socket, connection, core, substitute: None }
    }

    pub(super) fn into_socket(self) -> Socket {
        self.socket
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut stream.socket).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            stream.connection.note_received();
        } else if buf.remaining() > 0 && stream.connection.hides_half_closing(cx.waker()) {
            // The library would take the end of the input for a lost client and drop the request.
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl Stream {
    /// Notes the outcome of a write.
    fn noted(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.connection.note_write(written.is_pending());
        written
    }

    /// If the library answers on its own, because it could not parse a request, sends a problem document instead.
    fn poll_substitute(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.substitute.is_none() {
            if !self.connection.is_before_a_request() {
                return None;
            }
            let status = bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))?;
            let status = std::str::from_utf8(status.get(..3)?).ok()?.parse().ok()?;
            self.core.count_request("OTHER", "unparsed", status, 0.0);
            self.connection.note_unread();
            self.substitute = Some(failure::of_the_http_layer(status));
        }
        let left = self.substitute.as_mut()?;
        while !left.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, left) {
                Poll::Ready(Ok(written)) => drop(left.drain(..written)),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        // The library believes that its own answer was sent. It closes the connection then.
        Some(Poll::Ready(Ok(bytes.len())))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if let Some(substituted) = stream.poll_substitute(cx, bytes) {
            return stream.noted(substituted);
        }
        let written = Pin::new(&mut stream.socket).poll_write(cx, bytes);
        stream.noted(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if stream.connection.is_before_a_request() {
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            return Pin::new(stream).poll_write(cx, first);
        }
        let written = Pin::new(&mut stream.socket).poll_write_vectored(cx, slices);
        stream.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let flushed = Pin::new(&mut stream.socket).poll_flush(cx);
        if flushed.is_pending() {
            // TLS keeps the last bytes of an answer, so only this shows that the client takes none.
            stream.connection.note_write(true);
        }
        ready!(flushed)?;
        if stream.connection.advance(Phase::Flushing, Phase::Idle) {
            stream.connection.wake_reader();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
