//! The statements that a connector prepares.

use scylla::client::session::Session;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::unprepared::Statement;

use super::faults::of_prepare;
use crate::tables;
use crate::target::Fault;

const SCHEMA: &str = include_str!("schema.cql");

const BY_ACCOUNT: &str = "account, month, created_at_ns, id, created_at, side, other_account, amount, payment, pending_id, state, ledger, \
     code, sequence";
const BY_ENTITY: &str = "entity, \"token\", month, decided_at_ns, payment, decided_at, type, decided_status, ledger, decided_amount, \
     verdict, score, reasons, sequence";
const CHANGE: &str = "sequence, payment, cause, status, captured, released, refunded, at, actor";
const LABEL: &str = "sequence, payment, label, positive, at, actor";
const LEDGER: &str = "id, asset, opened_at, opened_at_ns, sequence";
const METADATA: &str = "kind, id, key, value, sequence";

/// What creates the tables.
pub(super) fn schema(keyspace: &str) -> Vec<String> {
    let lines: Vec<&str> = SCHEMA.lines().filter(|line| !line.starts_with("--")).collect();
    let text = lines.join("\n").replace("{keyspace}", keyspace);
    text.split(";\n")
        .map(|statement| statement.trim().trim_end_matches(';').to_owned())
        .filter(|statement| !statement.is_empty())
        .collect()
}

/// The statements that move the cursor and read it. They are for the table `cursor` only.
#[derive(Debug)]
pub(super) struct CursorStatements {
    pub(super) create: PreparedStatement,
    pub(super) read: PreparedStatement,
    pub(super) raise: PreparedStatement,
    pub(super) advance: PreparedStatement,
}

/// The statements that read rows.
#[derive(Debug)]
pub(super) struct Reads {
    pub(super) account: PreparedStatement,
    pub(super) transfer: PreparedStatement,
    pub(super) payment: PreparedStatement,
}

/// The statements that write rows. Each ends with the timestamp.
#[derive(Debug)]
pub(super) struct Writes {
    pub(super) ledger: PreparedStatement,
    pub(super) account: PreparedStatement,
    pub(super) transfer: PreparedStatement,
    pub(super) by_account: PreparedStatement,
    pub(super) payment: PreparedStatement,
    pub(super) by_entity: PreparedStatement,
    pub(super) change: PreparedStatement,
    pub(super) label: PreparedStatement,
    pub(super) metadata: PreparedStatement,
    /// Timestamp, state, id.
    pub(super) state: PreparedStatement,
    /// Timestamp, state, account, month, creation, id.
    pub(super) state_by_account: PreparedStatement,
    /// Timestamp, what changes of a payment, id.
    pub(super) payment_changed: PreparedStatement,
}

impl CursorStatements {
    pub(super) async fn prepare(session: &Session, keyspace: &str) -> Result<Self, Fault> {
        let cursor = format!("{keyspace}.cursor");
        let insert = format!(
            "insert into {cursor} (one, origin, position, root, fence, projection, updated_at) \
             values ('copy', ?, 0, ?, 0, ?, totimestamp(now())) if not exists"
        );
        let read =
            format!("select fence, projection, origin, position, root, opening from {cursor} where one = 'copy'");
        let raise = format!("update {cursor} set fence = ? where one = 'copy' if fence = ?");
        let advance = format!(
            "update {cursor} set origin = ?, position = ?, root = ?, opening = ?, updated_at = totimestamp(now()) \
             where one = 'copy' if fence = ? and position = ? and root = ? and opening = ?"
        );
        let mut read = Statement::new(read);
        // It completes what an earlier connector had begun to write, so that this is no longer open.
        read.set_consistency(Consistency::Serial);
        read.set_is_idempotent(true);
        let (create, read, raise, advance) = tokio::try_join!(
            prepare(session, insert),
            prepare(session, read),
            prepare(session, raise),
            prepare(session, advance),
        )?;
        Ok(Self { create, read, raise, advance })
    }
}

impl Reads {
    pub(super) async fn prepare(session: &Session, keyspace: &str) -> Result<Self, Fault> {
        let by_id = async |columns: &str, table: &str| {
            // The casts are for PostgreSQL.
            let columns = columns.replace("::text", "");
            repeatable(session, format!("select {columns} from {keyspace}.{table} where id = ?")).await
        };
        // The timestamp of the amount says up to which entry it is known.
        let payment = format!("{}, writetime(amount)", tables::PAYMENT_READ);
        let (account, transfer, payment) = tokio::try_join!(
            by_id(tables::ACCOUNT_READ, "accounts"),
            by_id(tables::TRANSFER_READ, "transfers"),
            by_id(&payment, "payments"),
        )?;
        Ok(Self { account, transfer, payment })
    }
}

impl Writes {
    pub(super) async fn prepare(session: &Session, keyspace: &str) -> Result<Self, Fault> {
        let insert = async |table: &str, columns: &str| {
            let marks = vec!["?"; columns.split(',').count()].join(", ");
            let text = format!("insert into {keyspace}.{table} ({columns}) values ({marks}) using timestamp ?");
            repeatable(session, text).await
        };
        let update = async |table: &str, set: &str, key: &str| {
            let text = format!("update {keyspace}.{table} using timestamp ? set {set} where {key}");
            repeatable(session, text).await
        };
        let changed = "status = ?, captured = ?, released = ?, refunded = ?, deadline = ?, deadline_ns = ?, amount = ?, label = ?, \
             label_positive = ?, changed_sequence = ?";
        let inserts = tokio::try_join!(
            insert("ledgers", LEDGER),
            insert("accounts", tables::ACCOUNT),
            insert("transfers", tables::TRANSFER),
            insert("transfers_by_account", BY_ACCOUNT),
            insert("payments", tables::PAYMENT),
            insert("payments_by_entity", BY_ENTITY),
            insert("payment_changes", CHANGE),
            insert("labels", LABEL),
            insert("metadata", METADATA),
        );
        let (ledger, account, transfer, by_account, payment, by_entity, change, label, metadata) = inserts?;
        let in_account = "account = ? and month = ? and created_at_ns = ? and id = ?";
        let (state, state_by_account, payment_changed) = tokio::try_join!(
            update("transfers", "state = ?", "id = ?"),
            update("transfers_by_account", "state = ?", in_account),
            update("payments", changed, "id = ?"),
        )?;
        Ok(Self {
            ledger,
            account,
            transfer,
            by_account,
            payment,
            by_entity,
            change,
            label,
            metadata,
            state,
            state_by_account,
            payment_changed,
        })
    }
}

async fn prepare(session: &Session, statement: impl Into<Statement>) -> Result<PreparedStatement, Fault> {
    session.prepare(statement).await.map_err(|error| of_prepare(&error))
}

/// Prepares a statement that does the same when it is repeated, so that the client library may try again by itself.
async fn repeatable(session: &Session, text: String) -> Result<PreparedStatement, Fault> {
    let mut statement = prepare(session, text).await?;
    statement.set_is_idempotent(true);
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_cut_into_statements() {
        let statements = schema("finaira");
        assert_eq!(statements.len(), 10);
        for statement in &statements {
            assert!(statement.starts_with("create table if not exists finaira."), "{statement}");
            assert!(statement.contains("with") && !statement.contains(';'), "{statement}");
        }
        assert!(statements.last().is_some_and(|last| last.contains("finaira.cursor")), "the cursor comes last");
    }
}
