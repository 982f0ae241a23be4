//! What happens to a checkpoint beside the task: encode frozen state, put it into the
//! checkpoint storage, wait for the sink's committables, acknowledge. And the way back:
//! fetching state on restore. Called by `task.rs` and `task_loop.rs`.

use async_trait::async_trait;
use bytes::Bytes;
use model::deployment::StateHandle;
use model::{CheckpointId, JobId, Result};

/// Where a state object came to lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Path below the job's checkpoint storage, for `StateLocation::Object`.
    pub path: String,
    pub length: u64,
    pub crc32c: u32,
}

/// The checkpoint storage as a task sees it. Implemented by `taskmanager` over `checkpoint`.
#[async_trait]
pub trait SnapshotStore: Send + Sync {
    /// Stores `bytes` as the object `name` of the checkpoint. Overwrites: an upload that
    /// was cut off may be repeated.
    async fn put(
        &self,
        job: JobId,
        checkpoint: CheckpointId,
        name: String,
        bytes: Bytes,
    ) -> Result<StoredObject>;
    /// The bytes of a handle whose location is an object, length and checksum verified.
    async fn get(&self, handle: &StateHandle) -> Result<Bytes>;
}
