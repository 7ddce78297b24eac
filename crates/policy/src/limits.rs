//! How large a policy may be. Each bound is named in the problem that a document past it gets.

use types::{Amount, Span};

/// Files of a bundle.
pub const BUNDLE_FILES_MAX: usize = 64;
/// Bytes of all files of a bundle together, 16 MiB.
pub const BUNDLE_BYTES_MAX: usize = 16 << 20;
/// Bytes of a file's name.
pub const FILE_NAME_BYTES_MAX: usize = 128;
/// Bytes of `policy.toml`, 1 MiB.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// Problems reported of one document; those beyond are left out.
pub const PROBLEMS_MAX: usize = 100;
/// Bytes of a description, a column name or a label value.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Ledgers.
pub const LEDGERS_MAX: usize = 64;
/// Entity kinds.
pub const ENTITIES_MAX: usize = 64;
/// Account templates.
pub const ACCOUNTS_MAX: usize = 256;
/// Payment types.
pub const PAYMENT_TYPES_MAX: usize = 32;
/// Attributes of a payment type.
pub const ATTRIBUTES_MAX: usize = 64;
/// Legs of a payment type.
pub const LEGS_MAX: usize = 16;
/// Streams.
pub const STREAMS_MAX: usize = 64;
/// Features.
pub const FEATURES_MAX: usize = 256;
/// Models.
pub const MODELS_MAX: usize = 16;
/// Inputs of a model.
pub const MODEL_INPUTS_MAX: usize = 1024;
/// Rules.
pub const RULES_MAX: usize = 256;
/// Steps that all expressions of a payment type may take together; see [`Program::cost`](crate::cel::Program::cost).
pub const COST_MAX: u64 = 65_536;
/// Bytes of a rule's tag: every payment that it fits carries it.
pub const TAG_BYTES_MAX: usize = 64;
/// Bytes of a feature that is text. A longer one is missing, out of range: every decision carries its features.
pub const FEATURE_TEXT_BYTES_MAX: usize = 256;
/// Values in a list of labels.
pub const LABELS_MAX: usize = 64;

/// Characters of a string attribute when its `chars_max` is not given.
pub const CHARS_MAX_DEFAULT: u16 = 256;
/// The largest `chars_max`.
pub const CHARS_MAX: u16 = 4096;
/// Records that a stream keeps of one entity when `records_max` is not given.
pub const STREAM_RECORDS_MAX_DEFAULT: u32 = 4096;
/// The largest `records_max`.
pub const STREAM_RECORDS_MAX: u32 = 1 << 20;
/// Entities that a stream keeps records of when `entities_max` is not given.
pub const STREAM_ENTITIES_MAX_DEFAULT: u32 = 1_000_000;
/// The largest `entities_max`.
pub const STREAM_ENTITIES_MAX: u32 = 100_000_000;

/// How far back a feature may look: `window` and `delay` together, 400 days.
pub const REACH_MAX: Span = Span::from_secs(400 * 86_400);
/// The longest deadline of a review or a capture, and the longest delay of a label in a file: 400 days.
pub const DEADLINE_MAX: Span = Span::from_secs(400 * 86_400);
/// How late or early a client's `occurred_at` may be: 400 days.
pub const OCCURRED_AT_MAX: Span = Span::from_secs(400 * 86_400);
/// The deadline of a review when it is not given: 24 hours.
pub const REVIEW_DEADLINE_DEFAULT: Span = Span::from_secs(86_400);

/// The highest score.
pub const SCORE_MAX: u16 = 1000;

/// The largest amount of a payment, 2^63 − 1 minor units: expressions calculate with 64-bit integers. The edge refuses
/// larger ones before a policy sees them.
pub const AMOUNT_MAX: Amount = Amount::new(i64::MAX as u128);
