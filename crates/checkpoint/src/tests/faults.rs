//! Commit when the store misbehaves: replies lost after success, requests lost, a rival in
//! between, a store that refuses. Its store that dies between two deletions serves `chains.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use futures::stream::{BoxStream, StreamExt};
use model::{CheckpointId, ErrorKind};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use storage::Opened;

use super::{JOB, manifest};
use crate::{CheckpointStorage, file};

/// What happens to the next put.
#[derive(Clone, Debug)]
enum Fault {
    /// It succeeds, the reply is lost.
    ReplyLost,
    /// It never arrives.
    RequestLost,
    /// Another writer's object lands first; then our request is lost too.
    Rival(Vec<u8>),
    /// As S3 answers 409 to a concurrent conditional write: neither of them need be there.
    Conflict,
    Denied,
}

/// An in-memory store with a script of faults.
#[derive(Debug)]
struct FaultyStore {
    inner: Arc<InMemory>,
    puts: Mutex<VecDeque<Fault>>,
    /// So many reads fail.
    reads: Mutex<u32>,
    /// So many deletions succeed, then the process is gone; `None`: it lives.
    deletes: Arc<Mutex<Option<u32>>>,
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

fn lost() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "connection reset".into() }
}

#[async_trait::async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        to: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let fault = self.puts.lock().unwrap().pop_front();
        match fault {
            None => self.inner.put_opts(to, payload, opts).await,
            Some(Fault::ReplyLost) => {
                self.inner.put_opts(to, payload, opts).await?;
                Err(lost())
            }
            Some(Fault::RequestLost) => Err(lost()),
            Some(Fault::Rival(bytes)) => {
                self.inner.put_opts(to, bytes.into(), opts).await?;
                Err(lost())
            }
            Some(Fault::Conflict) => Err(object_store::Error::AlreadyExists {
                path: to.to_string(),
                source: "409".into(),
            }),
            Some(Fault::Denied) => Err(object_store::Error::PermissionDenied {
                path: to.to_string(),
                source: "403".into(),
            }),
        }
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(to, opts).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        {
            let mut left = self.reads.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                return Err(lost());
            }
        }
        self.inner.get_opts(from, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, left) = (self.inner.clone(), self.deletes.clone());
        let one = move |location: Result<Path>| {
            let (inner, left) = (inner.clone(), left.clone());
            async move {
                if let Some(left) = left.lock().unwrap().as_mut() {
                    *left = left.checked_sub(1).ok_or_else(lost)?;
                }
                let location = location?;
                inner.delete(&location).await.map(|()| location)
            }
        };
        locations.then(one).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn storage(puts: impl IntoIterator<Item = Fault>, reads: u32) -> CheckpointStorage {
    over(FaultyStore {
        inner: Arc::default(),
        puts: Mutex::new(puts.into_iter().collect()),
        reads: Mutex::new(reads),
        deletes: Arc::default(),
    })
}

/// A storage that dies after as many deletions as the second part is set to.
pub(super) fn mortal() -> (CheckpointStorage, Arc<Mutex<Option<u32>>>) {
    let deletes = Arc::<Mutex<Option<u32>>>::default();
    let store = FaultyStore {
        inner: Arc::default(),
        puts: Mutex::default(),
        reads: Mutex::default(),
        deletes: deletes.clone(),
    };
    (over(store), deletes)
}

fn over(store: FaultyStore) -> CheckpointStorage {
    CheckpointStorage::over(Opened {
        store: Arc::new(store),
        prefix: Path::default(),
        local_root: None,
        uri: "faulty://".to_owned(),
    })
}

#[tokio::test]
async fn a_lost_reply_is_decided_by_reading_back() {
    let storage = storage([Fault::ReplyLost], 0);
    storage.commit(&manifest(1, "mine")).await.unwrap();
    assert_eq!(storage.load(JOB, CheckpointId(1)).await.unwrap().writer_token, "mine");
}

#[tokio::test]
async fn a_lost_request_is_repeated() {
    for fault in [Fault::RequestLost, Fault::Conflict] {
        let storage = storage([fault.clone(), fault], 0);
        storage.commit(&manifest(1, "mine")).await.unwrap();
        assert_eq!(storage.load(JOB, CheckpointId(1)).await.unwrap().writer_token, "mine");
    }
}

#[tokio::test]
async fn a_lost_reply_and_a_lost_read_are_survived_together() {
    let storage = storage([Fault::ReplyLost, Fault::RequestLost], 2);
    storage.commit(&manifest(1, "mine")).await.unwrap();
}

#[tokio::test]
async fn a_rival_that_was_faster_fences_us() {
    let rival = file::encode(&manifest(1, "theirs")).unwrap();
    let storage = storage([Fault::Rival(rival)], 1);
    let error = storage.commit(&manifest(1, "mine")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(storage.load(JOB, CheckpointId(1)).await.unwrap().writer_token, "theirs");
}

#[tokio::test]
async fn a_store_that_stays_away_leaves_it_open() {
    let storage = storage(vec![Fault::RequestLost; 10], 0);
    let error = storage.commit(&manifest(1, "mine")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External);
    assert!(error.chain().contains("commit of checkpoint 1"), "{}", error.chain());
}

#[tokio::test]
async fn no_permission_is_not_retried() {
    let storage = storage([Fault::Denied], 0);
    let error = storage.commit(&manifest(1, "mine")).await.unwrap_err();
    assert!(error.message().contains("check the credentials"), "{error}");
    storage.commit(&manifest(1, "mine")).await.expect("the first one left nothing behind");
}
