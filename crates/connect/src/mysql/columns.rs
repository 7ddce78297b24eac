//! Reads the columns of rows.

use mysql::Row;

use crate::tables::Take;
use crate::target::Fault;

/// A row of which columns are read one after another. The server sends the values of all columns as texts.
pub(super) struct Columns {
    row: Row,
    next: usize,
}

impl Columns {
    pub(super) fn new(row: Row) -> Self {
        Self { row, next: 0 }
    }
}

impl Take for Columns {
    fn text_option(&mut self) -> Result<Option<String>, Fault> {
        let column = self.next;
        self.next += 1;
        match self.row.take_opt::<Option<String>, usize>(column) {
            Some(Ok(text)) => Ok(text),
            Some(Err(error)) => Err(self.wrong(&error.to_string())),
            None => Err(self.wrong("there is no such column")),
        }
    }

    fn number_option(&mut self) -> Result<Option<u64>, Fault> {
        let text = self.text_option()?;
        text.map(|text| text.parse().map_err(|_unparsed| self.wrong(&text))).transpose()
    }

    fn bool_option(&mut self) -> Result<Option<bool>, Fault> {
        let number = self.number_option()?;
        Ok(number.map(|number| number != 0))
    }

    fn array(&mut self) -> Result<Vec<String>, Fault> {
        let text = self.text()?;
        serde_json::from_str(&text).map_err(|error| self.wrong(&error.to_string()))
    }

    fn wrong(&self, what: &str) -> Fault {
        let column = self.row.columns_ref().get(self.next.saturating_sub(1));
        let name = column.map_or("?".into(), |column| column.name_str());
        Fault::Contradicts(format!("column {name}: {what}"))
    }
}
