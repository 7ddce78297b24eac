//! Reads the flat columns of Parquet files, one row group after another, in batches.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use parquet::basic::{Compression, ConvertedType, LogicalType, TimeUnit, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{DataType, Int96};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use types::{PaymentId, shorten};

use super::{Column, RowGroup, Texts};

const NS_PER_DAY: i64 = 86_400_000_000_000;

/// A column, identified by its position in the file's schema.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) name: String,
    kind: Kind,
    nullable: bool,
}

/// How the physical values of a column are interpreted.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Int,
    Unsigned32,
    Unsigned64,
    Double,
    Float,
    Bool,
    /// Instants in units of this many nanoseconds, since 1970 in UTC.
    Time(i64),
    /// The deprecated 96-bit timestamps.
    Time96,
    Decimal(u32),
    Uuid,
    /// A type that no field of a payment can have, and its description.
    Unusable(&'static str),
}

/// How the values of an id column are written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    Int,
    Text,
}

impl Leaf {
    /// Why the column cannot be used, or `None` if it can.
    pub(super) fn unusable(&self) -> Option<&'static str> {
        if let Kind::Unusable(why) = self.kind { Some(why) } else { None }
    }

    pub(super) fn id_kind(&self) -> IdKind {
        if matches!(self.kind, Kind::Int | Kind::Unsigned32) { IdKind::Int } else { IdKind::Text }
    }
}

/// Runs a function of the Parquet library, which panics on some malformed files, and turns a panic into an error.
fn contained<T>(read: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    // This error ends the reading of the file, so nothing that a panic left inconsistent is used again.
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    read.unwrap_or_else(|_panic| anyhow::bail!("the file is damaged or not valid Parquet"))
}

/// Reads the columns of a file.
pub(super) fn columns(path: &Path) -> anyhow::Result<Vec<Leaf>> {
    contained(|| leaves(path))
}

fn leaves(path: &Path) -> anyhow::Result<Vec<Leaf>> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let leaf = |column: &ColumnDescriptor| Leaf {
        name: column.path().string(),
        kind: kind(column),
        nullable: column.max_def_level() > 0,
    };
    Ok(schema.columns().iter().map(|column| leaf(column)).collect())
}

fn kind(column: &ColumnDescriptor) -> Kind {
    if column.max_rep_level() > 0 || column.max_def_level() > 1 || column.path().parts().len() > 1 {
        return Kind::Unusable("part of a list or structure");
    }
    let (logical, converted) = (column.logical_type_ref(), column.converted_type());
    if let Some(decimal) = decimal(column) {
        return decimal;
    }
    let unsigned = match logical {
        Some(LogicalType::Integer(integer)) => !integer.is_signed,
        _ => matches!(converted, ConvertedType::UINT_32 | ConvertedType::UINT_64),
    };
    let date = logical == Some(&LogicalType::Date) || converted == ConvertedType::DATE;
    let time_of_day = matches!(logical, Some(LogicalType::Time(_)))
        || matches!(converted, ConvertedType::TIME_MILLIS | ConvertedType::TIME_MICROS);
    match column.physical_type() {
        Type::BOOLEAN => Kind::Bool,
        Type::FLOAT => Kind::Float,
        Type::DOUBLE => Kind::Double,
        Type::INT96 => Kind::Time96,
        Type::BYTE_ARRAY => Kind::Text,
        Type::FIXED_LEN_BYTE_ARRAY if logical == Some(&LogicalType::Uuid) => Kind::Uuid,
        Type::FIXED_LEN_BYTE_ARRAY => Kind::Unusable("of fixed-length bytes"),
        Type::INT32 | Type::INT64 if time_of_day => Kind::Unusable("a time of day"),
        Type::INT32 if date => Kind::Time(NS_PER_DAY),
        Type::INT32 if unsigned => Kind::Unsigned32,
        Type::INT64 if unsigned => Kind::Unsigned64,
        Type::INT64 => timestamp(logical, converted).map_or(Kind::Int, Kind::Time),
        Type::INT32 => Kind::Int,
    }
}

/// The unit of a timestamp, in nanoseconds.
fn timestamp(logical: Option<&LogicalType>, converted: ConvertedType) -> Option<i64> {
    const MILLIS: i64 = 1_000_000;
    const MICROS: i64 = 1_000;
    if let Some(LogicalType::Timestamp(timestamp)) = logical {
        return Some(match timestamp.unit {
            TimeUnit::MILLIS => MILLIS,
            TimeUnit::MICROS => MICROS,
            TimeUnit::NANOS => 1,
        });
    }
    let units = [(ConvertedType::TIMESTAMP_MILLIS, MILLIS), (ConvertedType::TIMESTAMP_MICROS, MICROS)];
    units.iter().find(|(known, _)| *known == converted).map(|(_, unit_ns)| *unit_ns)
}

fn decimal(column: &ColumnDescriptor) -> Option<Kind> {
    let scale = match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Decimal(decimal)), _) => decimal.scale,
        (_, ConvertedType::DECIMAL) => column.type_scale(),
        _ => return None,
    };
    let wide = column.physical_type() == Type::FIXED_LEN_BYTE_ARRAY && column.type_length() > 16;
    let scale = u32::try_from(scale).ok().filter(|_| !wide);
    Some(scale.map_or(Kind::Unusable("a decimal of more than 16 bytes"), Kind::Decimal))
}

pub(super) struct Rows {
    file: SerializedFileReader<File>,
    columns: Vec<(usize, Kind, bool)>,
    next_group: usize,
    /// The columns of the current row group, and the number of its rows that are left.
    open: Vec<ColumnReader>,
    left: usize,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Rows {
    pub(super) fn open(path: &Path, leaves: &[Leaf], columns: &[usize]) -> anyhow::Result<Self> {
        let file = contained(|| Ok(SerializedFileReader::new(File::open(path)?)?))?;
        let column = |&position: &usize| {
            let leaf = leaves.get(position).context("the file's columns changed while it was read")?;
            Ok((position, leaf.kind, leaf.nullable))
        };
        let columns = columns.iter().map(column).collect::<anyhow::Result<Vec<_>>>()?;
        contained(|| check_compression(&file, &columns))?;
        Ok(Self { file, columns, next_group: 0, open: Vec::new(), left: 0 })
    }

    pub(super) fn next_batch(&mut self, rows_max: usize) -> anyhow::Result<Option<RowGroup>> {
        contained(|| self.read_batch(rows_max))
    }

    fn read_batch(&mut self, rows_max: usize) -> anyhow::Result<Option<RowGroup>> {
        while self.left == 0 {
            if self.next_group == self.file.num_row_groups() {
                return Ok(None);
            }
            let group = self.file.get_row_group(self.next_group)?;
            self.left = usize::try_from(group.metadata().num_rows())?;
            self.open =
                self.columns.iter().map(|&(column, ..)| group.get_column_reader(column)).collect::<Result<_, _>>()?;
            self.next_group += 1;
        }
        let rows = self.left.min(rows_max);
        let mut columns = Vec::with_capacity(self.columns.len());
        for (reader, &(_, kind, nullable)) in self.open.iter_mut().zip(&self.columns) {
            columns.push(read(reader, kind, nullable, rows)?);
        }
        self.left -= rows;
        Ok(Some(RowGroup { rows, columns, broken: Vec::new() }))
    }
}

/// Rejects a file with a compression that this program cannot read.
fn check_compression(file: &SerializedFileReader<File>, columns: &[(usize, Kind, bool)]) -> anyhow::Result<()> {
    for group in file.metadata().row_groups() {
        for &(position, ..) in columns {
            let column = group.column(position);
            if column.compression() == Compression::LZO {
                anyhow::bail!(
                    "column `{}` is compressed with lzo; supported are none, snappy, gzip, zstd, lz4, lz4_raw and brotli",
                    shorten(&column.column_path().string())
                );
            }
        }
    }
    Ok(())
}

fn read(reader: &mut ColumnReader, kind: Kind, nullable: bool, rows: usize) -> anyhow::Result<Column> {
    Ok(match reader {
        ColumnReader::BoolColumnReader(reader) => Column::Bool(values(reader, nullable, rows, |value| value)?),
        ColumnReader::FloatColumnReader(reader) => Column::Float(values(reader, nullable, rows, |value| value)?),
        ColumnReader::DoubleColumnReader(reader) => Column::Double(values(reader, nullable, rows, |value| value)?),
        ColumnReader::Int96ColumnReader(reader) => Column::Time(values(reader, nullable, rows, |at| time96(&at))?),
        ColumnReader::Int32ColumnReader(reader) => whole_numbers(reader, kind, nullable, rows)?,
        ColumnReader::Int64ColumnReader(reader) => whole_numbers(reader, kind, nullable, rows)?,
        ColumnReader::ByteArrayColumnReader(reader) => {
            let values = values(reader, nullable, rows, |bytes| bytes)?;
            bytes(kind, values.iter().map(|value| value.as_ref().map(|value| value.data())))
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            let values = values(reader, nullable, rows, |bytes| bytes)?;
            bytes(kind, values.iter().map(|value| value.as_ref().map(|value| value.data())))
        }
    })
}

fn whole_numbers<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    kind: Kind,
    nullable: bool,
    rows: usize,
) -> anyhow::Result<Column>
where
    T::T: Into<i64>,
{
    Ok(match kind {
        Kind::Time(unit_ns) => Column::Time(values(reader, nullable, rows, |value| instant(value.into(), unit_ns))?),
        Kind::Decimal(scale) => {
            let values = values(reader, nullable, rows, |value| i128::from(value.into()))?;
            Column::Decimal { scale, values }
        }
        Kind::Unsigned32 => Column::Int(values(reader, nullable, rows, |value| value.into() & i64::from(u32::MAX))?),
        Kind::Unsigned64 => {
            let values = values(reader, nullable, rows, |value| value.into().cast_unsigned().into())?;
            Column::Decimal { scale: 0, values }
        }
        Kind::Int
        | Kind::Text
        | Kind::Double
        | Kind::Float
        | Kind::Bool
        | Kind::Time96
        | Kind::Uuid
        | Kind::Unusable(_) => Column::Int(values(reader, nullable, rows, T::T::into)?),
    })
}

/// Reads the next values of a column, one per row.
fn values<T: DataType, U>(
    reader: &mut ColumnReaderImpl<T>,
    nullable: bool,
    rows: usize,
    convert: impl Fn(T::T) -> U,
) -> anyhow::Result<Vec<Option<U>>> {
    let (mut levels, mut packed) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let (read, ..) = reader.read_records(rows, nullable.then_some(&mut levels), None, &mut packed)?;
    anyhow::ensure!(read == rows, "a column chunk ends {} rows too early", rows.saturating_sub(read));
    let mut packed = packed.into_iter().map(convert);
    if nullable && levels.contains(&0) {
        Ok(levels.iter().map(|&level| if level == 0 { None } else { packed.next() }).collect())
    } else {
        Ok(packed.map(Some).collect())
    }
}

/// Converts an instant to nanoseconds. The result is negative if it does not fit in 63 bits.
fn instant(value: i64, unit_ns: i64) -> i64 {
    value.checked_mul(unit_ns).unwrap_or(-1)
}

fn time96(at: &Int96) -> i64 {
    // The library's own conversion overflows for years that 64 bits of nanoseconds cannot represent.
    if (0..=i64::MAX / 1_000_000_000).contains(&at.to_seconds()) { at.to_nanos() } else { -1 }
}

fn bytes<'a>(kind: Kind, values: impl Iterator<Item = Option<&'a [u8]>>) -> Column {
    if let Kind::Decimal(scale) = kind {
        return Column::Decimal { scale, values: values.map(|value| value.and_then(big_endian)).collect() };
    }
    let mut texts = Texts::default();
    for value in values {
        if matches!(kind, Kind::Uuid) {
            let uuid = value.and_then(|bytes| bytes.try_into().ok()).map(u128::from_be_bytes);
            texts.push(uuid.map(|uuid| PaymentId::new(uuid).to_string()).as_deref().map(str::as_bytes));
        } else {
            texts.push(value);
        }
    }
    Column::Text(texts)
}

/// Parses a two's complement number of at most 16 bytes.
fn big_endian(bytes: &[u8]) -> Option<i128> {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0_i128 };
    let filled = bytes.iter().fold(sign, |value, &byte| (value << 8_u32) | i128::from(byte));
    (bytes.len() <= 16).then_some(filled)
}
