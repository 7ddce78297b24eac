//! Folds facts into the ledger, and asserts its invariants as it does.

use types::Timestamp;

use crate::effect::{Effect, resolution};
use crate::recents::Record;
use crate::state::BookState;
use crate::{
    Account, AccountFlags, AccountPlace, Book, Fact, ImportNumber, ImportState, Ledger, PendingState, Transfer,
    TransferFlags, TransferKey,
};

/// Which balances a fact changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    Nothing,
    /// An account was opened.
    Account(AccountPlace),
    /// A transfer was created or expired.
    Transfer {
        debit: AccountPlace,
        credit: AccountPlace,
    },
    /// No balance changed, but the id of a transfer was spent.
    Failed,
}

impl Ledger {
    /// Applies one fact to the state. The facts of a plan must be applied in their order, before anything else is
    /// planned.
    ///
    /// # Panics
    /// Panics if the fact contradicts an invariant (listed in the crate documentation). In that case the entry was not
    /// made by a plan against this state, and continuing would corrupt the books.
    pub fn apply(&mut self, fact: &Fact) -> Touched {
        match fact {
            Fact::BookOpened(book) => self.open_book(book),
            Fact::AccountOpened(account) => self.open_account(account),
            Fact::TransferCreated(transfer) => self.create_transfer(transfer),
            Fact::TransferFailed { id, status } => {
                let spends = self.schedule.remove(*id) || status.sticks();
                assert!(spends, "LED-4: {} does not make an id unusable", status.name());
                let is_new = self.recents.add(Record::Failed { id: *id, status: *status });
                assert!(is_new, "LED-4: transfer {id} was already created or failed");
                Touched::Failed
            }
            Fact::TransferExpired(key) => self.expire_transfer(*key),
            Fact::LimitsSet { .. }
            | Fact::AddressSet { .. }
            | Fact::MetadataSet { .. }
            | Fact::TransferScheduled(_)
            | Fact::IndexesChosen { .. }
            | Fact::ScheduledCancelled { .. } => self.apply_setting(fact),
            Fact::ImportStarted(import) => self.start_import(import),
            Fact::AccountStaged { import, account } => self.stage_account(*import, account),
            Fact::TransferStaged { import, transfer } => self.stage_transfer(*import, transfer),
            Fact::ImportNoted { import, state, progress } => self.note_import(*import, *state, progress),
        }
    }

    pub(crate) fn open_book(&mut self, book: &Book) -> Touched {
        let empty = BookState::new(book);
        let taken = self.books.insert(book.id, empty);
        assert!(taken.is_none(), "LED-4: ledger {} is already open", book.id);
        Touched::Nothing
    }

    fn open_account(&mut self, account: &Account) -> Touched {
        let idle = [account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted];
        assert!(
            idle.iter().all(|amount| amount.is_zero()),
            "LED-1: account {} opens with non-zero balances",
            account.id
        );
        let is_imported = account.flags.contains(AccountFlags::IMPORTED);
        let last = if is_imported { self.last_account } else { self.last_timestamp() };
        self.last_account = pass_time(account.timestamp, last);
        let place = self.add_account(account);
        let book = self.books.get_mut(&account.ledger).expect("LED-8: an account belongs to an open book");
        book.accounts.push(place);
        Touched::Account(place)
    }

    /// Gives an account its place. It may take over the id of an account from a discarded import.
    pub(crate) fn add_account(&mut self, account: &Account) -> AccountPlace {
        let Self { accounts, imports, .. } = self;
        let is_free = |place| imports.hiding(place).is_some_and(|status| status.state == ImportState::Discarded);
        accounts.add(*account, is_free).expect("LED-4: an account is opened once")
    }

    fn create_transfer(&mut self, transfer: &Transfer) -> Touched {
        let is_imported = transfer.flags.contains(TransferFlags::IMPORTED);
        let last = if is_imported { self.last_transfer } else { self.last_timestamp() };
        self.last_transfer = pass_time(transfer.timestamp, last);
        let resolved = resolution(transfer).map(|state| {
            let key = transfer.pending.expect("LED-5: a post or void names a pending transfer");
            self.resolve(key, state)
        });
        let touched = self.change_accounts(transfer, Effect::of(transfer, resolved.as_ref()), None);

        let is_new = match transfer.key {
            TransferKey::Client(id) => {
                self.schedule.remove(id);
                let unresolved = transfer.is_pending() && self.pendings.insert(id, *transfer).is_some();
                !unresolved && self.recents.add(Record::Created(*transfer))
            }
            TransferKey::Leg { .. } => self.legs.add(*transfer),
        };
        assert!(is_new, "LED-4: transfer {} was already created or failed", transfer.key);
        self.note_pending(transfer);
        touched
    }

    fn expire_transfer(&mut self, key: TransferKey) -> Touched {
        let first = self.expiries.first_key_value().map(|(_, key)| *key);
        assert_eq!(first, Some(key), "LED-7: {key} is not the next to expire");
        let pending = self.resolve(key, PendingState::Expired);
        if let TransferKey::Client(id) = key {
            self.recents.add(Record::Expired(id));
        }
        self.change_accounts(&pending, Effect::of_release(&pending), None)
    }

    /// Takes the pending transfer `key` out of the pending ones, records how it ended, and returns it.
    fn resolve(&mut self, key: TransferKey, state: PendingState) -> Transfer {
        let transfer = match key {
            TransferKey::Client(id) => {
                self.resolved.insert(id, state);
                self.pendings.remove(&id).unwrap_or_else(|| panic!("LED-5: {key} is not pending"))
            }
            TransferKey::Leg { .. } => self.resolve_leg(key, state),
        };
        self.forget_pending(&transfer);
        transfer
    }

    /// Adds a transfer that is pending to the lists of unresolved transfers.
    pub(crate) fn note_pending(&mut self, transfer: &Transfer) {
        if !transfer.is_pending() {
            return;
        }
        self.unresolved.insert(transfer.timestamp, transfer.key);
        if let Some(expiry) = transfer.expires_at() {
            self.expiries.insert((expiry, transfer.timestamp), transfer.key);
        }
    }

    /// Removes a resolved transfer from the lists of unresolved transfers.
    pub(crate) fn forget_pending(&mut self, transfer: &Transfer) {
        self.unresolved.remove(&transfer.timestamp);
        if let Some(expiry) = transfer.expires_at() {
            self.expiries.remove(&(expiry, transfer.timestamp));
        }
    }

    pub(crate) fn resolve_leg(&mut self, key: TransferKey, state: PendingState) -> Transfer {
        let leg = self.legs.find_mut(key).expect("LED-5: a leg is created before it resolves");
        assert_eq!(leg.state, Some(PendingState::Pending), "LED-5: {key} is already resolved");
        leg.state = Some(state);
        leg.transfer
    }

    /// Changes the balances of both accounts, and the sums that include them: those of the book, or of a staged import.
    pub(crate) fn change_accounts(
        &mut self,
        transfer: &Transfer,
        effect: Effect,
        import: Option<ImportNumber>,
    ) -> Touched {
        let places = [transfer.debit, transfer.credit]
            .map(|id| self.accounts.place(id).expect("LED-8: a transfer moves between accounts that exist"));
        let [debit, credit] = places;
        assert_ne!(debit, credit, "LED-8: a transfer moves between two accounts");
        let before = places.map(|place| *self.accounts.at(place));
        let mut after = before;
        let [debited, credited] = &mut after;
        effect.change(debited, credited);
        if !self.limits.is_empty() {
            let [debited, credited] = &before;
            let moves = effect.moves();
            assert!(
                moves <= self.limits(debited.id).debit_room(debited),
                "LED-2: {} falls below its floor",
                debited.id
            );
            let room = self.limits(credited.id).credit_room(credited);
            assert!(moves <= room, "LED-2: {} rises above its ceiling", credited.id);
        }

        let totals = match import {
            Some(number) => &mut self.imports.get_mut(number).totals,
            None => &mut self.books.get_mut(&transfer.ledger).expect("LED-8: a transfer is in an open book").totals,
        };
        for ((place, old), new) in places.into_iter().zip(&before).zip(after) {
            assert_eq!(new.ledger, transfer.ledger, "LED-8: account {} is in another ledger", new.id);
            assert!(within_limits(&new), "LED-2: account {} crosses its limit", new.id);
            totals.replace(old, &new);
            self.addresses.replace(place, old, &new);
            self.accounts.put(place, new);
        }
        assert!(totals.balance(), "LED-1: debits equal credits in ledger {}", transfer.ledger);
        Touched::Transfer { debit, credit }
    }
}

fn pass_time(timestamp: Timestamp, last: Timestamp) -> Timestamp {
    assert!(timestamp > last, "LED-3: {timestamp} is not later than {last}");
    timestamp
}

/// Whether the account keeps LED-2. Computing its sums checks LED-6.
fn within_limits(account: &Account) -> bool {
    let (debits, credits) = (account.debits(), account.credits());
    let has = |flag| account.flags.contains(flag);
    (!has(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS) || debits <= account.credits_posted)
        && (!has(AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS) || credits <= account.debits_posted)
}
