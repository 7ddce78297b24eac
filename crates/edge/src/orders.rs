//! Opening accounts and making transfers, one or many, also as a dry run.

use api::responses::{Account, Transfer};
use api::results::{BatchResults, DryRun};
use api::{orders, requests};
use engine::{AnyTransfer, Made, ReverseTransfer};
use serde::Serialize;

use crate::answer::{Edge, Handled, refused};
use crate::call::{Call, Trial, unnamed};
use crate::response::Response;
use crate::sources::Sources;

pub(crate) async fn open_account<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = orders::account(&edge.ids(call), call.body)?;
    let trial = call.trial()?;
    let (made, account) = edge.try_out(call, parsed, trial).await?.map_err(refused::<S::Failure>)?;
    let shown = edge.show(|assets| Account::with_details(&account, assets))?;
    Ok(trial.created(made, format!("/v1/accounts/{}", account.account.id), &shown))
}

pub(crate) async fn create_transfer<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = orders::transfer(&edge.ids(call), call.body)?;
    let trial = call.trial()?;
    let (made, transfer) = edge.try_out(call, parsed, trial).await?.map_err(refused::<S::Failure>)?;
    shown_transfer(edge, trial, made, &transfer)
}

pub(crate) async fn reverse_transfer<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    requests::verb(call.body)?;
    let parsed = unnamed(ReverseTransfer(call.head.id()?));
    let trial = call.trial()?;
    let (made, reversal) = edge.try_out_guarded(call, parsed, trial).await?.map_err(refused::<S::Failure>)?;
    shown_transfer(edge, trial, made, &AnyTransfer::Made(reversal))
}

fn shown_transfer<S: Sources + Sync>(
    edge: &Edge<S>,
    trial: Trial,
    made: Made,
    transfer: &AnyTransfer,
) -> Handled<S::Failure> {
    let shown = edge.show(|assets| Transfer::any(transfer, assets))?;
    Ok(trial.created(made, format!("/v1/transfers/{}", shown.id().unwrap_or_default()), &shown))
}

pub(crate) async fn open_accounts<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = orders::accounts(&edge.ids(call), call.body)?;
    let trial = call.trial()?;
    let answers = edge.try_out_guarded(call, parsed, trial).await?.map_err(refused::<S::Failure>)?;
    Ok(trial.found(&edge.show(|assets| BatchResults::of_accounts(&answers, assets))?))
}

pub(crate) async fn create_transfers<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = orders::transfers(&edge.ids(call), call.body)?;
    let trial = call.trial()?;
    let answers = edge.try_out_guarded(call, parsed, trial).await?.map_err(refused::<S::Failure>)?;
    Ok(trial.found(&edge.show(|assets| BatchResults::of_transfers(&answers, assets))?))
}

impl Trial {
    /// Renders what was created, or would be in a dry run.
    pub(crate) fn created<T: Serialize>(self, made: Made, location: String, body: &T) -> Response {
        match self {
            Self::Real => Response::created(made, location, body),
            Self::Dry => self.found(body).made(made),
        }
    }

    /// Renders what was changed, or would be in a dry run.
    pub(crate) fn found<T: Serialize>(self, body: &T) -> Response {
        match self {
            Self::Real => Response::found(body),
            Self::Dry => Response::found(&DryRun::of(body)),
        }
    }
}
