//! The checkpoint storage as tasks see it, one opened storage per URI. Called by
//! `task_executor.rs`; implements `runtime::task::SnapshotStore` over `checkpoint`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use checkpoint::CheckpointStorage;
use futures::stream::BoxStream;
use model::deployment::StateHandle;
use model::{CheckpointId, JobId, Result};
use runtime::task::{SnapshotStore, StoredObject};
use state::Compression;

/// Opened storages by URI. A process sees few of them.
#[derive(Default)]
pub(crate) struct Storages(Mutex<BTreeMap<String, CheckpointStorage>>);

impl Storages {
    pub(crate) fn for_job(&self, uri: &str, job: JobId) -> Result<Arc<dyn SnapshotStore>> {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let storage = match opened.get(uri) {
            Some(storage) => storage.clone(),
            None => {
                let storage = CheckpointStorage::open(uri)?;
                opened.insert(uri.to_owned(), storage.clone());
                storage
            }
        };
        Ok(Arc::new(JobSnapshots { storage, job }))
    }
}

struct JobSnapshots {
    storage: CheckpointStorage,
    /// Named in errors of a restore.
    job: JobId,
}

#[async_trait::async_trait]
impl SnapshotStore for JobSnapshots {
    async fn put(
        &self,
        job: JobId,
        checkpoint: CheckpointId,
        name: String,
        parts: BoxStream<'static, Result<Bytes>>,
    ) -> Result<StoredObject> {
        let (path, written) = self.storage.put_object(job, checkpoint, &name, parts).await?;
        Ok(StoredObject { path, length: written.length, crc32c: written.crc32c })
    }

    async fn get(&self, handle: &StateHandle) -> Result<Bytes> {
        self.storage.read_state(self.job, handle).await
    }

    fn compression(&self) -> Compression {
        if self.storage.is_local() { Compression::None } else { Compression::Lz4 }
    }
}
