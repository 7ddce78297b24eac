//! The audit: who did what. Parses the conditions of a query, checks entries against them, and renders what is found.

use engine::{ApprovalFact, Cause, Entry, Fact, IdentityFact, Principal, SettingFact};
use journal::{KIND_NAMES, kind_name};
use ledger::{MetadataOf, TransferKey};
use serde::Serialize;
use types::{AccountId, ActorId, PaymentId, RequestId, Seq, TenantId, Timestamp, shorten};
use utoipa::ToSchema;

use crate::json::one_of;
use crate::parameters::{Parameters, invalid};
use crate::problem::Problem;

/// Which entries to return: those that meet all the given conditions, and that a principal caused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFilter {
    pub actor: Option<ActorId>,
    /// Names of kinds of entries. If it is empty, all kinds.
    pub kinds: Vec<&'static str>,
    /// Entries about this payment, reads of its personal data included.
    pub payment: Option<PaymentId>,
    /// Entries that change this account.
    pub account: Option<AccountId>,
    /// Entries at this time or later.
    pub since: Timestamp,
    /// Entries before this time.
    pub until: Timestamp,
    /// From the newest to the oldest.
    pub reversed: bool,
}

impl AuditFilter {
    /// Reads the parameters, apart from the account, which may be given by its address.
    ///
    /// # Errors
    /// If a value is invalid.
    pub fn read(parameters: &Parameters) -> Result<Self, Problem> {
        let kinds = match parameters.get("kind") {
            Some(listed) => listed.split(',').map(kind).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let since = parameters.parsed("since")?.unwrap_or_default();
        let until = parameters.parsed("until")?.unwrap_or(Timestamp::MAX);
        if until < since {
            return Err(invalid("until", format!("found {until}, expected a time that is not before `since`")));
        }
        Ok(Self {
            actor: parameters.number("actor", 0..=u64::MAX)?.map(ActorId::new),
            kinds,
            payment: parameters.parsed("payment")?,
            account: None,
            since,
            until,
            reversed: parameters.flag("reversed")?,
        })
    }

    /// Whether an entry meets all conditions, apart from those about time. What the system did by itself is left out unless
    /// the filter asks for it.
    pub fn fits(&self, entry: &Entry) -> bool {
        let actor = entry.header.actor;
        self.actor.map_or(actor != ActorId::SYSTEM, |wanted| actor == wanted)
            && (self.kinds.is_empty() || self.kinds.contains(&kind_name(entry)))
            && self.payment.is_none_or(|id| payment(&entry.fact) == Some(id))
            && self.account.is_none_or(|id| entry.fact.ledger_facts().iter().any(|fact| changes(fact, id)))
    }
}

fn kind(name: &str) -> Result<&'static str, Problem> {
    let known = KIND_NAMES.iter().find(|known| **known == name);
    known.copied().ok_or_else(|| {
        let expected = one_of(KIND_NAMES);
        invalid("kind", format!("found `{}`, expected {expected}, or several with commas between them", shorten(name)))
    })
}

/// The payment that an entry is about.
fn payment(fact: &Fact) -> Option<PaymentId> {
    match fact {
        Fact::PersonalDataRead(read) => Some(read.payment),
        Fact::JournalStarted { .. }
        | Fact::JournalContinued { .. }
        | Fact::Ledger(_)
        | Fact::PaymentDecided(_)
        | Fact::PaymentChanged(_)
        | Fact::LabelRecorded(_)
        | Fact::ArtifactStored(_)
        | Fact::PolicyActivated(_)
        | Fact::Identity(_)
        | Fact::Setting(_)
        | Fact::List(_)
        | Fact::EntityAttributes(_)
        | Fact::Approval(_)
        | Fact::KeyUsed(_)
        | Fact::StateDigest(_) => fact.payment(),
    }
}

/// Whether a fact opens or changes an account, or moves money of it.
fn changes(fact: &ledger::Fact, id: AccountId) -> bool {
    match fact {
        ledger::Fact::AccountOpened(account) | ledger::Fact::AccountStaged { account, .. } => account.id == id,
        ledger::Fact::TransferCreated(transfer) | ledger::Fact::TransferStaged { transfer, .. } => {
            transfer.debit == id || transfer.credit == id
        }
        ledger::Fact::TransferScheduled(scheduled) => scheduled.new.debit == id || scheduled.new.credit == id,
        ledger::Fact::LimitsSet { account, .. } | ledger::Fact::AddressSet { account, .. } => *account == id,
        ledger::Fact::MetadataSet { of, .. } => *of == MetadataOf::Account(id),
        ledger::Fact::BookOpened(_)
        | ledger::Fact::TransferFailed { .. }
        | ledger::Fact::TransferExpired(_)
        | ledger::Fact::ScheduledCancelled { .. }
        | ledger::Fact::IndexesChosen { .. }
        | ledger::Fact::ImportStarted(_)
        | ledger::Fact::ImportNoted { .. } => false,
    }
}

/// What somebody did, without the content of the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    pub seq: Seq,
    pub at: Timestamp,
    pub tenant: TenantId,
    pub actor: ActorId,
    pub request: RequestId,
    kind: &'static str,
    verb: Option<&'static str>,
    resource: String,
}

impl From<&Entry> for Deed {
    fn from(entry: &Entry) -> Self {
        let header = &entry.header;
        let verb = match &entry.fact {
            Fact::PaymentChanged(changed) => match changed.cause {
                Cause::Verb(verb) => Some(verb.name()),
                Cause::Deadline => None,
            },
            Fact::JournalStarted { .. }
            | Fact::JournalContinued { .. }
            | Fact::Ledger(_)
            | Fact::PaymentDecided(_)
            | Fact::LabelRecorded(_)
            | Fact::ArtifactStored(_)
            | Fact::PolicyActivated(_)
            | Fact::Identity(_)
            | Fact::Setting(_)
            | Fact::List(_)
            | Fact::EntityAttributes(_)
            | Fact::Approval(_)
            | Fact::PersonalDataRead(_)
            | Fact::KeyUsed(_)
            | Fact::StateDigest(_) => None,
        };
        Self {
            seq: header.seq,
            at: header.decided_at,
            tenant: header.tenant,
            actor: header.actor,
            request: header.request,
            kind: kind_name(entry),
            verb,
            resource: resource(&entry.fact),
        }
    }
}

/// What a fact is about: the kind of the thing, a colon, and its id.
fn resource(fact: &Fact) -> String {
    match fact {
        Fact::JournalStarted { origin } | Fact::JournalContinued { origin, .. } => format!("journal:{origin}"),
        Fact::Ledger(fact) => resource_of_ledger(fact),
        Fact::PaymentDecided(decided) => format!("payment:{}", decided.payment),
        Fact::PaymentChanged(changed) => format!("payment:{}", changed.payment),
        Fact::LabelRecorded(recorded) => format!("payment:{}", recorded.payment),
        Fact::PersonalDataRead(read) => format!("payment:{}", read.payment),
        Fact::ArtifactStored(chunk) => format!("artifact:{}", chunk.artifact),
        Fact::PolicyActivated(activated) => format!("policy:{}", activated.name),
        Fact::Identity(IdentityFact::PrincipalAdded(added)) => format!("principal:{}", added.actor),
        Fact::Identity(IdentityFact::CredentialAdded(added)) => format!("api_key:{}", added.credential),
        Fact::Identity(IdentityFact::CredentialRevoked(revoked)) => format!("api_key:{}", revoked.credential),
        Fact::Identity(IdentityFact::ApiKeyAdded(added)) => format!("api_key:{}", added.key),
        Fact::Setting(SettingFact::Put { kind, name, .. } | SettingFact::Removed { kind, name }) => {
            format!("{}:{name}", kind.name())
        }
        Fact::List(fact) => format!("list:{}", fact.list()),
        Fact::EntityAttributes(fact) => format!("{}:{}", fact.kind, fact.entity),
        Fact::Approval(ApprovalFact::RulesSet(_)) => "approval_rules".to_owned(),
        Fact::Approval(ApprovalFact::ProposalMade(made)) => format!("proposal:{}", made.proposal),
        Fact::Approval(ApprovalFact::ProposalEnded(ended)) => format!("proposal:{}", ended.proposal),
        Fact::KeyUsed(_) => "request".to_owned(),
        Fact::StateDigest(_) => "state".to_owned(),
    }
}

fn resource_of_ledger(fact: &ledger::Fact) -> String {
    let of_transfer = |key: &TransferKey| match key {
        TransferKey::Client(id) => format!("transfer:{id}"),
        TransferKey::Leg { payment, .. } => format!("payment:{payment}"),
    };
    match fact {
        ledger::Fact::BookOpened(book) => format!("ledger:{}", book.id),
        ledger::Fact::IndexesChosen { ledger, .. } => format!("ledger:{ledger}"),
        ledger::Fact::AccountOpened(account) | ledger::Fact::AccountStaged { account, .. } => {
            format!("account:{}", account.id)
        }
        ledger::Fact::LimitsSet { account, .. } | ledger::Fact::AddressSet { account, .. } => {
            format!("account:{account}")
        }
        ledger::Fact::TransferCreated(transfer) | ledger::Fact::TransferStaged { transfer, .. } => {
            of_transfer(&transfer.key)
        }
        ledger::Fact::TransferScheduled(scheduled) => of_transfer(&scheduled.new.key),
        ledger::Fact::TransferExpired(key) => of_transfer(key),
        ledger::Fact::TransferFailed { id, .. } | ledger::Fact::ScheduledCancelled { id } => format!("transfer:{id}"),
        ledger::Fact::MetadataSet { of, .. } => match of {
            MetadataOf::Account(id) => format!("account:{id}"),
            MetadataOf::Transfer(key) => of_transfer(key),
            MetadataOf::Payment(id) => format!("payment:{id}"),
        },
        ledger::Fact::ImportStarted(import) => format!("import:{}", import.id),
        ledger::Fact::ImportNoted { import, .. } => format!("import number:{}", import.get()),
    }
}

/// Something that somebody did: an entry of the journal, in short.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditItem {
    /// The sequence of the entry in the journal. `GET /v1/events` has the whole entry, and `GET /v1/proofs/entries/{sequence}`
    /// proves it.
    sequence: u64,
    /// When it happened.
    #[schema(format = "date-time")]
    decided_at: String,
    actor: Actor,
    /// What happened: the kind of the entry, such as `payment_changed`.
    #[schema(example = "payment_changed")]
    kind: &'static str,
    /// What was done to a payment, such as `approve`. Only for the kind `payment_changed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "approve")]
    verb: Option<&'static str>,
    /// What it was done to: the kind of the thing, a colon and its id.
    #[schema(example = "payment:00000000-0000-0000-0000-000000000007")]
    resource: String,
    /// The id of the request. Absent if the request had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
}

/// Who did something.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Actor {
    /// The number of the principal; 0 if the system acted by itself.
    id: u64,
    /// The tenant that the principal belongs to.
    tenant: u32,
    /// What the principal is: `system`, `service` or `person`. Absent if it belongs to another tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "person")]
    kind: Option<&'static str>,
    /// The name of the principal. Absent if it belongs to another tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl AuditItem {
    /// `principal` is the actor, if it is known.
    pub fn new(deed: Deed, principal: Option<&Principal>) -> Self {
        let Deed { seq, at, tenant, actor, request, kind, verb, resource } = deed;
        Self {
            sequence: seq.get(),
            decided_at: at.to_string(),
            actor: Actor {
                id: actor.get(),
                tenant: tenant.get(),
                kind: principal.map(|known| known.kind.name()),
                name: principal.map(|known| known.name.to_string()),
            },
            kind,
            verb,
            resource,
            request: (request.get() != 0).then(|| request.to_string()),
        }
    }
}
