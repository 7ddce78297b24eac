//! The table of errors, and errors as clients receive them.

use std::collections::BTreeSet;

use api::{Code, ErrorCode, Problem};
use engine::Refusal;
use ledger::{AccountStatus, BookStatus, Detail, TransferStatus};
use types::{AccountId, Amount};

#[test]
fn every_error_has_a_unique_name_a_status_and_a_title() {
    let names: BTreeSet<&str> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), ErrorCode::ALL.len());
    for code in ErrorCode::ALL {
        assert!((400..=507).contains(&code.status()), "{}", code.name());
        assert!(!code.title().is_empty() && !code.title().ends_with('.'), "{}", code.name());
    }
}

#[test]
fn statuses_of_the_ledger_keep_their_names_and_numbers() {
    let code = |code: Code| (code.as_str(), code.number(), code.status());
    assert_eq!(code(Code::Transfer(TransferStatus::ExceedsCredits)), ("exceeds_credits", Some(54), 422));
    assert_eq!(code(Code::Transfer(TransferStatus::IdAlreadyFailed)), ("id_already_failed", Some(68), 409));
    assert_eq!(code(Code::Account(AccountStatus::LedgerNotFound)), ("ledger_not_found", Some(1001), 422));
    let book = Code::Book(BookStatus::ExistsWithDifferentAsset);
    assert_eq!(code(book), ("exists_with_different_asset", Some(1001), 409));
    for status in TransferStatus::ALL.iter().filter(|status| status.name().starts_with("exists_with_different_")) {
        assert_eq!(Code::Transfer(*status).status(), 409, "{status:?}");
    }
}

#[test]
fn a_refusal_of_the_ledger_says_what_was_available_and_requested() {
    let detail = Detail::Room { account: AccountId::new(7), available: Amount::new(380), requested: Amount::new(400) };
    let refusal = Refusal::Transfer(ledger::StatusRefusal { status: TransferStatus::ExceedsCredits, detail });
    let body = serde_json::to_value(Problem::from(&refusal).body()).expect("JSON");
    let expected = serde_json::json!({
        "type": "https://finaira.dev/errors/exceeds_credits",
        "title": "the debits of the debit account would exceed its posted credits",
        "status": 422,
        "code": "exceeds_credits",
        "detail": "the debits of the debit account would exceed its posted credits \
                   (account 00000000-0000-0000-0000-000000000007 has 380 left, 400 requested)",
        "number": 54,
    });
    assert_eq!(body, expected);
}

#[test]
fn the_problems_of_a_policy_name_file_line_and_column() {
    let problem = |line| policy::Problem {
        file: "policy.toml".to_owned(),
        line,
        column: 8,
        message: "rules[0].when: no".to_owned(),
    };
    let body = serde_json::to_value(Problem::invalid_policy(vec![problem(3), problem(9)]).body()).expect("JSON");
    assert_eq!((&body["code"], &body["status"]), (&serde_json::json!("invalid_policy"), &serde_json::json!(400)));
    assert_eq!(body["detail"], "2 problems, the first: policy.toml:3:8: rules[0].when: no");
    assert_eq!(
        body["problems"][1],
        serde_json::json!({"file": "policy.toml", "line": 9, "column": 8, "message": "rules[0].when: no"})
    );
}
