//! The file of an export, in one of three formats.

use std::borrow::Cow;
use std::fs::Permissions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use tempfile::NamedTempFile;
use types::Timestamp;

use crate::backtest::columns::{OutputColumn, Values};

/// The number of rows in a row group of Parquet, which are held in memory before they are written.
const GROUP_ROWS: usize = 1 << 16;
/// A row group with so many bytes of texts is written earlier.
const GROUP_TEXT_BYTES: usize = 64 << 20;

/// How the rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv,
    JsonLines,
}

impl Format {
    /// The format that the name of a file asks for.
    ///
    /// # Errors
    /// Fails if its ending is not known.
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "parquet" => Ok(Self::Parquet),
            "csv" => Ok(Self::Csv),
            "jsonl" | "ndjson" => Ok(Self::JsonLines),
            _ => bail!(
                "the ending of the output file says its format: expected .parquet, .csv or .jsonl, found {}",
                path.display()
            ),
        }
    }
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Kind {
    Int,
    Double,
    Bool,
    Text,
    Time,
}

impl Kind {
    /// The number of types.
    pub(super) const COUNT: usize = 5;

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::Text => "text",
            Self::Time => "time",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    name: String,
    kind: Kind,
}

impl Column {
    pub(super) fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), kind }
    }
}

/// A value of a column's type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'e> {
    Null,
    Int(i64),
    /// Finite.
    Double(f64),
    Bool(bool),
    Text(Cow<'e, str>),
    Time(Timestamp),
}

/// A file that is being written. It gets its final name when it is complete. Dropping it earlier deletes it.
pub(super) struct File {
    path: PathBuf,
    writer: Writer,
}

enum Writer {
    Lines { file: BufWriter<NamedTempFile>, names: Option<Vec<String>>, line: String },
    Parquet { file: SerializedFileWriter<NamedTempFile>, columns: Vec<OutputColumn>, rows: usize, text_bytes: usize },
}

impl File {
    /// Creates the file for `path`, under a temporary name in the same directory.
    ///
    /// # Errors
    /// Fails if the directory cannot be written to.
    pub(super) fn create(path: &Path, format: Format, columns: &[Column]) -> anyhow::Result<Self> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        // These are the usual permissions of a new file; the umask restricts them.
        let file = tempfile::Builder::new()
            .prefix(".finaira-export-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory)
            .with_context(|| format!("cannot write to {}", directory.display()))?;
        let writer = match format {
            Format::Parquet => parquet_writer(file, columns)?,
            Format::JsonLines => {
                let names = columns.iter().map(|column| serde_json::to_string(&column.name));
                Writer::Lines {
                    file: BufWriter::new(file),
                    names: Some(names.collect::<Result<_, _>>()?),
                    line: String::new(),
                }
            }
            Format::Csv => {
                let mut line = String::new();
                for column in columns {
                    separate(&mut line, ',');
                    csv_text(&mut line, &column.name);
                }
                line.push('\n');
                let mut file = BufWriter::new(file);
                file.write_all(line.as_bytes())?;
                Writer::Lines { file, names: None, line }
            }
        };
        Ok(Self { path: path.to_owned(), writer })
    }

    /// Adds a row with a cell for every column.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn row(&mut self, cells: &[Cell<'_>]) -> anyhow::Result<()> {
        match &mut self.writer {
            Writer::Lines { file, names, line } => {
                line.clear();
                match names {
                    None => csv_line(line, cells),
                    Some(names) => json_line(line, names, cells)?,
                }
                file.write_all(line.as_bytes())?;
            }
            Writer::Parquet { file, columns, rows, text_bytes } => {
                for (column, cell) in columns.iter_mut().zip(cells) {
                    push(column, cell);
                    if let Cell::Text(text) = cell {
                        *text_bytes += text.len();
                    }
                }
                *rows += 1;
                if *rows == GROUP_ROWS || *text_bytes >= GROUP_TEXT_BYTES {
                    write_group(file, columns)?;
                    (*rows, *text_bytes) = (0, 0);
                }
            }
        }
        Ok(())
    }

    /// Completes the file and gives it its final name.
    ///
    /// # Errors
    /// Fails if the file cannot be written. A file that existed before under this name is then unchanged.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let file = match self.writer {
            Writer::Lines { file, .. } => file.into_inner()?,
            Writer::Parquet { mut file, mut columns, rows, .. } => {
                if rows > 0 {
                    write_group(&mut file, &mut columns)?;
                }
                file.into_inner()?
            }
        };
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }
}

fn csv_line(line: &mut String, cells: &[Cell<'_>]) {
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            line.push(',');
        }
        match cell {
            Cell::Null => {}
            Cell::Int(value) => line.push_str(&value.to_string()),
            Cell::Double(value) => line.push_str(&shortest(*value)),
            Cell::Bool(value) => line.push_str(if *value { "true" } else { "false" }),
            Cell::Text(text) => csv_text(line, text),
            Cell::Time(at) => line.push_str(&at.to_string()),
        }
    }
    line.push('\n');
}

/// Writes a text. An empty one is quoted, which tells it from a missing value.
fn csv_text(line: &mut String, text: &str) {
    if !text.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        line.push_str(text);
        return;
    }
    line.push('"');
    line.push_str(&text.replace('"', "\"\""));
    line.push('"');
}

fn json_line(line: &mut String, names: &[String], cells: &[Cell<'_>]) -> anyhow::Result<()> {
    line.push('{');
    for (place, (name, cell)) in names.iter().zip(cells).enumerate() {
        if place > 0 {
            line.push(',');
        }
        line.push_str(name);
        line.push(':');
        match cell {
            Cell::Null => line.push_str("null"),
            Cell::Int(value) => line.push_str(&value.to_string()),
            Cell::Double(value) => line.push_str(&shortest(*value)),
            Cell::Bool(value) => line.push_str(if *value { "true" } else { "false" }),
            Cell::Text(text) => line.push_str(&serde_json::to_string(text)?),
            Cell::Time(at) => line.push_str(&serde_json::to_string(&at.to_string())?),
        }
    }
    line.push_str("}\n");
    Ok(())
}

/// The shortest text that reads back as the same double. It always has a point or an exponent.
fn shortest(value: f64) -> String {
    format!("{value:?}")
}

fn separate(line: &mut String, separator: char) {
    if !line.is_empty() {
        line.push(separator);
    }
}

fn push(column: &mut OutputColumn, cell: &Cell<'_>) {
    match cell {
        Cell::Null => column.push_null(),
        Cell::Int(value) => column.push_int64(*value),
        Cell::Double(value) => column.push_double(*value),
        Cell::Bool(value) => column.push_bool(*value),
        Cell::Text(text) => column.push_word(text),
        // Parquet has no time after 2262.
        Cell::Time(at) => match i64::try_from(at.ns()) {
            Ok(ns) => column.push_int64(ns),
            Err(_too_late) => column.push_null(),
        },
    }
}

fn parquet_writer(file: NamedTempFile, columns: &[Column]) -> anyhow::Result<Writer> {
    let field = |column: &Column| -> anyhow::Result<TypePtr> {
        let (physical, logical) = match column.kind {
            Kind::Int => (Physical::INT64, None),
            Kind::Double => (Physical::DOUBLE, None),
            Kind::Bool => (Physical::BOOLEAN, None),
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
        };
        let field = Type::primitive_type_builder(&column.name, physical)
            .with_logical_type(logical)
            .with_repetition(Repetition::OPTIONAL)
            .build()?;
        Ok(Arc::new(field))
    };
    let fields = columns.iter().map(field).collect::<anyhow::Result<_>>()?;
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_created_by(format!("finaira {}", env!("CARGO_PKG_VERSION")))
        .build();
    let file = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    let columns = columns.iter().map(|column| {
        let values = match column.kind {
            Kind::Int | Kind::Time => Values::Int64(Vec::new()),
            Kind::Double => Values::Double(Vec::new()),
            Kind::Bool => Values::Bool(Vec::new()),
            Kind::Text => Values::Text(Vec::new()),
        };
        OutputColumn::new(column.name.clone(), values)
    });
    Ok(Writer::Parquet { file, columns: columns.collect(), rows: 0, text_bytes: 0 })
}

fn write_group(file: &mut SerializedFileWriter<NamedTempFile>, columns: &mut [OutputColumn]) -> anyhow::Result<()> {
    let mut group = file.next_row_group()?;
    for column in columns {
        let mut writer = group.next_column()?.context("the schema has as many columns as the output")?;
        column.write(&mut writer)?;
        writer.close()?;
    }
    group.close()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELLS: [Cell<'_>; 8] = [
        Cell::Null,
        Cell::Int(i64::MIN),
        Cell::Double(0.1),
        Cell::Double(1e300),
        Cell::Double(2.0),
        Cell::Bool(true),
        Cell::Text(Cow::Borrowed("a \"b\", c")),
        Cell::Text(Cow::Borrowed("")),
    ];

    #[test]
    fn csv_tells_an_empty_text_from_a_missing_value() {
        let mut line = String::new();
        csv_line(&mut line, &CELLS);
        assert_eq!(line, ",-9223372036854775808,0.1,1e300,2.0,true,\"a \"\"b\"\", c\",\"\"\n");
    }

    #[test]
    fn a_line_of_json_has_every_column_and_the_exact_values() {
        let names: Vec<String> = (0..CELLS.len()).map(|number| format!("\"{number}\"")).collect();
        let mut line = String::new();
        json_line(&mut line, &names, &CELLS).unwrap();
        let expected =
            r#"{"0":null,"1":-9223372036854775808,"2":0.1,"3":1e300,"4":2.0,"5":true,"6":"a \"b\", c","7":""}"#;
        assert_eq!(line, format!("{expected}\n"));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((read["2"].as_f64(), read["3"].as_f64()), (Some(0.1), Some(1e300)));
    }

    #[test]
    fn the_ending_of_the_file_says_its_format() {
        for (name, expected) in [
            ("a.parquet", Some(Format::Parquet)),
            ("a.CSV", Some(Format::Csv)),
            ("a.jsonl", Some(Format::JsonLines)),
            ("a.ndjson", Some(Format::JsonLines)),
            ("a.xlsx", None),
            ("csv", None),
        ] {
            assert_eq!(Format::of(Path::new(name)).ok(), expected, "{name}");
        }
    }
}
