//! A layer around every request: assigns an id, measures the time, and logs one line without personal data.

use std::sync::Arc;
use std::time::Duration;

use api::{ErrorCode, ROUTES};
use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use types::{ActorId, TenantId};

use crate::Stopwatch;
use crate::http::doors::LastRefused;
use crate::http::failure::{Failure, LoggedCode};
use crate::http::framing;
use crate::http::host::Host;
use crate::http::{DPOP, add_nonce};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Most characters of a request id that a client sends.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The route, in metrics, of requests that were refused like the one before them on their connection.
const UNREAD: &str = "unread";
/// The codes of requests that were not admitted.
const REFUSED: [&str; 2] = [ErrorCode::RateLimited.name(), ErrorCode::Overloaded.name()];

/// The tenant and the actor of a request, attached to the response so that the log can show them.
#[derive(Debug, Clone, Copy)]
struct LoggedActor((TenantId, ActorId));

/// How long a long poll, or a refusal, waited, attached to the response so that the measured time can exclude it.
#[derive(Debug, Clone, Copy)]
struct Waited(Duration);

pub(crate) fn waited(wait: Duration, mut response: Response) -> Response {
    response.extensions_mut().insert(Waited(wait));
    response
}

/// Whether a valid credential came with the request of this response.
pub(crate) fn is_authenticated(response: &Response) -> bool {
    response.extensions().get::<LoggedActor>().is_some_and(|LoggedActor((_, actor))| *actor != ActorId::SYSTEM)
}

pub(crate) fn by(by: (TenantId, ActorId), mut response: Response) -> Response {
    response.extensions_mut().insert(LoggedActor(by));
    response
}

/// Assigns an id to a request, measures it and logs one line. Bodies, addresses and parameters can be personal, so the log
/// only has the route's template.
pub(crate) async fn observe(State(host): State<Arc<Host>>, request: Request<Body>, next: Next) -> Response {
    let stopwatch = Stopwatch::start();
    host.activity.touch();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let id = request_id(request.headers()).unwrap_or_else(|| host.next_request_id());
    let mut response = match framing::refusal(&request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    host.activity.touch();
    let wait = response.extensions().get::<Waited>().map_or(Duration::ZERO, |Waited(wait)| *wait);
    let elapsed = stopwatch.elapsed().saturating_sub(wait);
    let status = response.status().as_u16();
    let label = label(&method);
    host.home().core.count_request(label, &route, status, elapsed.as_secs_f64());
    let by = response.extensions().get::<LoggedActor>().map(|LoggedActor(by)| *by);
    if let Some((tenant, _)) = by.filter(|(_, actor)| *actor != ActorId::SYSTEM) {
        host.home().core.shared().metrics.count_tenant_request(tenant);
    }
    let (tenant, actor) = by.map_or((0, 0), |(tenant, actor)| (tenant.get(), actor.get()));
    let code = response.extensions().get::<LoggedCode>().map_or("", |LoggedCode(code)| *code);
    let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    // Successful requests are logged at debug level, because there can be tens of thousands a second, and so can refused ones.
    if response.status().is_success() || REFUSED.contains(&code) {
        tracing::debug!(request_id = id, method = label, route, status, code, tenant, actor, elapsed_us, "answered");
    } else {
        tracing::info!(request_id = id, method = label, route, status, code, tenant, actor, elapsed_us, "answered");
    }
    finish(response.headers_mut(), &id);
    response
}

/// The method as a label. Unknown methods share one; otherwise clients could create any number of labels.
fn label(method: &Method) -> &'static str {
    ["GET", "POST", "PUT", "HEAD"].into_iter().find(|known| method == *known).unwrap_or("OTHER")
}

/// Adds the headers that every answer has.
fn finish(headers: &mut HeaderMap, id: &str) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// A request that is refused like the one before it on its connection, and that was not looked at any further.
pub(crate) struct RefusedAgain {
    failure: Failure,
    method: &'static str,
    id: String,
    asks_for_nonce: bool,
}

/// Refuses a request without looking at more than its credential, if [`crate::http::doors::Doors::refuse_again`] does.
pub(crate) fn refuse_again<B>(host: &Host, last: &LastRefused, request: &Request<B>) -> Option<RefusedAgain> {
    let failure = host.doors.refuse_again(last, request.headers(), || {
        framing::problem(request).is_none() && !is_always_answered(request.uri().path())
    })?;
    host.activity.touch();
    let id = request_id(request.headers()).unwrap_or_else(|| host.next_request_id());
    let asks_for_nonce = request.headers().contains_key(DPOP);
    Some(RefusedAgain { failure, method: label(request.method()), id, asks_for_nonce })
}

/// Whether a path has a route that needs no credential.
fn is_always_answered(path: &str) -> bool {
    ROUTES.iter().any(|route| route.scope.is_none() && route.path == path)
}

impl RefusedAgain {
    pub(crate) async fn answer(self, host: &Host) -> Response {
        let Self { failure, method, id, asks_for_nonce } = self;
        let core = &host.home().core;
        host.doors.hold_back(&failure, core).await;
        let mut response = failure.into_response();
        core.count_request(method, UNREAD, response.status().as_u16(), 0.0);
        if asks_for_nonce {
            add_nonce(host, &mut response);
        }
        finish(response.headers_mut(), &id);
        response
    }
}

/// The request id that the client sent, if it is valid: short, visible ASCII.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let fits = (1..=REQUEST_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}
