//! Features that are attributes of entities: their values, why they are missing, and what can read them.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use features::{Candidate, Missing, View, Window};
use policy::cel::Listed;
use policy::{
    AttributeValue, Bundle, EntityValue, Evaluation, Facts, ListIdx, PaymentTypeIdx, Policy, StreamIdx, WindowSource,
};
use types::{Amount, Name, Timestamp, Token};

use crate::support::listed;

const POLICY: &str = r#"
name = "attributes"
[ledgers.eur]
id = 1
asset = "EUR/2"
[entities.customer]
[entities.customer.attributes]
kyc_level = { type = "int", description = "0 to 3" }
segment = { type = "string" }
limit = { type = "double" }
staff = { type = "bool" }
opened_at = { type = "timestamp" }
[accounts.customer]
ledger = "eur"
code = 10
per = "customer"
[accounts.shop]
ledger = "eur"
code = 20
[payments.card]
ledger = "eur"
[payments.card.attributes]
payer = { type = "entity", entity = "customer" }
payee = { type = "entity", entity = "customer", required = false }
[[payments.card.legs]]
debit = { account = "customer", of = "payer" }
credit = { account = "shop" }
code = 1
[features.level]
of = "payer"
attribute = "kyc_level"
[features.payee_level]
of = "payee"
attribute = "kyc_level"
[features.segment]
of = "payer"
attribute = "segment"
[features.limit]
of = "payer"
attribute = "limit"
[features.staff]
of = "payer"
attribute = "staff"
[features.age]
of = "payer"
attribute = "opened_at"
"#;

/// What entities have, by name of the attribute and token.
#[derive(Default)]
struct Set(BTreeMap<(&'static str, u128), EntityValue>);

impl WindowSource for Set {
    fn view(&self, _: StreamIdx, _: Token, _: Window, _: Timestamp, _: Option<Candidate>) -> Result<View<'_>, Missing> {
        Err(Missing::UnknownStream)
    }

    fn list_has(&self, _: ListIdx, _: Listed<'_>, _: Timestamp) -> bool {
        false
    }

    fn attribute(&self, kind: &Name, attribute: &Name, entity: Token) -> Option<&EntityValue> {
        assert_eq!(kind.as_str(), "customer");
        self.0.iter().find(|((name, token), _)| *name == attribute.as_str() && *token == entity.get()).map(|(_, v)| v)
    }
}

fn policy(parts: &str) -> Policy {
    let bundle = Bundle::new([("policy.toml".to_owned(), format!("{POLICY}{parts}").into_bytes())]).expect("a bundle");
    Policy::compile(&bundle).unwrap_or_else(|problems| panic!("{}", listed(&problems)))
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

/// A payment of customer 1 to customer 2, or to nobody.
fn evaluate(policy: &Policy, has_payee: bool, set: &Set) -> Evaluation {
    let entity = |token: u128| AttributeValue::Entity { token: Token::new(token), text: token.to_string().into() };
    let attributes = [Some(entity(1)), has_payee.then(|| entity(2))];
    let facts = Facts {
        payment_type: PaymentTypeIdx::new(0),
        amount: Amount::new(1_000),
        decided_at: now(),
        occurred_at: now(),
        attributes: &attributes,
    };
    policy.evaluate(&facts, set)
}

#[track_caller]
fn check(parts: &str, has_payee: bool, set: &[(&'static str, u128, EntityValue)], expected: &Expect) {
    let policy = policy(parts);
    let set = Set(set.iter().map(|(name, token, value)| ((*name, *token), value.clone())).collect());
    let Evaluation { verdict, reasons, features, records, .. } = evaluate(&policy, has_payee, &set);
    let mut found = String::new();
    for (idx, value) in features {
        found += &format!("{} {value:?}\n", policy.features()[idx.get()].name);
    }
    for reason in &reasons {
        let failure = reason.failure.as_ref().map_or_else(String::new, |failure| format!(": {failure}"));
        found += &format!("reason {}{failure}\n", reason.code);
    }
    expected.assert_eq(&format!("{found}{verdict:?} with {} records\n", records.len()));
}

#[test]
fn features_are_what_the_entity_has_or_missing_with_a_reason() {
    let opened: Timestamp = "2026-11-21T12:00:00.5Z".parse().expect("a time");
    let set = [
        ("kyc_level", 1, EntityValue::Int(-3)),
        ("segment", 1, EntityValue::Text("business".into())),
        ("limit", 1, EntityValue::double(-0.0).expect("finite")),
        ("staff", 1, EntityValue::Bool(true)),
        ("opened_at", 1, EntityValue::Time(opened)),
    ];
    check(
        "",
        true,
        &set,
        &expect![[r#"
        level Int(-3)
        payee_level Missing(NotSet)
        segment Text("business")
        limit Double(0.0)
        staff Bool(true)
        age Int(86399)
        Approve with 0 records
    "#]],
    );
    check(
        "",
        false,
        &[],
        &expect![[r#"
        level Missing(NotSet)
        payee_level Missing(AttributeAbsent)
        segment Missing(NotSet)
        limit Missing(NotSet)
        staff Missing(NotSet)
        age Missing(NotSet)
        Approve with 0 records
    "#]],
    );
    // What was set when a policy declared other types.
    let set = [
        ("kyc_level", 1, EntityValue::Double(3.0)),
        ("kyc_level", 2, EntityValue::Int(3)),
        ("segment", 1, EntityValue::Bool(true)),
        // In the future, by half a second.
        ("opened_at", 1, EntityValue::Time("2026-11-22T12:00:00.5Z".parse().expect("a time"))),
    ];
    check(
        "",
        true,
        &set,
        &expect![[r#"
        level Missing(OutOfRange)
        payee_level Int(3)
        segment Missing(OutOfRange)
        limit Missing(NotSet)
        staff Missing(NotSet)
        age Int(-1)
        Approve with 0 records
    "#]],
    );
}

#[test]
fn rules_features_and_filters_read_them() {
    const PARTS: &str = r#"
[streams.small]
of = "payer"
where = "!has(features.level) || features.level < 2"
value = "has(features.level) ? features.level : 0"
[streams.segments]
of = "payer"
group = "features.segment"
[features.is_new]
expression = "features.age < 86400 && features.segment == 'business'"
[[rules]]
name = "unknown"
when = "!has(features.level)"
then = { review = true }
[[rules]]
name = "low"
when = "features.level < 2 && features.is_new"
then = { decline = true }
"#;
    let set = |level| {
        [
            ("kyc_level", 1, EntityValue::Int(level)),
            ("segment", 1, EntityValue::Text("business".into())),
            ("opened_at", 1, EntityValue::Time(now())),
        ]
    };
    check(
        PARTS,
        false,
        &set(1),
        &expect![[r#"
        level Int(1)
        payee_level Missing(AttributeAbsent)
        segment Text("business")
        limit Missing(NotSet)
        staff Missing(NotSet)
        age Int(0)
        is_new Bool(true)
        reason low
        Decline with 2 records
    "#]],
    );
    check(
        PARTS,
        false,
        &set(2),
        &expect![[r#"
        level Int(2)
        payee_level Missing(AttributeAbsent)
        segment Text("business")
        limit Missing(NotSet)
        staff Missing(NotSet)
        age Int(0)
        is_new Bool(true)
        Approve with 1 records
    "#]],
    );
    // The group of the second stream and the new feature need the segment.
    check(
        PARTS,
        false,
        &[],
        &expect![[r#"
        level Missing(NotSet)
        payee_level Missing(AttributeAbsent)
        segment Missing(NotSet)
        limit Missing(NotSet)
        staff Missing(NotSet)
        age Missing(NotSet)
        is_new Missing(NotSet)
        reason feature_missing: streams.segments: features.segment is missing
        reason unknown
        Review with 1 records
    "#]],
    );
}

#[test]
fn a_stream_that_reads_an_attribute_is_another_one_if_the_feature_is() {
    const PARTS: &str = "[streams.small]\nof = \"payer\"\nwhere = \"features.level < 2\"\n";
    let key = |document: &str| {
        let bundle = Bundle::new([("policy.toml".to_owned(), document.as_bytes().to_vec())]).expect("a bundle");
        Policy::compile(&bundle).unwrap_or_else(|problems| panic!("{}", listed(&problems))).streams()[0].key
    };
    let document = format!("{POLICY}{PARTS}");
    let level = "[features.level]\nof = \"payer\"";
    assert!(document.contains(level));
    assert_eq!(key(&document), key(&document.replace("description = \"0 to 3\"", "description = \"0 to 4\"")));
    assert_eq!(
        key(&document),
        key(&document.replace("[features.limit]\nof = \"payer\"", "[features.limit]\nof = \"payee\""))
    );
    assert_ne!(key(&document), key(&document.replace(level, "[features.level]\nof = \"payee\"")));
    let renamed = document.replace("kyc_level", "trust");
    assert_ne!(key(&document), key(&renamed));
    // However the name is written.
    for other in [
        "features . level < 2",
        "features.`level` < 2",
        ".features.level < 2",
        "true && .features.level < 2",
        "// don't\nfeatures.level < 2",
        "'features.level' != '' && features\n.level < 2",
    ] {
        let document = document.replace("\"features.level < 2\"", &format!("\"\"\"{other}\"\"\""));
        let moved = document.replace(level, "[features.level]\nof = \"payee\"");
        assert_ne!(key(&document), key(&moved), "{other}");
    }
    // What says which token a value of the entity has.
    for from in ["[entities.customer]\n", "[entities.customer]\npersonal = false\n"] {
        let other = document.replace("[entities.customer]\n", "[entities.customer]\nnormalise = [\"lowercase\"]\n");
        assert_ne!(key(&document.replace("[entities.customer]\n", from)), key(&other), "{from}");
    }
    // A stream that reads none keeps the key that it had before policies had attributes of entities.
    let plain = "[streams.small]\nof = \"payer\"\nwhere = \"payment.amount < 2\"\n";
    let plain = [format!("{POLICY}{plain}"), format!("{}{plain}", POLICY.replace("kyc_level", "trust"))];
    assert_eq!(key(&plain[0]), key(&plain[1]));
}

#[test]
fn an_entity_has_the_features_that_are_its_attributes() {
    let policy = policy("");
    let set = Set(BTreeMap::from([(("kyc_level", 7), EntityValue::Int(2))]));
    let kind = "customer".parse().expect("a name");
    let features = policy.features_of(&kind, Token::new(7), now(), &set);
    let features: Vec<String> = features.iter().map(|(name, value)| format!("{name} {value:?}\n")).collect();
    expect![[r#"
        level Int(2)
        payee_level Int(2)
        segment Missing(NotSet)
        limit Missing(NotSet)
        staff Missing(NotSet)
        age Missing(NotSet)
    "#]]
    .assert_eq(&features.concat());
}
