//! The CheckpointCoordinator: decides when a checkpoint starts, collects what belongs to it
//! and says when it is complete. Pure: events and the time come in, actions go out.
//! Driven by `job_state.rs`; the actions are carried out by `job_master`.
//!
//! One checkpoint at a time, from its trigger to the end of its sinks' commit: so the commit
//! of a checkpoint always comes after that of the one before, and a manifest never lacks
//! committables of an earlier one that are not visible yet.
//!
//! Committables of an aborted checkpoint are not lost: the rows are behind the tasks
//! already, so they ride in the next manifest of the same attempt. So do those that a
//! finished task handed over at its end.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use model::config::CheckpointConfig;
use model::deployment::{CommittableBytes, SubtaskSnapshot};
use model::{Attempt, CheckpointId, Error, ErrorKind};

pub use crate::checkpoint::event::{CheckpointAction, CheckpointEvent, ManifestParts, Token};

use crate::checkpoint::completed::CompletedCheckpoints;
use crate::checkpoint::history::{
    CheckpointHistory, CheckpointKind, CheckpointRecord, CheckpointStatus, SubtaskRecord,
};
use crate::checkpoint::pending::{Pending, Phase};
use crate::execution_graph::TaskKey;

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
    /// Checkpoints were aborted since the last clean-up.
    leavings: bool,
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
        if let Some((id, path)) = found {
            self.completed.add(id);
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

    fn begin(&mut self, now_ms: i64, kind: CheckpointKind, tokens: Vec<Token>, out: &mut Actions) {
        let Some(current) = &self.attempt else { return };
        let id = self.next_id;
        self.next_id = CheckpointId(id.0 + 1);
        let finished = current.finished.keys().copied().collect();
        let pending = Pending {
            id,
            kind,
            phase: Phase::Enumerators,
            triggered_at_ms: now_ms,
            deadline_ms: now_ms + self.config.timeout_ms.max(1),
            tokens,
            enumerators: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            missing: current
                .tasks
                .keys()
                .filter(|k| !current.finished.contains_key(k))
                .copied()
                .collect(),
            finished,
        };
        self.history.begin(CheckpointRecord {
            id,
            kind,
            status: CheckpointStatus::InProgress,
            attempt: current.attempt,
            triggered_at_ms: now_ms,
            ended_at_ms: None,
            committed_at_ms: None,
            duration_ms: None,
            state_bytes: 0,
            acknowledged: pending.finished.len(),
            total: current.tasks.len(),
            cause: None,
            path: None,
            subtasks: Vec::new(),
        });
        self.pending = Some(pending);
        out.push(CheckpointAction::SnapshotEnumerators { id });
    }

    fn is_pending_of(&self, attempt: Attempt, id: CheckpointId) -> bool {
        self.attempt.as_ref().is_some_and(|a| a.attempt == attempt) && self.pending() == Some(id)
    }

    fn enumerators_ready(
        &mut self,
        now_ms: i64,
        id: CheckpointId,
        enumerators: BTreeMap<String, Bytes>,
        out: &mut Actions,
    ) {
        let Some(pending) = self.pending.as_mut().filter(|p| p.id == id) else { return };
        if pending.phase != Phase::Enumerators {
            return;
        }
        pending.phase = Phase::Acks;
        pending.enumerators = enumerators;
        let sources = |key: &&TaskKey| {
            self.attempt.as_ref().is_some_and(|a| a.tasks.get(key).copied().unwrap_or(false))
        };
        let tasks: Vec<TaskKey> = pending.missing.iter().filter(sources).copied().collect();
        if !tasks.is_empty() {
            let triggered_at_ms = pending.triggered_at_ms;
            out.push(CheckpointAction::TriggerTasks { id, triggered_at_ms, tasks });
        }
        self.complete_if_ready(now_ms, out);
    }

    fn acknowledged(
        &mut self,
        now_ms: i64,
        id: CheckpointId,
        task: TaskKey,
        snapshot: SubtaskSnapshot,
        out: &mut Actions,
    ) {
        let record = SubtaskRecord {
            vertex: task.vertex,
            subtask: task.subtask,
            acknowledged_at_ms: now_ms,
            finished: snapshot.finished,
            timings: snapshot.timings.clone(),
        };
        match self.pending.as_mut().filter(|p| p.id == id) {
            Some(pending) => {
                if !pending.acknowledge(task, snapshot) {
                    return;
                }
            }
            None => return self.carry(id, task, snapshot.committables),
        }
        if let Some(kept) = self.history.get_mut(id) {
            kept.acknowledged += 1;
            kept.state_bytes += record.timings.state_bytes;
            kept.subtasks.push(record);
        }
        self.complete_if_ready(now_ms, out);
    }

    /// Keeps the committables of a checkpoint that will not complete for the next one.
    fn carry(&mut self, id: CheckpointId, task: TaskKey, committables: Vec<CommittableBytes>) {
        let complete = self.completed.ids().any(|c| c == id);
        let Some(current) = &mut self.attempt else { return };
        let known =
            current.tasks.contains_key(&task) && id >= current.first_id && id < self.next_id;
        if known && !complete && !committables.is_empty() {
            current.carried.entry(task).or_default().entry(id).or_insert(committables);
        }
    }

    /// A task acknowledges every barrier it saw before it reports its end. So one that ends
    /// without having acknowledged the checkpoint under way had read all its input before
    /// the barrier: its end is its part in the checkpoint.
    fn task_finished(
        &mut self,
        now_ms: i64,
        task: TaskKey,
        mut snapshot: SubtaskSnapshot,
        out: &mut Actions,
    ) {
        let Some(current) = &mut self.attempt else { return };
        if !current.tasks.contains_key(&task) || current.finished.contains_key(&task) {
            return;
        }
        snapshot.finished = true;
        current.finished.insert(task, snapshot);
        let Some(pending) = self.pending.as_mut().filter(|p| p.may_abort()) else { return };
        if pending.missing.remove(&task) {
            pending.finished.insert(task);
            if let Some(record) = self.history.get_mut(pending.id) {
                record.acknowledged += 1;
            }
            self.complete_if_ready(now_ms, out);
        }
    }

    fn begin_final(&mut self, now_ms: i64, out: &mut Actions) {
        if self.attempt.is_none() || !self.is_settled() {
            return;
        }
        if self.pending.is_some() {
            let tokens = self.pending.as_mut().map(|p| std::mem::take(&mut p.tokens));
            self.queued.extend(tokens.unwrap_or_default());
            self.abort(now_ms, ErrorKind::External, "the job reached its end meanwhile", out);
        }
        let tokens = std::mem::take(&mut self.queued);
        self.begin(now_ms, CheckpointKind::Final, tokens, out);
    }

    fn complete_if_ready(&mut self, now_ms: i64, out: &mut Actions) {
        let (Some(pending), Some(current)) = (&mut self.pending, &mut self.attempt) else { return };
        if !pending.is_complete() {
            return;
        }
        pending.phase = Phase::Completing;
        let mut snapshots = BTreeMap::new();
        for task in current.tasks.keys() {
            let own = if pending.finished.contains(task) {
                current.finished.get(task).cloned()
            } else {
                pending.snapshots.get(task).cloned()
            };
            let mut snapshot = own.unwrap_or_default();
            if let Some(earlier) = current.carried.remove(task) {
                // Tasks repeat what they do not know to be complete.
                let own = std::mem::take(&mut snapshot.committables);
                let mut all: Vec<_> = earlier.into_values().flatten().chain(own).collect();
                let mut seen = BTreeSet::new();
                all.retain(|c| seen.insert(c.0.clone()));
                snapshot.committables = all;
            }
            snapshots.insert(*task, snapshot);
        }
        if let Some(record) = self.history.get_mut(pending.id) {
            for task in &pending.finished {
                record.subtasks.push(SubtaskRecord {
                    vertex: task.vertex,
                    subtask: task.subtask,
                    acknowledged_at_ms: now_ms,
                    finished: true,
                    timings: Default::default(),
                });
            }
        }
        out.push(CheckpointAction::WriteManifest(Box::new(ManifestParts {
            id: pending.id,
            kind: pending.kind,
            attempt: current.attempt,
            triggered_at_ms: pending.triggered_at_ms,
            snapshots,
            enumerators: std::mem::take(&mut pending.enumerators),
        })));
    }

    /// Whether the manifest exists is unknown after an error (the answer may be what was
    /// lost), so the job restarts and looks.
    fn manifest_written(
        &mut self,
        now_ms: i64,
        id: CheckpointId,
        outcome: Result<String, Error>,
        out: &mut Actions,
    ) {
        let completing = |p: &&mut Pending| p.id == id && p.phase == Phase::Completing;
        let Some(pending) = self.pending.as_mut().filter(completing) else { return };
        match outcome {
            Ok(path) => {
                pending.phase = Phase::Committing;
                self.completed.add(id);
                self.history.end(id, now_ms, Ok(path));
                out.push(CheckpointAction::Commit { id });
            }
            Err(error) => {
                self.in_doubt = Some(id);
                self.give_up(now_ms, id, error.at(format!("checkpoint {id}")), out);
            }
        }
    }

    fn committed(
        &mut self,
        now_ms: i64,
        id: CheckpointId,
        outcome: Result<(), Error>,
        out: &mut Actions,
    ) {
        let committing = |p: &&mut Pending| p.id == id && p.phase == Phase::Committing;
        let Some(pending) = self.pending.as_mut().filter(committing) else { return };
        if let Err(error) = outcome {
            let error = error.at(format!("sink commit of checkpoint {id}"));
            return self.give_up(now_ms, id, error, out);
        }
        let tokens = std::mem::take(&mut pending.tokens);
        let (kind, triggered_at_ms) = (pending.kind, pending.triggered_at_ms);
        if let Some(current) = &mut self.attempt {
            for task in &pending.finished {
                if let Some(snapshot) = current.finished.get_mut(task) {
                    snapshot.committables.clear();
                }
            }
            out.push(CheckpointAction::NotifyComplete { id });
        }
        self.pending = None;
        self.failures_in_a_row = 0;
        if let Some(record) = self.history.get_mut(id) {
            record.committed_at_ms = Some(now_ms);
        }
        self.retire(id, out);
        if !tokens.is_empty() {
            out.push(CheckpointAction::Answer { tokens, outcome: Ok(id) });
        }
        if kind == CheckpointKind::Final && self.attempt.is_some() {
            out.push(CheckpointAction::Finalized);
            return;
        }
        self.schedule_next(now_ms, triggered_at_ms);
        if self.finalize {
            self.begin_final(now_ms, out);
        } else {
            self.tick(now_ms, out);
        }
    }

    /// What `id` makes superfluous: older checkpoints, and leavings of aborted ones.
    fn retire(&mut self, id: CheckpointId, out: &mut Actions) {
        let ids = self.completed.take_subsumed();
        if std::mem::take(&mut self.leavings) {
            let keep = self.completed.ids().collect();
            out.push(CheckpointAction::CleanOrphans { keep, below: id });
        } else if !ids.is_empty() {
            out.push(CheckpointAction::Delete { ids });
        }
    }

    /// Ends the pending checkpoint after the point of no return: only a restart can go on.
    fn give_up(&mut self, now_ms: i64, id: CheckpointId, error: Error, out: &mut Actions) {
        let text = error.chain();
        if let Some(pending) = self.pending.take() {
            answer_error(pending.tokens, error.kind(), &text, out);
        }
        if self.in_doubt == Some(id) {
            self.history.end(id, now_ms, Err(text));
        }
        if self.attempt.is_some() {
            out.push(CheckpointAction::FailExecution { error });
        }
    }

    fn schedule_next(&mut self, now_ms: i64, triggered_at_ms: i64) {
        self.next_trigger_ms = self
            .config
            .interval_ms
            .map(|interval| (triggered_at_ms + interval).max(now_ms + self.config.min_pause_ms));
        if !self.queued.is_empty() {
            self.next_trigger_ms = Some(now_ms);
        }
    }

    /// The pending checkpoint failed by itself: counts towards the tolerable failures.
    fn fail_pending(&mut self, now_ms: i64, error: Error, out: &mut Actions) {
        let Some(pending) = self.pending.as_ref().filter(|p| p.may_abort()) else { return };
        let (triggered_at_ms, kind) = (pending.triggered_at_ms, pending.kind);
        let text = error.chain();
        self.abort(now_ms, error.kind(), &text, out);
        self.failures_in_a_row += 1;
        let tolerable = self.config.tolerable_failures;
        if kind == CheckpointKind::Final || self.failures_in_a_row > tolerable {
            let text = format!(
                "{} checkpoints in a row failed ({tolerable} are tolerable), the last: {text}",
                self.failures_in_a_row
            );
            let kind =
                if error.kind() == ErrorKind::User { error.kind() } else { ErrorKind::External };
            out.push(CheckpointAction::FailExecution { error: Error::new(kind, text) });
            return;
        }
        self.schedule_next(now_ms, triggered_at_ms);
    }

    /// Drops the pending checkpoint, but not what its sinks had prepared.
    fn abort(&mut self, now_ms: i64, kind: ErrorKind, cause: &str, out: &mut Actions) {
        let Some(pending) = self.pending.take() else { return };
        self.leavings = true;
        for (task, snapshot) in pending.snapshots {
            self.carry(pending.id, task, snapshot.committables);
        }
        self.history.end(pending.id, now_ms, Err(cause.to_owned()));
        out.push(CheckpointAction::Abort { id: pending.id });
        answer_error(pending.tokens, kind, cause, out);
    }
}

fn answer_error(tokens: Vec<Token>, kind: ErrorKind, text: &str, out: &mut Actions) {
    if !tokens.is_empty() {
        out.push(CheckpointAction::Answer { tokens, outcome: Err(Error::new(kind, text)) });
    }
}

#[cfg(test)]
mod tests;
