//! `finaira verify --target` compares a copy in another system with the journal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use connect::{Counts, Source, Status, Verification};
use disk::Directory;
use journal::{FileCopy, SegmentStore as _};
use types::Seq;

use super::config::Config;
use super::{COPY, DERIVED};
use crate::backtest::table::{Table, thousands};
use crate::backup::{CopyClient, CopyOf, CopyWork, StopCopy, open_copy_directory};
use crate::remote::Server;
use crate::stdio::outln;

use super::feed::{Feed, Place};

/// Which copy to compare, and how much of it.
#[derive(Debug, clap::Args)]
pub(crate) struct CopyArguments {
    /// Compare the copy in this target of the configuration with the journal, instead of checking a data directory
    #[arg(long, value_name = "NAME", requires = "config", conflicts_with_all = ["data", "checkpoint"])]
    pub(crate) target: Option<String>,
    /// The configuration of `finaira connect`
    #[arg(long, env = "FINAIRA_CONNECT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory with a copy of the journal to compare with, as `finaira backup` makes it; by default, the copy of `finaira connect`, which
    /// must not run then
    #[arg(long, value_name = "DIR", requires = "target")]
    copy: Option<PathBuf>,
    /// Compare the values of every Nth transfer, payment and event only; counts, accounts and the Merkle root are always compared
    #[arg(long, value_name = "N", default_value_t = 1, requires = "target", value_parser = clap::value_parser!(u64).range(1..))]
    each: u64,
}

pub(crate) fn run(arguments: &CopyArguments, name: &str) -> anyhow::Result<()> {
    let path = arguments.config.as_ref().context("found no --config")?;
    let config = Config::read(path)?;
    let target = config.targets.iter().find(|target| target.name == name);
    let target = target.with_context(|| format!("{} has no target `{name}`", path.display()))?;
    let home = config.directory.join(&target.tenant);
    // What is derived from a copy of somebody else is not kept.
    let derived = tempfile::tempdir().context("cannot create a directory to work in")?;
    let source = match &arguments.copy {
        Some(copy) => opened(copy, derived.path())?,
        None => brought_up_to_date(&config, &target.tenant, &home)?,
    };
    let made =
        connect::make(&target.kind, target.settings.clone()).map_err(|error| anyhow!("target `{name}`: {error}"))?;
    let status = Arc::new(Status::new(name));
    let from = target.from.unwrap_or(Seq::new(1));
    let verified = connect::verify(&source, made, (arguments.each, from), Arc::clone(&target.filter), &status)?;
    let verified =
        verified.with_context(|| format!("target `{name}` holds no copy yet; run `finaira connect` first"))?;
    show(name, &verified)
}

/// A copy that exists, as it is.
fn opened(copy: &Path, derived: &Path) -> anyhow::Result<Arc<Source>> {
    let directory = open_copy_directory(copy)?;
    let shard = FileCopy::shard_before_opening(&directory)?;
    let shard = shard.with_context(|| format!("{} has no copy of a journal", copy.display()))?;
    let copy = FileCopy::open(directory, shard)?;
    let source = Source::open(copy.segments(), Directory::open(derived)?)?;
    source.advance(None)?;
    source.end()?;
    Ok(Arc::new(source))
}

/// The copy of `finaira connect`, with everything that the server has now.
pub(super) fn brought_up_to_date(config: &Config, tenant: &str, home: &Path) -> anyhow::Result<Arc<Source>> {
    let tenant = config.tenants.iter().find(|found| found.name == tenant).context("the tenant is not in the file")?;
    let directory = open_copy_directory(&home.join(COPY))
        .context("the copy cannot be used while `finaira connect` runs; stop it, or name a backup with --copy")?;
    let server = Server::configured(&tenant.server, tenant.api_key()?, tenant.ca.clone())?;
    let place = Arc::new(Place::default());
    let feed = Feed::new(tenant.name.clone(), home.join(DERIVED), Arc::clone(&place));
    let stop = Arc::new(StopCopy::default());
    CopyWork::new(CopyClient::new(&server, CopyOf::Tenant)?, directory, feed, false, stop).run()?;
    place.end()?;
    place.wait().context("the server has no journal")
}

fn show(name: &str, verified: &Verification) -> anyhow::Result<()> {
    let mut table = Table::new(["ROWS", "journal", "compared"]);
    let has_rows = verified.expected != Counts::default();
    let Counts { accounts, transfers, payments, events } = verified.expected;
    for (what, expected, compared) in [
        ("accounts", accounts, verified.compared.accounts),
        ("transfers", transfers, verified.compared.transfers),
        ("payments", payments, verified.compared.payments),
        ("events", events, verified.compared.events),
    ] {
        if (expected, compared) == (0, 0) {
            continue;
        }
        table.row(vec![what.to_owned(), thousands(expected.into()), thousands(compared.into())]);
    }
    // An archive has bytes instead.
    if has_rows {
        let mut out = String::new();
        table.write_to(&mut out);
        crate::stdio::out(format_args!("{out}"))?;
    }
    let root: String = verified.cursor.root.iter().map(|byte| format!("{byte:02x}")).collect();
    let position = verified.cursor.position;
    outln!(
        "The copy in `{name}` holds the entries up to {position}; their Merkle root is that of the journal, {root}."
    )?;
    if verified.repeated > 0 {
        outln!("{} events are there more than once, with the same id.", thousands(verified.repeated.into()))?;
    }
    if verified.unchecked > 0 {
        let count = thousands(verified.unchecked.into());
        outln!("The target may not have got the last {count} events of the journal yet.")?;
    }
    if verified.is_right() {
        outln!("The copy is equal to the journal.")?;
        return Ok(());
    }
    for difference in &verified.described {
        outln!("DIFFERENT: {difference}")?;
    }
    bail!("{} rows differ from the journal", verified.differences)
}
