//! The router, with notes of what happens on its connection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

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
        let mut request = request.map(|body| Received { body, connection: Arc::clone(&self.connection) });
        if let Some(refusal) = observe::refuse_again(&self.host, &self.last_refused, &request) {
            return Box::pin(refused(Arc::clone(&self.host), in_progress, refusal));
        }
        request.extensions_mut().insert(self.from);
        request.extensions_mut().insert(self.last_refused.clone());
        if let Some(certificate) = self.certificate {
            request.extensions_mut().insert(certificate);
        }
        let answering = self.inner.call(request);
        Box::pin(async move {
            let response = answering.await?;
            if observe::is_authenticated(&response) {
                in_progress.connection().note_known();
            }
            Ok(sent(in_progress, response))
        })
    }
}

/// The answer to a request that is refused like the one before it.
async fn refused(
    host: Arc<Host>,
    in_progress: InProgress,
    refusal: observe::RefusedAgain,
) -> Result<Response<Sent>, Infallible> {
    Ok(sent(in_progress, refusal.answer(&host).await))
}

fn sent(in_progress: InProgress, mut response: Response<Body>) -> Response<Sent> {
    let connection = in_progress.connection();
    if connection.is_multiplexed() {
        // HTTP/2 tells clients to leave in another way, and does not know this header.
        response.headers_mut().remove(header::CONNECTION);
    } else if connection.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    in_progress.await_client();
    response.map(|body| Sent { body, in_progress })
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
