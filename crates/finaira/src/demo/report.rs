//! The results of the month, for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::client::{Status, TrialBalance};
use super::run::{Fate, Retries};
use super::simulator::{BURST_LIMIT, Month, Pattern, Payment};
use super::staff::Actors;
use super::town::DAYS;

/// The data for the report.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) month: &'a Month,
    /// One per payment of the month.
    pub(super) fates: Vec<Fate>,
    pub(super) retries: Retries,
    /// The error code for a changed request with a used id.
    pub(super) changed_code: String,
    pub(super) books: TrialBalance,
    pub(super) actors: Actors,
    pub(super) elapsed: Duration,
}

/// A number of payments and their total amount in cents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    cents: u64,
}

impl Sum {
    fn of<'p>(payments: impl Iterator<Item = &'p Payment>) -> Self {
        payments.fold(Self::default(), |sum, payment| Self { count: sum.count + 1, cents: sum.cents + payment.cents })
    }
}

/// How a payment ended for its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Approved,
    ReviewedApproved,
    ReviewedDeclined,
    Declined,
    NoFunds,
}

impl End {
    const fn of(fate: Fate) -> Option<Self> {
        let Fate::Decided { first, now, .. } = fate else { return None };
        Some(match (first, now) {
            (Status::Refused, _) => Self::NoFunds,
            (Status::InReview, Status::Declined | Status::InReview) => Self::ReviewedDeclined,
            (Status::InReview, _) => Self::ReviewedApproved,
            (Status::Declined, _) => Self::Declined,
            (_, _) => Self::Approved,
        })
    }
}

impl Report<'_> {
    /// Every payment that was tried, with how it ended.
    fn ends(&self) -> impl Iterator<Item = (&Payment, End)> {
        let payments = self.month.payments.iter().zip(&self.fates);
        payments.filter_map(|(payment, fate)| Some((payment, End::of(*fate)?)))
    }

    /// Formats the whole report, at most 100 columns wide.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let parts =
            [self.outcomes(), self.frauds(), self.false_alarms(), self.guarantees(), self.who_acted(), self.speed()];
        for part in parts {
            out.push('\n');
            out.push_str(&part);
        }
        out
    }

    /// Checks that debits equal credits, and that every retry got the same response.
    pub(super) fn sound(&self) -> Result<(), String> {
        let TrialBalance { debits_posted, credits_posted, debits_pending, credits_pending, .. } = self.books;
        if (debits_posted, debits_pending) != (credits_posted, credits_pending) {
            return Err(format!("the books do not balance: {:?}", self.books));
        }
        if self.retries.same != self.retries.sent {
            return Err(format!("only {} of {} retries got the same response", self.retries.same, self.retries.sent));
        }
        if self.changed_code != "payment_exists_with_different_content" {
            return Err(format!("a changed request with a used id was refused with `{}`", self.changed_code));
        }
        Ok(())
    }

    /// The stopped fraud with the most reasons.
    pub(super) fn caught(&self) -> Option<&Payment> {
        let reasons = |fate: Fate| match (fate, End::of(fate)) {
            (Fate::Decided { reasons, .. }, Some(End::Declined | End::ReviewedDeclined)) => Some(reasons),
            (_, _) => None,
        };
        let frauds = self.month.payments.iter().zip(&self.fates).filter(|(payment, _)| payment.fraud.is_some());
        let caught = frauds.filter_map(|(payment, fate)| Some((payment, reasons(*fate)?)));
        caught.max_by_key(|(_, reasons)| *reasons).map(|(payment, _)| payment)
    }

    fn outcomes(&self) -> String {
        let rows = [
            ("approved at once", End::Approved),
            ("reviewed, then approved", End::ReviewedApproved),
            ("reviewed, then declined", End::ReviewedDeclined),
            ("declined at once", End::Declined),
            ("refused, not enough money", End::NoFunds),
        ];
        let mut out = format!("{:<30}{:>10}{:>20}\n", "OUTCOMES", "payments", "EUR");
        let mut line = |name: &str, sum: Sum| {
            writeln!(out, "{name:<30}{:>10}{:>20}", grouped(sum.count), money(sum.cents)).unwrap_or_default();
        };
        for (name, end) in rows {
            line(name, Sum::of(self.ends().filter(|(_, found)| *found == end).map(|(payment, _)| payment)));
        }
        line("all", Sum::of(self.ends().map(|(payment, _)| payment)));
        let posted = self.month.payments.iter().zip(&self.fates).filter(|(_, fate)| fate.now() == Some(Status::Posted));
        line("posted in the end", Sum::of(posted.map(|(payment, _)| payment)));
        out
    }

    fn frauds(&self) -> String {
        let mut out = format!(
            "{:<22}{:>7}{:>10}{:>11}{:>10}{:>8}{:>14}{:>14}\n",
            "FRAUD", "tried", "declined", "in review", "no funds", "missed", "EUR saved", "EUR lost"
        );
        let mut line = |name: &str, of: &dyn Fn(&Payment) -> bool| {
            let count = |wanted: &[End]| {
                let found = self.ends().filter(|(payment, end)| of(payment) && wanted.contains(end));
                grouped(found.count() as u64)
            };
            let numbered = || self.month.payments.iter().zip(&self.fates).enumerate();
            let money_of = |missed: bool| {
                let ended = numbered().filter(|(number, (payment, fate))| {
                    End::of(**fate).is_some_and(|end| is_missed(end) == missed)
                        && of(payment)
                        && !self.carried_on(*number)
                });
                money(Sum::of(ended.map(|(_, (payment, _))| payment)).cents)
            };
            writeln!(
                out,
                "{name:<22}{:>7}{:>10}{:>11}{:>10}{:>8}{:>14}{:>14}",
                grouped(self.ends().filter(|(payment, _)| of(payment)).count() as u64),
                count(&[End::Declined]),
                count(&[End::ReviewedDeclined]),
                count(&[End::NoFunds]),
                count(&[End::Approved, End::ReviewedApproved]),
                money_of(false),
                money_of(true),
            )
            .unwrap_or_default();
        };
        for pattern in Pattern::ALL {
            line(pattern.name(), &|payment| payment.fraud == Some(pattern));
        }
        line("all", &|payment| payment.fraud.is_some());
        let untried = self.month.payments.iter().zip(&self.fates);
        let untried =
            untried.filter(|(payment, fate)| payment.fraud == Some(Pattern::CardTesting) && **fate == Fate::GivenUp);
        let untried = Sum::of(untried.map(|(payment, _)| payment));
        writeln!(
            out,
            "Money that moved on to another wallet counts where it ended. {} large payments with tested cards,\n\
             EUR {}, were never tried because the test payments had failed.",
            grouped(untried.count),
            money(untried.cents)
        )
        .unwrap_or_default();
        out
    }

    /// Whether a later payment of the same fraud passed the money on.
    fn carried_on(&self, number: usize) -> bool {
        let Some(fate) = self.fates.get(number) else { return false };
        let through = matches!(fate.now(), Some(Status::Posted | Status::Held));
        let chain = self.month.payments.get(number).and_then(|payment| payment.fraud) == Some(Pattern::MuleChain);
        through
            && chain
            && self.month.payments.iter().zip(&self.fates).any(|(payment, fate)| {
                payment.after.is_some_and(|after| after.payment == number) && *fate != Fate::GivenUp
            })
    }

    fn false_alarms(&self) -> String {
        let month = self.month.payments.len() - self.month.burst.len();
        let ordinary = || {
            let payments = self.month.payments.iter().zip(&self.fates).take(month);
            payments.filter(|(payment, _)| payment.fraud.is_none()).filter_map(|(_, fate)| End::of(*fate))
        };
        let count = |wanted: End| ordinary().filter(|end| *end == wanted).count() as u64;
        let all = ordinary().count() as u64;
        let (declined, approved, refused) =
            (count(End::Declined), count(End::ReviewedApproved), count(End::ReviewedDeclined));
        let alarms = declined + approved + refused;
        let permille = (alarms * 1_000).checked_div(all).unwrap_or_default();
        format!(
            "FALSE ALARMS\n{} of {} ordinary payments, {}.{} %: {} declined at once; of {} reviewed, {} then approved.\n",
            grouped(alarms),
            grouped(all),
            permille / 10,
            permille % 10,
            grouped(declined),
            grouped(approved + refused),
            grouped(approved),
        )
    }

    fn guarantees(&self) -> String {
        let TrialBalance { accounts, debits_posted, credits_posted, debits_pending, credits_pending } = self.books;
        let difference = |debits: u64, credits: u64| money(debits.abs_diff(credits));
        let mut out = format!("{:<30}{:>20}{:>20}{:>14}\n", "BOOKS, ledger 978", "debits", "credits", "difference");
        for (name, debits, credits) in
            [("posted", debits_posted, credits_posted), ("held", debits_pending, credits_pending)]
        {
            let (debits, credits, difference) = (money(debits), money(credits), difference(debits, credits));
            writeln!(out, "{name:<30}{debits:>20}{credits:>20}{difference:>14}").unwrap_or_default();
        }
        writeln!(out, "{} accounts.\n\nGUARANTEES", grouped(accounts)).unwrap_or_default();
        let Retries { sent, same } = self.retries;
        writeln!(
            out,
            "Retries: {sent} payments were sent twice, and {same} got the identical response. A request with a used id"
        )
        .unwrap_or_default();
        writeln!(out, "and another amount was refused: {}.", self.changed_code).unwrap_or_default();
        let burst = self.fates.iter().rev().take(self.month.burst.len());
        let declined = burst.filter(|fate| fate.now() == Some(Status::Declined)).count();
        writeln!(
            out,
            "Limits: one customer made {} payments at the same moment, with dates all over {DAYS} days. The limit\n\
             is {BURST_LIMIT} a minute: {} accepted, {} declined.",
            self.month.burst.len(),
            self.month.burst.len() - declined,
            declined
        )
        .unwrap_or_default();
        out
    }

    /// The principals, by the audit.
    fn who_acted(&self) -> String {
        let Actors { programs, administered } = &self.actors;
        let acted = programs
            .iter()
            .map(|acted| format!("{} (role {}): {}", acted.name, acted.role, grouped(acted.entries)))
            .collect::<Vec<_>>();
        format!(
            "WHO ACTED, and in how many entries, as the audit shows it\n{}.\n\
             They used access tokens. The administrator's key only registered them and the auditor: {} entries.\n",
            acted.join(", "),
            grouped(*administered),
        )
    }

    fn speed(&self) -> String {
        let mut latencies: Vec<Duration> = self.fates.iter().filter_map(|fate| fate.latency()).collect();
        latencies.sort_unstable();
        let percentile = |percent: usize| {
            let rank = (latencies.len() * percent).div_ceil(100).saturating_sub(1);
            latencies.get(rank).copied().unwrap_or_default().as_secs_f64() * 1_000.0
        };
        let seconds = self.elapsed.as_secs_f64();
        let payments = u32::try_from(latencies.len()).unwrap_or(u32::MAX);
        format!(
            "SPEED, measured on this machine\n{} payments and their follow-ups in {seconds:.1} s: {:.0} payments a second, each on disk before\n\
             its response. Latency of decisions as clients saw it: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms.\n",
            grouped(payments.into()),
            f64::from(payments) / seconds,
            percentile(50),
            percentile(95),
            percentile(99),
        )
    }
}

const fn is_missed(end: End) -> bool {
    matches!(end, End::Approved | End::ReviewedApproved)
}

/// Formats `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats cents as `1,234.56`.
fn money(cents: u64) -> String {
    format!("{}.{:02}", grouped(cents / 100), cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::staff::Acted;

    fn played(fate: impl Fn(&Payment) -> Fate) -> (Month, Vec<Fate>) {
        let month = Month::new(1, 300);
        let fates = month.payments.iter().map(fate).collect();
        (month, fates)
    }

    fn decided(first: Status, now: Status) -> Fate {
        Fate::Decided { first, now, latency: Duration::from_millis(2), reasons: 1 }
    }

    fn report(month: &Month, fates: Vec<Fate>) -> Report<'_> {
        Report {
            month,
            fates,
            retries: Retries { sent: 5, same: 5 },
            changed_code: "payment_exists_with_different_content".to_owned(),
            books: TrialBalance {
                accounts: 40,
                debits_posted: 123_456_789,
                credits_posted: 123_456_789,
                debits_pending: 0,
                credits_pending: 0,
            },
            actors: Actors {
                programs: [
                    ("shop", "developer", 234_567),
                    ("review-desk", "reviewer", 12_345),
                    ("analyst", "analyst", 2),
                ]
                .map(|(name, role, entries)| Acted { name: name.to_owned(), role, entries })
                .into(),
                administered: 4,
            },
            elapsed: Duration::from_secs(2),
        }
    }

    #[test]
    fn money_is_formatted_in_groups() {
        for (cents, text) in
            [(0, "0.00"), (5, "0.05"), (99_999, "999.99"), (100_000, "1,000.00"), (123_456_789, "1,234,567.89")]
        {
            assert_eq!(money(cents), text);
        }
    }

    #[test]
    fn no_line_is_wider_than_100_columns() {
        let (month, fates) = played(|_| decided(Status::Posted, Status::Posted));
        for line in report(&month, fates).text().lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn declined_fraud_counts_as_saved_and_approved_fraud_as_lost() {
        let (month, fates) = played(|payment| match payment.fraud {
            Some(Pattern::CardTesting) => decided(Status::Declined, Status::Declined),
            Some(Pattern::CompromisedMerchant) => decided(Status::InReview, Status::Posted),
            _ => decided(Status::Posted, Status::Posted),
        });
        let of = |pattern| Sum::of(month.payments.iter().filter(|payment| payment.fraud == Some(pattern)));
        let text = report(&month, fates).frauds();
        let row = |pattern: Pattern| {
            let line = text.lines().find(|line| line.starts_with(pattern.name())).unwrap();
            line.split_whitespace().rev().take(7).map(str::to_owned).collect::<Vec<_>>()
        };
        let (testing, merchant) = (of(Pattern::CardTesting), of(Pattern::CompromisedMerchant));
        let expected = |sum: Sum, saved: bool| {
            let (saved_money, lost) = if saved { (sum.cents, 0) } else { (0, sum.cents) };
            let (declined, missed) = if saved { (sum.count, 0) } else { (0, sum.count) };
            [
                money(lost),
                money(saved_money),
                missed.to_string(),
                "0".into(),
                "0".into(),
                declined.to_string(),
                sum.count.to_string(),
            ]
        };
        assert_eq!(row(Pattern::CardTesting), expected(testing, true));
        assert_eq!(row(Pattern::CompromisedMerchant), expected(merchant, false));
    }

    #[test]
    fn books_that_do_not_balance_are_an_error() {
        let (month, fates) = played(|_| Fate::GivenUp);
        let mut report = report(&month, fates);
        assert_eq!(report.sound(), Ok(()));
        report.books.credits_posted += 1;
        assert!(report.sound().is_err());
    }
}
