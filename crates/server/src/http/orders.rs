//! Orders: accounts to open and transfers to make, one or many, for real or as a dry run.

use api::orders;
use api::requests::{self, Parsed};
use api::responses::{Account, Transfer};
use api::results::{BatchResults, DryRun};
use axum::response::Response;
use engine::{Answered, AnyTransfer, Dry, Made, Operation, ReverseTransfer};
use serde::Serialize;

use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, created, found, replayed};
use crate::http::ledgers::unnamed;

pub(crate) async fn open_account(call: Call) -> Handled {
    let parsed = orders::account(&call.ids(), &call.body)?;
    let trial = call.trial()?;
    let (made, account) = call.try_out(parsed, trial).await??;
    let shown = call.app.show(|assets| Account::with_details(&account, assets))?;
    Ok(trial.show(made, &format!("/v1/accounts/{}", account.account.id), &shown))
}

pub(crate) async fn create_transfer(call: Call) -> Handled {
    let parsed = orders::transfer(&call.ids(), &call.body)?;
    let trial = call.trial()?;
    let (made, reply) = call.try_out(parsed, trial).await??;
    transfer(&call, trial, (made, &reply))
}

pub(crate) async fn reverse_transfer(call: Call) -> Handled {
    requests::verb(&call.body)?;
    let parsed = unnamed(ReverseTransfer(requests::path_id(call.path_id())?));
    let trial = call.trial()?;
    let (made, reply) = call.try_out(parsed, trial).await??;
    transfer(&call, trial, (made, &AnyTransfer::Made(reply)))
}

fn transfer(call: &Call, trial: Trial, (made, transfer): (Made, &AnyTransfer)) -> Handled {
    let shown = call.app.show(|assets| Transfer::any(transfer, assets))?;
    Ok(trial.show(made, &format!("/v1/transfers/{}", shown.id().unwrap_or_default()), &shown))
}

pub(crate) async fn open_accounts(call: Call) -> Handled {
    let parsed = orders::accounts(&call.ids(), &call.body)?;
    let trial = call.trial()?;
    let answers = call.try_out(parsed, trial).await??;
    Ok(trial.found(&call.app.show(|assets| BatchResults::of_accounts(&answers, assets))?))
}

pub(crate) async fn create_transfers(call: Call) -> Handled {
    let parsed = orders::transfers(&call.ids(), &call.body)?;
    let trial = call.trial()?;
    let answers = call.try_out(parsed, trial).await??;
    Ok(trial.found(&call.app.show(|assets| BatchResults::of_transfers(&answers, assets))?))
}

/// Whether a request is for real.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trial {
    /// It is.
    Real,
    /// It is judged, and nothing is recorded.
    Dry,
}

impl Trial {
    /// What was made, or would be.
    pub(crate) fn show<T: Serialize>(self, made: Made, location: &str, body: &T) -> Response {
        match (self, made) {
            (Self::Real, made) => created(made, location, body),
            (Self::Dry, Made::Now) => self.found(body),
            (Self::Dry, Made::Before) => replayed(self.found(body)),
        }
    }

    /// What was found, or would be.
    pub(crate) fn found<T: Serialize>(self, body: &T) -> Response {
        match self {
            Self::Real => found(body),
            Self::Dry => found(&DryRun::of(body)),
        }
    }
}

impl Call {
    /// Whether the request is for real, as its parameter `dry_run` says.
    pub(crate) fn trial(&self) -> Result<Trial, Failure> {
        Ok(if self.parameters.flag("dry_run")? { Trial::Dry } else { Trial::Real })
    }

    /// Asks for an operation, or in a dry run how it would go.
    pub(crate) async fn try_out<O: Operation + Into<engine::DryRun>>(
        &self,
        Parsed { request, operation }: Parsed<O>,
        trial: Trial,
    ) -> Result<Answered<O>, Failure> {
        match trial {
            Trial::Real => self.answer(Parsed { request, operation }).await,
            Trial::Dry => self.answer(Parsed { request, operation: Dry(operation) }).await,
        }
    }
}
