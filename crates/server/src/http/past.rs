//! The past: transfers by what they are, balances and sums as they were.

use api::history::{AccountBalance, BalanceRow, Clock, Instant, Period, Side, Statement, Sums, TransferFilter};
use api::requests;
use api::responses::{Page, Transfer, TrialBalance};
use api::{ErrorCode, List, Problem, filters};
use engine::{AccountName, query};
use ledger::{Account, PendingState, TransferKey};
use types::{AccountId, Span, Timestamp, TransferId};

use crate::history::{Place, Wanted, fits};
use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, found};

pub(crate) async fn list_transfers(call: Call) -> Handled {
    let account = match call.parameters.parsed("account")? {
        Some(name) => Some(call.account(name).await?.id),
        None => None,
    };
    transfers(&call, account).await
}

pub(crate) async fn list_account_transfers(call: Call) -> Handled {
    let account = call.account(requests::path_id(call.path_id())?).await?.id;
    transfers(&call, Some(account)).await
}

async fn transfers(call: &Call, account: Option<AccountId>) -> Handled {
    let filter = TransferFilter::read(&call.parameters)?;
    if account.is_none() && filter.side != Side::Both {
        return Err(parameter("side", "`side` goes with an account, which is not given"));
    }
    let metadata = filters::metadata(&call.parameters)?;
    if !metadata.is_empty() {
        return transfers_by_metadata(call, account, filter, metadata).await;
    }
    let is_of_all = account.is_none() && filter.is_of_all();
    let list = if is_of_all { List::AllTransfers } else { List::Transfers };
    let wanted = call.wanted(list, account, filter)?;
    let now = call.app.core.now();
    let asked = call.app.core.past(move |history| {
        let page = history.transfers(&wanted)?;
        Ok((history.with_states(page.transfers, now)?, page.next))
    });
    let (transfers, next) = asked.await?;
    let next_cursor = next.map(|place| call.app.history().cursor(list, place.number()));
    call.page(transfers, next_cursor).await
}

/// In order of id. A page need not be full.
async fn transfers_by_metadata(
    call: &Call,
    account: Option<AccountId>,
    filter: TransferFilter,
    metadata: Vec<(String, String)>,
) -> Handled {
    if filter.reversed {
        return Err(parameter("reversed", "transfers found by metadata come in order of id, from the first"));
    }
    let list = List::TransfersByMetadata;
    let limit = call.parameters.limit()?;
    let after: Option<u128> = call.parameters.cursor_if_given(call.app.history(), list)?;
    let query = query::TransfersByMetadata { metadata, after: after.map(TransferId::new), limit };
    let engine::Page { items: ids, next } = call.ask_unnamed(query).await?;
    let now = call.app.core.now();
    let asked = call.app.core.past(move |history| {
        let mut transfers = history.client_transfers(&ids)?;
        transfers.retain(|transfer| fits(&filter, account, transfer));
        history.with_states(transfers, now)
    });
    let next_cursor = next.map(|id| call.app.history().cursor(list, id.get()));
    call.page(asked.await?, next_cursor).await
}

pub(crate) async fn list_pending(call: Call) -> Handled {
    let account = match call.parameters.parsed("account")? {
        Some(name) => Some(call.account(name).await?.id),
        None => None,
    };
    let ledger = call.parameters.get("ledger").map(|text| requests::ledger_id("ledger", text)).transpose()?;
    let limit = call.parameters.limit()?;
    let after = Timestamp::from_ns(call.parameters.cursor(call.app.history(), List::Pending)?);
    let query = query::Pending { account, ledger, after, limit };
    let engine::Page { items: transfers, next } = call.ask_unnamed(query).await?;
    let pending = Some(PendingState::Pending);
    let show = |assets: &_| transfers.iter().map(|transfer| Transfer::new(transfer, pending, assets)).collect();
    let items = call.app.show(show)?;
    let next_cursor = next.map(|at| call.app.history().cursor(List::Pending, at.ns()));
    Ok(found(&Page { items, next_cursor }))
}

pub(crate) async fn list_account_balances(call: Call) -> Handled {
    let account = call.account(requests::path_id(call.path_id())?).await?;
    let filter = TransferFilter::read(&call.parameters)?;
    let wanted = call.wanted(List::Transfers, Some(account.id), filter)?;
    let (rows, next) = call.app.core.past(move |history| history.balances(&account, &wanted)).await?;
    let items = rows.iter().map(|(transfer, after)| BalanceRow::new(transfer, &Sums::from(after))).collect();
    let next_cursor = next.map(|place| call.app.history().cursor(List::Transfers, place.number()));
    Ok(found(&Page { items, next_cursor }))
}

pub(crate) async fn get_account_balance(call: Call) -> Handled {
    let account = call.account(requests::path_id(call.path_id())?).await?;
    let (instant, then) = match Instant::read(&call.parameters)? {
        None => (Instant { at: call.app.core.now(), clock: Clock::Booked }, account),
        Some(instant) => {
            let asked = call.app.core.past(move |history| match instant.clock {
                Clock::Booked => history.account_at(&account, instant.at),
                Clock::Occurred => history.account_at_occurred(&account, instant.at),
            });
            (instant, asked.await?)
        }
    };
    let sums = Sums::from(&then);
    Ok(found(&call.app.show(|assets| AccountBalance::new(then.id, then.ledger, instant, &sums, assets))?))
}

pub(crate) async fn get_statement(call: Call) -> Handled {
    let account = call.account(requests::path_id(call.path_id())?).await?;
    let period = Period::read(&call.parameters, call.app.core.now())?;
    let limit = call.parameters.limit()?;
    let after: Option<u64> = call.parameters.cursor_if_given(call.app.history(), List::Statement)?;
    let tick = Span::from_ns(1);
    let behind = after.map_or(Timestamp::ZERO, |after| Timestamp::from_ns(after).saturating_add(tick));
    let times = (period.from.max(behind), period.to.checked_sub(tick).unwrap_or_default());
    let page = call.app.core.past(move |history| history.statement(&account, times, limit)).await?;
    let next_cursor = page.next.map(|at| call.app.history().cursor(List::Statement, at.ns()));
    let show = |assets: &_| Statement::new(&account, period, &page.opening, &page.lines, next_cursor, assets);
    Ok(found(&call.app.show(show)?))
}

pub(crate) async fn get_trial_balance(call: Call) -> Handled {
    let id = requests::ledger_id("id", call.path_id())?;
    let Some(at) = call.parameters.parsed("at")? else {
        let (book, totals) = call.ask_unnamed(query::TrialBalance(id)).await?;
        return Ok(found(&TrialBalance::new(&book, None, totals.accounts, &Sums::from(&totals))));
    };
    let (book, accounts) = call.ask_unnamed(query::AccountsOpened(id, at)).await?;
    let sums = call.app.core.past(move |history| history.totals_at(id, at)).await?;
    Ok(found(&TrialBalance::new(&book, Some(at), accounts, &sums)))
}

fn parameter(name: &str, detail: &str) -> Failure {
    Problem::new(ErrorCode::InvalidParameter, detail).at(name).into()
}

impl Call {
    /// The account that is named, as it is.
    async fn account(&self, name: AccountName) -> Result<Account, Failure> {
        Ok(self.ask_unnamed(query::Account(name)).await?.account)
    }

    /// The page of transfers that is asked for.
    fn wanted(&self, list: List, account: Option<AccountId>, filter: TransferFilter) -> Result<Wanted, Failure> {
        let after: Option<u64> = self.parameters.cursor_if_given(self.app.history(), list)?;
        Ok(Wanted { account, filter, after: after.map(Place::from_number), limit: self.parameters.limit()? })
    }

    /// A page of transfers. What became of the holds of payments only the engine knows.
    async fn page(
        &self,
        mut transfers: Vec<(ledger::Transfer, Option<PendingState>)>,
        next_cursor: Option<String>,
    ) -> Handled {
        let is_hold =
            |transfer: &ledger::Transfer| transfer.is_pending() && matches!(transfer.key, TransferKey::Leg { .. });
        let holds: Vec<_> =
            transfers.iter().map(|(one, _)| one).filter(|one| is_hold(one)).map(|one| one.key).collect();
        if !holds.is_empty() {
            let states = self.ask_unnamed(query::PendingStates(holds)).await?;
            let of_holds = transfers.iter_mut().filter(|(transfer, _)| is_hold(transfer));
            of_holds.zip(states).for_each(|((_, state), known)| *state = known);
        }
        let show = |assets: &_| transfers.iter().map(|(one, state)| Transfer::new(one, *state, assets)).collect();
        Ok(found(&Page { items: self.app.show(show)?, next_cursor }))
    }
}
