//! Queries about the past, off the engine thread. The index says where transfers are, and the journal contains them. A query
//! sees only durable entries, and all entries that were acknowledged before it.

mod audit;
mod balances;
mod entries;
mod payments;

use std::collections::VecDeque;

use api::past::{Side, TransferFilter};
use disk::Directory;
use edge::Wanted;
use engine::{Entry, Page};
use index::{Bounds, Field, FieldError, IdState, Index, Sides};
use journal::{Fault, FileReader, Position};
use ledger::{AccountPlace, ImportNumber, PendingState, Transfer, TransferFlags, TransferKey};
use types::{AccountId, LedgerId, Span, Timestamp, TransferId};

use crate::readers::Asker;

/// Most rows that are read for one answer, so that a filter with few matches cannot run without end.
pub(crate) const ROWS_SCANNED_MAX: usize = 200_000;

/// Most decoded frames that a query keeps.
const FRAMES_KEPT_MAX: usize = 4;

/// Why a query about the past fails.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    #[error(transparent)]
    Journal(#[from] Fault),
    #[error(transparent)]
    Index(#[from] index::Fault),
    /// The query uses a field that is not indexed, or not yet completely.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The query has no condition that an index answers.
    #[error("no condition finds transfers: name an account, or a ledger with a field that is indexed for it")]
    NothingToFind,
    /// A filter of payments has no match among the candidates that one page may examine.
    #[error(
        "no payment that matches {} was found in {steps} looks into the index and {examined} payments; add a condition that fewer payments meet, such as an entity, or narrow `min_timestamp` and `max_timestamp`",
        listed(names)
    )]
    WouldScan {
        /// The names of the filter's parameters.
        names: Vec<String>,
        /// How many payments were read.
        examined: usize,
        /// How many looks into lists of the index there were.
        steps: usize,
    },
    /// There are no stored sums near enough to compute the answer with reasonable effort.
    #[error("more than {0} entries would have to be added up for this instant; ask for a later one")]
    TooMuchToAddUp(u64),
    /// Any of the account's transfers can have happened before the instant, and there are too many of them.
    #[error(
        "the account has more than {0} transfers, and `clock=occurred` would have to read all of them; ask with `clock=booked`"
    )]
    TooManyToRead(usize),
    /// Nobody waits for the answer any more.
    #[error("the client closed its connection")]
    Abandoned,
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Where a page ended: at an entry, and how many of its transfers, in the requested order, the page contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The entry's position as a number, in lists that an index answers; the entry's sequence, in the list of all transfers.
    entry: u64,
    told: u8,
}

impl Place {
    fn new(entry: u64, told: usize) -> Self {
        Self { entry, told: u8::try_from(told).expect("HST-1: an entry makes less than 256 transfers") }
    }

    /// The place as one number, for cursors.
    fn number(self) -> u64 {
        self.entry << 8_u32 | u64::from(self.told)
    }

    /// The place with this number.
    fn from_number(number: u64) -> Self {
        let [told, ..] = number.to_le_bytes();
        Self { entry: number >> 8_u32, told }
    }

    /// How many transfers of this entry the page contains.
    fn told_of(after: Option<Self>, entry: u64) -> usize {
        after.filter(|place| place.entry == entry).map_or(0, |place| place.told.into())
    }
}

/// A page of transfers, in the requested order.
#[derive(Debug, Default)]
struct Found {
    transfers: Vec<Transfer>,
    next: Option<Place>,
}

impl Found {
    /// Adds the matching transfers of an entry, skipping the first `told`. Returns false if the page is full.
    fn add(&mut self, entry: u64, mut fitting: Vec<Transfer>, told: usize, wanted: &Wanted) -> bool {
        if wanted.filter.reversed {
            fitting.reverse();
        }
        for (number, transfer) in fitting.iter().enumerate().skip(told) {
            if self.transfers.len() >= wanted.limit {
                self.next = Some(Place::new(entry, number));
                return false;
            }
            self.transfers.push(*transfer);
        }
        self.next = Some(Place::new(entry, fitting.len()));
        true
    }
}

impl From<Found> for Page<Transfer, u64> {
    fn from(Found { transfers, next }: Found) -> Self {
        Self { items: transfers, next: next.map(Place::number) }
    }
}

/// Answers queries about the past, as of its creation.
#[derive(Debug)]
pub struct PastReader<'a> {
    index: &'a Index,
    reader: FileReader<Directory>,
    /// The last frames that were read for entries that are not rows, the newest last. Queries often need several entries of one
    /// frame.
    frames: VecDeque<Vec<(Position, Entry)>>,
    /// Imports whose rows are visible.
    opened: Vec<ImportNumber>,
    asker: Asker,
}

impl<'a> PastReader<'a> {
    pub(crate) const fn new(
        index: &'a Index,
        reader: FileReader<Directory>,
        opened: Vec<ImportNumber>,
        asker: Asker,
    ) -> Self {
        Self { index, reader, frames: VecDeque::new(), opened, asker }
    }

    /// Ends the query if nobody waits for its answer. Everything that visits many entries calls this for each read.
    fn go_on(&self) -> Result<(), PastError> {
        if self.asker.is_gone() { Err(PastError::Abandoned) } else { Ok(()) }
    }

    /// The place of an account; `None` if no visible account has this id.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn account_place(&self, id: AccountId) -> Result<Option<AccountPlace>, PastError> {
        let found = self.index.account(id)?;
        Ok(found.filter(|(_, import)| self.is_visible(*import)).map(|(place, _)| place))
    }

    /// A page of transfers. With an account, the account's index finds them; otherwise the index of a field of the named ledger
    /// does. Without any condition but times, the journal itself is read.
    ///
    /// # Errors
    /// If no index answers the conditions, or a read fails.
    pub fn transfers(&mut self, wanted: &Wanted) -> Result<Page<Transfer, u64>, PastError> {
        let Wanted { account, filter, limit, .. } = wanted;
        let after = wanted.after.map(Place::from_number);
        if account.is_none() && filter.is_of_all() {
            return self.all_transfers(wanted);
        }
        let bounds = self.bounds(wanted);
        let positions = match account {
            Some(account) => {
                let Some(place) = self.account_place(*account)? else { return Ok(Found::default().into()) };
                self.index.postings(place, sides(filter.side), bounds, filter.reversed)
            }
            None => {
                let (ledger, field, value) = narrowest(filter).ok_or(PastError::NothingToFind)?;
                self.index.field(field, ledger, value, bounds, filter.reversed)?
            }
        };
        let mut page = Found::default();
        let mut scanned = 0;
        for chunk in positions {
            let chunk = chunk?;
            let first = self.first_within(&chunk, filter)?;
            for position in chunk.into_iter().skip(first) {
                if page.transfers.len() >= *limit || scanned >= ROWS_SCANNED_MAX {
                    return Ok(page.into());
                }
                scanned += 1;
                self.go_on()?;
                let mut fitting = Vec::new();
                let mut is_over = false;
                self.each_transfer_at(position, |transfer| {
                    is_over |= is_behind(filter, transfer.timestamp);
                    if fits(filter, *account, transfer) {
                        fitting.push(*transfer);
                    }
                })?;
                if account.is_none() {
                    self.retain_visible(position, &mut fitting, 0)?;
                }
                if is_over && fitting.is_empty() {
                    page.next = None;
                    return Ok(page.into());
                }
                let entry = position.get();
                if !page.add(entry, fitting, Place::told_of(after, entry), wanted) {
                    return Ok(page.into());
                }
            }
        }
        page.next = None;
        Ok(page.into())
    }

    /// The first of these positions, in the requested order, whose transfer can be within the times of the filter. Transfers are
    /// in order of time, so a binary search reads few rows.
    fn first_within(&self, chunk: &[Position], filter: &TransferFilter) -> Result<usize, PastError> {
        let (mut from, mut to) = (0, chunk.len());
        let (earliest, latest) = (filter.min_timestamp, filter.max_timestamp);
        let is_open = if filter.reversed { latest == Timestamp::MAX } else { earliest == Timestamp::ZERO };
        if is_open {
            return Ok(from);
        }
        while from < to {
            let middle = from.midpoint(to);
            let Some(row) = (from..=middle).rev().find(|place| chunk[*place].is_row()) else { break };
            if is_ahead(filter, self.reader.transfer_at(chunk[row])?.timestamp) {
                from = row.saturating_add(1);
            } else {
                to = row;
            }
        }
        Ok(from)
    }

    /// The part of the log that can contain matching transfers.
    fn bounds(&self, wanted: &Wanted) -> Bounds {
        let filter = &wanted.filter;
        let bounds = Bounds { earliest: filter.min_timestamp, latest: filter.max_timestamp, ..Bounds::default() };
        let place = wanted.after.map(|number| Place::from_number(number).entry);
        if filter.reversed {
            // The page may have ended in the middle of this entry.
            let before = place.map(|entry| Position::from_number(entry.saturating_add(1)));
            return Bounds { before: before.or_else(|| self.behind(filter.max_timestamp)), ..bounds };
        }
        let after = place.map(|entry| Position::from_number(entry.saturating_sub(1)));
        Bounds { after: after.or_else(|| self.ahead_of(filter.min_timestamp)), ..bounds }
    }

    /// A position up to which every transfer was made before `at`, because transfers are in order of time.
    fn ahead_of(&self, at: Timestamp) -> Option<Position> {
        let generation = self.index.generation_at(just_before(at)?)?;
        Some(self.index.generation(generation)?.resume.position())
    }

    /// A position from which every transfer was made after `at`.
    fn behind(&self, at: Timestamp) -> Option<Position> {
        let next = self.index.generation_at(at).map_or(0, |generation| generation.saturating_add(1));
        Some(self.index.generation(next)?.resume.position())
    }

    /// The client transfers with these ids.
    ///
    /// # Errors
    /// If a read fails.
    pub fn client_transfers(&mut self, ids: &[TransferId]) -> Result<Vec<Transfer>, PastError> {
        let mut transfers = Vec::with_capacity(ids.len());
        for id in ids {
            transfers.extend(self.client_transfer(*id)?);
        }
        Ok(transfers)
    }

    /// The entry that created a client's transfer or refused it permanently.
    ///
    /// # Errors
    /// If a read fails.
    pub fn entry_of(&mut self, id: TransferId) -> Result<Option<Entry>, PastError> {
        let found = self.index.find(id)?.filter(|found| self.is_visible(found.import));
        found.map(|found| self.entry_at(found.position).cloned()).transpose()
    }

    /// Each transfer with its state at `now`, if it is a client's pending transfer. After its timeout it reads as expired, even
    /// if the expiry is not booked yet. The holds of payments have no state here.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn with_states(
        &self,
        transfers: Vec<Transfer>,
        now: Timestamp,
    ) -> Result<Vec<(Transfer, Option<PendingState>)>, PastError> {
        transfers.into_iter().map(|transfer| Ok((transfer, self.state(&transfer, now)?))).collect()
    }

    fn state(&self, transfer: &Transfer, now: Timestamp) -> Result<Option<PendingState>, PastError> {
        let TransferKey::Client(id) = transfer.key else { return Ok(None) };
        let Some(found) = self.index.find(id)?.filter(|_| transfer.is_pending()) else { return Ok(None) };
        match found.state {
            IdState::CreatedPending(Some((state, _))) => Ok(Some(state)),
            IdState::CreatedPending(None) if transfer.expires_at().is_some_and(|expiry| expiry <= now) => {
                Ok(Some(PendingState::Expired))
            }
            IdState::CreatedPending(None) => Ok(Some(PendingState::Pending)),
            IdState::Created | IdState::Failed(_) => Ok(None),
        }
    }

    fn is_visible(&self, import: Option<ImportNumber>) -> bool {
        import.is_none_or(|import| self.opened.contains(&import))
    }

    /// Drops transfers of the entry at `position`, starting with number `first`, that belong to an import that is not open. If
    /// such an id was used again, its newest row counts.
    fn retain_visible(&self, position: Position, transfers: &mut Vec<Transfer>, first: usize) -> Result<(), PastError> {
        for transfer in transfers.split_off(first) {
            let is_shown = match transfer.key {
                TransferKey::Client(id) if transfer.flags.contains(TransferFlags::IMPORTED) => {
                    let found = self.index.find(id)?;
                    found.is_some_and(|found| found.position == position && self.is_visible(found.import))
                }
                TransferKey::Client(_) | TransferKey::Leg { .. } => true,
            };
            if is_shown {
                transfers.push(transfer);
            }
        }
        Ok(())
    }

    fn client_transfer(&mut self, id: TransferId) -> Result<Option<Transfer>, PastError> {
        let found = self.index.find(id)?.filter(|found| self.is_visible(found.import));
        let Some(found) = found else { return Ok(None) };
        let mut transfer = None;
        self.each_transfer_at(found.position, |made| {
            if made.key == TransferKey::Client(id) {
                transfer = Some(*made);
            }
        })?;
        Ok(transfer)
    }

    fn each_transfer_at(&mut self, position: Position, mut visit: impl FnMut(&Transfer)) -> Result<(), PastError> {
        if position.is_row() {
            visit(&self.reader.transfer_at(position)?);
            return Ok(());
        }
        created(self.entry_at(position)?).for_each(visit);
        Ok(())
    }

    fn entry_at(&mut self, position: Position) -> Result<&Entry, PastError> {
        let find = |frame: &[(Position, Entry)]| frame.binary_search_by_key(&position, |(at, _)| *at).ok();
        if let Some(held) = self.frames.iter().position(|frame| find(frame).is_some()) {
            let frame = self.frames.remove(held);
            self.frames.extend(frame);
        } else {
            self.go_on()?;
            while self.frames.len() >= FRAMES_KEPT_MAX {
                self.frames.pop_front();
            }
            // An entry about a payment is read alone, unless an older release wrote it.
            self.frames.push_back(match self.reader.alone_at(position)? {
                Some(entry) => vec![(position, entry)],
                None => self.reader.frame_at(position)?,
            });
        }
        let frame = self.frames.back().map(Vec::as_slice).unwrap_or_default();
        match find(frame) {
            Some(place) => Ok(&frame[place].1),
            None => {
                let seq = frame.first().map_or(types::Seq::ZERO, |(_, entry)| entry.header.seq);
                Err(Fault::damaged_at(position, seq, "no entry starts at this position").into())
            }
        }
    }
}

/// The transfers that an entry created, in order.
fn created(entry: &Entry) -> impl Iterator<Item = &Transfer> {
    entry.fact.ledger_facts().iter().filter_map(|fact| match fact {
        ledger::Fact::TransferCreated(transfer) => Some(transfer),
        ledger::Fact::TransferExpired(_)
        | ledger::Fact::TransferFailed { .. }
        | ledger::Fact::BookOpened(_)
        | ledger::Fact::AccountOpened(_)
        | ledger::Fact::LimitsSet { .. }
        | ledger::Fact::AddressSet { .. }
        | ledger::Fact::MetadataSet { .. }
        | ledger::Fact::TransferScheduled(_)
        | ledger::Fact::ScheduledCancelled { .. }
        | ledger::Fact::IndexesChosen { .. }
        | ledger::Fact::ImportStarted(_)
        | ledger::Fact::AccountStaged { .. }
        | ledger::Fact::TransferStaged { .. }
        | ledger::Fact::ImportNoted { .. } => None,
    })
}

/// Whether a transfer with this time comes before all matches, in the requested order.
fn is_ahead(filter: &TransferFilter, at: Timestamp) -> bool {
    if filter.reversed { at > filter.max_timestamp } else { at < filter.min_timestamp }
}

/// Whether no transfer after one with this time can match.
fn is_behind(filter: &TransferFilter, at: Timestamp) -> bool {
    if filter.reversed { at < filter.min_timestamp } else { at > filter.max_timestamp }
}

/// The last instant before `at`; `None` before the first.
fn just_before(at: Timestamp) -> Option<Timestamp> {
    at.checked_sub(Span::from_ns(1))
}

const fn sides(side: Side) -> Sides {
    match side {
        Side::Both => Sides::Both,
        Side::Debits => Sides::Debits,
        Side::Credits => Sides::Credits,
    }
}

/// The indexed field that probably finds the fewest transfers, with its ledger.
fn narrowest(filter: &TransferFilter) -> Option<(LedgerId, Field, u128)> {
    let ledger = filter.ledger?;
    let wide = filter.user_data_128.map(|value| (Field::UserData128, value));
    let long = filter.user_data_64.map(|value| (Field::UserData64, value.into()));
    let short = filter.user_data_32.map(|value| (Field::UserData32, value.into()));
    let code = filter.code.map(|code| (Field::Code, code.get().into()));
    let (field, value) = wide.or(long).or(short).or(code).unwrap_or((Field::Ledger, ledger.get().into()));
    Some((ledger, field, value))
}

pub(crate) fn fits(filter: &TransferFilter, account: Option<AccountId>, transfer: &Transfer) -> bool {
    let is = |wanted: Option<bool>| wanted.unwrap_or(true);
    let on_side = |account: AccountId| match filter.side {
        Side::Both => transfer.debit == account || transfer.credit == account,
        Side::Debits => transfer.debit == account,
        Side::Credits => transfer.credit == account,
    };
    is(account.map(on_side))
        && is(filter.ledger.map(|ledger| transfer.ledger == ledger))
        && is(filter.code.map(|code| transfer.code == code))
        && is(filter.user_data_128.map(|value| transfer.user_data_128 == value))
        && is(filter.user_data_64.map(|value| transfer.user_data_64 == value))
        && is(filter.user_data_32.map(|value| transfer.user_data_32 == value))
        && filter.min_timestamp <= transfer.timestamp
        && transfer.timestamp <= filter.max_timestamp
}
