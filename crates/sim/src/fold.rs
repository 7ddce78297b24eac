//! What entries add up to, computed in the plainest way, apart from the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::{ArtifactChunk, Cause, Deadline, Entry, Fact, PaymentChanged, PaymentDecided, PaymentStatus, Verb};
use ledger::{Account, AccountFlags, Book, PendingState, Transfer, TransferFlags, TransferKey};
use types::{AccountId, ActorId, Amount, Digest, LedgerId, Name, PaymentId, RequestId, Seq, Timestamp, TransferId};

#[derive(Debug, Default)]
pub(crate) struct Fold {
    pub(crate) seq: Seq,
    pub(crate) at: Timestamp,
    pub(crate) books: BTreeMap<LedgerId, Book>,
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    pub(crate) transfers: BTreeMap<TransferKey, (Transfer, Option<PendingState>)>,
    pub(crate) failed: BTreeSet<TransferId>,
    pub(crate) payments: BTreeMap<PaymentId, Folded>,
    pub(crate) verbs: BTreeMap<(PaymentId, RequestId), Verb>,
    pub(crate) chunks: BTreeMap<Digest, BTreeMap<u32, ArtifactChunk>>,
    pub(crate) policy: Option<(Seq, Digest)>,
    pub(crate) keys: BTreeSet<ActorId>,
}

/// A payment and what became of it.
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) seq: Seq,
    pub(crate) decided: Arc<PaymentDecided>,
    pub(crate) status: PaymentStatus,
    pub(crate) label: Option<Name>,
    deadline: Option<Deadline>,
}

/// Fails with a sentence unless `ok`.
pub(crate) fn ensure(ok: bool, rule: &str, what: impl FnOnce() -> String) -> Result<(), String> {
    if ok { Ok(()) } else { Err(format!("{rule}: {}", what())) }
}

impl Fold {
    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        let header = &entry.header;
        let seq = header.seq;
        ensure(seq == self.seq.next(), "SIM-1", || format!("entry {seq} follows {}", self.seq))?;
        ensure(header.decided_at > self.at, "SIM-1", || format!("time does not move forward with entry {seq}"))?;
        self.seq = seq;
        self.at = header.decided_at;
        match &entry.fact {
            Fact::JournalStarted { .. } => {
                ensure(seq == Seq::new(1), "SIM-2", || format!("the journal starts again with entry {seq}"))?;
            }
            Fact::JournalContinued { .. } => {
                return Err(format!("SIM-2: entry {seq} continues another history, though nobody restored one"));
            }
            Fact::Ledger(fact) => self.apply_ledger(fact)?,
            Fact::PaymentDecided(decided) => self.decide(seq, decided)?,
            Fact::PaymentChanged(changed) => self.change(header.request, changed)?,
            Fact::LabelRecorded(recorded) => {
                let payment = self.payments.get_mut(&recorded.payment);
                let payment =
                    payment.ok_or_else(|| format!("SIM-2: entry {seq} labels a payment that is not there"))?;
                payment.label = Some(recorded.label.clone());
            }
            Fact::ArtifactStored(chunk) => {
                let parts = self.chunks.entry(chunk.artifact).or_default();
                let taken = parts.insert(chunk.index, chunk.clone());
                ensure(taken.is_none(), "SIM-2", || format!("entry {seq} stores a part again"))?;
            }
            Fact::PolicyActivated(activated) => {
                self.policy = Some((seq, activated.artifact));
                // Only what decides is kept; other artifacts are stored anew when they are wanted again.
                self.chunks.retain(|artifact, _| *artifact == activated.artifact);
                activated.ledger_facts.iter().try_for_each(|fact| self.apply_ledger(fact))?;
            }
            Fact::ApiKeyAdded(key) => {
                ensure(self.keys.insert(key.key), "SIM-2", || format!("entry {seq} adds a key again"))?;
            }
            Fact::StateDigest(_) => {}
        }
        self.balance()
    }

    /// True when every part of an artifact is there.
    pub(crate) fn is_whole(&self, artifact: Digest) -> bool {
        let parts = self.chunks.get(&artifact);
        let count = parts.and_then(|parts| parts.values().next()).map(|chunk| u64::from(chunk.count));
        parts.is_some_and(|parts| Some(parts.len() as u64) == count)
    }

    fn decide(&mut self, seq: Seq, decided: &Arc<PaymentDecided>) -> Result<(), String> {
        let folded = Folded {
            seq,
            decided: Arc::clone(decided),
            status: decided.status,
            label: None,
            deadline: decided.deadline,
        };
        let taken = self.payments.insert(decided.payment, folded);
        ensure(taken.is_none(), "SIM-2", || format!("payment {} is decided again", decided.payment))?;
        let refused = matches!(decided.status, PaymentStatus::Declined | PaymentStatus::Refused);
        let idle = !refused || decided.ledger_facts.is_empty();
        ensure(idle, "SIM-4", || format!("payment {} is {:?} and moves", decided.payment, decided.status))?;
        decided.ledger_facts.iter().try_for_each(|fact| self.apply_ledger(fact))
    }

    fn change(&mut self, request: RequestId, changed: &PaymentChanged) -> Result<(), String> {
        let id = changed.payment;
        let payment = self.payments.get_mut(&id).ok_or_else(|| format!("SIM-2: {id} changes and is not there"))?;
        match changed.cause {
            Cause::Verb(verb) => {
                let taken = self.verbs.insert((id, request), verb);
                ensure(taken.is_none(), "SIM-2", || format!("request {request} moves payment {id} again"))?;
            }
            Cause::Deadline => {
                let passed = payment.deadline.is_some_and(|deadline| deadline.at <= self.at);
                ensure(passed, "SIM-4", || format!("the deadline of payment {id} has not come"))?;
            }
        }
        payment.status = changed.status;
        payment.deadline = changed.deadline;
        changed.ledger_facts.iter().try_for_each(|fact| self.apply_ledger(fact))
    }

    fn apply_ledger(&mut self, fact: &ledger::Fact) -> Result<(), String> {
        match fact {
            ledger::Fact::BookOpened(book) => {
                let taken = self.books.insert(book.id, *book);
                ensure(taken.is_none(), "SIM-2", || format!("ledger {} is opened again", book.id))
            }
            ledger::Fact::AccountOpened(account) => {
                let taken = self.accounts.insert(account.id, *account);
                ensure(taken.is_none(), "SIM-2", || format!("account {} is opened again", account.id))
            }
            ledger::Fact::TransferCreated(transfer) => self.create(transfer),
            ledger::Fact::TransferFailed { id, .. } => {
                let new = !self.transfers.contains_key(&TransferKey::Client(*id)) && self.failed.insert(*id);
                ensure(new, "SIM-2", || format!("transfer {id} is decided again"))
            }
            ledger::Fact::TransferExpired(key) => {
                let pending = self.resolve(*key, PendingState::Expired)?;
                let passed = pending.expires_at().is_some_and(|expiry| expiry <= self.at);
                ensure(passed, "SIM-4", || format!("the timeout of transfer {key} has not come"))?;
                self.reserve(&pending, false)
            }
            ledger::Fact::ScheduledCancelled { id } => {
                ensure(self.failed.insert(*id), "SIM-2", || format!("transfer {id} is decided again"))
            }
            ledger::Fact::LimitsSet { .. }
            | ledger::Fact::AddressSet { .. }
            | ledger::Fact::MetadataSet { .. }
            | ledger::Fact::TransferScheduled(_)
            | ledger::Fact::IndexesChosen { .. }
            | ledger::Fact::ImportStarted(_)
            | ledger::Fact::AccountStaged { .. }
            | ledger::Fact::TransferStaged { .. }
            | ledger::Fact::ImportNoted { .. } => Ok(()),
        }
    }

    fn create(&mut self, transfer: &Transfer) -> Result<(), String> {
        let key = transfer.key;
        let has = |flag| transfer.flags.contains(flag);
        let state = has(TransferFlags::PENDING).then_some(PendingState::Pending);
        let failed = matches!(key, TransferKey::Client(id) if self.failed.contains(&id));
        let taken = self.transfers.insert(key, (*transfer, state));
        ensure(taken.is_none() && !failed, "SIM-2", || format!("transfer {key} is decided again"))?;
        let (posts, voids) = (has(TransferFlags::POST_PENDING_TRANSFER), has(TransferFlags::VOID_PENDING_TRANSFER));
        if let (Some(pending), true) = (transfer.pending, posts || voids) {
            let resolved = if posts { PendingState::Posted } else { PendingState::Voided };
            let pending = self.resolve(pending, resolved)?;
            let in_time = pending.expires_at().is_none_or(|expiry| transfer.timestamp < expiry);
            ensure(in_time, "SIM-4", || format!("transfer {key} resolves what has run out"))?;
            self.reserve(&pending, false)?;
        }
        match state {
            Some(_) => self.reserve(transfer, true),
            None if voids => Ok(()),
            None => self.post(transfer),
        }
    }

    fn resolve(&mut self, key: TransferKey, to: PendingState) -> Result<Transfer, String> {
        match self.transfers.get_mut(&key) {
            Some((transfer, state @ Some(PendingState::Pending))) => {
                *state = Some(to);
                Ok(*transfer)
            }
            other => Err(format!("SIM-2: transfer {key} is resolved while it is {other:?}")),
        }
    }

    fn reserve(&mut self, transfer: &Transfer, adds: bool) -> Result<(), String> {
        self.move_amount(transfer, adds, |account| &mut account.debits_pending, |account| &mut account.credits_pending)
    }

    fn post(&mut self, transfer: &Transfer) -> Result<(), String> {
        self.move_amount(transfer, true, |account| &mut account.debits_posted, |account| &mut account.credits_posted)
    }

    fn move_amount(
        &mut self,
        transfer: &Transfer,
        adds: bool,
        debit: fn(&mut Account) -> &mut Amount,
        credit: fn(&mut Account) -> &mut Amount,
    ) -> Result<(), String> {
        for (id, side) in [(transfer.debit, debit), (transfer.credit, credit)] {
            let account = self.accounts.get_mut(&id).ok_or_else(|| format!("SIM-2: account {id} is not there"))?;
            let balance = side(account);
            let (old, by) = (balance.get(), transfer.amount.get());
            let new = if adds { old.checked_add(by) } else { old.checked_sub(by) };
            *balance = Amount::new(new.ok_or_else(|| format!("SIM-4: account {id} has {old}, changed by {by}"))?);
        }
        Ok(())
    }

    /// SIM-4 for all accounts.
    fn balance(&self) -> Result<(), String> {
        let mut sums: BTreeMap<LedgerId, [u128; 4]> = BTreeMap::new();
        for account in self.accounts.values() {
            let balances = balances(account);
            let sums = sums.entry(account.ledger).or_default();
            sums.iter_mut().zip(balances).for_each(|(sum, balance)| *sum += balance);
            let [debits_pending, debits_posted, credits_pending, credits_posted] = balances;
            let bound = |flag, used: u128, limit| !account.flags.contains(flag) || used <= limit;
            let within =
                bound(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, debits_pending + debits_posted, credits_posted)
                    && bound(
                        AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS,
                        credits_pending + credits_posted,
                        debits_posted,
                    );
            ensure(within, "SIM-4", || format!("account {} crosses its limit at entry {}", account.id, self.seq))?;
        }
        for (ledger, [debits_pending, debits_posted, credits_pending, credits_posted]) in sums {
            let balanced = debits_pending == credits_pending && debits_posted == credits_posted;
            ensure(balanced, "SIM-4", || format!("ledger {ledger} does not balance at entry {}", self.seq))?;
        }
        Ok(())
    }

    /// The four sums over a ledger's accounts, and how many those are.
    pub(crate) fn sums(&self, ledger: LedgerId) -> ([u128; 4], usize) {
        let accounts = self.accounts.values().filter(|account| account.ledger == ledger);
        accounts.fold(([0; 4], 0), |(mut sums, count), account| {
            sums.iter_mut().zip(balances(account)).for_each(|(sum, balance)| *sum += balance);
            (sums, count + 1)
        })
    }
}

fn balances(account: &Account) -> [u128; 4] {
    [account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted].map(Amount::get)
}
