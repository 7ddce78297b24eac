//! Formats the results as a table for people and as a JSON object for programs.

use serde_json::{Value, json};

use super::Settings;
use super::backtests::Done;
use super::town::Decided;
use crate::bench::report::{percentile, percentiles};
use crate::bench::settings::Proofs;

/// The bytes of a record of a feature window: the record and its share of the sums.
const WINDOW_RECORD_BYTES: f64 = 22.5;

/// The results of a run.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) load_s: f64,
    pub(super) drain_s: f64,
    /// The latency of every request, sorted.
    pub(super) requests_ms: Vec<f64>,
    pub(super) decided: Decided,
    /// Measured with `--lifecycle`.
    pub(super) lifecycle: Option<Lifecycle>,
    pub(super) rss_peak_bytes: u64,
    pub(super) rss_restarted_bytes: u64,
    pub(super) window_records: u64,
    pub(super) payments_in_memory: u64,
    pub(super) journal_bytes: u64,
    pub(super) index_bytes: u64,
    pub(super) proof_bytes: u64,
    pub(super) restart_s: f64,
    pub(super) transfers_per_second: Option<f64>,
    /// Measured with `--backtest`.
    pub(super) backtests: Option<Done>,
}

/// The verbs that followed the decisions.
#[derive(Debug)]
pub(super) struct Lifecycle {
    /// How many took effect.
    pub(super) verbs: u64,
    /// Until the proofs covered them and the background work was done.
    pub(super) seconds: f64,
    /// The latency of every request, sorted.
    pub(super) requests_ms: Vec<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "the values are shown to people and far below 2^53")]
impl Lifecycle {
    fn per_second(&self) -> f64 {
        self.verbs as f64 / self.seconds
    }
}

#[expect(clippy::cast_precision_loss, reason = "the values are shown to people and far below 2^53")]
impl Figures {
    fn seconds(&self) -> f64 {
        self.load_s + self.drain_s
    }

    fn per_second(&self, settings: &Settings) -> f64 {
        settings.count() as f64 / self.seconds()
    }

    fn per_payment(bytes: u64, settings: &Settings) -> f64 {
        bytes as f64 / settings.count() as f64
    }

    fn window_bytes(&self) -> f64 {
        self.window_records as f64 * WINDOW_RECORD_BYTES
    }

    pub(super) fn json(&self, settings: &Settings) -> Value {
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        let at = |percent| percentile(&self.requests_ms, percent).map(rounded);
        let Decided { approved, in_review, declined } = self.decided;
        json!({
            "benchmark": "payments",
            "payments_per_second": self.per_second(settings).round(),
            "transfers_per_second": self.transfers_per_second.map(f64::round),
            "seconds": rounded(self.seconds()),
            "drain_seconds": rounded(self.drain_s),
            "request_ms_p50": at(50),
            "request_ms_p99": at(99),
            "request_ms_max": at(100),
            "verbs_per_second": self.lifecycle.as_ref().map(|lifecycle| lifecycle.per_second().round()),
            "verbs": self.lifecycle.as_ref().map(|lifecycle| lifecycle.verbs),
            "verb_request_ms_p50": self.lifecycle.as_ref().and_then(|it| percentile(&it.requests_ms, 50)).map(rounded),
            "verb_request_ms_p99": self.lifecycle.as_ref().and_then(|it| percentile(&it.requests_ms, 99)).map(rounded),
            "backtests": self.backtests.map(|done| done.backtests),
            "payments_backtested": self.backtests.map(|done| done.payments),
            "approved": approved,
            "in_review": in_review,
            "declined": declined,
            "rss_peak_bytes": self.rss_peak_bytes,
            "rss_restarted_bytes": self.rss_restarted_bytes,
            "window_records": self.window_records,
            "payments_in_memory": self.payments_in_memory,
            "journal_bytes_per_payment": rounded(Self::per_payment(self.journal_bytes, settings)),
            "index_bytes_per_payment": rounded(Self::per_payment(self.index_bytes, settings)),
            "proof_bytes_per_payment": rounded(Self::per_payment(self.proof_bytes, settings)),
            "restart_seconds": rounded(self.restart_s),
            "settings": {
                "count": settings.count(),
                "backtest": settings.backtest,
                "lifecycle": settings.lifecycle,
                "input": settings.input,
                "batch": settings.batch,
                "clients": settings.clients,
                "customers": settings.customers,
                "terminals": settings.terminals,
                "decline_percent": settings.decline_percent,
                "policy": settings.policy,
                "proofs": settings.proofs.name(),
                "token": settings.token,
            },
        })
    }

    pub(super) fn text(&self, settings: &Settings) -> String {
        let mut out = String::new();
        let mut line = |name: &str, value: String| out.push_str(&format!("{name:<34}{value}\n"));
        let rate = self.per_second(settings);
        line("decided payments per second", format!("{rate:.0}"));
        if let Some(transfers) = self.transfers_per_second {
            let share = rate / transfers * 100.0;
            line("plain transfers per second", format!("{transfers:.0}; payments are {share:.0} % of that"));
        }
        line("took", format!("{:.2} s: load {:.2} s, drain {:.2} s", self.seconds(), self.load_s, self.drain_s));
        line("request, p50 / p99 / max", format!("{} ms", percentiles(&self.requests_ms, &[50, 99, 100])));
        let Decided { approved, in_review, declined } = self.decided;
        line("decisions", format!("{approved} approved, {in_review} in review, {declined} declined"));
        if let Some(lifecycle) = &self.lifecycle {
            let (verbs, seconds) = (lifecycle.verbs, lifecycle.seconds);
            let ms = percentiles(&lifecycle.requests_ms, &[50, 99, 100]);
            line("verbs per second", format!("{:.0}: {verbs} in {seconds:.2} s", lifecycle.per_second()));
            line("request of verbs, p50 / p99 / max", format!("{ms} ms"));
        }
        if let Some(Done { backtests, payments }) = self.backtests {
            line("backtests meanwhile", format!("{backtests}; {payments} payments were decided again"));
        }
        let windows = self.window_bytes() / f64::from(1 << 20);
        line(
            "server's peak memory",
            format!(
                "{} MiB, of which {windows:.0} MiB are {} window records; {} payments are in memory",
                self.rss_peak_bytes >> 20_u32,
                self.window_records,
                self.payments_in_memory
            ),
        );
        line("disk per payment", format!("{:.1} bytes", Self::per_payment(self.journal_bytes, settings)));
        line("index per payment", format!("{:.1} bytes more", Self::per_payment(self.index_bytes, settings)));
        if settings.proofs == Proofs::On {
            line("proofs per payment", format!("{:.1} bytes more", Self::per_payment(self.proof_bytes, settings)));
        }
        line(
            "restart after SIGKILL under load",
            format!("{:.2} s, then {} MiB", self.restart_s, self.rss_restarted_bytes >> 20_u32),
        );
        out
    }
}
