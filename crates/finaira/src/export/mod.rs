//! `finaira export` writes the decisions in a journal as a table: the features as they were at each decision, and the labels
//! that were known by a given time. It serves to train models.
//!
//! ```text
//! Source ──entries──► Survey: columns, labels known in time, policies       first pass
//! Source ──entries──► Rows: one per decision ──cells──► File: Parquet, CSV or JSON lines       second pass
//! ```
//!
//! A label comes after its payment, so the journal is read twice. Only the labels stay in memory. A feature is copied from the
//! entry of its decision and never calculated again, so what a model is trained with is what it was served with.

mod file;
mod rows;
mod source;
mod survey;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use types::{Name, TenantId, Timestamp};

use self::file::{File, Format};
use self::rows::Rows;
use self::source::Source;
use self::survey::Survey;
use crate::backtest::progress::Progress;
use crate::backtest::table::thousands;
use crate::stdio::outln;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Data directory, or a copy that `finaira backup` made; a server may run on it
    #[arg(long, alias = "data-dir", value_name = "DIR")]
    data: PathBuf,
    /// The tenant whose decisions are exported [default: the first tenant of the directory]
    #[arg(long, value_name = "NUMBER")]
    tenant: Option<u32>,
    /// Output file, with one row per decision: .parquet, .csv, or .jsonl for JSON lines
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Leave out labels that were recorded after this time (RFC 3339), as if they were not known yet
    #[arg(long, value_name = "TIME")]
    labels_until: Option<Timestamp>,
    #[command(flatten)]
    chosen: Chosen,
    /// Also write the attributes that are not personal; an entity is written as its token
    #[arg(long)]
    attributes: bool,
}

/// Which decisions are exported.
#[derive(Debug, clap::Args)]
struct Chosen {
    /// Only decisions made at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only decisions made before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Only payments of this type; can be given several times
    #[arg(long = "type", value_name = "NAME")]
    types: Vec<Name>,
}

impl Chosen {
    fn has(&self, decided_at: Timestamp, payment_type: &Name) -> bool {
        self.from.is_none_or(|from| decided_at >= from)
            && self.until.is_none_or(|until| decided_at < until)
            && (self.types.is_empty() || self.types.contains(payment_type))
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let format = Format::of(&arguments.output)?;
    let source = Source::open(&arguments.data, arguments.tenant.map(TenantId::new))?;
    let entries = source.last().get();
    let mut progress = Progress::of("entries in two passes", entries.saturating_mul(2));

    let mut survey = Survey::new(arguments.labels_until, arguments.attributes);
    source.read(&mut |seq, item| {
        survey.add(item, &arguments.chosen)?;
        progress.reach(seq.get());
        Ok(())
    })?;
    let decisions = survey.decisions();
    let mut rows = Rows::new(survey);
    let mut file = File::create(&arguments.output, format, rows.columns())?;
    source.read(&mut |seq, item| {
        rows.write(item, &arguments.chosen, &mut file)?;
        progress.reach(entries.saturating_add(seq.get()));
        Ok(())
    })?;
    ensure!(
        rows.written() == decisions,
        "the journal changed while it was read: found {} of {decisions} decisions again",
        rows.written()
    );
    file.finish().with_context(|| format!("cannot write {}", arguments.output.display()))?;
    let took = progress.finish();
    outln!(
        "Exported {} decisions with {} features, {} of them with a label, from {} entries in {:.1} s to {}",
        thousands(decisions.into()),
        rows.features(),
        thousands(rows.labelled().into()),
        thousands(entries.into()),
        took.as_secs_f64(),
        arguments.output.display()
    )
}
