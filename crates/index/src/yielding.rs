//! Long merges look up now and then, so that one thread does what is more urgent first.

use crate::fault::Fault;

/// Does what is more urgent; a fault ends the merge.
pub(crate) type Yield<'a> = dyn FnMut() -> Result<(), Fault> + 'a;

/// How many rows pass between two looks, below a millisecond's worth of work.
pub(crate) const YIELD_ROWS: u64 = 1 << 14;

/// Rows of a merge that looks up every [`YIELD_ROWS`].
pub(crate) struct Yielding<'a, 'b, I> {
    rows: I,
    count: u64,
    yielded: &'a mut Yield<'b>,
}

impl<'a, 'b, I> Yielding<'a, 'b, I> {
    pub(crate) fn new(rows: I, yielded: &'a mut Yield<'b>) -> Self {
        Self { rows, count: 0, yielded }
    }
}

impl<T, I: Iterator<Item = Result<T, Fault>>> Iterator for Yielding<'_, '_, I> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.count += 1;
        if self.count.is_multiple_of(YIELD_ROWS)
            && let Err(fault) = (self.yielded)()
        {
            return Some(Err(fault));
        }
        self.rows.next()
    }
}
