//! Serves the journal's entries as events: in pages, and as a stream of server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::events::{Event, EventPage};
use api::{ErrorCode, List, Problem};
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use types::Seq;

use crate::http::app::App;
use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, found};
use crate::http::host::Proven;
use crate::tail::Follower;

/// Most event streams that are open at the same time.
pub(crate) const STREAMS_MAX: usize = 1_024;
/// How soon a client should reconnect after it lost its stream.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often an open stream checks, while there is no event, that its credential is still valid.
const CHECK_CREDENTIAL_EVERY: Duration = Duration::from_millis(500);
const LAST_EVENT_ID: &str = "Last-Event-ID";

pub(crate) async fn list(call: Call) -> Handled {
    let accept = call.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.split(',').any(|accepted| accepted.trim().starts_with("text/event-stream")) {
        return open_stream(&call);
    }
    page(call).await
}

async fn page(call: Call) -> Handled {
    let history = call.app.history();
    let limit = call.head.parameters.limit()?;
    let after = not_past_the_end(&call, call.head.parameters.cursor(history, List::Events)?)?;
    let mut entries = call.app.core.entries_after(Seq::new(after), limit);
    let mut items = Vec::new();
    while items.len() < limit {
        let next = entries.next_durable().await;
        let Some(entry) = next.map_err(|fault| Failure::from(fault.as_ref()))? else { break };
        items.push(Event::new(entry, history)?);
    }
    let next_cursor = history.event_cursor(entries.given());
    Ok(found(&EventPage { items, next_cursor }))
}

/// Streams events from the cursor, or after the last event that the client saw, until one side disconnects.
fn open_stream(call: &Call) -> Handled {
    if call.head.parameters.get("limit").is_some() {
        let detail = "`limit` is for pages, a stream has no end";
        return Err(Problem::new(ErrorCode::InvalidParameter, detail).at("limit").into());
    }
    let history = call.app.history();
    let seen = call.headers.get(LAST_EVENT_ID).map(|value| {
        let text = value.to_str().unwrap_or_default();
        history.position(text, List::Events).map_err(|problem| problem.at(LAST_EVENT_ID))
    });
    let after = not_past_the_end(call, seen.unwrap_or_else(|| call.head.parameters.cursor(history, List::Events))?)?;
    let permit = Arc::clone(&call.app.streams).try_acquire_owned().map_err(|_none_left| {
        let detail = format!("{STREAMS_MAX} event streams are open, which is the limit");
        Problem::new(ErrorCode::TooManyStreams, detail)
    })?;
    let follower = call.app.core.follow_events(Seq::new(after));
    let streaming = Streaming { follower, _permit: permit, app: Arc::clone(&call.app), proven: call.proven.clone() };
    let stream = stream::unfold(streaming, next_sent);
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(stream).keep_alive(keep_alive).into_response())
}

/// Refuses a position that this history has not reached. A reader that continued from there would miss events.
fn not_past_the_end(call: &Call, after: u64) -> Result<u64, Problem> {
    let last = call.app.core.durable().get();
    if after <= last {
        return Ok(after);
    }
    let detail = format!(
        "the cursor is after entry {after}, but the journal ends with entry {last}: the server runs on an older copy of it"
    );
    Err(Problem::new(ErrorCode::CursorOfAnotherOrigin, detail).at("cursor"))
}

struct Streaming {
    follower: Follower,
    _permit: OwnedSemaphorePermit,
    app: Arc<App>,
    proven: Proven,
}

/// Waits for the next event of a stream. Returns `None` when the server stops, the journal fails, or the credential of the
/// stream expires or is revoked.
async fn next_sent(mut streaming: Streaming) -> Option<(Result<sse::Event, Infallible>, Streaming)> {
    let Streaming { follower, app, proven, .. } = &mut streaming;
    let entry = tokio::select! {
        biased;
        () = ended(app, proven) => return None,
        entry = follower.next() => entry.map_err(|fault| Failure::from(fault.as_ref())).ok()??,
        () = app.core.stopped() => return None,
    };
    let event = Event::new(entry, app.history()).map_err(Failure::from).ok()?;
    let data = serde_json::to_string(&event).ok()?;
    let sent = sse::Event::default().id(event.cursor()).retry(RETRY_AFTER).data(data);
    Some((Ok(sent), streaming))
}

/// Waits until a credential is not valid any more, or its tenant is suspended.
async fn ended(app: &App, proven: &Proven) {
    while app.check(proven).is_ok() {
        tokio::time::sleep(CHECK_CREDENTIAL_EVERY).await;
    }
}
