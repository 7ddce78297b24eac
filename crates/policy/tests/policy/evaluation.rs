//! Payments that are judged by the example policy, with a history that gives the answers of the test.

mod explanation;
mod models;
mod values;

use std::cell::RefCell;

use expect_test::{Expect, expect};
use features::{Aggregate, Candidate, Missing, RecordChange, Stream, StreamId, Update, View, Window, Windows};
use policy::cel::Listed;
use policy::{
    AttributeValue, Bundle, EntityValue, Evaluation, Facts, Failure, FailureCause, FeatureValue, ListIdx, Part,
    PaymentTypeIdx, Policy, Reason, StreamIdx, Verdict, WindowSource,
};
use types::{AccountId, Amount, Name, Seq, Span, Timestamp, Token};

use crate::support::{EXAMPLE, bundle, bundle_with, compile};

/// Gives the same answer to every question about a stream, and remembers the questions.
struct Answers {
    streams: Vec<Result<Aggregate, Missing>>,
    /// The values of lists: the number of the list, a text, and when it expires.
    listed: Vec<(usize, &'static str, Option<Timestamp>)>,
    asked: RefCell<Vec<String>>,
}

impl Answers {
    fn all(answer: Result<Aggregate, Missing>) -> Self {
        Self { streams: vec![answer; 2], listed: Vec::new(), asked: RefCell::default() }
    }
}

impl WindowSource for Answers {
    fn view(
        &self,
        stream: StreamIdx,
        entity: Token,
        window: Window,
        at: Timestamp,
        candidate: Option<Candidate>,
    ) -> Result<View<'_>, Missing> {
        let Window { length, delay } = window;
        let value = candidate.map(|candidate| candidate.value);
        let question =
            format!("stream {} of {} {length} after {delay} at {at} with {value:?}\n", stream.get(), entity.get());
        self.asked.borrow_mut().push(question);
        let answer = self.streams[stream.get()]?;
        // A test leaks a few windows, which live as long as the answers must.
        let windows: &'static Windows =
            Box::leak(Box::new(holding(answer, entity, at.checked_sub(delay).expect("after 1970"))));
        windows.view(STREAM, entity, window, at, (None, None))
    }

    fn list_has(&self, list: ListIdx, value: Listed<'_>, at: Timestamp) -> bool {
        self.asked.borrow_mut().push(format!("list {} with {value:?} at {at}\n", list.get()));
        self.listed.iter().any(|(known, text, expires_at)| {
            *known == list.get() && Listed::Text(text) == value && expires_at.is_none_or(|expiry| expiry > at)
        })
    }

    fn attribute(&self, kind: &Name, attribute: &Name, entity: Token) -> Option<&EntityValue> {
        self.asked.borrow_mut().push(format!("{attribute} of the {kind} {}\n", entity.get()));
        None
    }
}

const STREAM: StreamId = StreamId::new(0);

/// Windows with records of an entity at one instant that together give this answer.
fn holding(answer: Aggregate, entity: Token, at: Timestamp) -> Windows {
    let mut windows = Windows::default();
    let (retention, recorded_since) = (Span::from_secs(400 * 86_400), Timestamp::ZERO);
    windows.open(&Stream { id: STREAM, retention, records_max: 1000, entities_max: 1, recorded_since });
    let mut left = answer.sum;
    for seq in 1..=answer.count {
        let value = if seq == answer.count { left } else { left.clamp(i64::MIN.into(), i64::MAX.into()) };
        left -= value;
        let value = i64::try_from(value).expect("the sum fits into so many records");
        let changes =
            [RecordChange::Insert { value, item: None }, RecordChange::Label { positive: seq <= answer.positives }];
        for change in changes {
            let _kept = windows.apply(&Update { stream: STREAM, entity, at, seq: Seq::new(seq), change });
        }
    }
    windows
}

const fn records(count: u64, sum: i128, positives: u64) -> Result<Aggregate, Missing> {
    Ok(Aggregate { count, sum, positives })
}

fn text(text: &str) -> Option<AttributeValue> {
    Some(AttributeValue::Text(text.into()))
}

fn entity(token: u128) -> Option<AttributeValue> {
    Some(AttributeValue::Entity { token: Token::new(token), text: format!("value {token}").into() })
}

/// In this order: customer, card, merchant, device, country, email, risk.
fn card_attributes() -> Vec<Option<AttributeValue>> {
    vec![entity(1), entity(2), entity(3), entity(4), text("FR"), None, None]
}

/// A card payment of 20.00 at noon that happened two minutes before it was decided.
fn card(policy: &Policy, attributes: &[Option<AttributeValue>], answer: Result<Aggregate, Missing>) -> Evaluation {
    policy.evaluate(&facts(2000, attributes), &Answers::all(answer))
}

fn facts(minor: u128, attributes: &[Option<AttributeValue>]) -> Facts<'_> {
    Facts {
        payment_type: PaymentTypeIdx::new(0),
        amount: Amount::new(minor),
        decided_at: "2026-11-22T12:00:00Z".parse().expect("a time"),
        occurred_at: "2026-11-22T11:58:00Z".parse().expect("a time"),
        attributes,
    }
}

/// The example with the text `from` replaced by `to`, and a model with these coefficients.
#[track_caller]
fn changed(from: &str, to: &str, coefficients: &[f32]) -> Policy {
    assert!(EXAMPLE.contains(from), "{from}");
    compile(&bundle_with(&EXAMPLE.replacen(from, to, 1), coefficients))
}

/// The example and a model with these coefficients.
#[track_caller]
fn with_model(coefficients: &[f32]) -> Policy {
    compile(&bundle_with(EXAMPLE, coefficients))
}

/// The example with a rule before the others.
#[track_caller]
fn with_rule(rule: &str) -> Policy {
    changed("[[rules]] ", &format!("[[rules]]\npayments = [\"card\"]\n{rule}\n[[rules]] "), &[0.0; 3])
}

fn judged(evaluation: &Evaluation) -> String {
    let Evaluation { verdict, score, reasons, tags, .. } = evaluation;
    let reason = |reason: &Reason| {
        let failure = reason.failure.as_ref().map_or_else(String::new, |failure| format!(", {failure}"));
        format!("{} {:?}{failure}", reason.code, reason.effect)
    };
    let reasons: Vec<String> = reasons.iter().map(reason).collect();
    format!("{verdict:?} {} {reasons:?} {tags:?}", score.get())
}

#[track_caller]
fn check(policy: &Policy, answer: Result<Aggregate, Missing>, expected: &Expect) {
    expected.assert_eq(&judged(&card(policy, &card_attributes(), answer)));
}

#[test]
fn a_payment_without_findings_is_approved_with_all_its_facts() {
    let policy = compile(&bundle(EXAMPLE));
    let evaluation = card(&policy, &card_attributes(), records(2, 5000, 1));
    expect![[r#"
        Evaluation {
            verdict: Approve,
            score: Score(
                0,
            ),
            reasons: [],
            tags: [],
            features: [
                (
                    FeatureIdx(
                        0,
                    ),
                    Int(
                        5000,
                    ),
                ),
                (
                    FeatureIdx(
                        1,
                    ),
                    Int(
                        2,
                    ),
                ),
                (
                    FeatureIdx(
                        2,
                    ),
                    Double(
                        0.5,
                    ),
                ),
                (
                    FeatureIdx(
                        3,
                    ),
                    Bool(
                        false,
                    ),
                ),
                (
                    FeatureIdx(
                        4,
                    ),
                    Missing(
                        NotSet,
                    ),
                ),
                (
                    FeatureIdx(
                        5,
                    ),
                    Missing(
                        NotSet,
                    ),
                ),
            ],
            models: [
                (
                    ModelIdx(
                        0,
                    ),
                    Some(
                        0.0,
                    ),
                ),
            ],
            records: [
                StreamRecord {
                    stream: StreamIdx(
                        0,
                    ),
                    entity: Token(
                        1,
                    ),
                    at: Timestamp(
                        1795348800000000000,
                    ),
                    value: 2000,
                    item: None,
                    counts: Accepted,
                },
                StreamRecord {
                    stream: StreamIdx(
                        1,
                    ),
                    entity: Token(
                        3,
                    ),
                    at: Timestamp(
                        1795348680000000000,
                    ),
                    value: 2000,
                    item: None,
                    counts: Accepted,
                },
            ],
            legs: Ok(
                [
                    LegPlan {
                        debit: Of(
                            AccountTemplateIdx(
                                0,
                            ),
                            Token(
                                1,
                            ),
                        ),
                        credit: Single(
                            AccountTemplateIdx(
                                1,
                            ),
                        ),
                        amount: Amount(
                            2000,
                        ),
                        code: Code(
                            1,
                        ),
                        leg: 0,
                    },
                ],
            ),
        }
    "#]]
    .assert_debug_eq(&evaluation);
}

#[test]
fn the_history_is_asked_at_the_clock_of_the_stream_with_the_candidate() {
    let history = Answers::all(records(1, 1, 0));
    compile(&bundle(EXAMPLE)).evaluate(&facts(2000, &card_attributes()), &history);
    expect![[r#"
        kyc_level of the customer 1
        opened_at of the customer 1
        stream 0 of 1 1d after 0s at 2026-11-22T12:00:00Z with Some(2000)
        stream 0 of 1 1h after 0s at 2026-11-22T12:00:00Z with Some(2000)
        stream 1 of 3 7d after 7d at 2026-11-22T11:58:00Z with Some(2000)
    "#]]
    .assert_eq(&history.asked.borrow().concat());
}

#[test]
fn a_payment_outside_the_filter_is_no_candidate_and_adds_no_record() {
    let mut attributes = card_attributes();
    attributes[4] = text("NO");
    let history = Answers::all(records(1, 1, 0));
    let evaluation = compile(&bundle(EXAMPLE)).evaluate(&facts(0, &attributes), &history);
    assert_eq!(evaluation.records, []);
    let asked = history.asked.borrow();
    let mut of_streams = asked.iter().filter(|question| question.starts_with("stream"));
    assert!(of_streams.all(|question| question.ends_with("with None\n")), "{asked:?}");
}

#[test]
fn features_of_other_payment_types_are_not_computed() {
    let policy = compile(&bundle(EXAMPLE));
    let (transfer, _) = policy.payment_type("transfer").unwrap();
    let attributes = [entity(1), Some(AttributeValue::Account(AccountId::new(77)))];
    let facts = Facts { payment_type: transfer, ..facts(500, &attributes) };
    let evaluation = policy.evaluate(&facts, &Answers::all(records(1, 500, 0)));
    expect![[r#"
        (
            [
                (
                    FeatureIdx(
                        0,
                    ),
                    Int(
                        500,
                    ),
                ),
                (
                    FeatureIdx(
                        1,
                    ),
                    Int(
                        1,
                    ),
                ),
                (
                    FeatureIdx(
                        4,
                    ),
                    Missing(
                        NotSet,
                    ),
                ),
            ],
            [],
            Ok(
                [
                    LegPlan {
                        debit: Of(
                            AccountTemplateIdx(
                                0,
                            ),
                            Token(
                                1,
                            ),
                        ),
                        credit: Id(
                            AccountId(
                                77,
                            ),
                        ),
                        amount: Amount(
                            500,
                        ),
                        code: Code(
                            2,
                        ),
                        leg: 0,
                    },
                ],
            ),
        )
    "#]]
    .assert_debug_eq(&(evaluation.features, evaluation.models, evaluation.legs));
}

#[test]
fn rules_decline_score_and_tag() {
    let policy = compile(&bundle(EXAMPLE));
    check(&policy, records(5, 0, 2), &expect!["Approve 0 [] []"]);
    check(&policy, records(6, 0, 3), &expect![[r#"Decline 0 ["card_velocity Decline"] []"#]]);
    check(&policy, records(4, 0, 3), &expect![[r#"Approve 200 ["risky_merchant Score(200)"] []"#]]);
    let mut attributes = card_attributes();
    attributes[3] = None;
    expect![[r#"Approve 0 [] ["no device"]"#]].assert_eq(&judged(&card(&policy, &attributes, records(0, 0, 0))));
}

#[test]
fn the_strictest_rule_wins_whatever_the_order() {
    let rule = |name: &str, effect: &str| format!("name = \"{name}\"\nwhen = \"true\"\nthen = {{ {effect} = true }}");
    let policy = with_rule(&format!("{}\n[[rules]]\n{}", rule("a", "decline"), rule("b", "review")));
    check(&policy, records(0, 0, 0), &expect![[r#"Decline 0 ["a Decline", "b Review"] []"#]]);
}

#[test]
fn the_highest_score_of_all_models_counts() {
    let other = "[models.other]\nfile = \"models/fraud.onnx\"\npayments = [\"card\"]\ninputs = [\"1\", \"0\", \"0\"]\n[[rules]] ";
    check(&changed("[[rules]] ", other, &[0.03, 0.0, 0.0]), records(0, 0, 0), &expect!["Approve 600 [] []"]);
}

#[test]
fn expressions_see_what_every_payment_has() {
    let seen = "payment.amount == 2000 && payment.type == 'card' && payment.asset == 'EUR/2' && payment.country == 'FR' \
        && payment.decided_at - payment.occurred_at == duration('2m') && payment.occurred_at.getHours() == 11";
    let policy = with_rule(&format!("name = \"seen\"\nwhen = \"{seen}\"\nthen = {{ tag = \"seen\" }}"));
    check(&policy, records(0, 0, 0), &expect![[r#"Approve 0 [] ["seen"]"#]]);
}

#[test]
fn a_declined_payment_has_no_legs_but_its_records() {
    let evaluation = card(&compile(&bundle(EXAMPLE)), &card_attributes(), records(6, 0, 0));
    assert_eq!((evaluation.verdict, evaluation.legs, evaluation.records.len()), (Verdict::Decline, Ok(vec![]), 2));
}

#[test]
fn thresholds_judge_the_models_score_and_the_rules_together() {
    // The model's only weight is on the amount in major units, 20.
    for (coefficient, risky, expected) in [
        (0.03, 0, expect!["Approve 600 [] []"]),
        (0.035, 0, expect![[r#"Review 700 ["score_review Review"] []"#]]),
        (0.03, 1, expect![[r#"Review 800 ["risky_merchant Score(200)", "score_review Review"] []"#]]),
        (0.04, 1, expect![[r#"Decline 1000 ["risky_merchant Score(200)", "score_decline Decline"] []"#]]),
        (0.05, 1, expect![[r#"Decline 1000 ["risky_merchant Score(200)", "score_decline Decline"] []"#]]),
    ] {
        let policy = with_model(&[coefficient, 0.0, 0.0]);
        check(&policy, records(1, 0, risky), &expected);
    }
}

#[test]
fn without_thresholds_the_score_decides_nothing() {
    let policy = changed("review_at = 700 ", "", &[0.05, 0.0, 0.0]);
    check(&policy, records(1, 0, 0), &expect![[r#"Decline 1000 ["score_decline Decline"] []"#]]);
    let policy = changed("decline_at = 900 ", "", &[0.05, 0.0, 0.0]);
    check(&policy, records(1, 0, 0), &expect![[r#"Review 1000 ["score_review Review"] []"#]]);
}

#[test]
fn a_negative_score_lowers_the_models() {
    let rule = "[[rules]]\nname = \"known\"\nwhen = \"true\"\nthen = { score = -950 }\n[[rules]] ";
    let policy = changed("[[rules]] ", rule, &[0.05, 0.0, 0.0]);
    check(&policy, records(1, 0, 0), &expect![[r#"Approve 50 ["known Score(-950)"] []"#]]);
}

#[test]
fn what_is_missing_is_judged_as_the_policy_says() {
    for effect in ["review", "approve", "decline"] {
        let policy =
            changed("on_missing_feature = \"review\"", &format!("on_missing_feature = \"{effect}\""), &[0.0; 3]);
        let evaluation = card(&policy, &card_attributes(), Err(Missing::WindowTruncated));
        let expected = match effect {
            "review" => expect![[
                r#"Review 0 ["feature_missing Review, models.fraud: features.customer_spend_1d is missing"] []"#
            ]],
            "approve" => expect!["Approve 0 [] []"],
            _ => expect![[
                r#"Decline 0 ["feature_missing Decline, models.fraud: features.customer_spend_1d is missing"] []"#
            ]],
        };
        expected.assert_eq(&judged(&evaluation));
        assert_eq!(evaluation.models, [(policy::ModelIdx::new(0), None)]);
    }
}

#[test]
fn a_missing_feature_keeps_its_reason() {
    let policy = compile(&bundle(EXAMPLE));
    let answers = [
        (Err(Missing::WindowTruncated), "window_truncated"),
        (Err(Missing::TooManyEntities), "too_many_entities"),
        (Err(Missing::UnknownStream), "unavailable"),
        (records(200, 1 << 70, 0), "out_of_range"),
    ];
    for (answer, expected) in answers {
        let evaluation = card(&policy, &card_attributes(), answer);
        let FeatureValue::Missing(reason) = evaluation.features[0].1 else { panic!("{expected}") };
        assert_eq!(reason.as_str(), expected);
    }
}

#[test]
fn a_feature_of_an_absent_attribute_is_missing_until_it_is_asked_for() {
    let stream = "[streams.by_device]\nof = \"device\"\n[features.device_count]\nstream = \"by_device\"\naggregate = \"count\"\nwindow = \"1d\"\n[features.customer_spend_1d]";
    let rule = "[[rules]]\nname = \"device\"\nwhen = \"has(features.device_count) && features.device_count > 9\"\nthen = { review = true }\npayments = [\"card\"]\n[[rules]] ";
    let document = EXAMPLE.replacen("[features.customer_spend_1d]", stream, 1).replacen("[[rules]] ", rule, 1);
    let mut attributes = card_attributes();
    attributes[3] = None;
    let evaluation = |document: &str| {
        let history = Answers { streams: vec![records(0, 0, 0); 3], listed: Vec::new(), asked: RefCell::default() };
        judged(&compile(&bundle(document)).evaluate(&facts(2000, &attributes), &history))
    };
    expect![[r#"Approve 0 [] ["no device"]"#]].assert_eq(&evaluation(&document));
    expect![[r#"Review 0 ["feature_missing Review, rule device: features.device_count is missing"] ["no device"]"#]]
        .assert_eq(&evaluation(&document.replace("has(features.device_count) && ", "")));
}

#[test]
fn a_model_without_a_number_is_judged_as_the_policy_says() {
    // 20 times 1 is not a probability.
    check(
        &with_model(&[1.0, 0.0, 0.0]),
        records(0, 0, 0),
        &expect![[r#"Review 0 ["model_failed Review, models.fraud: the model gave no number"] []"#]],
    );
    let ignored = changed("on_model_error = \"review\"", "on_model_error = \"approve\"", &[1.0, 0.0, 0.0]);
    check(&ignored, records(0, 0, 0), &expect!["Approve 0 [] []"]);
    let declined = changed("on_model_error = \"review\"", "on_model_error = \"decline\"", &[1.0, 0.0, 0.0]);
    check(
        &declined,
        records(0, 0, 0),
        &expect![[r#"Decline 0 ["model_failed Decline, models.fraud: the model gave no number"] []"#]],
    );
}

#[test]
fn a_rule_that_cannot_be_evaluated_is_for_a_human() {
    let overflow =
        with_rule("name = \"r\"\nwhen = \"payment.amount * 9223372036854775807 > 0\"\nthen = { tag = \"t\" }");
    check(
        &overflow,
        records(0, 0, 0),
        &expect![[r#"Review 0 ["rule_failed Review, rule r: a result is out of range"] []"#]],
    );
    let division =
        with_rule("name = \"r\"\nwhen = \"payment.amount / features.customer_count_1h > 0\"\nthen = { tag = \"t\" }");
    check(&division, records(0, 0, 0), &expect![[r#"Review 0 ["rule_failed Review, rule r: division by zero"] []"#]]);
    let absent = with_rule("name = \"r\"\nwhen = \"payment.risk > 0.5\"\nthen = { tag = \"t\" }");
    check(
        &absent,
        records(0, 0, 0),
        &expect![[r#"Review 0 ["feature_missing Review, rule r: payment.risk is missing"] []"#]],
    );
}

#[test]
fn a_stream_that_cannot_take_a_payment_is_for_a_human() {
    let policy = changed("value = \"payment.amount\" ", "value = \"payment.amount * 9223372036854775807\" ", &[0.0; 3]);
    let evaluation = card(&policy, &card_attributes(), records(0, 0, 0));
    expect![[r#"Review 0 ["stream_failed Review, streams.spend_by_customer: a result is out of range", "feature_missing Review, models.fraud: features.customer_spend_1d is missing"] []"#]].assert_eq(&judged(&evaluation));
    assert_eq!(evaluation.records.len(), 1);
    let policy = changed(
        "where = \"payment.amount > 0\"",
        "where = \"payment.amount > 0 && payment.type == 'card'\"",
        &[0.0; 3],
    );
    check(&policy, records(0, 0, 0), &expect!["Approve 0 [] []"]);
}

#[test]
fn equal_tags_are_given_once() {
    let rule = |name: &str| format!("name = \"{name}\"\nwhen = \"true\"\nthen = {{ tag = \"t\" }}");
    let policy = with_rule(&format!("{}\n[[rules]]\n{}", rule("a"), rule("b")));
    check(&policy, records(0, 0, 0), &expect![[r#"Approve 0 [] ["t"]"#]]);
}

const fn leg_failure(cause: FailureCause) -> Failure {
    Failure { part: Part::Leg(0), cause }
}

#[test]
fn legs_that_cannot_be_determined_say_which_and_why() {
    let legs = |amount: &str| {
        let policy = changed("amount = \"payment.amount\" ", &format!("amount = \"{amount}\" "), &[0.0; 3]);
        card(&policy, &card_attributes(), records(0, 0, 0)).legs
    };
    assert_eq!(legs("0 - payment.amount"), Err(leg_failure(FailureCause::NegativeAmount(-2000))));
    assert_eq!(legs("payment.amount / 0"), Err(leg_failure(FailureCause::DivisionByZero)));
    assert_eq!(legs("payment.amount - 2000"), Ok(vec![]));
    assert_eq!(legs("payment.amount / 3").unwrap()[0].amount, Amount::new(666));
}

#[test]
fn a_leg_does_not_move_money_in_a_circle() {
    let document = "name = \"p\"\n[ledgers.eur]\nid = 1\nasset = \"EUR/2\"\n[payments.p]\nledger = \"eur\"\n\
        [payments.p.attributes]\na = { type = \"account\" }\nb = { type = \"account\" }\n\
        [[payments.p.legs]]\ndebit = { attribute = \"a\" }\ncredit = { attribute = \"b\" }\ncode = 1\n";
    let policy = compile(&Bundle::new([("policy.toml".to_owned(), document.into())]).unwrap());
    let account = |number| Some(AttributeValue::Account(AccountId::new(number)));
    let legs = |a, b| policy.evaluate(&facts(5, &[account(a), account(b)]), &Answers::all(records(0, 0, 0))).legs;
    assert_eq!(legs(7, 7), Err(leg_failure(FailureCause::SameAccount)));
    assert_eq!(legs(7, 8).map(|legs| legs.len()), Ok(1));
}

#[test]
fn the_same_payment_is_judged_the_same() {
    let policy = compile(&bundle(EXAMPLE));
    let once = || card(&policy, &card_attributes(), records(3, 1234, 1));
    assert_eq!(once(), once());
}

#[test]
#[should_panic(expected = "POL-1")]
fn facts_of_another_type_are_a_bug() {
    let _ = card(&compile(&bundle(EXAMPLE)), &[], records(0, 0, 0));
}
