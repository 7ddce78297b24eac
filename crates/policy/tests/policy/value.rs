//! Scores, attributes and features as values.

use expect_test::expect;
use policy::{AttributeValue, FeatureValue, MissingReason, Score};

#[test]
fn half_a_point_rounds_up() {
    for (probability, points) in
        [(0.0, 0), (0.0005, 1), (0.000_499_999_9, 0), (0.4995, 500), (0.9995, 1000), (1.0, 1000)]
    {
        assert_eq!(Score::of_probability(probability).get(), points, "{probability}");
    }
    assert_eq!((Score::clamped(-5).get(), Score::clamped(1001)), (0, Score::MAX));
}

#[test]
fn values_have_one_canonical_form() {
    use AttributeValue::{Double, Text};
    assert_eq!(AttributeValue::double(-0.0), AttributeValue::double(0.0));
    assert_eq!((AttributeValue::double(f64::NAN), AttributeValue::double(f64::INFINITY)), (None, None));
    assert_ne!(Some(AttributeValue::Int(1)), AttributeValue::double(1.0));
    let mut values =
        vec![Double(2.0), AttributeValue::Bool(true), AttributeValue::Int(9), Double(-1.0), Text("b".into())];
    values.sort();
    expect![[r#"[Text("b"), Int(9), Double(-1.0), Double(2.0), Bool(true)]"#]].assert_eq(&format!("{values:?}"));
}

#[test]
fn a_feature_value_is_json() {
    let values = [
        FeatureValue::Int(-5),
        FeatureValue::Double(0.1),
        FeatureValue::Double(2.0),
        FeatureValue::Double(1e300),
        FeatureValue::Bool(true),
        FeatureValue::Text("a \"b\" \\ \n é".into()),
        FeatureValue::Missing(MissingReason::WindowTruncated),
    ];
    let json = values.iter().map(|value| {
        let mut out = String::new();
        value.write_json(&mut out);
        out + "\n"
    });
    expect![[r#"
        -5
        0.1
        2.0
        1e300
        true
        "a \"b\" \\ \u000a é"
        null
    "#]]
    .assert_eq(&json.collect::<String>());
}
