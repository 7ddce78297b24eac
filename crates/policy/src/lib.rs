//! The policy: one versioned bundle of payment types, features, rules and models, compiled once and evaluated per
//! payment.
//!
//! A [`Bundle`] is a folder's `policy.toml` with the models that it names. [`Policy::compile`] checks all of it and gives
//! either an immutable [`Policy`] or every [`Problem`], each with its place in the document.
//! [`Policy::evaluate`] turns the [`Facts`] of a payment and the [`History`] of its entities into an [`Evaluation`]; it is
//! a pure function, so that the same payment gets the same answer on every machine. No I/O, no clock, no randomness.
//!
//! Order of an evaluation: which streams the payment is recorded in, features, models, rules, thresholds, legs. Each
//! feature is computed once. The verdict is the strictest of what rules, thresholds and failures ask for. A rule that
//! fails for another reason than a missing value always asks for a review, as does a stream that cannot take the payment:
//! neither is ever silently skipped. Codes of the system's own reasons are in [`reason`].
//!
//! # The document
//!
//! A complete `policy.toml`. Names are 1 to 64 of `a-z 0-9 _`, first a letter; bounds on everything are in [`limits`];
//! spans of time are a whole number and one of `d h m s ms us ns`.
//!
//! ```toml
#![doc = include_str!("../example/policy.toml")]
//! ```
//!
//! Expressions are written in [CEL](cel). They see `payment.amount` (int, minor units), `payment.type`, `payment.asset`
//! (strings), `payment.occurred_at`, `payment.decided_at` (timestamps) and `payment.<attribute>`; rules and inputs of
//! models also see `features.<feature>`. An expression is compiled for every payment type that it applies to, and has to
//! fit all of them: `payments` narrows them down. An optional attribute or a feature may be missing: `has(payment.device)`
//! tells; reading it without asking is judged by `on_missing_feature`.
//!
//! Features, amounts and records are stored in the clear, so an expression for one of them must not read a personal
//! attribute, unless it is a feature that is true or false. Filters, rules and inputs of models may.

pub mod cel;
pub mod limits;
pub mod onnx;
pub mod reason;

mod bundle;
mod compile;
mod document;
mod evaluate;
mod evaluation;
mod index;
mod literal;
mod plan;
mod policy;
mod problem;
mod spec;
mod value;

pub use bundle::{Bundle, BundleError, DOCUMENT, is_file_name, model_files};
pub use evaluation::{
    AccountRef, Effect, Evaluation, Facts, History, LegError, LegPlan, Reason, Score, StreamRecord, Verdict,
};
pub use index::{
    AccountTemplateIdx, AttributeIdx, EntityIdx, FeatureIdx, LedgerIdx, ModelIdx, PaymentTypeIdx, StreamIdx,
};
pub use limits::AMOUNT_MAX;
pub use policy::Policy;
pub use problem::Problem;
pub use reason::LEG_FAILED;
pub use spec::{
    AccountFlagsSpec, AccountTemplate, AggregateKind, AmountUnit, Attribute, AttributeKind, Capture, CaptureExpiry,
    Counts, Entity, FeatureSource, FeatureSpec, FeatureType, FileMapping, LabelColumn, LedgerSpec, Leg, LegAccount,
    ModelSpec, OccurredAt, OnFailure, PaymentType, Review, ReviewExpiry, Rule, RuleEffect, StreamClock, StreamSpec,
    Thresholds,
};
pub use value::{AttributeValue, FeatureValue, MissingReason};
