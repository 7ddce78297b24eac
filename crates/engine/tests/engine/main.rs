//! The engine as its users see it: payments as stories, and who may ask.

mod story;

mod amounts;
mod api_keys;
mod approvals;
mod batches;
mod entity_attributes;
mod guards;
mod identity;
mod increments;
mod lists;
mod one_principal;
mod orders;
mod payments;
mod policy_tests;
mod settings;
