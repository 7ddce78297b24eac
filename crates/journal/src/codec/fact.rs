//! The kinds of entries: their numbers, versions and plain sections.

use std::sync::Arc;

use engine::{
    ArtifactChunk, DepartedHistory, Fact, Header, KeyUsed, LabelRecorded, PersonalDataRead, PolicyActivated,
    StateDigest, StreamOpened,
};
use features::{Item, RecordChange, StreamId, Update};
use types::{Digest, Name, Origin, PaymentId, Seq, Span, Timestamp, Token};

use super::{approvals, entity_attributes, identity, ledger_facts, lists, payment, settings};
use crate::bytes::{DecodeError, Decoder, Encoder};

const JOURNAL_STARTED: u16 = 1;
pub(super) const LEDGER_OPENED: u16 = 2;
pub(super) const ACCOUNT_OPENED: u16 = 3;
pub(super) const TRANSFER_CREATED: u16 = 4;
pub(super) const TRANSFER_FAILED: u16 = 5;
pub(super) const TRANSFER_EXPIRED: u16 = 6;
const PAYMENT_DECIDED: u16 = 7;
const PAYMENT_CHANGED: u16 = 8;
const LABEL_RECORDED: u16 = 9;
const ARTIFACT_STORED: u16 = 10;
const POLICY_ACTIVATED: u16 = 11;
pub(super) const API_KEY_ADDED: u16 = 12;
const STATE_DIGEST: u16 = 13;
pub(super) const LIMITS_SET: u16 = 14;
pub(super) const ADDRESS_SET: u16 = 15;
pub(super) const METADATA_SET: u16 = 16;
pub(super) const TRANSFER_SCHEDULED: u16 = 17;
pub(super) const SCHEDULED_CANCELLED: u16 = 18;
pub(super) const INDEXES_CHOSEN: u16 = 19;
const JOURNAL_CONTINUED: u16 = 20;
pub(super) const PRINCIPAL_ADDED: u16 = 21;
pub(super) const CREDENTIAL_ADDED: u16 = 22;
const KEY_USED: u16 = 23;
pub(super) const CREDENTIAL_REVOKED: u16 = 24;
pub(super) const SETTING_PUT: u16 = 25;
pub(super) const SETTING_REMOVED: u16 = 26;
const PERSONAL_DATA_READ: u16 = 27;
pub(super) const PROPOSAL_MADE: u16 = 28;
pub(super) const PROPOSAL_ENDED: u16 = 29;
pub(super) const IMPORT_STARTED: u16 = 30;
pub(super) const ACCOUNT_STAGED: u16 = 31;
pub(super) const TRANSFER_STAGED: u16 = 32;
pub(super) const IMPORT_NOTED: u16 = 33;
pub(super) const APPROVALS_SET: u16 = 34;
pub(super) const LIST_MADE: u16 = 35;
pub(super) const LIST_VALUES_ADDED: u16 = 36;
pub(super) const LIST_VALUES_REMOVED: u16 = 37;
pub(super) const LIST_DELETED: u16 = 38;
const ENTITY_ATTRIBUTES_SET: u16 = 39;

/// The version of a kind, unless the fact needs a later one.
pub(super) const FIRST_VERSION: u16 = 1;
/// The version of an activated policy that declares lists.
const POLICY_LISTS_VERSION: u16 = 2;

/// The names of all kinds, in the order of their numbers.
pub const KIND_NAMES: &[&str] = &[
    "journal_started",
    "ledger_opened",
    "account_opened",
    "transfer_created",
    "transfer_failed",
    "transfer_expired",
    "payment_decided",
    "payment_changed",
    "label_recorded",
    "artifact_stored",
    "policy_activated",
    "api_key_added",
    "state_digest",
    "limits_set",
    "address_set",
    "metadata_set",
    "transfer_scheduled",
    "scheduled_cancelled",
    "indexes_chosen",
    "journal_continued",
    "principal_added",
    "credential_added",
    "key_used",
    "credential_revoked",
    "setting_put",
    "setting_removed",
    "personal_data_read",
    "proposal_made",
    "proposal_ended",
    "import_started",
    "account_staged",
    "transfer_staged",
    "import_noted",
    "approvals_set",
    "list_made",
    "list_values_added",
    "list_values_removed",
    "list_deleted",
    "entity_attributes_set",
];

/// Whether later entries may refer to an entry of this kind.
pub(super) const fn is_referred_to(kind: u16) -> bool {
    matches!(kind, JOURNAL_STARTED | JOURNAL_CONTINUED | LEDGER_OPENED | POLICY_ACTIVATED | IMPORT_STARTED)
}

/// The permanent number of a fact's kind, and its name in the API.
pub(super) fn kind(fact: &Fact) -> (u16, &'static str) {
    match fact {
        Fact::JournalStarted { .. } => (JOURNAL_STARTED, "journal_started"),
        Fact::JournalContinued { .. } => (JOURNAL_CONTINUED, "journal_continued"),
        Fact::Ledger(fact) => ledger_facts::kind(fact),
        Fact::PaymentDecided(_) => (PAYMENT_DECIDED, "payment_decided"),
        Fact::PaymentChanged(_) => (PAYMENT_CHANGED, "payment_changed"),
        Fact::LabelRecorded(_) => (LABEL_RECORDED, "label_recorded"),
        Fact::ArtifactStored(_) => (ARTIFACT_STORED, "artifact_stored"),
        Fact::PolicyActivated(_) => (POLICY_ACTIVATED, "policy_activated"),
        Fact::Identity(fact) => identity::kind(fact),
        Fact::Approval(fact) => approvals::kind(fact),
        Fact::Setting(fact) => settings::kind(fact),
        Fact::List(fact) => lists::kind(fact),
        Fact::EntityAttributes(_) => (ENTITY_ATTRIBUTES_SET, "entity_attributes_set"),
        Fact::PersonalDataRead(_) => (PERSONAL_DATA_READ, "personal_data_read"),
        Fact::KeyUsed(_) => (KEY_USED, "key_used"),
        Fact::StateDigest(_) => (STATE_DIGEST, "state_digest"),
    }
}

/// Appends the plain section; returns kind and version.
pub(super) fn encode(header: &Header, fact: &Fact, into: &mut Encoder) -> (u16, u16) {
    match fact {
        Fact::JournalStarted { origin } => into.u128(origin.get()),
        Fact::JournalContinued { origin, departed } => {
            into.u128(origin.get());
            into.u128(departed.origin.get());
            into.varint(departed.size);
            into.raw(departed.root.as_bytes());
        }
        Fact::Ledger(fact) => ledger_facts::encode(header, fact, into),
        Fact::PaymentDecided(decided) => payment::encode_decided(header, decided, into),
        Fact::PaymentChanged(changed) => payment::encode_changed(header, changed, into),
        Fact::LabelRecorded(recorded) => {
            into.u128(recorded.payment.get());
            encode_name(&recorded.label, into);
            into.u8(u8::from(recorded.positive));
            encode_updates(header, &recorded.updates, into);
        }
        Fact::ArtifactStored(chunk) => {
            into.raw(chunk.artifact.as_bytes());
            into.varint(chunk.index);
            into.varint(chunk.count);
            into.counted(&chunk.bytes);
        }
        Fact::PolicyActivated(activated) => encode_policy(header, activated, into),
        Fact::Identity(fact) => identity::encode(fact, into),
        Fact::Approval(fact) => approvals::encode(header, fact, into),
        Fact::Setting(fact) => settings::encode(fact, into),
        Fact::List(fact) => lists::encode(fact, into),
        Fact::EntityAttributes(fact) => entity_attributes::encode(fact, into),
        Fact::PersonalDataRead(read) => {
            into.u128(read.payment.get());
            into.count(read.attributes.len());
            read.attributes.iter().for_each(|name| encode_name(name, into));
        }
        Fact::KeyUsed(used) => {
            into.varint(used.items);
            into.count(used.parts.len());
            used.parts.iter().for_each(|part| into.u64(*part));
        }
        Fact::StateDigest(digest) => {
            into.varint(digest.scheme);
            into.raw(digest.digest.as_bytes());
        }
    }
    (kind(fact).0, version(header, fact))
}

/// The version that encodes this fact: the first one that can represent it, so that it depends on the fact alone.
fn version(header: &Header, fact: &Fact) -> u16 {
    match fact {
        Fact::Ledger(fact) => ledger_facts::version(header, fact),
        Fact::PaymentDecided(decided) => payment::version(decided),
        Fact::PaymentChanged(changed) => payment::changed_version(changed),
        Fact::Identity(fact) => identity::version(fact),
        Fact::PolicyActivated(activated) if !activated.lists.is_empty() => POLICY_LISTS_VERSION,
        Fact::PolicyActivated(_) => FIRST_VERSION,
        Fact::JournalStarted { .. }
        | Fact::JournalContinued { .. }
        | Fact::LabelRecorded(_)
        | Fact::ArtifactStored(_)
        | Fact::Approval(_)
        | Fact::Setting(_)
        | Fact::List(_)
        | Fact::EntityAttributes(_)
        | Fact::PersonalDataRead(_)
        | Fact::KeyUsed(_)
        | Fact::StateDigest(_) => FIRST_VERSION,
    }
}

/// The latest version of a kind that this release reads.
fn last_version(kind: u16) -> u16 {
    match kind {
        ACCOUNT_OPENED | TRANSFER_CREATED => ledger_facts::IMPORTED_VERSION,
        PAYMENT_DECIDED => payment::LISTS_VERSION,
        PAYMENT_CHANGED => payment::CHANGED_LISTS_VERSION,
        POLICY_ACTIVATED => POLICY_LISTS_VERSION,
        PRINCIPAL_ADDED => identity::SUBJECT_VERSION,
        CREDENTIAL_ADDED => identity::EXPIRY_VERSION,
        _ => FIRST_VERSION,
    }
}

pub(super) fn decode(header: &Header, kind: u64, version: u64, plain: &[u8]) -> Result<Fact, DecodeError> {
    let mut from = Decoder::new(plain);
    let later = DecodeError::LaterRelease { kind, version };
    let number = u16::try_from(kind).unwrap_or(0);
    let version = u16::try_from(version).unwrap_or(0);
    if !(1..=last_version(number)).contains(&version) {
        return Err(later);
    }
    let fact = match number {
        JOURNAL_STARTED => Fact::JournalStarted { origin: Origin::new(from.u128()?) },
        JOURNAL_CONTINUED => Fact::JournalContinued {
            origin: Origin::new(from.u128()?),
            departed: DepartedHistory {
                origin: Origin::new(from.u128()?),
                size: from.varint()?,
                root: Digest::new(from.array()?),
            },
        },
        LEDGER_OPENED..=TRANSFER_EXPIRED | LIMITS_SET..=INDEXES_CHOSEN | IMPORT_STARTED..=IMPORT_NOTED => {
            Fact::Ledger(ledger_facts::decode(header, number, version, &mut from)?)
        }
        PAYMENT_DECIDED => Fact::PaymentDecided(Arc::new(payment::decode_decided(header, version, &mut from)?)),
        PAYMENT_CHANGED => Fact::PaymentChanged(payment::decode_changed(header, version, &mut from)?),
        LABEL_RECORDED => Fact::LabelRecorded(LabelRecorded {
            payment: PaymentId::new(from.u128()?),
            label: decode_name(&mut from)?,
            positive: decode_bool(&mut from)?,
            updates: decode_updates(header, false, &mut from)?,
        }),
        ARTIFACT_STORED => Fact::ArtifactStored(ArtifactChunk {
            artifact: Digest::new(from.array()?),
            index: from.varint()?,
            count: from.varint()?,
            bytes: from.counted()?.into(),
        }),
        POLICY_ACTIVATED => Fact::PolicyActivated(Arc::new(decode_policy(header, version, &mut from)?)),
        API_KEY_ADDED | PRINCIPAL_ADDED | CREDENTIAL_ADDED | CREDENTIAL_REVOKED => {
            Fact::Identity(identity::decode(number, version, &mut from)?)
        }
        PROPOSAL_MADE | PROPOSAL_ENDED | APPROVALS_SET => Fact::Approval(approvals::decode(header, number, &mut from)?),
        LIST_MADE..=LIST_DELETED => Fact::List(lists::decode(number, &mut from)?),
        ENTITY_ATTRIBUTES_SET => Fact::EntityAttributes(entity_attributes::decode(&mut from)?),
        SETTING_PUT | SETTING_REMOVED => Fact::Setting(settings::decode(number, &mut from)?),
        PERSONAL_DATA_READ => Fact::PersonalDataRead(PersonalDataRead {
            payment: PaymentId::new(from.u128()?),
            attributes: decode_many(&mut from, decode_name)?.into(),
        }),
        KEY_USED => {
            Fact::KeyUsed(KeyUsed { items: from.varint()?, parts: decode_many(&mut from, |from| from.u64())?.into() })
        }
        STATE_DIGEST => Fact::StateDigest(StateDigest { scheme: from.varint()?, digest: Digest::new(from.array()?) }),
        _ => return Err(later),
    };
    from.finish()?;
    Ok(fact)
}

fn encode_policy(header: &Header, activated: &PolicyActivated, into: &mut Encoder) {
    into.raw(activated.artifact.as_bytes());
    encode_name(&activated.name, into);
    for names in [&activated.features, &activated.models] {
        into.count(names.len());
        names.iter().for_each(|name| encode_name(name, into));
    }
    into.count(activated.streams.len());
    for stream in &activated.streams {
        into.varint(stream.id.get());
        into.raw(stream.key.as_bytes());
        into.varint(stream.retention.ns());
        into.varint(stream.records_max);
        into.varint(stream.entities_max);
        into.varint(stream.recorded_since.ns());
    }
    ledger_facts::encode_all(header, &activated.ledger_facts, into);
    if !activated.lists.is_empty() {
        lists::encode_names(&activated.lists, into);
    }
}

fn decode_policy(header: &Header, version: u16, from: &mut Decoder<'_>) -> Result<PolicyActivated, DecodeError> {
    let artifact = Digest::new(from.array()?);
    let name = decode_name(from)?;
    let mut names = || decode_many(from, decode_name);
    let (features, models) = (names()?, names()?);
    let stream = |from: &mut Decoder<'_>| {
        Ok(StreamOpened {
            id: StreamId::new(from.varint()?),
            key: Digest::new(from.array()?),
            retention: Span::from_ns(from.varint()?),
            records_max: from.varint()?,
            entities_max: from.varint()?,
            recorded_since: Timestamp::from_ns(from.varint()?),
        })
    };
    let streams = decode_many(from, stream)?;
    let ledger_facts = ledger_facts::decode_all(header, from)?;
    let lists = if version >= POLICY_LISTS_VERSION { decode_many(from, decode_name)? } else { Vec::new() };
    if version >= POLICY_LISTS_VERSION && lists.is_empty() {
        return Err(DecodeError::Unknown { what: "number of lists", value: 0 });
    }
    Ok(PolicyActivated { artifact, name, features, models, lists, streams, ledger_facts })
}

const INSERT: u8 = 0;
const REMOVE: u8 = 1;
const LABEL_NEGATIVE: u8 = 2;
const LABEL_POSITIVE: u8 = 3;
const INSERT_WITH_ITEM: u8 = 4;

/// Whether an update needs a version of its entry that knows items.
pub(super) fn has_items(updates: &[Update]) -> bool {
    updates.iter().any(|update| matches!(update.change, RecordChange::Insert { item: Some(_), .. }))
}

/// Encodes updates. The time is a distance from the entry's time, or from the time of what happened in an encoding with
/// references; the sequence is a distance from the entry's own.
pub(super) fn encode_updates(header: &Header, updates: &[Update], into: &mut Encoder) {
    into.count(updates.len());
    let base = if into.uses_references() { header.occurred_at } else { header.decided_at };
    for update in updates {
        let (tag, value, item) = match update.change {
            RecordChange::Insert { value, item: None } => (INSERT, Some(value), None),
            RecordChange::Insert { value, item } => (INSERT_WITH_ITEM, Some(value), item),
            RecordChange::Remove => (REMOVE, None, None),
            RecordChange::Label { positive: false } => (LABEL_NEGATIVE, None, None),
            RecordChange::Label { positive: true } => (LABEL_POSITIVE, None, None),
        };
        into.u8(tag);
        into.varint(update.stream.get());
        into.id(update.entity.get());
        into.zigzag(update.at.ns().wrapping_sub(base.ns()).cast_signed());
        into.varint(header.seq.get() - update.seq.get());
        if let Some(value) = value {
            into.zigzag(value);
        }
        if let Some(item) = item {
            into.u64(item.get());
        }
    }
}

/// Decodes updates. Only some versions of an entry know items.
pub(super) fn decode_updates(
    header: &Header,
    knows_items: bool,
    from: &mut Decoder<'_>,
) -> Result<Vec<Update>, DecodeError> {
    let base = if from.uses_references() { header.occurred_at } else { header.decided_at };
    decode_many(from, |from| {
        let tag = from.u8()?;
        let stream = StreamId::new(from.varint()?);
        let entity = Token::new(from.id()?);
        let at = Timestamp::from_ns(base.ns().wrapping_add(from.zigzag()?.cast_unsigned()));
        let before: u64 = from.varint()?;
        let seq = header.seq.get().checked_sub(before).map(Seq::new).ok_or(DecodeError::Truncated)?;
        let change = match tag {
            INSERT => RecordChange::Insert { value: from.zigzag()?, item: None },
            INSERT_WITH_ITEM if knows_items => {
                let (value, item) = (from.zigzag()?, from.u64()?);
                let item = Item::new(item).ok_or(DecodeError::Unknown { what: "item", value: 0 })?;
                RecordChange::Insert { value, item: Some(item) }
            }
            REMOVE => RecordChange::Remove,
            LABEL_NEGATIVE => RecordChange::Label { positive: false },
            LABEL_POSITIVE => RecordChange::Label { positive: true },
            other => return Err(DecodeError::Unknown { what: "window change", value: u64::from(other) }),
        };
        Ok(Update { stream, entity, at, seq, change })
    })
}

pub(super) fn decode_many<T>(
    from: &mut Decoder<'_>,
    mut one: impl FnMut(&mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    (0..from.count()?).map(|_| one(from)).collect()
}

pub(super) fn encode_name(name: &Name, into: &mut Encoder) {
    into.counted(name.as_str().as_bytes());
}

pub(super) fn decode_name(from: &mut Decoder<'_>) -> Result<Name, DecodeError> {
    decode_text(from)?.parse().map_err(|_unparsed| DecodeError::Unknown { what: "name", value: 0 })
}

pub(super) fn decode_text(from: &mut Decoder<'_>) -> Result<String, DecodeError> {
    let bytes = from.counted()?.to_vec();
    String::from_utf8(bytes).map_err(|_invalid| DecodeError::Unknown { what: "UTF-8 text", value: 0 })
}

pub(super) fn decode_bool(from: &mut Decoder<'_>) -> Result<bool, DecodeError> {
    match from.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(DecodeError::Unknown { what: "yes or no", value: u64::from(other) }),
    }
}
