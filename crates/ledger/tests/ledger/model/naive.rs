//! The model: lists that are searched from front to back. It knows the rules of transfers, but nothing of how the
//! ledger keeps its books.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    AccountFlags as A, Limits, MetadataOf, NewTransfer, PendingState, Scheduled, TransferFlags as F, TransferKey,
};
use types::AccountId;

use super::rules::STICKING;
pub(super) use super::rules::{Books, Moment, Moved, client};

#[derive(Debug, Default, Clone)]
pub(super) struct Model {
    pub(super) accounts: Vec<ledger::Account>,
    pub(super) moves: Vec<Moved>,
    pub(super) failed: BTreeSet<TransferKey>,
    pub(super) expired: BTreeSet<TransferKey>,
    pub(super) limits: BTreeMap<AccountId, Limits>,
    pub(super) addresses: BTreeMap<AccountId, String>,
    pub(super) metadata: BTreeMap<(MetadataOf, String), String>,
    /// In order of scheduling.
    pub(super) scheduled: Vec<Scheduled>,
    pub(super) cancelled: BTreeSet<TransferKey>,
}

impl Model {
    pub(super) fn account(&self, id: AccountId) -> Option<&ledger::Account> {
        self.accounts.iter().find(|account| account.id == id)
    }

    pub(super) fn last_transfer(&self) -> u64 {
        self.moves.last().map_or(0, |moved| moved.time)
    }

    pub(super) fn find(&self, key: TransferKey) -> Option<&Moved> {
        self.moves.iter().find(|moved| moved.new.key == key)
    }

    /// The post or void of a pending transfer.
    fn resolution(&self, key: TransferKey) -> Option<&Moved> {
        self.moves.iter().find(|moved| moved.new.pending == Some(key))
    }

    fn is_reserved(&self, moved: &Moved) -> bool {
        let key = moved.new.key;
        moved.new.flags.contains(F::PENDING) && self.resolution(key).is_none() && !self.expired.contains(&key)
    }

    /// Debits pending and posted, credits pending and posted.
    pub(super) fn balances(&self, id: AccountId) -> [u128; 4] {
        let mut balances = [0; 4];
        for moved in &self.moves {
            let flags = moved.new.flags;
            let [pending, posted] = if self.is_reserved(moved) {
                [moved.new.amount.get(), 0]
            } else if flags.intersects(F::PENDING | F::VOID_PENDING_TRANSFER) {
                [0, 0]
            } else {
                [0, moved.new.amount.get()]
            };
            if moved.new.debit == id {
                balances = [balances[0] + pending, balances[1] + posted, balances[2], balances[3]];
            }
            if moved.new.credit == id {
                balances = [balances[0], balances[1], balances[2] + pending, balances[3] + posted];
            }
        }
        balances
    }

    pub(super) fn is_closed(&self, account: &ledger::Account) -> bool {
        let closes = |moved: &Moved| {
            (moved.new.debit == account.id && moved.new.flags.contains(F::CLOSING_DEBIT))
                || (moved.new.credit == account.id && moved.new.flags.contains(F::CLOSING_CREDIT))
        };
        account.flags.contains(A::CLOSED) || self.moves.iter().any(|moved| closes(moved) && self.is_reserved(moved))
    }

    fn expiry(moved: &Moved) -> Option<u64> {
        (moved.new.timeout_s > 0).then(|| moved.time + u64::from(moved.new.timeout_s) * 1_000_000_000)
    }

    pub(super) fn state(&self, moved: &Moved, now: u64) -> Option<PendingState> {
        if !moved.new.flags.contains(F::PENDING) {
            return None;
        }
        Some(match self.resolution(moved.new.key) {
            Some(by) if by.new.flags.contains(F::POST_PENDING_TRANSFER) => PendingState::Posted,
            Some(_) => PendingState::Voided,
            None if Self::expiry(moved).is_some_and(|expiry| now >= expiry) => PendingState::Expired,
            None => PendingState::Pending,
        })
    }

    pub(super) fn due(&self, now: u64, limit: usize) -> Vec<TransferKey> {
        let reserved = self.moves.iter().filter(|moved| self.is_reserved(moved));
        let mut due: Vec<_> =
            reserved.filter(|moved| Self::expiry(moved).is_some_and(|expiry| now >= expiry)).collect();
        due.sort_by_key(|moved| (Self::expiry(moved), moved.time));
        due.into_iter().take(limit).map(|moved| moved.new.key).collect()
    }

    /// Creates a transfer on its own, which cannot be linked.
    pub(super) fn create(&mut self, new: &NewTransfer, now: u64) -> &'static str {
        if new.flags.contains(F::LINKED) {
            return "linked_event_chain_open";
        }
        self.create_at(new, Moment { now, is_import: new.flags.contains(F::IMPORTED), last: now, is_approved: false })
    }

    /// Creates the transfers of a batch, the first of which is judged at `now`.
    pub(super) fn create_all(&mut self, events: &[NewTransfer], now: u64) -> Vec<&'static str> {
        let is_import = events.first().is_some_and(|first| first.flags.contains(F::IMPORTED));
        let last = now + events.len() as u64 - 1;
        let mut statuses = vec![];
        for chain in events.chunk_by(|event, _| event.flags.contains(F::LINKED)) {
            let now = now + statuses.len() as u64;
            let is_open = chain.last().is_some_and(|event| event.flags.contains(F::LINKED));
            let before = self.clone();
            let mut found = vec![];
            for event in &chain[..chain.len() - usize::from(is_open)] {
                let now = now + found.len() as u64;
                found.push(self.create_at(event, Moment { now, is_import, last, is_approved: false }));
                if chain.len() > 1 && found.last() != Some(&"created") {
                    break;
                }
            }
            let broke = found.last().is_some_and(|status| *status != "created");
            if is_open || (broke && chain.len() > 1) {
                let spent =
                    found.len().checked_sub(1).map(|place| chain[place].key).filter(|key| self.failed.contains(key));
                *self = before;
                self.failed.extend(spent.filter(|_| broke));
                let places = if broke { 0..found.len() - 1 } else { 0..found.len() };
                found[places].fill("linked_event_failed");
                found.resize(chain.len(), "linked_event_failed");
                if is_open {
                    found[chain.len() - 1] = "linked_event_chain_open";
                }
            }
            statuses.extend(found);
        }
        statuses
    }

    pub(super) fn create_at(&mut self, new: &NewTransfer, moment: Moment) -> &'static str {
        let mut new = *new;
        let status = self.judge(&mut new, moment);
        self.record(new, moment, status)
    }

    /// Records what a transfer with this status leaves behind.
    pub(super) fn record(&mut self, new: NewTransfer, moment: Moment, status: &'static str) -> &'static str {
        if status == "created" {
            let time = if new.flags.contains(F::IMPORTED) { new.timestamp_ns } else { moment.now };
            self.scheduled.retain(|scheduled| scheduled.new.key != new.key);
            self.moves.push(Moved { new, time });
        } else if STICKING.contains(&status) && matches!(new.key, TransferKey::Client(_)) {
            self.failed.insert(new.key);
        }
        status
    }
}

impl Books for Model {
    fn opened(&self, id: AccountId) -> Option<ledger::Account> {
        self.account(id).copied()
    }

    fn sides(&self, id: AccountId) -> [u128; 4] {
        self.balances(id)
    }

    fn closed(&self, account: &ledger::Account) -> bool {
        self.is_closed(account)
    }

    fn bounds(&self, id: AccountId) -> Limits {
        self.limits.get(&id).copied().unwrap_or_default()
    }

    fn moved(&self, key: TransferKey) -> Option<Moved> {
        self.find(key).copied()
    }

    fn became(&self, moved: &Moved, now: u64) -> Option<PendingState> {
        self.state(moved, now)
    }

    fn has_failed(&self, key: TransferKey) -> bool {
        self.failed.contains(&key)
    }

    fn is_scheduled(&self, key: TransferKey) -> bool {
        self.scheduled.iter().any(|scheduled| scheduled.new.key == key)
    }

    fn last_moved(&self) -> u64 {
        self.last_transfer()
    }

    fn is_time_of_account(&self, at: u64) -> bool {
        self.accounts.iter().any(|account| account.timestamp.ns() == at)
    }
}
