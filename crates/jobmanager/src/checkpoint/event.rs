//! What the CheckpointCoordinator hears and says. Made and carried out by `job_state.rs`
//! and `job_master`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use model::deployment::SubtaskSnapshot;
use model::{Attempt, CheckpointId, Error};

use crate::checkpoint::completed::Objects;
use crate::checkpoint::history::CheckpointKind;
use crate::execution_graph::TaskKey;

/// Names a request for a checkpoint whose outcome somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What happened. Every event of a task names the attempt.
#[derive(Debug)]
pub enum CheckpointEvent {
    /// An attempt is being deployed: these are its tasks; true for those of sources.
    Deployed {
        attempt: Attempt,
        tasks: BTreeMap<TaskKey, bool>,
    },
    /// All its tasks run (or have finished): checkpoints may start.
    Running {
        attempt: Attempt,
    },
    /// The attempt is over before its end: it failed or is canceled.
    Stopped {
        cause: String,
    },
    Tick,
    /// Somebody asks for a checkpoint now.
    Manual {
        token: Token,
    },
    EnumeratorsReady {
        id: CheckpointId,
        enumerators: BTreeMap<String, Bytes>,
    },
    /// An enumerator or a task could not be asked, or a task declined.
    Declined {
        attempt: Attempt,
        id: CheckpointId,
        error: Error,
    },
    Acknowledged {
        attempt: Attempt,
        id: CheckpointId,
        task: TaskKey,
        snapshot: SubtaskSnapshot,
    },
    /// The task reached its end, with what its sink had left.
    TaskFinished {
        attempt: Attempt,
        task: TaskKey,
        snapshot: SubtaskSnapshot,
    },
    /// Every task has finished.
    Finalize,
    /// `Ok`: where the checkpoint lies.
    ManifestWritten {
        id: CheckpointId,
        outcome: Result<String, Error>,
    },
    Committed {
        id: CheckpointId,
        outcome: Result<(), Error>,
    },
    /// The last `Delete` or `CleanOrphans` has ended; `done`: nothing of it is left.
    Deleted {
        done: bool,
    },
}

/// What a manifest is made of, besides what the job master knows itself.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestParts {
    pub id: CheckpointId,
    pub kind: CheckpointKind,
    pub attempt: Attempt,
    pub triggered_at_ms: i64,
    pub snapshots: BTreeMap<TaskKey, SubtaskSnapshot>,
    /// By source uid.
    pub enumerators: BTreeMap<String, Bytes>,
}

/// What is to be done.
#[derive(Debug)]
pub enum CheckpointAction {
    SnapshotEnumerators {
        id: CheckpointId,
    },
    TriggerTasks {
        id: CheckpointId,
        triggered_at_ms: i64,
        tasks: Vec<TaskKey>,
    },
    /// Tell the tasks; let the source coordinators hand out splits again.
    Abort {
        id: CheckpointId,
    },
    WriteManifest(Box<ManifestParts>),
    Commit {
        id: CheckpointId,
    },
    NotifyComplete {
        id: CheckpointId,
    },
    /// Delete the manifests of `ids`, then `objects`, which no other checkpoint names. There
    /// is one deletion at a time: the next is not asked for before [`CheckpointEvent::Deleted`].
    Delete {
        ids: Vec<CheckpointId>,
        objects: Objects,
    },
    /// Delete every checkpoint up to `up_to`, the newest complete one, that is not in `keep`,
    /// and every object written for one up to it that no manifest of `keep` names. Otherwise
    /// as `Delete`.
    CleanOrphans {
        keep: BTreeSet<CheckpointId>,
        up_to: CheckpointId,
    },
    /// Too many failed, or one whose outcome must be settled by a restart.
    FailExecution {
        error: Error,
    },
    Answer {
        tokens: Vec<Token>,
        outcome: Result<CheckpointId, Error>,
    },
    /// The final checkpoint is committed: the job has finished.
    Finalized,
}
