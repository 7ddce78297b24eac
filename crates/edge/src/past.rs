//! Queries about the past: transfers by account, field or metadata, and balances at earlier times.

use api::past::{AccountBalance, BalanceRow, Clock, Instant, Period, Side, Statement, Sums, TransferFilter};
use api::requests;
use api::responses::{Page, Transfer, TrialBalance};
use api::{List, Problem, filters};
use engine::query;
use ledger::{PendingState, TransferKey};
use types::{AccountId, Span, Timestamp, TransferId};

use crate::answer::{Edge, Handled, parameter};
use crate::call::Call;
use crate::response::Response;
use crate::sources::{Past, Sources};

/// Which page of transfers a client asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Only transfers of this account. Without it, the filter must name a ledger with an indexed field.
    pub account: Option<AccountId>,
    pub filter: TransferFilter,
    /// The `next` of the previous page.
    pub after: Option<u64>,
    pub limit: usize,
}

/// A page of an account's statement.
#[derive(Debug)]
pub struct StatementPage {
    /// The account's sums before the first line.
    pub opening: Sums,
    /// Transfers, each with the account's sums after it.
    pub lines: Vec<(ledger::Transfer, Sums)>,
    /// The next page begins after this instant, if there may be more lines.
    pub next: Option<Timestamp>,
}

pub(crate) async fn list_transfers<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let account = match call.parameters().parsed("account")? {
        Some(name) => Some(edge.account(call, name).await?.id),
        None => None,
    };
    transfers(edge, call, account).await
}

pub(crate) async fn list_account_transfers<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let account = edge.account(call, call.head.id()?).await?.id;
    transfers(edge, call, Some(account)).await
}

async fn transfers<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>, account: Option<AccountId>) -> Handled<S::Failure> {
    let filter = TransferFilter::read(call.parameters())?;
    if account.is_none() && filter.side != Side::Both {
        return Err(parameter("side", "`side` goes with an account, which is not given").into());
    }
    let metadata = filters::metadata(call.parameters())?;
    if !metadata.is_empty() {
        return transfers_by_metadata(edge, call, (account, filter), metadata).await;
    }
    let is_of_all = account.is_none() && filter.is_of_all();
    let list = if is_of_all { List::AllTransfers } else { List::Transfers };
    let wanted = edge.wanted(call, list, account, filter)?;
    let page = edge.sources.transfers_with_states(wanted, edge.sources.now()).await?;
    let next_cursor = page.next.map(|place| edge.installation.history.cursor(list, place));
    transfers_page(edge, call, page.items, next_cursor).await
}

/// Lists transfers in order of id. A page may be shorter than its limit.
async fn transfers_by_metadata<S: Past + Sync>(
    edge: &Edge<S>,
    call: &Call<'_>,
    (account, filter): (Option<AccountId>, TransferFilter),
    metadata: Vec<(String, String)>,
) -> Handled<S::Failure> {
    if filter.reversed {
        let detail = "a query by metadata always returns transfers in ascending order of id; leave `reversed` out";
        return Err(parameter("reversed", detail).into());
    }
    let (history, list) = (edge.installation.history, List::TransfersByMetadata);
    let limit = call.parameters().limit()?;
    let after: Option<u128> = call.parameters().cursor_if_given(history, list)?;
    let query = query::TransfersByMetadata { metadata, after: after.map(TransferId::new), limit };
    let found = edge.ask_unnamed(call, query).await?;
    let now = edge.sources.now();
    let transfers = edge.sources.transfers_that_fit(found.items, filter, account, now).await?;
    let next_cursor = found.next.map(|id| history.cursor(list, id.get()));
    transfers_page(edge, call, transfers, next_cursor).await
}

/// Renders a page of transfers. Only the engine knows the states of the holds of payments, so this asks it for them.
async fn transfers_page<S: Past + Sync>(
    edge: &Edge<S>,
    call: &Call<'_>,
    mut transfers: Vec<(ledger::Transfer, Option<PendingState>)>,
    next_cursor: Option<String>,
) -> Handled<S::Failure> {
    let is_hold =
        |transfer: &ledger::Transfer| transfer.is_pending() && matches!(transfer.key, TransferKey::Leg { .. });
    let holds: Vec<_> = transfers.iter().map(|(one, _)| one).filter(|one| is_hold(one)).map(|one| one.key).collect();
    if !holds.is_empty() {
        let states = edge.ask_unnamed(call, query::PendingStates(holds)).await?;
        let of_holds = transfers.iter_mut().filter(|(transfer, _)| is_hold(transfer));
        of_holds.zip(states).for_each(|((_, state), known)| *state = known);
    }
    let show = |assets: &_| transfers.iter().map(|(one, state)| Transfer::new(one, *state, assets)).collect();
    Ok(Response::found(&Page { items: edge.show(show)?, next_cursor }))
}

pub(crate) async fn list_account_balances<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let account = edge.account(call, call.head.id()?).await?;
    let filter = TransferFilter::read(call.parameters())?;
    let wanted = edge.wanted(call, List::Transfers, Some(account.id), filter)?;
    let page = edge.sources.balances(account, wanted).await?;
    let items = page.items.iter().map(|(transfer, after)| BalanceRow::new(transfer, &Sums::from(after))).collect();
    let next_cursor = page.next.map(|place| edge.installation.history.cursor(List::Transfers, place));
    Ok(Response::found(&Page { items, next_cursor }))
}

pub(crate) async fn get_account_balance<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let account = edge.account(call, call.head.id()?).await?;
    let (instant, then) = match Instant::read(call.parameters())? {
        None => (Instant { at: edge.sources.now(), clock: Clock::Booked }, account),
        Some(instant) => (instant, edge.sources.account_at(account, instant).await?),
    };
    let sums = Sums::from(&then);
    let show = |assets: &_| AccountBalance::new(then.id, then.ledger, instant, &sums, assets);
    Ok(Response::found(&edge.show(show)?))
}

pub(crate) async fn get_statement<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let history = edge.installation.history;
    let account = edge.account(call, call.head.id()?).await?;
    let period = Period::read(call.parameters(), edge.sources.now())?;
    let limit = call.parameters().limit()?;
    let after: Option<u64> = call.parameters().cursor_if_given(history, List::Statement)?;
    let tick = Span::from_ns(1);
    let behind = after.map_or(Timestamp::ZERO, |after| Timestamp::from_ns(after).saturating_add(tick));
    let times = (period.from.max(behind), period.to.checked_sub(tick).unwrap_or_default());
    let page = edge.sources.statement(account, times, limit).await?;
    let next_cursor = page.next.map(|at| history.cursor(List::Statement, at.ns()));
    let show = |assets: &_| Statement::new(&account, period, &page.opening, &page.lines, next_cursor, assets);
    Ok(Response::found(&edge.show(show)?))
}

/// The trial balance of a ledger at the instant `at`.
pub(crate) async fn get_trial_balance<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let id = requests::ledger_id("id", call.head.path_id())?;
    let at = call.parameters().parsed("at")?.unwrap_or_else(|| edge.sources.now());
    let (book, accounts) = edge.ask_unnamed(call, query::AccountsOpened(id, at)).await?;
    let sums = edge.sources.totals_at(id, at).await?;
    Ok(Response::found(&TrialBalance::new(&book, Some(at), accounts, &sums)))
}

impl<S: Sources + Sync> Edge<S> {
    /// Parses cursor and limit.
    fn wanted(
        &self,
        call: &Call<'_>,
        list: List,
        account: Option<AccountId>,
        filter: TransferFilter,
    ) -> Result<Wanted, Problem> {
        let after = call.parameters().cursor_if_given(self.installation.history, list)?;
        Ok(Wanted { account, filter, after, limit: call.parameters().limit()? })
    }
}
