//! Packed batches: records in, records out. The engine judges each event on its own.

use std::collections::VecDeque;

use api::packed::{self, AccountRecord, BalanceRecord, QueryFilter, TransferRecord};
use api::past::{Side, TransferFilter};
use engine::{AccountFilter, CreateAccounts, CreateTransfers, query};
use ledger::Account;
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
        ..AccountFilter::default()
    };
    let reversed = filter.flags & QueryFilter::REVERSED != 0;
    let limit = limit(filter.limit);
    let mut after = None;
    let mut found: VecDeque<Account> = VecDeque::new();
    loop {
        let query = query::Accounts { filter: Box::new(of.clone()), after, limit: engine::PAGE_MAX };
        let engine::Page { items: accounts, next } = edge.ask_unnamed(call, query).await?;
        let is_over = accounts.last().is_some_and(|last| last.account.timestamp > times.max_timestamp);
        let accounts = accounts.into_iter().map(|reply| reply.account);
        let fitting = accounts.take_while(|account| account.timestamp <= times.max_timestamp);
        for account in fitting {
            if found.len() == limit {
                if !reversed {
                    break;
                }
                found.pop_front();
            }
            found.push_back(account);
        }
        match next.filter(|_| !is_over && (reversed || found.len() < limit)) {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    if reversed {
        found.make_contiguous().reverse();
    }
    Ok(Response::packed(packed::answer(found.iter().map(|account| AccountRecord::from(account).encode()))))
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
