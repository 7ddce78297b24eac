//! The audit: reads the journal in order, from the place where the wanted time begins.

use api::audit::Deed;
use edge::AuditWanted;
use engine::{Entry, Page};
use journal::Reader as _;
use types::{Seq, Timestamp};

use super::{PastError, PastReader};

/// Most entries that are examined for one page.
pub(crate) const AUDIT_EXAMINED_MAX: usize = 200_000;

impl PastReader<'_> {
    /// A page of what principals did. It may be short, or empty, although there is more: then the next page continues after
    /// the last entry that was examined.
    ///
    /// # Errors
    /// If a read fails.
    pub fn audit(&mut self, wanted: &AuditWanted) -> Result<Page<Deed, Seq>, PastError> {
        let AuditWanted { filter, after, limit } = wanted;
        let decided = match filter.payment {
            // Nothing about a payment comes before the entry that decided it.
            Some(id) => match self.index.read_decision(id)? {
                Some(entry) => entry.header.seq,
                None => return Ok(Page { items: Vec::new(), next: None }),
            },
            None => Seq::new(1),
        };
        let first = self.first_at(filter.since)?.max(decided);
        let end = self.first_at(filter.until)?;
        let (mut items, mut next, mut examined) = (Vec::new(), None, 0_usize);
        let mut is_over = false;
        let mut visit = |entry: &Entry| {
            let seq = entry.header.seq;
            if !(first..end).contains(&seq) {
                is_over = true;
                return false;
            }
            if items.len() >= *limit || examined >= AUDIT_EXAMINED_MAX {
                return false;
            }
            examined = examined.saturating_add(1);
            if filter.fits(entry) {
                items.push(Deed::from(entry));
            }
            next = Some(seq);
            true
        };
        let before = |seq: Seq| Seq::new(seq.get().saturating_sub(1));
        let were_all = if filter.reversed {
            self.entries_backward(after.map_or(before(end), |after| before(after.min(end))), &mut visit)?
        } else {
            self.entries_forward(after.map_or(first, |after| after.next().max(first)), &mut visit)?
        };
        Ok(Page { items, next: next.filter(|_| !were_all && !is_over) })
    }

    /// The first durable entry at this time or later; if there is none, the one that will follow the last one. A binary search
    /// finds it, because the times of entries increase.
    fn first_at(&self, at: Timestamp) -> Result<Seq, PastError> {
        let behind = self.reader.durable().next();
        let (mut from, mut to) = match at {
            Timestamp::ZERO => return Ok(Seq::new(1)),
            Timestamp::MAX => return Ok(behind),
            _ => (1, behind.get()),
        };
        while from < to {
            self.go_on()?;
            let middle = u64::midpoint(from, to);
            let is_earlier = self.reader.entry(Seq::new(middle))?.is_some_and(|entry| entry.header.decided_at < at);
            if is_earlier {
                from = middle.saturating_add(1);
            } else {
                to = middle;
            }
        }
        Ok(Seq::new(from))
    }
}
