//! Parsing questions about the past, and rendering the answers.

use api::Parameters;
use api::past::{AddressBalances, BalanceRow, Clock, Instant, Period, Side, Statement, Sums, TransferFilter};
use api::responses::Assets;
use ledger::{Account, Book, NewAccount, Transfer, TransferFlags, TransferKey};
use serde_json::json;
use types::{AccountId, Amount, Code, LedgerId, PaymentId, Timestamp, TransferId};

const KNOWN: [&str; 12] = [
    "side",
    "ledger",
    "code",
    "user_data_32",
    "min_timestamp",
    "max_timestamp",
    "reversed",
    "at",
    "clock",
    "from",
    "to",
    "user_data_64",
];

fn parameters(query: &str) -> Parameters {
    Parameters::parse(query, &KNOWN).expect("parameters")
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

#[track_caller]
fn check<T>(result: Result<T, api::Problem>, field: &str, detail: &str) {
    let problem = result.err().expect("the input is refused");
    assert_eq!(
        (problem.code().as_str(), problem.field(), problem.detail()),
        ("invalid_parameter", Some(field), detail)
    );
}

#[test]
fn a_filter_without_parameters_matches_everything() {
    let all = TransferFilter::read(&parameters("")).expect("a filter");
    assert_eq!((all.side, all.min_timestamp, all.max_timestamp), (Side::Both, Timestamp::ZERO, Timestamp::MAX));
    let some = TransferFilter::read(&parameters("side=debits&code=7&min_timestamp=2026-01-01T00:00:00Z&reversed=true"));
    let some = some.expect("a filter");
    assert_eq!((some.side, some.code, some.reversed), (Side::Debits, Some(Code::new(7)), true));
    assert_eq!(some.min_timestamp, time("2026-01-01T00:00:00Z"));
}

#[test]
fn an_invalid_parameter_gets_an_error_that_says_what_was_expected() {
    let filter = |query: &str| TransferFilter::read(&parameters(query));
    check(filter("side=both"), "side", "found `both`, expected debits or credits");
    check(filter("reversed=1"), "reversed", "found `1`, expected true or false");
    check(
        filter("min_timestamp=2026-01-02T00:00:00Z&max_timestamp=2026-01-01T00:00:00Z"),
        "min_timestamp",
        "found 2026-01-02T00:00:00Z, which is later than `max_timestamp` (2026-01-01T00:00:00Z)",
    );
    let instant = |query: &str| Instant::read(&parameters(query));
    check(instant("at=2026-01-01T00:00:00Z&clock=mine"), "clock", "found `mine`, expected booked or occurred");
    check(instant("clock=booked"), "clock", "`clock` needs `at`, which is missing");
    assert_eq!(instant(""), Ok(None));
    let at = time("2026-01-01T00:00:00Z");
    assert_eq!(instant("at=2026-01-01T00:00:00Z&clock=occurred"), Ok(Some(Instant { at, clock: Clock::Occurred })));
    let period = |query: &str| Period::read(&parameters(query), at);
    check(
        period("from=2026-01-01T00:00:00Z"),
        "from",
        "found 2026-01-01T00:00:00Z, which is not before `to` (2026-01-01T00:00:00Z)",
    );
    assert_eq!(period(""), Ok(Period { from: Timestamp::ZERO, to: at }));
}

fn moved(key: TransferKey, debit: u128, credit: u128, amount: u128) -> Transfer {
    Transfer {
        key,
        debit: AccountId::new(debit),
        credit: AccountId::new(credit),
        amount: Amount::new(amount),
        pending: None,
        user_data_128: 0,
        user_data_64: 0,
        user_data_32: 0,
        timeout_s: 0,
        ledger: LedgerId::new(978),
        code: Code::new(3),
        flags: TransferFlags::NONE,
        timestamp: time("2026-01-05T00:00:00Z"),
    }
}

fn posted(debits: u128, credits: u128) -> Sums {
    Sums { debits_posted: Amount::new(debits), credits_posted: Amount::new(credits), ..Sums::default() }
}

fn assets() -> Assets {
    let book = Book { id: LedgerId::new(978), asset: "EUR/2".parse().expect("an asset"), opened_at: Timestamp::ZERO };
    Assets::new([&book])
}

#[test]
fn a_statement_runs_from_its_opening_to_its_closing_balance() {
    let new = NewAccount { id: AccountId::new(1), ledger: LedgerId::new(978), ..NewAccount::default() };
    let account = Account::open(&new, Timestamp::ZERO);
    let period = Period { from: time("2026-01-01T00:00:00Z"), to: time("2026-02-01T00:00:00Z") };
    let leg = TransferKey::Leg { payment: PaymentId::new(9), number: 0 };
    let lines = [
        (moved(TransferKey::Client(TransferId::new(5)), 1, 2, 30), posted(30, 10)),
        (moved(leg, 2, 1, 50), posted(30, 60)),
    ];
    let statement =
        Statement::new(&account, period, &posted(0, 10), &lines, None, &assets()).expect("its ledger is known");
    let shown = serde_json::to_value(statement).expect("JSON");
    let balances = (&shown["opening_balance"], &shown["lines"][0]["balance"], &shown["closing_balance"]);
    assert_eq!(balances, (&json!("10"), &json!("-20"), &json!("30")));
    assert_eq!((&shown["lines"][0]["side"], &shown["lines"][1]["side"]), (&json!("debit"), &json!("credit")));
    assert_eq!(shown["lines"][1]["payment"], "00000000-0000-0000-0000-000000000009");
    assert_eq!(shown["lines"][1]["other_account"], "00000000-0000-0000-0000-000000000002");
    assert_eq!((&shown["asset"], &shown["next_cursor"]), (&json!("EUR/2"), &json!(null)));

    let nothing = Statement::new(&account, period, &posted(7, 0), &[], None, &assets()).expect("its ledger is known");
    let shown = serde_json::to_value(nothing).expect("JSON");
    assert_eq!((&shown["opening_balance"], &shown["closing_balance"]), (&json!("-7"), &json!("-7")));
}

#[test]
fn balances_are_shown_with_their_sums() {
    let transfer = moved(TransferKey::Client(TransferId::new(5)), 1, 2, 30);
    let row = serde_json::to_value(BalanceRow::new(&transfer, &posted(30, 10))).expect("JSON");
    assert_eq!(
        (&row["balance"], &row["debits_posted"], &row["credits_pending"]),
        (&json!("-20"), &json!("30"), &json!("0"))
    );
    let sums = AddressBalances::new("customers", LedgerId::new(978), 2, &posted(1, 2), &assets());
    let shown = serde_json::to_value(sums.expect("its ledger is known")).expect("JSON");
    assert_eq!(
        (&shown["address_prefix"], &shown["accounts"], &shown["balance"]),
        (&json!("customers"), &json!(2), &json!("1"))
    );
}
