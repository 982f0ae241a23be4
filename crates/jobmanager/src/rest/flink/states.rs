//! States, times and the state of a vertex as Flink reports them. Pure. Used by `jobs.rs`,
//! `vertices.rs`, `subtasks.rs`.

use std::collections::BTreeMap;

use model::execution_state::{ExecutionState, JobStatus};
use serde_json::{Map, Value};

use crate::details::{JobDetails, SubtaskDetails, VertexDetails};

/// Every state that Flink lists. RECONCILING is one that a Weir task is never in.
pub(super) const STATES: [&str; 10] = [
    "CREATED",
    "SCHEDULED",
    "DEPLOYING",
    "RUNNING",
    "FINISHED",
    "CANCELING",
    "CANCELED",
    "FAILED",
    "RECONCILING",
    "INITIALIZING",
];

/// Every status of a job that Flink lists.
const JOB_STATUSES: [&str; 11] = [
    "INITIALIZING",
    "CREATED",
    "RUNNING",
    "FAILING",
    "FAILED",
    "CANCELLING",
    "CANCELED",
    "FINISHED",
    "RESTARTING",
    "SUSPENDED",
    "RECONCILING",
];

/// The states whose durations Flink shows.
pub(super) const TIMED: [ExecutionState; 5] = [
    ExecutionState::Created,
    ExecutionState::Scheduled,
    ExecutionState::Deploying,
    ExecutionState::Initializing,
    ExecutionState::Running,
];

pub(super) fn name(state: ExecutionState) -> &'static str {
    use ExecutionState as S;
    match state {
        S::Created => "CREATED",
        S::Scheduled => "SCHEDULED",
        S::Deploying => "DEPLOYING",
        S::Initializing => "INITIALIZING",
        S::Running => "RUNNING",
        S::Finished => "FINISHED",
        S::Canceling => "CANCELING",
        S::Canceled => "CANCELED",
        S::Failed => "FAILED",
    }
}

pub(super) fn job_status(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Created => "CREATED",
        JobStatus::Running => "RUNNING",
        JobStatus::Restarting => "RESTARTING",
        JobStatus::Failing => "FAILING",
        JobStatus::Failed => "FAILED",
        JobStatus::Cancelling => "CANCELLING",
        JobStatus::Canceled => "CANCELED",
        JobStatus::Finished => "FINISHED",
    }
}

/// A vertex's name as Flink has it: those that read begin with `Source: `, which is what
/// scripts look for.
pub(super) fn vertex_name(vertex: &VertexDetails) -> String {
    let is_source = vertex.operators.first().is_some_and(|o| o.kind == "source");
    if is_source { format!("Source: {}", vertex.name) } else { vertex.name.clone() }
}

/// How many of `states` there are of each; every state is listed.
pub(super) fn counts<'a>(states: impl Iterator<Item = &'a str>) -> Map<String, Value> {
    let mut counts: BTreeMap<&str, u32> = STATES.iter().map(|s| (*s, 0)).collect();
    for state in states {
        *counts.entry(state).or_default() += 1;
    }
    counts.into_iter().map(|(state, n)| (state.to_owned(), n.into())).collect()
}

/// One state for a whole vertex: the worst of an ending, else the least advanced that runs.
pub(super) fn of_vertex(vertex: &VertexDetails) -> ExecutionState {
    use ExecutionState as S;
    of_many(vertex.subtasks.iter().map(|s| s.state).collect::<Vec<_>>().as_slice(), S::Created)
}

/// As [`of_vertex`], for any tasks; `none` when there are none that have begun.
pub(super) fn of_many(states: &[ExecutionState], none: ExecutionState) -> ExecutionState {
    use ExecutionState as S;
    for state in [S::Failed, S::Canceling, S::Canceled, S::Initializing, S::Running] {
        if states.contains(&state) {
            return state;
        }
    }
    let finished = states.iter().filter(|s| **s == S::Finished).count();
    match finished {
        0 => none,
        all if all == states.len() => S::Finished,
        _ => S::Running,
    }
}

/// Start (deployment), end and duration of tasks together; -1 for what has not happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: i64,
    pub end: i64,
    pub duration: i64,
}

pub(super) fn span<'a>(tasks: impl Iterator<Item = &'a SubtaskDetails>, now_ms: i64) -> Span {
    let (mut start, mut end, mut all_over) = (None::<i64>, -1, true);
    for task in tasks {
        if let Some(at) = task.timestamps.get(&ExecutionState::Deploying) {
            start = Some(start.map_or(*at, |s| s.min(*at)));
        }
        all_over &= task.state.is_terminal();
        let over = task.timestamps.get(&task.state).filter(|_| task.state.is_terminal());
        end = over.map_or(end, |at| end.max(*at));
    }
    let Some(start) = start else { return Span { start: -1, end: -1, duration: -1 } };
    let end = if all_over { end } else { -1 };
    let until = if end >= 0 { end } else { now_ms };
    Span { start, end, duration: (until - start).max(0) }
}

/// When each state was entered; 0 for those that were not.
pub(super) fn timestamps(task: &SubtaskDetails) -> Map<String, Value> {
    let mut times: Map<String, Value> =
        STATES.iter().map(|s| ((*s).to_owned(), 0.into())).collect();
    for (state, at) in &task.timestamps {
        times.insert(name(*state).to_owned(), (*at).into());
    }
    times
}

/// Milliseconds spent in each of [`TIMED`]; 0 in those that were passed over.
pub(super) fn durations(task: &SubtaskDetails, now_ms: i64) -> [i64; TIMED.len()] {
    let mut entered: Vec<(i64, ExecutionState)> =
        task.timestamps.iter().map(|(state, at)| (*at, *state)).collect();
    entered.sort_unstable();
    TIMED.map(|state| {
        let Some(index) = entered.iter().position(|(_, s)| *s == state) else { return 0 };
        let until = entered.get(index + 1).map_or(now_ms, |(at, _)| *at);
        (until - entered[index].0).max(0)
    })
}

/// When the job entered each status last; 0 for those that it did not.
pub(super) fn job_timestamps(job: &JobDetails) -> Map<String, Value> {
    let mut times: Map<String, Value> =
        JOB_STATUSES.iter().map(|s| ((*s).to_owned(), 0.into())).collect();
    times.insert("INITIALIZING".to_owned(), job.submitted_at_ms.into());
    times.insert("CREATED".to_owned(), job.submitted_at_ms.into());
    for (status, at) in &job.timestamps {
        times.insert(status.clone(), at.clone());
    }
    times
}

/// The newest change of the job or of one of its tasks.
pub(super) fn last_modification(job: &JobDetails) -> i64 {
    let of_job = job.timestamps.values().filter_map(Value::as_i64);
    let tasks = job.vertices.iter().flat_map(|v| &v.subtasks);
    let of_tasks = tasks.flat_map(|s| s.timestamps.values().copied());
    of_job.chain(of_tasks).fold(job.submitted_at_ms, i64::max)
}
