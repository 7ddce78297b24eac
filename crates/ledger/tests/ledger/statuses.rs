//! The tables of statuses: names and numbers are permanent, and their order is the order of the checks.

use std::collections::BTreeSet;

use ledger::{AccountFlags, AccountStatus, BookStatus, TransferFlags, TransferStatus};

#[test]
fn account_statuses_are_permanent() {
    let expected = "
        linked_event_chain_open 2 · linked_event_failed 1 · linked_chain_too_long 1002 · imported_event_expected 22 ·
        imported_event_not_expected 23 ·
        timestamp_must_be_zero 3 · imported_event_timestamp_out_of_range 24 ·
        imported_event_timestamp_must_not_advance 25 · reserved_field 4 · reserved_flag 5 · id_must_not_be_zero 6 ·
        id_must_not_be_int_max 7 · exists_with_different_flags 15 · exists_with_different_user_data_128 16 ·
        exists_with_different_user_data_64 17 · exists_with_different_user_data_32 18 · exists_with_different_ledger 19 ·
        exists_with_different_code 20 · exists 21 · id_reserved_by_import 1004 · flags_are_mutually_exclusive 8 · debits_pending_must_be_zero 9 ·
        debits_posted_must_be_zero 10 · credits_pending_must_be_zero 11 · credits_posted_must_be_zero 12 ·
        ledger_must_not_be_zero 13 · ledger_not_found 1001 · code_must_not_be_zero 14 ·
        imported_event_timestamp_must_not_pass_event 1003 · imported_event_timestamp_must_not_regress 26
    ";
    check(expected, AccountStatus::ALL, |status| (status.name(), status.number()));
    assert!(AccountStatus::ALL.iter().all(|&status| AccountStatus::from_number(status.number()) == Some(status)));
    assert_eq!(AccountStatus::from_number(0), None);
    assert_eq!(AccountStatus::from_number(1000), None);
}

#[test]
fn transfer_statuses_are_permanent() {
    let expected = "
        linked_event_chain_open 2 · linked_event_failed 1 · linked_chain_too_long 1001 · imported_event_expected 56 ·
        imported_event_not_expected 57 ·
        timestamp_must_be_zero 3 · imported_event_timestamp_out_of_range 58 ·
        imported_event_timestamp_must_not_advance 59 · reserved_flag 4 · id_must_not_be_zero 5 ·
        id_must_not_be_int_max 6 · exists_with_different_flags 36 · exists_with_different_pending_id 40 ·
        exists_with_different_timeout 44 · exists_with_different_debit_account_id 37 ·
        exists_with_different_credit_account_id 38 · exists_with_different_amount 39 ·
        exists_with_different_user_data_128 41 · exists_with_different_user_data_64 42 ·
        exists_with_different_user_data_32 43 · exists_with_different_ledger 67 · exists_with_different_code 45 ·
        exists 46 · id_already_failed 68 · id_already_scheduled 1006 · id_reserved_by_import 1011 ·
        import_takes_single_phase_only 1012 · scheduled_transfer_must_stand_alone 1007 ·
        scheduled_time_must_be_later 1008 · scheduled_transfer_not_found 1009 · scheduled_transfer_cancelled 1010 · flags_are_mutually_exclusive 7 · debit_account_id_must_not_be_zero 8 ·
        debit_account_id_must_not_be_int_max 9 · credit_account_id_must_not_be_zero 10 ·
        credit_account_id_must_not_be_int_max 11 · accounts_must_be_different 12 · pending_id_must_be_zero 13 ·
        pending_id_must_not_be_zero 14 · pending_id_must_not_be_int_max 15 · pending_id_must_be_different 16 ·
        timeout_reserved_for_pending_transfer 17 · closing_transfer_must_be_pending 64 · ledger_must_not_be_zero 19 ·
        code_must_not_be_zero 20 · debit_account_not_found 21 · credit_account_not_found 22 ·
        accounts_must_have_the_same_ledger 23 · transfer_must_have_the_same_ledger_as_accounts 24 ·
        account_is_policy_only 1000 · pending_transfer_not_found 25 · pending_transfer_not_pending 26 ·
        pending_transfer_has_different_debit_account_id 27 · pending_transfer_has_different_credit_account_id 28 ·
        pending_transfer_has_different_ledger 29 · pending_transfer_has_different_code 30 ·
        exceeds_pending_transfer_amount 31 · pending_transfer_has_different_amount 32 ·
        pending_transfer_already_posted 33 · pending_transfer_already_voided 34 · pending_transfer_expired 35 ·
        imported_event_must_not_resolve_timed_transfer 1003 · imported_event_timestamp_must_not_pass_event 1002 ·
        imported_event_timestamp_must_not_regress 60 · imported_event_timestamp_must_postdate_debit_account 61 ·
        imported_event_timestamp_must_postdate_credit_account 62 · imported_event_timeout_must_be_zero 63 ·
        debit_account_already_closed 65 · credit_account_already_closed 66 · overflows_debits_pending 47 ·
        overflows_credits_pending 48 · overflows_debits_posted 49 · overflows_credits_posted 50 · overflows_debits 51 ·
        overflows_credits 52 · overflows_timeout 53 · exceeds_credits 54 · exceeds_debits 55 ·
        exceeds_min_balance 1004 · exceeds_max_balance 1005
    ";
    check(expected, TransferStatus::ALL, |status| (status.name(), status.number()));
    assert!(TransferStatus::ALL.iter().all(|&status| TransferStatus::from_number(status.number()) == Some(status)));
    assert_eq!(TransferStatus::from_number(18), None);
}

#[test]
fn book_statuses_are_permanent() {
    let expected = "id_must_not_be_zero 1000 · exists_with_different_asset 1001 · exists 1002";
    check(expected, BookStatus::ALL, |status| (status.name(), status.number()));
    assert!(BookStatus::ALL.iter().all(|&status| BookStatus::from_number(status.number()) == Some(status)));
}

#[test]
fn exactly_the_refusals_whose_cause_may_go_away_spend_an_id() {
    let sticking: Vec<u16> = TransferStatus::ALL.iter().filter(|status| status.sticks()).map(|s| s.number()).collect();
    assert_eq!(sticking, [1010, 21, 22, 25, 65, 66, 54, 55, 1004, 1005]);
}

#[test]
fn every_status_has_a_sentence_of_its_own() {
    let sentences: Vec<String> = TransferStatus::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(sentences.iter().collect::<BTreeSet<_>>().len(), sentences.len());
    let accounts = AccountStatus::ALL.iter().map(ToString::to_string);
    for sentence in sentences.into_iter().chain(accounts).chain(BookStatus::ALL.iter().map(ToString::to_string)) {
        assert!(
            sentence.starts_with(|first: char| first.is_ascii_lowercase()) && !sentence.ends_with('.'),
            "{sentence}"
        );
    }
}

#[test]
fn flags_have_the_bits_of_the_reference_ledger() {
    let accounts: Vec<_> = AccountFlags::ALL.iter().map(|(name, flag)| format!("{name} {:#x}", flag.bits())).collect();
    assert_eq!(
        accounts.join(" · "),
        "linked 0x1 · debits_must_not_exceed_credits 0x2 · credits_must_not_exceed_debits 0x4 · history 0x8 · \
         imported 0x10 · closed 0x20 · policy_only 0x8000"
    );
    let transfers: Vec<_> =
        TransferFlags::ALL.iter().map(|(name, flag)| format!("{name} {:#x}", flag.bits())).collect();
    assert_eq!(
        transfers.join(" · "),
        "linked 0x1 · pending 0x2 · post_pending_transfer 0x4 · void_pending_transfer 0x8 · balancing_debit 0x10 · \
         balancing_credit 0x20 · closing_debit 0x40 · closing_credit 0x80 · imported 0x100"
    );
}

#[track_caller]
fn check<S: Copy>(expected: &str, all: &[S], shown: fn(S) -> (&'static str, u16)) {
    let words: Vec<&str> = expected.split_whitespace().collect();
    let all: Vec<String> =
        all.iter().map(|&status| shown(status)).map(|(name, number)| format!("{name} {number}")).collect();
    assert_eq!(words.join(" "), all.join(" · "));
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}
