//! What the accessors return for the example in the documentation.

use expect_test::expect;
use policy::{Attribute, FeatureSource, Policy};

use crate::support::{EXAMPLE, bundle, compile};

#[test]
fn a_payment_type_says_what_its_payments_carry_and_do() {
    let policy = compile(&bundle(EXAMPLE));
    let (idx, card) = policy.payment_type("card").unwrap();
    assert_eq!((policy.name().as_str(), idx.get(), card.name.as_str()), ("retail", 0, "card"));
    let attributes = card.attributes.iter().map(|attribute| {
        let Attribute { name, kind, required, personal } = attribute;
        format!("{name} {kind:?} required={required} personal={personal}\n")
    });
    expect![[r#"
        customer Entity(EntityIdx(0)) required=true personal=false
        card Entity(EntityIdx(1)) required=true personal=false
        merchant Entity(EntityIdx(3)) required=true personal=false
        device Entity(EntityIdx(2)) required=false personal=false
        country Text { chars_max: 2 } required=true personal=false
        email Text { chars_max: 256 } required=false personal=true
        risk Double required=false personal=false
    "#]]
    .assert_eq(&attributes.collect::<String>());
    expect![[r#"
        Manual { deadline: Span(604800000000000), on_deadline: Void }
        Review { deadline: Span(86400000000000), on_deadline: Decline }
        Some(OccurredAt { late_max: Span(300000000000), ahead_max: Span(60000000000) })
    "#]]
    .assert_eq(&format!("{:?}\n{:?}\n{:?}\n", card.capture, card.review, card.occurred_at));
    expect![[r#"
        Leg { debit: Of(AccountTemplateIdx(0), AttributeIdx(0)), credit: Single(AccountTemplateIdx(1)), amount: "payment.amount", code: Code(1) }
    "#]].assert_eq(&card.legs.iter().map(|leg| format!("{leg:?}\n")).collect::<String>());
    expect![[r#"
        AccountTemplate { name: Name("wallet"), ledger: LedgerIdx(0), code: Code(10), flags: AccountFlagsSpec { debits_must_not_exceed_credits: true, credits_must_not_exceed_debits: false, history: false }, per: Some(EntityIdx(0)), open_on_first_use: true }
        AccountTemplate { name: Name("settlement"), ledger: LedgerIdx(0), code: Code(20), flags: AccountFlagsSpec { debits_must_not_exceed_credits: false, credits_must_not_exceed_debits: false, history: false }, per: None, open_on_first_use: true }
    "#]].assert_eq(&policy.accounts().iter().map(|account| format!("{account:?}\n")).collect::<String>());
}

#[test]
fn a_file_mapping_names_columns() {
    let policy = compile(&bundle(EXAMPLE));
    expect![[r#"FileMapping { payment: PaymentTypeIdx(0), id: "TRANSACTION_ID", time: "TX_DATETIME", amount: "TX_AMOUNT", amount_unit: Major, label: Some(LabelColumn { column: "TX_FRAUD", positive: ["1"], delay: Span(604800000000000) }), attributes: [(AttributeIdx(0), "CUSTOMER_ID"), (AttributeIdx(1), "CARD_ID"), (AttributeIdx(2), "TERMINAL_ID"), (AttributeIdx(4), "COUNTRY")], delimiter: 44, decimal: Point }"#]].assert_eq(&format!("{:?}", policy.file_mapping().unwrap()));
    assert!(policy.is_positive_label("chargeback") && !policy.is_positive_label("legitimate"));
}

#[test]
fn features_know_their_types_and_payment_types() {
    let policy = compile(&bundle(EXAMPLE));
    let features = policy.features().iter().map(|feature| {
        let payments: Vec<_> =
            feature.payments.iter().map(|payment| policy.payment_types()[payment.get()].name.as_str()).collect();
        let source = match &feature.source {
            FeatureSource::Aggregate { stream, aggregate, window } => format!(
                "{aggregate:?} of {} over {} delayed {}",
                policy.streams()[stream.get()].name,
                window.length,
                window.delay
            ),
            FeatureSource::Expression(source) => source.clone(),
            FeatureSource::Attribute { of, entity, attribute } => {
                let entity = &policy.entities()[entity.get()];
                format!("{} of {of}, which is a {}", entity.attributes[attribute.get()].name, entity.name)
            }
        };
        format!("{} {} {payments:?} {source}\n", feature.name, feature.ty.as_str())
    });
    expect![[r#"
        customer_spend_1d int ["card", "transfer"] Sum of spend_by_customer over 1d delayed 0s
        customer_count_1h int ["card", "transfer"] Count of spend_by_customer over 1h delayed 0s
        merchant_risk_7d double ["card"] LabelRate of card_by_merchant over 7d delayed 7d
        at_night bool ["card"] payment.occurred_at.getHours() < 6
        kyc_level int ["card", "transfer"] kyc_level of customer, which is a customer
        account_age int ["card"] opened_at of customer, which is a customer
    "#]]
    .assert_eq(&features.collect::<String>());
}

#[test]
fn a_stream_keeps_what_its_features_reach() {
    let policy = compile(&bundle(EXAMPLE));
    let retentions = policy.streams().iter().map(|stream| format!("{} {}\n", stream.name, stream.retention));
    expect![[r#"
        spend_by_customer 1d
        card_by_merchant 14d
    "#]]
    .assert_eq(&retentions.collect::<String>());
}

fn key(document: &str) -> types::Digest {
    compile(&bundle(document)).streams().first().expect("a stream").key
}

#[test]
fn an_unchanged_stream_keeps_its_key() {
    let same = [
        ("window = \"1d\"", "window = \"30d\""),
        ("records_max = 4096", "records_max = 9"),
        ("payments = [\"card\", \"transfer\"]", "payments = [\"transfer\", \"card\", \"card\"]"),
        ("A wallet and card shop", "Another"),
    ];
    for (from, to) in same {
        assert_eq!(key(&changed(from, to)), key(EXAMPLE), "{from} -> {to}");
    }
    let place = |heading: &str| EXAMPLE.find(heading).unwrap();
    let (card, transfer, streams) = (place("[payments.card]"), place("[payments.transfer]"), place("[streams"));
    let swapped =
        [&EXAMPLE[..card], &EXAMPLE[transfer..streams], &EXAMPLE[card..transfer], &EXAMPLE[streams..]].concat();
    assert_eq!(key(&swapped), key(EXAMPLE));
    let other = [
        ("\"payment.amount > 0\"", "\"payment.amount > 1\""),
        ("[entities.customer]", "[entities.customer]\nnormalise = [\"nfc\"]"),
        ("counts = \"accepted\"", "counts = \"attempted\""),
        ("clock = \"decided_at\"", "clock = \"occurred_at\""),
        ("payments = [\"card\", \"transfer\"]", "payments = [\"transfer\"]"),
        ("value = \"payment.amount\" ", "value = \"payment.amount + 1\" "),
        ("spend_by_customer", "spending_by_customer"),
        ("personal = true                   # the", "personal = false                  # the"),
    ];
    for (from, to) in other {
        let document =
            changed(from, to).replace("subject = \"customer\"", "").replace("personal = true, required", "required");
        let unchanged = EXAMPLE.replace("subject = \"customer\"", "").replace("personal = true, required", "required");
        assert_ne!(key(&document), key(&unchanged), "{from} -> {to}");
    }
}

fn changed(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "{from}");
    EXAMPLE.replace(from, to)
}

#[test]
fn a_policy_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Policy>();
}
