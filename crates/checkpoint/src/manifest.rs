//! The manifest: one JSON document that says all there is to know of a checkpoint. Built by
//! the job manager's CheckpointCoordinator, read by restore, `verify` and people.

use std::collections::BTreeMap;

use model::deployment::{CommittableBytes, StateHandle, StateLocation, SubtaskSnapshot};
use model::job_graph::JobGraph;
use model::key_group::KEY_HASH_VERSION;
use model::{Attempt, CheckpointId, Error, JobId, LeaderEpoch, Result, VertexId};
use serde::{Deserialize, Serialize};

/// Version of the JSON form. Raised when an older reader would misread it; unknown fields
/// are ignored, so additions do not raise it.
pub const MANIFEST_VERSION: u32 = 1;

/// Why a checkpoint was taken, hence who may delete it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointKind {
    /// Taken by the coordinator, deleted by retention.
    #[default]
    Checkpoint,
    /// Asked for by a user, who owns it: retention leaves it alone.
    Savepoint,
    /// Written when all tasks have finished; carries the last committables.
    Final,
}

/// A completed checkpoint. Times in milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub version: u32,
    pub job: JobId,
    pub job_name: String,
    pub checkpoint: CheckpointId,
    pub attempt: Attempt,
    pub leader_epoch: LeaderEpoch,
    /// Drawn at random by the writer for this write: tells its own manifest from a rival's.
    pub writer_token: String,
    pub key_hash_version: u32,
    pub max_parallelism: u32,
    pub triggered_at_ms: i64,
    pub completed_at_ms: i64,
    #[serde(default)]
    pub kind: CheckpointKind,
    pub vertices: BTreeMap<VertexId, VertexSnapshot>,
    /// By uid of the source operator: what `SplitEnumerator::snapshot` gave.
    pub enumerators: BTreeMap<String, CommittableBytes>,
    /// What ran, so that a checkpoint explains itself. Not used by restore, which
    /// takes the graph that was submitted.
    #[serde(default)]
    pub job_graph: Option<JobGraph>,
}

/// One vertex of the job that was checkpointed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VertexSnapshot {
    pub name: String,
    pub parallelism: u32,
    /// The source at the head of the chain: whose splits `subtasks` hold.
    #[serde(default)]
    pub source_uid: Option<String>,
    /// The sink at the tail of the chain: whose committables `subtasks` hold.
    #[serde(default)]
    pub sink_uid: Option<String>,
    /// By subtask index.
    pub subtasks: Vec<SubtaskSnapshot>,
}

impl Manifest {
    /// Every state handle, with the operator uid it belongs to.
    pub fn handles(&self) -> impl Iterator<Item = (&str, &StateHandle)> {
        self.vertices.values().flat_map(|v| &v.subtasks).flat_map(|s| {
            s.operators.iter().flat_map(|(uid, hs)| hs.iter().map(move |h| (uid.as_str(), h)))
        })
    }

    /// Bytes of state, inline and in objects.
    pub fn state_bytes(&self) -> u64 {
        self.handles().map(|(_, handle)| handle.length).sum()
    }

    /// Of them, what was written for this checkpoint; the rest lies in objects of earlier ones.
    pub fn written_bytes(&self) -> u64 {
        let subtasks = self.vertices.values().flat_map(|v| &v.subtasks);
        subtasks.map(|s| s.timings.written_bytes).sum()
    }

    /// Whether this build can read it. Errors are of kind User and say what to use instead.
    pub(crate) fn check_version(&self) -> Result<()> {
        if self.version != MANIFEST_VERSION {
            return Err(Error::user(format!(
                "checkpoint {} of job {} has manifest version {}, this build reads version \
                 {MANIFEST_VERSION}; restore it with the release that wrote it",
                self.checkpoint, self.job, self.version
            )));
        }
        if self.key_hash_version != KEY_HASH_VERSION {
            return Err(Error::user(format!(
                "checkpoint {} of job {} places keys by hash version {}, this build by \
                 {KEY_HASH_VERSION}; restore it with the release that wrote it",
                self.checkpoint, self.job, self.key_hash_version
            )));
        }
        Ok(())
    }

    /// Makes every object path a full URI below `root`, so that tasks of a job with another
    /// storage find them.
    pub(crate) fn absolute_locations(&mut self, root: &str) {
        let subtasks = self.vertices.values_mut().flat_map(|v| &mut v.subtasks);
        for handle in subtasks.flat_map(|s| s.operators.values_mut()).flatten() {
            if let StateLocation::Object { path } = &mut handle.location
                && !path.contains("://")
            {
                *path = format!("{root}/{path}");
            }
        }
    }
}
