//! Reads the columns of rows.

use postgres::Row;
use postgres::types::{FromSql, Type};

use crate::tables::Take;
use crate::target::Fault;

/// A row of which columns are read one after another.
pub(super) struct Columns {
    row: Row,
    next: usize,
}

impl Columns {
    pub(super) fn new(row: Row) -> Self {
        Self { row, next: 0 }
    }

    fn get<T: for<'a> FromSql<'a>>(&mut self) -> Result<T, Fault> {
        let column = self.next;
        self.next += 1;
        self.row.try_get(column).map_err(|error| self.wrong(&error.to_string()))
    }
}

impl Take for Columns {
    fn text_option(&mut self) -> Result<Option<String>, Fault> {
        self.get()
    }

    fn number_option(&mut self) -> Result<Option<u64>, Fault> {
        let is_short = self.row.columns().get(self.next).is_some_and(|column| *column.type_() == Type::INT4);
        let number: Option<i64> = if is_short { self.get::<Option<i32>>()?.map(i64::from) } else { self.get()? };
        number.map(|number| u64::try_from(number).map_err(|_range| self.wrong(&number.to_string()))).transpose()
    }

    fn bool_option(&mut self) -> Result<Option<bool>, Fault> {
        self.get()
    }

    fn array(&mut self) -> Result<Vec<String>, Fault> {
        self.get()
    }

    fn wrong(&self, what: &str) -> Fault {
        let name = self.row.columns().get(self.next.saturating_sub(1)).map_or("?", |column| column.name());
        Fault::Contradicts(format!("column {name}: {what}"))
    }
}
