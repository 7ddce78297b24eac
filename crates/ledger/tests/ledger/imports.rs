//! Accounts and transfers that were imported from another system with their original timestamps.

use crate::story::check;

#[test]
fn imports_keep_their_timestamps_which_increase_within_each_kind() {
    check(
        "
        wait 1s
        batch
            open A1 imported timestamp=10              created
            open A2 imported timestamp=10              imported_event_timestamp_must_not_regress
            open A2 imported timestamp=20              created
            open A3 imported timestamp=15              imported_event_timestamp_must_not_regress
        done
        batch
            pay T1 A1->A2 1 imported timestamp=10      imported_event_timestamp_must_not_regress   # that of A1
            pay T1 A1->A2 1 imported timestamp=5       imported_event_timestamp_must_postdate_debit_account
            pay T1 A1->A2 1 imported timestamp=15      imported_event_timestamp_must_postdate_credit_account
            hold T1 A1->A2 1 imported timestamp=30 timeout=1  imported_event_timeout_must_be_zero
            pay T1 A1->A2 1 imported timestamp=30      created
            pay T2 A1->A2 1 imported timestamp=30      imported_event_timestamp_must_not_regress
            hold T2 A1->A2 1 imported timestamp=31     created
            post T3 T2 1 imported timestamp=31         imported_event_timestamp_must_not_regress
            post T3 T2 1 imported timestamp=32         created
        done
        batch
            open A3 imported timestamp=32              imported_event_timestamp_must_not_regress   # that of T3
            open A3 imported timestamp=33              created
        done
        show A1 debits=0+2 credits=0+0
        ",
    );
}

#[test]
fn the_timestamp_of_a_forgotten_transfer_is_taken() {
    check(
        "
        wait 1s
        batch
            open A1 imported timestamp=10              created
            open A2 imported timestamp=20              created
        done
        batch
            pay T1 A1->A2 1 imported timestamp=30      created
            pay T2 A1->A2 1 imported timestamp=40      created
        done
        forget
        batch
            open A3 imported timestamp=30              imported_event_timestamp_must_not_regress
            open A3 imported timestamp=31              created
        done
        ",
    );
}

#[test]
fn the_first_event_decides_whether_a_batch_is_imported() {
    check(
        "
        wait 1s
        batch
            open A1 imported timestamp=10              created
            open A2                                    imported_event_expected
            open A3 linked imported timestamp=11       linked_event_failed
            open A4 linked                             imported_event_expected
            open A5 imported timestamp=12              linked_event_failed
            open A6 imported timestamp=11              created          # what was undone does not count
        done
        batch
            open A2                                    created
            open A3 imported timestamp=12              imported_event_not_expected
            open A3 timestamp=12                       timestamp_must_be_zero
        done
        batch
            pay T1 A1->A2 1                            created
            pay T2 A1->A2 1 imported timestamp=50      imported_event_not_expected
            pay T2 A1->A2 1 timestamp=50               timestamp_must_be_zero
        done
        ",
    );
}

#[test]
fn the_range_of_a_timestamp_is_checked_before_exists_and_its_order_after() {
    check(
        "
        wait 1s
        batch
            open A1 imported timestamp=10                    created
            open A2 imported timestamp=20                    created
        done
        batch
            open A1 imported timestamp=0                     imported_event_timestamp_out_of_range
            open A1 imported timestamp=9223372036854775808   imported_event_timestamp_out_of_range
            open A1 imported timestamp=9223372036854775807   imported_event_timestamp_must_not_advance
            open A1 imported timestamp=1                     exists
            open A1 imported timestamp=900                   exists
        done
        batch
            pay T1 A1->A2 1 imported timestamp=30                    created
            pay T1 A1->A2 1 imported timestamp=0                     imported_event_timestamp_out_of_range
            pay T1 A1->A2 1 imported timestamp=9223372036854775808   imported_event_timestamp_out_of_range
            pay T1 A1->A2 1 imported timestamp=2000000000            imported_event_timestamp_must_not_advance
            pay T1 A1->A2 1 imported timestamp=1                     exists
        done
        pay T1 A1->A2 1                                              exists_with_different_flags
        open A1                                                      exists_with_different_flags
        ",
    );
}

#[test]
fn an_imported_time_is_not_later_than_its_own_event() {
    // The batch starts at 1 s and some microseconds. Its third event is two nanoseconds later.
    check(
        "
        wait 1s
        open A1                                               created
        open A2                                               created
        clock A2+1000ns
        batch
            open A3 imported timestamp=1000003003             imported_event_timestamp_must_not_pass_event
            open A3 imported timestamp=1000003004             imported_event_timestamp_must_not_advance
            open A3 imported timestamp=1000003004             imported_event_timestamp_must_not_advance
        done
        ",
    );
}

#[test]
fn an_imported_post_or_void_never_resolves_a_transfer_with_a_timeout() {
    check(
        "
        open A1                                       created
        open A2                                       created
        wait 1s
        hold T1 A1->A2 5 timeout=1                    created
        wait 500ms
        batch
            void T2 T1 imported timestamp=1200000000  imported_event_must_not_resolve_timed_transfer
        done
        wait 1s
        batch
            void T2 T1 imported timestamp=1200000000  pending_transfer_expired
        done
        ",
    );
}
