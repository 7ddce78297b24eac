//! Files of an existing book, CSV or Parquet, with named columns and errors per row.

use std::path::Path;

use anyhow::bail;
use serde::Serialize;
use tables::{Cell, Input, RowGroup, shown};
use types::Timestamp;

/// What separates the fields of a CSV file.
const DELIMITER: u8 = b',';

/// A file, and the columns that it may have.
#[derive(Debug)]
pub(super) struct Table {
    name: String,
    input: Input,
    known: &'static [&'static str],
    /// For each known column, its position among the columns that are read.
    places: Vec<Option<usize>>,
    read: Vec<usize>,
}

/// A row that cannot be imported.
#[derive(Debug, Clone, Serialize)]
pub(super) struct BadRow {
    /// The name of the file.
    pub(super) file: String,
    /// The number of the row, from 1, without the header.
    pub(super) row: u64,
    /// The column, if the problem is in one column.
    pub(super) column: Option<&'static str>,
    /// The value in the file, or the problem with the row.
    pub(super) found: String,
    /// What was expected instead.
    pub(super) expected: String,
}

impl std::fmt::Display for BadRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, row, column, found, expected } = self;
        match column {
            Some(column) => write!(f, "{file}, row {row}, column `{column}`: found {found}, expected {expected}"),
            None => write!(f, "{file}, row {row}: {found}, expected {expected}"),
        }
    }
}

impl Table {
    /// Opens a file and finds its columns. The file must have the first `required` of the known columns.
    pub(super) fn open(path: &Path, known: &'static [&'static str], required: usize) -> anyhow::Result<Self> {
        let input = Input::open(path, DELIMITER)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(other) = input.names().into_iter().find(|name| !known.contains(name)) {
            let hint = input
                .other_delimiter()
                .map(|(found, _)| format!("; found `{found}` in it, expected `,` between columns"));
            bail!(
                "{} has an unknown column `{}`{}; known columns are `{}`",
                path.display(),
                shown(other),
                hint.unwrap_or_default(),
                known.join("`, `")
            );
        }
        let (mut places, mut read) = (Vec::new(), Vec::new());
        for (number, column) in known.iter().enumerate() {
            let is_there = number < required || input.names().contains(column);
            places.push(is_there.then_some(read.len()));
            if is_there {
                read.push(input.find(column)?);
            }
        }
        Ok(Self { name, input, known, places, read })
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.position(column).is_some()
    }

    fn position(&self, column: &str) -> Option<usize> {
        let number = self.known.iter().position(|known| *known == column)?;
        self.places.get(number).copied().flatten()
    }

    /// Calls `visit` for every row, in order.
    pub(super) fn each(&self, visit: &mut dyn FnMut(Row<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut before = 0;
        for batch in self.input.batches(&self.read)? {
            let batch = batch?;
            for index in 0..batch.rows {
                visit(Row { table: self, batch: &batch, index, number: before + index as u64 + 1 })?;
            }
            before += batch.rows as u64;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    table: &'a Table,
    batch: &'a RowGroup,
    index: usize,
    pub(super) number: u64,
}

impl Row<'_> {
    /// Fails if the row cannot be read with this file's columns.
    pub(super) fn check(&self) -> Result<(), BadRow> {
        let broken = self.batch.broken.binary_search_by_key(&self.index, |broken| broken.row).ok();
        match broken.and_then(|broken| self.batch.broken.get(broken)) {
            Some(broken) => Err(BadRow { column: None, found: broken.found.clone(), ..self.bad("", &broken.expected) }),
            None => Ok(()),
        }
    }

    pub(super) fn cell(&self, column: &str) -> Cell<'_> {
        let position = self.table.position(column);
        position
            .and_then(|position| self.batch.columns.get(position))
            .map_or(Cell::Null, |column| column.cell(self.index))
    }

    /// Reports an unexpected value in a column.
    pub(super) fn bad(&self, column: &'static str, expected: &str) -> BadRow {
        BadRow {
            file: self.table.name.clone(),
            row: self.number,
            column: Some(column),
            found: self.cell(column).to_string(),
            expected: expected.to_owned(),
        }
    }

    /// Reports that the ledger refuses the row.
    pub(super) fn refused(&self, why: String) -> BadRow {
        BadRow { column: None, found: why, ..self.bad("", "a row that the ledger accepts") }
    }

    /// Parses a value that is written as text.
    pub(super) fn parsed<T: std::str::FromStr>(&self, column: &'static str, expected: &str) -> Result<T, BadRow> {
        let text = self.cell(column).text();
        text.and_then(|text| text.parse().ok()).ok_or_else(|| self.bad(column, expected))
    }

    /// As [`Row::parsed`], but returns the default if there is no value.
    pub(super) fn optional<T: std::str::FromStr + Default>(
        &self,
        column: &'static str,
        expected: &str,
    ) -> Result<T, BadRow> {
        if self.cell(column) == Cell::Null { Ok(T::default()) } else { self.parsed(column, expected) }
    }

    /// Reads an instant: a timestamp, RFC 3339, or whole nanoseconds since 1970.
    pub(super) fn instant(&self, column: &'static str) -> Result<Timestamp, BadRow> {
        let cell = self.cell(column);
        let ns = || cell.text().and_then(|text| text.parse().ok()).map(Timestamp::from_ns);
        let expected = "an instant of 1970 to 2262: a timestamp, a date, RFC 3339, or nanoseconds since 1970";
        cell.time().or_else(ns).ok_or_else(|| self.bad(column, expected))
    }

    /// Reads a set of flags: names separated by `|`.
    pub(super) fn flags(&self, column: &'static str, known: &[(&'static str, u16)]) -> Result<u16, BadRow> {
        let Some(text) = self.cell(column).text() else { return Ok(0) };
        let names = text.split('|').map(str::trim).filter(|name| !name.is_empty());
        let mut bits = names.map(|name| known.iter().find(|(other, _)| *other == name).map(|(_, bits)| *bits));
        bits.try_fold(0, |all, bits| Some(all | bits?)).ok_or_else(|| {
            let known: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            self.bad(column, &format!("names from {}, separated by |", known.join(", ")))
        })
    }
}
