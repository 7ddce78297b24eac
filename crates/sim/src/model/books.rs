//! The state that follows from the facts of the ledger, kept in plain maps.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    Account, AccountFlags, Book, Fact, Import, ImportNumber, ImportState, IndexedFields, Limits, MetadataOf,
    NewAccount, NewTransfer, PendingState, Scheduled, Transfer, TransferFlags as F, TransferKey,
};
use types::{AccountId, Amount, LedgerId, Timestamp, TransferId};

use super::ensure;
use super::rules::{Books as Rules, Moved};

/// Accounts, transfers, and the data kept with them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Books {
    pub(crate) books: BTreeMap<LedgerId, Book>,
    pub(crate) accounts: BTreeMap<AccountId, Held>,
    pub(crate) transfers: BTreeMap<TransferKey, Made>,
    pub(crate) failed: BTreeMap<TransferId, &'static str>,
    pub(crate) limits: BTreeMap<AccountId, Limits>,
    pub(crate) addresses: BTreeMap<AccountId, String>,
    pub(crate) metadata: BTreeMap<MetadataOf, BTreeMap<String, String>>,
    /// What accounts and transfers had before their first later change: address, limits and metadata.
    openings: BTreeMap<MetadataOf, Opening>,
    pub(crate) indexes: BTreeMap<LedgerId, IndexedFields>,
    /// Scheduled transfers, in the order in which they were scheduled.
    pub(crate) scheduled: Vec<Scheduled>,
    pub(crate) imports: Vec<Imported>,
    /// Pending transfers that have a timeout: when it ends, when the transfer was made, and its key.
    timeouts: BTreeSet<(Timestamp, Timestamp, TransferKey)>,
    last_moved: u64,
    times: BTreeSet<u64>,
}

/// Address, limits and metadata.
pub(crate) type Opening = (Option<String>, Limits, BTreeMap<String, String>);

/// An account as it was opened, and its totals since then.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    opened: Account,
    /// Debits pending, debits posted, credits pending, credits posted.
    pub(crate) sides: [u128; 4],
    /// The number of pending transfers that close the account.
    closing: u32,
}

/// A transfer, and its state if it was pending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) transfer: Transfer,
    pub(crate) resolved: Option<PendingState>,
}

#[derive(Debug, Clone)]
pub(crate) struct Imported {
    pub(crate) import: Import,
    pub(crate) state: ImportState,
    pub(crate) accounts: BTreeMap<AccountId, Held>,
    pub(crate) transfers: Vec<Transfer>,
}

impl Held {
    fn new(opened: Account) -> Self {
        Self { opened, sides: [0; 4], closing: 0 }
    }

    /// The account in its current state.
    pub(crate) fn shown(&self) -> Account {
        let [debits_pending, debits_posted, credits_pending, credits_posted] = self.sides.map(Amount::new);
        let flags = self.opened.flags;
        Account {
            debits_pending,
            debits_posted,
            credits_pending,
            credits_posted,
            flags: if self.closing > 0 { flags.with(AccountFlags::CLOSED) } else { flags },
            ..self.opened
        }
    }

    fn add(&mut self, side: usize, amount: u128) -> Result<(), String> {
        let sum = self.sides[side].checked_add(amount);
        self.sides[side] = sum.ok_or_else(|| format!("SIM-4: account {} overflows", self.opened.id))?;
        Ok(())
    }

    fn take(&mut self, side: usize, amount: u128) -> Result<(), String> {
        let rest = self.sides[side].checked_sub(amount);
        self.sides[side] = rest.ok_or_else(|| format!("SIM-4: account {} goes below zero", self.opened.id))?;
        Ok(())
    }

    fn within(&self) -> Result<(), String> {
        let [debits_pending, debits_posted, credits_pending, credits_posted] = self.sides;
        let bound = |flag, used: u128, limit| !self.opened.flags.contains(flag) || used <= limit;
        let debits = bound(
            AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS,
            debits_pending.saturating_add(debits_posted),
            credits_posted,
        );
        let credits = bound(
            AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS,
            credits_pending.saturating_add(credits_posted),
            debits_posted,
        );
        ensure(debits && credits, "SIM-4", || format!("account {} crosses its limit", self.opened.id))
    }
}

const PENDING: [usize; 2] = [0, 2];
const POSTED: [usize; 2] = [1, 3];

impl Books {
    /// The account in its current state, if it exists.
    pub(crate) fn account(&self, id: AccountId) -> Option<Account> {
        self.accounts.get(&id).map(Held::shown)
    }

    /// What an account or a transfer was created with, whatever changed later.
    pub(crate) fn opening(&self, of: MetadataOf) -> Opening {
        self.openings.get(&of).cloned().unwrap_or_else(|| {
            let metadata = self.metadata.get(&of).cloned().unwrap_or_default();
            match of {
                MetadataOf::Account(id) => (self.addresses.get(&id).cloned(), self.bounds(id), metadata),
                MetadataOf::Transfer(_) | MetadataOf::Payment(_) => (None, Limits::NONE, metadata),
            }
        })
    }

    /// Notes that a request, other than the one that created it, changes an account or a transfer.
    pub(crate) fn keep_opening(&mut self, change: &Fact) {
        let of = match change {
            Fact::LimitsSet { account, .. } | Fact::AddressSet { account, .. } => MetadataOf::Account(*account),
            Fact::MetadataSet { of, .. } => *of,
            _ => return,
        };
        let opening = self.opening(of);
        self.openings.insert(of, opening);
    }

    /// A copy for trial runs that only concern these transfers. It leaves out all other transfers because there are
    /// many.
    pub(crate) fn overlay(&self, keys: impl Iterator<Item = TransferKey>) -> Self {
        let mut transfers = BTreeMap::new();
        for key in keys {
            let made = self.transfers.get(&key);
            let pending = made.and_then(|made| made.transfer.pending);
            let pending = pending.and_then(|key| self.transfers.get_key_value(&key));
            transfers.extend(made.map(|made| (key, *made)));
            transfers.extend(pending.map(|(key, made)| (*key, *made)));
        }
        Self {
            books: self.books.clone(),
            accounts: self.accounts.clone(),
            transfers,
            failed: self.failed.clone(),
            limits: self.limits.clone(),
            addresses: self.addresses.clone(),
            metadata: self.metadata.clone(),
            openings: self.openings.clone(),
            indexes: self.indexes.clone(),
            scheduled: self.scheduled.clone(),
            imports: self.imports.clone(),
            timeouts: BTreeSet::new(),
            last_moved: self.last_moved,
            times: self.times.clone(),
        }
    }

    /// The account that has this address.
    pub(crate) fn at_address(&self, address: &str) -> Option<AccountId> {
        self.addresses.iter().find(|(_, known)| *known == address).map(|(id, _)| *id)
    }

    /// The state of a pending transfer at an instant.
    pub(crate) fn state(&self, key: TransferKey, at: Timestamp) -> Option<PendingState> {
        let made = self.transfers.get(&key)?;
        self.became(&moved(&made.transfer), at.ns())
    }

    /// The pending transfer whose timeout ends first.
    pub(crate) fn next_timeout(&self) -> Option<(Timestamp, TransferKey)> {
        self.timeouts.first().map(|(at, _, key)| (*at, *key))
    }

    /// The scheduled transfer that is due first.
    pub(crate) fn next_scheduled(&self) -> Option<Scheduled> {
        self.scheduled.iter().min_by_key(|scheduled| scheduled.at).copied()
    }

    /// Whether a staged import reserves this account id.
    pub(crate) fn is_account_reserved(&self, id: AccountId) -> bool {
        self.staged().any(|import| import.accounts.contains_key(&id))
    }

    /// Imports that still accept rows.
    pub(crate) fn staged(&self) -> impl Iterator<Item = &Imported> {
        self.imports.iter().filter(|import| import.state == ImportState::Staged)
    }

    /// The four sums over the accounts that fit, and the number of those accounts.
    pub(crate) fn sums(&self, fits: impl Fn(&Account) -> bool) -> ([u128; 4], usize) {
        let accounts = self.accounts.values().filter(|held| fits(&held.opened));
        accounts.fold(([0; 4], 0), |(mut sums, count), held| {
            sums.iter_mut().zip(held.sides).for_each(|(sum, side)| *sum += side);
            (sums, count + 1)
        })
    }

    /// Applies one fact. Fails if the fact happens twice or at the wrong time.
    pub(crate) fn apply(&mut self, at: Timestamp, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::BookOpened(book) => {
                let taken = self.books.insert(book.id, *book);
                ensure(taken.is_none(), "SIM-2", || format!("ledger {} is opened again", book.id))
            }
            Fact::AccountOpened(account) => {
                self.times.insert(account.timestamp.ns());
                let taken = self.accounts.insert(account.id, Held::new(*account));
                ensure(taken.is_none(), "SIM-2", || format!("account {} is opened again", account.id))
            }
            Fact::TransferCreated(transfer) => self.create(transfer),
            Fact::TransferFailed { id, status } => {
                self.scheduled.retain(|waiting| waiting.new.key != TransferKey::Client(*id));
                self.fail(*id, status.name())
            }
            Fact::TransferExpired(key) => {
                let pending = self.resolve(*key, PendingState::Expired)?;
                let passed = pending.expires_at().is_some_and(|expiry| expiry <= at);
                ensure(passed, "SIM-4", || format!("the timeout of transfer {key} has not come"))
            }
            Fact::ScheduledCancelled { id } => {
                self.scheduled.retain(|waiting| waiting.new.key != TransferKey::Client(*id));
                self.fail(*id, "scheduled_transfer_cancelled")
            }
            Fact::LimitsSet { account, limits } => {
                self.limits.insert(*account, *limits);
                Ok(())
            }
            Fact::AddressSet { account, address } => {
                let taken = self.addresses.insert(*account, address.as_str().to_owned());
                ensure(taken.is_none(), "SIM-2", || format!("account {account} gets an address again"))
            }
            Fact::MetadataSet { of, values } => {
                let known = self.metadata.entry(*of).or_default();
                set(known, values);
                Ok(())
            }
            Fact::TransferScheduled(scheduled) => {
                self.scheduled.push(*scheduled);
                Ok(())
            }
            Fact::IndexesChosen { ledger, fields } => {
                self.indexes.insert(*ledger, *fields);
                Ok(())
            }
            Fact::ImportStarted(import) => {
                let known = self.imports.iter().any(|known| known.import.id == import.id);
                let (accounts, transfers) = (BTreeMap::new(), Vec::new());
                self.imports.push(Imported { import: *import, state: ImportState::Staged, accounts, transfers });
                ensure(!known, "SIM-2", || format!("import {} is started again", import.id))
            }
            Fact::AccountStaged { import, account } => {
                let taken = self.import(*import)?.accounts.insert(account.id, Held::new(*account));
                ensure(taken.is_none(), "SIM-2", || format!("account {} is staged again", account.id))
            }
            Fact::TransferStaged { import, transfer } => self.stage(*import, transfer),
            Fact::ImportNoted { import, state, progress } => {
                let known = self.import(*import)?;
                let counts = (known.accounts.len() as u64, known.transfers.len() as u64);
                ensure(counts == (progress.accounts, progress.transfers), "SIM-3", || {
                    format!("import {} has {counts:?} rows, the entry says {progress:?}", known.import.id)
                })?;
                ensure(known.state == ImportState::Staged, "SIM-2", || "an import ends again".to_owned())?;
                known.state = *state;
                let (accounts, transfers) = (known.accounts.clone(), known.transfers.clone());
                if *state == ImportState::Opened {
                    self.reveal(accounts, &transfers)?;
                }
                Ok(())
            }
        }
    }

    fn reveal(&mut self, accounts: BTreeMap<AccountId, Held>, transfers: &[Transfer]) -> Result<(), String> {
        for (id, held) in accounts {
            self.times.insert(held.opened.timestamp.ns());
            let taken = self.accounts.insert(id, held);
            ensure(taken.is_none(), "SIM-2", || format!("account {id} is opened again by an import"))?;
        }
        for transfer in transfers {
            let taken = self.transfers.insert(transfer.key, Made { transfer: *transfer, resolved: None });
            ensure(taken.is_none(), "SIM-2", || format!("transfer {} is made again by an import", transfer.key))?;
        }
        Ok(())
    }

    fn import(&mut self, number: ImportNumber) -> Result<&mut Imported, String> {
        let found = self.imports.iter_mut().find(|known| known.import.number == number);
        found.ok_or_else(|| "SIM-2: an import has rows that was never started".to_owned())
    }

    fn stage(&mut self, import: ImportNumber, transfer: &Transfer) -> Result<(), String> {
        let staged = self.import(import)?;
        for (id, side) in [(transfer.debit, POSTED[0]), (transfer.credit, POSTED[1])] {
            let held = staged.accounts.get_mut(&id);
            held.ok_or_else(|| format!("SIM-2: account {id} is not of the import"))?
                .add(side, transfer.amount.get())?;
        }
        staged.transfers.push(*transfer);
        Ok(())
    }

    fn fail(&mut self, id: TransferId, status: &'static str) -> Result<(), String> {
        let new = !self.transfers.contains_key(&TransferKey::Client(id)) && self.failed.insert(id, status).is_none();
        ensure(new, "SIM-2", || format!("transfer {id} is decided again"))
    }

    fn create(&mut self, transfer: &Transfer) -> Result<(), String> {
        let key = transfer.key;
        let has = |flag| transfer.flags.contains(flag);
        let failed = matches!(key, TransferKey::Client(id) if self.failed.contains_key(&id));
        let taken = self.transfers.insert(key, Made { transfer: *transfer, resolved: None });
        ensure(taken.is_none() && !failed, "SIM-2", || format!("transfer {key} is decided again"))?;
        self.scheduled.retain(|waiting| waiting.new.key != key);
        self.last_moved = transfer.timestamp.ns();
        let (posts, voids) = (has(F::POST_PENDING_TRANSFER), has(F::VOID_PENDING_TRANSFER));
        if let (Some(pending), true) = (transfer.pending, posts || voids) {
            let resolved = if posts { PendingState::Posted } else { PendingState::Voided };
            let pending = self.resolve(pending, resolved)?;
            let in_time = pending.expires_at().is_none_or(|expiry| transfer.timestamp < expiry);
            ensure(in_time, "SIM-4", || format!("transfer {key} resolves what has run out"))?;
        }
        if has(F::PENDING) {
            if let Some(expiry) = transfer.expires_at() {
                self.timeouts.insert((expiry, transfer.timestamp, key));
            }
            self.close(transfer, |closing| closing + 1);
            self.shift(transfer, PENDING, Held::add)
        } else if voids {
            Ok(())
        } else {
            self.shift(transfer, POSTED, Held::add)
        }
    }

    fn resolve(&mut self, key: TransferKey, to: PendingState) -> Result<Transfer, String> {
        match self.transfers.get_mut(&key) {
            Some(Made { transfer, resolved: resolved @ None }) if transfer.flags.contains(F::PENDING) => {
                *resolved = Some(to);
                let pending = *transfer;
                if let Some(expiry) = pending.expires_at() {
                    self.timeouts.remove(&(expiry, pending.timestamp, key));
                }
                self.close(&pending, |closing| closing.saturating_sub(1));
                self.shift(&pending, PENDING, Held::take)?;
                Ok(pending)
            }
            other => Err(format!("SIM-2: transfer {key} is resolved while it is {other:?}")),
        }
    }

    fn close(&mut self, transfer: &Transfer, change: fn(u32) -> u32) {
        for (flag, id) in [(F::CLOSING_DEBIT, transfer.debit), (F::CLOSING_CREDIT, transfer.credit)] {
            if let Some(held) = self.accounts.get_mut(&id).filter(|_| transfer.flags.contains(flag)) {
                held.closing = change(held.closing);
            }
        }
    }

    fn shift(
        &mut self,
        transfer: &Transfer,
        sides: [usize; 2],
        change: fn(&mut Held, usize, u128) -> Result<(), String>,
    ) -> Result<(), String> {
        for (id, side) in [transfer.debit, transfer.credit].into_iter().zip(sides) {
            let held = self.accounts.get_mut(&id).ok_or_else(|| format!("SIM-2: account {id} is not there"))?;
            change(held, side, transfer.amount.get())?;
            held.within()?;
        }
        Ok(())
    }

    /// Checks SIM-4 for all ledgers.
    pub(crate) fn balance(&self) -> Result<(), String> {
        for id in self.books.keys() {
            let ([debits_pending, debits_posted, credits_pending, credits_posted], _) =
                self.sums(|account| account.ledger == *id);
            let balanced = debits_pending == credits_pending && debits_posted == credits_posted;
            ensure(balanced, "SIM-4", || format!("ledger {id} does not balance"))?;
        }
        Ok(())
    }
}

impl Rules for Books {
    fn opened(&self, id: AccountId) -> Option<Account> {
        self.accounts.get(&id).map(|held| held.opened)
    }

    fn sides(&self, id: AccountId) -> [u128; 4] {
        self.accounts.get(&id).map_or([0; 4], |held| held.sides)
    }

    fn closed(&self, account: &Account) -> bool {
        let held = self.accounts.get(&account.id);
        account.flags.contains(AccountFlags::CLOSED) || held.is_some_and(|held| held.closing > 0)
    }

    fn bounds(&self, id: AccountId) -> Limits {
        self.limits.get(&id).copied().unwrap_or_default()
    }

    fn moved(&self, key: TransferKey) -> Option<Moved> {
        self.transfers.get(&key).map(|made| moved(&made.transfer))
    }

    fn became(&self, moved: &Moved, now: u64) -> Option<PendingState> {
        if !moved.new.flags.contains(F::PENDING) {
            return None;
        }
        let made = self.transfers.get(&moved.new.key)?;
        let timeout = u64::from(moved.new.timeout_s);
        let over = timeout > 0 && moved.time.saturating_add(timeout.saturating_mul(1_000_000_000)) <= now;
        let otherwise = if over { PendingState::Expired } else { PendingState::Pending };
        Some(made.resolved.unwrap_or(otherwise))
    }

    fn has_failed(&self, key: TransferKey) -> bool {
        matches!(key, TransferKey::Client(id) if self.failed.contains_key(&id))
    }

    fn is_scheduled(&self, key: TransferKey) -> bool {
        self.scheduled.iter().any(|scheduled| scheduled.new.key == key)
    }

    fn is_reserved_by_import(&self, key: TransferKey) -> bool {
        self.staged().any(|import| import.transfers.iter().any(|transfer| transfer.key == key))
    }

    fn last_moved(&self) -> u64 {
        self.last_moved
    }

    fn is_time_of_account(&self, at: u64) -> bool {
        self.times.contains(&at)
    }
}

/// Sets and removes metadata values.
pub(crate) fn set(known: &mut BTreeMap<String, String>, values: &[(String, Option<String>)]) {
    for (key, value) in values {
        match value {
            Some(value) => known.insert(key.clone(), value.clone()),
            None => known.remove(key),
        };
    }
}

/// Converts a transfer to the form that the rules use: its request with all open fields filled in, and its timestamp.
pub(crate) fn moved(transfer: &Transfer) -> Moved {
    let new = NewTransfer {
        debit: transfer.debit,
        credit: transfer.credit,
        amount: transfer.amount,
        pending: transfer.pending,
        user_data_128: transfer.user_data_128,
        user_data_64: transfer.user_data_64,
        user_data_32: transfer.user_data_32,
        timeout_s: transfer.timeout_s,
        ledger: transfer.ledger,
        code: transfer.code,
        flags: transfer.flags,
        ..NewTransfer::named(transfer.key)
    };
    Moved { new, time: transfer.timestamp.ns() }
}

/// The transfer that a request creates at an instant, with all open fields filled in.
pub(crate) fn made(new: &NewTransfer, timestamp: Timestamp) -> Transfer {
    Transfer {
        key: new.key,
        debit: new.debit,
        credit: new.credit,
        amount: new.amount,
        pending: new.pending,
        user_data_128: new.user_data_128,
        user_data_64: new.user_data_64,
        user_data_32: new.user_data_32,
        timeout_s: new.timeout_s,
        ledger: new.ledger,
        code: new.code,
        flags: new.flags,
        timestamp,
    }
}

/// The expected status of an account that is created alone or in a chain, not imported.
pub(crate) fn judge_account(books: &Books, new: &NewAccount) -> &'static str {
    if new.flags.contains(AccountFlags::IMPORTED) {
        return "imported_event_not_expected";
    }
    let head = [
        (new.timestamp_ns != 0, "timestamp_must_be_zero"),
        (new.reserved != 0, "reserved_field"),
        (new.id.get() == 0, "id_must_not_be_zero"),
        (new.id.get() == u128::MAX, "id_must_not_be_int_max"),
    ];
    if let Some((_, status)) = head.iter().find(|(wrong, _)| *wrong) {
        return status;
    }
    if let Some(known) = books.account(new.id) {
        let comparisons = [
            (new.flags == known.flags, "exists_with_different_flags"),
            (new.user_data_128 == known.user_data_128, "exists_with_different_user_data_128"),
            (new.user_data_64 == known.user_data_64, "exists_with_different_user_data_64"),
            (new.user_data_32 == known.user_data_32, "exists_with_different_user_data_32"),
            (new.ledger == known.ledger, "exists_with_different_ledger"),
            (new.code == known.code, "exists_with_different_code"),
        ];
        return comparisons.iter().find(|(same, _)| !same).map_or("exists", |(_, status)| status);
    }
    if books.is_account_reserved(new.id) {
        return "id_reserved_by_import";
    }
    let both = AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS;
    let fresh = [
        (new.flags.contains(both), "flags_are_mutually_exclusive"),
        (new.ledger.get() == 0, "ledger_must_not_be_zero"),
        (!books.books.contains_key(&new.ledger), "ledger_not_found"),
        (new.code.get() == 0, "code_must_not_be_zero"),
    ];
    fresh.iter().find(|(wrong, _)| *wrong).map_or("created", |(_, status)| status)
}

impl Books {
    /// Whether any account or transfer, including staged import rows, has exactly this timestamp.
    pub(crate) fn is_any_time(&self, at: u64) -> bool {
        let of = |transfer: &Transfer| transfer.timestamp.ns() == at;
        let staged = |import: &Imported| {
            import.transfers.iter().any(of) || import.accounts.values().any(|held| held.opened.timestamp.ns() == at)
        };
        self.times.contains(&at)
            || self.transfers.values().any(|made| of(&made.transfer))
            || self.imports.iter().any(staged)
    }
}
