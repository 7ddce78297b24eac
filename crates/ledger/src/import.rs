//! Imports of existing books. Their rows are staged one by one: each account gets its own place, and transfers move
//! money between accounts of the same import. All rows stay hidden until one fact opens or discards them together.

use types::{AccountId, Digest, ImportId, LedgerId, Timestamp, TransferId};

use crate::totals::Totals;
use crate::{Account, AccountPlace, Ledger, PastTransfer, Transfer};

/// Most imports that may be staged at the same time.
pub const IMPORTS_STAGED_MAX: usize = 4;

/// A short number of an import for derived data. The first import has number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportNumber(u16);

impl ImportNumber {
    /// The largest number, and so the most imports that a ledger ever accepts. It fits in 15 bits.
    pub const MAX: Self = Self(0x7fff);

    /// Returns `None` unless `number` is from 1 to that of [`ImportNumber::MAX`].
    pub const fn new(number: u16) -> Option<Self> {
        if number == 0 || number > Self::MAX.0 { None } else { Some(Self(number)) }
    }

    pub const fn get(self) -> u16 {
        self.0
    }

    fn position(self) -> usize {
        usize::from(self.0).saturating_sub(1)
    }
}

/// An import as it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import {
    /// Never used again.
    pub id: ImportId,
    /// One more than the number of the import before.
    pub number: ImportNumber,
    /// The book that all its rows belong to.
    pub ledger: LedgerId,
    /// Identifies the imported files. Only the client gives it a meaning.
    pub content: Digest,
    pub started_at: Timestamp,
}

/// What became of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportState {
    /// It accepts rows, which stay hidden.
    Staged,
    /// Its rows are part of the book like any others.
    Opened,
    /// Its rows never took effect, and their ids are free.
    Discarded,
}

impl ImportState {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Staged, Self::Opened, Self::Discarded];

    /// The stable name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Opened => "opened",
            Self::Discarded => "discarded",
        }
    }
}

/// How far an import has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportProgress {
    /// Number of accounts staged.
    pub accounts: u64,
    /// Number of transfers staged.
    pub transfers: u64,
    /// Timestamp of its last account. The next one must be later.
    pub last_account: Timestamp,
    /// Timestamp of its last transfer. The next one must be later.
    pub last_transfer: Timestamp,
    /// Places of its accounts, in order.
    pub places: Vec<Places>,
}

/// A run of adjacent account places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    pub first: AccountPlace,
    /// At least 1.
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

/// An import with its state and progress.
#[derive(Debug, Clone)]
pub struct ImportStatus {
    pub import: Import,
    pub state: ImportState,
    pub progress: ImportProgress,
    /// Sums over its accounts. The book includes them once the import is opened.
    pub(crate) totals: Totals,
}

/// All imports, in order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    pub(crate) all: Vec<ImportStatus>,
    /// Places of hidden accounts, that is, of staged or discarded imports, in order.
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

    /// The number of the next import, or `None` if the ledger has taken as many as it can.
    pub(crate) fn next_number(&self) -> Option<ImportNumber> {
        u16::try_from(self.all.len()).ok().and_then(|count| ImportNumber::new(count.saturating_add(1)))
    }

    pub(crate) fn staged(&self) -> impl Iterator<Item = &ImportStatus> {
        self.all.iter().filter(|status| status.state == ImportState::Staged)
    }

    /// The import that hides the account at a place, if there is one.
    pub(crate) fn hiding(&self, place: AccountPlace) -> Option<&ImportStatus> {
        if self.hidden.is_empty() {
            return None;
        }
        let behind = self.hidden.partition_point(|(places, _)| places.first <= place);
        let (places, number) = self.hidden.get(behind.checked_sub(1)?)?;
        (place.0 < places.end()).then(|| self.get(*number))
    }

    /// Assigns the account at `place` to an import. The place must come after all others.
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

    /// Hides the accounts of every import that is not open, after the list of imports was restored.
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
    pub fn import(&self, id: ImportId) -> Option<&ImportStatus> {
        self.imports.find(id)
    }

    /// All imports in the order in which they were started.
    pub fn imports(&self) -> &[ImportStatus] {
        &self.imports.all
    }

    /// Whether the account at a place is visible. Accounts of staged and discarded imports are hidden.
    pub fn is_visible(&self, place: AccountPlace) -> bool {
        self.imports.hiding(place).is_none()
    }

    /// Whether a staged import reserves the id of this account.
    pub(crate) fn is_account_reserved(&self, id: AccountId) -> bool {
        let hiding = self.accounts.place(id).and_then(|place| self.imports.hiding(place));
        hiding.is_some_and(|status| status.state == ImportState::Staged)
    }

    /// Returns the account with this id if it is a hidden account of the import.
    pub(crate) fn staged_account(&self, number: ImportNumber, id: AccountId) -> Option<&Account> {
        let place = self.accounts.place(id)?;
        let hiding = self.imports.hiding(place)?;
        (hiding.import.number == number).then(|| self.accounts.at(place))
    }

    /// How a transfer of an import appears now: as created once the import is opened, as staged before that, and not at
    /// all after the import was discarded.
    pub(crate) fn as_imported(&self, number: ImportNumber, transfer: Transfer) -> Option<PastTransfer> {
        match self.imports.get(number).state {
            ImportState::Opened => Some(PastTransfer::Created { transfer, state: None }),
            ImportState::Staged => Some(PastTransfer::Staged { import: number, transfer }),
            ImportState::Discarded => None,
        }
    }

    /// Whether the id of a transfer is free. The id of a transfer from a discarded import is.
    pub(crate) fn is_free(&self, id: TransferId) -> bool {
        self.find(crate::TransferKey::Client(id)).is_none()
    }
}
