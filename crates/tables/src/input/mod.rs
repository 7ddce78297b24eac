//! Reads files of past payments, CSV and Parquet, in batches of columns with bounded memory.

mod csv;
mod parquet;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use types::shorten;

pub use self::parquet::IdKind;
use crate::cell::Cell;

/// The number of rows that are read at once.
const BATCH_ROWS: usize = 8192;

/// The first bytes of a Parquet file.
const PARQUET_MAGIC: &[u8; 4] = b"PAR1";

/// A file that can be read any number of times.
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    format: Format,
}

#[derive(Debug)]
enum Format {
    Csv { names: Vec<String>, delimiter: u8 },
    Parquet { columns: Vec<parquet::Leaf> },
}

/// Some rows of a file, as columns.
#[derive(Debug, Default)]
pub struct RowGroup {
    /// The number of rows.
    pub rows: usize,
    /// The requested columns, in the order of the request.
    pub columns: Vec<Column>,
    /// The rows that cannot be read with this file's columns, in order.
    pub broken: Vec<BrokenRow>,
}

/// A row of a CSV file that does not have the file's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRow {
    /// The position of the row in its group.
    pub row: usize,
    /// What is wrong with it, with its lines in the file.
    pub found: String,
    pub expected: String,
}

impl fmt::Display for BrokenRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, expected {}", self.found, self.expected)
    }
}

/// The values of one column, one per row.
#[derive(Debug)]
pub enum Column {
    /// Text, which may not be valid UTF-8.
    Text(Texts),
    /// 64-bit integers.
    Int(Vec<Option<i64>>),
    /// 64-bit floating-point numbers.
    Double(Vec<Option<f64>>),
    /// 32-bit floating-point numbers.
    Float(Vec<Option<f32>>),
    Bool(Vec<Option<bool>>),
    /// Nanoseconds since 1970 in UTC. Negative if the instant does not fit in 63 bits.
    Time(Vec<Option<i64>>),
    /// Numbers of the form `unscaled` · 10^−scale.
    Decimal {
        /// The number of digits after the decimal point.
        scale: u32,
        /// The numbers without their decimal points.
        values: Vec<Option<i128>>,
    },
}

/// Byte strings, stored one after another.
#[derive(Debug, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    /// The end of each string, and whether the string is present.
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
    /// Returns the value in a row.
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
    /// Determines the format of a file and its columns. `delimiter` separates the fields of a CSV file.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or is neither CSV nor Parquet.
    pub fn open(path: &Path, delimiter: u8) -> anyhow::Result<Self> {
        let shown = path.display();
        let mut start = Vec::new();
        let file = File::open(path).with_context(|| cannot_read(path))?;
        file.take(4).read_to_end(&mut start).with_context(|| cannot_read(path))?;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let format = match extension.to_ascii_lowercase().as_str() {
            _ if start == PARQUET_MAGIC => parquet::columns(path).map(|columns| Format::Parquet { columns }),
            "csv" => csv::names(path, delimiter).map(|names| Format::Csv { names, delimiter }),
            "parquet" => bail!("{shown} is not a Parquet file: it does not start with PAR1"),
            _ => bail!(
                "cannot determine the format of {shown}: expected a Parquet file, or a CSV file that is not compressed and whose \
                 name ends in .csv"
            ),
        };
        let format = format.with_context(|| cannot_read(path))?;
        Ok(Self { path: path.to_owned(), format })
    }

    /// Returns the position of the column with this name.
    ///
    /// # Errors
    /// Fails if there is no such column, if there is more than one, or if its type cannot be used.
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
                let shown: Vec<String> = names.iter().take(SHOWN_MAX).map(|name| shown(name)).collect();
                let names = shown.join("`, `");
                let hint = self.other_delimiter().map(|(other, setting)| {
                    format!(", where `{other}` may separate columns: set delimiter = \"{setting}\" under [file]")
                });
                bail!(
                    "{} has no column `{name}`; its columns are `{names}`{}",
                    self.path.display(),
                    hint.unwrap_or_default()
                )
            }
        }
    }

    /// A character in the column names of a CSV file that probably separates columns, although the delimiter is another
    /// one: as messages show it, and as a policy sets it.
    pub fn other_delimiter(&self) -> Option<(&'static str, &'static str)> {
        const USUAL: [(&str, &str, &str); 4] =
            [(";", ";", ";"), ("\t", "\\t", "tab"), ("|", "|", "|"), (",", ",", ",")];
        let Format::Csv { names, delimiter } = &self.format else { return None };
        let mut others = USUAL.iter().filter(|(written, ..)| written.as_bytes() != [*delimiter]);
        let found = others.find(|(written, ..)| names.iter().any(|name| name.contains(written)));
        found.map(|&(_, shown, setting)| (shown, setting))
    }

    /// Whether ids of this column are written back as numbers or as text.
    pub fn id_kind(&self, column: usize) -> IdKind {
        match &self.format {
            Format::Csv { .. } => IdKind::Text,
            Format::Parquet { columns } => columns.get(column).map_or(IdKind::Text, parquet::Leaf::id_kind),
        }
    }

    /// Reads the columns at these positions from the first row on. Batch boundaries do not depend on the columns.
    ///
    /// # Errors
    /// Fails if the file cannot be read. A row that cannot be parsed is not an error, but is reported in its batch.
    pub fn batches(&self, columns: &[usize]) -> anyhow::Result<Batches> {
        let rows = match &self.format {
            Format::Csv { names, delimiter } => {
                csv::Rows::open(&self.path, *delimiter, names.len(), columns).map(Rows::Csv)
            }
            Format::Parquet { columns: leaves } => {
                parquet::Rows::open(&self.path, leaves, columns).map(|rows| Rows::Parquet(Box::new(rows)))
            }
        };
        let rows = rows.with_context(|| cannot_read(&self.path))?;
        Ok(Batches { path: self.path.clone(), rows })
    }

    /// The names of all columns, in order.
    pub fn names(&self) -> Vec<&str> {
        match &self.format {
            Format::Csv { names, .. } => names.iter().map(String::as_str).collect(),
            Format::Parquet { columns } => columns.iter().map(|leaf| leaf.name.as_str()).collect(),
        }
    }
}

/// Iterates over the rows of a file in batches.
#[derive(Debug)]
pub struct Batches {
    path: PathBuf,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    Csv(csv::Rows),
    Parquet(Box<parquet::Rows>),
}

impl Iterator for Batches {
    type Item = anyhow::Result<RowGroup>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match &mut self.rows {
            Rows::Csv(rows) => rows.next_batch(BATCH_ROWS),
            Rows::Parquet(rows) => rows.next_batch(BATCH_ROWS),
        };
        batch.with_context(|| cannot_read(&self.path)).transpose()
    }
}

/// A column name as messages show it.
pub fn shown(name: &str) -> String {
    shorten(&name.replace('\t', "\\t"))
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}
