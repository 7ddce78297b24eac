//! Rows as columns, and columns as rows.

use engine::{Deadline, PaymentSums, PlainValue};
use ledger::{AccountFlags, Address, MetadataOf, TransferFlags, TransferKey};
use postgres::Row;
use types::Timestamp;

use super::copy_text::CopyText;
use crate::documents::{AccountDocument, PaymentDocument, TransferDocument, state_name};
use crate::rows::{AccountRow, PaymentNow, PaymentRow, Rows, TransferRow};
use crate::target::Fault;

/// The columns of accounts, in order.
pub(super) const ACCOUNT: &str = "id, ledger, code, flags, user_data_128, user_data_64, user_data_32, opened_at, opened_at_ns, \
     debits_pending, debits_posted, credits_pending, credits_posted, min_balance, max_balance, address, sequence";
/// The columns of transfers, in order.
pub(super) const TRANSFER: &str = "id, payment, debit_account, credit_account, amount, pending_id, state, ledger, code, flags, \
     user_data_128, user_data_64, user_data_32, timeout_s, created_at, created_at_ns, sequence";
/// The columns of payments, in order.
pub(super) const PAYMENT: &str = "id, type, status, ledger, amount, captured, released, refunded, verdict, score, reasons, tags, \
     attributes, features, models, policy, policy_sequence, late, deadline, deadline_ns, label, label_positive, actor, \
     decided_at, decided_at_ns, occurred_at, occurred_at_ns, sequence, changed_sequence";

/// The select list that [`account`] reads.
pub(super) const ACCOUNT_READ: &str = "id::text, ledger, code, flags, user_data_128::text, user_data_64::text, user_data_32, \
     opened_at_ns, debits_pending::text, debits_posted::text, credits_pending::text, credits_posted::text, \
     min_balance::text, max_balance::text, address, sequence";
/// The select list that [`transfer`] reads.
pub(super) const TRANSFER_READ: &str = "id, payment::text, debit_account::text, credit_account::text, amount::text, pending_id, \
     state, ledger, code, flags, user_data_128::text, user_data_64::text, user_data_32, timeout_s, created_at_ns, sequence";
/// The select list that [`payment`] reads.
pub(super) const PAYMENT_READ: &str = "id::text, type, status, ledger, amount::text, captured::text, released::text, refunded::text, verdict, \
     score, reasons::text, tags, attributes::text, features::text, models::text, policy, policy_sequence, late, \
     deadline_ns, label, label_positive, actor, decided_at_ns, occurred_at_ns, sequence, changed_sequence";

pub(super) fn put_account(row: &AccountRow, into: &mut CopyText) {
    let AccountRow { account, limits, address, sequence } = row;
    into.plain(account.id).plain(account.ledger).plain(account.code);
    into.array(AccountFlags::ALL.iter().filter(|(_, flag)| account.flags.contains(*flag)).map(|(name, _)| *name));
    into.plain(account.user_data_128).plain(account.user_data_64).plain(account.user_data_32);
    into.time(account.timestamp).plain(account.timestamp.ns());
    into.plain(account.debits_pending).plain(account.debits_posted);
    into.plain(account.credits_pending).plain(account.credits_posted);
    into.option(limits.min_balance).option(limits.max_balance);
    into.option(address.as_ref().map(Address::as_str)).plain(sequence).end_row();
}

pub(super) fn put_transfer(row: &TransferRow, into: &mut CopyText) {
    let TransferRow { transfer, state, sequence } = row;
    let payment = match transfer.key {
        TransferKey::Leg { payment, .. } => Some(payment),
        TransferKey::Client(_) => None,
    };
    into.plain(transfer.key).option(payment).plain(transfer.debit).plain(transfer.credit).plain(transfer.amount);
    into.option(transfer.pending).option(state.map(state_name)).plain(transfer.ledger).plain(transfer.code);
    into.array(TransferFlags::ALL.iter().filter(|(_, flag)| transfer.flags.contains(*flag)).map(|(name, _)| *name));
    into.plain(transfer.user_data_128).plain(transfer.user_data_64).plain(transfer.user_data_32);
    into.plain(transfer.timeout_s).time(transfer.timestamp).plain(transfer.timestamp.ns()).plain(sequence).end_row();
}

pub(super) fn put_payment(row: &PaymentRow, into: &mut CopyText) {
    let PaymentRow { header, decided, policy, now } = row;
    let document = PaymentDocument::from(row);
    let sums = now.sums.unwrap_or_default();
    into.plain(decided.payment).plain(&decided.payment_type).plain(now.status.unwrap_or(decided.status).name());
    into.plain(decided.ledger).plain(now.amount.unwrap_or(decided.amount));
    put_sums(sums, into).plain(decided.verdict.name()).plain(decided.score);
    into.text(&document.reasons.to_string()).array(decided.tags.iter().map(String::as_str));
    into.text(&document.attributes.to_string()).text(&document.features.to_string()).text(&document.models.to_string());
    into.plain(&policy.name).plain(decided.policy).bool(decided.late);
    put_deadline(now.deadline.unwrap_or(decided.deadline), into);
    put_label(now, into);
    into.plain(header.actor).time(header.decided_at).plain(header.decided_at.ns()).time(header.occurred_at).plain(header.occurred_at.ns());
    into.plain(header.seq).plain(now.sequence).end_row();
}

fn put_sums(sums: PaymentSums, into: &mut CopyText) -> &mut CopyText {
    into.plain(sums.captured).plain(sums.released).plain(sums.refunded)
}

fn put_deadline(deadline: Option<Deadline>, into: &mut CopyText) {
    into.option(deadline.map(|deadline| deadline.at)).option(deadline.map(|deadline| deadline.at.ns()));
}

fn put_label(now: &PaymentNow, into: &mut CopyText) {
    match &now.label {
        Some((label, positive)) => into.plain(label).bool(*positive),
        None => into.plain("\\N").plain("\\N"),
    };
}

/// The entities of payments: payment, entity and token.
pub(super) fn put_entities(rows: &[PaymentRow], into: &mut CopyText) {
    for row in rows {
        for (name, value) in &row.decided.attributes {
            if let PlainValue::Entity(token) = value {
                into.plain(row.decided.payment).plain(name).plain(token).end_row();
            }
        }
    }
}

/// Changed payments: id, status, amount, the three sums, whether there is a new deadline, the deadline twice, label, sequence.
pub(super) fn put_payments_changed(rows: &Rows, into: &mut CopyText) {
    for (payment, now) in &rows.payments_changed {
        into.plain(payment).option(now.status.map(engine::PaymentStatus::name)).option(now.amount);
        match now.sums {
            Some(sums) => put_sums(sums, into),
            None => into.plain("\\N").plain("\\N").plain("\\N"),
        };
        into.bool(now.deadline.is_some());
        put_deadline(now.deadline.flatten(), into);
        put_label(now, into);
        into.plain(now.sequence).end_row();
    }
}

pub(super) fn put_changes(rows: &Rows, into: &mut CopyText) {
    for row in &rows.changes {
        into.plain(row.sequence).plain(row.payment).plain(row.cause).plain(row.status.name());
        put_sums(row.sums, into).time(row.at).plain(row.actor).end_row();
    }
}

pub(super) fn put_labels(rows: &Rows, into: &mut CopyText) {
    for row in &rows.labels {
        into.plain(row.sequence).plain(row.payment).plain(&row.label).bool(row.positive);
        into.time(row.at).plain(row.actor).end_row();
    }
}

pub(super) fn put_ledgers(rows: &Rows, into: &mut CopyText) {
    for (sequence, book) in &rows.ledgers {
        into.plain(book.id).text(&book.asset.to_string()).time(book.opened_at).plain(book.opened_at.ns());
        into.plain(sequence).end_row();
    }
}

/// Metadata: a number that orders the rows, kind, id, key, value, sequence.
pub(super) fn put_metadata(rows: &Rows, into: &mut CopyText) {
    for (number, row) in rows.metadata.iter().enumerate() {
        let (kind, id) = match row.of {
            MetadataOf::Account(id) => ("account", id.to_string()),
            MetadataOf::Transfer(key) => ("transfer", key.to_string()),
            MetadataOf::Payment(id) => ("payment", id.to_string()),
        };
        into.plain(number).plain(kind).plain(id).text(&row.key).option(row.value.as_ref()).plain(row.sequence).end_row();
    }
}

/// Reads an account.
pub(super) fn account(row: &Row) -> Result<AccountDocument, Fault> {
    let mut columns = Columns { row, next: 0 };
    let mut document = AccountDocument {
        id: columns.get()?,
        ledger: columns.number::<i64, _>()?,
        code: columns.number::<i32, _>()?,
        flags: columns.get()?,
        user_data_128: columns.get()?,
        user_data_64: columns.get()?,
        user_data_32: columns.number::<i64, _>()?,
        opened_at: String::new(),
        opened_at_ns: columns.number::<i64, _>()?,
        debits_pending: columns.get()?,
        debits_posted: columns.get()?,
        credits_pending: columns.get()?,
        credits_posted: columns.get()?,
        min_balance: columns.get()?,
        max_balance: columns.get()?,
        address: columns.get()?,
        sequence: columns.number::<i64, _>()?,
    };
    document.opened_at = Timestamp::from_ns(document.opened_at_ns).to_string();
    Ok(document)
}

/// Reads a transfer.
pub(super) fn transfer(row: &Row) -> Result<TransferDocument, Fault> {
    let mut columns = Columns { row, next: 0 };
    let mut document = TransferDocument {
        id: columns.get()?,
        payment: columns.get()?,
        debit_account: columns.get()?,
        credit_account: columns.get()?,
        amount: columns.get()?,
        pending_id: columns.get()?,
        state: columns.get()?,
        ledger: columns.number::<i64, _>()?,
        code: columns.number::<i32, _>()?,
        flags: columns.get()?,
        user_data_128: columns.get()?,
        user_data_64: columns.get()?,
        user_data_32: columns.number::<i64, _>()?,
        timeout_s: columns.number::<i64, _>()?,
        created_at: String::new(),
        created_at_ns: columns.number::<i64, _>()?,
        sequence: columns.number::<i64, _>()?,
    };
    document.created_at = Timestamp::from_ns(document.created_at_ns).to_string();
    Ok(document)
}

/// Reads a payment.
pub(super) fn payment(row: &Row) -> Result<PaymentDocument, Fault> {
    let mut columns = Columns { row, next: 0 };
    let mut document = PaymentDocument {
        id: columns.get()?,
        r#type: columns.get()?,
        status: columns.get()?,
        ledger: columns.number::<i64, _>()?,
        amount: columns.get()?,
        captured: columns.get()?,
        released: columns.get()?,
        refunded: columns.get()?,
        verdict: columns.get()?,
        score: columns.number::<i32, _>()?,
        reasons: columns.json()?,
        tags: columns.get()?,
        attributes: columns.json()?,
        features: columns.json()?,
        models: columns.json()?,
        policy: columns.get()?,
        policy_sequence: columns.number::<i64, _>()?,
        late: columns.get()?,
        deadline: None,
        deadline_ns: columns.number_option()?,
        label: columns.get()?,
        label_positive: columns.get()?,
        actor: columns.number::<i64, _>()?,
        decided_at: String::new(),
        decided_at_ns: columns.number::<i64, _>()?,
        occurred_at: String::new(),
        occurred_at_ns: columns.number::<i64, _>()?,
        sequence: columns.number::<i64, _>()?,
        changed_sequence: columns.number::<i64, _>()?,
    };
    let text = |ns: u64| Timestamp::from_ns(ns).to_string();
    document.decided_at = text(document.decided_at_ns);
    document.occurred_at = text(document.occurred_at_ns);
    document.deadline = document.deadline_ns.map(text);
    Ok(document)
}

/// Reads the columns of a row, one after another.
pub(super) struct Columns<'r> {
    pub(super) row: &'r Row,
    pub(super) next: usize,
}

impl Columns<'_> {
    pub(super) fn get<T: for<'a> postgres::types::FromSql<'a>>(&mut self) -> Result<T, Fault> {
        let column = self.next;
        self.next += 1;
        self.row.try_get(column).map_err(|error| self.wrong(column, &error.to_string()))
    }

    fn json(&mut self) -> Result<serde_json::Value, Fault> {
        let text: String = self.get()?;
        serde_json::from_str(&text).map_err(|error| self.wrong(self.next - 1, &error.to_string()))
    }

    fn number_option(&mut self) -> Result<Option<u64>, Fault> {
        let number: Option<i64> = self.get()?;
        number.map(|number| u64::try_from(number).map_err(|_| self.wrong(self.next - 1, &number.to_string()))).transpose()
    }

    pub(super) fn number<S, T>(&mut self) -> Result<T, Fault>
    where
        S: for<'a> postgres::types::FromSql<'a> + Copy + std::fmt::Display,
        T: TryFrom<S>,
    {
        let number: S = self.get()?;
        T::try_from(number).map_err(|_| self.wrong(self.next - 1, &number.to_string()))
    }

    fn wrong(&self, column: usize, what: &str) -> Fault {
        let name = self.row.columns().get(column).map_or("?", |column| column.name());
        Fault::Contradicts(format!("column {name}: {what}"))
    }
}
