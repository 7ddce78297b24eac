//! The working memory of one evaluation. It lies on the stack, so that nothing is allocated, and its size is fixed when
//! the expression is compiled.

use std::cell::Cell;
use std::fmt;

use super::{EvalError, Row, Value};

/// What an evaluation works with: the row, and room for the values that it makes.
pub(super) struct Context<'a> {
    row: &'a dyn Row,
    /// Room for the elements of lists and maps that is not taken yet.
    values: Cell<&'a mut [Value<'a>]>,
    /// Room for strings that is not taken yet.
    bytes: Cell<&'a mut [u8]>,
    /// The variables of macros.
    locals: &'a [Cell<Value<'a>>],
}

/// How much room a program needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Nothing but the row.
    None,
    /// Variables of macros, strings, and up to 32 elements of lists and maps.
    Small,
    /// As `Small`, with up to [`super::COST_MAX`] elements.
    Large,
}

pub(super) const SMALL_VALUES: usize = 32;

/// Calls a function with a context that has as much room as a [`Room`] says. A macro, because the room must lie in the
/// caller's stack frame.
macro_rules! with_room {
    ($values:expr, $row:expr, $cx:ident => $body:expr) => {{
        let mut values = [Value::Null; $values];
        let mut bytes = [0_u8; TEXT_ROOM_BYTES];
        let locals = [const { Cell::new(Value::Null) }; LOCALS_MAX];
        let $cx = Context::new($row, &mut values, &mut bytes, &locals);
        $body
    }};
}
pub(super) use with_room;

impl<'a> Context<'a> {
    /// A context for programs that need no room.
    pub(super) fn bare(row: &'a dyn Row) -> Self {
        Self::new(row, &mut [], &mut [], &[])
    }

    pub(super) fn new(
        row: &'a dyn Row,
        values: &'a mut [Value<'a>],
        bytes: &'a mut [u8],
        locals: &'a [Cell<Value<'a>>],
    ) -> Self {
        Self { row, values: Cell::new(values), bytes: Cell::new(bytes), locals }
    }

    pub(super) fn row(&self) -> &'a dyn Row {
        self.row
    }

    pub(super) fn local(&self, index: u8) -> Value<'a> {
        self.locals.get(usize::from(index)).map_or(Value::Null, Cell::get)
    }

    pub(super) fn set_local(&self, index: u8, value: Value<'a>) {
        if let Some(local) = self.locals.get(usize::from(index)) {
            local.set(value);
        }
    }

    /// Takes room for `len` values.
    pub(super) fn take_values(&self, len: usize) -> Result<&'a mut [Value<'a>], EvalError> {
        let room = self.values.take();
        if len > room.len() {
            self.values.set(room);
            return Err(EvalError::TooLong);
        }
        let (taken, rest) = room.split_at_mut(len);
        self.values.set(rest);
        Ok(taken)
    }

    /// Takes room for `len` bytes.
    pub(super) fn take_bytes(&self, len: usize) -> Result<&'a mut [u8], EvalError> {
        let room = self.bytes.take();
        if len > room.len() {
            self.bytes.set(room);
            return Err(EvalError::TooLong);
        }
        let (taken, rest) = room.split_at_mut(len);
        self.bytes.set(rest);
        Ok(taken)
    }

    /// Makes a string by writing it.
    pub(super) fn text(&self, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) -> Result<&'a str, EvalError> {
        let room = self.bytes.take();
        let mut writer = Writer { room, len: 0 };
        let written = write(&mut writer);
        let Writer { room, len } = writer;
        match written {
            Ok(()) => {
                let (taken, rest) = room.split_at_mut(len);
                self.bytes.set(rest);
                std::str::from_utf8(taken).or(Err(EvalError::InvalidConversion))
            }
            Err(fmt::Error) => {
                self.bytes.set(room);
                Err(EvalError::TooLong)
            }
        }
    }

    /// Joins two strings.
    pub(super) fn join(&self, left: &str, right: &str) -> Result<&'a str, EvalError> {
        self.text(|into| {
            fmt::Write::write_str(into, left)?;
            fmt::Write::write_str(into, right)
        })
    }
}

/// Writes text into the room of a context, as long as it has some.
pub(super) struct Writer<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.room.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
