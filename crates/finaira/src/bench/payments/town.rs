//! Payments of the shape of the Fraud Detection Handbook's data: each customer pays at a few terminals nearby, with amounts around
//! a mean of their own. They are spread over the 29 days before the benchmark, in order of time.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use serde_json::Value;
use server::Clock;
use types::{Span, Timestamp};

use super::Settings;
use crate::bench::connection::{Connection, Request, Wait};
use crate::bench::drive::{Target, Traffic};
use crate::bench::workload::Random;

/// How many terminals a customer uses.
const NEARBY: u64 = 50;
/// The time over which the payments are spread. The policy accepts payments that are 30 days late.
const SPREAD: Span = Span::from_secs(29 * 24 * 3_600);

/// What all payments have in common.
#[derive(Debug)]
pub(super) struct Town {
    ids_from: u64,
    first_at: Timestamp,
    /// The time from one payment to the next.
    step: Span,
}

impl Town {
    pub(super) fn new(settings: &Settings) -> Self {
        let now = Clock.now();
        let step = SPREAD.ns().checked_div(settings.count).unwrap_or_default();
        Self { ids_from: now.ns(), first_at: now.checked_sub(SPREAD).unwrap_or_default(), step: Span::from_ns(step) }
    }

    /// Writes the payment with this number. It depends on nothing else, so that it can be sent again.
    fn write(&self, number: u64, settings: &Settings, into: &mut Vec<u8>) {
        let mut random = Random::new(number);
        let id = (u128::from(self.ids_from + number) << 64_u32) | u128::from(random.next());
        let customer = random.below(settings.customers);
        let home = Random::new(customer).below(settings.terminals);
        let terminal = (home + random.below(NEARBY)) % settings.terminals;
        // A triangle of ± the mean around the mean, from 5 to 100 euros.
        let mean = 500 + Random::new(!customer).below(9_501);
        let amount = 2 + (random.below(mean) + random.below(mean));
        let is_declined = settings.decline_percent > 0 && random.below(100) < u64::from(settings.decline_percent);
        let amount = if is_declined { 1 } else { amount };
        let at = self.first_at.saturating_add(Span::from_ns(self.step.ns() * number));
        let written = write!(
            into,
            r#"{{"id":"{id}","type":"card","amount":"{amount}","asset":"EUR/2","occurred_at":"{at}","attributes":{{"customer":"{customer}","terminal":"{terminal}"}}}}"#
        );
        written.expect("writing to a vector cannot fail");
    }
}

/// How many payments had each outcome.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Decided {
    pub(super) approved: u64,
    pub(super) in_review: u64,
    pub(super) declined: u64,
}

/// The payments of one client.
#[derive(Debug)]
pub(super) struct Payments<'a> {
    town: &'a Town,
    settings: &'a Settings,
    key: &'a str,
    /// Added to the number of every payment.
    from: u64,
    decided: Decided,
}

impl<'a> Payments<'a> {
    pub(super) fn new(town: &'a Town, settings: &'a Settings, key: &'a str, _client: u64) -> Self {
        Self { town, settings, key, from: 0, decided: Decided::default() }
    }

    /// Payments after those of [`Payments::new`].
    pub(super) fn again(town: &'a Town, settings: &'a Settings, key: &'a str, _client: u64) -> Self {
        Self { from: settings.count, ..Self::new(town, settings, key, 0) }
    }

    pub(super) fn sum(all: &[Self]) -> Decided {
        let add = |sum: Decided, one: &Self| Decided {
            approved: sum.approved + one.decided.approved,
            in_review: sum.in_review + one.decided.in_review,
            declined: sum.declined + one.decided.declined,
        };
        all.iter().fold(Decided::default(), add)
    }
}

impl Traffic for Payments<'_> {
    fn request(&self) -> Request {
        let path = if self.settings.batch == 1 { "/v1/payments" } else { "/v1/payments/batch" };
        Request::post(path, self.key, "application/json")
    }

    fn write(&mut self, first: u64, count: u64, body: &mut Vec<u8>) {
        let Self { town, settings, from, .. } = self;
        if settings.batch == 1 {
            town.write(*from + first, settings, body);
            return;
        }
        body.extend_from_slice(br#"{"payments":["#);
        for number in first..first + count {
            if number > first {
                body.push(b',');
            }
            town.write(*from + number, settings, body);
        }
        body.extend_from_slice(b"]}");
    }

    fn check(&mut self, status: u16, body: &[u8], count: u64) -> anyhow::Result<()> {
        if self.settings.batch == 1 && status != 201 {
            bail!("the server answered a new payment with {status}");
        }
        // Parsing every answer would cost as much as the server's own work.
        let count_of = |word: &[u8]| body.windows(word.len()).filter(|part| part == &word).count() as u64;
        let [approved, in_review, declined] =
            [b"\"verdict\":\"approve\"".as_slice(), b"\"verdict\":\"review\"", b"\"verdict\":\"decline\""]
                .map(count_of);
        if approved + in_review + declined != count {
            bail!(
                "not all of {count} payments were decided: {}",
                String::from_utf8_lossy(&body[..body.len().min(2_000)])
            );
        }
        self.decided.approved += approved;
        self.decided.in_review += in_review;
        self.decided.declined += declined;
        Ok(())
    }
}

/// The first payment and its answer.
#[derive(Debug)]
pub(super) struct First(Value);

impl First {
    /// Sends the first payment again, while the server that decided it still runs.
    pub(super) fn ask(town: &Town, settings: &Settings, target: Target<'_>) -> anyhow::Result<Self> {
        let mut connection = Connection::open(target.address, Wait::Block)?;
        let mut request = Request::post("/v1/payments", target.key, "application/json");
        request.set_body(|body| town.write(0, settings, body));
        let answer = connection.call(&request)?;
        if answer.status != 200 {
            bail!("the first payment, sent again, was answered with {}", answer.status);
        }
        Ok(Self(serde_json::from_slice(answer.success()?).context("the answer is not JSON")?))
    }

    /// Sends it again, to a server that was restarted, and compares the answers.
    pub(super) fn check_retry(&self, town: &Town, settings: &Settings, target: Target<'_>) -> anyhow::Result<()> {
        let Self(again) = Self::ask(town, settings, target)?;
        if again != self.0 {
            bail!("the first payment got another answer after the restart: {again} instead of {}", self.0);
        }
        Ok(())
    }
}
