//! The CheckpointCoordinator: decides when a checkpoint starts, collects what belongs to it
//! and says when it is complete. Pure: events and the time come in, actions go out.
//! Driven by `job_state.rs`; the actions are carried out by `job_master`. From the trigger to
//! the last acknowledgement is in `coordinator/gathering.rs`, how a checkpoint ends in
//! `coordinator/outcome.rs`.
//!
//! One checkpoint at a time, from its trigger to the end of its sinks' commit: so the commit
//! of a checkpoint always comes after that of the one before, and a manifest never lacks
//! committables of an earlier one that are not visible yet.
//!
//! Committables of an aborted checkpoint are not lost: the rows are behind the tasks
//! already, so they ride in the next manifest of the same attempt. So do those that a
//! finished task handed over at its end.

mod gathering;
mod outcome;

use std::collections::BTreeMap;

use model::config::CheckpointConfig;
use model::deployment::{CommittableBytes, SubtaskSnapshot};
use model::{Attempt, CheckpointId, Error, ErrorKind};

pub use crate::checkpoint::event::{CheckpointAction, CheckpointEvent, ManifestParts, Token};

use crate::checkpoint::completed::CompletedCheckpoints;
use crate::checkpoint::history::{CheckpointHistory, CheckpointKind, CheckpointStatus};
use crate::checkpoint::pending::Pending;
use crate::execution_graph::TaskKey;
use outcome::answer_error;

#[derive(Debug)]
struct Running {
    attempt: Attempt,
    tasks: BTreeMap<TaskKey, bool>,
    /// The first checkpoint id of this attempt.
    first_id: CheckpointId,
    running: bool,
    finished: BTreeMap<TaskKey, SubtaskSnapshot>,
    /// Committables of aborted checkpoints.
    carried: BTreeMap<TaskKey, BTreeMap<CheckpointId, Vec<CommittableBytes>>>,
}

#[derive(Debug)]
pub struct CheckpointCoordinator {
    config: CheckpointConfig,
    next_id: CheckpointId,
    attempt: Option<Running>,
    pending: Option<Pending>,
    next_trigger_ms: Option<i64>,
    failures_in_a_row: u32,
    queued: Vec<Token>,
    finalize: bool,
    in_doubt: Option<CheckpointId>,
    /// There may be objects that no complete checkpoint names: of aborted ones, of a manifest
    /// that was never written, or because a deletion failed.
    leavings: bool,
    /// A deletion is under way.
    deleting: bool,
    completed: CompletedCheckpoints,
    history: CheckpointHistory,
}

type Actions = Vec<CheckpointAction>;

impl CheckpointCoordinator {
    pub fn new(config: CheckpointConfig) -> Self {
        let completed = CompletedCheckpoints::new(config.retain);
        Self {
            config,
            next_id: CheckpointId(1),
            attempt: None,
            pending: None,
            next_trigger_ms: None,
            failures_in_a_row: 0,
            queued: Vec::new(),
            finalize: false,
            in_doubt: None,
            leavings: false,
            deleting: false,
            completed,
            history: CheckpointHistory::default(),
        }
    }

    pub fn history(&self) -> &CheckpointHistory {
        &self.history
    }
    pub fn completed(&self) -> &CompletedCheckpoints {
        &self.completed
    }
    /// The job is over and its checkpoints are deleted.
    pub fn discarded(&mut self) {
        self.history.discarded();
    }
    /// The checkpoint under way.
    pub fn pending(&self) -> Option<CheckpointId> {
        self.pending.as_ref().map(|p| p.id)
    }
    /// A checkpoint whose manifest may or may not have been written.
    pub fn in_doubt(&self) -> Option<CheckpointId> {
        self.in_doubt
    }
    /// No manifest write or commit is under way: a restart knows what it restarts from.
    pub fn is_settled(&self) -> bool {
        self.pending.as_ref().is_none_or(Pending::may_abort)
    }

    /// The job starts from `id` (perhaps of another job): later ids are greater.
    pub fn starts_from(&mut self, id: CheckpointId) {
        self.next_id = self.next_id.max(CheckpointId(id.0 + 1));
    }

    /// The doubtful manifest was looked for.
    pub fn settle_doubt(&mut self, now_ms: i64, found: Option<(CheckpointId, String)>) {
        // It is no checkpoint then, and what was written for it nobody's.
        self.leavings |= self.in_doubt.is_some() && found.is_none();
        if let Some((id, path)) = found {
            self.completed.add(id, None);
            if let Some(record) = self.history.get_mut(id) {
                record.status = CheckpointStatus::Completed;
                record.committed_at_ms = Some(now_ms);
                record.cause = None;
                record.path = Some(path);
            }
        }
        self.in_doubt = None;
    }

    /// When [`CheckpointEvent::Tick`] is wanted.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        match &self.pending {
            Some(pending) => pending.may_abort().then_some(pending.deadline_ms),
            None => self.next_trigger_ms.filter(|_| self.may_trigger()),
        }
    }

    pub fn on_event(&mut self, now_ms: i64, event: CheckpointEvent) -> Actions {
        let mut out = Actions::new();
        match event {
            CheckpointEvent::Deployed { attempt, tasks } => self.deployed(attempt, tasks),
            CheckpointEvent::Running { attempt } => self.running(now_ms, attempt),
            CheckpointEvent::Stopped { cause } => self.stopped(now_ms, &cause, &mut out),
            CheckpointEvent::Tick => self.tick(now_ms, &mut out),
            CheckpointEvent::Manual { token } => self.manual(now_ms, token, &mut out),
            CheckpointEvent::EnumeratorsReady { id, enumerators } => {
                self.enumerators_ready(now_ms, id, enumerators, &mut out);
            }
            CheckpointEvent::Declined { attempt, id, error } => {
                if self.is_pending_of(attempt, id) {
                    self.fail_pending(now_ms, error, &mut out);
                }
            }
            CheckpointEvent::Acknowledged { attempt, id, task, snapshot } => {
                if self.attempt.as_ref().is_some_and(|a| a.attempt == attempt) {
                    self.acknowledged(now_ms, id, task, snapshot, &mut out);
                }
            }
            CheckpointEvent::TaskFinished { attempt, task, snapshot } => {
                if self.attempt.as_ref().is_some_and(|a| a.attempt == attempt) {
                    self.task_finished(now_ms, task, snapshot, &mut out);
                }
            }
            CheckpointEvent::Finalize => {
                self.finalize = true;
                self.begin_final(now_ms, &mut out);
            }
            CheckpointEvent::ManifestWritten { id, outcome } => {
                self.manifest_written(now_ms, id, outcome, &mut out);
            }
            CheckpointEvent::Committed { id, outcome } => {
                self.committed(now_ms, id, outcome, &mut out);
            }
            CheckpointEvent::Deleted { done } => {
                self.deleting = false;
                self.leavings |= !done;
            }
        }
        out
    }

    fn deployed(&mut self, attempt: Attempt, tasks: BTreeMap<TaskKey, bool>) {
        self.attempt = Some(Running {
            attempt,
            tasks,
            first_id: self.next_id,
            running: false,
            finished: BTreeMap::new(),
            carried: BTreeMap::new(),
        });
        self.failures_in_a_row = 0;
        self.finalize = false;
        self.next_trigger_ms = None;
    }

    fn running(&mut self, now_ms: i64, attempt: Attempt) {
        let Some(current) = self.attempt.as_mut().filter(|a| a.attempt == attempt) else { return };
        current.running = true;
        self.next_trigger_ms = self.config.interval_ms.map(|interval| now_ms + interval);
        if !self.queued.is_empty() {
            self.next_trigger_ms = Some(now_ms);
        }
    }

    fn stopped(&mut self, now_ms: i64, cause: &str, out: &mut Actions) {
        self.attempt = None;
        self.finalize = false;
        self.next_trigger_ms = None;
        let tokens = std::mem::take(&mut self.queued);
        answer_error(tokens, ErrorKind::External, cause, out);
        if self.pending.as_ref().is_some_and(Pending::may_abort) {
            self.abort(now_ms, ErrorKind::External, cause, out);
        }
    }

    /// Whether there is an attempt to take a checkpoint of, and a source to start it at.
    fn may_trigger(&self) -> bool {
        let Some(current) = &self.attempt else { return false };
        let source_runs = current
            .tasks
            .iter()
            .any(|(key, source)| *source && !current.finished.contains_key(key));
        current.running && !self.finalize && source_runs
    }

    fn tick(&mut self, now_ms: i64, out: &mut Actions) {
        if let Some(pending) = &self.pending {
            if pending.may_abort() && now_ms >= pending.deadline_ms {
                let missing = pending.missing.len();
                let text = format!(
                    "checkpoint {} timed out after {} ms; {missing} tasks had not acknowledged it",
                    pending.id, self.config.timeout_ms
                );
                self.fail_pending(now_ms, Error::external(text), out);
            }
            return;
        }
        if self.may_trigger() && self.next_trigger_ms.is_some_and(|at| now_ms >= at) {
            let tokens = std::mem::take(&mut self.queued);
            let manual = !tokens.is_empty();
            let kind = if manual { CheckpointKind::Manual } else { CheckpointKind::Periodic };
            self.begin(now_ms, kind, tokens, out);
        }
    }

    fn manual(&mut self, now_ms: i64, token: Token, out: &mut Actions) {
        if self.attempt.is_none() {
            let text = "the job does not run, so it cannot take a checkpoint";
            return answer_error(vec![token], ErrorKind::User, text, out);
        }
        self.queued.push(token);
        if self.attempt.as_ref().is_some_and(|a| a.running) && !self.finalize {
            self.next_trigger_ms = Some(now_ms);
            self.tick(now_ms, out);
        }
    }

    fn is_pending_of(&self, attempt: Attempt, id: CheckpointId) -> bool {
        self.attempt.as_ref().is_some_and(|a| a.attempt == attempt) && self.pending() == Some(id)
    }
}

#[cfg(test)]
mod tests;
