//! What a running task counts, readable from other threads while it runs.
//! Written by the task loop; `taskmanager` sends [`SharedMetrics::snapshot`] with heartbeats.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use model::Watermark;
use model::metrics::TaskMetrics;

/// Counters of one task since its attempt started.
#[derive(Debug)]
pub struct SharedMetrics {
    pub(crate) records_in: AtomicU64,
    pub(crate) records_out: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    watermark: AtomicI64,
    pub(crate) late_records: AtomicU64,
    pub(crate) bad_skipped: AtomicU64,
    pub(crate) bad_dead_lettered: AtomicU64,
    busy_us: AtomicU64,
    backpressured_us: AtomicU64,
    idle_us: AtomicU64,
    pub(crate) state_bytes: AtomicU64,
    pub(crate) queued_bytes: AtomicU64,
    /// p50, p99, max in microseconds; all 0: not measured.
    latency_us: [AtomicU64; 3],
}

impl Default for SharedMetrics {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            records_in: zero(),
            records_out: zero(),
            bytes_in: zero(),
            bytes_out: zero(),
            watermark: AtomicI64::new(Watermark::MIN.0),
            late_records: zero(),
            bad_skipped: zero(),
            bad_dead_lettered: zero(),
            busy_us: zero(),
            backpressured_us: zero(),
            idle_us: zero(),
            state_bytes: zero(),
            queued_bytes: zero(),
            latency_us: [zero(), zero(), zero()],
        }
    }
}

impl SharedMetrics {
    /// The figures as they are now. Counters are read one by one, not as of one moment.
    pub fn snapshot(&self) -> TaskMetrics {
        let watermark = self.watermark.load(Relaxed);
        let latency = [0, 1, 2].map(|i: usize| self.latency_us[i].load(Relaxed));
        TaskMetrics {
            records_in: self.records_in.load(Relaxed),
            records_out: self.records_out.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            watermark: (watermark != Watermark::MIN.0).then_some(watermark),
            late_records: self.late_records.load(Relaxed),
            bad_records_skipped: self.bad_skipped.load(Relaxed),
            bad_records_dead_lettered: self.bad_dead_lettered.load(Relaxed),
            busy_ms: self.busy_us.load(Relaxed) / 1000,
            backpressured_ms: self.backpressured_us.load(Relaxed) / 1000,
            idle_ms: self.idle_us.load(Relaxed) / 1000,
            state_bytes: self.state_bytes.load(Relaxed),
            queued_bytes: self.queued_bytes.load(Relaxed),
            latency_us: Some(latency).filter(|l| *l != [0; 3]),
        }
    }

    pub(crate) fn set_watermark(&self, watermark: Watermark) {
        self.watermark.store(watermark.0, Relaxed);
    }
    pub(crate) fn add_backpressured_us(&self, us: u64) {
        self.backpressured_us.fetch_add(us, Relaxed);
    }
    pub(crate) fn add_idle_us(&self, us: u64) {
        self.idle_us.fetch_add(us, Relaxed);
    }
    pub(crate) fn backpressured_us(&self) -> u64 {
        self.backpressured_us.load(Relaxed)
    }
    pub(crate) fn idle_us(&self) -> u64 {
        self.idle_us.load(Relaxed)
    }
    /// As the sink measured it over the whole attempt.
    pub(crate) fn set_latency_us(&self, latency: [u64; 3]) {
        for (slot, us) in self.latency_us.iter().zip(latency) {
            slot.store(us, Relaxed);
        }
    }
    pub(crate) fn set_busy_us(&self, us: u64) {
        self.busy_us.store(us, Relaxed);
    }
}
