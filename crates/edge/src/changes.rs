//! Handlers for changes that move no money: addresses, limits, metadata, cancelled schedules and the choice of indexes.

use api::requests::{self, Parsed};
use api::responses::{Account, Cancelled, Indexes, Page, Transfer};
use api::{ErrorCode, List, Problem, changes};
use engine::{AccountReply, ChooseIndexes, Guardable, Made, Operation, Refusal, query};
use types::{Timestamp, TransferId};

use crate::answer::{Edge, Handled, refused};
use crate::call::{Call, unnamed};
use crate::response::Response;
use crate::sources::Sources;

pub(crate) async fn set_address<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = changes::address(call.head.id()?, call.body)?;
    account(edge, call, parsed).await
}

pub(crate) async fn set_limits<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = changes::limits(call.head.id()?, call.body)?;
    account(edge, call, parsed).await
}

pub(crate) async fn set_account_metadata<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = changes::account_metadata(call.head.id()?, call.body)?;
    account(edge, call, parsed).await
}

async fn account<S, O>(edge: &Edge<S>, call: &Call<'_>, parsed: Parsed<O>) -> Handled<S::Failure>
where
    S: Sources + Sync,
    O: Operation<Reply = (Made, Box<AccountReply>)> + Into<Guardable> + Send,
{
    let (made, reply) = edge.ask_guarded(call, parsed).await?;
    let shown = edge.show(|assets| Account::with_details(&reply, assets))?;
    Ok(Response::found(&shown).made(made).tagged(reply.version()))
}

pub(crate) async fn set_transfer_metadata<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = changes::transfer_metadata(call.head.id()?, call.body)?;
    let (made, reply) = edge.ask_guarded(call, parsed).await?;
    let shown = edge.show(|assets| Transfer::with_balances(&reply, assets))?;
    Ok(Response::found(&shown).made(made).tagged(reply.version()))
}

pub(crate) async fn set_payment_metadata<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = changes::payment_metadata(call.head.id()?, call.body)?;
    let (made, reply) = edge.ask_guarded(call, parsed).await?;
    Ok(Response::found(&edge.shown_payment(&reply).await?).made(made).tagged(reply.version()))
}

pub(crate) async fn choose_indexes<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = changes::indexes(requests::ledger_id("id", call.head.path_id())?, call.body)?;
    let ChooseIndexes { ledger, fields } = parsed.operation;
    let made = edge.ask_guarded(call, parsed).await?;
    Ok(Response::found(&Indexes::new(ledger, fields)).made(made))
}

pub(crate) async fn cancel_transfer<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    requests::verb(call.body)?;
    let id: TransferId = call.head.id()?;
    match edge.answer_guarded(call, changes::cancel(id)).await? {
        Ok((made, Some(scheduled))) => {
            let show = |assets: &_| Transfer::scheduled(&scheduled, "cancelled", assets);
            Ok(Response::found(&edge.show(show)?).made(made))
        }
        // An earlier request cancelled the transfer. Its content is no longer in the state; only the event feed still
        // shows it.
        Ok((made, None)) => Ok(Response::found(&Cancelled::new(id)).made(made)),
        Err(refusal) => Err(not_waiting(edge, call, id, refusal).await?),
    }
}

/// Says why a transfer cannot be cancelled: it was made already, or it does not exist.
async fn not_waiting<S: Sources + Sync>(
    edge: &Edge<S>,
    call: &Call<'_>,
    id: TransferId,
    refusal: Refusal,
) -> Result<S::Failure, S::Failure> {
    Ok(match edge.answer_to(call, unnamed(query::Transfer(id))).await? {
        Ok(_) => Problem::new(ErrorCode::TransferNotCancellable, format!("transfer {id} was made already")).into(),
        Err(_not_found) => refused(refusal),
    })
}

pub(crate) async fn list_scheduled<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let history = edge.installation.history;
    let limit = call.parameters().limit()?;
    let after: u128 = call.parameters().cursor_if_given(history, List::Scheduled)?.unwrap_or(0);
    let half = |shift: u32| u64::try_from(after >> shift & u128::from(u64::MAX)).unwrap_or(u64::MAX);
    let after = (Timestamp::from_ns(half(64)), half(0));
    let page = edge.ask_unnamed(call, query::Scheduled { after, limit }).await?;
    let show = |assets: &_| {
        page.items.iter().map(|one| Transfer::scheduled(one, "scheduled", assets)).collect::<Result<_, _>>()
    };
    let items: Vec<Transfer> = edge.show(show)?;
    let place = |(at, number): (Timestamp, u64)| u128::from(at.ns()) << 64_u32 | u128::from(number);
    let next_cursor = page.next.map(|next| history.cursor(List::Scheduled, place(next)));
    Ok(Response::found(&Page { items, next_cursor }))
}
