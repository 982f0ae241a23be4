//! The JobGraph at run time: one Execution per subtask, all of one attempt. Pure.
//! Transitions are methods; an illegal one is an error and changes nothing.
//! Driven by `job_state.rs`, shown by `details.rs`.

use std::collections::{BTreeMap, VecDeque};

use model::execution_state::ExecutionState;
use model::job_graph::JobGraph;
use model::{
    Attempt, Error, ErrorKind, ExecutionAttemptId, JobId, Result, SubtaskIndex, TaskManagerId,
    VertexId,
};

use crate::slot_pool::Slot;

/// Failures kept per job.
pub const MAX_EXCEPTIONS: usize = 100;

/// One vertex, one subtask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskKey {
    pub vertex: VertexId,
    pub subtask: SubtaskIndex,
}

/// The present attempt to run one subtask.
#[derive(Clone, Debug)]
pub struct Execution {
    pub state: ExecutionState,
    /// When each state was entered, ms since the epoch.
    pub timestamps: BTreeMap<ExecutionState, i64>,
    pub slot: Option<Slot>,
    /// Heartbeats of its TaskManager in a row that did not name it, since one did or since
    /// the TaskManager took it.
    pub missed_reports: u32,
}

/// All subtasks of one vertex.
#[derive(Clone, Debug)]
pub struct ExecutionVertex {
    pub id: VertexId,
    pub name: String,
    pub is_source: bool,
    pub subtasks: Vec<Execution>,
}

/// A failure as kept for `exceptions`.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExceptionEntry {
    pub timestamp_ms: i64,
    pub attempt: Attempt,
    pub kind: ErrorKind,
    pub message: String,
    /// `name (subtask/parallelism)`; `None` when the job itself failed.
    pub task: Option<String>,
    pub task_manager: Option<TaskManagerId>,
}

/// The graph. Vertices are in topological order.
#[derive(Clone, Debug)]
pub struct ExecutionGraph {
    job: JobId,
    attempt: Attempt,
    vertices: Vec<ExecutionVertex>,
    exceptions: VecDeque<ExceptionEntry>,
}

impl Execution {
    fn new(now_ms: i64) -> Self {
        Self {
            state: ExecutionState::Created,
            timestamps: BTreeMap::from([(ExecutionState::Created, now_ms)]),
            slot: None,
            missed_reports: 0,
        }
    }

    fn enter(&mut self, state: ExecutionState, now_ms: i64) {
        self.state = state;
        self.timestamps.insert(state, now_ms);
    }
}

/// Whether `from -> to` is an arrow of [`ExecutionState`]. A task manager may report
/// RUNNING without INITIALIZING when there is nothing to restore.
fn is_legal(from: ExecutionState, to: ExecutionState) -> bool {
    use ExecutionState as S;
    match to {
        S::Created => false,
        S::Scheduled => from == S::Created,
        S::Deploying => from == S::Scheduled,
        S::Initializing => from == S::Deploying,
        S::Running => matches!(from, S::Deploying | S::Initializing),
        S::Finished => matches!(from, S::Running | S::Canceling),
        S::Canceling => matches!(from, S::Scheduled | S::Deploying | S::Initializing | S::Running),
        S::Canceled | S::Failed => !from.is_terminal(),
    }
}

impl ExecutionGraph {
    /// Attempt 1, every Execution CREATED.
    pub fn new(job: JobId, graph: &JobGraph, now_ms: i64) -> Self {
        let vertices = graph
            .vertices
            .iter()
            .map(|v| ExecutionVertex {
                id: v.id,
                name: v.name.clone(),
                is_source: v.is_source(),
                subtasks: (0..v.parallelism).map(|_| Execution::new(now_ms)).collect(),
            })
            .collect();
        Self { job, attempt: Attempt(1), vertices, exceptions: VecDeque::new() }
    }

    pub fn attempt(&self) -> Attempt {
        self.attempt
    }
    pub fn vertices(&self) -> &[ExecutionVertex] {
        &self.vertices
    }
    pub fn exceptions(&self) -> impl Iterator<Item = &ExceptionEntry> {
        self.exceptions.iter()
    }

    /// Starts over with the next attempt number.
    pub fn next_attempt(&mut self, now_ms: i64) {
        self.attempt = Attempt(self.attempt.0 + 1);
        for execution in self.vertices.iter_mut().flat_map(|v| v.subtasks.iter_mut()) {
            *execution = Execution::new(now_ms);
        }
    }

    pub fn attempt_id(&self, key: TaskKey) -> ExecutionAttemptId {
        ExecutionAttemptId {
            job: self.job,
            vertex: key.vertex,
            subtask: key.subtask,
            attempt: self.attempt,
        }
    }

    pub fn execution(&self, key: TaskKey) -> Option<&Execution> {
        let vertex = self.vertices.iter().find(|v| v.id == key.vertex)?;
        vertex.subtasks.get(key.subtask.0 as usize)
    }

    fn execution_mut(&mut self, key: TaskKey) -> Option<&mut Execution> {
        let vertex = self.vertices.iter_mut().find(|v| v.id == key.vertex)?;
        vertex.subtasks.get_mut(key.subtask.0 as usize)
    }

    /// Every subtask in topological order.
    pub fn tasks(&self) -> impl Iterator<Item = (TaskKey, &ExecutionVertex, &Execution)> {
        self.vertices.iter().flat_map(|v| {
            v.subtasks.iter().enumerate().map(move |(i, e)| {
                (TaskKey { vertex: v.id, subtask: SubtaskIndex(i as u32) }, v, e)
            })
        })
    }

    /// The subtask that `id` names, when `id` is of the present attempt and runs on
    /// `task_manager`; else an error of kind Fenced.
    pub fn check(
        &self,
        id: &ExecutionAttemptId,
        task_manager: Option<&TaskManagerId>,
    ) -> Result<TaskKey> {
        if id.job != self.job || id.attempt != self.attempt {
            return Err(Error::fenced(format!(
                "task {id} is not of the present attempt {}",
                self.attempt
            )));
        }
        let key = TaskKey { vertex: id.vertex, subtask: id.subtask };
        let execution = self
            .execution(key)
            .ok_or_else(|| Error::fenced(format!("the job has no task {id}")))?;
        let here = execution.slot.as_ref().map(|s| &s.task_manager);
        if task_manager.is_some() && here != task_manager {
            return Err(Error::fenced(format!("task {id} does not run on this TaskManager")));
        }
        Ok(key)
    }

    /// CREATED to SCHEDULED: subtask i of every vertex into `slots[i]`.
    pub fn schedule(&mut self, slots: &[Slot], now_ms: i64) -> Result<()> {
        if self.vertices.iter().any(|v| v.subtasks.len() > slots.len()) {
            return Err(Error::internal("fewer slots than the job's greatest parallelism"));
        }
        for vertex in &mut self.vertices {
            for (execution, slot) in vertex.subtasks.iter_mut().zip(slots) {
                if !is_legal(execution.state, ExecutionState::Scheduled) {
                    return Err(illegal(&vertex.name, execution.state, ExecutionState::Scheduled));
                }
                execution.slot = Some(slot.clone());
                execution.enter(ExecutionState::Scheduled, now_ms);
            }
        }
        Ok(())
    }

    /// Moves one Execution. `Ok(false)`: nothing changed, because the state is repeated or
    /// the report crossed our order to cancel on the wire.
    pub fn transition(&mut self, key: TaskKey, to: ExecutionState, now_ms: i64) -> Result<bool> {
        use ExecutionState as S;
        let name = self.vertex_name(key.vertex);
        let Some(execution) = self.execution_mut(key) else {
            return Err(Error::internal(format!("`{name}` has no subtask {}", key.subtask)));
        };
        let from = execution.state;
        if from == to || (from == S::Canceling && matches!(to, S::Initializing | S::Running)) {
            return Ok(false);
        }
        if !is_legal(from, to) {
            return Err(illegal(&name, from, to));
        }
        execution.enter(to, now_ms);
        Ok(true)
    }

    /// Which of the tasks expected on `task_manager` its report has left out `limit` times in
    /// a row. Only tasks that it has confirmed are expected.
    pub fn on_report(
        &mut self,
        task_manager: &TaskManagerId,
        reported: &[ExecutionAttemptId],
        limit: u32,
    ) -> Vec<TaskKey> {
        use ExecutionState as S;
        let (job, attempt) = (self.job, self.attempt);
        let mut vanished = Vec::new();
        for vertex in &mut self.vertices {
            for (index, execution) in vertex.subtasks.iter_mut().enumerate() {
                let here = execution.slot.as_ref().is_some_and(|s| s.task_manager == *task_manager);
                if !here || !matches!(execution.state, S::Initializing | S::Running | S::Canceling)
                {
                    continue;
                }
                let subtask = SubtaskIndex(index as u32);
                let id = ExecutionAttemptId { job, vertex: vertex.id, subtask, attempt };
                if reported.contains(&id) {
                    execution.missed_reports = 0;
                    continue;
                }
                execution.missed_reports += 1;
                if execution.missed_reports >= limit {
                    vanished.push(TaskKey { vertex: vertex.id, subtask });
                }
            }
        }
        vanished
    }

    pub fn all(&self, what: impl Fn(ExecutionState) -> bool) -> bool {
        self.tasks().all(|(_, _, e)| what(e.state))
    }

    /// `name (2/4)`.
    pub fn task_name(&self, key: TaskKey) -> String {
        let parallelism =
            self.vertices.iter().find(|v| v.id == key.vertex).map_or(0, |v| v.subtasks.len());
        format!("{} ({}/{parallelism})", self.vertex_name(key.vertex), key.subtask.0 + 1)
    }

    fn vertex_name(&self, id: VertexId) -> String {
        let vertex = self.vertices.iter().find(|v| v.id == id);
        vertex.map_or_else(|| id.to_string(), |v| v.name.clone())
    }

    /// Adds to the bounded history.
    pub fn record(&mut self, now_ms: i64, task: Option<TaskKey>, error: &Error) {
        if self.exceptions.len() == MAX_EXCEPTIONS {
            self.exceptions.pop_front();
        }
        let slot = task.and_then(|key| self.execution(key)).and_then(|e| e.slot.as_ref());
        self.exceptions.push_back(ExceptionEntry {
            timestamp_ms: now_ms,
            attempt: self.attempt,
            kind: error.kind(),
            message: error.chain(),
            task: task.map(|key| self.task_name(key)),
            task_manager: slot.map(|s| s.task_manager.clone()),
        });
    }
}

fn illegal(name: &str, from: ExecutionState, to: ExecutionState) -> Error {
    Error::internal(format!("a task of `{name}` cannot go from {from:?} to {to:?}"))
}

#[cfg(test)]
mod tests;
