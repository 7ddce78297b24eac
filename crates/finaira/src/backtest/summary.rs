//! The results of a run, as tables for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use engine::{PaymentDecided, PaymentStatus};
use policy::{Failure, FailureCause, FeatureValue, Policy, Verdict};
use tables::Labels;
use types::{Asset, Name};

use super::output::Outcome;
use super::progress::per_second;
use super::table::{Table, percent, thousands};

/// A number of payments and their total amount.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    count: u64,
    minor: u128,
}

impl Sum {
    fn add(&mut self, decided: &PaymentDecided) {
        self.count += 1;
        self.minor = self.minor.saturating_add(decided.amount.get());
    }
}

/// Labelled payments: those that turned out to be fraud, and the legitimate ones.
#[derive(Debug, Clone, Copy, Default)]
struct Labelled {
    fraud: Sum,
    legitimate: Sum,
}

impl Labelled {
    fn add(&mut self, decided: &PaymentDecided, positive: bool) {
        if positive { self.fraud.add(decided) } else { self.legitimate.add(decided) }
    }
}

/// How often something applied, and to how many frauds.
#[derive(Debug, Clone, Copy, Default)]
struct Hits {
    payments: u64,
    labelled: u64,
    fraud: u64,
}

impl Hits {
    fn add(&mut self, positive: Option<bool>) {
        self.payments += 1;
        self.labelled += u64::from(positive.is_some());
        self.fraud += u64::from(positive == Some(true));
    }
}

/// The counts over a run.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    rows: u64,
    all: Sum,
    decisions: BTreeMap<Verdict, Sum>,
    statuses: BTreeMap<PaymentStatus, Sum>,
    refusals: BTreeMap<&'static str, u64>,
    reasons: BTreeMap<Name, Hits>,
    /// What failed, and the reason of the system that followed.
    failures: BTreeMap<(Name, String), Hits>,
    tags: BTreeMap<String, Hits>,
    missing: BTreeMap<u16, u64>,
    labelled: Labelled,
    declined: Labelled,
    stopped: Labelled,
    /// The first row that is not a payment, and what is wrong with it.
    first_error: Option<(u64, String)>,
}

impl Summary {
    /// Adds the outcome of a row.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.rows += 1;
        match &outcome.decided {
            Ok(decided) => self.add_decided(decided, outcome.positive),
            Err(error) if self.first_error.is_none() => self.first_error = Some((outcome.number, error.clone())),
            Err(_) => {}
        }
    }

    fn add_decided(&mut self, decided: &PaymentDecided, positive: Option<bool>) {
        self.all.add(decided);
        self.decisions.entry(decided.verdict).or_default().add(decided);
        self.statuses.entry(decided.status).or_default().add(decided);
        if let Some(refusal) = decided.refusal {
            *self.refusals.entry(refusal.status.name()).or_default() += 1;
        }
        for reason in &decided.reasons {
            match self.reasons.get_mut(&reason.code) {
                Some(hits) => hits.add(positive),
                None => self.reasons.entry(reason.code.clone()).or_default().add(positive),
            }
            if let Some(failure) = &reason.failure {
                self.failures.entry((reason.code.clone(), failure_kind(failure))).or_default().add(positive);
            }
        }
        for tag in &decided.tags {
            match self.tags.get_mut(tag) {
                Some(hits) => hits.add(positive),
                None => self.tags.entry(tag.clone()).or_default().add(positive),
            }
        }
        for (feature, value) in &decided.features {
            if let FeatureValue::Missing(_) = value {
                *self.missing.entry(*feature).or_default() += 1;
            }
        }
        let Some(positive) = positive else { return };
        self.labelled.add(decided, positive);
        if decided.verdict == Verdict::Decline {
            self.declined.add(decided, positive);
        }
        if decided.verdict != Verdict::Approve {
            self.stopped.add(decided, positive);
        }
    }

    /// The number of decided payments.
    pub(crate) fn decided(&self) -> u64 {
        self.all.count
    }

    /// The number of rows that are not payments.
    pub(crate) fn invalid(&self) -> u64 {
        self.rows.saturating_sub(self.all.count)
    }

    /// The number of the first such row, from 1, and what is wrong with it.
    pub(crate) fn first_error(&self) -> Option<(u64, &str)> {
        self.first_error.as_ref().map(|(number, error)| (number.saturating_add(1), error.as_str()))
    }

    /// Formats the tables.
    pub(crate) fn text(
        &self,
        policy: &Policy,
        asset: Asset,
        labels: Option<&Labels>,
        took: Duration,
        dropped: u64,
    ) -> String {
        let mut out = String::new();
        self.head(&mut out, took);
        section(&mut out, "Decisions", &self.decision_table(asset));
        section(&mut out, "Statuses", &self.status_table(asset));
        section(&mut out, "Refused by the ledger", &self.refusal_table());
        section(&mut out, "Rules and reasons", &self.reason_table(policy));
        let failures = self.failures.iter().map(|((code, what), hits)| (format!("{code}, {what}"), *hits));
        section(&mut out, "Failures", &self.hits_table("reason, and what failed", failures));
        section(&mut out, "Tags", &self.hits_table("tag", self.tags.iter().map(|(tag, hits)| (tag.as_str(), *hits))));
        if let Some(labels) = labels {
            section(&mut out, "Labels", &super::labels::table(labels));
        }
        if self.labelled.fraud.count + self.labelled.legitimate.count > 0 {
            section(&mut out, "Compared with labels", &self.label_table(asset));
        }
        section(&mut out, "Missing features", &self.missing_table(policy));
        if dropped > 0 {
            let line = format!(
                "\n{} window records were dropped because of the limits of their streams.",
                thousands(dropped.into())
            );
            out.push_str(&line);
            out.push('\n');
        }
        out
    }

    fn head(&self, out: &mut String, took: Duration) {
        let rate = thousands(per_second(self.all.count, took).into());
        let [rows, decided, invalid] =
            [self.rows, self.all.count, self.invalid()].map(|number| thousands(number.into()));
        let seconds = took.as_secs_f64();
        let line = writeln!(
            out,
            "{rows} rows: {decided} decided, {invalid} invalid, in {seconds:.1} s ({rate} payments a second)"
        );
        line.expect("writing to a string cannot fail");
        if let Some((row, error)) = self.first_error() {
            writeln!(out, "first invalid row: {row}, {error}").expect("writing to a string cannot fail");
        }
    }

    fn sum_row(&self, name: &str, sum: Sum, asset: Asset) -> Vec<String> {
        let share = percent(sum.count, self.all.count);
        vec![name.to_owned(), thousands(sum.count.into()), share, major(sum.minor, asset)]
    }

    fn decision_table(&self, asset: Asset) -> Table {
        let mut table = Table::new(["decision", "payments", "share", "amount"]);
        let named = [(Verdict::Approve, "approve"), (Verdict::Review, "review"), (Verdict::Decline, "decline")];
        for (verdict, name) in named {
            table.row(self.sum_row(name, self.decisions.get(&verdict).copied().unwrap_or_default(), asset));
        }
        table.row(self.sum_row("all", self.all, asset));
        table
    }

    fn status_table(&self, asset: Asset) -> Table {
        let mut table = Table::new(["status", "payments", "share", "amount"]);
        for (status, sum) in &self.statuses {
            table.row(self.sum_row(status.name(), *sum, asset));
        }
        table
    }

    fn refusal_table(&self) -> Table {
        let mut table = Table::new(["status", "payments"]);
        for (status, count) in &self.refusals {
            table.row(vec![(*status).to_owned(), thousands((*count).into())]);
        }
        table
    }

    /// Lists the rules in the order of the policy, including those without hits, then the reasons that the system
    /// itself gave.
    fn reason_table(&self, policy: &Policy) -> Table {
        let rules = policy.rules().iter().filter(|rule| !matches!(rule.then, policy::RuleEffect::Tag(_)));
        let rules: Vec<&Name> = rules.map(|rule| &rule.name).collect();
        let of = |name: &Name| self.reasons.get(name).copied().unwrap_or_default();
        let others = self.reasons.iter().filter(|(name, _)| !rules.contains(name));
        let others = others.map(|(name, hits)| (name.as_str(), *hits));
        self.hits_table("reason", rules.iter().map(|name| (name.as_str(), of(name))).chain(others))
    }

    fn hits_table(&self, what: &str, hits: impl Iterator<Item = (impl Into<String>, Hits)>) -> Table {
        let mut table = Table::new([what, "payments", "share", "fraud", "of labelled"]);
        for (name, hits) in hits {
            table.row(vec![
                name.into(),
                thousands(hits.payments.into()),
                percent(hits.payments, self.all.count),
                thousands(hits.fraud.into()),
                percent(hits.fraud, hits.labelled),
            ]);
        }
        table
    }

    fn label_table(&self, asset: Asset) -> Table {
        let mut table = Table::new(["", "decline", "review or decline"]);
        let found = [self.declined, self.stopped];
        let Labelled { fraud, legitimate } = self.labelled;
        let mut row = |name: &str, cell: &dyn Fn(&Labelled) -> String| {
            table.row(std::iter::once(name.to_owned()).chain(found.iter().map(cell)).collect());
        };
        row("precision", &|found| percent(found.fraud.count, found.fraud.count + found.legitimate.count));
        row("recall", &|found| percent(found.fraud.count, fraud.count));
        row("false-positive rate", &|found| percent(found.legitimate.count, legitimate.count));
        row("fraud caught", &|found| thousands(found.fraud.count.into()));
        row("fraud missed", &|found| thousands(fraud.count.saturating_sub(found.fraud.count).into()));
        row("legitimate stopped", &|found| thousands(found.legitimate.count.into()));
        row("fraud value caught", &|found| major(found.fraud.minor, asset));
        row("fraud value missed", &|found| major(fraud.minor.saturating_sub(found.fraud.minor), asset));
        table
    }

    fn missing_table(&self, policy: &Policy) -> Table {
        let mut table = Table::new(["feature", "payments", "share"]);
        for (number, count) in &self.missing {
            let name = policy.features().get(usize::from(*number)).map_or("?", |feature| feature.name.as_str());
            table.row(vec![name.to_owned(), thousands((*count).into()), percent(*count, self.all.count)]);
        }
        table
    }
}

/// A failure without what differs from payment to payment.
fn failure_kind(failure: &Failure) -> String {
    match failure.cause {
        FailureCause::NegativeAmount(_) => format!("{}: the amount is negative", failure.part),
        FailureCause::Missing(_)
        | FailureCause::Overflow
        | FailureCause::DivisionByZero
        | FailureCause::InvalidConversion
        | FailureCause::NotFound
        | FailureCause::Mistyped
        | FailureCause::NoProbability
        | FailureCause::SameAccount => failure.to_string(),
    }
}

pub(super) fn section(out: &mut String, title: &str, table: &Table) {
    if !table.is_empty() {
        out.push('\n');
        out.push_str(title);
        out.push('\n');
        table.write_to(out);
    }
}

/// Formats an amount in major units with the code of its asset.
pub(super) fn major(minor: u128, asset: Asset) -> String {
    let per_major = u128::from(asset.minor_per_major());
    let (whole, fraction) = (thousands(minor / per_major), minor % per_major);
    match usize::from(asset.scale()) {
        0 => format!("{whole} {}", asset.code()),
        scale => format!("{whole}.{fraction:0scale$} {}", asset.code()),
    }
}
