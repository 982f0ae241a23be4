//! Checks a checkpoint without a cluster: reads every object its manifest names. Called by
//! `streamctl checkpoint verify`.

use std::collections::BTreeSet;

use model::deployment::{StateHandle, StateLocation};
use model::{CheckpointId, JobId, Result};
use object_store::path::Path;
use serde::Serialize;
use storage::{Opened, get_all};

use crate::manifest::{CheckpointKind, Manifest};
use crate::storage::{CheckpointStorage, state_problem};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    pub uri: String,
    pub manifest: ManifestSummary,
    /// Every piece of state, in manifest order: also of objects that were written for earlier
    /// checkpoints, each object once.
    pub objects: Vec<ObjectReport>,
}

/// The manifest in a few numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestSummary {
    pub job: JobId,
    pub job_name: String,
    pub checkpoint: CheckpointId,
    pub kind: CheckpointKind,
    pub completed_at_ms: i64,
    pub max_parallelism: u32,
    pub vertices: usize,
    pub subtasks: usize,
    pub splits: usize,
    pub committables: usize,
    /// Bytes of state, inline and in objects.
    pub state_bytes: u64,
    /// Of them, what was written for this checkpoint; 0 too when its release did not say.
    pub written_bytes: u64,
}

/// One piece of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReport {
    /// Path below the storage root; `(inline)` for state within the manifest.
    pub path: String,
    pub operator: String,
    pub expected_length: u64,
    pub expected_crc32c: u32,
    /// `None`: as it was written.
    pub problem: Option<String>,
}

impl VerifyReport {
    pub fn is_sound(&self) -> bool {
        self.objects.iter().all(|o| o.problem.is_none())
    }
}

impl CheckpointStorage {
    /// Reads the checkpoint that `uri` names (see [`Self::load_uri`]) and every object of it,
    /// one after the other. Fails when the manifest itself cannot be read or is damaged;
    /// damaged state is in the report.
    pub async fn verify(uri: &str) -> Result<VerifyReport> {
        let (storage, job, checkpoint) = Self::locate(uri).await?;
        let manifest = storage.load(job, checkpoint).await?;
        let mut objects = Vec::new();
        let mut read = BTreeSet::new();
        for (uid, handle) in manifest.handles() {
            if let StateLocation::Object { path } = &handle.location
                && !read.insert((path.as_str(), handle.length, handle.crc32c))
            {
                continue;
            }
            let path = match &handle.location {
                StateLocation::Inline { .. } => "(inline)".to_owned(),
                StateLocation::Object { path } => path.clone(),
            };
            objects.push(ObjectReport {
                path,
                operator: uid.to_owned(),
                expected_length: handle.length,
                expected_crc32c: handle.crc32c,
                problem: problem_of(storage.opened(), handle).await,
            });
        }
        Ok(VerifyReport {
            uri: storage.checkpoint_uri(job, checkpoint),
            manifest: summary(&manifest),
            objects,
        })
    }
}

async fn problem_of(opened: &Opened, handle: &StateHandle) -> Option<String> {
    let path = match &handle.location {
        StateLocation::Inline { bytes } => return state_problem(handle, bytes),
        StateLocation::Object { path } => path,
    };
    let path: Path = match opened.path(path) {
        Ok(path) => path,
        Err(error) => return Some(error.chain()),
    };
    match get_all(&*opened.store, &path).await {
        Ok(Some(bytes)) => state_problem(handle, &bytes),
        Ok(None) => Some("the object is missing".to_owned()),
        Err(error) => Some(error.chain()),
    }
}

fn summary(manifest: &Manifest) -> ManifestSummary {
    let subtasks = || manifest.vertices.values().flat_map(|v| &v.subtasks);
    ManifestSummary {
        job: manifest.job,
        job_name: manifest.job_name.clone(),
        checkpoint: manifest.checkpoint,
        kind: manifest.kind,
        completed_at_ms: manifest.completed_at_ms,
        max_parallelism: manifest.max_parallelism,
        vertices: manifest.vertices.len(),
        subtasks: subtasks().count(),
        splits: subtasks().map(|s| s.splits.len()).sum(),
        committables: subtasks().map(|s| s.committables.len()).sum(),
        state_bytes: manifest.state_bytes(),
        written_bytes: manifest.written_bytes(),
    }
}
