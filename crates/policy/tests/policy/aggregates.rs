//! Aggregates, pairs, groups, items and features over features, over a history that payments build up.

use expect_test::{Expect, expect};
use features::{Candidate, Missing, RecordChange, Stream, StreamId, Update, View, Window, Windows};
use policy::cel::Listed;
use policy::{
    AttributeValue, Bundle, Counts, EntityValue, Facts, FeatureValue, ListIdx, PaymentTypeIdx, Policy, StreamIdx,
    WindowSource,
};
use types::{Amount, Name, Seq, Span, Timestamp, Token};

use crate::support::listed;

const POLICY: &str = r#"
name = "aggregates"
[ledgers.eur]
id = 1
asset = "EUR/2"
[entities.customer]
[entities.device]
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
customer = { type = "entity", entity = "customer" }
device = { type = "entity", entity = "device", required = false }
country = { type = "string", chars_max = 2, required = false }
[[payments.card.legs]]
debit = { account = "customer", of = "customer" }
credit = { account = "shop" }
code = 1
"#;

/// All streams of a policy, as the engine would hold them.
struct History(Windows);

fn id(stream: StreamIdx) -> StreamId {
    StreamId::new(u32::from(stream.number()))
}

impl History {
    fn of(policy: &Policy) -> Self {
        let mut windows = Windows::default();
        for (number, stream) in (0..).zip(policy.streams()) {
            windows.open(&Stream {
                id: StreamId::new(number),
                retention: stream.retention,
                records_max: stream.records_max,
                entities_max: stream.entities_max,
                recorded_since: Timestamp::ZERO,
            });
            if stream.keeps_spreads {
                windows.keep_spreads(StreamId::new(number));
            }
        }
        Self(windows)
    }
}

impl WindowSource for History {
    fn view(
        &self,
        stream: StreamIdx,
        entity: Token,
        window: Window,
        at: Timestamp,
        candidate: Option<Candidate>,
    ) -> Result<View<'_>, Missing> {
        self.0.view(id(stream), entity, window, at, (None, candidate))
    }

    fn list_has(&self, _: ListIdx, _: Listed<'_>, _: Timestamp) -> bool {
        false
    }

    fn attribute(&self, _: &Name, _: &Name, _: Token) -> Option<&EntityValue> {
        None
    }
}

fn policy(parts: &str) -> Policy {
    let document = format!("{POLICY}{parts}");
    let bundle = Bundle::new([("policy.toml".to_owned(), document.into_bytes())]).expect("a bundle");
    Policy::compile(&bundle).unwrap_or_else(|problems| panic!("{}", listed(&problems)))
}

fn instant(seconds: &str) -> Timestamp {
    let at = Timestamp::from_ns(1_800_000_000_000_000_000);
    at.saturating_add(Span::from_ns(seconds.parse::<u64>().expect("milliseconds") * 1_000_000))
}

/// Decides payments in order, each given as `milliseconds amount customer device country` with `-` for what it leaves out, and lists the
/// features of each.
#[track_caller]
fn check(parts: &str, payments: &str, expected: &Expect) {
    let policy = policy(parts);
    let mut history = History::of(&policy);
    let mut found = String::new();
    for (seq, line) in (1..).zip(payments.lines().map(str::trim).filter(|line| !line.is_empty())) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [at, amount, customer, device, country] = words[..] else { panic!("{line}") };
        let entity = |name: &str| {
            let token = name.bytes().fold(0, |token: u128, byte| token * 256 + u128::from(byte));
            (name != "-").then(|| AttributeValue::Entity { token: Token::new(token), text: name.into() })
        };
        let country = (country != "-").then(|| AttributeValue::Text(country.into()));
        let attributes = [entity(customer), entity(device), country];
        let facts = Facts {
            payment_type: PaymentTypeIdx::new(0),
            amount: Amount::new(amount.parse().expect(line)),
            decided_at: instant(at),
            occurred_at: instant(at),
            attributes: &attributes,
        };
        let evaluation = policy.evaluate(&facts, &history);
        let shown = evaluation.features.iter().map(|(_, value)| {
            if let FeatureValue::Missing(reason) = value {
                return reason.as_str().to_owned();
            }
            let mut text = String::new();
            value.write_json(&mut text);
            text
        });
        found += &format!("{}\n", shown.collect::<Vec<_>>().join(" "));
        for record in evaluation.records {
            assert_eq!(record.counts, Counts::Accepted);
            let change = RecordChange::Insert { value: record.value, item: record.item };
            let (stream, seq) = (id(record.stream), Seq::new(seq));
            let _kept = history.0.apply(&Update { stream, entity: record.entity, at: record.at, seq, change });
        }
    }
    expected.assert_eq(&found);
}

/// A stream by customer with these settings, and features over it: each has a name, then its settings.
fn features(stream: &str, features: &[&str]) -> String {
    let features = features.iter().zip('a'..).map(|(settings, name)| {
        let settings = settings.split(", ").collect::<Vec<_>>().join("\n");
        format!("[features.{name}]\nstream = \"payments\"\n{settings}\n")
    });
    format!("[streams.payments]\n{stream}\n{}", features.collect::<String>())
}

const TEN_SECONDS: &str = "window = \"10s\"";

fn over_ten_seconds(aggregates: &[&str]) -> String {
    let settings: Vec<String> =
        aggregates.iter().map(|name| format!("aggregate = \"{name}\", {TEN_SECONDS}")).collect();
    features("of = \"customer\"", &settings.iter().map(String::as_str).collect::<Vec<_>>())
}

const AMOUNTS: &str = "
    0     40 ann - -
    1000  10 ann - -
    1999  20 ann - -
    2000   7 bob - -
    9000  30 ann - -
    12000 50 ann - -
    40000 60 ann - -
";

#[test]
fn extremes_and_quantiles_are_values_of_the_window() {
    check(
        &over_ten_seconds(&["min", "max", "median"]),
        AMOUNTS,
        &expect![[r#"
        40 40 40
        10 40 10
        10 40 20
        7 7 7
        10 40 20
        30 50 30
        60 60 60
    "#]],
    );
    check(
        &features(
            "of = \"customer\"",
            &[
                "aggregate = \"quantile\", quantile = 0.25, window = \"100s\"",
                "aggregate = \"quantile\", quantile = 0.250001, window = \"100s\"",
                "aggregate = \"quantile\", quantile = 0, window = \"100s\"",
                "aggregate = \"quantile\", quantile = 1, window = \"100s\"",
                "aggregate = \"median\", window = \"100s\", delay = \"1s\"",
            ],
        ),
        AMOUNTS,
        &expect![[r#"
            40 40 40 40 too_few_records
            10 10 10 40 40
            10 10 10 40 40
            7 7 7 7 too_few_records
            10 20 10 40 20
            20 20 10 50 20
            20 20 10 60 30
        "#]],
    );
}

#[test]
fn spread_ratio_and_score_are_those_of_a_sample() {
    check(
        &over_ten_seconds(&["stddev", "mean", "ratio", "zscore"]),
        AMOUNTS,
        &expect![[r#"
        0.0 40.0 too_few_records too_few_records
        21.213203435596427 25.0 0.25 too_few_records
        15.275252316519467 23.333333333333332 0.8 -0.23570226039551584
        0.0 7.0 too_few_records too_few_records
        12.909944487358056 25.0 1.2857142857142858 0.4364357804719848
        14.142135623730951 40.0 1.6666666666666667 too_few_records
        0.0 60.0 too_few_records too_few_records
    "#]],
    );
}

#[test]
fn the_ends_of_a_window_leave_out_the_payment_itself_where_it_would_say_nothing() {
    check(
        &over_ten_seconds(&["last", "previous", "since_last", "since_first"]),
        AMOUNTS,
        &expect![[r#"
        40 too_few_records too_few_records too_few_records
        10 40 1 1
        20 10 0 1
        7 too_few_records too_few_records too_few_records
        30 20 7 9
        50 30 3 3
        60 too_few_records too_few_records too_few_records
    "#]],
    );
}

#[test]
fn a_change_compares_a_window_with_the_one_before() {
    check(
        &features(
            "of = \"customer\"",
            &[
                "aggregate = \"count_change\", window = \"1s\"",
                "aggregate = \"sum_change\", window = \"1s\", compare_to = \"10s\"",
                "aggregate = \"count_change\", window = \"1s\", compare_to = \"10s\", delay = \"2s\"",
            ],
        ),
        AMOUNTS,
        &expect![[r#"
            too_few_records too_few_records too_few_records
            1.0 2.5 too_few_records
            2.0 7.5 too_few_records
            too_few_records too_few_records too_few_records
            too_few_records 4.285714285714286 0.0
            too_few_records 10.0 0.0
            too_few_records too_few_records too_few_records
        "#]],
    );
}

const DEVICES: &str = "
    0     1 ann phone NO
    1000  1 ann phone -
    2000  1 ann tablet NO
    3000  1 ann - SE
    4000  1 bob phone NO
    5000  1 ann tablet SE
    11500 1 ann phone NO
    13000 1 ann tablet SE
";

#[test]
fn items_are_counted_once_and_remembered() {
    let settings = [
        "aggregate = \"distinct\", window = \"10s\"",
        "aggregate = \"seen\", window = \"10s\"",
        "aggregate = \"count\", window = \"10s\"",
        "aggregate = \"distinct\", window = \"10s\", delay = \"1s\"",
    ];
    check(
        &features("of = \"customer\"\nitem = \"payment.device\"", &settings),
        DEVICES,
        &expect![[r#"
        1 false 1 0
        1 true 2 1
        2 false 3 1
        2 attribute_absent 4 2
        1 false 1 0
        2 true 5 2
        2 false 4 2
        2 true 3 2
    "#]],
    );
    check(
        &features("of = \"customer\"\nitem = \"payment.country\"", &settings),
        DEVICES,
        &expect![[r#"
        1 false 1 0
        1 attribute_absent 2 1
        1 true 3 1
        2 false 4 1
        1 false 1 0
        2 true 5 2
        2 true 4 2
        2 true 3 2
    "#]],
    );
    // A payment that the filter leaves out adds nothing, but its own item may have been seen.
    let filtered = "of = \"customer\"\nitem = \"payment.device\"\nwhere = \"has(payment.country)\"";
    check(
        &features(filtered, &settings),
        DEVICES,
        &expect![[r#"
        1 false 1 0
        1 true 1 1
        2 false 2 1
        2 attribute_absent 3 2
        1 false 1 0
        2 true 4 2
        2 false 4 1
        2 true 3 2
    "#]],
    );
}

#[test]
fn pairs_and_groups_have_records_of_their_own() {
    let settings = ["aggregate = \"count\", window = \"10s\""];
    check(
        &features("of = [\"customer\", \"device\"]", &settings),
        DEVICES,
        &expect![[r#"
        1
        2
        1
        attribute_absent
        1
        2
        1
        2
    "#]],
    );
    check(
        &features("of = \"customer\"\ngroup = \"payment.country\"", &settings),
        DEVICES,
        &expect![[r#"
        1
        attribute_absent
        2
        1
        1
        2
        2
        2
    "#]],
    );
    let by_second = "of = \"customer\"\ngroup = \"payment.decided_at.getSeconds() % 2\"";
    check(
        &features(by_second, &settings),
        DEVICES,
        &expect![[r#"
        1
        1
        2
        2
        1
        3
        3
        3
    "#]],
    );
    let both = "of = [\"customer\", \"device\"]\ngroup = \"has(payment.country)\"";
    check(
        &features(both, &settings),
        DEVICES,
        &expect![[r#"
        1
        1
        1
        attribute_absent
        1
        2
        1
        2
    "#]],
    );
}

#[test]
fn the_token_of_a_pair_depends_on_both_tokens_and_their_order() {
    let policy = policy(
        "[streams.one]\nof = [\"customer\", \"device\"]\n[streams.other]\nof = [\"device\", \"customer\"]\n[streams.group]\n\
         of = \"customer\"\ngroup = \"payment.country\"\n[streams.alone]\nof = \"customer\"\n",
    );
    let history = History::of(&policy);
    let token = |value: u128| Some(AttributeValue::Entity { token: Token::new(value), text: "".into() });
    let mut seen = std::collections::BTreeSet::new();
    for (customer, device, country) in [(1, 2, "NO"), (2, 1, "NO"), (1, 3, "SE"), (3, 2, "NO")] {
        let attributes = [token(customer), token(device), Some(AttributeValue::Text(country.into()))];
        let at = instant("0");
        let facts = Facts {
            payment_type: PaymentTypeIdx::new(0),
            amount: Amount::new(1),
            decided_at: at,
            occurred_at: at,
            attributes: &attributes,
        };
        let records = policy.evaluate(&facts, &history).records;
        let of = |stream: &str| {
            let idx = policy.streams().iter().position(|spec| spec.name.as_str() == stream).expect("a stream");
            records.iter().find(|record| record.stream.get() == idx).expect("a record").entity
        };
        assert_eq!(of("alone"), Token::new(customer));
        seen.extend([of("one"), of("other"), of("group")]);
    }
    // The pair (1, 2) of one order is the pair (2, 1) of the other, and the groups of 1 and NO and of 3 and NO differ.
    assert_eq!(seen.len(), 4 + 2 + 4);
}

#[test]
fn a_feature_reads_features_wherever_they_stand() {
    let parts = r#"
[features.doubled]
expression = "features.sum * 2"
[features.text]
expression = "has(features.last) ? 'features.text' : 'first'"
[features.large]
expression = "features.doubled > 50 && features.sum > 0"
[features.sum]
stream = "payments"
aggregate = "sum"
window = "10s"
[features.last]
stream = "payments"
aggregate = "max"
window = "10s"
delay = "1s"
[features.more_than_last]
expression = "payment.amount - features.last"
[streams.payments]
of = "customer"
"#;
    check(
        parts,
        AMOUNTS,
        &expect![[r#"
        80 "first" true 40 too_few_records too_few_records
        100 "features.text" true 50 40 -30
        140 "features.text" true 70 40 -20
        14 "first" false 7 too_few_records too_few_records
        200 "features.text" true 100 40 -10
        160 "features.text" true 80 30 20
        120 "first" true 60 too_few_records too_few_records
    "#]],
    );
}

#[test]
fn a_circle_of_features_is_named() {
    let problems = |parts: &str| {
        let document = format!("{POLICY}{parts}");
        let bundle = Bundle::new([("policy.toml".to_owned(), document.into_bytes())]).expect("a bundle");
        listed(&Policy::compile(&bundle).expect_err("a circle"))
    };
    expect![[r#"
        policy.toml:28:14: features.b.expression: features read each other in a circle: features.b reads features.c reads features.b
        policy.toml:32:14: features.d.expression: features read each other in a circle: features.d reads features.d
    "#]].assert_eq(&problems(
        "[features.a]\nexpression = \"features.b + 1\"\n[features.b]\nexpression = \"features.c * 2\"\n[features.c]\n\
         expression = \"features.b\"\n[features.d]\nexpression = \"features.d\"\n",
    ));
    expect![[r#"
        policy.toml:26:15: features.a.expression: 'features.b' is not declared
    "#]]
    .assert_eq(&problems("[features.a]\nexpression = \"features.b + 1\"\n[features.ab]\nexpression = \"1\"\n"));
}
