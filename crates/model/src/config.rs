//! What a job asks of the cluster: checkpoints, restarts, state. Part of every JobGraph.

use serde::{Deserialize, Serialize};

/// `spec.checkpoint`. Durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointConfig {
    /// `None`: only the final commit at the end of a bounded job.
    pub interval_ms: Option<i64>,
    pub timeout_ms: i64,
    /// At least this long between the end of one checkpoint and the next trigger.
    pub min_pause_ms: i64,
    /// How many checkpoints in a row may fail before the job is restarted.
    pub tolerable_failures: u32,
    /// How many completed checkpoints are kept.
    pub retain: u32,
    /// Keep them when the job is canceled. Those of a failed job are always kept.
    #[serde(default)]
    pub retain_on_cancellation: bool,
    /// Keep them when the job has finished.
    #[serde(default)]
    pub retain_on_finish: bool,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            interval_ms: Some(10_000),
            timeout_ms: 120_000,
            min_pause_ms: 0,
            tolerable_failures: 3,
            retain: 3,
            retain_on_cancellation: false,
            retain_on_finish: false,
        }
    }
}

/// `spec.restart`: Flink's restart strategies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "kebab-case")]
pub enum RestartStrategy {
    /// Any failure fails the job.
    None,
    FixedDelay {
        attempts: u32,
        delay_ms: i64,
    },
    /// The delay doubles (by `multiplier`) up to `max_ms`, and starts anew after
    /// `reset_after_ms` without a failure. Never gives up unless `attempts` is set.
    Exponential {
        initial_ms: i64,
        max_ms: i64,
        multiplier: f64,
        reset_after_ms: i64,
        attempts: Option<u32>,
    },
    /// Gives up at more than `max_failures` within `interval_ms`.
    FailureRate {
        max_failures: u32,
        interval_ms: i64,
        delay_ms: i64,
    },
}

impl Default for RestartStrategy {
    fn default() -> Self {
        Self::Exponential {
            initial_ms: 100,
            max_ms: 60_000,
            multiplier: 2.0,
            reset_after_ms: 600_000,
            attempts: None,
        }
    }
}

/// `spec.state.backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateBackendKind {
    /// All state in columnar tables in memory.
    #[default]
    Heap,
    /// The same tables in front of RocksDB: state may outgrow memory.
    Rocksdb,
}

/// `spec.state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateConfig {
    pub backend: StateBackendKind,
    /// Bytes that the in-memory tables of one subtask may take before the rocksdb
    /// backend evicts (the heap backend does not bound them).
    pub memory_bytes: u64,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { backend: StateBackendKind::Heap, memory_bytes: 512 << 20 }
    }
}

/// `spec.slo`: what the user promised of the job. Empty: nothing is watched beyond health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SloConfig {
    /// Results lie at most this far behind the clock, in event time (milliseconds).
    pub freshness_ms: Option<i64>,
    /// No unbounded source is without a record for longer (milliseconds).
    pub silence_ms: Option<i64>,
    /// The newest complete checkpoint is at most this old (milliseconds).
    pub checkpoint_age_ms: Option<i64>,
    /// At most so many restarts.
    pub restart_rate: Option<SloRate>,
    /// At most so many records sent to a dead letter, or skipped as bad.
    pub dead_letter_rate: Option<SloRate>,
    pub webhook: Option<WebhookConfig>,
}

impl SloConfig {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// At most `count` within `per_ms` milliseconds: `3/1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SloRate {
    pub count: u32,
    pub per_ms: i64,
}

/// Who is told of a breach. Both texts are kept as written: `${env:NAME}` in them is
/// replaced by the job manager when it sends, so that no secret lies in a job graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookConfig {
    pub url: String,
    /// Signs the body. `None`: unsigned.
    pub secret: Option<String>,
}
