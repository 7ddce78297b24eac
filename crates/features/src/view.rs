//! The records of an entity in one window, and everything that is computed from them.

use types::{Span, Timestamp};

use crate::blocks::Spread;
use crate::entity_records::EntityRecords;
use crate::items::Item;
use crate::wide::Wide;
use crate::window::Aggregate;

/// The records of an entity in one window as of one payment. It only reads.
///
/// The record that the payment adds, if it adds one and the window ends at the payment, is the newest. What a method says of
/// *earlier* records leaves it out.
#[derive(Debug, Clone, Copy)]
pub struct View<'w> {
    /// `None` for an entity without records.
    history: Option<&'w EntityRecords>,
    /// The records in the window: from place `start` to before place `end`.
    start: usize,
    end: usize,
    /// The place of a record among them that counts as if it did not exist.
    without: Option<usize>,
    /// The first instant in the window.
    first: Timestamp,
    /// When the window is asked for.
    at: Timestamp,
    candidate: Option<Candidate>,
}

/// The record that a payment under decision adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// What it adds to a sum.
    pub value: i64,
    /// What it is about besides that, if the stream remembers it.
    pub item: Option<Item>,
}

/// A quantile: a share in millionths, from 0 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantile(u32);

impl Quantile {
    /// The largest number of millionths.
    pub const MILLIONTHS_MAX: u32 = 1_000_000;
    pub const MEDIAN: Self = Self(500_000);

    /// `None` if the share is above 1.
    pub fn of_millionths(millionths: u32) -> Option<Self> {
        (millionths <= Self::MILLIONTHS_MAX).then_some(Self(millionths))
    }

    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// The place, from 0, of the value with the nearest rank among `count` values in ascending order: the smallest value such that at
    /// least this share of all values is not larger. `None` if there are no values.
    fn place(self, count: usize) -> Option<usize> {
        let last = count.checked_sub(1)?;
        // Counts stay below 2^33, so the product stays below 2^53.
        let rank = (count as u64).saturating_mul(self.0.into()).div_ceil(Self::MILLIONTHS_MAX.into());
        Some(usize::try_from(rank).unwrap_or(usize::MAX).saturating_sub(1).min(last))
    }
}

/// The sums from which mean and standard deviation are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moments {
    /// Number of records. At most 2^32.
    pub count: u64,
    /// Sum of their values. Its magnitude stays within 2^95.
    pub sum: i128,
    /// Sum of the squares of their values. It stays within 2^158.
    pub squares: Wide,
}

impl Moments {
    /// *count* · *squares* − *sum*², exactly. It is never negative, and is count · (count − 1) times the variance of a sample.
    pub fn spread(&self) -> Wide {
        let magnitude = self.sum.unsigned_abs();
        self.squares.times(self.count).minus(Wide::product(magnitude, magnitude))
    }
}

impl<'w> View<'w> {
    /// A view of no records but the one that the payment adds.
    pub(crate) const fn empty(at: Timestamp, candidate: Option<Candidate>) -> Self {
        Self { history: None, start: 0, end: 0, without: None, first: Timestamp::ZERO, at, candidate }
    }

    /// A view of the records from `first` to `last`, both included, without the one at the place `without`.
    pub(crate) fn of(
        history: &'w EntityRecords,
        (first, last): (Timestamp, Timestamp),
        without: Option<usize>,
        (at, candidate): (Timestamp, Option<Candidate>),
    ) -> Self {
        let (start, end) = history.places(first, last);
        let without = without.filter(|place| (start..end).contains(place));
        Self { history: Some(history), start, end, without, first, at, candidate }
    }

    /// The same window without the record that the payment adds.
    #[must_use]
    pub fn earlier(self) -> Self {
        Self { candidate: None, ..self }
    }

    /// Count, sum and number of positive labels.
    pub fn aggregate(&self) -> Aggregate {
        let mut found = Aggregate::default();
        if let Some(history) = self.history {
            found = history.aggregate_at(self.start, self.end);
            if let Some(place) = self.without {
                found = found.without(history.aggregate_at(place, place.saturating_add(1)));
            }
        }
        self.candidate.map_or(found, |candidate| found.with(candidate.value))
    }

    /// Count, sum and sum of squares. Takes time in proportion to the records in the window, or to their blocks of 32 if the stream
    /// [keeps spreads](crate::Windows::keep_spreads).
    pub fn moments(&self) -> Moments {
        let Aggregate { count, sum, .. } = self.aggregate();
        Moments { count, sum, squares: self.spread().squares }
    }

    /// The smallest and the largest value, or `None` without records. Takes as long as [`View::moments`].
    pub fn extremes(&self) -> Option<(i64, i64)> {
        let Spread { min, max, .. } = self.spread();
        (min <= max).then_some((min, max))
    }

    fn spread(&self) -> Spread {
        let mut found = Spread::NONE;
        if let Some(history) = self.history {
            found = match self.without {
                None => history.spread(self.start, self.end),
                Some(place) => history.spread(self.start, place).and(history.spread(place.saturating_add(1), self.end)),
            };
        }
        self.candidate.map_or(found, |candidate| found.with(candidate.value))
    }

    /// The value with the nearest rank, or `None` without records. Takes time in proportion to the records in the window, whose values
    /// it copies to `scratch`.
    pub fn quantile(&self, quantile: Quantile, scratch: &mut Vec<i64>) -> Option<i64> {
        scratch.clear();
        for (start, end) in self.parts() {
            scratch.extend(self.history.into_iter().flat_map(|history| history.values(start, end)));
        }
        scratch.extend(self.candidate.map(|candidate| candidate.value));
        let place = quantile.place(scratch.len())?;
        Some(*scratch.select_nth_unstable(place).1)
    }

    /// The value of the newest record.
    pub fn last(&self) -> Option<i64> {
        self.candidate.map(|candidate| candidate.value).or_else(|| self.newest(0).map(|(_, value)| value))
    }

    /// The value of the record before the newest one.
    pub fn previous(&self) -> Option<i64> {
        self.newest(usize::from(self.candidate.is_none())).map(|(_, value)| value)
    }

    /// How long ago the newest of the earlier records was.
    pub fn since_last(&self) -> Option<Span> {
        self.newest(0).map(|(at, _)| self.at.since(at))
    }

    /// How long ago the oldest of the earlier records was.
    pub fn since_first(&self) -> Option<Span> {
        let (start, _) = self.parts().into_iter().find(|(start, end)| start < end)?;
        self.history?.record(start).map(|(at, _)| self.at.since(at))
    }

    /// The number of different items. Takes time in proportion to the records in the window.
    pub fn distinct(&self) -> u64 {
        let items = self.history.and_then(EntityRecords::items);
        let found = items.map_or(0, |items| items.distinct((self.start, self.end), self.first, self.without));
        let adds = self.candidate.and_then(|candidate| candidate.item).is_some_and(|item| !self.has_seen(item));
        found.saturating_add(adds.into())
    }

    /// Whether one of the earlier records has this item. Takes time in proportion to the records in the window after that one.
    pub fn has_seen(&self, item: Item) -> bool {
        let Some(items) = self.history.and_then(EntityRecords::items) else { return false };
        self.parts().into_iter().any(|(start, end)| items.newest(start, end, item).is_some())
    }

    /// The newest of the earlier records, or the one `back` records before it: its instant and its value.
    fn newest(&self, back: usize) -> Option<(Timestamp, i64)> {
        let [before, after] = self.parts();
        let newer = after.1.saturating_sub(after.0);
        let place = match back.checked_sub(newer) {
            None => after.1.checked_sub(back)?.checked_sub(1)?,
            Some(back) => before.1.checked_sub(back)?.checked_sub(1).filter(|place| *place >= before.0)?,
        };
        self.history?.record(place)
    }

    /// The places in the window, around the record that does not count.
    fn parts(&self) -> [(usize, usize); 2] {
        match self.without {
            Some(place) => [(self.start, place), (place.saturating_add(1), self.end)],
            None => [(self.start, self.end), (self.end, self.end)],
        }
    }
}
