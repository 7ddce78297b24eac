//! Packed batches: records in, records out. The engine judges each event on its own.

use std::collections::VecDeque;

use api::history::{Side, TransferFilter};
use api::packed::{self, AccountRecord, BalanceRecord, QueryFilter, TransferRecord};
use api::{ErrorCode, Problem};
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use engine::{AccountFilter, CreateAccounts, CreateTransfers, query};
use ledger::Account;
use types::{AccountId, Code, LedgerId, Timestamp};

use crate::history::Wanted;
use crate::http::call::Call;
use crate::http::failure::Handled;

pub(crate) async fn create_accounts(call: Call) -> Handled {
    let events = packed::accounts(&call.body)?;
    let results = call.ask_unnamed(CreateAccounts(events)).await?;
    Ok(records(packed::account_results(&results)))
}

pub(crate) async fn create_transfers(call: Call) -> Handled {
    let balances = match call.parameters.get("balances") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            let detail = "found another word, expected `true` or `false`";
            return Err(Problem::new(ErrorCode::InvalidParameter, detail).at("balances").into());
        }
    };
    let events = packed::transfers(&call.body)?;
    let made = call.ask_unnamed(CreateTransfers { events, balances }).await?;
    Ok(records(packed::transfer_results(&made.results, &made.balances)))
}

pub(crate) async fn lookup_accounts(call: Call) -> Handled {
    let ids = packed::account_ids(&call.body)?;
    let accounts = call.ask_unnamed(query::LookupAccounts(ids)).await?;
    Ok(records(packed::answer(accounts.iter().map(|account| AccountRecord::from(account).encode()))))
}

pub(crate) async fn lookup_transfers(call: Call) -> Handled {
    let ids = packed::transfer_ids(&call.body)?;
    let transfers = call.ask_unnamed(query::LookupTransfers(ids)).await?;
    Ok(records(packed::answer(transfers.iter().map(|(transfer, _)| TransferRecord::from(transfer).encode()))))
}

pub(crate) async fn account_transfers(call: Call) -> Handled {
    let Some(wanted) = wanted(&packed::account_filter(&call.body)?) else { return Ok(records(Vec::new())) };
    let page = call.app.core.past(move |history| history.transfers(&wanted)).await?;
    Ok(records(packed::answer(page.transfers.iter().map(|transfer| TransferRecord::from(transfer).encode()))))
}

pub(crate) async fn account_balances(call: Call) -> Handled {
    let Some(wanted) = wanted(&packed::account_filter(&call.body)?) else { return Ok(records(Vec::new())) };
    let Some(id) = wanted.account else { return Ok(records(Vec::new())) };
    let accounts = call.ask_unnamed(query::LookupAccounts(vec![id])).await?;
    let Some(account) = accounts.into_iter().next() else { return Ok(records(Vec::new())) };
    let (rows, _) = call.app.core.past(move |history| history.balances(&account, &wanted)).await?;
    Ok(records(packed::answer(rows.iter().map(|(transfer, after)| {
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

pub(crate) async fn query_transfers(call: Call) -> Handled {
    let filter = packed::query_filter(&call.body)?;
    if !filter.is_valid() {
        return Ok(records(Vec::new()));
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
    let page = call.app.core.past(move |history| history.transfers(&wanted)).await?;
    Ok(records(packed::answer(page.transfers.iter().map(|transfer| TransferRecord::from(transfer).encode()))))
}

pub(crate) async fn query_accounts(call: Call) -> Handled {
    let filter = packed::query_filter(&call.body)?;
    if !filter.is_valid() {
        return Ok(records(Vec::new()));
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
        let engine::Page { items: accounts, next } = call.ask_unnamed(query).await?;
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
    Ok(records(packed::answer(found.iter().map(|account| AccountRecord::from(account).encode()))))
}

/// What an account filter asks for; `None` when it cannot be answered.
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

fn records(bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(packed::MEDIA_TYPE));
    response
}
