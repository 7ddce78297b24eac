//! The input and the output of an evaluation.

use std::fmt;

use types::{AccountId, Amount, Code, Name, Timestamp, Token};

use crate::cel::Listed;
use crate::index::{AccountTemplateIdx, FeatureIdx, ListIdx, ModelIdx, PaymentTypeIdx, StreamIdx};
use crate::limits::SCORE_MAX;
use crate::spec::{Counts, StreamClock};
use crate::value::{AttributeValue, EntityValue, FeatureValue};

/// What is known about a payment when it is decided.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub payment_type: PaymentTypeIdx,
    /// In minor units. Expressions cannot read an amount above [`AMOUNT_MAX`](crate::limits::AMOUNT_MAX).
    pub amount: Amount,
    /// When the engine decides the payment.
    pub decided_at: Timestamp,
    /// When the payment happened. Equal to `decided_at` unless the type lets clients state it.
    pub occurred_at: Timestamp,
    /// One per attribute of the type, in its order. `None` if the payment leaves it out. The edge must have checked
    /// each with [`AttributeKind::admits`](crate::AttributeKind::admits), and that required ones are present.
    pub attributes: &'a [Option<AttributeValue>],
}

impl Facts<'_> {
    /// The payment's time on a stream's clock.
    pub const fn at(&self, clock: StreamClock) -> Timestamp {
        clock.of(self.decided_at, self.occurred_at)
    }
}

/// The records of all streams of the policy, the values of its lists and the attributes of its entities, as of now. It is used during one evaluation only, so it need not change.
pub trait WindowSource {
    /// The records of `entity` in `window` as of `at` on the stream's clock. The entity is a token, or what
    /// [`StreamRecord::entity`] is for a stream of pairs or groups. `candidate` is what the payment under decision adds to the stream
    /// at that instant; it counts as if it were already recorded. An entity without records has an exact answer: none.
    ///
    /// # Errors
    /// If the answer would not be exact. The answer is never a guess.
    fn view(
        &self,
        stream: StreamIdx,
        entity: Token,
        window: features::Window,
        at: Timestamp,
        candidate: Option<features::Candidate>,
    ) -> Result<features::View<'_>, features::Missing>;

    /// Whether a list has a value that does not expire before or at `at`. A list that was not made has no values. An implementation
    /// may note that the list was asked for, because a decision names the lists that it depends on.
    fn list_has(&self, list: ListIdx, value: Listed<'_>, at: Timestamp) -> bool;

    /// What an entity of this kind has as an attribute, if it was set.
    fn attribute(&self, kind: &Name, attribute: &Name, entity: Token) -> Option<&EntityValue>;
}

/// The result of evaluating a policy for one payment. It is a pure function of the policy, the facts and the history.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The strictest verdict that anything asked for.
    pub verdict: Verdict,
    /// The score of the models, which is the highest one or what `decision.score` makes of them, plus the scores of rules, clamped to 0..=1000.
    pub score: Score,
    /// What led to the verdict and the score: first failures before any rule, then rules in their order, then
    /// thresholds.
    pub reasons: Vec<Reason>,
    /// Tags of rules, in the order of the rules, each once.
    pub tags: Vec<String>,
    /// All features of the payment's type, in order.
    pub features: Vec<(FeatureIdx, FeatureValue)>,
    /// All models of the payment's type, in order. The probability is in 0..=1, or `None` if the model gave none.
    pub models: Vec<(ModelIdx, Option<f64>)>,
    /// What the payment adds to streams, in their order. Records that count [`Counts::Accepted`] are added only if the
    /// payment is not declined.
    pub records: Vec<StreamRecord>,
    /// The transfers of the payment, without those of amount 0. Empty if the payment is declined.
    ///
    /// An error means that the payment cannot be made, whatever the verdict. The caller must then decline it with
    /// [`LEG_FAILED`](crate::reason::LEG_FAILED).
    pub legs: Result<Vec<LegPlan>, Failure>,
}

/// The answer to a payment. Verdicts are ordered from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Make the payment.
    Approve,
    /// Hold the payment until a human decides.
    Review,
    /// Do not make the payment.
    Decline,
}

impl Verdict {
    /// All verdicts, from the mildest to the strictest.
    pub const ALL: [Self; 3] = [Self::Approve, Self::Review, Self::Decline];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Review => "review",
            Self::Decline => "decline",
        }
    }
}

/// How suspicious a payment is, from 0 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Score(u16);

impl Score {
    pub const MAX: Self = Self(SCORE_MAX);

    /// Clamps `points` to 0..=1000.
    pub fn clamped(points: i64) -> Self {
        Self(u16::try_from(points.clamp(0, i64::from(SCORE_MAX))).unwrap_or(SCORE_MAX))
    }

    /// 1000 · `probability`, with half a point rounded up. Multiplication and rounding are exact by IEEE 754, so the
    /// score is the same on every machine.
    pub fn of_probability(probability: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and NaN becomes 0")]
        Self::clamped((probability * 1000.0).round() as i64)
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Something that asked for a verdict or changed the score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The name of the rule, or one of [`SYSTEM_REASONS`](crate::reason::SYSTEM_REASONS).
    pub code: Name,
    pub effect: Effect,
    /// The first part of the policy that led to one of the system's reasons, unless it is about the score.
    pub failure: Option<Failure>,
}

/// A part of a policy that could not be computed for a payment, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub part: Part,
    pub cause: FailureCause,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.cause)
    }
}

/// A part of a policy that is computed for every payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Stream(Name),
    Model(Name),
    Rule(Name),
    /// The position of the leg in the payment type, from 0.
    Leg(u16),
    /// What makes one score of those of the models.
    Score,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(name) => write!(f, "streams.{name}"),
            Self::Model(name) => write!(f, "models.{name}"),
            Self::Rule(name) => write!(f, "rule {name}"),
            Self::Leg(number) => write!(f, "legs[{number}]"),
            Self::Score => f.write_str("decision.score"),
        }
    }
}

/// Why a part of a policy could not be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FailureCause {
    /// It reads an attribute that the payment leaves out, or a feature that is missing: `payment.device`.
    #[error("{0} is missing")]
    Missing(Box<str>),
    #[error("a result is out of range")]
    Overflow,
    #[error("division by zero")]
    DivisionByZero,
    /// Such as a double that does not fit an int, or a string that is not a number.
    #[error("a value cannot be converted to the type")]
    InvalidConversion,
    /// A value that the expression marks as of type `dyn`, or takes from a list of mixed types, is not of a type that the
    /// operation takes.
    #[error("a value is of a type that the operation does not take")]
    Mistyped,
    /// The model ran and gave no number.
    #[error("the model gave no number")]
    NoProbability,
    /// In minor units.
    #[error("the amount {0} is negative")]
    NegativeAmount(i64),
    #[error("it would move money from an account to itself")]
    SameAccount,
    #[error("a list, map or string has nothing at the index or key")]
    NotFound,
}

impl FailureCause {
    /// The stable name of the cause.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Overflow => "overflow",
            Self::DivisionByZero => "division_by_zero",
            Self::InvalidConversion => "invalid_conversion",
            Self::Mistyped => "mistyped",
            Self::NoProbability => "no_probability",
            Self::NegativeAmount(_) => "negative_amount",
            Self::SameAccount => "same_account",
            Self::NotFound => "not_found",
        }
    }

    /// The names of all causes.
    pub const NAMES: [&'static str; 9] = [
        "missing",
        "overflow",
        "division_by_zero",
        "invalid_conversion",
        "mistyped",
        "no_probability",
        "negative_amount",
        "same_account",
        "not_found",
    ];
}

/// The effect of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It asked for a decline.
    Decline,
    /// It asked for a review.
    Review,
    /// It added this to the score, −1000 to 1000.
    Score(i16),
}

/// A record that a payment adds to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRecord {
    pub stream: StreamIdx,
    /// The token of the entity that the record is about. In a stream of pairs or groups it is a token that is derived from those of the
    /// entities and from the group.
    pub entity: Token,
    /// The payment's time on the stream's clock.
    pub at: Timestamp,
    pub value: i64,
    /// What the record is about besides that, if the stream has items and the payment has one.
    pub item: Option<features::Item>,
    /// Whether the record exists for every decided payment, or only for one that is not declined.
    pub counts: Counts,
}

/// One transfer that the payment makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegPlan {
    /// The account that pays.
    pub debit: AccountRef,
    /// The account that is paid.
    pub credit: AccountRef,
    /// In minor units, never 0.
    pub amount: Amount,
    pub code: Code,
    /// Number of the leg in the payment type, from 0. If a leg is left out, the others keep their numbers.
    pub leg: u16,
}

/// Identifies an account of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountRef {
    /// The template's single account.
    Single(AccountTemplateIdx),
    /// The template's account for this entity.
    Of(AccountTemplateIdx, Token),
    /// The account that the client named.
    Id(AccountId),
}
