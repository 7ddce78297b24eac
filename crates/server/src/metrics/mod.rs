//! The metrics that `/metrics` serves, in the OpenMetrics format or in the older text format of Prometheus.

mod process;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64};

use edge::admission::By;
use engine::{Answer, Engine, Made, PaymentStatus, Reply};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use types::Timestamp;

use types::TenantId;

use crate::metrics::process::Process;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PaymentLabels {
    verdict: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    by: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    certificate: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabels {
    tenant: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabels {
    issuer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    issuer: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FollowerLabels {
    follower: &'static str,
}

/// The metrics of a shard. Those of the first tenant also count what concerns the whole process, and are the ones that are
/// served.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    payments: Family<PaymentLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    pub(crate) request_seconds: Histogram,
    pub(crate) queue_length: Gauge<i64, AtomicI64>,
    pub(crate) queue_refused: Counter,
    pub(crate) batch_requests: Histogram,
    pub(crate) sync_seconds: Histogram,
    pub(crate) durable_seq: Gauge<i64, AtomicI64>,
    pub(crate) window_records: Gauge<i64, AtomicI64>,
    pub(crate) window_records_dropped: Counter<u64, AtomicU64>,
    pub(crate) payments_in_memory: Gauge<i64, AtomicI64>,
    pub(crate) features_missing: Counter<u64, AtomicU64>,
    writes_closed: Family<ReasonLabels, Gauge<i64, AtomicI64>>,
    pub(crate) disk_free: Gauge<i64, AtomicI64>,
    pub(crate) disk_reserve: Gauge<i64, AtomicI64>,
    pub(crate) scrub_segments: Counter<u64, AtomicU64>,
    pub(crate) scrub_bytes: Counter<u64, AtomicU64>,
    pub(crate) scrub_index_bytes: Counter<u64, AtomicU64>,
    pub(crate) scrub_oldest: Gauge<f64, AtomicU64>,
    pub(crate) scrub_damaged: Gauge<i64, AtomicI64>,
    pub(crate) proofs_entries: Gauge<i64, AtomicI64>,
    pub(crate) proofs_behind_entries: Gauge<i64, AtomicI64>,
    pub(crate) proofs_disk_bytes: Gauge<i64, AtomicI64>,
    pub(crate) proofs_checkpoint_time: Gauge<i64, AtomicI64>,
    tail_lag: Family<FollowerLabels, Gauge<i64, AtomicI64>>,
    tail_followers: Family<FollowerLabels, Gauge<i64, AtomicI64>>,
    pub(crate) tail_decoded_frames: Counter<u64, AtomicU64>,
    pub(crate) connections: Gauge<i64, AtomicI64>,
    pub(crate) connections_max: Gauge<i64, AtomicI64>,
    pub(crate) connections_refused: Counter,
    connections_ended: Family<ReasonLabels, Counter>,
    pub(crate) requests_admitted: Counter,
    requests_refused: Family<RefusedLabels, Counter>,
    admission_limit: Gauge<i64, AtomicI64>,
    lag: Gauge<f64, AtomicU64>,
    queue_wait: Gauge<f64, AtomicU64>,
    pub(crate) tls_handshakes: Counter,
    tls_reloads: Family<ResultLabels, Counter>,
    /// Empty without TLS, because a time of 0 would look like a certificate that expired long ago.
    tls_not_after: Family<CertificateLabels, Gauge<i64, AtomicI64>>,
    issuer_key_fetches: Family<FetchLabels, Counter>,
    /// Empty for an issuer whose keys were never fetched.
    issuer_keys_fetched: Family<IssuerLabels, Gauge<i64, AtomicI64>>,
    pub(crate) clock_behind: Gauge<f64, AtomicU64>,
    pub(crate) tenants_open: Gauge<i64, AtomicI64>,
    tenant_requests: Family<TenantLabels, Counter>,
    process: Process,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("finaira");
        let seconds = || Histogram::new(exponential_buckets(0.000_1, 2.0, 16));
        let metrics = Self {
            payments: Family::default(),
            requests: Family::default(),
            request_seconds: seconds(),
            queue_length: Gauge::default(),
            queue_refused: Counter::default(),
            batch_requests: Histogram::new(exponential_buckets(1.0, 2.0, 14)),
            sync_seconds: seconds(),
            durable_seq: Gauge::default(),
            window_records: Gauge::default(),
            window_records_dropped: Counter::default(),
            payments_in_memory: Gauge::default(),
            features_missing: Counter::default(),
            writes_closed: Family::default(),
            disk_free: Gauge::default(),
            disk_reserve: Gauge::default(),
            scrub_segments: Counter::default(),
            scrub_bytes: Counter::default(),
            scrub_index_bytes: Counter::default(),
            scrub_oldest: Gauge::default(),
            scrub_damaged: Gauge::default(),
            proofs_entries: Gauge::default(),
            proofs_behind_entries: Gauge::default(),
            proofs_disk_bytes: Gauge::default(),
            proofs_checkpoint_time: Gauge::default(),
            tail_lag: Family::default(),
            tail_followers: Family::default(),
            tail_decoded_frames: Counter::default(),
            connections: Gauge::default(),
            connections_max: Gauge::default(),
            connections_refused: Counter::default(),
            connections_ended: Family::default(),
            requests_admitted: Counter::default(),
            requests_refused: Family::default(),
            admission_limit: Gauge::default(),
            lag: Gauge::default(),
            queue_wait: Gauge::default(),
            tls_handshakes: Counter::default(),
            tls_reloads: Family::default(),
            tls_not_after: Family::default(),
            issuer_key_fetches: Family::default(),
            issuer_keys_fetched: Family::default(),
            clock_behind: Gauge::default(),
            tenants_open: Gauge::default(),
            tenant_requests: Family::default(),
            process: Process::new(),
            registry: Registry::default(),
        };
        registry.register("payments", "Payments decided, by verdict and status", metrics.payments.clone());
        registry.register("http_requests", "HTTP requests answered", metrics.requests.clone());
        registry.register_with_unit(
            "http_request",
            "Time from a request's head to its reply",
            Unit::Seconds,
            metrics.request_seconds.clone(),
        );
        registry.register("queue_length", "Requests that wait for the engine", metrics.queue_length.clone());
        registry.register(
            "queue_refused",
            "Requests refused because the queue was full",
            metrics.queue_refused.clone(),
        );
        registry.register("batch_requests", "Requests decided together", metrics.batch_requests.clone());
        registry.register_with_unit(
            "journal_sync",
            "Time to write and sync a group of frames",
            Unit::Seconds,
            metrics.sync_seconds.clone(),
        );
        registry.register("journal_durable_seq", "The last durable entry", metrics.durable_seq.clone());
        registry.register("window_records", "Records of feature windows in memory", metrics.window_records.clone());
        registry.register(
            "payments_in_memory",
            "Payments in memory: open ones, and those that changed recently",
            metrics.payments_in_memory.clone(),
        );
        registry.register(
            "window_records_dropped",
            "Records that the bounds of feature windows refused",
            metrics.window_records_dropped.clone(),
        );
        registry.register(
            "features_missing",
            "Feature values that were missing when a payment was decided",
            metrics.features_missing.clone(),
        );
        metrics.register_guard(&mut registry);
        metrics.set_writes_closed([false; 4]);
        registry.register(
            "proofs_entries",
            "Entries that the newest checkpoint covers",
            metrics.proofs_entries.clone(),
        );
        registry.register(
            "proofs_behind_entries",
            "Durable entries that the newest checkpoint does not cover yet",
            metrics.proofs_behind_entries.clone(),
        );
        registry.register_with_unit(
            "proofs_disk",
            "Size of the files of the proofs",
            Unit::Bytes,
            metrics.proofs_disk_bytes.clone(),
        );
        registry.register_with_unit(
            "proofs_checkpoint_time",
            "Unix time at which the newest checkpoint was signed",
            Unit::Seconds,
            metrics.proofs_checkpoint_time.clone(),
        );
        metrics.register_tail(&mut registry);
        metrics.register_connections(&mut registry);
        metrics.register_admission(&mut registry);
        registry.register("tenants_open", "Tenants whose journal is open", metrics.tenants_open.clone());
        registry.register(
            "tenant_requests",
            "HTTP requests with a valid credential, by tenant",
            metrics.tenant_requests.clone(),
        );
        metrics.register_tls(&mut registry);
        metrics.register_issuers(&mut registry);
        Self::register_build(&mut registry);
        Self { registry, ..metrics }
    }

    /// Shows what the engine has in memory.
    pub(crate) fn note_engine(&self, engine: &Engine) {
        self.window_records.set(i64::try_from(engine.windows().records()).unwrap_or(i64::MAX));
        self.payments_in_memory.set(i64::try_from(engine.payments_in_memory()).unwrap_or(i64::MAX));
        let dropped = engine.records_dropped();
        self.window_records_dropped.inc_by(dropped.saturating_sub(self.window_records_dropped.get()));
    }

    fn register_build(registry: &mut Registry) {
        let version = env!("CARGO_PKG_VERSION");
        registry.register("build", "The release that runs", Info::new(BuildLabels { version }));
    }

    fn register_connections(&self, registry: &mut Registry) {
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register("connections_max", "Most connections that may be open", self.connections_max.clone());
        registry.register(
            "connections_refused",
            "Connections refused because all others had a request in progress",
            self.connections_refused.clone(),
        );
        registry.register(
            "connections_ended",
            "Connections that the server ended before the client did, by reason",
            self.connections_ended.clone(),
        );
    }

    fn register_admission(&self, registry: &mut Registry) {
        registry.register(
            "requests_admitted",
            "Authenticated requests that were admitted",
            self.requests_admitted.clone(),
        );
        registry.register(
            "requests_refused",
            "Requests refused before their body was read, by what limits them",
            self.requests_refused.clone(),
        );
        registry.register(
            "admission_limit",
            "Requests in a second that are admitted while the server is overloaded; 0 if it is not",
            self.admission_limit.clone(),
        );
        registry.register_with_unit(
            "lag",
            "How late the server looks at what arrives at a socket",
            Unit::Seconds,
            self.lag.clone(),
        );
        registry.register_with_unit(
            "queue_wait",
            "How long requests wait for the engine of the tenant where they wait longest",
            Unit::Seconds,
            self.queue_wait.clone(),
        );
        for by in By::ALL_NAMES {
            drop(self.requests_refused.get_or_create(&RefusedLabels { by }));
        }
    }

    /// Counts a request that was not admitted.
    pub(crate) fn count_refused(&self, by: By) {
        self.requests_refused.get_or_create(&RefusedLabels { by: by.name() }).inc();
    }

    /// How many requests were refused so far, in the order of [`By::ALL_NAMES`].
    pub(crate) fn refused(&self) -> [u64; By::ALL_NAMES.len()] {
        By::ALL_NAMES.map(|by| self.requests_refused.get_or_create(&RefusedLabels { by }).get())
    }

    /// Records what the last window showed, and the limit that follows from it.
    pub(crate) fn set_admission(&self, lag_s: f64, queue_wait_s: f64, limit: Option<u64>) {
        self.lag.set(lag_s);
        self.queue_wait.set(queue_wait_s);
        self.admission_limit.set(limit.map_or(0, |limit| i64::try_from(limit).unwrap_or(i64::MAX)));
    }

    /// Counts a connection that the server ended.
    pub(crate) fn count_connection_ended(&self, reason: &'static str) {
        self.connections_ended.get_or_create(&ReasonLabels { reason }).inc();
    }

    fn register_tls(&self, registry: &mut Registry) {
        registry.register("tls_handshakes", "TLS handshakes that succeeded", self.tls_handshakes.clone());
        registry.register(
            "tls_reloads",
            "Changes of the files with the TLS certificate and key, by whether the new ones are used",
            self.tls_reloads.clone(),
        );
        registry.register_with_unit(
            "tls_certificate_not_after",
            "Unix time at which the TLS certificate expires",
            Unit::Seconds,
            self.tls_not_after.clone(),
        );
    }

    /// Counts a change of the TLS files; `result` is `loaded` or `failed`.
    pub(crate) fn count_tls_reload(&self, result: &'static str) {
        self.tls_reloads.get_or_create(&ResultLabels { result }).inc();
    }

    /// Shows until when the TLS certificate is valid.
    pub(crate) fn note_certificate(&self, not_after: Timestamp) {
        let seconds = not_after.ns() / 1_000_000_000;
        self.tls_not_after
            .get_or_create(&CertificateLabels { certificate: "server" })
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    fn register_issuers(&self, registry: &mut Registry) {
        registry.register(
            "issuer_key_fetches",
            "Fetches of the keys of an issuer of access tokens, by whether they succeeded",
            self.issuer_key_fetches.clone(),
        );
        registry.register_with_unit(
            "issuer_keys_fetched_time",
            "Unix time at which the keys of an issuer of access tokens were last fetched",
            Unit::Seconds,
            self.issuer_keys_fetched.clone(),
        );
    }

    /// Counts a fetch of the keys of an issuer, which succeeded at `fetched_at` if it did.
    pub(crate) fn count_key_fetch(&self, issuer: &str, fetched_at: Option<Timestamp>) {
        let result = if fetched_at.is_some() { "fetched" } else { "failed" };
        self.issuer_key_fetches.get_or_create(&FetchLabels { issuer: issuer.to_owned(), result }).inc();
        if let Some(at) = fetched_at {
            let seconds = i64::try_from(at.ns() / 1_000_000_000).unwrap_or(i64::MAX);
            self.issuer_keys_fetched.get_or_create(&IssuerLabels { issuer: issuer.to_owned() }).set(seconds);
        }
    }

    /// Shows nothing more about an issuer that was removed.
    pub(crate) fn forget_issuer(&self, issuer: &str) {
        for result in ["fetched", "failed"] {
            self.issuer_key_fetches.remove(&FetchLabels { issuer: issuer.to_owned(), result });
        }
        self.issuer_keys_fetched.remove(&IssuerLabels { issuer: issuer.to_owned() });
    }

    fn register_tail(&self, registry: &mut Registry) {
        registry.register(
            "tail_lag_entries",
            "Durable entries that the slowest follower of the log has not taken yet",
            self.tail_lag.clone(),
        );
        registry.register("tail_followers", "Followers of the log", self.tail_followers.clone());
        registry.register(
            "tail_decoded_frames",
            "Frames that were decoded for followers of the log, once for all of them",
            self.tail_decoded_frames.clone(),
        );
    }

    /// Records how many followers of a kind exist, and how many durable entries the slowest is behind.
    pub(crate) fn set_tail_lag(&self, follower: &'static str, (followers, lag_entries): (usize, u64)) {
        let labels = FollowerLabels { follower };
        self.tail_followers.get_or_create(&labels).set(i64::try_from(followers).unwrap_or(i64::MAX));
        self.tail_lag.get_or_create(&labels).set(i64::try_from(lag_entries).unwrap_or(i64::MAX));
    }

    fn register_guard(&self, registry: &mut Registry) {
        registry.register("writes_closed", "1 while this reason stops the writes", self.writes_closed.clone());
        registry.register_with_unit(
            "clock_behind",
            "How far the wall clock is behind the time of the journal",
            Unit::Seconds,
            self.clock_behind.clone(),
        );
        registry.register("disk_free_bytes", "Bytes left on the fullest disk", self.disk_free.clone());
        registry.register("disk_reserve_bytes", "Bytes that are kept free", self.disk_reserve.clone());
        registry.register("scrub_segments", "Sealed segments that were read again", self.scrub_segments.clone());
        registry.register("scrub_bytes", "Bytes of sealed segments that were read again", self.scrub_bytes.clone());
        registry.register(
            "scrub_index_bytes",
            "Bytes of the index that were read again",
            self.scrub_index_bytes.clone(),
        );
        registry.register(
            "scrub_oldest_seconds",
            "Age of the oldest check among the sealed segments",
            self.scrub_oldest.clone(),
        );
        registry.register(
            "scrub_damaged_segments",
            "Sealed segments in which damage was found",
            self.scrub_damaged.clone(),
        );
    }

    /// Records what stops the writes: damage, a full disk, a doubted clock, a used up quota.
    pub(crate) fn set_writes_closed(&self, reasons: [bool; 4]) {
        for (reason, closed) in ["damage", "disk", "clock", "quota"].into_iter().zip(reasons) {
            self.writes_closed.get_or_create(&ReasonLabels { reason }).set(i64::from(closed));
        }
    }

    /// Counts the payments that an answer reports, by outcome.
    pub(crate) fn count_answer(&self, answer: &Answer) {
        let Ok(Reply::PaymentMade((Made::Now, reply))) = answer else { return };
        let Some(decided) = &reply.decided else { return };
        let missing = decided.features.iter().filter(|(_, value)| value.ty().is_none()).count();
        self.features_missing.inc_by(missing as u64);
        let labels = PaymentLabels { verdict: decided.verdict.name(), status: status_name(decided.status) };
        self.payments.get_or_create(&labels).inc();
    }

    pub(crate) fn count_request(&self, method: &str, route: &str, status: u16) {
        let labels = RequestLabels { method: method.to_owned(), route: route.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts a request whose caller is known. There are as many labels as tenants.
    pub(crate) fn count_tenant_request(&self, tenant: TenantId) {
        self.tenant_requests.get_or_create(&TenantLabels { tenant: tenant.get() }).inc();
    }

    /// All metrics in the OpenMetrics text format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        encode_registry(&mut text, &self.registry).unwrap_or_default();
        encode_registry(&mut text, self.process.look()).unwrap_or_default();
        encode_eof(&mut text).unwrap_or_default();
        text
    }
}

/// Turns the OpenMetrics text format into the older text format of Prometheus (version 0.0.4). There, a counter's metadata has
/// the name of its samples, an info metric is a gauge, and units and the end are not marked.
pub(crate) fn older_text(text: &str) -> String {
    let types: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut older = String::with_capacity(text.len());
    for line in text.lines() {
        let metadata = ["# HELP ", "# TYPE "].into_iter().find_map(|kind| Some((kind, line.strip_prefix(kind)?)));
        if let Some((kind, (name, rest))) = metadata.and_then(|(kind, rest)| Some((kind, rest.split_once(' ')?))) {
            let (suffix, rest) = match (types.get(name), kind) {
                (Some(&"counter"), _) => ("_total", rest),
                (Some(&"info"), "# TYPE ") => ("_info", "gauge"),
                (Some(&"info"), _) => ("_info", rest),
                _ => ("", rest),
            };
            older.push_str(&format!("{kind}{name}{suffix} {rest}\n"));
        } else if !line.starts_with('#') {
            older.push_str(line);
            older.push('\n');
        }
    }
    older
}

fn status_name(status: PaymentStatus) -> &'static str {
    status.name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_have_the_same_samples_under_the_names_of_their_format() {
        let metrics = Metrics::new();
        metrics.count_request("GET", "/healthz", 200);
        metrics.window_records_dropped.inc_by(3);
        let newer = metrics.text();
        let older = older_text(&newer);
        let samples =
            |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(samples(&newer), samples(&older));
        for line in [
            "# TYPE finaira_http_requests_total counter",
            "# HELP finaira_http_requests_total HTTP requests answered.",
            "finaira_http_requests_total{method=\"GET\",route=\"/healthz\",status=\"200\"} 1",
            "# TYPE finaira_window_records_dropped_total counter",
            "finaira_window_records_dropped_total 3",
            "# TYPE finaira_build_info gauge",
            "# TYPE finaira_queue_length gauge",
            "# TYPE finaira_http_request_seconds histogram",
        ] {
            assert!(older.lines().any(|found| found == line), "{line} is missing in\n{older}");
        }
        assert!(newer.contains("# TYPE finaira_http_requests counter\n") && newer.ends_with("# EOF\n"));
        assert!(!older.contains("# UNIT") && !older.contains("# EOF"), "{older}");
        // Every sample follows the type of its family.
        let mut family = "";
        for line in older.lines() {
            if let Some(named) = line.strip_prefix("# TYPE ") {
                family = named.split(' ').next().unwrap_or_default();
            } else if !line.starts_with('#') {
                assert!(line.starts_with(family), "{line} stands below {family}");
            }
        }
    }
}
