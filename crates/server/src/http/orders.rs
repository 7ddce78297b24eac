//! Orders: accounts to open and transfers to make, one or many, for real or as a dry run.

use api::orders;
use api::requests::{self, Parsed};
use api::responses::Account;
use api::results::{BatchResults, DryRun};
use axum::response::Response;
use engine::{Command, Made, Reply};
use serde::Serialize;
use types::RequestId;

use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, created, found, replayed};
use crate::http::ledgers::unexpected;

pub(crate) async fn open_account(call: Call) -> Handled {
    let parsed = orders::account(&call.ids(), &call.body)?;
    let (reply, trial) = call.order(parsed).await?;
    let Reply::Account(made, account) = reply else { return Err(unexpected()) };
    let shown = call.app.show(|assets| Account::with_details(&account, assets))?;
    Ok(trial.show(made, &format!("/v1/accounts/{}", account.account.id), &shown))
}

pub(crate) async fn create_transfer(call: Call) -> Handled {
    let parsed = orders::transfer(&call.ids(), &call.body)?;
    transfer(&call, parsed).await
}

pub(crate) async fn reverse_transfer(call: Call) -> Handled {
    requests::verb(&call.body)?;
    let command = Command::ReverseTransfer(requests::path_id(call.path_id())?);
    transfer(&call, Parsed { request: RequestId::default(), command }).await
}

async fn transfer(call: &Call, parsed: Parsed) -> Handled {
    let (reply, trial) = call.order(parsed).await?;
    let (made, shown) = call.shown_transfer(reply)?;
    Ok(trial.show(made, &format!("/v1/transfers/{}", shown.id().unwrap_or_default()), &shown))
}

pub(crate) async fn open_accounts(call: Call) -> Handled {
    let parsed = orders::accounts(&call.ids(), &call.body)?;
    batch(&call, parsed).await
}

pub(crate) async fn create_transfers(call: Call) -> Handled {
    let parsed = orders::transfers(&call.ids(), &call.body)?;
    batch(&call, parsed).await
}

async fn batch(call: &Call, parsed: Parsed) -> Handled {
    let (reply, trial) = call.order(parsed).await?;
    let Reply::Batch(answers) = reply else { return Err(unexpected()) };
    let shown = call.app.show(|assets| BatchResults::new(&answers, assets))?;
    Ok(trial.found(&shown))
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
    /// The command to ask for, which in a dry run only asks how the given one would go.
    pub(crate) fn command(self, command: Command) -> Command {
        match self {
            Self::Real => command,
            Self::Dry => Command::DryRun(Box::new(command)),
        }
    }

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

    /// Asks for what a request orders, for real or not.
    async fn order(&self, parsed: Parsed) -> Result<(Reply, Trial), Failure> {
        let trial = self.trial()?;
        let reply = self.ask(Parsed { command: trial.command(parsed.command), ..parsed }).await?;
        Ok((reply, trial))
    }
}
