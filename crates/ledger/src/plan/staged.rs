//! Judges imports and their rows.

use std::collections::BTreeMap;

use types::{AccountId, Digest, ImportId, LedgerId, Timestamp, TransferId};

use super::batch::Moment;
use super::{Planned, View, account, transfer};
use crate::import::IMPORTS_STAGED_MAX;
use crate::refusal::Outcome;
use crate::{
    Account, AccountFlags, AccountStatus, Address, Book, Detail, Fact, Import, ImportNumber, ImportState, ImportStatus,
    IndexedFields, Ledger, Limits, MetadataOf, NewAccount, NewTransfer, PastTransfer, Scheduled, StatusRefusal,
    TransferFlags, TransferKey, TransferStatus,
};

/// Why an operation on an import is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefusal {
    #[error("import {0} not found")]
    NotFound(ImportId),
    /// The id belongs to an import of other files, or into another ledger.
    #[error("import {0} exists with different content")]
    ExistsWithDifferentContent(ImportId),
    #[error("ledger {0} not found")]
    LedgerNotFound(LedgerId),
    /// As many imports are staged as is allowed.
    #[error("{0} imports are staged; open or discard one of them first")]
    TooMany(usize),
    /// It was already opened or discarded.
    #[error("import {id} was already {}", state.name())]
    Ended { id: ImportId, state: ImportState },
    /// Rows are missing between the staged rows and these.
    #[error("the next row must be number {next}, but these rows begin with number {first}")]
    RowsMissing {
        /// Number of the next row, from 0.
        next: u64,
        /// Number of the first row in the request.
        first: u64,
    },
}

impl Ledger {
    /// Plans starting an import at `at`. Returns `None` if the same import was started before.
    ///
    /// # Errors
    /// If the import cannot be started.
    pub fn plan_import(
        &self,
        at: Timestamp,
        (id, ledger, content): (ImportId, LedgerId, Digest),
    ) -> Result<Option<Fact>, ImportRefusal> {
        if let Some(ImportStatus { import, .. }) = self.import(id) {
            let is_same = import.ledger == ledger && import.content == content;
            return if is_same { Ok(None) } else { Err(ImportRefusal::ExistsWithDifferentContent(id)) };
        }
        if self.book(ledger).is_none() {
            return Err(ImportRefusal::LedgerNotFound(ledger));
        }
        let full = ImportRefusal::TooMany(IMPORTS_STAGED_MAX);
        let number = self.imports.next_number().filter(|_| self.imports.staged().count() < IMPORTS_STAGED_MAX);
        let import = Import { id, number: number.ok_or(full)?, ledger, content, started_at: at };
        Ok(Some(Fact::ImportStarted(import)))
    }

    /// Returns the import if it accepts rows.
    ///
    /// # Errors
    /// If there is no such import, or it accepts no more rows.
    pub fn staged_import(&self, id: ImportId) -> Result<&ImportStatus, ImportRefusal> {
        let status = self.import(id).ok_or(ImportRefusal::NotFound(id))?;
        match status.state {
            ImportState::Staged => Ok(status),
            state @ (ImportState::Opened | ImportState::Discarded) => Err(ImportRefusal::Ended { id, state }),
        }
    }

    /// Plans opening or discarding an import. Returns `None` if that was already done.
    ///
    /// # Errors
    /// If there is no such import, or it already ended the other way.
    pub fn plan_import_end(&self, id: ImportId, state: ImportState) -> Result<Option<Fact>, ImportRefusal> {
        if self.import(id).is_some_and(|status| status.state == state && state != ImportState::Staged) {
            return Ok(None);
        }
        self.staged_import(id).map(|status| Some(note(status, state)))
    }

    /// Facts that record how far every staged import has come. With them, a start need not read the rows.
    pub fn note_imports(&self) -> Vec<Fact> {
        self.imports.staged().map(|status| note(status, ImportState::Staged)).collect()
    }

    /// Plans staging an account of an import at `at`. The account is treated as flagged `imported`.
    pub fn plan_staged_account(&self, at: Timestamp, number: ImportNumber, new: &NewAccount) -> Planned<AccountStatus> {
        self.check_time(at);
        let import = self.imports.get(number).import;
        let new = NewAccount { flags: new.flags.with(AccountFlags::IMPORTED), ..*new };
        if new.ledger != import.ledger && new.ledger.get() != 0 {
            let detail = Detail::Ledger(new.ledger);
            return Planned::refused(StatusRefusal { status: AccountStatus::LedgerNotFound, detail });
        }
        if self.account(new.id).is_some() {
            let detail = Detail::Account(new.id);
            return Planned::refused(StatusRefusal { status: AccountStatus::Exists, detail });
        }
        let planned = account::plan_alone(&Staging { ledger: self, number }, at, &new);
        let fact = planned.fact.map(|fact| {
            if let Fact::AccountOpened(account) = fact { Fact::AccountStaged { import: number, account } } else { fact }
        });
        Planned { fact, ..planned }
    }

    /// Plans staging a transfer of an import at `at`. The transfer is treated as flagged `imported`. A refusal spends
    /// no id.
    pub fn plan_staged_transfer(
        &self,
        at: Timestamp,
        number: ImportNumber,
        new: &NewTransfer,
    ) -> Planned<TransferStatus> {
        self.check_time(at);
        let new = NewTransfer { flags: new.flags.with(TransferFlags::IMPORTED), ..*new };
        if new.flags != TransferFlags::IMPORTED || new.pending.is_some() || new.timeout_s != 0 {
            let detail = Detail::Flags(new.flags.bits());
            return Planned::refused(StatusRefusal { status: TransferStatus::ImportTakesSinglePhaseOnly, detail });
        }
        let planned = transfer::plan(&Staging { ledger: self, number }, Moment::alone(at, true), &new);
        let fact = match (planned.outcome, planned.fact) {
            (Outcome::Created { .. }, Some(Fact::TransferCreated(transfer))) => {
                Some(Fact::TransferStaged { import: number, transfer })
            }
            (_, _) => None,
        };
        Planned { outcome: planned.outcome, fact }
    }
}

fn note(status: &ImportStatus, state: ImportState) -> Fact {
    Fact::ImportNoted { import: status.import.number, state, progress: Box::new(status.progress.clone()) }
}

/// The ledger as the rows of an import see it: only what the import itself staged, and which ids are taken.
struct Staging<'a> {
    ledger: &'a Ledger,
    number: ImportNumber,
}

impl View for Staging<'_> {
    fn book(&self, id: LedgerId) -> Option<&Book> {
        self.ledger.book(id)
    }

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.ledger.staged_account(self.number, id)
    }

    fn is_account_reserved(&self, id: AccountId) -> bool {
        self.ledger.is_account_reserved(id)
    }

    fn is_import(&self) -> bool {
        true
    }

    fn find(&self, key: TransferKey) -> Option<PastTransfer> {
        let found = self.ledger.find(key)?;
        match found {
            PastTransfer::Staged { import, transfer } if import == self.number => {
                Some(PastTransfer::Created { transfer, state: None })
            }
            PastTransfer::Staged { .. } | PastTransfer::Created { .. } | PastTransfer::Failed(_) => Some(found),
        }
    }

    fn limits(&self, _id: AccountId) -> Limits {
        Limits::NONE
    }

    fn scheduled(&self, id: TransferId) -> Option<Scheduled> {
        View::scheduled(self.ledger, id)
    }

    fn address(&self, _id: AccountId) -> Option<String> {
        None
    }

    fn is_address_taken(&self, address: &Address) -> bool {
        View::is_address_taken(self.ledger, address)
    }

    fn metadata(&self, _of: MetadataOf) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn indexed_fields(&self, id: LedgerId) -> IndexedFields {
        self.ledger.indexed_fields(id)
    }

    fn last_account(&self) -> Timestamp {
        self.ledger.imports.get(self.number).progress.last_account
    }

    fn last_transfer(&self) -> Timestamp {
        self.ledger.imports.get(self.number).progress.last_transfer
    }

    /// The rows of an import are ordered only among themselves.
    fn is_account_time(&self, _at: Timestamp) -> bool {
        false
    }

    fn is_transfer_time(&self, _at: Timestamp) -> bool {
        false
    }
}
