//! `finaira backup` copies the journal of a tenant, or the system journal, of a running server into a directory.
//!
//! The copy consists of the same segment files, byte for byte. The backup or the server can be interrupted at any
//! point, and the next run continues from there. Everything that the backup reports is synced. The copy does not
//! contain the keys.

mod client;
mod failure;
mod place;
mod report;
mod watch;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::oneshot;

use self::client::{Client, Of};
pub(crate) use self::failure::Failure;
use self::report::Report;
use self::work::{Ended, Stop, Work};
#[cfg(feature = "connect")]
pub(crate) use self::{
    client::{Client as CopyClient, Of as CopyOf},
    place::open as open_copy_directory,
    watch::{Lag, Watch},
    work::{Stop as StopCopy, Work as CopyWork},
};
use crate::remote::Server;
use crate::stdio::outln;

/// How long a signal waits for the work to end. After that the process exits anyway, which does not damage the copy.
const STOP_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The API key needs the scope journal:read. With --system, it is one of the first tenant and needs tenants:read as well.\nExit codes: 0 success, 1 failed, 3 the directory contains something else, 4 no server."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: Server,
    /// Directory of the copy: a new one, or one with an earlier copy, which is continued
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Copy the system journal, which has the settings of the installation, instead of the journal of the key's tenant
    #[arg(long)]
    system: bool,
    /// Keep copying until stopped, and report how far the copy is behind the server
    #[arg(long)]
    follow: bool,
    /// Seconds between reports of how far the copy is behind, where there is no terminal
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    report_every: u64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let directory = place::open(&arguments.to)?;
    let client = Client::new(&arguments.server, if arguments.system { Of::System } else { Of::Tenant })?;
    let report = Report::new(Duration::from_secs(arguments.report_every));
    let stop = Arc::new(Stop::default());
    let work = Work::new(client, directory, report, arguments.follow, Arc::clone(&stop));
    let (done, ended) = oneshot::channel();
    let worker = std::thread::Builder::new().name("backup".to_owned());
    let worker = worker.spawn(move || done.send(work.run()).is_ok()).context("cannot start a thread")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let mut ended = ended;
        let signal = crate::serve::stop_signal()?;
        tokio::select! {
            ended = &mut ended => return anyhow::Ok(Some(ended)),
            () = signal => {}
        }
        stop.set(worker.thread());
        Ok(tokio::time::timeout(STOP_WITHIN, ended).await.ok())
    })?;
    let ended = match ended {
        Some(ended) => ended.context("the backup panicked")??,
        None => Ended::CutOff,
    };
    outln!("{}", ended.text(&arguments.to, arguments.follow))?;
    match ended {
        Ended::Stopped(_) | Ended::CutOff if !arguments.follow => {
            Err(Failure::Broken("stopped before the copy was complete; run the command again to continue".to_owned())
                .into())
        }
        Ended::Whole { .. } | Ended::Stopped(_) | Ended::CutOff => Ok(()),
    }
}
