//! Which completed checkpoints to delete. Called by the CheckpointCoordinator after each
//! completion and by the JobMaster after a restore. Pure.

use std::collections::BTreeSet;

use model::CheckpointId;

/// Of `completed`, those to delete so that the newest `retain` remain (at least one) and
/// whatever is `pinned`: savepoints, and the checkpoint a job was started from while no
/// newer one is complete. Ascending: the oldest is deleted first.
pub fn to_delete(
    completed: &BTreeSet<CheckpointId>,
    pinned: &BTreeSet<CheckpointId>,
    retain: u32,
) -> Vec<CheckpointId> {
    let retain = usize::try_from(retain.max(1)).unwrap_or(usize::MAX);
    let surplus = completed.len().saturating_sub(retain);
    completed.iter().take(surplus).filter(|id| !pinned.contains(id)).copied().collect()
}
