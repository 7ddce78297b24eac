//! The event feed: one event for each entry of the journal, in its order, without personal data.

mod of_approvals;
mod of_entity;
mod of_identity;
mod of_import;
mod of_ledger;
mod of_list;
mod of_setting;

use engine::{Cause, Entry, Fact, Incremented, Portion};
use journal::{Context, EntryInContext};
use serde::Serialize;
use utoipa::ToSchema;

use crate::approvals::Rules;
use crate::decisions::{Deadline, Decision, Reason, RefusedLeg, capture_name};
use crate::parameters::CursorOrigin;
use crate::responses::{Account, Assets, Ledger, Transfer, Unknown};

use of_approvals::{ProposalEnded, ProposalMade, approval_data};
use of_entity::{EntityAttributesSet, entity_data};
use of_identity::{ApiKeyAdded, CredentialAdded, CredentialRevoked, PrincipalAdded, identity_data};
use of_import::{AccountStaged, ImportNoted, ImportStarted, TransferStaged};
use of_ledger::{
    AddressSet, IndexesChosen, LimitsSet, MetadataSet, ScheduledCancelled, TransferExpired, TransferFailed,
    TransferScheduled, ledger_data,
};
use of_list::{ListDeleted, ListMade, ListValuesAdded, ListValuesRemoved, list_data};
use of_setting::{SettingPut, SettingRemoved, setting_data};

/// One entry of the journal.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Event {
    /// Pass it as `cursor`, or as `Last-Event-ID`, to continue after this event.
    cursor: String,
    /// The sequence of the entry in the journal, from 1.
    sequence: u64,
    /// What happened. It determines the fields of `data`.
    #[schema(example = "payment_decided")]
    kind: &'static str,
    /// The engine's time, unique and increasing.
    #[schema(format = "date-time")]
    decided_at: String,
    /// The time that the client declared, if it declared one; otherwise equal to `decided_at`.
    #[schema(format = "date-time")]
    occurred_at: String,
    /// The number of the principal that made the request; 0 if the system acted by itself.
    actor: u64,
    /// The id of the request that caused the entry. Absent if no request did.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    /// The facts of the entry. `kind` determines the fields.
    data: EventData,
}

impl Event {
    /// An entry as an event.
    ///
    /// # Errors
    /// If the context lacks a ledger of the entry, or the policy that decided its payment.
    pub fn new(EntryInContext { entry, context }: &EntryInContext, history: CursorOrigin) -> Result<Self, Unknown> {
        let header = &entry.header;
        let (kind, data) = data(entry, context)?;
        let request = (header.request.get() != 0).then(|| header.request.to_string());
        Ok(Self {
            cursor: history.event_cursor(header.seq),
            sequence: header.seq.get(),
            kind,
            decided_at: header.decided_at.to_string(),
            occurred_at: header.occurred_at.to_string(),
            actor: header.actor.get(),
            request,
            data,
        })
    }

    /// The cursor that continues after this event.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    pub const fn kind(&self) -> &'static str {
        self.kind
    }
}

/// A page of events.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EventPage {
    /// The events, in the order of the journal.
    pub items: Vec<Event>,
    /// Pass it as `cursor` to get the next page. An empty page has one too: ask again later.
    pub next_cursor: String,
}

/// The facts of one kind of entry.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
enum EventData {
    /// `journal_started`
    #[schema(title = "journal_started")]
    JournalStarted(JournalStarted),
    /// `journal_continued`
    #[schema(title = "journal_continued")]
    JournalContinued(JournalContinued),
    /// `ledger_opened`
    #[schema(title = "ledger_opened")]
    LedgerOpened(Ledger),
    /// `account_opened`
    #[schema(title = "account_opened")]
    AccountOpened(Box<Account>),
    /// `transfer_created`
    #[schema(title = "transfer_created")]
    TransferCreated(Box<Transfer>),
    /// `transfer_failed`
    #[schema(title = "transfer_failed")]
    TransferFailed(TransferFailed),
    /// `transfer_expired`
    #[schema(title = "transfer_expired")]
    TransferExpired(TransferExpired),
    /// `limits_set`
    #[schema(title = "limits_set")]
    LimitsSet(LimitsSet),
    /// `address_set`
    #[schema(title = "address_set")]
    AddressSet(AddressSet),
    /// `metadata_set`
    #[schema(title = "metadata_set")]
    MetadataSet(MetadataSet),
    /// `transfer_scheduled`
    #[schema(title = "transfer_scheduled")]
    TransferScheduled(TransferScheduled),
    /// `scheduled_cancelled`
    #[schema(title = "scheduled_cancelled")]
    ScheduledCancelled(ScheduledCancelled),
    /// `indexes_chosen`
    #[schema(title = "indexes_chosen")]
    IndexesChosen(IndexesChosen),
    /// `import_started`
    #[schema(title = "import_started")]
    ImportStarted(ImportStarted),
    /// `account_staged`
    #[schema(title = "account_staged")]
    AccountStaged(Box<AccountStaged>),
    /// `transfer_staged`
    #[schema(title = "transfer_staged")]
    TransferStaged(Box<TransferStaged>),
    /// `import_noted`
    #[schema(title = "import_noted")]
    ImportNoted(ImportNoted),
    /// `payment_decided`
    #[schema(title = "payment_decided")]
    PaymentDecided(Box<PaymentDecided>),
    /// `payment_changed`
    #[schema(title = "payment_changed")]
    PaymentChanged(PaymentChanged),
    /// `label_recorded`
    #[schema(title = "label_recorded")]
    LabelRecorded(LabelRecorded),
    /// `artifact_stored`
    #[schema(title = "artifact_stored")]
    ArtifactStored(ArtifactStored),
    /// `policy_activated`
    #[schema(title = "policy_activated")]
    PolicyActivated(PolicyStarted),
    /// `principal_added`
    #[schema(title = "principal_added")]
    PrincipalAdded(PrincipalAdded),
    /// `credential_added`
    #[schema(title = "credential_added")]
    CredentialAdded(CredentialAdded),
    /// `credential_revoked`
    #[schema(title = "credential_revoked")]
    CredentialRevoked(CredentialRevoked),
    /// `api_key_added`
    #[schema(title = "api_key_added")]
    ApiKeyAdded(ApiKeyAdded),
    /// `approvals_set`
    #[schema(title = "approvals_set")]
    ApprovalsSet(Rules),
    /// `proposal_made`
    #[schema(title = "proposal_made")]
    ProposalMade(Box<ProposalMade>),
    /// `proposal_ended`
    #[schema(title = "proposal_ended")]
    ProposalEnded(ProposalEnded),
    /// `setting_put`
    #[schema(title = "setting_put")]
    SettingPut(SettingPut),
    /// `setting_removed`
    #[schema(title = "setting_removed")]
    SettingRemoved(SettingRemoved),
    /// `list_made`
    #[schema(title = "list_made")]
    ListMade(ListMade),
    /// `list_values_added`
    #[schema(title = "list_values_added")]
    ListValuesAdded(ListValuesAdded),
    /// `list_values_removed`
    #[schema(title = "list_values_removed")]
    ListValuesRemoved(ListValuesRemoved),
    /// `list_deleted`
    #[schema(title = "list_deleted")]
    ListDeleted(ListDeleted),
    /// `entity_attributes_set`
    #[schema(title = "entity_attributes_set")]
    EntityAttributesSet(EntityAttributesSet),
    /// `personal_data_read`
    #[schema(title = "personal_data_read")]
    PersonalDataRead(PersonalDataRead),
    /// `key_used`
    #[schema(title = "key_used")]
    KeyUsed(KeyUsed),
    /// `state_digest`
    #[schema(title = "state_digest")]
    StateDigest(StateDigest),
}

/// A new history started.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct JournalStarted {
    /// The origin, which identifies the history.
    origin: String,
}

/// A history continues from a point of another one, because the journal was restored.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct JournalContinued {
    /// The origin of the new history.
    origin: String,
    /// The old history, up to the point at which the new one departs from it.
    departed: Departed,
}

/// A history up to an entry.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Departed {
    /// The origin, which identifies the history.
    origin: String,
    /// The number of its entries up to that point.
    size: u64,
    /// The root of the RFC 6962 tree over those entries, in hexadecimal.
    root: String,
}

/// A payment was decided.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct PaymentDecided {
    /// The name of the payment type.
    r#type: String,
    /// The number of the payment's ledger.
    #[schema(format = Int64)]
    ledger: u32,
    /// The amount in minor units.
    amount: String,
    /// The asset of the amount.
    asset: String,
    /// The status right after the decision.
    status: &'static str,
    /// `immediate`: an approval moves the money. `manual`: an approval reserves the money until it is captured.
    capture: &'static str,
    /// What happens if nobody acts, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Deadline>,
    /// Why the ledger refused the payment, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<RefusedLeg>,
    /// The decision.
    #[serde(flatten)]
    decision: Decision,
    /// The accounts that the payment opened.
    accounts: Vec<Account>,
    /// The transfers that the payment made.
    transfers: Vec<Transfer>,
}

/// The status of a payment changed.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct PaymentChanged {
    /// The id of the payment.
    payment: String,
    /// What caused the change: `approve`, `decline`, `capture`, `void`, `refund`, `increment` or `deadline`.
    cause: &'static str,
    /// The new status.
    status: &'static str,
    /// What is captured of the payment after the change, in minor units. Absent in entries of releases that only changed whole
    /// payments.
    #[serde(skip_serializing_if = "Option::is_none")]
    captured: Option<String>,
    /// What is released, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<String>,
    /// What is refunded, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<String>,
    /// What happens if nobody acts, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Deadline>,
    /// The decision about an increment, if the change is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    increment: Option<Box<IncrementDecided>>,
    /// The accounts that the change opened: those of a leg that only the raised amount has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    accounts: Vec<Account>,
    /// The transfers that the change made.
    transfers: Vec<Transfer>,
}

/// The policy decided an increment of a hold, like a new payment of the raised amount.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct IncrementDecided {
    /// By how much the hold was to be raised, in minor units.
    amount: Option<String>,
    /// Whether the hold was raised.
    raised: bool,
    /// The verdict of the policy: `approve`, `review` or `decline`.
    verdict: &'static str,
    /// The score that the policy computed, from 0 to 1000.
    #[schema(maximum = 1000)]
    score: u16,
    /// The reasons for the verdict and the score.
    reasons: Vec<Reason>,
    /// The tags that rules attached.
    tags: Vec<String>,
    /// Why the ledger refused to reserve more, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<RefusedLeg>,
    /// The sequence of the entry that activated the deciding policy.
    policy: u64,
}

impl IncrementDecided {
    fn of(portion: Portion, decided: &Incremented) -> Self {
        let amount = match portion {
            Portion::Part(amount) | Portion::Last(amount) => Some(amount.to_string()),
            Portion::All => None,
        };
        Self {
            amount,
            raised: decided.legs.is_some(),
            verdict: decided.verdict.name(),
            score: decided.score,
            reasons: decided.reasons.iter().map(Reason::from).collect(),
            tags: decided.tags.clone(),
            refusal: decided.refusal.map(RefusedLeg::from),
            policy: decided.policy.get(),
        }
    }
}

/// A label was recorded, which says what a payment turned out to be.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct LabelRecorded {
    /// The id of the payment.
    payment: String,
    /// What the payment turned out to be, such as `fraud`.
    label: String,
    /// Whether the policy that was active counts the label as positive.
    positive: bool,
}

/// A part of a large object, such as a policy bundle, was stored.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ArtifactStored {
    /// The digest of the whole object, in hexadecimal.
    artifact: String,
    /// The position of this part, from 0.
    #[schema(format = Int64)]
    index: u32,
    /// The number of parts of the object.
    #[schema(format = Int64)]
    count: u32,
    /// The size of this part in bytes.
    bytes: u64,
}

/// A policy was activated.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct PolicyStarted {
    /// The name of the policy.
    name: String,
    /// The BLAKE3 digest of the policy's bundle, in hexadecimal.
    digest: String,
    /// The names of its features; decisions refer to features in this order.
    features: Vec<String>,
    /// The names of its models; decisions refer to models in this order.
    models: Vec<String>,
    /// The names of its lists; decisions refer to lists in this order.
    lists: Vec<String>,
    /// The ledgers that the policy opened.
    ledgers: Vec<Ledger>,
}

/// Personal data of a payment was shown to the actor.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct PersonalDataRead {
    /// The id of the payment.
    payment: String,
    /// The attributes that were shown. If it is empty, all personal attributes and entities were.
    attributes: Vec<String>,
}

/// A request with an `Idempotency-Key` was carried out. The `request` of the event is derived from the key; the events
/// that follow say what the request changed, if it changed anything.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct KeyUsed {
    /// The number of items of a batch; 0 for other requests.
    #[schema(format = Int64)]
    items: u32,
}

/// The digest of the state at this point, which every later replay must reproduce.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct StateDigest {
    /// The number of the scheme by which the digest is computed.
    scheme: u16,
    /// The digest, in hexadecimal.
    digest: String,
}

fn data(entry: &Entry, context: &Context) -> Result<(&'static str, EventData), Unknown> {
    let assets = context.assets.as_ref();
    Ok(match &entry.fact {
        Fact::JournalStarted { origin } => {
            ("journal_started", EventData::JournalStarted(JournalStarted { origin: origin.to_string() }))
        }
        Fact::JournalContinued { origin, departed } => {
            let departed =
                Departed { origin: departed.origin.to_string(), size: departed.size, root: departed.root.to_string() };
            let continued = JournalContinued { origin: origin.to_string(), departed };
            ("journal_continued", EventData::JournalContinued(continued))
        }
        Fact::Ledger(fact) => ledger_data(fact, assets)?,
        Fact::PaymentDecided(decided) => {
            let policy = context.policy.as_deref().ok_or(Unknown::Policy(decided.policy))?;
            let decision = Decision::new((&entry.header).into(), decided, policy, None);
            let data = PaymentDecided {
                r#type: decided.payment_type.to_string(),
                ledger: decided.ledger.get(),
                amount: decided.amount.to_string(),
                asset: assets.of(decided.ledger)?.to_string(),
                status: decided.status.name(),
                capture: capture_name(decided.capture),
                deadline: decided.deadline.map(Deadline::from),
                refusal: decided.refusal.map(RefusedLeg::from),
                decision,
                accounts: accounts(&decided.ledger_facts, assets)?,
                transfers: transfers(&decided.ledger_facts, assets)?,
            };
            ("payment_decided", EventData::PaymentDecided(Box::new(data)))
        }
        Fact::PaymentChanged(changed) => {
            let cause = match changed.cause {
                Cause::Verb(verb) => verb.name(),
                Cause::Deadline => "deadline",
            };
            let data = PaymentChanged {
                payment: changed.payment.to_string(),
                cause,
                status: changed.status.name(),
                captured: changed.sums.map(|sums| sums.captured.to_string()),
                released: changed.sums.map(|sums| sums.released.to_string()),
                refunded: changed.sums.map(|sums| sums.refunded.to_string()),
                deadline: changed.deadline.map(Deadline::from),
                increment: changed
                    .increment
                    .as_ref()
                    .map(|decided| Box::new(IncrementDecided::of(changed.portion, decided))),
                accounts: accounts(&changed.ledger_facts, assets)?,
                transfers: transfers(&changed.ledger_facts, assets)?,
            };
            ("payment_changed", EventData::PaymentChanged(data))
        }
        Fact::LabelRecorded(recorded) => {
            let data = LabelRecorded {
                payment: recorded.payment.to_string(),
                label: recorded.label.to_string(),
                positive: recorded.positive,
            };
            ("label_recorded", EventData::LabelRecorded(data))
        }
        Fact::ArtifactStored(chunk) => {
            let data = ArtifactStored {
                artifact: chunk.artifact.to_string(),
                index: chunk.index,
                count: chunk.count,
                bytes: chunk.bytes.len() as u64,
            };
            ("artifact_stored", EventData::ArtifactStored(data))
        }
        Fact::PolicyActivated(activated) => {
            let ledgers = activated.ledger_facts.iter().filter_map(|fact| {
                if let ledger::Fact::BookOpened(book) = fact { Some(Ledger::from(book)) } else { None }
            });
            let data = PolicyStarted {
                name: activated.name.to_string(),
                digest: activated.artifact.to_string(),
                features: activated.features.iter().map(ToString::to_string).collect(),
                models: activated.models.iter().map(ToString::to_string).collect(),
                lists: activated.lists.iter().map(ToString::to_string).collect(),
                ledgers: ledgers.collect(),
            };
            ("policy_activated", EventData::PolicyActivated(data))
        }
        Fact::Identity(fact) => identity_data(fact),
        Fact::Approval(fact) => approval_data(fact, assets)?,
        Fact::Setting(fact) => setting_data(fact),
        Fact::List(fact) => list_data(fact),
        Fact::EntityAttributes(fact) => entity_data(fact),
        Fact::PersonalDataRead(read) => {
            let attributes = read.attributes.iter().map(ToString::to_string).collect();
            let data = PersonalDataRead { payment: read.payment.to_string(), attributes };
            ("personal_data_read", EventData::PersonalDataRead(data))
        }
        Fact::KeyUsed(used) => ("key_used", EventData::KeyUsed(KeyUsed { items: used.items })),
        Fact::StateDigest(digest) => {
            let data = StateDigest { scheme: digest.scheme, digest: digest.digest.to_string() };
            ("state_digest", EventData::StateDigest(data))
        }
    })
}

fn transfers(facts: &[ledger::Fact], assets: &Assets) -> Result<Vec<Transfer>, Unknown> {
    let made = facts.iter().filter_map(|fact| {
        if let ledger::Fact::TransferCreated(transfer) = fact {
            Some(Transfer::new(transfer, None, assets))
        } else {
            None
        }
    });
    made.collect()
}

fn accounts(facts: &[ledger::Fact], assets: &Assets) -> Result<Vec<Account>, Unknown> {
    let opened = facts.iter().filter_map(|fact| {
        if let ledger::Fact::AccountOpened(account) = fact { Some(Account::new(account, assets)) } else { None }
    });
    opened.collect()
}
