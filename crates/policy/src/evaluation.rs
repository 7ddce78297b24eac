//! What an evaluation takes and gives.

use types::{AccountId, Amount, Code, Name, Timestamp, Token};

use crate::index::{AccountTemplateIdx, FeatureIdx, ModelIdx, PaymentTypeIdx, StreamIdx};
use crate::limits::SCORE_MAX;
use crate::spec::{Counts, StreamClock};
use crate::value::{AttributeValue, FeatureValue};

/// What is known of a payment when it is decided.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Its type.
    pub payment_type: PaymentTypeIdx,
    /// Its amount, at most [`AMOUNT_MAX`](crate::limits::AMOUNT_MAX).
    pub amount: Amount,
    /// The engine's time of the decision.
    pub decided_at: Timestamp,
    /// When it happened; the same where the type does not let clients say so.
    pub occurred_at: Timestamp,
    /// One per attribute of the type, in its order; `None` where the payment leaves it out. The edge has checked each
    /// with [`AttributeKind::admits`](crate::AttributeKind::admits), and that required ones are there.
    pub attributes: &'a [Option<AttributeValue>],
}

impl Facts<'_> {
    /// The payment's time on a stream's clock.
    pub const fn at(&self, clock: StreamClock) -> Timestamp {
        clock.of(self.decided_at, self.occurred_at)
    }
}

/// The records of every stream of the policy, as of now. Asked during one evaluation only, so it need not change.
pub trait History {
    /// What the records of `entity` in `window` add up to at the moment `at` of the stream's clock, exactly.
    /// `candidate` is the value that the payment under decision adds to the stream at that moment: it counts as if it
    /// were recorded already. An entity without records has an exact answer, zero.
    ///
    /// # Errors
    /// When the answer would not be exact; never a guess.
    fn aggregate(
        &self,
        stream: StreamIdx,
        entity: Token,
        window: features::Window,
        at: Timestamp,
        candidate: Option<i64>,
    ) -> Result<features::Aggregate, features::Missing>;
}

/// Everything that a policy says about one payment. A pure function of the policy, the facts and the history.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The strictest of all that was found.
    pub verdict: Verdict,
    /// The highest model score plus the scores of rules, clamped to 0..=1000.
    pub score: Score,
    /// What the verdict and the score come from: first what failed before any rule, then rules in their order, then thresholds.
    pub reasons: Vec<Reason>,
    /// Tags of rules, in the rules' order, each once.
    pub tags: Vec<String>,
    /// Every feature of the payment's type, in order.
    pub features: Vec<(FeatureIdx, FeatureValue)>,
    /// Every model of the payment's type, in order, with its probability in 0..=1 where it gave one.
    pub models: Vec<(ModelIdx, Option<f64>)>,
    /// What the payment adds to streams, in their order. Ones that count [`Counts::Accepted`] only if it is not declined.
    pub records: Vec<StreamRecord>,
    /// The transfers of the payment, those of amount 0 left out; empty when it is declined.
    ///
    /// An error means that the payment cannot be made, whatever the verdict: the caller declines it with
    /// [`LEG_FAILED`](crate::reason::LEG_FAILED).
    pub legs: Result<Vec<LegPlan>, LegError>,
}

/// The answer to a payment, from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Make it.
    Approve,
    /// Hold it for a human.
    Review,
    /// Do not make it.
    Decline,
}

/// How suspicious a payment is, 0..=1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Score(u16);

impl Score {
    /// The highest.
    pub const MAX: Self = Self(SCORE_MAX);

    /// The score `points`, clamped to 0..=1000.
    pub fn clamped(points: i64) -> Self {
        Self(u16::try_from(points.clamp(0, i64::from(SCORE_MAX))).unwrap_or(SCORE_MAX))
    }

    /// 1000 · `probability`, half a point rounded up. Multiplication and rounding are exact by IEEE 754, so the score
    /// is the same on every machine.
    pub fn of_probability(probability: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and NaN becomes 0")]
        Self::clamped((probability * 1000.0).round() as i64)
    }

    /// The points.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// One thing that spoke for a verdict or added to the score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The name of the rule, or one of [`SYSTEM_REASONS`](crate::reason::SYSTEM_REASONS).
    pub code: Name,
    /// What it did.
    pub effect: Effect,
}

/// What a reason did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Declined.
    Decline,
    /// Sent to review.
    Review,
    /// Added to the score, −1000 to 1000.
    Score(i16),
}

/// What a payment adds to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRecord {
    /// The stream.
    pub stream: StreamIdx,
    /// Whose record it is.
    pub entity: Token,
    /// The payment's time on the stream's clock.
    pub at: Timestamp,
    /// Its value.
    pub value: i64,
    /// Whether it is there for every decided payment, or only for one that is not declined.
    pub counts: Counts,
}

/// One transfer that the payment makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegPlan {
    /// The account that pays.
    pub debit: AccountRef,
    /// The account that is paid.
    pub credit: AccountRef,
    /// How much, never 0.
    pub amount: Amount,
    /// The transfer's code.
    pub code: Code,
    /// Which leg of the payment type it is, from 0: legs left out keep their numbers.
    pub leg: u16,
}

/// An account of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountRef {
    /// The template's single account.
    Single(AccountTemplateIdx),
    /// The template's account for this entity.
    Of(AccountTemplateIdx, Token),
    /// The account that the client named.
    Id(AccountId),
}

/// Why the transfers of a payment cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LegError {
    /// The expression gave a negative amount.
    #[error("the amount of leg {leg} is {amount}, it must not be negative")]
    NegativeAmount {
        /// Which leg, from 0.
        leg: u16,
        /// In minor units.
        amount: i64,
    },
    /// The expression failed: an overflow, a division by zero, an attribute that the payment leaves out.
    #[error("the amount of leg {leg} cannot be calculated")]
    AmountFailed {
        /// Which leg, from 0.
        leg: u16,
    },
    /// Both sides name the same account.
    #[error("leg {leg} would move money from an account to itself")]
    SameAccount {
        /// Which leg, from 0.
        leg: u16,
    },
}
