//! What a job's state machine hears and what it asks for. Used by `job_state.rs` and by
//! `job_master`, which performs the actions.

use model::deployment::SubtaskSnapshot;
use model::execution_state::{ExecutionState, JobStatus};
use model::{
    AllocationId, Attempt, CheckpointId, Error, ExecutionAttemptId, Result, TaskManagerId,
};

use crate::checkpoint::{CheckpointAction, CheckpointEvent};
use crate::execution_graph::TaskKey;
use crate::slot_pool::Slot;

/// How long canceled tasks may take to say so before a restart goes on without them: their
/// attempt number keeps them out.
pub const CANCEL_TIMEOUT_MS: i64 = 5_000;
/// A task that its TaskManager leaves out of so many heartbeats in a row is gone.
pub const MISSED_REPORTS: u32 = 10;

/// What happened.
#[derive(Debug)]
pub enum JobEvent {
    Start,
    SlotsGranted(Vec<Slot>),
    SlotsWaiting {
        needed: usize,
        free: usize,
    },
    /// Manifest loaded, its committables visible, enumerators ready (or not). `settled` is the
    /// checkpoint in doubt, if it was found, with its place.
    Prepared {
        attempt: Attempt,
        outcome: Result<()>,
        settled: Option<(CheckpointId, String)>,
    },
    /// A task manager reports; already checked with [`JobState::check`].
    TaskState {
        task: TaskKey,
        state: ExecutionState,
        error: Option<Error>,
        last: SubtaskSnapshot,
    },
    /// A task could not be handed over, or its source coordinator failed.
    TaskLost {
        attempt: Attempt,
        task: Option<TaskKey>,
        error: Error,
    },
    TaskManagerLost {
        id: TaskManagerId,
        reason: String,
    },
    /// What a TaskManager says it runs.
    Report {
        id: TaskManagerId,
        tasks: Vec<ExecutionAttemptId>,
    },
    Checkpoint(CheckpointEvent),
    Cancel,
    Tick,
}

/// What is to be done.
#[derive(Debug)]
pub enum JobAction {
    /// So many more than the job holds; 0 withdraws the request.
    RequestSlots(usize),
    ReleaseSlot(AllocationId),
    /// Get ready to start `attempt` from `latest`; first find out about `in_doubt`.
    Prepare {
        attempt: Attempt,
        latest: Option<CheckpointId>,
        in_doubt: Option<CheckpointId>,
    },
    Deploy,
    /// Ends the deployment under way and the source coordinators, then cancels these.
    Cancel(Vec<(Slot, ExecutionAttemptId)>),
    Checkpoint(CheckpointAction),
    Ended(JobStatus),
}
