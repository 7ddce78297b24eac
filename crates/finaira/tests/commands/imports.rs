//! Imports an existing book through the command line into a real server.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{Client, Server, eventually};

const EUR: u32 = 978;
const ACCOUNTS: u64 = 5_000;

/// The files of a book, and a server that already has two accounts in the same ledger.
struct World {
    folder: tempfile::TempDir,
    server: Server,
    key: String,
    client: Client,
}

impl World {
    fn new(transfers: u64) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        write_book(folder.path(), transfers);
        let server = Server::start(&folder.path().join("data"));
        let key = server.key.clone().expect("the first start prints an API key");
        let client = server.client(&key);
        assert_eq!(client.post("/v1/ledgers", &json!({"id": EUR, "asset": "EUR/2"})).status, 201);
        for id in ["900001", "900002"] {
            let account = json!({"id": id, "ledger": EUR, "code": 1});
            assert_eq!(client.post("/v1/accounts", &account).status, 201);
        }
        Self { folder, server, key, client }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
        command.arg("import").args(verb).args(["--server", &self.server.address, "--api-key", &self.key]);
        command
    }

    /// The command with the files of the book as arguments.
    fn with_files(&self, verb: &[&str]) -> Command {
        let mut command = self.command(verb);
        command.args(["--ledger", "978"]).arg("--accounts").arg(self.file("accounts.csv"));
        command.arg("--transfers").arg(self.file("transfers.csv")).arg("--balances").arg(self.file("balances.csv"));
        command
    }

    fn live_transfer(&self, id: u64) {
        let transfer = json!({"id": id.to_string(), "debit_account": "900001", "credit_account": "900002",
            "amount": "1", "code": 1, "ledger": EUR, "asset": "EUR/2"});
        let reply = self.client.post("/v1/transfers", &transfer);
        assert_eq!(reply.status, 201, "{reply:?}");
    }

    /// The number of accounts and the posted debits of the ledger.
    fn sums(&self) -> (u64, u64) {
        let totals = self.client.get(&format!("/v1/ledgers/{EUR}/trial-balance")).body;
        assert_eq!(totals["debits_posted"], totals["credits_posted"], "{totals}");
        let debits = totals["debits_posted"].as_str().and_then(|text| text.parse().ok()).expect("an amount");
        (totals["accounts"].as_u64().expect("a number"), debits)
    }

    /// Returns the only import.
    fn import(&self) -> Option<Value> {
        self.client.get("/v1/imports").body["items"].get(0).cloned()
    }

    fn restarted(self) -> Self {
        let Self { folder, server, key, .. } = self;
        server.kill();
        let server = Server::start(&folder.path().join("data"));
        let client = server.client(&key);
        Self { folder, server, key, client }
    }
}

/// Writes accounts 1 to [`ACCOUNTS`], and transfers of which number `n` moves the amount `n`, so that the sums are
/// known.
fn write_book(folder: &Path, transfers: u64) {
    let (mut accounts, mut rows) = ("id,code,timestamp,flags\n".to_owned(), String::new());
    let mut balances = vec![0_i64; usize::try_from(ACCOUNTS).expect("few")];
    for id in 1..=ACCOUNTS {
        writeln!(accounts, "{id},7,2020-01-01T00:00:00Z,history").expect("text");
    }
    rows.push_str("id,debit_account_id,credit_account_id,amount,code,timestamp,user_data_64\n");
    for number in 1..=transfers {
        let (debit, credit) = (number % ACCOUNTS, (number * 7 + 1) % ACCOUNTS);
        let credit = if credit == debit { (credit + 1) % ACCOUNTS } else { credit };
        let amount = i64::try_from(number).expect("small");
        balances[usize::try_from(debit).expect("small")] -= amount;
        balances[usize::try_from(credit).expect("small")] += amount;
        let at = 1_600_000_000_000_000_000 + number / 3;
        let (debit, credit) = (debit + 1, credit + 1);
        writeln!(rows, "{},{debit},{credit},{number},9,{at},{number}", 10_000_000 + number).expect("text");
    }
    let mut told = "id,balance\n".to_owned();
    for (index, balance) in balances.iter().enumerate() {
        writeln!(told, "{},{balance}", index + 1).expect("text");
    }
    for (name, text) in [("accounts.csv", accounts), ("transfers.csv", rows), ("balances.csv", told)] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
}

fn output(command: &mut Command) -> (Output, String) {
    let output = command.stdin(Stdio::null()).output().expect("the binary runs");
    let text = [&output.stdout[..], &output.stderr].concat();
    (output, String::from_utf8_lossy(&text).into_owned())
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let (output, text) = output(command);
    assert!(output.status.success(), "{text}");
    text
}

#[track_caller]
fn fails(command: &mut Command) -> String {
    let (output, text) = output(command);
    assert!(!output.status.success(), "{text}");
    text
}

#[test]
fn a_file_that_ends_between_quotes_is_not_imported() {
    let folder = tempfile::tempdir().expect("a directory");
    let run = |accounts: &str| {
        std::fs::write(folder.path().join("accounts.csv"), accounts).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
        command.args(["import", "run", "--ledger", "978", "--api-key", "none", "--accounts"]);
        let output = command.arg(folder.path().join("accounts.csv")).output().expect("the binary runs");
        assert!(!output.status.success());
        let path = format!("{}/", folder.path().display());
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).expect("text").replace(&path, "")
    };
    let found = run("id,code,flags\n1,7,\n2,7,\"history\n3,7,\n4,7,\n");
    assert_eq!(found, "finaira: cannot read accounts.csv: the file ends between quotes that opened on line 3\n");
    let found = run("id,code,flags\n1,7,\n2,7\n3,7,\n");
    let expected = "accounts.csv, row 2: the row on line 3 has 2 fields, expected 3\n";
    assert!(found.contains(expected), "{found}");
    let found = run("id\tcode\n1\t7\n");
    let expected =
        "finaira: accounts.csv has an unknown column `id\\tcode`; found `\\t` in it, expected `,` between columns";
    assert!(found.starts_with(expected), "{found}");
}

#[test]
fn a_book_appears_at_once_while_other_writes_continue() {
    const TRANSFERS: u64 = 50_000;
    let world = World::new(TRANSFERS);
    let dry = succeeds(world.with_files(&["run", "--dry-run"]).arg("--report").arg(world.file("report.json")));
    assert!(
        dry.contains("5000 accounts, 50000 transfers") && dry.contains("5000 balances compared, 0 differ"),
        "{dry}"
    );
    assert_eq!((world.import(), world.sums()), (None, (2, 0)), "a dry run writes nothing");
    let report: Value =
        serde_json::from_slice(&std::fs::read(world.file("report.json")).expect("a file")).expect("JSON");
    assert_eq!(report["debits_posted"], (TRANSFERS * (TRANSFERS + 1) / 2).to_string());

    let mut running =
        world.with_files(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let mut live = 0;
    let status = loop {
        live += 1;
        world.live_transfer(live);
        if let Some(status) = running.try_wait().expect("the status is available") {
            break status;
        }
        let (accounts, debits) = world.sums();
        assert!(accounts == 2 && debits == live || accounts == 2 + ACCOUNTS, "{accounts} {debits} {live}");
    };
    assert!(status.success());
    let moved = TRANSFERS * (TRANSFERS + 1) / 2;
    assert_eq!(world.sums(), (2 + ACCOUNTS, moved + live));
    let found = world.client.get("/v1/transfers/10000003");
    assert_eq!(
        (found.status, found.text("amount"), found.text("created_at")),
        (200, "3", "2020-09-13T12:26:40.000000002Z")
    );
    assert!(succeeds(&mut world.with_files(&["run"])).contains("\"opened\""), "running it again is a retry");
    let taken = fails(&mut world.with_files(&["run", "--dry-run"]));
    assert!(taken.contains("55000 ids already exist"), "{taken}");

    let world = world.restarted();
    assert_eq!(world.sums(), (2 + ACCOUNTS, moved + live));
    assert_eq!(world.client.get("/v1/transfers/10000003").body, found.body);
}

#[test]
fn an_import_that_was_killed_is_resumed() {
    let world = World::new(50_000);
    let mut running =
        world.with_files(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    eventually(|| world.import().filter(|import| import["transfers"].as_u64() > Some(0)));
    running.kill().expect("the process can be killed");
    running.wait().expect("the process ends");
    let world = world.restarted();
    let import = world.import().expect("the import was started");
    assert_eq!((world.sums(), import["accounts"].as_u64()), ((2, 0), Some(ACCOUNTS)));
    let id = import["id"].as_str().expect("an id").to_owned();
    assert_eq!(world.client.get("/v1/accounts/5").code(), "account_not_found");
    let reserved = world.client.post("/v1/accounts", &json!({"id": "5", "ledger": EUR, "code": 1}));
    assert_eq!((reserved.status, reserved.code()), (409, "id_reserved_by_import"));
    assert!(succeeds(&mut world.command(&["status", &id])).contains("\"staged\""));
    std::fs::copy(world.file("balances.csv"), world.file("kept.csv")).expect("a file");
    std::fs::write(world.file("balances.csv"), "id,balance\n").expect("a file");
    assert!(fails(&mut world.with_files(&["resume", &id])).contains("other files"));
    std::fs::copy(world.file("kept.csv"), world.file("balances.csv")).expect("a file");
    succeeds(&mut world.with_files(&["resume", &id]));
    assert_eq!(world.sums(), (2 + ACCOUNTS, 50_000 * 50_001 / 2));
}

#[test]
fn a_discarded_import_leaves_nothing_behind() {
    let world = World::new(9_000);
    let mut running =
        world.with_files(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let import = eventually(|| world.import().filter(|import| import["accounts"].as_u64() > Some(0)));
    running.kill().expect("the process can be killed");
    running.wait().expect("the process ends");
    let id = import["id"].as_str().expect("an id").to_owned();
    if world.import().is_some_and(|import| import["state"] == "opened") {
        return;
    }
    assert!(succeeds(&mut world.command(&["discard", &id])).contains("\"discarded\""));
    assert_eq!(world.client.post("/v1/accounts", &json!({"id": "5", "ledger": EUR, "code": 1})).status, 201);
    let world = world.restarted();
    assert_eq!((world.sums(), world.client.get("/v1/accounts/6").status), ((3, 0), 404));
    assert!(fails(&mut world.with_files(&["run"])).contains("was discarded"));
    let refused = fails(&mut world.with_files(&["run", "--id", "77"]));
    assert!(refused.contains("account 4 of the import was refused"), "{refused}");
}

#[test]
fn bad_rows_and_differences_are_listed() {
    let world = World::new(0);
    let accounts = "id,code,timestamp,flags\n1,7,5,\n2,x,6,history\n3,7,yesterday,\n4,7,8,golden\n1,7,9,\n";
    std::fs::write(world.file("accounts.csv"), accounts).expect("a file");
    std::fs::write(world.file("transfers.csv"), "id,debit_account_id,credit_account_id,amount,code\n9,1,8,5,1\n")
        .expect("a file");
    std::fs::write(world.file("balances.csv"), "id,balance\n1,-5\n").expect("a file");
    let told = fails(&mut world.with_files(&["run"]));
    for expected in [
        "accounts.csv, row 2, column `code`: found `x`, expected a whole number from 1 to 65535",
        "accounts.csv, row 3, column `timestamp`: found `yesterday`, expected an instant",
        "accounts.csv, row 4, column `flags`: found `golden`, expected names from linked",
        "accounts.csv, row 5: the row was already read",
        "transfers.csv, row 1: the credit account does not exist",
        "has 0 (0 credits, 0 debits), expected -5",
        "nothing was imported: 5 bad rows, 1 balances differ",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    assert_eq!(world.import(), None);
}

#[test]
fn balances_without_history_become_opening_transfers() {
    let world = World::new(0);
    std::fs::write(world.file("accounts.csv"), "id,code\n1,7\n2,7\n3,7\n").expect("a file");
    std::fs::write(world.file("balances.csv"), "id,debits_posted,credits_posted\n1,0,250\n2,40,0\n").expect("a file");
    let mut command = world.command(&["run", "--ledger", "978", "--opening-account", "3"]);
    command.arg("--accounts").arg(world.file("accounts.csv")).arg("--balances").arg(world.file("balances.csv"));
    succeeds(&mut command);
    assert_eq!(world.sums(), (5, 290));
    let account = |id: u32| world.client.get(&format!("/v1/accounts/{id}")).body;
    assert_eq!((&account(1)["credits_posted"], &account(2)["debits_posted"]), (&json!("250"), &json!("40")));
    assert_eq!((&account(3)["credits_posted"], &account(3)["debits_posted"]), (&json!("40"), &json!("250")));
}
