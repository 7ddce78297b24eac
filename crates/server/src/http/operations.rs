use api::{ErrorCode, Problem};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use crate::http::call::Call;
use crate::http::failure::Handled;

pub(crate) fn health() -> Response {
    "ok\n".into_response()
}

pub(crate) fn ready(call: &Call) -> Handled {
    if call.app.core.is_ready() {
        return Ok("ready\n".into_response());
    }
    Err(Problem::new(ErrorCode::NotReady, "the server takes no requests now").into())
}

pub(crate) fn metrics(call: &Call) -> Response {
    const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], call.app.core.metrics_text()).into_response()
}

pub(crate) fn openapi() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], api::openapi_json()).into_response()
}
