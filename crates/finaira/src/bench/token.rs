//! An access token of the server under test, from its built-in issuer.

use anyhow::Context as _;
use serde_json::Value;

use super::connection::{Connection, Request, Wait};
use super::drive::Target;

/// An hour, the longest life of a token. A load takes less.
const CLIENT: &str = r#"{"client_id": "bench", "name": "bench", "role": "administrator", "token_lifetime_s": 3600, "authentication": {"method": "client_secret"}}"#;

/// Registers a client and gets a token for it. It counts until the server stops, whose address is the name of the issuer.
pub(super) fn get(target: Target<'_>) -> anyhow::Result<String> {
    let mut connection = Connection::open(target.address, Wait::Block)?;
    let mut call = |mut request: Request, body: &str, field: &str| -> anyhow::Result<String> {
        request.set_body(|bytes| bytes.extend_from_slice(body.as_bytes()));
        let answer: Value = serde_json::from_slice(connection.call(&request)?.success()?)?;
        Ok(answer[field].as_str().with_context(|| format!("the answer has no `{field}`"))?.to_owned())
    };
    let register = Request::post("/v1/clients", target.key, "application/json");
    let secret = call(register, CLIENT, "client_secret").context("the client cannot be registered")?;
    let form = format!("grant_type=client_credentials&client_id=bench&client_secret={secret}");
    call(Request::form("/oauth/token"), &form, "access_token").context("there is no token")
}
