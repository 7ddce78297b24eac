//! Events that the journal thread publishes to the index, and their form in memory until they are written to tables.

use features::{StreamBounds, StreamId, Update};
use journal::{Position, StartAt};
use ledger::{AccountPlace, ImportNumber, PendingState, TrialBalance};
use types::{Digest, LedgerId, Seq, Timestamp, Token};

use crate::changes::AccountChanges;
use crate::keys::KeyRow;
use crate::payments::PaymentUpdates;
use crate::postings::{Columns, POSITION_END};
use crate::terms::Term;
use crate::windows::WindowRow;

/// The number of entries in a generation, unless it ends early because many payments were decided in it. A generation ends with an
/// entry that has a digest.
pub const GENERATION_ENTRIES: u64 = 262_144;

/// What one entry, or one fact of an entry, did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexedFact {
    /// A client's transfer was created.
    Transfer {
        id: u128,
        /// The account that the amount left.
        debit: AccountPlace,
        /// The account that received the amount.
        credit: AccountPlace,
        /// Whether the transfer only reserves the amount.
        is_pending: bool,
        /// The client's pending transfer that this one resolves, and how it does so.
        resolves: Option<(u128, PendingState)>,
    },
    /// A transfer was staged in an import. Its id can be used again if the import is discarded.
    Staged {
        id: u128,
        /// The account that the amount left.
        debit: AccountPlace,
        /// The account that received the amount.
        credit: AccountPlace,
        /// The import that the transfer belongs to.
        import: ImportNumber,
    },
    /// A transfer of a payment was created.
    Leg {
        /// The account that the amount left.
        debit: AccountPlace,
        /// The account that received the amount.
        credit: AccountPlace,
    },
    /// A client's transfer failed permanently, so its id is spent.
    Failed {
        id: u128,
        /// The number of the status, above 1.
        status: u16,
    },
    /// A client's pending transfer expired.
    Expired { id: u128 },
    /// An account was opened.
    Account {
        id: u128,
        /// The account's place, one above the place of the previously opened account.
        place: AccountPlace,
        /// The import in which the account was staged, if any. Its id can be used again if that import is discarded.
        import: Option<ImportNumber>,
    },
    /// A payment was decided.
    Payment {
        id: u128,
        /// The sequence of the entry.
        seq: Seq,
        /// Whether it can still be captured, approved or voided.
        is_open: bool,
    },
    /// A payment was changed, labelled, or got other metadata.
    PaymentChanged {
        id: u128,
        /// The entry that decided it.
        decided: Seq,
        /// Whether it was open before and is not any more.
        closes: bool,
    },
    /// A record of a feature window changed, and is now held or removed as the update says.
    WindowRecord(Update),
    /// The records of an entity are held from this instant on only.
    WindowReach { stream: StreamId, entity: Token, reach: Timestamp },
    /// A key of a request was used. A restart folds the entries of the last [`engine::KEYS_MAX`] of them again.
    KeyUsed,
    /// Any other fact. A restart folds the entry again; `engine::Fact::restored_from` tells which entries those are.
    Other,
}

/// An event, and the position of its entry in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedEntry {
    /// The position of the entry. It is below 2^47, so the segment number is below 2^19.
    pub position: Position,
    /// The time of the transfer. Other events do not use it.
    pub timestamp: Timestamp,
    pub event: IndexedFact,
}

/// The tag of an id in the tables. A tag above these two and below [`IMPORTED`] is the status number of a failure.
pub(crate) const CREATED: u16 = 0;
pub(crate) const CREATED_PENDING: u16 = 1;

/// Marks the tag of a row that an import created. The lower bits are the number of the import.
const IMPORTED: u16 = 1 << 15;
const _: () = assert!(ImportNumber::MAX.get() < IMPORTED);

pub(crate) const fn import_tag(import: ImportNumber) -> u16 {
    IMPORTED | import.get()
}

/// The import that created the row with this tag, if any. Only ids from imports can occur in more than one row.
pub(crate) const fn import_of(tag: u16) -> Option<ImportNumber> {
    if tag & IMPORTED == 0 { None } else { ImportNumber::new(tag & !IMPORTED) }
}

/// The tag for a resolution.
pub(crate) const fn state_tag(state: PendingState) -> u16 {
    match state {
        PendingState::Pending => 0,
        PendingState::Posted => 1,
        PendingState::Voided => 2,
        PendingState::Expired => 3,
    }
}

/// The resolution for a tag.
pub(crate) const fn state_of(tag: u16) -> PendingState {
    match tag {
        1 => PendingState::Posted,
        2 => PendingState::Voided,
        3 => PendingState::Expired,
        _ => PendingState::Pending,
    }
}

/// The range of a span of the log: its positions, and the times of its transfers, all inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) earliest: u64,
    pub(crate) latest: u64,
}

impl Extent {
    /// The extent of an empty span.
    pub(crate) const EMPTY: Self = Self { first: u64::MAX, last: 0, earliest: u64::MAX, latest: 0 };

    /// The smallest extent that covers both.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            earliest: self.earliest.min(other.earliest),
            latest: self.latest.max(other.latest),
        }
    }
}

/// Events in order, stored by column.
#[derive(Debug, Clone)]
pub struct IndexUpdate {
    /// One row per transfer or leg.
    debits: Vec<u32>,
    credits: Vec<u32>,
    positions: Vec<u64>,
    pub(crate) ids: Vec<KeyRow>,
    pub(crate) ids_range: (u128, u128),
    pub(crate) resolutions: Vec<KeyRow>,
    pub(crate) accounts: Vec<KeyRow>,
    pub(crate) others: Vec<u64>,
    pub(crate) keys: Vec<u64>,
    pub(crate) payments: PaymentUpdates,
    pub(crate) windows: Vec<WindowRow>,
    pub(crate) extent: Extent,
    len: usize,
}

impl Default for IndexUpdate {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl IndexUpdate {
    /// Creates an empty batch with capacity for `transfers` transfers.
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
            keys: Vec::new(),
            payments: PaymentUpdates::default(),
            windows: Vec::new(),
            extent: Extent::EMPTY,
            len: 0,
        }
    }

    /// Appends an event.
    ///
    /// # Panics
    /// IDX-1: if the position is not below 2^47, or is lower than the position of the previous event.
    #[inline]
    pub fn push(&mut self, placed: &IndexedEntry) {
        let position = placed.position.get();
        assert!(position < POSITION_END && position >= self.extent.last, "IDX-1: position {position} is out of order");
        self.extent.first = self.extent.first.min(position);
        self.extent.last = position;
        self.len += 1;
        match placed.event {
            IndexedFact::Transfer { id, debit, credit, is_pending, resolves } => {
                self.push_id(KeyRow::new(id, position, if is_pending { CREATED_PENDING } else { CREATED }));
                self.push_posting(debit, credit, placed);
                if let Some((id, state)) = resolves {
                    self.resolutions.push(KeyRow::new(id, position, state_tag(state)));
                }
            }
            IndexedFact::Staged { id, debit, credit, import } => {
                self.push_id(KeyRow::new(id, position, import_tag(import)));
                self.push_posting(debit, credit, placed);
            }
            IndexedFact::Leg { debit, credit } => self.push_posting(debit, credit, placed),
            IndexedFact::Failed { id, status } => {
                assert!(
                    status > CREATED_PENDING && import_of(status).is_none(),
                    "IDX-1: an id fails for a status above {CREATED_PENDING}, not {status}"
                );
                self.push_id(KeyRow::new(id, position, status));
            }
            IndexedFact::Expired { id } => {
                self.resolutions.push(KeyRow::new(id, position, state_tag(PendingState::Expired)));
            }
            IndexedFact::Account { id, place, import } => {
                self.accounts.push(KeyRow::new(id, place.0.into(), import.map_or(0, import_tag)));
            }
            IndexedFact::Payment { id, seq, is_open } => self.payments.decide(id, seq, position, is_open),
            IndexedFact::PaymentChanged { id, decided, closes } => self.payments.change(id, decided, position, closes),
            IndexedFact::WindowRecord(update) => self.windows.extend(WindowRow::of(&update)),
            IndexedFact::WindowReach { stream, entity, reach } => {
                self.windows.push(WindowRow::reach(stream, entity, reach));
            }
            IndexedFact::KeyUsed => self.keys.push(position),
            IndexedFact::Other => {
                // An entry with several such facts is replayed only once.
                if self.others.last() != Some(&position) {
                    self.others.push(position);
                }
            }
        }
    }

    /// Adds a term to the payment that the entry `decided` decided. Its entry is among the events, or was published before.
    pub fn add_term(&mut self, term: Term, decided: Seq) {
        self.payments.add_term(term, decided);
    }

    /// The number of events.
    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The columns of its transfers and legs.
    pub(crate) fn columns(&self) -> Columns<'_> {
        Columns { debits: &self.debits, credits: &self.credits, positions: &self.positions }
    }

    /// Appends all events of `other`.
    pub(crate) fn append(&mut self, other: &Self) {
        self.debits.extend_from_slice(&other.debits);
        self.credits.extend_from_slice(&other.credits);
        self.positions.extend_from_slice(&other.positions);
        self.ids.extend_from_slice(&other.ids);
        self.ids_range = (self.ids_range.0.min(other.ids_range.0), self.ids_range.1.max(other.ids_range.1));
        self.resolutions.extend_from_slice(&other.resolutions);
        self.accounts.extend_from_slice(&other.accounts);
        self.others.extend_from_slice(&other.others);
        self.keys.extend_from_slice(&other.keys);
        self.payments.append(&other.payments);
        self.windows.extend_from_slice(&other.windows);
        self.extent = self.extent.with(other.extent);
        self.len += other.len;
    }

    #[inline]
    fn push_id(&mut self, row: KeyRow) {
        self.ids.push(row);
        self.ids_range = (self.ids_range.0.min(row.id), self.ids_range.1.max(row.id));
    }

    #[inline]
    fn push_posting(&mut self, debit: AccountPlace, credit: AccountPlace, placed: &IndexedEntry) {
        self.debits.push(debit.0);
        self.credits.push(credit.0);
        self.positions.push(placed.position.get());
        let time = placed.timestamp.ns();
        self.extent.earliest = self.extent.earliest.min(time);
        self.extent.latest = self.extent.latest.max(time);
    }
}

/// The state at the end of a generation, apart from the accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationEnd {
    /// The last entry of the generation.
    pub last: Seq,
    /// The time at which that entry was decided.
    pub decided_at: Timestamp,
    /// The ledger's running count of records.
    pub recorded: u64,
    /// The timestamp of the latest account or transfer.
    pub last_timestamp: Timestamp,
    /// The position of the next entry.
    pub resume: StartAt,
    /// The digest of the state, computed by the caller.
    pub digest: Digest,
}

/// A completed generation.
#[derive(Debug, Clone)]
pub struct Generation {
    /// The state at its end.
    pub end: GenerationEnd,
    /// The trial balance of every ledger, in order of ledger number.
    pub totals: Vec<(LedgerId, TrialBalance)>,
    /// Every account that was opened or changed in the generation, in its state at the end.
    pub changes: AccountChanges,
    /// What every open stream of feature windows covers at the end.
    pub streams: Vec<StreamBounds>,
}
