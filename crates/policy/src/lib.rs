//! The policy: one versioned bundle of payment types, features, rules and models, compiled once and evaluated per payment.
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
    AccountFlagsSpec, AccountTemplate, AggregateKind, AmountUnit, Attribute, AttributeKind, Capture, CaptureExpiry, Counts,
    Entity, FeatureSource, FeatureSpec, FeatureType, FileMapping, LabelColumn, LedgerSpec, Leg, LegAccount, ModelSpec,
    OccurredAt, OnFailure, PaymentType, Review, ReviewExpiry, Rule, RuleEffect, StreamClock, StreamSpec, Thresholds,
};
pub use value::{AttributeValue, FeatureValue, MissingReason};
