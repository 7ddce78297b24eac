//! Reads CSV files: a line of column names, then rows. Every value is text, and an empty value is no value.
//!
//! LF, CR LF and CR end a row, and empty lines are skipped. A field that begins with a double quote ends with the next
//! one, and may contain delimiters, line ends and doubled quotes. Other quotes are text.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::{BrokenRow, Column, RowGroup, Texts};

/// The most bytes that the fields of one row may have. Quotes that nobody closes make a row of the rest of the file.
const ROW_BYTES_MAX: usize = 16 << 20;

/// How many bytes are read from a file at once.
const BUFFER_BYTES: usize = 1 << 18;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

pub(super) struct Rows {
    reader: Reader<BufReader<File>>,
    fields: Fields,
    expected: usize,
    columns: Vec<usize>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// Reads the column names of a file.
pub(super) fn names(path: &Path, delimiter: u8) -> anyhow::Result<Vec<String>> {
    let mut fields = Fields::default();
    if !open(path, delimiter)?.read(&mut fields)? {
        bail!("the file is empty; a CSV file starts with a line of column names");
    }
    let name = |field: &[u8]| String::from_utf8(field.to_vec()).ok();
    let names: Option<Vec<String>> = fields.iter().map(name).collect();
    names.context("the line of column names is not UTF-8")
}

fn open(path: &Path, delimiter: u8) -> anyhow::Result<Reader<BufReader<File>>> {
    Reader::new(BufReader::with_capacity(BUFFER_BYTES, File::open(path)?), delimiter)
}

impl Rows {
    /// Opens a file to read these columns. Each row must have `expected` fields.
    pub(super) fn open(path: &Path, delimiter: u8, expected: usize, columns: &[usize]) -> anyhow::Result<Self> {
        let (mut reader, mut fields) = (open(path, delimiter)?, Fields::default());
        reader.read(&mut fields)?;
        Ok(Self { reader, fields, expected, columns: columns.to_vec() })
    }

    pub(super) fn next_batch(&mut self, rows_max: usize) -> anyhow::Result<Option<RowGroup>> {
        let mut texts: Vec<Texts> = self.columns.iter().map(|_| Texts::default()).collect();
        let mut broken = Vec::new();
        let mut rows = 0;
        while rows < rows_max && self.reader.read(&mut self.fields)? {
            // A broken row is reported in its batch and does not stop the reading.
            if let Some((found, expected)) = self.fields.fault(self.expected) {
                broken.push(BrokenRow { row: rows, found, expected });
            }
            for (texts, &column) in texts.iter_mut().zip(&self.columns) {
                texts.push(self.fields.get(column).filter(|text| !text.is_empty()));
            }
            rows += 1;
        }
        let columns = texts.into_iter().map(Column::Text).collect();
        Ok((rows > 0).then_some(RowGroup { rows, columns, broken }))
    }
}

/// The fields of one row, one after another.
#[derive(Debug, Default)]
struct Fields {
    bytes: Vec<u8>,
    /// The end of each field.
    ends: Vec<usize>,
    /// The first and the last line of the row, from 1.
    lines: (u64, u64),
    /// Whether a closing quote is followed by something else than the end of its field.
    has_text_after_quote: bool,
}

impl Fields {
    /// Begins a row on this line.
    fn start(&mut self, line: u64) {
        self.bytes.clear();
        self.ends.clear();
        self.lines = (line, line);
        self.has_text_after_quote = false;
    }

    /// What is wrong with the row of a file with so many columns, and what was expected instead.
    fn fault(&self, columns: usize) -> Option<(String, String)> {
        let (first, last) = self.lines;
        let row = || match last.saturating_sub(first) {
            0 => format!("the row on line {first}"),
            _ => format!("the row on lines {first} to {last}"),
        };
        // The opening quote of a later line closes quotes that were left open, and its text follows.
        if self.has_text_after_quote && first < last {
            let expected = "the end of the field: an earlier quote may not be closed".to_owned();
            return Some((format!("{} has text after a closing quote", row()), expected));
        }
        let fields = self.count();
        (fields != columns).then(|| (format!("{} has {fields} fields", row()), columns.to_string()))
    }

    /// Ends the last field, and the row, on this line.
    fn end(&mut self, line: u64) {
        self.end_field();
        self.lines.1 = line;
    }

    fn end_field(&mut self) {
        self.ends.push(self.bytes.len());
    }

    fn count(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, field: usize) -> Option<&[u8]> {
        let end = *self.ends.get(field)?;
        let start = field.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        self.bytes.get(start..end)
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count()).filter_map(|field| self.get(field))
    }
}

/// Splits a file into rows and fields.
struct Reader<R> {
    input: R,
    delimiter: u8,
    /// The line of the next byte, from 1.
    line: u64,
    /// Whether the last byte was CR. An LF after it belongs to the same line end.
    after_cr: bool,
}

/// Where the reader is in a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first byte of a field.
    Start,
    /// In a field without quotes, or after the closing quote.
    Plain,
    /// Between quotes, which opened on this line.
    Quoted(u64),
    /// After a quote that closes the quotes, or is the first of two, which stand for one.
    Quote(u64),
}

impl<R: BufRead> Reader<R> {
    fn new(mut input: R, delimiter: u8) -> anyhow::Result<Self> {
        let start = input.fill_buf()?;
        ensure!(
            !start.starts_with(b"\xFF\xFE") && !start.starts_with(b"\xFE\xFF"),
            "the file is in UTF-16, expected UTF-8"
        );
        if start.starts_with(BYTE_ORDER_MARK) {
            input.consume(BYTE_ORDER_MARK.len());
        }
        Ok(Self { input, delimiter, line: 1, after_cr: false })
    }

    /// Reads the next row that is not empty. Returns `false` at the end of the file.
    ///
    /// # Errors
    /// If the file cannot be read or ends between quotes, or if the row is too long.
    fn read(&mut self, fields: &mut Fields) -> anyhow::Result<bool> {
        fields.start(self.line);
        let mut place = Place::Start;
        loop {
            let buffer = self.input.fill_buf()?;
            let is_last = buffer.is_empty();
            let (mut used, mut is_complete) = (0, false);
            for &byte in buffer {
                used += 1;
                let is_line_end = matches!(byte, b'\n' | b'\r');
                // The LF of a CR LF ends no further line.
                let next_line = self.line + u64::from(is_line_end && !(byte == b'\n' && self.after_cr));
                match place {
                    Place::Quoted(line) if byte == b'"' => place = Place::Quote(line),
                    Place::Quoted(_) => fields.bytes.push(byte),
                    Place::Quote(line) if byte == b'"' => {
                        fields.bytes.push(byte);
                        place = Place::Quoted(line);
                    }
                    Place::Start if byte == b'"' => place = Place::Quoted(self.line),
                    Place::Start if is_line_end && fields.ends.is_empty() => fields.start(next_line),
                    _ if is_line_end => is_complete = true,
                    _ if byte == self.delimiter => {
                        fields.end_field();
                        place = Place::Start;
                    }
                    Place::Start | Place::Plain | Place::Quote(_) => {
                        fields.has_text_after_quote |= matches!(place, Place::Quote(_));
                        fields.bytes.push(byte);
                        place = Place::Plain;
                    }
                }
                if is_complete {
                    fields.end(self.line);
                }
                self.after_cr = byte == b'\r';
                self.line = next_line;
                if is_complete {
                    break;
                }
            }
            self.input.consume(used);
            match place {
                _ if is_complete => return Ok(true),
                Place::Quoted(line) if is_last => bail!("the file ends between quotes that opened on line {line}"),
                Place::Start if is_last && fields.ends.is_empty() => return Ok(false),
                _ if is_last => {
                    fields.end(self.line);
                    return Ok(true);
                }
                _ if fields.bytes.len() <= ROW_BYTES_MAX => {}
                Place::Quoted(line) | Place::Quote(line) => {
                    bail!("a row has more than {ROW_BYTES_MAX} bytes, between quotes that opened on line {line}")
                }
                Place::Start | Place::Plain => {
                    bail!("the row on line {} has more than {ROW_BYTES_MAX} bytes", fields.lines.0)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    /// The rows of a file as one line each: its lines, and its fields between bars.
    fn rows(bytes: &[u8], delimiter: u8, buffer_bytes: usize) -> Result<Vec<String>, String> {
        let input = BufReader::with_capacity(buffer_bytes, bytes);
        let mut reader = Reader::new(input, delimiter).map_err(|error| error.to_string())?;
        let (mut fields, mut rows) = (Fields::default(), Vec::new());
        while reader.read(&mut fields).map_err(|error| error.to_string())? {
            let texts: Vec<_> = fields.iter().map(|field| String::from_utf8_lossy(field)).collect();
            let (first, last) = fields.lines;
            rows.push(format!("{first}-{last} {}", texts.join("|")));
        }
        Ok(rows)
    }

    #[track_caller]
    fn check(bytes: &str, expected: &[&str]) {
        // The smallest buffer has the room that a byte order mark needs.
        for buffer_bytes in [3, 4, 1024] {
            assert_eq!(rows(bytes.as_bytes(), b',', buffer_bytes).unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_row_knows_its_lines() {
        check("a,b\n1,2\n", &["1-1 a|b", "2-2 1|2"]);
        check("a,b\r\n1,2\r\n\r\n3,4", &["1-1 a|b", "2-2 1|2", "4-4 3|4"]);
        check("a\r1\r\r2", &["1-1 a", "2-2 1", "4-4 2"]);
        check("\n\na\n\"x\r\ny\nz\",1\nb", &["3-3 a", "4-6 x\r\ny\nz|1", "7-7 b"]);
        check("\u{feff}\"a\",", &["1-1 a|"]);
        check("", &[]);
        check("\n", &[]);
    }

    #[test]
    fn quotes_count_at_the_beginning_of_a_field_only() {
        check("\"a,\"\"b\"\"\",c\"d\"", &["1-1 a,\"b\"|c\"d\""]);
        check("\"a\"b\"c\",\"\"", &["1-1 ab\"c\"|"]);
        check("a, \"b", &["1-1 a| \"b"]);
    }

    #[test]
    fn a_file_that_ends_between_quotes_is_an_error_that_names_their_line() {
        for (bytes, line) in
            [("a,b\n1,\"2\n3,4\n", 2), ("a,b\r\n\"1\r\n2\",\"3,4\r\n5,6", 3), ("a\n\"\"\"", 2), ("\"", 1)]
        {
            let expected = format!("the file ends between quotes that opened on line {line}");
            assert_eq!(rows(bytes.as_bytes(), b',', 4), Err(expected), "{bytes:?}");
        }
    }

    #[test]
    fn quotes_that_nobody_closes_do_not_fill_the_memory() {
        let start = b"a\n1\n\"".as_slice().chain(std::io::repeat(b'x'));
        let mut reader = Reader::new(BufReader::new(start), b',').unwrap();
        let mut fields = Fields::default();
        assert!(reader.read(&mut fields).unwrap() && reader.read(&mut fields).unwrap());
        let error = reader.read(&mut fields).unwrap_err().to_string();
        assert_eq!(error, "a row has more than 16777216 bytes, between quotes that opened on line 3");
    }

    #[test]
    fn a_file_in_utf16_is_refused() {
        let expected = "the file is in UTF-16, expected UTF-8".to_owned();
        assert_eq!(rows(b"\xFF\xFEi\0d\0", b',', 64), Err(expected));
    }

    proptest! {
        /// Rows and fields are those of a widely used library, which does not report quotes that nobody closes.
        #[test]
        fn rows_are_those_of_another_reader(bytes in "[a\",;\r\n]{0,24}", delimiter in prop_oneof![Just(b','), Just(b';')]) {
            let mut other = ::csv::ReaderBuilder::new();
            let mut other = other.flexible(true).has_headers(false).delimiter(delimiter).from_reader(bytes.as_bytes());
            let expected: Vec<String> =
                other.records().map(|record| record.unwrap().iter().collect::<Vec<_>>().join("|")).collect();
            match rows(bytes.as_bytes(), delimiter, 4) {
                Ok(found) => {
                    let found: Vec<&str> = found.iter().map(|row| row.split_once(' ').unwrap().1).collect();
                    prop_assert_eq!(found, expected);
                }
                Err(error) => prop_assert!(error.starts_with("the file ends between quotes"), "{}", error),
            }
        }
    }
}
