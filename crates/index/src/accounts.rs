//! Account tables: the fixed properties of each account, in order of place, and account balances at the ends of
//! generations.
//!
//! Balances take two tables: `latest` has the newest image of every account that changed in the run, and is all that a
//! restart reads; `earlier` has the older images, which queries about past balances need. Both are sorted by place,
//! then by generation.

use std::sync::Arc;

use disk::Disk;
use ledger::{Account, AccountFlags, AccountPlace};
use types::{AccountId, Amount, Code, LedgerId, Timestamp};

use crate::block::{BlockFile, Writer};
use crate::changes::AccountChanges;
use crate::fault::Fault;
use crate::fixed::{Row, fixed_struct};
use crate::table::{Merged, TABLE_ARRAYS, Table, TableWriter, write_table};
use crate::yielding::{Yield, Yielding};

/// The properties of an account that are fixed when it is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountRow {
    id: u128,
    user_data_128: u128,
    user_data_64: u64,
    timestamp: u64,
    user_data_32: u32,
    ledger: u32,
    code: u16,
}

fixed_struct!(AccountRow {
    id: u128,
    user_data_128: u128,
    user_data_64: u64,
    timestamp: u64,
    user_data_32: u32,
    ledger: u32,
    code: u16,
} spare 6);

impl AccountRow {
    pub(crate) fn of(account: &Account) -> Self {
        Self {
            id: account.id.get(),
            user_data_128: account.user_data_128,
            user_data_64: account.user_data_64,
            timestamp: account.timestamp.ns(),
            user_data_32: account.user_data_32,
            ledger: account.ledger.get(),
            code: account.code.get(),
        }
    }

    /// Returns the account with these balances.
    pub(crate) fn with(self, balances: &Balances) -> Account {
        Account {
            id: AccountId::new(self.id),
            ledger: LedgerId::new(self.ledger),
            code: Code::new(self.code),
            user_data_128: self.user_data_128,
            user_data_64: self.user_data_64,
            user_data_32: self.user_data_32,
            flags: balances.flags,
            timestamp: Timestamp::from_ns(self.timestamp),
            debits_pending: balances.debits_pending,
            debits_posted: balances.debits_posted,
            credits_pending: balances.credits_pending,
            credits_posted: balances.credits_posted,
        }
    }
}

/// An account's balances at the end of a generation in which they changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balances {
    pub generation: u32,
    /// The account's flags at that time.
    pub flags: AccountFlags,
    /// The amount reserved by pending transfers out of the account.
    pub debits_pending: Amount,
    /// The total amount posted out of the account.
    pub debits_posted: Amount,
    /// The amount reserved by pending transfers into the account.
    pub credits_pending: Amount,
    /// The total amount posted into the account.
    pub credits_posted: Amount,
}

impl Balances {
    /// Copies the balances of `account` as they are at the end of `generation`.
    pub fn of(account: &Account, generation: u32) -> Self {
        Self {
            generation,
            flags: account.flags,
            debits_pending: account.debits_pending,
            debits_posted: account.debits_posted,
            credits_pending: account.credits_pending,
            credits_posted: account.credits_posted,
        }
    }
}

/// The stored form of [`Balances`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct BalancesRow {
    pub(crate) place: u32,
    pub(crate) generation: u32,
    flags: u16,
    debits_pending: u128,
    debits_posted: u128,
    credits_pending: u128,
    credits_posted: u128,
}

fixed_struct!(BalancesRow {
    place: u32,
    generation: u32,
    flags: u16,
    debits_pending: u128,
    debits_posted: u128,
    credits_pending: u128,
    credits_posted: u128,
} spare 0);

impl Row for BalancesRow {
    type Key = u64;

    #[inline]
    fn key(&self) -> u64 {
        images_of(self.place) + u64::from(self.generation)
    }
}

/// The smallest key that an image of this account can have.
pub(crate) fn images_of(place: u32) -> u64 {
    u64::from(place) << 32
}

impl BalancesRow {
    pub(crate) fn of(place: AccountPlace, account: &Account, generation: u32) -> Self {
        Self {
            place: place.0,
            generation,
            flags: account.flags.bits(),
            debits_pending: account.debits_pending.get(),
            debits_posted: account.debits_posted.get(),
            credits_pending: account.credits_pending.get(),
            credits_posted: account.credits_posted.get(),
        }
    }

    pub(crate) fn balances(&self) -> Balances {
        Balances {
            generation: self.generation,
            flags: AccountFlags::from_bits(self.flags),
            debits_pending: Amount::new(self.debits_pending),
            debits_posted: Amount::new(self.debits_posted),
            credits_pending: Amount::new(self.credits_pending),
            credits_posted: Amount::new(self.credits_posted),
        }
    }
}

/// The balance images of a run.
#[derive(Debug)]
pub(crate) struct Images {
    pub(crate) latest: Table<BalancesRow>,
    earlier: Table<BalancesRow>,
}

/// The number of arrays in the file that the images take.
pub(crate) const IMAGES_ARRAYS: usize = 2 * TABLE_ARRAYS;

impl Images {
    pub(crate) fn open(file: &Arc<BlockFile>, number: usize) -> Result<Self, Fault> {
        Ok(Self { latest: Table::open(file, number)?, earlier: Table::open(file, number + TABLE_ARRAYS)? })
    }

    /// Writes the images at the end of one generation, in order of place.
    pub(crate) fn write<D: Disk>(
        writer: &mut Writer<D>,
        generation: u32,
        changes: &AccountChanges,
    ) -> Result<(), Fault> {
        let rows = changes.iter().map(|(place, account)| Ok(BalancesRow::of(place, account, generation)));
        write_table(writer, rows)?;
        write_table::<BalancesRow, _>(writer, [])
    }

    /// Merges the images of several runs.
    pub(crate) fn merge<D: Disk>(
        writer: &mut Writer<D>,
        inputs: &[&Self],
        yielded: &mut Yield<'_>,
    ) -> Result<(), Fault> {
        let latest = Merged::new(inputs.iter().map(|input| input.latest.all()))?;
        write_split(writer, latest, Keep::LastOfEach, yielded)?;
        let earlier = inputs.iter().map(|input| input.earlier.all());
        let latest = inputs.iter().map(|input| input.latest.all());
        write_split(writer, Merged::new(earlier.chain(latest))?, Keep::AllButLast, yielded)
    }

    /// Returns the last image of an account that is not newer than `generation`.
    pub(crate) fn at(&self, place: AccountPlace, generation: u32) -> Result<Option<BalancesRow>, Fault> {
        let latest = self.latest.first_from(images_of(place.0))?.filter(|row| row.place == place.0);
        let Some(latest) = latest else { return Ok(None) };
        if latest.generation <= generation {
            return Ok(Some(latest));
        }
        let after = images_of(place.0) + u64::from(generation) + 1;
        Ok(self.earlier.last_before(after)?.filter(|row| row.place == place.0))
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.latest.memory_bytes() + self.earlier.memory_bytes()
    }
}

/// Which images of each account a table keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    LastOfEach,
    AllButLast,
}

fn write_split<D: Disk>(
    writer: &mut Writer<D>,
    images: Merged<BalancesRow>,
    keep: Keep,
    yielded: &mut Yield<'_>,
) -> Result<(), Fault> {
    let mut table = TableWriter::begin(writer)?;
    let mut waiting: Option<BalancesRow> = None;
    for row in Yielding::new(images, yielded) {
        let row = row?;
        if let Some(before) = waiting.replace(row)
            && (before.place != row.place) == (keep == Keep::LastOfEach)
        {
            table.push(before)?;
        }
    }
    if let Some(last) = waiting.filter(|_| keep == Keep::LastOfEach) {
        table.push(last)?;
    }
    table.finish()
}
