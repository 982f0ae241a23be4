//! From a manifest to what a new execution starts with, at any parallelism. Called by the job
//! manager when it deploys. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use model::deployment::TaskRestore;
use model::job_graph::JobGraph;
use model::key_group::KeyGroupRange;
use model::source::Split;
use model::{Error, Result};

use crate::manifest::Manifest;

/// The state one subtask opens with: for each of its operators every handle, of any old
/// subtask of any old vertex, whose key groups meet the new subtask's. Operators are
/// matched by uid, so a chain may be cut differently than it was. Handles of one old subtask
/// come one after the other and in the manifest's order: a delta follows what it changes.
///
/// Fails with kind User when a handle's format is not known here.
pub fn restore_task(
    manifest: &Manifest,
    operator_uids: &[String],
    key_groups: KeyGroupRange,
) -> Result<TaskRestore> {
    let mut operators: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (uid, handle) in manifest.handles() {
        if !operator_uids.iter().any(|u| u == uid) || !handle.key_groups.intersects(&key_groups) {
            continue;
        }
        if handle.format != model::deployment::STATE_FORMAT {
            return Err(Error::user(format!(
                "state of operator `{uid}` in checkpoint {} has format {}, this build reads {}; \
                 restore it with the release that wrote it",
                manifest.checkpoint,
                handle.format,
                model::deployment::STATE_FORMAT
            )));
        }
        operators.entry(uid.to_owned()).or_default().push(handle.clone());
    }
    Ok(TaskRestore { checkpoint: manifest.checkpoint, operators })
}

/// Every split that a reader of source `uid` held: they go back to the enumerator.
pub fn source_splits(manifest: &Manifest, uid: &str) -> Vec<Split> {
    let of_source = manifest.vertices.values().filter(|v| v.source_uid.as_deref() == Some(uid));
    of_source.flat_map(|v| &v.subtasks).flat_map(|s| s.splits.iter().cloned()).collect()
}

/// What each sink (by uid) has to commit for this checkpoint. Sinks without anything are left out.
pub fn committables(manifest: &Manifest) -> Vec<(String, Vec<Bytes>)> {
    let mut by_sink: BTreeMap<&str, Vec<Bytes>> = BTreeMap::new();
    for vertex in manifest.vertices.values() {
        let Some(uid) = vertex.sink_uid.as_deref() else { continue };
        let prepared = vertex.subtasks.iter().flat_map(|s| &s.committables);
        by_sink.entry(uid).or_default().extend(prepared.map(|c| c.0.clone()));
    }
    let filled = by_sink.into_iter().filter(|(_, list)| !list.is_empty());
    filled.map(|(uid, list)| (uid.to_owned(), list)).collect()
}

/// Whether `graph` can start from `manifest`. `allow_dropped_state` lets operators
/// that had state be missing in the graph (`submit --allow-dropped-state`); everything else that
/// does not fit is refused with an error of kind User.
pub fn check_compatible(
    manifest: &Manifest,
    graph: &JobGraph,
    allow_dropped_state: bool,
) -> Result<()> {
    manifest.check_version()?;
    let max = manifest.max_parallelism;
    if max != graph.max_parallelism {
        return Err(Error::user(format!(
            "checkpoint {} was taken with maxParallelism {max}, the job has {}; set \
             maxParallelism: {max} in the job file (it cannot change while state is kept)",
            manifest.checkpoint, graph.max_parallelism,
        )));
    }
    if allow_dropped_state {
        return Ok(());
    }
    let known: BTreeSet<&str> = graph.operators().map(|o| o.uid.as_str()).collect();
    let readers = manifest.vertices.values().filter_map(|v| {
        let held = v.subtasks.iter().any(|s| !s.splits.is_empty());
        v.source_uid.as_deref().filter(|_| held)
    });
    let mut missing: BTreeSet<&str> = manifest.handles().map(|(uid, _)| uid).collect();
    missing.extend(manifest.enumerators.keys().map(String::as_str));
    missing.extend(readers);
    missing.retain(|uid| !known.contains(uid));
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(|uid| format!("`{uid}`")).collect();
    Err(Error::user(format!(
        "checkpoint {} holds state of {}, which the job does not have; give the operator its old \
         uid, or allow the state to be dropped (submit --allow-dropped-state)",
        manifest.checkpoint,
        names.join(", ")
    )))
}
