//! `finaira bench rules`: what the rules of a policy cost a decision.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use engine::{NewPayment, PaymentDecided};
use policy::{AttributeValue, Bundle, DOCUMENT, Policy};
use serde_json::json;
use server::Stopwatch;
use types::{Amount, Digest, PaymentId, Span, Timestamp, Token};

use super::tokens::processor;
use crate::backtest::replay::Replay;
use crate::backtest::table::thousands;
use crate::stdio::outln;

const RULES: usize = 100;
/// Payments that fill the windows before anything is measured, for each payment of a pass.
const HISTORY: u64 = 5;
const CUSTOMERS: u64 = 2_000;
/// How often all payments are measured. The median counts.
const PASSES: u64 = 5;
/// 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp::from_ns(1_767_225_600_000_000_000);
/// The time from one payment to the next.
const STEP: Span = Span::from_secs(37);

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// Number of different payments
    #[arg(long, value_name = "PAYMENTS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    count: u64,
    /// Print one JSON object on the last line
    #[arg(long)]
    json: bool,
}

/// Nanoseconds for one decision.
struct Cost {
    with_rules_ns: u64,
    without_rules_ns: u64,
    /// How many rules matched a payment on average, in thousandths.
    matches_milli: u64,
}

pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    let Cost { with_rules_ns, without_rules_ns, matches_milli } = measure(settings.count)?;
    let rules_ns = with_rules_ns.saturating_sub(without_rules_ns);
    let (processor, count) = (processor(), settings.count);
    outln!(
        "{processor}, one thread, {RULES} rules over 20 features, {} different payments of {} customers",
        thousands(count.into()),
        thousands(CUSTOMERS.into())
    )?;
    outln!("  a decision with the rules     {:>8} ns", thousands(with_rules_ns.into()))?;
    outln!("  the same without rules        {:>8} ns", thousands(without_rules_ns.into()))?;
    outln!("  so the rules take             {:>8} ns", thousands(rules_ns.into()))?;
    outln!("A decision is all that the engine does: features, rules, legs, balances and windows, but not the log.")?;
    if settings.json {
        let figures = json!({
            "processor": processor, "rules": RULES, "payments": count, "with_rules_ns": with_rules_ns,
            "without_rules_ns": without_rules_ns, "rules_ns": rules_ns, "matches_milli": matches_milli,
        });
        outln!("{figures}")?;
    }
    Ok(())
}

fn measure(count: u64) -> anyhow::Result<Cost> {
    let (mut with, mut without) = (Bench::new(&document(RULES))?, Bench::new(&document(0))?);
    let history = count * HISTORY;
    for number in 0..history {
        with.decide(number)?;
        without.decide(number)?;
    }
    let (mut with_ns, mut without_ns, mut matches) = (Vec::new(), Vec::new(), 0);
    for pass in 0..PASSES {
        let first = history + pass * count;
        matches += with.pass(first, count, &mut with_ns)?;
        let matches_without = without.pass(first, count, &mut without_ns)?;
        ensure!(matches_without == 0, "a policy without rules gives no reasons");
    }
    ensure!(matches > 0, "no rule matched any payment");
    Ok(Cost {
        with_rules_ns: median(with_ns),
        without_rules_ns: median(without_ns),
        matches_milli: matches * 1000 / (count * PASSES),
    })
}

fn median(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// An engine with a policy.
struct Bench {
    replay: Replay,
    policy: Arc<Policy>,
}

impl Bench {
    fn new(document: &str) -> anyhow::Result<Self> {
        let bundle = Bundle::new(BTreeMap::from([(DOCUMENT.to_owned(), document.as_bytes().to_vec())]))?;
        let policy = Policy::compile(&bundle);
        let policy = policy.map_err(|problems| {
            let problem = problems.first().map(ToString::to_string).unwrap_or_default();
            anyhow::anyhow!("the policy of the benchmark is not valid: {problem}")
        })?;
        let policy = Arc::new(policy);
        let replay = Replay::new(&bundle, &policy, Vec::new(), ("fraud".parse()?, Span::from_secs(1)))?;
        Ok(Self { replay, policy })
    }

    fn payment(&self, number: u64) -> anyhow::Result<NewPayment> {
        let payment_type = self.policy.payment_types().first().context("the policy has a payment type")?;
        let random = scattered(number);
        let entity = |kind: u64, key: u64| AttributeValue::Entity {
            token: Token::new(u128::from(kind) << 64 | u128::from(key)),
            text: format!("{kind}-{key}").into(),
        };
        let pick = |choices: &[&str], shift: u32| {
            let index = usize::try_from(random >> shift).unwrap_or_default() % choices.len();
            AttributeValue::Text(choices.get(index).copied().unwrap_or_default().into())
        };
        let customer = random % CUSTOMERS;
        let values = [
            ("customer", Some(entity(1, customer))),
            ("device", (!random.is_multiple_of(7)).then(|| entity(2, customer * 2 + random / 11 % 2))),
            ("merchant", Some(entity(3, random / 13 % 500))),
            ("country", Some(pick(&["NO", "SE", "DK", "FI", "DE", "GB", "US", "NG", "BR", "JP"], 7))),
            ("channel", Some(pick(&["app/ios", "app/android", "web", "terminal", "phone"], 19))),
            ("email", Some(pick(&["ann.berg@mail.example", "x1937@throwaway.test", "info@shop.example"], 29))),
            ("risk", AttributeValue::double(f64::from(u32::try_from(random % 1000)?) / 1000.0)),
        ];
        let value = |name: &str| values.iter().find(|(known, _)| *known == name).and_then(|(_, value)| value.clone());
        Ok(NewPayment {
            payment: PaymentId::new(u128::from(number) + 1),
            content: Digest::of(&number.to_le_bytes()),
            policy: self.policy.digest(),
            payment_type: self.policy.payment_type("card").context("the policy has cards")?.0,
            amount: Amount::new(u128::from(100 + random % 100_000)),
            occurred_at: None,
            attributes: payment_type.attributes.iter().map(|attribute| value(attribute.name.as_str())).collect(),
            sealed: None,
        })
    }

    fn decide(&mut self, number: u64) -> anyhow::Result<Arc<PaymentDecided>> {
        let payment = self.payment(number)?;
        self.decide_made(number, payment)
    }

    fn decide_made(&mut self, number: u64, payment: NewPayment) -> anyhow::Result<Arc<PaymentDecided>> {
        let at = START.saturating_add(Span::from_ns(number * STEP.ns()));
        self.replay.decide(at, payment, false).map_err(|why| anyhow::anyhow!("a payment is refused: {why}"))
    }

    /// Decides payments that nobody has seen, and adds the nanoseconds for one. Returns how many reasons they got.
    fn pass(&mut self, first: u64, count: u64, took_ns: &mut Vec<u64>) -> anyhow::Result<u64> {
        let payments = (first..first + count).map(|number| self.payment(number)).collect::<Result<Vec<_>, _>>()?;
        let mut reasons = 0;
        let stopwatch = Stopwatch::start();
        for (number, payment) in (first..).zip(payments) {
            reasons += self.decide_made(number, payment)?.reasons.len();
        }
        took_ns.push(u64::try_from(stopwatch.elapsed().as_nanos())? / count);
        Ok(u64::try_from(reasons)?)
    }
}

/// A number that looks random: SplitMix64.
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A policy with 20 features, and as many rules of ten kinds as are asked for. No two rules are the same.
fn document(rules: usize) -> String {
    let mut text = String::from(
        r#"name = "bench"
[ledgers.eur]
id = 978
asset = "EUR/2"
[entities.customer]
[entities.device]
[entities.merchant]
personal = false
[accounts.wallet]
ledger = "eur"
code = 10
per = "customer"
[accounts.shop]
ledger = "eur"
code = 20
per = "merchant"
[payments.card]
ledger = "eur"
[payments.card.attributes]
customer = { type = "entity", entity = "customer" }
device   = { type = "entity", entity = "device", required = false }
merchant = { type = "entity", entity = "merchant" }
country  = { type = "string" }
channel  = { type = "string" }
email    = { type = "string" }
risk     = { type = "double", required = false }
[[payments.card.legs]]
debit  = { account = "wallet", of = "customer" }
credit = { account = "shop", of = "merchant" }
code   = 1
"#,
    );
    for entity in ["customer", "device", "merchant"] {
        writeln!(text, "[streams.{entity}s]\nof = \"{entity}\"\ncounts = \"attempted\"").expect(WRITTEN);
        let features = match entity {
            "customer" => {
                vec!["count 1h", "count 1d", "count 7d", "count 30d", "sum 1h", "sum 1d", "sum 7d", "mean 30d"]
            }
            "device" => vec!["count 1h", "count 1d", "count 7d", "sum 1d", "mean 7d"],
            _ => vec!["count 1h", "count 1d", "sum 1d", "mean 7d", "label_rate 30d"],
        };
        for feature in features {
            let (aggregate, window) = feature.split_once(' ').unwrap_or((feature, "1d"));
            writeln!(
                text,
                "[features.{entity}_{aggregate}_{window}]\nstream = \"{entity}s\"\naggregate = \"{aggregate}\"\nwindow = \"{window}\""
            )
            .expect(WRITTEN);
        }
    }
    text.push_str("[features.night]\nexpression = \"payment.decided_at.getHours('Europe/Berlin') < 6\"\n");
    text.push_str("[features.local]\nexpression = \"payment.country in ['NO', 'SE', 'DK', 'FI']\"\n");
    for number in 0..rules {
        let (kind, nth) = (number % 10, number / 10);
        let when = match kind {
            0 => format!("features.customer_count_1h > {} && payment.amount > {}", nth + 3, 90_000 - nth * 1000),
            1 => format!(
                "payment.country in ['NG', 'BR', 'X{nth}'] && features.customer_sum_1d > {}",
                1_000_000 + nth * 10_000
            ),
            2 => format!("features.night && payment.decided_at.getMinutes() == {nth} && !features.local"),
            3 => format!("double(payment.amount) > features.customer_mean_30d * {}.5", nth + 4),
            4 => format!("payment.email.matches('^[a-z]+[0-9]{{{},}}@throwaway[.]test$')", nth + 4),
            5 => format!(
                "[features.customer_count_1d, features.customer_count_7d, features.merchant_count_1h].exists(n, n > {})",
                60 + nth * 5
            ),
            6 => format!("payment.channel.startsWith('app/') && payment.risk > 0.9{nth} && has(payment.device)"),
            7 => format!("payment.amount % {} == 0 && features.merchant_count_1d >= {}", 1000 + nth, nth + 1),
            8 => format!(
                "has(payment.device) ? features.customer_sum_7d > {} : features.merchant_label_rate_30d > 0.{nth}1",
                3_000_000 + nth * 1000
            ),
            _ => format!("payment.country + '/' + payment.channel == 'NG/web' && payment.amount > {}", 50_000 + nth),
        };
        let effect = if kind == 4 { "tag = \"throwaway\"".to_owned() } else { format!("score = {}", nth + 1) };
        writeln!(text, "[[rules]]\nname = \"rule_{number}\"\nwhen = \"{when}\"\nthen = {{ {effect} }}").expect(WRITTEN);
    }
    text
}

const WRITTEN: &str = "writing to a string cannot fail";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_has_what_the_benchmark_says() {
        let bench = Bench::new(&document(RULES)).expect("the policy is valid");
        assert_eq!((bench.policy.features().len(), bench.policy.rules().len()), (20, RULES));
    }
}
