//! Handlers for operators: health, readiness, metrics, the clock, the index and the OpenAPI document.

use api::past::IndexStatus;
use api::requests;
use api::responses::ClockConfirmed;
use api::{ErrorCode, Problem};
use axum::http::{HeaderMap, HeaderValue, header};
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
    let [older, open_metrics] = api::METRICS_MEDIA_TYPES;
    let open = i64::try_from(call.host.tenants.open_count()).unwrap_or(i64::MAX);
    call.app.core.shared().metrics.tenants_open.set(open);
    let text = call.app.core.metrics_text();
    let (media_type, text) =
        if prefers_open_metrics(&call.headers) { (open_metrics, text) } else { (older, older_text(&text)) };
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], text).into_response()
}

/// Whether a client names the OpenMetrics format in `Accept`, and does not prefer the older text format.
fn prefers_open_metrics(headers: &HeaderMap) -> bool {
    let wanted = quality(headers, "application/openmetrics-text");
    wanted > 0.0 && wanted >= quality(headers, "text/plain")
}

/// The highest quality that `Accept` gives to a media type by its name; 0 if it does not name it.
fn quality(headers: &HeaderMap, media_type: &str) -> f32 {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let qualities = values.flat_map(|value| value.split(',')).filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next().filter(|name| name.eq_ignore_ascii_case(media_type))?;
        let quality = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("q"));
        quality.map_or(Some(1.0), |(_, value)| value.parse().ok())
    });
    qualities.fold(0.0, f32::max)
}

pub(crate) fn confirm_clock(call: &Call) -> Handled {
    requests::verb(&call.body)?;
    // The clock is that of the machine, and all tenants go by it.
    call.host.only_home(call.app.core.tenant())?;
    let Confirmed { now, was_doubted } = call.host.tenants.confirm_clock(call.caller.actor);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_format_that_the_client_prefers() {
        for (accept, open_metrics) in [
            (None, false),
            (Some("*/*"), false),
            (Some("text/plain; version=0.0.4"), false),
            (Some("application/openmetrics-text"), true),
            (Some("Application/OpenMetrics-Text;version=1.0.0"), true),
            // Prometheus, by default and when it is set to prefer the older format.
            (Some("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"), true),
            (Some("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"), false),
            (Some("application/openmetrics-text;q=0"), false),
            (Some("application/openmetrics-text;q=0, */*"), false),
            (Some("application/openmetrics-text;q=none"), false),
        ] {
            let accepted = accept.map(|accept| (header::ACCEPT, HeaderValue::from_static(accept)));
            assert_eq!(prefers_open_metrics(&accepted.into_iter().collect()), open_metrics, "{accept:?}");
        }
    }
}
