//! Imports of existing books.

use api::imports::{self, Import};
use api::requests;
use api::responses::Page;
use engine::{Command, ImportCommand, Query, Reply};
use types::ImportId;

use crate::http::call::Call;
use crate::http::failure::{Handled, created, found, replayed};
use crate::http::ledgers::unexpected;

pub(crate) async fn start(call: Call) -> Handled {
    let parsed = imports::start(&call.ids(), &call.body)?;
    let Reply::Import(made, status) = call.ask(parsed).await? else { return Err(unexpected()) };
    Ok(created(made, &format!("/v1/imports/{}", status.import.id), &Import::from(&*status)))
}

pub(crate) async fn list(call: Call) -> Handled {
    let Reply::Imports(imports) = call.query(Query::Imports).await? else { return Err(unexpected()) };
    Ok(found(&Page { items: imports.iter().map(Import::from).collect(), next_cursor: None }))
}

pub(crate) async fn get(call: Call) -> Handled {
    let id: ImportId = requests::path_id(call.path_id())?;
    let Reply::Import(_, status) = call.query(Query::Import(id)).await? else { return Err(unexpected()) };
    Ok(found(&Import::from(&*status)))
}

pub(crate) async fn stage(call: Call) -> Handled {
    let id: ImportId = requests::path_id(call.path_id())?;
    let command = imports::rows(id, &call.parameters, &call.body)?;
    change(call, command).await
}

pub(crate) async fn open(call: Call) -> Handled {
    let id: ImportId = requests::path_id(call.path_id())?;
    change(call, ImportCommand::Open(id)).await
}

pub(crate) async fn discard(call: Call) -> Handled {
    let id: ImportId = requests::path_id(call.path_id())?;
    change(call, ImportCommand::Discard(id)).await
}

async fn change(call: Call, command: ImportCommand) -> Handled {
    let Reply::Import(made, status) = call.command(Command::Import(command)).await? else { return Err(unexpected()) };
    let answer = found(&Import::from(&*status));
    Ok(if made == engine::Made::Before { replayed(answer) } else { answer })
}
