//! The log of a copy: numbered records, each an object that is never replaced.
//!
//! A record says up to where the copy is complete, and which batch follows with which objects. It is written before the objects of the batch,
//! so where a batch ends is decided before anything of it can be seen. A connector that finds a batch with missing objects writes exactly these, with the
//! same names and rows, because both follow from the journal and the record. So no row is ever in two objects.
//!
//! Whoever opens the copy writes a record too. Each record can be created by one connector only, so an earlier connector cannot
//! write the record that it needs for its next batch, and stops.

use serde::{Deserialize, Serialize};
use types::Seq;

use super::store::{Put, Store};
use crate::cursor::Cursor;
use crate::source::{hex, unhex};
use crate::target::Fault;

/// The version of records, names and contents.
const VERSION: u32 = 1;
/// The folder of the records.
const FOLDER: &str = "_log";
/// How often a connector that opens the copy lets another one go first.
const OPENINGS_MAX: u32 = 20;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// The kind of the target.
    kind: String,
    pub(super) writer: Writer,
    /// Everything up to here is in the objects of earlier records.
    pub(super) before: Place,
    /// The batch ends here. If this is `before`, there is none.
    pub(super) after: Place,
    /// The objects of the batch.
    pub(super) objects: Vec<ObjectRecord>,
    /// Which bytes of the journal the only object of the batch has, in an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<PartRecord>,
}

/// Who wrote a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Writer {
    /// The record with which it opened the copy.
    pub(super) number: u64,
    /// Random, so that two connectors which open the copy at the same moment differ.
    pub(super) chance: u32,
}

/// A cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    origin: String,
    position: u64,
    /// The Merkle root of the entries up to there, in hexadecimal.
    root: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opening: Option<u64>,
}

/// An object of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ObjectRecord {
    pub(super) name: String,
    /// Its rows, or its entries in an archive.
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// A part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartRecord {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) file_bytes: u64,
    pub(super) shard: u16,
}

impl Place {
    pub(super) fn of(cursor: &Cursor) -> Self {
        Self {
            origin: cursor.origin_text(),
            position: cursor.position.get(),
            root: hex(&cursor.root),
            opening: cursor.opening.map(Seq::get),
        }
    }

    /// Whether this place has more than an earlier one.
    fn is_behind(&self, earlier: &Self) -> bool {
        (self.position, self.opening) > (earlier.position, earlier.opening)
    }

    pub(super) fn cursor(&self) -> Result<Cursor, Fault> {
        let root =
            unhex(&self.root).ok_or_else(|| Fault::Contradicts(format!("`{}` is not a Merkle root", self.root)))?;
        Ok(Cursor {
            origin: Cursor::origin_of(&self.origin)?,
            position: Seq::new(self.position),
            root,
            opening: self.opening.map(Seq::new),
        })
    }
}

impl Record {
    /// Whether the record has a batch.
    pub(super) fn has_batch(&self) -> bool {
        self.before != self.after
    }

    /// Where the copy is complete: behind the batch if all its objects are there.
    pub(super) fn place(&self, store: &Store) -> Result<&Place, Fault> {
        let names: Vec<&str> = self.objects.iter().map(|object| object.name.as_str()).collect();
        Ok(if store.has_all(&names)? { &self.after } else { &self.before })
    }

    fn read(serial: u64, kind: &str, bytes: &[u8]) -> Result<Self, Fault> {
        let name = name(serial);
        let foreign =
            |why: &str| Fault::Refused(format!("`{name}` was not written by a connector of this kind: {why}"));
        let record: Self = serde_json::from_slice(bytes).map_err(|error| foreign(&error.to_string()))?;
        if record.version != VERSION {
            let found = record.version;
            return Err(Fault::Refused(format!(
                "`{name}` has version {found}, and this release writes version {VERSION}; name another prefix"
            )));
        }
        if record.kind != kind {
            return Err(foreign(&format!("it is of the kind `{}`, expected `{kind}`", record.kind)));
        }
        if record.has_batch() && !record.after.is_behind(&record.before) {
            return Err(foreign("its batch ends before it begins"));
        }
        Ok(record)
    }

    fn bytes(&self) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec_pretty(self).map_err(|error| Fault::Refused(error.to_string()))
    }
}

/// The name of a record.
fn name(serial: u64) -> String {
    format!("{FOLDER}/{serial:020}.json")
}

/// The log of a copy that this connector writes to.
#[derive(Debug)]
pub(super) struct Log {
    kind: &'static str,
    writer: Writer,
    /// The last record.
    serial: u64,
    bytes: Vec<u8>,
    /// The batch of the last record, if not all its objects are known to be there.
    pub(super) begun: Option<Record>,
}

/// Reads the record with this number; `None` if there is none.
pub(super) fn read(store: &Store, kind: &str, serial: u64) -> Result<Option<Record>, Fault> {
    let found = store.get(&name(serial))?;
    found.map(|bytes| Record::read(serial, kind, &bytes)).transpose()
}

/// The batch after `done`, with the number of its record, in the records after the first number and up to the second one; `None` if there is none.
pub(super) fn next_batch(
    store: &Store,
    kind: &str,
    done: &Place,
    serials: std::ops::Range<u64>,
) -> Result<Option<(u64, Record)>, Fault> {
    for serial in serials.start.saturating_add(1)..=serials.end {
        let name = name(serial);
        let record = read(store, kind, serial)?.ok_or_else(|| Fault::Contradicts(format!("`{name}` is missing")))?;
        // One that opened the copy, or repeats the batch of the record before it.
        if !record.has_batch() || record.after == *done {
            continue;
        }
        if record.before != *done {
            return Err(Fault::Contradicts(format!("`{name}` does not continue the record before it")));
        }
        return Ok(Some((serial, record)));
    }
    Ok(None)
}

/// The last record, with its number; `None` if nothing was copied yet.
pub(super) fn last(store: &Store, kind: &str) -> Result<Option<(u64, Record)>, Fault> {
    // Records have no gaps, so few questions find the last one.
    let mut found = 0_u64;
    let mut step = 1_u64;
    while store.has(&name(found.saturating_add(step)))? {
        found = found.saturating_add(step);
        step = step.saturating_mul(2);
    }
    while step > 1 {
        step /= 2;
        if store.has(&name(found.saturating_add(step)))? {
            found = found.saturating_add(step);
        }
    }
    if let Some(behind) = store.any(FOLDER, Some(&name(found)))? {
        let gap = name(found.saturating_add(1));
        // Another connector may have gone on meanwhile.
        if !store.has(&gap)? {
            return Err(Fault::Contradicts(format!(
                "`{behind}` is there, but `{gap}` is missing: somebody removed records, or restored a part of them"
            )));
        }
        return Err(Fault::Unreachable("another connector writes to it at the same time".to_owned()));
    }
    if found == 0 {
        return Ok(None);
    }
    let record = read(store, kind, found)?;
    let record = record.ok_or_else(|| Fault::Contradicts(format!("`{}` has just been removed", name(found))))?;
    Ok(Some((found, record)))
}

impl Log {
    /// Takes the copy over. `chance` is a random number; `folders` are those in which objects may be. Returns the log, and where the copy is complete.
    pub(super) fn open(
        store: &Store,
        kind: &'static str,
        chance: u32,
        folders: &[&str],
    ) -> Result<(Self, Cursor), Fault> {
        for _ in 0..OPENINGS_MAX {
            let (serial, record) = match last(store, kind)? {
                Some((serial, record)) => {
                    let is_begun = record.has_batch() && record.place(store)? == &record.before;
                    (
                        serial,
                        if is_begun {
                            record
                        } else {
                            Record { before: record.after.clone(), objects: Vec::new(), part: None, ..record }
                        },
                    )
                }
                None => {
                    for folder in folders {
                        if let Some(found) = store.any(folder, None)? {
                            let what = format!("found `{found}`, but no log of a connector; name an empty prefix");
                            return Err(Fault::Refused(what));
                        }
                    }
                    let start = Place::of(&Cursor::start());
                    let writer = Writer { number: 0, chance };
                    let (before, after, objects) = (start.clone(), start, Vec::new());
                    (0, Record { version: VERSION, kind: kind.to_owned(), writer, before, after, objects, part: None })
                }
            };
            let serial = serial.saturating_add(1);
            let writer = Writer { number: serial, chance };
            let record = Record { writer, ..record };
            let bytes = record.bytes()?;
            if is_created(store, serial, &bytes)? {
                let cursor = record.before.cursor()?;
                let begun = Some(record).filter(Record::has_batch);
                return Ok((Self { kind, writer, serial, bytes, begun }, cursor));
            }
        }
        Err(Fault::Unreachable("other connectors open it at the same time".to_owned()))
    }

    /// Writes the record of a batch. Nothing of the batch may be there yet.
    pub(super) fn begin(
        &mut self,
        store: &Store,
        (before, after): (&Cursor, &Cursor),
        objects: Vec<ObjectRecord>,
        part: Option<PartRecord>,
    ) -> Result<(), Fault> {
        // Without this, a copy that was restored from an older one would get a log with a gap.
        if store.get(&name(self.serial))?.as_ref() != Some(&self.bytes) {
            let found = last(store, self.kind)?.map(|(_, record)| record.after.cursor()).transpose()?;
            let found = found.map_or(Seq::ZERO, |cursor| cursor.position);
            return Err(Fault::Moved { found, expected: before.position });
        }
        let (kind, writer) = (self.kind.to_owned(), self.writer);
        let (before, after) = (Place::of(before), Place::of(after));
        let record = Record { version: VERSION, kind, writer, before, after, objects, part };
        let (serial, bytes) = (self.serial.saturating_add(1), record.bytes()?);
        if !is_created(store, serial, &bytes)? {
            return Err(Fault::Fenced);
        }
        (self.serial, self.bytes, self.begun) = (serial, bytes, Some(record));
        Ok(())
    }
}

/// Creates a record; false if another connector was faster.
fn is_created(store: &Store, serial: u64, bytes: &[u8]) -> Result<bool, Fault> {
    let name = name(serial);
    if store.put(&name, bytes.to_vec())? == Put::Created {
        return Ok(true);
    }
    // The answer to an earlier attempt may have been lost. Some stores refuse two writers at once, and then have neither object.
    match store.get(&name)? {
        Some(found) => Ok(found == bytes),
        None => Err(Fault::Unreachable(format!("`{name}` was refused, but is not there"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Settings;
    use super::*;

    const KIND: &str = "parquet";

    fn store(folder: &tempfile::TempDir) -> Store {
        let settings: Settings =
            toml::from_str(&format!("url = \"file://{}\"", folder.path().display())).expect("settings");
        Store::new(&settings).expect("a store")
    }

    fn at(position: u64) -> Cursor {
        Cursor { position: Seq::new(position), root: [7; 32], ..Cursor::start() }
    }

    fn object(name: &str) -> Vec<ObjectRecord> {
        vec![ObjectRecord { name: name.to_owned(), rows: 1, bytes: 1 }]
    }

    fn open(store: &Store, chance: u32) -> Result<(Log, Cursor), Fault> {
        Log::open(store, KIND, chance, &["transfers"])
    }

    #[test]
    fn a_batch_that_was_begun_is_ended_by_the_next_connector() {
        let folder = tempfile::tempdir().expect("a directory");
        let store = store(&folder);
        assert!(last(&store, KIND).expect("no fault").is_none());
        let (mut log, cursor) = open(&store, 1).expect("a log");
        assert_eq!((cursor, log.begun.is_none()), (Cursor::start(), true));
        log.begin(&store, (&cursor, &at(5)), object("transfers/a"), None).expect("a record");
        // It was killed before it wrote the object.
        let (mut log, cursor) = open(&store, 2).expect("a log");
        assert_eq!(cursor, Cursor::start());
        assert_eq!(log.begun.as_ref().map(|record| record.after.cursor()), Some(Ok(at(5))));
        store.put("transfers/a", vec![1]).expect("an object");
        log.begin(&store, (&at(5), &at(9)), object("transfers/b"), None).expect("a record");
        store.put("transfers/b", vec![1]).expect("an object");
        let (log, cursor) = open(&store, 3).expect("a log");
        assert_eq!((cursor, log.begun.is_none()), (at(9), true));
    }

    #[test]
    fn the_connector_that_opened_last_is_the_only_writer() {
        let folder = tempfile::tempdir().expect("a directory");
        let store = store(&folder);
        let (mut first, cursor) = open(&store, 1).expect("a log");
        let (mut second, _) = open(&store, 2).expect("a log");
        assert_eq!(first.begin(&store, (&cursor, &at(5)), object("transfers/a"), None), Err(Fault::Fenced));
        assert_eq!(second.begin(&store, (&cursor, &at(6)), object("transfers/b"), None), Ok(()));
    }

    #[test]
    fn an_older_copy_is_noticed_and_a_gap_refused() {
        let folder = tempfile::tempdir().expect("a directory");
        let store = store(&folder);
        let (mut log, cursor) = open(&store, 1).expect("a log");
        log.begin(&store, (&cursor, &at(5)), Vec::new(), None).expect("a record");
        log.begin(&store, (&at(5), &at(8)), Vec::new(), None).expect("a record");
        let remove = |serial| std::fs::remove_file(folder.path().join(name(serial))).expect("the record was there");
        remove(3);
        let moved = log.begin(&store, (&at(8), &at(9)), Vec::new(), None);
        assert_eq!(moved, Err(Fault::Moved { found: Seq::new(5), expected: Seq::new(8) }));
        let (_, cursor) = open(&store, 2).expect("a log");
        assert_eq!(cursor, at(5));
        remove(1);
        let error = open(&store, 3).expect_err("a gap");
        assert!(matches!(&error, Fault::Contradicts(what) if what.contains("is missing")), "{error}");
    }

    #[test]
    fn what_others_wrote_is_refused() {
        let folder = tempfile::tempdir().expect("a directory");
        let store = store(&folder);
        store.put("transfers/other", vec![1]).expect("an object");
        let error = open(&store, 1).expect_err("a foreign object");
        assert!(matches!(&error, Fault::Refused(what) if what.starts_with("found `transfers/other`")), "{error}");
        store.put(&name(1), b"{}".to_vec()).expect("an object");
        let error = open(&store, 1).expect_err("a foreign record");
        assert!(matches!(&error, Fault::Refused(what) if what.contains("missing field `version`")), "{error}");
    }
}
