//! Imports of existing books: how they are asked for and shown. Their rows come as packed records, see
//! [`crate::packed`].

use engine::ImportCommand;
use ledger::ImportStatus;
use serde::Serialize;
use types::{Digest, ImportId, LedgerId};
use utoipa::ToSchema;

use crate::errors::ErrorCode;
use crate::identity::IdSource;
use crate::json::Fields;
use crate::packed;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::requests::Parsed;

/// An import to start.
#[derive(Debug, ToSchema)]
#[schema(as = NewImport)]
pub struct ImportBody {
    /// Chosen by the client, never used again.
    pub id: String,
    /// Where its rows will stand.
    #[schema(format = Int64, minimum = 1, example = 978)]
    pub ledger: u32,
    /// What tells its files apart from others: 64 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub content: String,
}

/// An import of an existing book.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Import {
    /// Its id.
    id: String,
    /// Its number among all imports, from 1.
    number: u16,
    /// Where its rows stand.
    #[schema(format = Int64, example = 978)]
    ledger: u32,
    /// `staged`: it takes rows, which nobody sees. `opened`: they stand in the ledger like any others. `discarded`: they
    /// never happened.
    #[schema(example = "staged")]
    state: &'static str,
    /// What tells its files apart from others.
    content: String,
    /// When it was started.
    #[schema(format = "date-time")]
    started_at: String,
    /// Accounts that were staged: the number of the next one, counted from 0.
    accounts: u64,
    /// Transfers that were staged: the number of the next one, counted from 0.
    transfers: u64,
}

impl From<&ImportStatus> for Import {
    fn from(status: &ImportStatus) -> Self {
        let ImportStatus { import, state, progress, .. } = status;
        Self {
            id: import.id.to_string(),
            number: import.number.get(),
            ledger: import.ledger.get(),
            state: state.name(),
            content: import.content.to_string(),
            started_at: import.started_at.to_string(),
            accounts: progress.accounts,
            transfers: progress.transfers,
        }
    }
}

/// Reads `POST /v1/imports`.
///
/// # Errors
/// When the body is not that of an import.
pub fn start(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<ImportCommand>, Problem> {
    let mut fields = Fields::of_body(body, &["id", "ledger", "content"])?;
    let id: ImportId = fields.required("id", |fields, name| fields.parsed(name, "a 128-bit id"))?;
    let ledger = LedgerId::new(fields.required("ledger", |fields, name| fields.number(name, 1, u32::MAX))?);
    let content: Digest = fields.required("content", |fields, name| fields.parsed(name, "64 hexadecimal digits"))?;
    let request = source.named("/v1/imports", &id.to_string());
    Ok(Parsed { request, operation: ImportCommand::Start { id, ledger, content } })
}

/// Reads the rows of `POST /v1/imports/{id}/rows`.
///
/// # Errors
/// When a parameter is missing or the body is no whole number of records.
pub fn rows(id: ImportId, parameters: &Parameters, body: &[u8]) -> Result<ImportCommand, Problem> {
    let invalid = |name, detail: &str| Problem::new(ErrorCode::InvalidParameter, detail.to_owned()).at(name);
    let first = parameters.get("first").and_then(|first| first.parse().ok());
    let first = first.ok_or_else(|| invalid("first", "expected the number of the first row, from 0"))?;
    match parameters.get("kind") {
        Some("accounts") => Ok(ImportCommand::StageAccounts { id, first, rows: packed::accounts(body)? }),
        Some("transfers") => Ok(ImportCommand::StageTransfers { id, first, rows: packed::transfers(body)? }),
        Some(_) | None => Err(invalid("kind", "expected `accounts` or `transfers`")),
    }
}
