//! The public API without its transport: parsing requests, rendering replies, and the errors of invalid input.

mod support;

mod api_keys;
mod archive;
mod audit;
mod errors;
mod keys;
mod metadata;
mod openapi;
mod orders;
mod packed;
mod past;
mod payments;
mod rendering;
mod requests;
mod scopes;
