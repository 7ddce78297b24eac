//! Random verbs with amounts, and deadlines, on one payment with three legs. A model knows only the sums of the payment, and computes
//! from them what every account must have.

use std::collections::HashMap;

use ledger::Account;
use proptest::prelude::*;
use proptest::sample::select;

use crate::story::World;

/// Payments of all of the amount, a third of it, and 7. A void and a decline end those of the first type, and a capture and an
/// approval those of the second.
const TYPES: &str = r#"
[accounts.shop]
ledger = "eur"
code = 30
[[rules]]
name = "review_device"
when = "has(payment.device)"
then = { review = true }
payments = ["ends", "proceeds"]
"#;

fn policy() -> String {
    let mut text = format!("{}{TYPES}", fixtures::WALLET);
    for (name, settings) in
        [("ends", ""), ("proceeds", "on_capture_deadline = \"capture\"\non_review_deadline = \"approve\"")]
    {
        text += &format!(
            r#"
[payments.{name}]
ledger = "eur"
capture = "manual"
capture_deadline = "10h"
review_deadline = "5h"
{settings}
[payments.{name}.attributes]
customer = {{ type = "entity", entity = "customer" }}
device = {{ type = "entity", entity = "device", required = false }}
[[payments.{name}.legs]]
debit = {{ account = "wallet", of = "customer" }}
credit = {{ account = "shop" }}
code = 5
[[payments.{name}.legs]]
debit = {{ account = "shop" }}
credit = {{ account = "cash" }}
amount = "payment.amount / 3"
code = 6
[[payments.{name}.legs]]
debit = {{ account = "wallet", of = "customer" }}
credit = {{ account = "cash" }}
amount = "7"
code = 7
"#
        );
    }
    text
}

/// The accounts, and the legs by their debit and credit account.
const ACCOUNTS: [(&str, Option<&str>); 3] = [("wallet", Some("alice")), ("shop", None), ("cash", None)];
const LEGS: [(usize, usize); 3] = [(0, 1), (1, 2), (0, 2)];

#[derive(Debug, Clone)]
enum Step {
    /// A verb with the number of its request. A part is a share of the payment in thousandths, and some units.
    Ask {
        verb: &'static str,
        request: u8,
        part: Option<(u128, u128, bool)>,
    },
    WaitHours(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let verb = select(vec![
        "capture",
        "capture",
        "capture",
        "void",
        "void",
        "refund",
        "refund",
        "increment",
        "increment",
        "approve",
        "decline",
    ]);
    let part = (select(vec![0, 0, 10, 100, 333, 500, 1000]), 0..4_u128, prop::bool::weighted(0.1));
    let ask = (verb, 0..40_u8, prop::option::weighted(0.85, part)).prop_map(|(verb, request, part)| {
        // An increment always says by how much.
        let part = part.or((verb == "increment").then_some((10, 1, false)));
        let part = part.filter(|_| !matches!(verb, "approve" | "decline"));
        let part = part.map(|(share, units, is_last)| (share, units, is_last && verb == "capture"));
        Step::Ask { verb, request, part }
    });
    prop_oneof![9 => ask, 1 => (1..6_u32).prop_map(Step::WaitHours)]
}

struct Model {
    proceeds: bool,
    total: u128,
    captured: u128,
    released: u128,
    refunded: u128,
    status: &'static str,
    /// Whether the policy approves increments.
    increments: bool,
    /// What had been captured of the payment when it was last incremented, and of each leg.
    before: u128,
    moved: [u128; 3],
    /// Since the payment was decided or approved.
    hours: u32,
    asked: HashMap<u8, String>,
}

impl Model {
    fn left(&self) -> u128 {
        self.total - self.captured - self.released
    }

    fn release(&mut self, status: &'static str) {
        self.status = if self.captured > 0 { "posted" } else { status };
        self.released = self.total - self.captured;
    }

    fn pass_deadlines(&mut self) {
        match (self.status, self.proceeds) {
            ("in_review", true) if self.hours >= 5 => (self.status, self.hours) = ("held", 0),
            ("held", true) if self.hours >= 10 => {
                self.captured += self.left();
                self.status = "posted";
            }
            ("in_review", false) if self.hours >= 5 => self.release("expired"),
            ("held", false) if self.hours >= 10 => self.release("expired"),
            _ => {}
        }
    }

    /// What the engine must answer.
    fn ask(&mut self, verb: &str, request: u8, part: Option<(u128, bool)>) -> String {
        let asked = match part {
            None => format!("{verb} the payment"),
            Some((amount, _)) if verb == "increment" => format!("increment the payment by {amount}"),
            Some((amount, false)) => format!("{verb} {amount} of the payment"),
            Some((amount, true)) => format!("{verb} a last {amount} of the payment"),
        };
        match self.asked.get(&request) {
            Some(before) if *before == asked => return self.told(verb),
            Some(before) => {
                return format!("this Idempotency-Key was already used to {before}; give every verb its own");
            }
            None => {}
        }
        let needs = match verb {
            "capture" | "increment" => "held",
            "void" => "held or in_review",
            "refund" => "posted",
            _ => "in_review",
        };
        if !needs.split(" or ").any(|status| status == self.status) {
            return format!("cannot {verb} a payment that is {}, only one that is {needs}", self.status);
        }
        if let ("increment", Some((amount, _))) = (verb, part) {
            if self.increments {
                self.moved = std::array::from_fn(|leg| self.of_leg(leg)[0]);
                self.before = self.captured;
                self.total += amount;
            }
            self.asked.insert(request, asked);
            return self.told(verb);
        }
        let left = if verb == "refund" { self.captured - self.refunded } else { self.left() };
        let (amount, is_last) = part.unwrap_or((left, false));
        if amount > left {
            return format!("cannot {verb} {amount} of the payment, only the {left} that is left");
        }
        match verb {
            "approve" => (self.status, self.hours) = ("held", 0),
            "decline" => self.release("declined"),
            "capture" => {
                self.captured += amount;
                if is_last || amount == left {
                    self.released = self.total - self.captured;
                    self.status = "posted";
                }
            }
            "void" if amount == left => self.release("voided"),
            "void" => self.released += amount,
            _ => {
                self.refunded += amount;
                if amount == left {
                    self.status = "refunded";
                }
            }
        }
        self.asked.insert(request, asked);
        self.status.to_owned()
    }

    /// The answer to a verb that takes or took effect.
    fn told(&self, verb: &str) -> String {
        let raised = if self.increments { "raised" } else { "kept" };
        match verb {
            "increment" => format!("{raised} {} of {}", self.status, self.total),
            _ => self.status.to_owned(),
        }
    }

    /// What a leg has captured, held and refunded.
    fn of_leg(&self, number: usize) -> [u128; 3] {
        let leg = [self.total, self.total / 3, 7][number];
        if self.total == 0 {
            return match self.status {
                "held" | "in_review" => [0, leg, 0],
                "posted" => [leg, 0, 0],
                "refunded" => [leg, 0, leg],
                _ => [0, 0, 0],
            };
        }
        // The legs and the totals of this test are small enough for plain arithmetic.
        let share = |leg: u128, part: u128, whole: u128| (2 * leg * part + whole) / (2 * whole);
        let moved = self.moved[number];
        let of = |part: u128| moved + share(leg - moved, part - self.before, self.total - self.before);
        let captured = of(self.captured);
        let refunded = match self.refunded == self.captured {
            true => captured,
            false => share(leg, self.refunded, self.total).min(captured),
        };
        [captured, of(self.total - self.released) - captured, refunded]
    }

    /// The balances of every account: pending and posted debits, then credits.
    fn balances(&self) -> [[u128; 4]; 3] {
        let mut balances = [[0; 4]; 3];
        for (number, (debit, credit)) in LEGS.into_iter().enumerate() {
            let [captured, held, refunded] = self.of_leg(number);
            for (sum, more) in balances[debit].iter_mut().zip([held, captured, 0, refunded]) {
                *sum += more;
            }
            for (sum, more) in balances[credit].iter_mut().zip([0, refunded, held, captured]) {
                *sum += more;
            }
        }
        balances
    }
}

fn balances(world: &mut World) -> [[u128; 4]; 3] {
    ACCOUNTS.map(|(template, holder)| {
        let Account { debits_pending, debits_posted, credits_pending, credits_posted, .. } =
            world.account(template, holder);
        [debits_pending, debits_posted, credits_pending, credits_posted].map(types::Amount::get)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_sequence_of_verbs_makes_or_loses_a_unit(
        total in prop_oneof![0..12_u128, 900..1100_u128, 4_000_000_000_000_000_000..4_000_000_000_000_000_010_u128],
        (proceeds, is_reviewed, forgets) in any::<(bool, bool, bool)>(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new(&policy(), forgets);
        world.step(&["pay", "P1", "top_up", "9000000000000000000", "customer=alice"]);
        world.step(&["pay", "P2", "ends", "1", "customer=alice"]);
        world.step(&["void", "P2", "R0"]);
        let before = balances(&mut world);
        let mut model = Model {
            proceeds,
            total,
            captured: 0,
            released: 0,
            refunded: 0,
            status: if is_reviewed { "in_review" } else { "held" },
            increments: !is_reviewed,
            before: 0,
            moved: [0; 3],
            hours: 0,
            asked: HashMap::new(),
        };
        let (payment_type, amount) = (if proceeds { "proceeds" } else { "ends" }, total.to_string());
        let mut pay = vec!["pay", "P3", payment_type, &amount, "customer=alice"];
        pay.extend(is_reviewed.then_some("device=phone"));
        let paid = world.step(&pay);
        prop_assert!(paid.starts_with(model.status), "{paid}");
        // In the end, the deadlines pass.
        let deadlines = [Step::WaitHours(10), Step::Ask { verb: "approve", request: 50, part: None }, Step::WaitHours(10)];
        for step in steps.into_iter().chain(deadlines) {
            let (verb, request, part) = match step {
                Step::WaitHours(hours) => {
                    world.step(&["wait", &format!("{hours}h")]);
                    model.hours += hours;
                    continue;
                }
                Step::Ask { verb, request, part } => (verb, request, part),
            };
            let part = part.map(|(share, units, is_last)| ((total * share / 1000 + units).max(1), is_last));
            // Increments must not need more than the wallet has.
            let part = part.map(|(amount, is_last)| match verb {
                "increment" => (amount.min(100_000_000_000_000_000), is_last),
                _ => (amount, is_last),
            });
            let (id, amount) = (format!("R{request}"), part.map(|(amount, _)| amount.to_string()));
            let mut words = vec![verb, "P3", &id];
            words.extend(amount.as_deref());
            words.extend(part.filter(|(_, is_last)| *is_last).map(|_| "final"));
            model.pass_deadlines();
            let expected = model.ask(verb, request, part);
            let told = world.step(&words);
            // The reason for a review is told once.
            prop_assert_eq!(told.trim_end_matches(" review_device"), &*expected, "{:?}", words);
            let entries = world.entries().len();
            let again = world.step(&words);
            prop_assert_eq!(again, expected, "again {:?}", words);
            prop_assert_eq!(world.entries().len(), entries, "a verb that is repeated makes no entry");
            prop_assert!(model.captured + model.released <= model.total && model.refunded <= model.captured);
            let found = balances(&mut world);
            let wanted = model.balances();
            for account in 0..3 {
                for side in 0..4 {
                    let moved = found[account][side] - before[account][side];
                    prop_assert_eq!(moved, wanted[account][side], "{:?} {} after {:?}", ACCOUNTS[account], side, words);
                }
            }
        }
        model.pass_deadlines();
        prop_assert_eq!(world.step(&["show", "P3"]), model.status);
        prop_assert!(!matches!(model.status, "held" | "in_review"), "every hold ends with its deadline");
        let (mut debits, mut credits) = (0, 0);
        for [debits_pending, debits_posted, credits_pending, credits_posted] in balances(&mut world) {
            prop_assert_eq!((debits_pending, credits_pending), (0, 0));
            (debits, credits) = (debits + debits_posted, credits + credits_posted);
        }
        prop_assert_eq!(debits, credits);
        world.replay_equals_live();
    }
}
