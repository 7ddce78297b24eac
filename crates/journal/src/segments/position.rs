//! Where entries stand in the log.

use std::fmt;

use types::Seq;

use crate::frame::{EntryOffset, Frame, HEADER_BYTES};

/// The place of an entry: its segment, its byte in the segment's file, and whether it is a row. Positions order as
/// entries do. The number uses 48 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

const SEGMENT_SHIFT: u32 = 28;

impl Position {
    /// The length that a segment file stays under, so that 27 bits name a byte of it.
    pub const SEGMENT_BYTES_MAX: u64 = 1 << (SEGMENT_SHIFT - 1);
    /// The last segment that a position can name.
    pub const SEGMENT_MAX: u64 = (1 << (48 - SEGMENT_SHIFT)) - 1;

    /// The place of the entry that starts at byte `offset` of a segment's file.
    ///
    /// # Panics
    /// When the segment or the byte is out of bounds (JRN-6).
    pub const fn new(segment: u64, offset: u64, is_row: bool) -> Self {
        assert!(segment <= Self::SEGMENT_MAX && offset < Self::SEGMENT_BYTES_MAX, "JRN-6: a position has 48 bits");
        Self(segment << SEGMENT_SHIFT | offset << 1 | is_row as u64)
    }

    /// The position with this number; nothing is checked.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number, less than 2^48.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The segment's number, from 1.
    pub const fn segment(self) -> u64 {
        self.0 >> SEGMENT_SHIFT
    }

    /// The byte in the segment's file.
    pub const fn offset(self) -> u64 {
        (self.0 & ((1 << SEGMENT_SHIFT) - 1)) >> 1
    }

    /// True for a client transfer in a row, which can be read by itself.
    pub const fn is_row(self) -> bool {
        self.0 & 1 != 0
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_row() { "row" } else { "entry" };
        write!(f, "{what} at {}:{}", self.segment(), self.offset())
    }
}

/// Where the payload of a frame stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameAt {
    /// The segment's number.
    pub segment: u64,
    /// The byte in the segment's file.
    pub offset: u64,
}

impl FrameAt {
    /// Of the frame whose header stands at `offset`.
    pub(crate) const fn of_frame(segment: u64, offset: u64) -> Self {
        Self { segment, offset: offset + HEADER_BYTES as u64 }
    }

    /// Of the frame that ends at `behind`.
    pub fn before(behind: StartAt, frame: &Frame) -> Self {
        Self { segment: behind.segment, offset: behind.offset - frame.payload.len() as u64 }
    }

    /// The position of an entry of this frame.
    pub const fn position(self, placed: EntryOffset) -> Position {
        Position::new(self.segment, self.offset + placed.offset as u64, placed.is_row)
    }
}

/// A place in a journal between two frames, as [`crate::SegmentStore::place`] gives it. It is of use while everything before it
/// is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartAt {
    /// The last entry before it.
    pub seq: Seq,
    /// The segment in which the frame before it ends.
    pub segment: u64,
    /// The byte in that segment's file at which that frame ends.
    pub offset: u64,
    /// The hash of that frame.
    pub previous: [u8; 32],
}

impl StartAt {
    /// A position after every entry before this place, and not after any entry behind it.
    pub const fn position(&self) -> Position {
        Position::new(self.segment, self.offset, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_names_what_it_was_made_of() {
        let last = (Position::SEGMENT_MAX, Position::SEGMENT_BYTES_MAX - 1);
        for (segment, offset) in [(0, 0), (1, 4096), (7, 123_457), last] {
            for is_row in [false, true] {
                let position = Position::new(segment, offset, is_row);
                assert_eq!((position.segment(), position.offset(), position.is_row()), (segment, offset, is_row));
                assert_eq!(Position::from_number(position.get()), position);
                assert!(position.get() < 1 << 48);
            }
        }
    }

    #[test]
    fn positions_order_as_entries_do() {
        let entries = [(1, 4096, true), (1, 4208, false), (1, 4300, true), (2, 4096, false), (2, 4100, true)];
        let positions = entries.map(|(segment, offset, is_row)| Position::new(segment, offset, is_row));
        assert!(positions.is_sorted());
    }

    #[test]
    #[should_panic(expected = "JRN-6")]
    fn a_position_past_the_end_of_a_segment_is_refused() {
        Position::new(1, Position::SEGMENT_BYTES_MAX, false);
    }
}
