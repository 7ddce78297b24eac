//! Handlers of backtests.

use std::sync::Arc;

use api::backtests::{Backtest, PaymentsFilter, Period, check_segment, period, problem};
use api::responses::Page;
use api::{ErrorCode, List, Problem, Scope, requests};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use backtest::{Failure as Ended, Wanted};
use edge::auth::permitted_on_route;
use engine::{Again, Refusal};
use types::RequestId;

use crate::Unavailable;
use crate::http::call::Call;
use crate::http::failure::{Handled, found};

/// How many bits of a cursor are the place in a result.
const PLACE_BITS: u32 = 32;

/// Checks a policy as an upload does, and puts its backtest into the queue.
pub(crate) async fn start(call: Call) -> Handled {
    let Period { from, until, segment } = period(&call.head.parameters)?;
    if segment.is_some() {
        // It shows values of attributes, which only those may see who may see payments.
        permitted_on_route(call.caller.scopes, Scope::PAYMENTS_READ)?;
    }
    let bundle = api::archive::bundle(&call.body)?;
    let core = &call.app.core;
    // One after the other, because the tests of a policy may take seconds.
    let checked = core.shared().readers.policies.run(move |_asker| engine::check_policy(&bundle)).await;
    let policy = checked.map_err(|_panicked| Unavailable::Failed)?.map_err(Problem::invalid_policy)?;
    for ledger in policy.ledgers() {
        if let Ok(actual) = core.assets().of(ledger.id)
            && actual != ledger.asset
        {
            let conflict = Refusal::PolicyLedgerConflict { given: ledger.asset, ledger: ledger.id, actual };
            return Err(Problem::from(&conflict).into());
        }
    }
    let wanted = Wanted { policy: Arc::new(policy), from, until, segment };
    check_segment(&wanted)?;
    Again::new(Arc::clone(&wanted.policy)).map_err(|unreadable| problem(&Ended::from(unreadable)))?;
    let (id, started) = call.host.backtests.start(&call.app, call.caller.actor, wanted)?;
    let mut response = found(&started);
    *response.status_mut() = StatusCode::ACCEPTED;
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/backtests/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub(crate) fn list(call: &Call) -> Response {
    let items: Vec<Backtest> = call.host.backtests.list(call.app.core.tenant());
    found(&Page { items, next_cursor: None })
}

pub(crate) fn get(call: &Call) -> Handled {
    let id: RequestId = call.head.id()?;
    Ok(found(&call.host.backtests.get(call.app.core.tenant(), id)?))
}

pub(crate) fn cancel(call: &Call) -> Handled {
    let id: RequestId = call.head.id()?;
    requests::verb(&call.body)?;
    let core = &call.app.core;
    Ok(found(&call.host.backtests.cancel(core.tenant(), id, core.now())?))
}

pub(crate) fn payments(call: &Call) -> Handled {
    let id: RequestId = call.head.id()?;
    let (parameters, history) = (&call.head.parameters, call.app.history());
    let filter = PaymentsFilter::read(parameters)?;
    let limit = parameters.limit()?;
    // A cursor names the backtest by a part of its id, and the place where the next page begins.
    let of_backtest = (id.get() >> u64::BITS) << PLACE_BITS;
    let from = match parameters.cursor_if_given::<u128>(history, List::BacktestPayments)? {
        None => 0,
        Some(cursor) => {
            let place = cursor.checked_sub(of_backtest).and_then(|place| u32::try_from(place).ok());
            let place = place.and_then(|place| usize::try_from(place).ok());
            place.ok_or_else(|| {
                let detail = "the cursor is of another backtest, expected a `next_cursor` of this one";
                Problem::new(ErrorCode::InvalidParameter, detail).at("cursor")
            })?
        }
    };
    let (items, next) = call.host.backtests.payments((call.app.core.tenant(), id), &filter, (from, limit))?;
    let next_cursor = next.map(|next| history.cursor(List::BacktestPayments, of_backtest | next as u128));
    Ok(found(&Page { items, next_cursor }))
}
