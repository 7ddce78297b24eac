//! Rows as values of CQL, and values as columns of rows.

use std::fmt::Display;

use scylla::frame::response::result::{CollectionType, ColumnType, NativeType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlTimestamp, CqlValue, CqlVarint, MaybeUnset, Row};
use types::Timestamp;

use crate::tables::{Put, Take};
use crate::target::Fault;

/// What is bound to a statement. Columns that are unset stay as they are.
pub(super) type Values = Vec<MaybeUnset<Option<CqlValue>>>;

/// Collects the values of rows for one statement, which says their types.
#[derive(Debug)]
pub(super) struct Binder {
    types: Vec<NativeType>,
    /// The place of the value that is the timestamp of the row too. The timestamp is bound after all others.
    sequence: Option<usize>,
    /// Whether a null removes what is there. Otherwise the column stays unset.
    removes: bool,
    row: Values,
    rows: Vec<Values>,
    wrong: Option<String>,
}

impl Binder {
    /// A binder for a statement that ends with `using timestamp ?`. The timestamp is the value of the variable `sequence`.
    pub(super) fn stamped(statement: &PreparedStatement, sequence: &str, removes: bool) -> Self {
        let place = statement.get_variable_col_specs().iter().position(|column| column.name() == sequence);
        Self { sequence: place, removes, ..Self::new(statement) }
    }

    /// A binder for any other statement.
    pub(super) fn new(statement: &PreparedStatement) -> Self {
        let types = statement.get_variable_col_specs().iter().map(|column| native(column.typ())).collect();
        Self { types, sequence: None, removes: true, row: Values::new(), rows: Vec::new(), wrong: None }
    }

    /// Leaves a column as it is.
    pub(super) fn unset(&mut self) -> &mut Self {
        self.row.push(MaybeUnset::Unset);
        self
    }

    /// The rows.
    ///
    /// # Errors
    /// When a value does not fit its column.
    pub(super) fn into_rows(self) -> Result<Vec<Values>, Fault> {
        match self.wrong {
            None => Ok(self.rows),
            Some(wrong) => Err(Fault::Refused(wrong)),
        }
    }

    fn push(&mut self, value: CqlValue) -> &mut Self {
        self.row.push(MaybeUnset::Set(Some(value)));
        self
    }

    /// Adds a text as the type of its column.
    fn add(&mut self, text: &str) -> &mut Self {
        let value = self.types.get(self.row.len()).and_then(|of| parsed(text, of));
        if value.is_none() && self.wrong.is_none() {
            self.wrong = Some(format!("`{text}` does not fit column {} of a statement", self.row.len() + 1));
        }
        self.row.push(value.map_or(MaybeUnset::Unset, |value| MaybeUnset::Set(Some(value))));
        self
    }
}

/// The type of a column, or of the elements of a list.
fn native(of: &ColumnType<'_>) -> NativeType {
    // Each variant with fields that this release does not use.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum belongs to the client library")]
    match of {
        ColumnType::Native(of) => of.clone(),
        ColumnType::Collection { typ: CollectionType::List(of), .. } => native(of),
        _ => NativeType::Blob,
    }
}

fn parsed(text: &str, of: &NativeType) -> Option<CqlValue> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum belongs to the client library")]
    Some(match of {
        NativeType::Text => CqlValue::Text(text.to_owned()),
        NativeType::Uuid => CqlValue::Uuid(text.parse().ok()?),
        NativeType::BigInt => CqlValue::BigInt(text.parse().ok()?),
        NativeType::Int => CqlValue::Int(text.parse().ok()?),
        NativeType::Varint => CqlValue::Varint(varint(text)?),
        _ => return None,
    })
}

/// A decimal number of at most 128 bits beside its sign.
fn varint(text: &str) -> Option<CqlVarint> {
    let bytes = match text.parse::<u128>() {
        // One more byte, because the first bit is the sign.
        Ok(number) => [&[0], number.to_be_bytes().as_slice()].concat(),
        Err(_signed) => text.parse::<i128>().ok()?.to_be_bytes().to_vec(),
    };
    // A byte that repeats the sign of the next one says nothing.
    let repeats = |pair: &(&u8, &u8)| *pair.0 == if *pair.1 & 0x80 == 0 { 0x00 } else { 0xff };
    let needless = bytes.iter().zip(bytes.iter().skip(1)).take_while(repeats).count();
    Some(CqlVarint::from_signed_bytes_be(bytes.into_iter().skip(needless).collect()))
}

/// The decimal text of a number of at most 128 bits beside its sign.
fn decimal(number: &CqlVarint) -> Option<String> {
    let bytes = number.as_signed_bytes_be_slice();
    let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let bytes = if !is_negative && bytes.len() == 17 { bytes.get(1..)? } else { bytes };
    let missing = 16_usize.checked_sub(bytes.len())?;
    let mut whole = vec![if is_negative { 0xff } else { 0x00 }; missing];
    whole.extend_from_slice(bytes);
    let whole: [u8; 16] = whole.try_into().ok()?;
    Some(if is_negative { i128::from_be_bytes(whole).to_string() } else { u128::from_be_bytes(whole).to_string() })
}

/// A time, rounded down to a millisecond.
pub(super) fn time(at: Timestamp) -> CqlTimestamp {
    CqlTimestamp(i64::try_from(at.ns() / 1_000_000).unwrap_or(i64::MAX))
}

/// The month of a time in UTC, such as `2026-01`.
pub(super) fn month(at: Timestamp) -> String {
    at.to_string().chars().take(7).collect()
}

impl Put for Binder {
    fn number(&mut self, value: impl Display) -> &mut Self {
        self.add(&value.to_string())
    }

    fn plain(&mut self, value: impl Display) -> &mut Self {
        self.add(&value.to_string())
    }

    fn text(&mut self, value: &str) -> &mut Self {
        self.add(value)
    }

    fn bool(&mut self, value: bool) -> &mut Self {
        self.push(CqlValue::Boolean(value))
    }

    fn time(&mut self, at: Timestamp) -> &mut Self {
        self.push(CqlValue::Timestamp(time(at)))
    }

    fn array<'t>(&mut self, values: impl Iterator<Item = &'t str>) -> &mut Self {
        self.push(CqlValue::List(values.map(|value| CqlValue::Text(value.to_owned())).collect()))
    }

    fn null(&mut self) -> &mut Self {
        self.row.push(if self.removes { MaybeUnset::Set(None) } else { MaybeUnset::Unset });
        self
    }

    fn end_row(&mut self) {
        let mut row = std::mem::take(&mut self.row);
        row.extend(self.sequence.and_then(|place| row.get(place).cloned()));
        self.rows.push(row);
    }
}

/// A row of which columns are read one after another.
pub(super) struct Columns {
    row: Row,
    next: usize,
    table: &'static str,
}

impl Columns {
    pub(super) fn new(row: Row, table: &'static str) -> Self {
        Self { row, next: 0, table }
    }

    fn take(&mut self) -> Result<Option<CqlValue>, Fault> {
        let place = self.next;
        self.next += 1;
        match self.row.columns.get_mut(place) {
            Some(value) => Ok(value.take()),
            None => Err(self.wrong("there is no such column")),
        }
    }
}

impl Take for Columns {
    fn text_option(&mut self) -> Result<Option<String>, Fault> {
        let Some(value) = self.take()? else { return Ok(None) };
        #[expect(clippy::wildcard_enum_match_arm, reason = "the enum belongs to the client library")]
        let text = match &value {
            CqlValue::Text(text) | CqlValue::Ascii(text) => Some(text.clone()),
            CqlValue::Uuid(id) => Some(id.to_string()),
            CqlValue::Varint(number) => decimal(number),
            CqlValue::BigInt(number) => Some(number.to_string()),
            CqlValue::Int(number) => Some(number.to_string()),
            _ => None,
        };
        text.map(Some).ok_or_else(|| self.wrong(&format!("{value:?}")))
    }

    fn number_option(&mut self) -> Result<Option<u64>, Fault> {
        let text = self.text_option()?;
        text.map(|text| text.parse().map_err(|_unparsed| self.wrong(&text))).transpose()
    }

    fn bool_option(&mut self) -> Result<Option<bool>, Fault> {
        let Some(value) = self.take()? else { return Ok(None) };
        value.as_boolean().map(Some).ok_or_else(|| self.wrong(&format!("{value:?}")))
    }

    fn array(&mut self) -> Result<Vec<String>, Fault> {
        let Some(value) = self.take()? else { return Ok(Vec::new()) };
        let texts = value.as_list().map(|values| values.iter().map(|value| value.as_text().cloned()).collect());
        texts.flatten().ok_or_else(|| self.wrong(&format!("{value:?}")))
    }

    fn wrong(&self, what: &str) -> Fault {
        Fault::Contradicts(format!("column {} of a row of {}: {what}", self.next, self.table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_bytes_as_they_need() {
        for (text, bytes) in [
            ("0", vec![0]),
            ("127", vec![0x7f]),
            ("128", vec![0, 0x80]),
            ("-1", vec![0xff]),
            ("-128", vec![0x80]),
            ("-129", vec![0xff, 0x7f]),
            ("340282366920938463463374607431768211455", [&[0], [0xff; 16].as_slice()].concat()),
            ("-170141183460469231731687303715884105728", [&[0x80], [0; 15].as_slice()].concat()),
        ] {
            let number = varint(text).expect(text);
            assert_eq!(number.as_signed_bytes_be_slice(), bytes, "{text}");
            assert_eq!(decimal(&number).as_deref(), Some(text));
        }
        assert_eq!(varint("340282366920938463463374607431768211456"), None);
        assert_eq!(varint("1.5"), None);
        // Others may write more bytes than are needed, or a larger number.
        assert_eq!(decimal(&CqlVarint::from_signed_bytes_be(vec![0, 0, 7])).as_deref(), Some("7"));
        assert_eq!(decimal(&CqlVarint::from_signed_bytes_be(vec![1; 18])), None);
    }

    #[test]
    fn texts_become_the_types_of_their_columns() {
        let id = "00000000-0000-0000-0000-00000000002a";
        assert_eq!(parsed(id, &NativeType::Uuid).map(|value| format!("{value:?}").contains("2a")), Some(true));
        assert_eq!(parsed("7", &NativeType::Int), Some(CqlValue::Int(7)));
        assert_eq!(parsed("7", &NativeType::BigInt), Some(CqlValue::BigInt(7)));
        assert_eq!(parsed("18446744073709551615", &NativeType::BigInt), None);
        assert_eq!(parsed("x", &NativeType::Text), Some(CqlValue::Text("x".to_owned())));
    }

    #[test]
    fn months_are_those_of_utc() {
        assert_eq!(month(Timestamp::from_ns(1_769_903_999_999_999_999)), "2026-01");
        assert_eq!(month(Timestamp::from_ns(1_769_904_000_000_000_000)), "2026-02");
    }
}
