//! Closing transfers and closed accounts.

use crate::story::check;

#[test]
fn a_closing_transfer_closes_its_account_until_it_is_voided() {
    check(
        "
        open A1                                created
        open A2                                created
        hold T1 A1->A2 30                      created
        hold T2 A1->A2 0 closing_debit         created
        show A1 debits=30+0 credits=0+0 closed
        show A2 debits=0+0 credits=30+0
        pay  T3 A1->A2 5                       debit_account_already_closed
        pay  T4 A2->A1 5                       credit_account_already_closed
        post T5 T1 all                         debit_account_already_closed
        post T6 T2 all                         debit_account_already_closed
        void T7 T1                             created      # voids still work
        void T8 T2                             created
        show A1 debits=0+0 credits=0+0
        pay  T9 A1->A2 5                       created
        ",
    );
}

#[test]
fn one_transfer_can_close_both_accounts() {
    check(
        "
        open A1                                              created
        open A2                                              created
        hold T1 A1->A2 5 closing_debit closing_credit        created
        show A1 debits=5+0 credits=0+0 closed
        show A2 debits=0+0 credits=5+0 closed
        void T2 T1                                           created
        show A1 debits=0+0 credits=0+0
        show A2 debits=0+0 credits=0+0
        hold T3 A1->A2 5 closing_credit                      created
        show A1 debits=5+0 credits=0+0
        show A2 debits=0+0 credits=5+0 closed
        ",
    );
}

#[test]
fn voiding_another_transfer_leaves_the_account_closed() {
    check(
        "
        open A1                                created
        open A2                                created
        hold T1 A1->A2 30                      created
        hold T2 A1->A2 5 closing_debit         created
        void T3 T1                             created
        show A1 debits=5+0 credits=0+0 closed
        ",
    );
}

#[test]
fn the_expiry_of_the_closing_transfer_reopens() {
    check(
        "
        open A1                                       created
        open A2                                       created
        hold T1 A1->A2 5 closing_credit timeout=5     created
        clock T1+5s
        state T1 expired
        pay  T2 A1->A2 5                              credit_account_already_closed     # until the expiry is on record
        expire T1
        show A2 debits=0+0 credits=0+0
        pay  T3 A1->A2 5                              created
        ",
    );
}

#[test]
fn an_account_created_closed_never_opens() {
    check(
        "
        open A1                                created
        open A2 closed                         created
        pay  T1 A1->A2 0                       credit_account_already_closed
        hold T2 A2->A1 0 closing_debit         debit_account_already_closed
        open A2 closed                         exists
        ",
    );
}

#[test]
fn a_retry_for_an_account_closed_since_finds_different_flags() {
    check(
        "
        open A1                                created
        open A2                                created
        hold T1 A1->A2 0 closing_debit         created
        open A1                                exists_with_different_flags
        open A1 closed                         exists
        void T2 T1                             created
        open A1                                exists
        ",
    );
}

#[test]
fn a_retry_for_an_imported_account_closed_since_finds_different_flags() {
    check(
        "
        wait 1s
        batch
            open A1 imported timestamp=10              created
            open A2 imported timestamp=20              created
        done
        hold T1 A1->A2 0 closing_debit                 created
        batch
            open A1 imported timestamp=10              exists_with_different_flags
            open A2 imported timestamp=20              exists
        done
        void T2 T1                                     created
        batch
            open A1 imported timestamp=10              exists
        done
        ",
    );
}
