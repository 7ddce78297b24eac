//! Computes what entries change in rows.
//!
//! The rows themselves are in the target. The fold reads those that it needs and that are not in its cache: accounts whose balances change,
//! pending transfers that are resolved, and payments whose amount matters. It never needs entries from before the cursor, so it can begin
//! at any cursor.

mod book;
mod payments;

use std::collections::HashMap;
use std::sync::Arc;

use engine::Fact;
use journal::EntryInContext;
use ledger::ImportNumber;
use types::Seq;

use crate::documents::Documents;
use crate::filter::Filter;
use crate::rows::{MetadataRow, Rows};
use crate::target::{Fault, Wanted};
use book::Books;
use payments::Payments;
#[cfg(feature = "objects")]
pub(crate) use payments::raised_by;

pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Most accounts, and most pending transfers, in the cache: some 100 MB.
const CACHED_MAX: usize = 1 << 18;

/// Folds entries into rows.
#[derive(Debug)]
pub(crate) struct Fold {
    books: Books,
    /// Whether the target may already hold effects of entries after the cursor.
    may_repeat: bool,
    /// Whether changes of payments count.
    follows_payments: bool,
    filter: Arc<Filter>,
}

impl Fold {
    /// A fold for a target. `may_repeat` says that the target may already hold some effects of entries after its cursor, because it
    /// does not change rows and cursor in one atomic unit. `follows_payments` says that changes of payments count. What the filter
    /// leaves out is not in the rows.
    pub(crate) fn new(may_repeat: bool, follows_payments: bool, filter: Arc<Filter>) -> Self {
        Self { books: Books::new(CACHED_MAX, !filter.keeps_all()), may_repeat, follows_payments, filter }
    }

    /// Forgets all rows that it read, because the target may hold others now.
    pub(crate) fn forget(&mut self) {
        self.books.forget();
    }

    /// Computes what consecutive entries changed. `load` reads rows from the target.
    ///
    /// # Errors
    /// When `load` fails, or what it returns contradicts the entries.
    pub(crate) fn fold(
        &mut self,
        entries: &[&EntryInContext],
        load: &mut dyn FnMut(&Wanted) -> Result<Documents, Fault>,
    ) -> Result<Rows, Fault> {
        let facts = entries
            .iter()
            .flat_map(|item| item.entry.fact.ledger_facts().iter().map(|fact| (item.entry.header.seq, fact)));
        let payments = if self.follows_payments {
            Payments::load(entries, &self.filter, load)?
        } else {
            Payments::only_new(&self.filter)
        };
        self.fold_facts(facts, payments, entries, load)
    }

    /// Computes the rows of an import that is being opened, from consecutive entries.
    ///
    /// # Errors
    /// As [`Fold::fold`].
    pub(crate) fn open(
        &mut self,
        import: ImportNumber,
        entries: &[&EntryInContext],
        load: &mut dyn FnMut(&Wanted) -> Result<Documents, Fault>,
    ) -> Result<Rows, Fault> {
        let staged: Vec<(Seq, ledger::Fact)> = entries
            .iter()
            .filter_map(|item| {
                let Fact::Ledger(fact) = &item.entry.fact else { return None };
                Some((item.entry.header.seq, opened(import, fact)?))
            })
            .collect();
        let facts = staged.iter().map(|(seq, fact)| (*seq, fact));
        self.fold_facts(facts, Payments::only_new(&self.filter), &[], load)
    }

    fn fold_facts<'f>(
        &mut self,
        facts: impl Iterator<Item = (Seq, &'f ledger::Fact)> + Clone,
        mut payments: Payments,
        entries: &[&EntryInContext],
        load: &mut dyn FnMut(&Wanted) -> Result<Documents, Fault>,
    ) -> Result<Rows, Fault> {
        let mut rows = Rows::default();
        let filter = Arc::clone(&self.filter);
        let facts = facts.filter(|(_, fact)| filter.may_keep(fact));
        let mut batch = self.books.begin(facts.clone(), self.may_repeat, load)?;
        for (seq, fact) in facts {
            if let ledger::Fact::BookOpened(book) = fact {
                rows.ledgers.push((seq, *book));
            }
            if let ledger::Fact::MetadataSet { of, values } = fact
                && batch.has(of, &payments)
            {
                rows.metadata.extend(values.iter().map(|(key, value)| MetadataRow {
                    sequence: seq,
                    of: *of,
                    key: key.clone(),
                    value: value.clone(),
                }));
            }
            batch.fold(seq, fact)?;
        }
        for item in entries {
            payments.fold(item, &mut rows)?;
        }
        self.books.end(batch, &mut rows);
        payments.end(&mut rows);
        Ok(rows)
    }
}

/// The fact that a staged row of this import becomes when the import is opened.
pub(crate) fn opened(import: ImportNumber, fact: &ledger::Fact) -> Option<ledger::Fact> {
    if let ledger::Fact::AccountStaged { import: of, account } = fact {
        (*of == import).then_some(ledger::Fact::AccountOpened(*account))
    } else if let ledger::Fact::TransferStaged { import: of, transfer } = fact {
        (*of == import).then_some(ledger::Fact::TransferCreated(*transfer))
    } else {
        None
    }
}
