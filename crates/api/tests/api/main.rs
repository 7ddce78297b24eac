//! The public API without its transport: parsing requests, rendering replies, and the errors of invalid input.

mod support;

mod errors;
mod history;
mod openapi;
mod orders;
mod packed;
mod payments;
mod rendering;
mod requests;
mod scopes;
