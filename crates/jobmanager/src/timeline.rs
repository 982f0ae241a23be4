//! What became of every attempt to run a job: when it started, what from, how its tasks
//! fared, why it ended and how long the job stood still. Pure. Written by `job_state.rs`,
//! shown by `rest/`.

use std::collections::VecDeque;
use std::sync::Arc;

use model::execution_state::ExecutionState;
use model::{Attempt, CheckpointId, SubtaskIndex, TaskManagerId, VertexId};
use serde::Serialize;

use crate::execution_graph::ExecutionGraph;

/// Attempts kept per job: the newest.
pub const MAX_ATTEMPTS: usize = 20;

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    pub attempt: Attempt,
    /// When the job began to prepare it.
    pub started_at_ms: i64,
    /// When all its tasks ran for the first time.
    pub running_at_ms: Option<i64>,
    pub ended_at_ms: Option<i64>,
    /// The checkpoint it started from.
    pub restored_from: Option<CheckpointId>,
    /// Why it ended, if by a failure.
    pub cause: Option<String>,
    /// From the end of the attempt before until this one ran; `None` for the first, and
    /// while it does not run yet.
    pub downtime_ms: Option<i64>,
    pub vertices: Vec<VertexStates>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VertexStates {
    pub vertex: VertexId,
    pub name: String,
    pub subtasks: Vec<SubtaskStates>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubtaskStates {
    pub subtask: SubtaskIndex,
    pub task_manager: Option<TaskManagerId>,
    /// In the order in which they were entered.
    pub states: Vec<StateEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateEntry {
    pub state: ExecutionState,
    pub at_ms: i64,
}

/// The last [`MAX_ATTEMPTS`] attempts, oldest first. The newest is the present one; its
/// tasks are read from the graph.
#[derive(Debug, Default)]
pub struct Timeline {
    attempts: VecDeque<Arc<AttemptRecord>>,
}

impl Timeline {
    /// An attempt begins.
    pub fn begin(&mut self, now_ms: i64, attempt: Attempt) {
        if self.attempts.len() == MAX_ATTEMPTS {
            self.attempts.pop_front();
        }
        self.attempts.push_back(Arc::new(AttemptRecord {
            attempt,
            started_at_ms: now_ms,
            running_at_ms: None,
            ended_at_ms: None,
            restored_from: None,
            cause: None,
            downtime_ms: None,
            vertices: Vec::new(),
        }));
    }

    fn present(&mut self) -> Option<&mut AttemptRecord> {
        self.attempts.back_mut().map(Arc::make_mut)
    }

    /// The present attempt starts from this checkpoint.
    pub fn restored(&mut self, checkpoint: CheckpointId) {
        if let Some(present) = self.present() {
            present.restored_from = Some(checkpoint);
        }
    }

    /// All tasks of the present attempt run.
    pub fn running(&mut self, now_ms: i64) {
        let stopped = self.attempts.iter().rev().nth(1).and_then(|before| before.ended_at_ms);
        if let Some(present) = self.present()
            && present.running_at_ms.is_none()
        {
            present.running_at_ms = Some(now_ms);
            present.downtime_ms = stopped.map(|at| now_ms - at);
        }
    }

    /// The present attempt is over; the first cause counts.
    pub fn ended(&mut self, now_ms: i64, cause: Option<&str>) {
        if let Some(present) = self.present()
            && present.ended_at_ms.is_none()
        {
            present.ended_at_ms = Some(now_ms);
            present.cause = cause.map(str::to_owned);
        }
    }

    /// Keeps how the tasks of the present attempt fared, before the graph forgets it.
    pub fn close(&mut self, graph: &ExecutionGraph) {
        if let Some(present) = self.present() {
            present.vertices = states(graph);
        }
    }

    /// Oldest first, the present attempt with its tasks as they are now.
    pub fn records(&self, graph: &ExecutionGraph) -> Vec<Arc<AttemptRecord>> {
        let mut records: Vec<Arc<AttemptRecord>> = self.attempts.iter().cloned().collect();
        if let Some(present) = records.last_mut() {
            Arc::make_mut(present).vertices = states(graph);
        }
        records
    }

    /// When the present attempt started from which checkpoint.
    pub fn last_restore(&self) -> Option<(CheckpointId, i64)> {
        let newest = self.attempts.iter().rev();
        newest.filter_map(|a| Some((a.restored_from?, a.started_at_ms))).next()
    }
}

fn states(graph: &ExecutionGraph) -> Vec<VertexStates> {
    let vertices = graph.vertices().iter().map(|vertex| VertexStates {
        vertex: vertex.id,
        name: vertex.name.clone(),
        subtasks: vertex
            .subtasks
            .iter()
            .enumerate()
            .map(|(index, execution)| {
                let mut states: Vec<StateEntry> = execution
                    .timestamps
                    .iter()
                    .map(|(state, at_ms)| StateEntry { state: *state, at_ms: *at_ms })
                    .collect();
                states.sort_by_key(|s| (s.at_ms, s.state));
                SubtaskStates {
                    subtask: SubtaskIndex(index as u32),
                    task_manager: execution.slot.as_ref().map(|s| s.task_manager.clone()),
                    states,
                }
            })
            .collect(),
    });
    vertices.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use model::JobId;

    #[test]
    fn downtime_is_from_failure_to_running() {
        let mut graph = ExecutionGraph::new(JobId(1), &fixtures::graph(2), 10);
        let mut timeline = Timeline::default();
        timeline.begin(10, Attempt(1));
        timeline.running(30);
        timeline.ended(100, Some("lost a machine"));
        timeline.ended(110, Some("a consequence"));
        timeline.close(&graph);
        graph.next_attempt(150);
        timeline.begin(150, Attempt(2));
        timeline.restored(CheckpointId(7));
        timeline.running(180);
        timeline.running(500);
        let records = timeline.records(&graph);
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].cause.as_deref(), Some("lost a machine"));
        assert_eq!((records[0].ended_at_ms, records[0].downtime_ms), (Some(100), None));
        assert_eq!(records[1].downtime_ms, Some(80));
        assert_eq!(records[1].restored_from, Some(CheckpointId(7)));
        assert_eq!(records[0].vertices[0].subtasks.len(), 2);
        assert_eq!(records[0].vertices[0].subtasks[0].states[0].at_ms, 10);
        assert_eq!(records[1].vertices[0].subtasks[0].states[0].at_ms, 150);
        assert_eq!(timeline.last_restore(), Some((CheckpointId(7), 150)));
    }

    #[test]
    fn old_attempts_are_forgotten() {
        let graph = ExecutionGraph::new(JobId(1), &fixtures::graph(1), 0);
        let mut timeline = Timeline::default();
        for attempt in 1..=50 {
            timeline.begin(i64::from(attempt), Attempt(attempt));
        }
        let records = timeline.records(&graph);
        assert_eq!((records.len(), records[0].attempt), (MAX_ATTEMPTS, Attempt(31)));
    }
}
