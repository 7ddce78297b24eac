//! Checks what a request says about itself as an HTTP message, before its route matters.

use api::{ErrorCode, Problem};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Request, Version, header};
use axum::response::{IntoResponse as _, Response};

use crate::http::failure::Failure;

/// The refusal of a request whose host is missing or unclear (RFC 9112, section 3.2; RFC 9113, section 8.3.1), or whose body comes in a transfer coding other
/// than `chunked` (section 6.1); `None` for all others. The connection closes after the refusal, because nobody can be sure where the next request
/// begins.
pub(crate) fn refusal<B>(request: &Request<B>) -> Option<Response> {
    let problem = problem(request)?;
    let mut response = Failure::from(problem).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}

/// What makes a request unclear.
pub(crate) fn problem<B>(request: &Request<B>) -> Option<Problem> {
    check_host(request).and_then(|()| check_coding(request)).err()
}

fn check_host<B>(request: &Request<B>) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let detail = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => return Ok(()),
        // The HTTP library checked it.
        (None, _) if request.version() >= Version::HTTP_2 && request.uri().authority().is_some() => return Ok(()),
        (None, _) if request.version() >= Version::HTTP_2 => "found neither :authority nor a Host header, expected one",
        (Some(host), None) if differs_from_the_authority(request, host) => {
            "found a Host header that differs from :authority, expected the same or none"
        }
        (None, _) => "found no Host header, expected one",
        (Some(_), Some(_)) => "found more than one Host header, expected one",
        (Some(host), None) if !host.is_empty() && Authority::try_from(host.as_bytes()).is_err() => {
            "found a Host header that names no host, expected a name or an address, with or without a port"
        }
        (Some(_), None) => return Ok(()),
    };
    Err(Problem::new(ErrorCode::InvalidHeader, detail).at("Host"))
}

/// Whether a request of HTTP/2 names two hosts.
fn differs_from_the_authority<B>(request: &Request<B>, host: &HeaderValue) -> bool {
    let authority = request.uri().authority().filter(|_| request.version() >= Version::HTTP_2);
    authority.is_some_and(|authority| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()))
}

fn check_coding<B>(request: &Request<B>) -> Result<(), Problem> {
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => {
            let detail = "found another transfer coding, expected `chunked` or none";
            Err(Problem::new(ErrorCode::UnsupportedTransferCoding, detail).at("Transfer-Encoding"))
        }
    }
}
