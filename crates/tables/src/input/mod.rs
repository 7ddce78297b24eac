//! Files of past payments: CSV and Parquet, read in batches of columns, with bounded memory.

mod csv;
mod parquet;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use types::shorten;

pub use self::parquet::IdKind;
use crate::cell::Cell;

/// Rows that are read at once.
const BATCH_ROWS: usize = 8192;

/// What a Parquet file starts with.
const PARQUET_MAGIC: &[u8; 4] = b"PAR1";

/// A file that can be read, any number of times.
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    format: Format,
}

#[derive(Debug)]
enum Format {
    Csv { names: Vec<String> },
    Parquet { columns: Vec<parquet::Leaf> },
}

/// Some rows of a file, column by column.
#[derive(Debug, Default)]
pub struct Batch {
    /// How many rows.
    pub rows: usize,
    /// The columns that were asked for, in that order.
    pub columns: Vec<Column>,
    /// Rows that are no rows of this file's columns, and why, in order.
    pub broken: Vec<(usize, String)>,
}

/// The values of one column, one per row.
#[derive(Debug)]
pub enum Column {
    /// Text, a UTF-8 string or not.
    Text(Texts),
    /// Whole numbers.
    Int(Vec<Option<i64>>),
    /// Numbers.
    Double(Vec<Option<f64>>),
    /// Numbers with the precision of 32 bits.
    Float(Vec<Option<f32>>),
    /// Yes or no.
    Bool(Vec<Option<bool>>),
    /// Nanoseconds since 1970 in UTC; negative when the instant is none that 63 bits hold.
    Time(Vec<Option<i64>>),
    /// Whole numbers that stand for `unscaled` · 10^−scale.
    Decimal {
        /// Digits after the point.
        scale: u32,
        /// The unscaled numbers.
        values: Vec<Option<i128>>,
    },
}

/// Byte strings, one behind the other.
#[derive(Debug, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    /// Where each ends, and whether it is there at all.
    ends: Vec<(usize, bool)>,
}

impl Texts {
    fn push(&mut self, text: Option<&[u8]>) {
        self.bytes.extend_from_slice(text.unwrap_or_default());
        self.ends.push((self.bytes.len(), text.is_some()));
    }

    fn get(&self, row: usize) -> Option<&[u8]> {
        let &(end, present) = self.ends.get(row)?;
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |&(end, _)| end);
        self.bytes.get(start..end).filter(|_| present)
    }
}

impl Column {
    /// The value in a row.
    pub fn cell(&self, row: usize) -> Cell<'_> {
        fn at<T: Copy>(values: &[Option<T>], row: usize) -> Option<T> {
            values.get(row).copied().flatten()
        }
        let cell = match self {
            Self::Text(texts) => {
                texts.get(row).map(|bytes| std::str::from_utf8(bytes).map_or(Cell::NotUtf8, Cell::Text))
            }
            Self::Int(values) => at(values, row).map(Cell::Int),
            Self::Double(values) => at(values, row).map(Cell::Double),
            Self::Float(values) => at(values, row).map(Cell::Float),
            Self::Bool(values) => at(values, row).map(Cell::Bool),
            Self::Time(values) => at(values, row).map(Cell::Time),
            Self::Decimal { scale, values } => {
                at(values, row).map(|unscaled| Cell::Decimal { unscaled, scale: *scale })
            }
        };
        cell.unwrap_or(Cell::Null)
    }
}

impl Input {
    /// Finds out what the file is and which columns it has.
    ///
    /// # Errors
    /// When it cannot be read or is neither CSV nor Parquet.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let mut start = Vec::new();
        let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
        file.take(4).read_to_end(&mut start).with_context(|| format!("cannot read {shown}"))?;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let format = match extension.to_ascii_lowercase().as_str() {
            _ if start == PARQUET_MAGIC => parquet::columns(path).map(|columns| Format::Parquet { columns }),
            "csv" => csv::names(path).map(|names| Format::Csv { names }),
            "parquet" => bail!("{shown} is not a Parquet file: it does not start with PAR1"),
            _ => bail!("cannot tell what {shown} is: expected a Parquet file, or CSV with a name that ends in .csv"),
        };
        let format = format.with_context(|| format!("cannot read {shown}"))?;
        Ok(Self { path: path.to_owned(), format })
    }

    /// Where the column of this name is.
    ///
    /// # Errors
    /// When there is none, or more than one, or one of a type that cannot be used here.
    pub fn find(&self, name: &str) -> anyhow::Result<usize> {
        let names = self.names();
        let mut found = names.iter().enumerate().filter(|(_, known)| **known == name).map(|(position, _)| position);
        match (found.next(), found.next()) {
            (Some(position), None) => {
                if let Format::Parquet { columns } = &self.format
                    && let Some(unusable) = columns.get(position).and_then(parquet::Leaf::unusable)
                {
                    bail!("column `{name}` of {} is {unusable}, which cannot be used", self.path.display());
                }
                Ok(position)
            }
            (Some(_), Some(_)) => bail!("{} has more than one column `{name}`", self.path.display()),
            (None, _) => {
                const SHOWN_MAX: usize = 64;
                let shown: Vec<String> = names.iter().take(SHOWN_MAX).map(|name| shorten(name)).collect();
                let names = shown.join("`, `");
                bail!("{} has no column `{name}`; its columns are `{names}`", self.path.display())
            }
        }
    }

    /// Whether the values of a column are written back as numbers or as text.
    pub fn id_kind(&self, column: usize) -> IdKind {
        match &self.format {
            Format::Csv { .. } => IdKind::Text,
            Format::Parquet { columns } => columns.get(column).map_or(IdKind::Text, parquet::Leaf::id_kind),
        }
    }

    /// Reads the columns at these positions, from the first row on. Where batches begin and end does not depend on
    /// the columns.
    ///
    /// # Errors
    /// When the file cannot be read. A row that cannot be understood is not an error but part of its batch.
    pub fn batches(&self, columns: &[usize]) -> anyhow::Result<Batches> {
        let opened = match &self.format {
            Format::Csv { names } => csv::Rows::open(&self.path, names.len(), columns).map(Rows::Csv),
            Format::Parquet { columns: leaves } => {
                parquet::Rows::open(&self.path, leaves, columns).map(|rows| Rows::Parquet(Box::new(rows)))
            }
        };
        opened.map(Batches).with_context(|| format!("cannot read {}", self.path.display()))
    }

    /// The names of all columns, in order.
    pub fn names(&self) -> Vec<&str> {
        match &self.format {
            Format::Csv { names } => names.iter().map(String::as_str).collect(),
            Format::Parquet { columns } => columns.iter().map(|leaf| leaf.name.as_str()).collect(),
        }
    }
}

/// The rows of a file, batch after batch.
#[derive(Debug)]
pub struct Batches(Rows);

#[derive(Debug)]
enum Rows {
    Csv(csv::Rows),
    Parquet(Box<parquet::Rows>),
}

impl Iterator for Batches {
    type Item = anyhow::Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Rows::Csv(rows) => rows.next_batch(BATCH_ROWS),
            Rows::Parquet(rows) => rows.next_batch(BATCH_ROWS),
        }
        .transpose()
    }
}
