//! Balancing transfers, which move what is available up to an amount.

use crate::story::check;

#[test]
fn a_balancing_debit_moves_what_the_debit_account_has() {
    check(
        "
        open A1                                  created
        open A2                                  created
        pay  T1 A2->A1 100                       created
        pay  T2 A1->A2 20                        created
        hold T3 A1->A2 30                        created
        hold T4 A2->A1 500                       created     # pending credits do not count
        pay  T5 A1->A2 40 balancing_debit        created
        moved T5 40
        pay  T6 A1->A2 max balancing_debit       created
        moved T6 10
        show A1 debits=30+70 credits=500+100
        pay  T7 A1->A2 5 balancing_debit         created     # nothing is left
        moved T7 0
        pay  T8 A1->A2 5                         created     # there is no limit: now overdrawn
        pay  T9 A1->A2 5 balancing_debit         created
        moved T9 0
        ",
    );
}

#[test]
fn a_balancing_credit_is_the_mirror_image() {
    check(
        "
        open A1                                  created
        open A2                                  created
        pay  T1 A1->A2 100                       created
        hold T2 A2->A1 30                        created
        hold T3 A1->A2 500                       created
        pay  T4 A2->A1 max balancing_credit      created
        moved T4 70
        show A1 debits=500+100 credits=30+70
        pay  T5 A2->A1 1 balancing_credit        created
        moved T5 0
        ",
    );
}

#[test]
fn with_both_flags_the_smaller_bound_counts() {
    check(
        "
        open A1                                                   created
        open A2                                                   created
        open A3                                                   created
        pay  T1 A3->A1 100                                        created
        pay  T2 A2->A3 60                                         created
        pay  T3 A1->A2 90 balancing_debit balancing_credit        created
        moved T3 60
        pay  T4 A2->A3 900                                        created
        pay  T5 A1->A2 90 balancing_debit balancing_credit        created
        moved T5 40
        ",
    );
}

#[test]
fn a_retry_exists_when_its_maximum_covers_what_moved() {
    check(
        "
        open A1                                  created
        open A2                                  created
        pay  T1 A2->A1 100                       created
        pay  T2 A1->A2 300 balancing_debit       created
        pay  T2 A1->A2 300 balancing_debit       exists
        pay  T2 A1->A2 max balancing_debit       exists
        pay  T2 A1->A2 100 balancing_debit       exists
        pay  T2 A1->A2 99  balancing_debit       exists_with_different_amount
        pay  T2 A1->A2 100                       exists_with_different_flags
        pay  T3 A1->A2 300 balancing_debit       created
        pay  T3 A1->A2 0   balancing_debit       exists
        ",
    );
}

#[test]
fn a_limit_is_judged_on_the_amount_that_moves() {
    check(
        "
        open A1 debits_must_not_exceed_credits   created
        open A2                                  created
        open A3 credits_must_not_exceed_debits   created
        pay  T1 A2->A1 100                       created
        pay  T2 A1->A2 101                       exceeds_credits
        pay  T3 A1->A2 101 balancing_debit       created
        moved T3 100
        pay  T4 A3->A2 50                        created
        open A4                                  created
        pay  T7 A4->A2 50                        created
        pay  T5 A2->A3 999 balancing_debit       exceeds_debits      # A2 has 100, but A3 can take only 50
        pay  T6 A2->A3 999 balancing_credit      created
        moved T6 50
        ",
    );
}

#[test]
fn overflow_is_judged_on_the_amount_that_moves() {
    check(
        "
        open A1                                  created
        open A2                                  created
        pay  T1 A1->A2 5                         created
        pay  T2 A1->A2 max                       overflows_debits_posted
        pay  T2 A1->A2 max balancing_debit       created
        moved T2 0
        ",
    );
}

#[test]
fn a_balancing_transfer_can_be_pending() {
    check(
        "
        open A1                                  created
        open A2                                  created
        pay  T1 A2->A1 100                       created
        hold T2 A1->A2 300 balancing_debit       created
        moved T2 100
        show A1 debits=100+0 credits=0+100
        hold T2 A1->A2 200 balancing_debit       exists
        post T3 T2 300                           exceeds_pending_transfer_amount
        post T3 T2 all                           created
        moved T3 100
        ",
    );
}
