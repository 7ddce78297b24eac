use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use types::AccountId;

use crate::Account;
use crate::chunks::Chunks;

/// Where an account stands in the order of opening, from 0 on: a short name for derived data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountPlace(pub u32);

impl AccountPlace {
    fn new(number: usize) -> Self {
        Self(u32::try_from(number).expect("a ledger has fewer than 2^32 accounts"))
    }

    fn number(self) -> usize {
        usize::try_from(self.0).expect("a place fits the address space")
    }
}

/// All accounts in order of opening, found by id, and which of them changed lately.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    rows: Chunks<Account>,
    index: Index,
    /// One bit per account, 64 to a word.
    changed: Vec<u64>,
}

impl Accounts {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds an account, which from now on is the one with its id; `None` when its id is that of an account that is not
    /// `free` to be replaced.
    pub(crate) fn add(&mut self, account: Account, free: impl Fn(AccountPlace) -> bool) -> Option<AccountPlace> {
        let before = self.place(account.id);
        if before.is_some_and(|place| !free(place)) {
            return None;
        }
        let place = AccountPlace::new(self.rows.push(account));
        match before {
            Some(before) => self.index.replace(account.id, before, place),
            None => self.index.add(&self.rows, account.id, place),
        }
        if self.changed.len() <= place.number() >> 6 {
            self.changed.push(0);
        }
        self.mark(place);
        Some(place)
    }

    pub(crate) fn place(&self, id: AccountId) -> Option<AccountPlace> {
        self.index.find(&self.rows, id)
    }

    pub(crate) fn at(&self, place: AccountPlace) -> &Account {
        self.rows.get(place.number()).expect("places come from these accounts")
    }

    /// Replaces what is at `place`; its id stays.
    pub(crate) fn put(&mut self, place: AccountPlace, account: Account) {
        *self.rows.get_mut(place.number()).expect("places come from these accounts") = account;
        self.mark(place);
    }

    /// The accounts from `place` on, in order.
    pub(crate) fn from(&self, place: AccountPlace) -> impl Iterator<Item = &Account> {
        self.rows.from(place.number())
    }

    /// What changed since [`Accounts::forget_changes`], in order of place.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (AccountPlace, &Account)> {
        let words = self.changed.iter().enumerate().filter(|(_, word)| **word != 0);
        words.flat_map(move |(number, &word)| {
            let set = (0..64_usize).filter(move |bit| word >> bit & 1 == 1);
            set.map(move |bit| AccountPlace::new(number << 6 | bit)).map(|place| (place, self.at(place)))
        })
    }

    pub(crate) fn forget_changes(&mut self) {
        self.changed.fill(0);
    }

    fn mark(&mut self, place: AccountPlace) {
        let word = self.changed.get_mut(place.number() >> 6).expect("every account has its bit");
        *word |= 1 << (place.0 & 63);
    }
}

/// Places by id. In shards, so that growing never rehashes more than a small part at once.
#[derive(Debug)]
struct Index {
    hasher: RandomState,
    shards: Vec<HashTable<u32>>,
}

const SHARDS: usize = 64;
const SHARD_MASK: u64 = 63;

impl Default for Index {
    fn default() -> Self {
        Self { hasher: RandomState::default(), shards: vec![HashTable::new(); SHARDS] }
    }
}

impl Index {
    fn find(&self, rows: &Chunks<Account>, id: AccountId) -> Option<AccountPlace> {
        let hash = self.hasher.hash_one(id);
        let found = self.shards.get(shard(hash))?.find(hash, |&place| id_at(rows, place) == Some(id));
        found.copied().map(AccountPlace)
    }

    fn add(&mut self, rows: &Chunks<Account>, id: AccountId, place: AccountPlace) {
        let hash = self.hasher.hash_one(id);
        let Self { hasher, shards } = self;
        let shard = shards.get_mut(shard(hash)).expect("a shard's number is below their count");
        shard.insert_unique(hash, place.0, |&place| hasher.hash_one(id_at(rows, place).expect("it was added")));
    }

    /// Lets the id that named the account at `before` name the one at `place`.
    fn replace(&mut self, id: AccountId, before: AccountPlace, place: AccountPlace) {
        let hash = self.hasher.hash_one(id);
        let shard = self.shards.get_mut(shard(hash)).expect("a shard's number is below their count");
        *shard.find_mut(hash, |&found| found == before.0).expect("it was added") = place.0;
    }
}

/// From bits that the table of a shard uses neither for the bucket nor for its tag.
fn shard(hash: u64) -> usize {
    usize::try_from(hash >> 40 & SHARD_MASK).expect("a shard's number is small")
}

fn id_at(rows: &Chunks<Account>, place: u32) -> Option<AccountId> {
    rows.get(AccountPlace(place).number()).map(|account| account.id)
}
