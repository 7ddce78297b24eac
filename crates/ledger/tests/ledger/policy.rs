//! The separation of clients and the policy.

use ledger::{NewTransfer, Outcome, TransferFlags, TransferKey, TransferStatus};
use types::{AccountId, Amount, Code, LedgerId, Timestamp, TransferId};

use crate::story::{check, run};

#[test]
fn only_payments_move_money_on_a_policy_only_account() {
    check(
        "
        open A1                     created
        open A2 policy_only         created
        pay  T1 A1->A2 5            account_is_policy_only
        says only payments, and transfers that a second principal approved, move money on this account (account 00000000-0000-0000-0000-000000000002)
        pay  T1 A2->A1 5            account_is_policy_only
        hold T1 A2->A1 5            account_is_policy_only
        pay  P1/0 A1->A2 5          created
        hold P1/1 A2->A1 5          created
        post P1/2 P1/1 all          created
        pay  T1 A1->A3 5            credit_account_not_found
        show A2 debits=0+5 credits=0+5
        ",
    );
}

#[test]
fn policy_only_comes_after_wrong_ledgers_and_before_closed_accounts() {
    check(
        "
        book 2 USD/2                created
        open A1                     created
        open A2 policy_only closed  created
        open A3 closed              created
        pay  T1 A1->A2 5 ledger=2   transfer_must_have_the_same_ledger_as_accounts
        pay  T1 A3->A2 5            account_is_policy_only
        pay  P1/0 A1->A2 5          credit_account_already_closed
        ",
    );
}

#[test]
fn a_client_cannot_resolve_the_legs_of_a_payment() {
    check(
        "
        open A1                created
        open A2                created
        hold P1/0 A1->A2 5     created
        void T1 P1/0           pending_transfer_not_found
        post T2 P1/0 all       pending_transfer_not_found
        state P1/0 pending
        void P1/1 P1/0         created
        ",
    );
}

#[test]
fn legs_are_named_apart_from_the_ids_of_clients() {
    check(
        "
        open A1                created
        open A2                created
        pay  T1 A1->A2 5       created
        pay  P1/0 A1->A2 5     created
        pay  P1/1 A1->A2 5     created
        pay  P2/0 A1->A2 5     created
        pay  P2/0 A1->A2 5     exists
        pay  P2/0 A1->A2 6     exists_with_different_amount
        sums 1 pending=0 posted=20
        ",
    );
}

#[test]
fn the_refusal_of_a_leg_spends_nothing() {
    check(
        "
        open A1                created
        pay  P1/0 A1->A2 5     credit_account_not_found
        open A2                created
        pay  P1/0 A1->A2 5     created
        ",
    );
}

#[test]
fn an_approval_lets_a_client_move_money_on_a_policy_only_account() {
    let world = run("
        open A1                     created
        open A2 policy_only         created
        ");
    let at = Timestamp::from_ns(1 << 50);
    let client = |id| TransferKey::Client(TransferId::new(id));
    let hold = NewTransfer {
        debit: AccountId::new(2),
        credit: AccountId::new(1),
        amount: Amount::new(5),
        ledger: LedgerId::new(1),
        code: Code::new(1),
        flags: TransferFlags::PENDING,
        ..NewTransfer::named(client(1))
    };
    let flags = TransferFlags::POST_PENDING_TRANSFER;
    let post = NewTransfer { pending: Some(client(1)), amount: Amount::MAX, flags, ..NewTransfer::named(client(2)) };
    let status = |outcome| match outcome {
        Outcome::Refused(refusal) => Some(refusal.status),
        Outcome::Created { .. } | Outcome::Exists { .. } => None,
    };
    let mut plan = world.ledger.plan(at);
    assert_eq!(status(plan.create_transfer(&hold)), Some(TransferStatus::AccountIsPolicyOnly));
    let mut plan = world.ledger.plan(at).approved();
    assert_eq!(status(plan.create_transfer(&hold)), None);
    assert_eq!(status(plan.create_transfer(&post)), None);
    let mut held = world.ledger.plan(at).approved();
    held.create_transfer(&hold);
    let facts = held.into_facts();
    let mut ledger = world.ledger;
    for fact in &facts {
        ledger.apply(fact);
    }
    let mut plan = ledger.plan(Timestamp::from_ns(1 << 51));
    assert_eq!(status(plan.create_transfer(&post)), Some(TransferStatus::AccountIsPolicyOnly));
}
