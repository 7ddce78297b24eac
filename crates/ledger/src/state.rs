//! The ledger's state, and the queries that read it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use foldhash::fast::RandomState;
use types::{AccountId, LedgerId, Span, Timestamp, TransferId};

use crate::accounts::Accounts;
use crate::addresses::Addresses;
use crate::chunks::Chunks;
use crate::import::Imports;
use crate::legs::Legs;
use crate::metadata::Metadata;
use crate::openings::Openings;
use crate::past::NoPast;
use crate::recents::{Recents, Record};
use crate::schedule::Schedule;
use crate::totals::Totals;
use crate::{
    Account, AccountPlace, Book, IndexedFields, Limits, NewAccount, NewTransfer, Past, PastTransfer, PendingState,
    Plan, Transfer, TransferKey, TrialBalance,
};

/// All books and accounts of a tenant, pending transfers, the transfers of payments, and the client transfers that it
/// was not yet told to forget. This state is the result of applying facts. Forgotten transfers are looked up in the
/// [`Past`].
#[derive(Debug)]
pub struct Ledger {
    pub(crate) books: BTreeMap<LedgerId, BookState>,
    pub(crate) accounts: Accounts,
    pub(crate) legs: Legs,
    pub(crate) recents: Recents,
    /// Client transfers that still reserve their amount, whatever their age.
    pub(crate) pendings: HashMap<TransferId, Transfer, RandomState>,
    /// States of the pending client transfers that a recent record resolved.
    pub(crate) resolved: HashMap<TransferId, PendingState, RandomState>,
    /// Every transfer that still reserves its amount, by time of creation.
    pub(crate) unresolved: BTreeMap<Timestamp, TransferKey>,
    /// Pending transfers with a timeout, by expiry, then by time of creation.
    pub(crate) expiries: BTreeMap<(Timestamp, Timestamp), TransferKey>,
    /// Timestamp of the latest account.
    pub(crate) last_account: Timestamp,
    /// Timestamp of the latest transfer.
    pub(crate) last_transfer: Timestamp,
    pub(crate) limits: HashMap<AccountId, Limits, RandomState>,
    pub(crate) addresses: Addresses,
    pub(crate) metadata: Metadata,
    pub(crate) openings: Openings,
    pub(crate) schedule: Schedule,
    pub(crate) indexes: BTreeMap<LedgerId, IndexedFields>,
    pub(crate) imports: Imports,
    pub(crate) past: Box<dyn Past>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            books: BTreeMap::new(),
            accounts: Accounts::default(),
            legs: Legs::default(),
            recents: Recents::default(),
            pendings: HashMap::default(),
            resolved: HashMap::default(),
            unresolved: BTreeMap::new(),
            expiries: BTreeMap::new(),
            last_account: Timestamp::ZERO,
            last_transfer: Timestamp::ZERO,
            limits: HashMap::default(),
            addresses: Addresses::default(),
            metadata: Metadata::default(),
            openings: Openings::default(),
            schedule: Schedule::default(),
            indexes: BTreeMap::new(),
            imports: Imports::default(),
            past: Box::new(NoPast),
        }
    }
}

/// Roughly the number of accounts that stay in the CPU caches whatever else the processor does.
const ACCOUNTS_CACHED: usize = 1 << 10;

/// A book with its accounts and their sums.
#[derive(Debug)]
pub(crate) struct BookState {
    pub(crate) book: Book,
    pub(crate) totals: Totals,
    /// Places of its accounts, in order.
    pub(crate) accounts: Chunks<AccountPlace>,
    /// Places of imported accounts, one list per opened import.
    imported: Vec<Chunks<AccountPlace>>,
}

impl BookState {
    pub(crate) fn new(book: &Book) -> Self {
        Self { book: *book, totals: Totals::default(), accounts: Chunks::default(), imported: Vec::new() }
    }

    pub(crate) fn add_import(&mut self, places: impl Iterator<Item = AccountPlace>) {
        let mut imported = Chunks::default();
        places.for_each(|place| {
            imported.push(place);
        });
        self.imported.push(imported);
    }

    /// Its accounts in several lists, each in order of timestamp.
    fn lists(&self) -> impl Iterator<Item = &Chunks<AccountPlace>> {
        std::iter::once(&self.accounts).chain(&self.imported)
    }

    fn accounts_count(&self) -> usize {
        self.lists().map(Chunks::len).sum()
    }
}

impl Ledger {
    /// Sets where forgotten client transfers are looked up.
    pub fn set_past(&mut self, past: Box<dyn Past>) {
        self.past = past;
    }

    /// Number of records so far. Each creation, failure and expiry of a client transfer is a record.
    pub fn recorded(&self) -> u64 {
        self.recents.recorded()
    }

    /// Drops the records up to number `recorded` from memory. The [`Past`] must hold them. Transfers that are still
    /// pending stay in memory.
    pub fn forget_through(&mut self, recorded: u64) {
        let resolved = &mut self.resolved;
        self.recents.forget_through(recorded, |record| {
            let ended = match record {
                Record::Created(transfer) => transfer.pending,
                Record::Staged { .. } => None,
                Record::Expired(id) => Some(TransferKey::Client(*id)),
                Record::Failed { .. } => None,
            };
            if let Some(TransferKey::Client(id)) = ended {
                resolved.remove(&id);
            }
        });
    }

    /// Starts a plan whose first account or transfer gets the timestamp `at`. Dropping the plan changes nothing.
    ///
    /// # Panics
    /// LED-3: if `at` is not later than every account and transfer.
    pub fn plan(&self, at: Timestamp) -> Plan<'_> {
        self.check_time(at);
        Plan::new(self, at)
    }

    pub(crate) fn check_time(&self, at: Timestamp) {
        let last = self.last_timestamp();
        assert!(at > last, "LED-3: a plan at {at} is not later than {last}");
    }

    pub fn book(&self, id: LedgerId) -> Option<&Book> {
        self.books.get(&id).map(|state| &state.book)
    }

    /// All books, in order of id.
    pub fn books(&self) -> impl ExactSizeIterator<Item = &Book> {
        self.books.values().map(|state| &state.book)
    }

    /// The account with this id and its current balances.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.account_place(id).map(|place| self.accounts.at(place))
    }

    /// The place of the account with this id.
    pub fn account_place(&self, id: AccountId) -> Option<AccountPlace> {
        self.accounts.place(id).filter(|place| self.is_visible(*place))
    }

    /// The account at a place, which must be from this ledger.
    ///
    /// # Panics
    /// If there is no account at this place.
    pub fn account_at(&self, place: AccountPlace) -> &Account {
        self.accounts.at(place)
    }

    /// Number of accounts. Their places are the numbers below it.
    pub fn accounts_count(&self) -> usize {
        self.accounts.len()
    }

    /// The transfer with this key. A transfer that failed is not found.
    pub fn transfer(&self, key: TransferKey) -> Option<Transfer> {
        match self.find(key)? {
            PastTransfer::Created { transfer, .. } => Some(transfer),
            PastTransfer::Failed(_) | PastTransfer::Staged { .. } => None,
        }
    }

    /// The state of a pending transfer as seen at `at`. Once its time has passed it is expired, even if the fact of its
    /// expiry is not applied yet. `None` if there is no such transfer or it never was pending.
    pub fn pending_state(&self, key: TransferKey, at: Timestamp) -> Option<PendingState> {
        match self.find(key)? {
            PastTransfer::Created { transfer, state } => state.map(|state| state.as_of(&transfer, at)),
            PastTransfer::Failed(_) | PastTransfer::Staged { .. } => None,
        }
    }

    /// Whether the transfer with this id was refused for good.
    pub fn has_failed(&self, id: TransferId) -> bool {
        matches!(self.find(TransferKey::Client(id)), Some(PastTransfer::Failed(_)))
    }

    /// What became of the transfer `key`, in memory or in the past. An unresolved transfer is pending, even after its
    /// time.
    pub(crate) fn find(&self, key: TransferKey) -> Option<PastTransfer> {
        let TransferKey::Client(id) = key else {
            let leg = self.legs.find(key)?;
            return Some(PastTransfer::Created { transfer: leg.transfer, state: leg.state });
        };
        // First, because posts and voids look for pending transfers. A fresh id is looked up in all three places
        // anyway.
        if let Some(transfer) = self.pendings.get(&id) {
            return Some(PastTransfer::Created { transfer: *transfer, state: Some(PendingState::Pending) });
        }
        if let Some(record) = self.recents.find(id) {
            return match record {
                Record::Created(transfer) => {
                    let state = transfer.is_pending().then(|| self.resolution_of(id).unwrap_or(PendingState::Pending));
                    Some(PastTransfer::Created { transfer: *transfer, state })
                }
                Record::Failed { status, .. } => Some(PastTransfer::Failed(*status)),
                Record::Staged { import, transfer } => self.as_imported(*import, *transfer),
                Record::Expired(_) => None,
            };
        }
        match self.past.find(id)? {
            PastTransfer::Created { transfer, state: Some(state) } => {
                Some(PastTransfer::Created { transfer, state: Some(self.resolution_of(id).unwrap_or(state)) })
            }
            PastTransfer::Staged { import, transfer } => self.as_imported(import, transfer),
            found @ (PastTransfer::Failed(_) | PastTransfer::Created { state: None, .. }) => Some(found),
        }
    }

    /// Prefetches what judging these transfers will read, for at most [`WARM_EVENTS`](crate::WARM_EVENTS) of them, and
    /// changes nothing. The memory accesses overlap here, whereas judging one by one waits for each access.
    pub fn warm(&self, events: &[NewTransfer]) {
        // Fewer accounts stay in the CPU caches anyway.
        if self.accounts.len() > ACCOUNTS_CACHED {
            self.accounts.warm(events.iter().flat_map(|new| [new.debit, new.credit]));
        }
    }

    /// Like [`Ledger::warm`], for accounts to be opened.
    pub fn warm_accounts(&self, events: &[NewAccount]) {
        if self.accounts.len() > ACCOUNTS_CACHED {
            self.accounts.warm(events.iter().map(|new| new.id));
        }
    }

    /// Whether a transfer has exactly this timestamp.
    pub(crate) fn has_transfer_at(&self, at: Timestamp) -> bool {
        let before = at.checked_sub(Span::from_ns(1)).unwrap_or_default();
        let is_at = |transfer: Option<&Transfer>| transfer.is_some_and(|transfer| transfer.timestamp == at);
        is_at(self.legs.transfers_after(before).next())
            || is_at(self.recents.transfers_after(before).next())
            || (self.recents.has_forgotten() && at <= self.last_transfer && self.past.has_timestamp(at))
    }

    fn resolution_of(&self, id: TransferId) -> Option<PendingState> {
        self.resolved.get(&id).copied()
    }

    /// Up to `limit` pending transfers whose time has passed at `at`, in the order in which they must expire: by expiry
    /// time, then by creation.
    pub fn due(&self, at: Timestamp, limit: usize) -> Vec<TransferKey> {
        let passed = self.expiries.iter().take_while(|((expiry, _), _)| *expiry <= at);
        passed.take(limit).map(|(_, key)| *key).collect()
    }

    /// The unresolved transfers created after `after`, in order of creation. They include transfers whose time has
    /// passed but whose expiry is not applied yet.
    pub fn unresolved_after(&self, after: Timestamp) -> impl Iterator<Item = Transfer> {
        let later = self.unresolved.range((Bound::Excluded(after), Bound::Unbounded));
        later.map(|(_, key)| self.transfer(*key).expect("LED-5: an unresolved transfer exists"))
    }

    /// Number of accounts of a book that were opened at or before `at`.
    pub fn accounts_opened(&self, ledger: LedgerId, at: Timestamp) -> usize {
        let book = self.books.get(&ledger);
        book.map_or(0, |book| book.accounts.partition_point(0, |&place| self.accounts.at(place).timestamp <= at))
    }

    /// When the next pending transfer expires.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.expiries.first_key_value().map(|((expiry, _), _)| *expiry)
    }

    /// Up to `limit` accounts opened after `after`, of one book or of all, in order of opening. The timestamp of the
    /// last one is the cursor for the next page.
    pub fn accounts_after(&self, ledger: Option<LedgerId>, after: Timestamp, limit: usize) -> Vec<&Account> {
        let books = self.books.iter().filter(|(id, _)| ledger.is_none_or(|ledger| ledger == **id));
        let lists = books.flat_map(|(_, book)| book.lists());
        let mut heads: Vec<_> = lists
            .map(|list| {
                let start = list.partition_point(0, |&place| self.accounts.at(place).timestamp <= after);
                list.from(start).map(|&place| self.accounts.at(place)).peekable()
            })
            .collect();
        let mut found = Vec::new();
        while found.len() < limit {
            let next =
                heads.iter_mut().filter_map(|head| Some((head.peek()?.timestamp, head))).min_by_key(|(at, _)| *at);
            let Some(account) = next.and_then(|(_, head)| head.next()) else { break };
            found.push(account);
        }
        found
    }

    /// Up to `limit` accounts opened before `before`, of one book or of all, from the newest to the oldest.
    pub fn accounts_before(&self, ledger: Option<LedgerId>, before: Timestamp, limit: usize) -> Vec<&Account> {
        let books = self.books.iter().filter(|(id, _)| ledger.is_none_or(|ledger| ledger == **id));
        let lists = books.flat_map(|(_, book)| book.lists());
        // Each list with the end of its part that was not returned yet.
        let mut parts: Vec<_> = lists
            .map(|list| (list, list.partition_point(0, |&place| self.accounts.at(place).timestamp < before)))
            .collect();
        let mut found = Vec::new();
        while found.len() < limit {
            let lasts = parts.iter_mut().filter_map(|(list, end)| {
                let last = end.checked_sub(1)?;
                Some((self.accounts.at(*list.get(last)?), last, end))
            });
            let Some((account, last, end)) = lasts.max_by_key(|(account, ..)| account.timestamp) else { break };
            *end = last;
            found.push(account);
        }
        found
    }

    /// Whether an account has exactly this timestamp.
    pub(crate) fn has_account_at(&self, at: Timestamp) -> bool {
        let before = at.checked_sub(Span::from_ns(1)).unwrap_or_default();
        self.accounts_after(None, before, 1).first().is_some_and(|account| account.timestamp == at)
    }

    /// Up to `limit` transfers created after `after`, of one book or of all, in order of creation. The timestamp of the
    /// last one is the cursor for the next page. Only transfers in memory are included: all transfers of payments, and
    /// the client transfers that are not forgotten.
    pub fn transfers_after(&self, ledger: Option<LedgerId>, after: Timestamp, limit: usize) -> Vec<Transfer> {
        let is_wanted = |transfer: &&Transfer| ledger.is_none_or(|id| transfer.ledger == id);
        let mut of_clients = self.recents.transfers_after(after).filter(is_wanted).take(limit).peekable();
        let mut legs = self.legs.transfers_after(after).filter(is_wanted).take(limit).peekable();
        let earlier = std::iter::from_fn(|| match (of_clients.peek(), legs.peek()) {
            (Some(transfer), Some(leg)) if leg.timestamp < transfer.timestamp => legs.next(),
            (Some(_), _) => of_clients.next(),
            (None, _) => legs.next(),
        });
        earlier.take(limit).copied().collect()
    }

    /// The sums over all accounts of a book. They are kept up to date, so reading them is cheap.
    pub fn trial_balance(&self, book: LedgerId) -> Option<TrialBalance> {
        self.books.get(&book).map(|state| state.totals.trial_balance(state.accounts_count()))
    }

    /// The books in which debits do not equal credits, or whose sums differ from those recomputed over all their
    /// accounts. There are none unless something is broken.
    pub fn unbalanced(&self) -> Vec<LedgerId> {
        let holds = |book: &BookState| {
            let mut totals = Totals::default();
            for place in book.lists().flat_map(|list| list.from(0)) {
                let account = self.accounts.at(*place);
                totals.replace(&account.emptied(), account);
            }
            totals == book.totals && totals.balance()
        };
        self.books.iter().filter(|(_, book)| !holds(book)).map(|(id, _)| *id).collect()
    }

    /// The timestamp of the latest account or transfer. A plan must start later.
    pub fn last_timestamp(&self) -> Timestamp {
        self.last_account.max(self.last_transfer)
    }

    /// The timestamp of the latest transfer. An imported transfer must be later.
    pub fn last_transfer_timestamp(&self) -> Timestamp {
        self.last_transfer
    }
}
