//! Two-phase transfers.

use crate::story::check;

#[test]
fn a_pending_transfer_reserves_and_a_post_moves() {
    check(
        "
        open A1               created
        open A2               created
        hold T1 A1->A2 50     created
        state T1 pending
        show A1 debits=50+0 credits=0+0
        show A2 debits=0+0 credits=50+0
        post T2 T1 all        created
        moved T2 50
        state T1 posted
        state T2 none
        show A1 debits=0+50 credits=0+0
        show A2 debits=0+0 credits=0+50
        ",
    );
}

#[test]
fn a_post_of_a_part_releases_the_rest() {
    check(
        "
        open A1               created
        open A2               created
        hold T1 A1->A2 50     created
        post T2 T1 20         created
        show A1 debits=0+20 credits=0+0
        hold T3 A1->A2 50     created
        post T4 T3 0          created
        state T3 posted
        show A1 debits=0+20 credits=0+0
        sums 1 pending=0 posted=20 accounts=2
        ",
    );
}

#[test]
fn a_void_releases_everything() {
    check(
        "
        open A1               created
        open A2               created
        hold T1 A1->A2 50     created
        hold T2 A1->A2 7      created
        void T3 T1            created
        moved T3 50
        state T1 voided
        void T4 T2 7          created
        show A1 debits=0+0 credits=0+0
        hold T5 A1->A2 0      created
        void T6 T5            created
        state T5 voided
        ",
    );
}

#[test]
fn a_pending_transfer_resolves_once() {
    check(
        "
        open A1               created
        open A2               created
        hold T1 A1->A2 50     created
        hold T2 A1->A2 50     created
        post T3 T1 20         created
        post T4 T1 20         pending_transfer_already_posted
        void T4 T1            pending_transfer_already_posted
        void T4 T2            created
        void T5 T2            pending_transfer_already_voided
        post T5 T2 all        pending_transfer_already_voided
        post T5 T3 all        pending_transfer_not_pending
        sums 1 pending=0 posted=20
        ",
    );
}

#[test]
fn a_post_ignores_limits_since_the_amount_was_reserved_under_them() {
    check(
        "
        open A1 debits_must_not_exceed_credits   created
        open A2                                  created
        pay  T1 A2->A1 50                        created
        hold T2 A1->A2 50                        created
        pay  T3 A1->A2 1                         exceeds_credits
        post T4 T2 all                           created
        show A1 debits=0+50 credits=0+50
        ",
    );
}

#[test]
fn a_full_account_can_still_post_what_it_reserved() {
    check(
        "
        open A1               created
        open A2               created
        hold T1 A1->A2 max    created
        post T2 T1 all        created
        show A1 debits=0+340282366920938463463374607431768211455 credits=0+0
        ",
    );
}
