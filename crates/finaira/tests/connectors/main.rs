//! Connectors with real targets: the copy equals the journal, whatever is killed.
//!
//! Each test is skipped unless a variable says that it must run, because it starts a server: `FINAIRA_REQUIRE_POSTGRES=1` and so on.
//! `docs/testing.md` says how to run them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and prints what it skips")]
#![expect(clippy::disallowed_methods, reason = "processes are killed at moments that only a clock gives")]

mod cassandra;
mod commands;
mod endpoint;
mod events_suite;
#[path = "../commands/harness.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod harness;
mod kafka;
mod mongodb;
#[path = "../commands/mounted.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mounted;
mod mysql;
mod nats;
mod objects;
mod postgres;
mod rabbitmq;
mod redis;
#[path = "../../../oauth/tests/identity_servers/service.rs"]
mod service;
mod suite;
mod traffic;
mod watching;
