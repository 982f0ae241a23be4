//! How an attempt ends: a failure, a cancellation, a lost TaskManager; then its tasks are
//! drained, and the job restarts or is over. Part of `job_state.rs`, which calls it.

use model::execution_state::{ExecutionState, JobStatus};
use model::{Error, ErrorKind, ExecutionAttemptId, TaskManagerId};

use super::{Actions, CANCEL_TIMEOUT_MS, JobAction, JobState, MISSED_REPORTS, Next, Phase};
use crate::checkpoint::CheckpointEvent;
use crate::execution_graph::TaskKey;
use crate::failover::Decision;
use crate::slot_pool::Slot;

impl JobState {
    pub(super) fn on_failure(
        &mut self,
        now_ms: i64,
        task: Option<TaskKey>,
        error: &Error,
        out: &mut Actions,
    ) {
        self.graph.record(now_ms, task, error);
        let text = match task {
            Some(task) => format!("{}: {}", self.graph.task_name(task), error.chain()),
            None => error.chain(),
        };
        match self.phase {
            Phase::Ended => {}
            Phase::Draining { until_ms, next: Next::Restart { .. } }
                if error.kind() == ErrorKind::User =>
            {
                self.failure = Some(text);
                self.enter(JobStatus::Failing, now_ms);
                self.phase = Phase::Draining { until_ms, next: Next::End(JobStatus::Failed) };
            }
            // Consequences of the first failure.
            Phase::Draining { .. } | Phase::Backoff { .. } => {}
            Phase::Starting { .. } | Phase::Deployed | Phase::Finalizing => {
                // A manifest of another job manager: the job is no longer ours.
                let fenced = task.is_none() && error.kind() == ErrorKind::Fenced;
                let kind = if fenced { ErrorKind::User } else { error.kind() };
                let next = match self.failover.on_failure(now_ms, kind) {
                    Decision::Restart { after_ms } => Next::Restart { at_ms: now_ms + after_ms },
                    Decision::Fail { why } => {
                        tracing::error!(error = %text, %why, "the job fails");
                        Next::End(JobStatus::Failed)
                    }
                };
                self.failure = Some(text.clone());
                self.drain(now_ms, next, &text, out);
            }
        }
    }

    pub(super) fn cancel(&mut self, now_ms: i64, out: &mut Actions) {
        let next = Next::End(JobStatus::Canceled);
        match self.phase {
            Phase::Ended | Phase::Draining { next: Next::End(_), .. } => {}
            Phase::Draining { until_ms, .. } => {
                self.enter(JobStatus::Cancelling, now_ms);
                self.phase = Phase::Draining { until_ms, next };
            }
            _ => self.drain(now_ms, next, "the job was canceled", out),
        }
    }

    /// Cancels every task; [`Self::advance`] goes on when they are gone.
    pub(super) fn drain(&mut self, now_ms: i64, next: Next, cause: &str, out: &mut Actions) {
        self.phase = Phase::Draining { until_ms: now_ms + CANCEL_TIMEOUT_MS, next };
        let canceled = next == Next::End(JobStatus::Canceled);
        self.timeline.ended(now_ms, Some(cause).filter(|_| !canceled));
        self.enter(
            match next {
                Next::Restart { .. } => JobStatus::Restarting,
                Next::End(JobStatus::Canceled) => JobStatus::Cancelling,
                Next::End(_) => JobStatus::Failing,
            },
            now_ms,
        );
        self.message = None;
        self.checkpoint(now_ms, CheckpointEvent::Stopped { cause: cause.to_owned() }, out);
        let tasks: Vec<(TaskKey, ExecutionState, Option<Slot>)> =
            self.graph.tasks().map(|(key, _, e)| (key, e.state, e.slot.clone())).collect();
        let mut cancel = Vec::new();
        for (task, state, slot) in tasks {
            match (state, slot) {
                (s, _) if s.is_terminal() => {}
                (ExecutionState::Created, _) | (_, None) => {
                    self.end_task(now_ms, task, ExecutionState::Canceled);
                }
                (_, Some(slot)) => {
                    self.end_task(now_ms, task, ExecutionState::Canceling);
                    cancel.push((slot, self.graph.attempt_id(task)));
                }
            }
        }
        out.push(JobAction::Cancel(cancel));
    }

    pub(super) fn task_manager_lost(
        &mut self,
        now_ms: i64,
        id: &TaskManagerId,
        reason: &str,
        out: &mut Actions,
    ) {
        let mut held = false;
        for place in &mut self.slots {
            if place.as_ref().is_some_and(|s| s.task_manager == *id) {
                *place = None;
                held = true;
            }
        }
        let here = |e: &crate::execution_graph::Execution| {
            !e.state.is_terminal() && e.slot.as_ref().is_some_and(|s| s.task_manager == *id)
        };
        let gone: Vec<TaskKey> =
            self.graph.tasks().filter(|(_, _, e)| here(e)).map(|(key, _, _)| key).collect();
        for task in &gone {
            self.end_task(now_ms, *task, ExecutionState::Failed);
        }
        let error = Error::external(format!("lost TaskManager {id}: {reason}"));
        match self.phase {
            Phase::Starting { .. } if held => self.request_missing(out),
            Phase::Deployed if !gone.is_empty() => {
                self.on_failure(now_ms, gone.first().copied(), &error, out);
            }
            // Connections to it broke first: this is why.
            Phase::Draining { next: Next::Restart { .. }, .. } if held => {
                self.graph.record(now_ms, gone.first().copied(), &error);
                self.failure = Some(error.chain());
            }
            _ => {}
        }
    }

    /// The report is the truth of what runs.
    pub(super) fn report(
        &mut self,
        now_ms: i64,
        id: &TaskManagerId,
        tasks: &[ExecutionAttemptId],
        out: &mut Actions,
    ) {
        for task in self.graph.on_report(id, tasks, MISSED_REPORTS) {
            if matches!(self.phase, Phase::Draining { .. }) {
                self.end_task(now_ms, task, ExecutionState::Canceled);
                continue;
            }
            self.end_task(now_ms, task, ExecutionState::Failed);
            let error = Error::external(format!("TaskManager {id} does not run the task any more"));
            self.on_failure(now_ms, Some(task), &error, out);
        }
    }

    /// Leaves Draining and Backoff when it is time.
    pub(super) fn advance(&mut self, now_ms: i64, out: &mut Actions) {
        if let Phase::Draining { until_ms, next } = self.phase {
            if now_ms >= until_ms {
                self.give_up_waiting(now_ms);
            }
            if !self.graph.all(ExecutionState::is_terminal) || !self.checkpoints.is_settled() {
                return;
            }
            match next {
                Next::End(status) => self.end(now_ms, status, out),
                Next::Restart { at_ms } => self.phase = Phase::Backoff { until_ms: at_ms },
            }
        }
        if let Phase::Backoff { until_ms } = self.phase
            && now_ms >= until_ms
        {
            self.timeline.close(&self.graph);
            self.graph.next_attempt(now_ms);
            self.timeline.begin(now_ms, self.graph.attempt());
            self.start(out);
        }
    }

    /// Tasks that did not say they are canceled are regarded as gone.
    pub(super) fn give_up_waiting(&mut self, now_ms: i64) {
        let late: Vec<TaskKey> = self
            .graph
            .tasks()
            .filter(|(_, _, e)| !e.state.is_terminal())
            .map(|(key, _, _)| key)
            .collect();
        for task in late {
            tracing::warn!(task = self.graph.task_name(task), "did not confirm its cancellation");
            self.end_task(now_ms, task, ExecutionState::Canceled);
        }
        if let Phase::Draining { next, .. } = self.phase {
            // What is left to wait for is the checkpoint storage, and that says when.
            self.phase = Phase::Draining { until_ms: i64::MAX, next };
        }
    }

    pub(super) fn end(&mut self, now_ms: i64, status: JobStatus, out: &mut Actions) {
        self.phase = Phase::Ended;
        self.timeline.ended(now_ms, None);
        self.message = None;
        if status == JobStatus::Finished {
            self.failure = None;
        }
        self.enter(status, now_ms);
        out.push(JobAction::Ended(status));
    }
}
