//! The discovery document of an issuer (OpenID Connect Discovery 1.0, RFC 8414).

use types::shorten;

use crate::json::{Json, JsonError, parse_object};
use crate::uri::{HttpUri, UriError};

/// The largest discovery document that is read.
pub const DISCOVERY_BYTES_MAX: usize = 64 * 1024;

/// Why a discovery document is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Longer than the bound.
    #[error("the discovery document has {0} bytes; expected at most {DISCOVERY_BYTES_MAX}")]
    Size(usize),
    /// Not an object in JSON.
    #[error("the discovery document is not valid: {0}")]
    Json(JsonError),
    /// A member is missing or has another type.
    #[error("the discovery document has {found} as `{member}`; expected text")]
    Member {
        /// Its name.
        member: &'static str,
        /// What was found.
        found: &'static str,
    },
    /// It is the document of another issuer.
    #[error("the discovery document is of the issuer `{found}`; expected `{expected}`")]
    Issuer {
        /// What it says.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// The address of the keys is not one.
    #[error("`jwks_uri` is not valid: {0}")]
    KeySetUri(UriError),
    /// The keys would come over an unprotected connection, or from the own machine for an issuer elsewhere.
    #[error("`jwks_uri` is `{0}`; expected https, or a loopback address if the issuer has one too")]
    KeySetPlace(String),
}

/// Where to fetch the discovery document of `issuer`: the path is appended, as OpenID Connect does it.
pub fn discovery_uri(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
}

/// Reads the discovery document of `issuer`, and returns the address of its keys as the document writes it.
///
/// # Errors
/// Fails if the document is malformed, belongs to an issuer with another name (compared exactly), or sends the server to
/// an address where nobody may be believed.
pub fn key_set_uri(issuer: &str, document: &[u8]) -> Result<String, DiscoveryError> {
    if document.len() > DISCOVERY_BYTES_MAX {
        return Err(DiscoveryError::Size(document.len()));
    }
    let members = parse_object(document).map_err(DiscoveryError::Json)?;
    let text = |member| match members.get(member) {
        Some(Json::Text(text)) => Ok(text),
        other => Err(DiscoveryError::Member { member, found: other.map_or("nothing", Json::kind) }),
    };
    let found = text("issuer")?;
    if found != issuer {
        return Err(DiscoveryError::Issuer { found: shorten(found), expected: shorten(issuer) });
    }
    let address = text("jwks_uri")?;
    let uri = HttpUri::parse(address).map_err(DiscoveryError::KeySetUri)?;
    let is_local = HttpUri::parse(issuer).is_ok_and(|issuer| issuer.is_loopback());
    if !uri.is_trustworthy() || uri.is_loopback() && !is_local {
        return Err(DiscoveryError::KeySetPlace(shorten(address)));
    }
    Ok(address.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://id.example/realms/a";

    #[track_caller]
    fn refuses(issuer: &str, document: &str, reason: &str) {
        let found = key_set_uri(issuer, document.as_bytes()).map_err(|error| error.to_string());
        assert!(found.as_ref().is_err_and(|error| error.contains(reason)), "{document}: {found:?}");
    }

    #[test]
    fn a_document_leads_to_the_keys() {
        assert_eq!(discovery_uri(ISSUER), "https://id.example/realms/a/.well-known/openid-configuration");
        assert_eq!(discovery_uri("https://id.example/"), "https://id.example/.well-known/openid-configuration");
        let document = format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"https://keys.example/certs?a=1","other":[1]}}"#);
        assert_eq!(key_set_uri(ISSUER, document.as_bytes()), Ok("https://keys.example/certs?a=1".into()));
        let local = "http://localhost:8080";
        let document = format!(r#"{{"issuer":"{local}","jwks_uri":"{local}/certs"}}"#);
        assert_eq!(key_set_uri(local, document.as_bytes()), Ok("http://localhost:8080/certs".into()));
    }

    #[test]
    fn a_document_is_the_issuers_own() {
        let with = |issuer: &str, keys: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}"}}"#);
        refuses(ISSUER, &with("https://id.example/realms/a/", "https://a/"), "expected `https://id.example/realms/a`");
        refuses(ISSUER, &with("https://ID.example/realms/a", "https://a/"), "is of the issuer `https://ID.example");
        refuses(ISSUER, &with(ISSUER, "http://id.example/certs"), "expected https");
        refuses(ISSUER, &with(ISSUER, "http://localhost/certs"), "expected https");
        refuses(ISSUER, &with(ISSUER, "https://127.0.0.1/certs"), "expected https");
        refuses(ISSUER, &with(ISSUER, "file:///etc/passwd"), "another scheme");
        refuses(ISSUER, &with(ISSUER, "/certs"), "no scheme");
        refuses(ISSUER, r#"{"jwks_uri":"https://a/"}"#, "nothing as `issuer`");
        refuses(ISSUER, &format!(r#"{{"issuer":"{ISSUER}"}}"#), "nothing as `jwks_uri`");
        refuses(ISSUER, &format!(r#"{{"issuer":"{ISSUER}","jwks_uri":["https://a/"]}}"#), "a list as `jwks_uri`");
        refuses(ISSUER, &format!(r#"{{"issuer":"https://evil","issuer":"{ISSUER}"}}"#), "appears twice");
        refuses(ISSUER, "<html>", "not valid");
        refuses(ISSUER, &" ".repeat(DISCOVERY_BYTES_MAX + 1), "65537 bytes");
    }
}
