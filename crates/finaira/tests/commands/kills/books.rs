//! A model of transfers that is independent of the ledger's code. It has a few accounts, and all but the first must not
//! spend more than they have.

use std::collections::BTreeMap;

use api::packed::ResultRecord;

pub(super) const CREATED: u32 = ResultRecord::CREATED;
pub(super) const EXISTS: u32 = ResultRecord::TRANSFER_EXISTS;
pub(super) const FAILED_BEFORE: u32 = 68;
pub(super) const LINKED_EVENT_FAILED: u32 = 1;
const CREDIT_ACCOUNT_NOT_FOUND: u32 = 22;
const PENDING_NOT_FOUND: u32 = 25;
const EXCEEDS_PENDING: u32 = 31;
const ALREADY_POSTED: u32 = 33;
const ALREADY_VOIDED: u32 = 34;
const EXCEEDS_CREDITS: u32 = 54;

/// A transfer as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SentTransfer {
    pub(super) id: u128,
    pub(super) what: What,
    /// Whether it succeeds or fails together with the next one.
    pub(super) linked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Move {
        debit: u128,
        credit: u128,
        amount: u128,
    },
    Hold {
        debit: u128,
        credit: u128,
        amount: u128,
    },
    /// Posts the whole amount if `amount` is `None`.
    Post {
        pending: u128,
        amount: Option<u128>,
    },
    Void {
        pending: u128,
    },
}

/// The balances of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) debits_pending: u128,
    pub(super) debits_posted: u128,
    pub(super) credits_pending: u128,
    pub(super) credits_posted: u128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Pending,
    Posted,
    Voided,
}

/// The expected accounts and transfers of a caller.
#[derive(Debug, Clone, Default)]
pub(super) struct Books {
    unlimited: u128,
    pub(super) accounts: BTreeMap<u128, Sums>,
    holds: BTreeMap<u128, (u128, u128, u128, Hold)>,
}

impl Books {
    pub(super) fn new(ids: impl Iterator<Item = u128> + Clone) -> Self {
        let unlimited = ids.clone().next().expect("there are accounts");
        Self { unlimited, accounts: ids.map(|id| (id, Sums::default())).collect(), holds: BTreeMap::new() }
    }

    pub(super) fn hold_ids(&self) -> Vec<u128> {
        self.holds.keys().copied().collect()
    }

    /// Executes a batch of events that were never sent before, and returns the status of each.
    pub(super) fn take(&mut self, events: &[SentTransfer]) -> Vec<u32> {
        let mut statuses = Vec::with_capacity(events.len());
        let mut rest = events;
        while !rest.is_empty() {
            let length = rest.iter().take_while(|event| event.linked).count() + 1;
            let (chain, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            let before = self.clone();
            let mut broken = None;
            for (place, event) in chain.iter().enumerate() {
                if let Err(status) = self.take_one(event) {
                    broken = Some((place, status));
                    break;
                }
            }
            match broken {
                None => statuses.extend(chain.iter().map(|_| CREATED)),
                Some((at, status)) => {
                    *self = before;
                    statuses
                        .extend((0..chain.len()).map(|place| if place == at { status } else { LINKED_EVENT_FAILED }));
                }
            }
        }
        statuses
    }

    fn take_one(&mut self, event: &SentTransfer) -> Result<(), u32> {
        match event.what {
            What::Move { debit, credit, amount } => {
                self.room(debit, credit, amount)?;
                self.sums(debit).debits_posted += amount;
                self.sums(credit).credits_posted += amount;
            }
            What::Hold { debit, credit, amount } => {
                self.room(debit, credit, amount)?;
                self.sums(debit).debits_pending += amount;
                self.sums(credit).credits_pending += amount;
                self.holds.insert(event.id, (debit, credit, amount, Hold::Pending));
            }
            What::Post { pending, amount } => {
                let (debit, credit, held) = self.pending(pending, amount)?;
                let amount = amount.unwrap_or(held);
                self.end(pending, Hold::Posted);
                self.sums(debit).debits_posted += amount;
                self.sums(credit).credits_posted += amount;
            }
            What::Void { pending } => {
                self.pending(pending, None)?;
                self.end(pending, Hold::Voided);
            }
        }
        Ok(())
    }

    fn sums(&mut self, id: u128) -> &mut Sums {
        self.accounts.get_mut(&id).expect("a known account")
    }

    fn room(&self, debit: u128, credit: u128, amount: u128) -> Result<(), u32> {
        let Some(_) = self.accounts.get(&credit) else { return Err(CREDIT_ACCOUNT_NOT_FOUND) };
        let sums = self.accounts[&debit];
        let spent = sums.debits_pending + sums.debits_posted + amount;
        if debit != self.unlimited && spent > sums.credits_posted { Err(EXCEEDS_CREDITS) } else { Ok(()) }
    }

    fn pending(&self, id: u128, amount: Option<u128>) -> Result<(u128, u128, u128), u32> {
        let Some(&(debit, credit, held, state)) = self.holds.get(&id) else { return Err(PENDING_NOT_FOUND) };
        if amount.is_some_and(|amount| amount > held) {
            return Err(EXCEEDS_PENDING);
        }
        match state {
            Hold::Pending => Ok((debit, credit, held)),
            Hold::Posted => Err(ALREADY_POSTED),
            Hold::Voided => Err(ALREADY_VOIDED),
        }
    }

    fn end(&mut self, id: u128, state: Hold) {
        let (debit, credit, held, _) = self.holds[&id];
        self.sums(debit).debits_pending -= held;
        self.sums(credit).credits_pending -= held;
        self.holds.insert(id, (debit, credit, held, state));
    }
}

/// Whether a refusal spends the id. Sending the event again then gives [`FAILED_BEFORE`].
pub(super) const fn sticks(status: u32) -> bool {
    matches!(status, CREDIT_ACCOUNT_NOT_FOUND | PENDING_NOT_FOUND | EXCEEDS_CREDITS)
}
