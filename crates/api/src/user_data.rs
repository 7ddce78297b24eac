//! Parses the user data of accounts and transfers, in bodies and in filters.

use types::{Amount, TransferId};

use crate::json::{Fields, shorten};
use crate::parameters::{Parameters, invalid};
use crate::problem::Problem;

const WIDE: &str = "a string with a decimal below 2^128 or a hyphenated UUID";
const LONG: &str = "a string with a decimal below 2^64";

/// The field `user_data_128`; 0 if it is absent.
pub(crate) fn wide(fields: &mut Fields) -> Result<u128, Problem> {
    let Some(text) = fields.text("user_data_128", WIDE, 64)? else { return Ok(0) };
    parse_wide(&text)
        .ok_or_else(|| fields.invalid("user_data_128", format!("found `{}`, expected {WIDE}", shorten(&text))))
}

/// The field `user_data_64`; 0 if it is absent.
pub(crate) fn long(fields: &mut Fields) -> Result<u64, Problem> {
    let Some(text) = fields.text("user_data_64", LONG, 64)? else { return Ok(0) };
    parse_long(&text)
        .ok_or_else(|| fields.invalid("user_data_64", format!("found `{}`, expected {LONG}", shorten(&text))))
}

/// The user data that a filter asks for. It is never 0, because 0 means that there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UserDataFilter {
    pub(crate) wide: Option<u128>,
    pub(crate) long: Option<u64>,
    pub(crate) short: Option<u32>,
}

impl UserDataFilter {
    /// Reads the parameters `user_data_128`, `user_data_64` and `user_data_32`.
    pub(crate) fn read(parameters: &Parameters) -> Result<Self, Problem> {
        Ok(Self {
            wide: read(parameters, "user_data_128", "a decimal from 1 to 2^128 - 1 or a hyphenated UUID", parse_wide)?,
            long: read(parameters, "user_data_64", "a decimal from 1 to 2^64 - 1", parse_long)?,
            short: read(parameters, "user_data_32", "a decimal from 1 to 2^32 - 1", |text| {
                parse_long(text).and_then(|number| u32::try_from(number).ok())
            })?,
        })
    }
}

fn read<T: Default + PartialEq>(
    parameters: &Parameters,
    name: &str,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    match parse(text).filter(|data| *data != T::default()) {
        Some(data) => Ok(Some(data)),
        None => Err(invalid(name, format!("found `{}`, expected {expected}", shorten(text)))),
    }
}

fn parse_wide(text: &str) -> Option<u128> {
    let uuid = || text.parse::<TransferId>().ok().map(TransferId::get);
    text.parse::<Amount>().ok().map(Amount::get).or_else(uuid)
}

fn parse_long(text: &str) -> Option<u64> {
    text.parse::<Amount>().ok().and_then(|number| u64::try_from(number.get()).ok())
}
