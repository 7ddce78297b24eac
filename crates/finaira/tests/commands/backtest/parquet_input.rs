//! Reads Parquet files with the types that other programs write.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::{backtest, folder, rows, shown};

#[test]
fn types_of_other_programs_are_read() {
    let folder = folder();
    let input = folder.path().join("data.without.extension");
    write(
        &input,
        "message schema {
            optional int64 id;
            optional int64 time (TIMESTAMP(MILLIS, false));
            optional int32 amount (DECIMAL(9, 3));
            optional double customer;
            optional binary terminal (UTF8);
            optional binary country;
            optional int32 items (UINT_8);
            optional int32 fraud;
        }",
        |group| {
            column::<Int64Type>(group, &[Some(7), Some(8), None, Some(10), Some(11)]);
            let midnight = 1_767_225_600_000;
            column::<Int64Type>(group, &[midnight, midnight + 1, 0, midnight + 2, -1].map(Some));
            column::<Int32Type>(group, &[Some(12_500), Some(2_000), Some(1_000), Some(1_005), Some(1_000)]);
            column::<DoubleType>(group, &[Some(1.0), Some(1.0), Some(1.0), Some(1.0), Some(1.0)]);
            column::<ByteArrayType>(group, &[Some(ByteArray::from("t")), None, None, None, None]);
            let broken = ByteArray::from(vec![0xFF]);
            column::<ByteArrayType>(group, &[Some(ByteArray::from("NO")), None, None, Some(broken), None]);
            column::<Int32Type>(group, &[Some(12), None, None, None, None]);
            column::<Int32Type>(group, &[Some(1), Some(0), None, None, None]);
        },
    );
    let output = folder.path().join("out.parquet");
    let run = backtest(&folder.path().join("policy"), &input, &output);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let found: Vec<String> = rows(&output)
        .iter()
        .map(|row| ["id", "status", "spend", "tags", "label", "error"].map(|column| shown(row, column)).join(" "))
        .collect();
    let expected = [
        "7 posted 1250 bulk fraud -",
        "8 posted 1450 '' legitimate -",
        "- invalid - - - column `id`: found no value, expected a payment's id",
        "10 invalid - - - column `amount`: found `1.005`, expected a non-negative number with at most 2 \
         decimals, at most 2^63 - 1 minor units",
        "11 invalid - - - column `time`: found a time outside 1970 to 2262, expected an instant of 1970 to 2262: a \
         timestamp, RFC 3339, or YYYY-MM-DD, with or without HH:MM or HH:MM:SS, in UTC",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_column_of_an_unsupported_type_stops_at_the_start() {
    let folder = folder();
    let input = folder.path().join("in.parquet");
    let schema = "message schema { required int32 id (TIME(MILLIS, true)); }";
    write(&input, schema, |group| column::<Int32Type>(group, &[Some(1)]));
    let run = backtest(&folder.path().join("policy"), &input, &folder.path().join("out.parquet"));
    let message = String::from_utf8(run.stderr).unwrap();
    assert!(message.contains("column `id` of"), "{message}");
    assert!(message.contains("is a time of day, which cannot be used"), "{message}");
}

/// The columns that the policy needs, with one row.
const SCHEMA: &str = "message schema {
    optional binary id (UTF8); optional int32 time (DATE); optional int64 amount; optional binary customer (UTF8);
    optional binary terminal (UTF8); optional binary country (UTF8); optional int32 items; optional boolean fraud;
}";

fn fill(group: &mut SerializedRowGroupWriter<'_, File>) {
    let text = |text: &str| [Some(ByteArray::from(text))];
    // A text that repeats itself, so that every compression has work.
    column::<ByteArrayType>(group, &text(&"payment ".repeat(64)));
    column::<Int32Type>(group, &[Some(20_454)]);
    column::<Int64Type>(group, &[Some(3)]);
    for value in ["ann", "t1", "NO"] {
        column::<ByteArrayType>(group, &text(value));
    }
    column::<Int32Type>(group, &[Some(1)]);
    column::<BoolType>(group, &[Some(true)]);
}

#[test]
fn every_usual_compression_is_read() {
    let folder = folder();
    let (input, output) = (folder.path().join("in.parquet"), folder.path().join("out.parquet"));
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::BROTLI(BrotliLevel::default()),
    ] {
        let properties = WriterProperties::builder().set_compression(compression).build();
        write_with(properties, &input, SCHEMA, fill);
        let run = backtest(&folder.path().join("policy"), &input, &output);
        assert!(run.status.success(), "{compression}: {}", String::from_utf8_lossy(&run.stderr));
        let row = &rows(&output)[0];
        assert_eq!(shown(row, "id"), "payment ".repeat(64), "{compression}");
        assert_eq!(["status", "spend", "label"].map(|column| shown(row, column)), ["posted", "300", "fraud"]);
    }
}

#[test]
fn a_compression_that_is_not_supported_is_named() {
    let folder = folder();
    let input = folder.path().join("in.parquet");
    write(&input, SCHEMA, fill);
    // No library writes LZO. The codec of each column is a field of the metadata: a byte for its type, and a number.
    let mut bytes = std::fs::read(&input).unwrap();
    let metadata = bytes.len() - 8 - u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()) as usize;
    for place in metadata..bytes.len() - 8 {
        // After a path of one name comes the codec, then the number of values, which is 1.
        if bytes[place..].starts_with(&[0x15, 0, 0x16, 2, 0x16]) {
            bytes[place + 1] = 6;
        }
    }
    std::fs::write(&input, bytes).unwrap();
    let run = backtest(&folder.path().join("policy"), &input, &folder.path().join("out.parquet"));
    let message = String::from_utf8(run.stderr).unwrap();
    let expected = "in.parquet: column `time` is compressed with lzo; supported are none, snappy, gzip, zstd, lz4, lz4_raw \
                    and brotli";
    assert!(!run.status.success() && message.trim_end().ends_with(expected), "{message}");
}

fn write(file: &Path, schema: &str, fill: impl FnOnce(&mut SerializedRowGroupWriter<'_, File>)) {
    write_with(WriterProperties::builder().build(), file, schema, fill);
}

fn write_with(
    properties: WriterProperties,
    file: &Path,
    schema: &str,
    fill: impl FnOnce(&mut SerializedRowGroupWriter<'_, File>),
) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(properties);
    let mut writer = SerializedFileWriter::new(File::create(file).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    fill(&mut group);
    group.close().unwrap();
    writer.close().unwrap();
}

fn column<T: DataType>(group: &mut SerializedRowGroupWriter<'_, File>, values: &[Option<T::T>]) {
    let mut column = group.next_column().unwrap().unwrap();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let packed: Vec<T::T> = values.iter().flatten().cloned().collect();
    column.typed::<T>().write_batch(&packed, Some(&levels), None).unwrap();
    column.close().unwrap();
}
