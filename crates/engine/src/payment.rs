//! What the state keeps of a payment. Everything else about it is read from its entry.

use features::StreamId;
use ledger::TransferKey;
use policy::Verdict;
use types::{AccountId, Amount, Digest, LedgerId, Name, PaymentId, RequestId, Seq, Timestamp, Token};

use crate::entry::{AtDeadline, CaptureTerms, Deadline, LegRefusal, PaymentStatus, Verb};

/// A payment in its current state.
#[derive(Debug, Clone, PartialEq)]
pub struct Payment {
    pub id: PaymentId,
    /// The entry that decided the payment.
    pub seq: Seq,
    /// The last entry about the payment.
    pub changed_seq: Seq,
    /// A keyed hash of the request that made the payment.
    pub content: Digest,
    pub payment_type: Name,
    /// The ledger of the payment, which determines its asset.
    pub ledger: LedgerId,
    /// In minor units.
    pub amount: Amount,
    pub decided_at: Timestamp,
    /// As the client declared it; otherwise equal to `decided_at`.
    pub occurred_at: Timestamp,
    /// The verdict of the policy.
    pub verdict: Verdict,
    /// From 0 to 1000.
    pub score: u16,
    pub status: PaymentStatus,
    /// Why the ledger refused the payment, if it did.
    pub refusal: Option<LegRefusal>,
    /// What happens if nobody acts, and when.
    pub deadline: Option<Deadline>,
    /// Whether an approval moves the money or only reserves it.
    pub capture: CaptureTerms,
    /// The amounts that moved or are reserved.
    pub legs: Box<[Leg]>,
    /// How many transfers the payment has made. They are numbered from 0.
    pub transfers: u16,
    /// The records that the payment added to feature windows.
    pub records: Box<[Recorded]>,
    /// The verbs that changed the payment, and the requests that asked for them.
    pub changes: Vec<(RequestId, Verb)>,
    /// What the payment turned out to be, if that is known.
    pub label: Option<Label>,
}

impl Payment {
    /// The most verbs that a payment accepts. The state keeps the request id of each.
    pub const CHANGES_MAX: usize = 16;

    /// Whether it can still be approved, captured or voided.
    pub const fn is_open(&self) -> bool {
        self.status.is_open()
    }

    /// The payment as it is at `now`.
    #[must_use]
    pub fn as_of(&self, now: Timestamp) -> Self {
        Self { status: self.status_at(now), ..self.clone() }
    }

    /// The status at `now`. It takes a deadline that has passed into account, even if the entry about it is not written
    /// yet.
    pub fn status_at(&self, now: Timestamp) -> PaymentStatus {
        match self.deadline {
            Some(deadline) if deadline.at <= now => match (deadline.then, self.status, self.capture) {
                (AtDeadline::Expire, ..) => PaymentStatus::Expired,
                (AtDeadline::Proceed, PaymentStatus::InReview, CaptureTerms::Manual { .. }) => PaymentStatus::Held,
                (AtDeadline::Proceed, ..) => PaymentStatus::Posted,
            },
            Some(_) | None => self.status,
        }
    }
}

/// One movement of money within a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// The transfer that reserved or moved the money.
    pub transfer: TransferKey,
    pub debit: AccountId,
    pub credit: AccountId,
    pub amount: Amount,
    /// The code of the transfer.
    pub code: types::Code,
}

/// A record that the payment added to a feature window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    pub stream: StreamId,
    pub entity: Token,
    /// By the clock of the stream.
    pub at: Timestamp,
    /// Whether the record is removed if the payment is declined or voided, or expires.
    pub accepted: bool,
}

/// What a payment turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub name: Name,
    /// Whether the label counts as positive.
    pub positive: bool,
    /// When the label was recorded.
    pub recorded_at: Timestamp,
}
