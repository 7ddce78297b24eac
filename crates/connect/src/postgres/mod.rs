//! PostgreSQL: tables that dashboards and reports read.
//!
//! A batch is one transaction. Its first statement moves the cursor, if the cursor is where this connector left it and no other connector
//! raised the fence; the row stays locked until the transaction ends. New rows are written with `COPY`. Changed rows go into a temporary
//! table, from which one statement changes all of them.

mod columns;
mod copy_text;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use postgres::error::{DbError, SqlState};
use postgres::{Client, Config, Row, Transaction};
use serde::Deserialize;
use tokio_postgres_rustls::MakeRustlsConnect;
use types::Seq;

use crate::batch::Batch;
use crate::cursor::Cursor;
use crate::documents::Documents;
use crate::rows::Rows;
use crate::source::hex;
use crate::tables::{self, Put as _, Take as _};
use crate::target::{Counts, Fault, Needs, Target, Wanted, confirmed};
use crate::targets::secret;
use columns::Columns;
use copy_text::CopyText;

/// The version of the tables. A copy with another one is rebuilt beside it, in another schema.
const PROJECTION: i32 = 1;
const SCHEMA: &str = include_str!("schema.sql");
/// Temporary tables for rows that change rows of earlier batches. They live as long as the connection.
const INCOMING: &str = "
create temporary table if not exists accounts_in (like {schema}.accounts) on commit delete rows;
create temporary table if not exists transfers_in (id text, state text) on commit delete rows;
create temporary table if not exists payments_in (id uuid, status text, amount numeric(39), captured numeric(39), released numeric(39),
    refunded numeric(39), has_deadline boolean, deadline timestamptz, deadline_ns bigint, label text, label_positive boolean, sequence bigint) on commit delete rows;
create temporary table if not exists metadata_in (number bigint, kind text, id text, key text, value text, sequence bigint) on commit delete rows;";
/// How long the server may leave a packet without an answer.
const UNANSWERED_MAX: Duration = Duration::from_secs(30);

/// The settings of this kind of target.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The address, as PostgreSQL's own clients take it: `postgresql://user@host/database`.
    url: String,
    /// A file whose first line is the password, unless the address has it.
    password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    password_env: Option<String>,
    /// A file with the authorities that may have issued the server's certificate, in PEM; otherwise those that the machine trusts. Whether TLS
    /// is used is up to `sslmode` in the address.
    ca: Option<PathBuf>,
    /// The schema that holds the tables. It is created if it does not exist.
    #[serde(default = "default_schema")]
    schema: String,
}

fn default_schema() -> String {
    "finaira".to_owned()
}

/// Makes a target that is not connected yet.
pub(crate) fn make(table: toml::Table) -> Result<Box<dyn Target>, String> {
    let settings: Settings = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    Ok(Box::new(Postgres::new(&settings)?))
}

/// A schema of a PostgreSQL database.
struct Postgres {
    config: Config,
    tls: MakeRustlsConnect,
    schema: String,
    client: Option<Client>,
    fence: i64,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("schema", &self.schema).field("fence", &self.fence).finish_non_exhaustive()
    }
}

impl Postgres {
    /// A target that is not connected yet.
    ///
    /// # Errors
    /// When the address or the name of the schema is malformed. The message does not contain the password.
    fn new(settings: &Settings) -> Result<Self, String> {
        let mut config: Config =
            settings.url.parse().map_err(|error| format!("the address is malformed: {}", with_causes(&error)))?;
        let password = secret(settings.password_file.as_deref(), settings.password_env.as_deref(), "password")?;
        if let Some(password) = password {
            config.password(password.reveal());
        }
        config.application_name("finaira connect").tcp_user_timeout(UNANSWERED_MAX).connect_timeout(UNANSWERED_MAX);
        config.keepalives_idle(UNANSWERED_MAX);
        let schema = &settings.schema;
        let is_name =
            schema.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
        if !is_name
            || schema.is_empty()
            || schema.len() > 63
            || schema.starts_with(|first: char| first.is_ascii_digit())
        {
            return Err(format!(
                "found the schema `{schema}`, expected 1 to 63 lower-case letters, digits and underscores, with no digit first"
            ));
        }
        let tls = MakeRustlsConnect::new(crate::tls::client(settings.ca.as_deref())?);
        Ok(Self { config, tls, schema: schema.clone(), client: None, fence: 0 })
    }

    fn sql(&self, text: &str) -> String {
        text.replace("{schema}", &self.schema)
    }

    fn client(&mut self) -> Result<&mut Client, Fault> {
        self.client.as_mut().ok_or_else(|| Fault::Unreachable("the connection is closed".to_owned()))
    }

    /// Connects, creates the tables and raises the fence.
    fn connect(&mut self) -> Result<(Client, i64, Cursor), Fault> {
        let mut client = self.config.connect(self.tls.clone()).map_err(|error| fault(&error))?;
        // Whoever holds the cursor's row and does not answer would lock others out.
        client.batch_execute("set idle_in_transaction_session_timeout = '60s'; set lock_timeout = '90s'; set statement_timeout = '300s'").map_err(|error| fault(&error))?;
        let mut transaction = client.transaction().map_err(|error| fault(&error))?;
        let exists = transaction.query_one("select to_regnamespace($1) is not null", &[&self.schema]);
        let exists: bool = exists.and_then(|row| row.try_get(0)).map_err(|error| fault(&error))?;
        // Two connectors that create the tables at the same time would hinder each other.
        let create = format!(
            "select pg_advisory_xact_lock(hashtext('finaira {0}')); {1}{2}",
            self.schema,
            // A role that may not create schemas can use one that exists.
            if exists { String::new() } else { format!("create schema {};", self.schema) },
            SCHEMA
        );
        transaction.batch_execute(&self.sql(&create)).map_err(|error| fault(&error))?;
        let start = Cursor::start();
        let insert = self.sql(
            "insert into {schema}.cursor (origin, position, root, fence, projection) values ($1, 0, $2, 0, $3) on conflict do nothing",
        );
        let origin = start.origin_text();
        transaction.execute(&insert, &[&origin, &hex(&start.root), &PROJECTION]).map_err(|error| fault(&error))?;
        let take = self.sql(
            "update {schema}.cursor set fence = fence + 1 returning fence, projection, origin, position, root, opening",
        );
        let row = transaction.query_one(&take, &[]).map_err(|error| fault(&error))?;
        let mut columns = Columns::new(row);
        let (fence, projection): (i64, i32) = (columns.number()?, columns.number()?);
        if projection != PROJECTION {
            let what = format!(
                "schema {} has version {projection} of the tables, and this release writes version {PROJECTION}; name another schema, and drop this one when the new copy is whole",
                self.schema
            );
            return Err(Fault::Refused(what));
        }
        let cursor = tables::cursor(&mut columns)?;
        transaction.commit().map_err(|error| fault(&error))?;
        client.batch_execute(&self.sql(INCOMING)).map_err(|error| fault(&error))?;
        Ok((client, fence, cursor))
    }
}

impl Target for Postgres {
    fn open(&mut self) -> Result<Cursor, Fault> {
        self.client = None;
        let (client, fence, cursor) = self.connect()?;
        (self.client, self.fence) = (Some(client), fence);
        Ok(cursor)
    }

    fn needs(&self) -> Needs {
        Needs::Rows
    }

    fn load(&mut self, wanted: &Wanted) -> Result<Documents, Fault> {
        let select = |columns: &str, table: &str, ids: &str| {
            format!("select {columns} from {}.{table} where id = any({ids})", self.schema)
        };
        let accounts = select(tables::ACCOUNT_READ, "accounts", "$1::text[]::uuid[]");
        let transfers = select(tables::TRANSFER_READ, "transfers", "$1");
        let payments = select(tables::PAYMENT_READ, "payments", "$1::text[]::uuid[]");
        let client = self.client()?;
        Ok(Documents {
            accounts: read(client, &accounts, &wanted.accounts, tables::account)?,
            transfers: read(client, &transfers, &wanted.transfers, tables::transfer)?,
            payments: read(client, &payments, &wanted.payments, tables::payment)?,
        })
    }

    fn write(&mut self, batch: &Batch, before: &Cursor, after: &Cursor) -> Result<(), Fault> {
        let (schema, fence) = (self.schema.clone(), self.fence);
        let move_cursor = self.sql(
            "update {schema}.cursor set origin = $1, position = $2, root = $3, opening = $4, updated_at = now() \
             where fence = $5 and position = $6 and root = $7 and opening is not distinct from $8",
        );
        let read_cursor = self.sql("select fence, position from {schema}.cursor");
        let client = self.client()?;
        let mut transaction = client.transaction().map_err(|error| fault(&error))?;
        let (origin, root) = (after.origin_text(), hex(&after.root));
        let moved = transaction.execute(
            &move_cursor,
            &[
                &origin,
                &number(after.position),
                &root,
                &after.opening.map(number),
                &fence,
                &number(before.position),
                &hex(&before.root),
                &before.opening.map(number),
            ],
        );
        if moved.map_err(|error| fault(&error))? == 0 {
            let row = transaction.query_one(&read_cursor, &[]).map_err(|error| fault(&error))?;
            // The root or the opening differs if the fence and the position do not.
            let found = confirm_row(row, fence, before);
            return found.and(Err(Fault::Moved { found: before.position, expected: before.position }));
        }
        write_rows(&mut transaction, &schema, &batch.rows)?;
        transaction.commit().map_err(|error| fault(&error))
    }

    fn confirm(&mut self, cursor: &Cursor) -> Result<(), Fault> {
        let (sql, fence) = (self.sql("select fence, position from {schema}.cursor"), self.fence);
        let row = self.client()?.query_one(&sql, &[]).map_err(|error| fault(&error))?;
        confirm_row(row, fence, cursor)
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        let mut client = self.config.connect(self.tls.clone()).map_err(|error| fault(&error))?;
        // All reads that follow on this connection see the same moment.
        execute_on(&mut client, "begin isolation level repeatable read read only")?;
        let exists = client.query_one("select to_regclass($1) is not null", &[&format!("{}.cursor", self.schema)]);
        let exists: bool = exists.and_then(|row| row.try_get(0)).map_err(|error| fault(&error))?;
        if !exists {
            return Ok(None);
        }
        let sql = self.sql(
            "select origin, position, root, opening, (select count(*) from {schema}.accounts), \
             (select count(*) from {schema}.transfers), (select count(*) from {schema}.payments) from {schema}.cursor",
        );
        let Some(row) = client.query_opt(&sql, &[]).map_err(|error| fault(&error))? else { return Ok(None) };
        let mut columns = Columns::new(row);
        let cursor = tables::cursor(&mut columns)?;
        let counts = Counts {
            accounts: columns.number()?,
            transfers: columns.number()?,
            payments: columns.number()?,
            ..Counts::default()
        };
        self.client = Some(client);
        Ok(Some((cursor, counts)))
    }
}

/// Compares fence and position.
fn confirm_row(row: Row, fence: i64, cursor: &Cursor) -> Result<(), Fault> {
    let mut columns = Columns::new(row);
    let found = (columns.number()?, columns.number()?);
    confirmed(found, u64::try_from(fence).unwrap_or_default(), cursor)
}

fn execute_on(client: &mut Client, sql: &str) -> Result<(), Fault> {
    client.batch_execute(sql).map_err(|error| fault(&error))
}

/// Reads rows by their ids.
fn read<I: ToString, T>(
    client: &mut Client,
    sql: &str,
    ids: &[I],
    document: impl Fn(&mut Columns) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let found = client.query(sql, &[&ids]).map_err(|error| fault(&error))?;
    found.into_iter().map(|row| document(&mut Columns::new(row))).collect()
}

/// A sequence as PostgreSQL's 64-bit integer.
fn number(seq: Seq) -> i64 {
    i64::try_from(seq.get()).unwrap_or(i64::MAX)
}

fn write_rows(transaction: &mut Transaction<'_>, schema: &str, rows: &Rows) -> Result<(), Fault> {
    let into = |table: &str| format!("{schema}.{table}");
    insert(transaction, &into("ledgers"), "", rows, tables::put_ledgers)?;
    if insert(transaction, "accounts_in", tables::ACCOUNT, rows, |rows, text| {
        rows.accounts.iter().for_each(|row| tables::put_account(row, text));
    })? {
        let set = tables::ACCOUNT.split(", ").map(str::trim).filter(|column| *column != "id");
        let set: Vec<String> = set.map(|column| format!("{column} = excluded.{column}")).collect();
        let columns = tables::ACCOUNT;
        execute(
            transaction,
            &format!(
                "insert into {schema}.accounts ({columns}) select {columns} from accounts_in on conflict (id) do update set {}",
                set.join(", ")
            ),
        )?;
    }
    insert(transaction, &into("transfers"), tables::TRANSFER, rows, |rows, text| {
        rows.transfers.iter().for_each(|row| tables::put_transfer(row, text));
    })?;
    if insert(transaction, "transfers_in", "", rows, |rows, text| {
        for row in &rows.resolved {
            text.plain(row.key).plain(crate::documents::state_name(row.state)).end_row();
        }
    })? {
        execute(
            transaction,
            &format!("update {schema}.transfers t set state = i.state from transfers_in i where t.id = i.id"),
        )?;
    }
    insert(transaction, &into("payments"), tables::PAYMENT, rows, |rows, text| {
        rows.payments.iter().for_each(|row| tables::put_payment(row, text));
    })?;
    insert(transaction, &into("payment_entities"), "", rows, |rows, text| tables::put_entities(&rows.payments, text))?;
    if insert(transaction, "payments_in", "", rows, tables::put_payments_changed)? {
        execute(
            transaction,
            &format!(
                "update {schema}.payments p set status = coalesce(i.status, p.status), amount = coalesce(i.amount, p.amount), \
                 captured = coalesce(i.captured, p.captured), released = coalesce(i.released, p.released), \
                 refunded = coalesce(i.refunded, p.refunded), \
                 deadline = case when i.has_deadline then i.deadline else p.deadline end, \
                 deadline_ns = case when i.has_deadline then i.deadline_ns else p.deadline_ns end, \
                 label = coalesce(i.label, p.label), label_positive = coalesce(i.label_positive, p.label_positive), \
                 changed_sequence = i.sequence from payments_in i where p.id = i.id"
            ),
        )?;
    }
    insert(transaction, &into("payment_changes"), "", rows, tables::put_changes)?;
    insert(transaction, &into("labels"), "", rows, tables::put_labels)?;
    if insert(transaction, "metadata_in", "", rows, |rows, text| tables::put_metadata(rows.metadata.iter(), text))? {
        // The last row of a key counts.
        execute(
            transaction,
            &format!(
                "with newest as (select distinct on (kind, id, key) * from metadata_in order by kind, id, key, number desc), \
                 gone as (delete from {schema}.metadata m using newest n \
                     where (m.kind, m.id, m.key) = (n.kind, n.id, n.key) and n.value is null) \
                 insert into {schema}.metadata (kind, id, key, value, sequence) \
                     select kind, id, key, value::json, sequence from newest where value is not null \
                 on conflict (kind, id, key) do update set value = excluded.value, sequence = excluded.sequence"
            ),
        )?;
    }
    Ok(())
}

fn execute(transaction: &mut Transaction<'_>, sql: &str) -> Result<(), Fault> {
    transaction.batch_execute(sql).map_err(|error| fault(&error))
}

/// Copies rows into a table; false if there are none.
fn insert(
    transaction: &mut Transaction<'_>,
    table: &str,
    columns: &str,
    rows: &Rows,
    put: impl FnOnce(&Rows, &mut CopyText),
) -> Result<bool, Fault> {
    let mut text = CopyText::default();
    put(rows, &mut text);
    if text.is_empty() {
        return Ok(false);
    }
    let columns = if columns.is_empty() { String::new() } else { format!("({columns})") };
    let mut writer =
        transaction.copy_in(&format!("copy {table} {columns} from stdin")).map_err(|error| fault(&error))?;
    writer.write_all(text.as_bytes()).map_err(|error| io_fault(&error))?;
    writer.finish().map_err(|error| fault(&error))?;
    Ok(true)
}

fn io_fault(error: &std::io::Error) -> Fault {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<postgres::Error>()) {
        Some(error) => fault(error),
        None => Fault::Unreachable(error.to_string()),
    }
}

/// What an error of PostgreSQL means for a connector.
fn fault(error: &postgres::Error) -> Fault {
    match error.as_db_error() {
        Some(error) if is_passing(error.code()) => Fault::Unreachable(told(error)),
        Some(error) => Fault::Refused(told(error)),
        None => Fault::Unreachable(with_causes(error)),
    }
}

/// Whether the same statement may succeed later, without a change of the data or the configuration.
fn is_passing(code: &SqlState) -> bool {
    // Connections, resources such as disk and memory, an operator's intervention, locks and serialisation.
    ["08", "53", "57", "55", "40", "58"].iter().any(|class| code.code().starts_with(class))
}

fn told(error: &DbError) -> String {
    let mut text = format!("{} ({})", error.message(), error.code().code());
    for (what, name) in [
        ("table", error.table()),
        ("column", error.column()),
        ("constraint", error.constraint()),
        ("detail", error.detail()),
    ] {
        if let Some(name) = name {
            text.push_str(&format!("; {what}: {name}"));
        }
    }
    text
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
