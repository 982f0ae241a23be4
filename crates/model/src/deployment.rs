//! What the job manager hands to a task manager to run one subtask, and what comes back
//! from it: state handles and acknowledgements. In JSON on the wire, like the JobGraph.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::config::StateConfig;
use crate::job_graph::{JobVertex, Partitioning, bytes_as_base64};
use crate::key_group::KeyGroupRange;
use crate::source::Split;
use crate::{AllocationId, CheckpointId, ExecutionAttemptId, LeaderEpoch, SubtaskIndex, VertexId};

/// Everything a TaskManager needs to run one subtask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskDeployment {
    pub leader_epoch: LeaderEpoch,
    pub allocation: AllocationId,
    pub attempt: ExecutionAttemptId,
    pub job_name: String,
    pub vertex: JobVertex,
    pub max_parallelism: u32,
    pub key_groups: KeyGroupRange,
    pub state: StateConfig,
    /// Where checkpoints of this job go: an object store URI with prefix.
    pub checkpoint_storage: String,
    /// One per edge into the vertex.
    pub inputs: Vec<InputDeployment>,
    /// One per edge out of the vertex.
    pub outputs: Vec<OutputDeployment>,
    /// Present when the job starts from a checkpoint.
    pub restore: Option<TaskRestore>,
}

/// One edge into a task: which producers send to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputDeployment {
    /// Index of the edge in the JobGraph.
    pub edge: u32,
    pub port: usize,
    /// Producing subtasks that have a channel to this one, ascending.
    pub producers: Vec<SubtaskIndex>,
}

/// One edge out of a task: which consumers it sends to and where they run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputDeployment {
    pub edge: u32,
    /// Output of the chain: 0 main, n side output n - 1.
    pub output: usize,
    pub partitioning: Partitioning,
    pub to: VertexId,
    /// Parallelism of the consuming vertex (targets of hash partitioning).
    pub to_parallelism: u32,
    /// Consuming subtasks that have a channel from this one, ascending.
    pub consumers: Vec<Consumer>,
}

/// Where a consuming subtask runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumer {
    pub subtask: SubtaskIndex,
    /// `host:port` of its TaskManager's data plane; the TaskManager's own address means local.
    pub data_addr: String,
}

/// A channel: one producing subtask to one consuming subtask over one edge, in one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChannelId {
    pub job: crate::JobId,
    pub attempt: crate::Attempt,
    pub edge: u32,
    pub from: SubtaskIndex,
    pub to: SubtaskIndex,
}

/// State to open with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskRestore {
    pub checkpoint: CheckpointId,
    /// By operator uid: every handle whose key groups meet this subtask's range, those of one
    /// old subtask behind each other in the order of its snapshot.
    pub operators: BTreeMap<String, Vec<StateHandle>>,
}

/// Where a piece of operator state lies. The rows carry their Arrow schema themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateHandle {
    pub location: StateLocation,
    /// Bytes, checked on restore.
    pub length: u64,
    /// CRC-32C of the bytes, checked on restore.
    pub crc32c: u32,
    pub key_groups: KeyGroupRange,
    /// A reader filters rows by key group.
    pub format: u32,
}

/// The only state format so far: one file of a chain, a sequence of tables as Arrow IPC streams
/// (`state`, `snapshot_file.rs`).
pub const STATE_FORMAT: u32 = 4;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StateLocation {
    /// In the manifest itself: small state costs no object.
    Inline {
        #[serde(with = "bytes_as_base64")]
        bytes: Bytes,
    },
    /// Path below the job's checkpoint storage.
    Object { path: String },
}

/// What one subtask puts into a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubtaskSnapshot {
    /// By operator uid: the files of its state, a base and what changed since, in the order in
    /// which they are to be read. Some may have been written for an earlier checkpoint of the
    /// same attempt.
    pub operators: BTreeMap<String, Vec<StateHandle>>,
    /// The reader's splits, when the chain has a source.
    pub splits: Vec<Split>,
    /// What its sink prepared.
    pub committables: Vec<CommittableBytes>,
    pub timings: SnapshotTimings,
    /// The task had ended before the barrier: it holds no state and needs no restore.
    pub finished: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommittableBytes(#[serde(with = "bytes_as_base64")] pub Bytes);

/// Where the time of a subtask's checkpoint went, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotTimings {
    /// Trigger at the coordinator to first barrier here.
    pub start_delay_us: u64,
    /// First to last barrier.
    pub alignment_us: u64,
    /// Freezing state, the task stands still.
    pub sync_us: u64,
    /// Encoding and uploading beside the task.
    pub async_us: u64,
    /// All state that the snapshot names, inline and in objects.
    pub state_bytes: u64,
    /// Of it, what was written for this checkpoint; the rest lies in objects of earlier ones.
    pub written_bytes: u64,
}
