//! What this TaskManager says to the job manager: the thin client that stamps every call
//! with our id and the session's epoch, and a task's line to it (`TaskControl`).
//! Called by `heartbeat.rs`, `task_executor.rs` and, through the trait, by tasks.

use std::time::Duration;

use bytes::Bytes;
use model::deployment::SubtaskSnapshot;
use model::execution_state::ExecutionState;
use model::metrics::TaskMetrics;
use model::{CheckpointId, Error, ErrorKind, ExecutionAttemptId, Result, TaskManagerId, Watermark};
use proto::v1;
use proto::v1::job_manager_service_client::JobManagerServiceClient;
use proto::{attempt_to_wire, failure_to_wire, json_from_wire, json_to_wire};
use runtime::task::{AlignmentAnswer, SplitResponse, TaskControl};
use safety::{ClusterSecret, Prover};
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};

use crate::session::Session;
use crate::wire;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// An enumerator may look through a bucket before it answers.
const SPLITS_TIMEOUT: Duration = Duration::from_secs(90);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The service's client; every call proves the cluster secret.
type Client = JobManagerServiceClient<Prover<Channel>>;

/// The connection to the job manager; reconnects by itself. Cheap to clone.
#[derive(Clone)]
pub(crate) struct JobManagerClient {
    pub id: TaskManagerId,
    addr: String,
    client: Client,
}

impl JobManagerClient {
    /// Does not connect yet. `addr` is `host:port`.
    pub(crate) fn new(
        id: TaskManagerId,
        addr: &str,
        secret: Option<ClusterSecret>,
    ) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(|e| {
            Error::user(format!("`{addr}` is not the job manager's address; give host:port"))
                .caused_by(e)
        })?;
        let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true).connect_lazy();
        let client = Client::new(Prover::new(channel, secret))
            .max_decoding_message_size(wire::MAX_CONTROL_MESSAGE_BYTES)
            .max_encoding_message_size(wire::MAX_CONTROL_MESSAGE_BYTES);
        Ok(Self { id, addr: addr.to_owned(), client })
    }

    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    pub(crate) async fn register(
        &self,
        request: v1::RegisterRequest,
    ) -> std::result::Result<v1::RegisterResponse, tonic::Status> {
        let mut client = self.client.clone();
        timed(CALL_TIMEOUT, client.register(request)).await
    }

    pub(crate) async fn heartbeat(
        &self,
        request: v1::HeartbeatRequest,
        within: Duration,
    ) -> std::result::Result<v1::HeartbeatResponse, tonic::Status> {
        let mut client = self.client.clone();
        timed(within, client.heartbeat(request)).await
    }

    /// Repeats an idempotent call until it is answered, refused, or the session ends.
    async fn persist<T, F>(&self, session: &Session, call: impl Fn(Client) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<tonic::Response<T>, tonic::Status>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = tokio::select! {
                biased;
                () = session.ended.cancelled() => return Err(self.session_over()),
                answer = timed(CALL_TIMEOUT, call(self.client.clone())) => answer,
            };
            let status = match answer {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            let error = self.error(&status);
            if error.kind() != ErrorKind::External || status.code() == tonic::Code::NotFound {
                return Err(error);
            }
            tracing::debug!(error = error.chain(), "calling the job manager again");
            tokio::select! {
                biased;
                () = session.ended.cancelled() => return Err(self.session_over()),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn error(&self, status: &tonic::Status) -> Error {
        proto::status_to_error(&format!("the job manager at {}", self.addr), status)
    }

    fn session_over(&self) -> Error {
        Error::fenced(format!("no longer registered with the job manager at {}", self.addr))
    }

    /// Reports a task's state until the job manager has heard it. Fails when it never will:
    /// the attempt or this session is over.
    pub(crate) async fn update_task_state(
        &self,
        session: &Session,
        attempt: ExecutionAttemptId,
        report: StateReport,
    ) -> Result<()> {
        let state = match serde_json::to_value(report.state) {
            Ok(serde_json::Value::String(name)) => name,
            _ => return Err(Error::internal("an execution state has no name")),
        };
        let request = v1::UpdateTaskStateRequest {
            task_manager: self.id.0.clone(),
            leader_epoch: session.epoch.0,
            attempt: Some(attempt_to_wire(&attempt)),
            state,
            failure: report.failure,
            final_snapshot: report.final_snapshot,
            metrics: report.metrics,
        };
        self.persist(session, |mut client| {
            let request = request.clone();
            async move { client.update_task_state(request).await }
        })
        .await
        .map(|_: v1::Ack| ())
    }
}

/// What is said of a task.
#[derive(Clone, Debug)]
pub(crate) struct StateReport {
    pub state: ExecutionState,
    failure: Option<v1::Failure>,
    /// JSON of the last [`SubtaskSnapshot`].
    final_snapshot: Bytes,
    /// JSON of the last [`TaskMetrics`]; empty when there are none to tell.
    metrics: Bytes,
}

impl StateReport {
    pub(crate) fn of(state: ExecutionState) -> Self {
        Self { state, failure: None, final_snapshot: Bytes::new(), metrics: Bytes::new() }
    }

    pub(crate) fn failed(error: &Error) -> Self {
        let failure = Some(failure_to_wire(error));
        Self { failure, ..Self::of(ExecutionState::Failed) }
    }

    pub(crate) fn finished(snapshot: &SubtaskSnapshot) -> Result<Self> {
        let final_snapshot = json_to_wire(snapshot)?;
        Ok(Self { final_snapshot, ..Self::of(ExecutionState::Finished) })
    }

    /// With the task's last counters.
    pub(crate) fn with_metrics(mut self, metrics: &TaskMetrics) -> Self {
        self.metrics = json_to_wire(metrics).unwrap_or_default();
        self
    }
}

/// One task's line to the job manager.
pub(crate) struct TaskLine {
    pub client: JobManagerClient,
    pub session: Session,
    /// To the task's reporter, which keeps states in order.
    pub reports: mpsc::Sender<StateReport>,
}

#[async_trait::async_trait]
impl TaskControl for TaskLine {
    /// Not repeated: when the answer is lost nobody knows which splits were handed out, and
    /// only a restart from the last checkpoint brings them back.
    async fn request_splits(
        &self,
        attempt: ExecutionAttemptId,
        last_checkpoint: CheckpointId,
    ) -> Result<SplitResponse> {
        let request = v1::RequestSplitsRequest {
            task_manager: self.client.id.0.clone(),
            leader_epoch: self.session.epoch.0,
            attempt: Some(attempt_to_wire(&attempt)),
            last_checkpoint: last_checkpoint.0,
        };
        let mut client = self.client.client.clone();
        let answer = timed(SPLITS_TIMEOUT, client.request_splits(request)).await;
        let answer = answer.map_err(|status| self.client.error(&status))?;
        let splits = if answer.splits.is_empty() {
            Vec::new()
        } else {
            json_from_wire(&answer.splits, "the list of splits")?
        };
        Ok(SplitResponse { splits, no_more: answer.no_more, retry_after_ms: answer.retry_after_ms })
    }

    async fn acknowledge(
        &self,
        attempt: ExecutionAttemptId,
        checkpoint: CheckpointId,
        snapshot: SubtaskSnapshot,
    ) -> Result<()> {
        let request = v1::AcknowledgeCheckpointRequest {
            task_manager: self.client.id.0.clone(),
            leader_epoch: self.session.epoch.0,
            attempt: Some(attempt_to_wire(&attempt)),
            checkpoint: checkpoint.0,
            snapshot: json_to_wire(&snapshot)?,
        };
        let call = |mut client: Client| {
            let request = request.clone();
            async move { client.acknowledge_checkpoint(request).await }
        };
        self.client.persist(&self.session, call).await.map(|_| ())
    }

    async fn decline(
        &self,
        attempt: ExecutionAttemptId,
        checkpoint: CheckpointId,
        reason: Error,
    ) -> Result<()> {
        let request = v1::DeclineCheckpointRequest {
            task_manager: self.client.id.0.clone(),
            leader_epoch: self.session.epoch.0,
            attempt: Some(attempt_to_wire(&attempt)),
            checkpoint: checkpoint.0,
            failure: Some(failure_to_wire(&reason)),
        };
        let call = |mut client: Client| {
            let request = request.clone();
            async move { client.decline_checkpoint(request).await }
        };
        self.client.persist(&self.session, call).await.map(|_| ())
    }

    async fn align_watermarks(
        &self,
        attempt: ExecutionAttemptId,
        watermark: Option<Watermark>,
    ) -> Result<AlignmentAnswer> {
        let request = v1::AlignWatermarksRequest {
            task_manager: self.client.id.0.clone(),
            leader_epoch: self.session.epoch.0,
            attempt: Some(attempt_to_wire(&attempt)),
            watermark: watermark.map(|w| w.0),
        };
        let mut client = self.client.client.clone();
        let answer = timed(CALL_TIMEOUT, client.align_watermarks(request)).await;
        let answer = answer.map_err(|status| self.client.error(&status))?;
        Ok(AlignmentAnswer { least: answer.least.map(Watermark), alone: answer.alone })
    }

    fn state_changed(&self, attempt: ExecutionAttemptId, state: ExecutionState) {
        // There are two of these in a task's life and the queue holds more.
        if self.reports.try_send(StateReport::of(state)).is_err() {
            tracing::error!(%attempt, ?state, "a state change found no reporter");
        }
    }
}

/// A call with a deadline; a late answer counts as none.
async fn timed<T>(
    within: Duration,
    call: impl Future<Output = std::result::Result<tonic::Response<T>, tonic::Status>>,
) -> std::result::Result<T, tonic::Status> {
    match tokio::time::timeout(within, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(tonic::Status::deadline_exceeded(format!(
            "no answer within {} ms",
            within.as_millis()
        ))),
    }
}
