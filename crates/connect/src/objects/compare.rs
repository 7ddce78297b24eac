//! Compares the objects of a copy with those that follow from the journal.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};

use super::log::{self, Place, Record};
use super::store::{Settings, Store};
use super::{Content, Object};
use crate::batch::Batch;
use crate::cursor::Cursor;
use crate::documents::Documents;
use crate::target::{Counts, Fault, Needs, Target, Wanted};
use crate::verify::Findings;

/// A target that writes nothing. It is given the same batches as the connectors that wrote the copy, and compares their objects.
#[derive(Debug)]
pub(super) struct Comparing {
    content: Content,
    settings: Settings,
    findings: Arc<Mutex<Findings>>,
    opened: Option<Opened>,
}

/// A copy that is being compared.
#[derive(Debug)]
struct Opened {
    store: Store,
    /// The last record that was read, and the last that there is.
    read: u64,
    last: u64,
    /// Up to where the copy was compared, and up to where it is complete.
    done: Place,
    whole: Place,
    /// The next batch.
    next: Option<Record>,
    /// The objects that must be there.
    names: BTreeSet<String>,
}

impl Comparing {
    pub(super) const fn new(content: Content, settings: Settings, findings: Arc<Mutex<Findings>>) -> Self {
        Self { content, settings, findings, opened: None }
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    /// Reads the record of the next batch.
    fn go_on(&mut self, content: Content) -> Result<(), Fault> {
        let found = log::next_batch(&self.store, content.kind(), &self.done, self.read..self.last)?;
        self.read = found.as_ref().map_or(self.last, |(serial, _)| *serial);
        match found {
            // A connector will write the rest of it.
            Some((_, record)) if self.done == self.whole => self.names.extend(names(record)),
            found => self.next = found.map(|(_, record)| record),
        }
        Ok(())
    }

    fn compare(&mut self, content: Content, objects: Vec<Object>, findings: &mut Findings) -> Result<(), Fault> {
        let stored = self.store.get_all(&objects)?;
        for (Object { name, rows, bytes }, stored) in objects.into_iter().zip(stored) {
            count(&mut findings.compared, &name, rows);
            match stored {
                None => differ(findings, rows, format!("`{name}` with {rows} rows is missing")),
                Some(found) if found == bytes => {}
                Some(_) if content == Content::Journal => {
                    differ(findings, rows, format!("`{name}` has other bytes than the journal"));
                }
                Some(found) => compare_rows(&name, rows, bytes, found.into(), findings),
            }
            self.names.insert(name);
        }
        Ok(())
    }

    /// Looks for objects that no batch has.
    fn find_more(&self, content: Content, findings: &mut Findings) -> Result<(), Fault> {
        for folder in content.folders() {
            for name in self.store.names(folder)? {
                if !self.names.contains(&name) {
                    findings.differ(format!("`{name}` belongs to no batch"));
                }
            }
        }
        Ok(())
    }
}

impl Target for Comparing {
    fn open(&mut self) -> Result<Cursor, Fault> {
        *self.findings() = Findings::default();
        let store = Store::new(&self.settings)?;
        let (done, names) = (Place::of(&Cursor::start()), BTreeSet::new());
        let (last, whole) = match log::last(&store, self.content.kind())? {
            Some((serial, record)) => (serial, record.place(&store)?.clone()),
            None => (0, done.clone()),
        };
        let mut opened = Opened { store, read: 0, last, done, whole, next: None, names };
        opened.go_on(self.content)?;
        self.opened = Some(opened);
        Ok(Cursor::start())
    }

    fn needs(&self) -> Needs {
        self.content.needs()
    }

    fn agreed(&self) -> Option<Cursor> {
        self.opened.as_ref()?.next.as_ref()?.after.cursor().ok()
    }

    fn load(&mut self, _wanted: &Wanted) -> Result<Documents, Fault> {
        Ok(Documents::default())
    }

    fn write(&mut self, batch: &Batch, before: &Cursor, after: &Cursor) -> Result<(), Fault> {
        let (objects, _) = self.content.objects(batch)?;
        let mut opened = self.opened.take();
        let compared = match &mut opened {
            None => Err(Fault::Unreachable("the connection is closed".to_owned())),
            Some(opened) => {
                let mut findings = self.findings();
                let place = Place::of(after);
                match opened.next.take() {
                    Some(record) if record.before == Place::of(before) && record.after == place => {
                        opened.names.extend(names(record));
                    }
                    _ => findings.differ(format!(
                        "the log says another thing than the journal about the entries {} to {}",
                        batch.first, batch.last
                    )),
                }
                opened.done = place;
                let compared = opened.compare(self.content, objects, &mut findings);
                let compared = compared.and_then(|()| opened.go_on(self.content));
                match (&compared, &opened.next) {
                    (Ok(()), None) => opened.find_more(self.content, &mut findings),
                    _ => compared,
                }
            }
        };
        self.opened = opened;
        compared
    }

    fn look(&mut self) -> Result<Option<(Cursor, Counts)>, Fault> {
        Ok(None)
    }
}

fn names(record: Record) -> impl Iterator<Item = String> {
    record.objects.into_iter().map(|object| object.name)
}

fn count(counts: &mut Counts, name: &str, rows: u64) {
    match name.split('/').next() {
        Some("accounts") => counts.accounts += rows,
        Some("transfers") => counts.transfers += rows,
        Some("payments") => counts.payments += rows,
        _ => {}
    }
}

/// Notes that some rows differ, with one description.
fn differ(findings: &mut Findings, rows: u64, what: String) {
    findings.differ(what);
    findings.differences = findings.differences.saturating_add(rows.saturating_sub(1));
}

/// Compares two files row by row.
fn compare_rows(name: &str, count: u64, expected: Bytes, found: Bytes, findings: &mut Findings) {
    let (expected, found) = match (rows(expected), rows(found)) {
        (Ok(expected), Ok(found)) => (expected, found),
        (_, Err(error)) | (Err(error), _) => {
            return differ(findings, count, format!("`{name}` cannot be read: {error}"));
        }
    };
    for (number, expected) in expected.iter().enumerate() {
        match found.get(number) {
            None => findings.differ(format!("`{name}`: row {number} is missing: {expected}")),
            Some(found) if found == expected => {}
            Some(found) => {
                let fields = expected.get_column_iter().zip(found.get_column_iter());
                let mut differing: Vec<String> = fields
                    .filter(|(expected, found)| expected != found)
                    .map(|((name, expected), (_, found))| {
                        format!("{name} is {}, expected {}", text(found), text(expected))
                    })
                    .collect();
                if found.len() != expected.len() {
                    differing.push(format!("it has {} columns, expected {}", found.len(), expected.len()));
                }
                findings.differ(format!("`{name}`: row {number}: {}", differing.join("; ")));
            }
        }
    }
    if let Some(more) = found.len().checked_sub(expected.len()).filter(|more| *more > 0) {
        differ(findings, more as u64, format!("`{name}` has {more} rows more than expected"));
    }
}

/// A value for people. The library writes a point behind whole decimals.
fn text(value: &Field) -> String {
    let text = value.to_string();
    if let Field::Decimal(_) = value { text.trim_end_matches('.').to_owned() } else { text }
}

fn rows(file: Bytes) -> Result<Vec<Row>, ParquetError> {
    SerializedFileReader::new(file)?.get_row_iter(None)?.collect()
}
