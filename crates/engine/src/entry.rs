//! Entries: what happened, as facts. `apply` only folds them; nothing in them is ever decided again.

use std::sync::Arc;

use features::{StreamId, Update};
use ledger::{RestoredFrom, TransferStatus};
use policy::{FeatureValue, Reason, Verdict};
use types::{
    AccountId, ActorId, Amount, Digest, LedgerId, Name, Origin, PaymentId, RequestId, Sealed, Seq, ShardId, Span,
    TenantId, Timestamp, Token,
};

use crate::approvals::ApprovalFact;
use crate::entity_attributes::EntityAttributesSet;
use crate::guard::KeyUsed;
use crate::identity::IdentityFact;
use crate::lists::ListFact;
use crate::payment::Leg;
use crate::record_read::PersonalDataRead;
use crate::settings::SettingFact;

/// One record of the journal: one command and everything that was decided about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place in the journal, and who caused it.
    pub header: Header,
    pub fact: Fact,
    /// Personal data of the command. Only keys of the key store can decrypt it.
    pub sealed: Option<Sealed>,
}

/// What every entry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The shard that the entry belongs to.
    pub shard: ShardId,
    /// The entry's place in the order of the shard.
    pub seq: Seq,
    /// The tenant that the entry belongs to.
    pub tenant: TenantId,
    /// Who made the request.
    pub actor: ActorId,
    /// The request that caused the entry; 0 if no request did (a deadline, a digest).
    pub request: RequestId,
    /// The engine's time, unique and increasing. Steps of the entry that need a time of their own (several transfers of
    /// one payment) take the nanoseconds after it.
    pub decided_at: Timestamp,
    /// The time that the client declared, if it declared one; otherwise equal to `decided_at`.
    pub occurred_at: Timestamp,
}

/// What happened. Each variant is one kind of entry; `journal` defines their bytes and numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// The first entry of a history.
    JournalStarted { origin: Origin },
    /// A history continues from a point of another one, because the journal was restored.
    JournalContinued {
        /// The origin of the new history.
        origin: Origin,
        /// The old history, up to the point at which the new one departs from it.
        departed: DepartedHistory,
    },
    /// A fact of the ledger that does not belong to a payment.
    Ledger(ledger::Fact),
    /// A payment was decided.
    PaymentDecided(Arc<PaymentDecided>),
    /// The status of a payment changed: by a verb, or because a deadline passed.
    PaymentChanged(PaymentChanged),
    /// A label was recorded, which says what a payment turned out to be.
    LabelRecorded(LabelRecorded),
    /// A part of a large object was stored. Other entries refer to the object by its digest.
    ArtifactStored(ArtifactChunk),
    /// A policy was activated.
    PolicyActivated(Arc<PolicyActivated>),
    /// A principal or a credential was added.
    Identity(IdentityFact),
    /// The rules of four eyes were set, or a proposal was made or ended.
    Approval(ApprovalFact),
    /// A setting of the installation was put or removed.
    Setting(SettingFact),
    /// A list was made, changed or deleted.
    List(ListFact),
    /// Attributes of an entity were set or removed.
    EntityAttributes(EntityAttributesSet),
    /// Personal data was shown to somebody.
    PersonalDataRead(PersonalDataRead),
    /// A request with an `Idempotency-Key` was carried out, by the entries that follow if there are any.
    KeyUsed(KeyUsed),
    /// The digest of the state at this point, which every later replay must reproduce.
    StateDigest(StateDigest),
}

impl Fact {
    /// The facts about the ledger that this fact contains, in the order in which they are applied.
    pub fn ledger_facts(&self) -> &[ledger::Fact] {
        match self {
            Self::Ledger(fact) => std::slice::from_ref(fact),
            Self::PaymentDecided(decided) => &decided.ledger_facts,
            Self::PaymentChanged(changed) => &changed.ledger_facts,
            Self::PolicyActivated(activated) => &activated.ledger_facts,
            Self::JournalStarted { .. }
            | Self::JournalContinued { .. }
            | Self::LabelRecorded(_)
            | Self::ArtifactStored(_)
            | Self::Identity(_)
            | Self::Approval(_)
            | Self::Setting(_)
            | Self::List(_)
            | Self::EntityAttributes(_)
            | Self::PersonalDataRead(_)
            | Self::KeyUsed(_)
            | Self::StateDigest(_) => &[],
        }
    }

    /// The payment that this fact decides, changes or labels, or whose metadata it sets.
    pub fn payment(&self) -> Option<PaymentId> {
        match self {
            Self::PaymentDecided(decided) => Some(decided.payment),
            Self::PaymentChanged(changed) => Some(changed.payment),
            Self::LabelRecorded(recorded) => Some(recorded.payment),
            Self::Ledger(ledger::Fact::MetadataSet { of: ledger::MetadataOf::Payment(id), .. }) => Some(*id),
            Self::Ledger(_)
            | Self::JournalStarted { .. }
            | Self::JournalContinued { .. }
            | Self::PolicyActivated(_)
            | Self::ArtifactStored(_)
            | Self::Identity(_)
            | Self::Approval(_)
            | Self::Setting(_)
            | Self::List(_)
            | Self::EntityAttributes(_)
            | Self::PersonalDataRead(_)
            | Self::KeyUsed(_)
            | Self::StateDigest(_) => None,
        }
    }

    /// From where a restart restores the effect of this fact. Code that writes the tables or restores a state relies on
    /// this answer, so a new fact must be added here.
    pub const fn restored_from(&self) -> RestoredFrom {
        match self {
            Self::Ledger(fact) => fact.restored_from(),
            // The tables of a generation contain the digest with which the generation ends.
            Self::StateDigest(_) => RestoredFrom::Tables,
            Self::JournalStarted { .. }
            | Self::JournalContinued { .. }
            | Self::ArtifactStored(_)
            | Self::PolicyActivated(_)
            | Self::Identity(_)
            | Self::Approval(_)
            | Self::Setting(_)
            | Self::List(_)
            | Self::EntityAttributes(_) => RestoredFrom::Entry,
            Self::KeyUsed(_) => RestoredFrom::Recent,
            Self::PersonalDataRead(_) => RestoredFrom::Nothing,
            Self::PaymentDecided(_) | Self::PaymentChanged(_) | Self::LabelRecorded(_) => RestoredFrom::Payment,
        }
    }
}

/// A history up to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepartedHistory {
    /// The origin of the history.
    pub origin: Origin,
    /// The number of its entries up to that point.
    pub size: u64,
    /// The root of the RFC 6962 tree over those entries.
    pub root: Digest,
}

/// The decision about a payment, and everything that it moved.
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentDecided {
    pub payment: PaymentId,
    /// A keyed hash of the request's own fields in canonical form.
    pub content: Digest,
    /// The entry that activated the deciding policy. That entry also gives the names for the numbers of features,
    /// models and lists.
    pub policy: Seq,
    pub payment_type: Name,
    /// The ledger of the payment, which determines its asset.
    pub ledger: LedgerId,
    /// In minor units.
    pub amount: Amount,
    /// The attributes that are not personal, by name, in the order of the payment type. Entities are tokens.
    pub attributes: Vec<(Name, PlainValue)>,
    /// The verdict of the policy.
    pub verdict: Verdict,
    /// From 0 to 1000.
    pub score: u16,
    /// Rules and built-in reasons, in the order in which they applied, each with its effect.
    pub reasons: Vec<Reason>,
    /// Free texts that rules attached.
    pub tags: Vec<String>,
    /// The number of each feature in the policy, and its value at that moment.
    pub features: Vec<(u16, FeatureValue)>,
    /// The number of each model in the policy, and the probability that it returned.
    pub models: Vec<(u16, Option<f64>)>,
    /// The number of each list in the policy that was looked into, and its version: the entry that changed it last, 0 if it did not
    /// exist.
    pub lists: Vec<(u16, Seq)>,
    /// True if `occurred_at` was further in the past than the payment type allows, so that `decided_at` was used
    /// instead.
    pub late: bool,
    /// The status right after the decision.
    pub status: PaymentStatus,
    /// Why the ledger refused a leg, if the status is [`PaymentStatus::Refused`].
    pub refusal: Option<LegRefusal>,
    /// Whether an approval moves the money or only reserves it.
    pub capture: CaptureTerms,
    /// What happens if nobody acts, and when.
    pub deadline: Option<Deadline>,
    /// The accounts opened and transfers made, in order.
    pub ledger_facts: Vec<ledger::Fact>,
    /// What the payment adds to feature windows.
    pub updates: Vec<Update>,
    /// The positions in `updates` of the records that are removed if the payment is declined or voided, or expires.
    pub accepted_updates: Vec<u16>,
    /// How the entry is written and sealed. An entry keeps its form for ever, because a leaf of the Merkle tree commits to it.
    pub form: DecisionForm,
}

/// The form of a decision's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecisionForm {
    /// That of releases which wrote journals before version 5 of the format.
    Long,
    /// Repeated ids are references, and each part of the sealed section has one layer of encryption.
    Compact,
}

/// A value of an attribute that may be in an entry in the clear.
#[derive(Debug, Clone, PartialEq)]
pub enum PlainValue {
    /// A text that the policy does not declare as personal.
    Text(Box<str>),
    Int(i64),
    Double(f64),
    Bool(bool),
    Time(Timestamp),
    /// The token of an entity key.
    Entity(Token),
    /// An account that the client named.
    Account(AccountId),
}

/// Which leg the ledger refused, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegRefusal {
    /// The position in the payment type's legs, from 0. Legs with an amount of zero count too.
    pub leg: u16,
    pub status: TransferStatus,
}

/// The status of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentStatus {
    /// The money moved.
    Posted,
    /// Approved; the money is reserved until it is captured or voided.
    Held,
    /// The money is reserved until a person decides.
    InReview,
    /// The policy or a reviewer declined the payment; no money moved.
    Declined,
    /// The policy did not decline the payment, but the ledger refused it; no money moved.
    Refused,
    /// Given up before it was captured; the money is released.
    Voided,
    /// A deadline passed; the money is released.
    Expired,
    /// The money was moved back.
    Refunded,
}

impl PaymentStatus {
    /// Whether a payment with this status can still be approved, captured or voided.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Held | Self::InReview)
    }

    /// All statuses, in the order of their numbers.
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

/// What happens to a payment if nobody acts, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The instant. From then on, the payment is what `then` makes of it.
    pub at: Timestamp,
    pub then: AtDeadline,
}

/// What a deadline that passes does, as the policy declared it when the payment was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtDeadline {
    /// The payment expires, and the money is released.
    Expire,
    /// The payment continues as if it had been approved: a review counts as approved, a hold as captured.
    Proceed,
}

/// What an approval does, as the policy declared it when the payment was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureTerms {
    /// The money moves at once.
    Immediate,
    /// The money is reserved until it is captured.
    Manual {
        /// The time for the capture, from the approval.
        deadline: Span,
        /// What happens if the capture does not come in time.
        then: AtDeadline,
    },
}

/// The status of a payment changed.
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentChanged {
    pub payment: PaymentId,
    /// What caused the change.
    pub cause: Cause,
    /// How much of the payment the request asked for.
    pub portion: Portion,
    /// The new status.
    pub status: PaymentStatus,
    /// What is captured, released and refunded after the change. `None` in entries of older releases, in which every change was
    /// of the whole payment.
    pub sums: Option<PaymentSums>,
    /// What happens if nobody acts, and when.
    pub deadline: Option<Deadline>,
    /// The transfers that the change made, in order.
    pub ledger_facts: Vec<ledger::Fact>,
    /// What the change does to feature windows.
    pub updates: Vec<Update>,
    /// The decision about an increment, if the change is one.
    pub increment: Option<Arc<Incremented>>,
}

/// The decision about an increment of a hold: that of a new payment of the incremented amount.
#[derive(Debug, Clone, PartialEq)]
pub struct Incremented {
    /// The entry that activated the deciding policy, which also gives the names for the numbers of features, models and lists.
    pub policy: Seq,
    /// The verdict of the policy. Only an approval can raise the hold.
    pub verdict: Verdict,
    /// From 0 to 1000.
    pub score: u16,
    /// Rules and built-in reasons, in the order in which they applied, each with its effect.
    pub reasons: Vec<Reason>,
    /// Free texts that rules attached.
    pub tags: Vec<String>,
    /// The number of each feature in the policy, and its value at that moment.
    pub features: Vec<(u16, FeatureValue)>,
    /// The number of each model in the policy, and the probability that it returned.
    pub models: Vec<(u16, Option<f64>)>,
    /// The number of each list in the policy that was looked into, and its version: the entry that changed it last, 0 if it did not
    /// exist.
    pub lists: Vec<(u16, Seq)>,
    /// Why the ledger did not reserve more, although the policy approved it.
    pub refusal: Option<LegRefusal>,
    /// The legs for the incremented amount, with the transfers that now reserve what is held of them. `None` if the hold stays as
    /// it was.
    pub legs: Option<Box<[Leg]>>,
    /// The positions in the updates of the change of the records that are removed if the payment is declined or voided, or expires.
    pub accepted_updates: Vec<u16>,
}

/// How much of a payment a request asks for. An approval or a decline is always of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Portion {
    /// All that is left.
    All,
    /// This amount, in minor units.
    Part(Amount),
    /// This amount, in minor units. A capture then releases the rest.
    Last(Amount),
}

impl Portion {
    /// The amount that this is of what is left. The error is an amount that exceeds it.
    pub(crate) fn of(self, left: Amount) -> Result<Amount, Amount> {
        match self {
            Self::All => Ok(left),
            Self::Part(amount) | Self::Last(amount) if amount <= left => Ok(amount),
            Self::Part(amount) | Self::Last(amount) => Err(amount),
        }
    }
}

/// How much of a payment is captured, released and refunded, in minor units. `captured` + `released` is at most the amount of the
/// payment, and `refunded` at most `captured` (ENG-25).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PaymentSums {
    /// What was posted.
    pub captured: Amount,
    /// What was held and then released: by a void, a decline or a deadline, or as the rest of a final capture.
    pub released: Amount,
    /// What was moved back.
    pub refunded: Amount,
}

impl PaymentSums {
    /// The sums of a payment right after its decision. A payment that was declined at once held nothing, so it released nothing.
    pub fn at_decision(amount: Amount, status: PaymentStatus) -> Self {
        let captured = if status == PaymentStatus::Posted { amount } else { Amount::ZERO };
        Self { captured, ..Self::default() }
    }

    /// The sums of a payment that only changed as a whole and now has this status.
    pub fn of_whole(amount: Amount, status: PaymentStatus) -> Self {
        let zero = Self::default();
        match status {
            PaymentStatus::Posted => Self { captured: amount, ..zero },
            PaymentStatus::Refunded => Self { captured: amount, refunded: amount, ..zero },
            PaymentStatus::Voided | PaymentStatus::Expired | PaymentStatus::Declined => {
                Self { released: amount, ..zero }
            }
            PaymentStatus::Held | PaymentStatus::InReview | PaymentStatus::Refused => zero,
        }
    }

    /// Whether these can be the sums of a payment of this amount.
    pub(crate) fn are_within(self, amount: Amount) -> bool {
        self.captured.checked_add(self.released).is_some_and(|resolved| resolved <= amount)
            && self.refunded <= self.captured
    }
}

/// What caused a change of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A request.
    Verb(Verb),
    /// A deadline that passed.
    Deadline,
}

/// What a request can do to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// A reviewer approves it.
    Approve,
    /// A reviewer declines it.
    Decline,
    /// Moves what is held, or a part of it.
    Capture,
    /// Releases what is held or under review, or a part of it.
    Void,
    /// Moves back what was captured, or a part of it.
    Refund,
    /// Raises what is held, if the policy approves the raised amount.
    Increment,
}

impl Verb {
    /// All verbs, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Approve, Self::Decline, Self::Capture, Self::Void, Self::Refund, Self::Increment];

    /// The stable name, which is also the last part of the verb's route.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Decline => "decline",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Increment => "increment",
        }
    }

    /// The statuses of a payment that the verb can change, in words.
    pub(crate) const fn needs(self) -> &'static str {
        match self {
            Self::Approve | Self::Decline => "in_review",
            Self::Capture | Self::Increment => "held",
            Self::Void => "held or in_review",
            Self::Refund => "posted",
        }
    }
}

/// What a payment turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelRecorded {
    pub payment: PaymentId,
    /// The label, such as `fraud`.
    pub label: Name,
    /// Whether the policy that was active counts the label as positive.
    pub positive: bool,
    /// What the label changes in feature windows.
    pub updates: Vec<Update>,
}

/// A part of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactChunk {
    /// The digest of the whole artifact.
    pub artifact: Digest,
    /// The position of this part, from 0.
    pub index: u32,
    /// The number of parts.
    pub count: u32,
    pub bytes: Arc<[u8]>,
}

impl ArtifactChunk {
    /// The largest part. A frame holds several.
    pub const BYTES_MAX: usize = 256 * 1024;
    /// The most parts: enough for a policy bundle of 16 MiB, and a little more.
    pub const COUNT_MAX: u32 = 72;
}

/// A policy was activated. The fact has everything that is needed of the policy to read its entries and to apply them.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyActivated {
    /// The digest of the bundle, which is a stored artifact.
    pub artifact: Digest,
    pub name: Name,
    /// The names of features, by their numbers.
    pub features: Vec<Name>,
    /// The names of models, by their numbers.
    pub models: Vec<Name>,
    /// The names of lists, by their numbers.
    pub lists: Vec<Name>,
    /// The streams that the policy uses, in its order: new ones, and existing ones that continue.
    pub streams: Vec<StreamOpened>,
    /// The ledgers that the policy declares and that did not exist.
    pub ledger_facts: Vec<ledger::Fact>,
}

/// A stream of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOpened {
    /// The number by which updates refer to the stream.
    pub id: StreamId,
    /// A digest of the stream's definition. A stream whose definition did not change keeps its number and its records.
    pub key: Digest,
    /// How far back features can look.
    pub retention: Span,
    /// The most records for each entity.
    pub records_max: u32,
    /// The most entities.
    pub entities_max: u32,
    /// The time since which every payment was recorded in the stream: the beginning, or an activation. A feature whose
    /// window reaches further back is missing; it is never silently wrong.
    pub recorded_since: Timestamp,
}

/// The digest of the state after the entry before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateDigest {
    /// How the digest is computed. A later scheme adds what a later release adds to the state.
    pub scheme: u16,
    /// Covers the new state of everything that changed since the previous digest, and that digest.
    pub digest: Digest,
}
