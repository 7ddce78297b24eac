//! Limits that flags set, and numeric limits on balances.

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
        pay  T7 A1->A2 31                        exceeds_credits     # reserved money counts as spent
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

#[test]
fn a_floor_allows_an_overdraft_and_a_ceiling_ends_what_comes_in() {
    check(
        "
        open A1                      created
        open A2                      created
        limits A9 min=0              account_not_found
        limits A1 min=5 max=4        min_balance_exceeds_max_balance
        limits A1 min=-50 max=100    created
        limits A1 min=-50 max=100    exists
        hold T1 A1->A2 20            created
        pay  T2 A1->A2 31            exceeds_min_balance     # reserved money counts as spent
        says the balance of the debit account would fall below its minimum (account 00000000-0000-0000-0000-000000000001 has 30 left, 31 requested)
        pay  T2 A1->A2 30            id_already_failed
        pay  T3 A1->A2 30            created
        pay  T4 A1->A2 0             created
        pay  P1/0 A1->A2 1           exceeds_min_balance     # payments too
        void T5 T1                   created
        hold T6 A2->A1 130           created
        pay  T7 A2->A1 1             exceeds_max_balance     # pending credits count
        post T8 T6 130               created
        limits A1                    created
        pay  T9 A2->A1 1             created
        pay  T10 A1->A2 500          created
        ",
    );
}

#[test]
fn an_account_that_is_beyond_a_new_bound_comes_back_by_transfers_the_other_way() {
    check(
        "
        open A1                      created
        open A2                      created
        pay  T1 A1->A2 50            created
        limits A1 min=-10            created
        limits A2 max=10             created
        pay  T2 A1->A2 1             exceeds_min_balance
        pay  T3 A2->A1 45            created
        pay  T4 A1->A2 6             exceeds_min_balance
        pay  T5 A1->A2 5             created
        ",
    );
}

#[test]
fn bounds_hold_at_the_ends_of_numbers() {
    check(
        "
        open A1                                                    created
        open A2                                                    created
        limits A1 min=-170141183460469231731687303715884105728     created
        limits A2 max=170141183460469231731687303715884105727      created
        pay  T1 A1->A2 170141183460469231731687303715884105728     exceeds_max_balance
        pay  T2 A1->A2 170141183460469231731687303715884105727     created
        limits A2 max=-170141183460469231731687303715884105728     created
        pay  T3 A1->A2 1                                           exceeds_max_balance
        limits A2                                                  created
        pay  T4 A1->A2 1                                           created
        pay  T5 A1->A2 1                                           exceeds_min_balance
        ",
    );
}

#[test]
fn bounds_are_checked_after_the_limits_of_flags() {
    check(
        "
        open A1 debits_must_not_exceed_credits   created
        open A2                                  created
        together
            limits A1 min=0                      created
            pay  T1 A1->A2 1                     exceeds_credits
            limits A2 min=0                      created
            pay  T2 A2->A1 1                     exceeds_min_balance
        commit
        ",
    );
}
