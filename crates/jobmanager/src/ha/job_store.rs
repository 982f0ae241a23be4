//! Where submitted jobs are written before the submission is answered. Called by
//! `dispatcher.rs`.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use model::job_graph::JobGraph;
use model::{JobId, Result};

/// A job as submitted.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredJob {
    pub id: JobId,
    pub graph: JobGraph,
    pub submitted_at_ms: i64,
    /// URI of the checkpoint it was submitted with.
    pub from: Option<String>,
}

/// Jobs that are not over. Every call is idempotent.
#[async_trait]
pub trait JobStore: Send + Sync {
    async fn put(&self, job: &StoredJob) -> Result<()>;
    /// The job is over, for good.
    async fn remove(&self, id: JobId) -> Result<()>;
    /// Every job that is not over, to be taken up by a new job manager.
    async fn load(&self) -> Result<Vec<StoredJob>>;
}

/// Forgets with the process: the job manager's loss loses its jobs (their checkpoints stay).
#[derive(Debug, Default)]
pub struct InMemoryJobStore {
    jobs: Mutex<BTreeMap<JobId, StoredJob>>,
}

impl InMemoryJobStore {
    fn jobs(&self) -> std::sync::MutexGuard<'_, BTreeMap<JobId, StoredJob>> {
        self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl JobStore for InMemoryJobStore {
    async fn put(&self, job: &StoredJob) -> Result<()> {
        self.jobs().insert(job.id, job.clone());
        Ok(())
    }
    async fn remove(&self, id: JobId) -> Result<()> {
        self.jobs().remove(&id);
        Ok(())
    }
    async fn load(&self) -> Result<Vec<StoredJob>> {
        Ok(self.jobs().values().cloned().collect())
    }
}
