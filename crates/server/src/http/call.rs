//! Receives a request: checks its key, scope, parameters and body before a handler sees it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use api::routes::Body as Expected;
use api::{ErrorCode, IDEMPOTENCY_KEY, IF_MATCH, Problem, Route, Scope, packed};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use edge::admission::Address;
use edge::auth::{Caller, permitted_on_route};
use edge::{Head, Headers};
use engine::Sender;
use futures_util::StreamExt as _;
use types::ActorId;

use crate::http::app::App;
use crate::http::bodies::HeldBody;
use crate::http::doors::{Admitted, KnownClient, LastRefused};
use crate::http::failure::Failure;
use crate::http::host::{Host, NotFound, Proven};
use crate::http::local::Local;
use crate::tls::ClientCertificate;

/// Most time in which a body must arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Most time in which a form must arrive. Anybody can send one, and it is small.
const FORM_WITHIN: Duration = Duration::from_secs(5);

/// Most bytes for which room is made before they arrive.
const RESERVED_BYTES_MAX: usize = 1 << 20;

/// Most bytes that are read and discarded of a body that is too large, so that its sender still reads the answer.
const DRAINED_BYTES_MAX: usize = 1 << 20;

/// An accepted request: its credential has the route's scope, its parameters are known and its body is within the limit.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) host: Arc<Host>,
    /// The tenant of the caller; the first tenant on routes that need no credential.
    pub(crate) app: Arc<App>,
    pub(crate) head: Head,
    /// Who sent the request. On routes that need no credential: the system actor, without scopes.
    pub(crate) caller: Caller,
    /// What showed that.
    pub(crate) proven: Proven,
    /// Whether the process itself sent the request.
    pub(crate) is_local: bool,
    /// The certificate of the client, if the connection showed one.
    pub(crate) certificate: Option<ClientCertificate>,
    /// Where it came from.
    pub(crate) from: Address,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The memory of the body.
    _held: HeldBody,
}

impl Call {
    /// Receives a request. `admitted` becomes what is known about it once it was admitted.
    pub(crate) async fn receive(
        host: Arc<Host>,
        route: &'static Route,
        request: Request,
        admitted: &mut Option<Admitted>,
    ) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let headers = parts.headers;
        let local = parts.extensions.get::<Local>().copied();
        let certificate = parts.extensions.get::<ClientCertificate>().copied();
        let last_refused = parts.extensions.get::<LastRefused>();
        let from = parts.extensions.get().copied().unwrap_or(Address::of(Ipv4Addr::UNSPECIFIED.into()));
        let (app, caller, proven) = match route.scope {
            Some(scope) => {
                let may = |tenant, has| {
                    permitted_on_route(has, scope)?;
                    host.permit_home(tenant, scope)
                };
                match local {
                    Some(local) => {
                        let (app, caller, proven) = host.of_local(local).await?;
                        may(app.core.tenant(), caller.scopes)?;
                        (app, caller, proven)
                    }
                    None => {
                        let request = (parts.method.as_str(), parts.uri.path());
                        let found = match host.find(request, &headers, (certificate, from)).await {
                            Ok(found) => found,
                            Err(NotFound { failure, client }) => {
                                if let Some(client) = client {
                                    *admitted = Some(host.admit(client, &headers, last_refused)?);
                                }
                                return Err(host.doors.unauthenticated(from, failure));
                            }
                        };
                        let client = found.client();
                        *admitted = Some(host.admit(client, &headers, last_refused)?);
                        parts.extensions.get().into_iter().for_each(KnownClient::note);
                        may(client.tenant, found.scopes())?;
                        host.let_in(found).await?
                    }
                }
            }
            None => {
                if matches!(route.body, Expected::Form(_)) {
                    // Clients of the built-in issuer show their secrets in the body. Checking an assertion is costly.
                    host.doors.may_check(from)?;
                }
                let nobody = Caller { actor: ActorId::SYSTEM, sender: Sender::Token { scopes: 0 }, scopes: 0 };
                (Arc::clone(host.home()), nobody, Proven::Nothing)
            }
        };
        let given = Headers { key: only(&headers, IDEMPOTENCY_KEY)?, if_match: only(&headers, IF_MATCH)? };
        let head = Head::read(route, parts.uri.path(), parts.uri.query().unwrap_or_default(), given)?;
        let mut held = HeldBody::new(&host.doors.bodies, route.scope.map(|_scope| app.core.tenant()));
        let is_form = matches!(route.body, Expected::Form(_));
        let body = match route.body {
            Expected::None => Bytes::new(),
            Expected::Json(_)
            | Expected::Batch(_)
            | Expected::Empty(_)
            | Expected::Form(_)
            | Expected::Archive
            | Expected::Packed { .. } => {
                let reading = read(body, &headers, route, &mut held);
                let within = if is_form { FORM_WITHIN } else { BODY_WITHIN };
                let late = |_elapsed| {
                    if is_form {
                        host.doors.note_unauthenticated(from);
                    }
                    let detail = format!("the body took longer than {} s", within.as_secs());
                    Problem::new(ErrorCode::RequestTimeout, detail)
                };
                let body = tokio::time::timeout(within, reading).await.map_err(late)??;
                if route.scope.is_some() && local.is_none() {
                    // The body may have taken a while.
                    app.check(&proven)?;
                }
                if let Some(admitted) = admitted {
                    host.doors.received(admitted, body.len());
                }
                body
            }
        };
        check_media_type(route.body, &headers, &body)?;
        Ok(Self {
            host,
            app,
            head,
            caller,
            proven,
            is_local: local.is_some(),
            certificate,
            from,
            headers,
            body,
            _held: held,
        })
    }

    /// The request, as the edge takes it.
    pub(crate) fn at_the_edge(&self) -> edge::Call<'_> {
        edge::Call {
            head: &self.head,
            actor: self.caller.actor,
            sender: self.caller.sender,
            scopes: Scope::from_bits(self.caller.scopes),
            body: &self.body,
        }
    }
}

/// The value of a header that must not occur more than once.
pub(crate) fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value| value.as_bytes())),
        (_, Some(_)) => {
            Err(Problem::new(ErrorCode::InvalidHeader, format!("the header {name} is given more than once")).at(name))
        }
    }
}

/// Reads the body. If it arrives in one piece, that piece is returned without a copy; otherwise all pieces are copied into one
/// buffer.
async fn read(body: Body, headers: &HeaderMap, route: &Route, held: &mut HeldBody) -> Result<Bytes, Failure> {
    let bytes_max = route.body_bytes_max();
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if let Some(declared) = declared.filter(|declared| *declared > bytes_max.saturating_add(DRAINED_BYTES_MAX)) {
        return Err(too_large(route, &format!("found {declared} bytes")));
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    let mut read_bytes = 0_usize;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(
                ErrorCode::MalformedJson,
                format!("the connection ended before the whole body had arrived: {error}"),
            )
        })?;
        read_bytes = read_bytes.saturating_add(chunk.len());
        if read_bytes <= bytes_max {
            held.grow(chunk.len())?;
            if first.is_empty() && whole.is_empty() {
                first = chunk;
                continue;
            }
            if whole.is_empty() {
                // Only what has arrived is counted, so little more is reserved.
                whole.reserve(declared.unwrap_or(read_bytes).min(bytes_max).min(RESERVED_BYTES_MAX));
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&chunk);
        } else if read_bytes > bytes_max.saturating_add(DRAINED_BYTES_MAX) {
            return Err(too_large(route, &format!("found more than {bytes_max} bytes")));
        }
    }
    if read_bytes > bytes_max {
        return Err(too_large(route, &format!("found {read_bytes} bytes")));
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

fn too_large(route: &Route, found: &str) -> Failure {
    let bytes_max = route.body_bytes_max();
    let problem = match route.body {
        Expected::Packed { record_bytes, .. } => {
            let records = packed::EVENTS_MAX;
            let detail = format!("{found}, expected at most {records} records of {record_bytes}: {bytes_max} bytes");
            Problem::new(ErrorCode::TooManyEvents, detail)
        }
        Expected::None
        | Expected::Json(_)
        | Expected::Batch(_)
        | Expected::Empty(_)
        | Expected::Form(_)
        | Expected::Archive => {
            let detail = format!("the route takes a body of at most {bytes_max} bytes");
            Problem::new(ErrorCode::BodyTooLarge, detail)
        }
    };
    problem.into()
}

fn check_media_type(expected: Expected, headers: &HeaderMap, body: &Bytes) -> Result<(), Problem> {
    let wanted = match expected {
        // The endpoints for forms check it themselves, because their errors have a form of their own.
        Expected::None | Expected::Form(_) => return Ok(()),
        Expected::Empty(_) if body.is_empty() => return Ok(()),
        Expected::Json(_) | Expected::Batch(_) | Expected::Empty(_) => &["application/json"][..],
        Expected::Archive => &api::archive::MEDIA_TYPES,
        Expected::Packed { .. } => &[packed::MEDIA_TYPE],
    };
    let unsupported = |name: &str, detail: String| Err(Problem::new(ErrorCode::UnsupportedMediaType, detail).at(name));
    let encoding = only(headers, "Content-Encoding")?.filter(|encoding| !encoding.eq_ignore_ascii_case(b"identity"));
    if let Some(found) = encoding {
        let found = shown(&String::from_utf8_lossy(found));
        return unsupported("Content-Encoding", format!("found `{found}`, expected none; send the body uncompressed"));
    }
    let expected = wanted.join(" or ");
    let Some(found) = only(headers, "Content-Type")? else {
        return unsupported("Content-Type", format!("found no content type, expected {expected}"));
    };
    let found = String::from_utf8_lossy(found);
    let mut parts = found.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !wanted.iter().any(|wanted| media_type.eq_ignore_ascii_case(wanted)) {
        return unsupported("Content-Type", format!("found `{}`, expected {expected}", shown(media_type)));
    }
    let charset = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("charset"));
    match charset.map(|(_, charset)| charset.trim_matches('"')) {
        Some(charset) if !["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known)) => {
            unsupported("Content-Type", format!("found the charset `{}`, expected utf-8", shown(charset)))
        }
        _ => Ok(()),
    }
}

/// The beginning of a text of the client, without control characters.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
