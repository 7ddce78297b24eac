//! Reads CSV files: a line of column names, then rows. Every value is text, and an empty value is no value.

use std::fs::File;
use std::path::Path;

use anyhow::bail;
use csv::{ByteRecord, Reader, ReaderBuilder};

use super::{Column, RowGroup, Texts};

pub(super) struct Rows {
    reader: Reader<File>,
    record: ByteRecord,
    fields: usize,
    columns: Vec<usize>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// Reads the column names of a file.
pub(super) fn names(path: &Path) -> anyhow::Result<Vec<String>> {
    let mut reader = ReaderBuilder::new().flexible(true).from_path(path)?;
    let header = reader.headers()?;
    if header.is_empty() {
        bail!("the file is empty; a CSV file starts with a line of column names");
    }
    Ok(header.iter().map(str::to_owned).collect())
}

impl Rows {
    /// Opens a file to read these columns. Each row must have `fields` fields.
    pub(super) fn open(path: &Path, fields: usize, columns: &[usize]) -> anyhow::Result<Self> {
        // A row with too many or too few fields is reported in its batch and does not stop the reading.
        let reader = ReaderBuilder::new().flexible(true).buffer_capacity(1 << 18).from_path(path)?;
        Ok(Self { reader, record: ByteRecord::new(), fields, columns: columns.to_vec() })
    }

    pub(super) fn next_batch(&mut self, rows_max: usize) -> anyhow::Result<Option<RowGroup>> {
        let mut texts: Vec<Texts> = self.columns.iter().map(|_| Texts::default()).collect();
        let mut broken = Vec::new();
        let mut rows = 0;
        while rows < rows_max && self.reader.read_byte_record(&mut self.record)? {
            if self.record.len() != self.fields {
                broken.push((rows, format!("the row has {} fields, expected {}", self.record.len(), self.fields)));
            }
            for (texts, &column) in texts.iter_mut().zip(&self.columns) {
                texts.push(self.record.get(column).filter(|text| !text.is_empty()));
            }
            rows += 1;
        }
        let columns = texts.into_iter().map(Column::Text).collect();
        Ok((rows > 0).then_some(RowGroup { rows, columns, broken }))
    }
}
