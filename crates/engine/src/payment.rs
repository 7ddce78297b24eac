//! What the state keeps of a payment. Everything else about it is read from its entry.

use std::fmt;

use features::StreamId;
use ledger::TransferKey;
use policy::Verdict;
use types::{AccountId, Amount, Digest, LedgerId, Name, PaymentId, RequestId, Seq, Timestamp, Token};

use crate::entry::{AtDeadline, CaptureTerms, Deadline, LegRefusal, PaymentStatus, PaymentSums, Portion, Verb};

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
    /// What was authorised, in minor units: at first, and by the increments that raised it since.
    pub amount: Amount,
    pub decided_at: Timestamp,
    /// As the client declared it; otherwise equal to `decided_at`.
    pub occurred_at: Timestamp,
    /// The verdict of the policy.
    pub verdict: Verdict,
    /// From 0 to 1000.
    pub score: u16,
    pub status: PaymentStatus,
    /// What of `amount` is captured, released and refunded.
    pub sums: PaymentSums,
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
    pub changes: Vec<(RequestId, Asked)>,
    /// What was captured when the hold was last raised; otherwise 0.
    pub captured_before: Amount,
    /// The increments that were decided, in order.
    pub increments: Vec<Increment>,
    /// What the payment turned out to be, if that is known.
    pub label: Option<Label>,
}

/// An increment of a hold that was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Increment {
    /// The entry with the decision.
    pub seq: Seq,
    pub decided_at: Timestamp,
    /// By how much the hold was to be raised, in minor units.
    pub amount: Amount,
    /// The verdict of the policy.
    pub verdict: Verdict,
    /// From 0 to 1000.
    pub score: u16,
    /// Whether the hold was raised. It was not if the policy did not approve it, or if the ledger refused it.
    pub raised: bool,
}

impl Payment {
    /// The most verbs that a payment accepts. The state keeps the request id of each.
    pub const CHANGES_MAX: usize = 64;

    /// Whether it can still be approved, captured or voided.
    pub const fn is_open(&self) -> bool {
        self.status.is_open()
    }

    /// The payment as it is at `now`. A deadline that has passed counts, even if the entry about it is not written yet.
    #[must_use]
    pub fn as_of(&self, now: Timestamp) -> Self {
        let Next { status, sums } = self.next_at(now);
        Self { status, sums, ..self.clone() }
    }

    /// The status at `now`, as in [`Payment::as_of`].
    pub fn status_at(&self, now: Timestamp) -> PaymentStatus {
        self.next_at(now).status
    }

    fn next_at(&self, now: Timestamp) -> Next {
        match self.deadline {
            Some(deadline) if deadline.at <= now => match deadline.then {
                AtDeadline::Expire => self.ended(PaymentStatus::Expired),
                AtDeadline::Proceed => self.approved(),
            },
            Some(_) | None => self.present(),
        }
    }

    pub(crate) fn present(&self) -> Next {
        Next { status: self.status, sums: self.sums }
    }

    /// What is reserved, in minor units of the payment.
    pub(crate) fn held(&self) -> Amount {
        if !self.is_open() {
            return Amount::ZERO;
        }
        self.amount.saturating_sub(self.sums.captured).saturating_sub(self.sums.released)
    }

    /// Where an approval leads: from a review, to the hold or the posting that the payment type asks for; from a hold, to the
    /// posting of all that is held.
    pub(crate) fn approved(&self) -> Next {
        match (self.status, self.capture) {
            (PaymentStatus::InReview, CaptureTerms::Manual { .. }) => {
                Next { status: PaymentStatus::Held, sums: self.sums }
            }
            (_, _) => {
                let captured = self.amount.saturating_sub(self.sums.released);
                Next { status: PaymentStatus::Posted, sums: PaymentSums { captured, ..self.sums } }
            }
        }
    }

    /// What the payment is when all that is held is released: `status`, or posted if a part was captured.
    pub(crate) fn ended(&self, status: PaymentStatus) -> Next {
        let released = self.amount.saturating_sub(self.sums.captured);
        let status = if self.sums.captured.is_zero() { status } else { PaymentStatus::Posted };
        Next { status, sums: PaymentSums { released, ..self.sums } }
    }

    /// What a leg has moved, holds and has moved back when the payment is as `next` says. The parts of a leg are its shares of
    /// the sums, so that they always add up to the leg.
    pub(crate) fn parts(&self, leg: &Leg, next: &Next) -> LegParts {
        // Legs of a payment of zero, such as a fixed fee, only move as a whole.
        let (whole, sums) = if self.amount.is_zero() {
            let whole = Amount::new(1);
            (whole, PaymentSums::of_whole(whole, next.status))
        } else {
            (self.amount, next.sums)
        };
        // What moved before an increment stays as it is. The rest of the leg is for the rest of the payment.
        let (moved, before) = (leg.moved, self.captured_before);
        let (leg_rest, rest) = (leg.amount.saturating_sub(moved), whole.saturating_sub(before));
        let of = |part: Amount| {
            let share = leg_rest.share(part.saturating_sub(before), rest);
            moved.checked_add(share).expect("ENG-25: the parts are within the amount")
        };
        let captured = of(sums.captured);
        let held = of(whole.saturating_sub(sums.released)).saturating_sub(captured);
        let refunded = match sums.refunded == sums.captured {
            true => captured,
            false => leg.amount.share(sums.refunded, whole).min(captured),
        };
        LegParts { captured, held, refunded }
    }
}

/// What a change makes of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) status: PaymentStatus,
    pub(crate) sums: PaymentSums,
}

/// The parts of a leg, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LegParts {
    /// What was posted, including what was moved back.
    pub(crate) captured: Amount,
    pub(crate) held: Amount,
    pub(crate) refunded: Amount,
}

/// What a request asked of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub verb: Verb,
    pub portion: Portion,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = self.verb.name();
        match self.portion {
            Portion::Part(amount) if self.verb == Verb::Increment => write!(f, "{verb} the payment by {amount}"),
            Portion::All => write!(f, "{verb} the payment"),
            Portion::Part(amount) => write!(f, "{verb} {amount} of the payment"),
            Portion::Last(amount) => write!(f, "{verb} a last {amount} of the payment"),
        }
    }
}

/// One movement of money within a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// The transfer that moved the money, or that reserves what is held of it.
    pub transfer: TransferKey,
    pub debit: AccountId,
    pub credit: AccountId,
    /// The amount of the leg for all that was authorised.
    pub amount: Amount,
    /// What was captured of the leg when the hold was last raised; otherwise 0.
    pub moved: Amount,
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
