//! What the entries of a batch add to each table, as Parquet files.
//!
//! Rows are never changed. What becomes of a transfer or payment later is a row of its own, in another table.

use std::collections::BTreeMap;

use api::decisions::Decision;
use engine::{Cause, Fact, Header, PaymentChanged, PaymentDecided, PlainValue};
use journal::EntryInContext;
use ledger::{AccountFlags, Fact as LedgerFact, MetadataOf, PendingState, TransferFlags, TransferKey, resolution};
use parquet::errors::ParquetError;
use types::{Seq, Timestamp};

use super::Object;
use super::columns::{Columns, File, Form};
use crate::batch::{Batch, Opening};
use crate::documents::state_name;
use crate::fold::{opened, raised_by};
use crate::target::Fault;

const DAY_NS: u64 = 86_400_000_000_000;

/// A table: the name of its folder, and its columns.
type Table = (&'static str, Columns);

const LEDGERS: Table = (
    "ledgers",
    &[
        ("sequence", Form::Int),
        ("id", Form::Int),
        ("asset", Form::Text),
        ("opened_at", Form::Time),
        ("opened_at_ns", Form::Int),
    ],
);
const ACCOUNTS: Table = (
    "accounts",
    &[
        ("sequence", Form::Int),
        ("id", Form::Text),
        ("ledger", Form::Int),
        ("code", Form::Int),
        ("flags", Form::List),
        ("user_data_128", Form::Text),
        ("user_data_64", Form::Text),
        ("user_data_32", Form::Int),
        ("opened_at", Form::Time),
        ("opened_at_ns", Form::Int),
    ],
);
const ACCOUNT_SETTINGS: Table = (
    "account_settings",
    &[
        ("sequence", Form::Int),
        ("account", Form::Text),
        ("setting", Form::Text),
        ("min_balance", Form::Text),
        ("max_balance", Form::Text),
        ("address", Form::Text),
        ("decided_at", Form::Time),
        ("decided_at_ns", Form::Int),
    ],
);
const TRANSFERS: Table = (
    "transfers",
    &[
        ("sequence", Form::Int),
        ("id", Form::Text),
        ("payment", Form::Text),
        ("debit_account", Form::Text),
        ("credit_account", Form::Text),
        ("amount", Form::Decimal),
        ("amount_text", Form::Text),
        ("pending_id", Form::Text),
        ("ledger", Form::Int),
        ("code", Form::Int),
        ("flags", Form::List),
        ("user_data_128", Form::Text),
        ("user_data_64", Form::Text),
        ("user_data_32", Form::Int),
        ("timeout_s", Form::Int),
        ("created_at", Form::Time),
        ("created_at_ns", Form::Int),
    ],
);
const RESOLUTIONS: Table = (
    "resolutions",
    &[
        ("sequence", Form::Int),
        ("transfer", Form::Text),
        ("state", Form::Text),
        ("decided_at", Form::Time),
        ("decided_at_ns", Form::Int),
    ],
);
const PAYMENTS: Table = (
    "payments",
    &[
        ("sequence", Form::Int),
        ("id", Form::Text),
        ("type", Form::Text),
        ("status", Form::Text),
        ("ledger", Form::Int),
        ("amount", Form::Decimal),
        ("amount_text", Form::Text),
        ("verdict", Form::Text),
        ("score", Form::Int),
        ("reasons", Form::Text),
        ("tags", Form::List),
        ("attributes", Form::Text),
        ("features", Form::Text),
        ("models", Form::Text),
        ("policy", Form::Text),
        ("policy_sequence", Form::Int),
        ("late", Form::Bool),
        ("deadline", Form::Time),
        ("deadline_ns", Form::Int),
        ("actor", Form::Int),
        ("decided_at", Form::Time),
        ("decided_at_ns", Form::Int),
        ("occurred_at", Form::Time),
        ("occurred_at_ns", Form::Int),
    ],
);
const PAYMENT_ENTITIES: Table = (
    "payment_entities",
    &[("sequence", Form::Int), ("payment", Form::Text), ("entity", Form::Text), ("token", Form::Text)],
);
const PAYMENT_CHANGES: Table = (
    "payment_changes",
    &[
        ("sequence", Form::Int),
        ("payment", Form::Text),
        ("cause", Form::Text),
        ("status", Form::Text),
        ("raised_by", Form::Decimal),
        ("captured", Form::Decimal),
        ("released", Form::Decimal),
        ("refunded", Form::Decimal),
        ("deadline", Form::Time),
        ("deadline_ns", Form::Int),
        ("actor", Form::Int),
        ("decided_at", Form::Time),
        ("decided_at_ns", Form::Int),
    ],
);
const LABELS: Table = (
    "labels",
    &[
        ("sequence", Form::Int),
        ("payment", Form::Text),
        ("label", Form::Text),
        ("positive", Form::Bool),
        ("actor", Form::Int),
        ("decided_at", Form::Time),
        ("decided_at_ns", Form::Int),
    ],
);
const METADATA: Table = (
    "metadata",
    &[
        ("sequence", Form::Int),
        ("of", Form::Text),
        ("id", Form::Text),
        ("key", Form::Text),
        ("value", Form::Text),
        ("decided_at", Form::Time),
        ("decided_at_ns", Form::Int),
    ],
);

/// The folders of all tables.
pub(super) const FOLDERS: [&str; 10] = [
    LEDGERS.0,
    ACCOUNTS.0,
    ACCOUNT_SETTINGS.0,
    TRANSFERS.0,
    RESOLUTIONS.0,
    PAYMENTS.0,
    PAYMENT_ENTITIES.0,
    PAYMENT_CHANGES.0,
    LABELS.0,
    METADATA.0,
];

/// The files of a batch, in the order of their names. The same batch always has the same names and rows.
pub(super) fn objects(batch: &Batch) -> Result<Vec<Object>, Fault> {
    let mut files = Files::default();
    let (first, last) = match batch.opening {
        None => (batch.first, batch.last),
        Some(Opening { first, last, .. }) => (first, last),
    };
    let entries = batch.runs.iter().flat_map(|run| {
        (run.first().max(first).get()..=run.last().min(last).get()).filter_map(|seq| run.get(Seq::new(seq)))
    });
    for item in entries {
        let seq = item.entry.header.seq;
        let added = match batch.opening {
            None => files.add(item),
            Some(Opening { import, .. }) => files.add_opened(item, import),
        };
        added.map_err(|error| match error {
            Trouble::Fault(fault) => fault,
            Trouble::Parquet(error) => Fault::Refused(format!("entry {seq} cannot be written as Parquet: {error}")),
        })?;
    }
    let name = match batch.opening {
        None => format!("{first:020}-{last:020}", first = first.get(), last = last.get()),
        // The same entries may be in a file of their own, as far as they are not of the import.
        Some(_) => {
            let opener = batch.first.get();
            format!("{opener:020}-opens-{first:020}-{last:020}", first = first.get(), last = last.get())
        }
    };
    files.finish(&name).map_err(|error| Fault::Refused(format!("the rows cannot be written as Parquet: {error}")))
}

/// Why an entry could not be added.
enum Trouble {
    Fault(Fault),
    Parquet(ParquetError),
}

impl From<ParquetError> for Trouble {
    fn from(error: ParquetError) -> Self {
        Self::Parquet(error)
    }
}

/// Files that are being written, by folder and day.
#[derive(Debug, Default)]
struct Files(BTreeMap<(&'static str, u64), File>);

impl Files {
    /// The file of a table for entries of this day, in UTC.
    fn of(&mut self, (folder, columns): Table, decided_at: Timestamp) -> Result<&mut File, ParquetError> {
        use std::collections::btree_map::Entry;
        match self.0.entry((folder, decided_at.ns() / DAY_NS)) {
            Entry::Occupied(file) => Ok(file.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(File::new(columns)?)),
        }
    }

    fn finish(self, name: &str) -> Result<Vec<Object>, ParquetError> {
        let mut objects = Vec::with_capacity(self.0.len());
        for ((folder, day), file) in self.0 {
            if file.rows() == 0 {
                continue;
            }
            let midnight = Timestamp::from_ns(day.saturating_mul(DAY_NS)).to_string();
            let day = midnight.split('T').next().unwrap_or_default();
            let rows = file.rows();
            objects.push(Object {
                name: format!("{folder}/day={day}/{name}.parquet"),
                rows,
                bytes: file.finish()?.into(),
            });
        }
        Ok(objects)
    }

    fn add(&mut self, item: &EntryInContext) -> Result<(), Trouble> {
        let header = &item.entry.header;
        for fact in item.entry.fact.ledger_facts() {
            self.add_to_ledger(header, fact)?;
        }
        match &item.entry.fact {
            Fact::PaymentDecided(decided) => self.add_payment(item, decided),
            Fact::PaymentChanged(changed) => Ok(self.add_change(header, changed)?),
            Fact::LabelRecorded(recorded) => {
                let file = self.of(LABELS, header.decided_at)?;
                file.int(header.seq.get()).text(recorded.payment).text(&recorded.label).bool(recorded.positive);
                Ok(file.int(header.actor.get()).time(header.decided_at).end_row()?)
            }
            Fact::JournalStarted { .. }
            | Fact::JournalContinued { .. }
            | Fact::Ledger(_)
            | Fact::ArtifactStored(_)
            | Fact::PolicyActivated(_)
            | Fact::Identity(_)
            | Fact::Approval(_)
            | Fact::Setting(_)
            | Fact::List(_)
            | Fact::EntityAttributes(_)
            | Fact::PersonalDataRead(_)
            | Fact::KeyUsed(_)
            | Fact::StateDigest(_) => Ok(()),
        }
    }

    /// Adds what an entry means once its import is opened.
    fn add_opened(&mut self, item: &EntryInContext, import: ledger::ImportNumber) -> Result<(), Trouble> {
        if let Fact::Ledger(fact) = &item.entry.fact
            && let Some(fact) = opened(import, fact)
        {
            self.add_to_ledger(&item.entry.header, &fact)?;
        }
        Ok(())
    }

    fn add_to_ledger(&mut self, header: &Header, fact: &LedgerFact) -> Result<(), ParquetError> {
        let (seq, at) = (header.seq.get(), header.decided_at);
        match fact {
            LedgerFact::BookOpened(book) => {
                let file = self.of(LEDGERS, at)?;
                file.int(seq).int(book.id.get()).text(book.asset).time(book.opened_at).end_row()
            }
            LedgerFact::AccountOpened(account) => {
                let file = self.of(ACCOUNTS, at)?;
                file.int(seq).text(account.id).int(account.ledger.get()).int(account.code.get());
                file.list(names(AccountFlags::ALL, |flag| account.flags.contains(flag)));
                file.text(account.user_data_128).text(account.user_data_64).int(account.user_data_32);
                file.time(account.timestamp).end_row()
            }
            LedgerFact::TransferCreated(transfer) => {
                let payment = match transfer.key {
                    TransferKey::Leg { payment, .. } => Some(payment),
                    TransferKey::Client(_) => None,
                };
                let file = self.of(TRANSFERS, at)?;
                file.int(seq).text(transfer.key).text_option(payment).text(transfer.debit).text(transfer.credit);
                file.amount(transfer.amount).text_option(transfer.pending);
                file.int(transfer.ledger.get()).int(transfer.code.get());
                file.list(names(TransferFlags::ALL, |flag| transfer.flags.contains(flag)));
                file.text(transfer.user_data_128).text(transfer.user_data_64).int(transfer.user_data_32);
                file.int(transfer.timeout_s).time(transfer.timestamp).end_row()?;
                match (resolution(transfer), transfer.pending) {
                    (Some(state), Some(pending)) => self.add_resolution(header, pending, state),
                    _ => Ok(()),
                }
            }
            LedgerFact::TransferExpired(key) => self.add_resolution(header, *key, PendingState::Expired),
            LedgerFact::LimitsSet { account, limits } => {
                let file = self.of(ACCOUNT_SETTINGS, at)?;
                file.int(seq).text(account).text("limits");
                file.text_option(limits.min_balance).text_option(limits.max_balance).text_option(None::<&str>);
                file.time(at).end_row()
            }
            LedgerFact::AddressSet { account, address } => {
                let file = self.of(ACCOUNT_SETTINGS, at)?;
                file.int(seq).text(account).text("address").text_option(None::<&str>).text_option(None::<&str>);
                file.text(address.as_str()).time(at).end_row()
            }
            LedgerFact::MetadataSet { of, values } => {
                let (kind, id) = match of {
                    MetadataOf::Account(id) => ("account", id.to_string()),
                    MetadataOf::Transfer(key) => ("transfer", key.to_string()),
                    MetadataOf::Payment(id) => ("payment", id.to_string()),
                };
                let file = self.of(METADATA, at)?;
                for (key, value) in values {
                    file.int(seq).text(kind).text(&id).text(key).text_option(value.as_ref()).time(at).end_row()?;
                }
                Ok(())
            }
            LedgerFact::TransferFailed { .. }
            | LedgerFact::TransferScheduled(_)
            | LedgerFact::ScheduledCancelled { .. }
            | LedgerFact::IndexesChosen { .. }
            // Rows of an import count when it is opened.
            | LedgerFact::ImportStarted(_)
            | LedgerFact::AccountStaged { .. }
            | LedgerFact::TransferStaged { .. }
            | LedgerFact::ImportNoted { .. } => Ok(()),
        }
    }

    fn add_resolution(&mut self, header: &Header, key: TransferKey, state: PendingState) -> Result<(), ParquetError> {
        let file = self.of(RESOLUTIONS, header.decided_at)?;
        file.int(header.seq.get()).text(key).text(state_name(state)).time(header.decided_at).end_row()
    }

    fn add_payment(&mut self, item: &EntryInContext, decided: &PaymentDecided) -> Result<(), Trouble> {
        let header = &item.entry.header;
        let missing = || Trouble::Fault(Fault::Contradicts(format!("the policy of entry {} is missing", header.seq)));
        let policy = item.context.policy.as_ref().ok_or_else(missing)?;
        let decision = Decision::new(header.into(), decided, policy, None);
        let decision = serde_json::to_value(&decision).unwrap_or_default();
        let part = |name: &str| decision.get(name).filter(|part| !part.is_null());
        let file = self.of(PAYMENTS, header.decided_at)?;
        file.int(header.seq.get()).text(decided.payment).text(&decided.payment_type).text(decided.status.name());
        file.int(decided.ledger.get()).amount(decided.amount).text(decided.verdict.name()).int(decided.score);
        file.text_option(part("reasons")).list(decided.tags.iter().map(String::as_str));
        file.text_option(part("attributes")).text_option(part("features")).text_option(part("models"));
        file.text(&policy.name).int(decided.policy.get()).bool(decided.late);
        file.time_option(decided.deadline.map(|deadline| deadline.at)).int(header.actor.get());
        file.time(header.decided_at).time(header.occurred_at).end_row()?;
        for (name, value) in &decided.attributes {
            if let PlainValue::Entity(token) = value {
                let file = self.of(PAYMENT_ENTITIES, header.decided_at)?;
                file.int(header.seq.get()).text(decided.payment).text(name).text(token).end_row()?;
            }
        }
        Ok(())
    }

    fn add_change(&mut self, header: &Header, changed: &PaymentChanged) -> Result<(), ParquetError> {
        let (cause, actor) = match changed.cause {
            Cause::Verb(verb) => (verb.name(), header.actor.get()),
            Cause::Deadline => ("deadline", 0),
        };
        let file = self.of(PAYMENT_CHANGES, header.decided_at)?;
        file.int(header.seq.get()).text(changed.payment).text(cause).text(changed.status.name());
        file.amount_option(raised_by(changed));
        file.amount_option(changed.sums.map(|sums| sums.captured));
        file.amount_option(changed.sums.map(|sums| sums.released));
        file.amount_option(changed.sums.map(|sums| sums.refunded));
        file.time_option(changed.deadline.map(|deadline| deadline.at)).int(actor).time(header.decided_at).end_row()
    }
}

/// The names of the flags that are set.
fn names<F: Copy + 'static>(
    all: &'static [(&'static str, F)],
    is_set: impl Fn(F) -> bool,
) -> impl Iterator<Item = &'static str> {
    all.iter().filter(move |(_, flag)| is_set(*flag)).map(|(name, _)| *name)
}
