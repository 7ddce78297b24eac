//! PostgreSQL.

use std::process::Command;

use serde_json::Value;

use crate::service::Service;
use crate::suite::{Tried, again, holds_what_the_journal_says, number, rows};

#[test]
fn postgres_holds_what_the_journal_says() {
    let Some(service) = Service::up("postgres", "FINAIRA_REQUIRE_POSTGRES") else { return };
    let postgres = holds_what_the_journal_says(Postgres { pid: number(&service.description, "pid"), service });
    // The example of the documentation.
    let page = include_str!("../../../../docs/connectors.md");
    let example = page.split("```sql").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let declined = postgres.run(example);
    assert!(!declined.trim().is_empty(), "some payments of the traffic were declined: {declined}");
}

struct Postgres {
    service: Service,
    pid: u32,
}

/// Tables in which an older copy is kept.
const TABLES: [&str; 9] = [
    "cursor",
    "ledgers",
    "accounts",
    "transfers",
    "payments",
    "payment_changes",
    "payment_entities",
    "labels",
    "metadata",
];

impl Postgres {
    #[track_caller]
    fn run(&self, sql: &str) -> String {
        let output = Command::new("psql")
            .args([self.service.text("/url"), "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output();
        let output = output.expect("psql runs");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Tried for Postgres {
    fn settings(&self) -> String {
        format!("kind = \"postgres\"\nurl = {:?}", self.service.text("/url"))
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    fn restart(&mut self) {
        self.pid = number(&again("postgres"), "pid");
    }

    fn save(&self) {
        let copies = TABLES.iter().map(|table| format!("create table saved.{table} as table finaira.{table};"));
        self.run(&format!(
            "begin isolation level repeatable read; drop schema if exists saved cascade; create schema saved; {} commit",
            copies.collect::<String>()
        ));
    }

    fn restore_saved(&self) {
        let copies = TABLES.iter().map(|table| {
            format!("delete from finaira.{table}; insert into finaira.{table} select * from saved.{table};")
        });
        // The fence of an older copy is lower too.
        self.run(&format!("begin; {} commit", copies.collect::<String>()));
    }

    fn accounts(&self) -> Vec<Value> {
        rows(&self.run(
            "select json_build_object('id', id, 'debits_pending', debits_pending::text, 'debits_posted', debits_posted::text, \
             'credits_pending', credits_pending::text, 'credits_posted', credits_posted::text) from finaira.accounts",
        ))
    }

    fn payments(&self) -> Vec<Value> {
        rows(&self.run(
            "select json_build_object('id', id, 'status', status, 'amount', amount::text, 'captured', captured::text, \
             'released', released::text, 'refunded', refunded::text) from finaira.payments",
        ))
    }

    fn tamper(&self) -> u64 {
        self.run("update finaira.accounts set credits_posted = credits_posted + 1 where id = (select min(id::text) from finaira.accounts)::uuid");
        self.run(
            "delete from finaira.transfers where id = (select max(id) from finaira.transfers where state is null)",
        );
        self.run("update finaira.payments set status = 'posted' where id = (select min(id::text) from finaira.payments where status <> 'posted')::uuid");
        // The deleted transfer is missing, and there is one less.
        4
    }
}
