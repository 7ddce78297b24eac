//! Wraps every request: gives it an id, measures it and logs it without personal data.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use types::ActorId;

use crate::Stopwatch;
use crate::http::failure::LoggedCode;
use crate::http::shown::App;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a request id that a client may bring.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// Who asked, left on the response for the log.
#[derive(Debug, Clone, Copy)]
struct LoggedActor(ActorId);

/// How long an answer waited because it was asked to, left on the response: it says nothing about the server.
#[derive(Debug, Clone, Copy)]
struct Waited(Duration);

pub(crate) fn waited(wait: Duration, mut response: Response) -> Response {
    response.extensions_mut().insert(Waited(wait));
    response
}

pub(crate) fn by(actor: ActorId, mut response: Response) -> Response {
    response.extensions_mut().insert(LoggedActor(actor));
    response
}

/// Around every request: gives it an id, measures it, writes one line about it. Bodies, addresses and parameters are
/// personal and stay out of the log; the route's template says enough.
pub(crate) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let stopwatch = Stopwatch::start();
    app.activity.touch();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let id = request_id(request.headers()).unwrap_or_else(|| app.next_request_id());
    let mut response = next.run(request).await;
    app.activity.touch();
    let wait = response.extensions().get::<Waited>().map_or(Duration::ZERO, |Waited(wait)| *wait);
    let elapsed = stopwatch.elapsed().saturating_sub(wait);
    let status = response.status().as_u16();
    // A method that nobody knows would be one more label for every new word.
    let label = if ["GET", "POST", "HEAD"].contains(&method.as_str()) { method.as_str() } else { "OTHER" };
    app.core.count_request(label, &route, status, elapsed.as_secs_f64());
    let actor = response.extensions().get::<LoggedActor>().map_or(0, |LoggedActor(actor)| actor.get());
    let code = response.extensions().get::<LoggedCode>().map_or("", |LoggedCode(code)| *code);
    let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    // What went well is not worth a line each, tens of thousands of times a second.
    if response.status().is_success() {
        tracing::debug!(request_id = id, method = label, route, status, actor, elapsed_us, "answered");
    } else {
        tracing::info!(request_id = id, method = label, route, status, code, actor, elapsed_us, "answered");
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// The id that the client gave its request, if it is one: visible ASCII, not long.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let fits = (1..=REQUEST_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}
