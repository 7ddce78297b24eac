//! Packed batches: records in, records out. The engine judges each event on its own.

use api::packed::{self, AccountRecord, TransferRecord};
use api::{ErrorCode, Problem};
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use engine::{Command, Query, Reply};
use types::RequestId;

use crate::http::call::Call;
use crate::http::failure::{Failure, Handled};
use crate::http::ledgers::unexpected;

pub(crate) async fn create_accounts(call: Call) -> Handled {
    let events = packed::accounts(&call.body)?;
    let Reply::AccountResults(results) = call.command(Command::CreateAccounts(events)).await? else {
        return Err(unexpected());
    };
    Ok(records(packed::account_results(&results)))
}

pub(crate) async fn create_transfers(call: Call) -> Handled {
    let balances = match call.parameters.get("balances") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            let detail = "found another word, expected `true` or `false`";
            return Err(Problem::new(ErrorCode::InvalidParameter, detail).at("balances").into());
        }
    };
    let events = packed::transfers(&call.body)?;
    let command = Command::CreateTransfers { events, balances };
    let Reply::TransferResults { results, balances } = call.command(command).await? else {
        return Err(unexpected());
    };
    Ok(records(packed::transfer_results(&results, &balances)))
}

pub(crate) async fn lookup_accounts(call: Call) -> Handled {
    let ids = packed::account_ids(&call.body)?;
    let Reply::Accounts(accounts) = call.query(Query::LookupAccounts(ids)).await? else { return Err(unexpected()) };
    Ok(records(packed::answer(accounts.iter().map(|account| AccountRecord::from(account).encode()))))
}

pub(crate) async fn lookup_transfers(call: Call) -> Handled {
    let ids = packed::transfer_ids(&call.body)?;
    let Reply::Transfers(transfers) = call.query(Query::LookupTransfers(ids)).await? else {
        return Err(unexpected());
    };
    Ok(records(packed::answer(transfers.iter().map(|(transfer, _)| TransferRecord::from(transfer).encode()))))
}

impl Call {
    /// Sends a command whose events name themselves.
    pub(crate) async fn command(&self, command: Command) -> Result<Reply, Failure> {
        let request = self.app.core.request(self.caller.actor, RequestId::default(), command);
        Ok(self.app.core.ask(request).await??)
    }
}

fn records(bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(packed::MEDIA_TYPE));
    response
}
