//! Formats the results as a table for people and as a JSON object for programs.

use serde_json::{Value, json};

use super::settings::{Ids, Index, Proofs, Settings};

/// The results of a run. Latencies are sorted.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) load_s: f64,
    /// The time from the last response until the server was idle, or `None` if the server cannot report that.
    pub(super) drain_s: Option<f64>,
    pub(super) batches_ms: Vec<f64>,
    pub(super) cold_ms: Vec<f64>,
    pub(super) warm_ms: Vec<f64>,
    pub(super) under_load_ms: Vec<f64>,
    pub(super) results_per_query: Option<f64>,
    pub(super) rss_peak_bytes: u64,
    /// The disk space without the proofs.
    pub(super) disk_bytes: u64,
    pub(super) proof_bytes: u64,
    pub(super) restart_s: f64,
    /// Measured only if every request has one transfer.
    pub(super) raw_syncs_per_second: Option<f64>,
}

impl Figures {
    fn seconds(&self) -> f64 {
        self.load_s + self.drain_s.unwrap_or_default()
    }

    #[expect(clippy::cast_precision_loss, reason = "the value is shown to people and far below 2^53")]
    fn transfers_per_second(&self, settings: &Settings) -> f64 {
        settings.count as f64 / self.seconds()
    }

    #[expect(clippy::cast_precision_loss, reason = "the value is shown to people and far below 2^53")]
    fn disk_bytes_per_transfer(&self, settings: &Settings) -> f64 {
        self.disk_bytes as f64 / settings.count as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "the value is shown to people and far below 2^53")]
    fn proof_bytes_per_transfer(&self, settings: &Settings) -> f64 {
        self.proof_bytes as f64 / settings.count as f64
    }

    pub(super) fn json(&self, settings: &Settings) -> Value {
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        let at = |sorted: &[f64], percent| percentile(sorted, percent).map(rounded);
        json!({
            "benchmark": "transfers",
            "transfers_per_second": self.transfers_per_second(settings).round(),
            "seconds": rounded(self.seconds()),
            "drain_seconds": self.drain_s.map(rounded),
            "batch_ms_p50": at(&self.batches_ms, 50),
            "batch_ms_p99": at(&self.batches_ms, 99),
            "batch_ms_max": at(&self.batches_ms, 100),
            "query_ms_p50": at(&self.warm_ms, 50),
            "query_ms_p99": at(&self.warm_ms, 99),
            "query_cold_ms_p50": at(&self.cold_ms, 50),
            "query_under_load_ms_p50": at(&self.under_load_ms, 50),
            "query_under_load_ms_p99": at(&self.under_load_ms, 99),
            "query_results_mean": self.results_per_query.map(rounded),
            "rss_peak_bytes": self.rss_peak_bytes,
            "disk_bytes_per_transfer": rounded(self.disk_bytes_per_transfer(settings)),
            "proof_bytes_per_transfer": rounded(self.proof_bytes_per_transfer(settings)),
            "restart_seconds": rounded(self.restart_s),
            "raw_fdatasync_per_second": self.raw_syncs_per_second.map(f64::round),
            "settings": {
                "count": settings.count,
                "accounts": settings.accounts,
                "batch": settings.batch(),
                "clients": settings.clients,
                "ids": match settings.ids { Ids::Time => "time", Ids::Random => "random" },
                "zipf": settings.zipf,
                "hot_percent": settings.hot_percent,
                "pending_percent": settings.pending_percent,
                "index": match settings.index { Index::Standard => "standard", Index::All => "all" },
                "proofs": settings.proofs.name(),
                "http": settings.http,
                "queries": settings.queries,
                "token": settings.token,
            },
        })
    }

    pub(super) fn text(&self, settings: &Settings) -> String {
        let mut out = String::new();
        let mut line = |name: &str, value: String| out.push_str(&format!("{name:<34}{value}\n"));
        line("transfers per second", format!("{:.0}", self.transfers_per_second(settings)));
        let drain =
            self.drain_s.map_or("the server does not report when it is idle".to_owned(), |s| format!("drain {s:.2} s"));
        line("took", format!("{:.2} s: load {:.2} s, {drain}", self.seconds(), self.load_s));
        if let Some(raw) = self.raw_syncs_per_second {
            let share = self.transfers_per_second(settings) / raw * 100.0;
            line(
                "raw fdatasync of 4 KiB per second",
                format!("{raw:.0}; transfers per second are {share:.0} % of that"),
            );
        }
        line("request, p50 / p99 / max", format!("{} ms", percentiles(&self.batches_ms, &[50, 99, 100])));
        let results = self.results_per_query.map_or(String::new(), |mean| format!(", {mean:.0} transfers each"));
        line(
            "query, cold, p50",
            format!("{} ms (server restarted, its files dropped from the cache)", percentiles(&self.cold_ms, &[50])),
        );
        line("query, warm, p50 / p99", format!("{} ms{results}", percentiles(&self.warm_ms, &[50, 99])));
        line("query under load, p50 / p99", format!("{} ms", percentiles(&self.under_load_ms, &[50, 99])));
        line("server's peak memory", format!("{} MiB", self.rss_peak_bytes >> 20_u32));
        line("disk per transfer", format!("{:.1} bytes", self.disk_bytes_per_transfer(settings)));
        if settings.proofs == Proofs::On {
            line("disk for proofs per transfer", format!("{:.1} bytes more", self.proof_bytes_per_transfer(settings)));
        }
        line("restart", format!("{:.2} s", self.restart_s));
        out
    }
}

/// The smallest value that at least `percent` percent of the values do not exceed.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

pub(super) fn percentiles(sorted: &[f64], percents: &[usize]) -> String {
    let shown = percents.iter().map(|percent| percentile(sorted, *percent));
    shown.map(|value| value.map_or("-".to_owned(), |value| format!("{value:.2}"))).collect::<Vec<_>>().join(" / ")
}
