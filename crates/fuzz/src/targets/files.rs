//! Files of payments, CSV and Parquet.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{BrotliLevel, Compression};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tables::{Input, Payments};

use crate::desk::{Desk, past};
use crate::{Verdict, check_line};

/// How many rows of one input are decided.
const DECIDED_MAX: usize = 4;

pub(super) fn csv(bytes: &[u8]) -> Verdict {
    read(bytes, "attack.csv")
}

pub(super) fn parquet(bytes: &[u8]) -> Verdict {
    read(bytes, "attack.parquet")
}

fn read(bytes: &[u8], name: &str) -> Verdict {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let path = folder.path().join(name);
    let mut file = std::fs::File::create(&path).expect("a file can be created");
    file.write_all(bytes).expect("the file can be written");
    drop(file);
    match rows(&path) {
        Ok(verdict) => verdict,
        Err(error) => check_line(format!("{error:#}")),
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn rows(path: &Path) -> Result<Verdict, Failure> {
    let policy = Arc::clone(&past().policy);
    let mapping = policy.file_mapping().cloned().ok_or("the policy has no file mapping")?;
    let input = Input::open(path, mapping.delimiter)?;
    let mut payments = Payments::new(&policy, &mapping, &input)?;
    let mut number = 0;
    let mut left = DECIDED_MAX;
    let mut verdict = Verdict::Refused("no row is a payment".to_owned());
    let mut desk: Option<Desk> = None;
    for batch in input.batches(payments.columns())? {
        let batch = batch?;
        for row in payments.rows(&batch, number) {
            match row.payment {
                Err(complaint) if verdict != Verdict::Accepted => verdict = check_line(complaint),
                Err(complaint) => drop(check_line(complaint)),
                Ok(payment) if left > 0 => {
                    left -= 1;
                    verdict = Verdict::Accepted;
                    desk.get_or_insert_with(Desk::open).create(payment);
                }
                Ok(_) => {}
            }
        }
        number += batch.rows as u64;
    }
    if let Some(desk) = desk {
        desk.close();
    }
    Ok(verdict)
}

pub(super) fn csv_seeds() -> Vec<(String, Vec<u8>)> {
    let all = "id,at,amount,customer,recipient,device,country,email,trusted,rate,age,since,from,fraud\n\
               1,2018-04-01 00:00:31,57.16,596,3156,d1,NO,a@example.org,true,0.5,41,2001-02-03T04:05:06Z,3,0\n\
               2,2018-04-01T00:02:10.25+02:00,146,4961,,,,,0,,,,,1\n\
               \"3\",\"2018-04-01 00:07:56\",0.30000000000000004,\"a,b\",\"quo\"\"ted\",,SE,,1,1e3,-5,,,\n\
               4,,x,,,,,,,,,,\n";
    let one = "from,since,age,rate,trusted,email,country,device,recipient,customer,amount,at,id,fraud\r\n\
               ,,,,,,,,r,c,1,2018-04-01 00:00:00,1,\r\n";
    vec![("all".to_owned(), all.as_bytes().to_vec()), ("one".to_owned(), one.as_bytes().to_vec())]
}

const SCHEMA: &str = "message payments {
    required int64 id; required int64 at (TIMESTAMP(MICROS, true)); required double amount; required binary customer (UTF8);
    optional binary recipient (UTF8); optional binary device (UTF8); optional binary country (UTF8);
    optional binary email (UTF8); optional boolean trusted; optional float rate; optional int32 age; optional int96 since;
    optional fixed_len_byte_array(16) from (UUID); optional int32 fraud;
}";

pub(super) fn parquet_seeds() -> Vec<(String, Vec<u8>)> {
    let forms = [
        ("plain", Compression::UNCOMPRESSED),
        ("snappy", Compression::SNAPPY),
        ("lz4", Compression::LZ4_RAW),
        ("brotli", Compression::BROTLI(BrotliLevel::default())),
    ];
    forms.iter().map(|(name, compression)| ((*name).to_owned(), parquet_file(*compression))).collect()
}

fn parquet_file(compression: Compression) -> Vec<u8> {
    const TEXTS: [&[u8]; 3] = [b"596", b"NO", b"SE"];
    let schema = Arc::new(parse_message_type(SCHEMA).expect("the schema is valid"));
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, properties).expect("writing to memory succeeds");
    let mut group = file.next_row_group().expect("writing to memory succeeds");
    let levels: [i16; 3] = [1, 0, 1];
    while let Some(mut column) = group.next_column().expect("writing to memory succeeds") {
        let written = match column.untyped() {
            ColumnWriter::BoolColumnWriter(writer) => writer.write_batch(&[true, false], Some(&levels), None),
            ColumnWriter::Int32ColumnWriter(writer) => writer.write_batch(&[41, 0], Some(&levels), None),
            ColumnWriter::Int64ColumnWriter(writer) => {
                writer.write_batch(&[1, 2_000_000, 1_522_540_831_000_000], None, None)
            }
            ColumnWriter::Int96ColumnWriter(writer) => {
                let at = parquet::data_type::Int96::from(vec![0, 0, 2_457_000]);
                writer.write_batch(&[at, at], Some(&levels), None)
            }
            ColumnWriter::FloatColumnWriter(writer) => writer.write_batch(&[0.5, 1e3], Some(&levels), None),
            ColumnWriter::DoubleColumnWriter(writer) => writer.write_batch(&[57.16, 146.0, 0.3], None, None),
            ColumnWriter::ByteArrayColumnWriter(writer) => {
                let texts: Vec<ByteArray> = TEXTS.iter().map(|text| ByteArray::from(text.to_vec())).collect();
                if writer.get_descriptor().max_def_level() == 0 {
                    writer.write_batch(&texts, None, None)
                } else {
                    writer.write_batch(&texts[1..], Some(&levels), None)
                }
            }
            ColumnWriter::FixedLenByteArrayColumnWriter(writer) => {
                let ids: Vec<_> = [3_u128, 1].map(|id| ByteArray::from(id.to_be_bytes().to_vec()).into()).to_vec();
                writer.write_batch(&ids, Some(&levels), None)
            }
        };
        written.expect("writing to memory succeeds");
        column.close().expect("writing to memory succeeds");
    }
    group.close().expect("writing to memory succeeds");
    file.into_inner().expect("writing to memory succeeds")
}
