//! What the job manager asks of a TaskManager. Implemented over gRPC in `rpc.rs`; tests
//! put a TaskManager of their own behind it. Called by `job_master`.

use async_trait::async_trait;
use model::deployment::TaskDeployment;
use model::{CheckpointId, Error, ExecutionAttemptId};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Nobody listens there: the TaskManager is gone.
    #[error("{0}")]
    Unreachable(Error),
    /// It answered with an error, or not in time.
    #[error("{0}")]
    Refused(Error),
}

impl GatewayError {
    pub fn into_error(self) -> Error {
        match self {
            Self::Unreachable(error) | Self::Refused(error) => error,
        }
    }
}

pub type GatewayResult = Result<(), GatewayError>;

/// Calls to the TaskManager at `addr` (`host:port` of its control service). Every call is
/// idempotent and bounded in time.
#[async_trait]
pub trait TaskManagerGateway: Send + Sync {
    async fn submit_task(&self, addr: &str, deployment: &TaskDeployment) -> GatewayResult;
    async fn cancel_task(&self, addr: &str, attempt: ExecutionAttemptId) -> GatewayResult;
    async fn trigger_checkpoint(
        &self,
        addr: &str,
        attempts: &[ExecutionAttemptId],
        id: CheckpointId,
        triggered_at_ms: i64,
    ) -> GatewayResult;
    async fn notify_complete(
        &self,
        addr: &str,
        attempts: &[ExecutionAttemptId],
        id: CheckpointId,
    ) -> GatewayResult;
    async fn notify_aborted(
        &self,
        addr: &str,
        attempts: &[ExecutionAttemptId],
        id: CheckpointId,
    ) -> GatewayResult;
}
