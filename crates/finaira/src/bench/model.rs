//! `finaira bench model` and `finaira bench explain`: what one score of a model costs, and what its reasons cost.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use policy::onnx::{Contributions, Model};
use serde_json::json;
use server::Stopwatch;

use super::forest;
use super::tokens::processor;
use crate::backtest::table::thousands;
use crate::demo::random::Random;
use crate::stdio::outln;

/// How often all rows are scored. The fastest pass counts, because other work on the machine only slows a pass down.
const PASSES: usize = 10;
/// One value in this many is missing.
const MISSING_ONE_IN: u64 = 20;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// Number of different rows
    #[arg(long, value_name = "ROWS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rows: u32,
    /// Trees of the generated model
    #[arg(long, value_name = "TREES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    trees: u32,
    /// Branches from the root to each leaf of the generated model
    #[arg(long, value_name = "BRANCHES", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=12))]
    depth: u32,
    /// Columns of the generated model
    #[arg(long, value_name = "COLUMNS", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    columns: u32,
    /// Measure this ONNX file instead of a generated model
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trees", "depth", "columns"])]
    model: Option<PathBuf>,
    /// Print one JSON object on the last line
    #[arg(long)]
    json: bool,
}

impl Settings {
    fn load(&self) -> anyhow::Result<(Model, String)> {
        let (file, name) = match &self.model {
            Some(path) => (
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
                path.display().to_string(),
            ),
            None => (
                forest::file(self.trees, self.depth, self.columns, &mut Random::new(1)),
                format!("{} trees of depth {} on {} columns", self.trees, self.depth, self.columns),
            ),
        };
        Ok((Model::load(&file).with_context(|| format!("{name} cannot be used"))?, name))
    }

    /// Rows of numbers from 0 to 1, as the thresholds of the generated model are, some of them missing.
    fn rows(&self, columns: usize) -> Vec<Vec<f32>> {
        let mut random = Random::new(2);
        let mut value = || if random.between(1, MISSING_ONE_IN) == 1 { f32::NAN } else { forest::unit(&mut random) };
        (0..self.rows).map(|_| (0..columns).map(|_| value()).collect()).collect()
    }
}

/// Scores every row, one after the other.
pub(super) fn score(settings: &Settings) -> anyhow::Result<()> {
    let (model, name) = settings.load()?;
    let rows = settings.rows(model.inputs());
    let mut answers = None;
    let ns = fastest(&rows, || {
        let found = rows.iter().map(|row| model.probability(row));
        let (count, sum) = found.flatten().fold((0_u32, 0.0_f64), |(count, sum), answer| (count + 1, sum + answer));
        let found = (count, sum.to_bits());
        ensure!(*answers.get_or_insert(found) == found, "a pass has other answers than the first");
        Ok(())
    })?;
    report(settings, "score", &name, ns)
}

/// Computes the contributions of all columns for every row, one row after the other.
pub(super) fn explain(settings: &Settings) -> anyhow::Result<()> {
    let (model, name) = settings.load()?;
    if let Some(unexplained) = model.unexplained() {
        bail!("{name} cannot be explained: {unexplained}");
    }
    let rows = settings.rows(model.inputs());
    let mut found = Contributions::new();
    let mut scores = None;
    let ns = fastest(&rows, || {
        let mut sum = 0.0_f64;
        for row in &rows {
            model.contributions(row, &mut found)?;
            sum += found.score();
        }
        ensure!(*scores.get_or_insert(sum.to_bits()) == sum.to_bits(), "a pass has other contributions than the first");
        Ok(())
    })?;
    report(settings, "explain", &name, ns)
}

/// Nanoseconds per row of the fastest pass.
fn fastest(rows: &[Vec<f32>], mut pass: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let mut fastest_ns = u64::MAX;
    for _ in 0..PASSES {
        let stopwatch = Stopwatch::start();
        pass()?;
        fastest_ns = fastest_ns.min(u64::try_from(stopwatch.elapsed().as_nanos())?);
    }
    Ok(fastest_ns / u64::try_from(rows.len())?)
}

fn report(settings: &Settings, what: &str, name: &str, ns: u64) -> anyhow::Result<()> {
    let processor = processor();
    outln!("{processor}, one thread, {name}, {} different rows", thousands(settings.rows.into()))?;
    outln!("  {what:<8} {:>10} ns a row", thousands(ns.into()))?;
    if settings.json {
        outln!("{}", json!({"processor": processor, "model": name, "rows": settings.rows, "ns_per_row": ns}))?;
    }
    Ok(())
}
