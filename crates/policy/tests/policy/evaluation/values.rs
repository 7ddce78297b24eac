//! Values that expressions and lists cannot have, or compare.

use super::*;

#[test]
fn rules_look_values_up_in_lists_as_of_the_decision() {
    let lists = "[lists.sanctioned]\nholds = \"text\"\n[[rules]]\npayments = [\"card\"]\nname = \"sanctioned\"\nwhen = \"payment.country in list('sanctioned') || payment.device in list(\\\"blocked_devices\\\")\"\nthen = { decline = true }\n[[rules]] ";
    let policy = changed("[[rules]] ", lists, &[0.0; 3]);
    let judge = |listed: Vec<(usize, &'static str, Option<Timestamp>)>| {
        let history = Answers { listed, ..Answers::all(records(0, 0, 0)) };
        let judged = judged(&policy.evaluate(&facts(2000, &card_attributes()), &history));
        let asked = history.asked.borrow();
        let asked: Vec<&str> = asked.iter().filter_map(|asked| asked.strip_prefix("list ")).collect();
        format!("{judged} {}", asked.concat())
    };
    let decided_at = facts(2000, &[]).decided_at;
    let list = policy.lists().iter().position(|list| list.name.as_str() == "sanctioned").expect("a list");
    expect![[r#"
        Decline 0 ["sanctioned Decline"] [] 0 with Text("FR") at 2026-11-22T12:00:00Z
    "#]]
    .assert_eq(&judge(vec![(list, "FR", None)]));
    expect![[r#"
        Decline 0 ["sanctioned Decline"] [] 0 with Text("FR") at 2026-11-22T12:00:00Z
    "#]]
    .assert_eq(&judge(vec![(list, "FR", Some(decided_at.saturating_add(Span::from_ns(1))))]));
    expect![[r#"
        Approve 0 [] [] 0 with Text("FR") at 2026-11-22T12:00:00Z
        1 with Entity(Token(4)) at 2026-11-22T12:00:00Z
    "#]]
    .assert_eq(&judge(vec![(list, "FR", Some(decided_at)), (list, "fr", None)]));
}

#[test]
fn a_long_text_feature_is_missing() {
    for (bytes, expected) in [(256, None), (257, Some("out_of_range"))] {
        let text = "x".repeat(bytes);
        let feature = format!("[features.text]\nexpression = \"'{text}'\"\n[features.customer_spend_1d]");
        let policy = changed("[features.customer_spend_1d]", &feature, &[0.0; 3]);
        let evaluation = policy.evaluate(&facts(0, &card_attributes()), &Answers::all(records(0, 0, 0)));
        match (&evaluation.features[0].1, expected) {
            (FeatureValue::Text(found), None) => assert_eq!(**found, text),
            (FeatureValue::Missing(reason), Some(expected)) => assert_eq!(reason.as_str(), expected),
            (found, _) => panic!("{bytes} bytes give {found:?}"),
        }
    }
}

#[test]
fn doubles_that_are_not_finite_are_missing() {
    let feature = "[features.ratio]\nexpression = \"1.0 / double(payment.amount)\"\n[features.customer_spend_1d]";
    let policy = changed("[features.customer_spend_1d]", feature, &[0.0; 3]);
    let evaluation = policy.evaluate(&facts(0, &card_attributes()), &Answers::all(records(0, 0, 0)));
    let FeatureValue::Missing(reason) = evaluation.features[0].1 else { panic!("{:?}", evaluation.features) };
    assert_eq!(reason.as_str(), "out_of_range");
}

#[test]
fn an_entity_is_compared_with_texts_by_its_value() {
    let rule = |when: &str| {
        let policy = with_rule(&format!("name = \"r\"\nwhen = \"{when}\"\nthen = {{ review = true }}"));
        card(&policy, &card_attributes(), records(0, 0, 0)).verdict
    };
    for (when, verdict) in [
        ("payment.merchant == 'value 3'", Verdict::Review),
        ("payment.merchant in ['value 1', 'value 3']", Verdict::Review),
        ("payment.merchant == 'Value 3'", Verdict::Approve),
        ("payment.merchant == 'value 3 '", Verdict::Approve),
        ("payment.merchant in ['value 1', 'value 2']", Verdict::Approve),
    ] {
        assert_eq!(rule(when), verdict, "{when}");
    }
}
