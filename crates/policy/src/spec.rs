//! What a checked policy document says, in the order in which it says it.

use types::{Asset, Code, Digest, LedgerId, Name, Span, Timestamp};

use crate::index::{AccountTemplateIdx, AttributeIdx, EntityIdx, LedgerIdx, PaymentTypeIdx, StreamIdx};

/// A kind of thing that features are kept about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// `customer`.
    pub name: Name,
    /// True: each value has its own erasable key. False: its token is derived from the tenant's key.
    pub personal: bool,
}

/// A ledger that legs use. Activation creates it when it does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSpec {
    /// What the document calls it.
    pub name: Name,
    /// Its number in the tenant; unique in the document, not 0.
    pub id: LedgerId,
    /// What it counts.
    pub asset: Asset,
}

/// One account, or one per value of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountTemplate {
    /// What legs call it.
    pub name: Name,
    /// The ledger it is in.
    pub ledger: LedgerIdx,
    /// Its code, not 0.
    pub code: Code,
    /// Its limits.
    pub flags: AccountFlagsSpec,
    /// One account per value of this entity; `None`: a single account.
    pub per: Option<EntityIdx>,
    /// True: the first leg that needs it opens it. False: it must have been opened before.
    pub open_on_first_use: bool,
}

/// The account flags that a template can ask for, by the ledger's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountFlagsSpec {
    /// Debits, pending ones included, stay within posted credits. Excludes the next.
    pub debits_must_not_exceed_credits: bool,
    /// Credits, pending ones included, stay within posted debits.
    pub credits_must_not_exceed_debits: bool,
    /// Keep the balance after every transfer.
    pub history: bool,
}

/// A kind of payment: its attributes, its legs, and how its life goes on after the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentType {
    /// `card`.
    pub name: Name,
    /// For people; may be empty.
    pub description: String,
    /// The ledger whose asset every payment of this type is in.
    pub ledger: LedgerIdx,
    /// The entity attribute whose key seals the personal attributes; a required one, of a personal entity.
    pub subject: Option<AttributeIdx>,
    /// What a payment of this type carries beside its amount.
    pub attributes: Vec<Attribute>,
    /// The transfers it makes, at least one.
    pub legs: Vec<Leg>,
    /// What an approval does.
    pub capture: Capture,
    /// What happens to a payment under review that nobody decides.
    pub review: Review,
    /// Whether clients may say when the payment happened; `None`: it happened when it was decided.
    pub occurred_at: Option<OccurredAt>,
}

impl PaymentType {
    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<(AttributeIdx, &Attribute)> {
        let position = self.attributes.iter().position(|attribute| attribute.name.as_str() == name)?;
        Some((AttributeIdx::at(position), self.attributes.get(position)?))
    }
}

/// One attribute of a payment type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// `country`.
    pub name: Name,
    /// What its values are.
    pub kind: AttributeKind,
    /// False: a payment may leave it out.
    pub required: bool,
    /// True: sealed at the edge with the subject's key. Never an entity or account, whose values are opaque anyway.
    pub personal: bool,
}

/// What the values of an attribute are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeKind {
    /// Text of at most so many characters.
    Text {
        /// Unicode scalar values.
        chars_max: u16,
    },
    /// A 64-bit signed integer.
    Int,
    /// A finite 64-bit float.
    Double,
    /// True or false.
    Bool,
    /// An instant.
    Time,
    /// A value of an entity kind; the core sees its token.
    Entity(EntityIdx),
    /// An account that the client names.
    Account,
}

/// One transfer of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// The account that pays.
    pub debit: LegAccount,
    /// The account that is paid.
    pub credit: LegAccount,
    /// The amount, a CEL int in minor units over `payment.*`.
    pub amount: String,
    /// The transfer's code, not 0.
    pub code: Code,
}

/// Which account a leg moves money from or to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegAccount {
    /// The template's single account.
    Single(AccountTemplateIdx),
    /// The template's account for the value of a required entity attribute.
    Of(AccountTemplateIdx, AttributeIdx),
    /// The account that a required account attribute names.
    Attribute(AttributeIdx),
}

/// What an approval does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// The legs post at once.
    Immediate,
    /// The legs are held until a capture.
    Manual {
        /// How long they are held, counted from the approval.
        deadline: Span,
        /// What happens then.
        on_deadline: CaptureExpiry,
    },
}

/// What happens to a payment that is not captured in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureExpiry {
    /// Its hold is released.
    Void,
    /// It is captured in full.
    Capture,
}

/// What happens to a payment under review that nobody decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Review {
    /// How long its hold lasts, counted from the decision.
    pub deadline: Span,
    /// What happens then.
    pub on_deadline: ReviewExpiry,
}

/// What happens at the end of a review without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewExpiry {
    /// The payment is declined.
    Decline,
    /// The payment is approved.
    Approve,
}

/// How far a client's `occurred_at` may be from the engine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OccurredAt {
    /// Earlier than this before `decided_at`: judged at `decided_at` and tagged.
    pub late_max: Span,
    /// Later than this after `decided_at`: refused.
    pub ahead_max: Span,
}

/// A history of records per value of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// What features call it.
    pub name: Name,
    /// A hash of what decides which records it has: name, entity, attribute, payment types, value, filter, what counts and
    /// which clock. A stream with the same key in the next policy is the same stream and continues; retention and bounds
    /// may change. Unique in the policy.
    pub key: Digest,
    /// The entity whose values have records.
    pub entity: EntityIdx,
    /// Which clock orders it.
    pub clock: StreamClock,
    /// Which payments it has records of.
    pub counts: Counts,
    /// How far back its features look: the longest `window` + `delay`; zero without features. What the clients' clock
    /// may lie ahead or behind comes on top.
    pub retention: Span,
    /// Records kept of one entity; features that need a dropped one are missing.
    pub records_max: u32,
    /// Entities with records; features of those past it are missing.
    pub entities_max: u32,
}

/// Which of a payment's times places its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamClock {
    /// The engine's.
    DecidedAt,
    /// The one that the client may declare.
    OccurredAt,
}

impl StreamClock {
    /// The time of a payment on this clock.
    pub const fn of(self, decided_at: Timestamp, occurred_at: Timestamp) -> Timestamp {
        match self {
            Self::DecidedAt => decided_at,
            Self::OccurredAt => occurred_at,
        }
    }
}

/// Which payments a stream has records of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Approved and held ones; a record goes again when its payment is declined, voided or expires.
    Accepted,
    /// Every decided one.
    Attempted,
}

/// A typed value that is computed for payments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureSpec {
    /// What rules and models call it: `features.<name>`.
    pub name: Name,
    /// The type of every value that is not missing.
    pub ty: FeatureType,
    /// How it is computed.
    pub source: FeatureSource,
    /// The payment types it is computed for, in order.
    pub payments: Vec<PaymentTypeIdx>,
}

/// The type of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureType {
    /// A 64-bit signed integer.
    Int,
    /// A finite 64-bit float.
    Double,
    /// True or false.
    Bool,
    /// Text, never from a personal attribute.
    Text,
}

/// How a feature is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureSource {
    /// From the records of a stream.
    Aggregate {
        /// The stream.
        stream: StreamIdx,
        /// What of its records.
        aggregate: AggregateKind,
        /// Which of its records.
        window: features::Window,
    },
    /// From the payment alone: CEL over `payment.*`.
    Expression(String),
}

/// What a feature tells of the records in its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateKind {
    /// How many, an int.
    Count,
    /// The sum of their values, an int.
    Sum,
    /// The mean of their values, a double; 0.0 without records.
    Mean,
    /// How many have a positive label that is known by now, an int.
    LabelCount,
    /// That as a share of all of them, a double; 0.0 without records.
    LabelRate,
}

/// A model of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpec {
    /// What the decision calls it.
    pub name: Name,
    /// Its file in the bundle.
    pub file: String,
    /// The digest of that file.
    pub digest: Digest,
    /// CEL numbers or bools in the order of the model's columns.
    pub inputs: Vec<String>,
    /// The payment types it scores, in order.
    pub payments: Vec<PaymentTypeIdx>,
}

/// A rule: when it holds, it has one effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The stable reason code.
    pub name: Name,
    /// For people; may be empty.
    pub description: String,
    /// A CEL bool over `payment.*` and `features.*`.
    pub when: String,
    /// What it does then.
    pub then: RuleEffect,
    /// The payment types it judges, in order.
    pub payments: Vec<PaymentTypeIdx>,
}

/// What a rule does to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleEffect {
    /// Declines it.
    Decline,
    /// Sends it to review.
    Review,
    /// Adds to its score, −1000 to 1000, not 0.
    Score(i16),
    /// Tags it, without any weight.
    Tag(String),
}

/// What turns scores, missing features and failed models into a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// From this score on: review. `None`: the score alone never does it.
    pub review_at: Option<u16>,
    /// From this score on: decline. Not below `review_at`.
    pub decline_at: Option<u16>,
    /// When a rule or model reads a missing feature or an absent attribute.
    pub on_missing_feature: OnFailure,
    /// When a model gives no number.
    pub on_model_error: OnFailure,
}

/// What a failure does to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The rule or model counts for nothing.
    Approve,
    /// The payment goes to review.
    Review,
    /// The payment is declined.
    Decline,
}

/// How a file of past payments is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMapping {
    /// The type of every payment in the file.
    pub payment: PaymentTypeIdx,
    /// The column with the payment's own id.
    pub id: String,
    /// The column with the time at which it happened.
    pub time: String,
    /// The column with its amount.
    pub amount: String,
    /// What that amount counts.
    pub amount_unit: AmountUnit,
    /// The column with what turned out to be true.
    pub label: Option<LabelColumn>,
    /// The columns of attributes; every required attribute has one.
    pub attributes: Vec<(AttributeIdx, String)>,
}

/// What an amount in a file counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountUnit {
    /// Whole units with decimals: `12.50`.
    Major,
    /// Minor units: `1250`.
    Minor,
}

/// What turned out to be true of the payments in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelColumn {
    /// The column's name.
    pub column: String,
    /// The values that mean fraud.
    pub positive: Vec<String>,
    /// How long after its payment a label became known.
    pub delay: Span,
}
