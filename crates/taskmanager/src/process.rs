//! What this process uses, for the heartbeat and the task manager table.

use serde::Serialize;

use crate::task_executor::Totals;
use crate::traffic;

/// Sent as JSON in `HeartbeatRequest.process`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ProcessFigures {
    /// Resident memory.
    pub rss_bytes: u64,
    /// User and system time since the start.
    pub cpu_ms: u64,
    pub open_fds: u64,
    pub pid: u32,
    pub started_at_ms: i64,
    /// State in memory of all tasks here.
    pub heap_state_bytes: u64,
    /// Received and not yet processed.
    pub network_buffer_bytes: u64,
    /// Block caches and write buffers of RocksDB.
    pub rocksdb_bytes: u64,
    /// Exchanged with other task managers since the start.
    pub network_in_bytes: u64,
    pub network_out_bytes: u64,
    pub tasks: usize,
    /// Of the machine, or the container.
    pub physical_bytes: u64,
    /// Of that, what is still to be had.
    pub free_bytes: u64,
    pub processors: u64,
    /// Busy time of the machine's processors, together.
    pub machine_busy_ms: u64,
}

impl ProcessFigures {
    pub(crate) fn now(started_at_ms: i64, totals: &Totals) -> Self {
        let process = telemetry::ProcessFigures::now();
        let machine = telemetry::MachineFigures::now();
        let (network_in_bytes, network_out_bytes) = traffic::totals();
        Self {
            rss_bytes: process.rss_bytes,
            cpu_ms: process.cpu_ms,
            open_fds: process.open_fds,
            pid: std::process::id(),
            started_at_ms,
            heap_state_bytes: totals.state_bytes,
            network_buffer_bytes: totals.queued_bytes,
            rocksdb_bytes: totals.cold_bytes,
            network_in_bytes,
            network_out_bytes,
            tasks: totals.tasks,
            physical_bytes: machine.memory_bytes,
            free_bytes: machine.available_bytes,
            processors: machine.processors,
            machine_busy_ms: machine.busy_ms,
        }
    }
}
