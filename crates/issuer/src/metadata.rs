//! The discovery document (RFC 8414, OpenID Connect Discovery 1.0).

use oauth::{Algorithm, Proofs};
use serde_json::json;

use crate::issuer::{ASSERTION_ALGORITHMS, Issuer};
use crate::key_ring::KeyRing;

impl Issuer {
    /// The document for `/.well-known/oauth-authorization-server` and `/.well-known/openid-configuration`. This issuer logs nobody in
    /// and makes no ID tokens; the three members that speak of them are there because OpenID Connect requires them.
    pub fn metadata(&self, keys: &KeyRing, proofs: &Proofs) -> String {
        let names = |algorithms: &[Algorithm]| algorithms.iter().map(|it| it.name()).collect::<Vec<_>>();
        let at = |path: &str| format!("{}{path}", self.settings.origin);
        let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
        let assertions = names(&ASSERTION_ALGORITHMS);
        let document = json!({
            "issuer": self.settings.origin,
            "token_endpoint": at(Self::TOKEN_PATH),
            "jwks_uri": at(Self::JWKS_PATH),
            "introspection_endpoint": at(Self::INTROSPECTION_PATH),
            "revocation_endpoint": at(Self::REVOCATION_PATH),
            "scopes_supported": self.settings.scopes,
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": assertions,
            "introspection_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_signing_alg_values_supported": assertions,
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": assertions,
            "dpop_signing_alg_values_supported": names(proofs.algorithms()),
            "tls_client_certificate_bound_access_tokens": self.settings.takes_certificates,
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": names(&keys.algorithms()),
        });
        document.to_string()
    }
}
