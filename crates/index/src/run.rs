//! A run: the tables of one generation, or of several adjacent generations that were merged.
//!
//! All tables of a run are in one file, so that a run exists either completely or not at all. Its arrays are, in order:
//! generations, ids, resolutions, pendings, account ids, postings, accounts, balance images, others, totals of ledgers,
//! payments, bounds of streams, window records, keys of requests.

use std::collections::VecDeque;
use std::sync::Arc;

use disk::Disk;
use engine::KEYS_MAX;
use journal::Position;
use types::Origin;

use crate::accounts::{AccountRow, IMAGES_ARRAYS, Images};
use crate::array::Array;
use crate::block::{BlockFile, Label, Writer};
use crate::event::{CREATED_PENDING, Extent, Generation, IndexUpdate};
use crate::fault::Fault;
use crate::fixed::{Six, to_usize};
use crate::generation::GenerationRow;
use crate::keys::{self, KEYS_ARRAYS, KeyRow, Keys, Unresolved};
use crate::payments::{PAYMENTS_ARRAYS, Payments};
use crate::postings::{POSTINGS_ARRAYS, Postings};
use crate::table::{Merged, TABLE_ARRAYS, Table, write_table};
use crate::totals::TotalsRow;
use crate::windows::{self, BoundsRow, WindowRow};
use crate::yielding::{Yield, Yielding};

const GENERATIONS: usize = 0;
const IDS: usize = GENERATIONS + 1;
const RESOLUTIONS: usize = IDS + KEYS_ARRAYS;
const PENDINGS: usize = RESOLUTIONS + KEYS_ARRAYS;
const ACCOUNT_IDS: usize = PENDINGS + TABLE_ARRAYS;
const POSTINGS: usize = ACCOUNT_IDS + KEYS_ARRAYS;
const ACCOUNTS: usize = POSTINGS + POSTINGS_ARRAYS;
const IMAGES: usize = ACCOUNTS + 1;
const OTHERS: usize = IMAGES + IMAGES_ARRAYS;
const TOTALS: usize = OTHERS + 1;
const PAYMENTS: usize = TOTALS + TABLE_ARRAYS;
const BOUNDS: usize = PAYMENTS + PAYMENTS_ARRAYS;
const WINDOWS: usize = BOUNDS + 1;
const KEYS: usize = WINDOWS + 1;

#[derive(Debug)]
pub(crate) struct Run {
    file: Arc<BlockFile>,
    pub(crate) generations: Vec<GenerationRow>,
    /// Transfer ids, with the position of the transfer or its failure, and a tag that tells what the id stands for.
    pub(crate) ids: Keys,
    /// Resolved pending transfers, with the position and kind of their resolution.
    pub(crate) resolutions: Keys,
    /// Pending transfers of this run that are not resolved in it.
    pub(crate) pendings: Table<KeyRow>,
    /// Account ids, with the places of the accounts.
    pub(crate) account_ids: Keys,
    pub(crate) postings: Postings,
    /// The accounts opened in this run, in order of place.
    pub(crate) accounts: Array<AccountRow>,
    pub(crate) images: Images,
    /// Positions of the entries that a restart must replay.
    pub(crate) others: Array<Six>,
    pub(crate) totals: Table<TotalsRow>,
    pub(crate) payments: Payments,
    /// What every open stream covers at the end of the run.
    pub(crate) bounds: Vec<BoundsRow>,
    /// The records of feature windows that changed in the run.
    pub(crate) windows: Array<WindowRow>,
    /// Positions of the entries about keys of requests: the last ones of the run, as many as the engine remembers.
    pub(crate) keys: Array<Six>,
    pub(crate) extent: Extent,
}

/// A generation that is not in a run yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) number: u32,
    pub(crate) generation: Generation,
    pub(crate) batches: Vec<Arc<IndexUpdate>>,
    /// The number of accounts that were open when it began.
    pub(crate) accounts_before: u64,
}

impl Waiting {
    /// The number of accounts that are open at its end.
    pub(crate) fn accounts_after(&self) -> u64 {
        self.generation.changes.last_place().map_or(0, |place| u64::from(place.0) + 1).max(self.accounts_before)
    }

    pub(crate) fn extent(&self) -> Extent {
        self.batches.iter().fold(Extent::EMPTY, |extent, batch| extent.with(batch.extent))
    }
}

const PREFIX: &str = "run-";

/// The file name of the run of generations `first` to `last`.
pub(crate) fn file_name(first: u32, last: u32) -> String {
    format!("{PREFIX}{first:08x}-{last:08x}")
}

/// The generations that a file covers, or `None` if it is not a run.
pub(crate) fn parse_name(name: &str) -> Option<(u32, u32)> {
    let (first, last) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let (first, last) = (u32::from_str_radix(first, 16).ok()?, u32::from_str_radix(last, 16).ok()?);
    (first <= last && file_name(first, last) == name).then_some((first, last))
}

fn label(origin: Origin, first: u32, last: u32) -> Label {
    Label { name: file_name(first, last), origin, first, last }
}

impl Run {
    /// Opens a run and loads the parts that stay in memory. Returns `None` if the file does not exist.
    pub(crate) fn open<D: Disk>(disk: &D, origin: Origin, first: u32, last: u32) -> Result<Option<Self>, Fault> {
        BlockFile::open(disk, label(origin, first, last))?.map(Self::of).transpose()
    }

    fn of(file: BlockFile) -> Result<Self, Fault> {
        let file = Arc::new(file);
        let generations = file.array::<GenerationRow>(GENERATIONS)?.load()?;
        let (first, last) = (file.label().first, file.label().last);
        if generations.len() != to_usize((last - first).into()) + 1 {
            return Err(file.damaged(0, "the number of generations differs from the file's name"));
        }
        let extent = generations.iter().fold(Extent::EMPTY, |extent, row| extent.with(row.extent()));
        Ok(Self {
            generations,
            extent,
            ids: Keys::open(&file, IDS)?,
            resolutions: Keys::open(&file, RESOLUTIONS)?,
            pendings: Table::open(&file, PENDINGS)?,
            account_ids: Keys::open(&file, ACCOUNT_IDS)?,
            postings: Postings::open(&file, POSTINGS)?,
            accounts: file.array(ACCOUNTS)?,
            images: Images::open(&file, IMAGES)?,
            others: file.array(OTHERS)?,
            totals: Table::open(&file, TOTALS)?,
            payments: Payments::open(&file, PAYMENTS)?,
            bounds: file.array(BOUNDS)?.load()?,
            windows: file.array(WINDOWS)?,
            keys: file.array(KEYS)?,
            file,
        })
    }

    /// Writes the run of one generation. It is durable only after the directory is synced.
    pub(crate) fn seal<D: Disk>(disk: &D, origin: Origin, waiting: &Waiting) -> Result<Self, Fault> {
        let batches = || waiting.batches.iter().map(|batch| &**batch);
        let mut ids: Vec<KeyRow> = batches().flat_map(|batch| &batch.ids).copied().collect();
        let mut resolutions: Vec<KeyRow> = batches().flat_map(|batch| &batch.resolutions).copied().collect();
        let mut account_ids: Vec<KeyRow> = batches().flat_map(|batch| &batch.accounts).copied().collect();
        keys::sort(&mut ids);
        keys::sort(&mut resolutions);
        keys::sort(&mut account_ids);
        let Generation { end, totals, changes, streams } = &waiting.generation;
        let opened = || changes.from(waiting.accounts_before);
        let dense =
            (waiting.accounts_before..).zip(opened()).all(|(expected, (place, _))| u64::from(place.0) == expected);
        assert!(
            dense && opened().count() == account_ids.len(),
            "IDX-2: the accounts that a generation opens are among its changes, and their places have no gaps"
        );

        let mut writer = Writer::create(disk, label(origin, waiting.number, waiting.number))?;
        writer.begin::<GenerationRow>()?;
        writer.push(GenerationRow::new(end, waiting.accounts_after(), waiting.extent()))?;
        Keys::write(&mut writer, ids.len() as u64, ids.iter().copied().map(Ok))?;
        Keys::write(&mut writer, resolutions.len() as u64, resolutions.iter().copied().map(Ok))?;
        let resolved = |row: &KeyRow| resolutions.binary_search_by_key(&row.id, |resolution| resolution.id).is_ok();
        let pendings = ids.iter().filter(|row| row.tag() == CREATED_PENDING && !resolved(row));
        write_table(&mut writer, pendings.copied().map(Ok))?;
        Keys::write(&mut writer, account_ids.len() as u64, account_ids.iter().copied().map(Ok))?;
        Postings::write(&mut writer, batches().map(IndexUpdate::columns))?;
        write_array(&mut writer, opened().map(|(_, account)| Ok(AccountRow::of(account))))?;
        Images::write(&mut writer, waiting.number, changes)?;
        write_array(&mut writer, batches().flat_map(|batch| &batch.others).map(|&position| Ok(Six(position))))?;
        let totals = totals.iter().map(|(ledger, totals)| Ok(TotalsRow::of(waiting.number, *ledger, totals)));
        write_table(&mut writer, totals)?;
        Payments::write(&mut writer, batches().map(|batch| &batch.payments))?;
        write_array(&mut writer, streams.iter().map(|bounds| Ok(BoundsRow::of(bounds))))?;
        windows::write(&mut writer, batches().flat_map(|batch| &batch.windows).copied().collect())?;
        let keys: Vec<u64> = batches().flat_map(|batch| &batch.keys).copied().collect();
        write_array(
            &mut writer,
            keys[keys.len().saturating_sub(KEYS_MAX)..].iter().map(|&position| Ok(Six(position))),
        )?;
        Self::of(writer.finish()?)
    }

    /// Merges several adjacent runs. The result is durable only after the directory is synced.
    pub(crate) fn merge<D: Disk>(
        disk: &D,
        origin: Origin,
        inputs: &[Arc<Self>],
        yielded: &mut Yield<'_>,
    ) -> Result<Self, Fault> {
        let (first, last) = (inputs[0].first(), inputs[inputs.len() - 1].last());
        let mut writer = Writer::create(disk, label(origin, first, last))?;
        write_array(&mut writer, inputs.iter().flat_map(|run| &run.generations).map(|row| Ok(*row)))?;
        merge_keys(&mut writer, inputs.iter().map(|run| &run.ids), yielded)?;
        merge_keys(&mut writer, inputs.iter().map(|run| &run.resolutions), yielded)?;
        let unresolved = unresolved(inputs)?;
        write_table(&mut writer, Yielding::new(unresolved, yielded))?;
        merge_keys(&mut writer, inputs.iter().map(|run| &run.account_ids), yielded)?;
        let postings: Vec<&Postings> = inputs.iter().map(|run| &run.postings).collect();
        Postings::merge(&mut writer, &postings, yielded)?;
        write_array(&mut writer, Yielding::new(inputs.iter().flat_map(|run| run.accounts.all()), yielded))?;
        let images: Vec<&Images> = inputs.iter().map(|run| &run.images).collect();
        Images::merge(&mut writer, &images, yielded)?;
        write_array(&mut writer, Yielding::new(inputs.iter().flat_map(|run| run.others.all()), yielded))?;
        // The runs are in order of generation, so their rows are too.
        write_table(&mut writer, inputs.iter().flat_map(|run| run.totals.all()))?;
        Payments::merge(&mut writer, inputs, yielded)?;
        let bounds = &inputs[inputs.len() - 1].bounds;
        write_array(&mut writer, bounds.iter().map(|row| Ok(*row)))?;
        windows::merge(&mut writer, inputs, bounds, yielded)?;
        write_array(&mut writer, last_keys(inputs)?.into_iter().map(|position| Ok(Six(position.get()))))?;
        Self::of(writer.finish()?)
    }

    /// The first generation of the run.
    pub(crate) fn first(&self) -> u32 {
        self.file.label().first
    }

    /// The last generation of the run.
    pub(crate) fn last(&self) -> u32 {
        self.file.label().last
    }

    /// The number of generations that the run covers.
    pub(crate) fn width(&self) -> u64 {
        self.generations.len() as u64
    }

    /// The state at the end of the run.
    pub(crate) fn end(&self) -> &GenerationRow {
        self.generations.last().expect("a run has at least one generation")
    }

    pub(crate) const fn file(&self) -> &Arc<BlockFile> {
        &self.file
    }

    /// Removes the file. Open handles can still read it.
    pub(crate) fn remove(&self) {
        self.file.remove();
    }

    /// The size on disk in bytes: in total, and of ids, postings and images.
    pub(crate) fn bytes(&self) -> (u64, [u64; 3]) {
        let of = |from, arrays| self.file.bytes_of(from, from + arrays);
        (self.file.bytes(), [of(IDS, KEYS_ARRAYS), of(POSTINGS, POSTINGS_ARRAYS), of(IMAGES, IMAGES_ARRAYS)])
    }

    /// The memory that filters and fences take, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let keys = [&self.ids, &self.resolutions, &self.account_ids];
        keys.iter().map(|keys| keys.memory_bytes()).sum::<usize>()
            + self.pendings.memory_bytes()
            + self.postings.memory_bytes()
            + self.images.memory_bytes()
            + self.totals.memory_bytes()
            + self.payments.memory_bytes()
    }
}

/// The positions of the last entries about keys of requests in these runs, as many as the engine remembers, in order.
pub(crate) fn last_keys(runs: &[Arc<Run>]) -> Result<Vec<Position>, Fault> {
    let mut positions = VecDeque::new();
    for run in runs.iter().rev() {
        let left = (KEYS_MAX - positions.len()) as u64;
        for row in
            run.keys.cursor(run.keys.len().saturating_sub(left), run.keys.len()).collect::<Vec<_>>().into_iter().rev()
        {
            positions.push_front(Position::from_number(row?.0));
        }
    }
    Ok(positions.into())
}

/// The pending transfers of these runs that none of them resolved, in order of id.
pub(crate) fn unresolved(runs: &[Arc<Run>]) -> Result<Unresolved, Fault> {
    let pendings = Merged::new(runs.iter().map(|run| run.pendings.all()))?;
    let resolutions = Merged::new(runs.iter().map(|run| run.resolutions.table().all()))?;
    Ok(Unresolved::new(pendings, resolutions, |_| true))
}

fn write_array<T: crate::fixed::Fixed, D: Disk>(
    writer: &mut Writer<D>,
    rows: impl Iterator<Item = Result<T, Fault>>,
) -> Result<(), Fault> {
    writer.begin::<T>()?;
    for row in rows {
        writer.push(row?)?;
    }
    Ok(())
}

pub(crate) fn merge_keys<'a, D: Disk>(
    writer: &mut Writer<D>,
    inputs: impl Iterator<Item = &'a Keys>,
    yielded: &mut Yield<'_>,
) -> Result<(), Fault> {
    let rows = Merged::new(inputs.map(|keys| keys.table().all()))?;
    Keys::write(writer, rows.left(), Yielding::new(rows, yielded))
}
