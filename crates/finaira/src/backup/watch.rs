//! What a copy tells about its progress.

use std::time::Duration;

use disk::Directory;
use journal::FileCopy;
use types::{Seq, Timestamp};

use super::failure::Failure;

/// What the server has and the copy does not have yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lag {
    pub(crate) entries: u64,
    /// Bytes of segment files. Segments in between count with the length of the segment that is being copied.
    pub(crate) bytes: u64,
}

/// Learns how far a copy has come.
pub(crate) trait Watch {
    /// The copy was opened, or opened again because damaged bytes had arrived.
    fn opened(&mut self, _copy: &FileCopy<Directory>) -> Result<(), Failure> {
        Ok(())
    }

    /// Everything that was decided before this moment is in the copy.
    fn complete_until(&mut self, moment: Timestamp);

    /// The copy has everything up to an entry, synced.
    fn progress(&mut self, last: Seq, lag: Lag) -> Result<(), Failure>;

    /// How old the copy is, as text.
    fn age(&self) -> String;

    /// Prints a message beside the progress.
    fn note(&self, text: &str);

    /// Ends the display of the progress, and returns the elapsed time.
    fn finish(&self) -> Duration;
}
