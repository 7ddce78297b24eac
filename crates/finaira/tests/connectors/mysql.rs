//! MySQL, whose protocol and dialect MariaDB speaks.

use std::process::Command;

use serde_json::Value;

use crate::service::Service;
use crate::suite::{Tried, again, holds_what_the_journal_says, number, rows};

#[test]
fn mysql_holds_what_the_journal_says() {
    let Some(service) = Service::up("mariadb", "FINAIRA_REQUIRE_MARIADB") else { return };
    let mysql = Mysql { pid: number(&service.description, "pid"), service };
    mysql.run(UNUSUAL);
    holds_what_the_journal_says(mysql);
}

struct Mysql {
    service: Service,
    pid: u32,
}

/// Defaults that change what statements mean. The connector must not depend on those of the server. They are gone when the server is killed.
const UNUSUAL: &str = "set global sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH', global autocommit = 0, \
     global sql_safe_updates = 1, global max_allowed_packet = 262144, global character_set_server = latin1; \
     set global transaction isolation level serializable";

/// Tables in which an older copy is kept. The cursor comes first, so that a connector that writes meanwhile waits.
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

impl Mysql {
    #[track_caller]
    fn run(&self, sql: &str) -> String {
        let [host, user, database] = ["/host", "/user", "/database"].map(|name| self.service.text(name));
        let port = number(&self.service.description, "port").to_string();
        let output = Command::new("mariadb")
            .args([
                "--no-defaults",
                "--init-command=set autocommit = 1, sql_safe_updates = 0, sql_mode = ''",
                "--batch",
                "--skip-column-names",
                "-h",
                host,
                "-P",
                &port,
                "-u",
                user,
                "-D",
                database,
                "-e",
                sql,
            ])
            .env("MYSQL_PWD", self.service.text("/password"))
            .output();
        let output = output.expect("mariadb runs");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Tried for Mysql {
    fn settings(&self) -> String {
        format!("kind = \"mysql\"\nurl = {:?}", self.service.text("/url"))
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    fn restart(&mut self) {
        self.pid = number(&again("mariadb"), "pid");
    }

    fn save(&self) {
        let copies = TABLES.iter().map(|table| format!("create table saved.`{table}` as select * from `{table}`;"));
        self.run(&format!("drop database if exists saved; create database saved; {}", copies.collect::<String>()));
    }

    fn restore_saved(&self) {
        let copies = TABLES
            .iter()
            .map(|table| format!("delete from `{table}`; insert into `{table}` select * from saved.`{table}`;"));
        // The fence of an older copy is lower too.
        self.run(&format!("start transaction; {} commit", copies.collect::<String>()));
    }

    fn accounts(&self) -> Vec<Value> {
        rows(&self.run(
            "select json_object('id', id, 'debits_pending', cast(debits_pending as char), 'debits_posted', cast(debits_posted as char), \
             'credits_pending', cast(credits_pending as char), 'credits_posted', cast(credits_posted as char)) from accounts",
        ))
    }

    fn payments(&self) -> Vec<Value> {
        rows(&self.run(
            "select json_object('id', id, 'status', status, 'amount', cast(amount as char), 'captured', cast(captured as char), \
             'released', cast(released as char), 'refunded', cast(refunded as char)) from payments",
        ))
    }

    fn tamper(&self) -> u64 {
        self.run("update accounts set credits_posted = credits_posted + 1 order by id limit 1");
        self.run("delete from transfers where state is null order by id desc limit 1");
        self.run("update payments set status = 'posted' where status <> 'posted' order by id limit 1");
        // The deleted transfer is missing, and there is one less.
        4
    }
}
