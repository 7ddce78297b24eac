//! Queries, from any thread. Every answer covers everything that was published.

use std::sync::Arc;

use journal::Position;
use ledger::{AccountPlace, ImportNumber, PendingState, TrialBalance};
use types::{AccountId, LedgerId, Timestamp, TransferId};

use crate::accounts::Balances;
use crate::event::{CREATED, CREATED_PENDING, GenerationEnd, IndexUpdate, import_of, state_of};
use crate::fault::Fault;
use crate::fields::Field;
use crate::index::Index;
use crate::keys::KeyRow;
use crate::positions::{Bounds, Positions, What};
use crate::postings::Sides;
use crate::totals::totals_of;
use crate::view::{Listed, View};

/// What an id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The position where the transfer was created or failed.
    pub position: Position,
    pub state: IdState,
    /// The import that created it, if any. The transfer counts only if that import is open.
    pub import: Option<ImportNumber>,
}

/// The state of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdState {
    /// A transfer that was not pending.
    Created,
    /// A pending transfer, with the way and the position of its resolution once it is resolved.
    CreatedPending(Option<(PendingState, Position)>),
    /// The id failed permanently, with the status of this number.
    Failed(u16),
}

/// Why a query by a field has no answer.
#[derive(Debug, thiserror::Error)]
pub enum FieldError {
    /// The ledger did not choose to index the field.
    #[error("{field} is not indexed for ledger {ledger}, which indexes {}", listed(chosen))]
    NotChosen {
        field: Field,
        ledger: LedgerId,
        /// The fields that the ledger chose.
        chosen: Vec<Field>,
    },
    /// Some runs do not have the table of the field yet.
    #[error("the index of {field} for ledger {ledger} is being built, {runs_left} parts are left; query again later")]
    Incomplete {
        field: Field,
        ledger: LedgerId,
        /// How many runs do not have it yet.
        runs_left: usize,
    },
}

fn listed(fields: &[Field]) -> String {
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    if names.is_empty() { "no field".to_owned() } else { names.join(", ") }
}

impl Index {
    /// Returns the place of an account.
    pub fn account_place(&self, id: AccountId) -> Result<Option<AccountPlace>, Fault> {
        Ok(self.account(id)?.map(|(place, _)| place))
    }

    /// Returns the place of an account, and the import in which it was staged, if any.
    pub fn account(&self, id: AccountId) -> Result<Option<(AccountPlace, Option<ImportNumber>)>, Fault> {
        let view = self.shared.view();
        let place = |row: KeyRow| {
            let place = AccountPlace(u32::try_from(row.number()).expect("places have 32 bits"));
            (place, import_of(row.tag()))
        };
        for batch in view.batches().rev() {
            if let Some(row) = batch.accounts.iter().rfind(|row| row.id == id.get()) {
                return Ok(Some(place(*row)));
            }
        }
        for listed in view.runs.iter().rev() {
            if let Some(row) = listed.run.account_ids.find(id.get())? {
                return Ok(Some(place(row)));
            }
        }
        Ok(None)
    }

    /// Returns what a transfer id stands for.
    pub fn find(&self, id: TransferId) -> Result<Option<Found>, Fault> {
        let view = self.shared.view();
        let Some(row) = find_id(&view, id.get())? else { return Ok(None) };
        let state = match row.tag() {
            CREATED => IdState::Created,
            tag if import_of(tag).is_some() => IdState::Created,
            CREATED_PENDING => IdState::CreatedPending(
                find_resolution(&view, id.get())?.map(|row| (state_of(row.tag()), Position::from_number(row.number()))),
            ),
            status => IdState::Failed(status),
        };
        Ok(Some(Found { position: Position::from_number(row.number()), state, import: import_of(row.tag()) }))
    }

    /// Returns the positions of an account's transfers, including the legs of payments. Each position appears once, in
    /// order or reversed. Bounds by position are exact. Bounds by time only skip parts that are certainly outside.
    pub fn postings(&self, place: AccountPlace, sides: Sides, bounds: Bounds, reversed: bool) -> Positions {
        Positions::new(self.shared.view(), &self.log, What::Postings { place, sides }, bounds, reversed)
    }

    /// Returns the positions of a ledger's transfers whose field has `value`, which must not be 0. Otherwise as
    /// [`Index::postings`].
    pub fn field(
        &self,
        field: Field,
        ledger: LedgerId,
        value: u128,
        bounds: Bounds,
        reversed: bool,
    ) -> Result<Positions, FieldError> {
        let (view, chosen): (_, Vec<Field>) = {
            let state = self.shared.lock();
            (state.view.clone(), Field::ALL.into_iter().filter(|field| state.choices.has(ledger, *field)).collect())
        };
        if !chosen.contains(&field) {
            return Err(FieldError::NotChosen { field, ledger, chosen });
        }
        let is_there = |table: &Arc<crate::fields::FieldTable>| table.ledgers.contains(&ledger);
        let runs_left = view.runs.iter().filter(|listed| !listed.fields.get(&field).is_some_and(is_there)).count();
        if runs_left > 0 {
            return Err(FieldError::Incomplete { field, ledger, runs_left });
        }
        // All rows of a ledger have the same value for this field.
        let value = if field == Field::Ledger { 0 } else { value };
        Ok(Positions::new(view, &self.log, What::Field { field, ledger, value }, bounds, reversed))
    }

    /// Returns an account's balances at the end of a generation, or `None` if it was not open yet. The current
    /// generation is not included: the caller adds it from the account's transfers.
    pub fn balances_at(&self, place: AccountPlace, generation: u32) -> Result<Option<Balances>, Fault> {
        let view = self.shared.view();
        for waiting in view.waiting.iter().rev().filter(|waiting| waiting.number <= generation) {
            if let Some(account) = waiting.generation.changes.at(place) {
                return Ok(Some(Balances::of(account, waiting.number)));
            }
        }
        for listed in view.runs.iter().rev().filter(|listed| listed.run.first() <= generation) {
            if let Some(row) = listed.run.images.at(place, generation)? {
                return Ok(Some(row.balances()));
            }
        }
        Ok(None)
    }

    /// Returns the state at the end of a completed generation.
    pub fn generation(&self, number: u32) -> Option<GenerationEnd> {
        let view = self.shared.view();
        if let Some(waiting) = view.waiting.iter().find(|waiting| waiting.number == number) {
            return Some(waiting.generation.end);
        }
        let listed = view.runs.iter().find(|listed| listed.run.first() <= number && number <= listed.run.last())?;
        let row = listed.run.generations.get((number - listed.run.first()) as usize)?;
        Some(row.end())
    }

    /// Returns the trial balance of every ledger at the end of a generation, in order of ledger number. The list is
    /// empty if the generation has not ended. The caller adds what followed from the transfers.
    ///
    /// # Errors
    /// Fails if the index cannot be read.
    pub fn totals_at(&self, generation: u32) -> Result<Vec<(LedgerId, TrialBalance)>, Fault> {
        let view = self.shared.view();
        if let Some(waiting) = view.waiting.iter().find(|waiting| waiting.number == generation) {
            return Ok(waiting.generation.totals.clone());
        }
        let covers = |listed: &&Listed| listed.run.first() <= generation && generation <= listed.run.last();
        let Some(listed) = view.runs.iter().find(covers) else { return Ok(Vec::new()) };
        let totals = &listed.run.totals;
        let (from, to) = (totals_of(generation), totals_of(generation) + u64::from(u32::MAX));
        let rows = totals.cursor(totals.lower_bound(from)?, totals.lower_bound(to)?);
        rows.map(|row| Ok(row?.totals())).collect()
    }

    /// The last completed generation with no account or transfer after `at`.
    pub fn generation_at(&self, at: Timestamp) -> Option<u32> {
        let view = self.shared.view();
        let runs = view.runs.iter().flat_map(|listed| listed.run.generations.iter().map(|row| row.end()));
        let waiting = view.waiting.iter().map(|waiting| waiting.generation.end);
        let ended = (0_u32..).zip(runs.chain(waiting)).take_while(|(_, end)| end.last_timestamp <= at);
        ended.last().map(|(number, _)| number)
    }
}

fn find_id(view: &View, id: u128) -> Result<Option<KeyRow>, Fault> {
    let in_range = |batch: &&Arc<IndexUpdate>| batch.ids_range.0 <= id && id <= batch.ids_range.1;
    for batch in view.batches().rev().filter(in_range) {
        if let Some(row) = batch.ids.iter().rfind(|row| row.id == id) {
            return Ok(Some(*row));
        }
    }
    for listed in view.runs.iter().rev() {
        if let Some(row) = listed.run.ids.find(id)? {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

fn find_resolution(view: &View, id: u128) -> Result<Option<KeyRow>, Fault> {
    for batch in view.batches().rev() {
        if let Some(row) = batch.resolutions.iter().find(|row| row.id == id) {
            return Ok(Some(*row));
        }
    }
    for listed in view.runs.iter().rev() {
        if let Some(row) = listed.run.resolutions.find(id)? {
            return Ok(Some(row));
        }
    }
    Ok(None)
}
