//! Reads a journal that another process may be writing, up to its mark.
//!
//! Everything that the mark covers is durable, and is never written again. What follows may be a frame that is being written, one
//! that a crash left unfinished, or one that nobody was told about; it is not read. So the reader needs no lock, sees only
//! whole frames, and never takes a torn tail for damage.

use std::collections::BTreeMap;
use std::sync::Arc;

use disk::Disk;
use types::{Seq, ShardId};

use crate::fault::Fault;
use crate::segments::copy::headers;
use crate::segments::mark::Mark;
use crate::segments::places::{Known, Places};
use crate::segments::reader::FileReader;
use crate::segments::segment;

impl<D: Disk> FileReader<D> {
    /// A reader of the entries that the mark covers now. It changes no file and takes no lock, and it does not learn of
    /// later entries. A running server moves the mark within 10 ms after it acknowledges something. Returns `None` if the
    /// directory has no mark, because no journal was started there.
    ///
    /// # Errors
    /// When the mark or the headers of the segments that it covers cannot be read or are damaged.
    pub fn up_to_the_mark(disk: D, shard: ShardId) -> Result<Option<Self>, Fault> {
        // The mark comes first: the segments that it covers exist before it is written.
        let Some((_, marked)) = Mark::read(&disk)? else { return Ok(None) };
        let listed =
            disk.list().map_err(|cause| Fault::Io { action: "list", file: "the directory".to_owned(), cause })?;
        let headers = headers(&disk, shard, &segment::numbers(&listed), marked)?;
        if headers.is_empty() && marked > Seq::ZERO {
            let what = "the segment is missing, but the mark covers entries";
            let (file, seq) = (segment::file_name(1), Seq::new(1));
            return Err(Fault::Damaged { file, offset: 0, seq, what: what.to_owned() });
        }
        let known = |first| Known { first, points: None };
        let segments: BTreeMap<u64, Known> =
            headers.iter().map(|(number, header)| (*number, known(header.first))).collect();
        Ok(Some(Self::new(Arc::new(Places::new(disk, shard, segments, marked)))))
    }
}
