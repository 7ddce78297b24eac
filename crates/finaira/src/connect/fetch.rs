//! `finaira fetch-archive` makes a copy of a journal from an archive in an object store.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow, ensure};
use connect::{ARCHIVE, Archive, StoredPart};
use disk::Directory;
use journal::FileCopy;

use super::config::Config;
use crate::backtest::progress::Progress;
use crate::backtest::table::thousands;
use crate::backup::open_copy_directory;
use crate::stdio::outln;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The copy is one as `finaira backup` makes it. Check it with `finaira verify DIR`, and restore it with `finaira restore --from DIR`. An interrupted command continues where it was."
)]
pub(crate) struct Arguments {
    /// The configuration of `finaira connect`, with the target
    #[arg(long, env = "FINAIRA_CONNECT_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// The target with the archive
    #[arg(long, value_name = "NAME")]
    target: String,
    /// Directory of the copy: a new one, or one with an earlier copy, which is continued
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (config, name) = (Config::read(&arguments.config)?, &arguments.target);
    let target = config.targets.into_iter().find(|target| target.name == *name);
    let target = target.with_context(|| format!("{} has no target `{name}`", arguments.config.display()))?;
    let kind = &target.kind;
    ensure!(kind == ARCHIVE, "target `{name}` has the kind `{kind}`, expected `{ARCHIVE}`");
    let archive = Archive::open(target.settings).map_err(|fault| anyhow!("target `{name}`: {fault}"))?;
    let mut archive = archive.with_context(|| format!("target `{name}` holds no archive yet"))?;
    let mut copying = Copying { directory: open_copy_directory(&arguments.to)?, copy: None };
    let mut progress = Progress::of("entries", archive.last().get());
    while let Some(part) = archive.next_part()? {
        progress.reach(copying.take(&archive, &part)?);
    }
    progress.finish();
    let last = copying.copy.as_ref().map_or(0, |copy| copy.last().get());
    let expected = archive.last().get();
    ensure!(last >= expected, "the copy ends with entry {last}, but the archive with entry {expected}");
    let root: String = archive.whole().root.iter().map(|byte| format!("{byte:02x}")).collect();
    let (to, last) = (arguments.to.display(), thousands(last.into()));
    outln!("{to} has everything up to sequence {last}.")?;
    outln!(
        "The Merkle root over the first {} entries must be {root}; `finaira verify {to}` prints it.",
        thousands(expected.into())
    )
}

/// The copy that is being made.
struct Copying {
    directory: Directory,
    copy: Option<FileCopy<Directory>>,
}

impl Copying {
    /// Takes a part, unless the copy has it. Returns the last entry of the copy.
    fn take(&mut self, archive: &Archive, part: &StoredPart) -> anyhow::Result<u64> {
        let copy = match &mut self.copy {
            Some(copy) => copy,
            None => self.copy.insert(FileCopy::open(self.directory.clone(), part.shard)?),
        };
        let (mut segment, mut offset) = copy.wanted();
        if part.segment == segment.saturating_add(1) && offset > 0 {
            copy.finish_segment()?;
            (segment, offset) = copy.wanted();
        }
        let end = part.offset.saturating_add(part.bytes);
        if (part.segment, end) <= (segment, offset) {
            return Ok(copy.last().get());
        }
        let is_next = part.segment == segment && part.offset <= offset;
        ensure!(
            is_next,
            "the archive continues at byte {} of segment {}, expected byte {offset} of segment {segment}",
            part.offset,
            part.segment
        );
        let bytes = archive.bytes(part)?;
        let held = usize::try_from(offset.saturating_sub(part.offset)).unwrap_or(usize::MAX);
        copy.take(bytes.get(held..).unwrap_or_default(), part.file_bytes)?;
        Ok(copy.sync()?.get())
    }
}
