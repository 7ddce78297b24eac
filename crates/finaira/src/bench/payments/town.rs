//! Payments of the shape of the Fraud Detection Handbook's data: each customer pays at a few terminals nearby, with amounts around
//! a mean of their own. They are spread over the 29 days before the benchmark, in order of time. Or the payments of a file, moved to
//! these days.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use serde_json::Value;
use server::Clock;
use types::{Span, Timestamp};

use super::Settings;
use super::file::Row;
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
    /// The time from one generated payment to the next.
    step: Span,
    /// The payments of a file, in order of time; empty if payments are generated.
    rows: Vec<Row>,
}

impl Town {
    /// `count` payments, generated or those of `rows`.
    pub(super) fn new(count: u64, rows: Vec<Row>) -> Self {
        let now = Clock.now();
        let step = SPREAD.ns().checked_div(count).unwrap_or_default();
        let first_at = now.checked_sub(SPREAD).unwrap_or_default();
        Self { ids_from: now.ns(), first_at, step: Span::from_ns(step), rows }
    }

    /// The id of a payment. It depends on nothing but the number, so that the payment can be sent and named again.
    fn id(&self, number: u64) -> u128 {
        (u128::from(self.ids_from + number) << 64_u32) | u128::from(Random::new(number).next())
    }

    /// Writes the payment with this number. Numbers after the last row of a file begin again with the first one.
    fn write(&self, number: u64, settings: &Settings, into: &mut Vec<u8>) {
        let id = self.id(number);
        let (at, amount, attributes) = match self.row(number) {
            Some(row) => {
                (self.moved(row.at), u64::try_from(row.amount.get()).unwrap_or(u64::MAX), row.attributes.to_string())
            }
            None => {
                let (amount, [customer, terminal]) = Self::drawn(number, settings);
                let at = self.first_at.saturating_add(Span::from_ns(self.step.ns() * number));
                (at, amount, format!(r#""customer":"{customer}","terminal":"{terminal}""#))
            }
        };
        let mut text = String::new();
        let written = write!(
            text,
            r#"{{"id":"{id}","type":"card","amount":"{amount}","asset":"EUR/2","occurred_at":"{at}","attributes":{{{attributes}}}}}"#
        );
        written.expect("writing to a string cannot fail");
        into.extend_from_slice(text.as_bytes());
    }

    /// The amount of the payment with this number.
    fn amount(&self, number: u64, settings: &Settings) -> u64 {
        let of_row = |row: &Row| u64::try_from(row.amount.get()).unwrap_or(u64::MAX);
        self.row(number).map_or_else(|| Self::drawn(number, settings).0, of_row)
    }

    fn row(&self, number: u64) -> Option<&Row> {
        let place = number.checked_rem(self.rows.len() as u64)?;
        self.rows.get(usize::try_from(place).ok()?)
    }

    /// A time of the file, moved so that the last one is now. Times that are further apart than the days before the benchmark come
    /// proportionally closer together, because the policy refuses to judge at times that are long past.
    fn moved(&self, at: Timestamp) -> Timestamp {
        let (first, last) = match &*self.rows {
            [first, .., last] => (first.at.ns(), last.at.ns()),
            _ => (at.ns(), at.ns()),
        };
        let (span, since) = (last.saturating_sub(first), at.ns().saturating_sub(first));
        let spread = SPREAD.ns().min(span);
        let offset = u128::from(since) * u128::from(spread) / u128::from(span.max(1));
        let begin = self.first_at.saturating_add(Span::from_ns(SPREAD.ns() - spread));
        begin.saturating_add(Span::from_ns(u64::try_from(offset).unwrap_or_default()))
    }

    /// The amount of a generated payment, its customer and its terminal.
    fn drawn(number: u64, settings: &Settings) -> (u64, [u64; 2]) {
        let mut random = Random::new(number);
        random.next();
        let customer = random.below(settings.customers);
        let home = Random::new(customer).below(settings.terminals);
        let terminal = (home + random.below(NEARBY)) % settings.terminals;
        // A triangle of ± the mean around the mean, from 5 to 100 euros.
        let mean = 500 + Random::new(!customer).below(9_501);
        let amount = 2 + (random.below(mean) + random.below(mean));
        let is_declined = settings.decline_percent > 0 && random.below(100) < u64::from(settings.decline_percent);
        (if is_declined { 1 } else { amount }, [customer, terminal])
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
        Self { from: settings.count(), ..Self::new(town, settings, key, 0) }
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

/// The verbs that follow an authorisation, each on all payments before the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Captures about half.
    CapturePart,
    /// Captures the rest.
    CaptureRest,
    /// Refunds about a quarter.
    RefundPart,
}

impl Step {
    pub(super) const ALL: [Self; 3] = [Self::CapturePart, Self::CaptureRest, Self::RefundPart];
}

/// The verbs of one client.
#[derive(Debug)]
pub(super) struct Verbs<'a> {
    pub(super) town: &'a Town,
    pub(super) settings: &'a Settings,
    pub(super) key: &'a str,
    pub(super) step: Step,
    /// How many verbs took effect.
    pub(super) changed: u64,
}

impl Traffic for Verbs<'_> {
    fn request(&self) -> Request {
        Request::post("/v1/payments/verbs/batch", self.key, "application/json")
    }

    fn write(&mut self, first: u64, count: u64, body: &mut Vec<u8>) {
        let Self { town, settings, step, .. } = self;
        let mut text = String::new();
        for number in first..first + count {
            let comma = if text.is_empty() { "" } else { "," };
            let (id, amount) = (town.id(number), town.amount(number, settings));
            // A key identifies a verb among those of its payment.
            let verb = match step {
                Step::CapturePart => {
                    format!(r#""capture","idempotency_key":"1","amount":"{}""#, amount.div_ceil(2).max(1))
                }
                Step::CaptureRest => r#""capture","idempotency_key":"2","final":true"#.to_owned(),
                Step::RefundPart => {
                    format!(r#""refund","idempotency_key":"3","amount":"{}""#, amount.div_ceil(4).max(1))
                }
            };
            write!(text, r#"{comma}{{"payment":"{id}","verb":{verb}}}"#).expect("writing to a string cannot fail");
        }
        body.extend_from_slice(br#"{"verbs":["#);
        body.extend_from_slice(text.as_bytes());
        body.extend_from_slice(b"]}");
    }

    fn check(&mut self, _status: u16, body: &[u8], count: u64) -> anyhow::Result<()> {
        let count_of = |word: &[u8]| body.windows(word.len()).filter(|part| part == &word).count() as u64;
        let changed = count_of(b"\"status\":\"changed\"");
        // Payments that were not approved take no capture and no refund.
        if changed + count_of(b"\"status\":\"payment_status_conflict\"") != count {
            bail!("not all of {count} verbs were judged: {}", String::from_utf8_lossy(&body[..body.len().min(2_000)]));
        }
        self.changed += changed;
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
