//! Judges requests to open a ledger.

use types::{Asset, LedgerId, Timestamp};

use super::{Planned, View};
use crate::{Book, BookStatus as S, Detail, Fact, StatusRefusal};

/// Plans opening a book of accounts in `asset`.
pub(super) fn plan(view: &impl View, now: Timestamp, id: LedgerId, asset: Asset) -> Planned<S> {
    let refused = |status| Planned::refused(StatusRefusal { status, detail: Detail::Ledger(id) });
    match view.book(id) {
        _ if id.get() == 0 => refused(S::IdMustNotBeZero),
        Some(book) if book.asset == asset => Planned::exists(book.opened_at),
        Some(_) => refused(S::ExistsWithDifferentAsset),
        None => Planned::created(now, Fact::BookOpened(Book { id, asset, opened_at: now })),
    }
}
