//! The public API without its transport: parsing of requests into commands, rendering of replies, one table of errors,
//! one table of routes with their scopes, and the OpenAPI document that is generated from it.
//!
//! This crate does no I/O and reads no clock. Input is parsed once, here; an error names the place, what was found and
//! what was expected. Neither `Debug` forms nor errors contain personal data.
#![deny(clippy::arithmetic_side_effects, clippy::integer_division, clippy::indexing_slicing)]

pub mod api_keys;
pub mod approvals;
pub mod archive;
pub mod audit;
pub mod backtests;
pub mod changes;
pub mod decisions;
pub mod entities;
pub mod errors;
pub mod events;
pub mod explanations;
pub mod filters;
pub mod imports;
pub mod installation;
pub mod lists;
pub mod openapi;
pub mod orders;
pub mod packed;
pub mod past;
pub mod payments;
pub mod proofs;
pub mod requests;
pub mod responses;
pub mod results;
pub mod routes;
pub mod segments;

mod identity;
mod json;
mod parameters;
mod payment_filter;
mod problem;
mod scope;
mod user_data;

pub use entities::EntityTotals;
pub use errors::{Code, ErrorCode};
pub use identity::{IDEMPOTENCY_KEY, IF_MATCH, IdSource, IdempotencyKey, entity_tag, if_match};
pub use openapi::openapi_json;
pub use parameters::{CursorOrigin, List, PAGE_DEFAULT, PAGE_MAX, Parameters, path_segments};
pub use payment_filter::{EntityNamed, PaymentFilter};
pub use problem::{Problem, ProblemBody};
pub use routes::{METRICS_MEDIA_TYPES, Operation, ROUTES, Route};
pub use scope::{Role, Scope};

/// The response header that marks a repeated answer: the same request was answered before.
pub const IDEMPOTENT_REPLAYED: &str = "Idempotent-Replayed";
