//! Query parameters that choose among accounts, read into what the engine looks through.

use engine::AccountFilter;
use types::Code;

use crate::json::shorten;
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
    })
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
