//! `finaira restore` restores a journal from a copy, in full or up to a point.

use std::path::PathBuf;

use offline::{Restored, Until, restore};
use types::{Seq, Timestamp};

use crate::backtest::progress::Progress;
use crate::backtest::table::thousands;
use crate::stdio::outln;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Data directory to restore from, such as a copy by `finaira backup`; no server may run on it
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Data directory to restore into; it must not have a journal
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Leave out everything after this entry
    #[arg(long, value_name = "SEQ", conflicts_with = "to_time", value_parser = clap::value_parser!(u64).range(1..))]
    to_seq: Option<u64>,
    /// Leave out everything that was decided after this instant, such as 2026-11-25T16:00:00Z
    #[arg(long, value_name = "TIME")]
    to_time: Option<Timestamp>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let until = match (arguments.to_seq, arguments.to_time) {
        (Some(seq), _) => Until::Seq(Seq::new(seq)),
        (None, Some(at)) => Until::Time(at),
        (None, None) => Until::End,
    };
    let mut progress = None;
    let restored = restore(&arguments.from, &arguments.to, until, &mut |done, total| {
        let progress = progress.get_or_insert_with(|| Progress::of("entries", total));
        progress.reach(done);
    });
    if let Some(progress) = progress {
        progress.finish();
    }
    let Restored { departed, decided_at, identity, left_out, damage_behind } = restored?;
    outln!("Restored the first {} entries, up to {decided_at}.", thousands(departed.size.into()))?;
    outln!("  departs from   origin {}, {} entries, root {}", departed.origin, departed.size, departed.root)?;
    outln!("  continues as   origin {}, epoch {}, from entry {}", identity.origin, identity.epoch, departed.size + 1)?;
    let least = if damage_behind.is_some() { "at least " } else { "" };
    outln!("  left out       {least}{} entries", thousands(left_out.into()))?;
    if let Some(damage) = damage_behind {
        outln!("  and everything after this damage: {damage}")?;
    }
    outln!(
        "Copy the matching keys directory into {}, then start a server there. Readers of events and copies of \
         the journal must start again, because their cursors belong to the previous history.",
        arguments.to.display()
    )?;
    Ok(())
}
