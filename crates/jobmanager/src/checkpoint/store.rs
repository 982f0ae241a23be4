//! Where manifests go, behind a trait, so that a job's life can be run without an object
//! store. The real one is [`CheckpointStorage`]. Called by `job_master` only.

use std::collections::BTreeSet;

use ::checkpoint::{CheckpointStorage, Manifest};
use async_trait::async_trait;
use model::{CheckpointId, JobId, Result};

/// Manifests of all jobs.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// URI of the root: what task managers are told.
    fn uri(&self) -> String;
    /// Makes the checkpoint complete; returns where it lies. External: nobody knows
    /// whether it is complete until [`Self::find`] has been answered.
    async fn commit(&self, manifest: &Manifest) -> Result<String>;
    /// `None`: the checkpoint is not complete.
    async fn find(&self, job: JobId, id: CheckpointId) -> Result<Option<Manifest>>;
    /// A checkpoint named by a user, perhaps in another storage.
    async fn load_uri(&self, uri: &str) -> Result<Manifest>;
    /// Removes the manifests of `ids`, then `objects`, which nothing else may name.
    /// Idempotent.
    async fn delete(
        &self,
        job: JobId,
        ids: &[CheckpointId],
        objects: &BTreeSet<String>,
    ) -> Result<()>;
    /// Removes every checkpoint of the job up to `up_to` that is not in `keep`, complete or not,
    /// and every state object written for one up to it that no manifest of `keep` names.
    /// Idempotent.
    async fn clean_orphans(
        &self,
        job: JobId,
        keep: &BTreeSet<CheckpointId>,
        up_to: CheckpointId,
    ) -> Result<()>;
}

#[async_trait]
impl CheckpointStore for CheckpointStorage {
    fn uri(&self) -> String {
        Self::uri(self).to_owned()
    }

    async fn commit(&self, manifest: &Manifest) -> Result<String> {
        Ok(Self::commit(self, manifest).await?.uri)
    }

    async fn find(&self, job: JobId, id: CheckpointId) -> Result<Option<Manifest>> {
        Self::find(self, job, id).await
    }

    async fn load_uri(&self, uri: &str) -> Result<Manifest> {
        Ok(Self::load_uri(uri).await?.1)
    }

    async fn delete(
        &self,
        job: JobId,
        ids: &[CheckpointId],
        objects: &BTreeSet<String>,
    ) -> Result<()> {
        Self::delete(self, job, ids, objects).await
    }

    async fn clean_orphans(
        &self,
        job: JobId,
        keep: &BTreeSet<CheckpointId>,
        up_to: CheckpointId,
    ) -> Result<()> {
        Self::clean_orphans(self, job, keep, up_to).await.map(|_| ())
    }
}
