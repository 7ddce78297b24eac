//! Plans of several steps.

use ledger::{Fact, NewTransfer, Outcome};
use types::{Amount, Code, LedgerId, Timestamp};

use crate::story::{account, check, key, run};

#[test]
fn the_steps_of_a_plan_see_one_another() {
    check(
        "
        together
            book 2 JPY/0                                      created
            book 2 JPY/0                                      exists
            book 2 EUR/2                                      exists_with_different_asset
            open A1 ledger=2 debits_must_not_exceed_credits   created
            open A1 ledger=2                                  exists_with_different_flags
            open A2 ledger=2                                  created
            pay  T1 A2->A1 50 ledger=2                        created
            hold T2 A1->A2 50 ledger=2                        created
            pay  T3 A1->A2 1 ledger=2                         exceeds_credits
            pay  T3 A1->A2 0 ledger=2                         id_already_failed
            show A1 debits=50+0 credits=0+50
            state T2 pending
            post T4 T2 20                                     created
            state T2 posted
            void T5 T2                                        pending_transfer_already_posted
            post T4 T2 20                                     exists
            hold T6 A2->A1 0 closing_debit ledger=2           created
            pay  T7 A1->A2 1 ledger=2                         credit_account_already_closed
            void T8 T6                                        created
            pay  T9 A1->A2 1 ledger=2                         created
        commit
        show A1 debits=0+21 credits=0+50
        pay  T3 A1->A2 0 ledger=2                             id_already_failed
        sums 2 pending=0 posted=71 accounts=2
        ",
    );
}

#[test]
fn a_dropped_plan_leaves_nothing() {
    check(
        "
        open A1                  created
        open A2                  created
        hold T1 A1->A2 5         created
        together
            book 2 JPY/0         created
            post T2 T1 all       created
            pay  T3 A9->A2 5     debit_account_not_found
        drop
        show A1 debits=5+0 credits=0+0
        state T1 pending
        pay  T3 A1->A2 5         created
        void T2 T1               created
        book 2 EUR/2             created
        ",
    );
}

#[test]
fn each_account_and_transfer_of_a_plan_gets_its_own_timestamp() {
    let world = run("
        together
            book 2 JPY/0         created
            open A1              created
            open A1              exists
            open A2              created
            pay  T1 A1->A2 1     created
            pay  T1 A1->A2 1     exists
            pay  T9 A1->A8 1     credit_account_not_found
            pay  T2 A1->A2 1     created
        commit
    ");
    let timestamps: Vec<u64> = world
        .facts
        .iter()
        .filter_map(|fact| {
            if let Fact::AccountOpened(account) = fact {
                return Some(account.timestamp.ns());
            }
            if let Fact::TransferCreated(transfer) = fact { Some(transfer.timestamp.ns()) } else { None }
        })
        .collect();
    let first = timestamps[0];
    assert_eq!(timestamps, [first, first + 1, first + 2, first + 3]);
    assert_eq!(world.ledger.last_timestamp().ns(), first + 3);
    let mut plan = world.ledger.plan(Timestamp::from_ns(first + 4));
    let outcome = plan.create_transfer(&NewTransfer {
        debit: account("A1"),
        credit: account("A2"),
        amount: Amount::new(1),
        ledger: LedgerId::new(1),
        code: Code::new(1),
        ..NewTransfer::named(key("T3"))
    });
    assert_eq!(outcome, Outcome::Created { timestamp: Timestamp::from_ns(first + 4) });
    assert_eq!(plan.timestamps_used(), 1);
}

#[test]
fn a_step_is_judged_as_of_its_own_timestamp() {
    // The first step comes one nanosecond before T1 expires. The second step sees T1 as expired.
    check(
        "
        open A1                       created
        open A2                       created
        hold T1 A1->A2 5 timeout=1    created
        clock T1+999999999ns
        together
            state T1 pending
            pay  T2 A1->A2 1          created
            state T1 expired
            post T3 T1 all            pending_transfer_expired
        commit
        ",
    );
}

#[test]
#[should_panic(expected = "LED-3")]
fn a_plan_in_the_past_is_a_bug() {
    let world = run("open A1 created");
    world.ledger.plan(world.ledger.last_timestamp());
}
