//! Apache Cassandra: wide tables, each for one kind of question.
//!
//! Rows are written before the cursor, many at the same time. Each is written with the sequence of its entry as the timestamp, and Cassandra keeps the
//! value with the highest timestamp, column by column. So a batch that was written in part is simply written again, and a write of an earlier
//! connector that arrives late changes nothing. No row is read in order to be written, nothing is deleted, and there are no counters.
//!
//! Only the cursor is moved by a lightweight transaction, once a batch. It compares the fence and the cursor.

mod faults;
mod statements;
mod values;
mod writer;

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::frame::types::SerialConsistency;
use scylla::serialize::row::SerializeRow;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::unprepared::Statement;
use scylla::value::{CqlValue, Row};
use serde::Deserialize;

use crate::batch::Batch;
use crate::cursor::Cursor;
use crate::documents::{Documents, PaymentDocument};
use crate::runtime::{Blocking, answered};
use crate::source::hex;
use crate::tables::{self, Take as _};
use crate::target::{Counts, Fault, Needs, Target, Wanted, confirmed};
use crate::targets::secret;
use faults::{of_execution, of_pages, of_row, of_session};
use statements::{CursorStatements, Reads, Writes, schema};
use values::Columns;
use writer::Writer;

/// The version of the tables. A copy with another one is rebuilt beside it, in another keyspace.
const PROJECTION: i32 = 1;
/// How long the nodes may leave a request without an answer.
const UNANSWERED_MAX: Duration = Duration::from_secs(30);
/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Most statements that are on their way at the same time. More only wait in the nodes.
const IN_FLIGHT_MAX: usize = 256;
/// Entries in a batch, unless the configuration says otherwise.
const BATCH_ENTRIES: usize = 65_536;
/// Rows in a page of a result.
const PAGE_ROWS: i32 = 5_000;

/// The settings of this kind of target.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Some of the nodes, as `host:port` with commas between them. The others are found through them.
    nodes: String,
    /// The keyspace that holds the tables. It is created if it does not exist.
    #[serde(default = "default_keyspace")]
    keyspace: String,
    /// Copies of each row in each datacenter, for a keyspace that is created.
    #[serde(default = "default_replication")]
    replication: u16,
    user: Option<String>,
    /// A file whose first line is the password of the user.
    password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    password_env: Option<String>,
}

fn default_keyspace() -> String {
    "finaira".to_owned()
}

const fn default_replication() -> u16 {
    3
}

/// Makes a target that is not connected yet.
pub(crate) fn make(table: toml::Table) -> Result<Box<dyn Target>, String> {
    let settings: Settings = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let Settings { nodes, keyspace, replication, user, .. } = &settings;
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let begins = keyspace.starts_with(|letter: char| letter.is_ascii_lowercase());
    if !begins || keyspace.len() > 48 || !keyspace.chars().all(fits) {
        return Err(format!(
            "found the keyspace `{keyspace}`, expected 1 to 48 lower-case letters, digits and underscores, with a letter first"
        ));
    }
    let nodes: Vec<String> = nodes.split(',').map(|node| node.trim().to_owned()).collect();
    let is_address = |node: &String| {
        node.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if !nodes.iter().all(is_address) {
        return Err(format!("found the nodes `{}`, expected host:port with commas between them", settings.nodes));
    }
    if *replication == 0 {
        return Err("found `replication` 0, expected at least 1".to_owned());
    }
    let password = secret(settings.password_file.as_deref(), settings.password_env.as_deref(), "password")?;
    let login = match (user, password) {
        (Some(user), Some(password)) => Some((user.clone(), password.reveal().to_owned())),
        (None, None) => None,
        (Some(_), None) => return Err("found a user, but neither `password_file` nor `password_env`".to_owned()),
        (None, Some(_)) => return Err("found a password, but no `user`".to_owned()),
    };
    let (keyspace, replication) = (keyspace.clone(), *replication);
    Ok(Box::new(Cassandra { nodes, keyspace, replication, login, connection: None, fence: 0 }))
}

/// A keyspace of a cluster.
struct Cassandra {
    nodes: Vec<String>,
    keyspace: String,
    replication: u16,
    /// User and password.
    login: Option<(String, String)>,
    connection: Option<Connection>,
    fence: u64,
}

impl std::fmt::Debug for Cassandra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cassandra")
            .field("keyspace", &self.keyspace)
            .field("fence", &self.fence)
            .finish_non_exhaustive()
    }
}

/// A session with what it prepared. The fields are dropped in this order.
struct Connection {
    session: Session,
    cursors: CursorStatements,
    reads: Reads,
    /// Only a connector that took the target over writes.
    writes: Option<Writes>,
    blocking: Blocking,
}

impl Cassandra {
    fn connection(&self) -> Result<&Connection, Fault> {
        self.connection.as_ref().ok_or_else(|| Fault::Unreachable("the connection is closed".to_owned()))
    }

    async fn session(&self) -> Result<Session, Fault> {
        let profile = ExecutionProfile::builder()
            // A majority of all nodes that have the row: what one of them acknowledged, the next connector reads.
            .consistency(Consistency::Quorum)
            .serial_consistency(Some(SerialConsistency::Serial))
            .request_timeout(Some(UNANSWERED_MAX))
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&self.nodes)
            .connection_timeout(CONNECT_MAX)
            .pool_size(PoolSize::default())
            .default_execution_profile_handle(profile.into_handle());
        if let Some((user, password)) = &self.login {
            builder = builder.user(user, password);
        }
        answered(UNANSWERED_MAX, async { builder.build().await.map_err(|error| of_session(&error)) }).await
    }

    /// Whether the tables are there.
    async fn has_tables(&self, session: &Session) -> Result<bool, Fault> {
        let select = "select table_name from system_schema.tables where keyspace_name = ? and table_name = 'cursor'";
        let found = session.query_unpaged(select, (self.keyspace.as_str(),)).await;
        let found = found.map_err(|error| of_execution(&error))?.into_rows_result();
        Ok(found.map_err(|error| Fault::Unreachable(error.to_string()))?.rows_num() > 0)
    }

    async fn create_tables(&self, session: &Session) -> Result<(), Fault> {
        let keyspace = format!(
            "create keyspace if not exists {} with replication = {{'class': 'NetworkTopologyStrategy', 'replication_factor': {}}}",
            self.keyspace, self.replication
        );
        for statement in std::iter::once(keyspace).chain(schema(&self.keyspace)) {
            let done = async { session.query_unpaged(statement, ()).await.map_err(|error| of_execution(&error)) };
            answered(UNANSWERED_MAX, done).await?;
        }
        Ok(())
    }

    /// Connects, creates the tables and raises the fence.
    fn take_over(&self) -> Result<(Connection, u64, Cursor), Fault> {
        let blocking = Blocking::new()?;
        let (session, cursors, reads, writes, fence, cursor) = blocking.wait(async {
            let session = self.session().await?;
            if !self.has_tables(&session).await? {
                self.create_tables(&session).await?;
            }
            let cursors = CursorStatements::prepare(&session, &self.keyspace).await?;
            let (fence, cursor) = self.raise(&session, &cursors).await?;
            let reads = Reads::prepare(&session, &self.keyspace).await?;
            let writes = Writes::prepare(&session, &self.keyspace).await?;
            Ok((session, cursors, reads, writes, fence, cursor))
        })?;
        Ok((Connection { session, cursors, reads, writes: Some(writes), blocking }, fence, cursor))
    }

    /// Raises the fence, and returns it with the cursor.
    async fn raise(&self, session: &Session, statements: &CursorStatements) -> Result<(u64, Cursor), Fault> {
        let start = Cursor::start();
        let first = (start.origin_text(), hex(&start.root), PROJECTION);
        if read_cursor(session, &statements.read).await?.is_none() {
            is_applied(session, &statements.create, first).await?;
        }
        let gone = || Fault::Unreachable("somebody deleted the cursor just now".to_owned());
        let mut found = read_cursor(session, &statements.read).await?.ok_or_else(gone)?;
        let (before, projection): (u64, i64) = (found.number()?, found.number()?);
        if projection != i64::from(PROJECTION) {
            let what = format!(
                "keyspace {} has version {projection} of the tables, and this release writes version {PROJECTION}; name another keyspace, and drop this one when the new copy is whole",
                self.keyspace
            );
            return Err(Fault::Refused(what));
        }
        let fence = before.saturating_add(1);
        if !is_applied(session, &statements.raise, (integer(fence)?, integer(before)?)).await? {
            return Err(Fault::Unreachable("another connector took the target over at the same moment".to_owned()));
        }
        // An earlier connector can no longer move the cursor. It may have done so before the fence was raised.
        let mut found = read_cursor(session, &statements.read).await?.ok_or_else(gone)?;
        if found.number::<u64>()? != fence {
            return Err(Fault::Unreachable("another connector took the target over at the same moment".to_owned()));
        }
        found.number::<u64>()?;
        Ok((fence, tables::cursor(&mut found)?))
    }
}

impl Connection {
    /// Compares fence and position.
    async fn confirm(&self, fence: u64, cursor: &Cursor) -> Result<(), Fault> {
        let found = match read_cursor(&self.session, &self.cursors.read).await? {
            Some(mut found) => {
                let fence: u64 = found.number()?;
                found.number::<u64>()?;
                found.text_option()?;
                (fence, found.number()?)
            }
            None => (0, 0),
        };
        confirmed(found, fence, cursor)
    }

    async fn write(&self, batch: &Batch, fence: u64, before: &Cursor, after: &Cursor) -> Result<(), Fault> {
        let closed = || Fault::Unreachable("the connection is closed".to_owned());
        let statements = self.writes.as_ref().ok_or_else(closed)?;
        // Whoever computed rows from those of another moment must not write them.
        self.confirm(fence, before).await?;
        Writer { session: &self.session, statements }.write(&batch.rows).await?;
        let opening = |cursor: &Cursor| cursor.opening.map(|seq| integer(seq.get())).transpose();
        let moved = is_applied(
            &self.session,
            &self.cursors.advance,
            (
                after.origin_text(),
                integer(after.position.get())?,
                hex(&after.root),
                opening(after)?,
                integer(fence)?,
                integer(before.position.get())?,
                hex(&before.root),
                opening(before)?,
            ),
        );
        if moved.await? {
            return Ok(());
        }
        // The root or the opening differs if the fence and the position do not.
        self.confirm(fence, before).await?;
        Err(Fault::Moved { found: before.position, expected: before.position })
    }

    /// Reads rows by their ids, many at the same time.
    async fn read<I: Display, T>(
        &self,
        table: &'static str,
        statement: &PreparedStatement,
        ids: &[I],
        document: impl Fn(&mut Columns) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut rows = futures_util::stream::iter(ids)
            .map(async |id| {
                let mut binder = values::Binder::new(statement);
                tables::Put::plain(&mut binder, id);
                tables::Put::end_row(&mut binder);
                let id = binder.into_rows()?.pop().unwrap_or_default();
                one_row(&self.session, statement, id).await
            })
            .buffer_unordered(IN_FLIGHT_MAX);
        let mut read = Vec::new();
        while let Some(row) = rows.try_next().await? {
            if let Some(row) = row {
                read.push(document(&mut Columns::new(row, table))?);
            }
        }
        Ok(read)
    }

    /// Counts the rows of a table, by reading all of them.
    async fn count(&self, keyspace: &str, table: &str) -> Result<u64, Fault> {
        let mut select = Statement::new(format!("select sequence from {keyspace}.{table}"));
        select.set_page_size(PAGE_ROWS);
        select.set_is_idempotent(true);
        let pages = self.session.query_iter(select, ()).await.map_err(|error| of_pages(&error))?;
        let rows = pages.rows_stream::<(Option<i64>,)>();
        let mut rows = rows.map_err(|error| Fault::Contradicts(format!("table {table}: {error}")))?;
        let mut count = 0;
        while let Some(row) = rows.next().await {
            row.map_err(|error| of_row(&error))?;
            count += 1;
        }
        Ok(count)
    }
}

/// A number as CQL's bigint.
fn integer(number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_range| Fault::Refused(format!("{number} is more than a bigint holds")))
}

/// Executes a statement whose result has at most one row.
async fn one_row(
    session: &Session,
    statement: &PreparedStatement,
    values: impl SerializeRow,
) -> Result<Option<Row>, Fault> {
    let result = session.execute_unpaged(statement, values).await.map_err(|error| of_execution(&error))?;
    let rows = result.into_rows_result().map_err(|error| Fault::Unreachable(error.to_string()))?;
    rows.maybe_first_row::<Row>().map_err(|error| Fault::Contradicts(error.to_string()))
}

/// Executes a lightweight transaction. Returns whether its conditions held.
async fn is_applied(
    session: &Session,
    statement: &PreparedStatement,
    values: impl SerializeRow,
) -> Result<bool, Fault> {
    let row = one_row(session, statement, values).await?;
    let applied = row.and_then(|row| row.columns.into_iter().next().flatten());
    Ok(applied == Some(CqlValue::Boolean(true)))
}

/// Reads fence, projection, origin, position, root and opening.
async fn read_cursor(session: &Session, read: &PreparedStatement) -> Result<Option<Columns>, Fault> {
    Ok(one_row(session, read, ()).await?.map(|row| Columns::new(row, "cursor")))
}

/// Reads a payment.
fn payment(columns: &mut Columns) -> Result<PaymentDocument, Fault> {
    let mut payment = tables::payment(columns)?;
    payment.amount_sequence = columns.number_option()?;
    Ok(payment)
}

impl Target for Cassandra {
    fn open(&mut self) -> Result<Cursor, Fault> {
        self.connection = None;
        let (connection, fence, cursor) = self.take_over()?;
        (self.connection, self.fence) = (Some(connection), fence);
        Ok(cursor)
    }

    fn needs(&self) -> Needs {
        Needs::Rows
    }

    fn is_atomic(&self) -> bool {
        false
    }

    /// More than elsewhere, because each account is read and written once in a batch, and its transfers are written together.
    fn batch_entries(&self) -> usize {
        BATCH_ENTRIES
    }

    fn load(&mut self, wanted: &Wanted) -> Result<Documents, Fault> {
        let connection = self.connection()?;
        let Reads { account, transfer, payment: by_id } = &connection.reads;
        connection.blocking.wait(async {
            Ok(Documents {
                accounts: connection.read("accounts", account, &wanted.accounts, tables::account).await?,
                transfers: connection.read("transfers", transfer, &wanted.transfers, tables::transfer).await?,
                payments: connection.read("payments", by_id, &wanted.payments, payment).await?,
            })
        })
    }

    fn write(&mut self, batch: &Batch, before: &Cursor, after: &Cursor) -> Result<(), Fault> {
        let connection = self.connection()?;
        connection.blocking.wait(connection.write(batch, self.fence, before, after))
    }

    fn confirm(&mut self, cursor: &Cursor) -> Result<(), Fault> {
        let connection = self.connection()?;
        connection.blocking.wait(connection.confirm(self.fence, cursor))
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        let blocking = Blocking::new()?;
        let found = blocking.wait(async {
            let session = self.session().await?;
            if !self.has_tables(&session).await? {
                return Ok(None);
            }
            let cursors = CursorStatements::prepare(&session, &self.keyspace).await?;
            let reads = Reads::prepare(&session, &self.keyspace).await?;
            Ok(Some((session, cursors, reads)))
        })?;
        let Some((session, cursors, reads)) = found else { return Ok(None) };
        let connection = Connection { session, cursors, reads, writes: None, blocking };
        let looked = connection.blocking.wait(async {
            let Some(mut found) = read_cursor(&connection.session, &connection.cursors.read).await? else {
                return Ok(None);
            };
            found.number::<u64>()?;
            found.number::<u64>()?;
            let cursor = tables::cursor(&mut found)?;
            let counts = Counts {
                accounts: connection.count(&self.keyspace, "accounts").await?,
                transfers: connection.count(&self.keyspace, "transfers").await?,
                payments: connection.count(&self.keyspace, "payments").await?,
                ..Counts::default()
            };
            Ok(Some((cursor, counts)))
        })?;
        self.connection = Some(connection);
        Ok(looked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let made = |text: &str| make(toml::from_str(text).expect("TOML")).map(|target| format!("{target:?}"));
        assert!(made("nodes = 'a.internal:9042, b.internal:9042'").expect("a target").contains("finaira"));
        for (wrong, expected) in [
            ("nodes = 'a.internal'", "found the nodes `a.internal`, expected host:port"),
            ("nodes = 'a.internal:9042,'", "found the nodes"),
            ("nodes = 'a:1'\nkeyspace = 'A'", "found the keyspace `A`"),
            ("nodes = 'a:1'\nkeyspace = '1'", "with a letter first"),
            ("nodes = 'a:1'\nreplication = 0", "expected at least 1"),
            ("nodes = 'a:1'\nuser = 'x'", "found a user, but neither"),
            ("nodes = 'a:1'\npassword_env = 'PATH'", "but no `user`"),
            ("nodes = 'a:1'\nurl = 'x'", "unknown field `url`"),
        ] {
            let said = made(wrong).expect_err(wrong);
            assert!(said.contains(expected), "{said}");
        }
    }
}
