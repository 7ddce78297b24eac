//! Backtests of a policy over the journal: parses what a request wants, and renders progress and results.

mod payments;

use std::collections::BTreeMap;

use backtest::{Change, Failure, Fired, PAYMENTS_KEPT_MAX, Progress, Report, Sum, Wanted};
use serde::Serialize;
use types::{ActorId, Asset, Digest, Name, RequestId, Timestamp};
use utoipa::ToSchema;

pub use self::payments::{BacktestPayment, PaymentsFilter};
use crate::errors::ErrorCode;
use crate::parameters::{Parameters, invalid};
use crate::problem::Problem;

/// What every result says about itself.
pub const NOTE: &str = "History is what happened, not what would have happened. Each payment is judged after everything that really \
    happened before it: payments that the other policy would have declined still count in windows if they were made, balances stay \
    as they were, and nobody reacts to decisions that were never made. An approval that was not given before may have been refused \
    by the ledger.";

/// The most days that a result lists; the newest ones.
const DAYS_MAX: usize = 400;
const DAY_NS: u64 = 86_400_000_000_000;

/// Which payments shall be compared, and by which attribute they are counted.
#[derive(Debug, Clone)]
pub struct Period {
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub segment: Option<Name>,
}

/// Reads which payments shall be compared, and by which attribute they are counted.
///
/// # Errors
/// If a parameter has an invalid value.
pub fn period(parameters: &Parameters) -> Result<Period, Problem> {
    let (from, until) = (parameters.parsed::<Timestamp>("from")?, parameters.parsed::<Timestamp>("until")?);
    if let (Some(from), Some(until)) = (from, until)
        && from >= until
    {
        return Err(invalid("until", format!("found {until}, expected a time after `from`, which is {from}")));
    }
    Ok(Period { from, until, segment: parameters.parsed::<Name>("segment")? })
}

/// Refuses a segment that no payment type of the policy has.
///
/// # Errors
/// If it is the name of no attribute.
pub fn check_segment(wanted: &Wanted) -> Result<(), Problem> {
    let Some(segment) = &wanted.segment else { return Ok(()) };
    let types = wanted.policy.payment_types();
    if types.iter().any(|payment_type| payment_type.attribute(segment.as_str()).is_some()) {
        return Ok(());
    }
    let mut known: Vec<&str> = types
        .iter()
        .flat_map(|payment_type| &payment_type.attributes)
        .map(|attribute| attribute.name.as_str())
        .collect();
    known.sort_unstable();
    known.dedup();
    Err(invalid("segment", format!("found `{segment}`, expected an attribute of the policy: {}", known.join(", "))))
}

/// The error of a backtest that cannot have a result.
pub fn problem(failure: &Failure) -> Problem {
    let code = match failure {
        Failure::Unreadable(_) | Failure::Unrecorded { .. } => ErrorCode::PolicyNotBacktestable,
        Failure::List(_) => ErrorCode::PolicyListConflict,
        Failure::TooManyLabels | Failure::TooManyRecords => ErrorCode::BacktestTooLarge,
        Failure::Journal(fault) if fault.is_damage() => ErrorCode::JournalDamaged,
        Failure::Journal(_) => return Problem::new(ErrorCode::JournalFailed, "the journal cannot be read"),
        Failure::Cancelled => ErrorCode::BacktestNotDone,
    };
    Problem::new(code, failure.to_string())
}

/// What has become of a backtest.
#[derive(Debug, Clone, Copy)]
pub enum State<'a> {
    /// Others run before it.
    Waiting,
    Running,
    Done(&'a Report),
    Failed(&'a Problem),
    Cancelled,
}

/// What a backtest was asked to find out.
#[derive(Debug, Clone)]
pub struct Asked {
    policy: (Name, Digest),
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    segment: Option<Name>,
}

impl From<&Wanted> for Asked {
    fn from(wanted: &Wanted) -> Self {
        let Wanted { policy, from, until, segment } = wanted;
        Self { policy: (policy.name().clone(), policy.digest()), from: *from, until: *until, segment: segment.clone() }
    }
}

/// A backtest, as the server knows it.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub id: RequestId,
    pub asked: &'a Asked,
    pub state: State<'a>,
    pub progress: Progress,
    /// How long it will still take, if that can be told.
    pub seconds_left: Option<u64>,
    pub created: (Timestamp, ActorId),
    pub ended_at: Option<Timestamp>,
}

/// A backtest of a policy.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(title = "Backtest")]
pub struct Backtest {
    id: String,
    /// `waiting`, `running`, `done`, `failed` or `cancelled`.
    #[schema(example = "done")]
    status: &'static str,
    policy: BacktestedPolicy,
    /// Only payments decided at this time or later are compared; null for all from the beginning.
    #[schema(required, format = "date-time")]
    from: Option<String>,
    /// Only payments decided before this time are compared; null for all.
    #[schema(required, format = "date-time")]
    until: Option<String>,
    /// The attribute by whose values the payments are counted as well.
    #[schema(required)]
    segment: Option<String>,
    #[schema(format = "date-time")]
    created_at: String,
    /// The number of the principal that started it.
    created_by: u64,
    #[schema(required, format = "date-time")]
    ended_at: Option<String>,
    progress: BacktestProgress,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<BacktestError>,
    /// Absent until it is done, and in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<BacktestResult>,
}

/// The policy of a backtest.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct BacktestedPolicy {
    #[schema(example = "retail")]
    name: String,
    /// The digest of its bundle.
    digest: String,
}

/// How far a backtest is.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct BacktestProgress {
    /// How many entries of the journal were read. Each is read twice.
    entries_read: u64,
    /// How many entries are to be read; 0 before it begins.
    entries_total: u64,
    /// How many payments were compared.
    payments: u64,
    /// An estimate of how long it will still take; null if that is not known.
    #[schema(required)]
    seconds_left: Option<u64>,
}

/// Why a backtest failed.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct BacktestError {
    /// The stable code of an error.
    #[schema(example = "policy_not_backtestable")]
    code: &'static str,
    detail: String,
}

/// What a backtest found.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BacktestResult {
    /// What the numbers mean and what they do not.
    note: &'static str,
    /// The last entry that the journal had when the backtest began.
    last_sequence: u64,
    /// When the first and the last compared payment were decided.
    #[schema(required, format = "date-time")]
    first_payment_at: Option<String>,
    #[schema(required, format = "date-time")]
    last_payment_at: Option<String>,
    /// How many payments were compared.
    payments: u64,
    /// How many of them get another verdict.
    changed: u64,
    /// How many get the same verdict for other reasons.
    other_reasons: u64,
    /// How many get the same verdict for the same reasons, with another score or other tags.
    other_scores: u64,
    /// Every change of a verdict, in each asset, also those that are none.
    changes: Vec<VerdictChange>,
    alerts: Alerts,
    /// Each rule of the policy and every reason that applied. Tags are apart.
    reasons: Vec<FiredReason>,
    tags: Vec<FiredReason>,
    /// The payments by their type.
    types: Vec<BacktestSegment>,
    /// The payments by the values of the attribute that `segment` names, the first 100 values that it meets, and one for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<BacktestSegment>>,
    /// The payments whose labels were known when the backtest began. Those that are reviewed or declined count as caught.
    labelled: Vec<LabelledPayments>,
    /// Payments that could not be decided again, by the reason.
    not_compared: Vec<NotCompared>,
    /// Compared payments that the policy did not decline, and that the ledger refused.
    refused_by_ledger: u64,
    /// Payments before `from` that count in no window, because the journal lacks attributes of them that the policy reads.
    not_in_windows: u64,
    /// Window records that were dropped because of the limits of their streams.
    records_dropped: u64,
    /// How many payments have another verdict or other reasons.
    payments_differing: u64,
    /// How many of these can be listed, at most 50000. The numbers count all.
    payments_listed: u64,
}

/// Payments with one verdict before and one after.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct VerdictChange {
    /// Both verdicts as one word, which the list of payments takes as `change`.
    #[schema(example = "approve_to_decline")]
    change: String,
    /// The verdict that was given: `approve`, `review` or `decline`.
    before: &'static str,
    /// The verdict of the other policy.
    after: &'static str,
    payments: u64,
    /// In minor units.
    #[schema(example = "125000")]
    amount: String,
    #[schema(example = "EUR/2")]
    asset: String,
}

/// A number before and after.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
struct BeforeAfter {
    before: u64,
    after: u64,
}

/// Payments that are reviewed or declined.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Alerts {
    before: u64,
    after: u64,
    /// From the first compared payment to the last, counted in days that have begun (UTC).
    days: u64,
    before_per_day: f64,
    after_per_day: f64,
    /// Each day with payments, at most the newest 400.
    by_day: Vec<AlertsOfDay>,
}

/// The alerts of a day.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct AlertsOfDay {
    #[schema(example = "2027-01-31")]
    day: String,
    payments: u64,
    before: u64,
    after: u64,
}

/// How often a reason or a tag applied.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct FiredReason {
    name: String,
    before: u64,
    after: u64,
    /// Payments for which it applied only before.
    only_before: u64,
    /// Payments for which it applies only now.
    only_after: u64,
    /// Payments for which it applied and that turned out to be fraud.
    fraud: BeforeAfter,
    /// The same for those that turned out to be legitimate.
    legitimate: BeforeAfter,
}

/// The payments of a type, or with a value of an attribute.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct BacktestSegment {
    /// The type or the value. Entities are shown as tokens. Null for payments without a value.
    #[schema(required)]
    name: Option<String>,
    /// True for one that stands for all values that are not listed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_rest: bool,
    payments: u64,
    /// How many get another verdict.
    changed: u64,
    approve: BeforeAfter,
    review: BeforeAfter,
    decline: BeforeAfter,
    /// How many turned out to be fraud.
    fraud: u64,
    /// How many of these were or are reviewed or declined.
    fraud_caught: BeforeAfter,
}

/// Payments in an asset whose labels are known.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct LabelledPayments {
    #[schema(example = "EUR/2")]
    asset: String,
    /// What turned out to be fraud.
    fraud: CountedAmount,
    fraud_caught_before: CountedAmount,
    fraud_caught_after: CountedAmount,
    /// Fraud that only the other policy catches.
    fraud_gained: CountedAmount,
    /// Fraud that was caught, and that the other policy lets pass.
    fraud_lost: CountedAmount,
    /// What turned out to be legitimate.
    legitimate: CountedAmount,
    legitimate_stopped_before: CountedAmount,
    legitimate_stopped_after: CountedAmount,
}

/// A number of payments and their total amount in minor units.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct CountedAmount {
    payments: u64,
    #[schema(example = "125000")]
    amount: String,
}

/// Payments that could not be decided again.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct NotCompared {
    reason: String,
    payments: u64,
}

impl Backtest {
    /// A backtest, with its result if it is done and `with_result`.
    pub fn new(known: &Known<'_>, with_result: bool) -> Self {
        let Known { id, asked, state, progress, seconds_left, created, ended_at } = known;
        let status = match state {
            State::Waiting => "waiting",
            State::Running => "running",
            State::Done(_) => "done",
            State::Failed(_) => "failed",
            State::Cancelled => "cancelled",
        };
        let error = match state {
            State::Failed(problem) => {
                Some(BacktestError { code: problem.code().as_str(), detail: problem.detail().to_owned() })
            }
            State::Waiting | State::Running | State::Done(_) | State::Cancelled => None,
        };
        let result = match state {
            State::Done(report) if with_result => Some(BacktestResult::from(*report)),
            State::Waiting | State::Running | State::Done(_) | State::Failed(_) | State::Cancelled => None,
        };
        let text = |at: &Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            id: id.to_string(),
            status,
            policy: BacktestedPolicy { name: asked.policy.0.to_string(), digest: asked.policy.1.to_string() },
            from: text(&asked.from),
            until: text(&asked.until),
            segment: asked.segment.as_ref().map(Name::to_string),
            created_at: created.0.to_string(),
            created_by: created.1.get(),
            ended_at: text(ended_at),
            progress: BacktestProgress {
                entries_read: progress.read,
                entries_total: progress.total,
                payments: progress.payments,
                seconds_left: *seconds_left,
            },
            error,
            result,
        }
    }
}

impl From<&Report> for BacktestResult {
    fn from(report: &Report) -> Self {
        let changes = report.transitions.iter().map(|((transition, asset), sum)| VerdictChange {
            change: transition.name(),
            before: transition.before.name(),
            after: transition.after.name(),
            payments: sum.payments,
            amount: sum.amount.to_string(),
            asset: shown(*asset),
        });
        let mut segments = None;
        if let Some((_, found)) = &report.segments {
            let mut listed: Vec<BacktestSegment> =
                found.iter().map(|(value, segment)| BacktestSegment::new(value.clone(), segment)).collect();
            if report.other_segments.payments > 0 {
                listed.push(BacktestSegment { is_rest: true, ..BacktestSegment::new(None, &report.other_segments) });
            }
            segments = Some(listed);
        }
        Self {
            note: NOTE,
            last_sequence: report.last.get(),
            first_payment_at: report.times.map(|(first, _)| first.to_string()),
            last_payment_at: report.times.map(|(_, last)| last.to_string()),
            payments: report.payments,
            changed: report.changed,
            other_reasons: report.other_reasons,
            other_scores: report.other_scores,
            changes: changes.collect(),
            alerts: Alerts::of(report),
            reasons: fired(report.reasons.iter().map(|(name, fired)| (name.as_str(), fired))),
            tags: fired(report.tags.iter().map(|(name, fired)| (name.as_str(), fired))),
            types: report
                .types
                .iter()
                .map(|(name, segment)| BacktestSegment::new(Some(name.to_string()), segment))
                .collect(),
            segments,
            labelled: labelled(&report.caught),
            not_compared: report
                .not_decided
                .iter()
                .map(|(why, payments)| NotCompared { reason: why.to_string(), payments: *payments })
                .collect(),
            refused_by_ledger: report.refused,
            not_in_windows: report.gaps,
            records_dropped: report.records_dropped,
            payments_differing: report.differing(),
            payments_listed: report.kept.len().min(PAYMENTS_KEPT_MAX) as u64,
        }
    }
}

impl Alerts {
    fn of(report: &Report) -> Self {
        let days = match (report.days.first_key_value(), report.days.last_key_value()) {
            (Some((first, _)), Some((last, _))) => last.saturating_sub(*first).saturating_add(1),
            _ => 0,
        };
        let skipped = report.days.len().saturating_sub(DAYS_MAX);
        let by_day = report.days.iter().skip(skipped).map(|(day, found)| AlertsOfDay {
            day: day_text(*day),
            payments: found.payments,
            before: found.alerts.before,
            after: found.alerts.after,
        });
        Self {
            before: report.alerts.before,
            after: report.alerts.after,
            days,
            before_per_day: per_day(report.alerts.before, days),
            after_per_day: per_day(report.alerts.after, days),
            by_day: by_day.collect(),
        }
    }
}

/// The mean, with two decimals.
#[expect(clippy::cast_precision_loss, reason = "a mean is shown with two decimals")]
pub fn per_day(count: u64, days: u64) -> f64 {
    if days == 0 { 0.0 } else { (count as f64 * 100.0 / days as f64).round() / 100.0 }
}

/// The day with this number since 1970, such as `2027-01-31`.
pub fn day_text(day: u64) -> String {
    let mut text = Timestamp::from_ns(day.saturating_mul(DAY_NS)).to_string();
    text.truncate("2027-01-31".len());
    text
}

impl BacktestSegment {
    fn new(name: Option<String>, segment: &backtest::Segment) -> Self {
        let backtest::Verdicts { approve, review, decline } = segment.verdicts;
        Self {
            name,
            is_rest: false,
            payments: segment.payments,
            changed: segment.changed,
            approve: approve.into(),
            review: review.into(),
            decline: decline.into(),
            fraud: segment.fraud,
            fraud_caught: segment.fraud_caught.into(),
        }
    }
}

impl From<Change> for BeforeAfter {
    fn from(Change { before, after }: Change) -> Self {
        Self { before, after }
    }
}

impl From<Sum> for CountedAmount {
    fn from(sum: Sum) -> Self {
        Self { payments: sum.payments, amount: sum.amount.to_string() }
    }
}

fn fired<'a>(found: impl Iterator<Item = (&'a str, &'a Fired)>) -> Vec<FiredReason> {
    let fired = |(name, fired): (&str, &Fired)| FiredReason {
        name: name.to_owned(),
        before: fired.payments.before,
        after: fired.payments.after,
        only_before: fired.only.before,
        only_after: fired.only.after,
        fraud: fired.fraud.into(),
        legitimate: fired.legitimate.into(),
    };
    found.map(fired).collect()
}

fn labelled(caught: &BTreeMap<Option<Asset>, backtest::Caught>) -> Vec<LabelledPayments> {
    let labelled = |(asset, caught): (&Option<Asset>, &backtest::Caught)| LabelledPayments {
        asset: shown(*asset),
        fraud: caught.fraud.into(),
        fraud_caught_before: caught.fraud_caught_before.into(),
        fraud_caught_after: caught.fraud_caught_after.into(),
        fraud_gained: caught.fraud_gained.into(),
        fraud_lost: caught.fraud_lost.into(),
        legitimate: caught.legitimate.into(),
        legitimate_stopped_before: caught.legitimate_stopped_before.into(),
        legitimate_stopped_after: caught.legitimate_stopped_after.into(),
    };
    caught.iter().map(labelled).collect()
}

/// Every ledger of a payment is opened before the payment, so there always is an asset.
fn shown(asset: Option<Asset>) -> String {
    asset.map(|asset| asset.to_string()).unwrap_or_default()
}
