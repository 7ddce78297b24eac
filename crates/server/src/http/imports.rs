//! Imports of existing books.

use api::imports::{self, Import};
use api::requests;
use api::responses::Page;
use engine::{ImportCommand, query};
use types::ImportId;

use crate::http::call::Call;
use crate::http::failure::{Handled, created, found, replayed};

pub(crate) async fn start(call: Call) -> Handled {
    let parsed = imports::start(&call.ids(), &call.body)?;
    let (made, status) = call.ask(parsed).await?;
    Ok(created(made, &format!("/v1/imports/{}", status.import.id), &Import::from(&*status)))
}

pub(crate) async fn list(call: Call) -> Handled {
    let imports = call.ask_unnamed(query::Imports).await?;
    Ok(found(&Page { items: imports.iter().map(Import::from).collect(), next_cursor: None }))
}

pub(crate) async fn get(call: Call) -> Handled {
    let id: ImportId = requests::path_id(call.path_id())?;
    let status = call.ask_unnamed(query::Import(id)).await?;
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
    let (made, status) = call.ask_unnamed(command).await?;
    let answer = found(&Import::from(&*status));
    Ok(if made == engine::Made::Before { replayed(answer) } else { answer })
}
