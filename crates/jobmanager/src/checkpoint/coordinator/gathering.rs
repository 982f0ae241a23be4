//! What belongs to a checkpoint: from its trigger over the acknowledgements to the parts of its
//! manifest. Part of `coordinator.rs`, which calls it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use model::deployment::{CommittableBytes, StateLocation, SubtaskSnapshot};
use model::{CheckpointId, ErrorKind};

use super::{Actions, CheckpointAction, CheckpointCoordinator, ManifestParts, Token};
use crate::checkpoint::completed::Objects;
use crate::checkpoint::history::{
    CheckpointKind, CheckpointRecord, CheckpointStatus, SubtaskRecord,
};
use crate::checkpoint::pending::{Pending, Phase};
use crate::execution_graph::TaskKey;

impl CheckpointCoordinator {
    pub(super) fn begin(
        &mut self,
        now_ms: i64,
        kind: CheckpointKind,
        tokens: Vec<Token>,
        out: &mut Actions,
    ) {
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
            objects: Objects::new(),
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
            written_bytes: 0,
            acknowledged: pending.finished.len(),
            total: current.tasks.len(),
            cause: None,
            path: None,
            subtasks: Vec::new(),
        });
        self.pending = Some(pending);
        out.push(CheckpointAction::SnapshotEnumerators { id });
    }

    pub(super) fn enumerators_ready(
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

    pub(super) fn acknowledged(
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
            kept.written_bytes += record.timings.written_bytes;
            kept.subtasks.push(record);
        }
        self.complete_if_ready(now_ms, out);
    }

    /// Keeps the committables of a checkpoint that will not complete for the next one.
    pub(super) fn carry(
        &mut self,
        id: CheckpointId,
        task: TaskKey,
        committables: Vec<CommittableBytes>,
    ) {
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
    pub(super) fn task_finished(
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

    pub(super) fn begin_final(&mut self, now_ms: i64, out: &mut Actions) {
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

    pub(super) fn complete_if_ready(&mut self, now_ms: i64, out: &mut Actions) {
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
        pending.objects = snapshots.values().flat_map(objects_of).collect();
        out.push(CheckpointAction::WriteManifest(Box::new(ManifestParts {
            id: pending.id,
            kind: pending.kind,
            attempt: current.attempt,
            triggered_at_ms: pending.triggered_at_ms,
            snapshots,
            enumerators: std::mem::take(&mut pending.enumerators),
        })));
    }
}

/// The state objects that a snapshot names.
fn objects_of(snapshot: &SubtaskSnapshot) -> impl Iterator<Item = String> {
    snapshot.operators.values().flatten().filter_map(|handle| match &handle.location {
        StateLocation::Inline { .. } => None,
        StateLocation::Object { path } => Some(path.clone()),
    })
}
