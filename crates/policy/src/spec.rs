//! The content of a checked policy document, in its order.

mod entity;
mod file;

use features::Quantile;
use types::{Amount, Asset, Code, Digest, LedgerId, Name, Span, Timestamp, Token};

use crate::evaluation::Verdict;
use crate::index::{
    AccountTemplateIdx, AttributeIdx, EntityAttributeIdx, EntityIdx, LedgerIdx, PaymentTypeIdx, ReasonIdx, StreamIdx,
};
use crate::problem::ProblemPlace;
use crate::value::{AttributeValue, EntityValue};

pub use entity::{Entity, EntityAttribute, EntityAttributeType, Normalise};
pub use file::{AmountUnit, DecimalMark, FileMapping, LabelColumn};

/// A list that expressions look values up in, such as blocked devices. Its values are not a part of the policy: they change while
/// the policy is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSpec {
    /// The name by which expressions, and requests that change the list, refer to it.
    pub name: Name,
    pub holds: ListHolds,
}

/// What the values of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListHolds {
    /// Texts, such as country codes.
    Text,
    /// Values of this kind of entity.
    Entity(EntityIdx),
}

/// A ledger that legs use. Activating the policy creates it if it does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSpec {
    /// The name that the document gives it.
    pub name: Name,
    /// Its number in the tenant. Unique in the document and not 0.
    pub id: LedgerId,
    pub asset: Asset,
}

/// A single account, or one account per value of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountTemplate {
    /// The name by which legs refer to it.
    pub name: Name,
    pub ledger: LedgerIdx,
    /// Not 0.
    pub code: Code,
    pub flags: AccountFlagsSpec,
    /// If set, there is one account per value of this entity. `None` means a single account.
    pub per: Option<EntityIdx>,
    /// If true, the first leg that needs the account opens it. If false, it must already be open.
    pub open_on_first_use: bool,
}

/// The account flags that a template can set, with the names that the ledger uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountFlagsSpec {
    /// Debits, pending ones included, stay within the posted credits. Excludes the next flag.
    pub debits_must_not_exceed_credits: bool,
    /// Credits, pending ones included, stay within the posted debits.
    pub credits_must_not_exceed_debits: bool,
    /// Keeps the balance after every transfer.
    pub history: bool,
}

/// A kind of payment: its attributes, its legs, and what happens to it after the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentType {
    /// For example `card`.
    pub name: Name,
    /// A description for people; may be empty.
    pub description: String,
    /// The ledger whose asset all payments of this type are in.
    pub ledger: LedgerIdx,
    /// The entity attribute whose key seals the personal attributes. It must be required and of a personal entity.
    pub subject: Option<AttributeIdx>,
    /// What a payment of this type carries besides its amount.
    pub attributes: Vec<Attribute>,
    /// The transfers that it makes, at least one.
    pub legs: Vec<Leg>,
    /// What an approval does.
    pub capture: Capture,
    /// What happens to a payment under review that nobody decides.
    pub review: Review,
    /// Whether clients may state when the payment happened. `None` means that it happened when it was decided.
    pub occurred_at: Option<OccurredAt>,
}

impl PaymentType {
    pub fn attribute(&self, name: &str) -> Option<(AttributeIdx, &Attribute)> {
        let position = self.attributes.iter().position(|attribute| attribute.name.as_str() == name)?;
        Some((AttributeIdx::at(position), self.attributes.get(position)?))
    }
}

/// One attribute of a payment type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// For example `country`.
    pub name: Name,
    pub kind: AttributeKind,
    /// If false, a payment may leave it out.
    pub required: bool,
    /// If true, the edge seals it with the subject's key. Never true for an entity or account, whose values are opaque
    /// anyway.
    pub personal: bool,
}

/// The type of an attribute's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeKind {
    /// Text of limited length.
    Text {
        /// Counted in Unicode scalar values.
        chars_max: u16,
    },
    /// A 64-bit signed integer.
    Int,
    /// A finite 64-bit float.
    Double,
    Bool,
    Time,
    /// A value of an entity kind. The core sees only its token.
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
    /// The amount: a CEL expression over `payment.*` that gives an int in minor units.
    pub amount: String,
    /// Not 0.
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
    /// The legs are posted at once.
    Immediate,
    /// The legs are held until a capture.
    Manual {
        /// How long they are held, counted from the approval.
        deadline: Span,
        /// What happens at the deadline.
        on_deadline: CaptureExpiry,
    },
}

/// What happens to a payment that is not captured in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureExpiry {
    /// The hold is released.
    Void,
    /// The payment is captured in full.
    Capture,
}

/// What happens to a payment under review that nobody decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Review {
    /// How long its hold lasts, counted from the decision.
    pub deadline: Span,
    /// What happens at the deadline.
    pub on_deadline: ReviewExpiry,
}

/// What happens when a review ends without a verdict.
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
    /// If it is earlier than `decided_at` by more than this, the payment is judged at `decided_at` and tagged.
    pub late_max: Span,
    /// If it is later than `decided_at` by more than this, the payment is refused.
    pub ahead_max: Span,
}

/// Records of payments, kept per value of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// The name by which features refer to it.
    pub name: Name,
    /// A hash of everything that determines which records the stream has: name, entities, attributes, group, payment types,
    /// value, item, filter, what counts, and the clock. A stream with the same key in the next policy is the same stream and
    /// continues; its retention and bounds may change. Unique in the policy.
    pub key: Digest,
    /// The entity whose values have records.
    pub entity: EntityIdx,
    /// The other entity, if each pair of values has records of its own.
    pub pair: Option<EntityIdx>,
    /// Whether the payments of an entity or pair are in groups, each of which has records of its own.
    pub is_grouped: bool,
    /// Whether records have items.
    pub has_items: bool,
    /// Whether features ask for minimum, maximum or standard deviation, so that it is worth keeping them for blocks of records.
    pub keeps_spreads: bool,
    /// The clock that orders its records.
    pub clock: StreamClock,
    /// Which payments it records.
    pub counts: Counts,
    /// How far back its features look: the longest `window` + `delay` + `compare_to`, or zero without features. How far the clients'
    /// clock may be ahead or behind is not included.
    pub retention: Span,
    /// Most records kept per entity. Features that need a dropped record are missing.
    pub records_max: u32,
    /// Most entities with records. Features of entities beyond that are missing.
    pub entities_max: u32,
}

/// Which of a payment's two times orders its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamClock {
    /// The time at which the engine decides the payment.
    DecidedAt,
    /// The time at which the payment happened, which the client may state.
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

/// Which payments a stream records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Approved and held payments. A record is removed when its payment is declined, voided or expires.
    Accepted,
    /// Every decided payment.
    Attempted,
}

/// A typed value that is computed for payments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureSpec {
    /// The name by which rules and models refer to it: `features.<name>`.
    pub name: Name,
    /// The type of every value that is not missing.
    pub ty: FeatureType,
    pub source: FeatureSource,
    /// The payment types it is computed for, in order.
    pub payments: Vec<PaymentTypeIdx>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureType {
    /// A 64-bit signed integer.
    Int,
    /// A finite 64-bit float.
    Double,
    Bool,
    /// Text that never comes from a personal attribute.
    Text,
}

/// How a feature is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureSource {
    /// From the records of a stream.
    Aggregate {
        stream: StreamIdx,
        /// What is computed from its records.
        aggregate: AggregateKind,
        /// Which of its records are included.
        window: features::Window,
    },
    /// From the payment and other features: CEL over `payment.*` and `features.*`.
    Expression(String),
    /// What the payment's entity has as an attribute at the moment of the decision.
    Attribute {
        /// The name of the payment types' attribute that has the entity.
        of: Name,
        entity: EntityIdx,
        attribute: EntityAttributeIdx,
    },
}

impl FeatureSource {
    /// Whether it is an attribute of an entity.
    pub const fn is_attribute(&self) -> bool {
        matches!(self, Self::Attribute { .. })
    }

    /// The stream that the feature reads, and how far back it looks.
    pub fn reach(&self) -> Option<(StreamIdx, Span)> {
        match self {
            &Self::Aggregate { stream, aggregate, window } => {
                let before = aggregate.compared_to().unwrap_or_default();
                Some((stream, window.length.saturating_add(window.delay).saturating_add(before)))
            }
            Self::Expression(_) | Self::Attribute { .. } => None,
        }
    }
}

/// What a feature computes from the records in its window. The [crate documentation](crate#aggregates) has the formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateKind {
    /// Number of records, an int.
    Count,
    /// Sum of their values, an int.
    Sum,
    /// Mean of their values, a double; 0.0 without records.
    Mean,
    /// Standard deviation of a sample, a double; 0.0 with fewer than two records.
    Stddev,
    /// Smallest value, an int.
    Min,
    /// Largest value, an int.
    Max,
    /// The value with the nearest rank, an int.
    Quantile(Quantile),
    /// Value of the newest record, an int.
    Last,
    /// Value of the record before the newest one, an int.
    Previous,
    /// Whole seconds since the newest earlier record, an int.
    SinceLast,
    /// Whole seconds since the oldest earlier record, an int.
    SinceFirst,
    /// The payment's own value over the mean of the earlier records, a double.
    Ratio,
    /// By how many standard deviations of the earlier records the payment's own value is above their mean, a double.
    ZScore,
    /// The number of records over that in the window before, which has this length, for equal lengths; a double.
    CountChange(Span),
    /// As `CountChange`, for the sum of values.
    SumChange(Span),
    /// Number of different items, an int.
    Distinct,
    /// Whether an earlier record has the payment's own item.
    Seen,
    /// Number of records that have a positive label by now, an int.
    LabelCount,
    /// Share of records that have a positive label by now, a double; 0.0 without records.
    LabelRate,
}

impl AggregateKind {
    /// The type of its values.
    pub const fn ty(self) -> FeatureType {
        match self {
            Self::Count
            | Self::Sum
            | Self::Min
            | Self::Max
            | Self::Quantile(_)
            | Self::Last
            | Self::Previous
            | Self::SinceLast
            | Self::SinceFirst
            | Self::Distinct
            | Self::LabelCount => FeatureType::Int,
            Self::Mean
            | Self::Stddev
            | Self::Ratio
            | Self::ZScore
            | Self::CountChange(_)
            | Self::SumChange(_)
            | Self::LabelRate => FeatureType::Double,
            Self::Seen => FeatureType::Bool,
        }
    }

    /// The length of the window before, for those that compare two windows.
    pub(crate) const fn compared_to(self) -> Option<Span> {
        if let Self::CountChange(before) | Self::SumChange(before) = self { Some(before) } else { None }
    }

    /// Whether it is about what the payment itself adds to the stream.
    pub(crate) const fn is_about_payment(self) -> bool {
        matches!(self, Self::Ratio | Self::ZScore | Self::Seen)
    }

    /// Whether it needs the items of records.
    pub(crate) const fn needs_items(self) -> bool {
        matches!(self, Self::Distinct | Self::Seen)
    }

    /// Whether the spreads of blocks of records make it faster.
    pub(crate) const fn needs_spreads(self) -> bool {
        matches!(self, Self::Min | Self::Max | Self::Stddev | Self::ZScore)
    }

    /// Whether it needs count, sum and labels.
    pub(crate) const fn needs_sums(self) -> bool {
        matches!(
            self,
            Self::Count
                | Self::Sum
                | Self::Mean
                | Self::LabelCount
                | Self::LabelRate
                | Self::CountChange(_)
                | Self::SumChange(_)
        )
    }
}

/// A model of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpec {
    /// The name by which decisions refer to it.
    pub name: Name,
    /// Name of its file in the bundle.
    pub file: String,
    /// The digest of that file.
    pub digest: Digest,
    /// CEL expressions that give numbers or bools, one per column of the model, in order.
    pub inputs: Vec<String>,
    /// What to tell a customer if an input raised the score; one per input.
    pub reasons: Vec<Option<ReasonIdx>>,
    /// The payment types it scores, in order.
    pub payments: Vec<PaymentTypeIdx>,
}

/// A rule: if its condition holds, it has one effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The stable reason code.
    pub name: Name,
    /// A description for people; may be empty.
    pub description: String,
    /// The condition: a CEL bool over `payment.*` and `features.*`.
    pub when: String,
    pub then: RuleEffect,
    /// What to tell a customer if the rule held.
    pub reason: Option<ReasonIdx>,
    /// The payment types it judges, in order.
    pub payments: Vec<PaymentTypeIdx>,
}

/// The effect of a rule on a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleEffect {
    /// Declines the payment.
    Decline,
    /// Sends the payment to review.
    Review,
    /// Adds to the score: −1000 to 1000, not 0.
    Score(i16),
    /// Tags the payment without affecting the verdict.
    Tag(String),
}

/// What turns scores, missing features and failed models into a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// A payment with this score or more goes to review. `None`: no score alone sends it there.
    pub review_at: Option<u16>,
    /// A payment with this score or more is declined. Not below `review_at`.
    pub decline_at: Option<u16>,
    /// What happens if a rule or model reads something that is missing: a feature, an attribute, or the answer of a model.
    pub on_missing_feature: OnFailure,
    /// What happens if a model gives no number.
    pub on_model_error: OnFailure,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            review_at: None,
            decline_at: None,
            on_missing_feature: OnFailure::Review,
            on_model_error: OnFailure::Review,
        }
    }
}

/// What a failure does to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The rule or model is ignored.
    Approve,
    /// The payment goes to review.
    Review,
    /// The payment is declined.
    Decline,
}

/// What the policy should decide about an example payment after others.
#[derive(Debug, Clone)]
pub struct PolicyTest {
    pub name: Name,
    /// May be empty.
    pub description: String,
    /// What is set for entities, in order of time. It counts for the payments at the same time.
    pub attributes: Vec<TestAttribute>,
    /// The payments before, in order of time.
    pub history: Vec<TestPayment>,
    pub payment: TestPayment,
    /// When the payment is decided.
    pub at: Timestamp,
    pub expect: TestExpectation,
}

/// A payment of a test.
#[derive(Debug, Clone)]
pub struct TestPayment {
    pub payment_type: PaymentTypeIdx,
    /// In minor units.
    pub amount: Amount,
    /// How long before the payment under test it is decided.
    pub before: Span,
    /// What it turned out to be, known at once.
    pub label: Option<Name>,
    /// One per attribute of the type, in its order.
    pub attributes: Vec<Option<AttributeValue>>,
}

/// An attribute of an entity that a test sets.
#[derive(Debug, Clone)]
pub struct TestAttribute {
    /// The entity kind.
    pub entity: Name,
    /// The token that stands for the entity.
    pub token: Token,
    pub attribute: Name,
    pub value: EntityValue,
    /// How long before the payment under test it is set. `None`: before everything else.
    pub before: Option<Span>,
}

/// What a decision should be, and where the document says so. What is `None` does not matter.
#[derive(Debug, Clone)]
pub struct TestExpectation {
    pub verdict: (ProblemPlace, Verdict),
    pub score: Option<(ProblemPlace, u16)>,
    /// All reason codes, in any order.
    pub reasons: Option<(ProblemPlace, Vec<String>)>,
    /// All tags, in any order.
    pub tags: Option<(ProblemPlace, Vec<String>)>,
}
