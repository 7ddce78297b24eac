//! Finaira as an OAuth 2.0 resource server: which access tokens count, for whom, and whether their sender may use them.
//!
//! Nothing here has a network, a clock or randomness of its own. The caller fetches what [`KeySet`] asks for, and passes the
//! time and a random key.
//!
//! The path of a request:
//!
//! 1. [`presented`] finds the token: one header `Authorization`, `Bearer` (RFC 6750) or `DPoP` (RFC 9449).
//! 2. [`TokenCache`] knows what it says if it was verified before. Otherwise [`Verifier`] reads and verifies it:
//!    [`jws`] (RFC 7515, compact form only), the issuer's key (RFC 7517), the claims of access tokens (RFC 9068). On
//!    [`TokenError::UnknownKey`] and [`TokenError::KeysUnavailable`] the caller asks [`KeySet::start_fetch`] whether to fetch
//!    the keys and try once more.
//! 3. [`Sender::check`] checks that the sender has the keys that the token is bound to: a TLS certificate (RFC 8705), a
//!    DPoP proof (RFC 9449, [`Proofs`]).
//! 4. [`VerifiedToken::require`] checks the scope of the route.
//!
//! Every error has a [`Code`], and [`challenge`] writes both into the response.
//!
//! The same strict reading serves the token endpoint of the crate `issuer`: [`Assertion`] is how a client authenticates there
//! (RFC 7523), and [`Proofs::check_token_request`] finds the key that a new token is to be bound to.
//!
//! What a caller must know:
//!
//! - **The algorithm** comes from the key and from the issuer's settings; the header only chooses among what both allow. `none`
//!   and HMAC cannot be expressed ([`Algorithm`]). The best practices of RFC 8725 that concern a verifier are followed.
//! - **Only one reading**: base64url without padding, no JSON member twice, exact types. A claim of the wrong type is an error
//!   and never counts as absent. Header parameters that bring or fetch a key are refused.
//! - **Replays of DPoP proofs** are refused also after a restart, because nonces end with the process that issued them.
//! - **Bounds**: tokens and proofs of 8 KiB ([`jws::JWS_BYTES_MAX`]), nested 8 levels; RSA keys of 2,048 to 8,192 bits (4,096 in
//!   proofs); key sets of 256 KiB and 64 keys; discovery documents of 64 KiB; 64 issuers with 256 rules each; one fetch of
//!   keys at a time and one in 30 s because of unknown keys; proofs and remembered tokens as the caller configures.
//!
//! Signatures are checked by `aws-lc-rs`, which is also what rustls uses.

mod access_token;
mod algorithm;
mod assertion;
pub mod base64url;
mod cache;
mod claims;
mod code;
mod discovery;
mod dpop;
mod issuer;
mod json;
mod jwk;
pub mod jws;
mod key_set;
mod nonce;
mod sender;
mod uri;

pub use access_token::{CLOCK_SKEW_MAX, Confirmation, ISSUERS_MAX, TokenError, Verified, VerifiedToken, Verifier};
pub use algorithm::Algorithm;
pub use assertion::{ASSERTION_AHEAD_MAX, ASSERTION_LIFE_MAX, Assertion, AssertionError, Authenticated};
pub use cache::TokenCache;
pub use claims::{ClaimError, NAME_BYTES_MAX};
pub use code::{Code, challenge};
pub use discovery::{DISCOVERY_BYTES_MAX, DiscoveryError, discovery_uri, key_set_uri};
pub use dpop::{PROOF_AGE_MAX, PROOF_AHEAD_MAX, PROOF_RSA_BITS_MAX, ProofError, Proofs, Target};
pub use issuer::{
    Binding, IssuerSettings, PATH_NAMES_MAX, Profile, RULES_MAX, ScopeRule, Scopes, SettingsError, Tenants, Values,
};
pub use json::JsonError;
pub use jwk::{JwkError, KID_BYTES_MAX, Key, RSA_BITS_MAX, RSA_BITS_MIN, Thumbprint};
pub use key_set::{
    BACKOFF_MAX, BACKOFF_MIN, FETCH_TIMEOUT, KEY_SET_BYTES_MAX, KEYS_MAX, KeySet, KeySetError, Keys, Need,
    REFRESH_AFTER, STALE_AFTER, UNKNOWN_KEY_INTERVAL,
};
pub use nonce::{NONCE_PERIOD, PROOFS_PER_NONCE_MAX, Spender};
pub use sender::{PresentedError, Scheme, Sender, SenderError, presented};
pub use uri::{HttpUri, URI_BYTES_MAX, UriError};
