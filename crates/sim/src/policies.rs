use std::sync::{Arc, OnceLock};

use engine::ArtifactChunk;
use policy::{Bundle, Policy};

/// A policy as it is stored and as it decides.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) policy: Arc<Policy>,
    pub(crate) chunks: Vec<ArtifactChunk>,
}

/// Two versions of one policy, so that it can change while payments are under way.
pub(crate) fn policies() -> &'static [Prepared] {
    static POLICIES: OnceLock<Vec<Prepared>> = OnceLock::new();
    POLICIES.get_or_init(|| {
        let first = prepared(DOCUMENT);
        let second = prepared(&DOCUMENT.replace("void", "capture").replace("> 3", "> 5"));
        vec![first, second]
    })
}

fn prepared(document: &str) -> Prepared {
    let bundle = Bundle::new([(policy::DOCUMENT.to_owned(), document.as_bytes().to_vec())]);
    let bundle = bundle.expect("the document is a bundle");
    let policy = match Policy::compile(&bundle) {
        Ok(policy) => Arc::new(policy),
        Err(problems) => panic!("the policy of the simulation compiles: {problems:?}"),
    };
    let bytes = bundle.to_bytes();
    // Parts far smaller than they need be: a bundle that is stored in part is a state worth crashing in.
    let parts: Vec<&[u8]> = bytes.chunks(700).collect();
    let count = u32::try_from(parts.len()).expect("a small bundle has few parts");
    let chunk =
        |(index, part): (u32, &&[u8])| ArtifactChunk { artifact: policy.digest(), index, count, bytes: (*part).into() };
    Prepared { chunks: (0..).zip(&parts).map(chunk).collect(), policy }
}

const DOCUMENT: &str = r#"
name = "simulated"

[ledgers.eur]
id = 978
asset = "EUR/2"

[entities.customer]

[accounts.wallet]
ledger = "eur"
code = 10
per = "customer"
flags = ["debits_must_not_exceed_credits"]
[accounts.shop]
ledger = "eur"
code = 20
[accounts.bank]
ledger = "eur"
code = 30

[payments.top_up]
ledger = "eur"
[payments.top_up.attributes]
customer = { type = "entity", entity = "customer" }
[[payments.top_up.legs]]
debit = { account = "bank" }
credit = { account = "wallet", of = "customer" }
code = 1

[payments.card]
ledger = "eur"
capture = "manual"
capture_deadline = "90s"
on_capture_deadline = "void"
review_deadline = "60s"
on_review_deadline = "approve"
[payments.card.attributes]
customer = { type = "entity", entity = "customer" }
[[payments.card.legs]]
debit = { account = "wallet", of = "customer" }
credit = { account = "shop" }
code = 2
[[payments.card.legs]]
debit = { account = "shop" }
credit = { account = "bank" }
amount = "payment.amount / 10"
code = 3

[streams.cards]
of = "customer"
payments = ["card"]

[features.cards_1m]
stream = "cards"
aggregate = "count"
window = "1m"
[features.frauds_1h]
stream = "cards"
aggregate = "label_count"
window = "1h"

[[rules]]
name = "many_cards"
when = "features.cards_1m > 3"
then = { review = true }
payments = ["card"]
[[rules]]
name = "large"
when = "payment.amount > 800"
then = { review = true }
payments = ["card"]
[[rules]]
name = "known_fraud"
when = "features.frauds_1h > 0"
then = { decline = true }
payments = ["card"]
"#;
