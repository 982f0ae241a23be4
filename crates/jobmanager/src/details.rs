//! A job as people see it: the JSON of the HTTP API. Built by `job_master` when asked, kept
//! by `dispatcher.rs` when the job is over, sent by `rest/`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::execution_state::{ExecutionState, JobStatus};
use model::job_graph::JobGraph;
use model::metrics::TaskMetrics;
use model::{Attempt, CheckpointId, JobId, SubtaskIndex, TaskManagerId, VertexId};
use serde::Serialize;

use crate::checkpoint::history::{CheckpointRecord, CheckpointStatus};
use crate::execution_graph::{ExceptionEntry, ExecutionVertex, TaskKey};
use crate::health::Health;
use crate::job_master::JobSpec;
use crate::job_metrics::{JobMetrics, Rates, combine, combine_rates};
use crate::job_state::JobState;
use crate::plan_view::PlanView;
use crate::slo::SloStatus;
use crate::timeline::AttemptRecord;

/// Everything that is known of a job at one moment.
#[derive(Clone, Debug)]
pub struct JobSnapshot {
    pub details: JobDetails,
    /// Oldest first.
    pub checkpoints: Vec<CheckpointRecord>,
    /// Oldest first.
    pub exceptions: Vec<ExceptionEntry>,
    pub graph: Arc<JobGraph>,
    /// Oldest first.
    pub attempts: Vec<Arc<AttemptRecord>>,
    /// The newest start from a checkpoint.
    pub restored: Option<RestoredCheckpoint>,
    /// Vertices whose source never ends by itself.
    pub unbounded: BTreeSet<VertexId>,
}

/// The checkpoint an attempt started from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoredCheckpoint {
    pub id: CheckpointId,
    pub restored_at_ms: i64,
    /// Where it lies; `None` when it is of an earlier job and the history lacks it.
    pub path: Option<String>,
}

/// `GET /api/v1/jobs/{job}`. Times in milliseconds since the epoch.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobDetails {
    pub id: JobId,
    pub name: String,
    pub status: JobStatus,
    /// What it waits for.
    pub message: Option<String>,
    /// Root cause of the last failure.
    pub failure: Option<String>,
    pub submitted_at_ms: i64,
    /// First RUNNING.
    pub started_at_ms: Option<i64>,
    pub ended_at_ms: Option<i64>,
    /// Last entry of every status.
    pub timestamps: serde_json::Map<String, serde_json::Value>,
    pub attempt: Attempt,
    pub restarts: u32,
    /// The checkpoint it was submitted with.
    pub from: Option<String>,
    pub slots: SlotCounts,
    pub sources: SourceThroughput,
    pub vertices: Vec<VertexDetails>,
    pub checkpoints: CheckpointSummary,
    /// Filled in by `observer.rs`, which has the memory.
    pub health: Health,
    pub slos: Vec<SloStatus>,
    pub plan: Arc<PlanView>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotCounts {
    pub needed: usize,
    pub held: usize,
}

/// Records of all sources together, in the present attempt.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceThroughput {
    pub records: u64,
    pub records_per_second: f64,
    /// Since the present attempt was running.
    pub average_records_per_second: f64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VertexDetails {
    pub id: VertexId,
    pub name: String,
    pub parallelism: u32,
    pub operators: Vec<OperatorDetails>,
    /// How many subtasks are in each state.
    pub states: BTreeMap<ExecutionState, usize>,
    pub metrics: TaskMetrics,
    pub rates: Rates,
    /// Least of the subtasks; `None` while one has none.
    pub watermark: Option<i64>,
    pub subtasks: Vec<SubtaskDetails>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorDetails {
    pub uid: String,
    pub name: String,
    pub kind: &'static str,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubtaskDetails {
    pub subtask: SubtaskIndex,
    pub attempt: Attempt,
    pub state: ExecutionState,
    pub task_manager: Option<TaskManagerId>,
    pub timestamps: BTreeMap<ExecutionState, i64>,
    pub metrics: TaskMetrics,
    pub rates: Rates,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointSummary {
    pub triggered: u64,
    pub completed: u64,
    pub failed: u64,
    pub in_progress: Option<CheckpointId>,
    /// The newest complete one.
    pub latest: Option<LatestCheckpoint>,
    /// Why the newest failed one failed.
    pub last_failure: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestCheckpoint {
    pub id: CheckpointId,
    pub path: Option<String>,
    pub triggered_at_ms: i64,
    pub duration_ms: Option<i64>,
    pub state_bytes: u64,
    /// Of it, what was written for this one.
    pub written_bytes: u64,
}

/// The name of a status in the API: `RUNNING`.
pub fn status_name(status: JobStatus) -> String {
    match serde_json::to_value(status) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{status:?}"),
    }
}

pub(crate) fn snapshot(
    spec: &JobSpec,
    state: &JobState,
    metrics: &JobMetrics,
    now_ms: i64,
) -> JobSnapshot {
    let vertices: Vec<VertexDetails> =
        state.graph().vertices().iter().map(|v| vertex(spec, state, v, metrics, now_ms)).collect();
    let since = |status| state.status_since().iter().find(|(s, _)| *s == status).map(|(_, t)| *t);
    let ended_at_ms = since(state.status()).filter(|_| state.status().is_terminal());
    let started_at_ms = since(JobStatus::Running);
    let (needed, held) = state.slots();
    let sources = throughput(state, &vertices, started_at_ms, ended_at_ms.unwrap_or(now_ms));
    let details = JobDetails {
        id: spec.id,
        name: spec.graph.name.clone(),
        status: state.status(),
        message: state.message().map(str::to_owned),
        failure: state.failure().map(str::to_owned),
        submitted_at_ms: spec.submitted_at_ms,
        started_at_ms,
        ended_at_ms,
        timestamps: state
            .status_since()
            .iter()
            .map(|(status, at)| (status_name(*status), (*at).into()))
            .collect(),
        attempt: state.graph().attempt(),
        restarts: state.restarts(),
        from: spec.from.as_ref().map(|(uri, _)| uri.clone()),
        slots: SlotCounts { needed, held },
        sources,
        vertices,
        checkpoints: summary(state),
        health: Health::of_status(state, now_ms),
        slos: Vec::new(),
        plan: Arc::new(PlanView::of(&spec.graph)),
    };
    let restored = state.timeline().last_restore().map(|(id, restored_at_ms)| {
        let kept = state.checkpoints().history().records().find(|r| r.id == id);
        let from = spec.from.as_ref().filter(|(_, m)| m.checkpoint == id).map(|(uri, _)| uri);
        let path = kept.and_then(|r| r.path.clone()).or_else(|| from.cloned());
        RestoredCheckpoint { id, restored_at_ms, path }
    });
    JobSnapshot {
        details,
        checkpoints: state.checkpoints().history().records().cloned().collect(),
        exceptions: state.graph().exceptions().cloned().collect(),
        graph: spec.graph.clone(),
        attempts: state.timeline().records(state.graph()),
        restored,
        unbounded: BTreeSet::new(),
    }
}

fn vertex(
    spec: &JobSpec,
    state: &JobState,
    vertex: &ExecutionVertex,
    metrics: &JobMetrics,
    now_ms: i64,
) -> VertexDetails {
    let mut states = BTreeMap::new();
    let subtasks: Vec<SubtaskDetails> = vertex
        .subtasks
        .iter()
        .enumerate()
        .map(|(index, execution)| {
            *states.entry(execution.state).or_insert(0) += 1;
            let subtask = SubtaskIndex(index as u32);
            let key = TaskKey { vertex: vertex.id, subtask };
            let over = execution.state.is_terminal();
            SubtaskDetails {
                subtask,
                attempt: state.graph().attempt(),
                state: execution.state,
                task_manager: execution.slot.as_ref().map(|s| s.task_manager.clone()),
                timestamps: execution.timestamps.clone(),
                metrics: metrics.latest(key).cloned().unwrap_or_default(),
                rates: if over { Rates::default() } else { metrics.rates(now_ms, key) },
            }
        })
        .collect();
    let rates: Vec<Rates> = subtasks.iter().map(|s| s.rates).collect();
    let operators =
        spec.graph.vertex(vertex.id).map(|v| v.operators.as_slice()).unwrap_or_default();
    let combined = combine(subtasks.iter().map(|s| &s.metrics));
    VertexDetails {
        id: vertex.id,
        name: vertex.name.clone(),
        parallelism: vertex.subtasks.len() as u32,
        operators: operators
            .iter()
            .map(|o| OperatorDetails {
                uid: o.uid.clone(),
                name: o.name.clone(),
                kind: o.spec.kind(),
            })
            .collect(),
        states,
        watermark: combined.watermark,
        metrics: combined,
        rates: combine_rates(&rates),
        subtasks,
    }
}

fn throughput(
    state: &JobState,
    vertices: &[VertexDetails],
    started_at_ms: Option<i64>,
    until_ms: i64,
) -> SourceThroughput {
    let is_source =
        |id: VertexId| state.graph().vertices().iter().any(|v| v.id == id && v.is_source);
    let sources = || vertices.iter().filter(|v| is_source(v.id));
    let records: u64 = sources().map(|v| v.metrics.records_in).sum();
    let ms = started_at_ms.map_or(0, |at| until_ms - at);
    SourceThroughput {
        records,
        records_per_second: sources().map(|v| v.rates.records_in_per_second).sum(),
        average_records_per_second: if ms > 0 { records as f64 * 1000.0 / ms as f64 } else { 0.0 },
    }
}

fn summary(state: &JobState) -> CheckpointSummary {
    let history = state.checkpoints().history();
    let newest = |status| history.records().rev().find(move |r| r.status == status);
    CheckpointSummary {
        triggered: history.triggered,
        completed: history.completed,
        failed: history.failed,
        in_progress: state.checkpoints().pending(),
        latest: newest(CheckpointStatus::Completed).map(|r| LatestCheckpoint {
            id: r.id,
            path: r.path.clone(),
            triggered_at_ms: r.triggered_at_ms,
            duration_ms: r.duration_ms,
            state_bytes: r.state_bytes,
            written_bytes: r.written_bytes,
        }),
        last_failure: newest(CheckpointStatus::Failed).and_then(|r| r.cause.clone()),
    }
}
