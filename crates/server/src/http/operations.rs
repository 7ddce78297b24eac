//! Handlers for operators: health, readiness, metrics, the clock, the index and the OpenAPI document.

use api::past::IndexStatus;
use api::requests;
use api::responses::ClockConfirmed;
use api::{ErrorCode, Problem};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use crate::guard::Confirmed;
use crate::http::call::Call;
use crate::http::failure::{Handled, found};

pub(crate) fn health() -> Response {
    "ok\n".into_response()
}

pub(crate) fn ready(call: &Call) -> Handled {
    let core = &call.app.core;
    if core.is_ready() {
        // Reads are answered, so that nobody should send them elsewhere.
        return Ok(match core.writes_closed() {
            None => "ready\n".into_response(),
            Some(why) => format!("ready for reads\n{why}\n").into_response(),
        });
    }
    Err(Problem::new(ErrorCode::NotReady, "the server takes no requests now").into())
}

pub(crate) fn metrics(call: &Call) -> Response {
    const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], call.app.core.metrics_text()).into_response()
}

pub(crate) fn confirm_clock(call: &Call) -> Handled {
    requests::verb(&call.body)?;
    let Confirmed { now, was_doubted } = call.app.core.confirm_clock(call.caller.actor);
    Ok(found(&ClockConfirmed::new(now, was_doubted)))
}

pub(crate) fn index(call: &Call) -> Response {
    let status = call.app.core.index_status();
    found(&IndexStatus {
        idle: status.idle,
        generations_waiting: status.generations_waiting,
        runs: status.runs,
        runs_incomplete: status.runs_incomplete,
        disk_bytes: status.disk_bytes,
        ids_bytes: status.ids_bytes,
        postings_bytes: status.postings_bytes,
        balances_bytes: status.balances_bytes,
        fields_bytes: status.fields_bytes,
        memory_bytes: status.memory_bytes,
    })
}

pub(crate) fn openapi() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], api::openapi_json()).into_response()
}
