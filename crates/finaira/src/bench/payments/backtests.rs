//! Backtests that run while payments are measured.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::bench::connection::{Connection, Request, Wait};
use crate::bench::drive::Target;

/// How often it is looked whether a backtest has ended.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What the backtests did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// How many ended with a result.
    pub(super) backtests: u64,
    /// How many payments they compared together, those of one that was cancelled included.
    pub(super) payments: u64,
}

/// Runs one backtest of the policy after another over the journal of the server, until `stop` is true.
///
/// # Errors
/// If the server refuses one, or finds a difference: the policy is the one that made the decisions.
#[expect(clippy::disallowed_methods, reason = "waiting for another process")]
pub(super) fn run(archive: &[u8], target: Target<'_>, stop: &AtomicBool) -> anyhow::Result<Done> {
    let mut connection = Connection::open(target.address, Wait::Block)?;
    let mut call = |request: &Request| -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(connection.call(request)?.success()?)?)
    };
    let mut done = Done::default();
    while !stop.load(Ordering::Relaxed) {
        let mut request = Request::post("/v1/backtests", target.key, "application/x-tar");
        request.set_body(|body| body.extend_from_slice(archive));
        let started = call(&request).context("the backtest cannot be started")?;
        let id = started["id"].as_str().context("the backtest has no id")?.to_owned();
        loop {
            std::thread::sleep(LOOK_EVERY);
            if stop.load(Ordering::Relaxed) {
                let mut cancel = Request::post(&format!("/v1/backtests/{id}/cancel"), target.key, "application/json");
                cancel.set_body(|body| body.extend_from_slice(b"{}"));
                call(&cancel)?;
            }
            let shown = call(&Request::get(&format!("/v1/backtests/{id}"), target.key))?;
            let payments = shown["progress"]["payments"].as_u64().unwrap_or_default();
            match shown["status"].as_str() {
                Some("waiting" | "running") => continue,
                Some("done") => {
                    let changed = &shown["result"]["payments_differing"];
                    anyhow::ensure!(*changed == 0, "{changed} payments differ under the policy that decided them");
                    done.backtests += 1;
                }
                Some("cancelled") => {}
                _ => anyhow::bail!("a backtest failed: {}", shown["error"]),
            }
            done.payments += payments;
            break;
        }
    }
    Ok(done)
}
