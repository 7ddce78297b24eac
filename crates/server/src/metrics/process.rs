//! What the operating system says about this process, under the names that Prometheus recommends for every program.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::clock::Clock;
use crate::descriptors;

#[derive(Debug)]
pub(crate) struct Process {
    /// Apart from the registry of the program, whose names have a prefix.
    registry: Registry,
    open_descriptors: Gauge<i64, AtomicI64>,
    descriptors_max: Gauge<i64, AtomicI64>,
    resident_bytes: Gauge<i64, AtomicI64>,
    cpu_seconds: Counter<f64, AtomicU64>,
    start_seconds: Gauge<i64, AtomicI64>,
}

impl Process {
    pub(crate) fn new() -> Self {
        let start_seconds = Gauge::default();
        start_seconds.set(i64::try_from(Clock.now().ns() / 1_000_000_000).unwrap_or(i64::MAX));
        let mut process = Self {
            registry: Registry::default(),
            open_descriptors: Gauge::default(),
            descriptors_max: Gauge::default(),
            resident_bytes: Gauge::default(),
            cpu_seconds: Counter::default(),
            start_seconds,
        };
        let mut registry = Registry::default();
        registry.register("process_open_fds", "Open file descriptors", process.open_descriptors.clone());
        registry.register("process_max_fds", "Most file descriptors that may be open", process.descriptors_max.clone());
        registry.register("process_resident_memory_bytes", "Resident memory in bytes", process.resident_bytes.clone());
        registry.register(
            "process_cpu_seconds",
            "Time that all processors spent, in seconds",
            process.cpu_seconds.clone(),
        );
        registry.register("process_start_time_seconds", "Unix time of the start", process.start_seconds.clone());
        process.registry = registry;
        process
    }

    /// The current values. What the system does not tell keeps its last value.
    pub(crate) fn look(&self) -> &Registry {
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            self.open_descriptors.set(i64::try_from(open.count()).unwrap_or(i64::MAX));
        }
        self.descriptors_max.set(i64::try_from(descriptors::limit()).unwrap_or(i64::MAX));
        let pages = std::fs::read_to_string("/proc/self/statm").ok();
        if let Some(pages) = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()) {
            let bytes = pages.saturating_mul(rustix::param::page_size() as u64);
            self.resident_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        #[expect(clippy::cast_precision_loss, reason = "a processor time in seconds is far below 2^53")]
        let seconds = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
        self.cpu_seconds.inc_by((seconds - self.cpu_seconds.get()).max(0.0));
        &self.registry
    }
}
