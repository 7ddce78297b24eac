use types::{Asset, LedgerId};

use crate::{Book, BookStatus, Detail, Fact, Outcome, Plan, Refusal};

impl Plan<'_> {
    /// Opens a book of accounts in `asset`. It takes no timestamp of its own.
    pub fn open_book(&mut self, id: LedgerId, asset: Asset) -> Outcome<BookStatus> {
        let refused = |status| Outcome::Refused(Refusal { status, detail: Detail::Ledger(id) });
        if id.get() == 0 {
            return refused(BookStatus::IdMustNotBeZero);
        }
        if let Some(book) = self.book(id) {
            return if book.asset == asset {
                Outcome::Exists { timestamp: book.opened_at }
            } else {
                refused(BookStatus::ExistsWithDifferentAsset)
            };
        }
        let opened_at = self.now();
        let book = Book { id, asset, opened_at };
        self.books.push(book);
        self.facts.push(Fact::BookOpened(book));
        Outcome::Created { timestamp: opened_at }
    }
}
