//! The tests that a policy contains.

use engine::{check_policy, run_policy_tests};
use fixtures::bundle;

const POLICY: &str = r#"
name = "shop"
[ledgers.eur]
id = 978
asset = "EUR/2"
[entities.customer]
[accounts.wallet]
ledger = "eur"
code = 10
per = "customer"
flags = ["debits_must_not_exceed_credits"]
[payments.card]
ledger = "eur"
[payments.card.attributes]
customer = { type = "entity", entity = "customer" }
to = { type = "account" }
vip = { type = "bool", required = false }
[[payments.card.legs]]
debit = { account = "wallet", of = "customer" }
credit = { attribute = "to" }
code = 1
[streams.spend]
of = "customer"
[features.spend_1d]
stream = "spend"
aggregate = "sum"
window = "1d"
[features.fraud_30d]
stream = "spend"
aggregate = "label_count"
window = "30d"
[[rules]]
name = "much"
when = "features.spend_1d > 1000"
then = { review = true }
[[rules]]
name = "night"
when = "payment.decided_at.getHours('Europe/Berlin') < 6"
then = { score = 100 }
[[rules]]
name = "known_fraud"
when = "features.fraud_30d > 0"
then = { decline = true }
[[rules]]
name = "vip"
when = "has(payment.vip) && payment.vip"
then = { tag = "vip" }
[[rules]]
name = "broken"
when = "100 / (payment.amount - 13) > 100"
then = { score = 1 }
"#;

/// The outcome of the tests, a line for each test or problem.
fn outcome(tests: &str) -> String {
    outcome_of(POLICY, tests)
}

fn outcome_of(policy: &str, tests: &str) -> String {
    let outcomes = run_policy_tests(&bundle(&format!("{policy}{tests}"))).expect("the policy is valid");
    let lines = outcomes.iter().map(|outcome| {
        let problems: Vec<String> = outcome.problems.iter().map(|problem| format!("  {problem}\n")).collect();
        let word = if problems.is_empty() { "passed" } else { "FAILED" };
        format!("{word} {}\n{}", outcome.name, problems.concat())
    });
    lines.collect()
}

#[test]
fn what_is_expected_passes() {
    let outcome = outcome(
        r#"
[[tests]]
name = "first"
payment = { payment = "card", amount = 1000, attributes = { customer = "ann", to = "7" } }
expect = { verdict = "approve", reasons = [], tags = [], score = 0 }
[[tests]]
name = "after_others"
history = [
    { before = "2d", payment = "card", amount = 900, attributes = { customer = "ann", to = "7" } },
    { before = "1h", times = 2, payment = "card", amount = 400, attributes = { customer = "ann", to = "8" } },
    { before = "1h", payment = "card", amount = 400, attributes = { customer = "bob", to = "8" } },
]
payment = { payment = "card", amount = 201, attributes = { customer = "ann", to = "7", vip = true }, at = 2026-07-01T03:30:00Z }
expect = { verdict = "review", reasons = ["night", "much"], tags = ["vip"], score = 100 }
[[tests]]
name = "after_a_label"
history = [{ before = "1h", label = "fraud", payment = "card", amount = 1, attributes = { customer = "ann", to = "7" } }]
payment = { payment = "card", amount = 1, attributes = { customer = "ann", to = "7" } }
expect = { verdict = "decline", reasons = ["known_fraud"] }
"#,
    );
    assert_eq!(outcome, "passed first\npassed after_others\npassed after_a_label\n");
}

#[test]
fn what_is_not_expected_fails_with_its_place() {
    let tests = r#"
[[tests]]
name = "wrong"
history = [{ before = "1h", payment = "card", amount = 1000, attributes = { customer = "ann", to = "7" } }]
payment = { payment = "card", amount = 13, attributes = { customer = "ann", to = "7", vip = true } }
[tests.expect]
verdict = "approve"
score = 100
reasons = ["night"]
tags = []
"#;
    let expected = "\
FAILED wrong
  policy.toml:58:11: tests[0].expect.verdict: expected approve, the decision is review with much, rule_failed (rule broken: division by zero) and score 0
  policy.toml:59:9: tests[0].expect.score: expected 100, the decision has 0
  policy.toml:60:11: tests[0].expect.reasons: expected night, the decision has much, rule_failed
  policy.toml:61:8: tests[0].expect.tags: expected none, the decision has vip
";
    assert_eq!(outcome(tests), expected);
    let problems = check_policy(&bundle(&format!("{POLICY}{tests}"))).expect_err("an upload is refused");
    assert_eq!(problems.len(), 4);
    assert!(check_policy(&bundle(POLICY)).is_ok());
}

#[test]
fn entities_of_tests_are_normalised_as_those_of_payments_are() {
    let policy = POLICY.replace(
        "[entities.customer]",
        "[entities.customer]\nnormalise = [\"trim\", \"lowercase\"]\n[entities.customer.attributes.level]\ntype = \"int\"",
    ) + "[features.level]\nof = \"customer\"\nattribute = \"level\"\npayments = [\"card\"]\n[[rules]]\nname = \"low\"\nwhen = \"features.level < 2\"\nthen = { review = true }\n";
    let outcome = outcome_of(
        &policy,
        r#"
[[tests]]
name = "same_customer"
entities = [{ entity = "customer", key = " Ann", attributes = { level = 1 } }]
history = [{ before = "1h", label = "fraud", payment = "card", amount = 1, attributes = { customer = "ANN", to = "7" } }]
payment = { payment = "card", amount = 1, attributes = { customer = "ann ", to = "7" } }
expect = { verdict = "decline", reasons = ["known_fraud", "low"] }
"#,
    );
    assert_eq!(outcome, "passed same_customer\n");
}

#[test]
fn a_test_sets_attributes_of_entities_at_their_times() {
    let with_levels = POLICY
        .replace("[entities.customer]", "[entities.customer]\n[entities.customer.attributes.level]\ntype = \"int\"");
    let tests = r#"
[features.level]
of = "customer"
attribute = "level"
[[rules]]
name = "low_level"
when = "has(features.level) && features.level < 2"
then = { tag = "low" }
[[tests]]
name = "from_the_beginning"
entities = [{ entity = "customer", key = "ann", attributes = { level = 1 } }]
payment = { payment = "card", amount = 1, attributes = { customer = "ann", to = "7" } }
expect = { verdict = "approve", tags = ["low"] }
[[tests]]
name = "of_another_customer"
entities = [{ entity = "customer", key = "bob", attributes = { level = 1 } }]
payment = { payment = "card", amount = 1, attributes = { customer = "ann", to = "7" } }
expect = { verdict = "approve", tags = [] }
[[tests]]
name = "the_last_one_counts"
entities = [
  { entity = "customer", key = "ann", before = "1m", attributes = { level = 2 } },
  { entity = "customer", key = "ann", attributes = { level = 1 } },
]
payment = { payment = "card", amount = 1, attributes = { customer = "ann", to = "7" } }
expect = { verdict = "approve", tags = ["low"] }
"#;
    let passed = "passed from_the_beginning\npassed of_another_customer\n";
    let failed =
        "FAILED the_last_one_counts\n  policy.toml:79:40: tests[2].expect.tags: expected low, the decision has none\n";
    assert_eq!(outcome_of(&with_levels, tests), format!("{passed}{failed}"));
}
