//! One task: what it is given, what may be asked of it, and its life from restoring
//! state to FINISHED or CANCELED. Called by `taskmanager`, on a core thread.
//! The loop itself is `task_loop.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use model::connector::Connectors;
use model::deployment::{SubtaskSnapshot, TaskDeployment};
use model::execution_state::ExecutionState;
use model::expression::Expressions;
use model::source::Split;
use model::{CheckpointBarrier, CheckpointId, Clock, Error, ExecutionAttemptId, Result, Watermark};
use state::StateBackend;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::channel::Exchange;
pub use crate::metrics::SharedMetrics;
use crate::tap::Taps;
pub use crate::upload::{SnapshotStore, StoredObject};
pub use crate::watermark_alignment::AlignmentGroups;

/// Everything a task needs. `io` is a multi-thread runtime: uploads and calls to the job
/// manager run there, beside the task.
pub struct TaskSetup {
    pub deployment: TaskDeployment,
    pub exchange: Arc<dyn Exchange>,
    pub connectors: Arc<dyn Connectors>,
    pub expressions: Arc<dyn Expressions>,
    pub backend: Arc<dyn StateBackend>,
    pub checkpoints: Arc<dyn SnapshotStore>,
    pub control: Arc<dyn TaskControl>,
    /// The process's, shared by all its tasks.
    pub alignment: Arc<AlignmentGroups>,
    pub clock: Arc<dyn Clock>,
    pub commands: mpsc::Receiver<TaskCommand>,
    pub cancel: CancellationToken,
    pub metrics: Arc<SharedMetrics>,
    pub taps: Arc<Taps>,
    pub io: tokio::runtime::Handle,
}

/// What the job manager tells a running task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskCommand {
    /// To source tasks: start the checkpoint. (Others learn of it by its barrier; a task
    /// with inputs ignores this.)
    TriggerCheckpoint(CheckpointBarrier),
    CheckpointComplete(CheckpointId),
    CheckpointAborted(CheckpointId),
}

/// The job manager's answer to a reader that asks for splits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitResponse {
    pub splits: Vec<Split>,
    /// Nothing now or ever.
    pub no_more: bool,
    /// When there are no splits and more may come: ask again after this long.
    pub retry_after_ms: u32,
}

/// What a reader's alignment group is like in other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlignmentAnswer {
    /// The least watermark there; `None`: nobody there counts.
    pub least: Option<Watermark>,
    /// The group has no reader elsewhere, and will have none in this attempt.
    pub alone: bool,
}

/// A task's line to the job manager. Implemented by `taskmanager`; called on the `io` runtime.
#[async_trait]
pub trait TaskControl: Send + Sync {
    /// `last_checkpoint`: the last one whose barrier this reader has passed.
    async fn request_splits(
        &self,
        attempt: ExecutionAttemptId,
        last_checkpoint: CheckpointId,
    ) -> Result<SplitResponse>;
    async fn acknowledge(
        &self,
        attempt: ExecutionAttemptId,
        checkpoint: CheckpointId,
        snapshot: SubtaskSnapshot,
    ) -> Result<()>;
    async fn decline(
        &self,
        attempt: ExecutionAttemptId,
        checkpoint: CheckpointId,
        reason: Error,
    ) -> Result<()>;
    /// Reports the watermark of an aligned reader (`None`: it does not count at present) and
    /// asks for that of its group in other processes.
    async fn align_watermarks(
        &self,
        _attempt: ExecutionAttemptId,
        _watermark: Option<Watermark>,
    ) -> Result<AlignmentAnswer> {
        Ok(AlignmentAnswer { least: None, alone: true })
    }
    /// INITIALIZING, then RUNNING. How the task ends is what [`run`] returns. Must not block:
    /// called on the task's core thread.
    fn state_changed(&self, attempt: ExecutionAttemptId, state: ExecutionState);
}

/// How a task ended without failing.
#[derive(Debug)]
pub enum TaskOutcome {
    /// All input read, everything acknowledged. Holds the last committables, those of
    /// checkpoints not known to be complete included; `finished` is set.
    Finished(SubtaskSnapshot),
    Canceled,
}

/// Runs one task to its end. The future is not `Send`: spawn it on a core thread.
/// Fails with the task's own error; a canceled task returns `Canceled`, promptly, also
/// while it waits for room downstream.
pub async fn run(setup: TaskSetup) -> Result<TaskOutcome> {
    let cancel = setup.cancel.clone();
    let control = Arc::clone(&setup.control);
    let attempt = setup.deployment.attempt;
    let name = format!("{}[{}]", setup.deployment.vertex.name, attempt.subtask);
    control.state_changed(attempt, ExecutionState::Initializing);
    let opened = tokio::select! {
        biased;
        () = cancel.cancelled() => return Ok(TaskOutcome::Canceled),
        opened = crate::deploy::open(setup) => opened,
    };
    let mut task = opened.map_err(|e| e.at(&name))?;
    control.state_changed(attempt, ExecutionState::Running);
    let ended = tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        ended = task.run() => Some(ended),
    };
    match ended {
        Some(Ok(snapshot)) => Ok(TaskOutcome::Finished(snapshot)),
        Some(Err(error)) => {
            task.abort().await;
            // What fails once the job is being canceled fails because of that.
            if cancel.is_cancelled() { Ok(TaskOutcome::Canceled) } else { Err(error.at(&name)) }
        }
        None => {
            task.abort().await;
            Ok(TaskOutcome::Canceled)
        }
    }
}

#[cfg(test)]
mod tests;
