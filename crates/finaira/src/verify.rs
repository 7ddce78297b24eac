//! `finaira verify` checks everything in a data directory.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use offline::{CheckpointFile, Verification, verify};
use proof::VerifierKey;

use crate::backtest::progress::{Progress, per_second};
use crate::backtest::table::{Table, thousands};
use crate::stdio::outln;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Data directory; no server may run on it
    #[cfg_attr(feature = "connect", arg(value_name = "DIR", required_unless_present = "target"))]
    #[cfg_attr(not(feature = "connect"), arg(value_name = "DIR", required = true))]
    data: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere: check that the journal still has all entries that it covers
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The vkey of the key that signed the checkpoint; the default is the keys in DIR/keys/proof.vkeys
    #[arg(long, value_name = "VKEY", requires = "checkpoint")]
    key: Option<VerifierKey>,
    #[cfg(feature = "connect")]
    #[command(flatten)]
    copy: crate::connect::verify::CopyArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    #[cfg(feature = "connect")]
    if let Some(target) = &arguments.copy.target {
        return crate::connect::verify::run(&arguments.copy, target);
    }
    let data = arguments.data.as_ref().context("found no data directory")?;
    let checkpoint =
        arguments.checkpoint.as_ref().map(|path| CheckpointFile { path: path.clone(), key: arguments.key.clone() });
    let mut progress = None;
    let verified = verify(data, checkpoint.as_ref(), &mut |done, total| {
        progress.get_or_insert_with(|| Progress::of("entries", total)).reach(done);
    });
    let elapsed = progress.map(Progress::finish);
    let Verification { checked, findings, notes, end } = verified?;
    let mut table = Table::new(["CHECKED", "count"]);
    for checked in &checked {
        table.row(vec![format!("{}: {}", checked.place, checked.what), thousands(checked.count.into())]);
    }
    let mut out = String::new();
    table.write_to(&mut out);
    crate::stdio::out(format_args!("{out}"))?;
    if let Some((last, root)) = end {
        let root: String = root.iter().map(|byte| format!("{byte:02x}")).collect();
        outln!("The journal ends with entry {last}; the Merkle root over all entries is {root}.")?;
        if let Some(elapsed) = elapsed {
            let rate = thousands(per_second(last.get(), elapsed).into());
            outln!("Read in {:.1} s, {rate} entries a second.", elapsed.as_secs_f64())?;
        }
    }
    for note in &notes {
        outln!("Note: {note}.")?;
    }
    if findings.is_empty() {
        outln!("All checks passed.")?;
        return Ok(());
    }
    for finding in &findings {
        outln!("FOUND in the {}: {}\n  what to do: {}", finding.place, finding.what, finding.advice)?;
    }
    let of_the_journal = findings.iter().filter(|finding| finding.place.is_truth()).count();
    match of_the_journal {
        0 => bail!("{} findings, none of them in data that cannot be rebuilt", findings.len()),
        _ => bail!("{} findings, {of_the_journal} of them in data that cannot be rebuilt", findings.len()),
    }
}
