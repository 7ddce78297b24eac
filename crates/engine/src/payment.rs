//! What the state remembers of a payment. Everything else about it is read from its entry.

use features::StreamId;
use ledger::TransferKey;
use policy::Verdict;
use types::{AccountId, Amount, Digest, LedgerId, Name, PaymentId, RequestId, Seq, Timestamp, Token};

use crate::entry::{AtDeadline, CaptureTerms, Deadline, LegRefusal, PaymentStatus, Verb};

/// A payment as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// The entry that decided it.
    pub seq: Seq,
    /// The entry that changed it last.
    pub changed_seq: Seq,
    /// Keyed hash of the request that made it.
    pub content: Digest,
    /// Its type.
    pub payment_type: Name,
    /// The ledger its amount is in.
    pub ledger: LedgerId,
    /// How much.
    pub amount: Amount,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// When it happened, as far as declared.
    pub occurred_at: Timestamp,
    /// What policy said.
    pub verdict: Verdict,
    /// 0 to 1000.
    pub score: u16,
    /// Where it stands.
    pub status: PaymentStatus,
    /// Why the ledger refused, when it did.
    pub refusal: Option<LegRefusal>,
    /// What happens next if nobody acts.
    pub deadline: Option<Deadline>,
    /// Whether an approval moves the money or only reserves it.
    pub capture: CaptureTerms,
    /// What moved or is reserved.
    pub legs: Box<[Leg]>,
    /// How many transfers it has made; they are numbered from 0.
    pub transfers: u16,
    /// What it added to feature windows.
    pub records: Box<[Recorded]>,
    /// The verbs that moved it, and the requests that asked.
    pub changes: Vec<(RequestId, Verb)>,
    /// What it turned out to be.
    pub label: Option<Label>,
}

impl Payment {
    /// The most verbs one payment takes; each leaves its request id here.
    pub const CHANGES_MAX: usize = 16;

    /// The payment as it reads at `now`.
    pub(crate) fn as_of(&self, now: Timestamp) -> Self {
        Self { status: self.status_at(now), ..self.clone() }
    }

    /// Where the payment stands at `now`: what is past its deadline has moved on, whether or not the entry that
    /// says so is written yet.
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

/// One movement of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// The transfer that holds or moved the money.
    pub transfer: TransferKey,
    /// From here.
    pub debit: AccountId,
    /// To here.
    pub credit: AccountId,
    /// So much.
    pub amount: Amount,
    /// The client's code of the transfer.
    pub code: types::Code,
}

/// A record in a feature window that this payment made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// In this stream.
    pub stream: StreamId,
    /// For this entity.
    pub entity: Token,
    /// At this time, by the stream's clock.
    pub at: Timestamp,
    /// It goes away again when the payment is declined, voided or expires.
    pub accepted: bool,
}

/// What a payment turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The label.
    pub name: Name,
    /// Whether it counts as a positive.
    pub positive: bool,
    /// Since when it is known here.
    pub recorded_at: Timestamp,
}
