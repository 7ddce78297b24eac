//! Pending transfers that expire.

use crate::story::{check, key, run};
use ledger::{Fact, Ledger};
use types::Timestamp;

#[test]
fn a_pending_transfer_expires_exactly_at_its_timestamp_plus_its_timeout() {
    check(
        "
        open A1                         created
        open A2                         created
        hold T1 A1->A2 50 timeout=5     created
        hold T2 A1->A2 50 timeout=5     created
        hold T3 A1->A2 50               created
        clock T1+4999999999ns
        state T1 pending
        expire                                        # nothing is due
        post T4 T1 10                   created       # at the very last nanosecond
        clock T2+5s
        state T2 expired
        post T5 T2 10                   pending_transfer_expired
        void T5 T2                      pending_transfer_expired
        wait 9999d
        state T1 posted
        state T3 pending
        ",
    );
}

#[test]
fn what_is_reserved_comes_back_with_the_expiry_and_not_before() {
    check(
        "
        open A1 debits_must_not_exceed_credits   created
        open A2                                  created
        pay  T1 A2->A1 50                        created
        hold T2 A1->A2 50 timeout=5              created
        clock T2+5s
        state T2 expired
        show A1 debits=50+0 credits=0+50
        pay  T3 A1->A2 50                        exceeds_credits
        expire T2
        show A1 debits=0+0 credits=0+50
        state T2 expired
        void T4 T2                               pending_transfer_expired
        pay  T5 A1->A2 50                        created
        expire
        ",
    );
}

#[test]
fn expiries_go_in_order_of_their_time_then_of_creation() {
    check(
        "
        open A1                         created
        open A2                         created
        hold T1 A1->A2 1 timeout=9      created
        hold T2 A1->A2 2 timeout=3      created
        hold T3 A1->A2 4 timeout=5      created
        hold T4 A1->A2 8 timeout=7      created
        post T5 T3 all                  created
        clock T4+7s
        expire T2 T4
        show A1 debits=1+4 credits=0+0
        clock T1+9s
        expire T1
        sums 1 pending=0 posted=4
        ",
    );
}

#[test]
fn pages_of_due_transfers_are_bounded() {
    let world = run("
        open A1                         created
        open A2                         created
        together
            hold T3 A1->A2 1 timeout=2      created
            hold T1 A1->A2 1 timeout=1      created
            hold T2 A1->A2 1 timeout=1      created
        commit
    ");
    let due = |at: Timestamp, limit| world.ledger.due(at, limit);
    let next = world.ledger.next_due().expect("one is due next");
    assert_eq!(due(Timestamp::from_ns(next.ns() - 1), 9), []);
    assert_eq!(due(next, 9), [key("T1")]);
    assert_eq!(due(Timestamp::MAX, 2), [key("T1"), key("T2")]);
    assert_eq!(due(Timestamp::MAX, 9), [key("T1"), key("T2"), key("T3")]);
    assert_eq!(Ledger::default().next_due(), None);
}

#[test]
#[should_panic(expected = "LED-7")]
fn an_expiry_out_of_order_is_a_bug() {
    let mut world = run("
        open A1                         created
        open A2                         created
        hold T1 A1->A2 1 timeout=1      created
        hold T2 A1->A2 1 timeout=2      created
    ");
    world.apply(Fact::TransferExpired(key("T2")));
}

#[test]
fn a_timeout_must_end_before_the_calendar_does() {
    check(
        "
        open A1                           created
        open A2                           created
        wait 106751d                                # 9,223,286,400 s of the 9,223,372,036.85 s there are
        hold T1 A1->A2 1 timeout=85636    created
        hold T2 A1->A2 1 timeout=85637    overflows_timeout
        hold T2 A1->A2 1 timeout=max      overflows_timeout
        pay  T2 A1->A2 1                  created
        ",
    );
}

#[test]
fn the_timeout_is_checked_before_the_limits() {
    check(
        "
        open A1 debits_must_not_exceed_credits  created
        open A2                                 created
        wait 106751d
        hold T1 A1->A2 1 timeout=max            overflows_timeout
        hold T1 A1->A2 1                        exceeds_credits
        ",
    );
}
