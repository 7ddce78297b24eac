//! Scheduled transfers.

use crate::story::check;

#[test]
fn a_scheduled_transfer_is_judged_when_its_time_comes() {
    check(
        "
        open A1 debits_must_not_exceed_credits    created
        open A2                                   created
        later 5s pay T1 A1->A2 50                 created
        later 4s pay T2 A1->A2 10                 created
        later 4s pay T3 A1->A3 10                 created
        show A1 debits=0+0 credits=0+0
        wait 4s
        execute T2                                exceeds_credits
        execute T3                                credit_account_not_found
        pay  T4 A2->A1 50                         created
        wait 1s
        execute T1                                created
        moved T1 50
        pay  T1 A1->A2 50                         exists
        later 5s pay T1 A1->A2 50                 exists
        later 5s pay T1 A1->A2 51                 exists_with_different_amount
        pay  T2 A1->A2 10                         id_already_failed
        later 5s pay T2 A1->A2 10                 id_already_failed
        ",
    );
}

#[test]
fn a_refusal_at_its_time_is_final_whatever_the_reason() {
    check(
        "
        open A1                                   created
        open A2                                   created
        later 1s pay T1 A1->A2 5 code=0           created
        wait 1s
        execute T1                                code_must_not_be_zero
        pay  T1 A1->A2 5                          id_already_failed
        ",
    );
}

#[test]
fn a_scheduled_id_is_taken() {
    check(
        "
        open A1                                   created
        open A2                                   created
        later 5s pay T1 A1->A2 50                 created
        pay  T1 A1->A2 50                         id_already_scheduled
        later 6s pay T1 A1->A2 50                 id_already_scheduled
        pay  T2 A1->A2 50                         created
        later 5s pay T2 A1->A2 50                 exists
        wait 5s
        pay  T1 A1->A2 50                         id_already_scheduled
        execute T1                                created
        ",
    );
}

#[test]
fn what_is_cancelled_never_happens_and_its_id_is_spent() {
    check(
        "
        open A1                                   created
        open A2                                   created
        cancel T1                                 scheduled_transfer_not_found
        later 5s pay T1 A1->A2 50                 created
        cancel T1                                 created
        cancel T1                                 exists
        pay  T1 A1->A2 50                         id_already_failed
        later 5s pay T1 A1->A2 50                 id_already_failed
        forget
        cancel T1                                 exists
        ",
    );
}

#[test]
fn only_a_single_transfer_of_a_client_can_be_scheduled() {
    check(
        "
        later 0s pay T1 A1->A2 50                 scheduled_time_must_be_later
        later 5s pay P1/0 A1->A2 50               scheduled_transfer_must_stand_alone
        later 5s pay T1 A1->A2 50 linked          scheduled_transfer_must_stand_alone
        later 5s pay T1 A1->A2 50 imported        scheduled_transfer_must_stand_alone
        later 5s pay T0 A1->A2 50                 id_must_not_be_zero
        ",
    );
}

#[test]
fn a_pending_transfer_can_be_posted_at_a_time() {
    check(
        "
        open A1                                   created
        open A2                                   created
        hold T1 A1->A2 50 timeout=9               created
        later 5s post T2 T1 all                   created
        later 6s void T3 T1                       created
        wait 6s
        execute T2                                created
        execute T3                                pending_transfer_already_posted
        show A1 debits=0+50 credits=0+0
        ",
    );
}
