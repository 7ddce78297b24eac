//! The model of the state beside the balances.

use ledger::{Limits, MetadataOf, NewAccount, NewTransfer, Scheduled, TransferFlags as F, TransferKey};
use types::AccountId;

use super::naive::{Model, Moment};
use super::rules::Books as _;

impl Model {
    pub(super) fn set_limits(&mut self, account: AccountId, limits: Limits) -> &'static str {
        let crossed = limits.min_balance.zip(limits.max_balance).is_some_and(|(floor, ceiling)| floor > ceiling);
        if self.account(account).is_none() {
            "account_not_found"
        } else if crossed {
            "min_balance_exceeds_max_balance"
        } else if self.limits.get(&account).copied().unwrap_or_default() == limits {
            "exists"
        } else {
            self.limits.insert(account, limits);
            "created"
        }
    }

    pub(super) fn set_address(&mut self, account: AccountId, address: &str) -> &'static str {
        let present = self.addresses.get(&account);
        if self.account(account).is_none() {
            "account_not_found"
        } else if present.is_some_and(|present| present == address) {
            "exists"
        } else if present.is_some() {
            "address_must_not_change"
        } else if self.addresses.values().any(|taken| taken == address) {
            "address_already_taken"
        } else {
            self.addresses.insert(account, address.to_owned());
            "created"
        }
    }

    pub(super) fn set_metadata(&mut self, of: MetadataOf, key: &str, value: Option<&str>) -> &'static str {
        match of {
            MetadataOf::Account(account) if self.account(account).is_none() => return "account_not_found",
            MetadataOf::Transfer(transfer) if self.find(transfer).is_none() => return "transfer_not_found",
            MetadataOf::Account(_) | MetadataOf::Transfer(_) | MetadataOf::Payment(_) => {}
        }
        let before = self.metadata.clone();
        match value {
            Some(value) => self.metadata.insert((of, key.to_owned()), value.to_owned()),
            None => self.metadata.remove(&(of, key.to_owned())),
        };
        if self.metadata == before { "exists" } else { "created" }
    }

    pub(super) fn schedule(&mut self, scheduled: Scheduled, now: u64) -> &'static str {
        let mut new: NewTransfer = scheduled.new;
        if matches!(new.key, TransferKey::Leg { .. }) || new.flags.intersects(F::LINKED | F::IMPORTED) {
            return "scheduled_transfer_must_stand_alone";
        }
        if let Some(status) =
            Self::judge_head(&mut new, Moment { now, is_import: false, last: now, is_approved: false })
        {
            return status;
        }
        if let Some(recorded) = self.find(new.key) {
            return self.compare(&new, recorded);
        }
        if self.failed.contains(&new.key) {
            return "id_already_failed";
        }
        match self.scheduled.iter().find(|waiting| waiting.new.key == new.key) {
            Some(waiting) if *waiting == scheduled => "exists",
            Some(_) => "id_already_scheduled",
            None if scheduled.at.ns() <= now => "scheduled_time_must_be_later",
            None => {
                self.scheduled.push(scheduled);
                "created"
            }
        }
    }

    pub(super) fn cancel(&mut self, key: TransferKey) -> &'static str {
        let waiting = self.scheduled.len();
        self.scheduled.retain(|scheduled| scheduled.new.key != key);
        if self.scheduled.len() < waiting {
            self.failed.insert(key);
            self.cancelled.insert(key);
            "created"
        } else if self.cancelled.contains(&key) {
            "exists"
        } else {
            "scheduled_transfer_not_found"
        }
    }

    /// The status of an imported account that has nothing else wrong with it.
    pub(super) fn import_account(&self, new: &NewAccount, now: u64) -> &'static str {
        let at = new.timestamp_ns;
        let last = self.accounts.iter().map(|account| account.timestamp.ns()).max();
        if at == 0 || i64::try_from(at).is_err() {
            "imported_event_timestamp_out_of_range"
        } else if at >= now {
            "imported_event_timestamp_must_not_advance"
        } else if let Some(recorded) = self.account(new.id) {
            // As it is now: a transfer may have closed it since.
            let closed = ledger::AccountFlags::CLOSED;
            let flags = if self.is_closed(recorded) { recorded.flags | closed } else { recorded.flags };
            if flags == new.flags { "exists" } else { "exists_with_different_flags" }
        } else if Some(at) <= last || self.moves.iter().any(|moved| moved.time == at) {
            "imported_event_timestamp_must_not_regress"
        } else {
            "created"
        }
    }

    /// In order of their time, then of scheduling.
    pub(super) fn due_scheduled(&self, now: u64, limit: usize) -> Vec<TransferKey> {
        let mut due: Vec<&Scheduled> = self.scheduled.iter().filter(|scheduled| scheduled.at.ns() <= now).collect();
        due.sort_by_key(|scheduled| scheduled.at);
        due.into_iter().take(limit).map(|scheduled| scheduled.new.key).collect()
    }

    /// The time of a scheduled transfer has come: it is created or fails for good.
    pub(super) fn execute(&mut self, key: TransferKey, now: u64) -> &'static str {
        let place = self.scheduled.iter().position(|scheduled| scheduled.new.key == key).expect("it waits");
        let mut new = self.scheduled.remove(place).new;
        new.pending = new.pending.filter(|pending| *pending != super::naive::client(0));
        let moment = Moment { now, is_import: false, last: now, is_approved: false };
        let status = self.judge_fresh(&mut new, moment);
        if status != "created" {
            self.failed.insert(key);
        }
        self.record(new, moment, status)
    }
}
