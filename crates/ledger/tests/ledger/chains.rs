//! Events of a batch that succeed or fail together.

use ledger::{BatchContext, CHAIN_EVENTS_MAX, Fact, NewTransfer, Outcome, TransferFlags, TransferKey, TransferStatus};
use types::{Amount, Code, LedgerId, TransferId};

use crate::story::{account, check, run};

#[test]
fn a_chain_succeeds_together_and_each_link_sees_those_before() {
    check(
        "
        batch
            open A1 linked debits_must_not_exceed_credits   created
            open A2                                         created
        done
        batch
            pay  T1 A2->A1 5 linked     created
            hold T2 A1->A2 5 linked     created
            post T3 T2 4                created
            pay  T4 A1->A2 1            created
        done
        show A1 debits=0+5 credits=0+5
        ",
    );
}

#[test]
fn a_chain_fails_together_and_only_the_event_that_broke_it_says_why() {
    check(
        "
        batch
            open A1                     created
            open A2 linked              linked_event_failed
            open A3 code=0 linked       code_must_not_be_zero
            open A4                     linked_event_failed
            open A5                     created
        done
        batch
            pay  T1 A1->A5 1            created
            pay  T2 A1->A5 2 linked     linked_event_failed
            pay  T3 A1->A1 2 linked     accounts_must_be_different
            pay  T4 A1->A5 2            linked_event_failed
            pay  T5 A1->A5 3            created
        done
        show A1 debits=0+4 credits=0+0
        open A2                         created
        pay  T2 A1->A5 2                created
        ",
    );
}

#[test]
fn only_the_event_that_broke_a_chain_spends_its_id() {
    let world = run("
        open A1                         created
        open A2                         created
        batch
            pay  T1 A1->A2 1 linked     linked_event_failed
            pay  T2 A1->A9 1 linked     credit_account_not_found
            pay  T3 A9->A2 1            linked_event_failed
        done
        pay  T2 A1->A2 1                id_already_failed
        pay  T1 A1->A2 1                created
        pay  T3 A1->A2 1                created
    ");
    let left: Vec<_> = world.facts.iter().skip(3).take(1).collect();
    assert!(matches!(left.as_slice(), [Fact::TransferFailed { .. }]), "{left:?}");
}

#[test]
fn an_event_that_exists_breaks_its_chain_even_if_the_chain_created_it() {
    check(
        "
        open A1                         created
        open A2                         created
        pay  T1 A1->A2 1                created
        batch
            pay  T2 A1->A2 1 linked     linked_event_failed
            pay  T1 A1->A2 1            exists
        done
        batch
            pay  T3 A1->A2 1 linked     linked_event_failed
            pay  T3 A1->A2 1 linked     exists
            pay  T4 A1->A2 1            linked_event_failed
        done
        batch
            open A3 linked              linked_event_failed
            open A3 linked              exists
            open A4                     linked_event_failed
        done
        sums 1 pending=0 posted=1 accounts=2
        ",
    );
}

#[test]
fn the_last_event_of_a_chain_without_end_says_so_whatever_else_is_wrong() {
    check(
        "
        open A1                         created
        open A2                         created
        batch
            pay  T1 A1->A2 1            created
            pay  T2 A1->A2 1 linked     linked_event_failed
            pay  T3 A1->A9 1 linked     linked_event_chain_open
        done
        batch
            pay  T4 A1->A9 1 linked     credit_account_not_found
            pay  T5 A1->A2 1 linked     linked_event_failed
            pay  T0 A1->A2 1 linked     linked_event_chain_open
        done
        batch
            pay  T6 A1->A2 1 linked     linked_event_chain_open
        done
        batch
            open A3 linked              linked_event_chain_open
        done
        pay  T3 A1->A2 1                created
        ",
    );
}

#[test]
fn a_retry_compares_linked_too() {
    check(
        "
        open A1                         created
        open A2                         created
        batch
            pay  T1 A1->A2 1 linked     created
            pay  T2 A1->A2 1            created
        done
        pay  T1 A1->A2 1                exists_with_different_flags
        batch
            pay  T1 A1->A2 1 linked     exists
            pay  T2 A1->A2 1            linked_event_failed
        done
        ",
    );
}

#[test]
fn a_chain_is_undone_with_all_that_it_did_to_what_was_there() {
    check(
        "
        open A1                                       created
        open A2                                       created
        hold T1 A1->A2 5 timeout=1                    created
        batch
            void T2 T1 linked                         linked_event_failed
            hold T3 A1->A2 0 closing_debit linked     linked_event_failed
            pay  T4 A1->A2 1                          debit_account_already_closed
        done
        state T1 pending
        show A1 debits=5+0 credits=0+0
        pay  T4 A1->A2 1                              id_already_failed
        clock T1+1s
        expire T1
        ",
    );
}

#[test]
fn a_chain_has_a_longest_length() {
    let mut world = run("open A1 created\nopen A2 created");
    let chain = |first: u128, count: usize| -> Vec<NewTransfer> {
        let link = |number| NewTransfer {
            debit: account("A1"),
            credit: account("A2"),
            amount: Amount::new(1),
            ledger: LedgerId::new(1),
            code: Code::new(1),
            flags: if number + 1 < count { TransferFlags::LINKED } else { TransferFlags::NONE },
            ..NewTransfer::named(TransferKey::Client(TransferId::new(first + number as u128)))
        };
        (0..count).map(link).collect()
    };
    let decide =
        |ledger: &ledger::Ledger, batch: BatchContext, at, new: &NewTransfer| ledger.plan_transfer_of(batch, at, new);
    let longest = world.events(&chain(1, CHAIN_EVENTS_MAX), decide);
    assert!(longest.iter().all(|outcome| matches!(outcome, Outcome::Created { .. })));
    let longer = world.events(&chain(5_000, CHAIN_EVENTS_MAX + 1), decide);
    let status = |outcome: &Outcome<TransferStatus>| match outcome {
        Outcome::Refused(refusal) => refusal.status,
        Outcome::Created { .. } | Outcome::Exists { .. } => panic!("{outcome:?}"),
    };
    let (last, others) = longer.split_last().expect("it has events");
    assert_eq!(status(last), TransferStatus::LinkedChainTooLong);
    assert!(others.iter().all(|outcome| status(outcome) == TransferStatus::LinkedEventFailed));
    world.check_replay();
}
