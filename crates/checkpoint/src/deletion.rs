//! Deleting what no checkpoint needs any more. Called by the job manager: [`delete`] when it
//! knows what a retired checkpoint alone named, [`clean_orphans`] when a list has to tell.
//! Why neither can take what somebody needs: docs/design/0007-incremental-checkpoints.md.
//!
//! Both delete manifests before state, so that nobody finds a checkpoint with half its state,
//! and both may be cut off at any request and done again.
//!
//! [`delete`]: CheckpointStorage::delete
//! [`clean_orphans`]: CheckpointStorage::clean_orphans

use std::collections::BTreeSet;
use std::path::{Path as FsPath, PathBuf};

use futures::stream::{StreamExt, TryStreamExt};
use model::deployment::StateLocation;
use model::{CheckpointId, Error, JobId, Result};
use object_store::path::Path;
use storage::store_error;

use crate::layout::{self, Place, place_of};
use crate::manifest::Manifest;
use crate::storage::CheckpointStorage;

impl Manifest {
    /// Paths of all state objects that it names.
    pub fn objects(&self) -> impl Iterator<Item = &str> {
        self.handles().filter_map(|(_, handle)| match &handle.location {
            StateLocation::Inline { .. } => None,
            StateLocation::Object { path } => Some(path.as_str()),
        })
    }
}

impl CheckpointStorage {
    /// Removes the manifests of `checkpoints`, then `objects` (paths below the root, as handles
    /// have them), which no other checkpoint may name. Uses no LIST. What is gone already
    /// is no error.
    ///
    /// # Errors
    /// Internal, with nothing deleted: one of `objects` is not a state object of this job.
    pub async fn delete(
        &self,
        job: JobId,
        checkpoints: &[CheckpointId],
        objects: &BTreeSet<String>,
    ) -> Result<()> {
        let own = |path: &String| match place_of(job, path) {
            Some(Place::Shared(_) | Place::Beside(_)) => self.opened().path(path),
            Some(Place::Manifest(_)) | None => Err(Error::internal(format!(
                "{path} is not a state object of job {job}; it is not deleted"
            ))),
        };
        let objects = objects.iter().map(own).collect::<Result<Vec<Path>>>()?;
        let manifests: Result<Vec<Path>> =
            checkpoints.iter().map(|id| self.manifest_path(job, *id)).collect();
        self.remove(manifests?).await?;
        self.remove(objects).await?;
        let folders = checkpoints.iter().map(|id| layout::folder(job, *id)).collect();
        self.remove_directories(folders).await
    }

    /// Removes what aborted checkpoints, half-done deletions and forgotten checkpoints left:
    /// every checkpoint up to `up_to` that is not in `keep`, whether it has a manifest or not,
    /// and every state object written for a checkpoint up to `up_to` that no manifest of
    /// `keep` names. `up_to` is the newest complete checkpoint, which `keep` contains; at the
    /// end of a job it is the greatest id, and `keep` what shall stay. Returns how many
    /// objects were removed.
    ///
    /// # Errors
    /// External, with nothing deleted: a manifest of `keep` cannot be read, so nobody knows
    /// what it names.
    pub async fn clean_orphans(
        &self,
        job: JobId,
        keep: &BTreeSet<CheckpointId>,
        up_to: CheckpointId,
    ) -> Result<usize> {
        let named = self.named_by(job, keep).await?;
        let (mut manifests, mut objects) = (Vec::new(), Vec::new());
        let retired = |id: CheckpointId| id <= up_to && !keep.contains(&id);
        for path in self.paths_of(job).await? {
            match place_of(job, &path) {
                Some(Place::Manifest(id)) if retired(id) => manifests.push(path),
                Some(Place::Beside(id)) if retired(id) && !named.contains(&path) => {
                    objects.push(path);
                }
                Some(Place::Shared(id)) if id <= up_to && !named.contains(&path) => {
                    objects.push(path);
                }
                _ => {}
            }
        }
        let removed = manifests.len() + objects.len();
        for paths in [manifests, objects] {
            let paths = paths.iter().map(|p| self.opened().path(p)).collect::<Result<_>>()?;
            self.remove(paths).await?;
        }
        self.remove_staging(job, keep, up_to).await?;
        if removed > 0 {
            tracing::info!(%job, removed, "removed objects of abandoned checkpoints");
        }
        Ok(removed)
    }

    async fn named_by(
        &self,
        job: JobId,
        keep: &BTreeSet<CheckpointId>,
    ) -> Result<BTreeSet<String>> {
        let mut named = BTreeSet::new();
        for id in keep {
            let unknown = || format!("nothing is deleted, since checkpoint {id} may need it");
            let manifest = self.find(job, *id).await.map_err(|e| e.at(unknown()))?;
            let manifest = manifest.ok_or_else(|| {
                Error::external(format!("the manifest of checkpoint {id} is gone")).at(unknown())
            })?;
            named.extend(manifest.objects().map(str::to_owned));
        }
        Ok(named)
    }

    /// Every path of the job, below the storage root.
    async fn paths_of(&self, job: JobId) -> Result<Vec<String>> {
        let prefix = self.opened().path(&job.to_string())?;
        let root = &self.opened().prefix;
        let listed = self.opened().store.list(Some(&prefix)).map_ok(|meta| {
            let below = meta.location.as_ref().strip_prefix(root.as_ref()).unwrap_or_default();
            below.trim_start_matches('/').to_owned()
        });
        listed.try_collect().await.map_err(|e| store_error(format!("listing {prefix}"), e))
    }

    /// In as few requests as the store allows.
    async fn remove(&self, paths: Vec<Path>) -> Result<()> {
        let locations = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut deleted = self.opened().store.delete_stream(locations);
        while let Some(outcome) = deleted.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(store_error("deleting old checkpoints", error)),
            }
        }
        Ok(())
    }

    /// On a local disk a folder is a thing of its own, and so are the staging files of a
    /// killed writer, which no list shows.
    async fn remove_staging(
        &self,
        job: JobId,
        keep: &BTreeSet<CheckpointId>,
        up_to: CheckpointId,
    ) -> Result<()> {
        let Some(root) = &self.opened().local_root else { return Ok(()) };
        let shared = root.join(layout::shared(job));
        let emptied = keep.is_empty();
        blocking(move || {
            remove_staging_files(&shared, |name| {
                layout::written_for(name).is_some_and(|id| id <= up_to)
            })?;
            if emptied { remove_if_empty(&shared) } else { Ok(()) }
        })
        .await?;
        let folders = self.folders(job).await?;
        let retired = folders.into_iter().filter(|id| *id <= up_to && !keep.contains(id));
        self.remove_directories(retired.map(|id| layout::folder(job, id)).collect()).await
    }

    async fn remove_directories(&self, folders: Vec<String>) -> Result<()> {
        let Some(root) = &self.opened().local_root else { return Ok(()) };
        let folders: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
        blocking(move || {
            folders.iter().try_for_each(|folder| {
                remove_staging_files(folder, |_| true)?;
                remove_if_empty(folder)
            })
        })
        .await
    }
}

async fn blocking(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal("removing a directory was cut short").caused_by(e))?
}

/// A writer to a local disk writes `name#1` and renames it to `name` when it is whole.
fn remove_staging_files(folder: &FsPath, old: impl Fn(&str) -> bool) -> Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) => return gone_is_fine(e, folder),
    };
    for entry in entries {
        let entry = entry.map_err(|e| cannot_remove(e, folder))?;
        let name = entry.file_name();
        let Some((name, number)) = name.to_str().and_then(|name| name.rsplit_once('#')) else {
            continue;
        };
        let staging = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        if staging
            && old(name)
            && let Err(e) = std::fs::remove_file(entry.path())
        {
            gone_is_fine(e, &entry.path())?;
        }
    }
    Ok(())
}

/// What is in it is somebody else's then.
fn remove_if_empty(folder: &FsPath) -> Result<()> {
    match std::fs::remove_dir(folder) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(e) => gone_is_fine(e, folder),
    }
}

fn gone_is_fine(error: std::io::Error, path: &FsPath) -> Result<()> {
    match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(cannot_remove(error, path)),
    }
}

fn cannot_remove(error: std::io::Error, path: &FsPath) -> Error {
    Error::external(format!("{} cannot be removed", path.display())).caused_by(error)
}
