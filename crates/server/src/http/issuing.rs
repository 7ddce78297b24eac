//! The endpoints of the built-in issuer.

use api::{ErrorCode, Problem};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use edge::admission::Client;
use engine::{Expected, PutSetting, SettingKind};
use issuer::{Authentic, Refusal, Request, Revocation};
use types::{ActorId, RequestId, Timestamp, TokenSubject};

use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, LoggedCode, internal};
use crate::http::host::suspended;
use crate::identity::{BuiltIn, Identity, REVOKED_OF_CLIENT_MAX, revoked_document};

pub(crate) fn metadata(call: &Call) -> Handled {
    let (identity, built_in) = call.built_in()?;
    Ok(json(StatusCode::OK, built_in.issuer.metadata(&built_in.keys(), identity.proofs())))
}

pub(crate) fn keys(call: &Call) -> Handled {
    let (_, built_in) = call.built_in()?;
    Ok(json(StatusCode::OK, built_in.keys().jwks()))
}

pub(crate) fn token(call: &Call) -> Handled {
    let mut random = [0; 16];
    datadir::random(&mut random);
    let now = call.app.core.now();
    call.as_client(now, |asked, (identity, built_in)| {
        let granted = built_in.issuer.token(asked, &built_in.keys(), identity.proofs(), random, now)?;
        tracing::debug!(client = granted.client_id, token = granted.id, "a token was issued");
        Ok(json(StatusCode::OK, granted.to_json()))
    })
}

pub(crate) fn introspect(call: &Call) -> Handled {
    let now = call.app.core.now();
    call.as_client(now, |asked, (identity, built_in)| {
        let (settings, verifier) = (identity.settings(), identity.verifier());
        let found = built_in.issuer.introspect(asked, &*settings, &verifier, now)?;
        Ok(json(StatusCode::OK, found.to_json()))
    })
}

pub(crate) async fn revoke(call: Call) -> Handled {
    let now = call.app.core.now();
    let mut revocation = None;
    let answered = call.as_client(now, |asked, (identity, built_in)| {
        let (settings, verifier) = (identity.settings(), identity.verifier());
        revocation = built_in.issuer.revoke(asked, &*settings, &verifier, now)?;
        Ok(json(StatusCode::OK, "{}".to_owned()))
    })?;
    if let Some(revocation) = revocation {
        put_revoked(&call, revocation).await?;
    }
    Ok(answered)
}

/// Remembers a token that was revoked. It is on disk before the client is answered.
async fn put_revoked(call: &Call, Revocation { id, client_id, expires_at }: Revocation) -> Result<(), Failure> {
    let (tenant, count) = {
        let settings = call.host.identity().settings();
        (settings.clients.get(&client_id).map(|client| client.item.tenant), settings.revoked_of(&client_id))
    };
    if let Some(tenant) = tenant.filter(|tenant| call.host.tenants.installation().is_suspended(*tenant)) {
        return Err(suspended(tenant).into());
    }
    if count >= REVOKED_OF_CLIENT_MAX {
        let detail = format!(
            "found {count} revoked tokens of this client that have not expired, expected at most {REVOKED_OF_CLIENT_MAX}; \
             revoke the client, which ends all its tokens"
        );
        return Err(Problem::new(ErrorCode::TooManySettings, detail).into());
    }
    let name = id.parse().map_err(|_unnamed| Problem::new(ErrorCode::InvalidToken, "the token has no name"))?;
    let document = revoked_document(&client_id, expires_at).into();
    let put = PutSetting { kind: SettingKind::RevokedToken, name, document, expected: Expected::Any };
    let system = call.host.tenants.system();
    let answered = system.ask_as((system.tenant(), ActorId::SYSTEM), RequestId::default(), put).await?;
    answered.map_err(|refusal| Problem::from(&refusal))?;
    Ok(())
}

impl Call {
    fn built_in(&self) -> Result<(&Identity, &BuiltIn), Failure> {
        let identity = self.host.identity();
        let off = || {
            let detail = "the built-in issuer is off, because the server does not know its public address; start it with --public-url";
            Problem::new(ErrorCode::IssuerOff, detail)
        };
        Ok((identity, identity.built_in().ok_or_else(off)?))
    }

    /// Finds out which client sent the request, admits it, and answers it with `answer`. A client that could not be authenticated
    /// counts for its address.
    ///
    /// # Errors
    /// If there is no issuer, or the request is not admitted. What the issuer refuses has an answer of its own form.
    fn as_client(
        &self,
        now: Timestamp,
        answer: impl FnOnce(&Authentic<'_>, (&Identity, &BuiltIn)) -> Result<Response, Refusal>,
    ) -> Handled {
        let (identity, built_in) = self.built_in()?;
        self.as_form(|request| {
            let asked = match built_in.issuer.authenticate(request, identity, now) {
                Ok(asked) => asked,
                Err(refusal) => return Ok(self.refused(&refusal)),
            };
            // As its requests with a token count, so that both together have one limit.
            let client = asked.client();
            let subject = TokenSubject::new(built_in.name(), &client.id)
                .map_err(|error| internal(&format!("a client cannot be the subject of a token: {error}")))?;
            let client = Client::of_subject(client.tenant, &subject);
            let admitted = if self.is_local { None } else { Some(self.host.admit(client, &self.headers, None)?) };
            let answered = answer(&asked, (identity, built_in));
            let mut response = answered.unwrap_or_else(|refusal| self.refused(&refusal));
            if let Some(admitted) = admitted {
                self.host.doors.answered(&admitted, response.headers_mut());
            }
            Ok(response)
        })
    }

    /// The answer to a refused request. Clients that could not be authenticated count for their address.
    fn refused(&self, refusal: &Refusal) -> Response {
        let response = refused(refusal);
        if response.status() == StatusCode::UNAUTHORIZED {
            self.host.doors.note_unauthenticated(self.from);
        }
        response
    }

    /// Calls `with` with the request as the issuer takes it.
    fn as_form<T>(&self, with: impl FnOnce(&Request<'_>) -> T) -> T {
        let all = |name: &str| values(&self.headers, name);
        let (content_types, authorization, proofs) = (all("content-type"), all("authorization"), all("dpop"));
        with(&Request {
            content_types: &content_types,
            // A route without parameters refuses them before this.
            query: None,
            authorization: &authorization,
            proofs: &proofs,
            certificate: self.certificate.map(|certificate| certificate.thumbprint),
            body: &self.body,
        })
    }
}

/// The values of all headers with this name.
pub(crate) fn values<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

fn refused(refusal: &Refusal) -> Response {
    let code = refusal.code();
    let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = json(status, refusal.to_json());
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(Refusal::CHALLENGE));
    }
    if let Some(wait) = refusal.retry_after() {
        let seconds = wait.ns().div_ceil(1_000_000_000);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response.extensions_mut().insert(LoggedCode(code.name()));
    response
}

fn json(status: StatusCode, text: String) -> Response {
    let media_type = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, media_type)], text).into_response()
}
