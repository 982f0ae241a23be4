//! The life of one attempt and of one job, with Flink's words.

use serde::{Deserialize, Serialize};

/// State of one execution attempt.
///
/// ```text
/// CREATED -> SCHEDULED -> DEPLOYING -> INITIALIZING -> RUNNING -> FINISHED
///                 |            |             |            |
///                 +------------+------ CANCELING ---------+--> CANCELED
///                 +------------+-------------+------------+--> FAILED
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutionState {
    Created,
    Scheduled,
    Deploying,
    /// Restoring state and opening operators.
    Initializing,
    Running,
    Finished,
    Canceling,
    Canceled,
    Failed,
}

impl ExecutionState {
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled | Self::Failed)
    }
}

/// State of a job.
///
/// ```text
/// CREATED -> RUNNING -> FINISHED
///    |        |   ^  \-> FAILING -> FAILED
///    |        v   |  \-> CANCELLING -> CANCELED
///    |      RESTARTING
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// Waiting for slots, or deploying for the first time.
    Created,
    Running,
    Restarting,
    Failing,
    Failed,
    Cancelling,
    Canceled,
    Finished,
}

impl JobStatus {
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished)
    }
}
