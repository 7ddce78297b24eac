//! `finaira backtest` runs a file of past payments through the engine that decides live ones, or decides the payments of a journal
//! again (`of_journal`).
//!
//! ```text
//! Input ──batches──► Payments ──rows──► TimeOrder ──► Replay: engine, deadlines, labels
//!   reading thread                        this thread │
//!                              Output ◄──outcomes── FileOrder ──► Summary
//!                           writing thread
//! ```
//!
//! The file provides the time: each payment is decided at its own time, and deadlines and labels take effect between
//! payments. Nothing is journaled; the entries are only evaluated.

pub(crate) mod columns;
mod file_order;
mod labels;
mod lists;
mod of_journal;
mod output;
pub(crate) mod progress;
pub(crate) mod replay;
mod summary;
pub(crate) mod table;
mod time_order;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::{Context as _, bail, ensure};
use policy::{FileMapping, Policy};
use tables::{Input, Labels, Payments, Row};
use types::{Asset, Name, Timestamp};

use self::file_order::FileOrder;
use self::lists::Lists;
use self::output::{Outcome, Output};
use self::progress::Progress;
use self::replay::Replay;
use self::summary::Summary;
use self::time_order::{Schedule, TimeOrder};
use crate::bundle_folder;
use crate::stdio::{errln, outln};

/// The name of the label for values that the policy lists as positive.
const FRAUD: &str = "fraud";

/// The most batches that wait between two threads.
const BATCHES_WAITING_MAX: usize = 4;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder with policy.toml, whose [file] maps columns to fields
    #[arg(long, value_name = "DIR")]
    policy: PathBuf,
    /// Past payments: a Parquet file, or CSV with a header
    #[arg(long, value_name = "FILE", required_unless_present = "journal")]
    input: Option<PathBuf>,
    /// Compare with the decisions in the journal of this data directory, on which a server may run
    #[arg(long, value_name = "DIR", conflicts_with_all = ["input", "lists"])]
    journal: Option<PathBuf>,
    /// The tenant whose journal it is; the first one if not given
    #[arg(long, value_name = "NUMBER", requires = "journal")]
    tenant: Option<u32>,
    /// Compare only payments decided at this time or later, such as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", requires = "journal")]
    from: Option<Timestamp>,
    /// Compare only payments decided before this time
    #[arg(long, value_name = "TIME", requires = "journal")]
    until: Option<Timestamp>,
    /// Also count the payments by the values of this attribute
    #[arg(long, value_name = "ATTRIBUTE", requires = "journal")]
    segment: Option<Name>,
    /// Output file for the decisions: Parquet, with one row per row of the input; with --journal, one row per payment that is
    /// decided differently
    #[arg(long, value_name = "FILE", required_unless_present = "journal")]
    output: Option<PathBuf>,
    /// A folder with the values of the policy's lists: NAME.txt has one value in each line; a list without a file is empty
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (bundle, policy) = bundle_folder::compile(&arguments.policy)?;
    let policy = Arc::new(policy);
    if let Some(journal) = &arguments.journal {
        return of_journal::run(journal, arguments, &policy);
    }
    let (Some(file), Some(result)) = (&arguments.input, &arguments.output) else {
        bail!("expected --input and --output, or --journal");
    };
    let mapping = policy.file_mapping().cloned();
    let mapping = mapping
        .with_context(|| format!("the policy {} has no [file], which says how to read a file", policy.name()))?;
    check_output(file, result)?;
    let input = Input::open(file, mapping.delimiter)?;
    let mut payments = Payments::new(&policy, &mapping, &input)?;
    let lists = Lists::read(arguments.lists.as_deref(), &policy, &mut payments)?;
    if !lists.empty.is_empty() {
        errln!(
            "these lists of the policy are empty in this backtest: {}; give their values with --lists DIR",
            lists.empty.join(", ")
        );
    }
    let of_attributes = policy.features().iter().filter(|feature| feature.source.is_attribute());
    let of_attributes: Vec<&str> = of_attributes.map(|feature| feature.name.as_str()).collect();
    if !of_attributes.is_empty() {
        errln!(
            "a backtest of a file has no attributes of entities, so these features are missing: {}",
            of_attributes.join(", ")
        );
    }
    let labelled = mapping.label.is_some();
    let output = Output::create(result, &policy, (&mapping.id, payments.id_kind()), labelled)?;
    let fraud: Name = FRAUD.parse()?;
    if labelled && !policy.is_positive_label(FRAUD) {
        errln!("labels do not affect features: the policy's [labels] do not list `{FRAUD}` as positive");
    }
    let delay = mapping.label.as_ref().map(|label| label.delay).unwrap_or_default();
    let replay = Replay::new(&bundle, &policy, lists.commands, (fraud, delay))?;

    let schedule = Schedule::read(&input, input.find(&mapping.time)?)?;
    let mut progress = Progress::new(schedule.rows);
    let Decided { summary, labels, dropped } = decide(&input, payments, schedule, replay, output, &mut progress)?;
    let took = progress.finish();

    if let Some((labels, column)) = labels.as_ref().zip(mapping.label.as_ref()).filter(|_| summary.decided() > 0) {
        labels::warnings(labels, column).iter().for_each(|warning| errln!("{warning}"));
    }
    outln!("{}", summary.text(&policy, asset(&policy, &mapping), labels.as_ref(), took, dropped))?;
    outln!("The decisions for all rows are in {}", result.display())?;
    if summary.decided() == 0
        && let Some((row, error)) = summary.first_error()
    {
        bail!("none of the {} rows is a payment; row {row}: {error}", summary.invalid());
    }
    Ok(())
}

/// What a run found.
struct Decided {
    summary: Summary,
    /// The values of the label column, if the policy names one.
    labels: Option<Labels>,
    /// The number of window records that were dropped.
    dropped: u64,
}

/// Runs the backtest on three threads. A thread that fails drops its channels, which ends the others.
fn decide(
    input: &Input,
    mut payments: Payments,
    schedule: Schedule,
    mut replay: Replay,
    mut output: Output,
    progress: &mut Progress,
) -> anyhow::Result<Decided> {
    let (read, rows) = sync_channel::<Vec<Row>>(BATCHES_WAITING_MAX);
    let (written, outcomes) = sync_channel::<Vec<Outcome>>(BATCHES_WAITING_MAX);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || -> anyhow::Result<Payments> {
            let mut first = 0;
            for batch in input.batches(payments.columns())? {
                let batch = batch?;
                if read.send(payments.rows(&batch, first)).is_err() {
                    break;
                }
                first += batch.rows as u64;
            }
            Ok(payments)
        });
        let writer = scope.spawn(move || -> anyhow::Result<Output> {
            for outcome in outcomes.into_iter().flatten() {
                output.push(&outcome)?;
            }
            Ok(output)
        });
        let mut summary = Summary::default();
        replay_rows(&rows, &mut TimeOrder::new(schedule), &mut replay, |outcomes| {
            outcomes.iter().for_each(|outcome| summary.add(outcome));
            progress.add(outcomes.len());
            written.send(outcomes).is_ok()
        });
        drop((rows, written));
        let output = writer.join().expect("a panic of the writer continues here")?;
        let payments = reader.join().expect("a panic of the reader continues here")?;
        output.finish()?;
        Ok(Decided { summary, labels: payments.into_labels(), dropped: replay.records_dropped() })
    })
}

/// Decides rows as they arrive, and sends outcomes in the order of the file, until there are no more rows or the
/// receiver is gone.
fn replay_rows(
    rows: &Receiver<Vec<Row>>,
    time_order: &mut TimeOrder,
    replay: &mut Replay,
    mut hand_on: impl FnMut(Vec<Outcome>) -> bool,
) {
    let mut file_order = FileOrder::default();
    for batch in rows {
        let mut timed = Vec::with_capacity(batch.len());
        for row in batch {
            match row {
                Row { at: Some(at), payment: Ok(payment), .. } => timed.push((at, Row { payment: Ok(payment), ..row })),
                Row { number, id, at, positive, payment } => {
                    let error = payment.err().unwrap_or_default();
                    file_order.put(Outcome { number, id, at, positive, decided: Err(error) });
                }
            }
        }
        for (at, Row { number, id, positive, payment, .. }) in time_order.pass(timed) {
            let decided = payment.and_then(|payment| replay.decide(at, *payment, positive == Some(true)));
            file_order.put(Outcome { number, id, at: Some(at), positive, decided });
        }
        if !hand_on(file_order.take()) {
            return;
        }
    }
}

fn check_output(input: &Path, output: &Path) -> anyhow::Result<()> {
    is_parquet(output)?;
    let same = input.canonicalize().ok().is_some_and(|input| output.canonicalize().ok() == Some(input));
    ensure!(!same, "the output file {} is the input file", output.display());
    Ok(())
}

fn is_parquet(output: &Path) -> anyhow::Result<()> {
    let extension = output.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ensure!(
        extension.eq_ignore_ascii_case("parquet"),
        "decisions are written as Parquet: expected an output file that ends in .parquet, found {}",
        output.display()
    );
    Ok(())
}

fn asset(policy: &Policy, mapping: &FileMapping) -> Asset {
    let payment_type = policy.payment_types().get(mapping.payment.get());
    let ledger = payment_type.and_then(|payment_type| policy.ledgers().get(payment_type.ledger.get()));
    ledger.expect("a mapping names a payment type, which names a ledger").asset
}
