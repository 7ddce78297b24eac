//! `finaira backtest --journal` decides the payments of a journal again, and compares the decisions.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use api::backtests::{NOTE, check_segment, day_text, per_day};
use backtest::{Change, Report, Segment, Sum, Transition, Wanted};
use journal::Reader as _;
use policy::{Policy, Verdict};
use types::{Asset, Name, TenantId};

use super::columns::{OutputColumn, Values};
use super::output::{begin, complete, write_group};
use super::progress::{Progress, per_second};
use super::summary::{major, section};
use super::table::{Table, percent, thousands};
use super::{Arguments, is_parquet};
use crate::beside::reader_of;
use crate::stdio::outln;

/// The most days in the table.
const DAYS_SHOWN_MAX: usize = 14;

pub(crate) fn run(data: &Path, arguments: &Arguments, policy: &Arc<Policy>) -> anyhow::Result<()> {
    if let Some(output) = &arguments.output {
        is_parquet(output)?;
    }
    let Arguments { from, until, segment, .. } = arguments;
    if let (Some(from), Some(until)) = (from, until)
        && from >= until
    {
        bail!("--until is {until}, expected a time after --from, which is {from}");
    }
    let wanted = Wanted { policy: Arc::clone(policy), from: *from, until: *until, segment: segment.clone() };
    check_segment(&wanted).map_err(|problem| anyhow::anyhow!("--segment: {}", problem.detail()))?;
    let reader = reader_of(data, arguments.tenant.map(TenantId::new))?;
    let mut progress = Progress::of("entries", reader.durable().get().saturating_mul(2));
    let report = backtest::run(&reader, &wanted, &mut |now| {
        progress.reach(now.read);
        true
    })?;
    let took = progress.finish();
    outln!("{}", text(&report, took))?;
    if let Some(output) = &arguments.output {
        write(output, &report)?;
        let (kept, all) = (report.kept.len() as u64, report.differing());
        let of_all = if kept < all { format!("the first {} of ", thousands(kept.into())) } else { String::new() };
        outln!(
            "{of_all}{} payments with another verdict or other reasons are in {}",
            thousands(all.into()),
            output.display()
        )?;
    }
    Ok(())
}

/// The tables of a report.
fn text(report: &Report, took: Duration) -> String {
    let mut out = String::new();
    let rate = thousands(per_second(report.payments, took).into());
    let [payments, entries] = [report.payments, report.last.get()].map(|number| thousands(number.into()));
    out.push_str(&format!(
        "{payments} payments of a journal with {entries} entries compared with policy {} in {:.1} s ({rate} payments a second)\n",
        report.policy.0,
        took.as_secs_f64()
    ));
    if let Some((first, last)) = report.times {
        out.push_str(&format!("decided from {first} to {last}\n"));
    }
    section(&mut out, "Verdicts", &verdicts(report));
    section(&mut out, "Changes", &changes(report));
    section(&mut out, "Alerts (reviewed or declined)", &alerts(report));
    section(&mut out, "Rules and reasons", &reasons(report));
    section(&mut out, "Payment types", &segments(report.types.iter().map(|(name, found)| (name.to_string(), found))));
    if let Some((name, found)) = &report.segments {
        let listed = found.iter().map(|(value, found)| (value.clone().unwrap_or_else(|| "(none)".to_owned()), found));
        let rest = Some(("(others)".to_owned(), &report.other_segments)).filter(|(_, found)| found.payments > 0);
        section(&mut out, &format!("By {name}"), &segments(listed.chain(rest)));
    }
    section(&mut out, "Compared with labels", &labels(report));
    let mut not_compared = Table::new(["not compared", "payments"]);
    for (why, count) in &report.not_decided {
        not_compared.row(vec![why.to_string(), thousands((*count).into())]);
    }
    section(&mut out, "Not compared", &not_compared);
    for (count, what) in [
        (report.other_scores, "payments have the same verdict and reasons, with another score or other tags"),
        (report.refused, "payments that the policy did not decline then were refused by the ledger"),
        (
            report.gaps,
            "payments before --from count in no window, because the journal lacks attributes that the policy reads",
        ),
        (report.records_dropped, "window records were dropped because of the limits of their streams"),
    ] {
        if count > 0 {
            out.push_str(&format!("\n{} {what}.\n", thousands(count.into())));
        }
    }
    out.push_str(&format!("\n{NOTE}\n"));
    out
}

fn verdicts(report: &Report) -> Table {
    let mut table = Table::new(["verdict", "before", "after"]);
    for verdict in Verdict::ALL {
        let count = |of: fn(&Transition) -> Verdict| -> u64 {
            let sums = report.transitions.iter().filter(|((transition, _), _)| of(transition) == verdict);
            sums.map(|(_, sum)| sum.payments).sum()
        };
        let (before, after) = (count(|transition| transition.before), count(|transition| transition.after));
        table.row(vec![verdict.name().to_owned(), thousands(before.into()), thousands(after.into())]);
    }
    table
}

fn changes(report: &Report) -> Table {
    let mut table = Table::new(["change", "payments", "share", "amount"]);
    for ((transition, asset), sum) in report.transitions.iter().filter(|((transition, _), _)| transition.is_change()) {
        let name = format!("{} to {}", transition.before.name(), transition.after.name());
        table.row(vec![
            name,
            thousands(sum.payments.into()),
            percent(sum.payments, report.payments),
            amount(*sum, *asset),
        ]);
    }
    let same = report.payments.saturating_sub(report.changed);
    table.row(vec!["none".to_owned(), thousands(same.into()), percent(same, report.payments), String::new()]);
    table
}

fn alerts(report: &Report) -> Table {
    let mut table = Table::new(["", "payments", "before", "after"]);
    let row = |name: String, payments: u64, change: Change| {
        vec![name, thousands(payments.into()), thousands(change.before.into()), thousands(change.after.into())]
    };
    table.row(row("all".to_owned(), report.payments, report.alerts));
    let days = match (report.days.first_key_value(), report.days.last_key_value()) {
        (Some((first, _)), Some((last, _))) => last.saturating_sub(*first).saturating_add(1),
        _ => 0,
    };
    let mean = |count: u64| format!("{:.2}", per_day(count, days));
    table.row(vec![
        format!("a day, of {}", thousands(days.into())),
        mean(report.payments),
        mean(report.alerts.before),
        mean(report.alerts.after),
    ]);
    let skipped = report.days.len().saturating_sub(DAYS_SHOWN_MAX);
    for (day, found) in report.days.iter().skip(skipped) {
        table.row(row(day_text(*day), found.payments, found.alerts));
    }
    table
}

fn reasons(report: &Report) -> Table {
    let mut table =
        Table::new(["reason", "before", "after", "only before", "only after", "fraud before", "fraud after"]);
    for (name, fired) in &report.reasons {
        let numbers = [
            fired.payments.before,
            fired.payments.after,
            fired.only.before,
            fired.only.after,
            fired.fraud.before,
            fired.fraud.after,
        ];
        let cells = numbers.map(|number| thousands(number.into()));
        table.row(std::iter::once(name.to_string()).chain(cells).collect());
    }
    table
}

fn segments<'a>(found: impl Iterator<Item = (String, &'a Segment)>) -> Table {
    let mut table = Table::new([
        "",
        "payments",
        "changed",
        "alerts before",
        "alerts after",
        "fraud",
        "caught before",
        "caught after",
    ]);
    for (name, segment) in found {
        let of = |of: fn(&Change) -> u64| of(&segment.verdicts.review).saturating_add(of(&segment.verdicts.decline));
        let numbers = [
            segment.payments,
            segment.changed,
            of(|change| change.before),
            of(|change| change.after),
            segment.fraud,
            segment.fraud_caught.before,
            segment.fraud_caught.after,
        ];
        let cells = numbers.map(|number| thousands(number.into()));
        table.row(std::iter::once(name).chain(cells).collect());
    }
    table
}

fn labels(report: &Report) -> Table {
    let mut table = Table::new(["labelled payments", "payments", "amount"]);
    for (asset, caught) in &report.caught {
        let rows = [
            ("fraud", caught.fraud),
            ("fraud caught before", caught.fraud_caught_before),
            ("fraud caught after", caught.fraud_caught_after),
            ("fraud caught only after", caught.fraud_gained),
            ("fraud lost", caught.fraud_lost),
            ("legitimate", caught.legitimate),
            ("legitimate stopped before", caught.legitimate_stopped_before),
            ("legitimate stopped after", caught.legitimate_stopped_after),
        ];
        for (name, sum) in rows {
            table.row(vec![name.to_owned(), thousands(sum.payments.into()), amount(sum, *asset)]);
        }
    }
    table
}

fn amount(sum: Sum, asset: Option<Asset>) -> String {
    asset.map_or_else(|| thousands(sum.amount), |asset| major(sum.amount, asset))
}

/// Writes the payments that are decided differently.
fn write(output: &Path, report: &Report) -> anyhow::Result<()> {
    let (text, int) = (|| Values::Text(Vec::new()), || Values::Int32(Vec::new()));
    let mut columns = [
        ("payment", text()),
        ("sequence", Values::Int64(Vec::new())),
        ("decided_at", Values::Int64(Vec::new())),
        ("type", text()),
        ("amount", text()),
        ("asset", text()),
        ("decision_before", text()),
        ("decision_after", text()),
        ("score_before", int()),
        ("score_after", int()),
        ("label", text()),
        ("reasons_before", text()),
        ("reasons_after", text()),
        ("reasons_both", text()),
    ]
    .map(|(name, values)| OutputColumn::new(name.to_owned(), values));
    let mut writer = begin(output, &columns)?;
    for kept in &report.kept {
        let mut columns = columns.iter_mut();
        let mut next = || columns.next().expect("a row has as many values as the file has columns");
        next().push_text(&kept.payment.to_string());
        next().push_int64(i64::try_from(kept.seq.get())?);
        next().push_int64(i64::try_from(kept.decided_at.ns())?);
        next().push_word(kept.payment_type.as_str());
        next().push_text(&kept.amount.to_string());
        match kept.asset {
            Some(asset) => next().push_word(&asset.to_string()),
            None => next().push_null(),
        }
        next().push_word(kept.transition.before.name());
        next().push_word(kept.transition.after.name());
        next().push_int32(kept.score.0.into());
        next().push_int32(kept.score.1.into());
        match kept.fraud {
            Some(is_fraud) => next().push_word(if is_fraud { super::FRAUD } else { "legitimate" }),
            None => next().push_null(),
        }
        for reasons in [&kept.reasons_before, &kept.reasons_after, &kept.reasons_both] {
            next().push_joined(reasons.iter().map(Name::as_str));
        }
    }
    write_group(&mut writer, &mut columns)?;
    complete(writer, output)
}
