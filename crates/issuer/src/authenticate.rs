//! How a client shows who it is (RFC 6749, section 2.3; RFC 7523, section 2.2).

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oauth::{Assertion, Authenticated};
use types::Timestamp;

use crate::client::{Authentication, Client, Registry};
use crate::form::{Form, decode};
use crate::issuer::{ASSERTION_ALGORITHMS, Issuer, Request};
use crate::refusal::{ASSERTION_TYPE, Refusal};
use crate::replays::Replays;
use crate::secret::ClientSecret;

/// A request whose client has shown who it is. Its sender can be admitted or refused before anything else is done for it.
pub struct Authentic<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) form: Form,
    pub(crate) client: Arc<Client>,
    /// The assertion that it did so with, still to be used up.
    assertion: Option<Authenticated>,
}

/// What a request has to show who sends it.
enum Presented<'a> {
    Secret { client_id: String, secret: String },
    Assertion(Assertion<'a>),
}

impl Issuer {
    /// Finds out who sends a request. An assertion is not used up yet, so that a request that is refused for another reason
    /// can be repeated.
    ///
    /// # Errors
    /// Fails if the request is malformed, or the client did not show who it is.
    pub fn authenticate<'a>(
        &self,
        request: &Request<'a>,
        registry: &dyn Registry,
        now: Timestamp,
    ) -> Result<Authentic<'a>, Refusal> {
        let form = request.form()?;
        let (client, assertion) = self.client_of(request, &form, registry, now)?;
        Ok(Authentic { request: *request, form, client, assertion })
    }

    fn client_of(
        &self,
        request: &Request<'_>,
        form: &Form,
        registry: &dyn Registry,
        now: Timestamp,
    ) -> Result<(Arc<Client>, Option<Authenticated>), Refusal> {
        let presented = presented(request, form)?;
        let client_id = match &presented {
            Presented::Secret { client_id, .. } => client_id,
            Presented::Assertion(assertion) => assertion.client(),
        };
        if form.get("client_id").is_some_and(|named| named != client_id) {
            return Err(Refusal::TwoClients);
        }
        let client = registry.client(client_id).filter(|client| !client.is_revoked).ok_or(Refusal::Client)?;
        let assertion = match (&presented, &client.authentication) {
            (Presented::Secret { secret, .. }, Authentication::Secrets(hashes)) => {
                let secret: ClientSecret = secret.parse().map_err(|_malformed| Refusal::Client)?;
                if !secret.matches(&client.id, hashes) {
                    return Err(Refusal::Client);
                }
                None
            }
            (Presented::Assertion(assertion), Authentication::Keys(keys)) => {
                let audiences = self.assertion_audiences();
                let verified = assertion.verify(keys.usable(), &ASSERTION_ALGORITHMS, &audiences, now);
                Some(verified.map_err(Refusal::Assertion)?)
            }
            (Presented::Secret { .. }, Authentication::Keys(_))
            | (Presented::Assertion(_), Authentication::Secrets(_)) => return Err(Refusal::Client),
        };
        Ok((client, assertion))
    }
}

impl Authentic<'_> {
    /// The client that sent the request.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Uses up the assertion, if there is one. To be called when nothing else is wrong with the request.
    pub(crate) fn use_once(&self, replays: &Replays, now: Timestamp) -> Result<(), Refusal> {
        let client = (self.client.tenant, &*self.client.id);
        self.assertion.as_ref().map_or(Ok(()), |assertion| replays.use_once(client, assertion, now))
    }
}

impl fmt::Debug for Authentic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentic").field("client", &self.client.id).finish_non_exhaustive()
    }
}

/// Finds the one way in which the request authenticates its client.
fn presented<'a>(request: &Request<'_>, form: &'a Form) -> Result<Presented<'a>, Refusal> {
    let secret = form.get("client_secret");
    let (assertion, assertion_type) = (form.get("client_assertion"), form.get("client_assertion_type"));
    let has_assertion = assertion.is_some() || assertion_type.is_some();
    match (request.authorization, secret, has_assertion) {
        ([header], None, false) => basic(header),
        ([], Some(secret), false) => {
            let client_id = form.get("client_id").ok_or(Refusal::Missing("client_id"))?.to_owned();
            Ok(Presented::Secret { client_id, secret: secret.to_owned() })
        }
        ([], None, true) => {
            if assertion_type.ok_or(Refusal::Missing("client_assertion_type"))? != ASSERTION_TYPE {
                return Err(Refusal::AssertionType);
            }
            let assertion = assertion.ok_or(Refusal::Missing("client_assertion"))?;
            Ok(Presented::Assertion(Assertion::parse(assertion).map_err(Refusal::Assertion)?))
        }
        ([], None, false) => Err(Refusal::NoAuthentication),
        _ => Err(Refusal::SeveralMethods),
    }
}

/// Reads `Authorization: Basic`. Id and secret are encoded like the values of a form before they are joined.
fn basic<'a>(header: &[u8]) -> Result<Presented<'a>, Refusal> {
    let header = std::str::from_utf8(header).map_err(|_bytes| Refusal::Authorization)?;
    let (scheme, credentials) = header.split_once(' ').ok_or(Refusal::Authorization)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refusal::Authorization);
    }
    let pair = STANDARD.decode(credentials.trim_start_matches(' ')).map_err(|_encoding| Refusal::Authorization)?;
    let colon = pair.iter().position(|byte| *byte == b':').ok_or(Refusal::Authorization)?;
    let (client_id, secret) = pair.split_at_checked(colon).ok_or(Refusal::Authorization)?;
    let secret = secret.strip_prefix(b":").ok_or(Refusal::Authorization)?;
    let decode = |text| decode(text).map_err(|_form| Refusal::Authorization);
    Ok(Presented::Secret { client_id: decode(client_id)?, secret: decode(secret)? })
}
