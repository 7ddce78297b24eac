//! Entries as CloudEvents, for targets that keep events.

use api::CursorOrigin;
use api::events::Event;
use api::responses::Unknown;
use engine::Fact;
use journal::EntryInContext;
use ledger::{Fact as LedgerFact, MetadataOf, TransferKey};
use serde::Serialize;
use types::{Origin, Seq};

use crate::target::Fault;

/// The media type of a [`CloudEvent`] in JSON.
pub const CLOUD_EVENT: &str = "application/cloudevents+json; charset=UTF-8";

/// An entry as an event in the structured mode of CloudEvents 1.0, in JSON. It contains no personal data, because the events of the API
/// contain none.
#[derive(Debug, Serialize)]
pub struct CloudEvent {
    specversion: &'static str,
    /// The same however often the event is sent.
    id: String,
    /// The history that the entry belongs to.
    source: String,
    r#type: String,
    /// What the entry is about; see [`subject`].
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// When the entry was decided.
    time: String,
    /// The sequence of the entry. The extension of CloudEvents with this name compares texts, so all have the same length.
    sequence: String,
    datacontenttype: &'static str,
    /// The event as `GET /v1/events` shows it.
    data: Event,
}

impl CloudEvent {
    /// An entry as an event. `origin` is that of the history that the entry belongs to.
    ///
    /// # Errors
    /// When the entry refers to something that is not in the journal.
    pub fn new(item: &EntryInContext, origin: Origin) -> Result<Self, Fault> {
        let header = &item.entry.header;
        let data = Event::new(item, CursorOrigin { origin, shard: header.shard })
            .map_err(|unknown: Unknown| Fault::Contradicts(format!("entry {}: {}", header.seq, unknown.what())))?;
        Ok(Self {
            specversion: "1.0",
            id: event_id(origin, header.seq),
            source: origin.to_string(),
            r#type: format!("finaira.{}.v1", data.kind()),
            subject: subject(&item.entry.fact),
            time: header.decided_at.to_string(),
            sequence: format!("{:020}", header.seq.get()),
            datacontenttype: "application/json",
            data,
        })
    }

    /// The event in JSON.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec(self).map_err(|error| Fault::Contradicts(format!("event {}: {error}", self.id)))
    }
}

/// The id of the event of an entry.
pub fn event_id(origin: Origin, seq: Seq) -> String {
    format!("{origin}/{seq}")
}

/// What an entry is about: a payment, an account, a transfer, a list or an entity, by its path in the API; for an entity with its token instead of its key. A transfer that names its accounts counts as a change
/// of the account that it debits. Events with the same subject keep their order.
pub fn subject(fact: &Fact) -> Option<String> {
    if let Some(payment) = fact.payment() {
        return Some(format!("payments/{payment}"));
    }
    match fact {
        Fact::Ledger(fact) => subject_in_ledger(fact),
        Fact::List(fact) => Some(format!("lists/{}", fact.list())),
        Fact::EntityAttributes(fact) => Some(format!("entities/{}/{}", fact.kind, fact.entity)),
        Fact::PersonalDataRead(read) => Some(format!("payments/{}", read.payment)),
        Fact::PaymentDecided(_)
        | Fact::PaymentChanged(_)
        | Fact::LabelRecorded(_)
        | Fact::JournalStarted { .. }
        | Fact::JournalContinued { .. }
        | Fact::PolicyActivated(_)
        | Fact::ArtifactStored(_)
        | Fact::Identity(_)
        | Fact::Approval(_)
        | Fact::Setting(_)
        | Fact::KeyUsed(_)
        | Fact::StateDigest(_) => None,
    }
}

fn subject_in_ledger(fact: &LedgerFact) -> Option<String> {
    let of_transfer = |key: &TransferKey| match key {
        TransferKey::Client(id) => format!("transfers/{id}"),
        TransferKey::Leg { payment, .. } => format!("payments/{payment}"),
    };
    match fact {
        LedgerFact::AccountOpened(account) | LedgerFact::AccountStaged { account, .. } => {
            Some(format!("accounts/{}", account.id))
        }
        LedgerFact::LimitsSet { account, .. }
        | LedgerFact::AddressSet { account, .. }
        | LedgerFact::MetadataSet { of: MetadataOf::Account(account), .. } => Some(format!("accounts/{account}")),
        LedgerFact::TransferCreated(transfer) | LedgerFact::TransferStaged { transfer, .. } => {
            Some(format!("accounts/{}", transfer.debit))
        }
        LedgerFact::TransferScheduled(scheduled) => Some(format!("accounts/{}", scheduled.new.debit)),
        LedgerFact::TransferFailed { id, .. } | LedgerFact::ScheduledCancelled { id } => {
            Some(format!("transfers/{id}"))
        }
        LedgerFact::TransferExpired(key) | LedgerFact::MetadataSet { of: MetadataOf::Transfer(key), .. } => {
            Some(of_transfer(key))
        }
        LedgerFact::MetadataSet { of: MetadataOf::Payment(payment), .. } => Some(format!("payments/{payment}")),
        LedgerFact::BookOpened(_)
        | LedgerFact::IndexesChosen { .. }
        | LedgerFact::ImportStarted(_)
        | LedgerFact::ImportNoted { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::{Entry, Header, LabelRecorded};
    use expect_test::{Expect, expect};
    use journal::Context;
    use ledger::{Assets, Book, TransferFlags};
    use types::{
        AccountId, ActorId, Amount, Code, LedgerId, PaymentId, RequestId, ShardId, TenantId, Timestamp, TransferId,
    };

    use super::*;

    const LEDGER: LedgerId = LedgerId::new(978);

    fn entry(fact: Fact) -> EntryInContext {
        let header = Header {
            shard: ShardId::new(0),
            seq: Seq::new(12),
            tenant: TenantId::new(1),
            actor: ActorId::new(4),
            request: RequestId::new(0),
            decided_at: Timestamp::from_ns(1_000_000_000),
            occurred_at: Timestamp::from_ns(1_000_000_000),
        };
        let book = Book { id: LEDGER, asset: "EUR/2".parse().expect("an asset"), opened_at: Timestamp::ZERO };
        let context = Context { assets: Arc::new(Assets::new(&[book])), policy: None };
        EntryInContext { entry: Entry { header, fact, sealed: None }, context }
    }

    fn transfer() -> ledger::Transfer {
        ledger::Transfer {
            key: TransferKey::Client(TransferId::new(7)),
            debit: AccountId::new(1),
            credit: AccountId::new(2),
            amount: Amount::new(1250),
            pending: None,
            user_data_128: 0,
            user_data_64: 0,
            user_data_32: 0,
            timeout_s: 0,
            ledger: LEDGER,
            code: Code::new(1),
            flags: TransferFlags::PENDING,
            timestamp: Timestamp::from_ns(1_000_000_000),
        }
    }

    #[track_caller]
    fn check(fact: Fact, expected: &Expect) {
        let event = CloudEvent::new(&entry(fact), Origin::new(9)).expect("an event");
        let json: serde_json::Value = serde_json::from_slice(&event.to_json().expect("JSON")).expect("JSON");
        expected.assert_eq(&serde_json::to_string_pretty(&json).expect("JSON"));
    }

    #[test]
    fn a_transfer_is_about_the_account_that_it_debits() {
        check(
            Fact::Ledger(LedgerFact::TransferCreated(transfer())),
            &expect![[r#"
            {
              "data": {
                "actor": 4,
                "cursor": "00000000-0000-0000-0000-000000000009.0.12",
                "data": {
                  "amount": "1250",
                  "asset": "EUR/2",
                  "code": 1,
                  "created_at": "1970-01-01T00:00:01Z",
                  "credit_account": "00000000-0000-0000-0000-000000000002",
                  "debit_account": "00000000-0000-0000-0000-000000000001",
                  "flags": [
                    "pending"
                  ],
                  "id": "00000000-0000-0000-0000-000000000007",
                  "ledger": 978
                },
                "decided_at": "1970-01-01T00:00:01Z",
                "kind": "transfer_created",
                "occurred_at": "1970-01-01T00:00:01Z",
                "sequence": 12
              },
              "datacontenttype": "application/json",
              "id": "00000000-0000-0000-0000-000000000009/12",
              "sequence": "00000000000000000012",
              "source": "00000000-0000-0000-0000-000000000009",
              "specversion": "1.0",
              "subject": "accounts/00000000-0000-0000-0000-000000000001",
              "time": "1970-01-01T00:00:01Z",
              "type": "finaira.transfer_created.v1"
            }"#]],
        );
    }

    #[test]
    fn a_label_is_about_its_payment() {
        let label = LabelRecorded {
            payment: PaymentId::new(7),
            label: "fraud".parse().expect("a name"),
            positive: true,
            updates: Vec::new(),
        };
        check(
            Fact::LabelRecorded(label),
            &expect![[r#"
            {
              "data": {
                "actor": 4,
                "cursor": "00000000-0000-0000-0000-000000000009.0.12",
                "data": {
                  "label": "fraud",
                  "payment": "00000000-0000-0000-0000-000000000007",
                  "positive": true
                },
                "decided_at": "1970-01-01T00:00:01Z",
                "kind": "label_recorded",
                "occurred_at": "1970-01-01T00:00:01Z",
                "sequence": 12
              },
              "datacontenttype": "application/json",
              "id": "00000000-0000-0000-0000-000000000009/12",
              "sequence": "00000000000000000012",
              "source": "00000000-0000-0000-0000-000000000009",
              "specversion": "1.0",
              "subject": "payments/00000000-0000-0000-0000-000000000007",
              "time": "1970-01-01T00:00:01Z",
              "type": "finaira.label_recorded.v1"
            }"#]],
        );
    }

    #[test]
    fn an_entry_about_the_whole_journal_has_no_subject() {
        check(
            Fact::JournalStarted { origin: Origin::new(9) },
            &expect![[r#"
            {
              "data": {
                "actor": 4,
                "cursor": "00000000-0000-0000-0000-000000000009.0.12",
                "data": {
                  "origin": "00000000-0000-0000-0000-000000000009"
                },
                "decided_at": "1970-01-01T00:00:01Z",
                "kind": "journal_started",
                "occurred_at": "1970-01-01T00:00:01Z",
                "sequence": 12
              },
              "datacontenttype": "application/json",
              "id": "00000000-0000-0000-0000-000000000009/12",
              "sequence": "00000000000000000012",
              "source": "00000000-0000-0000-0000-000000000009",
              "specversion": "1.0",
              "time": "1970-01-01T00:00:01Z",
              "type": "finaira.journal_started.v1"
            }"#]],
        );
    }

    #[test]
    fn an_entry_that_names_an_unknown_ledger_contradicts_the_journal() {
        let mut item = entry(Fact::Ledger(LedgerFact::TransferCreated(transfer())));
        item.context = Context::default();
        let fault = CloudEvent::new(&item, Origin::new(9)).expect_err("the ledger is unknown");
        assert!(matches!(&fault, Fault::Contradicts(what) if what.starts_with("entry 12: ")), "{fault}");
    }

    #[test]
    fn transfers_that_name_no_account_are_their_own_subject() {
        let expired = |key| subject(&Fact::Ledger(LedgerFact::TransferExpired(key)));
        let (client, leg) =
            (TransferKey::Client(TransferId::new(3)), TransferKey::Leg { payment: PaymentId::new(5), number: 1 });
        assert_eq!(expired(client), Some(format!("transfers/{}", TransferId::new(3))));
        assert_eq!(expired(leg), Some(format!("payments/{}", PaymentId::new(5))));
    }
}
