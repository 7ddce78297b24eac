//! The edge: parses a request into typed operations of the engine, and renders their typed answers as a response. It
//! knows nothing about HTTP.
//!
//! A transport parses the head of a request into a [`Head`], receives the body, and passes both to [`Edge::answer`]. That
//! function parses the body, replaces entity keys with tokens, seals personal data, asks the engine through [`Sources`], and
//! renders the answer. `server` calls it for HTTP requests, `sim` for requests over a simulated network, `fuzz` with fuzz
//! input. Each operation has its own answer type, so a handler cannot render the answer to another operation.
//!
//! The handlers are asynchronous because answers take time, but they depend on no runtime. `server` polls them with tokio;
//! `sim` and `fuzz` poll them directly.
#![deny(clippy::arithmetic_side_effects, clippy::integer_division, clippy::indexing_slicing)]

pub mod admission;
pub mod auth;

mod answer;
mod api_keys;
mod approvals;
mod audit;
mod call;
mod changes;
mod entities;
mod imports;
mod ledgers;
mod lists;
mod orders;
mod packed;
mod past;
mod payment_batch;
mod payments;
mod personal;
mod policies;
mod response;
mod sources;

pub use answer::Edge;
pub use audit::AuditWanted;
pub use call::{Call, Head, Headers};
pub use past::{StatementPage, Wanted};
pub use personal::context as sealing_context;
pub use policies::{Installed, Installer, install};
pub use response::{Body, Response, Status};
pub use sources::{Installation, Past, PaymentsWanted, Sources, WithState};
