//! What the journal thread tells the index, and how it waits in memory until it stands in tables.

use journal::{Position, StartAt};
use ledger::{AccountPlace, ImportNumber, PendingState, TrialBalance};
use types::{Digest, LedgerId, Seq, Timestamp};

use crate::changes::Changes;
use crate::keys::KeyRow;
use crate::postings::{Columns, POSITION_END};

/// A generation ends with the entry whose sequence is a multiple of it.
pub const GENERATION_ENTRIES: u64 = 262_144;

/// What one entry did, or one fact of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A client's transfer was created.
    Transfer {
        /// Its id.
        id: u128,
        /// The account the amount left.
        debit: AccountPlace,
        /// The account the amount reached.
        credit: AccountPlace,
        /// Whether it reserves.
        is_pending: bool,
        /// The client's pending transfer that it resolves, and how.
        resolves: Option<(u128, PendingState)>,
    },
    /// A transfer of an import was staged. Its id may come again, should the import be discarded.
    Staged {
        /// Its id.
        id: u128,
        /// The account the amount left.
        debit: AccountPlace,
        /// The account the amount reached.
        credit: AccountPlace,
        /// The import.
        import: ImportNumber,
    },
    /// A transfer of a payment was created.
    Leg {
        /// The account the amount left.
        debit: AccountPlace,
        /// The account the amount reached.
        credit: AccountPlace,
    },
    /// The id of a client's transfer failed for good.
    Failed {
        /// The id.
        id: u128,
        /// The number of the status, above 1.
        status: u16,
    },
    /// A client's pending transfer expired.
    Expired {
        /// Its id.
        id: u128,
    },
    /// An account was opened.
    Account {
        /// Its id.
        id: u128,
        /// Its place: one more than that of the account before.
        place: AccountPlace,
        /// The import that it was staged for. Its id may come again, should that be discarded.
        import: Option<ImportNumber>,
    },
    /// Anything else. A restart folds the entry again; `engine::Fact::restored_from` says which entries those are.
    Other,
}

/// An event of the entry at a position of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Where the entry stands; below 2^47, so the segment's number is below 2^19.
    pub position: Position,
    /// Of the transfer; nothing else needs one.
    pub timestamp: Timestamp,
    /// What it did.
    pub event: Event,
}

/// What an id in the tables stands for, besides the number of the status for which it failed.
pub(crate) const CREATED: u16 = 0;
pub(crate) const CREATED_PENDING: u16 = 1;

/// Marks the tag of what an import brought; below it stands the number of the import.
const IMPORTED: u16 = 1 << 15;
const _: () = assert!(ImportNumber::MAX.get() < IMPORTED);

pub(crate) const fn import_tag(import: ImportNumber) -> u16 {
    IMPORTED | import.get()
}

/// The import that brought what has this tag. Only after such a row can another one have the same id.
pub(crate) const fn import_of(tag: u16) -> Option<ImportNumber> {
    if tag & IMPORTED == 0 { None } else { ImportNumber::new(tag & !IMPORTED) }
}

/// The tag of a resolution.
pub(crate) const fn state_tag(state: PendingState) -> u16 {
    match state {
        PendingState::Pending => 0,
        PendingState::Posted => 1,
        PendingState::Voided => 2,
        PendingState::Expired => 3,
    }
}

/// The resolution with this tag.
pub(crate) const fn state_of(tag: u16) -> PendingState {
    match tag {
        1 => PendingState::Posted,
        2 => PendingState::Voided,
        3 => PendingState::Expired,
        _ => PendingState::Pending,
    }
}

/// What stands in a span of the log: from which position to which, and the times of its transfers, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) earliest: u64,
    pub(crate) latest: u64,
}

impl Extent {
    /// That of nothing.
    pub(crate) const EMPTY: Self = Self { first: u64::MAX, last: 0, earliest: u64::MAX, latest: 0 };

    /// That of both.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            earliest: self.earliest.min(other.earliest),
            latest: self.latest.max(other.latest),
        }
    }
}

/// Events in order, by column.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Of transfers and legs.
    debits: Vec<u32>,
    credits: Vec<u32>,
    positions: Vec<u64>,
    pub(crate) ids: Vec<KeyRow>,
    pub(crate) ids_range: (u128, u128),
    pub(crate) resolutions: Vec<KeyRow>,
    pub(crate) accounts: Vec<KeyRow>,
    pub(crate) others: Vec<u64>,
    pub(crate) extent: Extent,
    len: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Batch {
    /// An empty batch with room for so many transfers.
    pub fn with_capacity(transfers: usize) -> Self {
        Self {
            debits: Vec::with_capacity(transfers),
            credits: Vec::with_capacity(transfers),
            positions: Vec::with_capacity(transfers),
            ids: Vec::with_capacity(transfers),
            ids_range: (u128::MAX, 0),
            resolutions: Vec::new(),
            accounts: Vec::new(),
            others: Vec::new(),
            extent: Extent::EMPTY,
            len: 0,
        }
    }

    /// Appends an event.
    ///
    /// # Panics
    /// IDX-1: when the position is not below 2^47 or comes before that of the event before.
    #[inline]
    pub fn push(&mut self, placed: &Placed) {
        let position = placed.position.get();
        assert!(position < POSITION_END && position >= self.extent.last, "IDX-1: position {position} is out of order");
        self.extent.first = self.extent.first.min(position);
        self.extent.last = position;
        self.len += 1;
        match placed.event {
            Event::Transfer { id, debit, credit, is_pending, resolves } => {
                self.push_id(KeyRow::new(id, position, if is_pending { CREATED_PENDING } else { CREATED }));
                self.push_posting(debit, credit, placed);
                if let Some((id, state)) = resolves {
                    self.resolutions.push(KeyRow::new(id, position, state_tag(state)));
                }
            }
            Event::Staged { id, debit, credit, import } => {
                self.push_id(KeyRow::new(id, position, import_tag(import)));
                self.push_posting(debit, credit, placed);
            }
            Event::Leg { debit, credit } => self.push_posting(debit, credit, placed),
            Event::Failed { id, status } => {
                assert!(
                    status > CREATED_PENDING && import_of(status).is_none(),
                    "IDX-1: an id fails for a status above {CREATED_PENDING}, not {status}"
                );
                self.push_id(KeyRow::new(id, position, status));
            }
            Event::Expired { id } => {
                self.resolutions.push(KeyRow::new(id, position, state_tag(PendingState::Expired)));
            }
            Event::Account { id, place, import } => {
                self.accounts.push(KeyRow::new(id, place.0.into(), import.map_or(0, import_tag)));
            }
            Event::Other => {
                // Several facts of one entry need it replayed once.
                if self.others.last() != Some(&position) {
                    self.others.push(position);
                }
            }
        }
    }

    /// How many events.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True for no events.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its transfers and legs.
    pub(crate) fn columns(&self) -> Columns<'_> {
        Columns { debits: &self.debits, credits: &self.credits, positions: &self.positions }
    }

    /// Appends the events of another.
    pub(crate) fn append(&mut self, other: &Self) {
        self.debits.extend_from_slice(&other.debits);
        self.credits.extend_from_slice(&other.credits);
        self.positions.extend_from_slice(&other.positions);
        self.ids.extend_from_slice(&other.ids);
        self.ids_range = (self.ids_range.0.min(other.ids_range.0), self.ids_range.1.max(other.ids_range.1));
        self.resolutions.extend_from_slice(&other.resolutions);
        self.accounts.extend_from_slice(&other.accounts);
        self.others.extend_from_slice(&other.others);
        self.extent = self.extent.with(other.extent);
        self.len += other.len;
    }

    #[inline]
    fn push_id(&mut self, row: KeyRow) {
        self.ids.push(row);
        self.ids_range = (self.ids_range.0.min(row.id), self.ids_range.1.max(row.id));
    }

    #[inline]
    fn push_posting(&mut self, debit: AccountPlace, credit: AccountPlace, placed: &Placed) {
        self.debits.push(debit.0);
        self.credits.push(credit.0);
        self.positions.push(placed.position.get());
        let time = placed.timestamp.ns();
        self.extent.earliest = self.extent.earliest.min(time);
        self.extent.latest = self.extent.latest.max(time);
    }
}

/// The state at the end of a generation, besides accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationEnd {
    /// Its last entry.
    pub last: Seq,
    /// When that was decided.
    pub decided_at: Timestamp,
    /// The ledger's running count of records.
    pub recorded: u64,
    /// Of the latest account or transfer.
    pub last_timestamp: Timestamp,
    /// Where the next entry will stand.
    pub resume: StartAt,
    /// The digest of the state, as the caller computes it.
    pub digest: Digest,
}

/// A generation that ended.
#[derive(Debug, Clone)]
pub struct Generation {
    /// How things stand at its end.
    pub end: GenerationEnd,
    /// The sums of every ledger, in order of their numbers.
    pub totals: Vec<(LedgerId, TrialBalance)>,
    /// Every account that changed in it, those it opened included, as it is at the end.
    pub changes: Changes,
}
