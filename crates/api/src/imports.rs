//! Imports of existing books: parses the requests and renders the answers. Rows arrive as packed records; see
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
    /// The id of the import, chosen by the client. It can be used only once.
    pub id: String,
    /// The number of the ledger that the rows belong to.
    #[schema(format = Int64, minimum = 1, example = 978)]
    pub ledger: u32,
    /// A digest of the files, which identifies them: 64 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub content: String,
}

/// An import of an existing book.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Import {
    /// The id of the import, chosen by the client.
    id: String,
    /// The number of the import among all imports, from 1.
    number: u16,
    /// The number of the ledger that the rows belong to.
    #[schema(format = Int64, example = 978)]
    ledger: u32,
    /// `staged`: the import accepts rows, and nobody can see them. `opened`: the rows are in the ledger like any
    /// others. `discarded`: the rows never take effect.
    #[schema(example = "staged")]
    state: &'static str,
    /// The digest of the files, which identifies them.
    content: String,
    /// When the import was started.
    #[schema(format = "date-time")]
    started_at: String,
    /// The number of accounts that were added so far, which is also the number of the next row, counted from 0.
    accounts: u64,
    /// The number of transfers that were added so far, which is also the number of the next row, counted from 0.
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

/// Parses the body of `POST /v1/imports`.
///
/// # Errors
/// If the body does not describe an import.
pub fn start(source: &IdSource<'_>, body: &[u8]) -> Result<Parsed<ImportCommand>, Problem> {
    let mut fields = Fields::of_body(body, &["id", "ledger", "content"])?;
    let id: ImportId = fields.required("id", |fields, name| fields.parsed(name, "a string with an id"))?;
    let ledger = LedgerId::new(fields.required("ledger", |fields, name| fields.number(name, 1, u32::MAX))?);
    let content: Digest =
        fields.required("content", |fields, name| fields.parsed(name, "a string of 64 hexadecimal digits"))?;
    let request = source.named("/v1/imports", &id.to_string());
    Ok(Parsed { request, operation: ImportCommand::Start { id, ledger, content } })
}

/// Parses the rows of `POST /v1/imports/{id}/rows`.
///
/// # Errors
/// If a parameter is missing, or the body is not a whole number of records.
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
