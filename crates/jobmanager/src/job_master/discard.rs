//! What becomes of a job's checkpoints when the job ends: a job that finished or was
//! canceled needs none, unless its file says so. Those of a failed job stay, since it will
//! be started again from them. Called by `mod.rs` after the job's end.

use std::collections::BTreeSet;
use std::time::Duration;

use model::CheckpointId;
use model::config::CheckpointConfig;
use model::execution_state::JobStatus;

use crate::checkpoint::CheckpointCoordinator;
use crate::job_master::JobMaster;

/// How long the end of a job may wait for it. What is left then stays.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether to delete every checkpoint of a job that ended so.
pub fn discards(
    status: JobStatus,
    config: &CheckpointConfig,
    checkpoints: &CheckpointCoordinator,
) -> bool {
    let unwanted = match status {
        JobStatus::Finished => !config.retain_on_finish,
        JobStatus::Canceled => !config.retain_on_cancellation,
        _ => false,
    };
    // A manifest in doubt, or one whose sinks could not commit, is all that remembers what
    // they staged.
    let newest = checkpoints.completed().latest();
    let records = checkpoints.history().records().rev();
    let mut newest = records.filter(|r| Some(r.id) == newest);
    let committed = newest.next().is_none_or(|r| r.committed_at_ms.is_some());
    unwanted && committed && checkpoints.in_doubt().is_none()
}

impl JobMaster {
    /// Deletes the checkpoints of a job that needs them no more.
    pub(super) async fn discard_checkpoints(&mut self) {
        let status = self.state.status();
        let checkpoints = self.state.checkpoints();
        if !discards(status, &self.spec.graph.checkpoint, checkpoints) {
            return;
        }
        if checkpoints.history().triggered == 0 {
            return;
        }
        let (store, job) = (self.context.checkpoints.clone(), self.spec.id);
        let (none, all) = (BTreeSet::new(), CheckpointId(u64::MAX));
        let deleting = store.clean_orphans(job, &none, all);
        match tokio::time::timeout(PATIENCE, deleting).await {
            Ok(Ok(())) => self.state.checkpoints_discarded(),
            Ok(Err(error)) => {
                tracing::warn!(%job, error = %error.chain(), "checkpoints of the job not deleted");
            }
            Err(_) => tracing::warn!(%job, "deleting the job's checkpoints takes too long"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ended_as_wanted_is_deleted_and_only_unless_told_otherwise() {
        let checkpoints = CheckpointCoordinator::new(CheckpointConfig::default());
        let told = |status, retain_on_cancellation, retain_on_finish| {
            let config = CheckpointConfig {
                retain_on_cancellation,
                retain_on_finish,
                ..CheckpointConfig::default()
            };
            discards(status, &config, &checkpoints)
        };
        assert!(told(JobStatus::Finished, true, false));
        assert!(!told(JobStatus::Finished, false, true));
        assert!(told(JobStatus::Canceled, false, true));
        assert!(!told(JobStatus::Canceled, true, false));
        assert!(!told(JobStatus::Failed, false, false));
    }
}
