//! PostgreSQL.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::mounted::{MIB, Mounted};
use crate::service::Service;
use crate::suite::{Scene, Tried, again, holds_what_the_journal_says, number, rows, waits_for_room};

#[test]
fn postgres_holds_what_the_journal_says() {
    let Some(service) = Service::up("postgres", "FINAIRA_REQUIRE_POSTGRES") else { return };
    let postgres = holds_what_the_journal_says(Postgres { pid: number(&service.description, "pid"), service });
    // The example of the documentation.
    let page = include_str!("../../../../docs/connectors.md");
    let example = |number| page.split("```sql").nth(number).and_then(|rest| rest.split("```").next()).unwrap();
    let declined = postgres.run(example(1));
    assert!(!declined.trim().is_empty(), "some payments of the traffic were declined: {declined}");
    postgres.run(example(2));
    let read = |sql: &str| postgres.run(&format!("set role dashboards; {sql}"));
    assert!(!read("select position, updated_at from finaira.cursor").trim().is_empty());
    // What Grafana puts in the place of its macros.
    let panel = example(3).replace("$__timeGroup(decided_at, '5m')", "date_bin('5 min', decided_at, 'epoch')");
    let panel = panel.replace("$__timeFilter(decided_at)", "decided_at > 'epoch'");
    assert!(!read(&panel).trim().is_empty());
}

#[test]
fn postgres_gets_only_what_its_configuration_names() {
    let Some(service) = Service::up("postgres", "FINAIRA_REQUIRE_POSTGRES") else { return };
    let postgres = Postgres { pid: number(&service.description, "pid"), service };
    let limits = "ledgers = [2, 978]\npayment_types = [\"card\"]\nwithout = [\"features\", \"models\"]";
    let mut scene = Scene::start(&format!("{}\n{limits}", postgres.settings()), 23);
    let other = serde_json::json!({"id": 2, "asset": "EUR/2"});
    assert_eq!(scene.client.post("/v1/ledgers", &other).status, 201);
    let account = serde_json::json!({"id": "900", "ledger": 2, "code": 1, "metadata": {"segment": "kept"}});
    assert_eq!(scene.client.post("/v1/accounts", &account).status, 201);
    scene.traffic.send(150);
    scene.connect_once();
    let limited = serde_json::json!({"max_balance": "5"});
    assert_eq!(scene.client.post("/v1/accounts/900/limits", &limited).status, 200);
    scene.traffic.send(50);
    // Pending transfers with a timeout of a second expire.
    std::thread::sleep(std::time::Duration::from_secs(2));
    scene.is_whole();
    let count = |what: &str| postgres.run(&format!("select count(*) from finaira.{what}")).trim().to_owned();
    for nothing in [
        "ledgers where id not in (2, 978)",
        "accounts where ledger not in (2, 978)",
        "transfers where ledger not in (2, 978)",
        "payments where type <> 'card'",
        "payments where features <> 'null' or models <> 'null'",
        "payment_changes where payment not in (select id from finaira.payments)",
        "labels where payment not in (select id from finaira.payments)",
        "metadata where value::text not like '%kept%'",
    ] {
        assert_eq!(count(nothing), "0", "{nothing}");
    }
    for some in ["transfers", "payments", "payment_changes", "labels", "metadata", "payments where reasons <> 'null'"] {
        assert_ne!(count(some), "0", "{some}");
    }
    assert_eq!(count("accounts where id::text like '%384' and max_balance = 5"), "1", "its limits were set later");
}

#[test]
fn postgres_waits_until_its_disk_has_room() {
    let Some(service) = Service::up("postgres", "FINAIRA_REQUIRE_POSTGRES") else { return };
    let postgres = Postgres { pid: number(&service.description, "pid"), service };
    let Some(disk) = Mounted::of_bytes(16 * MIB) else { return };
    // The server does not run as root, so it gets a directory of its own.
    let tables = disk.path.join("tables");
    std::fs::create_dir(&tables).unwrap();
    for directory in [disk.path.parent().unwrap(), &disk.path] {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert!(Command::new("chown").arg("postgres").arg(&tables).status().unwrap().success());
    postgres.run(&format!("create tablespace small location '{}'", tables.display()));
    postgres.run("alter role current_user set default_tablespace = small");
    let mut scene = Scene::start(&postgres.settings(), 24);
    waits_for_room(&mut scene, &disk);
    assert!(scene.server.stop().success());
    drop(postgres);
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
