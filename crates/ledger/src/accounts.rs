//! The table of accounts, in order of opening and by id, with the set of those that changed.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use types::AccountId;

use crate::Account;
use crate::chunks::Chunks;

/// Position of an account in the order of opening, from 0. Derived data uses it as a short id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountPlace(pub u32);

/// Most events whose accounts are prefetched together before the events are judged.
pub const WARM_EVENTS: usize = 64;

impl AccountPlace {
    fn new(number: usize) -> Self {
        Self(u32::try_from(number).expect("a ledger has fewer than 2^32 accounts"))
    }

    fn number(self) -> usize {
        usize::try_from(self.0).expect("a place fits the address space")
    }
}

/// All accounts in order of opening, an index by id, and the set of accounts that changed lately.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    rows: Chunks<Account>,
    index: Index,
    /// One bit per account, 64 to a word; set if the account changed.
    changed: Vec<u64>,
}

impl Accounts {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds an account and points its id at it. Returns `None` if another account has that id and is not `free` to be
    /// replaced.
    pub(crate) fn add(&mut self, account: Account, free: impl Fn(AccountPlace) -> bool) -> Option<AccountPlace> {
        let before = self.place(account.id);
        if before.is_some_and(|place| !free(place)) {
            return None;
        }
        let place = AccountPlace::new(self.rows.push(account));
        match before {
            Some(before) => self.index.replace(account.id, before, place),
            None => self.index.add(account.id, place),
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

    /// Reads the accounts with these ids only to bring them into the CPU caches.
    pub(crate) fn warm(&self, ids: impl Iterator<Item = AccountId>) {
        // Two rounds, so that the loads within a round do not depend on one another.
        let mut places = [u32::MAX; 2 * WARM_EVENTS];
        for (id, place) in ids.zip(&mut places) {
            *place = self.index.guess(id).unwrap_or(u32::MAX);
        }
        let rows = places.iter().filter_map(|&place| self.rows.get(AccountPlace(place).number()));
        // An account spans more than one cache line.
        let sum = rows.fold(0, |sum, account| sum ^ account.id.get() ^ account.credits_posted.get());
        std::hint::black_box(sum);
    }

    pub(crate) fn at(&self, place: AccountPlace) -> &Account {
        self.rows.get(place.number()).expect("every place was returned by `add`")
    }

    /// Replaces the account at `place` with a newer version of the same account.
    pub(crate) fn put(&mut self, place: AccountPlace, account: Account) {
        *self.rows.get_mut(place.number()).expect("every place was returned by `add`") = account;
        self.mark(place);
    }

    /// Iterates over the accounts from `place` on, in order.
    pub(crate) fn from(&self, place: AccountPlace) -> impl Iterator<Item = &Account> {
        self.rows.from(place.number())
    }

    /// Iterates over the accounts that changed since [`Accounts::forget_changes`], in order of place.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (AccountPlace, &Account)> {
        let words = self.changed.iter().enumerate().filter(|(_, word)| **word != 0);
        words.flat_map(move |(number, &word)| {
            let places = set_bits(word).map(move |bit| AccountPlace::new(number << 6 | bit));
            places.map(|place| (place, self.at(place)))
        })
    }

    /// Number of items that [`Accounts::changes`] yields.
    pub(crate) fn changes_count(&self) -> usize {
        self.changed.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn forget_changes(&mut self) {
        self.changed.fill(0);
    }

    fn mark(&mut self, place: AccountPlace) {
        let word = self.changed.get_mut(place.number() >> 6).expect("`add` gives every account a bit");
        *word |= 1 << (place.0 & 63);
    }
}

/// Iterates over the positions of the bits that are set, lowest first.
fn set_bits(word: u64) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(word), |left| Some(left & left.wrapping_sub(1)))
        .take_while(|left| *left != 0)
        .map(|left| left.trailing_zeros() as usize)
}

/// Places by id. The table is split into shards, so that growing never rehashes more than a small part at once.
#[derive(Debug)]
struct Index {
    hasher: RandomState,
    shards: Vec<HashTable<Slot>>,
}

/// Where the account of an id is. Comparing `hash` nearly always identifies the account without reading it, and lets a
/// shard grow without reading accounts.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    place: u32,
}

const SHARD_BITS: u32 = 6;

impl Slot {
    /// Widens `hash` to the 64 bits that a shard's table expects. The table takes its tags from the high bits and the
    /// bucket from the low bits, so both halves hold the same value.
    fn spread(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

impl Default for Index {
    fn default() -> Self {
        Self { hasher: RandomState::default(), shards: vec![HashTable::new(); 1 << SHARD_BITS] }
    }
}

impl Index {
    fn find(&self, rows: &Chunks<Account>, id: AccountId) -> Option<AccountPlace> {
        let (shard, hash) = self.parts(id);
        let is_it = |slot: &Slot| slot.hash == hash && id_at(rows, slot.place) == Some(id);
        let found = self.shards.get(shard)?.find(Slot::spread(hash), is_it);
        found.map(|slot| AccountPlace(slot.place))
    }

    /// Returns the place of the account with this id if it is open. It compares only hashes, so another account is
    /// possible, though improbable.
    fn guess(&self, id: AccountId) -> Option<u32> {
        let (shard, hash) = self.parts(id);
        let found = self.shards.get(shard)?.find(Slot::spread(hash), |slot| slot.hash == hash);
        found.map(|slot| slot.place)
    }

    /// Moves an id from the account at `before` to the one at `place`.
    fn replace(&mut self, id: AccountId, before: AccountPlace, place: AccountPlace) {
        let (shard, hash) = self.parts(id);
        let shard = self.shards.get_mut(shard).expect("the shard number is below the shard count");
        shard.find_mut(Slot::spread(hash), |slot| slot.place == before.0).expect("the id is in the index").place =
            place.0;
    }

    fn add(&mut self, id: AccountId, place: AccountPlace) {
        let (shard, hash) = self.parts(id);
        let shard = self.shards.get_mut(shard).expect("the shard number is below the shard count");
        shard.insert_unique(Slot::spread(hash), Slot { hash, place: place.0 }, |slot| Slot::spread(slot.hash));
    }

    /// Splits the hash of an id into the number of its shard and, from other bits, the part that the shard stores.
    fn parts(&self, id: AccountId) -> (usize, u32) {
        let hash = self.hasher.hash_one(id);
        let shard = usize::try_from(hash >> (u64::BITS - SHARD_BITS)).expect("the shard number has 6 bits");
        (shard, u32::try_from(hash & u64::from(u32::MAX)).expect("only the low half is left"))
    }
}

fn id_at(rows: &Chunks<Account>, place: u32) -> Option<AccountId> {
    rows.get(AccountPlace(place).number()).map(|account| account.id)
}
