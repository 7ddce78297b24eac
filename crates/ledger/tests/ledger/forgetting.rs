//! Transfers that are no longer in memory are still known.

use crate::story::{check, key, run};

#[test]
fn ids_stay_taken_and_pending_transfers_resolve_however_old_they_are() {
    check(
        "
        open A1                     created
        open A2                     created
        pay  T1 A1->A2 1            created
        pay  T2 A1->A9 1            credit_account_not_found
        hold T3 A1->A2 5            created
        hold T4 A1->A2 5 timeout=1  created
        hold T5 A1->A2 7            created
        void T6 T5                  created
        forget
        pay  T1 A1->A2 1            exists
        pay  T1 A1->A2 2            exists_with_different_amount
        pay  T2 A1->A2 1            id_already_failed
        void T7 T5                  pending_transfer_already_voided
        hold T3 A1->A2 5            exists
        state T3 pending
        post T8 T3 4                created
        state T3 posted
        void T9 T3                  pending_transfer_already_posted
        forget
        post T8 T3 4                exists
        state T3 posted
        clock T4+1s
        state T4 expired
        expire T4
        state T4 expired
        forget
        state T4 expired
        void T9 T4                  pending_transfer_expired
        show A1 debits=0+5 credits=0+0
        ",
    );
}

#[test]
fn what_is_forgotten_is_not_in_memory() {
    let world = run("
        open A1                     created
        open A2                     created
        pay  T1 A1->A2 1            created
        hold T2 A1->A2 5            created
        forget
        pay  T3 A1->A2 1            created
    ");
    let listed = world.ledger.transfers_after(None, types::Timestamp::ZERO, 9);
    assert_eq!(listed.iter().map(|transfer| transfer.key).collect::<Vec<_>>(), [key("T3")]);
    assert_eq!(world.ledger.recorded(), 3);
}
