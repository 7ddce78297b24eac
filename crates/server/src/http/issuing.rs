//! The endpoints of the built-in issuer.

use api::{ErrorCode, Problem};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use engine::{Expected, PutSetting, SettingKind};
use issuer::{KeyRing, Refusal, Request, Revocation};
use types::{ActorId, RequestId};

use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, LoggedCode};
use crate::http::host::suspended;
use crate::identity::{BuiltIn, Identity, REVOKED_OF_CLIENT_MAX, revoked_document};

pub(crate) fn metadata(call: &Call) -> Handled {
    let (identity, built_in) = call.built_in()?;
    let document = built_in.with_keys(|keys| built_in.issuer.metadata(keys, identity.proofs()));
    Ok(json(StatusCode::OK, document))
}

pub(crate) fn keys(call: &Call) -> Handled {
    let (_, built_in) = call.built_in()?;
    Ok(json(StatusCode::OK, built_in.with_keys(KeyRing::jwks)))
}

pub(crate) fn token(call: &Call) -> Handled {
    let (identity, built_in) = call.built_in()?;
    let mut random = [0; 16];
    datadir::random(&mut random);
    let now = call.app.core.now();
    let granted = call.as_form(|request| {
        let settings = identity.settings();
        built_in.with_keys(|keys| built_in.issuer.token(request, &*settings, keys, identity.proofs(), random, now))
    });
    match granted {
        Ok(granted) => {
            tracing::debug!(client = granted.client_id, token = granted.id, "a token was issued");
            Ok(json(StatusCode::OK, granted.to_json()))
        }
        Err(refusal) => Ok(call.refused(&refusal)),
    }
}

pub(crate) fn introspect(call: &Call) -> Handled {
    let (identity, built_in) = call.built_in()?;
    let now = call.app.core.now();
    let found = call.as_form(|request| {
        let (settings, verifier) = (identity.settings(), identity.verifier());
        built_in.issuer.introspect(request, &*settings, &verifier, now)
    });
    Ok(match found {
        Ok(found) => json(StatusCode::OK, found.to_json()),
        Err(refusal) => call.refused(&refusal),
    })
}

pub(crate) async fn revoke(call: Call) -> Handled {
    let (identity, built_in) = call.built_in()?;
    let now = call.app.core.now();
    let found = call.as_form(|request| {
        let (settings, verifier) = (identity.settings(), identity.verifier());
        built_in.issuer.revoke(request, &*settings, &verifier, now)
    });
    match found {
        Ok(None) => {}
        Ok(Some(Revocation { id, client_id, expires_at })) => {
            let (tenant, count) = {
                let settings = identity.settings();
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
        }
        Err(refusal) => return Ok(call.refused(&refusal)),
    }
    Ok(json(StatusCode::OK, "{}".to_owned()))
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
