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
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            interval_ms: Some(10_000),
            timeout_ms: 120_000,
            min_pause_ms: 0,
            tolerable_failures: 3,
            retain: 3,
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
