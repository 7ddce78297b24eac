//! The journal in an object store, byte for byte.
//!
//! A segment is one object or several: its frames up to some entry, those after it, and so on. The objects of a segment in the order of their names are
//! the segment's file, without the zeros at its end.

use types::{Seq, ShardId};

use super::log::{self, PartRecord, Place};
use super::store::Store;
use super::{ARCHIVE, Object, settings};
use crate::cursor::Cursor;
use crate::source::Part;
use crate::target::Fault;

/// The folder of the objects.
pub(super) const FOLDER: &str = "segments";

/// A part of a segment as an object.
pub(super) fn object(part: &Part) -> Object {
    let (segment, first, last) = (part.segment, part.first.get(), part.last.get());
    let name = format!("{FOLDER}/{segment:08}/{first:020}-{last:020}");
    Object { name, rows: last.saturating_sub(first).saturating_add(1), bytes: part.bytes.clone().into() }
}

/// What the log says about a part.
pub(super) fn record(part: &Part) -> PartRecord {
    let Part { segment, offset, file_bytes, shard, .. } = *part;
    PartRecord { segment, offset, file_bytes, shard: shard.get() }
}

/// A part of a segment that an archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    pub segment: u64,
    /// The byte in the file of the segment where the part begins.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// The bytes of the segment's file.
    pub file_bytes: u64,
    pub shard: ShardId,
    name: String,
}

/// An archive that is read, part after part.
#[derive(Debug)]
pub struct Archive {
    store: Store,
    /// The last record that was read, and the last that there is.
    read: u64,
    last: u64,
    /// Up to where parts were returned.
    done: Place,
    whole: Cursor,
}

impl Archive {
    /// Opens an archive, with the settings of the target; `None` if nothing was archived yet.
    ///
    /// # Errors
    /// When a setting is missing, unknown or malformed, or the store cannot be read.
    pub fn open(table: toml::Table) -> Result<Option<Self>, Fault> {
        let store = Store::new(&settings(table).map_err(Fault::Refused)?)?;
        let Some((last, record)) = log::last(&store, ARCHIVE)? else { return Ok(None) };
        let whole = record.place(&store)?.cursor()?;
        let done = Place::of(&Cursor::start());
        Ok(Some(Self { store, read: 0, last, done, whole }))
    }

    /// Up to where the archive is complete.
    pub const fn whole(&self) -> &Cursor {
        &self.whole
    }

    /// The next part; `None` after the last one.
    ///
    /// # Errors
    /// When the store cannot be read, or the parts do not follow one another.
    pub fn next_part(&mut self) -> Result<Option<StoredPart>, Fault> {
        // The last record may have a batch that is not complete.
        if self.done == Place::of(&self.whole) {
            return Ok(None);
        }
        let found = log::next_batch(&self.store, ARCHIVE, &self.done, self.read..self.last)?;
        let Some((serial, record)) = found else { return Ok(None) };
        self.read = serial;
        let (Some(part), [object]) = (record.part, record.objects.as_slice()) else {
            return Err(Fault::Contradicts(format!("record {serial} has no part of a segment")));
        };
        let PartRecord { segment, offset, file_bytes, shard } = part;
        let (name, bytes, shard) = (object.name.clone(), object.bytes, ShardId::new(shard));
        self.done = record.after;
        Ok(Some(StoredPart { segment, offset, bytes, file_bytes, shard, name }))
    }

    /// The bytes of a part.
    ///
    /// # Errors
    /// When the store cannot be read, or the object is missing or has another length.
    pub fn bytes(&self, part: &StoredPart) -> Result<Vec<u8>, Fault> {
        let name = &part.name;
        match self.store.get(name)? {
            Some(bytes) if bytes.len() as u64 == part.bytes => Ok(bytes),
            Some(bytes) => {
                Err(Fault::Contradicts(format!("`{name}` has {} bytes, expected {}", bytes.len(), part.bytes)))
            }
            None => Err(Fault::Contradicts(format!("`{name}` is missing"))),
        }
    }

    /// The last entry of the archive.
    pub const fn last(&self) -> Seq {
        self.whole.position
    }
}
