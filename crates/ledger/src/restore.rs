//! Restores a state from derived data instead of from every entry. The calls, in this order: [`Ledger::set_past`],
//! [`Ledger::restore_accounts`], [`Ledger::restore_pending`], [`Ledger::restore_fact`] for every entry that is not in
//! derived data, [`Ledger::finish_restore`]. Entries after that point are applied as usual.

use types::Timestamp;

use crate::effect::resolution;
use crate::{Account, AccountPlace, Fact, Ledger, MetadataOf, PendingState, Transfer, TransferKey, WARM_EVENTS};

/// Where a restart finds the effect of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoredFrom {
    /// The tables of the index hold all of it: the account or its balances, the client's transfer and its state, the
    /// spent id.
    Tables,
    /// The tables hold at most a part of it, so the restart folds the entry of the fact again.
    Entry,
    /// The tables list it with the payment that it is about. The restart folds it again if that payment is open.
    Payment,
    /// The tables list it. The restart folds the most recent of its kind again, because the state keeps no others.
    Recent,
    /// There is no effect to restore: the fact only says that something happened.
    Nothing,
}

impl Fact {
    /// Where a restart finds the effect of this fact. The code that writes the tables and the code that restores a
    /// ledger both rely on it.
    pub const fn restored_from(&self) -> RestoredFrom {
        match self {
            Self::AccountOpened(_)
            | Self::AccountStaged { .. }
            | Self::TransferCreated(Transfer {
                key: TransferKey::Client(_), pending: None | Some(TransferKey::Client(_)), ..
            })
            | Self::TransferStaged { .. }
            | Self::TransferFailed { .. }
            | Self::TransferExpired(TransferKey::Client(_)) => RestoredFrom::Tables,
            Self::MetadataSet { of: MetadataOf::Payment(_), .. } => RestoredFrom::Payment,
            Self::BookOpened(_)
            // A leg, or what resolves one.
            | Self::TransferCreated(
                Transfer { key: TransferKey::Leg { .. }, .. } | Transfer { pending: Some(TransferKey::Leg { .. }), .. },
            )
            | Self::TransferExpired(TransferKey::Leg { .. })
            | Self::LimitsSet { .. }
            | Self::AddressSet { .. }
            | Self::MetadataSet { of: MetadataOf::Account(_) | MetadataOf::Transfer(_), .. }
            | Self::TransferScheduled(_)
            | Self::ScheduledCancelled { .. }
            | Self::IndexesChosen { .. }
            | Self::ImportStarted(_)
            | Self::ImportNoted { .. } => RestoredFrom::Entry,
        }
    }
}

impl Ledger {
    /// Adds accounts with their balances to an empty ledger, in order of place and without gaps.
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
                // If several accounts share an id, all but the last belong to discarded imports.
                self.accounts.add(account, |_| true);
            }
        }
        self.accounts.forget_changes();
    }

    /// Adds a client's pending transfer that is unresolved. The balances of the accounts already include it.
    pub fn restore_pending(&mut self, transfer: Transfer) {
        let TransferKey::Client(id) = transfer.key else { panic!("legs of payments are restored from their entries") };
        let taken = self.pendings.insert(id, transfer);
        assert!(taken.is_none() && transfer.is_pending(), "LED-4: transfer {id} is not pending, or was restored twice");
        self.note_pending(&transfer);
    }

    /// Like [`Ledger::apply`], for a fact up to the restored point. What the tables hold stays as it was restored; see
    /// [`Fact::restored_from`].
    pub fn restore_fact(&mut self, fact: &Fact) {
        if fact.restored_from() == RestoredFrom::Tables {
            return;
        }
        match fact {
            Fact::BookOpened(book) => {
                self.open_book(book);
            }
            Fact::TransferCreated(transfer) => {
                if let (Some(state), Some(key)) = (resolution(transfer), transfer.pending) {
                    self.restore_resolution(key, state);
                }
                if matches!(transfer.key, TransferKey::Leg { .. }) {
                    assert!(self.legs.add(*transfer), "LED-4: transfer {} was already created", transfer.key);
                    self.note_pending(transfer);
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
            | Fact::TransferStaged { .. } => unreachable!("the tables restore them"),
        }
    }

    /// Resolves a leg. How a client's transfer was resolved is in the past.
    fn restore_resolution(&mut self, key: TransferKey, state: PendingState) {
        if matches!(key, TransferKey::Leg { .. }) {
            let leg = self.resolve_leg(key, state);
            self.forget_pending(&leg);
        }
    }

    /// Finishes the restore. `recorded` and `last_transfer` are the values that [`Ledger::recorded`] and
    /// [`Ledger::last_transfer_timestamp`] had at the restored point.
    ///
    /// # Panics
    /// LED-1 and LED-8: if the restored accounts do not balance or belong to no book.
    pub fn finish_restore(&mut self, recorded: u64, last_transfer: Timestamp) {
        self.recents.start(recorded);
        self.last_transfer = last_transfer;
        // A scheduled transfer that was carried out is a client transfer in the past.
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
            let book = self.books.get_mut(&account.ledger).expect("LED-8: an account belongs to an open book");
            book.totals.replace(&account.emptied(), account);
            book.accounts.push(AccountPlace(number));
        }
        for (id, book) in &self.books {
            assert!(book.totals.balance(), "LED-1: debits equal credits in ledger {id}");
        }
    }
}
