//! More transfers than the ledger keeps in memory: the server is killed under load, its derived files are lost or
//! damaged, and pending transfers outlive their generation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use api::packed::{AccountFilter, AccountRecord, EVENTS_MAX, ResultRecord, TransferRecord};
use ledger::TransferFlags;
use serde_json::json;

use crate::harness::{Client, Server, eventually};

const CREATED: u32 = ResultRecord::CREATED;
const EXISTS: u32 = ResultRecord::TRANSFER_EXISTS;
const CREDIT_ACCOUNT_NOT_FOUND: u32 = 22;
const ID_ALREADY_FAILED: u32 = 68;

const ACCOUNTS: u128 = 40;
/// More than two generations of the index, which have 262,144 entries each.
const TRANSFERS: u64 = 540_000;

fn start(data: &Path) -> (Server, String) {
    let server = Server::start(data);
    let key = server.key.clone().expect("the first start prints an API key");
    let client = server.client(&key);
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);
    let blank = AccountRecord::decode(&[0; 128]);
    let accounts = (1..=ACCOUNTS).map(|id| AccountRecord { id, ledger: 1, code: 1, ..blank }.encode());
    let answer = client.packed("/v1/packed/create-accounts", &accounts.collect::<Vec<_>>().concat());
    assert!(statuses(&answer).iter().all(|status| *status == CREATED));
    (server, key)
}

fn statuses(answer: &[u8]) -> Vec<u32> {
    answer.as_chunks().0.iter().map(|record| ResultRecord::decode(record).status).collect()
}

fn create(client: &Client, transfers: &[TransferRecord]) -> Vec<u32> {
    statuses(&client.packed("/v1/packed/create-transfers", &pack(transfers)))
}

fn pack(transfers: &[TransferRecord]) -> Vec<u8> {
    transfers.iter().flat_map(TransferRecord::encode).collect()
}

fn look_up(client: &Client, ids: &[u128]) -> Vec<TransferRecord> {
    let batches = ids.chunks(EVENTS_MAX).map(|ids| ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<_>>());
    batches.flat_map(|body| transfers(&client.packed("/v1/packed/lookup-transfers", &body))).collect()
}

fn transfers(answer: &[u8]) -> Vec<TransferRecord> {
    answer.as_chunks().0.iter().map(TransferRecord::decode).collect()
}

fn accounts(client: &Client) -> Vec<AccountRecord> {
    let ids: Vec<u8> = (1..=ACCOUNTS).flat_map(u128::to_le_bytes).collect();
    client.packed("/v1/packed/lookup-accounts", &ids).as_chunks().0.iter().map(AccountRecord::decode).collect()
}

/// Returns all transfers out of an account, in order.
fn debits_of(client: &Client, account_id: u128) -> Vec<TransferRecord> {
    let mut found: Vec<TransferRecord> = vec![];
    loop {
        let timestamp_min = found.last().map_or(0, |last| last.timestamp + 1);
        let limit = u32::try_from(EVENTS_MAX).expect("few");
        let blank = AccountFilter::decode(&[0; 128]);
        let filter = AccountFilter { account_id, timestamp_min, limit, flags: AccountFilter::DEBITS, ..blank };
        let page = transfers(&client.packed("/v1/packed/account-transfers", &filter.encode()));
        let is_last = page.len() < EVENTS_MAX;
        found.extend(page);
        if is_last {
            return found;
        }
    }
}

/// The n-th transfer of a caller. The ids of one caller increase, those of the other are random. Some transfers fail
/// permanently.
fn nth(caller: u64, number: u64) -> TransferRecord {
    let id = match caller {
        0 => 1 << 64 | u128::from(number),
        _ => u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 32 | 7,
    };
    let debit = 1 + u128::from(number) % ACCOUNTS;
    let credit =
        if number % 997 == 5 { 999 } else { 1 + (debit + u128::from(number / 64) % (ACCOUNTS - 1)) % ACCOUNTS };
    TransferRecord {
        id,
        debit_account_id: debit,
        credit_account_id: credit,
        amount: 1 + u128::from(number % 89),
        user_data_64: number,
        ledger: 1,
        code: 1,
        ..TransferRecord::decode(&[0; 128])
    }
}

fn is_refused(transfer: &TransferRecord) -> bool {
    transfer.credit_account_id > ACCOUNTS
}

/// One in this many transfers is looked up by id, which is slow; all are looked up through their accounts.
const LOOKED_UP: usize = 7;

/// The transfers that were sent, by what is known about them.
#[derive(Default)]
struct Sent {
    acknowledged: Vec<TransferRecord>,
    /// Sent, but the connection broke before the response.
    unanswered: Vec<TransferRecord>,
}

/// Lets two callers send batches until enough are acknowledged, and kills the server under them.
fn load_and_kill(server: Server, key: &str) -> Sent {
    let acknowledged = AtomicU64::new(0);
    let sent: Vec<Sent> = std::thread::scope(|scope| {
        let callers: Vec<_> = [0, 1]
            .map(|caller| {
                let (client, acknowledged) = (server.client(key), &acknowledged);
                scope.spawn(move || {
                    let mut sent = Sent::default();
                    for first in (0..).step_by(EVENTS_MAX) {
                        let batch: Vec<_> = (first..first + EVENTS_MAX as u64).map(|n| nth(caller, n)).collect();
                        let Some(answer) = client.try_packed("/v1/packed/create-transfers", &pack(&batch)) else {
                            sent.unanswered = batch;
                            break;
                        };
                        let expected = |transfer| if is_refused(transfer) { CREDIT_ACCOUNT_NOT_FOUND } else { CREATED };
                        assert!(statuses(&answer).into_iter().eq(batch.iter().map(expected)));
                        acknowledged.fetch_add(batch.len() as u64, Ordering::Relaxed);
                        sent.acknowledged.extend(batch);
                    }
                    sent
                })
            })
            .into_iter()
            .collect();
        eventually_within(60, || (acknowledged.load(Ordering::Relaxed) >= TRANSFERS).then_some(()));
        server.kill();
        callers.into_iter().map(|caller| caller.join().expect("a caller ends")).collect()
    });
    let [mut all, other] = <[Sent; 2]>::try_from(sent).unwrap_or_else(|_| panic!("two callers"));
    all.acknowledged.extend(other.acknowledged);
    all.unanswered.extend(other.unanswered);
    all
}

/// A server's answers about the past.
#[derive(PartialEq, Eq)]
struct Answers {
    accounts: Vec<AccountRecord>,
    debits: Vec<Vec<TransferRecord>>,
    found: Vec<TransferRecord>,
}

fn ask(client: &Client, of_accounts: std::ops::RangeInclusive<u128>, ids: &[u128]) -> Answers {
    let debits = of_accounts.map(|account| debits_of(client, account)).collect();
    Answers { accounts: accounts(client), debits, found: look_up(client, ids) }
}

#[test]
fn acknowledged_transfers_survive_a_kill_and_the_loss_of_derived_files() {
    let data = tempfile::tempdir().expect("a directory");
    let (server, key) = start(data.path());
    let mut sent = load_and_kill(server, &key);
    let server = Server::start(data.path());
    let client = server.client(&key);

    // A transfer in flight exists once or not at all.
    let ids: Vec<u128> = sent.unanswered.iter().map(|transfer| transfer.id).collect();
    let survived: BTreeSet<u128> = look_up(&client, &ids).iter().map(|transfer| transfer.id).collect();
    for batch in sent.unanswered.chunks(EVENTS_MAX) {
        for (transfer, status) in batch.iter().zip(create(&client, batch)) {
            match (is_refused(transfer), survived.contains(&transfer.id)) {
                (true, _) => assert!([CREDIT_ACCOUNT_NOT_FOUND, ID_ALREADY_FAILED].contains(&status)),
                (false, true) => assert_eq!(status, EXISTS),
                (false, false) => assert_eq!(status, CREATED),
            }
        }
    }
    sent.acknowledged.append(&mut sent.unanswered);

    let ids: Vec<u128> = sent.acknowledged.iter().map(|transfer| transfer.id).collect();
    let answers = ask(&client, 1..=ACCOUNTS, &ids.iter().copied().step_by(LOOKED_UP).collect::<Vec<_>>());
    check(&answers, &sent.acknowledged);
    check_ids(&client, &sent.acknowledged);
    let some: Vec<u128> = ids.iter().copied().step_by(61).collect();
    let answers = ask(&client, 1..=2, &some);
    eventually(|| (client.get("/v1/index").body["idle"] == true).then_some(()));
    drop(server);

    let index = data.path().join("index");
    let damages: [(&str, &dyn Fn()); 4] = [
        ("nothing is lost", &|| {}),
        ("the whole index is lost", &|| std::fs::remove_dir_all(&index).expect("it goes")),
        ("a file of the index is lost", &|| std::fs::remove_file(&runs(&index)[1]).expect("it goes")),
        ("a byte of the index is changed", &|| flip(&runs(&index)[1], 4096)),
    ];
    for (damage, make) in damages {
        make();
        let server = Server::start(data.path());
        let client = server.client(&key);
        check_ids(&client, &sent.acknowledged);
        assert!(ask(&client, 1..=2, &some) == answers, "{damage}");
        assert_eq!(server.log().contains("rebuilt"), damage != "nothing is lost", "{damage}: {}", server.log());
        // Wait until the files exist before the next one is removed.
        eventually(|| (client.get("/v1/index").body["idle"] == true).then_some(()));
    }

    // A lookup finds damage that the start did not read. The server rebuilds the index before it decides.
    flip(&runs(&index)[0], 2 * 4096 + 100);
    let server = Server::start(data.path());
    let client = server.client(&key);
    let made = sent.acknowledged.iter().find(|transfer| !is_refused(transfer)).expect("most transfers were created");
    let repeat =
        || client.packed_once("/v1/packed/create-transfers", &made.encode()).filter(|(status, _)| *status == 200);
    server.logs("serving again");
    assert_eq!(statuses(&eventually_within(60, repeat).1), [EXISTS]);
    check_ids(&client, &sent.acknowledged);
    assert!(ask(&client, 1..=2, &some) == answers);
    assert!(server.log().contains("rebuilding the index"), "{}", server.log());
    assert!(server.stop().success());

    damage_to_the_journal_is_not_hidden_by_a_restart(data.path(), &key, &sent.acknowledged);
}

/// A start from the index does not read the journal before it, so a later lookup for a repeated request finds the
/// damage there. The damage stops writes and nothing else, also after a restart.
fn damage_to_the_journal_is_not_hidden_by_a_restart(data: &Path, key: &str, sent: &[TransferRecord]) {
    let segment = data.join("journal/segment-00000001");
    let server = Server::start(data);
    let client = server.client(key);
    flip(&segment, 500_000);
    let repeat = |client: &Client, batch: &[TransferRecord]| {
        client.packed_once("/v1/packed/create-transfers", &pack(batch)).expect("the server answers")
    };
    let mut batches = sent.chunks(EVENTS_MAX);
    let problem = loop {
        let batch = batches.next().expect("one batch looks up a damaged transfer");
        let (status, body) = repeat(&client, batch);
        if status != 200 {
            break String::from_utf8_lossy(&body).into_owned();
        }
    };
    assert!(
        problem.contains("journal_damaged") && problem.contains("segment-00000001 is damaged at byte"),
        "{problem}"
    );
    let accounts_before = accounts(&client);
    assert_eq!(look_up(&client, &[sent[sent.len() - 1].id]).len(), usize::from(!is_refused(&sent[sent.len() - 1])));
    assert_eq!(repeat(&client, &sent[..1]).0, 503, "all writes are refused");
    server.logs("writes are refused");
    assert!(server.stop().success());

    let server = Server::start(data);
    let client = server.client(key);
    server.logs("checking a segment in which damage was found earlier");
    assert_eq!(repeat(&client, &sent[..1]).0, 503, "the damage is known after a restart");
    assert!(accounts(&client) == accounts_before, "reads still work");
    assert!(server.stop().success());

    flip(&segment, 500_000);
    let server = Server::start(data);
    assert_eq!(repeat(&server.client(key), &sent[..1]).0, 200, "the segment is intact again");
    assert!(server.stop().success());
}

/// Lists the files of the index, the oldest first.
fn runs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let is_run = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("run-"));
    let mut files: Vec<_> = files.filter(is_run).collect();
    files.sort();
    files
}

fn flip(file: &Path, offset: usize) {
    let mut bytes = std::fs::read(file).expect("a file");
    bytes[offset] ^= 1;
    std::fs::write(file, bytes).expect("a file");
}

/// Checks that the answers follow from the transfers.
fn check(answers: &Answers, sent: &[TransferRecord]) {
    let made: Vec<&TransferRecord> = sent.iter().filter(|transfer| !is_refused(transfer)).collect();
    assert!(made.len() as u64 > TRANSFERS / 100 * 99);
    let bare = |transfer: &TransferRecord| TransferRecord { timestamp: 0, ..*transfer };
    let looked_up = sent.iter().step_by(LOOKED_UP).filter(|transfer| !is_refused(transfer));
    assert!(answers.found.iter().map(bare).eq(looked_up.copied()), "lookups return the transfers as they were sent");
    let mut balances: BTreeMap<u128, (u128, u128)> = (1..=ACCOUNTS).map(|id| (id, (0, 0))).collect();
    for transfer in &made {
        balances.entry(transfer.debit_account_id).or_default().0 += transfer.amount;
        balances.entry(transfer.credit_account_id).or_default().1 += transfer.amount;
    }
    let shown = answers.accounts.iter().map(|account| (account.id, (account.debits_posted, account.credits_posted)));
    assert_eq!(shown.collect::<BTreeMap<_, _>>(), balances);
    let mut listed: Vec<TransferRecord> = answers.debits.iter().flatten().copied().collect();
    for of_account in &answers.debits {
        assert!(of_account.is_sorted_by_key(|transfer| transfer.timestamp));
    }
    let mut made: Vec<TransferRecord> = made.into_iter().copied().collect();
    made.sort_unstable_by_key(|transfer| transfer.id);
    listed.sort_unstable_by_key(|transfer| transfer.id);
    assert!(listed.iter().map(bare).eq(made), "each transfer is listed once for its account");
}

/// Checks that used ids stay used, including the first ones.
fn check_ids(client: &Client, sent: &[TransferRecord]) {
    let first = sent[0];
    let failed = *sent.iter().find(|transfer| is_refused(transfer)).expect("some fail");
    let last = sent[sent.len() - 1];
    assert_eq!(create(client, &[first, failed, last]), [EXISTS, ID_ALREADY_FAILED, EXISTS]);
    assert_eq!(create(client, &[TransferRecord { amount: 999, ..first }]), [39], "exists_with_different_amount");
}

/// As [`eventually`], with a longer limit.
#[expect(clippy::disallowed_methods, reason = "waiting for another process")]
fn eventually_within<T>(seconds: u64, mut attempt: impl FnMut() -> Option<T>) -> T {
    for _ in 0..seconds * 100 {
        if let Some(found) = attempt() {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it did not happen within {seconds} seconds")
}

/// Pending transfers of the first generation are resolved after the ledger has dropped them from memory.
#[test]
fn pending_transfers_can_be_resolved_after_the_ledger_dropped_their_generation() {
    const PENDING_TRANSFER_ALREADY_POSTED: u32 = 33;
    const PENDING_TRANSFER_ALREADY_VOIDED: u32 = 34;
    const PENDING_TRANSFER_EXPIRED: u32 = 35;
    let data = tempfile::tempdir().expect("a directory");
    let (mut server, key) = start(data.path());
    let blank = TransferRecord::decode(&[0; 128]);
    let hold = |id: u128, amount, timeout| TransferRecord {
        id,
        debit_account_id: 1,
        credit_account_id: 2,
        amount,
        timeout,
        ledger: 1,
        code: 1,
        flags: TransferFlags::PENDING.bits(),
        ..blank
    };
    let end = |id, pending_id, flags: TransferFlags, amount| TransferRecord {
        id,
        pending_id,
        amount,
        flags: flags.bits(),
        ..blank
    };
    let post = |id, pending_id, amount| end(id, pending_id, TransferFlags::POST_PENDING_TRANSFER, amount);
    let void = |id, pending_id| end(id, pending_id, TransferFlags::VOID_PENDING_TRANSFER, 0);
    let made = |records: &[TransferRecord], client: &Client| {
        let results = create(client, records);
        assert!(results.iter().all(|status| *status == CREATED), "{results:?}");
    };
    let pending = |client: &Client| accounts(client)[0].debits_pending;
    let posted = |client: &Client| accounts(client)[0].debits_posted;

    let client = server.client(&key);
    made(&[hold(1, 1, 0), hold(2, 10, 0), hold(3, 100, 1), hold(4, 1_000, 0), hold(5, 10_000, 0)], &client);
    made(&[hold(6, 100_000, 1_000_000), hold(7, 1_000_000, 0), post(104, 4, u128::MAX), void(105, 5)], &client);
    eventually(|| (pending(&client) == 1_100_011).then_some(()));
    fill(&client, 0);
    let already = [PENDING_TRANSFER_ALREADY_POSTED, PENDING_TRANSFER_ALREADY_VOIDED, PENDING_TRANSFER_EXPIRED];
    for round in 0..2 {
        let client = server.client(&key);
        // Resolve again what was resolved long ago, with new ids and with the original ids.
        let fresh = 1_000 + 10 * round;
        let again = [post(fresh, 4, u128::MAX), void(fresh + 1, 5), void(fresh + 2, 3)];
        assert_eq!(create(&client, &again), already);
        let again = [hold(4, 1_000, 0), post(104, 4, u128::MAX), void(105, 5), hold(3, 100, 1)];
        assert_eq!(create(&client, &again), [EXISTS; 4]);
        assert_eq!(create(&client, &[post(104, 4, 999), post(104, 6, 1)]), [39, 40]);
        assert_eq!((pending(&client), posted(&client)), (1_100_011, 1_000));
        server.kill();
        server = Server::start(data.path());
    }

    // Now resolve the transfers that are still pending.
    let client = server.client(&key);
    assert_eq!(create(&client, &[post(106, 6, 100_001), void(102, 2)]), [31, CREATED]);
    made(&[post(101, 1, u128::MAX), post(106, 6, 70_000)], &client);
    assert_eq!((pending(&client), posted(&client)), (1_000_000, 71_001));
    assert_eq!(create(&client, &[void(201, 1), void(202, 2), void(206, 6)]), [33, 34, 33]);
    // After a second generation, everything comes from the index.
    fill(&client, 1);
    server.kill();
    let server = Server::start(data.path());
    let client = server.client(&key);
    assert_eq!(create(&client, &[void(201, 1), void(202, 2), void(206, 6), void(203, 3)]), [33, 34, 33, 35]);
    assert_eq!(create(&client, &[post(101, 1, u128::MAX), post(106, 6, 70_000), hold(1, 1, 0)]), [EXISTS; 3]);
    let states = [(1, "posted"), (2, "voided"), (3, "expired"), (4, "posted"), (6, "posted"), (7, "pending")];
    for (id, state) in states {
        assert_eq!(client.get(&format!("/v1/transfers/{id}")).text("state"), state, "transfer {id}");
    }
    made(&[void(107, 7)], &client);
    assert_eq!((pending(&client), posted(&client)), (0, 71_001));
}

/// Fills a generation with transfers between unrelated accounts, and waits until the ledger has dropped it from memory.
fn fill(client: &Client, generation: u64) {
    const GENERATION_ENTRIES: u64 = 262_144;
    let first = generation * (GENERATION_ENTRIES + 70_000);
    for first in (first..first + GENERATION_ENTRIES + 66_000).step_by(EVENTS_MAX) {
        let between = |n| TransferRecord { debit_account_id: 3, credit_account_id: 4, ..nth(0, n) };
        let batch: Vec<_> = (first..first + EVENTS_MAX as u64).map(between).collect();
        assert!(create(client, &batch).iter().all(|status| [CREATED, EXISTS].contains(status)));
    }
    eventually(|| (client.get("/v1/index").body["idle"] == true).then_some(()));
    let runs = client.get("/v1/index").body["runs"].as_u64();
    assert!(runs >= Some(generation + 1), "{runs:?}");
}
