//! Bytes exchanged with other task managers, of this process. Counted by `exchange.rs` (out)
//! and `data_server.rs` (in); shown by `metrics_server.rs` and the heartbeat.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of batches, as encoded; a counter of the process, like those of the kernel.
static IN: AtomicU64 = AtomicU64::new(0);
static OUT: AtomicU64 = AtomicU64::new(0);

pub(crate) fn received(bytes: u64) {
    IN.fetch_add(bytes, Relaxed);
}

pub(crate) fn sent(bytes: u64) {
    OUT.fetch_add(bytes, Relaxed);
}

/// (in, out).
pub(crate) fn totals() -> (u64, u64) {
    (IN.load(Relaxed), OUT.load(Relaxed))
}
