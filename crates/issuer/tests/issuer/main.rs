//! Tests of the built-in issuer through its public interface.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod acceptance;
mod clients_tokens;
mod hostile;
mod key_rings;
mod support;
