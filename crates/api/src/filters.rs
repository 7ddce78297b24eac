//! Parses the query parameters that filter accounts.

use engine::AccountFilter;
use types::Code;

use crate::json::{Json, shorten};
use crate::parameters::{Parameters, invalid};
use crate::problem::Problem;
use crate::requests::ledger_id;
use crate::user_data::UserDataFilter;

/// Reads the filters of `GET /v1/accounts`.
pub fn accounts(parameters: &Parameters) -> Result<AccountFilter, Problem> {
    let user_data = UserDataFilter::read(parameters)?;
    Ok(AccountFilter {
        ledger: parameters.get("ledger").map(|text| ledger_id("ledger", text)).transpose()?,
        code: code(parameters)?,
        user_data_128: user_data.wide,
        user_data_64: user_data.long,
        user_data_32: user_data.short,
        address_prefix: parameters.get("address_prefix").map(address_prefix).transpose()?,
        metadata: metadata(parameters)?,
        ..AccountFilter::default()
    })
}

/// Reads the parameter `address_prefix`, which consists of whole segments.
pub fn address_prefix(text: &str) -> Result<String, Problem> {
    let prefix = text.strip_suffix(':').unwrap_or(text);
    let address: Result<ledger::Address, _> = prefix.parse();
    address.map(|address| address.to_string()).map_err(|error| {
        invalid(
            "address_prefix",
            format!("found `{}`, expected the first segments of an address: {error}", shorten(text)),
        )
    })
}

/// Reads the parameters `metadata.<key>`, whose values are JSON. A number is found by exactly the characters with which
/// it was set: 1, 1.0 and 1e0 are three values.
pub fn metadata(parameters: &Parameters) -> Result<Vec<(String, String)>, Problem> {
    let given = parameters.behind("metadata.");
    let read = given.map(|(key, text)| {
        let name = format!("metadata.{}", shorten(key));
        let value = Json::read(text).map_err(|_not_json| {
            let detail = format!("found `{}`, expected JSON, such as \"gold\" with its quotes, or 7", shorten(text));
            invalid(&name, detail)
        })?;
        let text = value.canonical("").map_err(|unkept| invalid(&name, unkept.detail()))?;
        Ok((key.to_owned(), text))
    });
    read.collect()
}

/// Reads the parameter `code`.
pub(crate) fn code(parameters: &Parameters) -> Result<Option<Code>, Problem> {
    let Some(text) = parameters.get("code") else { return Ok(None) };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let code = text.parse::<u16>().ok().filter(|code| digits && *code > 0).map(Code::new);
    code.map(Some).ok_or_else(|| {
        let detail = format!("found `{}`, expected a code, a whole number from 1 to {}", shorten(text), u16::MAX);
        invalid("code", detail)
    })
}
