//! The metrics that `/metrics` serves in the Prometheus text format.

use std::sync::atomic::{AtomicI64, AtomicU64};

use engine::{Answer, Made, PaymentStatus, Reply};
use policy::Verdict;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

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
struct FollowerLabels {
    follower: &'static str,
}

/// All metrics of a process.
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
    pub(crate) window_records_dropped: Gauge<i64, AtomicI64>,
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
            window_records_dropped: Gauge::default(),
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
        registry.register(
            "window_records_dropped",
            "Records that the bounds of feature windows refused since the start",
            metrics.window_records_dropped.clone(),
        );
        registry.register(
            "features_missing",
            "Feature values that were missing when a payment was decided",
            metrics.features_missing.clone(),
        );
        metrics.register_guard(&mut registry);
        metrics.set_writes_closed([false; 3]);
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
            "When the newest checkpoint was signed, since 1970",
            Unit::Seconds,
            metrics.proofs_checkpoint_time.clone(),
        );
        metrics.register_tail(&mut registry);
        Self { registry, ..metrics }
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
            "Since when the sealed segment that waited longest was not read",
            self.scrub_oldest.clone(),
        );
        registry.register("scrub_damaged_segments", "Segments in which damage was met", self.scrub_damaged.clone());
    }

    /// Records what stops the writes: damage, a full disk, a doubted clock.
    pub(crate) fn set_writes_closed(&self, reasons: [bool; 3]) {
        for (reason, closed) in ["damage", "disk", "clock"].into_iter().zip(reasons) {
            self.writes_closed.get_or_create(&ReasonLabels { reason }).set(i64::from(closed));
        }
    }

    /// Counts the payments that an answer reports, by outcome.
    pub(crate) fn count_answer(&self, answer: &Answer) {
        let Ok(Reply::PaymentMade((Made::Now, reply))) = answer else { return };
        let Some(decided) = &reply.decided else { return };
        let missing = decided.features.iter().filter(|(_, value)| value.ty().is_none()).count();
        self.features_missing.inc_by(missing as u64);
        let labels = PaymentLabels { verdict: verdict_name(decided.verdict), status: status_name(decided.status) };
        self.payments.get_or_create(&labels).inc();
    }

    pub(crate) fn count_request(&self, method: &str, route: &str, status: u16) {
        let labels = RequestLabels { method: method.to_owned(), route: route.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        encode(&mut text, &self.registry).unwrap_or_default();
        text
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approve",
        Verdict::Review => "review",
        Verdict::Decline => "decline",
    }
}

fn status_name(status: PaymentStatus) -> &'static str {
    status.name()
}
