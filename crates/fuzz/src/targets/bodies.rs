//! Client requests: JSON, packed records and queries. Parsed commands are decided, journaled and replayed.

use api::packed::{AccountFilter, AccountRecord, QueryFilter, TransferRecord};
use ledger::{AccountFlags, TransferFlags};

use crate::Verdict;
use crate::desk::{Desk, check_problem};
use crate::history;
use crate::request::Call;

pub(super) fn json(request: &[u8]) -> Verdict {
    decide(request, |call| call.has_json_body())
}

pub(super) fn packed(request: &[u8]) -> Verdict {
    decide(request, |call| call.has_packed_body())
}

pub(super) fn query(request: &[u8]) -> Verdict {
    decide(request, |call| !call.has_json_body() && !call.has_packed_body())
}

fn decide(request: &[u8], is_ours: impl Fn(&Call<'_>) -> bool) -> Verdict {
    match Call::read(request) {
        Err(problem) => check_problem(&problem),
        Ok(call) if !is_ours(&call) => Verdict::Accepted,
        Ok(call) => {
            let desk = Desk::open();
            let verdict = call.answer(&desk);
            desk.close();
            verdict
        }
    }
}

fn named(requests: &[&[&str]]) -> Vec<(String, Vec<u8>)> {
    let requests = requests.iter().copied().flatten();
    (1..).zip(requests).map(|(number, request)| (format!("request-{number:02}"), request.as_bytes().to_vec())).collect()
}

pub(super) fn json_seeds() -> Vec<(String, Vec<u8>)> {
    named(&[history::REQUESTS, history::MORE])
}

pub(super) fn query_seeds() -> Vec<(String, Vec<u8>)> {
    named(&[history::QUESTIONS])
}

fn request(line: &str, records: &[&[u8]]) -> Vec<u8> {
    [line.as_bytes(), b"\n", &records.concat()].concat()
}

pub(super) fn packed_seeds() -> Vec<(String, Vec<u8>)> {
    let account = |id, flags: AccountFlags| {
        AccountRecord { id, ledger: 1, code: 7, flags: flags.bits(), ..AccountRecord::decode(&[0; 128]) }.encode()
    };
    let blank = TransferRecord::decode(&[0; 128]);
    let transfer = |id, flags: TransferFlags| {
        let between = TransferRecord { debit_account_id: 1, credit_account_id: 2, ledger: 1, code: 1, ..blank };
        TransferRecord { id, amount: 40, flags: flags.bits(), ..between }.encode()
    };
    let end = |id, pending_id, flags: TransferFlags| {
        TransferRecord { id, pending_id, amount: u128::MAX, flags: flags.bits(), ..blank }.encode()
    };
    let linked = TransferFlags::LINKED;
    let create = "POST /v1/packed/create-transfers";
    let filter = AccountFilter { account_id: 2, limit: 10, flags: 3, ..AccountFilter::decode(&[0; 128]) };
    let query = QueryFilter { ledger: 1, limit: 10, ..QueryFilter::decode(&[0; 64]) };
    let ids: Vec<[u8; 16]> = [2_u128, 77, 1].map(u128::to_le_bytes).to_vec();
    let ids: Vec<&[u8]> = ids.iter().map(<[u8; 16]>::as_slice).collect();
    let seeds: Vec<(&str, Vec<u8>)> = vec![
        (
            "accounts",
            request(
                "POST /v1/packed/create-accounts",
                &[
                    &account(101, AccountFlags::NONE),
                    &account(102, AccountFlags::ALL[0].1),
                    &account(102, AccountFlags::NONE),
                ],
            ),
        ),
        ("transfers", request(create, &[&transfer(201, TransferFlags::NONE), &transfer(7, TransferFlags::NONE)])),
        (
            "chain",
            request(
                "POST /v1/packed/create-transfers?balances=true",
                &[&transfer(202, linked), &transfer(203, linked), &transfer(204, TransferFlags::NONE), &[0; 128]],
            ),
        ),
        (
            "two-phase",
            request(
                create,
                &[
                    &transfer(205, TransferFlags::PENDING),
                    &end(206, 205, TransferFlags::POST_PENDING_TRANSFER),
                    &end(207, 8, TransferFlags::VOID_PENDING_TRANSFER),
                    &transfer(208, TransferFlags::BALANCING_DEBIT),
                ],
            ),
        ),
        ("import-accounts", history::imported_accounts()),
        ("import-transfers", history::imported_transfers()),
        ("lookup-accounts", request("POST /v1/packed/lookup-accounts", &ids)),
        ("lookup-transfers", request("POST /v1/packed/lookup-transfers", &ids)),
        ("account-transfers", request("POST /v1/packed/account-transfers", &[&filter.encode()])),
        ("query-transfers", request("POST /v1/packed/query-transfers", &[&query.encode()])),
    ];
    seeds.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

#[cfg(test)]
mod tests {
    use api::routes::Body;

    use super::*;

    #[test]
    fn every_route_with_a_body_is_attacked() {
        let all = [json_seeds(), packed_seeds()].concat();
        let attacked =
            |route: &api::Route| all.iter().any(|(_, seed)| Call::read(seed).is_ok_and(|call| call.is_of(route)));
        let has_body = |route: &&api::Route| matches!(route.body, Body::Json(_) | Body::Batch(_) | Body::Packed { .. });
        let bodies = api::ROUTES.iter().filter(has_body);
        let missing: Vec<&str> = bodies.filter(|route| !attacked(route)).map(|route| route.path).collect();
        // The code that other routes use reads these two as well.
        assert_eq!(missing, ["/v1/packed/account-balances", "/v1/packed/query-accounts"]);
    }
}
