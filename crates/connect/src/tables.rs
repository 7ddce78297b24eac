//! Rows as columns of tables, and columns as rows.
//!
//! The targets with tables have the same tables. What differs is how a value is written and read, which [`Put`] and [`Take`] say.

use std::fmt::Display;

use engine::{Deadline, PaymentSums};
use ledger::{AccountFlags, Address, TransferFlags, TransferKey};
use proof::Hash;
use serde_json::Value;
use types::{Seq, Timestamp};

use crate::cursor::Cursor;
use crate::documents::{AccountDocument, PaymentDocument, TransferDocument, state_name};
use crate::rows::{AccountRow, PaymentNow, PaymentRow, Rows, TransferRow};
use crate::source::unhex;
use crate::target::Fault;

/// The columns of accounts, in order.
pub(crate) const ACCOUNT: &str = "id, ledger, code, flags, user_data_128, user_data_64, user_data_32, opened_at, opened_at_ns, \
     debits_pending, debits_posted, credits_pending, credits_posted, min_balance, max_balance, address, sequence";
/// The columns of transfers, in order.
pub(crate) const TRANSFER: &str = "id, payment, debit_account, credit_account, amount, pending_id, state, ledger, code, flags, \
     user_data_128, user_data_64, user_data_32, timeout_s, created_at, created_at_ns, sequence";
/// The columns of payments, in order.
pub(crate) const PAYMENT: &str = "id, type, status, ledger, amount, captured, released, refunded, verdict, score, reasons, tags, \
     attributes, features, models, policy, policy_sequence, late, deadline, deadline_ns, label, label_positive, actor, \
     decided_at, decided_at_ns, occurred_at, occurred_at_ns, sequence, changed_sequence";

/// The select list that [`account`] reads, with the casts that PostgreSQL needs.
pub(crate) const ACCOUNT_READ: &str = "id::text, ledger, code, flags, user_data_128::text, user_data_64::text, user_data_32, \
     opened_at_ns, debits_pending::text, debits_posted::text, credits_pending::text, credits_posted::text, \
     min_balance::text, max_balance::text, address, sequence";
/// The select list that [`transfer`] reads.
pub(crate) const TRANSFER_READ: &str = "id, payment::text, debit_account::text, credit_account::text, amount::text, pending_id, \
     state, ledger, code, flags, user_data_128::text, user_data_64::text, user_data_32, timeout_s, created_at_ns, sequence";
/// The select list that [`payment`] reads.
pub(crate) const PAYMENT_READ: &str = "id::text, type, status, ledger, amount::text, captured::text, released::text, refunded::text, verdict, \
     score, reasons::text, tags, attributes::text, features::text, models::text, policy, policy_sequence, late, \
     deadline_ns, label, label_positive, actor, decided_at_ns, occurred_at_ns, sequence, changed_sequence";

/// Writes rows, one column after another.
pub(crate) trait Put {
    fn number(&mut self, value: impl Display) -> &mut Self;

    /// Adds a text without a character that must be escaped: an id or a name.
    fn plain(&mut self, value: impl Display) -> &mut Self;

    fn text(&mut self, value: &str) -> &mut Self;

    fn bool(&mut self, value: bool) -> &mut Self;

    /// Adds a time, rounded down to what the target holds.
    fn time(&mut self, at: Timestamp) -> &mut Self;

    fn array<'t>(&mut self, values: impl Iterator<Item = &'t str>) -> &mut Self;

    fn null(&mut self) -> &mut Self;

    fn end_row(&mut self);

    fn json(&mut self, value: &Value) -> &mut Self {
        self.text(&value.to_string())
    }

    /// Adds a text or a number that is null if there is none.
    fn option(&mut self, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => self.text(&value.to_string()),
            None => self.null(),
        }
    }
}

/// Reads a row, one column after another.
pub(crate) trait Take {
    fn text_option(&mut self) -> Result<Option<String>, Fault>;

    fn number_option(&mut self) -> Result<Option<u64>, Fault>;

    fn bool_option(&mut self) -> Result<Option<bool>, Fault>;

    fn array(&mut self) -> Result<Vec<String>, Fault>;

    /// What is wrong with the column that was read last.
    fn wrong(&self, what: &str) -> Fault;

    fn text(&mut self) -> Result<String, Fault> {
        let text = self.text_option()?;
        text.ok_or_else(|| self.wrong("null"))
    }

    fn number<T: TryFrom<u64>>(&mut self) -> Result<T, Fault> {
        let number = self.number_option()?.ok_or_else(|| self.wrong("null"))?;
        T::try_from(number).map_err(|_range| self.wrong(&number.to_string()))
    }

    fn bool(&mut self) -> Result<bool, Fault> {
        let value = self.bool_option()?;
        value.ok_or_else(|| self.wrong("null"))
    }

    fn json(&mut self) -> Result<Value, Fault> {
        let text = self.text()?;
        serde_json::from_str(&text).map_err(|error| self.wrong(&error.to_string()))
    }
}

pub(crate) fn put_account(row: &AccountRow, into: &mut impl Put) {
    let AccountRow { account, limits, address, sequence } = row;
    into.plain(account.id).number(account.ledger).number(account.code);
    into.array(AccountFlags::ALL.iter().filter(|(_, flag)| account.flags.contains(*flag)).map(|(name, _)| *name));
    into.number(account.user_data_128).number(account.user_data_64).number(account.user_data_32);
    into.time(account.timestamp).number(account.timestamp.ns());
    into.number(account.debits_pending).number(account.debits_posted);
    into.number(account.credits_pending).number(account.credits_posted);
    into.option(limits.min_balance).option(limits.max_balance);
    into.option(address.as_ref().map(Address::as_str)).number(sequence).end_row();
}

pub(crate) fn put_transfer(row: &TransferRow, into: &mut impl Put) {
    let TransferRow { transfer, state, sequence } = row;
    let payment = match transfer.key {
        TransferKey::Leg { payment, .. } => Some(payment),
        TransferKey::Client(_) => None,
    };
    into.plain(transfer.key).option(payment).plain(transfer.debit).plain(transfer.credit).number(transfer.amount);
    into.option(transfer.pending).option(state.map(state_name)).number(transfer.ledger).number(transfer.code);
    into.array(TransferFlags::ALL.iter().filter(|(_, flag)| transfer.flags.contains(*flag)).map(|(name, _)| *name));
    into.number(transfer.user_data_128).number(transfer.user_data_64).number(transfer.user_data_32);
    into.number(transfer.timeout_s).time(transfer.timestamp).number(transfer.timestamp.ns()).number(sequence).end_row();
}

pub(crate) fn put_payment(row: &PaymentRow, into: &mut impl Put) {
    let PaymentRow { header, decided, policy, now, .. } = row;
    let document = PaymentDocument::from(row);
    let sums = now.sums.unwrap_or_default();
    into.plain(decided.payment).plain(&decided.payment_type).plain(now.status.unwrap_or(decided.status).name());
    into.number(decided.ledger).number(now.amount.unwrap_or(decided.amount));
    put_sums(sums, into).plain(decided.verdict.name()).number(decided.score);
    into.json(&document.reasons).array(decided.tags.iter().map(String::as_str));
    into.json(&document.attributes).json(&document.features).json(&document.models);
    into.plain(&policy.name).number(decided.policy).bool(decided.late);
    put_deadline(now.deadline.unwrap_or(decided.deadline), into);
    put_label(now, into);
    into.number(header.actor).time(header.decided_at).number(header.decided_at.ns());
    into.time(header.occurred_at).number(header.occurred_at.ns()).number(header.seq).number(now.sequence).end_row();
}

fn put_sums<P: Put>(sums: PaymentSums, into: &mut P) -> &mut P {
    into.number(sums.captured).number(sums.released).number(sums.refunded)
}

fn put_deadline(deadline: Option<Deadline>, into: &mut impl Put) {
    match deadline {
        Some(deadline) => into.time(deadline.at).number(deadline.at.ns()),
        None => into.null().null(),
    };
}

fn put_label(now: &PaymentNow, into: &mut impl Put) {
    match &now.label {
        Some((label, positive)) => into.plain(label).bool(*positive),
        None => into.null().null(),
    };
}

/// The entities of payments: payment, entity and token.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) fn put_entities(rows: &[PaymentRow], into: &mut impl Put) {
    for row in rows {
        for (name, token) in row.entities() {
            into.plain(row.decided.payment).plain(name).plain(token).end_row();
        }
    }
}

/// Changed payments: id, status, amount, the three sums, whether there is a new deadline, the deadline twice, label, sequence.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) fn put_payments_changed(rows: &Rows, into: &mut impl Put) {
    for (payment, now) in &rows.payments_changed {
        into.plain(payment).option(now.status.map(engine::PaymentStatus::name)).option(now.amount);
        match now.sums {
            Some(sums) => put_sums(sums, into),
            None => into.null().null().null(),
        };
        into.bool(now.deadline.is_some());
        put_deadline(now.deadline.flatten(), into);
        put_label(now, into);
        into.number(now.sequence).end_row();
    }
}

pub(crate) fn put_changes(rows: &Rows, into: &mut impl Put) {
    for row in &rows.changes {
        into.number(row.sequence).plain(row.payment).plain(row.cause).plain(row.status.name());
        put_sums(row.sums, into).time(row.at).number(row.actor).end_row();
    }
}

pub(crate) fn put_labels(rows: &Rows, into: &mut impl Put) {
    for row in &rows.labels {
        into.number(row.sequence).plain(row.payment).plain(&row.label).bool(row.positive);
        into.time(row.at).number(row.actor).end_row();
    }
}

pub(crate) fn put_ledgers(rows: &Rows, into: &mut impl Put) {
    for (sequence, book) in &rows.ledgers {
        into.number(book.id).plain(book.asset).time(book.opened_at).number(book.opened_at.ns());
        into.number(sequence).end_row();
    }
}

/// Metadata: a number that orders the rows, kind, id, key, value, sequence.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) fn put_metadata<'r>(rows: impl Iterator<Item = &'r crate::rows::MetadataRow>, into: &mut impl Put) {
    for (number, row) in rows.enumerate() {
        let (kind, id) = match row.of {
            ledger::MetadataOf::Account(id) => ("account", id.to_string()),
            ledger::MetadataOf::Transfer(key) => ("transfer", key.to_string()),
            ledger::MetadataOf::Payment(id) => ("payment", id.to_string()),
        };
        into.number(number)
            .plain(kind)
            .plain(id)
            .text(&row.key)
            .option(row.value.as_ref())
            .number(row.sequence)
            .end_row();
    }
}

/// A time, rounded down to a microsecond. Databases round to the nearest one.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) const fn to_microsecond(at: Timestamp) -> Timestamp {
    Timestamp::from_ns(at.ns() - at.ns() % 1_000)
}

/// Reads a cursor: origin, position, root and opening.
pub(crate) fn cursor(columns: &mut impl Take) -> Result<Cursor, Fault> {
    let origin = Cursor::origin_of(&columns.text()?)?;
    let position = Seq::new(columns.number()?);
    let text = columns.text()?;
    let root: Hash = unhex(&text).ok_or_else(|| Fault::Contradicts(format!("`{text}` is not a Merkle root")))?;
    let opening = columns.number_option()?.map(Seq::new);
    Ok(Cursor { origin, position, root, opening })
}

/// Reads an account.
pub(crate) fn account(columns: &mut impl Take) -> Result<AccountDocument, Fault> {
    let mut document = AccountDocument {
        id: columns.text()?,
        ledger: columns.number()?,
        code: columns.number()?,
        flags: columns.array()?,
        user_data_128: columns.text()?,
        user_data_64: columns.text()?,
        user_data_32: columns.number()?,
        opened_at: String::new(),
        opened_at_ns: columns.number()?,
        debits_pending: columns.text()?,
        debits_posted: columns.text()?,
        credits_pending: columns.text()?,
        credits_posted: columns.text()?,
        min_balance: columns.text_option()?,
        max_balance: columns.text_option()?,
        address: columns.text_option()?,
        sequence: columns.number()?,
    };
    document.opened_at = Timestamp::from_ns(document.opened_at_ns).to_string();
    Ok(document)
}

/// Reads a transfer.
pub(crate) fn transfer(columns: &mut impl Take) -> Result<TransferDocument, Fault> {
    let mut document = TransferDocument {
        id: columns.text()?,
        payment: columns.text_option()?,
        debit_account: columns.text()?,
        credit_account: columns.text()?,
        amount: columns.text()?,
        pending_id: columns.text_option()?,
        state: columns.text_option()?,
        ledger: columns.number()?,
        code: columns.number()?,
        flags: columns.array()?,
        user_data_128: columns.text()?,
        user_data_64: columns.text()?,
        user_data_32: columns.number()?,
        timeout_s: columns.number()?,
        created_at: String::new(),
        created_at_ns: columns.number()?,
        sequence: columns.number()?,
    };
    document.created_at = Timestamp::from_ns(document.created_at_ns).to_string();
    Ok(document)
}

/// Reads a payment.
pub(crate) fn payment(columns: &mut impl Take) -> Result<PaymentDocument, Fault> {
    let mut document = PaymentDocument {
        id: columns.text()?,
        r#type: columns.text()?,
        status: columns.text()?,
        ledger: columns.number()?,
        amount: columns.text()?,
        captured: columns.text()?,
        released: columns.text()?,
        refunded: columns.text()?,
        verdict: columns.text()?,
        score: columns.number()?,
        reasons: columns.json()?,
        tags: columns.array()?,
        attributes: columns.json()?,
        features: columns.json()?,
        models: columns.json()?,
        policy: columns.text()?,
        policy_sequence: columns.number()?,
        late: columns.bool()?,
        deadline: None,
        deadline_ns: columns.number_option()?,
        label: columns.text_option()?,
        label_positive: columns.bool_option()?,
        actor: columns.number()?,
        decided_at: String::new(),
        decided_at_ns: columns.number()?,
        occurred_at: String::new(),
        occurred_at_ns: columns.number()?,
        sequence: columns.number()?,
        changed_sequence: columns.number()?,
        amount_sequence: None,
    };
    let text = |ns: u64| Timestamp::from_ns(ns).to_string();
    document.decided_at = text(document.decided_at_ns);
    document.occurred_at = text(document.occurred_at_ns);
    document.deadline = document.deadline_ns.map(text);
    Ok(document)
}
