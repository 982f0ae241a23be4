//! Checkpoints in an object store. Used by task managers (state objects), by the job
//! manager (manifests) and by `streamctl`. Only `list` uses LIST; safety rests on
//! create-if-absent and read-back alone. How things are named is in `layout.rs`, how they
//! are deleted in `deletion.rs`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::deployment::{StateHandle, StateLocation};
use model::{CheckpointId, Error, JobId, Result};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use storage::{Opened, Parts, Written, get_all, put_parts, store_error};

use crate::file;
use crate::layout::{MANIFEST_FILE, checkpoint_of, folder, shared_object};
use crate::manifest::Manifest;

/// How often an ambiguous commit is decided anew before it is given up.
const COMMIT_TRIES: u32 = 4;
const COMMIT_PAUSE: Duration = Duration::from_millis(50);
/// No new try is begun after this long: each one waits for the store's own retries.
const COMMIT_PATIENCE: Duration = Duration::from_secs(15);

/// The manifest of this writer is in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// URI of the checkpoint's folder, for `submit --from`.
    pub uri: String,
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
}

/// A place for checkpoints of any number of jobs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CheckpointStorage {
    opened: Arc<Opened>,
}

impl CheckpointStorage {
    /// Opens, and for local directories creates, the storage root. Does no other I/O.
    pub fn open(uri: &str) -> Result<Self> {
        Ok(Self::over(storage::open(uri)?))
    }

    /// Over a store opened elsewhere (fault injection in tests).
    pub fn over(opened: Opened) -> Self {
        Self { opened: Arc::new(opened) }
    }

    /// URI of the root, without credentials.
    pub fn uri(&self) -> &str {
        &self.opened.uri
    }

    /// The objects are files of a directory of this machine.
    pub fn is_local(&self) -> bool {
        self.opened.local_root.is_some()
    }

    /// URI of a checkpoint's folder.
    pub fn checkpoint_uri(&self, job: JobId, checkpoint: CheckpointId) -> String {
        format!("{}/{}", self.opened.uri, folder(job, checkpoint))
    }

    /// Writes one state object for `checkpoint` while it is made; `name` is its file name and
    /// unique per attempt (`<vertex>-<subtask>-<attempt>.state`). Answers its path below the
    /// root, which later checkpoints may name too: `<job>/shared/<checkpoint>-<name>`.
    /// Overwrites: an upload that was cut off may be repeated.
    pub async fn put_object(
        &self,
        job: JobId,
        checkpoint: CheckpointId,
        name: &str,
        parts: Parts,
    ) -> Result<(String, Written)> {
        let path = shared_object(job, checkpoint, name);
        let written = put_parts(&*self.opened.store, &self.opened.path(&path)?, parts).await?;
        Ok((path, written))
    }

    /// Reads one piece of state and checks its length and checksum. `job` is the job that
    /// restores, named in errors; the state may be another job's and, when its
    /// location is a full URI, may lie in another storage.
    pub async fn read_state(&self, job: JobId, handle: &StateHandle) -> Result<Bytes> {
        let (bytes, place) = match &handle.location {
            StateLocation::Inline { bytes } => (bytes.clone(), "inline state"),
            StateLocation::Object { path } => (self.read_object(job, path).await?, path.as_str()),
        };
        match state_problem(handle, &bytes) {
            None => Ok(bytes),
            Some(problem) => Err(Error::external(format!(
                "cannot restore job {job}: {place}: {problem}; restore an older checkpoint"
            ))),
        }
    }

    async fn read_object(&self, job: JobId, path: &str) -> Result<Bytes> {
        let own = path.strip_prefix(&self.opened.uri).and_then(|p| p.strip_prefix('/'));
        let found = match own {
            Some(relative) => get_all(&*self.opened.store, &self.opened.path(relative)?).await?,
            None if path.contains("://") => {
                let foreign = storage::open_read(path)?;
                get_all(&*foreign.store, &foreign.prefix).await?
            }
            None => get_all(&*self.opened.store, &self.opened.path(path)?).await?,
        };
        found.ok_or_else(|| {
            Error::external(format!(
                "cannot restore job {job}: state object {path} is gone from {}; restore an \
                 older checkpoint",
                self.opened.uri
            ))
        })
    }

    /// Commits a checkpoint: from the moment this succeeds it is complete, for ever.
    ///
    /// The manifest is created only if there is none. Whenever the store's answer leaves
    /// doubt, the manifest is read back: our token means that it is ours. Committing the
    /// same manifest twice is harmless.
    ///
    /// # Errors
    /// Fenced: another writer committed this id; stop. External: unknown whether
    /// it is committed (the store does not answer); the caller must neither delete
    /// the checkpoint's objects nor treat its committables as aborted before a later
    /// [`Self::load`] has decided it.
    pub async fn commit(&self, manifest: &Manifest) -> Result<Committed> {
        let bytes = Bytes::from(file::encode(manifest)?);
        let path = self.manifest_path(manifest.job, manifest.checkpoint)?;
        let what =
            || format!("commit of checkpoint {} of job {}", manifest.checkpoint, manifest.job);
        let mut last = None;
        let started = tokio::time::Instant::now();
        for attempt in 0..COMMIT_TRIES {
            if attempt > 0 {
                if started.elapsed() > COMMIT_PATIENCE {
                    break;
                }
                tokio::time::sleep(COMMIT_PAUSE * 2_u32.pow(attempt)).await;
            }
            let options = PutOptions::from(PutMode::Create);
            match self.opened.store.put_opts(&path, bytes.clone().into(), options).await {
                Ok(_) => return Ok(self.committed(manifest, bytes.len())),
                Err(
                    error @ (object_store::Error::PermissionDenied { .. }
                    | object_store::Error::Unauthenticated { .. }
                    | object_store::Error::NotImplemented { .. }
                    | object_store::Error::NotSupported { .. }),
                ) => return Err(store_error(what(), error)),
                Err(error) => last = Some(store_error(what(), error)),
            }
            // Refused as present, or nobody knows: what lies there decides.
            match get_all(&*self.opened.store, &path).await {
                Ok(Some(found)) => {
                    let found = file::decode(&found, path.as_ref())?;
                    if found.writer_token == manifest.writer_token {
                        return Ok(self.committed(manifest, bytes.len()));
                    }
                    return Err(Error::fenced(format!(
                        "checkpoint {} of job {} was committed by another job manager (epoch {}, \
                         attempt {}); this one stops",
                        manifest.checkpoint, manifest.job, found.leader_epoch, found.attempt
                    )));
                }
                Ok(None) => {}
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::external(format!("{} failed", what()))))
    }

    fn committed(&self, manifest: &Manifest, bytes: usize) -> Committed {
        Committed {
            uri: self.checkpoint_uri(manifest.job, manifest.checkpoint),
            manifest_bytes: bytes as u64,
        }
    }

    /// The manifest of a completed checkpoint. Its object paths are relative to this storage.
    pub async fn load(&self, job: JobId, checkpoint: CheckpointId) -> Result<Manifest> {
        self.find(job, checkpoint).await?.ok_or_else(|| {
            Error::user(format!(
                "there is no completed checkpoint {checkpoint} of job {job} in {}",
                self.opened.uri
            ))
        })
    }

    /// As [`Self::load`]; `None` when the checkpoint is not committed.
    pub async fn find(&self, job: JobId, checkpoint: CheckpointId) -> Result<Option<Manifest>> {
        let path = self.manifest_path(job, checkpoint)?;
        let Some(bytes) = get_all(&*self.opened.store, &path).await? else { return Ok(None) };
        let manifest = file::decode(&bytes, path.as_ref())?;
        if (manifest.job, manifest.checkpoint) != (job, checkpoint) {
            return Err(Error::external(format!(
                "{path} is the manifest of checkpoint {} of job {}: it was moved; restore from \
                 a copy with its folder names kept",
                manifest.checkpoint, manifest.job
            )));
        }
        Ok(Some(manifest))
    }

    /// What `--from` names: a `chk-N` folder, its manifest, or a job's folder (its newest
    /// checkpoint). The state locations in the returned manifest are full URIs, so the
    /// job that restores may have another id and another storage.
    pub async fn load_uri(uri: &str) -> Result<(Self, Manifest)> {
        let (storage, job, checkpoint) = Self::locate(uri).await?;
        let mut manifest = storage.load(job, checkpoint).await?;
        manifest.absolute_locations(storage.uri());
        Ok((storage, manifest))
    }

    /// Takes a checkpoint's URI apart: its storage, job and id.
    pub(crate) async fn locate(uri: &str) -> Result<(Self, JobId, CheckpointId)> {
        let wrong = || {
            Error::user(format!(
                "`{uri}` is not a checkpoint; give STORAGE/JOB/chk-N, its manifest.json, or \
                 STORAGE/JOB for the newest one"
            ))
        };
        let mut folder = uri.trim_end_matches('/');
        folder = folder.strip_suffix(MANIFEST_FILE).unwrap_or(folder).trim_end_matches('/');
        let (parent, last) = split_last(folder);
        let (root, job, checkpoint) = if let Some(checkpoint) = checkpoint_of(last) {
            let (root, job) = split_last(parent);
            (root, job, Some(checkpoint))
        } else {
            (parent, last, None)
        };
        let job: JobId = job.parse().map_err(|_| wrong())?;
        let root = if root.is_empty() { "." } else { root };
        if !root.contains("://") && !std::path::Path::new(root).is_dir() {
            return Err(wrong());
        }
        let storage = Self::open(root)?;
        let checkpoint = match checkpoint {
            Some(checkpoint) => checkpoint,
            None => storage.list(job).await?.pop().ok_or_else(|| {
                Error::user(format!("there is no completed checkpoint below {uri}"))
            })?,
        };
        Ok((storage, job, checkpoint))
    }

    /// Ids of the completed checkpoints of a job, ascending.
    pub async fn list(&self, job: JobId) -> Result<Vec<CheckpointId>> {
        let mut complete = Vec::new();
        for checkpoint in self.folders(job).await? {
            let path = self.manifest_path(job, checkpoint)?;
            match self.opened.store.head(&path).await {
                Ok(_) => complete.push(checkpoint),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(store_error(format!("looking for {path}"), error)),
            }
        }
        Ok(complete)
    }

    /// Every `chk-N` folder of a job, complete or not, ascending.
    pub(crate) async fn folders(&self, job: JobId) -> Result<Vec<CheckpointId>> {
        let prefix = self.opened.path(&job.to_string())?;
        let listed = self
            .opened
            .store
            .list_with_delimiter(Some(&prefix))
            .await
            .map_err(|e| store_error(format!("listing {prefix}"), e))?;
        let mut found: Vec<CheckpointId> = listed
            .common_prefixes
            .iter()
            .filter_map(|p| p.parts().next_back().and_then(|part| checkpoint_of(part.as_ref())))
            .collect();
        found.sort_unstable();
        Ok(found)
    }

    pub(crate) fn manifest_path(&self, job: JobId, checkpoint: CheckpointId) -> Result<Path> {
        self.opened.path(&format!("{}/{MANIFEST_FILE}", folder(job, checkpoint)))
    }

    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }
}

/// What is wrong with the bytes that `handle` names, if anything.
pub(crate) fn state_problem(handle: &StateHandle, bytes: &[u8]) -> Option<String> {
    if bytes.len() as u64 != handle.length {
        return Some(format!("{} bytes long instead of {}", bytes.len(), handle.length));
    }
    let crc = crc32c::crc32c(bytes);
    (crc != handle.crc32c)
        .then(|| format!("checksum {crc:08x} instead of {:08x}: the bytes changed", handle.crc32c))
}

fn split_last(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        // `memory://name`: what remains of the scheme stays whole.
        Some((parent, last)) if !parent.ends_with(":/") => (parent, last),
        Some(_) | None => ("", path),
    }
}
