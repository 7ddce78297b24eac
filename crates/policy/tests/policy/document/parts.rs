//! Checks between the parts of a document: references, legs, subjects, deadlines, columns.

use expect_test::expect;

use policy::Policy;

use super::{BASE, check, problems};
use crate::support::{bundle, listed};

#[test]
fn references_resolve() {
    check(
        "ledger = \"usd\"",
        "ledger = \"us\"",
        &expect![[r#"
        policy.toml:19:10: accounts.vault.ledger: there is no ledger `us`; did you mean `usd`?
    "#]],
    );
    check(
        "per = \"customer\"",
        "per = \"buyer\"",
        &expect![[r#"
        policy.toml:14:7: accounts.wallet.per: there is no entity `buyer`
    "#]],
    );
    check(
        "[entities.customer]",
        "[entities.customer]\nnormalise = [\"nfc\", \"upper\"]",
        &expect![[r#"
            policy.toml:9:21: entities.customer.normalise[1]: is `upper`, expected one of trim, lowercase, nfc
        "#]],
    );
    check(
        "entity = \"card\"",
        "entity = \"cart\"",
        &expect![[r#"
        policy.toml:26:36: payments.card.attributes.card.entity: there is no entity `cart`; did you mean `card`?
    "#]],
    );
    check(
        "stream = \"spend\"",
        "stream = \"spent\"",
        &expect![[r#"
        policy.toml:45:10: features.spend_1d.stream: there is no stream `spent`; did you mean `spend`?
    "#]],
    );
    check(
        "of = \"customer\"\n",
        "of = \"merchant\"\n",
        &expect![[r#"
        policy.toml:43:6: streams.spend.of: no payment type has an entity attribute `merchant`
    "#]],
    );
    check(
        "of = \"customer\"\n",
        "of = \"card\"\npayments = [\"topup\", \"crad\"]\n",
        &expect![[r#"
        policy.toml:43:6: streams.spend.of: payment type `topup` has no entity attribute `card`
        policy.toml:44:22: streams.spend.payments[1]: there is no payment type `crad`; did you mean `card`?
    "#]],
    );
    check(
        "payment = \"topup\"",
        "payment = \"top_up\"",
        &expect![[r#"
        policy.toml:59:11: file.payment: there is no payment type `top_up`; did you mean `topup`?
    "#]],
    );
}

#[test]
fn legs_move_money_between_two_accounts_of_the_ledger() {
    check(
        "credit = { account = \"bank\" }",
        "credit = { account = \"vault\" }",
        &expect![[r#"
        policy.toml:32:22: payments.card.legs[0].credit.account: account `vault` is in another ledger than the payment type
    "#]],
    );
    check(
        "credit = { account = \"bank\" }",
        "credit = { account = \"wallet\", of = \"customer\" }",
        &expect![[r#"
        policy.toml:30:1: payments.card.legs[0]: debit and credit are the same account, expected two different ones
    "#]],
    );
    check(
        "credit = { account = \"bank\" }",
        "credit = { account = \"wallet\" }",
        &expect![[r#"
        policy.toml:32:22: payments.card.legs[0].credit.account: `of` is missing: there is one account `wallet` per entity
    "#]],
    );
    check(
        "credit = { account = \"bank\" }",
        "credit = { account = \"bank\", of = \"customer\" }",
        &expect![[r#"
        policy.toml:32:35: payments.card.legs[0].credit.of: account `bank` is a single account, expected no `of`
    "#]],
    );
    check(
        "credit = { account = \"bank\" }",
        "credit = { account = \"wallet\", of = \"card\" }",
        &expect![[r#"
        policy.toml:32:37: payments.card.legs[0].credit.of: `card` is not an attribute of entity `customer`, for each value of which there is one account `wallet`
        policy.toml:32:37: payments.card.legs[0].credit.of: `card` is optional, but a leg needs a required attribute
    "#]],
    );
    check(
        "credit = { account = \"bank\" }",
        "credit = { attribute = \"country\" }",
        &expect![[r#"
        policy.toml:32:24: payments.card.legs[0].credit.attribute: is not an account attribute, expected one of type "account"
    "#]],
    );
    check(
        "credit = { account = \"bank\" }",
        "credit = {}",
        &expect![[r#"
        policy.toml:32:10: payments.card.legs[0].credit: does not name exactly one account, expected `account`, `account` with `of`, or `attribute` alone
    "#]],
    );
    check(
        "code = 1\n",
        "code = 1\namount = \"double(payment.amount)\"\n",
        &expect![[r#"
        policy.toml:34:11: payments.card.legs[0].amount: expected int, found double
    "#]],
    );
    let legs = "[[payments.topup.legs]]\ndebit = { account = \"bank\" }\ncredit = { account = \"wallet\", of = \"customer\" }\ncode = 2\n";
    check(
        legs,
        "",
        &expect![[r#"
        policy.toml:34:1: payments.topup: there is no leg, expected at least one `[[payments.topup.legs]]`
    "#]],
    );
}

#[test]
fn the_subject_has_an_erasable_key() {
    check(
        "subject = \"customer\"",
        "subject = \"card\"",
        &expect![[r#"
        policy.toml:23:11: payments.card.subject: is `card`, expected a required attribute of a personal entity
    "#]],
    );
    check(
        "subject = \"customer\"",
        "subject = \"country\"",
        &expect![[r#"
        policy.toml:23:11: payments.card.subject: is `country`, expected a required attribute of a personal entity
    "#]],
    );
    check(
        "subject = \"customer\"\n",
        "",
        &expect![[r#"
        policy.toml:21:1: payments.card: `subject` is missing, but its key must seal the personal attribute `phone`
    "#]],
    );
    check(
        "required = false }\ncountry",
        "personal = true }\ncountry",
        &expect![[r#"
        policy.toml:26:55: payments.card.attributes.card.personal: is true, expected false: values of entities and accounts are already opaque
    "#]],
    );
}

#[test]
fn deadlines_and_windows_are_bounded() {
    check(
        "subject = \"customer\"",
        "subject = \"customer\"\ncapture = \"manual\"",
        &expect![[r#"
        policy.toml:21:1: payments.card: `capture_deadline` is missing
    "#]],
    );
    check(
        "subject = \"customer\"",
        "subject = \"customer\"\ncapture_deadline = \"7d\"",
        &expect![[r#"
        policy.toml:24:20: payments.card.capture_deadline: has no effect without `capture = "manual"`
    "#]],
    );
    check(
        "subject = \"customer\"",
        "subject = \"customer\"\nreview_deadline = \"0s\"",
        &expect![[r#"
        policy.toml:24:19: payments.card.review_deadline: is 0s, expected a span of time from 1ns to 400d
    "#]],
    );
    check(
        "subject = \"customer\"",
        "subject = \"customer\"\noccurred_at = { late_max = \"401d\" }",
        &expect![[r#"
        policy.toml:24:15: payments.card.occurred_at: `ahead_max` is missing
        policy.toml:24:28: payments.card.occurred_at.late_max: is 401d, expected a span of time from 0s to 400d
    "#]],
    );
    check(
        "window = \"1d\"",
        "window = \"0s\"",
        &expect![[r#"
        policy.toml:47:10: features.spend_1d.window: is 0s, expected a span of time from 1ns to 400d
    "#]],
    );
    check(
        "window = \"1d\"",
        "window = \"400d\"\ndelay = \"1ns\"",
        &expect![[r#"
        policy.toml:48:9: features.spend_1d.delay: window and delay are 34560000000000001ns together, at most 400d are allowed
    "#]],
    );
    check(
        "window = \"1d\"",
        "window = \"1 day\"",
        &expect![[r#"
        policy.toml:47:10: features.spend_1d.window: `1 day` is not a span of time such as "30d", "90m" or "250ms" (units d h m s ms us ns)
    "#]],
    );
}

#[test]
fn a_file_has_a_delimiter_and_a_decimal_mark() {
    let file = |more: &str| BASE.replacen("[file]", &format!("[file]\n{more}"), 1);
    for (written, delimiter) in
        [("", b','), ("';'", b';'), ("'tab'", b'\t'), ("\"\\t\"", b'\t'), ("'|'", b'|'), ("' '", b' ')]
    {
        let more = if written.is_empty() { String::new() } else { format!("delimiter = {written}") };
        let policy = Policy::compile(&bundle(&file(&more))).unwrap();
        assert_eq!(policy.file_mapping().unwrap().delimiter, delimiter, "{written}");
    }
    let policy = Policy::compile(&bundle(&file("decimal = ','"))).unwrap();
    assert_eq!(policy.file_mapping().unwrap().decimal, policy::DecimalMark::Comma);
    for (more, problem) in [
        ("delimiter = ''", "delimiter: is ``, expected a space, a punctuation mark other than `\"`, or tab"),
        ("delimiter = ';;'", "delimiter: is `;;`, expected a space, a punctuation mark other than `\"`, or tab"),
        ("delimiter = '\"'", "delimiter: is `\"`, expected a space, a punctuation mark other than `\"`, or tab"),
        ("delimiter = 'a'", "delimiter: is `a`, expected a space, a punctuation mark other than `\"`, or tab"),
        ("decimal = ';'", "decimal: is `;`, expected one of ., ,"),
    ] {
        let found = listed(&problems(&file(more)));
        assert!(found.contains(&format!(": file.{problem}")), "{found}");
    }
}

#[test]
fn a_file_has_columns_for_what_is_required() {
    check(
        "customer = \"CUSTOMER\"\n",
        "",
        &expect![[r#"
        policy.toml:58:1: file: the required attribute `customer` has no column, expected one under `[file.attributes]`
    "#]],
    );
    check(
        "customer = \"CUSTOMER\"\n",
        "customer = \"CUSTOMER\"\ncountry = \"C\"\n",
        &expect![[r#"
        policy.toml:65:1: file.attributes.country: payment type `topup` has no such attribute
    "#]],
    );
    check(
        "unit = \"minor\"",
        "unit = \"cents\"",
        &expect![[r#"
        policy.toml:62:38: file.amount.unit: is `cents`, expected one of major, minor
    "#]],
    );
    check(
        "time = \"TIME\"",
        "label = { column = \"FRAUD\" }",
        &expect![[r#"
        policy.toml:58:1: file: `time` is missing
        policy.toml:61:9: file.label: `positive` is missing or empty, expected a list of label values
    "#]],
    );
}
