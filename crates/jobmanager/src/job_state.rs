//! The life of one job as a pure state machine: what happened goes in, what is to be done
//! comes out. Joins execution graph, failover and checkpoint coordinator. How an attempt
//! ends is in `job_state/ending.rs`; the words of both sides are in `job_state/event.rs`.
//! Driven by `job_master`, which has the channels and the clock.
//!
//! ```text
//! Starting -> Deployed -> Finalizing -> Ended
//!    ^           |             |
//!    |           v             |
//!  Backoff <- Draining <-------+     (Draining also ends in FAILED or CANCELED)
//! ```

mod ending;
mod event;

use std::collections::BTreeMap;

use model::deployment::SubtaskSnapshot;
use model::execution_state::{ExecutionState, JobStatus};
use model::job_graph::JobGraph;
use model::{Attempt, CheckpointId, Error, ExecutionAttemptId, JobId, Result, TaskManagerId};

pub use event::{CANCEL_TIMEOUT_MS, JobAction, JobEvent, MISSED_REPORTS};

use crate::checkpoint::{CheckpointAction, CheckpointCoordinator, CheckpointEvent};
use crate::execution_graph::{ExecutionGraph, TaskKey};
use crate::failover::Failover;
use crate::slot_pool::Slot;
use crate::timeline::Timeline;

/// What follows when every task is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Restart { at_ms: i64 },
    End(JobStatus),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting { prepared: bool },
    Deployed,
    Draining { until_ms: i64, next: Next },
    Backoff { until_ms: i64 },
    Finalizing,
    Ended,
}

/// The state machine.
#[derive(Debug)]
pub struct JobState {
    slots_needed: usize,
    slots: Vec<Option<Slot>>,
    graph: ExecutionGraph,
    failover: Failover,
    checkpoints: CheckpointCoordinator,
    phase: Phase,
    status: JobStatus,
    status_since: Vec<(JobStatus, i64)>,
    message: Option<String>,
    failure: Option<String>,
    timeline: Timeline,
}

type Actions = Vec<JobAction>;

impl JobState {
    pub fn new(job: JobId, graph: &JobGraph, now_ms: i64) -> Self {
        let slots_needed = graph.slots_needed() as usize;
        let mut timeline = Timeline::default();
        timeline.begin(now_ms, Attempt(1));
        Self {
            timeline,
            slots_needed,
            slots: vec![None; slots_needed],
            graph: ExecutionGraph::new(job, graph, now_ms),
            failover: Failover::new(graph.restart.clone()),
            checkpoints: CheckpointCoordinator::new(graph.checkpoint.clone()),
            phase: Phase::Starting { prepared: false },
            status: JobStatus::Created,
            status_since: vec![(JobStatus::Created, now_ms)],
            message: None,
            failure: None,
        }
    }

    pub fn status(&self) -> JobStatus {
        self.status
    }
    /// Every status the job entered with the time of its last entry, in order of first entry.
    pub fn status_since(&self) -> &[(JobStatus, i64)] {
        &self.status_since
    }
    /// What it waits for, if anything.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
    /// Root cause of the last failure.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
    pub fn graph(&self) -> &ExecutionGraph {
        &self.graph
    }
    pub fn restarts(&self) -> u32 {
        self.failover.restarts()
    }
    /// What became of every attempt.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }
    /// The present attempt starts from this checkpoint.
    pub fn restored(&mut self, id: CheckpointId) {
        self.timeline.restored(id);
    }
    pub fn checkpoints(&self) -> &CheckpointCoordinator {
        &self.checkpoints
    }
    pub fn checkpoints_discarded(&mut self) {
        self.checkpoints.discarded();
    }
    /// (needed, held).
    pub fn slots(&self) -> (usize, usize) {
        (self.slots_needed, self.slots.iter().flatten().count())
    }
    /// The slots, when there are enough.
    pub fn all_slots(&self) -> Option<Vec<Slot>> {
        self.slots.iter().cloned().collect()
    }
    /// The job starts from this checkpoint; its ids go on from there.
    pub fn starts_from(&mut self, id: CheckpointId) {
        self.checkpoints.starts_from(id);
    }
    /// Fences: the task, if `id` is of the present attempt and on that TaskManager.
    pub fn check(&self, id: &ExecutionAttemptId, tm: Option<&TaskManagerId>) -> Result<TaskKey> {
        self.graph.check(id, tm)
    }
    /// Tasks that may run now, with their TaskManager.
    pub fn expected(&self) -> BTreeMap<ExecutionAttemptId, TaskManagerId> {
        let deployed = self.graph.tasks().filter(|(_, _, e)| {
            !e.state.is_terminal()
                && !matches!(e.state, ExecutionState::Created | ExecutionState::Canceling)
        });
        deployed
            .filter_map(|(key, _, e)| {
                Some((self.graph.attempt_id(key), e.slot.as_ref()?.task_manager.clone()))
            })
            .collect()
    }

    /// When [`JobEvent::Tick`] is wanted.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        let phase = match self.phase {
            Phase::Draining { until_ms, .. } | Phase::Backoff { until_ms } => Some(until_ms),
            Phase::Ended => return None,
            _ => None,
        };
        phase.into_iter().chain(self.checkpoints.next_deadline_ms()).min()
    }

    pub fn on_event(&mut self, now_ms: i64, event: JobEvent) -> Actions {
        let mut out = Actions::new();
        if self.phase == Phase::Ended {
            return out;
        }
        match event {
            JobEvent::Start => self.start(&mut out),
            JobEvent::SlotsGranted(slots) => self.slots_granted(now_ms, slots, &mut out),
            JobEvent::SlotsWaiting { needed, free } => {
                self.message = Some(format!(
                    "waiting for {needed} more slots, {free} are free; start a TaskManager with \
                     more slots or lower the parallelism"
                ));
            }
            JobEvent::Prepared { attempt, outcome, settled } => {
                self.prepared(now_ms, attempt, outcome, settled, &mut out);
            }
            JobEvent::TaskState { task, state, error, last } => {
                self.task_state(now_ms, task, state, (error, last), &mut out);
            }
            JobEvent::TaskLost { attempt, task, error } => {
                if attempt == self.graph.attempt() {
                    if let Some(task) = task {
                        self.end_task(now_ms, task, ExecutionState::Failed);
                    }
                    self.on_failure(now_ms, task, &error, &mut out);
                }
            }
            JobEvent::TaskManagerLost { id, reason } => {
                self.task_manager_lost(now_ms, &id, &reason, &mut out);
            }
            JobEvent::Report { id, tasks } => self.report(now_ms, &id, &tasks, &mut out),
            JobEvent::Checkpoint(event) => self.checkpoint(now_ms, event, &mut out),
            JobEvent::Cancel => self.cancel(now_ms, &mut out),
            JobEvent::Tick => self.checkpoint(now_ms, CheckpointEvent::Tick, &mut out),
        }
        self.advance(now_ms, &mut out);
        out
    }

    fn enter(&mut self, status: JobStatus, now_ms: i64) {
        if self.status == status {
            return;
        }
        self.status = status;
        match self.status_since.iter_mut().find(|(s, _)| *s == status) {
            Some(entry) => entry.1 = now_ms,
            None => self.status_since.push((status, now_ms)),
        }
    }

    fn start(&mut self, out: &mut Actions) {
        self.phase = Phase::Starting { prepared: false };
        out.push(JobAction::Prepare {
            attempt: self.graph.attempt(),
            latest: self.checkpoints.completed().latest(),
            in_doubt: self.checkpoints.in_doubt(),
        });
        self.request_missing(out);
    }

    fn request_missing(&mut self, out: &mut Actions) {
        let missing = self.slots.iter().filter(|s| s.is_none()).count();
        if missing > 0 {
            out.push(JobAction::RequestSlots(missing));
        }
    }

    fn slots_granted(&mut self, now_ms: i64, slots: Vec<Slot>, out: &mut Actions) {
        let mut granted = slots.into_iter();
        for place in self.slots.iter_mut().filter(|s| s.is_none()) {
            *place = granted.next();
        }
        out.extend(granted.map(|slot| JobAction::ReleaseSlot(slot.allocation)));
        self.message = None;
        self.deploy_if_ready(now_ms, out);
    }

    fn prepared(
        &mut self,
        now_ms: i64,
        attempt: Attempt,
        outcome: Result<()>,
        settled: Option<(CheckpointId, String)>,
        out: &mut Actions,
    ) {
        if attempt != self.graph.attempt() || !matches!(self.phase, Phase::Starting { .. }) {
            return;
        }
        match outcome {
            Ok(()) => {
                self.checkpoints.settle_doubt(now_ms, settled);
                self.phase = Phase::Starting { prepared: true };
                self.deploy_if_ready(now_ms, out);
            }
            Err(error) => self.on_failure(now_ms, None, &error, out),
        }
    }

    fn deploy_if_ready(&mut self, now_ms: i64, out: &mut Actions) {
        if self.phase != (Phase::Starting { prepared: true }) {
            return;
        }
        let Some(slots) = self.all_slots() else { return };
        if let Err(error) = self.graph.schedule(&slots, now_ms) {
            return self.on_failure(now_ms, None, &error, out);
        }
        let tasks: BTreeMap<TaskKey, bool> =
            self.graph.tasks().map(|(key, v, _)| (key, v.is_source)).collect();
        for task in tasks.keys() {
            self.end_task(now_ms, *task, ExecutionState::Deploying);
        }
        self.phase = Phase::Deployed;
        let attempt = self.graph.attempt();
        self.checkpoint(now_ms, CheckpointEvent::Deployed { attempt, tasks }, out);
        out.push(JobAction::Deploy);
    }

    /// A transition that we decide ourselves; it does not fail for a live task.
    fn end_task(&mut self, now_ms: i64, task: TaskKey, state: ExecutionState) {
        if let Err(error) = self.graph.transition(task, state, now_ms) {
            tracing::debug!(%error, "kept the state of a task");
        }
    }

    fn task_state(
        &mut self,
        now_ms: i64,
        task: TaskKey,
        state: ExecutionState,
        (error, last): (Option<Error>, SubtaskSnapshot),
        out: &mut Actions,
    ) {
        match self.graph.transition(task, state, now_ms) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::warn!(%error, "ignored a task state report"),
        }
        let deployed = matches!(self.phase, Phase::Deployed);
        match state {
            ExecutionState::Running => self.note_running(now_ms, out),
            ExecutionState::Finished => {
                let attempt = self.graph.attempt();
                let event = CheckpointEvent::TaskFinished { attempt, task, snapshot: last };
                self.checkpoint(now_ms, event, out);
                self.note_running(now_ms, out);
                if deployed && self.graph.all(|s| s == ExecutionState::Finished) {
                    self.phase = Phase::Finalizing;
                    self.checkpoint(now_ms, CheckpointEvent::Finalize, out);
                }
            }
            ExecutionState::Failed => {
                let error = error.unwrap_or_else(|| Error::internal("failed without saying why"));
                self.on_failure(now_ms, Some(task), &error, out);
            }
            ExecutionState::Canceled if deployed => {
                let error = Error::external("its TaskManager canceled the task");
                self.on_failure(now_ms, Some(task), &error, out);
            }
            _ => {}
        }
    }

    fn note_running(&mut self, now_ms: i64, out: &mut Actions) {
        let up = |s| matches!(s, ExecutionState::Running | ExecutionState::Finished);
        if self.phase == Phase::Deployed && self.status != JobStatus::Running && self.graph.all(up)
        {
            self.enter(JobStatus::Running, now_ms);
            self.timeline.running(now_ms);
            let attempt = self.graph.attempt();
            self.checkpoint(now_ms, CheckpointEvent::Running { attempt }, out);
        }
    }

    /// Passes an event to the coordinator and acts on what concerns the whole job.
    fn checkpoint(&mut self, now_ms: i64, event: CheckpointEvent, out: &mut Actions) {
        for action in self.checkpoints.on_event(now_ms, event) {
            match action {
                CheckpointAction::FailExecution { error } => {
                    self.on_failure(now_ms, None, &error, out);
                }
                CheckpointAction::Finalized => self.end(now_ms, JobStatus::Finished, out),
                other => out.push(JobAction::Checkpoint(other)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
