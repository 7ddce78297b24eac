//! Increments of holds.

use crate::story::{World, check};

#[test]
fn a_hold_is_raised_as_far_as_the_policy_and_the_money_allow() {
    // The fee of 1 % is a leg that begins to exist when the amount reaches 100.
    check(
        "
        pay P1 top_up 90000 customer=alice -> posted
        pay P2 card 90 customer=alice -> held
        wallet alice -> 90000 held 90
        increment P2 R1 910 -> raised held of 1000
        wallet alice -> 90000 held 1010
        increment P2 R1 910 -> raised held of 1000
        increment P2 R1 911 -> this Idempotency-Key was already used to increment the payment by 910; give every verb its own
        increment P2 R2 100000 -> kept held of 1000 daily_limit
        increment P2 R3 98000 -> kept held of 1000 exceeds_credits
        increment P2 R3 98000 -> kept held of 1000
        wallet alice -> 90000 held 1010
        capture P2 R4 500 -> held
        void P2 R5 100 -> held
        increment P2 R6 1000 -> raised held of 2000
        wallet alice -> 89495 held 1414
        capture P2 R7 -> posted
        sums P2 -> 1900 100 0 in 18
        wallet alice -> 88081 held 0
        increment P2 R8 1 -> cannot increment a payment that is posted, only one that is held
        refund P2 R9 -> refunded
        wallet alice -> 90000 held 0
        increment P3 R1 1 -> payment 00000000-0000-0000-0000-000000000003 not found
        ",
    );
}

#[test]
fn increments_that_are_not_approved_leave_room_to_end_the_hold() {
    for end in ["capture", "void"] {
        let mut world = World::new(fixtures::WALLET, true);
        world.step(&["pay", "P1", "top_up", "90000", "customer=alice"]);
        world.step(&["pay", "P2", "card", "90", "customer=alice"]);
        for request in 1..=48 {
            let told = world.step(&["increment", "P2", &format!("R{request}"), "98000"]);
            assert!(told.starts_with("kept held of 90"), "{told}");
        }
        let told = world.step(&["increment", "P2", "R49", "98000"]);
        assert!(told.contains("48"), "{told}");
        for request in 50..66 {
            assert_eq!(world.step(&["void", "P2", &format!("R{request}"), "1"]), "held");
        }
        let told = world.step(&["capture", "P2", "R66", "1"]);
        assert!(told.contains("64"), "{told}");
        let told = world.step(&[end, "P2", "R67"]);
        assert_eq!(told, if end == "capture" { "posted" } else { "voided" });
        assert_eq!(world.step(&["unresolved"]), "0");
    }
}

#[test]
fn an_increment_counts_in_limits_when_it_is_made_and_as_one_payment() {
    check(
        "
        pay P1 top_up 900000 customer=alice -> posted
        pay P2 card 60000 customer=alice -> held
        # The payment does not count twice: 60,000 and 40,000 more are 100,000.
        increment P2 R1 40000 -> raised held of 100000
        pay P3 card 1 customer=alice -> declined daily_limit
        wait 20h
        # What was held a day ago counts from the last increment on.
        increment P2 R2 1 -> kept held of 100000 daily_limit
        wait 20h
        pay P4 card 10000 customer=alice -> held
        increment P4 R3 10000 -> raised held of 20000
        wait 20h
        pay P5 card 85000 customer=alice -> declined daily_limit
        void P4 R4 -> voided
        pay P6 card 85000 customer=alice -> held
        ",
    );
}

#[test]
fn a_record_that_an_increment_moves_keeps_its_label() {
    check(
        "
        pay P1 top_up 900000 customer=alice -> posted
        pay P2 card 1000 customer=alice -> held
        label P2 fraud -> Now positive=true
        increment P2 R1 500 -> raised held of 1500
        label P2 legitimate -> Now positive=false
        increment P2 R2 500 -> raised held of 2000
        void P2 R3 -> voided
        ",
    );
}

#[test]
fn a_leg_that_holds_nothing_yet_takes_no_hold_of_another_leg() {
    // Payments of 30 have no leg. At 40, with 15 of it held, the first leg still holds nothing.
    let policy = format!(
        "{}{}",
        fixtures::WALLET,
        r#"
[payments.split]
ledger = "eur"
capture = "manual"
capture_deadline = "1d"
[payments.split.attributes]
customer = { type = "entity", entity = "customer" }
[[payments.split.legs]]
debit = { account = "wallet", of = "customer" }
credit = { account = "cash" }
amount = "payment.amount / 40"
code = 8
[[payments.split.legs]]
debit = { account = "wallet", of = "customer" }
credit = { account = "cash" }
amount = "payment.amount - 30"
code = 9
"#
    );
    for end in ["capture", "void", "wait"] {
        let mut world = World::new(&policy, true);
        world.step(&["pay", "P1", "top_up", "1000", "customer=alice"]);
        assert_eq!(world.step(&["pay", "P2", "split", "30", "customer=alice"]), "held");
        assert_eq!(world.step(&["void", "P2", "R1", "25"]), "held");
        assert_eq!(world.step(&["increment", "P2", "R2", "10"]), "raised held of 40");
        assert_eq!(world.step(&["wallet", "alice"]), "1000 held 4");
        assert_eq!(world.step(&["capture", "P2", "R3", "5"]), "held");
        assert_eq!(world.step(&["capture", "P2", "R4", "5"]), "held");
        if end == "wait" {
            world.step(&["wait", "1d"]);
            assert_eq!(world.step(&["show", "P2"]), "posted");
        } else {
            assert_eq!(world.step(&[end, "P2", "R5"]), "posted");
        }
        assert_eq!(world.step(&["unresolved"]), "0");
    }
}
