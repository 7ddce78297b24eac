//! A transfer is refused for the first thing wrong with it. Each story starts with a request that is wrong in every way
//! and corrects one thing after another.

use crate::story::check;

#[test]
fn a_movement_is_refused_for_the_first_thing_wrong_with_it() {
    let rest = "timeout=1 closing_debit ledger=0 code=0";
    check(&format!(
        "
        book 2 USD/2      created
        book 3 GBP/2      created
        open A1           created
        open A2           created
        open A3 ledger=2  created
        pay T0   A0->A0     5 pending=T1 {rest} linked    linked_event_chain_open
        pay T0   A0->A0     5 pending=T1 {rest} imported  imported_event_timestamp_out_of_range
        pay T0   A0->A0     5 pending=T1 {rest} bits=512  reserved_flag
        says a flag is set that transfers do not support (flags 0x0200)
        pay T0   A0->A0     5 pending=T1 {rest}           id_must_not_be_zero
        pay Tmax A0->A0     5 pending=T1 {rest}           id_must_not_be_int_max
        pay T1   A0->A0     5 pending=T1 {rest}           debit_account_id_must_not_be_zero
        pay T1   Amax->A0   5 pending=T1 {rest}           debit_account_id_must_not_be_int_max
        pay T1   A8->A0     5 pending=T1 {rest}           credit_account_id_must_not_be_zero
        pay T1   A8->Amax   5 pending=T1 {rest}           credit_account_id_must_not_be_int_max
        pay T1   A8->A8     5 pending=T1 {rest}           accounts_must_be_different
        pay T1   A8->A9     5 pending=T1 {rest}           pending_id_must_be_zero
        pay T1   A8->A9     5 pending=Tmax {rest}         pending_id_must_be_zero
        pay T1   A8->A9     5 pending=T0 {rest}           timeout_reserved_for_pending_transfer
        pay T1   A8->A9     5 closing_debit  ledger=0 code=0  closing_transfer_must_be_pending
        pay T1   A8->A9     5 closing_credit ledger=0 code=0  closing_transfer_must_be_pending
        pay T1   A8->A9     5 ledger=0 code=0             ledger_must_not_be_zero
        pay T1   A8->A9     5 ledger=3 code=0             code_must_not_be_zero
        pay T2   A8->A9     5 ledger=3                    debit_account_not_found
        says the debit account does not exist (account 00000000-0000-0000-0000-000000000008)
        pay T3   A1->A9     5 ledger=3                    credit_account_not_found
        pay T1   A1->A3     5 ledger=3                    accounts_must_have_the_same_ledger
        says the two accounts are in different ledgers (debit account in 1, credit account in 2)
        pay T1   A1->A2     5 ledger=3                    transfer_must_have_the_same_ledger_as_accounts
        pay T1   A1->A2     5 ledger=1                    created
        "
    ));
}

#[test]
fn accounts_are_closed_before_amounts_overflow_and_amounts_overflow_before_limits() {
    check(
        "
        open A1 debits_must_not_exceed_credits           created
        open A2 credits_must_not_exceed_debits           created
        open A3                                          created
        open A4                                          created
        open A5 closed                                   created
        open A6 closed debits_must_not_exceed_credits    created
        open A7                                          created
        hold T1 A3->A4 max-9                             created
        pay  T2 A6->A5 max                               debit_account_already_closed
        pay  T3 A3->A5 max                               credit_account_already_closed
        hold T4 A3->A4 10 timeout=max                    overflows_debits_pending
        says the pending debits of the debit account would be more than 2^128 - 1 (account 00000000-0000-0000-0000-000000000003)
        hold T4 A7->A4 10 timeout=max                    overflows_credits_pending
        pay  T4 A3->A4 10                                overflows_debits
        pay  T4 A7->A4 10                                overflows_credits
        pay  T5 A7->A2 0                                 created
        pay  T6 A1->A2 1                                 exceeds_credits
        says the debits of the debit account would exceed its posted credits (account 00000000-0000-0000-0000-000000000001 has 0 left, 1 requested)
        pay  T7 A7->A2 1                                 exceeds_debits
        ",
    );
}

#[test]
fn posted_balances_overflow_on_their_own() {
    check(
        "
        open A1                  created
        open A2                  created
        open A3                  created
        open A4                  created
        pay  T1 A1->A2 max-9     created
        pay  T2 A1->A2 10        overflows_debits_posted
        hold T2 A1->A2 10        overflows_debits_posted
        pay  T2 A3->A2 10        overflows_credits_posted
        hold T2 A3->A2 10        overflows_credits_posted
        hold T2 A1->A2 9         created     # pending alone has room, but pending + posted is full
        pay  T3 A1->A4 1         overflows_debits
        pay  T3 A3->A2 1         overflows_credits
        pay  T3 A1->A2 0         created
        sums 1 pending=9 posted=max-9 accounts=4
        ",
    );
}

#[test]
fn a_resolution_is_refused_for_the_first_thing_wrong_with_it() {
    check(
        "
        open A1                         created
        open A2                         created
        open A3                         created
        hold T1 A1->A2 50 timeout=9     created
        pay  T2 A1->A2 5                created
        clock T1+9s
        post T0   none 90 timeout=1 pending linked           linked_event_chain_open
        post T0   none 90 timeout=1 pending                  id_must_not_be_zero
        post Tmax none 90 timeout=1 pending                  id_must_not_be_int_max
        post T3 none 90 timeout=1 pending                    flags_are_mutually_exclusive
        post T3 none 90 timeout=1 void_pending_transfer      flags_are_mutually_exclusive
        post T3 none 90 timeout=1 balancing_debit            flags_are_mutually_exclusive
        post T3 none 90 timeout=1 balancing_credit           flags_are_mutually_exclusive
        post T3 none 90 timeout=1 closing_debit              flags_are_mutually_exclusive
        void T3 none 90 timeout=1 closing_credit             flags_are_mutually_exclusive
        void T3 none 90 timeout=1 pending                    flags_are_mutually_exclusive
        post T3 none 90 timeout=1                            pending_id_must_not_be_zero
        post T3 T0   90 timeout=1                            pending_id_must_not_be_zero
        post T3 Tmax 90 timeout=1                            pending_id_must_not_be_int_max
        post T3 T3   90 timeout=1                            pending_id_must_be_different
        post T3 T8   90 timeout=1                            timeout_reserved_for_pending_transfer
        post T4 T8   90                                      pending_transfer_not_found
        post T3 T2   90 debit=A3                             pending_transfer_not_pending
        post T3 T1   90 debit=A3 credit=A3 ledger=2 code=9   pending_transfer_has_different_debit_account_id
        post T3 T1   90 debit=A1 credit=A3 ledger=2 code=9   pending_transfer_has_different_credit_account_id
        post T3 T1   90 debit=A1 credit=A2 ledger=2 code=9   pending_transfer_has_different_ledger
        post T3 T1   90 debit=A1 credit=A2 ledger=1 code=9   pending_transfer_has_different_code
        post T3 T1   90 debit=A1 credit=A2 ledger=1 code=1   exceeds_pending_transfer_amount
        says the amount is more than the pending transfer reserved (50 recorded, 90 given)
        void T3 T1   90                                      exceeds_pending_transfer_amount
        void T3 T1   49                                      pending_transfer_has_different_amount
        void T3 T1   50                                      pending_transfer_expired
        says the pending transfer has expired (at 1970-01-01T00:00:09.000004004Z)
        ",
    );
}

#[test]
fn how_a_pending_transfer_ended_comes_before_its_accounts_being_closed() {
    check(
        "
        open A1                           created
        open A2                           created
        hold T1 A1->A2 50                 created
        hold T2 A1->A2 50                 created
        hold T3 A1->A2 50 timeout=1       created
        hold T4 A1->A2 50                 created
        post T5 T1 all                    created
        void T6 T2                        created
        hold T7 A1->A2 0 closing_debit closing_credit created
        post T8 T1 90                     exceeds_pending_transfer_amount
        post T8 T1 all                    pending_transfer_already_posted
        post T8 T2 all                    pending_transfer_already_voided
        clock T3+1s
        post T8 T3 all                    pending_transfer_expired
        post T8 T4 all                    debit_account_already_closed
        post T8 T4 all                    id_already_failed
        void T9 T4                        created
        ",
    );
}
