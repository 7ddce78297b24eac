//! The packed interface over a real socket, and the Python example that uses it.

use std::path::Path;
use std::process::Command;

use api::packed::{self, AccountRecord, Balances, QueryFilter, ResultRecord, TransferRecord};
use serde_json::json;

use crate::harness::{Client, Server};

const PACKED: (&str, &str) = ("Content-Type", packed::MEDIA_TYPE);
const EUR: u32 = 978;

fn account(id: u128, ledger: u32) -> [u8; 128] {
    AccountRecord { id, ledger, code: 1, ..AccountRecord::decode(&[0; 128]) }.encode()
}

fn transfer(id: u128, debit: u128, credit: u128, amount: u128) -> [u8; 128] {
    let blank = TransferRecord::decode(&[0; 128]);
    let accounts = TransferRecord { debit_account_id: debit, credit_account_id: credit, ..blank };
    TransferRecord { id, amount, ledger: EUR, code: 1, ..accounts }.encode()
}

fn statuses(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|record| ResultRecord::decode(record).status).collect()
}

fn start(data: &Path) -> (Server, Client) {
    let server = Server::start(data);
    let client = server.client(server.key.as_deref().expect("the first start prints an API key"));
    assert_eq!(client.post("/v1/ledgers", &json!({"id": EUR, "asset": "EUR/2"})).status, 201);
    (server, client)
}

#[test]
fn accounts_are_found_in_both_directions_across_slices() {
    let data = tempfile::tempdir().expect("a directory");
    let (_server, client) = start(data.path());
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 840, "asset": "USD/2"})).status, 201);
    // Every third account is in the other ledger.
    let opened: Vec<u8> = (1..=2_500).flat_map(|id| account(id, if id % 3 == 0 { 840 } else { EUR })).collect();
    let answer = client.packed("/v1/packed/create-accounts", &opened);
    let time = |id: usize| ResultRecord::decode(&answer.as_chunks().0[id - 1]).timestamp;

    let blank = QueryFilter::decode(&[0; 64]);
    let found = |filter: QueryFilter| -> Vec<u128> {
        let answer = client.packed("/v1/packed/query-accounts", &filter.encode());
        answer.as_chunks().0.iter().map(|record| AccountRecord::decode(record).id).collect()
    };
    let whole: Vec<u128> = (1..=2_500).collect();
    let back: Vec<u128> = whole.iter().rev().copied().collect();
    let reversed = QueryFilter { limit: 8_190, flags: QueryFilter::REVERSED, ..blank };
    assert_eq!(found(QueryFilter { limit: 8_190, ..blank }), whole);
    assert_eq!(found(reversed), back);
    assert_eq!(found(QueryFilter { limit: 3, ..reversed }), [2_500, 2_499, 2_498]);
    assert_eq!(found(QueryFilter { ledger: 840, limit: 2, ..reversed }), [2_499, 2_496]);
    assert_eq!(found(QueryFilter { user_data_32: 9, ..reversed }), [0; 0]);
    let span = QueryFilter { timestamp_min: time(200), timestamp_max: time(2_300), ..reversed };
    assert_eq!(found(span), back[200..=2_300]);
    assert_eq!(found(QueryFilter { flags: 0, ..span }), whole[199..2_300]);
}

#[test]
fn a_batch_has_a_result_per_event_and_survives_a_crash() {
    const CREATED: u32 = ResultRecord::CREATED;
    let data = tempfile::tempdir().expect("a directory");
    let (server, client) = start(data.path());
    let accounts = [account(1, EUR), account(2, EUR), account(2, EUR), account(3, 7)].concat();
    let answer = client.packed("/v1/packed/create-accounts", &accounts);
    assert_eq!(
        statuses(&answer),
        [CREATED, CREATED, ResultRecord::ACCOUNT_EXISTS, 1001],
        "there is one result per event, in order"
    );

    let events = [transfer(9, 1, 2, 250), transfer(9, 1, 2, 250), transfer(9, 1, 2, 1), transfer(8, 1, 5, 1)];
    let answer = client.packed("/v1/packed/create-transfers", &events.concat());
    assert_eq!(statuses(&answer), [CREATED, ResultRecord::TRANSFER_EXISTS, 39, 22]);
    let again = client.packed("/v1/packed/create-transfers?balances=false", &events.concat());
    assert_eq!(statuses(&again), [ResultRecord::TRANSFER_EXISTS, ResultRecord::TRANSFER_EXISTS, 39, 68]);
    assert_eq!(again[..8], answer[..8], "a retry gets the original timestamp");

    let answer =
        client.packed("/v1/packed/create-transfers?balances=true", &[transfer(10, 2, 1, 50), [0; 128]].concat());
    assert_eq!(answer.len(), 2 * packed::RESULT_WITH_BALANCES_BYTES);
    let (balances, _) = answer[16..].as_chunks();
    let [debit, credit] = [0, 1].map(|side| Balances::decode(&balances[side]));
    assert_eq!((debit.debits_posted, debit.credits_posted), (50, 250));
    assert_eq!((credit.debits_posted, credit.credits_posted), (250, 50));
    assert_eq!(answer[144..][8..12], 5_u32.to_le_bytes(), "id_must_not_be_zero");
    assert_eq!(answer[160..], [0; 128], "a refused event has no balances");
    assert!(client.packed("/v1/packed/create-transfers", &[]).is_empty(), "an empty batch gets an empty response");

    let key = server.key.clone().expect("a key");
    server.kill();
    let server = Server::start(data.path());
    let client = server.client(&key);
    let ids: Vec<u8> = [2_u128, 77, 1, 2].into_iter().flat_map(u128::to_le_bytes).collect();
    let answer = client.packed("/v1/packed/lookup-accounts", &ids);
    let found: Vec<_> = answer.as_chunks().0.iter().map(AccountRecord::decode).collect();
    assert_eq!(
        found.iter().map(|account| account.id).collect::<Vec<_>>(),
        [2, 1, 2],
        "the accounts are in the order of the request, without 77"
    );
    assert_eq!((found[0].debits_posted, found[0].credits_posted, found[0].ledger), (50, 250, EUR));
    let ids: Vec<u8> = [10_u128, 8, 9].into_iter().flat_map(u128::to_le_bytes).collect();
    let answer = client.packed("/v1/packed/lookup-transfers", &ids);
    let found: Vec<_> = answer.as_chunks().0.iter().map(TransferRecord::decode).collect();
    assert_eq!(found.iter().map(|transfer| (transfer.id, transfer.amount)).collect::<Vec<_>>(), [(10, 50), (9, 250)]);
    assert!(found[0].timestamp > found[1].timestamp);
}

#[test]
fn a_batch_of_wrong_length_or_kind_is_rejected_completely() {
    let data = tempfile::tempdir().expect("a directory");
    let (_server, client) = start(data.path());
    let refused = |path: &str, media_type, body: &[u8]| {
        let reply = client.send(path, &[media_type], body);
        (reply.status, reply.code().to_owned(), reply.text("detail").to_owned())
    };
    let path = "/v1/packed/create-accounts";
    let (status, code, detail) = refused(path, PACKED, &account(1, EUR)[..127]);
    assert_eq!((status, code.as_str()), (400, "invalid_batch_length"));
    assert_eq!(detail, "found 127 bytes, expected a multiple of 128");
    let most = account(1, EUR).repeat(packed::EVENTS_MAX);
    let (status, code, detail) = refused(path, PACKED, &[most.as_slice(), &[0; 128]].concat());
    assert_eq!((status, code.as_str()), (400, "too_many_events"));
    assert_eq!(detail, "found 1048448 bytes, expected at most 8190 records of 128: 1048320 bytes");
    let (status, code, _) = refused(path, ("Content-Type", "application/octet-stream"), &account(1, EUR));
    assert_eq!((status, code.as_str()), (415, "unsupported_media_type"));
    let (status, code, _) = refused("/v1/packed/create-transfers?balances=1", PACKED, &[]);
    assert_eq!((status, code.as_str()), (400, "invalid_parameter"));
    assert!(client.packed("/v1/packed/lookup-accounts", &1_u128.to_le_bytes()).is_empty(), "no account was created");
    let answer = client.packed(path, &most);
    assert_eq!(statuses(&answer).len(), packed::EVENTS_MAX, "a batch may have this size");
}

#[test]
fn the_example_in_python_runs() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/packed.py");
    let mut python = Command::new("python3");
    let Ok(output) = python.arg(example).arg(&server.address).arg(server.key.as_deref().expect("a key")).output()
    else {
        eprintln!("SKIPPED: there is no python3 here");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = "accounts: [4294967295, 4294967295]\n\
                    created debit: [0, 250, 0, 0] credit: [0, 0, 0, 250]\n\
                    status 12 debit: [0, 0, 0, 0] credit: [0, 0, 0, 0]\n\
                    created debit: [0, 50, 0, 250] credit: [0, 250, 0, 50]\n\
                    account 1: [0, 250, 0, 50]\n\
                    account 2: [0, 50, 0, 250]\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}
