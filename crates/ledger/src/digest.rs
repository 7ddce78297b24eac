use types::{AccountId, DigestBuilder};

use crate::{Account, Fact, Ledger, PendingState, Transfer, TransferKey};

impl Ledger {
    /// Adds to `into` what everything that `fact` changed looks like now, right after `fact` was applied.
    ///
    /// In this order, each part behind its own number:
    /// 1. a book opened: id, asset code, scale, time of opening;
    /// 2. an account changed (of a transfer the debit account, then the credit account): every field, balances last;
    /// 3. a transfer created: every field;
    /// 4. a pending transfer's state: its key, then pending 0, posted 1, voided 2, expired 3;
    /// 5. an id failed: id, number of the status.
    ///
    /// # Panics
    /// When `fact` was not applied.
    pub fn digest_after(&self, fact: &Fact, into: &mut DigestBuilder) {
        match fact {
            Fact::BookOpened(book) => {
                into.u64(1).u64(book.id.get().into()).bytes(book.asset.code().as_bytes());
                into.u64(book.asset.scale().into()).u64(book.opened_at.ns());
            }
            Fact::AccountOpened(account) => self.digest_account(account.id, into),
            Fact::TransferCreated(transfer) => {
                self.digest_accounts(transfer, into);
                digest_transfer(transfer, into);
                // Of a post or void the state of what it resolved, of a pending transfer its own.
                match transfer.pending {
                    Some(key) => self.digest_state(key, into),
                    None => self.digest_state(transfer.key, into),
                }
            }
            Fact::TransferFailed { id, status } => {
                into.u64(5).u128(id.get()).u64(status.number().into());
            }
            Fact::TransferExpired(key) => {
                let transfer = self.transfer(*key).expect("the fact was applied");
                self.digest_accounts(transfer, into);
                self.digest_state(*key, into);
            }
        }
    }

    fn digest_accounts(&self, transfer: &Transfer, into: &mut DigestBuilder) {
        self.digest_account(transfer.debit, into);
        self.digest_account(transfer.credit, into);
    }

    fn digest_account(&self, id: AccountId, into: &mut DigestBuilder) {
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
        } = *self.account(id).expect("the fact was applied");
        into.u64(2).u128(id.get()).u64(ledger.get().into()).u64(code.get().into());
        into.u128(user_data_128).u64(user_data_64).u64(user_data_32.into());
        into.u64(flags.bits().into()).u64(timestamp.ns());
        into.u128(debits_pending.get()).u128(debits_posted.get());
        into.u128(credits_pending.get()).u128(credits_posted.get());
    }

    fn digest_state(&self, key: TransferKey, into: &mut DigestBuilder) {
        let Some(state) = self.transfers.find(key).and_then(|recorded| recorded.state) else {
            return;
        };
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

/// 1 and the id, or 2, the payment and the number of the leg; where a key may be absent, 0 says so.
fn digest_key(key: TransferKey, into: &mut DigestBuilder) {
    match key {
        TransferKey::Client(id) => into.u64(1).u128(id.get()),
        TransferKey::Leg { payment, number } => into.u64(2).u128(payment.get()).u64(number.into()),
    };
}
