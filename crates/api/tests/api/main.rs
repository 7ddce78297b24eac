//! The public API without its transport: requests are read, answers rendered, and what is wrong is said.

mod support;

mod errors;
mod history;
mod openapi;
mod orders;
mod packed;
mod payments;
mod rendering;
mod requests;
