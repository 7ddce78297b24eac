//! Parsing payments against a policy, and the canonical form of a request.

use std::sync::Arc;

use api::Problem;
use api::payments::{ParsedPayment, PaymentRequest, TemplateAccount};
use policy::{AttributeValue, Policy};
use proptest::prelude::*;
use types::{Digest, Token};

use crate::support::{NO_KEY, check};

fn policy() -> Arc<Policy> {
    fixtures::compile(&fixtures::bundle(fixtures::WALLET))
}

fn body(attributes: &str) -> String {
    format!(r#"{{"id": "7", "type": "transfer", "amount": "1250", "asset": "EUR/2", "attributes": {attributes}}}"#)
}

fn parse(body: &str) -> Result<ParsedPayment, Problem> {
    PaymentRequest::parse(&NO_KEY, body.as_bytes())?.against(&policy())
}

#[track_caller]
fn attribute(name: &str, value: &str, code: &str, detail: &str) {
    let customer = if name == "customer" { "" } else { r#""customer": "alice", "# };
    let body = body(&format!("{{{customer}\"recipient\": \"bob\", \"{name}\": {value}}}"));
    check(parse(&body), code, &format!("/attributes/{name}"), detail);
}

#[test]
fn attributes_must_match_the_policy() {
    attribute(
        "colour",
        "1",
        "unknown_attribute",
        "payments of type transfer have no attribute `colour`, expected one of customer, recipient, device, country, email, note, trusted, rate, age, since, from",
    );
    attribute("customer", "null", "missing_attribute", "payments of type transfer need the attribute `customer`");
    attribute("customer", "7", "invalid_attribute", "found a whole number, expected a string of 1 to 256 characters");
    attribute(
        "customer",
        "\"\"",
        "invalid_attribute",
        "found an empty string, expected a string of 1 to 256 characters",
    );
    let long = format!("\"{}\"", "ü".repeat(257));
    attribute(
        "customer",
        &long,
        "invalid_attribute",
        "found a string of 257 characters, expected a string of 1 to 256 characters",
    );
    attribute(
        "country",
        "\"NOR\"",
        "invalid_attribute",
        "found a string of 3 characters, expected a string of at most 2 characters",
    );
    attribute(
        "age",
        "1.5",
        "invalid_attribute",
        "found the number 1.5, expected a whole number from -2^63 to 2^63 - 1",
    );
    attribute(
        "age",
        "9223372036854775808",
        "invalid_attribute",
        "found the number 9223372036854775808, expected a whole number from -2^63 to 2^63 - 1",
    );
    attribute("rate", "\"high\"", "invalid_attribute", "found a string, expected a number");
    attribute("trusted", "1", "invalid_attribute", "found the number 1, expected true or false");
    attribute(
        "since",
        "\"1969-01-01T00:00:00Z\"",
        "invalid_attribute",
        "found a string of another form, expected a string with an RFC 3339 time between 1970 and 2262",
    );
    attribute(
        "from",
        "\"0\"",
        "invalid_attribute",
        "found a string of another form, expected a string with the id of an account",
    );
    const SCALAR: &str = "expected a string without control characters, a number or a boolean";
    attribute(
        "email",
        "\"a\\u0000b\"",
        "invalid_field",
        &format!("found a string with the control character U+0000, {SCALAR}"),
    );
    attribute("email", "{}", "invalid_field", &format!("found an object, {SCALAR}"));
    attribute("customer", "[1]", "invalid_field", &format!("found an array, {SCALAR}"));
}

#[test]
fn a_number_without_a_fraction_is_an_integer_however_it_is_written() {
    for (given, expected) in [("1.0", 1), ("1e2", 100), ("-0.0", 0), ("-7.00e1", -70), ("9007199254740992.0", 1 << 53)]
    {
        let parsed =
            parse(&body(&format!(r#"{{"customer": "alice", "recipient": "bob", "age": {given}}}"#))).expect("valid");
        let new = parsed.tokenised(Digest::default(), None, |_: &types::Name, _: &str, _| Ok::<_, ()>(Token::new(1)));
        assert!(new.expect("tokens").attributes.contains(&Some(AttributeValue::Int(expected))), "{given}");
    }
}

#[test]
fn a_payment_must_match_its_type_and_ledger() {
    let with = |from: &str, to: &str| parse(&body(r#"{"customer": "alice", "recipient": "bob"}"#).replace(from, to));
    let detail = "found `tranfser`, expected one of top_up, transfer, card";
    check(with("\"transfer\"", "\"tranfser\""), "unknown_payment_type", "/type", detail);
    check(with("EUR/2", "USD/2"), "asset_mismatch", "/asset", "found USD/2, but ledger 978 has the asset EUR/2");
    check(
        with("{\"customer\"", "{\"customer\": \"bob\", \"customer\""),
        "duplicate_field",
        "/attributes/customer",
        "the object contains the field `customer` twice",
    );
    assert!(with("\"1250\"", "\"340282366920938463463374607431768211455\"").is_ok());
    check(
        with("\"1250\"", "\"340282366920938463463374607431768211456\""),
        "invalid_field",
        "/amount",
        "`340282366920938463463374607431768211456` exceeds the largest amount, 2^128 - 1",
    );
}

#[test]
fn entities_are_tokenised_and_personal_values_sealed() {
    let attributes = r#"{"email": "a@example.org", "device": "phone-1", "customer": "alice", "recipient": "bob", "country": "NO", "age": 7, "rate": 2}"#;
    let parsed = parse(&body(attributes)).expect("a payment");
    let seal = parsed.seal.as_ref().expect("there is something to seal");
    let parts = seal.parts.iter().map(|part| {
        let owner = part.owner.as_ref().map(|(kind, value)| format!(" of {kind} {value}"));
        format!("{}: {}{}", part.name, part.value, owner.unwrap_or_default())
    });
    let expected = [
        r#"customer: "alice" of customer alice"#,
        r#"recipient: "bob" of customer bob"#,
        r#"device: "phone-1""#,
        r#"email: "a@example.org""#,
    ];
    assert_eq!(parts.collect::<Vec<_>>(), expected, "only personal entities have a key of their own");
    let subject = seal.subject.as_ref().map(|(kind, value)| (kind.as_str(), &**value));
    assert_eq!(subject, Some(("customer", "alice")));
    let printed = format!("{parsed:?} {seal:?}");
    assert!(!printed.contains("alice") && !printed.contains("example.org"), "{printed}");

    let mut asked = Vec::new();
    let token = |kind: &types::Name, value: &str, personal: bool| {
        asked.push(format!("{kind} {value} {personal}"));
        Ok::<_, ()>(Token::new(asked.len() as u128))
    };
    let new = parsed.tokenised(Digest::default(), None, token).expect("tokens");
    assert_eq!(asked, ["customer alice true", "customer bob true", "device phone-1 false"]);
    let values = [
        Some(AttributeValue::Entity { token: Token::new(1), text: "alice".into() }),
        Some(AttributeValue::Entity { token: Token::new(2), text: "bob".into() }),
        Some(AttributeValue::Entity { token: Token::new(3), text: "phone-1".into() }),
        Some(AttributeValue::Text("NO".into())),
        Some(AttributeValue::Text("a@example.org".into())),
        None,
        None,
        Some(AttributeValue::Double(2.0)),
        Some(AttributeValue::Int(7)),
        None,
        None,
    ];
    assert_eq!(new.attributes, values);
}

#[test]
fn a_template_needs_a_holder_if_it_has_one_account_for_each() {
    let policy = policy();
    let find = |template: &str, holder: Option<&str>| TemplateAccount::find(&policy, template, holder);
    check(find("walet", None), "unknown_account_template", "template", "found `walet`, expected one of wallet, cash");
    check(
        find("wallet", None),
        "invalid_parameter",
        "holder",
        "the template `wallet` has one account for each customer; name the holder",
    );
    check(
        find("cash", Some("x")),
        "invalid_parameter",
        "holder",
        "the template `cash` has a single account without a holder",
    );
    check(
        find("wallet", Some("")),
        "invalid_parameter",
        "holder",
        "found an empty string, expected a string of 1 to 256 characters",
    );
    let found = find("wallet", Some("alice")).expect("a template");
    let holder = found.holder.as_ref().map(|(entity, value)| (entity.name.as_str(), &**value));
    assert_eq!((found.ledger.get(), holder), (978, Some(("customer", "alice"))));
}

/// The values that get a token, and the sealed ones, of a payment with this customer and device. The policy normalises
/// customers with these steps, and devices not at all.
fn spelled(steps: &str, customer: &str, device: &str) -> Result<(Vec<String>, Vec<String>), Problem> {
    let document =
        fixtures::WALLET.replace("[entities.customer]", &format!("[entities.customer]\nnormalise = {steps}"));
    let policy = fixtures::compile(&fixtures::bundle(&document));
    let text = |text: &str| serde_json::to_string(text).expect("JSON");
    let attributes = format!(r#"{{"customer": {}, "recipient": "bob", "device": {}}}"#, text(customer), text(device));
    let parsed = PaymentRequest::parse(&NO_KEY, body(&attributes).as_bytes())?.against(&policy)?;
    let seal = parsed.seal.as_ref().expect("entities are sealed");
    let (_, subject) = seal.subject.clone().expect("a customer");
    let given = seal.parts.iter().map(|part| serde_json::from_str(&part.value).expect("a text")).collect();
    let mut asked = Vec::new();
    let token = |_: &types::Name, value: &str, _: bool| {
        asked.push(value.to_owned());
        Ok::<_, ()>(Token::new(1))
    };
    parsed.tokenised(Digest::default(), None, token).expect("tokens");
    assert_eq!(asked.first().map(String::as_str), Some(&*subject), "the key belongs to what the token belongs to");
    Ok((asked, given))
}

#[test]
fn entities_are_compared_after_the_normalisation_that_the_policy_declares() {
    let customer = |steps: &str, given: &str| {
        let (asked, sealed) = spelled(steps, given, given).expect("a payment");
        assert_eq!(asked[2], given, "devices are compared as they were sent");
        assert_eq!(sealed[0], given, "what is kept is what was sent");
        asked[0].clone()
    };
    let (composed, decomposed) = ("Zo\u{e9}", "Zoe\u{301}");
    assert_ne!(customer("[]", composed), customer("[]", decomposed));
    assert_eq!(customer(r#"["nfc"]"#, decomposed), composed);
    assert_eq!(customer(r#"["nfc"]"#, composed), composed);
    assert_eq!(customer(r#"["trim"]"#, " ann\u{a0} "), "ann");
    assert_eq!(customer("[]", " ann "), " ann ");
    assert_eq!(customer(r#"["lowercase"]"#, "ANN ÉTÉ"), "ann été");
    assert_eq!(customer(r#"["nfc", "trim", "lowercase"]"#, " ZOE\u{301} "), "zo\u{e9}");
    let blank = spelled(r#"["trim"]"#, "  ", "x");
    let detail = "found an empty string, expected a string of 1 to 256 characters";
    check(blank, "invalid_attribute", "/attributes/customer", detail);
}

#[test]
fn a_holder_is_found_by_any_spelling_that_the_policy_normalises() {
    let steps = "[entities.customer]\nnormalise = [\"trim\", \"lowercase\"]";
    let policy = fixtures::compile(&fixtures::bundle(&fixtures::WALLET.replace("[entities.customer]", steps)));
    let found = TemplateAccount::find(&policy, "wallet", Some(" Alice ")).expect("a template");
    assert_eq!(found.holder.map(|(_, value)| value), Some("alice".into()));
}

#[track_caller]
fn canonical(body: &str) -> Vec<u8> {
    PaymentRequest::parse(&NO_KEY, body.as_bytes()).expect("a payment").canonical()
}

#[test]
fn different_requests_have_different_forms() {
    let base = body(r#"{"customer": "alice", "age": 1}"#);
    for (from, to) in [
        ("\"transfer\"", "\"card\""),
        ("1250", "1251"),
        ("EUR/2", "EUR/3"),
        ("alice", "bob"),
        ("\"age\": 1", "\"age\": 2"),
        ("\"age\": 1", "\"age\": \"1\""),
        ("\"age\": 1", "\"age\": true"),
        ("\"age\": 1", "\"agf\": 1"),
        (", \"age\": 1", ""),
        ("\"id\"", "\"occurred_at\": \"2026-01-01T00:00:00Z\", \"id\""),
    ] {
        assert_ne!(canonical(&base), canonical(&base.replacen(from, to, 1)), "{from} {to}");
    }
    // The id names the request; it is not part of the content.
    assert_eq!(canonical(&base), canonical(&base.replacen("\"7\"", "\"8\"", 1)));
}

#[test]
fn equal_numbers_and_instants_have_the_same_form() {
    let number = |text: &str| canonical(&body(&format!("{{\"x\": {text}}}")));
    for (a, b) in [("1", "1.0"), ("100", "1e2"), ("0", "-0.0"), ("0", "-0"), ("2.50", "25e-1")] {
        assert_eq!(number(a), number(b), "{a} {b}");
    }
    assert_ne!(number("9007199254740992"), number("9007199254740993"));
    let at = |text: &str| canonical(&body("{}").replacen("\"id\"", &format!("\"occurred_at\": \"{text}\", \"id\""), 1));
    assert_eq!(at("2026-01-01T01:00:00+01:00"), at("2026-01-01T00:00:00.000Z"));
}

fn scalar() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-1e300..1e300).prop_map(|double: f64| double.into()),
        "\\PC{0,20}".prop_map(Into::into),
    ]
}

proptest! {
    /// Neither the order of the fields matters, nor whether an absent field is omitted or null.
    #[test]
    fn a_retry_has_the_same_form_as_the_first_attempt(
        attributes in proptest::collection::btree_map("[a-z]{1,8}", scalar(), 0..8),
        nulls in proptest::collection::btree_set("[A-Z]{1,8}", 0..4),
        turn in 0..16_usize,
        occurred_at in proptest::option::of(Just("2026-01-01T00:00:00Z")),
    ) {
        let mut fields = vec![
            ("id", serde_json::json!("7").to_string()),
            ("type", serde_json::json!("card").to_string()),
            ("amount", serde_json::json!("1250").to_string()),
            ("asset", serde_json::json!("EUR/2").to_string()),
        ];
        let object = |fields: &[(String, String)]| {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{}: {value}", serde_json::json!(name))).collect();
            format!("{{{}}}", fields.join(","))
        };
        let whole = |fields: &[(&str, String)]| {
            object(&fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Vec<_>>())
        };
        let plain: Vec<_> = attributes.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        let mut turned = plain.clone();
        turned.extend(nulls.iter().map(|name| (name.clone(), "null".to_owned())));
        let by = turn % turned.len().max(1);
        turned.rotate_left(by);
        let mut other = fields.clone();
        if !plain.is_empty() {
            fields.push(("attributes", object(&plain)));
        }
        if let Some(at) = occurred_at {
            fields.push(("occurred_at", serde_json::json!(at).to_string()));
        }
        other.push(("attributes", object(&turned)));
        other.push(("occurred_at", serde_json::json!(occurred_at).to_string()));
        let by = turn % other.len();
        other.rotate_left(by);
        prop_assert_eq!(canonical(&whole(&fields)), canonical(&whole(&other)));
    }
}
