//! What is known of a decision from what is stored of it.

use policy::{AttributeValue, Facts, NotExplained, PaymentTypeIdx, Policy, RuleOutcome, Sealed, Stored};
use types::{Amount, Token};

use crate::support::{EXAMPLE, bundle_with, compile};

/// The example with a rule instead of its own, and with other inputs of the model.
fn policy(when: &str, inputs: &str) -> Policy {
    let (before, rules) = EXAMPLE.split_once("[[rules]]").expect("the example has rules");
    let (_, after) = rules.split_once("[decision]").expect("the example has thresholds");
    let (after, _) = after.split_once("[[tests]]").expect("the example has tests");
    let rule = format!(
        "[reasons.seen]\ntext = \"Seen\"\n[[rules]]\nname = \"r\"\nwhen = \"{when}\"\nthen = {{ review = true }}\nreason = \"seen\"\npayments = [\"card\"]\n"
    );
    let document = format!("{before}{rule}[decision]{after}");
    let document = document.replace("\"features.customer_spend_1d\" = \"high_spend\"\n", "");
    let at = document.find("inputs = [").expect("the example has a model");
    let end = at + document[at..].find('\n').expect("a line");
    let document = format!("{}inputs = [{inputs}]{}", &document[..at], &document[end..]);
    compile(&bundle_with(&document, &[0.01, 0.0, 0.0]))
}

/// A card payment as it is stored: the merchant is only a token, there is no device, and nobody can see whether there was an email.
fn stored() -> Vec<Option<AttributeValue>> {
    let entity = |token| Some(AttributeValue::Entity { token: Token::new(token), text: "".into() });
    let country = Some(AttributeValue::Text("FR".into()));
    vec![entity(1), entity(2), entity(2), None, country, None, None]
}

fn with<T>(policy: &Policy, read: impl FnOnce(&Stored<'_>) -> T) -> T {
    let attributes = stored();
    let at = "2026-11-22T12:00:00Z".parse().expect("a time");
    let facts = Facts {
        payment_type: PaymentTypeIdx::new(0),
        amount: Amount::new(2000),
        decided_at: at,
        occurred_at: at,
        attributes: &attributes,
    };
    let features: Vec<_> = policy
        .features()
        .iter()
        .zip(0..)
        .map(|(feature, number)| {
            let value = match feature.ty {
                policy::FeatureType::Int => policy::FeatureValue::Int(3),
                policy::FeatureType::Double => policy::FeatureValue::Double(0.25),
                policy::FeatureType::Bool => policy::FeatureValue::Bool(true),
                policy::FeatureType::Text => policy::FeatureValue::Text("t".into()),
            };
            (policy::FeatureIdx::new(number), value)
        })
        .collect();
    read(&Stored { facts, features: &features, models: &[(policy::ModelIdx::new(0), Some(0.25))] })
}

#[track_caller]
fn check(when: &str, expected: &RuleOutcome) {
    let policy = policy(when, "\"payment.amount\", \"0\", \"0\"");
    let trace =
        with(&policy, |stored| policy.trace(stored).iter().map(|rule| rule.outcome.clone()).collect::<Vec<_>>());
    assert_eq!(trace, std::slice::from_ref(expected), "{when}");
    assert_eq!(
        with(&policy, |stored| policy.trace(stored)[0].reason.map(|reason| reason.text.clone())),
        Some("Seen".to_owned())
    );
}

fn sealed(name: &str) -> Sealed {
    Sealed(name.parse().expect("a name"))
}

#[test]
fn a_rule_over_what_is_stored_in_the_clear_has_its_outcome_again() {
    check("features.customer_count_1h == 3 && payment.country == 'FR'", &RuleOutcome::Held);
    check("payment.amount > 2000", &RuleOutcome::NotHeld);
    check(
        "payment.amount / (features.customer_count_1h - 3) > 1",
        &RuleOutcome::NoValue(policy::FailureCause::DivisionByZero),
    );
    check("payment.risk > 0.5", &RuleOutcome::NoValue(policy::FailureCause::Missing("payment.risk".into())));
    // Whether there is an entity is known, but not which one.
    check("has(payment.merchant) && !has(payment.device)", &RuleOutcome::Held);
    check("payment.device == 'd'", &RuleOutcome::NoValue(policy::FailureCause::Missing("payment.device".into())));
    // The answers of models are stored.
    check("models.fraud == 0.25", &RuleOutcome::Held);
}

#[test]
fn a_rule_that_depends_on_a_sealed_value_has_no_outcome() {
    check("payment.merchant == 'm-17'", &RuleOutcome::Sealed(sealed("merchant")));
    check("payment.merchant != 'm-17'", &RuleOutcome::Sealed(sealed("merchant")));
    check("payment.merchant in ['m-17', 'm-18']", &RuleOutcome::Sealed(sealed("merchant")));
    check("!(payment.merchant in ['m-17', 'm-18'])", &RuleOutcome::Sealed(sealed("merchant")));
    check("payment.email.endsWith('.com')", &RuleOutcome::Sealed(sealed("email")));
    check("has(payment.email)", &RuleOutcome::Sealed(sealed("email")));
    check("!has(payment.email) || payment.amount > 0", &RuleOutcome::Sealed(sealed("email")));
    check("has(payment.merchant) && payment.merchant == 'm-17'", &RuleOutcome::Sealed(sealed("merchant")));
}

#[test]
fn a_rule_that_reads_a_sealed_value_in_vain_has_its_outcome() {
    check("payment.amount > 2000 && payment.merchant == 'm-17'", &RuleOutcome::NotHeld);
    check("payment.merchant == 'm-17' || payment.amount == 2000", &RuleOutcome::Held);
    check("payment.amount > 2000 ? payment.merchant == 'm-17' : true", &RuleOutcome::Held);
    check("payment.amount == 2000 && payment.merchant == 'm-17'", &RuleOutcome::Sealed(sealed("merchant")));
    check("['m-17', 'm-18'].exists(m, payment.merchant == m)", &RuleOutcome::Sealed(sealed("merchant")));
    check("[2000, 3000].exists(n, payment.amount == n || payment.merchant == 'm-17')", &RuleOutcome::Held);
}

#[test]
fn a_model_that_reads_a_sealed_value_is_not_explained() {
    let answers = |inputs: &str| {
        let policy = policy("true", inputs);
        with(&policy, |stored| {
            let [explained] = policy.explain_stored(stored).try_into().expect("one model");
            explained.answer.map(|explained| explained.score)
        })
    };
    assert_eq!(
        answers("\"payment.merchant == 'm' ? 1 : 0\", \"0\", \"0\""),
        Err(NotExplained::Sealed(sealed("merchant")))
    );
    assert_eq!(answers("\"has(payment.email)\", \"0\", \"0\""), Err(NotExplained::Sealed(sealed("email"))));
    assert_eq!(answers("\"has(payment.merchant)\", \"0\", \"0\"").map(|score| (score * 100.0).round()), Ok(1.0));
}
