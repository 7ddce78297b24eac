//! How large a policy may be. A document that exceeds a bound gets a problem that names it.

use types::{Amount, Span};

/// Most files in a bundle.
pub const BUNDLE_FILES_MAX: usize = 64;
/// Most bytes of all files of a bundle together: 16 MiB.
pub const BUNDLE_BYTES_MAX: usize = 16 << 20;
/// Most bytes of a file's name.
pub const FILE_NAME_BYTES_MAX: usize = 128;
/// Most bytes of `policy.toml`: 1 MiB.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// Most problems reported for one document. Further problems are left out.
pub const PROBLEMS_MAX: usize = 100;
/// Most bytes of a description, a column name or a label value.
pub const TEXT_BYTES_MAX: usize = 1024;

pub const LEDGERS_MAX: usize = 64;
/// Most entity kinds.
pub const ENTITIES_MAX: usize = 64;
/// Most attributes of one entity kind.
pub const ENTITY_ATTRIBUTES_MAX: usize = 32;
/// Most bytes of a text that an entity has as an attribute. Every decision that reads it stores it as a feature.
pub const ENTITY_TEXT_BYTES_MAX: usize = FEATURE_TEXT_BYTES_MAX;
/// Most account templates.
pub const ACCOUNTS_MAX: usize = 256;
pub const PAYMENT_TYPES_MAX: usize = 32;
/// Most attributes of one payment type.
pub const ATTRIBUTES_MAX: usize = 64;
/// Most legs of one payment type.
pub const LEGS_MAX: usize = 16;
pub const STREAMS_MAX: usize = 64;
/// Most lists that a policy declares.
pub const LISTS_MAX: usize = 64;
pub const FEATURES_MAX: usize = 256;
pub const MODELS_MAX: usize = 16;
/// Most inputs of one model.
pub const MODEL_INPUTS_MAX: usize = 1024;
pub const RULES_MAX: usize = 256;
/// Most reasons with a text for customers.
pub const REASONS_MAX: usize = 256;
/// Most steps that all expressions of a payment type may take together. See
/// [`Program::cost`](crate::cel::Program::cost).
pub const COST_MAX: u64 = 65_536;
/// Most bytes of a rule's tag. Every payment that the rule matches stores the tag.
pub const TAG_BYTES_MAX: usize = 64;
/// Most bytes of a text feature. A longer text is missing (out of range), because every decision stores its features.
pub const FEATURE_TEXT_BYTES_MAX: usize = 256;
pub const TESTS_MAX: usize = 100;
/// Most attributes of entities that all tests set together.
pub const TEST_ATTRIBUTES_MAX: usize = 10_000;
/// Most payments of history in all tests together.
pub const TEST_PAYMENTS_MAX: usize = 10_000;
/// Most values in a list of labels.
pub const LABELS_MAX: usize = 64;

/// Most characters of a string attribute if its `chars_max` is not given.
pub const CHARS_MAX_DEFAULT: u16 = 256;
/// The largest `chars_max`.
pub const CHARS_MAX: u16 = 4096;
/// Most records that a stream keeps per entity if its `records_max` is not given.
pub const STREAM_RECORDS_MAX_DEFAULT: u32 = 4096;
/// The largest `records_max`.
pub const STREAM_RECORDS_MAX: u32 = 1 << 20;
/// Most entities that a stream keeps records of if its `entities_max` is not given.
pub const STREAM_ENTITIES_MAX_DEFAULT: u32 = 1_000_000;
/// The largest `entities_max`.
pub const STREAM_ENTITIES_MAX: u32 = 100_000_000;

/// How far back a feature may look, `window` and `delay` together: 400 days.
pub const REACH_MAX: Span = Span::from_secs(400 * 86_400);
/// The longest deadline of a review or a capture, and the longest delay of a label in a file: 400 days.
pub const DEADLINE_MAX: Span = Span::from_secs(400 * 86_400);
/// How late or early a client's `occurred_at` may be: 400 days.
pub const OCCURRED_AT_MAX: Span = Span::from_secs(400 * 86_400);
/// The deadline of a review if none is given: 24 hours.
pub const REVIEW_DEADLINE_DEFAULT: Span = Span::from_secs(86_400);

pub const SCORE_MAX: u16 = 1000;

/// The largest amount that expressions can read, 2^63 − 1 minor units, because they calculate with 64-bit integers. It is also the
/// largest amount in a file of payments. A payment may be of more: what reads its amount then fails with an overflow, which leads to a
/// review, and a leg that is exactly the amount is exact.
pub const AMOUNT_MAX: Amount = Amount::new(i64::MAX as u128);
