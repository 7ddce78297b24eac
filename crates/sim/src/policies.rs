//! The policies of the simulated payments, written twice: as a user writes them, and as plain conditions.

use std::sync::{Arc, OnceLock};

use engine::{ArtifactChunk, AtDeadline, Deadline, PaymentStatus};
use ledger::{AccountFlags, NewAccount};
use policy::{AttributeValue, FeatureValue, PaymentTypeIdx, Policy, Verdict};
use types::{Amount, Code, Digest, LedgerId, Span, Timestamp, Token};

/// How far a client's timestamp may lie in the future.
pub(crate) const AHEAD_MAX: Span = Span::from_secs(5);
/// How far a client's timestamp may lie in the past for the payment to count.
pub(crate) const LATE_MAX: Span = Span::from_secs(30);

/// A policy in its stored and its compiled form.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) policy: Arc<Policy>,
    pub(crate) bytes: Vec<u8>,
    is_second: bool,
}

/// A feature as the policy document defines it.
#[derive(Debug)]
pub(crate) struct Feature {
    name: &'static str,
    pub(crate) stream: &'static str,
    pub(crate) aggregate: &'static str,
    pub(crate) window: Span,
    pub(crate) delay: Span,
}

const FEATURES: [Feature; 13] = [
    Feature::of("cards_1m", "cards", "count", 60, 0),
    Feature::of("spent_10m", "cards", "sum", 600, 0),
    Feature::of("mean_10m", "tries", "mean", 600, 0),
    Feature::of("frauds_1h", "cards", "label_count", 3_600, 0),
    Feature::of("fraud_rate", "tries", "label_rate", 3_600, 20),
    Feature::of("shop_5m", "shops", "sum", 300, 0),
    Feature::of("shops_10m", "visits", "distinct", 600, 0),
    Feature::of("known_shop", "visits", "seen", 600, 0),
    Feature::of("largest_10m", "visits", "max", 600, 0),
    Feature::of("visits_5m", "regulars", "count", 300, 0),
    Feature::of("level", "level", "attribute", 0, 0),
    Feature::of("small_2m", "small", "count", 120, 0),
    Feature::of("age", "age", "attribute", 0, 0),
];

impl Feature {
    const fn of(
        name: &'static str,
        stream: &'static str,
        aggregate: &'static str,
        window_s: u64,
        delay_s: u64,
    ) -> Self {
        Self { name, stream, aggregate, window: Span::from_secs(window_s), delay: Span::from_secs(delay_s) }
    }
}

pub(crate) fn feature(name: &str) -> &'static Feature {
    FEATURES.iter().find(|feature| feature.name == name).expect("only these features are asked for")
}

/// Two versions of one policy, so that the policy can change while payments are in progress.
pub(crate) fn policies() -> &'static [Variant] {
    static POLICIES: OnceLock<Vec<Variant>> = OnceLock::new();
    POLICIES.get_or_init(|| {
        let second = DOCUMENT.replace("\"void\"", "\"capture\"").replace("> 3", "> 5");
        let second = second.replace("\"approve\"", "\"decline\"") + SECOND;
        vec![prepared(DOCUMENT, false), prepared(&second, true)]
    })
}

/// The policy with this digest.
pub(crate) fn variant(artifact: Digest) -> Option<&'static Variant> {
    policies().iter().find(|known| known.policy.digest() == artifact)
}

fn prepared(document: &str, is_second: bool) -> Variant {
    let bundle = fixtures::bundle(document);
    let policy = fixtures::compile(&bundle);
    Variant { policy, bytes: bundle.to_bytes(), is_second }
}

/// The account that a template opens. A wallet belongs to a customer.
pub(crate) fn account(template: &'static str, customer: Token) -> NewAccount {
    let ledger = LedgerId::new(978);
    let (code, holder, flags) = match template {
        "wallet" => (10, Some(customer), AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS),
        "shop" => (20, None, AccountFlags::NONE),
        _ => (30, None, AccountFlags::NONE),
    };
    let name = template.parse().expect("a template's name");
    NewAccount {
        id: engine::account_id(&name, ledger, holder),
        ledger,
        code: Code::new(code),
        user_data_128: holder.map_or(0, Token::get),
        flags,
        ..NewAccount::default()
    }
}

/// The customer and the merchant of a payment, in the order of the attributes of its type.
pub(crate) fn entities(payment_type: &str, attributes: &[Option<AttributeValue>]) -> (Token, Option<Token>) {
    let token = |place: usize| match attributes.get(place) {
        Some(Some(AttributeValue::Entity { token, .. })) => Some(*token),
        _ => None,
    };
    let places = if payment_type == "card" { (0, Some(1)) } else { (0, None) };
    (token(places.0).expect("every payment has a customer"), places.1.and_then(token))
}

impl Variant {
    pub(crate) const fn is_second(&self) -> bool {
        self.is_second
    }

    /// The stored parts of the policy. They are far smaller than necessary, so that crashes also happen while a bundle
    /// is only partly stored.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = ArtifactChunk> {
        let parts = self.bytes.chunks(900);
        let count = u32::try_from(parts.len()).expect("a small bundle has few parts");
        let artifact = self.policy.digest();
        (0..).zip(parts).map(move |(index, part)| ArtifactChunk { artifact, index, count, bytes: part.into() })
    }

    /// The name of a payment type.
    pub(crate) fn type_name(&self, idx: PaymentTypeIdx) -> &'static str {
        let name = self.policy.payment_types().get(idx.get()).map(|known| known.name.as_str());
        if name == Some("card") { "card" } else { "top_up" }
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = &'static str> {
        ["cards", "tries", "shops", "visits", "regulars"].into_iter().chain(self.is_second.then_some("small"))
    }

    /// The features of a payment type: those of all streams whose entity the payment has.
    pub(crate) fn features_of(&self, payment_type: &str) -> impl Iterator<Item = &'static str> {
        let is_card = payment_type == "card";
        let second = self.is_second;
        let has = move |feature: &&Feature| match feature.stream {
            "shops" | "regulars" => is_card,
            // Top-ups add nothing to it that could be compared.
            "visits" if feature.aggregate == "seen" => is_card,
            "small" | "age" => second,
            _ => true,
        };
        FEATURES.iter().filter(has).map(|feature| feature.name)
    }

    /// Evaluates the rules of the document in order.
    pub(crate) fn judge(
        &self,
        payment_type: &str,
        amount: Amount,
        features: &[(&'static str, FeatureValue)],
        is_blocked: bool,
    ) -> (Verdict, u16, Vec<&'static str>) {
        let int = |wanted: &str| match features.iter().find(|(name, _)| *name == wanted) {
            Some((_, FeatureValue::Int(value))) => Some(*value),
            _ => None,
        };
        let (mut verdict, mut score, mut reasons) = (Verdict::Approve, 0, Vec::new());
        let mut add = |verdict: &mut Verdict, code: &'static str, found: Verdict| {
            *verdict = (*verdict).max(found);
            if !reasons.contains(&code) {
                reasons.push(code);
            }
        };
        if payment_type == "card" {
            let (many, busy) = if self.is_second { (5, 5_000) } else { (3, 3_000) };
            let mut rules: Vec<(&'static str, Option<bool>, Verdict, u16)> = vec![
                ("many_cards", int("cards_1m").map(|count| count > many), Verdict::Review, 0),
                ("large", Some(amount.get() > 800), Verdict::Review, 0),
                ("known_fraud", int("frauds_1h").map(|count| count > 0), Verdict::Decline, 0),
                ("spender", int("spent_10m").map(|sum| sum > 2_000), Verdict::Approve, 400),
                ("busy_shop", int("shop_5m").map(|sum| sum > busy), Verdict::Approve, 300),
                ("low_level", Some(int("level").is_some_and(|level| level < 2)), Verdict::Review, 0),
            ];
            if self.is_second {
                rules.push(("many_small", int("small_2m").map(|count| count > 2), Verdict::Review, 0));
                rules.push(("blocked", Some(is_blocked), Verdict::Decline, 0));
                rules.push(("young", Some(int("age").is_some_and(|age| age < 60)), Verdict::Approve, 100));
            }
            for (code, holds, found, points) in rules {
                match holds {
                    Some(true) => {
                        add(&mut verdict, code, found);
                        score += points;
                    }
                    Some(false) => {}
                    None => add(&mut verdict, "feature_missing", Verdict::Review),
                }
            }
        }
        if score >= 700 {
            add(&mut verdict, "score_decline", Verdict::Decline);
        } else if score >= 400 {
            add(&mut verdict, "score_review", Verdict::Review);
        }
        (verdict, score, reasons)
    }

    /// What happens to the payment, and when, if nobody acts.
    pub(crate) fn deadline(&self, payment_type: &str, status: PaymentStatus, at: Timestamp) -> Option<Deadline> {
        let after = |seconds, then| Some(Deadline { at: at.saturating_add(Span::from_secs(seconds)), then });
        let (capture, review) = if self.is_second {
            (AtDeadline::Proceed, AtDeadline::Expire)
        } else {
            (AtDeadline::Expire, AtDeadline::Proceed)
        };
        match status {
            PaymentStatus::InReview if payment_type == "card" => after(60, review),
            PaymentStatus::InReview => after(45, AtDeadline::Expire),
            PaymentStatus::Held => after(90, capture),
            _ => None,
        }
    }
}

const DOCUMENT: &str = r#"
name = "simulated"

[ledgers.eur]
id = 978
asset = "EUR/2"

[entities.customer]
[entities.customer.attributes.level]
type = "int"
[entities.merchant]
personal = false

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
subject = "customer"
review_deadline = "45s"
on_review_deadline = "decline"
[payments.top_up.attributes]
customer = { type = "entity", entity = "customer" }
name = { type = "string", personal = true, required = false }
[[payments.top_up.legs]]
debit = { account = "bank" }
credit = { account = "wallet", of = "customer" }
code = 4

[payments.card]
ledger = "eur"
subject = "customer"
capture = "manual"
capture_deadline = "90s"
on_capture_deadline = "void"
review_deadline = "60s"
on_review_deadline = "approve"
occurred_at = { late_max = "30s", ahead_max = "5s" }
[payments.card.attributes]
customer = { type = "entity", entity = "customer" }
merchant = { type = "entity", entity = "merchant" }
email = { type = "string", personal = true, required = false }
[[payments.card.legs]]
debit = { account = "wallet", of = "customer" }
credit = { account = "shop" }
code = 2
[[payments.card.legs]]
debit = { account = "shop" }
credit = { account = "bank" }
amount = "payment.amount / 10"
code = 3

[decision]
review_at = 400
decline_at = 700

[streams.cards]
of = "customer"
payments = ["card"]
counts = "accepted"
clock = "decided_at"
[streams.tries]
of = "customer"
payments = ["card", "top_up"]
counts = "attempted"
clock = "decided_at"
[streams.shops]
of = "merchant"
payments = ["card"]
counts = "attempted"
clock = "occurred_at"
[streams.visits]
of = "customer"
payments = ["card"]
item = "payment.merchant"
counts = "accepted"
clock = "decided_at"
[streams.regulars]
of = ["customer", "merchant"]
payments = ["card"]
counts = "attempted"
clock = "occurred_at"

[features.cards_1m]
stream = "cards"
aggregate = "count"
window = "1m"
[features.spent_10m]
stream = "cards"
aggregate = "sum"
window = "10m"
[features.mean_10m]
stream = "tries"
aggregate = "mean"
window = "10m"
[features.frauds_1h]
stream = "cards"
aggregate = "label_count"
window = "1h"
[features.fraud_rate]
stream = "tries"
aggregate = "label_rate"
window = "1h"
delay = "20s"
[features.shop_5m]
stream = "shops"
aggregate = "sum"
window = "5m"
[features.shops_10m]
stream = "visits"
aggregate = "distinct"
window = "10m"
[features.known_shop]
stream = "visits"
aggregate = "seen"
window = "10m"
[features.largest_10m]
stream = "visits"
aggregate = "max"
window = "10m"
[features.visits_5m]
stream = "regulars"
aggregate = "count"
window = "5m"
[features.level]
of = "customer"
attribute = "level"

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
[[rules]]
name = "spender"
when = "features.spent_10m > 2000"
then = { score = 400 }
payments = ["card"]
[[rules]]
name = "busy_shop"
when = "features.shop_5m > 3000"
then = { score = 300 }
payments = ["card"]
[[rules]]
name = "low_level"
when = "has(features.level) && features.level < 2"
then = { review = true }
payments = ["card"]
"#;

/// The part that the second version adds.
const SECOND: &str = r#"
[[rules]]
name = "many_small"
when = "features.small_2m > 2"
then = { review = true }
payments = ["card"]
[[rules]]
name = "blocked"
when = "payment.customer in list('blocked')"
then = { decline = true }
payments = ["card"]

[[rules]]
name = "young"
when = "has(features.age) && features.age < 60"
then = { score = 100 }
payments = ["card"]

[entities.customer.attributes.since]
type = "timestamp"

[lists.blocked]
holds = "customer"

[streams.small]
of = "customer"
payments = ["card"]
where = "payment.amount < 300"
counts = "attempted"
clock = "decided_at"

[features.small_2m]
stream = "small"
aggregate = "count"
window = "2m"

[features.age]
of = "customer"
attribute = "since"
"#;
