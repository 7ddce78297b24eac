//! What changes beside balances: addresses, limits, metadata, the schedule, the choice of indexes.

use api::changes;
use api::requests::{self, Parsed};
use api::responses::{Account, Indexes, Page, Transfer};
use api::{ErrorCode, List, Problem};
use axum::response::Response;
use engine::{AccountReply, ChooseIndexes, Made, Operation, Refusal, query};
use types::{Timestamp, TransferId};

use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, found, replayed};
use crate::http::ledgers::unnamed;

pub(crate) async fn set_address(call: Call) -> Handled {
    let parsed = changes::address(requests::path_id(call.path_id())?, &call.body)?;
    account(&call, parsed).await
}

pub(crate) async fn set_limits(call: Call) -> Handled {
    let parsed = changes::limits(requests::path_id(call.path_id())?, &call.body)?;
    account(&call, parsed).await
}

pub(crate) async fn set_account_metadata(call: Call) -> Handled {
    let parsed = changes::account_metadata(requests::path_id(call.path_id())?, &call.body)?;
    account(&call, parsed).await
}

async fn account<O: Operation<Reply = (Made, Box<AccountReply>)>>(call: &Call, parsed: Parsed<O>) -> Handled {
    let (made, reply) = call.ask(parsed).await?;
    Ok(as_made(made, found(&call.app.show(|assets| Account::with_details(&reply, assets))?)))
}

pub(crate) async fn set_transfer_metadata(call: Call) -> Handled {
    let parsed = changes::transfer_metadata(requests::path_id(call.path_id())?, &call.body)?;
    let (made, reply) = call.ask(parsed).await?;
    Ok(as_made(made, found(&call.app.show(|assets| Transfer::with_balances(&reply, assets))?)))
}

pub(crate) async fn set_payment_metadata(call: Call) -> Handled {
    let parsed = changes::payment_metadata(requests::path_id(call.path_id())?, &call.body)?;
    let (made, reply) = call.ask(parsed).await?;
    Ok(as_made(made, found(&call.shown(&reply).await?)))
}

pub(crate) async fn choose_indexes(call: Call) -> Handled {
    let parsed = changes::indexes(requests::ledger_id("id", call.path_id())?, &call.body)?;
    let ChooseIndexes { ledger, fields } = parsed.operation;
    let made = call.ask(parsed).await?;
    Ok(as_made(made, found(&Indexes::new(ledger, fields))))
}

pub(crate) async fn cancel_transfer(call: Call) -> Handled {
    requests::verb(&call.body)?;
    let id: TransferId = requests::path_id(call.path_id())?;
    match call.answer(changes::cancel(id)).await? {
        Ok((made, Some(scheduled))) => {
            Ok(as_made(made, found(&call.app.show(|assets| Transfer::scheduled(&scheduled, "cancelled", assets))?)))
        }
        // What it was is not kept: the feed of events still tells.
        Ok((made, None)) => Ok(as_made(made, found(&api::responses::Cancelled::new(id)))),
        Err(refusal) => Err(call.not_waiting(id, refusal).await?),
    }
}

pub(crate) async fn list_scheduled(call: Call) -> Handled {
    let history = call.app.history();
    let limit = call.parameters.limit()?;
    let after: u128 = call.parameters.cursor_if_given(history, List::Scheduled)?.unwrap_or(0);
    let half = |shift: u32| u64::try_from(after >> shift & u128::from(u64::MAX)).unwrap_or(u64::MAX);
    let after = (Timestamp::from_ns(half(64)), half(0));
    let engine::Page { items: scheduled, next } = call.ask_unnamed(query::Scheduled { after, limit }).await?;
    let show = |assets: &_| {
        scheduled.iter().map(|one| Transfer::scheduled(one, "scheduled", assets)).collect::<Result<_, _>>()
    };
    let items: Vec<Transfer> = call.app.show(show)?;
    let place = |(at, number): (Timestamp, u64)| u128::from(at.ns()) << 64_u32 | u128::from(number);
    let next_cursor = next.map(|next| history.cursor(List::Scheduled, place(next)));
    Ok(found(&Page { items, next_cursor }))
}

fn as_made(made: Made, response: Response) -> Response {
    match made {
        Made::Now => response,
        Made::Before => replayed(response),
    }
}

impl Call {
    /// Says of a transfer that does not wait whether it was made already, or never was.
    async fn not_waiting(&self, id: TransferId, refusal: Refusal) -> Result<Failure, Failure> {
        match self.answer(unnamed(query::Transfer(id))).await? {
            Ok(_) => {
                Ok(Problem::new(ErrorCode::TransferNotCancellable, format!("transfer {id} was made already")).into())
            }
            Err(_not_found) => Ok(refusal.into()),
        }
    }
}
