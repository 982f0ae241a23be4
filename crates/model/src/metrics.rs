//! What a task counts about itself. Sent with heartbeats, shown by REST and CLI.

use serde::{Deserialize, Serialize};

/// Counters of one subtask since its attempt started. Times in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskMetrics {
    /// Rows in (for a source: rows produced, or the records they stand for).
    pub records_in: u64,
    pub records_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// `None` before the first watermark.
    pub watermark: Option<i64>,
    /// Rows dropped or sent aside because their window was closed.
    pub late_records: u64,
    pub bad_records_skipped: u64,
    pub bad_records_dead_lettered: u64,
    pub busy_ms: u64,
    pub backpressured_ms: u64,
    pub idle_ms: u64,
    /// In-memory state, bytes.
    pub state_bytes: u64,
    /// Rows waiting in the input gate, bytes.
    pub queued_bytes: u64,
    /// Event-to-sink latency in microseconds, when the sink measures it (p50, p99, max).
    pub latency_us: Option<[u64; 3]>,
}
