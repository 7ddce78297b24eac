//! What a running `finaira connect` answers over HTTP: its metrics, and how far its targets are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use connect::Status;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde::{Deserialize, Serialize};
use server::Clock;
use types::{Span, Timestamp};

use crate::backtest::table::{Table, thousands};
use crate::stdio::out;

/// The path of the state of all targets.
const STATUS: &str = "/v1/status";
/// How long `finaira connect status` waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const PLAIN: &str = "text/plain; charset=utf-8";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How far a target is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TargetStatus {
    pub(super) name: String,
    /// The last entry in the target.
    pub(super) position: u64,
    /// The last entry of the journal, as far as is known.
    pub(super) journal: u64,
    /// Entries of the journal that are not in the target yet.
    pub(super) lag_entries: u64,
    /// How long ago the last entry in the target was decided; 0 if it is the last one of the journal.
    pub(super) lag_seconds: f64,
    /// How long ago the copy of the journal, from which the target is fed, had everything that the server had. Counted from 1970 before anything
    /// was copied.
    pub(super) copy_age_seconds: f64,
    /// Batches, and rows or events, that were written since the start.
    pub(super) batches: u64,
    pub(super) rows: u64,
    /// Rows or events of the last batch.
    pub(super) batch_rows: u64,
    /// Faults since the start. The connector tries again after each, unless another connector took the target over.
    pub(super) faults: u64,
    /// How often the target was opened since the start.
    pub(super) opened: u64,
    /// The last fault, until something is written again.
    pub(super) fault: Option<String>,
}

impl TargetStatus {
    pub(super) fn of(status: &Status, now: Timestamp) -> Self {
        let shown = status.shown();
        let journal = shown.journal.max(shown.position);
        let lag_entries = journal - shown.position;
        let is_behind = lag_entries > 0 && shown.decided_at_ns > 0;
        Self {
            name: status.name().to_owned(),
            position: shown.position,
            journal,
            lag_entries,
            lag_seconds: if is_behind { seconds(now.since(Timestamp::from_ns(shown.decided_at_ns))) } else { 0.0 },
            copy_age_seconds: seconds(now.since(Timestamp::from_ns(shown.copied_until_ns))),
            batches: shown.batches,
            rows: shown.rows,
            batch_rows: shown.batch_rows,
            faults: shown.faults,
            opened: shown.opened,
            fault: shown.fault,
        }
    }
}

fn seconds(span: Span) -> f64 {
    Duration::from_nanos(span.ns()).as_secs_f64()
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTarget {
    target: String,
}

type Statuses = Arc<Vec<Arc<Status>>>;

/// Listens, and answers until the process ends.
pub(super) async fn serve(address: SocketAddr, statuses: Vec<Arc<Status>>) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    tracing::info!(address = %listener.local_addr()?, "answering /metrics, /healthz and {STATUS}");
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route(STATUS, get(all))
        .with_state(Arc::new(statuses));
    axum::serve(listener, router).await.context("cannot answer over HTTP")
}

fn now_of(statuses: &[Arc<Status>]) -> Vec<TargetStatus> {
    let now = Clock.now();
    statuses.iter().map(|status| TargetStatus::of(status, now)).collect()
}

async fn all(State(statuses): State<Statuses>) -> impl IntoResponse {
    match serde_json::to_string(&now_of(&statuses)) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, PLAIN)], error.to_string()),
    }
}

/// 200 as long as no target has a fault, so that a supervisor sees one without reading metrics.
async fn health(State(statuses): State<Statuses>) -> impl IntoResponse {
    let faulty =
        now_of(&statuses).into_iter().filter_map(|target| Some(format!("{}: {}\n", target.name, target.fault?)));
    let faulty: String = faulty.collect();
    if faulty.is_empty() { (StatusCode::OK, "ok\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, faulty) }
}

async fn metrics(State(statuses): State<Statuses>) -> impl IntoResponse {
    match encoded(&now_of(&statuses)) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, METRICS)], text),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            error.to_string(),
        ),
    }
}

/// The metrics as a text.
fn encoded(targets: &[TargetStatus]) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("finaira_connect");
    let mut gauge = |name: &str, help: &str, of: fn(&TargetStatus) -> u64| {
        let family = Family::<OfTarget, Gauge<i64, AtomicI64>>::default();
        for target in targets {
            let label = OfTarget { target: target.name.clone() };
            family.get_or_create(&label).set(i64::try_from(of(target)).unwrap_or(i64::MAX));
        }
        registry.register(name, help, family);
    };
    gauge("position", "The last entry in the target", |target| target.position);
    gauge("journal_position", "The last entry of the journal, as far as is known", |target| target.journal);
    gauge("lag_entries", "Entries of the journal that are not in the target yet", |target| target.lag_entries);
    gauge("batch_rows", "Rows or events of the last batch", |target| target.batch_rows);
    gauge("faulty", "1 while the target cannot be written to, otherwise 0", |target| target.fault.is_some().into());
    let mut age = |name: &str, help: &str, of: fn(&TargetStatus) -> f64| {
        let family = Family::<OfTarget, Gauge<f64, AtomicU64>>::default();
        for target in targets {
            family.get_or_create(&OfTarget { target: target.name.clone() }).set(of(target));
        }
        registry.register_with_unit(name, help, Unit::Seconds, family);
    };
    let help = "How long ago the last entry in the target was decided, while there are newer ones";
    age("lag", help, |target| target.lag_seconds);
    let help = "How long ago the copy of the journal had everything that the server had";
    age("copy_age", help, |target| target.copy_age_seconds);
    let mut counter = |name: &str, help: &str, of: fn(&TargetStatus) -> u64| {
        let family = Family::<OfTarget, Counter>::default();
        for target in targets {
            family.get_or_create(&OfTarget { target: target.name.clone() }).inc_by(of(target));
        }
        registry.register(name, help, family);
    };
    counter("batches", "Batches that were written since the start", |target| target.batches);
    counter("rows", "Rows or events that were written since the start", |target| target.rows);
    counter("faults", "Faults of the target since the start", |target| target.faults);
    counter("opened", "How often the target was opened since the start", |target| target.opened);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// Asks a running connector, and shows what it says as a table.
pub(super) fn show(address: SocketAddr) -> anyhow::Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(ANSWER_WITHIN)).build().into();
    let url = format!("http://{address}{STATUS}");
    let answer = agent.get(&url).call();
    let mut answer = answer.with_context(|| format!("no answer from {url}; is `finaira connect` running?"))?;
    let targets: Vec<TargetStatus> =
        answer.body_mut().read_json().with_context(|| format!("{url} answered something else"))?;
    let mut table = Table::new(["TARGET", "position", "behind", "seconds", "batches", "rows", "faults"]);
    for target in &targets {
        let counts = [target.position, target.lag_entries].map(|count| thousands(count.into()));
        let [position, behind] = counts;
        let [batches, rows, faults] = [target.batches, target.rows, target.faults].map(|count| thousands(count.into()));
        let seconds = format!("{:.1}", target.lag_seconds);
        table.row(vec![target.name.clone(), position, behind, seconds, batches, rows, faults]);
    }
    let mut text = String::new();
    table.write_to(&mut text);
    for target in targets.iter().filter(|target| target.fault.is_some()) {
        text.push_str(&format!("{}: {}\n", target.name, target.fault.as_deref().unwrap_or_default()));
    }
    out(format_args!("{text}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_a_value_for_each_target() {
        let target = |name: &str, fault: Option<&str>| TargetStatus {
            name: name.to_owned(),
            position: 90,
            journal: 100,
            lag_entries: 10,
            lag_seconds: 1.5,
            copy_age_seconds: 0.5,
            batches: 3,
            rows: 200,
            batch_rows: 50,
            faults: 2,
            opened: 1,
            fault: fault.map(str::to_owned),
        };
        let text = encoded(&[target("one", None), target("two", Some("gone"))]).expect("a text");
        for line in [
            "finaira_connect_position{target=\"one\"} 90",
            "finaira_connect_lag_seconds{target=\"two\"} 1.5",
            "finaira_connect_copy_age_seconds{target=\"one\"} 0.5",
            "finaira_connect_lag_entries{target=\"two\"} 10",
            "finaira_connect_rows_total{target=\"one\"} 200",
            "finaira_connect_faulty{target=\"one\"} 0",
            "finaira_connect_faulty{target=\"two\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
