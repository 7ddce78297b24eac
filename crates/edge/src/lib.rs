//! The edge: turns a request into typed operations of the engine, and their typed answers into a response, without
//! knowing how either travels.
//!
//! A transport reads the head of a request into a [`Head`], receives the body, and hands both to [`Edge::answer`]. That
//! parses, tokenises and seals, asks the engine through [`Sources`], and renders. `server` drives it over HTTP, `sim` over
//! a simulated network, `fuzz` with hostile bytes. The type of an asked operation says the type of its answer, so that
//! nothing can be rendered as the answer to something else.
//!
//! Its functions are asynchronous because answers take time, but they name no runtime: whoever polls them decides.
#![deny(clippy::arithmetic_side_effects, clippy::integer_division, clippy::indexing_slicing)]

pub mod auth;

mod answer;
mod call;
mod changes;
mod imports;
mod ledgers;
mod orders;
mod packed;
mod past;
mod payments;
mod personal;
mod policies;
mod response;
mod sources;

pub use answer::Edge;
pub use call::{Call, Head};
pub use past::{StatementPage, Wanted};
pub use personal::context as sealing_context;
pub use policies::install;
pub use response::{Body, Response, Status};
pub use sources::{Installation, Past, Sources};
