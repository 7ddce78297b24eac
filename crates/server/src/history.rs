//! Looking into the past, off the engine thread: the index says where transfers stand, the journal what they say. All of
//! it is durable, and everything is there that was acknowledged before the question.

use std::collections::HashSet;

use api::history::{Side, TransferFilter};
use engine::{Entry, Fact};
use index::{Bounds, Field, FieldError, Index, Sides};
use journal::{Directory, Fault, FileReader, Position};
use ledger::{Account, AccountPlace, ImportNumber, Transfer, TransferFlags, TransferKey};
use types::{AccountId, LedgerId, Timestamp, TransferId};

/// Rows looked at for one answer, so that a filter that matches little cannot go on for ever.
pub(crate) const ROWS_SCANNED_MAX: usize = 200_000;

/// Why the past cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] Fault),
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] index::Fault),
    /// The query is by a field that is not indexed, or not yet.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The query names no field that finds anything.
    #[error("no condition finds transfers: name an account, or a ledger with a field that is indexed for it")]
    NothingToFind,
}

/// A page that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The transfers of this account, or through a field of the ledger that the filter names.
    pub account: Option<AccountId>,
    /// What holds for all of them.
    pub filter: TransferFilter,
    /// Behind this one, in the order asked for: where the page before ended.
    pub after: Option<Position>,
    /// At most so many.
    pub limit: usize,
}

/// Some of the transfers that were asked for.
#[derive(Debug, Default)]
pub struct Page {
    /// In order.
    pub transfers: Vec<Transfer>,
    /// Where to go on, when there may be more.
    pub next: Option<Position>,
}

/// What happened on an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The transfer, or the pending one that expired.
    pub transfer: Transfer,
    /// When it was booked: of an expiry its entry's time.
    pub booked_at: Timestamp,
    /// When it happened, as far as declared.
    pub occurred_at: Timestamp,
    /// It is the expiry of `transfer`.
    pub is_expiry: bool,
}

/// The past as of now.
#[derive(Debug)]
pub struct History<'a> {
    index: &'a Index,
    reader: FileReader<Directory>,
    /// The last frame that was read, for entries that are no rows: many of a frame are often asked for together.
    frame: Vec<(Position, Entry)>,
    /// Imports whose rows can be seen.
    opened: Vec<ImportNumber>,
}

impl<'a> History<'a> {
    pub(crate) const fn new(index: &'a Index, reader: FileReader<Directory>, opened: Vec<ImportNumber>) -> Self {
        Self { index, reader, frame: Vec::new(), opened }
    }

    /// The place of an account; `None` when there is none with this id that can be seen.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn account_place(&self, id: AccountId) -> Result<Option<AccountPlace>, HistoryError> {
        let found = self.index.account(id)?;
        Ok(found.filter(|(_, import)| self.is_visible(*import)).map(|(place, _)| place))
    }

    /// A page of transfers. Of an account all of them are found through its own index, otherwise through that of a field
    /// of the ledger named.
    ///
    /// # Errors
    /// When no condition finds anything, or something cannot be read.
    pub fn transfers(&mut self, wanted: &Wanted) -> Result<Page, HistoryError> {
        let Wanted { account, filter, after, limit } = wanted;
        let (after, before) = if filter.reversed { (None, *after) } else { (*after, None) };
        let bounds = Bounds { after, before, earliest: filter.min_timestamp, latest: filter.max_timestamp };
        let positions = match account {
            Some(account) => {
                let Some(place) = self.account_place(*account)? else { return Ok(Page::default()) };
                self.index.postings(place, sides(filter.side), bounds, filter.reversed)
            }
            None => {
                let (ledger, field, value) = narrowest(filter).ok_or(HistoryError::NothingToFind)?;
                self.index.field(field, ledger, value, bounds, filter.reversed)?
            }
        };
        let mut page = Page::default();
        let mut scanned = 0;
        for chunk in positions {
            for position in chunk? {
                if page.transfers.len() >= *limit || scanned >= ROWS_SCANNED_MAX {
                    return Ok(page);
                }
                scanned += 1;
                let first = page.transfers.len();
                self.each_transfer_at(position, |transfer| {
                    if fits(filter, *account, transfer) {
                        page.transfers.push(*transfer);
                    }
                })?;
                if filter.reversed {
                    page.transfers[first..].reverse();
                }
                if account.is_none() {
                    self.retain_visible(position, &mut page.transfers, first)?;
                }
                page.next = Some(position);
            }
        }
        page.next = None;
        Ok(page)
    }

    /// Everything that happened on an account, from one instant of booking to another, both included, in order, until
    /// `visit` says that it has enough.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn lines(
        &mut self,
        account: (AccountId, AccountPlace),
        bounds: Bounds,
        mut visit: impl FnMut(&mut Self, Position, &Line) -> Result<bool, HistoryError>,
    ) -> Result<(), HistoryError> {
        let (id, place) = account;
        for chunk in self.index.postings(place, Sides::Both, bounds, false) {
            for position in chunk? {
                for line in self.lines_at(position, id)? {
                    if line.booked_at < bounds.earliest || line.booked_at > bounds.latest {
                        continue;
                    }
                    if !visit(self, position, &line)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The account as it stood right after everything that was booked up to `at`; `None` when it was not open yet.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn account_at(&mut self, account: &Account, at: Timestamp) -> Result<Option<Account>, HistoryError> {
        let Some(place) = self.account_place(account.id)?.filter(|_| account.timestamp <= at) else {
            return Ok(None);
        };
        let mut then = account.emptied();
        let mut after = None;
        if let Some(generation) = self.index.generation_at(at) {
            if let Some(balances) = self.index.balances_at(place, generation)? {
                then.debits_pending = balances.debits_pending;
                then.debits_posted = balances.debits_posted;
                then.credits_pending = balances.credits_pending;
                then.credits_posted = balances.credits_posted;
            }
            after = self.index.generation(generation).map(|end| end.resume.position());
        }
        let bounds = Bounds { after, latest: at, ..Bounds::default() };
        self.lines((account.id, place), bounds, |history, _, line| {
            history.follow(&mut then, line)?;
            Ok(true)
        })?;
        Ok(Some(then))
    }

    /// The account as everything leaves it that happened up to `at`, whenever it was booked.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn account_at_occurred(&mut self, account: &Account, at: Timestamp) -> Result<Option<Account>, HistoryError> {
        let Some(place) = self.account_place(account.id)? else { return Ok(None) };
        let mut then = account.emptied();
        self.lines((account.id, place), Bounds::default(), |history, _, line| {
            if line.occurred_at <= at {
                history.follow(&mut then, line)?;
            }
            Ok(true)
        })?;
        Ok(Some(then))
    }

    /// The transfers of an account that are wanted, each with the account as it was right after it.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn balances(&mut self, account: &Account, wanted: &Wanted) -> Result<Vec<(Transfer, Account)>, HistoryError> {
        let page = self.transfers(wanted)?.transfers;
        let times = page.iter().map(|transfer| transfer.timestamp);
        let (Some(first), Some(last)) = (times.clone().min(), times.max()) else { return Ok(Vec::new()) };
        let before = Timestamp::from_ns(first.ns().saturating_sub(1));
        let Some(place) = self.account_place(account.id)? else { return Ok(Vec::new()) };
        let mut then = self.account_at(account, before)?.unwrap_or_else(|| account.emptied());
        let keys: HashSet<TransferKey> = page.iter().map(|transfer| transfer.key).collect();
        let mut rows = Vec::with_capacity(page.len());
        let bounds = Bounds { earliest: first, latest: last, ..Bounds::default() };
        self.lines((account.id, place), bounds, |history, _, line| {
            history.follow(&mut then, line)?;
            if !line.is_expiry && keys.contains(&line.transfer.key) {
                rows.push((line.transfer, then));
            }
            Ok(true)
        })?;
        if wanted.filter.reversed {
            rows.reverse();
        }
        Ok(rows)
    }

    /// Moves the balances of an account as a line did.
    ///
    /// # Errors
    /// When the pending transfer that it resolves cannot be read.
    pub fn follow(&mut self, account: &mut Account, line: &Line) -> Result<(), HistoryError> {
        if line.is_expiry {
            account.follow_expiry(&line.transfer);
            return Ok(());
        }
        let resolved = match line.transfer.pending {
            Some(TransferKey::Client(id)) => self.client_transfer(id)?,
            // A payment's hold is posted or voided in full, so that what resolves it says how much that was.
            Some(TransferKey::Leg { .. }) => Some(line.transfer),
            None => None,
        };
        account.follow(&line.transfer, resolved.as_ref());
        Ok(())
    }

    fn is_visible(&self, import: Option<ImportNumber>) -> bool {
        import.is_none_or(|import| self.opened.contains(&import))
    }

    /// Drops the transfers from number `first` on, of the entry at `position`, that an import brought which is not open.
    /// When such an id came again, the newest of its rows is the one that counts.
    fn retain_visible(
        &self,
        position: Position,
        transfers: &mut Vec<Transfer>,
        first: usize,
    ) -> Result<(), HistoryError> {
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

    fn client_transfer(&mut self, id: TransferId) -> Result<Option<Transfer>, HistoryError> {
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

    fn each_transfer_at(&mut self, position: Position, mut visit: impl FnMut(&Transfer)) -> Result<(), HistoryError> {
        if position.is_row() {
            visit(&self.reader.transfer_at(position)?);
            return Ok(());
        }
        created(self.entry_at(position)?).for_each(visit);
        Ok(())
    }

    fn lines_at(&mut self, position: Position, account: AccountId) -> Result<Vec<Line>, HistoryError> {
        let on_account = |transfer: &Transfer| transfer.debit == account || transfer.credit == account;
        if position.is_row() {
            let transfer = self.reader.transfer_at(position)?;
            let at = transfer.timestamp;
            return Ok(vec![Line { transfer, booked_at: at, occurred_at: at, is_expiry: false }]);
        }
        let entry = self.entry_at(position)?.clone();
        let mut lines = Vec::new();
        for fact in facts(&entry) {
            let (transfer, is_expiry) = match fact {
                ledger::Fact::TransferCreated(transfer) => (Some(*transfer), false),
                ledger::Fact::TransferExpired(TransferKey::Client(id)) => (self.client_transfer(*id)?, true),
                _ => (None, false),
            };
            if let Some(transfer) = transfer.filter(on_account) {
                let booked_at = if is_expiry { entry.header.decided_at } else { transfer.timestamp };
                let occurred_at = if entry.header.occurred_at == entry.header.decided_at {
                    booked_at
                } else {
                    entry.header.occurred_at
                };
                lines.push(Line { transfer, booked_at, occurred_at, is_expiry });
            }
        }
        Ok(lines)
    }

    fn entry_at(&mut self, position: Position) -> Result<&Entry, HistoryError> {
        let find = |frame: &[(Position, Entry)]| frame.binary_search_by_key(&position, |(at, _)| *at).ok();
        if find(&self.frame).is_none() {
            self.frame = self.reader.frame_at(position)?;
        }
        match find(&self.frame) {
            Some(place) => Ok(&self.frame[place].1),
            None => Err(Fault::Damaged {
                file: format!("segment-{:08}", position.segment()),
                offset: position.offset(),
                seq: self.frame.first().map_or(types::Seq::ZERO, |(_, entry)| entry.header.seq),
                what: "no entry starts there".to_owned(),
            }
            .into()),
        }
    }
}

/// The ledger facts of an entry, in order.
fn facts(entry: &Entry) -> &[ledger::Fact] {
    match &entry.fact {
        Fact::Ledger(fact) => std::slice::from_ref(fact),
        Fact::PaymentDecided(decided) => &decided.ledger_facts,
        Fact::PaymentChanged(changed) => &changed.ledger_facts,
        Fact::PolicyActivated(activated) => &activated.ledger_facts,
        Fact::JournalStarted { .. }
        | Fact::LabelRecorded(_)
        | Fact::ArtifactStored(_)
        | Fact::ApiKeyAdded(_)
        | Fact::StateDigest(_) => &[],
    }
}

/// The transfers that an entry made, in order.
fn created(entry: &Entry) -> impl Iterator<Item = &Transfer> {
    facts(entry).iter().filter_map(|fact| match fact {
        ledger::Fact::TransferCreated(transfer) => Some(transfer),
        _ => None,
    })
}

const fn sides(side: Side) -> Sides {
    match side {
        Side::Both => Sides::Both,
        Side::Debits => Sides::Debits,
        Side::Credits => Sides::Credits,
    }
}

/// The field by which the fewest transfers are likely to be found, with the ledger whose index it is.
fn narrowest(filter: &TransferFilter) -> Option<(LedgerId, Field, u128)> {
    let ledger = filter.ledger?;
    let wide = filter.user_data_128.map(|value| (Field::UserData128, value));
    let long = filter.user_data_64.map(|value| (Field::UserData64, value.into()));
    let short = filter.user_data_32.map(|value| (Field::UserData32, value.into()));
    let code = filter.code.map(|code| (Field::Code, code.get().into()));
    let (field, value) = wide.or(long).or(short).or(code).unwrap_or((Field::Ledger, ledger.get().into()));
    Some((ledger, field, value))
}

fn fits(filter: &TransferFilter, account: Option<AccountId>, transfer: &Transfer) -> bool {
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
