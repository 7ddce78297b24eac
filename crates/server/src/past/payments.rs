//! Lists of payments, read from their entries.

use edge::PaymentsWanted;
use engine::{Page, PastPayment, Payment};
use journal::{Fault, Position};
use types::{Seq, Timestamp};

use super::{PastError, PastReader};

/// Most payments that are examined for one page, so that a filter with few matches cannot run without end.
const EXAMINED_MAX: usize = 10_000;
/// How many places one look into the index returns.
const PLACES_AT_ONCE: usize = 256;

impl PastReader<'_> {
    /// A page of payments as they are at `at`. A page that is not full may still have a place to continue from.
    ///
    /// # Errors
    /// If a read fails.
    pub fn payments(&mut self, wanted: PaymentsWanted, at: Timestamp) -> Result<Page<Payment, Seq>, PastError> {
        let PaymentsWanted { status, after, limit } = wanted;
        let (mut items, mut last, mut examined) = (Vec::new(), after, 0_usize);
        loop {
            let places = self.index.payments(Some(last), false, PLACES_AT_ONCE)?;
            let is_end = places.len() < PLACES_AT_ONCE;
            for (seq, position) in places {
                if items.len() >= limit || examined >= EXAMINED_MAX {
                    return Ok(Page { items, next: Some(last) });
                }
                examined += 1;
                last = seq;
                let payment = self.payment_at(position)?.payment.as_of(at);
                if status.is_none_or(|wanted| payment.status == wanted) {
                    items.push(payment);
                }
            }
            if is_end {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// The payment that the entry at `position` decided, as it is now.
    fn payment_at(&mut self, position: Position) -> Result<PastPayment, PastError> {
        let other = |position| Fault::damaged_at(position, Seq::ZERO, "the entry is not about the payment");
        let mut payment = PastPayment::new(self.entry_at(position)?).ok_or_else(|| other(position))?;
        let found = self.index.payment(payment.payment.id)?.ok_or_else(|| other(position))?;
        for position in found.changes {
            if !payment.follow(self.entry_at(position)?) {
                return Err(other(position).into());
            }
        }
        Ok(payment)
    }
}
