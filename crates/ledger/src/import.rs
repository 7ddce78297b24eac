//! Imports of existing books. Their rows are staged one by one: an account stands at its own place, a transfer moves
//! between accounts of its import, and nobody sees either until one fact opens them all, or discards them.

use types::{AccountId, Digest, ImportId, LedgerId, Timestamp, TransferId};

use crate::totals::Totals;
use crate::{Account, AccountPlace, Ledger, PastTransfer, Transfer};

/// Imports that may be staged at the same time.
pub const IMPORTS_STAGED_MAX: usize = 4;

/// A short name of an import for derived data: 1 for the first that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportNumber(u16);

impl ImportNumber {
    /// The largest, and so the most imports that a ledger ever takes. It fits 15 bits.
    pub const MAX: Self = Self(0x7fff);

    /// The import with this number, from 1 to that of [`ImportNumber::MAX`].
    pub const fn new(number: u16) -> Option<Self> {
        if number == 0 || number > Self::MAX.0 { None } else { Some(Self(number)) }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    fn position(self) -> usize {
        usize::from(self.0).saturating_sub(1)
    }
}

/// An import, as it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import {
    /// Its id, never used again.
    pub id: ImportId,
    /// Its number, one more than that of the import before.
    pub number: ImportNumber,
    /// The book that all its rows stand in.
    pub ledger: LedgerId,
    /// What tells the files that it comes from apart from others; the client's business.
    pub content: Digest,
    /// When it was started.
    pub started_at: Timestamp,
}

/// What became of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportState {
    /// It takes rows, which nobody sees.
    Staged,
    /// Its rows stand in the book like any others.
    Opened,
    /// Its rows never happened; their ids are free.
    Discarded,
}

impl ImportState {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Staged, Self::Opened, Self::Discarded];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Opened => "opened",
            Self::Discarded => "discarded",
        }
    }
}

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportProgress {
    /// Accounts that were staged.
    pub accounts: u64,
    /// Transfers that were staged.
    pub transfers: u64,
    /// The timestamp of the last of its accounts; the next one is later.
    pub last_account: Timestamp,
    /// The timestamp of the last of its transfers; the next one is later.
    pub last_transfer: Timestamp,
    /// Where its accounts stand, in order.
    pub places: Vec<Places>,
}

/// Adjacent places of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// The first.
    pub first: AccountPlace,
    /// How many, at least 1.
    pub count: u32,
}

impl Places {
    fn end(self) -> u32 {
        self.first.0.saturating_add(self.count)
    }

    fn each(self) -> impl Iterator<Item = AccountPlace> {
        (self.first.0..self.end()).map(AccountPlace)
    }
}

/// An import with all that is known of it.
#[derive(Debug, Clone)]
pub struct ImportStatus {
    /// As it was started.
    pub import: Import,
    /// What became of it.
    pub state: ImportState,
    /// How far it is.
    pub progress: ImportProgress,
    /// The sums over its accounts, until they are in those of the book.
    pub(crate) totals: Totals,
}

/// All imports, in order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    pub(crate) all: Vec<ImportStatus>,
    /// Places of accounts that nobody sees: staged or discarded ones, in order.
    hidden: Vec<(Places, ImportNumber)>,
}

impl Imports {
    pub(crate) fn find(&self, id: ImportId) -> Option<&ImportStatus> {
        self.all.iter().find(|status| status.import.id == id)
    }

    pub(crate) fn get(&self, number: ImportNumber) -> &ImportStatus {
        self.all.get(number.position()).expect("LED-9: an import is started before it has rows")
    }

    pub(crate) fn get_mut(&mut self, number: ImportNumber) -> &mut ImportStatus {
        self.all.get_mut(number.position()).expect("LED-9: an import is started before it has rows")
    }

    /// The number of the next import; `None` when there were as many as can be.
    pub(crate) fn next_number(&self) -> Option<ImportNumber> {
        u16::try_from(self.all.len()).ok().and_then(|count| ImportNumber::new(count.saturating_add(1)))
    }

    pub(crate) fn staged(&self) -> impl Iterator<Item = &ImportStatus> {
        self.all.iter().filter(|status| status.state == ImportState::Staged)
    }

    /// The import for whose sake the account at a place is not seen.
    pub(crate) fn hiding(&self, place: AccountPlace) -> Option<&ImportStatus> {
        if self.hidden.is_empty() {
            return None;
        }
        let behind = self.hidden.partition_point(|(places, _)| places.first <= place);
        let (places, number) = self.hidden.get(behind.checked_sub(1)?)?;
        (place.0 < places.end()).then(|| self.get(*number))
    }

    /// Counts the account at the place behind all others to an import.
    pub(crate) fn add_place(&mut self, number: ImportNumber, place: AccountPlace) {
        let extends = |places: &Places| places.end() == place.0;
        match self.hidden.last_mut().filter(|(places, of)| *of == number && extends(places)) {
            Some((places, _)) => places.count = places.count.saturating_add(1),
            None => self.hidden.push((Places { first: place, count: 1 }, number)),
        }
        let places = &mut self.get_mut(number).progress.places;
        match places.last_mut().filter(|places| extends(places)) {
            Some(places) => places.count = places.count.saturating_add(1),
            None => places.push(Places { first: place, count: 1 }),
        }
    }

    /// Makes the accounts of an opened import visible.
    pub(crate) fn reveal(&mut self, number: ImportNumber) {
        self.hidden.retain(|(_, of)| *of != number);
    }

    /// The places of the accounts of all imports, in order.
    pub(crate) fn every_place(&self) -> Vec<AccountPlace> {
        let mut places: Vec<_> = self.all.iter().flat_map(|status| status.progress.each_place()).collect();
        places.sort_unstable();
        places
    }

    /// Hides the places of every import that is not open, when the list of imports comes from elsewhere.
    pub(crate) fn hide_all(&mut self) {
        let closed = self.all.iter().filter(|status| status.state != ImportState::Opened);
        let places =
            closed.flat_map(|status| status.progress.places.iter().map(|places| (*places, status.import.number)));
        self.hidden = places.collect();
        self.hidden.sort_unstable_by_key(|(places, _)| places.first);
    }
}

impl ImportProgress {
    /// The places of its accounts, in order.
    pub(crate) fn each_place(&self) -> impl Iterator<Item = AccountPlace> {
        self.places.iter().flat_map(|places| places.each())
    }
}

impl Ledger {
    /// The import with this id.
    pub fn import(&self, id: ImportId) -> Option<&ImportStatus> {
        self.imports.find(id)
    }

    /// Every import, in the order they were started.
    pub fn imports(&self) -> &[ImportStatus] {
        &self.imports.all
    }

    /// Whether the account at a place can be seen: it is not of an import that is staged or was discarded.
    pub fn is_visible(&self, place: AccountPlace) -> bool {
        self.imports.hiding(place).is_none()
    }

    /// Whether a staged import keeps this account's id for itself.
    pub(crate) fn is_account_reserved(&self, id: AccountId) -> bool {
        let hiding = self.accounts.place(id).and_then(|place| self.imports.hiding(place));
        hiding.is_some_and(|status| status.state == ImportState::Staged)
    }

    /// The account of a staged import.
    pub(crate) fn staged_account(&self, number: ImportNumber, id: AccountId) -> Option<&Account> {
        let place = self.accounts.place(id)?;
        let hiding = self.imports.hiding(place)?;
        (hiding.import.number == number).then(|| self.accounts.at(place))
    }

    /// What a transfer of an import is to everybody, as things stand now.
    pub(crate) fn as_imported(&self, number: ImportNumber, transfer: Transfer) -> Option<PastTransfer> {
        match self.imports.get(number).state {
            ImportState::Opened => Some(PastTransfer::Created { transfer, state: None }),
            ImportState::Staged => Some(PastTransfer::Staged { import: number, transfer }),
            ImportState::Discarded => None,
        }
    }

    /// Whether a record of an import leaves a transfer's id free.
    pub(crate) fn is_free(&self, id: TransferId) -> bool {
        self.find(crate::TransferKey::Client(id)).is_none()
    }
}
