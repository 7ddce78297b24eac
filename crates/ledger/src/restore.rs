//! Taking over a state from derived data instead of from every entry. In this order: [`Ledger::set_past`],
//! [`Ledger::restore_accounts`], [`Ledger::restore_pending`], [`Ledger::restore_fact`] for every entry that derived data
//! does not hold, [`Ledger::finish_restore`]; then the entries after that point are applied as ever.

use types::Timestamp;

use crate::effect::resolution;
use crate::{Account, AccountPlace, Fact, Ledger, PendingState, Transfer, TransferKey, WARM_EVENTS};

impl Ledger {
    /// Puts accounts with their balances into an empty ledger, in order of place, without gaps.
    pub fn restore_accounts(&mut self, accounts: impl Iterator<Item = Account>) {
        let mut accounts = accounts.fuse();
        let mut next = Vec::with_capacity(WARM_EVENTS);
        loop {
            next.extend(accounts.by_ref().take(WARM_EVENTS));
            if next.is_empty() {
                break;
            }
            self.accounts.warm(next.iter().map(|account: &Account| account.id));
            for account in next.drain(..) {
                // Of accounts with one id only the last can be one that no import discarded.
                self.accounts.add(account, |_| true);
            }
        }
        self.accounts.forget_changes();
    }

    /// Puts in a client's pending transfer that is unresolved; the accounts' balances hold it already.
    pub fn restore_pending(&mut self, transfer: Transfer) {
        let TransferKey::Client(id) = transfer.key else { panic!("the transfers of payments come with their entries") };
        let taken = self.pendings.insert(id, transfer);
        assert!(taken.is_none() && transfer.is_pending(), "LED-4: transfer {id} is pending once");
        if let Some(expiry) = transfer.expires_at() {
            self.expiries.insert((expiry, transfer.timestamp), transfer.key);
        }
    }

    /// As [`Ledger::apply`], for a fact up to the restored point: leaves accounts, balances and client transfers as they
    /// were restored, and takes over all else.
    pub fn restore_fact(&mut self, fact: &Fact) {
        match fact {
            Fact::BookOpened(book) => {
                self.open_book(book);
            }
            Fact::TransferCreated(transfer) => {
                if let (Some(state), Some(key)) = (resolution(transfer), transfer.pending) {
                    self.restore_resolution(key, state);
                }
                if matches!(transfer.key, TransferKey::Leg { .. }) {
                    assert!(self.legs.add(*transfer), "LED-4: transfer {} is created once", transfer.key);
                    if let Some(expiry) = transfer.expires_at() {
                        self.expiries.insert((expiry, transfer.timestamp), transfer.key);
                    }
                }
            }
            Fact::TransferExpired(key) => self.restore_resolution(*key, PendingState::Expired),
            Fact::LimitsSet { .. }
            | Fact::AddressSet { .. }
            | Fact::MetadataSet { .. }
            | Fact::TransferScheduled(_)
            | Fact::IndexesChosen { .. } => {
                self.apply_setting(fact);
            }
            Fact::ScheduledCancelled { id } => {
                self.schedule.remove(*id);
            }
            Fact::ImportStarted(import) => {
                self.start_import(import);
            }
            Fact::ImportNoted { import, state, progress } => self.restore_import(*import, *state, progress),
            Fact::AccountOpened(_)
            | Fact::TransferFailed { .. }
            | Fact::AccountStaged { .. }
            | Fact::TransferStaged { .. } => {}
        }
    }

    /// Of a leg; what became of a client's transfer is in the past.
    fn restore_resolution(&mut self, key: TransferKey, state: PendingState) {
        if matches!(key, TransferKey::Leg { .. }) {
            let leg = self.resolve_leg(key, state);
            if let Some(expiry) = leg.expires_at() {
                self.expiries.remove(&(expiry, leg.timestamp));
            }
        }
    }

    /// Ends the restoring: as of the restored point [`Ledger::recorded`] was `recorded`, and
    /// [`Ledger::last_transfer_timestamp`] was `last_transfer`.
    ///
    /// # Panics
    /// LED-1 and LED-8: when the restored accounts do not balance, or stand in no book.
    pub fn finish_restore(&mut self, recorded: u64, last_transfer: Timestamp) {
        self.recents.start(recorded);
        self.last_transfer = last_transfer;
        // Their executions are client transfers, which are in the past.
        let waiting: Vec<_> = self.schedule.in_order().map(|(_, id)| id).collect();
        for id in waiting {
            if self.past.find(id).is_some() {
                self.schedule.remove(id);
            }
        }
        self.finish_restore_imports();
        let mut imported = self.imports.every_place().into_iter().peekable();
        for (number, account) in (0_u32..).zip(self.accounts.from(AccountPlace(0))) {
            if imported.next_if_eq(&AccountPlace(number)).is_some() {
                continue;
            }
            self.last_account = self.last_account.max(account.timestamp);
            let book = self.books.get_mut(&account.ledger).expect("LED-8: an account stands in an open book");
            book.totals.replace(&account.emptied(), account);
            book.accounts.push(AccountPlace(number));
        }
        for (id, book) in &self.books {
            assert!(book.totals.balance(), "LED-1: debits equal credits in ledger {id}");
        }
    }
}
