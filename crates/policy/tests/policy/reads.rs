//! What a policy says it reads of a payment.

use policy::{PaymentTypeIdx, Reads};

use crate::support::{bundle, compile};

const DOCUMENT: &str = r#"
name = "shop"
[ledgers.eur]
id = 978
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
[lists.blocked]
holds = "device"
[payments.card]
ledger = "eur"
subject = "customer"
[payments.card.attributes]
customer = { type = "entity", entity = "customer" }
other = { type = "entity", entity = "customer", required = false }
device = { type = "entity", entity = "device", required = false }
country = { type = "string", required = false }
email = { type = "string", personal = true, required = false }
[[payments.card.legs]]
debit = { account = "customer", of = "customer" }
credit = { account = "shop" }
code = 1
RULE
"#;

/// What is read of each attribute by a policy with this rule and stream besides its legs, which read the customer.
#[track_caller]
fn check(when: &str, stream: &str, expected: &str) {
    let rule = format!("{stream}\n[[rules]]\nname = \"rule\"\nwhen = \"{when}\"\nthen = {{ review = true }}");
    let policy = compile(&bundle(&DOCUMENT.replace("RULE", &rule)));
    let letter = |reads: Reads| match reads {
        Reads::Nothing => '-',
        Reads::Value => 'v',
        Reads::EntityText => 't',
    };
    let found: String = policy.reads(PaymentTypeIdx::new(0)).into_iter().map(letter).collect();
    assert_eq!(found, expected, "customer, other, device, country, email of {when} {stream}");
}

#[test]
fn a_token_is_enough_to_look_an_entity_up_and_to_compare_it_with_another() {
    check("payment.amount > 1", "", "v----");
    check("payment.device in list('blocked')", "", "v-v--");
    check("has(payment.other) && payment.other == payment.customer", "", "vv---");
    check("has(payment.device)", "", "v-v--");
}

#[test]
fn the_text_of_an_entity_is_read_where_it_is_compared_with_a_text() {
    check("payment.device == 'd-1'", "", "v-t--");
    check("payment.device in list('blocked') || payment.device == 'd-1'", "", "v-t--");
    check("payment.device in ['d-1', 'd-2']", "", "v-t--");
    check("string(payment.customer).startsWith('c')", "", "t----");
}

#[test]
fn values_are_read_by_rules_and_streams() {
    check("payment.country == 'NO'", "", "v--v-");
    check("has(payment.email)", "", "v---v");
    let features = "[features.count]\nstream = \"s\"\naggregate = \"count\"\nwindow = \"1h\"";
    check("features.count > 1", &format!("[streams.s]\nof = \"device\"\n{features}"), "v-v--");
    let grouped = "[streams.s]\nof = \"customer\"\ngroup = \"payment.device\"\nitem = \"payment.country\"";
    check("features.count > 1", &format!("{grouped}\n{features}"), "v-vv-");
}
