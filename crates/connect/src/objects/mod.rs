//! Object stores: tables as Parquet files, and the journal itself as an archive.
//!
//! Objects are never changed, so the copy grows batch by batch: first a record in the [`log`], which decides where the batch ends and
//! which objects it has, then the objects. Each object is created only if there is none with its name. A reader that lists objects
//! at any moment sees each row at most once, and every row of all batches but the last.

mod archive;
mod columns;
mod compare;
mod log;
mod store;
mod tables;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

pub use self::archive::{Archive, StoredPart};
use self::compare::Comparing;
use self::log::{Log, ObjectRecord, PartRecord, Place};
use self::store::{Put, Settings, Store};
use crate::batch::Batch;
use crate::cursor::Cursor;
use crate::documents::Documents;
use crate::target::{Counts, Fault, Needs, Target, Wanted};
use crate::verify::Findings;

/// The name of the kind that keeps the journal.
pub const ARCHIVE: &str = "archive";
/// The name of the kind that keeps tables.
pub(crate) const PARQUET: &str = "parquet";
/// Entries in the files of a batch. Larger files are read faster, and take more memory while they are written.
const BATCH_ENTRIES: usize = 1 << 16;

/// An object that is to be written.
#[derive(Debug, Clone)]
struct Object {
    /// The name after the prefix.
    name: String,
    /// Its rows, or its entries in an archive.
    rows: u64,
    bytes: Bytes,
}

/// What the objects hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Tables,
    Journal,
}

impl Content {
    const fn kind(self) -> &'static str {
        match self {
            Self::Tables => PARQUET,
            Self::Journal => ARCHIVE,
        }
    }

    const fn needs(self) -> Needs {
        match self {
            Self::Tables => Needs::History,
            Self::Journal => Needs::Bytes,
        }
    }

    const fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Tables => &tables::FOLDERS,
            Self::Journal => &[archive::FOLDER],
        }
    }

    /// The objects of a batch. The same batch always has objects of the same names.
    fn objects(self, batch: &Batch) -> Result<(Vec<Object>, Option<PartRecord>), Fault> {
        match self {
            Self::Tables => Ok((tables::objects(batch)?, None)),
            Self::Journal => {
                let part = batch.part.as_ref();
                let part = part.ok_or_else(|| Fault::Contradicts("the batch has no bytes".to_owned()))?;
                Ok((vec![archive::object(part)], Some(archive::record(part))))
            }
        }
    }
}

/// Makes a target with tables that is not connected yet.
pub(crate) fn make_parquet(table: toml::Table) -> Result<Box<dyn Target>, String> {
    make(table, Content::Tables)
}

/// Makes a target with the journal that is not connected yet.
pub(crate) fn make_archive(table: toml::Table) -> Result<Box<dyn Target>, String> {
    make(table, Content::Journal)
}

fn make(table: toml::Table, content: Content) -> Result<Box<dyn Target>, String> {
    Ok(Box::new(Objects { content, settings: settings(table)?, opened: None }))
}

fn settings(table: toml::Table) -> Result<Settings, String> {
    let settings: Settings = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    settings.check()?;
    Ok(settings)
}

/// A copy in an object store.
#[derive(Debug)]
struct Objects {
    content: Content,
    settings: Settings,
    opened: Option<Opened>,
}

/// A copy that this connector writes to.
#[derive(Debug)]
struct Opened {
    store: Store,
    log: Log,
}

impl Opened {
    fn write(&mut self, content: Content, batch: &Batch, before: &Cursor, after: &Cursor) -> Result<(), Fault> {
        let (objects, part) = content.objects(batch)?;
        let is_begun = match &self.log.begun {
            Some(begun) => {
                let names = begun.objects.iter().map(|object| &object.name);
                if begun.before != Place::of(before)
                    || begun.after != Place::of(after)
                    || !names.eq(objects.iter().map(|object| &object.name))
                {
                    let (first, last) = (before.position.next(), after.position);
                    let what = format!(
                        "another connector began a batch that does not follow from the journal with the entries {first} to {last}"
                    );
                    return Err(Fault::Contradicts(what));
                }
                true
            }
            None => {
                let record = |object: &Object| {
                    let bytes = object.bytes.len() as u64;
                    ObjectRecord { name: object.name.clone(), rows: object.rows, bytes }
                };
                self.log.begin(&self.store, (before, after), objects.iter().map(record).collect(), part)?;
                false
            }
        };
        for (object, put) in objects.iter().zip(self.store.put_all(&objects)?) {
            if put == Put::Exists {
                self.check(object, is_begun)?;
            }
        }
        self.log.begun = None;
        Ok(())
    }

    /// Checks an object that was there already.
    fn check(&self, object: &Object, is_begun: bool) -> Result<(), Fault> {
        let name = &object.name;
        match self.store.get(name)? {
            // Some stores refuse two writers at once, and then have neither object.
            None => Err(Fault::Unreachable(format!("`{name}` was refused, but is not there"))),
            // Another release may have written the same rows in other bytes.
            Some(found) if is_begun || found == object.bytes => Ok(()),
            Some(_) => Err(Fault::Contradicts(format!("`{name}` is there already, with another content"))),
        }
    }
}

/// A random number.
fn chance() -> u32 {
    u32::try_from(RandomState::new().hash_one(0_u8) & u64::from(u32::MAX)).unwrap_or_default()
}

impl Target for Objects {
    fn open(&mut self) -> Result<Cursor, Fault> {
        self.opened = None;
        let store = Store::new(&self.settings)?;
        let (log, cursor) = Log::open(&store, self.content.kind(), chance(), self.content.folders())?;
        self.opened = Some(Opened { store, log });
        Ok(cursor)
    }

    fn needs(&self) -> Needs {
        self.content.needs()
    }

    /// Objects appear one after another. But what is there already is never written again, so nothing is repeated.
    fn is_atomic(&self) -> bool {
        true
    }

    fn batch_entries(&self) -> usize {
        BATCH_ENTRIES
    }

    fn wait_max(&self) -> Duration {
        Duration::from_secs(self.settings.wait_s_max)
    }

    fn agreed(&self) -> Option<Cursor> {
        self.opened.as_ref()?.log.begun.as_ref()?.after.cursor().ok()
    }

    fn comparing(&mut self, findings: &Arc<Mutex<Findings>>) -> Option<Box<dyn Target>> {
        Some(Box::new(Comparing::new(self.content, self.settings.clone(), Arc::clone(findings))))
    }

    fn load(&mut self, _wanted: &Wanted) -> Result<Documents, Fault> {
        Ok(Documents::default())
    }

    fn write(&mut self, batch: &Batch, before: &Cursor, after: &Cursor) -> Result<(), Fault> {
        let Some(opened) = &mut self.opened else {
            return Err(Fault::Unreachable("the connection is closed".to_owned()));
        };
        let result = opened.write(self.content, batch, before, after);
        if result.is_err() {
            self.opened = None;
        }
        result
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        let store = Store::new(&self.settings)?;
        let Some((_, record)) = log::last(&store, self.content.kind())? else { return Ok(None) };
        // The comparison counts.
        Ok(Some((record.place(&store)?.cursor()?, Counts::default())))
    }
}

#[cfg(test)]
mod tests {
    use types::Seq;

    use super::*;
    use crate::source::Part;

    fn target(folder: &tempfile::TempDir) -> Box<dyn Target> {
        let text = format!("url = \"file://{}\"", folder.path().display());
        make_archive(toml::from_str(&text).expect("a table")).expect("a target")
    }

    fn at(position: u64) -> Cursor {
        Cursor { position: Seq::new(position), root: [1; 32], ..Cursor::start() }
    }

    fn batch(first: u64, last: u64, bytes: &[u8]) -> Batch {
        let part = Part {
            segment: 1,
            offset: first,
            bytes: bytes.to_vec(),
            first: Seq::new(first),
            last: Seq::new(last),
            decided_at: types::Timestamp::ZERO,
            file_bytes: 4_096,
            shard: types::ShardId::new(0),
        };
        Batch { first: Seq::new(first), last: Seq::new(last), part: Some(Arc::new(part)), ..Batch::default() }
    }

    #[test]
    fn a_batch_that_was_begun_is_not_cut_elsewhere() {
        let folder = tempfile::tempdir().expect("a directory");
        let mut first = target(&folder);
        assert_eq!(first.look(), Ok(None));
        let start = first.open().expect("a cursor");
        assert_eq!((start, first.agreed()), (Cursor::start(), None));
        first.write(&batch(1, 5, b"abc"), &start, &at(5)).expect("a batch");
        // As if it had been killed before it wrote the object.
        let name = "segments/00000001/00000000000000000001-00000000000000000005";
        std::fs::remove_file(folder.path().join(name)).expect("the object was there");
        assert_eq!(first.look(), Ok(Some((start, Counts::default()))));
        let mut second = target(&folder);
        assert_eq!(second.open(), Ok(start));
        assert_eq!(second.agreed(), Some(at(5)));
        let error = second.write(&batch(1, 6, b"abcd"), &start, &at(6)).expect_err("another end");
        assert!(matches!(&error, Fault::Contradicts(what) if what.contains("began a batch")), "{error}");
        assert_eq!(second.open(), Ok(start));
        assert_eq!(second.write(&batch(1, 5, b"abc"), &start, &at(5)), Ok(()));
        assert_eq!(first.write(&batch(6, 7, b"d"), &at(5), &at(7)), Err(Fault::Fenced));
        assert_eq!(second.write(&batch(6, 7, b"d"), &at(5), &at(7)), Ok(()));
        assert_eq!(second.look(), Ok(Some((at(7), Counts::default()))));
    }

    #[test]
    fn settings_are_checked() {
        let make = |text: &str| make_parquet(toml::from_str(text).expect("a table")).map(drop);
        assert_eq!(make("url = \"s3://lake/finaira\"\nregion = \"eu-central-1\"\nwait_s_max = 0"), Ok(()));
        let error = make("url = \"s3://lake\"\nprefix = \"a\"").expect_err("an unknown setting");
        assert!(error.contains("unknown field `prefix`"), "{error}");
    }
}
