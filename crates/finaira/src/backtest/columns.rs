//! The columns of the output while a row group is collected.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::writer::SerializedColumnWriter;

/// How many different texts a column caches, so that repeated texts take no extra memory.
const REPEATED_TEXTS_MAX: usize = 4096;

/// A column with its values since the last row group.
pub(crate) struct OutputColumn {
    pub(crate) name: String,
    pub(crate) values: Values,
    /// The definition level of each row: 1 if the row has a value, otherwise 0.
    levels: Vec<i16>,
    repeated: HashMap<Box<str>, ByteArray, FixedState>,
    joined: String,
}

/// The values that are present.
#[derive(Debug)]
pub(crate) enum Values {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
    Text(Vec<ByteArray>),
}

impl OutputColumn {
    pub(crate) fn new(name: String, values: Values) -> Self {
        Self { name, values, levels: Vec::new(), repeated: HashMap::default(), joined: String::new() }
    }

    pub(crate) fn push_null(&mut self) {
        self.levels.push(0);
    }

    pub(crate) fn push_int32(&mut self, value: i32) {
        if let Values::Int32(values) = &mut self.values {
            values.push(value);
            self.levels.push(1);
        }
    }

    pub(crate) fn push_int64(&mut self, value: i64) {
        if let Values::Int64(values) = &mut self.values {
            values.push(value);
            self.levels.push(1);
        }
    }

    pub(crate) fn push_double(&mut self, value: f64) {
        if let Values::Double(values) = &mut self.values {
            values.push(value);
            self.levels.push(1);
        }
    }

    pub(crate) fn push_bool(&mut self, value: bool) {
        if let Values::Bool(values) = &mut self.values {
            values.push(value);
            self.levels.push(1);
        }
    }

    /// Adds a text that is rarely repeated.
    pub(crate) fn push_text(&mut self, text: &str) {
        if let Values::Text(values) = &mut self.values {
            values.push(ByteArray::from(text));
            self.levels.push(1);
        }
    }

    /// Adds a text that is often repeated, from the cache.
    pub(crate) fn push_word(&mut self, text: &str) {
        let Values::Text(values) = &mut self.values else { return };
        let bytes = match self.repeated.get(text) {
            Some(known) => known.clone(),
            None => {
                let bytes = ByteArray::from(text);
                if self.repeated.len() < REPEATED_TEXTS_MAX {
                    self.repeated.insert(text.into(), bytes.clone());
                }
                bytes
            }
        };
        values.push(bytes);
        self.levels.push(1);
    }

    /// Adds texts joined with commas.
    pub(crate) fn push_joined<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        for text in texts {
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(text);
        }
        self.push_word(&joined);
        self.joined = joined;
    }

    /// Writes the values and clears the column.
    pub(crate) fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> anyhow::Result<()> {
        let levels = Some(self.levels.as_slice());
        match (&mut self.values, writer.untyped()) {
            (Values::Int32(values), ColumnWriter::Int32ColumnWriter(writer)) => {
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            (Values::Int64(values), ColumnWriter::Int64ColumnWriter(writer)) => {
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            (Values::Double(values), ColumnWriter::DoubleColumnWriter(writer)) => {
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            (Values::Bool(values), ColumnWriter::BoolColumnWriter(writer)) => {
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            (Values::Text(values), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            _ => anyhow::bail!("column `{}` does not have the type in the schema", self.name),
        }
        self.levels.clear();
        Ok(())
    }
}
