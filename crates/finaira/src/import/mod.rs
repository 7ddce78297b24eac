//! `finaira import` imports an existing book from CSV or Parquet files into a ledger of a running server.
//!
//! The files are read twice: first to check every row in memory and to compare balances, then to stage the rows on the
//! server, where nobody sees them until one last request opens all of them. Every request says with which row it
//! begins, so that an interrupted import continues from the position that the server reports.

mod book;
mod check;
mod client;
mod table;

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use api::packed::{AccountRecord, EVENTS_MAX, TransferRecord};
use types::{ImportId, Timestamp};

use self::book::{Book, Source, Timeline};
use self::check::{Checked, check};
use self::client::{Client, Status};
use crate::backtest::progress::Progress;
use crate::remote::Server;
use crate::stdio::outln;

#[derive(Debug, clap::Subcommand)]
#[command(after_help = "The API key needs the scopes imports:write and ledger:read.")]
pub(crate) enum Command {
    /// Import a book: check it, stage its rows, then open it
    Run(Run),
    /// Continue an interrupted import with the same files
    Resume(Resume),
    /// Show the progress of an import
    Status(Named),
    /// Discard an import: none of its rows take effect, and their ids become free
    Discard(Named),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    source: Source,
    /// Id of the import; by default it is derived from the files, so that the same files give the same import
    #[arg(long, value_name = "ID")]
    id: Option<ImportId>,
    /// Check everything without writing anything
    #[arg(long)]
    dry_run: bool,
    /// Write the reconciliation report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Resume {
    /// Id of the import
    id: ImportId,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    source: Source,
    /// Write the reconciliation report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Id of the import
    id: ImportId,
    #[command(flatten)]
    server: Server,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Run(run) => {
            let client = Client::new(&run.server)?;
            let book = Book::open(&run.source)?;
            let id = run.id.unwrap_or_else(|| book.default_id());
            let mut checked = check(&book, id, server::Clock.now())?;
            if run.dry_run {
                look_up(&client, &mut checked)?;
            }
            conclude(&checked, run.report.as_ref())?;
            if run.dry_run {
                return Ok(());
            }
            let status = client.start(id, &book)?;
            bring(&client, &book, id, status, &checked)
        }
        Command::Resume(resume) => {
            let client = Client::new(&resume.server)?;
            let book = Book::open(&resume.source)?;
            let status =
                client.status(resume.id)?.with_context(|| format!("the server has no import {}", resume.id))?;
            ensure!(
                status.content == book.content.to_string(),
                "import {} was started with other files or settings",
                resume.id
            );
            let checked = check(&book, resume.id, server::Clock.now())?;
            conclude(&checked, resume.report.as_ref())?;
            bring(&client, &book, resume.id, status, &checked)
        }
        Command::Status(named) => {
            let status = Client::new(&named.server)?.status(named.id)?;
            show(&status.with_context(|| format!("the server has no import {}", named.id))?)
        }
        Command::Discard(named) => show(&Client::new(&named.server)?.end(named.id, "discard")?),
    }
}

/// Prints the report. Fails if the book cannot be imported as it is.
fn conclude(checked: &Checked, file: Option<&PathBuf>) -> anyhow::Result<()> {
    let report = &checked.report;
    report.print()?;
    if let Some(file) = file {
        report.write(file)?;
    }
    if !report.is_clean() {
        let (bad, differ, taken) = (report.bad_rows.count, report.differences.count, report.conflicts.count);
        bail!("nothing was imported: {bad} bad rows, {differ} balances differ, {taken} ids already exist");
    }
    Ok(())
}

/// Adds the ids that the server already has to the report.
fn look_up(client: &Client, checked: &mut Checked) -> anyhow::Result<()> {
    let accounts: Vec<u128> = checked.account_ids.iter().map(|id| id.get()).collect();
    let transfers: Vec<u128> = checked.transfer_ids.iter().map(|id| id.get()).collect();
    for (kind, ids) in [("accounts", accounts), ("transfers", transfers)] {
        for id in client.existing(kind, &ids)? {
            let what = kind.trim_end_matches('s');
            checked.report.conflicts.push(format!("{what} {}", types::AccountId::new(id)));
        }
    }
    Ok(())
}

/// Stages the rows that the server does not have yet, and opens the import.
fn bring(client: &Client, book: &Book, id: ImportId, status: Status, checked: &Checked) -> anyhow::Result<()> {
    match status.state.as_str() {
        "staged" => {}
        "opened" => return show(&status),
        _ => bail!("import {id} was {}; start a new one with --id", status.state),
    }
    let mut progress = Progress::new(checked.report.accounts + checked.report.transfers);
    let mut timeline = Timeline::after(Timestamp::ZERO);
    let mut accounts = Stage::new(client, id, "accounts", status.accounts);
    book.each_account(&mut timeline, &mut |_, account| {
        let account = account.map_err(|bad| anyhow::anyhow!("{bad}"))?;
        accounts.push(|| AccountRecord::from(&account).encode(), &mut progress)
    })?;
    accounts.send(&mut progress)?;
    let mut transfers = Stage::new(client, id, "transfers", status.transfers);
    book.each_transfer(id, &mut timeline, &mut |_, transfer| {
        let transfer = transfer.map_err(|bad| anyhow::anyhow!("{bad}"))?;
        transfers.push(|| TransferRecord::from(&transfer).encode(), &mut progress)
    })?;
    transfers.send(&mut progress)?;
    progress.finish();
    show(&client.end(id, "open")?)
}

/// Rows of one kind that are being sent.
struct Stage<'a> {
    client: &'a Client,
    id: ImportId,
    kind: &'static str,
    /// The number of rows that the server has.
    staged: u64,
    /// The number of rows read so far.
    seen: u64,
    waiting: Vec<u8>,
    waiting_rows: usize,
}

impl<'a> Stage<'a> {
    fn new(client: &'a Client, id: ImportId, kind: &'static str, staged: u64) -> Self {
        Self { client, id, kind, staged, seen: 0, waiting: Vec::new(), waiting_rows: 0 }
    }

    fn push(&mut self, row: impl FnOnce() -> [u8; 128], progress: &mut Progress) -> anyhow::Result<()> {
        self.seen += 1;
        if self.seen <= self.staged {
            progress.add(1);
            return Ok(());
        }
        self.waiting.extend_from_slice(&row());
        self.waiting_rows += 1;
        if self.waiting_rows == EVENTS_MAX { self.send(progress) } else { Ok(()) }
    }

    fn send(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        if self.waiting_rows > 0 {
            let first = self.seen - self.waiting_rows as u64;
            self.client.stage(self.id, self.kind, first, &self.waiting)?;
            progress.add(self.waiting_rows);
            self.waiting.clear();
            self.waiting_rows = 0;
        }
        Ok(())
    }
}

fn show(status: &Status) -> anyhow::Result<()> {
    outln!("{}", serde_json::to_string(&status.shown)?)
}
