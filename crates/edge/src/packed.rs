//! Packed batches: records in, records out. The engine judges each event on its own.

use api::packed::{self, AccountRecord, BalanceRecord, QueryFilter, TransferRecord};
use api::past::{Side, TransferFilter};
use api::{ErrorCode, Problem};
use engine::{AccountFilter, AccountReply, CreateAccounts, CreateTransfers, Page, query};
use ledger::{Account, AccountPlace};
use types::{AccountId, Code, LedgerId, Timestamp, shorten};

use crate::answer::{Edge, Handled, parameter};
use crate::call::Call;
use crate::past::Wanted;
use crate::response::Response;
use crate::sources::{Past, Sources};

pub(crate) async fn create_accounts<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let events = packed::accounts(call.body)?;
    let results = edge.ask_unnamed(call, CreateAccounts(events)).await?;
    Ok(Response::packed(packed::account_results(&results)))
}

pub(crate) async fn create_transfers<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let balances = match call.parameters().get("balances") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            let detail = format!("found `{}`, expected `true` or `false`", shorten(other));
            return Err(parameter("balances", detail).into());
        }
    };
    let events = packed::transfers(call.body)?;
    let made = edge.ask_unnamed(call, CreateTransfers { events, balances }).await?;
    Ok(Response::packed(packed::transfer_results(&made.results, &made.balances)))
}

pub(crate) async fn lookup_accounts<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let ids = packed::account_ids(call.body)?;
    let accounts = edge.ask_unnamed(call, query::LookupAccounts(ids)).await?;
    Ok(Response::packed(packed::answer(accounts.iter().map(|account| AccountRecord::from(account).encode()))))
}

pub(crate) async fn lookup_transfers<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let ids = packed::transfer_ids(call.body)?;
    let transfers = edge.ask_unnamed(call, query::LookupTransfers(ids)).await?;
    Ok(Response::packed(packed::answer(transfers.iter().map(|(transfer, _)| TransferRecord::from(transfer).encode()))))
}

pub(crate) async fn account_transfers<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let Some(wanted) = wanted(&packed::account_filter(call.body)?) else { return Ok(Response::packed(Vec::new())) };
    let page = edge.sources.transfers(wanted).await?;
    Ok(Response::packed(packed::answer(page.items.iter().map(|transfer| TransferRecord::from(transfer).encode()))))
}

pub(crate) async fn account_balances<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let Some(wanted) = wanted(&packed::account_filter(call.body)?) else { return Ok(Response::packed(Vec::new())) };
    let Some(id) = wanted.account else { return Ok(Response::packed(Vec::new())) };
    let accounts = edge.ask_unnamed(call, query::LookupAccounts(vec![id])).await?;
    let Some(account) = accounts.into_iter().next() else { return Ok(Response::packed(Vec::new())) };
    let page = edge.sources.balances(account, wanted).await?;
    Ok(Response::packed(packed::answer(page.items.iter().map(|(transfer, after)| {
        BalanceRecord {
            debits_pending: after.debits_pending.get(),
            debits_posted: after.debits_posted.get(),
            credits_pending: after.credits_pending.get(),
            credits_posted: after.credits_posted.get(),
            timestamp: transfer.timestamp.ns(),
            reserved: [0; 56],
        }
        .encode()
    }))))
}

pub(crate) async fn query_transfers<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let filter = packed::query_filter(call.body)?;
    if !filter.is_valid() {
        return Ok(Response::packed(Vec::new()));
    }
    let wanted = Wanted {
        account: None,
        filter: TransferFilter {
            ledger: given(filter.ledger).map(LedgerId::new),
            code: given(filter.code).map(Code::new),
            user_data_128: given(filter.user_data_128),
            user_data_64: given(filter.user_data_64),
            user_data_32: given(filter.user_data_32),
            reversed: filter.flags & QueryFilter::REVERSED != 0,
            ..times(filter.timestamp_min, filter.timestamp_max)
        },
        after: None,
        limit: limit(filter.limit),
    };
    let page = edge.sources.transfers(wanted).await?;
    Ok(Response::packed(packed::answer(page.items.iter().map(|transfer| TransferRecord::from(transfer).encode()))))
}

pub(crate) async fn query_accounts<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let filter = packed::query_filter(call.body)?;
    if !filter.is_valid() {
        return Ok(Response::packed(Vec::new()));
    }
    let times = times(filter.timestamp_min, filter.timestamp_max);
    let of = AccountFilter {
        ledger: given(filter.ledger).map(LedgerId::new),
        code: given(filter.code).map(Code::new),
        user_data_128: given(filter.user_data_128),
        user_data_64: given(filter.user_data_64),
        user_data_32: given(filter.user_data_32),
        opened_after: Timestamp::from_ns(times.min_timestamp.ns().saturating_sub(1)),
        opened_before: Some(Timestamp::from_ns(times.max_timestamp.ns().saturating_add(1))),
        reversed: filter.flags & QueryFilter::REVERSED != 0,
        ..AccountFilter::default()
    };
    let mut search = Search { limit: limit(filter.limit), found: Vec::new(), slices: 0 };
    let mut after = None;
    loop {
        let limit = search.limit.saturating_sub(search.found.len()).min(engine::PAGE_MAX);
        let slice = edge.ask_unnamed(call, query::Accounts { filter: Box::new(of.clone()), after, limit }).await?;
        after = search.add(slice)?;
        if after.is_none() {
            let found = search.found.iter().map(|account| AccountRecord::from(account).encode());
            return Ok(Response::packed(packed::answer(found)));
        }
    }
}

/// The most slices of accounts that the engine examines for one query. Between two of them it serves other requests.
const SLICES_MAX: usize = 1_000;

/// A search for accounts, which the engine examines slice by slice.
struct Search {
    limit: usize,
    found: Vec<Account>,
    /// Number of slices so far.
    slices: usize,
}

impl Search {
    /// Adds the matches of a slice. Returns where the next slice begins, or `None` if the search is over.
    ///
    /// # Errors
    /// If too many accounts were examined. A shorter answer would look like the end of the matches.
    fn add(&mut self, slice: Page<AccountReply, AccountPlace>) -> Result<Option<AccountPlace>, Problem> {
        self.found.extend(slice.items.into_iter().map(|reply| reply.account));
        self.slices = self.slices.saturating_add(1);
        let next = slice.next.filter(|_| self.found.len() < self.limit);
        if next.is_some() && self.slices >= SLICES_MAX {
            let most = SLICES_MAX * engine::ACCOUNTS_EXAMINED_MAX;
            let detail = format!(
                "more than {most} accounts would have to be examined; give `ledger`, `timestamp_min` or `timestamp_max`, or read \
                 the pages of GET /v1/accounts"
            );
            return Err(Problem::new(ErrorCode::TooManyToExamine, detail));
        }
        Ok(next)
    }
}

/// Converts an account filter to a query; `None` if the filter is invalid, in which case the answer is empty.
fn wanted(filter: &packed::AccountFilter) -> Option<Wanted> {
    if !filter.is_valid() {
        return None;
    }
    let has = |flag| filter.flags & flag != 0;
    let side = match (has(packed::AccountFilter::DEBITS), has(packed::AccountFilter::CREDITS)) {
        (true, false) => Side::Debits,
        (false, true) => Side::Credits,
        (_, _) => Side::Both,
    };
    Some(Wanted {
        account: Some(AccountId::new(filter.account_id)),
        filter: TransferFilter {
            side,
            code: given(filter.code).map(Code::new),
            user_data_128: given(filter.user_data_128),
            user_data_64: given(filter.user_data_64),
            user_data_32: given(filter.user_data_32),
            reversed: has(packed::AccountFilter::REVERSED),
            ..times(filter.timestamp_min, filter.timestamp_max)
        },
        after: None,
        limit: limit(filter.limit),
    })
}

/// Zero disables a condition.
fn given<T: Default + PartialEq>(value: T) -> Option<T> {
    Some(value).filter(|value| *value != T::default())
}

fn times(min: u64, max: u64) -> TransferFilter {
    TransferFilter {
        side: Side::Both,
        ledger: None,
        code: None,
        user_data_128: None,
        user_data_64: None,
        user_data_32: None,
        min_timestamp: Timestamp::from_ns(min),
        max_timestamp: given(max).map_or(Timestamp::MAX, Timestamp::from_ns),
        reversed: false,
    }
}

fn limit(given: u32) -> usize {
    usize::try_from(given).unwrap_or(usize::MAX).min(packed::EVENTS_MAX)
}

#[cfg(test)]
mod tests {
    use ledger::{Limits, NewAccount};

    use super::*;

    fn slice(accounts: usize, next: Option<u32>) -> Page<AccountReply, AccountPlace> {
        let account = Account::open(&NewAccount::default(), Timestamp::ZERO);
        let reply = AccountReply { account, address: None, limits: Limits::NONE, metadata: Default::default() };
        Page { items: vec![reply; accounts], next: next.map(AccountPlace) }
    }

    #[test]
    fn a_search_ends_when_it_has_enough_or_nothing_is_left() {
        let mut search = Search { limit: 3, found: Vec::new(), slices: 0 };
        assert_eq!(search.add(slice(2, Some(7))), Ok(Some(AccountPlace(7))));
        assert_eq!(search.add(slice(0, Some(8))), Ok(Some(AccountPlace(8))));
        assert_eq!(search.add(slice(1, Some(9))), Ok(None));
        assert_eq!(search.found.len(), 3);
        let mut search = Search { limit: 3, found: Vec::new(), slices: 0 };
        assert_eq!(search.add(slice(1, None)), Ok(None));
    }

    #[test]
    fn a_search_examines_a_bounded_number_of_accounts() {
        let mut search = Search { limit: 3, found: Vec::new(), slices: 0 };
        for number in 1..SLICES_MAX {
            assert!(search.add(slice(0, Some(1))).is_ok(), "slice {number}");
        }
        let refused = search.add(slice(1, Some(1))).expect_err("the last slice has a successor");
        assert_eq!(refused.code(), api::Code::Error(ErrorCode::TooManyToExamine));
        assert!(refused.detail().contains("more than 1000000 accounts"), "{refused:?}");
    }
}
