//! Lets a long merge pause regularly, so that its thread can do more urgent work first.

use crate::fault::Fault;

/// Does more urgent work. A fault ends the merge.
pub(crate) type Yield<'a> = dyn FnMut() -> Result<(), Fault> + 'a;

/// The number of rows between two pauses, which takes less than a millisecond.
pub(crate) const YIELD_ROWS: u64 = 1 << 14;

/// Iterates over rows, and pauses every [`YIELD_ROWS`] rows.
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
