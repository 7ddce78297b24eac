//! What the ledgers of a tenant count.

use std::collections::BTreeMap;

use types::{Asset, LedgerId};

use crate::Book;

/// The asset of each ledger. A ledger's asset never changes, so a copy is never wrong, only incomplete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assets(BTreeMap<LedgerId, Asset>);

/// A copy of the assets lacks this ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownLedger(pub LedgerId);

impl Assets {
    pub fn new<'b>(books: impl IntoIterator<Item = &'b Book>) -> Self {
        Self(books.into_iter().map(|book| (book.id, book.asset)).collect())
    }

    /// How many ledgers it knows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a ledger counts.
    ///
    /// # Errors
    /// When this copy lacks the ledger.
    pub fn of(&self, ledger: LedgerId) -> Result<Asset, UnknownLedger> {
        self.0.get(&ledger).copied().ok_or(UnknownLedger(ledger))
    }

    /// A copy of only these ledgers, as far as this one knows them.
    #[must_use]
    pub fn only(&self, ledgers: impl IntoIterator<Item = LedgerId>) -> Self {
        Self(ledgers.into_iter().filter_map(|ledger| Some((ledger, *self.0.get(&ledger)?))).collect())
    }
}
