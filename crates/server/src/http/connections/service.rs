//! The router, with notes of what happens on its connection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Request, Response, header};
use edge::admission::Address;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::http::Host;
use crate::http::connections::register::{Connection, InProgress, Phase};
use crate::http::doors::LastRefused;
use crate::http::observe;
use crate::tls::ClientCertificate;

pub(super) struct Watched {
    host: Arc<Host>,
    inner: TowerToHyperService<Router>,
    connection: Arc<Connection>,
    from: Address,
    certificate: Option<ClientCertificate>,
    last_refused: LastRefused,
}

impl Watched {
    pub(super) fn new(
        host: Arc<Host>,
        router: Router,
        connection: Arc<Connection>,
        (from, certificate): (Address, Option<ClientCertificate>),
    ) -> Self {
        let inner = TowerToHyperService::new(router);
        Self { host, inner, connection, from, certificate, last_refused: LastRefused::default() }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Sent>, Infallible>> + Send>>;

impl Service<Request<Incoming>> for Watched {
    type Response = Response<Sent>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let has_body = !request.body().is_end_stream();
        let in_progress = Connection::begin(&self.connection, has_body);
        // A client that asks first whether to send the body would get the permission as soon as somebody reads it.
        // HTTP/2 needs none of this, because each request has a stream of its own.
        let keeps = has_body && !self.connection.is_multiplexed() && !request.headers().contains_key(header::EXPECT);
        let left = keeps.then(Left::default);
        let mut request = request.map(|body| Received {
            body: Some(body),
            connection: Arc::clone(&self.connection),
            left: left.clone(),
        });
        if let Some(refusal) = observe::refuse_again(&self.host, &self.last_refused, &request) {
            return Box::pin(refused(Arc::clone(&self.host), in_progress, refusal, left));
        }
        request.extensions_mut().insert(self.from);
        request.extensions_mut().insert(self.last_refused.clone());
        request.extensions_mut().insert(self.connection.client.clone());
        if let Some(certificate) = self.certificate {
            request.extensions_mut().insert(certificate);
        }
        let answering = self.inner.call(request);
        Box::pin(async move {
            let response = answering.await?;
            if observe::is_authenticated(&response) {
                in_progress.connection().note_known();
            }
            Ok(sent(in_progress, response, left).await)
        })
    }
}

/// The answer to a request that is refused like the one before it.
async fn refused(
    host: Arc<Host>,
    in_progress: InProgress,
    refusal: observe::RefusedAgain,
    left: Option<Left>,
) -> Result<Response<Sent>, Infallible> {
    let answer = refusal.answer(&host).await;
    Ok(sent(in_progress, answer, left).await)
}

async fn sent(in_progress: InProgress, mut response: Response<Body>, left: Option<Left>) -> Response<Sent> {
    let connection = in_progress.connection();
    if connection.is_multiplexed() {
        // HTTP/2 tells clients to leave in another way, and does not know this header.
        response.headers_mut().remove(header::CONNECTION);
    } else {
        let unread = left.and_then(|left| left.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(unread) = unread
            && discard(unread).await
        {
            connection.note_discarded();
        }
        // What comes after a body that nobody read cannot be told from it.
        if connection.is_draining() || connection.has_unread() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    in_progress.await_client();
    response.map(|body| Sent { body, in_progress })
}

/// Reads what is left of the body of a request that is answered without it, so that the connection can be used again. Returns whether that was
/// all. Clients send small bodies right after the head, so there is hardly any wait.
async fn discard(mut body: Incoming) -> bool {
    let (within, bytes_max) = DISCARD;
    let reading = async {
        let mut total = 0;
        loop {
            match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                None => return true,
                Some(Ok(frame)) => total += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_gone)) => return false,
            }
            if total > bytes_max {
                return false;
            }
        }
    };
    tokio::time::timeout(within, reading).await.unwrap_or(false)
}

/// How long the rest of a body is read that nobody needs, and how many bytes of it.
const DISCARD: (Duration, usize) = (Duration::from_millis(100), 64 << 10);

/// A body that was dropped before its end.
type Left = Arc<Mutex<Option<Incoming>>>;

/// The body of a request.
struct Received {
    /// There until this is dropped.
    body: Option<Incoming>,
    connection: Arc<Connection>,
    /// Gets the body if this is dropped before its end.
    left: Option<Left>,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || body.is_end_stream() {
            this.connection.advance(Phase::Receiving, Phase::Answering);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.connection.phase() == Phase::Receiving {
            self.connection.note_unread();
            if let Some(left) = &self.left {
                *left.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
            }
        }
    }
}

/// The body of an answer.
pub(super) struct Sent {
    body: Body,
    in_progress: InProgress,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if frame.is_pending() {
            this.in_progress.await_handler();
            if this.body.size_hint().exact().is_none() {
                this.in_progress.connection().note_streaming();
            }
        } else {
            this.in_progress.await_client();
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
