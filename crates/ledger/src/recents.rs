//! Recent client transfers, in order and by id, until the index holds them and the ledger forgets them.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use types::{Timestamp, TransferId};

use crate::chunks::Chunks;
use crate::{ImportNumber, Transfer, TransferKey, TransferStatus};

/// What recently happened to client transfers, in order and by id. Records stay until the ledger is told to forget
/// them.
///
/// Ids that keep increasing, such as ids that begin with a time, are kept in a sorted list and need no hashing. All
/// other ids are in a hash table.
#[derive(Debug, Default)]
pub(crate) struct Recents {
    records: Chunks<Record>,
    /// Number of records that came before the first one in `records`.
    earlier: u64,
    /// Index in `records` of the first record that is not forgotten.
    first: usize,
    ascending: VecDeque<(TransferId, usize)>,
    others: HashTable<Slot>,
    hasher: RandomState,
}

/// Where the record of an id is. It is small, so that many fit in the CPU caches.
#[derive(Debug)]
struct Slot {
    /// The lower half of the id's hash.
    hash: u32,
    /// The lower half of the record's number. Fewer than 2^32 records are kept at once.
    number: u32,
}

impl Slot {
    /// The hash that the table uses. It needs only the stored half, so that the table grows without reading records.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Debug)]
pub(crate) enum Record {
    Created(Transfer),
    Failed {
        id: TransferId,
        status: TransferStatus,
    },
    /// The pending transfer expired.
    Expired(TransferId),
    /// An import staged the transfer.
    Staged {
        import: ImportNumber,
        transfer: Transfer,
    },
}

impl Record {
    /// The id that this record spends.
    fn spends(&self) -> Option<TransferId> {
        match self {
            Self::Created(Transfer { key: TransferKey::Client(id), .. })
            | Self::Staged { transfer: Transfer { key: TransferKey::Client(id), .. }, .. }
            | Self::Failed { id, .. } => Some(*id),
            Self::Created(_) | Self::Staged { .. } | Self::Expired(_) => None,
        }
    }
}

impl Recents {
    /// Number of records that were ever added.
    pub(crate) fn recorded(&self) -> u64 {
        self.earlier.saturating_add(self.records.len() as u64)
    }

    /// Starts after `recorded` records that are already forgotten.
    pub(crate) fn start(&mut self, recorded: u64) {
        assert_eq!(self.records.len(), 0, "only an empty ledger can be restored");
        self.earlier = recorded;
    }

    /// Whether any record was forgotten.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.earlier > 0 || self.first > 0
    }

    /// Adds a record. Returns false if the id that it spends is already here, unless an import staged that transfer:
    /// the caller must know whether the import left the id free.
    pub(crate) fn add(&mut self, record: Record) -> bool {
        let number = self.records.len();
        if let Some(id) = record.spends() {
            if self.number_of(id).is_some_and(|number| !self.is_staged(number)) {
                return false;
            }
            if self.ascending.back().is_none_or(|(last, _)| *last < id) {
                self.ascending.push_back((id, number));
            } else {
                let slot = Slot { hash: low_half(self.hasher.hash_one(id)), number: low_half(number as u64) };
                self.others.insert_unique(Slot::spread(slot.hash), slot, |slot| Slot::spread(slot.hash));
            }
        }
        self.records.push(record);
        true
    }

    pub(crate) fn find(&self, id: TransferId) -> Option<&Record> {
        self.number_of(id).and_then(|number| self.records.get(number))
    }

    fn number_of(&self, id: TransferId) -> Option<usize> {
        if self.ascending.back().is_some_and(|(last, _)| id <= *last) {
            let found = self.ascending.binary_search_by_key(&id, |(id, _)| *id);
            if let Some((_, number)) = found.ok().and_then(|at| self.ascending.get(at)) {
                // The import may have left the id free, and a later record may have taken it.
                return if self.is_staged(*number) { self.newest_other(id).max(Some(*number)) } else { Some(*number) };
            }
        }
        // Checked first, so that no id is hashed while all ids ascend.
        if self.others.is_empty() {
            return None;
        }
        let hash = low_half(self.hasher.hash_one(id));
        let slot = self.others.find(Slot::spread(hash), |slot| slot.hash == hash && self.has_id(slot, id));
        let number = self.number(slot?);
        if self.is_staged(number) { self.newest_other(id) } else { Some(number) }
    }

    /// The newest of several records with the same id. Only imports leave such duplicates behind.
    fn newest_other(&self, id: TransferId) -> Option<usize> {
        let hash = low_half(self.hasher.hash_one(id));
        let slots = self.others.iter_hash(Slot::spread(hash));
        slots.filter(|slot| slot.hash == hash && self.has_id(slot, id)).map(|slot| self.number(slot)).max()
    }

    fn is_staged(&self, number: usize) -> bool {
        matches!(self.records.get(number), Some(Record::Staged { .. }))
    }

    fn has_id(&self, slot: &Slot, id: TransferId) -> bool {
        self.records.get(self.number(slot)).and_then(Record::spends) == Some(id)
    }

    /// Restores the whole number from its lower half: the first match at or after `first`.
    fn number(&self, slot: &Slot) -> usize {
        let behind_first = slot.number.wrapping_sub(low_half(self.first as u64));
        self.first.saturating_add(usize::try_from(behind_first).expect("a record's number fits the address space"))
    }

    /// Forgets the records up to number `through`, counted from 1, and passes each to `forgotten` in order.
    pub(crate) fn forget_through(&mut self, through: u64, mut forgotten: impl FnMut(&Record)) {
        let end = usize::try_from(through.saturating_sub(self.earlier)).unwrap_or(usize::MAX).min(self.records.len());
        for number in self.first..end {
            let Some(record) = self.records.get(number) else { continue };
            if let Some(id) = record.spends() {
                if self.ascending.front() == Some(&(id, number)) {
                    self.ascending.pop_front();
                } else {
                    let hash = low_half(self.hasher.hash_one(id));
                    let is_it = |slot: &Slot| slot.hash == hash && slot.number == low_half(number as u64);
                    if let Ok(found) = self.others.find_entry(Slot::spread(hash), is_it) {
                        found.remove();
                    }
                }
            }
            forgotten(record);
        }
        self.first = self.first.max(end);
        self.records.drop_before(self.first);
    }

    /// The transfers created after `after`, in order of creation.
    pub(crate) fn transfers_after(&self, after: Timestamp) -> impl Iterator<Item = &Transfer> {
        let transfers = self.records.from(self.first).filter_map(|record| match record {
            Record::Created(transfer) => Some(transfer),
            Record::Failed { .. } | Record::Expired(_) | Record::Staged { .. } => None,
        });
        transfers.skip_while(move |transfer| transfer.timestamp <= after)
    }
}

fn low_half(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).expect("only the low half is left")
}
