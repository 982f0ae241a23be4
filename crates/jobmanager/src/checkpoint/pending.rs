//! One checkpoint between its trigger and its end. Pure. Owned by `coordinator.rs`.
//!
//! ```text
//! Enumerators -> Acks -> Completing -> Committing -> (done)
//!      |           |
//!      +-----------+--> aborted
//! ```
//! From Completing on nothing may discard it: its manifest may already be there.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use model::CheckpointId;
use model::deployment::SubtaskSnapshot;

use crate::checkpoint::completed::Objects;
use crate::checkpoint::coordinator::Token;
use crate::checkpoint::history::CheckpointKind;
use crate::execution_graph::TaskKey;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The enumerators are being asked; no task knows of the checkpoint yet.
    Enumerators,
    /// Barriers are on their way.
    Acks,
    /// The manifest is being written.
    Completing,
    /// The manifest is there; the sinks' committables are being made visible.
    Committing,
}

#[derive(Debug)]
pub struct Pending {
    pub id: CheckpointId,
    pub kind: CheckpointKind,
    pub phase: Phase,
    pub triggered_at_ms: i64,
    pub deadline_ms: i64,
    /// Who asked for it.
    pub tokens: Vec<Token>,
    /// By source uid.
    pub enumerators: BTreeMap<String, Bytes>,
    pub snapshots: BTreeMap<TaskKey, SubtaskSnapshot>,
    /// Tasks whose acknowledgement is missing.
    pub missing: BTreeSet<TaskKey>,
    /// Tasks that had finished when it was triggered.
    pub finished: BTreeSet<TaskKey>,
    /// The state objects that its manifest names, from Completing on.
    pub objects: Objects,
}

impl Pending {
    /// Whether it may still be thrown away.
    pub fn may_abort(&self) -> bool {
        self.phase <= Phase::Acks
    }

    /// Takes one acknowledgement; false when it is not waited for.
    pub fn acknowledge(&mut self, task: TaskKey, snapshot: SubtaskSnapshot) -> bool {
        if !self.may_abort() || !self.missing.remove(&task) {
            return false;
        }
        self.snapshots.insert(task, snapshot);
        true
    }

    /// Whether the manifest can be written.
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Acks && self.missing.is_empty()
    }
}
