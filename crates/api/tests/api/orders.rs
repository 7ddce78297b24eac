//! Parsing orders: an invalid one gets an error that names the place, what was found and what was expected.

use api::{IdSource, IdempotencyKey, Parameters, filters, orders};
use engine::AccountFilter;
use ledger::{NewTransfer, TransferFlags};
use types::{Amount, Code, Digest, LedgerId, TenantId};

use crate::support::{NO_KEY, SECRET, check};

#[track_caller]
fn account(body: &str, code: &str, field: &str, detail: &str) {
    check(orders::account(&NO_KEY, body.as_bytes()), code, field, detail);
}

#[track_caller]
fn transfer(body: &str, code: &str, field: &str, detail: &str) {
    check(orders::transfer(&NO_KEY, body.as_bytes()), code, field, detail);
}

#[test]
fn an_account_has_either_an_id_or_a_key() {
    let body = r#"{"ledger": 978, "code": 10}"#;
    account(body, "id_required", "/id", "expected `id` or the header Idempotency-Key, found neither");
    let key = IdempotencyKey::parse(b"order-4711").expect("a key");
    let keyed = IdSource { key: Some(&key), ..NO_KEY };
    let both = orders::account(&keyed, br#"{"id": "7", "ledger": 978, "code": 10}"#);
    check(both, "id_and_idempotency_key", "/id", "expected `id` or the header Idempotency-Key, found both");
    let of = |secret: Digest, tenant: u32, key: &str| {
        let key = IdempotencyKey::parse(key.as_bytes()).expect("a key");
        let source = IdSource { secret, tenant: TenantId::new(tenant), key: Some(&key) };
        orders::account(&source, body.as_bytes()).expect("an account").request
    };
    assert_eq!(of(SECRET, 1, "a"), of(SECRET, 1, "a"));
    assert_ne!(of(SECRET, 1, "a"), of(SECRET, 1, "b"));
    assert_ne!(of(SECRET, 1, "a"), of(SECRET, 2, "a"));
    assert_ne!(of(SECRET, 1, "a"), of(Digest::new([8; 32]), 1, "a"), "the id depends on the secret");
    assert_ne!(of(SECRET, 1, "a"), keyed.verb().expect("a request id"));
}

#[test]
fn ids_are_strings() {
    let with = |id: &str, detail: &str| {
        account(&format!(r#"{{"id": {id}, "ledger": 1, "code": 1}}"#), "invalid_field", "/id", detail);
    };
    with("7", "found the number 7, expected a string with an id");
    with("7.5", "found the number 7.5, expected a string with an id");
    with("\"x\"", "`x` is not a 128-bit id: write a hyphenated UUID or a decimal number, in a string");
    with("\"0\"", "an id must be neither 0 nor 2^128 - 1");
}

#[test]
fn flags_have_names() {
    const KNOWN: &str = "expected one of linked, debits_must_not_exceed_credits, \
        credits_must_not_exceed_debits, history, imported, closed, policy_only";
    let with = |flags: &str, field: &str, detail: &str| {
        account(&format!(r#"{{"id": "7", "ledger": 1, "code": 1, "flags": {flags}}}"#), "invalid_field", field, detail);
    };
    with("\"history\"", "/flags", "found a string, expected an array");
    with("[\"history\", 3]", "/flags/1", &format!("found the number 3, {KNOWN}"));
    with("[\"pending\"]", "/flags/0", &format!("found `pending`, {KNOWN}"));
    with("[\"history\", \"history\"]", "/flags/1", "`history` is given twice");
}

#[test]
fn user_data_keeps_every_digit() {
    let with = |field: &str, value: &str, detail: &str| {
        let body = format!(r#"{{"id": "7", "ledger": 1, "code": 1, "{field}": {value}}}"#);
        account(&body, "invalid_field", &format!("/{field}"), detail);
    };
    const WIDE: &str = "expected a string with a decimal below 2^128 or a hyphenated UUID";
    with("user_data_128", "5", &format!("found the number 5, {WIDE}"));
    with("user_data_128", "\"-5\"", &format!("found `-5`, {WIDE}"));
    with(
        "user_data_64",
        "\"18446744073709551616\"",
        "found `18446744073709551616`, expected a string with a decimal below 2^64",
    );
    with("user_data_32", "4294967296", "found 4294967296, expected a whole number from 0 to 4294967295");
}

const PLAIN: &str = r#""id": "7", "debit_account": "1", "credit_account": "2", "asset": "EUR/2", "code": 1"#;

#[test]
fn a_transfer_needs_a_valid_amount_and_an_asset() {
    let with = |rest: &str, code: &str, field: &str, detail: &str| {
        transfer(&format!("{{{PLAIN}{rest}}}"), code, field, detail)
    };
    const EXPECTED: &str = "expected a string with a whole number of minor units, such as \"1250\"";
    with("", "missing_field", "/amount", "the field `amount` is required");
    with(r#", "amount": 1250"#, "invalid_field", "/amount", &format!("found the number 1250, {EXPECTED}"));
    with(
        r#", "amount": "12.50""#,
        "invalid_field",
        "/amount",
        "`12.50` is not a whole number of minor units, such as \"1250\"",
    );
    with(
        r#", "amount": "max""#,
        "invalid_field",
        "/amount",
        "`max` requires the flag post_pending_transfer, balancing_debit or balancing_credit",
    );
    with(
        r#", "amount": "1", "timeout_s": 0"#,
        "invalid_field",
        "/timeout_s",
        "found 0, expected a whole number from 1 to 4294967295",
    );
    transfer(r#"{"id": "7", "amount": "1"}"#, "missing_field", "/asset", "the field `asset` is required");
}

#[test]
fn a_reserved_id_is_not_taken_for_an_address() {
    for id in ["0", "340282366920938463463374607431768211455", "ffffffff-ffff-ffff-ffff-ffffffffffff"] {
        for side in ["debit_account", "credit_account"] {
            let body = format!(r#"{{"id": "7", "amount": "1", "asset": "EUR/2", "code": 1, "{side}": "{id}"}}"#);
            let detail = format!("found `{id}`, but an account id must be neither 0 nor 2^128 - 1");
            transfer(&body, "invalid_field", &format!("/{side}"), &detail);
        }
    }
}

#[test]
fn an_address_does_not_look_like_an_id() {
    const TOO_LARGE: &str = "340282366920938463463374607431768211456";
    for address in ["0", "77", "007", TOO_LARGE, "00000000-0000-0000-0000-000000000000"] {
        let body = format!(r#"{{"id": "7", "ledger": 1, "code": 1, "address": "{address}"}}"#);
        let detail = format!("found `{address}`, which can be read as an id, expected an address");
        account(&body, "invalid_field", "/address", &detail);
    }
    let named = orders::account(&NO_KEY, br#"{"id": "7", "ledger": 1, "code": 1, "address": "0:7"}"#);
    assert!(named.expect("an account").operation.0.address.is_some());
}

#[track_caller]
fn made(body: &str) -> NewTransfer {
    let parsed = orders::transfer(&NO_KEY, body.as_bytes()).expect("a transfer");
    parsed.operation.0.new
}

#[test]
fn a_transfer_may_leave_its_ledger_to_the_engine() {
    assert_eq!(made(&format!("{{{PLAIN}, \"amount\": \"5\"}}")).ledger, LedgerId::default());
    assert_eq!(made(&format!("{{{PLAIN}, \"amount\": \"5\", \"ledger\": 3}}")).ledger, LedgerId::new(3));
}

#[test]
fn a_post_or_void_inherits_what_it_leaves_out() {
    let new = made(r#"{"id": "7", "pending_id": "6", "amount": "max", "flags": ["post_pending_transfer"]}"#);
    assert_eq!((new.amount, new.ledger, new.code.get(), new.debit.get()), (Amount::MAX, LedgerId::default(), 0, 0));
    let new = made(r#"{"id": "7", "pending_id": "6", "flags": ["void_pending_transfer"]}"#);
    assert_eq!((new.amount, new.flags), (Amount::ZERO, TransferFlags::VOID_PENDING_TRANSFER));
    let keep = r#"{"id": "7", "pending_id": "6", "flags": ["post_pending_transfer"]}"#;
    transfer(keep, "missing_field", "/amount", "the field `amount` is required");
}

#[test]
fn a_batch_has_1_to_1000_orders() {
    let batch = |body: &str, code: &str, field: &str, detail: &str| {
        check(orders::transfers(&NO_KEY, body.as_bytes()), code, field, detail);
    };
    const EXPECTED: &str = "expected an array of 1 to 1000 transfers";
    batch("{}", "missing_field", "/transfers", "the field `transfers` is required");
    batch(r#"{"transfers": {}}"#, "invalid_field", "/transfers", &format!("found an object, {EXPECTED}"));
    batch(r#"{"transfers": []}"#, "invalid_field", "/transfers", &format!("found an array of 0, {EXPECTED}"));
    let many = format!(r#"{{"transfers": [{}]}}"#, vec!["{}"; 1_001].join(","));
    batch(&many, "invalid_field", "/transfers", &format!("found an array of 1001, {EXPECTED}"));
}

#[test]
fn an_error_in_a_batch_names_its_place() {
    let batch = |order: &str, code: &str, field: &str, detail: &str| {
        let body = format!(r#"{{"accounts": [{{"id": "1", "ledger": 1, "code": 1}}, {order}]}}"#);
        check(orders::accounts(&NO_KEY, body.as_bytes()), code, field, detail);
    };
    batch("5", "invalid_field", "/accounts/1", "found the number 5, expected an object");
    batch("{}", "id_required", "/accounts/1/id", "expected `id` or the header Idempotency-Key, found neither");
    batch(
        r#"{"id": "2", "ledger": 1, "code": 0}"#,
        "invalid_field",
        "/accounts/1/code",
        "found 0, expected a whole number from 1 to 65535",
    );
    batch(
        r#"{"id": "2", "ledger": 1, "code": 1, "flags": ["closed", "closed"]}"#,
        "invalid_field",
        "/accounts/1/flags/1",
        "`closed` is given twice",
    );
    batch(
        r#"{"id": "2", "colour": 1}"#,
        "unknown_field",
        "/accounts/1/colour",
        "there is no field `colour`, expected one of id, ledger, code, flags, user_data_128, user_data_64, user_data_32, \
         timestamp, address, limits, metadata",
    );
}

#[test]
fn a_key_gives_every_order_of_a_batch_its_own_id() {
    let key = IdempotencyKey::parse(b"payroll-11").expect("a key");
    let keyed = IdSource { key: Some(&key), ..NO_KEY };
    let body = br#"{"accounts": [{"ledger": 1, "code": 1}, {"ledger": 1, "code": 1}]}"#;
    let ids = || {
        let orders = orders::accounts(&keyed, body).expect("accounts").operation.0;
        orders.iter().map(|order| order.new.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(), ids());
    assert_ne!(ids()[0], ids()[1]);
}

#[test]
fn filters_combine() {
    const KNOWN: [&str; 5] = ["ledger", "code", "user_data_128", "user_data_64", "user_data_32"];
    let read = |query: &str| filters::accounts(&Parameters::parse(query, &KNOWN).expect("parameters"));
    let filter = AccountFilter {
        ledger: Some(LedgerId::new(978)),
        code: Some(Code::new(10)),
        user_data_128: Some(1 << 64),
        user_data_32: Some(7),
        ..AccountFilter::default()
    };
    assert_eq!(read("ledger=978&code=10&user_data_128=18446744073709551616&user_data_32=7"), Ok(filter));
    assert_eq!(read(""), Ok(AccountFilter::default()));
    let refused = |query: &str, field: &str, detail: &str| check(read(query), "invalid_parameter", field, detail);
    refused("code=0", "code", "found `0`, expected a code, a whole number from 1 to 65535");
    refused("code=70000", "code", "found `70000`, expected a code, a whole number from 1 to 65535");
    refused("user_data_64=0", "user_data_64", "found `0`, expected a decimal from 1 to 2^64 - 1");
    refused("user_data_32=4294967296", "user_data_32", "found `4294967296`, expected a decimal from 1 to 2^32 - 1");
    refused(
        "user_data_128=x",
        "user_data_128",
        "found `x`, expected a decimal from 1 to 2^128 - 1 or a hyphenated UUID",
    );
}
