//! Turns errors into problem responses, and results into JSON responses.

use api::{ErrorCode, IDEMPOTENT_REPLAYED, Problem};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use edge::admission::Refusal;
use index::FieldError;
use journal::Fault;
use oauth::Scheme;
use serde::Serialize;
use types::Span;

use crate::Unavailable;
use crate::http::connections::READ_BYTES_MAX;
use crate::http::doors;
use crate::http::host::suspended;
use crate::past::PastError;
use crate::tenants::{Refused, Unopened};

/// The result of a handler.
pub(crate) type Handled = Result<Response, Failure>;

/// A problem, rendered as a response.
#[derive(Debug)]
pub(crate) struct Failure {
    problem: Box<Problem>,
    /// What refused the request, if it was not admitted.
    refusal: Option<Box<Refusal>>,
    /// After how long the same request may succeed, if that is known better than the code says.
    retry_after: Option<Span>,
}

impl Failure {
    pub(crate) fn retry_after(self, wait: Span) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    pub(crate) fn status(&self) -> u16 {
        self.problem.status()
    }

    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_deref()
    }
}

/// The code of a problem, attached to the response so that the log can show it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoggedCode(pub(crate) &'static str);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { problem, refusal, retry_after } = self;
        let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(status, Problem::MEDIA_TYPE, &problem.body());
        let headers = response.headers_mut();
        let retry_after_s = retry_after.map(|wait| wait.ns().div_ceil(1_000_000_000));
        let retry_after_s = retry_after_s.or(refusal.as_ref().map(|refusal| refusal.retry_after_s()));
        if let Some(seconds) = retry_after_s.or(problem.retry_after_s().map(u64::from)) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(refusal) = refusal {
            doors::show(refusal.standing, headers);
        }
        for challenge in challenges(&problem) {
            headers.append(header::WWW_AUTHENTICATE, challenge);
        }
        response.extensions_mut().insert(LoggedCode(problem.code().as_str()));
        response
    }
}

/// How to send a better credential (RFC 6750, section 3; RFC 9449, section 7.1).
fn challenges(problem: &Problem) -> Vec<HeaderValue> {
    let api::Code::Error(code) = problem.code() else { return Vec::new() };
    let because = |code: oauth::Code| Some((code, problem.detail()));
    if code == ErrorCode::InsufficientScope {
        let refused = because(oauth::Code::InsufficientScope);
        let scope = problem.needed().map(|needed| needed.names().collect::<Vec<_>>().join(" "));
        let challenge = oauth::challenge(Scheme::Bearer, refused, scope.as_deref(), &[]);
        return HeaderValue::from_str(&challenge).into_iter().collect();
    }
    if code.status() != 401 {
        return Vec::new();
    }
    let codes = [
        (ErrorCode::InvalidToken, oauth::Code::InvalidToken),
        (ErrorCode::InvalidDpopProof, oauth::Code::InvalidDpopProof),
        (ErrorCode::UseDpopNonce, oauth::Code::UseDpopNonce),
    ];
    let dpop = codes.iter().find(|(known, _)| *known == code).and_then(|(_, code)| because(*code));
    let bearer = dpop.filter(|_| code == ErrorCode::InvalidToken);
    let algorithms = &issuer::ASSERTION_ALGORITHMS;
    let both = [(Scheme::Bearer, bearer), (Scheme::Dpop, dpop)]
        .map(|(scheme, refused)| oauth::challenge(scheme, refused, None, algorithms));
    both.iter().filter_map(|challenge| HeaderValue::from_str(challenge).ok()).collect()
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), refusal: None, retry_after: None }
    }
}

impl From<Box<Refusal>> for Failure {
    fn from(refusal: Box<Refusal>) -> Self {
        Self { problem: Box::new(refusal.problem()), refusal: Some(refusal), retry_after: None }
    }
}

impl From<Unavailable> for Failure {
    fn from(unavailable: Unavailable) -> Self {
        let code = match unavailable {
            Unavailable::QueueFull => ErrorCode::QueueFull,
            Unavailable::Stopping => ErrorCode::Stopping,
            Unavailable::Failed => ErrorCode::JournalFailed,
        };
        Problem::new(code, unavailable.to_string()).into()
    }
}

impl From<Unopened> for Failure {
    fn from(unopened: Unopened) -> Self {
        let code = match unopened {
            Unopened::Suspended(tenant) => return suspended(tenant).into(),
            Unopened::Failed(..) => ErrorCode::TenantUnavailable,
            Unopened::Opening(_) => ErrorCode::TenantOpening,
            Unopened::TooManyOpen(..) => ErrorCode::TooManyOpenTenants,
            Unopened::Stopping => ErrorCode::Stopping,
        };
        Problem::new(code, unopened.to_string()).into()
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Suspended(tenant) => suspended(tenant).into(),
            Refused::Credential(error) => Problem::from(error).into(),
            Refused::Token(problem) => (*problem).into(),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::from(&fault)
    }
}

impl From<&Fault> for Failure {
    /// Clients do not see the details of a failure, which are for the operator. They do see that the journal is damaged.
    fn from(fault: &Fault) -> Self {
        if fault.is_damage() {
            // The damage was logged when it stopped the writes.
            return Problem::new(ErrorCode::JournalDamaged, fault.to_string()).into();
        }
        tracing::error!(error = %fault, "cannot read the journal");
        Problem::new(ErrorCode::JournalFailed, "the journal cannot be read").into()
    }
}

impl From<PastError> for Failure {
    fn from(error: PastError) -> Self {
        let code = match &error {
            PastError::Journal(fault) | PastError::Index(index::Fault::Log(fault)) if fault.is_damage() => {
                return Problem::new(ErrorCode::JournalDamaged, fault.to_string()).into();
            }
            PastError::Index(index::Fault::Damaged { .. }) => ErrorCode::IndexIncomplete,
            PastError::Journal(_) | PastError::Index(_) => {
                tracing::error!(%error, "a query about past transfers or balances failed");
                return Problem::new(ErrorCode::JournalFailed, "the journal or its index cannot be read").into();
            }
            PastError::Field(FieldError::NotChosen { ledger, .. }) => {
                let detail = format!(
                    "{error}; choose it with POST /v1/ledgers/{ledger}/indexes and query again once it is built, or list \
                     the transfers of an account with GET /v1/transfers?account=…"
                );
                return Problem::new(ErrorCode::FieldNotIndexed, detail).into();
            }
            PastError::Field(FieldError::Incomplete { .. }) => ErrorCode::IndexIncomplete,
            PastError::WouldScan { .. } => ErrorCode::FilterWouldScan,
            PastError::NothingToFind => ErrorCode::NothingToFind,
            PastError::TooMuchToAddUp(_) | PastError::TooManyToRead(_) => ErrorCode::TooMuchToAddUp,
            // The client that would see this closed its connection.
            PastError::Abandoned => ErrorCode::RequestTimeout,
        };
        Problem::new(code, error.to_string()).into()
    }
}

/// An internal error, which is a bug. The log names it; the client does not see it.
pub(crate) fn internal(what: &str) -> Failure {
    tracing::error!(what, "internal error");
    Problem::new(ErrorCode::Internal, "internal error; the server log has the details").into()
}

/// A whole response for a request that could not be parsed as HTTP. `status` is the one that the HTTP library chose.
pub(crate) fn of_the_http_layer(status: u16) -> Vec<u8> {
    let (code, detail) = match status {
        414 => (ErrorCode::UriTooLong, "the path and the query are too long".to_owned()),
        431 => {
            let detail =
                format!("found a head of more than {READ_BYTES_MAX} bytes or 100 headers, expected a shorter one");
            (ErrorCode::HeadTooLarge, detail)
        }
        _ => {
            let detail = "found a request line or a header that is not valid, expected a request of HTTP/1.1";
            (ErrorCode::MalformedRequest, detail.to_owned())
        }
    };
    unrouted(&Problem::new(code, detail))
}

/// A whole response for a client that speaks another protocol than the port.
pub(crate) fn wrong_protocol(detail: &str) -> Vec<u8> {
    unrouted(&Problem::new(ErrorCode::MalformedRequest, detail))
}

/// A whole response for a connection that cannot be served.
pub(crate) fn too_many_connections() -> Vec<u8> {
    let detail = "all connections have a request in progress, and there is no room for another one";
    unrouted(&Problem::new(ErrorCode::TooManyConnections, detail))
}

/// The bytes of a response that no handler gives.
fn unrouted(problem: &Problem) -> Vec<u8> {
    // A problem can always be written as JSON; a body is not worth a second failure.
    let body = serde_json::to_vec(&problem.body()).unwrap_or_default();
    let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
    let retry_after = problem.retry_after_s().map(|seconds| ("retry-after", seconds.to_string()));
    let headers = [
        ("content-type", Problem::MEDIA_TYPE.to_owned()),
        ("content-length", body.len().to_string()),
        ("cache-control", "no-store".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("connection", "close".to_owned()),
    ];
    for (name, value) in headers.into_iter().chain(retry_after) {
        response.push_str(&format!("{name}: {value}\r\n"));
    }
    response.push_str("\r\n");
    [response.into_bytes(), body].concat()
}

/// A 200 response with a JSON body.
pub(crate) fn found<T: Serialize>(body: &T) -> Response {
    rendered(edge::Response::found(body))
}

/// Renders a response of the edge as HTTP.
pub(crate) fn rendered(response: edge::Response) -> Response {
    let edge::Response { status, is_replayed, version, body } = response;
    let (media_type, bytes) = match body {
        edge::Body::Json(bytes) => ("application/json", bytes),
        edge::Body::Packed(bytes) => (api::packed::MEDIA_TYPE, bytes),
    };
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let edge::Status::Created { location } = status {
        *response.status_mut() = StatusCode::CREATED;
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
    }
    if let Some(tag) = version.and_then(|version| HeaderValue::from_str(&api::entity_tag(version)).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    if is_replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn json<T: Serialize>(status: StatusCode, media_type: &'static str, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            response
        }
        Err(error) => {
            tracing::error!(%error, "cannot write JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
