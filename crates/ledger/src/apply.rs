use types::Timestamp;

use crate::effect::{Effect, resolution};
use crate::state::{BookState, Recorded};
use crate::totals::Totals;
use crate::{Account, AccountFlags, Fact, Ledger, PendingState, Transfer, TransferKey};

impl Ledger {
    /// Folds one fact into the state. The facts of a plan apply in their order, before anything else is planned.
    ///
    /// # Panics
    /// When the fact contradicts an invariant (the crate's page lists them): the entry was not made by a plan against
    /// this state, and going on would spoil the books.
    pub fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::BookOpened(book) => {
                let empty = BookState { book: *book, totals: Totals::default(), accounts: vec![], transfers: vec![] };
                let taken = self.books.insert(book.id, empty);
                assert!(taken.is_none(), "LED-4: ledger {} is opened once", book.id);
            }
            Fact::AccountOpened(account) => self.open_account(account),
            Fact::TransferCreated(transfer) => self.create_transfer(transfer),
            Fact::TransferFailed { id, status } => {
                assert!(status.sticks(), "LED-4: {} does not spend an id", status.name());
                let key = TransferKey::Client(*id);
                assert!(self.transfer(key).is_none(), "LED-4: transfer {id} was created, so it cannot fail");
                assert!(self.failed.insert(*id), "LED-4: transfer {id} fails once");
            }
            Fact::TransferExpired(key) => self.expire_transfer(*key),
        }
    }

    fn open_account(&mut self, account: &Account) {
        let idle = [account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted];
        assert!(idle.iter().all(|amount| amount.is_zero()), "LED-1: account {} opens with balances", account.id);
        self.pass_time(account.timestamp);
        let place = self.accounts.add(account.id, *account).expect("LED-4: an account is opened once");
        let book = self.books.get_mut(&account.ledger).expect("LED-8: an account stands in an open book");
        book.accounts.push(place);
    }

    fn create_transfer(&mut self, transfer: &Transfer) {
        if let TransferKey::Client(id) = transfer.key {
            assert!(!self.failed.contains(&id), "LED-4: transfer {id} failed, so it cannot be created");
        }
        self.pass_time(transfer.timestamp);
        let resolved = resolution(transfer).map(|state| {
            let key = transfer.pending.expect("LED-5: a post or void names a pending transfer");
            self.resolve(key, state)
        });
        self.change_accounts(transfer, Effect::of(transfer, resolved.as_ref()));

        let state = transfer.is_pending().then_some(PendingState::Pending);
        let recorded = Recorded { transfer: *transfer, state };
        let place = self.transfers.add(transfer.key, recorded).expect("LED-4: a transfer is created once");
        let book = self.books.get_mut(&transfer.ledger).expect("LED-8: a transfer is in an open book");
        book.transfers.push(place);
        if let Some(expiry) = transfer.expires_at() {
            self.expiries.insert((expiry, place));
        }
    }

    fn expire_transfer(&mut self, key: TransferKey) {
        let first = self.expiries.first().map(|&(_, place)| place);
        assert_eq!(first, self.transfers.place(key), "LED-7: {key} is not the next to expire");
        let pending = self.resolve(key, PendingState::Expired);
        self.change_accounts(&pending, Effect::of_release(&pending));
    }

    /// Ends the pending transfer `key` and returns it.
    fn resolve(&mut self, key: TransferKey, state: PendingState) -> Transfer {
        let place = self.transfers.place(key).expect("LED-5: what is resolved exists");
        let pending = self.transfers.at_mut(place);
        assert_eq!(pending.state, Some(PendingState::Pending), "LED-5: {key} resolves once");
        pending.state = Some(state);
        let transfer = pending.transfer;
        if let Some(expiry) = transfer.expires_at() {
            self.expiries.remove(&(expiry, place));
        }
        transfer
    }

    fn change_accounts(&mut self, transfer: &Transfer, effect: Effect) {
        let places = [transfer.debit, transfer.credit]
            .map(|id| self.accounts.place(id).expect("LED-8: a transfer moves between accounts that exist"));
        let accounts = self.accounts.pair_mut(places);
        let [debit, credit] = accounts;
        let before = [*debit, *credit];
        effect.change(debit, credit);

        let book = self.books.get_mut(&transfer.ledger).expect("LED-8: a transfer is in an open book");
        for (old, new) in before.iter().zip([&*debit, &*credit]) {
            assert_eq!(new.ledger, transfer.ledger, "LED-8: account {} is in another ledger", new.id);
            assert!(within_limits(new), "LED-2: account {} crosses its limit", new.id);
            book.totals.replace(old, new);
        }
        assert!(book.totals.balance(), "LED-1: debits equal credits in ledger {}", transfer.ledger);
    }

    fn pass_time(&mut self, timestamp: Timestamp) {
        assert!(timestamp > self.last_timestamp, "LED-3: {timestamp} is not later than {}", self.last_timestamp);
        self.last_timestamp = timestamp;
    }
}

/// LED-2 of one account; its sums are LED-6.
fn within_limits(account: &Account) -> bool {
    let (debits, credits) = (account.debits(), account.credits());
    let has = |flag| account.flags.contains(flag);
    (!has(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS) || debits <= account.credits_posted)
        && (!has(AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS) || credits <= account.debits_posted)
}
