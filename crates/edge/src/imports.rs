//! Imports of existing books.

use api::imports::{self, Import};
use api::responses::Page;
use engine::{ImportCommand, query};

use crate::answer::{Edge, Handled};
use crate::call::Call;
use crate::response::Response;
use crate::sources::Sources;

pub(crate) async fn start<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = imports::start(&edge.ids(call), call.body)?;
    let (made, status) = edge.ask(call, parsed).await?;
    Ok(Response::created(made, format!("/v1/imports/{}", status.import.id), &Import::from(&*status)))
}

pub(crate) async fn list<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let imports = edge.ask_unnamed(call, query::Imports).await?;
    Ok(Response::found(&Page { items: imports.iter().map(Import::from).collect(), next_cursor: None }))
}

pub(crate) async fn get<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let status = edge.ask_unnamed(call, query::Import(call.head.id()?)).await?;
    Ok(Response::found(&Import::from(&*status)))
}

pub(crate) async fn stage<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    change(edge, call, imports::rows(call.head.id()?, call.parameters(), call.body)?).await
}

pub(crate) async fn open<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    change(edge, call, ImportCommand::Open(call.head.id()?)).await
}

pub(crate) async fn discard<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    change(edge, call, ImportCommand::Discard(call.head.id()?)).await
}

async fn change<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>, command: ImportCommand) -> Handled<S::Failure> {
    let (made, status) = edge.ask_unnamed(call, command).await?;
    Ok(Response::found(&Import::from(&*status)).made(made))
}
