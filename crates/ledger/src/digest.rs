//! Feeds the ledger's changes to the state digest that every replay must reproduce.

use types::DigestBuilder;

use crate::{Account, AccountPlace, Fact, Ledger, MetadataOf, PendingState, Transfer, TransferKey};

impl Ledger {
    /// Adds to `into` the current state of every account that changed since [`Ledger::take_changes`], in order of
    /// place: the number 2, then every field, balances last.
    pub fn digest_changes(&self, into: &mut DigestBuilder) {
        for (_, account) in self.accounts.changes() {
            digest_account(account, into);
        }
    }

    /// Returns the accounts that changed since the last call, as they are now, in order of place.
    pub fn take_changes(&mut self) -> Vec<(AccountPlace, Account)> {
        let mut changes = Vec::with_capacity(self.accounts.changes_count());
        changes.extend(self.accounts.changes().map(|(place, account)| (place, *account)));
        self.accounts.forget_changes();
        changes
    }

    /// Adds to `into` what `fact` changed. The fact must have been applied just before. This omits accounts, which
    /// [`Ledger::digest_changes`] adds, and client transfers that are neither pending nor resolve a pending one: the
    /// balances of the accounts already cover those.
    ///
    /// Each part starts with its own number:
    /// - 1: a book was opened: id, asset code, scale, time of opening
    /// - 3: a transfer was created: every field
    /// - 4: state of a pending transfer: its key, then 0 pending, 1 posted, 2 voided, 3 expired
    /// - 5: an id failed: id, number of the status
    /// - 6: limits: account; then for floor and ceiling whether it is set, and its value
    /// - 7: an address: account, text
    /// - 8: metadata: what it belongs to, number of changes; then each key, whether it has a value, and the value
    /// - 9: a transfer was scheduled: its time, every field
    /// - 10: a scheduled transfer was cancelled: its id
    /// - 11: indexes: id of the book, bits of the fields
    /// - 12: an import started: number, id, id of the book, content, time
    /// - 13: an account was staged: number of the import
    /// - 14: progress of an import: its number, 0 staged, 1 opened, 2 discarded, and its counts
    ///
    /// Staged transfers have no part, because the balances of the accounts already cover them.
    pub fn digest_after(&self, fact: &Fact, into: &mut DigestBuilder) {
        match fact {
            Fact::BookOpened(book) => {
                into.u64(1).u64(book.id.get().into()).bytes(book.asset.code().as_bytes());
                into.u64(book.asset.scale().into()).u64(book.opened_at.ns());
            }
            Fact::AccountOpened(_) => {}
            Fact::TransferCreated(transfer) => {
                let is_leg = matches!(transfer.key, TransferKey::Leg { .. });
                if is_leg || transfer.is_pending() || transfer.pending.is_some() {
                    digest_transfer(transfer, into);
                    // A post or void adds the state of the transfer it resolves, a pending transfer its own.
                    self.digest_state(transfer.pending.unwrap_or(transfer.key), into);
                }
            }
            Fact::TransferFailed { id, status } => {
                into.u64(5).u128(id.get()).u64(status.number().into());
            }
            Fact::TransferExpired(key) => self.digest_state(*key, into),
            Fact::LimitsSet { account, limits } => {
                into.u64(6).u128(account.get());
                for limit in [limits.min_balance, limits.max_balance] {
                    into.u64(limit.is_some().into()).i128(limit.unwrap_or_default());
                }
            }
            Fact::AddressSet { account, address } => {
                into.u64(7).u128(account.get()).bytes(address.as_str().as_bytes());
            }
            Fact::MetadataSet { of, values } => digest_metadata(*of, values, into),
            Fact::TransferScheduled(scheduled) => {
                into.u64(9).u64(scheduled.at.ns());
                digest_transfer(&scheduled.new.as_asked(scheduled.at), into);
            }
            Fact::ScheduledCancelled { id } => {
                into.u64(10).u128(id.get());
            }
            Fact::IndexesChosen { ledger, fields } => {
                into.u64(11).u64(ledger.get().into()).u64(fields.bits().into());
            }
            Fact::ImportStarted(import) => {
                into.u64(12).u64(import.number.get().into()).u128(import.id.get()).u64(import.ledger.get().into());
                into.bytes(import.content.as_bytes()).u64(import.started_at.ns());
            }
            Fact::AccountStaged { import, .. } => {
                into.u64(13).u64(import.get().into());
            }
            Fact::TransferStaged { .. } => {}
            Fact::ImportNoted { import, state, progress } => {
                into.u64(14).u64(import.get().into()).u64(*state as u64).u64(progress.accounts).u64(progress.transfers);
            }
        }
    }

    fn digest_state(&self, key: TransferKey, into: &mut DigestBuilder) {
        let state = match key {
            TransferKey::Leg { .. } => self.legs.find(key).and_then(|leg| leg.state),
            TransferKey::Client(id) if self.pendings.contains_key(&id) => Some(PendingState::Pending),
            TransferKey::Client(id) => self.resolved.get(&id).copied(),
        };
        let Some(state) = state else { return };
        let number = match state {
            PendingState::Pending => 0,
            PendingState::Posted => 1,
            PendingState::Voided => 2,
            PendingState::Expired => 3,
        };
        into.u64(4);
        digest_key(key, into);
        into.u64(number);
    }
}

fn digest_account(account: &Account, into: &mut DigestBuilder) {
    // Destructuring every field forces whoever adds one to decide whether it is part of the state.
    let Account {
        id,
        ledger,
        code,
        user_data_128,
        user_data_64,
        user_data_32,
        flags,
        timestamp,
        debits_pending,
        debits_posted,
        credits_pending,
        credits_posted,
    } = *account;
    into.u64(2).u128(id.get()).u64(ledger.get().into()).u64(code.get().into());
    into.u128(user_data_128).u64(user_data_64).u64(user_data_32.into());
    into.u64(flags.bits().into()).u64(timestamp.ns());
    into.u128(debits_pending.get()).u128(debits_posted.get());
    into.u128(credits_pending.get()).u128(credits_posted.get());
}

fn digest_metadata(of: MetadataOf, values: &[(String, Option<String>)], into: &mut DigestBuilder) {
    into.u64(8);
    match of {
        MetadataOf::Account(id) => {
            into.u64(1).u128(id.get());
        }
        MetadataOf::Transfer(key) => {
            into.u64(2);
            digest_key(key, into);
        }
        MetadataOf::Payment(id) => {
            into.u64(3).u128(id.get());
        }
    }
    into.u64(values.len() as u64);
    for (key, value) in values {
        into.bytes(key.as_bytes()).u64(value.is_some().into()).bytes(value.as_deref().unwrap_or_default().as_bytes());
    }
}

fn digest_transfer(transfer: &Transfer, into: &mut DigestBuilder) {
    let Transfer {
        key,
        debit,
        credit,
        amount,
        pending,
        user_data_128,
        user_data_64,
        user_data_32,
        timeout_s,
        ledger,
        code,
        flags,
        timestamp,
    } = *transfer;
    into.u64(3);
    digest_key(key, into);
    into.u128(debit.get()).u128(credit.get()).u128(amount.get());
    match pending {
        None => {
            into.u64(0);
        }
        Some(key) => digest_key(key, into),
    }
    into.u128(user_data_128).u64(user_data_64).u64(user_data_32.into()).u64(timeout_s.into());
    into.u64(ledger.get().into()).u64(code.get().into()).u64(flags.bits().into()).u64(timestamp.ns());
}

/// Adds 1 and the id, or 2, the payment and the number of the leg. Where a key is optional, the caller writes 0 for
/// none.
fn digest_key(key: TransferKey, into: &mut DigestBuilder) {
    match key {
        TransferKey::Client(id) => into.u64(1).u128(id.get()),
        TransferKey::Leg { payment, number } => into.u64(2).u128(payment.get()).u64(number.into()),
    };
}
