//! What the job manager asks of a TaskManager. Implemented over gRPC in `rpc.rs`; tests
//! put a TaskManager of their own behind it. Called by `job_master`.

use async_trait::async_trait;
use futures::stream::BoxStream;
use model::deployment::TaskDeployment;
use model::inspection::{CpuProfile, LogInfo, ProcessDump};
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

/// Which rows are wanted.
#[derive(Clone, Debug)]
pub struct TapRequest {
    pub attempt: ExecutionAttemptId,
    /// Uid; empty: the chain's last.
    pub operator: String,
    pub rows_per_second: u32,
    pub limit: u32,
}

/// A few rows that passed.
#[derive(Clone, Debug, PartialEq)]
pub struct TapBatch {
    /// `[{name, type}]`.
    pub schema: serde_json::Value,
    pub rows: Vec<serde_json::Value>,
    /// Passed unseen since the batch before.
    pub dropped: u64,
}

pub type TapStream = BoxStream<'static, model::Result<TapBatch>>;
/// Rows of a query: arrays of arrays, the row's kind and its values as text or null.
pub type ResultStream = BoxStream<'static, model::Result<serde_json::Value>>;

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
    /// The logs that the process keeps.
    async fn logs(&self, addr: &str) -> Result<Vec<LogInfo>, GatewayError>;
    /// The newest whole lines of a log, at most `tail_bytes`; `None`: there is no such log.
    async fn log_text(
        &self,
        addr: &str,
        log: &str,
        tail_bytes: u64,
    ) -> Result<Option<String>, GatewayError>;
    /// What its tasks and threads do at this moment.
    async fn dump(&self, addr: &str) -> Result<ProcessDump, GatewayError>;
    /// Samples its running code; answers after `seconds`. Refused (kind User) when out of
    /// range, or while another profile is being taken.
    async fn profile(&self, addr: &str, seconds: u32) -> Result<CpuProfile, GatewayError>;
    /// Rows that pass an operator of a task there. Ends with the task, or at the limit.
    async fn tap(&self, addr: &str, _request: &TapRequest) -> Result<TapStream, GatewayError> {
        Err(GatewayError::Refused(Error::external(format!("{addr} shows no rows"))))
    }
    /// Every row that reaches the sink of a task which collects. Ends with the task.
    async fn results(
        &self,
        addr: &str,
        _attempt: ExecutionAttemptId,
    ) -> Result<ResultStream, GatewayError> {
        Err(GatewayError::Refused(Error::external(format!("{addr} has no results"))))
    }
}
