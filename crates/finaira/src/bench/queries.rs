//! Queries: the transfers of an account, and all balances to check the sums.

use anyhow::{Context as _, bail};
use api::packed::{self, AccountFilter, AccountRecord, EVENTS_MAX, TransferRecord};
use server::Stopwatch;

use super::connection::{Connection, Request, Wait};
use super::drive::Target;
use super::settings::Settings;
use super::workload::Random;

/// The most transfers that a query returns, as in the reference ledger's benchmark.
const RESULTS_MAX: u32 = 8_189;

/// The latencies and result sizes of queries.
#[derive(Debug, Default)]
pub(super) struct Queries {
    pub(super) latencies_ms: Vec<f64>,
    pub(super) results: u64,
}

/// Queries the transfers of an account. Returns false if the server has no such route.
pub(super) fn ask(connection: &mut Connection, key: &str, account: u64, queries: &mut Queries) -> anyhow::Result<bool> {
    let filter = AccountFilter {
        account_id: account.into(),
        user_data_128: 0,
        user_data_64: 0,
        user_data_32: 0,
        code: 0,
        reserved: [0; 58],
        timestamp_min: 0,
        timestamp_max: 0,
        limit: RESULTS_MAX,
        flags: AccountFilter::DEBITS | AccountFilter::CREDITS,
    };
    let mut request = Request::post("/v1/packed/account-transfers", key, packed::MEDIA_TYPE);
    request.set_body(|body| body.extend_from_slice(&filter.encode()));
    let since = Stopwatch::start();
    let answer = connection.call(&request)?;
    if answer.status == 404 {
        return Ok(false);
    }
    let (transfers, rest) = answer.success()?.as_chunks();
    queries.latencies_ms.push(since.elapsed().as_secs_f64() * 1000.0);
    queries.results += transfers.len() as u64;
    let foreign = transfers
        .iter()
        .map(TransferRecord::decode)
        .find(|transfer| ![transfer.debit_account_id, transfer.credit_account_id].contains(&account.into()));
    if let Some(transfer) = foreign {
        bail!("a query for account {account} returned {transfer:?}");
    }
    if !rest.is_empty() {
        bail!("the response to a query has {} bytes too many", rest.len());
    }
    Ok(true)
}

/// Queries the transfers of a fixed set of accounts. Returns `None` if the server has no such route.
pub(super) fn pass(settings: &Settings, target: Target<'_>) -> anyhow::Result<Option<Queries>> {
    let mut connection = Connection::open(target.address, Wait::Spin)?;
    let mut random = Random::new(0);
    let mut queries = Queries::default();
    for _ in 0..settings.queries {
        if !ask(&mut connection, target.key, 1 + random.below(settings.accounts), &mut queries)? {
            return Ok(None);
        }
    }
    Ok(Some(queries).filter(|queries| !queries.latencies_ms.is_empty()))
}

/// Looks up all accounts, and checks that debits and credits both add up to what was moved.
pub(super) fn check_sums(settings: &Settings, target: Target<'_>, moved: u128) -> anyhow::Result<()> {
    let mut connection = Connection::open(target.address, Wait::Spin)?;
    let mut request = Request::post("/v1/packed/lookup-accounts", target.key, packed::MEDIA_TYPE);
    let (mut debits, mut credits, mut found) = (0_u128, 0_u128, 0_u64);
    for first in (1..=settings.accounts).step_by(EVENTS_MAX) {
        let last = settings.accounts.min(first + EVENTS_MAX as u64 - 1);
        request.set_body(|body| (first..=last).for_each(|id| body.extend(u128::from(id).to_le_bytes())));
        let (accounts, _) = connection.call(&request)?.success()?.as_chunks();
        for account in accounts.iter().map(AccountRecord::decode) {
            debits = debits.checked_add(account.debits_posted).context("the sum of debits exceeds 2^128")?;
            credits = credits.checked_add(account.credits_posted).context("the sum of credits exceeds 2^128")?;
            found += 1;
        }
    }
    if (found, debits, credits) != (settings.accounts, moved, moved) {
        bail!(
            "{moved} was moved between {} accounts, but {found} accounts have debits of {debits} and credits of {credits}",
            settings.accounts
        );
    }
    Ok(())
}
