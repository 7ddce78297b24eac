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
use crate::metrics::older_text;

pub(crate) fn health() -> Response {
    "ok\n".into_response()
}

pub(crate) fn ready(call: &Call) -> Handled {
    let core = &call.app.core;
    if let Some(why) = core.unready() {
        return Err(Problem::new(ErrorCode::NotReady, why).into());
    }
    match core.writes_closed() {
        None => Ok("ready\n".into_response()),
        Some(why) => Err(Problem::new(ErrorCode::NotReady, format!("reads work, but {why}")).into()),
    }
}

pub(crate) fn metrics(call: &Call) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    const OLDER: &str = "text/plain; version=0.0.4; charset=utf-8";
    let text = call.app.core.metrics_text();
    let accepts = |media_type: &str| {
        let values = call.headers.get_all(header::ACCEPT).iter();
        values.filter_map(|value| value.to_str().ok()).any(|value| value.contains(media_type))
    };
    let (media_type, text) =
        if accepts("application/openmetrics-text") { (OPEN_METRICS, text) } else { (OLDER, older_text(&text)) };
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], text).into_response()
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
