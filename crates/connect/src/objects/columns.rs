//! Parquet files with typed columns, written into memory.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use types::{Amount, Timestamp};

/// The number of rows in a row group.
const GROUP_ROWS: usize = 1 << 17;
/// Bytes of a decimal of 38 digits, which are the most that readers know.
const DECIMAL_BYTES: usize = 16;
const DECIMAL_DIGITS: i32 = 38;
/// The first amount with more digits.
const DECIMAL_END: u128 = 10_u128.pow(38);

/// What a column has. Every column may have nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Int,
    /// A time in UTC, rounded down to microseconds.
    Time,
    /// An integer of up to 38 digits.
    Decimal,
    Text,
    Bool,
    /// A list of texts.
    List,
}

/// The names and forms of columns, in order.
pub(super) type Columns = &'static [(&'static str, Form)];

/// A file that is being written.
pub(super) struct File {
    writer: SerializedFileWriter<Vec<u8>>,
    columns: Vec<Column>,
    /// The column of the next value.
    next: usize,
    group_rows: usize,
    rows: u64,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// A column with its values since the last row group.
#[derive(Debug)]
struct Column {
    values: Values,
    /// For each value or empty list, how much of it is there: 0 for null.
    definitions: Vec<i16>,
    /// For lists: 0 where a list begins.
    repetitions: Vec<i16>,
}

#[derive(Debug)]
enum Values {
    Int(Vec<i64>),
    Bool(Vec<bool>),
    Decimal(Vec<u8>),
    /// All texts, and where each ends.
    Text(String, Vec<usize>),
}

impl File {
    pub(super) fn new(columns: Columns) -> Result<Self, ParquetError> {
        let writer = SerializedFileWriter::new(Vec::new(), schema(columns)?, Arc::new(properties(columns)?))?;
        let columns = columns.iter().map(|(_, form)| Column::new(*form)).collect();
        Ok(Self { writer, columns, next: 0, group_rows: 0, rows: 0 })
    }

    fn column(&mut self) -> Option<&mut Column> {
        let column = self.columns.get_mut(self.next);
        self.next += 1;
        column
    }

    /// Adds a number; one that is too large for the file becomes null.
    pub(super) fn int(&mut self, value: impl TryInto<i64>) -> &mut Self {
        self.int_option(value.try_into().ok())
    }

    pub(super) fn int_option(&mut self, value: Option<i64>) -> &mut Self {
        if let Some(Column { values: Values::Int(values), definitions, .. }) = self.column() {
            values.extend(value);
            definitions.push(i16::from(value.is_some()));
        }
        self
    }

    /// Adds a time twice: rounded down to a microsecond, and in nanoseconds.
    pub(super) fn time(&mut self, at: Timestamp) -> &mut Self {
        self.time_option(Some(at))
    }

    pub(super) fn time_option(&mut self, at: Option<Timestamp>) -> &mut Self {
        self.int_option(at.and_then(|at| (at.ns() / 1_000).try_into().ok()));
        self.int_option(at.and_then(|at| at.ns().try_into().ok()))
    }

    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        if let Some(Column { values: Values::Bool(values), definitions, .. }) = self.column() {
            values.push(value);
            definitions.push(1);
        }
        self
    }

    /// Adds an amount twice: as a number, which is null if it has more than 38 digits, and as text, which is null otherwise.
    pub(super) fn amount(&mut self, amount: Amount) -> &mut Self {
        let is_long = amount.get() >= DECIMAL_END;
        self.amount_option(Some(amount)).text_option(is_long.then_some(amount))
    }

    /// Adds an amount that has at most 38 digits; a longer one becomes null.
    pub(super) fn amount_option(&mut self, amount: Option<Amount>) -> &mut Self {
        let value = amount.map(Amount::get).filter(|amount| *amount < DECIMAL_END);
        self.decimal(value.and_then(|amount| i128::try_from(amount).ok()))
    }

    pub(super) fn decimal(&mut self, value: Option<i128>) -> &mut Self {
        if let Some(Column { values: Values::Decimal(values), definitions, .. }) = self.column() {
            if let Some(value) = value {
                values.extend(value.to_be_bytes());
            }
            definitions.push(i16::from(value.is_some()));
        }
        self
    }

    pub(super) fn text(&mut self, value: impl Display) -> &mut Self {
        self.text_option(Some(value))
    }

    pub(super) fn text_option(&mut self, value: Option<impl Display>) -> &mut Self {
        if let Some(Column { values: Values::Text(texts, ends), definitions, .. }) = self.column() {
            definitions.push(i16::from(value.is_some()));
            if let Some(value) = value {
                push(texts, ends, value);
            }
        }
        self
    }

    pub(super) fn list<'t>(&mut self, values: impl Iterator<Item = &'t str>) -> &mut Self {
        if let Some(Column { values: Values::Text(texts, ends), definitions, repetitions }) = self.column() {
            let mut is_first = true;
            for value in values {
                push(texts, ends, value);
                definitions.push(2);
                repetitions.push(i16::from(!is_first));
                is_first = false;
            }
            if is_first {
                definitions.push(1);
                repetitions.push(0);
            }
        }
        self
    }

    /// Ends a row.
    ///
    /// # Panics
    /// If it has not as many values as the file has columns.
    pub(super) fn end_row(&mut self) -> Result<(), ParquetError> {
        assert_eq!(self.next, self.columns.len(), "a row has as many values as the file has columns");
        self.next = 0;
        self.rows += 1;
        self.group_rows += 1;
        if self.group_rows == GROUP_ROWS { self.write_group() } else { Ok(()) }
    }

    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// The whole file.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, ParquetError> {
        self.write_group()?;
        self.writer.into_inner()
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        if self.group_rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let missing = || ParquetError::General("the schema has too few columns".to_owned());
            let mut writer = group.next_column()?.ok_or_else(missing)?;
            column.write(&mut writer)?;
            writer.close()?;
        }
        group.close()?;
        self.group_rows = 0;
        Ok(())
    }
}

fn push(texts: &mut String, ends: &mut Vec<usize>, value: impl Display) {
    // Writing into a string cannot fail.
    let _is_written = write!(texts, "{value}").is_ok();
    ends.push(texts.len());
}

impl Column {
    fn new(form: Form) -> Self {
        let values = match form {
            Form::Int | Form::Time => Values::Int(Vec::new()),
            Form::Bool => Values::Bool(Vec::new()),
            Form::Decimal => Values::Decimal(Vec::new()),
            Form::Text | Form::List => Values::Text(String::new(), Vec::new()),
        };
        Self { values, definitions: Vec::new(), repetitions: Vec::new() }
    }

    /// Writes the values and clears the column.
    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let definitions = Some(self.definitions.as_slice());
        let repetitions = Some(self.repetitions.as_slice()).filter(|levels| !levels.is_empty());
        match (&mut self.values, writer.untyped()) {
            (Values::Int(values), ColumnWriter::Int64ColumnWriter(writer)) => {
                writer.write_batch(values, definitions, None)?;
                values.clear();
            }
            (Values::Bool(values), ColumnWriter::BoolColumnWriter(writer)) => {
                writer.write_batch(values, definitions, None)?;
                values.clear();
            }
            (Values::Decimal(values), ColumnWriter::FixedLenByteArrayColumnWriter(writer)) => {
                let count = values.len() / DECIMAL_BYTES;
                let all = ByteArray::from(std::mem::take(values));
                let values: Vec<FixedLenByteArray> =
                    (0..count).map(|place| all.slice(place * DECIMAL_BYTES, DECIMAL_BYTES).into()).collect();
                writer.write_batch(&values, definitions, None)?;
            }
            (Values::Text(texts, ends), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                let all = ByteArray::from(std::mem::take(texts).into_bytes());
                let mut begin = 0;
                let mut values: Vec<ByteArray> = Vec::with_capacity(ends.len());
                for end in ends.drain(..) {
                    values.push(all.slice(begin, end - begin));
                    begin = end;
                }
                writer.write_batch(&values, definitions, repetitions)?;
            }
            (Values::Int(_) | Values::Bool(_) | Values::Decimal(_) | Values::Text(..), _) => {
                return Err(ParquetError::General("a column has another type than the schema".to_owned()));
            }
        }
        self.definitions.clear();
        self.repetitions.clear();
        Ok(())
    }
}

fn properties(columns: Columns) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(format!("finaira {}", env!("CARGO_PKG_VERSION")));
    // Statistics on texts help no reader, because ids are random, and cost a comparison per row.
    for (name, form) in columns {
        let path = match form {
            Form::Text => ColumnPath::from(*name),
            Form::List => ColumnPath::from(vec![(*name).to_owned(), "list".to_owned(), "element".to_owned()]),
            Form::Int | Form::Time | Form::Decimal | Form::Bool => continue,
        };
        properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    Ok(properties.build())
}

fn schema(columns: Columns) -> Result<TypePtr, ParquetError> {
    let fields = columns.iter().map(|(name, form)| field(name, *form).map(Arc::new)).collect::<Result<_, _>>()?;
    Ok(Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?))
}

fn field(name: &str, form: Form) -> Result<Type, ParquetError> {
    let (physical, logical) = match form {
        Form::Int => (Physical::INT64, None),
        Form::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        Form::Decimal => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::decimal(0, DECIMAL_DIGITS))),
        Form::Bool => (Physical::BOOLEAN, None),
        Form::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Form::List => {
            let element = Type::primitive_type_builder("element", Physical::BYTE_ARRAY)
                .with_logical_type(Some(LogicalType::String))
                .with_repetition(Repetition::REQUIRED)
                .build()?;
            let list = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![Arc::new(element)])
                .build()?;
            return Type::group_type_builder(name)
                .with_logical_type(Some(LogicalType::List))
                .with_repetition(Repetition::OPTIONAL)
                .with_fields(vec![Arc::new(list)])
                .build();
        }
    };
    let builder = Type::primitive_type_builder(name, physical).with_logical_type(logical);
    let builder = match form {
        Form::Decimal => builder.with_length(16).with_precision(DECIMAL_DIGITS).with_scale(0),
        Form::Int | Form::Time | Form::Text | Form::Bool | Form::List => builder,
    };
    builder.with_repetition(Repetition::OPTIONAL).build()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;

    const COLUMNS: Columns = &[
        ("sequence", Form::Int),
        ("at", Form::Time),
        ("at_ns", Form::Int),
        ("amount", Form::Decimal),
        ("amount_text", Form::Text),
        ("is_late", Form::Bool),
        ("flags", Form::List),
    ];

    #[test]
    fn rows_read_as_they_were_written() {
        let mut file = File::new(COLUMNS).expect("a file");
        let at = Timestamp::from_ns(1_700_000_000_000_001_999);
        for (number, amount, flags) in [(1_u64, 1250, vec!["pending", "linked"]), (2, u128::MAX, vec![])] {
            file.int(number).time(at).amount(Amount::new(amount)).bool(number == 2).list(flags.into_iter());
            file.end_row().expect("a row");
        }
        let bytes = file.finish().expect("a file");
        let reader = SerializedFileReader::new(Bytes::from(bytes)).expect("a Parquet file");
        let rows = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row").to_string());
        assert_eq!(
            rows.collect::<Vec<_>>(),
            [
                "{sequence: 1, at: 2023-11-14 22:13:20.000001 +00:00, at_ns: 1700000000000001999, amount: 1250., amount_text: null, is_late: false, flags: [\"pending\", \"linked\"]}",
                "{sequence: 2, at: 2023-11-14 22:13:20.000001 +00:00, at_ns: 1700000000000001999, amount: null, amount_text: \"340282366920938463463374607431768211455\", is_late: true, flags: []}",
            ]
        );
    }

    #[test]
    fn the_same_rows_are_the_same_bytes() {
        let file = || {
            let mut file = File::new(COLUMNS).expect("a file");
            for number in 0..1_000_u64 {
                file.int(number).time(Timestamp::from_ns(number)).amount(Amount::new(7)).bool(true);
                file.list(["a", "b"].into_iter()).end_row().expect("a row");
            }
            file.finish().expect("a file")
        };
        assert_eq!(file(), file());
    }
}
