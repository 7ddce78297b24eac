//! Applies the facts of imports.

use types::Timestamp;

use crate::effect::Effect;
use crate::recents::Record;
use crate::totals::Totals;
use crate::{
    Account, Import, ImportNumber, ImportProgress, ImportState, ImportStatus, Ledger, Touched, Transfer, TransferKey,
};

impl Ledger {
    /// Restores how far an import has come. Its rows are restored from derived data.
    pub(crate) fn restore_import(&mut self, number: ImportNumber, state: ImportState, progress: &ImportProgress) {
        let status = self.imports.get_mut(number);
        status.state = state;
        status.progress = progress.clone();
    }

    pub(crate) fn start_import(&mut self, import: &Import) -> Touched {
        assert_eq!(
            self.imports.next_number(),
            Some(import.number),
            "LED-9: imports are numbered in the order in which they start"
        );
        assert!(self.books.contains_key(&import.ledger), "LED-8: an import belongs to an open book");
        self.imports.all.push(ImportStatus {
            import: *import,
            state: ImportState::Staged,
            progress: ImportProgress::default(),
            totals: Totals::default(),
        });
        Touched::Nothing
    }

    /// The import, which must still accept rows.
    fn staging(&mut self, number: ImportNumber) -> &mut ImportStatus {
        let status = self.imports.get_mut(number);
        assert_eq!(status.state, ImportState::Staged, "LED-9: import {} accepts no more rows", status.import.id);
        status
    }

    pub(crate) fn stage_account(&mut self, number: ImportNumber, account: &Account) -> Touched {
        assert_eq!(*account, account.emptied(), "LED-1: account {} opens with non-zero balances", account.id);
        let status = self.staging(number);
        assert_eq!(account.ledger, status.import.ledger, "LED-8: all rows of an import belong to its book");
        status.progress.last_account = later(account.timestamp, status.progress.last_account);
        status.progress.accounts = status.progress.accounts.saturating_add(1);
        let place = self.add_account(account);
        self.imports.add_place(number, place);
        Touched::Account(place)
    }

    pub(crate) fn stage_transfer(&mut self, number: ImportNumber, transfer: &Transfer) -> Touched {
        let TransferKey::Client(id) = transfer.key else { panic!("LED-9: transfers of imports have client ids") };
        let is_plain = transfer.pending.is_none() && transfer.timeout_s == 0 && !transfer.is_pending();
        assert!(is_plain, "LED-9: transfer {id} of an import is not single-phase");
        assert!(self.is_free(id), "LED-4: transfer {id} was already created or failed");
        let status = self.staging(number);
        status.progress.last_transfer = later(transfer.timestamp, status.progress.last_transfer);
        status.progress.transfers = status.progress.transfers.saturating_add(1);
        for account in [transfer.debit, transfer.credit] {
            assert!(
                self.staged_account(number, account).is_some(),
                "LED-9: account {account} does not belong to the import"
            );
        }
        let touched = self.change_accounts(transfer, Effect::of(transfer, None), Some(number));
        assert!(
            self.recents.add(Record::Staged { import: number, transfer: *transfer }),
            "LED-4: transfer {id} was already created or failed"
        );
        touched
    }

    pub(crate) fn note_import(
        &mut self,
        number: ImportNumber,
        state: ImportState,
        progress: &ImportProgress,
    ) -> Touched {
        let status = self.staging(number);
        assert_eq!(status.progress, *progress, "LED-9: the recorded progress must be the actual progress");
        status.state = state;
        if state == ImportState::Opened {
            let totals = std::mem::take(&mut status.totals);
            let (ledger, progress) = (status.import.ledger, status.progress.clone());
            self.imports.reveal(number);
            self.last_account = self.last_account.max(progress.last_account);
            self.last_transfer = self.last_transfer.max(progress.last_transfer);
            let book = self.books.get_mut(&ledger).expect("LED-8: an import belongs to an open book");
            book.totals.add(&totals);
            assert!(book.totals.balance(), "LED-1: debits equal credits in ledger {ledger}");
            book.add_import(progress.each_place());
        }
        Touched::Nothing
    }

    /// Finishes the restore of imports: hides those that are not open, and adds those that are to their books.
    pub(crate) fn finish_restore_imports(&mut self) {
        self.imports.hide_all();
        for number in (0..self.imports.all.len())
            .filter_map(|index| ImportNumber::new(u16::try_from(index).ok()?.saturating_add(1)))
        {
            let status = self.imports.get(number);
            let places: Vec<_> = status.progress.each_place().collect();
            let mut totals = Totals::default();
            for account in places.iter().map(|place| self.accounts.at(*place)) {
                totals.replace(&account.emptied(), account);
            }
            assert!(totals.balance(), "LED-1: debits equal credits in import {}", status.import.id);
            let (state, ledger) = (status.state, status.import.ledger);
            match state {
                ImportState::Staged => self.imports.get_mut(number).totals = totals,
                ImportState::Discarded => {}
                ImportState::Opened => {
                    self.last_account = self.last_account.max(self.imports.get(number).progress.last_account);
                    let book = self.books.get_mut(&ledger).expect("LED-8: an import belongs to an open book");
                    book.totals.add(&totals);
                    book.add_import(places.into_iter());
                }
            }
        }
    }
}

fn later(timestamp: Timestamp, last: Timestamp) -> Timestamp {
    assert!(timestamp > last, "LED-3: {timestamp} is not later than {last}");
    timestamp
}
