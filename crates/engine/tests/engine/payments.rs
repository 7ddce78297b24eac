//! The life of a payment, from its decision to its last deadline.

use engine::Fact;

use crate::story::{World, check};

#[test]
fn an_approved_payment_moves_money_at_once() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 transfer 1200 customer=alice recipient=bob -> posted
        wallet alice -> 3800 held 0
        wallet bob -> 1200 held 0
        ",
    );
}

#[test]
fn an_id_is_decided_once_and_answers_the_same() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        entries -> 4
        pay P1 top_up 5000 customer=alice -> posted
        pay P1 top_up 5001 customer=alice -> payment 00000000-0000-0000-0000-000000000001 exists with different content; a retry must send the same content, and another payment needs another id
        entries -> 4
        wallet alice -> 5000 held 0
        ",
    );
}

#[test]
fn a_payment_that_the_ledger_refuses_moves_nothing_and_stays_refused() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 transfer 5001 customer=alice recipient=bob -> refused exceeds_credits
        wallet alice -> 5000 held 0
        pay P3 top_up 5000 customer=alice -> posted
        pay P2 transfer 5001 customer=alice recipient=bob -> refused exceeds_credits
        wallet alice -> 10000 held 0
        ",
    );
}

#[test]
fn a_refused_leg_undoes_the_legs_before_it() {
    // The fee of 1 % is the second leg: the wallet has the 5,000, but not the 50 for the fee.
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 5000 customer=alice -> refused exceeds_credits
        wallet alice -> 5000 held 0
        pay P3 card 4900 customer=alice -> held
        wallet alice -> 5000 held 4949
        ",
    );
}

#[test]
fn a_hold_is_captured_voided_or_expires() {
    check(
        "
        pay P1 top_up 90000 customer=alice -> posted
        pay P2 card 1000 customer=alice -> held
        pay P3 card 2000 customer=alice -> held
        pay P4 card 3000 customer=alice -> held
        wallet alice -> 90000 held 6060
        capture P2 R1 -> posted
        void P3 R2 -> voided
        wallet alice -> 88990 held 3030
        wait 7d
        show P4 -> expired
        wallet alice -> 88990 held 0
        capture P4 R3 -> cannot capture a payment that is expired, only one that is held
        ",
    );
}

#[test]
fn a_review_holds_the_money_until_somebody_decides() {
    check(
        "
        pay P1 top_up 90000 customer=alice -> posted
        pay P2 transfer 50000 customer=alice recipient=bob -> in_review large
        wallet alice -> 90000 held 50000
        approve P2 R1 -> posted
        wallet bob -> 50000 held 0
        pay P3 top_up 90000 customer=carol -> posted
        pay P4 transfer 50000 customer=carol recipient=bob -> in_review large
        decline P4 R2 -> declined
        wallet carol -> 90000 held 0
        ",
    );
}

#[test]
fn a_passed_review_deadline_does_what_the_type_declares() {
    // Transfers expire; card payments count as approved and then wait for their capture.
    check(
        "
        pay P1 top_up 300000 customer=alice -> posted
        pay P2 transfer 50000 customer=alice recipient=bob -> in_review large
        pay P3 card 50000 customer=alice device=phone -> in_review unknown_device
        wallet alice -> 300000 held 100500
        wait 1h
        show P2 -> expired
        show P3 -> held
        wallet alice -> 300000 held 50500
        approve P2 R1 -> cannot approve a payment that is expired, only one that is in_review
        wait 7d
        show P3 -> expired
        wallet alice -> 300000 held 0
        ",
    );
}

#[test]
fn a_refund_moves_everything_back_once() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 1000 customer=alice -> held
        refund P2 R1 -> cannot refund a payment that is held, only one that is posted
        capture P2 R2 -> posted
        wallet alice -> 3990 held 0
        refund P2 R3 -> refunded
        wallet alice -> 5000 held 0
        refund P2 R4 -> cannot refund a payment that is refunded, only one that is posted
        ",
    );
}

#[test]
fn a_refund_that_the_ledger_refuses_changes_nothing() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 transfer 5000 customer=alice recipient=bob -> posted
        pay P3 transfer 3000 customer=bob recipient=carol -> posted
        refund P2 R1 -> the debits of the debit account would exceed its posted credits (account 78caecf6-d76a-b4d3-6331-78b17409b6b4 has 2000 left, 5000 requested)
        show P2 -> posted
        ",
    );
}

#[test]
fn a_verb_is_idempotent_by_its_request_id() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 1000 customer=alice -> held
        capture P2 R1 -> posted
        entries -> 6
        capture P2 R1 -> posted
        void P2 R1 -> this Idempotency-Key was already used to capture the payment; give every verb its own
        capture P2 R2 -> cannot capture a payment that is posted, only one that is held
        entries -> 6
        capture P9 R1 -> payment 00000000-0000-0000-0000-000000000009 not found
        ",
    );
}

#[test]
fn limits_count_held_amounts_but_not_voided_ones() {
    check(
        "
        pay P1 top_up 900000 customer=alice -> posted
        pay P2 card 40000 customer=alice -> held
        pay P3 card 40000 customer=alice -> held
        pay P4 card 40000 customer=alice -> declined daily_limit
        void P3 R1 -> voided
        pay P5 card 40000 customer=alice -> held
        capture P5 R2 -> posted
        refund P5 R3 -> refunded
        # A refunded payment still counts, because it was made.
        pay P6 card 40000 customer=alice -> declined daily_limit
        wait 1d
        pay P7 card 40000 customer=alice -> held
        ",
    );
}

#[test]
fn a_client_may_declare_when_a_payment_happened_within_bounds() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 100 customer=alice ago=5m -> held
        pay P3 card 100 customer=alice ago=6m -> held late
        pay P4 card 100 customer=alice in=1m -> held
        pay P5 card 100 customer=alice in=2m -> occurred_at 2026-01-01T00:02:00.000000012Z is after 2026-01-01T00:01:00.000000012Z, the latest time that this payment type allows now
        pay P6 transfer 100 customer=alice recipient=bob ago=1m -> payments of type transfer do not accept occurred_at
        ",
    );
}

#[test]
fn a_label_is_recorded_once_and_can_be_replaced() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 100 customer=alice -> held
        label P2 fraud -> Now positive=true
        label P2 fraud -> Before positive=true
        label P2 legitimate -> Now positive=false
        label P9 fraud -> payment 00000000-0000-0000-0000-000000000009 not found
        ",
    );
}

#[test]
fn only_open_payments_stay_in_memory() {
    check(
        "
        pay P1 top_up 90000 customer=alice -> posted
        pay P2 card 1000 customer=alice -> held
        pay P3 card 2000 customer=alice -> held
        in_memory 2
        capture P2 R1 -> posted
        in_memory 1
        refund P2 R2 -> refunded
        refund P2 R2 -> refunded
        label P1 fraud -> Now positive=true
        label P1 fraud -> Before positive=true
        pay P1 top_up 90000 customer=alice -> posted
        in_memory 1
        wait 7d
        show P3 -> expired
        in_memory 0
        ",
    );
}

#[test]
fn a_hold_is_captured_in_parts_until_nothing_is_held() {
    // The fee is 1 %: 10 of 1,000, of which the parts are 3, 4 (7 in sum) and 3.
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 1000 customer=alice -> held
        wallet alice -> 5000 held 1010
        capture P2 R1 333 -> held
        sums P2 -> 333 0 0 in 6
        wallet alice -> 4664 held 674
        capture P2 R2 333 -> held
        sums P2 -> 666 0 0 in 10
        wallet alice -> 4327 held 337
        capture P2 R3 335 -> cannot capture 335 of the payment, only the 334 that is left
        capture P2 R4 334 -> posted
        sums P2 -> 1000 0 0 in 12
        wallet alice -> 3990 held 0
        capture P2 R5 1 -> cannot capture a payment that is posted, only one that is held
        ",
    );
}

#[test]
fn a_last_capture_releases_the_rest() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 1000 customer=alice -> held
        capture P2 R1 500 -> held
        capture P2 R2 250 final -> posted
        sums P2 -> 750 250 0 in 8
        # 750 and a fee of 7.5, rounded up.
        wallet alice -> 4242 held 0
        pay P3 card 1000 customer=alice -> held
        capture P3 R3 1000 final -> posted
        sums P3 -> 1000 0 0 in 4
        wallet alice -> 3232 held 0
        ",
    );
}

#[test]
fn a_void_of_a_part_lowers_the_hold() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 1000 customer=alice -> held
        void P2 R1 400 -> held
        wallet alice -> 5000 held 606
        void P2 R2 601 -> cannot void 601 of the payment, only the 600 that is left
        capture P2 R3 -> posted
        sums P2 -> 600 400 0 in 8
        wallet alice -> 4394 held 0
        refund P2 R4 -> refunded
        wallet alice -> 5000 held 0
        pay P3 card 1000 customer=alice -> held
        void P3 R5 400 -> held
        void P3 R6 600 -> voided
        wallet alice -> 5000 held 0
        pay P4 card 1000 customer=alice -> held
        capture P4 R7 400 -> held
        void P4 R8 -> posted
        sums P4 -> 400 600 0 in 8
        wallet alice -> 4596 held 0
        ",
    );
}

#[test]
fn a_review_can_be_lowered_before_it_is_decided() {
    check(
        "
        pay P1 top_up 90000 customer=alice -> posted
        pay P2 transfer 50000 customer=alice recipient=bob -> in_review large
        void P2 R1 20000 -> in_review
        wallet alice -> 90000 held 30000
        approve P2 R2 -> posted
        wallet bob -> 30000 held 0
        sums P2 -> 30000 20000 0 in 4
        pay P3 card 1000 customer=alice device=phone -> in_review unknown_device
        void P3 R3 500 -> in_review
        approve P3 R4 -> held
        wallet alice -> 60000 held 505
        pay P4 card 1000 customer=alice device=phone -> in_review unknown_device
        void P4 R5 500 -> in_review
        decline P4 R6 -> declined
        sums P4 -> 0 1000 0 in 8
        wallet alice -> 60000 held 505
        ",
    );
}

#[test]
fn what_was_captured_is_refunded_in_parts() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 1000 customer=alice -> held
        capture P2 R1 500 final -> posted
        wallet alice -> 4495 held 0
        refund P2 R2 501 -> cannot refund 501 of the payment, only the 500 that is left
        refund P2 R3 150 -> posted
        # 150 and a fee of 1.5, rounded up.
        wallet alice -> 4647 held 0
        refund P2 R4 351 -> cannot refund 351 of the payment, only the 350 that is left
        refund P2 R5 -> refunded
        sums P2 -> 500 500 500 in 8
        wallet alice -> 5000 held 0
        refund P2 R6 1 -> cannot refund a payment that is refunded, only one that is posted
        pay P3 transfer 700 customer=alice recipient=bob -> posted
        refund P3 R7 300 -> posted
        refund P3 R8 400 -> refunded
        wallet alice -> 5000 held 0
        ",
    );
}

#[test]
fn a_deadline_releases_what_is_left_of_a_hold() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 1000 customer=alice -> held
        pay P3 card 1000 customer=alice -> held
        wait 6d
        # Neither a part nor a lower hold gets more time.
        capture P2 R1 400 -> held
        void P3 R2 400 -> held
        wait 1d
        show P2 -> posted
        show P3 -> expired
        sums P2 -> 400 600 0 in 8
        sums P3 -> 0 1000 0 in 8
        wallet alice -> 4596 held 0
        refund P2 R3 400 -> refunded
        wallet alice -> 5000 held 0
        ",
    );
}

#[test]
fn a_verb_with_an_amount_is_idempotent() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 1000 customer=alice -> held
        capture P2 R1 500 -> held
        entries -> 6
        capture P2 R1 500 -> held
        capture P2 R1 501 -> this Idempotency-Key was already used to capture 500 of the payment; give every verb its own
        capture P2 R1 500 final -> this Idempotency-Key was already used to capture 500 of the payment; give every verb its own
        capture P2 R1 -> this Idempotency-Key was already used to capture 500 of the payment; give every verb its own
        void P2 R1 500 -> this Idempotency-Key was already used to capture 500 of the payment; give every verb its own
        entries -> 6
        capture P2 R2 500 -> posted
        capture P2 R1 500 -> posted
        sums P2 -> 1000 0 0 in 8
        ",
    );
}

#[test]
fn parts_of_a_leg_smaller_than_a_unit_move_later() {
    // The fee of 100 is 1. It moves with the part that reaches half of the payment.
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 100 customer=alice -> held
        capture P2 R1 49 -> held
        wallet alice -> 4951 held 52
        sums P2 -> 49 0 0 in 4
        capture P2 R2 1 -> held
        wallet alice -> 4949 held 50
        capture P2 R3 50 -> posted
        wallet alice -> 4899 held 0
        refund P2 R4 49 -> posted
        wallet alice -> 4948 held 0
        refund P2 R5 -> refunded
        wallet alice -> 5000 held 0
        pay P3 card 100 customer=alice -> held
        capture P3 R6 49 final -> posted
        wallet alice -> 4951 held 0
        ",
    );
}

#[test]
fn a_payment_of_zero_moves_its_fee_as_a_whole() {
    check(
        "
        pay P1 top_up 0 customer=alice -> posted
        refund P1 R1 -> refunded
        pay P2 card 0 customer=alice -> held
        capture P2 R2 1 -> cannot capture 1 of the payment, only the 0 that is left
        capture P2 R3 -> posted
        pay P3 card 0 customer=alice -> held
        void P3 R4 -> voided
        ",
    );
}

#[test]
fn what_stays_held_is_judged_again() {
    check(
        "
        pay P1 top_up 5000 customer=alice -> posted
        pay P2 card 1000 customer=alice -> held
        min_balance alice 4500
        # Limits do not count when a hold is posted or released, but what stays held is a new transfer.
        capture P2 R1 100 -> the balance of the debit account would fall below its minimum (account 4ed6cb4e-8284-2757-cf2c-7b641de21f65 has 390 left, 900 requested)
        void P2 R2 100 -> the balance of the debit account would fall below its minimum (account 4ed6cb4e-8284-2757-cf2c-7b641de21f65 has 490 left, 900 requested)
        sums P2 -> 0 0 0 in 2
        capture P2 R3 900 final -> posted
        wallet alice -> 4091 held 0
        ",
    );
}

#[test]
fn changes_that_older_releases_wrote_are_of_the_whole_payment() {
    let mut world = World::new(fixtures::WALLET, false);
    for step in [
        "pay P1 top_up 90000 customer=alice",
        "pay P2 card 1000 customer=alice",
        "capture P2 R1",
        "refund P2 R2",
        "pay P3 card 1000 customer=alice",
        "void P3 R3",
        "pay P4 transfer 50000 customer=alice recipient=bob",
        "decline P4 R4",
        "pay P5 card 1000 customer=alice device=phone",
        "approve P5 R5",
        "wait 8d",
        "show P5",
    ] {
        world.step(&step.split_whitespace().collect::<Vec<_>>());
    }
    let mut entries = world.entries();
    for entry in &mut entries {
        if let Fact::PaymentChanged(changed) = &mut entry.fact {
            changed.sums = None;
        }
    }
    world.replay_of_equals_live(&entries);
}

#[test]
fn a_leg_of_nothing_reserves_nothing_and_stays_nowhere() {
    // The fee of 1 % of the first amounts is rounded to nothing, and makes no transfer.
    check(
        "
        pay P1 top_up 90000 customer=alice -> posted
        pay P2 card 10 customer=alice -> held
        pay P3 card 10 customer=alice -> held
        pay P4 card 0 customer=alice -> held
        pay P4 card 0 customer=alice -> held
        pay P5 card 1000 customer=alice -> held
        unresolved -> 4
        capture P2 R1 -> posted
        void P3 R2 -> voided
        unresolved -> 2
        wait 7d
        show P4 -> expired
        unresolved -> 0
        ",
    );
}

#[test]
fn an_amount_that_expressions_cannot_read_is_moved_exactly_or_reviewed() {
    // Nothing of a top-up but its leg reads the amount. A stream records transfers with their amounts, and the fee of a card payment is
    // calculated.
    check(
        "
        pay P1 top_up 100000000000000000000000000000000000000 customer=alice -> posted
        wallet alice -> 100000000000000000000000000000000000000 held 0
        pay P2 top_up 340282366920938463463374607431768211455 customer=alice -> refused overflows_debits_posted
        pay P3 transfer 18446744073709551617 customer=alice recipient=bob -> in_review stream_failed rule_failed
        approve P3 R1 -> posted
        wallet bob -> 18446744073709551617 held 0
        refund P3 R2 9223372036854775809 -> posted
        wallet bob -> 9223372036854775808 held 0
        pay P4 card 9223372036854775808 customer=bob -> declined stream_failed feature_missing leg_failed
        pay P5 card 9223372036854775807 customer=bob -> declined daily_limit
        wallet bob -> 9223372036854775808 held 0
        ",
    );
}
