//! Books and accounts.

use crate::story::check;

#[test]
fn a_book_is_opened_once_with_one_asset() {
    check(
        "
        book 2 JPY/0   created
        book 2 JPY/0   exists
        book 2 JPY/1   exists_with_different_asset
        book 2 EUR/0   exists_with_different_asset
        book 0 EUR/2   id_must_not_be_zero
        book max EUR/2 created
        sums 2 pending=0 posted=0 accounts=0
        ",
    );
}

#[test]
fn an_account_is_refused_for_the_first_thing_wrong_with_it() {
    let limits = "debits_must_not_exceed_credits credits_must_not_exceed_debits";
    check(&format!(
        "
        open A0   ledger=0 code=0 {limits} linked   linked_event_chain_open
        open A0   ledger=0 code=0 {limits} imported imported_event_timestamp_out_of_range
        open A0   ledger=0 code=0 bits=64           reserved_flag
        open A0   ledger=0 code=0 {limits}          id_must_not_be_zero
        open Amax ledger=0 code=0 {limits}          id_must_not_be_int_max
        open A1   ledger=0 code=0 {limits}          flags_are_mutually_exclusive
        open A1   ledger=0 code=0                   ledger_must_not_be_zero
        open A1   ledger=9 code=0                   ledger_not_found
        says the ledger of the account does not exist (ledger 9)
        open A1   ledger=1 code=0                   code_must_not_be_zero
        open A1   ledger=1 code=1                   created
        open Amax-1                                 created
        show A1 debits=0+0 credits=0+0
        sums 1 pending=0 posted=0 accounts=2
        "
    ));
}

#[test]
fn a_refused_account_can_be_opened_later() {
    check(
        "
        open A1 ledger=2   ledger_not_found
        book 2 USD/2       created
        open A1 ledger=2   created
        ",
    );
}

#[test]
fn an_account_that_exists_names_the_first_difference() {
    let taken = "open A1 ledger=2";
    check(&format!(
        "
        book 2 USD/2 created
        open A1 code=7 user_data_128=128 user_data_64=64 user_data_32=32 history created
        {taken} code=8 user_data_128=1   user_data_64=1  user_data_32=1          exists_with_different_flags
        {taken} code=8 user_data_128=1   user_data_64=1  user_data_32=1  history exists_with_different_user_data_128
        {taken} code=8 user_data_128=128 user_data_64=1  user_data_32=1  history exists_with_different_user_data_64
        {taken} code=8 user_data_128=128 user_data_64=64 user_data_32=1  history exists_with_different_user_data_32
        {taken} code=8 user_data_128=128 user_data_64=64 user_data_32=32 history exists_with_different_ledger
        says the account exists in a different ledger (1 recorded, 2 given)
        open A1 code=8 user_data_128=128 user_data_64=64 user_data_32=32 history exists_with_different_code
        open A1 code=7 user_data_128=128 user_data_64=64 user_data_32=32 history exists
        "
    ));
}

#[test]
fn exists_comes_before_what_would_refuse_a_new_account() {
    check(
        "
        open A1                                                               created
        open A1 debits_must_not_exceed_credits credits_must_not_exceed_debits exists_with_different_flags
        open A1 ledger=0                                                      exists_with_different_ledger
        open A1 code=0                                                        exists_with_different_code
        open A1 imported                                                      imported_event_timestamp_out_of_range
        ",
    );
}

#[test]
fn zero_user_data_of_an_account_is_a_value_like_any_other() {
    check(
        "
        open A1 user_data_64=5   created
        open A1                  exists_with_different_user_data_64
        ",
    );
}

#[test]
fn reserved_fields_and_balances_of_a_new_account_must_be_zero() {
    check(
        "
        open A0 reserved=1 bits=64 timestamp=1                            timestamp_must_be_zero
        open A0 reserved=1 bits=64                                        reserved_field
        open A1 debits_pending=1 debits_posted=1 credits_pending=1 credits_posted=1 ledger=0   debits_pending_must_be_zero
        open A1 debits_posted=1 credits_pending=1 credits_posted=1 ledger=0                    debits_posted_must_be_zero
        open A1 credits_pending=1 credits_posted=1 ledger=0               credits_pending_must_be_zero
        open A1 credits_posted=1 ledger=0                                 credits_posted_must_be_zero
        open A1 ledger=0                                                  ledger_must_not_be_zero
        open A1                                                           created
        open A1 debits_pending=1                                          exists
        ",
    );
}
