//! Apache Cassandra.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::{CqlValue, Row};
use serde_json::Value;

use crate::service::Service;
use crate::suite::{Tried, again, holds_what_the_journal_says, number};

#[test]
fn cassandra_holds_what_the_journal_says() {
    let Some(service) = Service::up("cassandra", "FINAIRA_REQUIRE_CASSANDRA") else { return };
    let cassandra = Cassandra { pid: number(&service.description, "pid"), service, saved: RefCell::default() };
    let cassandra = holds_what_the_journal_says(cassandra);
    wide_rows_are_those_of_the_other_tables(&cassandra);
    // The example of the documentation.
    let page = include_str!("../../../../docs/connectors.md");
    let example = page.split("```cql").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let months: BTreeSet<String> =
        cassandra.rows("transfers_by_account").iter().map(|row| text(row, "month").to_owned()).collect();
    let newest = months.last().expect("a month");
    let found = cassandra.run(async |session| {
        let example = example.trim().trim_end_matches(';').replace("2026-01", newest);
        session.query_unpaged(example, ()).await.unwrap().into_rows_result().unwrap().rows_num()
    });
    assert!(found > 0, "the account has transfers in {newest}");
}

/// Each transfer is in the rows of both of its accounts, with its state, and each payment in those of its entities.
fn wide_rows_are_those_of_the_other_tables(cassandra: &Cassandra) {
    let transfers = cassandra.rows("transfers");
    let mut wide: BTreeMap<(String, String), Value> = BTreeMap::new();
    for row in cassandra.rows("transfers_by_account") {
        assert!(text(&row, "created_at").starts_with(text(&row, "month")), "{row}");
        wide.insert((text(&row, "id").to_owned(), text(&row, "side").to_owned()), row);
    }
    assert_eq!(wide.len(), 2 * transfers.len());
    for transfer in &transfers {
        for (side, own, other) in
            [("debit", "debit_account", "credit_account"), ("credit", "credit_account", "debit_account")]
        {
            let row = &wide[&(text(transfer, "id").to_owned(), side.to_owned())];
            assert_eq!((&row["account"], &row["other_account"]), (&transfer[own], &transfer[other]), "{row}");
            for column in ["amount", "state", "created_at_ns", "payment", "pending_id", "sequence"] {
                assert_eq!(row[column], transfer[column], "{column} of {row}");
            }
        }
    }
    let ids = |table: &str, column: &str| -> BTreeSet<String> {
        cassandra.rows(table).iter().map(|row| text(row, column).to_owned()).collect()
    };
    assert_eq!(ids("payments_by_entity", "payment"), ids("payments", "id"), "each payment names a customer");
    for (table, column) in [("payment_changes", "payment"), ("labels", "payment")] {
        assert!(ids(table, column).is_subset(&ids("payments", "id")) && !ids(table, column).is_empty(), "{table}");
    }
    assert!(ids("metadata", "key").contains("größe"));
}

struct Cassandra {
    service: Service,
    pid: u32,
    /// The rows that were kept, by the name of the table. They are texts, because numbers of JSON are not exact once they are read.
    saved: RefCell<BTreeMap<&'static str, Vec<String>>>,
}

/// The tables with rows, each with the column that is the timestamp of its rows. `cursor` is apart, because it is taken away first and put back last.
const TABLES: [(&str, &str); 9] = [
    ("ledgers", "sequence"),
    ("accounts", "sequence"),
    ("transfers", "sequence"),
    ("transfers_by_account", "sequence"),
    ("payments", "changed_sequence"),
    ("payments_by_entity", "sequence"),
    ("payment_changes", "sequence"),
    ("labels", "sequence"),
    ("metadata", "sequence"),
];

#[track_caller]
fn text<'r>(row: &'r Value, column: &str) -> &'r str {
    row[column].as_str().unwrap_or_else(|| panic!("{column}: {row}"))
}

fn json(row: &str) -> Value {
    serde_json::from_str(row).expect("JSON")
}

/// Executes statements whose only values are texts of JSON and timestamps, many at the same time.
async fn insert_json(session: &Session, table: &str, rows: Vec<(String, i64)>) {
    let insert = format!("insert into finaira.{table} json ? using timestamp ?");
    let insert = session.prepare(insert).await.unwrap();
    let done = futures_util::stream::iter(rows)
        .map(async |row| session.execute_unpaged(&insert, row).await)
        .buffer_unordered(256)
        .try_for_each(async |_| Ok(()));
    done.await.unwrap();
}

impl Cassandra {
    fn run<T>(&self, work: impl AsyncFn(Session) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let session = SessionBuilder::new().known_node(self.service.text("/url")).build().await.unwrap();
            work(session).await
        })
    }

    /// All rows of a table as texts of JSON.
    fn texts(&self, table: &str) -> Vec<String> {
        self.run(async |session| {
            let select = format!("select json * from finaira.{table}");
            let rows = session.query_iter(select, ()).await.unwrap().rows_stream::<(String,)>().unwrap();
            rows.map(|row| row.unwrap().0).collect().await
        })
    }

    fn rows(&self, table: &str) -> Vec<Value> {
        self.texts(table).iter().map(|row| json(row)).collect()
    }

    /// The first id of a table that fits, in the order of texts.
    fn id(&self, table: &str, fits: impl Fn(&Value) -> bool) -> String {
        let rows = self.rows(table);
        rows.iter().filter(|row| fits(row)).map(|row| text(row, "id")).min().expect("a row").to_owned()
    }
}

impl Tried for Cassandra {
    fn settings(&self) -> String {
        format!("kind = \"cassandra\"\nnodes = {:?}\nreplication = 1", self.service.text("/url"))
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    fn restart(&mut self) {
        self.pid = number(&again("cassandra"), "pid");
    }

    fn longer_each_time(&self) -> Duration {
        Duration::from_millis(50)
    }

    /// Each verification reads the rows one by one.
    fn import_transfers(&self) -> usize {
        12_000
    }

    fn save(&self) {
        let names = TABLES.iter().map(|(name, _)| *name).chain(["cursor"]);
        *self.saved.borrow_mut() = names.map(|name| (name, self.texts(name))).collect();
    }

    fn restore_saved(&self) {
        let saved = self.saved.borrow().clone();
        self.run(async |session| {
            session.query_unpaged("delete from finaira.cursor where one = 'copy' if exists", ()).await.unwrap();
            for (table, sequence) in TABLES {
                session.query_unpaged(format!("truncate finaira.{table}"), ()).await.unwrap();
                let stamped = |text: &String| {
                    let row = json(text);
                    let sequence = row[sequence].as_i64().expect("a number");
                    // A state that is final was written after the creation.
                    let is_final = row["state"].as_str().is_some_and(|state| state != "pending");
                    (text.clone(), sequence + i64::from(is_final))
                };
                insert_json(&session, table, saved[table].iter().map(stamped).collect()).await;
            }
            // A lightweight transaction decides alone which timestamp its row has.
            let cursor = &json(&saved["cursor"][0]);
            let values = (
                text(cursor, "origin"),
                cursor["position"].as_i64(),
                text(cursor, "root"),
                cursor["opening"].as_i64(),
                cursor["fence"].as_i64(),
            );
            // A connector may have begun a new copy, just before or just after the first attempt.
            for projection in ["null", "1", "null", "1"] {
                let update = format!(
                    "update finaira.cursor set origin = ?, position = ?, root = ?, opening = ?, fence = ?, projection = 1 \
                     where one = 'copy' if projection = {projection}"
                );
                let done = session.query_unpaged(update, values).await.unwrap().into_rows_result().unwrap();
                let row = done.maybe_first_row::<Row>().unwrap().expect("whether it was applied");
                if row.columns[0] == Some(CqlValue::Boolean(true)) {
                    return;
                }
            }
            panic!("the cursor was not restored");
        });
    }

    fn accounts(&self) -> Vec<Value> {
        let mut rows = self.rows("accounts");
        for row in &mut rows {
            for column in ["debits_pending", "debits_posted", "credits_pending", "credits_posted"] {
                row[column] = row[column].to_string().into();
            }
        }
        rows
    }

    fn payments(&self) -> Vec<Value> {
        let mut rows = self.rows("payments");
        for row in &mut rows {
            for column in ["amount", "captured", "released", "refunded"] {
                row[column] = row[column].to_string().into();
            }
        }
        rows
    }

    fn tamper(&self) -> u64 {
        let account = self.id("accounts", |_| true);
        let transfer = self.id("transfers", |row| row["state"].is_null());
        let payment = self.id("payments", |row| row["status"] != "posted");
        self.run(async |session| {
            for change in [
                format!("update finaira.accounts set credits_posted = 123456789 where id = {account}"),
                format!("delete from finaira.transfers where id = '{transfer}'"),
                format!("update finaira.payments set status = 'posted' where id = {payment}"),
            ] {
                session.query_unpaged(change, ()).await.unwrap();
            }
        });
        // The deleted transfer is missing, and there is one less.
        4
    }
}
