//! Tests of access tokens, of the keys of their issuers, and of DPoP proofs.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, prints what it skips or measures, and chooses among what it knows"
)]

mod acceptance;
mod assertions;
mod attacks;
mod cache;
mod key_sets;
mod proofs;
mod properties;
mod published_cases;
mod support;
