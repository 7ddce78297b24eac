//! Rows as columns, and columns as rows.

use std::str::FromStr;

use api::decisions::Decision;
use engine::{Deadline, PaymentSums, PlainValue};
use ledger::{
    Account, AccountFlags, Address, Limits, MetadataOf, PendingState, Transfer, TransferFlags, TransferKey,
};
use postgres::Row;
use types::{Amount, Code, LedgerId, Seq, Timestamp};

use super::copy_text::CopyText;
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
     attributes, features, models, policy, policy_sequence, late, deadline, label, label_positive, actor, decided_at, \
     decided_at_ns, occurred_at, sequence, changed_sequence";

/// The select list that [`account`] reads.
pub(super) const ACCOUNT_READ: &str = "id::text, ledger, code, flags, user_data_128::text, user_data_64::text, user_data_32, \
     opened_at_ns, debits_pending::text, debits_posted::text, credits_pending::text, credits_posted::text, \
     min_balance::text, max_balance::text, address, sequence";
/// The select list that [`transfer`] reads.
pub(super) const TRANSFER_READ: &str = "id, debit_account::text, credit_account::text, amount::text, pending_id, ledger, code, flags, \
     user_data_128::text, user_data_64::text, user_data_32, timeout_s, created_at_ns";

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

pub(super) const fn state_name(state: PendingState) -> &'static str {
    match state {
        PendingState::Pending => "pending",
        PendingState::Posted => "posted",
        PendingState::Voided => "voided",
        PendingState::Expired => "expired",
    }
}

pub(super) fn put_payment(row: &PaymentRow, into: &mut CopyText) {
    let PaymentRow { header, decided, policy, now } = row;
    let decision = Decision::new(header.into(), decided, policy, None);
    let decision = serde_json::to_value(&decision).unwrap_or_default();
    let json = |field: &str| decision.get(field).unwrap_or(&serde_json::Value::Null).to_string();
    let sums = now.sums.unwrap_or_default();
    into.plain(decided.payment).plain(&decided.payment_type).plain(now.status.unwrap_or(decided.status).name());
    into.plain(decided.ledger).plain(now.amount.unwrap_or(decided.amount));
    put_sums(sums, into).plain(decided.verdict.name()).plain(decided.score);
    into.text(&json("reasons")).array(decided.tags.iter().map(String::as_str));
    into.text(&json("attributes")).text(&json("features")).text(&json("models"));
    into.plain(&policy.name).plain(decided.policy).bool(decided.late);
    put_deadline(now.deadline.unwrap_or(decided.deadline), into);
    put_label(now, into);
    into.plain(header.actor).time(header.decided_at).plain(header.decided_at.ns()).time(header.occurred_at);
    into.plain(header.seq).plain(now.sequence).end_row();
}

fn put_sums(sums: PaymentSums, into: &mut CopyText) -> &mut CopyText {
    into.plain(sums.captured).plain(sums.released).plain(sums.refunded)
}

fn put_deadline(deadline: Option<Deadline>, into: &mut CopyText) {
    into.option(deadline.map(|deadline| deadline.at));
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

/// Changed payments: id, status, amount, the three sums, whether there is a new deadline, the deadline, label, sequence.
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
pub(super) fn account(row: &Row) -> Result<AccountRow, Fault> {
    let mut columns = Columns { row, next: 0 };
    let account = Account {
        id: columns.parse()?,
        ledger: LedgerId::new(columns.number::<i64, _>()?),
        code: Code::new(columns.number::<i32, _>()?),
        flags: flags(&columns.array()?, AccountFlags::ALL, AccountFlags::NONE, AccountFlags::with),
        user_data_128: columns.parse()?,
        user_data_64: columns.parse()?,
        user_data_32: columns.number::<i64, _>()?,
        timestamp: Timestamp::from_ns(columns.number::<i64, _>()?),
        debits_pending: columns.parse()?,
        debits_posted: columns.parse()?,
        credits_pending: columns.parse()?,
        credits_posted: columns.parse()?,
    };
    let limits = Limits { min_balance: columns.parse_option()?, max_balance: columns.parse_option()? };
    let (address, sequence) = (columns.parse_option()?, Seq::new(columns.number::<i64, _>()?));
    Ok(AccountRow { account, limits, address, sequence })
}

/// Reads a transfer.
pub(super) fn transfer(row: &Row) -> Result<Transfer, Fault> {
    let mut columns = Columns { row, next: 0 };
    let key: String = columns.get()?;
    Ok(Transfer {
        key: transfer_key(&key)?,
        debit: columns.parse()?,
        credit: columns.parse()?,
        amount: columns.parse::<Amount>()?,
        pending: columns.get::<Option<String>>()?.map(|key| transfer_key(&key)).transpose()?,
        ledger: LedgerId::new(columns.number::<i64, _>()?),
        code: Code::new(columns.number::<i32, _>()?),
        flags: flags(&columns.array()?, TransferFlags::ALL, TransferFlags::NONE, TransferFlags::with),
        user_data_128: columns.parse()?,
        user_data_64: columns.parse()?,
        user_data_32: columns.number::<i64, _>()?,
        timeout_s: columns.number::<i64, _>()?,
        timestamp: Timestamp::from_ns(columns.number::<i64, _>()?),
    })
}

/// Parses the name of a transfer: a client's id, or `<payment>/<number>`.
pub(super) fn transfer_key(text: &str) -> Result<TransferKey, Fault> {
    let wrong = || Fault::Contradicts(format!("`{text}` is not the id of a transfer"));
    match text.split_once('/') {
        None => text.parse().map(TransferKey::Client).map_err(|_| wrong()),
        Some((payment, number)) => match (payment.parse(), number.parse()) {
            (Ok(payment), Ok(number)) => Ok(TransferKey::Leg { payment, number }),
            _ => Err(wrong()),
        },
    }
}

fn flags<F: Copy>(names: &[String], all: &[(&str, F)], none: F, with: fn(F, F) -> F) -> F {
    let set = all.iter().filter(|(name, _)| names.iter().any(|found| found == name));
    set.fold(none, |flags, (_, flag)| with(flags, *flag))
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

    fn array(&mut self) -> Result<Vec<String>, Fault> {
        self.get()
    }

    pub(super) fn parse<T: FromStr>(&mut self) -> Result<T, Fault> {
        let text: String = self.get()?;
        text.parse().map_err(|_| self.wrong(self.next - 1, &format!("`{text}`")))
    }

    pub(super) fn parse_option<T: FromStr>(&mut self) -> Result<Option<T>, Fault> {
        let text: Option<String> = self.get()?;
        text.map(|text| text.parse().map_err(|_| self.wrong(self.next - 1, &format!("`{text}`")))).transpose()
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
