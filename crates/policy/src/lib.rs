//! The policy: one versioned bundle of payment types, features, rules and models. It is compiled once and evaluated for
//! every payment.
//!
//! A [`Bundle`] is the `policy.toml` of a folder with the models that it names. [`Policy::compile`] checks all of it
//! and returns either an immutable [`Policy`] or every [`Problem`] with its place in the document. [`Policy::evaluate`]
//! turns the [`Facts`] of a payment and the [`WindowSource`] of its entities into an [`Evaluation`]. It is a pure function,
//! so the same payment gets the same answer on every machine. It does no I/O and uses no clock or randomness.
//!
//! An evaluation goes in this order: the streams that record the payment, features, models, rules, thresholds, legs.
//! Each feature is computed once. The verdict is the strictest one that rules, thresholds and failures ask for. A rule
//! that fails for any reason other than a missing value always asks for a review, and so does a stream that cannot
//! record the payment: neither is ever skipped silently. The codes of the system's own reasons are in [`reason`]; what
//! they mean and what to do is in `docs/reasons.md`.
//!
//! The document may contain tests: payments of a history, a payment, and the decision that is expected. `engine` runs them
//! whenever a policy is checked or uploaded.
//!
//! # The document
//!
//! This is a complete `policy.toml`. Names have 1 to 64 characters of `a-z 0-9 _` and start with a letter. The bounds
//! on everything are in [`limits`]. A span of time is a whole number followed by one of `d h m s ms us ns`.
//!
//! ```toml
#![doc = include_str!("../example/policy.toml")]
//! ```
//!
//! Expressions are written in [CEL](cel). They can read `payment.amount` (an int, in minor units), `payment.type` and
//! `payment.asset` (strings), `payment.occurred_at` and `payment.decided_at` (timestamps) and `payment.<attribute>`.
//! Rules and inputs of models can also read `features.<feature>`. An expression is compiled for every payment type that
//! it applies to and must be valid for all of them; `payments` limits it to some types. An optional attribute or a
//! feature may be missing. `has(payment.device)` tests for that; if an expression reads a missing value without
//! testing, `on_missing_feature` decides.
//!
//! ```text
//! payment.country in ['NO', 'SE'] && !payment.email.matches('@(example|test)\\.com$')
//! payment.decided_at.getHours('Europe/Berlin') < 6 && features.cards_1h > 3
//! [features.cards_1h, features.cards_1d].exists(count, count > 10)
//! payment.amount > {'NO': 50000, 'SE': 70000}[payment.country]
//! ```
//!
//! What there is, where the language leaves a choice, and the bounds are in [`cel`].
//!
//! An entity can be compared with another one of its kind, and with strings: `payment.merchant == 'm-17'` or
//! `payment.merchant in ['m-17', 'm-18']`. Strings are equal if they are the same byte by byte: `Café`, `café` and
//! `café ` are three values, and so are two ways to write é in Unicode. A policy is stored in the clear and never
//! erased, so it should not contain the names of persons.
//!
//! An input of a model that is missing is best written as `has(payment.risk) ? payment.risk : 0.0 / 0.0`: the model gets
//! NaN, and each branch of a tree says where NaN goes.
//!
//! Features, amounts and records are stored in the clear, so their expressions must not read a personal attribute,
//! except for features that are true or false. Filters, rules and inputs of models may read one.

pub mod cel;
pub mod limits;
pub mod onnx;
pub mod reason;

mod bundle;
mod compile;
mod compiled_type;
mod document;
mod evaluate;
mod evaluation;
mod index;
mod literal;
mod policy;
mod problem;
mod spec;
mod value;

pub use bundle::{Bundle, BundleError, DOCUMENT, is_file_name, model_files};
pub use evaluation::{
    AccountRef, Effect, Evaluation, Facts, Failure, FailureCause, LegPlan, Part, Reason, Score, StreamRecord, Verdict,
    WindowSource,
};
pub use index::{
    AccountTemplateIdx, AttributeIdx, EntityIdx, FeatureIdx, LedgerIdx, ModelIdx, PaymentTypeIdx, StreamIdx,
};
pub use limits::AMOUNT_MAX;
pub use policy::Policy;
pub use problem::{Problem, ProblemPlace, Warning};
pub use reason::LEG_FAILED;
pub use spec::{
    AccountFlagsSpec, AccountTemplate, AggregateKind, AmountUnit, Attribute, AttributeKind, Capture, CaptureExpiry,
    Counts, DecimalMark, Entity, FeatureSource, FeatureSpec, FeatureType, FileMapping, LabelColumn, LedgerSpec, Leg,
    LegAccount, ModelSpec, Normalise, OccurredAt, OnFailure, PaymentType, PolicyTest, Review, ReviewExpiry, Rule,
    RuleEffect, StreamClock, StreamSpec, TestExpectation, TestPayment, Thresholds,
};
pub use value::{AttributeValue, FeatureValue, MissingReason};
