//! Publishes staged files after their checkpoint is complete: a rename on a local disk, a
//! copy and a delete on S3. Runs in the job manager. Committing twice is harmless.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{TryStreamExt, stream};
use model::connector::SinkSpec;
use model::key_group::hash_bytes;
use model::sink::{Committable, Committer};
use model::{Error, JobId, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};

use super::rolling::StagedFile;

/// Files moved at once.
const CONCURRENCY: usize = 8;

/// Names one sink of a job by what it is, since the committer is not told its uid.
pub(super) fn identity(spec: &SinkSpec) -> String {
    let columns: Vec<_> =
        spec.schema.fields().iter().map(|f| format!("{}:{}", f.name(), f.data_type())).collect();
    let text = format!("{}\n{}", spec.options, columns.join(","));
    format!("{:016x}", hash_bytes(0, text.as_bytes()))
}

/// The staging directory of one sink in one job, below the sink's path. The leading dot
/// hides it from sources.
pub(super) fn staging(job: JobId, identity: &str) -> String {
    format!(".staging/{job}/{identity}")
}

/// Enough of a job's id to tell jobs that write into one directory apart.
pub(super) fn short_job(job: JobId) -> String {
    job.to_string()[..12].to_owned()
}

/// `text` as part of a file name. A changed text gets a hash, so that it stays unique.
pub(super) fn file_safe(text: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !text.is_empty() && text.chars().all(is_safe) && !text.starts_with('.') {
        return text.to_owned();
    }
    let kept: String = text.chars().map(|c| if is_safe(c) && c != '.' { c } else { '_' }).collect();
    format!("{kept}-{:08x}", hash_bytes(0, text.as_bytes()) as u32)
}

/// A committable: what to move where. Complete in itself, so that it is valid for as long
/// as the manifest that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StagedCommit {
    /// URI of the sink's directory.
    base: String,
    staged: String,
    #[serde(rename = "final")]
    place: String,
    length: u64,
    rows: u64,
    /// Written at the end of a task's input.
    is_last: bool,
}

impl StagedCommit {
    pub(super) fn new(base: &str, file: &StagedFile, place: &Path, is_last: bool) -> Self {
        Self {
            base: base.to_owned(),
            staged: file.path.to_string(),
            place: place.to_string(),
            length: file.length,
            rows: file.rows,
            is_last,
        }
    }

    pub(super) fn encode(&self) -> Result<Committable> {
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::internal("cannot encode a committable").caused_by(e))?;
        Ok(Bytes::from(bytes))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|e| {
            Error::internal("a committable of the filesystem sink is not readable").caused_by(e)
        })
    }

    async fn publish(self) -> Result<()> {
        let opened = storage::open(&self.base)?;
        let store = opened.store.as_ref();
        let staged = parse(&self.staged)?;
        let place = parse(&self.place)?;
        let (there, waiting) =
            futures::try_join!(length_of(store, &place), length_of(store, &staged))?;
        match (there, waiting) {
            (Some(length), _) if length != self.length => Err(Error::external(format!(
                "{}/{} exists with {length} bytes where {} were to be published; it was not \
                 overwritten, move it away",
                self.base, self.place, self.length
            ))),
            // Published before; what is left of the copy goes.
            (Some(_), Some(_)) => delete(store, &staged).await,
            (Some(_), None) => Ok(()),
            (None, Some(length)) if length == self.length => {
                let moved = store.rename(&staged, &place).await;
                moved.map_err(|e| storage::store_error(format!("publishing {}", self.place), e))
            }
            (None, Some(length)) => Err(Error::internal(format!(
                "the staged file {}/{} has {length} bytes instead of {}",
                self.base, self.staged, self.length
            ))),
            (None, None) => Err(Error::external(format!(
                "{} rows cannot be published: neither the staged file {} nor {} is in {}; \
                 restore the file, or start without this checkpoint",
                self.rows, self.staged, self.place, self.base
            ))),
        }
    }
}

fn parse(path: &str) -> Result<Path> {
    Path::parse(path).map_err(|e| Error::internal(format!("`{path}` is not a path")).caused_by(e))
}

async fn length_of(store: &dyn ObjectStore, path: &Path) -> Result<Option<u64>> {
    match store.head(path).await {
        Ok(meta) => Ok(Some(meta.size)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(storage::store_error(format!("looking up {path}"), error)),
    }
}

async fn delete(store: &dyn ObjectStore, path: &Path) -> Result<()> {
    match store.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(storage::store_error(format!("deleting {path}"), error)),
    }
}

/// On a local disk, removes the directories above `staged` for as long as they are empty. A
/// writer that stages at the same moment makes them again. Best effort.
fn remove_empty(base: &str, staged: &str) -> Result<()> {
    let Some(root) = storage::open(base)?.local_root else { return Ok(()) };
    let file = root.join(staged);
    for directory in file.ancestors().skip(1).take_while(|d| *d != root) {
        if std::fs::remove_dir(directory).is_err() {
            break;
        }
    }
    Ok(())
}

/// On a local disk, removes what a killed process left of files it was writing, which no
/// listing of the store shows (`name#1`).
fn remove_unfinished(directory: &std::path::Path, kept: &dyn Fn(&std::path::Path) -> bool) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_unfinished(&path, kept);
        } else if !kept(&path)
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "a staged file was left behind");
        }
    }
}

pub(super) struct FilesystemCommitter {
    path: String,
    identity: String,
}

impl FilesystemCommitter {
    pub(super) fn new(path: &str, identity: &str) -> Self {
        Self { path: path.to_owned(), identity: identity.to_owned() }
    }
}

impl Committer for FilesystemCommitter {
    fn commit(&self, committables: Vec<Committable>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let commits: Result<Vec<_>> =
                committables.iter().map(|c| StagedCommit::decode(c)).collect();
            let commits = commits?;
            stream::iter(commits.clone().into_iter().map(|c| Ok(c.publish())))
                .try_buffer_unordered(CONCURRENCY)
                .try_collect::<()>()
                .await?;
            // The last ones of a task: leave no empty directories behind.
            for commit in commits.iter().filter(|c| c.is_last) {
                remove_empty(&commit.base, &commit.staged)?;
            }
            Ok(())
        })
    }

    fn clean_up(&self, job: JobId, keep: Vec<Committable>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let mut kept = BTreeSet::new();
            for committable in &keep {
                kept.insert(StagedCommit::decode(committable)?.staged);
            }
            let opened = storage::open(&self.path)?;
            let directory = opened.path(&staging(job, &self.identity))?;
            let store = opened.store.as_ref();
            let listed: std::result::Result<Vec<_>, _> =
                store.list(Some(&directory)).try_collect().await;
            let listed = match listed {
                Ok(listed) => listed,
                Err(object_store::Error::NotFound { .. }) => return Ok(()),
                Err(error) => {
                    return Err(storage::store_error(format!("listing {directory}"), error));
                }
            };
            for meta in listed {
                if !kept.contains(meta.location.as_ref()) {
                    delete(store, &meta.location).await?;
                }
            }
            if let Some(root) = opened.local_root {
                let kept: BTreeSet<_> = kept.iter().map(|k| root.join(k)).collect();
                remove_unfinished(&root.join(directory.as_ref()), &|p| kept.contains(p));
            }
            Ok(())
        })
    }
}
