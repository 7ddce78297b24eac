//! What `exists` means, and which refusals spend an id.

use crate::story::check;

#[test]
fn a_transfer_that_exists_names_the_first_difference() {
    let data = "user_data_128=128 user_data_64=64 user_data_32=32";
    let other = "user_data_128=1 user_data_64=1 user_data_32=1";
    check(&format!(
        "
        open A1   created
        open A2   created
        hold T1 A1->A2 50 timeout=9 {data}                                      created
        pay  T1 A0->A0 51 timeout=8 pending=T8 {other} ledger=0 code=0          exists_with_different_flags
        hold T1 A0->A0 51 timeout=8 pending=T8 {other} ledger=0 code=0          exists_with_different_pending_id
        hold T1 A0->A0 51 timeout=8 pending=T0 {other} ledger=0 code=0          exists_with_different_timeout
        hold T1 A0->A0 51 timeout=9 {other} ledger=0 code=0                     exists_with_different_debit_account_id
        hold T1 A1->A0 51 timeout=9 {other} ledger=0 code=0                     exists_with_different_credit_account_id
        hold T1 A1->A2 51 timeout=9 {other} ledger=0 code=0                     exists_with_different_amount
        says the transfer exists with a different amount (50 recorded, 51 given)
        hold T1 A1->A2 50 timeout=9 {other} ledger=0 code=0                     exists_with_different_user_data_128
        hold T1 A1->A2 50 timeout=9 user_data_128=128 user_data_32=1 ledger=0 code=0   exists_with_different_user_data_64
        hold T1 A1->A2 50 timeout=9 user_data_128=128 user_data_64=64 ledger=0 code=0  exists_with_different_user_data_32
        hold T1 A1->A2 50 timeout=9 {data} ledger=0 code=0                      exists_with_different_ledger
        hold T1 A1->A2 50 timeout=9 {data} code=0                               exists_with_different_code
        hold T1 A1->A2 50 timeout=9 {data}                                      exists
        sums 1 pending=50 posted=0
        "
    ));
}

#[test]
fn a_retry_is_answered_whatever_happened_since() {
    check(
        "
        open A1                         created
        open A2                         created
        hold T1 A1->A2 50 timeout=1     created
        post T2 T1 20                   created
        hold T3 A1->A2 50 timeout=1     created
        clock T3+1s
        hold T1 A1->A2 50 timeout=1     exists
        post T2 T1 20                   exists
        hold T3 A1->A2 50 timeout=1     exists
        expire T3
        hold T3 A1->A2 50 timeout=1     exists
        hold T4 A1->A2 0 closing_debit  created
        hold T4 A1->A2 0 closing_debit  exists
        post T2 T1 20                   exists
        ",
    );
}

#[test]
fn a_retried_post_may_inherit_what_it_named_before_and_the_reverse() {
    check(
        "
        open A1   created
        open A2   created
        hold T1 A1->A2 50 user_data_64=7                              created
        post T2 T1 all                                                created
        post T2 T1 all debit=A1 credit=A2 ledger=1 code=1             exists
        post T2 T1 all user_data_64=7                                 exists
        post T2 T1 all user_data_64=8                                 exists_with_different_user_data_64
        post T2 T1 all user_data_32=8                                 exists_with_different_user_data_32
        post T2 T1 all debit=A2                                       exists_with_different_debit_account_id
        post T2 T1 all credit=A1                                      exists_with_different_credit_account_id
        post T2 T1 all ledger=2                                       exists_with_different_ledger
        post T2 T1 all code=2                                         exists_with_different_code
        post T2 none all                                              exists_with_different_pending_id
        void T2 T1                                                    exists_with_different_flags
        ",
    );
}

#[test]
fn zero_user_data_repeats_only_what_was_inherited() {
    check(
        "
        open A1   created
        open A2   created
        hold T1 A1->A2 50 user_data_128=7 user_data_64=7 user_data_32=7                  created
        post T2 T1 all user_data_128=8                                                   created
        post T2 T1 all                                                                   exists_with_different_user_data_128
        post T2 T1 all user_data_128=8 user_data_64=7                                    exists
        hold T3 A1->A2 50 user_data_128=7                                                created
        void T4 T3 user_data_32=9                                                        created
        void T4 T3                                                                       exists_with_different_user_data_32
        ",
    );
}

#[test]
fn a_retried_amount_must_mean_what_was_posted() {
    check(
        "
        open A1              created
        open A2              created
        hold T1 A1->A2 50    created
        hold T2 A1->A2 50    created
        hold T3 A1->A2 50    created
        post T4 T1 all       created
        post T4 T1 50        exists
        post T4 T1 49        exists_with_different_amount
        post T5 T2 20        created
        post T5 T2 20        exists
        post T5 T2 all       exists_with_different_amount
        post T5 T2 0         exists_with_different_amount
        void T6 T3           created
        void T6 T3 50        exists
        void T6 T3 49        exists_with_different_amount
        void T6 T3           exists
        ",
    );
}

#[test]
fn refusals_whose_cause_may_go_away_spend_the_id() {
    check(
        "
        open A2                                   created
        open A3 debits_must_not_exceed_credits    created
        open A4 credits_must_not_exceed_debits    created
        open A5                                   created
        hold T10 A2->A5 0 closing_credit          created
        pay  T1 A1->A2 50    debit_account_not_found
        pay  T2 A2->A1 50    credit_account_not_found
        post T3 T9 all       pending_transfer_not_found
        pay  T4 A3->A2 50    exceeds_credits
        pay  T5 A2->A4 50    exceeds_debits
        pay  T6 A5->A2 50    debit_account_already_closed
        pay  T7 A2->A5 50    credit_account_already_closed

        open A1              created      # now all of them could work
        hold T9 A1->A2 50    created
        pay  T20 A2->A3 50   created
        pay  T21 A4->A2 50   created
        void T11 T10         created
        pay  T1 A1->A2 50    id_already_failed
        says a transfer with this id was refused before, which is final; use another id (transfer 00000000-0000-0000-0000-000000000001)
        pay  T2 A2->A1 50    id_already_failed
        post T3 T9 all       id_already_failed
        pay  T4 A3->A2 50    id_already_failed
        pay  T5 A2->A4 50    id_already_failed
        pay  T6 A5->A2 50    id_already_failed
        pay  T7 A2->A5 50    id_already_failed
        pay  T7 A0->A0 50    id_already_failed      # whatever else is wrong with it
        pay  T7 A2->A5 50 linked   linked_event_chain_open    # except for its linked flag
        pay  T8 A3->A2 50    created
        ",
    );
}

#[test]
fn refusals_that_are_the_requests_own_fault_leave_the_id_usable() {
    check(
        "
        open A1                      created
        open A2                      created
        pay  T1 A1->A1 5             accounts_must_be_different
        pay  T1 A1->A2 5 code=0      code_must_not_be_zero
        hold T2 A1->A2 5 timeout=1   created
        post T1 T2 6                 exceeds_pending_transfer_amount
        clock T2+1s
        post T1 T2 5                 pending_transfer_expired
        expire T2
        void T1 T2                   pending_transfer_expired
        pay  T1 A1->A2 5             created
        ",
    );
}

#[test]
fn a_spent_id_never_names_a_pending_transfer() {
    check(
        "
        open A1              created
        hold T1 A1->A2 5     credit_account_not_found
        state T1 none
        post T2 T1 all       pending_transfer_not_found
        ",
    );
}
