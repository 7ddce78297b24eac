//! Entries: what happened, as facts. `apply` folds them; nothing in them is ever decided again.

use std::sync::Arc;

use features::{StreamId, Update};
use ledger::{RestoredFrom, TransferStatus};
use policy::{FeatureValue, Reason, Verdict};
use types::{
    AccountId, ActorId, Amount, Digest, LedgerId, Name, Origin, PaymentId, RequestId, Sealed, Seq, ShardId, Span,
    TenantId, Timestamp, Token,
};

use crate::identity::IdentityFact;

/// One record of the journal: one command and everything that was decided about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where it stands and who caused it.
    pub header: Header,
    /// What happened.
    pub fact: Fact,
    /// Personal data of the command, readable only with keys of the key store.
    pub sealed: Option<Sealed>,
}

/// What every entry says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The shard whose order this is.
    pub shard: ShardId,
    /// The place in that order.
    pub seq: Seq,
    /// Whose entry.
    pub tenant: TenantId,
    /// Who asked.
    pub actor: ActorId,
    /// The request that caused it; zero when nobody asked (a deadline, a digest).
    pub request: RequestId,
    /// The engine's time: unique and increasing. Steps of the entry that need times of their own (several transfers
    /// of one payment) take the nanoseconds after it.
    pub decided_at: Timestamp,
    /// The client's time where it declares one, otherwise equal to `decided_at`.
    pub occurred_at: Timestamp,
}

/// What happened. One variant is one kind of entry; `journal` owns their bytes and numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// The first entry of a history.
    JournalStarted {
        /// Which history.
        origin: Origin,
    },
    /// A history goes on from a point of another one, as a history of its own: a restore.
    JournalContinued {
        /// Which history it is from here on.
        origin: Origin,
        /// What comes before it.
        departed: Checkpoint,
    },
    /// Something moved or opened in the ledger outside any payment.
    Ledger(ledger::Fact),
    /// A payment was decided.
    PaymentDecided(Arc<PaymentDecided>),
    /// A payment moved on: a verb, or a deadline that passed.
    PaymentChanged(PaymentChanged),
    /// It became known what a payment truly was.
    LabelRecorded(LabelRecorded),
    /// A part of a large thing that other entries name by its digest.
    ArtifactStored(ArtifactChunk),
    /// A policy began to decide.
    PolicyActivated(Arc<PolicyActivated>),
    /// A principal or a credential was added.
    Identity(IdentityFact),
    /// What the state was, for every later replay to compare.
    StateDigest(StateDigest),
}

impl Fact {
    /// Where a restart gets what the entry of this fact did. Whatever writes the tables or restores a state goes by this;
    /// a new fact has to say it here.
    pub const fn restored_from(&self) -> RestoredFrom {
        match self {
            Self::Ledger(fact) => fact.restored_from(),
            // The tables of the generation that ends with the last digest name it.
            Self::StateDigest(_) => RestoredFrom::Tables,
            Self::JournalStarted { .. }
            | Self::JournalContinued { .. }
            | Self::PaymentDecided(_)
            | Self::PaymentChanged(_)
            | Self::LabelRecorded(_)
            | Self::ArtifactStored(_)
            | Self::PolicyActivated(_)
            | Self::Identity(_) => RestoredFrom::Entry,
        }
    }
}

/// A history up to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which history.
    pub origin: Origin,
    /// Its first so many entries.
    pub size: u64,
    /// The root of the RFC 6962 tree over their leaves.
    pub root: Digest,
}

/// The decision of a payment and all it moved.
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentDecided {
    /// The payment.
    pub payment: PaymentId,
    /// Keyed hash of the request's own fields in canonical form.
    pub content: Digest,
    /// The entry that activated the policy which decided; it also explains the numbers of features, rules and models.
    pub policy: Seq,
    /// The payment type.
    pub payment_type: Name,
    /// The ledger whose asset the amount is in.
    pub ledger: LedgerId,
    /// How much, in minor units.
    pub amount: Amount,
    /// The attributes that are not personal; entities as tokens. By name, in the type's order.
    pub attributes: Vec<(Name, PlainValue)>,
    /// What policy said.
    pub verdict: Verdict,
    /// 0 to 1000.
    pub score: u16,
    /// Rules and the system's own reasons, in the order they applied, with what each did.
    pub reasons: Vec<Reason>,
    /// Free texts that rules attached.
    pub tags: Vec<String>,
    /// Feature number in the policy, and its value at that moment.
    pub features: Vec<(u16, FeatureValue)>,
    /// Model number in the policy, and the probability it gave.
    pub models: Vec<(u16, Option<f64>)>,
    /// `occurred_at` was declared later than the type's bound allows, so `decided_at` counted instead.
    pub late: bool,
    /// Where the payment stands after the decision.
    pub status: PaymentStatus,
    /// Why the ledger refused a leg, when the status says refused.
    pub refusal: Option<LegRefusal>,
    /// Whether an approval moves the money or only reserves it.
    pub capture: CaptureTerms,
    /// What happens next if nobody acts.
    pub deadline: Option<Deadline>,
    /// Accounts opened and transfers made, in order.
    pub ledger_facts: Vec<ledger::Fact>,
    /// What it adds to feature windows.
    pub updates: Vec<Update>,
    /// Which of those records go away again when the payment is declined, voided or expires: positions in `updates`.
    pub accepted_updates: Vec<u16>,
}

/// An attribute value that an entry may carry in the clear.
#[derive(Debug, Clone, PartialEq)]
pub enum PlainValue {
    /// Text that the policy declares not personal.
    Text(Box<str>),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Yes or no.
    Bool(bool),
    /// An instant.
    Time(Timestamp),
    /// The token of an entity key.
    Entity(Token),
    /// An account the client named.
    Account(AccountId),
}

/// Which leg the ledger refused, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegRefusal {
    /// Position in the payment type's legs, from 0; legs of amount zero count too.
    pub leg: u16,
    /// The ledger's status.
    pub status: TransferStatus,
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentStatus {
    /// The money moved.
    Posted,
    /// Approved; the money is reserved until captured or voided.
    Held,
    /// The money is reserved until a human decides.
    InReview,
    /// Policy or a reviewer said no; nothing moved.
    Declined,
    /// Policy did not decline, but the ledger refused; nothing moved.
    Refused,
    /// Given up before it was captured; the money is free again.
    Voided,
    /// A deadline passed; the money is free again.
    Expired,
    /// The money moved back.
    Refunded,
}

impl PaymentStatus {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Posted,
        Self::Held,
        Self::InReview,
        Self::Declined,
        Self::Refused,
        Self::Voided,
        Self::Expired,
        Self::Refunded,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Held => "held",
            Self::InReview => "in_review",
            Self::Declined => "declined",
            Self::Refused => "refused",
            Self::Voided => "voided",
            Self::Expired => "expired",
            Self::Refunded => "refunded",
        }
    }
}

/// When a payment moves on by itself, and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The instant; from then on the payment is what `then` says.
    pub at: Timestamp,
    /// What it does.
    pub then: AtDeadline,
}

/// What a passed deadline does, as the policy declared it when the payment was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtDeadline {
    /// The payment expires and the money is free again.
    Expire,
    /// The payment goes on as if somebody had said yes: a review counts as approved, a hold as captured.
    Proceed,
}

/// What an approval does, as the policy declared it when the payment was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureTerms {
    /// The money moves at once.
    Immediate,
    /// The money is reserved until a capture.
    Manual {
        /// How long, from the approval.
        deadline: Span,
        /// What a missed capture does.
        then: AtDeadline,
    },
}

/// A payment moved on.
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentChanged {
    /// The payment.
    pub payment: PaymentId,
    /// What moved it.
    pub cause: Cause,
    /// Where it stands now.
    pub status: PaymentStatus,
    /// What happens next if nobody acts.
    pub deadline: Option<Deadline>,
    /// The transfers that did it, in order.
    pub ledger_facts: Vec<ledger::Fact>,
    /// What it changes in feature windows.
    pub updates: Vec<Update>,
}

/// What moves a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Somebody asked.
    Verb(Verb),
    /// Nobody did in time.
    Deadline,
}

/// What can be asked of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// A reviewer says yes.
    Approve,
    /// A reviewer says no.
    Decline,
    /// Move what is held.
    Capture,
    /// Give up what is held or under review.
    Void,
    /// Move back what was posted, in full.
    Refund,
}

impl Verb {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Approve, Self::Decline, Self::Capture, Self::Void, Self::Refund];

    /// The stable name, also the last part of its route.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Decline => "decline",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
        }
    }
}

/// What a payment turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelRecorded {
    /// The payment.
    pub payment: PaymentId,
    /// The label, such as `fraud`.
    pub label: Name,
    /// Whether the policy of that moment counts this label as a positive.
    pub positive: bool,
    /// What it changes in feature windows.
    pub updates: Vec<Update>,
}

/// A part of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactChunk {
    /// Digest of the whole artifact.
    pub artifact: Digest,
    /// Which part, from 0.
    pub index: u32,
    /// How many parts there are.
    pub count: u32,
    /// The part.
    pub bytes: Arc<[u8]>,
}

impl ArtifactChunk {
    /// The largest part; a frame holds several.
    pub const BYTES_MAX: usize = 256 * 1024;
    /// The most parts: 16 MiB and a little more for the largest policy bundle.
    pub const COUNT_MAX: u32 = 72;
}

/// A policy began to decide. Everything that reading old entries or folding new ones needs to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyActivated {
    /// Digest of the bundle, an artifact stored before.
    pub artifact: Digest,
    /// The policy's own name.
    pub name: Name,
    /// Names of features by number.
    pub features: Vec<Name>,
    /// Names of models by number.
    pub models: Vec<Name>,
    /// The streams it uses, in the policy's order: new ones, and old ones it goes on with.
    pub streams: Vec<StreamOpened>,
    /// Ledgers that it needed and that did not exist.
    pub ledger_facts: Vec<ledger::Fact>,
}

/// A stream of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOpened {
    /// The number that updates carry.
    pub id: StreamId,
    /// What defines it; an unchanged definition keeps its number and its records.
    pub key: Digest,
    /// How far back features may look.
    pub retention: Span,
    /// Records kept per entity.
    pub records_max: u32,
    /// Entities kept.
    pub entities_max: u32,
    /// Since when every payment has been recorded in it: from the beginning, or from an activation on. A window that
    /// reaches further back is missing, never silently short.
    pub recorded_since: Timestamp,
}

/// What the state was after the entry before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateDigest {
    /// How the digest is computed; a later scheme adds what a later release adds to the state.
    pub scheme: u16,
    /// Over the after-images of everything that changed since the last one, chained from it.
    pub digest: Digest,
}
