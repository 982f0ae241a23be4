//! What became of the last checkpoints, for people. Pure. Written by `coordinator.rs`,
//! read by `details.rs`.

use std::collections::VecDeque;

use model::deployment::SnapshotTimings;
use model::{Attempt, CheckpointId, SubtaskIndex, VertexId};
use serde::Serialize;

/// Checkpoints remembered per job.
pub const MAX_HISTORY: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckpointStatus {
    InProgress,
    Completed,
    /// Aborted: declined, timed out, or overtaken by a failure of the job.
    Failed,
}

/// Why a checkpoint was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckpointKind {
    Periodic,
    Manual,
    /// At the end of a bounded job.
    Final,
}

/// One checkpoint.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointRecord {
    pub id: CheckpointId,
    pub kind: CheckpointKind,
    pub status: CheckpointStatus,
    pub attempt: Attempt,
    pub triggered_at_ms: i64,
    /// Manifest written, or aborted.
    pub ended_at_ms: Option<i64>,
    /// When what its sinks had staged was made visible.
    pub committed_at_ms: Option<i64>,
    pub duration_ms: Option<i64>,
    /// All state that it names.
    pub state_bytes: u64,
    /// Of it, what was written for it; the rest lies in objects of earlier ones.
    pub written_bytes: u64,
    pub acknowledged: usize,
    pub total: usize,
    /// Why it failed.
    pub cause: Option<String>,
    /// Where it lies; `None` too when it was deleted at the end of the job.
    pub path: Option<String>,
    pub subtasks: Vec<SubtaskRecord>,
}

/// One subtask's part in it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubtaskRecord {
    pub vertex: VertexId,
    pub subtask: SubtaskIndex,
    pub acknowledged_at_ms: i64,
    pub finished: bool,
    pub timings: SnapshotTimings,
}

/// The last [`MAX_HISTORY`] checkpoints and counts of all.
#[derive(Debug, Default)]
pub struct CheckpointHistory {
    records: VecDeque<CheckpointRecord>,
    pub triggered: u64,
    pub completed: u64,
    pub failed: u64,
}

impl CheckpointHistory {
    pub fn begin(&mut self, record: CheckpointRecord) {
        if self.records.len() == MAX_HISTORY {
            self.records.pop_front();
        }
        self.triggered += 1;
        self.records.push_back(record);
    }

    /// The record of `id`, when it is still kept.
    pub fn get_mut(&mut self, id: CheckpointId) -> Option<&mut CheckpointRecord> {
        self.records.iter_mut().rev().find(|r| r.id == id)
    }

    /// Oldest first.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &CheckpointRecord> {
        self.records.iter()
    }

    /// Every checkpoint is deleted: there is no place to restore from.
    pub fn discarded(&mut self) {
        for record in &mut self.records {
            record.path = None;
        }
    }

    pub fn end(&mut self, id: CheckpointId, now_ms: i64, outcome: Result<String, String>) {
        match &outcome {
            Ok(_) => self.completed += 1,
            Err(_) => self.failed += 1,
        }
        let Some(record) = self.get_mut(id) else { return };
        record.ended_at_ms = Some(now_ms);
        record.duration_ms = Some(now_ms - record.triggered_at_ms);
        match outcome {
            Ok(path) => {
                record.status = CheckpointStatus::Completed;
                record.path = Some(path);
            }
            Err(cause) => {
                record.status = CheckpointStatus::Failed;
                record.cause = Some(cause);
            }
        }
    }
}
