//! Weir's figures under Flink's metric names. Pure. Used by `metrics.rs`.
//!
//! A value is what Flink would print, `None` what it would leave out. Names that Flink has
//! and Weir has no figure for are not listed, so that nobody reads a zero that means nothing.

use std::collections::BTreeMap;

use model::execution_state::{ExecutionState, JobStatus};
use model::metrics::TaskMetrics;
use serde_json::Value;

use crate::checkpoint::history::{CheckpointRecord, CheckpointStatus, SubtaskRecord};
use crate::details::{JobSnapshot, SubtaskDetails, VertexDetails};
use crate::resource_manager::TaskManagerView;

use super::task_managers::figure;

/// Metrics by name, as text.
pub(super) type Metrics = BTreeMap<String, String>;

/// Flink's watermark before the first one.
const NO_WATERMARK: i64 = i64::MIN;

fn number(value: f64) -> String {
    // Flink prints floating point numbers with a fraction.
    format!("{value:?}")
}

/// What a subtask counts.
pub(super) fn of_subtask(
    job: &JobSnapshot,
    vertex: &VertexDetails,
    task: &SubtaskDetails,
) -> Metrics {
    let mut metrics = Metrics::new();
    let mut put = |name: &str, value: String| {
        metrics.insert(name.to_owned(), value);
    };
    let (m, r) = (&task.metrics, &task.rates);
    put("numRecordsIn", m.records_in.to_string());
    put("numRecordsOut", m.records_out.to_string());
    put("numBytesIn", m.bytes_in.to_string());
    put("numBytesOut", m.bytes_out.to_string());
    put("numRecordsInPerSecond", number(r.records_in_per_second));
    put("numRecordsOutPerSecond", number(r.records_out_per_second));
    put("numBytesInPerSecond", number(r.bytes_in_per_second));
    put("numBytesOutPerSecond", number(r.bytes_out_per_second));
    put("busyTimeMsPerSecond", number(r.busy_percent * 10.0));
    put("idleTimeMsPerSecond", ((r.idle_percent * 10.0) as u64).to_string());
    let backpressured = ((r.backpressured_percent * 10.0) as u64).to_string();
    put("backPressuredTimeMsPerSecond", backpressured.clone());
    put("softBackPressuredTimeMsPerSecond", backpressured);
    put("hardBackPressuredTimeMsPerSecond", "0".to_owned());
    put("accumulateBusyTimeMs", number(m.busy_ms as f64));
    put("accumulateIdleTimeMs", m.idle_ms.to_string());
    put("accumulateBackPressuredTimeMs", m.backpressured_ms.to_string());
    put("isBackPressured", (r.backpressured_percent > 10.0).to_string());
    put("Shuffle.Netty.Input.Buffers.inputQueueSize", m.queued_bytes.to_string());
    put("stateBytes", m.state_bytes.to_string());
    if let Some(ms) = initialization_ms(task) {
        put("initializationTime", ms.to_string());
    }
    if let Some(part) = last_checkpoint_of(job, vertex, task) {
        let timings = &part.timings;
        put("checkpointAlignmentTime", (timings.alignment_us * 1000).to_string());
        put("checkpointStartDelayNanos", (timings.start_delay_us * 1000).to_string());
    }
    of_operators(vertex, m, &mut metrics);
    metrics
}

/// Deployment until it ran.
fn initialization_ms(task: &SubtaskDetails) -> Option<i64> {
    let running = task.timestamps.get(&ExecutionState::Running)?;
    let deployed = task.timestamps.get(&ExecutionState::Deploying)?;
    Some(running - deployed)
}

fn last_checkpoint_of<'a>(
    job: &'a JobSnapshot,
    vertex: &VertexDetails,
    task: &SubtaskDetails,
) -> Option<&'a SubtaskRecord> {
    let newest_first = job.checkpoints.iter().rev();
    newest_first
        .flat_map(|c| &c.subtasks)
        .find(|s| s.vertex == vertex.id && s.subtask == task.subtask)
}

/// Under `<operator>.`, the operator's name as Flink writes it in metric names.
fn of_operators(vertex: &VertexDetails, m: &TaskMetrics, metrics: &mut Metrics) {
    let is_source = vertex.operators.first().is_some_and(|o| o.kind == "source");
    let watermark = m.watermark.unwrap_or(NO_WATERMARK).to_string();
    if !is_source {
        metrics.insert("currentInputWatermark".to_owned(), watermark.clone());
    }
    for (index, operator) in vertex.operators.iter().enumerate() {
        let scope = operator_scope(operator.kind, &operator.name);
        let mut put = |name: &str, value: String| {
            metrics.insert(format!("{scope}.{name}"), value);
        };
        if index > 0 || !is_source {
            put("currentInputWatermark", watermark.clone());
        }
        put("currentOutputWatermark", watermark.clone());
        if let Some(counted) = m.operators.iter().find(|o| o.uid == operator.uid) {
            put("numRecordsIn", counted.records_in.to_string());
            put("numRecordsOut", counted.records_out.to_string());
        }
        if operator.kind == "source" {
            for (name, value) in [
                ("pendingRecords", m.pending_records.map(|n| n.to_string())),
                ("sourceIdleTime", m.source_idle_ms.map(|n| n.to_string())),
                ("currentFetchEventTimeLag", m.fetch_event_time_lag_ms.map(|n| n.to_string())),
            ] {
                if let Some(value) = value {
                    put(name, value);
                }
            }
            put(
                "numRecordsInErrors",
                (m.bad_records_skipped + m.bad_records_dead_lettered).to_string(),
            );
        }
        if operator.kind.starts_with("window") {
            put("numLateRecordsDropped", m.late_records.to_string());
        }
    }
}

/// `Source: rides` becomes `Source__rides`: the characters that separate parts of a metric's
/// name do not stay in an operator's.
fn operator_scope(kind: &str, name: &str) -> String {
    let prefix = match kind {
        "source" => "Source__",
        "sink" => "Sink__",
        _ => "",
    };
    let name: String =
        name.chars().map(|c| if ":. ,".contains(c) { '_' } else { c }).take(80).collect();
    format!("{prefix}{name}")
}

/// What a job counts.
pub(super) fn of_job(job: &JobSnapshot, now_ms: i64) -> Metrics {
    let mut metrics = Metrics::new();
    let mut put = |name: &str, value: String| {
        metrics.insert(name.to_owned(), value);
    };
    let details = &job.details;
    let since = |status: &str| details.timestamps.get(status).and_then(Value::as_i64);
    let end = details.ended_at_ms.unwrap_or(now_ms);
    let now_in = |status: JobStatus, name: &str| {
        let in_it = details.status == status;
        since(name).filter(|_| in_it).map_or(0, |at| (now_ms - at).max(0))
    };
    let uptime = now_in(JobStatus::Running, "RUNNING");
    put("uptime", uptime.to_string());
    put("runningTime", uptime.to_string());
    put("downtime", now_in(JobStatus::Restarting, "RESTARTING").to_string());
    put("restartingTime", now_in(JobStatus::Restarting, "RESTARTING").to_string());
    put("failingTime", now_in(JobStatus::Failing, "FAILING").to_string());
    put("cancellingTime", now_in(JobStatus::Cancelling, "CANCELLING").to_string());
    let created = details.started_at_ms.unwrap_or(end) - details.submitted_at_ms;
    put("createdTime", created.max(0).to_string());
    put("numRestarts", details.restarts.to_string());
    put("fullRestarts", details.restarts.to_string());
    of_checkpoints(job, &mut metrics);
    metrics
}

fn of_checkpoints(job: &JobSnapshot, metrics: &mut Metrics) {
    let counts = &job.details.checkpoints;
    let mut put = |name: &str, value: String| {
        metrics.insert(name.to_owned(), value);
    };
    put("totalNumberOfCheckpoints", counts.triggered.to_string());
    put("numberOfCompletedCheckpoints", counts.completed.to_string());
    put("numberOfFailedCheckpoints", counts.failed.to_string());
    put("numberOfInProgressCheckpoints", u32::from(counts.in_progress.is_some()).to_string());
    let completed = |r: &&CheckpointRecord| r.status == CheckpointStatus::Completed;
    let last = job.checkpoints.iter().rev().find(completed);
    // -1 before the first, as in Flink.
    let of_last = |get: fn(&CheckpointRecord) -> i64| last.map_or(-1, get).to_string();
    put("lastCompletedCheckpointId", of_last(|r| i64::try_from(r.id.0).unwrap_or(i64::MAX)));
    put("lastCheckpointDuration", of_last(|r| r.duration_ms.unwrap_or(-1)));
    put("lastCheckpointCompletedTimestamp", of_last(|r| r.ended_at_ms.unwrap_or(-1)));
    put("lastCheckpointSize", of_last(|r| bytes(r.written_bytes)));
    put("lastCheckpointFullSize", of_last(|r| bytes(r.state_bytes)));
    put("lastCheckpointProcessedData", of_last(|_| 0));
    put("lastCheckpointPersistedData", of_last(|_| 0));
    if let Some(path) = last.and_then(|r| r.path.clone()) {
        put("lastCheckpointExternalPath", path);
    }
    let restored = job.restored.as_ref().map_or(-1, |r| r.restored_at_ms);
    put("lastCheckpointRestoreTimestamp", restored.to_string());
}

fn bytes(of: u64) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

/// What a task manager's process says of itself.
pub(super) fn of_task_manager(manager: &TaskManagerView, now_ms: i64) -> Metrics {
    let started_ms = figure(manager, "startedAtMs");
    let started_ms = i64::try_from(started_ms).unwrap_or(0);
    let since = if started_ms > 0 { started_ms } else { manager.registered_at_ms };
    let cpu_ms = figure(manager, "cpuMs");
    let mut metrics =
        of_process(cpu_ms, now_ms - since, figure(manager, "rssBytes"), figure(manager, "openFds"));
    let buffers = figure(manager, "networkBufferBytes");
    metrics.insert("Status.Shuffle.Netty.UsedMemory".to_owned(), buffers.to_string());
    metrics.insert("taskSlotsTotal".to_owned(), manager.info.slots.to_string());
    metrics.insert("taskSlotsAvailable".to_owned(), manager.free_slots.to_string());
    metrics
}

/// `lived_ms`: over which `cpu_ms` were used.
fn of_process(cpu_ms: u64, lived_ms: i64, resident: u64, open_fds: u64) -> Metrics {
    let load = cpu_ms as f64 / lived_ms.max(1) as f64;
    Metrics::from([
        ("Status.JVM.CPU.Time".to_owned(), (cpu_ms * 1_000_000).to_string()),
        ("Status.JVM.CPU.Load".to_owned(), number(load)),
        ("Status.JVM.Memory.Heap.Used".to_owned(), resident.to_string()),
        ("Status.JVM.Memory.Heap.Committed".to_owned(), resident.to_string()),
        ("Status.JVM.FileDescriptor.Open".to_owned(), open_fds.to_string()),
    ])
}

/// What the job manager counts, and what its process uses. `slots`: all and free ones.
pub(super) fn of_job_manager(
    running: usize,
    slots: (usize, usize),
    managers: usize,
    lived_ms: i64,
) -> Metrics {
    let process = telemetry::ProcessFigures::now();
    let mut metrics = of_process(process.cpu_ms, lived_ms, process.rss_bytes, process.open_fds);
    for (name, value) in [
        ("numRunningJobs", running),
        ("numRegisteredTaskManagers", managers),
        ("taskSlotsTotal", slots.0),
        ("taskSlotsAvailable", slots.1),
    ] {
        metrics.insert(name.to_owned(), value.to_string());
    }
    metrics
}
