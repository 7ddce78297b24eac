//! Imports of existing books. Rows arrive in order; each is judged, and becomes an entry of its own. A row that is
//! refused ends its request; the rows before it stay staged.

use ledger::{ImportRefusal, ImportState, ImportStatus, NewAccount, NewTransfer, Outcome};
use types::{Digest, ImportId, LedgerId, Timestamp};

use crate::command::Execute;
use crate::decide::Recording;
use crate::entry::Fact;
use crate::{Answered, Engine, Made, Refusal, Request, Sink};

/// The operations on an import.
#[derive(Debug, Clone)]
pub enum ImportCommand {
    /// Start an import.
    Start {
        id: ImportId,
        /// The ledger that the rows belong to.
        ledger: LedgerId,
        /// A digest of the files, which identifies them.
        content: Digest,
    },
    /// Add accounts. Rows that are already staged are skipped, so that a request can be repeated.
    StageAccounts {
        id: ImportId,
        /// The number of the first row among the import's accounts, from 0.
        first: u64,
        /// At most [`crate::EVENTS_MAX`].
        rows: Vec<NewAccount>,
    },
    /// Add transfers, in the same way.
    StageTransfers {
        id: ImportId,
        /// The number of the first row among the import's transfers, from 0.
        first: u64,
        /// At most [`crate::EVENTS_MAX`].
        rows: Vec<NewTransfer>,
    },
    /// Open the import: all its rows take effect.
    Open(ImportId),
    /// Discard the import: none of its rows takes effect.
    Discard(ImportId),
}

impl Execute for ImportCommand {
    fn events_count(&self) -> usize {
        match self {
            Self::StageAccounts { rows, .. } => rows.len(),
            Self::StageTransfers { rows, .. } => rows.len(),
            Self::Start { .. } | Self::Open(_) | Self::Discard(_) => 1,
        }
    }

    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        engine.import(now, request, self, sink)
    }

    /// While writes are refused, an operation on an import is refused as a whole.
    fn without_entry(&self, _: &Engine, _: Timestamp, _: &Request) -> Option<Answered<Self>> {
        None
    }
}

impl Engine {
    fn import(
        &mut self,
        now: Timestamp,
        request: &Request,
        command: &ImportCommand,
        sink: &mut dyn Sink,
    ) -> Answered<ImportCommand> {
        let at = self.next_instant(now);
        let ledger = &self.state.ledger;
        let (id, planned) = match command {
            ImportCommand::StageAccounts { id, first, rows } => {
                return self.stage_accounts(now, request, (*id, *first, rows), sink);
            }
            ImportCommand::StageTransfers { id, first, rows } => {
                return self.stage_transfers(now, request, (*id, *first, rows), sink);
            }
            ImportCommand::Start { id, ledger: book, content } => (*id, ledger.plan_import(at, (*id, *book, *content))),
            ImportCommand::Open(id) => (*id, ledger.plan_import_end(*id, ImportState::Opened)),
            ImportCommand::Discard(id) => (*id, ledger.plan_import_end(*id, ImportState::Discarded)),
        };
        let fact = planned?;
        if fact.is_some() && matches!(command, ImportCommand::Open(_)) {
            self.approval_rules().imports.check("opening an import")?;
        }
        let made = if fact.is_some() { Made::Now } else { Made::Before };
        if let Some(fact) = fact {
            self.commit_row(now, request, fact, sink);
        }
        Ok((made, self.import_status(id)?))
    }

    /// The imports that were opened.
    pub fn opened_imports(&self) -> Vec<ledger::ImportNumber> {
        let all = self.state.ledger.imports().iter();
        all.filter(|status| status.state == ImportState::Opened).map(|status| status.import.number).collect()
    }

    pub(crate) fn import_status(&self, id: ImportId) -> Result<Box<ImportStatus>, Refusal> {
        let status = self.state.ledger.import(id).ok_or(ImportRefusal::NotFound(id))?;
        Ok(Box::new(status.clone()))
    }

    fn stage_accounts(
        &mut self,
        now: Timestamp,
        request: &Request,
        (id, first, rows): (ImportId, u64, &[NewAccount]),
        sink: &mut dyn Sink,
    ) -> Answered<ImportCommand> {
        let (number, passed) = self.next_row(now, id, (first, rows.len()), |status| status.progress.accounts)?;
        for (row, new) in (first..).zip(rows).skip(passed) {
            let planned = self.state.ledger.plan_staged_account(self.next_instant(now), number, new);
            match (planned.outcome, planned.fact) {
                (Outcome::Created { .. }, Some(fact)) => self.commit_row(now, request, fact, sink),
                (Outcome::Refused(refusal), _) => {
                    let (status, sentence) = (refusal.status.name(), refusal.to_string());
                    return Err(Refusal::ImportRow { kind: "account", row, status, sentence });
                }
                (Outcome::Created { .. } | Outcome::Exists { .. }, _) => return Err(repeated("account", row)),
            }
        }
        Ok((Made::Now, self.import_status(id)?))
    }

    fn stage_transfers(
        &mut self,
        now: Timestamp,
        request: &Request,
        (id, first, rows): (ImportId, u64, &[NewTransfer]),
        sink: &mut dyn Sink,
    ) -> Answered<ImportCommand> {
        let (number, passed) = self.next_row(now, id, (first, rows.len()), |status| status.progress.transfers)?;
        for (row, new) in (first..).zip(rows).skip(passed) {
            let planned = self.state.ledger.plan_staged_transfer(self.next_instant(now), number, new);
            match (planned.outcome, planned.fact) {
                (Outcome::Created { .. }, Some(fact)) => self.commit_row(now, request, fact, sink),
                (Outcome::Refused(refusal), _) => {
                    let (status, sentence) = (refusal.status.name(), refusal.to_string());
                    return Err(Refusal::ImportRow { kind: "transfer", row, status, sentence });
                }
                (Outcome::Created { .. } | Outcome::Exists { .. }, _) => return Err(repeated("transfer", row)),
            }
        }
        Ok((Made::Now, self.import_status(id)?))
    }

    /// The number of the import, and how many rows, from number `first` onwards, are already staged.
    fn next_row(
        &self,
        now: Timestamp,
        id: ImportId,
        (first, count): (u64, usize),
        staged: impl Fn(&ImportStatus) -> u64,
    ) -> Result<(ledger::ImportNumber, usize), Refusal> {
        let status = self.state.ledger.staged_import(id)?;
        let next = staged(status);
        let passed = next.checked_sub(first).ok_or(ImportRefusal::RowsMissing { next, first })?;
        let passed = usize::try_from(passed).unwrap_or(usize::MAX);
        if passed < count {
            self.state.approvals.check_rows(id, self.next_instant(now))?;
        }
        Ok((status.import.number, passed))
    }

    fn commit_row(&mut self, now: Timestamp, request: &Request, fact: ledger::Fact, sink: &mut dyn Sink) {
        self.commit(now, request.actor, request.id, Recording::of(Fact::Ledger(fact)), sink);
        self.journal_digest(now, sink);
    }
}

/// The refusal of a row whose id came earlier in the same import.
fn repeated(kind: &'static str, row: u64) -> Refusal {
    let sentence = "the import contains the same row twice".to_owned();
    Refusal::ImportRow { kind, row, status: "exists", sentence }
}
