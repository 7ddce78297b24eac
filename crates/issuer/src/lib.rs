//! The issuer that is built into Finaira: an OAuth 2.0 authorisation server for programs (RFC 6749, client credentials only).
//!
//! Nothing here has a network, a clock, a disk or randomness of its own, with one exception: an ES256 signature needs a random
//! number, which `aws-lc-rs` draws itself. The caller passes requests as they arrived, the time and random bytes, keeps the
//! settings and the keys, and sends what [`Issuer`] answers.
//!
//! - [`Issuer::authenticate`] finds out which client sent a request. A client authenticates with a secret ([`ClientSecret`]) in the header or in the
//!   body, or with an assertion that it signs (RFC 7523).
//! - [`Issuer::token`] answers the token endpoint. The token (RFC 9068) names its tenant, and is bound to the key of a
//!   DPoP proof (RFC 9449) if the request has one, and to the certificate of the TLS client (RFC 8705) if the client is so registered.
//! - [`Issuer::introspect`] and [`Issuer::revoke`] answer a client about tokens of this issuer (RFC 7662, RFC 7009).
//! - [`KeyRing`] holds the keys that sign, over time. [`KeyRing::jwks`] is what `jwks_uri` answers.
//! - [`Issuer::metadata`] is the discovery document (RFC 8414, OpenID Connect Discovery).
//! - [`Issuer::is_current`] tells for each request whether a token still counts: neither it nor its client may be revoked.
//!
//! Tokens are verified by `oauth::Verifier`, like those of any other issuer; [`Issuer::verifier_settings`] configures it.
//!
//! **An assertion counts once**, also across a restart, without a write to disk: see [`Replays`].
//!
//! **Bounds**: forms of [`FORM_BYTES_MAX`] with [`PARAMETERS_MAX`] parameters; [`ASSERTIONS_MAX`] remembered assertions, of one
//! client [`ASSERTIONS_PER_CLIENT_MAX`]; tokens live for [`TOKEN_LIFETIME_MAX`] at most; [`RETIRED_KEYS_MAX`] retired keys.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::integer_division, clippy::indexing_slicing)]

mod authenticate;
mod client;
mod form;
mod introspect;
mod issuer;
mod key;
mod key_ring;
mod metadata;
mod refusal;
mod replays;
mod revoke;
mod secret;
mod token;

pub use authenticate::Authentic;
pub use client::{
    Authentication, CLIENT_ID_BYTES_MAX, Client, ClientBinding, ClientIdError, Registry, check_client_id,
};
pub use form::{FORM_BYTES_MAX, FormError, PARAMETERS_MAX};
pub use introspect::Introspection;
pub use issuer::{ASSERTION_ALGORITHMS, Issuer, NAME_BYTES_MAX, Request, Settings, SettingsError};
pub use key::{KeyError, SigningAlgorithm, SigningKey};
pub use key_ring::{DocumentError, KeyRing, RETIRED_KEYS_MAX, ROTATE_AFTER, RotationError};
pub use refusal::{Code, Refusal};
pub use replays::{ASSERTIONS_MAX, ASSERTIONS_PER_CLIENT_MAX, Replays};
pub use revoke::Revocation;
pub use secret::{ClientSecret, SecretParseError};
pub use token::{Granted, TOKEN_LIFETIME_DEFAULT, TOKEN_LIFETIME_MAX, TOKEN_LIFETIME_MIN};
