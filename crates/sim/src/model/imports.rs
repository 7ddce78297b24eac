//! The model checks imports. If the engine refuses a row, the model must find a reason too, but not necessarily the
//! same one.

use engine::{Answer, Demand, Fact, ImportCommand, Refusal};
use ledger::{Fact as Moved, Import, ImportNumber, ImportState};
use types::{ImportId, RequestId, Timestamp};

use super::books::{Books, Imported};
use super::ensure;
use super::turn::{Turn, says};

impl Books {
    pub(crate) fn import_of(&self, id: ImportId) -> Option<&Imported> {
        self.imports.iter().find(|import| import.import.id == id)
    }
}

impl Turn<'_, '_> {
    pub(super) fn import(&mut self, command: &ImportCommand, answer: &Answer) -> Result<(), String> {
        match command {
            ImportCommand::Start { id, ledger, content } => {
                let books = &self.model.books;
                if let Some(known) = books.import_of(*id) {
                    let same = known.import.ledger == *ledger && known.import.content == *content;
                    return says(answer, if same { "before" } else { "import_exists_with_different_content" });
                }
                if !books.books.contains_key(ledger) {
                    return says(answer, "ledger_not_found");
                }
                if books.staged().count() >= ledger::IMPORTS_STAGED_MAX {
                    return says(answer, "too_many_imports");
                }
                says(answer, "now")?;
                let number = u16::try_from(books.imports.len() + 1).ok().and_then(ImportNumber::new);
                let number = number.ok_or("SIM-3: too many imports")?;
                let started_at = self.next_at();
                let import = Import { id: *id, number, ledger: *ledger, content: *content, started_at };
                self.expect(self.request().id, &Fact::Ledger(Moved::ImportStarted(import)))
            }
            ImportCommand::StageAccounts { id, first, rows } => {
                let Some((number, next)) = self.staging(*id, answer, |import| import.accounts.len() as u64)? else {
                    return Ok(());
                };
                let fact = |row: &ledger::NewAccount, entry: &Fact| match entry {
                    Fact::Ledger(Moved::AccountStaged { import, account }) => {
                        *import == number && account.id == row.id && account.timestamp.ns() == row.timestamp_ns
                    }
                    _ => false,
                };
                let wrong = |books: &Books, row: &ledger::NewAccount| {
                    let import = books.import_of(*id);
                    books.account(row.id).is_some()
                        || books.is_account_reserved(row.id)
                        || import.is_none_or(|import| row.ledger != import.import.ledger)
                        || row.code.get() == 0
                        || out_of_order(books, row.timestamp_ns, import)
                };
                self.rows(*id, (*first, next), rows, answer, fact, wrong)
            }
            ImportCommand::StageTransfers { id, first, rows } => {
                let Some((number, next)) = self.staging(*id, answer, |import| import.transfers.len() as u64)? else {
                    return Ok(());
                };
                let fact = |row: &ledger::NewTransfer, entry: &Fact| match entry {
                    Fact::Ledger(Moved::TransferStaged { import, transfer }) => {
                        let times = (transfer.timestamp.ns(), row.timestamp_ns);
                        *import == number
                            && (transfer.key, transfer.amount, times.0) == (row.key, row.amount, times.1)
                            && (transfer.debit, transfer.credit) == (row.debit, row.credit)
                    }
                    _ => false,
                };
                let wrong = |books: &Books, row: &ledger::NewTransfer| {
                    let import = books.import_of(*id);
                    let stands = |account| import.is_some_and(|import| import.accounts.contains_key(account));
                    !stands(&row.debit)
                        || !stands(&row.credit)
                        || is_taken(books, row.key)
                        || out_of_order(books, row.timestamp_ns, import)
                };
                self.rows(*id, (*first, next), rows, answer, fact, wrong)
            }
            ImportCommand::Open(id) => self.end(*id, ImportState::Opened, answer),
            ImportCommand::Discard(id) => self.end(*id, ImportState::Discarded, answer),
        }
    }

    /// The number of an import that accepts rows and the number of its next row. Returns `None` if the import accepts
    /// none and the answer says so.
    fn staging(
        &self,
        id: ImportId,
        answer: &Answer,
        count: impl Fn(&Imported) -> u64,
    ) -> Result<Option<(ImportNumber, u64)>, String> {
        match self.model.books.import_of(id) {
            None => says(answer, "import_not_found").map(|()| None),
            Some(import) if import.state == ImportState::Staged => Ok(Some((import.import.number, count(import)))),
            Some(_) => says(answer, "import_ended").map(|()| None),
        }
    }

    /// Checks that each row that is not staged yet becomes staged, until one is refused.
    fn rows<R>(
        &mut self,
        id: ImportId,
        (first, next): (u64, u64),
        rows: &[R],
        answer: &Answer,
        fact: impl Fn(&R, &Fact) -> bool,
        wrong: impl Fn(&Books, &R) -> bool,
    ) -> Result<(), String> {
        if first > next {
            return says(answer, "import_rows_missing");
        }
        let has_more = (first..).zip(rows).any(|(number, _)| number >= next);
        if has_more && self.model.approvals.would_open(id, self.next_at()) {
            return says(answer, "import_proposed");
        }
        let refused = match answer {
            Err(Refusal::ImportRow { row, .. }) => Some(*row),
            Ok(_) => None,
            Err(_) => return says(answer, "now"),
        };
        for (number, row) in (first..).zip(rows).skip_while(|(number, _)| *number < next) {
            if refused == Some(number) {
                self.housekeeping()?;
                let found = wrong(&self.model.books, row);
                return ensure(found, "SIM-3", || format!("row {number} is refused, and nothing is wrong with it"));
            }
            self.housekeeping()?;
            self.expect_like(self.request().id, |entry| {
                ensure(fact(row, &entry.fact), "SIM-3", || format!("row {number} is staged as {entry:?}"))
            })?;
        }
        ensure(refused.is_none(), "SIM-3", || "a row is refused that was not sent".to_owned())
    }

    fn end(&mut self, id: ImportId, to: ImportState, answer: &Answer) -> Result<(), String> {
        match self.model.books.import_of(id) {
            None => says(answer, "import_not_found"),
            Some(import) if import.state == to => says(answer, "before"),
            Some(import) if import.state != ImportState::Staged => says(answer, "import_ended"),
            Some(_) if to == ImportState::Opened && self.model.approvals.rules.imports == Demand::Approval => {
                says(answer, "approval_required")
            }
            Some(_) => {
                says(answer, "now")?;
                self.ends(id, to, self.request().id)
            }
        }
    }

    /// Checks that the next entry opens an import.
    pub(super) fn opens(&mut self, id: ImportId, request: RequestId) -> Result<(), String> {
        self.ends(id, ImportState::Opened, request)
    }

    fn ends(&mut self, id: ImportId, to: ImportState, request: RequestId) -> Result<(), String> {
        let number = self.model.books.import_of(id).map(|known| known.import.number);
        self.expect_like(request, |entry| {
            let ends = matches!(&entry.fact, Fact::Ledger(Moved::ImportNoted { import, state, .. })
                if Some(*import) == number && *state == to);
            ensure(ends, "SIM-3", || format!("the import ends with {entry:?}"))
        })
    }
}

fn is_taken(books: &Books, key: ledger::TransferKey) -> bool {
    use super::rules::Books as _;
    let staged = books.imports.iter().any(|import| import.transfers.iter().any(|transfer| transfer.key == key));
    books.moved(key).is_some() || books.has_failed(key) || books.is_scheduled(key) || staged
}

/// Whether the timestamp of a row is invalid: not after the rows before it, or already used.
fn out_of_order(books: &Books, at: u64, import: Option<&Imported>) -> bool {
    let Some(import) = import else { return true };
    let accounts = import.accounts.values().map(|held| held.shown().timestamp);
    let last = accounts.chain(import.transfers.iter().map(|transfer| transfer.timestamp)).max();
    last.is_some_and(|last| last >= Timestamp::from_ns(at)) || books.is_any_time(at)
}
