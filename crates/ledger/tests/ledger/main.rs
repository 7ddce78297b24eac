//! Tests of the ledger as its users see it: stories in a small language (`story.rs`), tables of statuses, and random
//! commands compared with a naive model (`model.rs`).

mod past;
mod story;

mod accounts;
mod addresses;
mod balancing;
mod chains;
mod closing;
mod facts;
mod forgetting;
mod imports;
mod limits;
mod metadata;
mod model;
mod pending;
mod plans;
mod policy;
mod precedence;
mod retries;
mod schedule;
mod staging;
mod statuses;
mod timeouts;
