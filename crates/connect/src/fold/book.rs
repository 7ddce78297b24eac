//! The fold of accounts and transfers.

use ledger::{
    Account, AccountFlags, Fact, Limits, MetadataOf, Movement, PendingState, Transfer, TransferFlags, TransferKey,
    resolution,
};
use types::{AccountId, Amount, Seq};

use super::Map;
use super::payments::Payments;
use crate::cache::Cache;
use crate::documents::Documents;
use crate::rows::{AccountRow, Resolved, Rows, Side, TransferRow};
use crate::target::{Fault, Wanted};

/// An account in memory.
#[derive(Debug, Clone)]
struct Known {
    row: AccountRow,
    /// Entries up to this one are in the row already.
    base: Seq,
    /// Whether the batch changed it.
    is_changed: bool,
}

/// The rows that were used last.
#[derive(Debug)]
pub(super) struct Books {
    accounts: Cache<AccountId, Known>,
    pendings: Cache<TransferKey, Transfer>,
    /// Whether the target may lack accounts and transfers, because a filter leaves them out.
    is_partial: bool,
}

/// The rows that a batch of entries uses.
#[derive(Debug, Default)]
pub(super) struct InBatch {
    accounts: Map<AccountId, Known>,
    /// The accounts that changed, in the order of their first change.
    changed: Vec<AccountId>,
    /// Pending transfers that an entry of the batch creates or resolves. With a filter, all transfers that it creates or names.
    pendings: Map<TransferKey, Transfer>,
    /// The transfers that the batch created.
    transfers: Vec<TransferRow>,
    /// The places in `transfers` of those that are pending.
    created: Map<TransferKey, usize>,
    resolved: Vec<Resolved>,
    /// As in [`Books`].
    is_partial: bool,
}

impl Books {
    pub(super) fn new(capacity: usize, is_partial: bool) -> Self {
        Self { accounts: Cache::new(capacity), pendings: Cache::new(capacity), is_partial }
    }

    pub(super) fn forget(&mut self) {
        self.accounts.clear();
        self.pendings.clear();
    }

    /// Gets all rows that these facts use.
    pub(super) fn begin<'f>(
        &mut self,
        facts: impl Iterator<Item = (Seq, &'f Fact)> + Clone,
        may_repeat: bool,
        load: &mut dyn FnMut(&Wanted) -> Result<Documents, Fault>,
    ) -> Result<InBatch, Fault> {
        let mut batch = InBatch { is_partial: self.is_partial, ..InBatch::default() };
        self.get_pendings(facts.clone(), &mut batch, load)?;
        self.get_accounts(facts, may_repeat, &mut batch, load)?;
        Ok(batch)
    }

    fn get_pendings<'f>(
        &mut self,
        facts: impl Iterator<Item = (Seq, &'f Fact)>,
        batch: &mut InBatch,
        load: &mut dyn FnMut(&Wanted) -> Result<Documents, Fault>,
    ) -> Result<(), Fault> {
        let mut wanted = Wanted::default();
        let mut asked = Map::<TransferKey, Seq>::default();
        // Those that must be there.
        let mut needed = Map::<TransferKey, Seq>::default();
        for (seq, fact) in facts {
            if let Fact::TransferCreated(transfer) = fact
                && (transfer.is_pending() || self.is_partial)
            {
                batch.pendings.insert(transfer.key, *transfer);
            }
            // Whether a row is kept that only its metadata names shows in the target.
            let of_metadata =
                if let Fact::MetadataSet { of: MetadataOf::Transfer(key), .. } = fact { Some(*key) } else { None };
            let Some(key) = resolves(fact).or(of_metadata.filter(|_| self.is_partial)) else { continue };
            if batch.pendings.contains_key(&key) {
                continue;
            }
            if let Some(pending) = self.pendings.take(&key) {
                batch.pendings.insert(key, pending);
            } else if asked.insert(key, seq).is_none() {
                wanted.transfers.push(key);
            }
            if let Fact::TransferCreated(_) = fact {
                needed.insert(key, seq);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        for document in load(&wanted)?.transfers {
            let transfer = document.transfer()?;
            batch.pendings.insert(transfer.key, transfer);
        }
        let needed = if self.is_partial { &needed } else { &asked };
        let lacks = |key: &&TransferKey| needed.contains_key(*key) && !batch.pendings.contains_key(*key);
        match wanted.transfers.iter().find(lacks) {
            None => Ok(()),
            Some(key) => {
                let seq = needed.get(key).copied().unwrap_or_default();
                Err(Fault::Contradicts(format!("entry {seq} resolves the pending transfer {key}, which is missing")))
            }
        }
    }

    fn get_accounts<'f>(
        &mut self,
        facts: impl Iterator<Item = (Seq, &'f Fact)>,
        may_repeat: bool,
        batch: &mut InBatch,
        load: &mut dyn FnMut(&Wanted) -> Result<Documents, Fault>,
    ) -> Result<(), Fault> {
        let mut wanted = Wanted::default();
        let mut asked = Map::<AccountId, ()>::default();
        for (_, fact) in facts {
            let mut used: [Option<AccountId>; 2] = [None, None];
            match fact {
                Fact::AccountOpened(account) => {
                    if !may_repeat {
                        asked.insert(account.id, ());
                        continue;
                    }
                    used[0] = Some(account.id);
                }
                Fact::TransferCreated(transfer) => used = [Some(transfer.debit), Some(transfer.credit)],
                Fact::TransferExpired(key) => {
                    let pending = batch.pendings.get(key);
                    used = [pending.map(|pending| pending.debit), pending.map(|pending| pending.credit)];
                }
                Fact::LimitsSet { account, .. } | Fact::AddressSet { account, .. } => used[0] = Some(*account),
                Fact::MetadataSet { of: MetadataOf::Account(account), .. } if self.is_partial => {
                    used[0] = Some(*account)
                }
                Fact::BookOpened(_)
                | Fact::MetadataSet { .. }
                | Fact::TransferFailed { .. }
                | Fact::TransferScheduled(_)
                | Fact::ScheduledCancelled { .. }
                | Fact::IndexesChosen { .. }
                | Fact::ImportStarted(_)
                | Fact::AccountStaged { .. }
                | Fact::TransferStaged { .. }
                | Fact::ImportNoted { .. } => {}
            }
            for id in used.into_iter().flatten() {
                if asked.insert(id, ()).is_some() {
                    continue;
                }
                match self.accounts.take(&id) {
                    Some(known) => drop(batch.accounts.insert(id, known)),
                    None => wanted.accounts.push(id),
                }
            }
        }
        if !wanted.is_empty() {
            for document in load(&wanted)?.accounts {
                let row = document.row()?;
                batch.accounts.insert(row.account.id, Known { base: row.sequence, row, is_changed: false });
            }
        }
        Ok(())
    }

    /// Adds what a batch changed to the rows, and keeps what it used.
    pub(super) fn end(&mut self, batch: InBatch, rows: &mut Rows) {
        let InBatch { mut accounts, changed, pendings, transfers, created, resolved, is_partial: _ } = batch;
        rows.accounts = changed.iter().filter_map(|id| accounts.get(id)).map(|known| known.row.clone()).collect();
        for id in changed {
            if let Some(known) = accounts.remove(&id) {
                self.accounts.put(id, Known { is_changed: false, ..known });
            }
        }
        // Those that are still pending.
        let mut left: Vec<_> = created
            .into_iter()
            .filter(|(_, place)| transfers.get(*place).is_some_and(|row| row.state == Some(PendingState::Pending)))
            .collect();
        left.sort_unstable_by_key(|(_, place)| *place);
        for (key, _) in left {
            if let Some(pending) = pendings.get(&key) {
                self.pendings.put(key, *pending);
            }
        }
        (rows.transfers, rows.resolved) = (transfers, resolved);
    }
}

/// The pending transfer that a fact resolves.
fn resolves(fact: &Fact) -> Option<TransferKey> {
    if let Fact::TransferCreated(transfer) = fact {
        resolution(transfer).and(transfer.pending)
    } else if let Fact::TransferExpired(key) = fact {
        Some(*key)
    } else {
        None
    }
}

impl InBatch {
    pub(super) fn fold(&mut self, seq: Seq, fact: &Fact) -> Result<(), Fault> {
        match fact {
            Fact::AccountOpened(account) => {
                if self.accounts.get(&account.id).is_none_or(|known| known.base < seq) {
                    let row =
                        AccountRow { account: account.emptied(), limits: Limits::NONE, address: None, sequence: seq };
                    self.accounts.insert(account.id, Known { row, base: Seq::ZERO, is_changed: false });
                }
                self.change(seq, account.id, |_| Ok(()))
            }
            Fact::TransferCreated(transfer) => self.create(seq, transfer),
            // Expiries and settings do not name their ledger: what they are about may have been left out.
            Fact::TransferExpired(key) if self.is_partial && !self.pendings.contains_key(key) => Ok(()),
            Fact::LimitsSet { account, .. } | Fact::AddressSet { account, .. }
                if self.is_partial && !self.accounts.contains_key(account) =>
            {
                Ok(())
            }
            Fact::TransferExpired(key) => {
                let pending = self.resolve(seq, *key, PendingState::Expired)?;
                self.move_amounts(seq, &pending, Movement::of_expiry(&pending), Closing::ends(&pending))
            }
            Fact::LimitsSet { account, limits } => self.change(seq, *account, |row| {
                row.limits = *limits;
                Ok(())
            }),
            Fact::AddressSet { account, address } => self.change(seq, *account, |row| {
                row.address = Some(address.clone());
                Ok(())
            }),
            Fact::BookOpened(_)
            | Fact::MetadataSet { .. }
            | Fact::TransferFailed { .. }
            | Fact::TransferScheduled(_)
            | Fact::ScheduledCancelled { .. }
            | Fact::IndexesChosen { .. }
            // Rows of an import count when it is opened.
            | Fact::ImportStarted(_)
            | Fact::AccountStaged { .. }
            | Fact::TransferStaged { .. }
            | Fact::ImportNoted { .. } => Ok(()),
        }
    }

    /// Whether metadata is about something that the target keeps.
    pub(super) fn has(&self, of: &MetadataOf, payments: &Payments) -> bool {
        !self.is_partial
            || match of {
                MetadataOf::Account(account) => self.accounts.contains_key(account),
                MetadataOf::Transfer(key) => self.pendings.contains_key(key),
                MetadataOf::Payment(payment) => payments.has(*payment),
            }
    }

    fn create(&mut self, seq: Seq, transfer: &Transfer) -> Result<(), Fault> {
        let resolved = match (resolution(transfer), transfer.pending) {
            (Some(state), Some(key)) => Some((state, self.resolve(seq, key, state)?)),
            _ => None,
        };
        let closing = match &resolved {
            Some((PendingState::Voided, pending)) => Closing::ends(pending),
            Some(_) => Closing::NONE,
            None if transfer.is_pending() => Closing { flags: transfer.flags, closes: true },
            None => Closing::NONE,
        };
        let movement = Movement::of(transfer, resolved.as_ref().map(|(_, pending)| pending));
        self.move_amounts(seq, transfer, movement, closing)?;
        let state = transfer.is_pending().then_some(PendingState::Pending);
        if state.is_some() {
            self.created.insert(transfer.key, self.transfers.len());
        }
        self.transfers.push(TransferRow { transfer: *transfer, state, sequence: seq });
        Ok(())
    }

    fn resolve(&mut self, seq: Seq, key: TransferKey, state: PendingState) -> Result<Transfer, Fault> {
        let missing =
            || Fault::Contradicts(format!("entry {seq} resolves the pending transfer {key}, which is missing"));
        let pending = *self.pendings.get(&key).ok_or_else(missing)?;
        match self.created.get(&key).and_then(|place| self.transfers.get_mut(*place)) {
            Some(row) => row.state = Some(state),
            None => self.resolved.push(Resolved { key, transfer: pending, state, sequence: seq }),
        }
        Ok(pending)
    }

    /// Changes both accounts of a transfer.
    fn move_amounts(
        &mut self,
        seq: Seq,
        transfer: &Transfer,
        movement: Movement,
        closing: Closing,
    ) -> Result<(), Fault> {
        for side in [Side::Debit, Side::Credit] {
            self.change(seq, side.account(transfer), |row| {
                let changed = change(&mut row.account, side, movement, closing);
                changed.ok_or_else(|| {
                    let id = row.account.id;
                    Fault::Contradicts(format!("the balances of account {id} cannot be those before entry {seq}"))
                })
            })?;
        }
        Ok(())
    }

    fn change(
        &mut self,
        seq: Seq,
        id: AccountId,
        change: impl FnOnce(&mut AccountRow) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let Some(known) = self.accounts.get_mut(&id) else {
            return Err(Fault::Contradicts(format!("entry {seq} changes account {id}, which is missing")));
        };
        if !std::mem::replace(&mut known.is_changed, true) {
            self.changed.push(id);
        }
        if seq > known.base {
            change(&mut known.row)?;
            known.row.sequence = seq;
        }
        Ok(())
    }
}

/// Which of the two accounts a transfer closes or opens again.
#[derive(Debug, Clone, Copy)]
struct Closing {
    flags: TransferFlags,
    closes: bool,
}

impl Closing {
    const NONE: Self = Self { flags: TransferFlags::NONE, closes: false };

    /// What the end of a pending transfer opens again.
    const fn ends(pending: &Transfer) -> Self {
        Self { flags: pending.flags, closes: false }
    }
}

/// Changes the balances of an account; `None` if they cannot be the balances before this movement.
fn change(account: &mut Account, side: Side, movement: Movement, closing: Closing) -> Option<()> {
    let (pending, posted, flag) = match side {
        Side::Debit => (&mut account.debits_pending, &mut account.debits_posted, TransferFlags::CLOSING_DEBIT),
        Side::Credit => (&mut account.credits_pending, &mut account.credits_posted, TransferFlags::CLOSING_CREDIT),
    };
    let Movement { reserved, released, posted: moved } = movement;
    let sum = |of: Amount, more: Amount| of.checked_add(more);
    *pending = sum(pending.checked_sub(released)?, reserved)?;
    *posted = sum(*posted, moved)?;
    if closing.flags.contains(flag) {
        account.flags = if closing.closes {
            account.flags.with(AccountFlags::CLOSED)
        } else {
            account.flags.without(AccountFlags::CLOSED)
        };
    }
    Some(())
}
