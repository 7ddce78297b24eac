//! Writes the rows of a batch.

use std::collections::BTreeMap;

use engine::PaymentSums;
use futures_util::{StreamExt as _, TryStreamExt as _};
use ledger::{MetadataOf, PendingState, Transfer, TransferKey};
use scylla::client::session::Session;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use types::{AccountId, Seq};

use super::IN_FLIGHT_MAX;
use super::faults::of_execution;
use super::statements::Writes;
use super::values::{Binder, Values, month};
use crate::documents::{PaymentDocument, state_name};
use crate::rows::{MetadataRow, PaymentNow, PaymentRow, Rows, Side, TransferRow};
use crate::tables::{self, Put as _};
use crate::target::Fault;

/// Rows that are bound at once, to bound the memory.
const ROWS_AT_ONCE: usize = 2_048;
/// Rows of a partition that are written together: at about 200 bytes each, they stay below the 5 KiB from which on Cassandra warns.
const ROWS_TOGETHER: usize = 16;

/// Writes rows, many at the same time and in any order: all have timestamps, so the order does not matter.
pub(super) struct Writer<'w> {
    pub(super) session: &'w Session,
    pub(super) statements: &'w Writes,
}

impl Writer<'_> {
    pub(super) async fn write(&self, rows: &Rows) -> Result<(), Fault> {
        let Writes { ledger, account, change, label, .. } = self.statements;
        let mut binder = Binder::stamped(ledger, "sequence", false);
        tables::put_ledgers(rows, &mut binder);
        self.execute("ledgers", ledger, binder).await?;
        for some in rows.accounts.chunks(ROWS_AT_ONCE) {
            // A limit that was taken away is a null that removes the one before.
            let mut binder = Binder::stamped(account, "sequence", true);
            some.iter().for_each(|row| tables::put_account(row, &mut binder));
            self.execute("accounts", account, binder).await?;
        }
        for some in rows.transfers.chunks(ROWS_AT_ONCE) {
            self.transfers(some).await?;
        }
        self.transfers_by_account(&rows.transfers).await?;
        let resolved = rows.resolved.iter().map(|row| (row.sequence, row.transfer, row.state));
        self.states(resolved.collect()).await?;
        for some in rows.payments.chunks(ROWS_AT_ONCE) {
            self.payments(some).await?;
        }
        self.changes(rows).await?;
        let mut binder = Binder::stamped(change, "sequence", false);
        tables::put_changes(rows, &mut binder);
        self.execute("payment_changes", change, binder).await?;
        let mut binder = Binder::stamped(label, "sequence", false);
        tables::put_labels(rows, &mut binder);
        self.execute("labels", label, binder).await?;
        self.metadata(&rows.metadata).await
    }

    async fn transfers(&self, rows: &[TransferRow]) -> Result<(), Fault> {
        let Writes { transfer, .. } = self.statements;
        let mut binder = Binder::stamped(transfer, "sequence", false);
        rows.iter().for_each(|row| tables::put_transfer(&as_created(row), &mut binder));
        self.execute("transfers", transfer, binder).await?;
        let ended = rows.iter().filter_map(|row| {
            let state = row.state.filter(|state| *state != PendingState::Pending)?;
            // The entry that resolved it is not known here. Any timestamp after the creation will do, because a state that is not `pending`
            // never changes.
            Some((row.sequence.next(), row.transfer, state))
        });
        self.states(ended.collect()).await
    }

    /// Writes each transfer as both of its accounts see it. Rows of the same partition are sent together, which the server stores as one write.
    async fn transfers_by_account(&self, rows: &[TransferRow]) -> Result<(), Fault> {
        let statement = &self.statements.by_account;
        let sides = rows.iter().flat_map(|row| [(row, Side::Debit), (row, Side::Credit)]);
        let mut sides: Vec<_> = sides.map(|(row, side)| (side.account(&row.transfer), row, side)).collect();
        sides.sort_by_key(|(account, row, _)| (*account, row.transfer.timestamp));
        for some in sides.chunks(ROWS_AT_ONCE) {
            let mut binder = Binder::stamped(statement, "sequence", false);
            let mut lengths = Vec::new();
            let is_one = |a: &(AccountId, &TransferRow, Side), b: &(AccountId, &TransferRow, Side)| {
                a.0 == b.0 && month(a.1.transfer.timestamp) == month(b.1.transfer.timestamp)
            };
            for together in some.chunk_by(is_one).flat_map(|partition| partition.chunks(ROWS_TOGETHER)) {
                lengths.push(together.len());
                together.iter().for_each(|(_, row, side)| put_by_account(&as_created(row), *side, &mut binder));
            }
            self.execute_together("transfers_by_account", statement, binder, &lengths).await?;
        }
        Ok(())
    }

    /// Writes what became of pending transfers.
    async fn states(&self, ended: Vec<(Seq, Transfer, PendingState)>) -> Result<(), Fault> {
        let Writes { state, state_by_account, .. } = self.statements;
        for some in ended.chunks(ROWS_AT_ONCE) {
            let (mut by_id, mut wide) = (Binder::new(state), Binder::new(state_by_account));
            for (sequence, transfer, state) in some {
                let state = state_name(*state);
                by_id.number(sequence).plain(state).plain(transfer.key).end_row();
                for side in [Side::Debit, Side::Credit] {
                    wide.number(sequence).plain(state).plain(side.account(transfer));
                    wide.plain(month(transfer.timestamp)).number(transfer.timestamp.ns()).plain(transfer.key).end_row();
                }
            }
            self.execute("transfers", state, by_id).await?;
            self.execute("transfers_by_account", state_by_account, wide).await?;
        }
        Ok(())
    }

    async fn payments(&self, rows: &[PaymentRow]) -> Result<(), Fault> {
        let Writes { payment, by_entity, .. } = self.statements;
        let mut binder = Binder::stamped(payment, "changed_sequence", false);
        let mut wide = Binder::stamped(by_entity, "sequence", false);
        for row in rows {
            // As the entry decided it. What later entries of the batch changed follows, with their sequence.
            let row = as_decided(row);
            tables::put_payment(&row, &mut binder);
            put_by_entity(&row, &mut wide);
        }
        self.execute("payments", payment, binder).await?;
        self.execute("payments_by_entity", by_entity, wide).await
    }

    /// Writes what changed of payments after their decision.
    async fn changes(&self, rows: &Rows) -> Result<(), Fault> {
        let statement = &self.statements.payment_changed;
        let in_batch = rows.payments.iter().filter(|row| row.now.sequence > row.header.seq);
        let in_batch = in_batch.map(|row| (row.decided.payment, &row.now));
        let changed = rows.payments_changed.iter().map(|(payment, now)| (*payment, now));
        let all: Vec<_> = in_batch.chain(changed).collect();
        for some in all.chunks(ROWS_AT_ONCE) {
            let mut binder = Binder::new(statement);
            for (payment, now) in some {
                binder.number(now.sequence);
                put_now(now, &mut binder);
                binder.number(now.sequence).plain(payment).end_row();
            }
            self.execute("payments", statement, binder).await?;
        }
        Ok(())
    }

    async fn metadata(&self, rows: &[MetadataRow]) -> Result<(), Fault> {
        let statement = &self.statements.metadata;
        // The last row of a key counts.
        let newest: BTreeMap<(MetadataOf, &str), &MetadataRow> =
            rows.iter().map(|row| ((row.of, row.key.as_str()), row)).collect();
        let mut binder = Binder::stamped(statement, "sequence", true);
        for row in newest.into_values() {
            let (kind, id) = match row.of {
                MetadataOf::Account(id) => ("account", id.to_string()),
                MetadataOf::Transfer(key) => ("transfer", key.to_string()),
                MetadataOf::Payment(id) => ("payment", id.to_string()),
            };
            binder.plain(kind).text(&id).text(&row.key).option(row.value.as_ref()).number(row.sequence).end_row();
        }
        self.execute("metadata", statement, binder).await
    }

    /// Executes a statement for groups of rows of the same partition, of these lengths and in their order.
    async fn execute_together(
        &self,
        table: &str,
        statement: &PreparedStatement,
        binder: Binder,
        lengths: &[usize],
    ) -> Result<(), Fault> {
        let in_table = |fault| in_table(table, fault);
        let mut rows = binder.into_rows().map_err(in_table)?.into_iter();
        let groups: Vec<Vec<Values>> = lengths.iter().map(|length| rows.by_ref().take(*length).collect()).collect();
        let executed = futures_util::stream::iter(groups)
            .map(async |group| self.session.batch(&batch(statement, group.len()), group).await)
            .buffer_unordered(IN_FLIGHT_MAX);
        let mut executed = executed.map_err(|error| in_table(of_execution(&error)));
        while executed.try_next().await?.is_some() {}
        Ok(())
    }

    async fn execute(&self, table: &str, statement: &PreparedStatement, binder: Binder) -> Result<(), Fault> {
        let in_table = |fault| in_table(table, fault);
        let rows: Vec<Values> = binder.into_rows().map_err(in_table)?;
        let executed = futures_util::stream::iter(rows)
            .map(async |values| self.session.execute_unpaged(statement, values).await)
            .buffer_unordered(IN_FLIGHT_MAX);
        let mut executed = executed.map_err(|error| in_table(of_execution(&error)));
        while executed.try_next().await?.is_some() {}
        Ok(())
    }
}

/// A fault that names the table.
fn in_table(table: &str, fault: Fault) -> Fault {
    match fault {
        Fault::Refused(what) => Fault::Refused(format!("{what}; table: {table}")),
        Fault::Unreachable(_) | Fault::Fenced | Fault::Moved { .. } | Fault::Contradicts(_) => fault,
    }
}

/// A batch that executes a statement so many times. It is not logged, because all of its rows are in one partition.
fn batch(statement: &PreparedStatement, length: usize) -> Batch {
    let mut batch = Batch::new(BatchType::Unlogged);
    for _ in 0..length {
        batch.append_statement(statement.clone());
    }
    batch.set_is_idempotent(true);
    batch
}

/// A transfer as the entry created it: whether later entries of the batch resolve it depends on where batches end.
fn as_created(row: &TransferRow) -> TransferRow {
    TransferRow { state: row.state.map(|_| PendingState::Pending), ..*row }
}

/// A payment as the entry decided it.
fn as_decided(row: &PaymentRow) -> PaymentRow {
    let decided = &row.decided;
    let now = PaymentNow {
        status: Some(decided.status),
        amount: Some(decided.amount),
        sums: Some(PaymentSums::at_decision(decided.amount, decided.status)),
        deadline: Some(decided.deadline),
        label: None,
        sequence: row.header.seq,
    };
    PaymentRow { now, ..row.clone() }
}

/// What changed of a payment: status, sums, deadline, amount, label. What did not change stays unset.
fn put_now(now: &PaymentNow, into: &mut Binder) {
    match (now.status, now.sums) {
        (Some(status), Some(sums)) => {
            into.plain(status.name()).number(sums.captured).number(sums.released).number(sums.refunded)
        }
        _ => into.unset().unset().unset().unset(),
    };
    match now.deadline {
        Some(Some(deadline)) => into.time(deadline.at).number(deadline.at.ns()),
        Some(None) => into.null().null(),
        None => into.unset().unset(),
    };
    match now.amount {
        Some(amount) => into.number(amount),
        None => into.unset(),
    };
    match &now.label {
        Some((label, positive)) => into.plain(label).bool(*positive),
        None => into.unset().unset(),
    };
}

/// A transfer as its account sees it.
fn put_by_account(row: &TransferRow, side: Side, into: &mut Binder) {
    let TransferRow { transfer, state, sequence } = row;
    let (name, other) = match side {
        Side::Debit => ("debit", Side::Credit),
        Side::Credit => ("credit", Side::Debit),
    };
    let payment = match transfer.key {
        TransferKey::Leg { payment, .. } => Some(payment),
        TransferKey::Client(_) => None,
    };
    into.plain(side.account(transfer)).plain(month(transfer.timestamp)).number(transfer.timestamp.ns());
    into.plain(transfer.key).time(transfer.timestamp).plain(name).plain(other.account(transfer));
    into.number(transfer.amount).option(payment).option(transfer.pending).option(state.map(state_name));
    into.number(transfer.ledger).number(transfer.code).number(sequence).end_row();
}

/// A payment as each of its entities sees it.
fn put_by_entity(row: &PaymentRow, into: &mut Binder) {
    let PaymentRow { header, decided, .. } = row;
    let mut reasons = None;
    for (name, token) in row.entities() {
        let reasons = reasons.get_or_insert_with(|| PaymentDocument::from(row).reasons);
        into.plain(name).plain(token).plain(month(header.decided_at)).number(header.decided_at.ns());
        into.plain(decided.payment).time(header.decided_at).plain(&decided.payment_type);
        into.plain(decided.status.name()).number(decided.ledger).number(decided.amount);
        into.plain(decided.verdict.name()).number(decided.score).json(reasons).number(header.seq).end_row();
    }
}
