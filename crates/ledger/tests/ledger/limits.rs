//! Accounts whose one side must not exceed the other.

use crate::story::check;

#[test]
fn debits_stay_within_posted_credits() {
    check(
        "
        open A1 debits_must_not_exceed_credits   created
        open A2                                  created
        pay  T1 A1->A2 1                         exceeds_credits
        pay  T2 A1->A2 0                         created
        hold T3 A2->A1 100                       created
        pay  T4 A1->A2 1                         exceeds_credits     # pending credits cannot be spent
        post T5 T3 80                            created
        hold T6 A1->A2 50                        created
        pay  T7 A1->A2 31                        exceeds_credits     # reserved is as good as spent
        pay  T8 A1->A2 30                        created
        hold T9 A1->A2 1                         exceeds_credits
        void T10 T6                              created
        pay  T11 A1->A2 50                       created
        show A1 debits=0+80 credits=0+80
        ",
    );
}

#[test]
fn credits_stay_within_posted_debits() {
    check(
        "
        open A1 credits_must_not_exceed_debits   created
        open A2                                  created
        pay  T1 A2->A1 1                         exceeds_debits
        hold T2 A1->A2 100                       created
        pay  T3 A2->A1 1                         exceeds_debits
        post T4 T2 all                           created
        hold T5 A2->A1 60                        created
        pay  T6 A2->A1 41                        exceeds_debits
        pay  T7 A2->A1 40                        created
        ",
    );
}

#[test]
fn the_debit_limit_is_checked_before_the_credit_limit() {
    check(
        "
        open A1 debits_must_not_exceed_credits   created
        open A2 credits_must_not_exceed_debits   created
        pay  T1 A1->A2 1                         exceeds_credits
        ",
    );
}
