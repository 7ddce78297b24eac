//! Checks a whole book before anything is sent: a separate ledger in memory folds its rows, and the results are
//! compared with the balances of the other system.

use std::path::Path;

use anyhow::Context as _;
use ledger::{Fact, ImportNumber, ImportState, Ledger, Outcome, Planned};
use serde::Serialize;
use types::{AccountId, Asset, ImportId, Timestamp, TransferId};

use super::book::{Book, Timeline};
use super::table::{BadRow, Row};
use crate::stdio::outln;

/// How many bad rows, differences and conflicts a report lists. It counts all of them.
const SHOWN_MAX: usize = 100;

/// The result of the check, and whether the balances agree.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The id of the import.
    import: String,
    /// The ledger into which the book is imported.
    ledger: u32,
    /// The number of accounts.
    pub(super) accounts: u64,
    /// The number of transfers, including opening transfers.
    pub(super) transfers: u64,
    /// The number of rows with the same timestamp as the previous row. They are moved by some nanoseconds.
    timestamps_moved: u64,
    /// The sum of posted debits over all accounts, in minor units.
    debits_posted: String,
    /// The sum of posted credits over all accounts, in minor units.
    credits_posted: String,
    /// The number of accounts whose balance was compared with the other system's.
    balances_compared: u64,
    /// The accounts whose balance differs.
    pub(super) differences: Listed<Difference>,
    /// The rows that cannot be imported.
    pub(super) bad_rows: Listed<BadRow>,
    /// The ids that the server already has. Only a dry run looks them up.
    pub(super) conflicts: Listed<String>,
}

/// The first items of a list, and their total count.
#[derive(Debug, Serialize)]
pub(super) struct Listed<T> {
    pub(super) count: u64,
    first: Vec<T>,
}

/// An account whose balance differs from the other system's.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    account: String,
    /// The sum of the account's transfers (credits minus debits), with both sides if those differ.
    found: String,
    /// The balance in the other system.
    expected: String,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

impl<T> Listed<T> {
    pub(super) fn push(&mut self, item: T) {
        self.count += 1;
        if self.first.len() < SHOWN_MAX {
            self.first.push(item);
        }
    }
}

/// A book that was read completely.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) report: Report,
    pub(super) account_ids: Vec<AccountId>,
    pub(super) transfer_ids: Vec<TransferId>,
}

struct Fold {
    ledger: Ledger,
    number: ImportNumber,
    now: Timestamp,
    bad_rows: Listed<BadRow>,
}

impl Fold {
    fn new(book: &Book, import: ImportId, now: Timestamp) -> anyhow::Result<Self> {
        let mut ledger = Ledger::default();
        // Only the server knows the asset of the ledger. Any asset gives the same sums.
        let mut plan = ledger.plan(now);
        plan.open_book(book.ledger, Asset::new("EUR", 2)?);
        let opened = plan.into_facts();
        opened.iter().for_each(|fact| {
            ledger.apply(fact);
        });
        let started = ledger.plan_import(now, (import, book.ledger, book.content))?.context("the import is new")?;
        ledger.apply(&started);
        let number = ledger.import(import).context("the import was started")?.import.number;
        Ok(Self { ledger, number, now, bad_rows: Listed::default() })
    }

    fn take<S: Copy + std::fmt::Display>(&mut self, row: &Row<'_>, planned: Planned<S>) -> bool {
        match (planned.outcome, planned.fact) {
            (Outcome::Created { .. }, Some(fact)) => {
                self.ledger.apply(&fact);
                return true;
            }
            (Outcome::Refused(refusal), _) => self.bad_rows.push(row.refused(refusal.to_string())),
            (Outcome::Created { .. } | Outcome::Exists { .. }, _) => {
                self.bad_rows.push(row.refused("the row was already read".to_owned()));
            }
        }
        false
    }
}

/// Reads and checks all rows.
pub(super) fn check(book: &Book, import: ImportId, now: Timestamp) -> anyhow::Result<Checked> {
    let mut fold = Fold::new(book, import, now)?;
    let (mut account_ids, mut transfer_ids) = (Vec::new(), Vec::new());
    let mut timeline = Timeline::after(Timestamp::ZERO);
    book.each_account(&mut timeline, &mut |row, account| {
        match account {
            Err(bad) => fold.bad_rows.push(bad),
            Ok(account) => {
                let planned = fold.ledger.plan_staged_account(fold.now, fold.number, &account);
                if fold.take(&row, planned) {
                    account_ids.push(account.id);
                }
            }
        }
        Ok(())
    })?;
    book.each_transfer(import, &mut timeline, &mut |row, transfer| {
        match transfer {
            Err(bad) => fold.bad_rows.push(bad),
            Ok(transfer) => {
                let planned = fold.ledger.plan_staged_transfer(fold.now, fold.number, &transfer);
                if fold.take(&row, planned)
                    && let ledger::TransferKey::Client(id) = transfer.key
                {
                    transfer_ids.push(id);
                }
            }
        }
        Ok(())
    })?;
    let report = fold.finish(book, import, timeline.moved, (account_ids.len(), transfer_ids.len()))?;
    Ok(Checked { report, account_ids, transfer_ids })
}

impl Fold {
    fn finish(
        mut self,
        book: &Book,
        import: ImportId,
        timestamps_moved: u64,
        (accounts, transfers): (usize, usize),
    ) -> anyhow::Result<Report> {
        let opened: Option<Fact> = self.ledger.plan_import_end(import, ImportState::Opened)?;
        self.ledger.apply(&opened.context("the import is staged")?);
        let (mut differences, mut compared) = (Listed::default(), 0);
        let (ledger, bad_rows) = (&self.ledger, &mut self.bad_rows);
        let opening = book.opening_account();
        book.each_balance(&mut |row, balance| {
            // Without transfers, an unreadable balance was already reported as a bad opening transfer.
            let Ok(balance) = balance.map_err(|bad| {
                if book.has_history() {
                    bad_rows.push(bad)
                }
            }) else {
                return Ok(());
            };
            let Some(account) = ledger.account(balance.account) else {
                bad_rows.push(row.bad("id", "an account in the accounts file"));
                return Ok(());
            };
            if !book.has_history() && opening == Some(balance.account) {
                return Ok(());
            }
            compared += 1;
            let (debits, credits) = (account.debits_posted.get(), account.credits_posted.get());
            let net = credits.cast_signed().wrapping_sub(debits.cast_signed());
            let sides_differ = book.has_history()
                && balance
                    .sides
                    .is_some_and(|(debited, credited)| (debited.get(), credited.get()) != (debits, credits));
            if net != balance.net || sides_differ {
                let sides = balance.sides.map(|(debits, credits)| format!(" ({credits} credits, {debits} debits)"));
                differences.push(Difference {
                    account: balance.account.to_string(),
                    found: format!("{net} ({credits} credits, {debits} debits)"),
                    expected: format!("{}{}", balance.net, sides.unwrap_or_default()),
                });
            }
            Ok(())
        })?;
        let sums = self.ledger.trial_balance(book.ledger).context("the book is open")?;
        Ok(Report {
            import: import.to_string(),
            ledger: book.ledger.get(),
            accounts: accounts as u64,
            transfers: transfers as u64,
            timestamps_moved,
            debits_posted: sums.debits_posted.to_string(),
            credits_posted: sums.credits_posted.to_string(),
            balances_compared: compared,
            differences,
            bad_rows: self.bad_rows,
            conflicts: Listed::default(),
        })
    }
}

impl Report {
    /// Whether the book can be imported as it is.
    pub(super) fn is_clean(&self) -> bool {
        self.bad_rows.count == 0 && self.conflicts.count == 0 && self.differences.count == 0
    }

    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// Prints the report.
    pub(super) fn print(&self) -> anyhow::Result<()> {
        outln!("import {} into ledger {}", self.import, self.ledger)?;
        outln!("  {} accounts, {} transfers", self.accounts, self.transfers)?;
        outln!("  debits {} = credits {}", self.debits_posted, self.credits_posted)?;
        if self.timestamps_moved > 0 {
            outln!(
                "  {} rows have the same timestamp as the row before; each is moved by 1 ns",
                self.timestamps_moved
            )?;
        }
        outln!("  {} balances compared, {} differ", self.balances_compared, self.differences.count)?;
        for Difference { account, found, expected } in &self.differences.first {
            outln!("    account {account} has {found}, expected {expected}")?;
        }
        outln!("  {} bad rows", self.bad_rows.count)?;
        for bad in &self.bad_rows.first {
            outln!("    {bad}")?;
        }
        if self.conflicts.count > 0 {
            outln!("  {} ids already exist on the server", self.conflicts.count)?;
            for conflict in &self.conflicts.first {
                outln!("    {conflict}")?;
            }
        }
        Ok(())
    }
}
