//! What a task counts about itself. Sent with heartbeats, shown by REST and CLI.

use serde::{Deserialize, Serialize};

use crate::VertexId;

/// Splits told of per subtask: those whose watermark is least.
pub const MAX_SPLITS: usize = 32;

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
    /// Of a source: time since its last record, or since it started when it had none.
    pub source_idle_ms: Option<u64>,
    /// Of a source that knows: records there that it has not read yet.
    pub pending_records: Option<u64>,
    /// Of a source with event time: how far the newest event time it read lies behind the
    /// clock.
    pub fetch_event_time_lag_ms: Option<i64>,
    /// Of a source that reads several splits: at most [`MAX_SPLITS`], least watermark first.
    pub splits: Vec<SplitMetrics>,
    /// Where this task's output goes by key: the key group that gets most.
    pub hot_key_group: Option<HotKeyGroup>,
    /// The operators of the chain, in its order.
    pub operators: Vec<OperatorMetrics>,
    /// First to last barrier of the newest checkpoint here.
    pub alignment_ms: u64,
    /// What fetching and opening the state took when the attempt started.
    pub restore_ms: u64,
}

/// One split that a source reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SplitMetrics {
    pub id: String,
    /// Event time reached, ms; `None` before the first rows.
    pub watermark: Option<i64>,
    /// When its last rows came, or when it was assigned; ms since the epoch.
    pub last_record_at_ms: i64,
    /// It does not hold the watermark back: nothing came for longer than the idle timeout.
    pub idle: bool,
}

/// A key group that gets more than its part, by samples of the rows sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HotKeyGroup {
    pub group: u32,
    /// Of all sampled rows on this edge, from 0 to 1.
    pub share: f64,
    /// Where the rows go, and to which subtask of it.
    pub to: VertexId,
    pub to_subtask: u32,
}

/// One operator of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OperatorMetrics {
    pub uid: String,
    pub records_in: u64,
    pub records_out: u64,
    /// State in memory, bytes.
    pub state_bytes: u64,
}
