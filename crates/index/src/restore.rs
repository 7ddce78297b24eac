//! Opens the files of an earlier process, and restores a ledger from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use disk::Disk;
use features::StreamBounds;
use journal::Position;
use ledger::Account;
use types::Origin;

use crate::accounts::{AccountRow, BalancesRow};
use crate::array::Cursor;
use crate::event::GenerationEnd;
use crate::fault::Fault;
use crate::fields::{self, Field, FieldTable};
use crate::payments;
use crate::run::{self, Run};
use crate::table::Merged;
use crate::view::Listed;
use crate::windows::{self, BoundsRow, WindowEntity};

/// Removes all files of an index, so that the next start rebuilds it from the whole journal.
pub fn discard<D: Disk>(disk: &D) -> Result<(), Fault> {
    remove_all_but(disk, &[])
}

/// Opens the longest sequence of adjacent intact runs from the first generation on. Returns it with the damage that was
/// found, and removes all other files.
pub(crate) fn open_runs<D: Disk>(disk: &D, origin: Origin) -> Result<(Vec<Listed>, Vec<Fault>), Fault> {
    let names = disk.list().map_err(Fault::io("list", "the index"))?;
    let found: Vec<(u32, u32)> = names.iter().filter_map(|name| run::parse_name(name)).collect();
    let mut runs: Vec<Listed> = Vec::new();
    let mut damaged = Vec::new();
    loop {
        let next = runs.last().map_or(0, |listed| listed.run.last() + 1);
        let mut candidates: Vec<u32> =
            found.iter().filter(|(first, _)| *first == next).map(|(_, last)| *last).collect();
        // The widest run comes first: the runs that were merged into it may still exist.
        candidates.sort_unstable_by(|one, other| other.cmp(one));
        let Some(run) = first_intact(disk, origin, (next, &candidates), &mut damaged)? else { break };
        runs.push(Listed { fields: open_fields(disk, origin, &run, &mut damaged)?, run: Arc::new(run) });
    }
    let fields = runs.iter().flat_map(|listed| listed.fields.values()).map(|table| table.name().to_owned());
    let names = runs.iter().map(|listed| run::file_name(listed.run.first(), listed.run.last()));
    remove_all_but(disk, &names.chain(fields).collect::<Vec<_>>())?;
    Ok((runs, damaged))
}

/// Returns the first intact run of these candidates. A run counts as missing only if it is damaged: a disk that cannot
/// be read now may be readable later.
fn first_intact<D: Disk>(
    disk: &D,
    origin: Origin,
    (first, lasts): (u32, &[u32]),
    damaged: &mut Vec<Fault>,
) -> Result<Option<Run>, Fault> {
    for &last in lasts {
        match Run::open(disk, origin, first, last) {
            Ok(Some(run)) => return Ok(Some(run)),
            Ok(None) => {}
            Err(fault @ Fault::Damaged { .. }) => damaged.push(fault),
            Err(fault) => return Err(fault),
        }
    }
    Ok(None)
}

/// Opens the field tables of a run that exist and are intact.
fn open_fields<D: Disk>(
    disk: &D,
    origin: Origin,
    run: &Run,
    damaged: &mut Vec<Fault>,
) -> Result<BTreeMap<Field, Arc<FieldTable>>, Fault> {
    let mut tables = BTreeMap::new();
    for field in Field::ALL {
        match FieldTable::open(disk, origin, field, run.first(), run.last()) {
            Ok(Some(table)) => drop(tables.insert(field, Arc::new(table))),
            Ok(None) => {}
            Err(fault @ Fault::Damaged { .. }) => damaged.push(fault),
            Err(fault) => return Err(fault),
        }
    }
    Ok(tables)
}

fn remove_all_but<D: Disk>(disk: &D, kept: &[String]) -> Result<(), Fault> {
    let names = disk.list().map_err(Fault::io("list", "the index"))?;
    let is_ours = |name: &String| {
        let name = name.strip_suffix(".new").unwrap_or(name);
        run::parse_name(name).is_some() || fields::is_name(name)
    };
    for name in names.iter().filter(|name| is_ours(name) && !kept.contains(name)) {
        disk.remove(name).map_err(Fault::io("remove", name))?;
    }
    disk.sync_directory().map_err(Fault::io("sync the directory of", "the index"))
}

/// The restored state at the end of the last generation in the runs. If a read fails with [`Fault::Damaged`], the file
/// has been removed, and opening the index again restores what is left.
#[derive(Debug)]
pub struct Restored {
    /// The state there, or `None` if the index is empty.
    pub end: Option<GenerationEnd>,
    /// The damage that was found. The damaged files have been removed, and so have all later runs.
    pub damaged: Vec<Fault>,
    runs: Arc<Vec<Listed>>,
}

impl Restored {
    pub(crate) fn new(runs: Arc<Vec<Listed>>, damaged: Vec<Fault>) -> Self {
        Self { end: runs.last().map(|listed| listed.run.end().end()), damaged, runs }
    }

    /// Returns every account in order of place, with its balances.
    pub fn accounts(&self) -> Result<impl Iterator<Item = Result<Account, Fault>> + use<>, Fault> {
        let images = Merged::new(self.runs.iter().map(|listed| listed.run.images.latest.all()))?;
        let rows: Vec<Cursor<AccountRow>> = self.runs.iter().map(|listed| listed.run.accounts.all()).collect();
        let runs = Arc::clone(&self.runs);
        let no_balances = move || match runs.last() {
            Some(listed) => listed.run.accounts.file().damaged(0, "an account has no balances"),
            None => Fault::Stopped("it is empty".to_owned()),
        };
        Ok(Accounts { rows: rows.into_iter().flatten(), images, place: 0, no_balances })
    }

    /// The positions of the pending transfers that were unresolved, in order.
    pub fn pendings(&self) -> Result<Vec<Position>, Fault> {
        let runs: Vec<Arc<Run>> = self.runs.iter().map(|listed| Arc::clone(&listed.run)).collect();
        let rows = run::unresolved(&runs)?.map(|row| Ok(Position::from_number(row?.number())));
        let mut positions = rows.collect::<Result<Vec<_>, Fault>>()?;
        positions.sort_unstable();
        Ok(positions)
    }

    /// The positions of the entries that must be replayed, in order: those whose effect no table holds, those of payments
    /// that are open, and the last ones about keys of requests.
    pub fn entries(&self) -> Result<impl Iterator<Item = Result<Position, Fault>> + use<>, Fault> {
        let cursors: Vec<_> = self.runs.iter().map(|listed| listed.run.others.all()).collect();
        let others = cursors.into_iter().flatten().map(|row| Ok(Position::from_number(row?.0)));
        let runs: Vec<Arc<Run>> = self.runs.iter().map(|listed| Arc::clone(&listed.run)).collect();
        let mut listed = payments::open_entries(&runs)?;
        listed.extend(run::last_keys(&runs)?);
        listed.sort_unstable();
        let mut listed = listed.into_iter().peekable();
        let mut others = others.peekable();
        Ok(std::iter::from_fn(move || match (others.peek(), listed.peek()) {
            (Some(Ok(other)), Some(next)) if next < other => listed.next().map(Ok),
            // An entry can be both.
            (Some(Ok(other)), Some(next)) if next == other => {
                listed.next();
                others.next()
            }
            (Some(_), _) => others.next(),
            (None, _) => listed.next().map(Ok),
        }))
    }

    /// Whether any payment was decided.
    pub fn has_payments(&self) -> bool {
        self.runs.iter().any(|listed| !listed.run.payments.is_empty())
    }

    /// What every open stream of feature windows covered.
    pub fn streams(&self) -> impl Iterator<Item = StreamBounds> {
        self.runs.last().into_iter().flat_map(|listed| listed.run.bounds.iter().map(BoundsRow::bounds))
    }

    /// Every entity of every stream, with its records. Some may have left the windows since.
    pub fn window_entities(&self) -> Result<impl Iterator<Item = Result<WindowEntity, Fault>> + use<>, Fault> {
        windows::entities(self.runs.iter().map(|listed| listed.run.windows.all()).collect())
    }
}

/// Joins accounts, in order of place, with their latest balance images.
struct Accounts<I, F> {
    rows: I,
    images: Merged<BalancesRow>,
    place: u32,
    no_balances: F,
}

impl<I: Iterator<Item = Result<AccountRow, Fault>>, F: Fn() -> Fault> Accounts<I, F> {
    fn join(&mut self, row: AccountRow) -> Result<Account, Fault> {
        let mut latest = None;
        while self.images.peek().is_some_and(|key| key >> 32 == u64::from(self.place)) {
            latest = self.images.next().transpose()?;
        }
        let latest = latest.ok_or_else(&self.no_balances)?;
        self.place += 1;
        Ok(row.with(&latest.balances()))
    }
}

impl<I: Iterator<Item = Result<AccountRow, Fault>>, F: Fn() -> Fault> Iterator for Accounts<I, F> {
    type Item = Result<Account, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.and_then(|row| self.join(row)))
    }
}
