//! MySQL and MariaDB: the tables that PostgreSQL has too.
//!
//! A batch is one transaction. Its first statement moves the cursor, if the cursor is where this connector left it and no other connector
//! raised the fence; the row stays locked until the transaction ends. Rows are written many at once. Changed rows go into a temporary
//! table, from which one statement changes all of them.
//!
//! The statements are those that MySQL 8 and MariaDB 10.6 have in common.

mod columns;
mod faults;
mod values;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use ledger::MetadataOf;
use mysql::consts::CapabilityFlags;
use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder, Row, Transaction, TxOpts};
use serde::Deserialize;
use types::Seq;

use crate::batch::Batch;
use crate::cursor::Cursor;
use crate::documents::{Documents, state_name};
use crate::rows::{MetadataRow, Rows};
use crate::source::hex;
use crate::tables::{self, Put as _, Take as _};
use crate::target::{Counts, Fault, Needs, Target, Wanted, confirmed};
use crate::targets::secret;
use columns::Columns;
use faults::fault;
use values::Values;

/// The version of the tables. A copy with another one is rebuilt beside it, in another database.
const PROJECTION: u32 = 1;
const SCHEMA: &str = include_str!("schema.sql");
const INCOMING: &str = include_str!("incoming.sql");
/// How long the server's machine may leave a packet without an answer.
const UNANSWERED_MAX: Duration = Duration::from_secs(30);
/// Most bytes of a statement that inserts rows, unless the server takes less or one row is longer.
const STATEMENT_BYTES_MAX: usize = 1 << 20;
/// Rows that are read at once. From 1,000 on, MariaDB makes a table of the ids first.
const IDS_AT_ONCE: usize = 900;
/// What the statements rely on, whatever the server's defaults are.
const SESSION: [&str; 3] = [
    "set names utf8mb4",
    "set session transaction isolation level repeatable read",
    "set session sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', session autocommit = 1, session sql_safe_updates = 0, \
     session innodb_lock_wait_timeout = 90",
];

/// The statements that change rows of earlier batches. They read the temporary table first, whatever the server guesses about its size.
const CHANGE_TRANSFERS: &str = "update transfers_in i straight_join transfers t on t.id = i.id set t.state = i.state";
const CHANGE_PAYMENTS: &str = "update payments_in i straight_join payments p on p.id = i.id set \
     p.status = coalesce(i.status, p.status), p.amount = coalesce(i.amount, p.amount), \
     p.captured = coalesce(i.captured, p.captured), p.released = coalesce(i.released, p.released), \
     p.refunded = coalesce(i.refunded, p.refunded), p.deadline = if(i.has_deadline, i.deadline, p.deadline), \
     p.deadline_ns = if(i.has_deadline, i.deadline_ns, p.deadline_ns), p.label = coalesce(i.label, p.label), \
     p.label_positive = coalesce(i.label_positive, p.label_positive), p.changed_sequence = i.sequence";
const CHANGE_METADATA: [&str; 2] = [
    "delete m from metadata_in i straight_join metadata m on m.kind = i.kind and m.id = i.id and m.`key` = i.`key`",
    "insert into metadata (kind, id, `key`, value, sequence) \
     select kind, id, `key`, value, sequence from metadata_in where value is not null",
];

/// The settings of this kind of target.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The address, with the database that holds the tables: `mysql://user@host:port/database`. The database is created if it does not exist.
    url: String,
    /// A file whose first line is the password, unless the address has it.
    password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    password_env: Option<String>,
}

/// Makes a target that is not connected yet.
pub(crate) fn make(table: toml::Table) -> Result<Box<dyn Target>, String> {
    let settings: Settings = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    Ok(Box::new(Mysql::new(&settings)?))
}

/// A database of a server.
struct Mysql {
    opts: Opts,
    database: String,
    conn: Option<Conn>,
    fence: u64,
    /// The bytes after which a statement that inserts rows ends.
    statement_bytes: usize,
}

impl std::fmt::Debug for Mysql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mysql").field("database", &self.database).field("fence", &self.fence).finish_non_exhaustive()
    }
}

impl Mysql {
    /// A target that is not connected yet.
    ///
    /// # Errors
    /// When the address or the name of the database is malformed. The message does not contain the password.
    fn new(settings: &Settings) -> Result<Self, String> {
        let opts = Opts::from_url(&settings.url).map_err(|error| format!("the address is malformed: {error}"))?;
        let database = opts.get_db_name().unwrap_or_default().to_owned();
        let is_name =
            database.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
        if !is_name || database.is_empty() || database.len() > 64 {
            return Err(format!(
                "found the database `{database}` in the address, expected 1 to 64 lower-case letters, digits and underscores"
            ));
        }
        let password = secret(settings.password_file.as_deref(), settings.password_env.as_deref(), "password")?;
        let password =
            password.map(|password| password.reveal().to_owned()).or_else(|| opts.get_pass().map(str::to_owned));
        let unanswered_ms = u32::try_from(UNANSWERED_MAX.as_millis()).unwrap_or(u32::MAX);
        let opts = OptsBuilder::from_opts(opts)
            // The database may have to be created first.
            .db_name(None::<String>)
            .pass(password)
            .init(SESSION.to_vec())
            // An update says how many rows it found, and not how many it changed.
            .additional_capabilities(CapabilityFlags::CLIENT_FOUND_ROWS)
            // The address says where the server is. Its own socket may be in a folder that is hidden from this process.
            .prefer_socket(false)
            .tcp_connect_timeout(Some(UNANSWERED_MAX))
            .tcp_keepalive_time_ms(Some(unanswered_ms));
        #[cfg(target_os = "linux")]
        let opts = opts.tcp_user_timeout_ms(Some(unanswered_ms));
        Ok(Self { opts: opts.into(), database, conn: None, fence: 0, statement_bytes: STATEMENT_BYTES_MAX })
    }

    fn conn(&mut self) -> Result<&mut Conn, Fault> {
        self.conn.as_mut().ok_or_else(|| Fault::Unreachable("the connection is closed".to_owned()))
    }

    fn connect(&self) -> Result<Conn, Fault> {
        Conn::new(self.opts.clone()).map_err(|error| fault(&error))
    }

    /// Connects, creates the tables and raises the fence.
    fn take_over(&mut self) -> Result<(Conn, u64, Cursor), Fault> {
        let mut conn = self.connect()?;
        let mut server = one_row(&mut conn, "select version(), @@max_allowed_packet")?;
        let exact = if server.text()?.contains("MariaDB") { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
        self.statement_bytes = (server.number::<usize>()? / 2).min(STATEMENT_BYTES_MAX);
        execute(&mut conn, &format!("create database if not exists {}", self.database))?;
        execute(&mut conn, &format!("use {}", self.database))?;
        for statement in statements(SCHEMA, exact).into_iter().chain(statements(INCOMING, exact)) {
            execute(&mut conn, &statement)?;
        }
        let start = Cursor::start();
        let mut transaction = conn.start_transaction(TxOpts::default()).map_err(|error| fault(&error))?;
        let insert = "insert into `cursor` (one, origin, position, root, fence, projection, updated_at) \
             values (1, ?, 0, ?, 0, ?, utc_timestamp(6)) on duplicate key update one = one";
        let inserted = transaction.exec_drop(insert, (start.origin_text(), hex(&start.root), PROJECTION));
        inserted.map_err(|error| fault(&error))?;
        execute(&mut transaction, "update `cursor` set fence = fence + 1 where one = 1")?;
        let select = "select fence, projection, origin, position, root, opening from `cursor` where one = 1";
        let mut row = one_row(&mut transaction, select)?;
        let (fence, projection): (u64, u32) = (row.number()?, row.number()?);
        if projection != PROJECTION {
            let what = format!(
                "database {} has version {projection} of the tables, and this release writes version {PROJECTION}; name another database, and drop this one when the new copy is whole",
                self.database
            );
            return Err(Fault::Refused(what));
        }
        let cursor = tables::cursor(&mut row)?;
        transaction.commit().map_err(|error| fault(&error))?;
        Ok((conn, fence, cursor))
    }
}

/// The statements in a text, with the name of the collation.
fn statements(text: &str, exact: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
    let text = lines.join("\n").replace("{exact}", exact);
    text.split(";\n")
        .map(|statement| statement.trim().trim_end_matches(';').to_owned())
        .filter(|statement| !statement.is_empty())
        .collect()
}

impl Target for Mysql {
    fn open(&mut self) -> Result<Cursor, Fault> {
        self.conn = None;
        let (conn, fence, cursor) = self.take_over()?;
        (self.conn, self.fence) = (Some(conn), fence);
        Ok(cursor)
    }

    fn needs(&self) -> Needs {
        Needs::Rows
    }

    fn load(&mut self, wanted: &Wanted) -> Result<Documents, Fault> {
        let conn = self.conn()?;
        Ok(Documents {
            accounts: read(conn, tables::ACCOUNT_READ, "accounts", &wanted.accounts, tables::account)?,
            transfers: read(conn, tables::TRANSFER_READ, "transfers", &wanted.transfers, tables::transfer)?,
            payments: read(conn, tables::PAYMENT_READ, "payments", &wanted.payments, tables::payment)?,
        })
    }

    fn write(&mut self, batch: &Batch, before: &Cursor, after: &Cursor) -> Result<(), Fault> {
        let (fence, statement_bytes) = (self.fence, self.statement_bytes);
        let conn = self.conn()?;
        // Whoever holds the cursor's row and does not go on would lock others out.
        execute(conn, "set session wait_timeout = 60")?;
        let mut transaction = conn.start_transaction(TxOpts::default()).map_err(|error| fault(&error))?;
        let move_cursor = "update `cursor` set origin = ?, position = ?, root = ?, opening = ?, updated_at = utc_timestamp(6) \
             where one = 1 and fence = ? and position = ? and root = ? and opening <=> ?";
        let moved = transaction.exec_drop(
            move_cursor,
            (
                after.origin_text(),
                after.position.get(),
                hex(&after.root),
                after.opening.map(Seq::get),
                fence,
                before.position.get(),
                hex(&before.root),
                before.opening.map(Seq::get),
            ),
        );
        moved.map_err(|error| fault(&error))?;
        if transaction.affected_rows() == 0 {
            // The root or the opening differs if the fence and the position do not.
            let found = confirm(&mut transaction, fence, before);
            return found.and(Err(Fault::Moved { found: before.position, expected: before.position }));
        }
        Writer { transaction: &mut transaction, statement_bytes }.write(&batch.rows)?;
        transaction.commit().map_err(|error| fault(&error))?;
        execute(conn, "set session wait_timeout = default")
    }

    fn confirm(&mut self, cursor: &Cursor) -> Result<(), Fault> {
        let fence = self.fence;
        confirm(self.conn()?, fence, cursor)
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        let mut conn = self.connect()?;
        let exists = "select count(*) from information_schema.tables where table_name = 'cursor' and table_schema = ";
        if one_row(&mut conn, &format!("{exists}'{}'", self.database))?.number::<u64>()? == 0 {
            return Ok(None);
        }
        execute(&mut conn, &format!("use {}", self.database))?;
        // All reads that follow on this connection see the same moment.
        execute(&mut conn, "start transaction with consistent snapshot, read only")?;
        let select = "select origin, position, root, opening, (select count(*) from accounts), (select count(*) from transfers), \
             (select count(*) from payments) from `cursor`";
        let row: Option<Row> = conn.query_first(select).map_err(|error| fault(&error))?;
        let Some(mut row) = row.map(Columns::new) else { return Ok(None) };
        let cursor = tables::cursor(&mut row)?;
        let counts =
            Counts { accounts: row.number()?, transfers: row.number()?, payments: row.number()?, ..Counts::default() };
        self.conn = Some(conn);
        Ok(Some((cursor, counts)))
    }
}

/// Compares fence and position.
fn confirm(conn: &mut impl Queryable, fence: u64, cursor: &Cursor) -> Result<(), Fault> {
    let mut row = one_row(conn, "select fence, position from `cursor`")?;
    confirmed((row.number()?, row.number()?), fence, cursor)
}

fn execute(conn: &mut impl Queryable, sql: &str) -> Result<(), Fault> {
    conn.query_drop(sql).map_err(|error| fault(&error))
}

/// Reads the only row of a result.
fn one_row(conn: &mut impl Queryable, sql: &str) -> Result<Columns, Fault> {
    let row: Option<Row> = conn.query_first(sql).map_err(|error| fault(&error))?;
    row.map(Columns::new).ok_or_else(|| Fault::Contradicts("a row is missing".to_owned()))
}

/// Reads rows by their ids.
fn read<I: Display, T>(
    conn: &mut Conn,
    columns: &str,
    table: &str,
    ids: &[I],
    document: impl Fn(&mut Columns) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    // The server sends all values as texts anyway.
    let columns = columns.replace("::text", "");
    let mut found = Vec::new();
    for some in ids.chunks(IDS_AT_ONCE) {
        let some: Vec<String> = some.iter().map(|id| format!("'{id}'")).collect();
        let rows: Vec<Row> = conn
            .query(format!("select {columns} from {table} where id in ({})", some.join(",")))
            .map_err(|error| fault(&error))?;
        for row in rows {
            found.push(document(&mut Columns::new(row))?);
        }
    }
    Ok(found)
}

/// Writes the rows of a batch in its transaction.
struct Writer<'w, 't> {
    transaction: &'w mut Transaction<'t>,
    statement_bytes: usize,
}

impl Writer<'_, '_> {
    fn write(&mut self, rows: &Rows) -> Result<(), Fault> {
        self.insert("ledgers", "", "", |text| tables::put_ledgers(rows, text))?;
        let set = tables::ACCOUNT.split(", ").map(str::trim).filter(|column| *column != "id");
        let set: Vec<String> = set.map(|column| format!("{column} = values({column})")).collect();
        let set = format!(" on duplicate key update {}", set.join(", "));
        self.insert("accounts", tables::ACCOUNT, &set, |text| {
            rows.accounts.iter().for_each(|row| tables::put_account(row, text));
        })?;
        self.insert("transfers", tables::TRANSFER, "", |text| {
            rows.transfers.iter().for_each(|row| tables::put_transfer(row, text));
        })?;
        let put = |text: &mut Values| {
            for row in &rows.resolved {
                text.plain(row.key).plain(state_name(row.state)).end_row();
            }
        };
        self.change("transfers_in", put, &[CHANGE_TRANSFERS])?;
        self.insert("payments", tables::PAYMENT, "", |text| {
            rows.payments.iter().for_each(|row| tables::put_payment(row, text));
        })?;
        self.insert("payment_entities", "", "", |text| tables::put_entities(&rows.payments, text))?;
        self.change("payments_in", |text| tables::put_payments_changed(rows, text), &[CHANGE_PAYMENTS])?;
        self.insert("payment_changes", "", "", |text| tables::put_changes(rows, text))?;
        self.insert("labels", "", "", |text| tables::put_labels(rows, text))?;
        // The last row of a key counts.
        let newest = rows.metadata.iter().map(|row| ((row.of, row.key.as_str()), row));
        let newest: BTreeMap<(MetadataOf, &str), &MetadataRow> = newest.collect();
        let put = |text: &mut Values| tables::put_metadata(newest.into_values(), text);
        self.change("metadata_in", put, &CHANGE_METADATA)
    }

    /// Inserts rows into a table.
    fn insert(&mut self, table: &str, columns: &str, tail: &str, put: impl FnOnce(&mut Values)) -> Result<(), Fault> {
        let mut values = Values::new(table, columns, tail, self.statement_bytes);
        put(&mut values);
        self.execute(table, values.into_statements())
    }

    /// Fills a temporary table, and executes the statements that take over what is in it. Does nothing if there are no rows.
    fn change(&mut self, table: &str, put: impl FnOnce(&mut Values), changes: &[&str]) -> Result<(), Fault> {
        let mut values = Values::new(table, "", "", self.statement_bytes);
        put(&mut values);
        let inserts = values.into_statements();
        if inserts.is_empty() {
            return Ok(());
        }
        // The rows of the batch before are still there.
        let all = std::iter::once(format!("delete from {table}")).chain(inserts);
        self.execute(table, all.chain(changes.iter().map(|change| (*change).to_owned())))
    }

    fn execute(&mut self, table: &str, statements: impl IntoIterator<Item = String>) -> Result<(), Fault> {
        let mut statements = statements.into_iter();
        statements
            .try_for_each(|statement| execute(self.transaction, &statement))
            .map_err(|fault| in_table(fault, table))
    }
}

/// Adds to a refusal which table the rows are for, because most messages name only the column.
fn in_table(fault: Fault, table: &str) -> Fault {
    match fault {
        Fault::Refused(what) => Fault::Refused(format!("{what}; table: {}", table.trim_end_matches("_in"))),
        other @ (Fault::Unreachable(_) | Fault::Fenced | Fault::Moved { .. } | Fault::Contradicts(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_cut_into_statements() {
        let statements: Vec<String> =
            [SCHEMA, INCOMING].iter().flat_map(|text| statements(text, "utf8mb4_bin")).collect();
        assert_eq!(statements.len(), 12);
        for statement in statements {
            assert!(statement.starts_with("create t") && statement.contains("engine = InnoDB"), "{statement}");
            assert!(!statement.contains('{') || statement.contains("[{\"name\""), "{statement}");
        }
    }

    #[test]
    fn settings_are_checked() {
        let made = |text: &str| make(toml::from_str(text).expect("TOML")).map(|target| format!("{target:?}"));
        let shown = made("url = 'mysql://finaira:secret@db.internal/reports'").expect("a target");
        assert!(shown.contains("reports") && !shown.contains("secret"), "{shown}");
        for (wrong, expected) in [
            ("url = 'mysql://finaira:secret@db.internal'", "the database ``"),
            ("url = 'mysql://finaira:secret@db.internal/a`b'", "the database"),
            ("url = 'postgresql://finaira:secret@db.internal/reports'", "malformed"),
            ("url = 'mysql://finaira:secret@db.internal/reports?ssl=1'", "malformed"),
            ("url = 'mysql://finaira:secret@db.internal/reports'\nschema = 'x'", "schema"),
            ("url = 'mysql://finaira@db.internal/reports'\npassword_file = 'a'\npassword_env = 'b'", "found both"),
        ] {
            let said = made(wrong).expect_err(wrong);
            assert!(said.contains(expected) && !said.contains("secret"), "{said}");
        }
    }
}
