//! gRPC on both sides: the service that TaskManagers call, and the client with which the job
//! manager calls them. The only file here that knows wire messages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use model::deployment::TaskDeployment;
use model::inspection::{CpuProfile, LogInfo, ProcessDump};
use model::metrics::TaskMetrics;
use model::{CheckpointId, Error, ExecutionAttemptId, LeaderEpoch, Result, TaskManagerId};
use proto::v1::job_manager_service_server::{JobManagerService, JobManagerServiceServer};
use proto::v1::task_manager_service_client::TaskManagerServiceClient;
use proto::{
    attempt_from_wire, attempt_to_wire, error_to_status, failure_from_wire, json_from_wire,
    json_to_wire, status_to_error, v1,
};
use safety::{ClusterSecret, Prover};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::dispatcher::Dispatcher;
use crate::gateway::{
    GatewayError, GatewayResult, ResultStream, TapBatch, TapRequest, TapStream, TaskManagerGateway,
};
use crate::job_master::{JobHandle, JobMessage, TaskReport};
use crate::slot_pool::TaskManagerInfo;
use crate::source_coordinator::SplitsAnswer;
use crate::watermark_alignment::{Elsewhere, Report};

/// Snapshots carry small state inline, deployments the graph and what is restored.
const MAX_MESSAGE: usize = 256 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Beyond the seconds it samples: finding the names of functions takes its time.
const PROFILE_TIMEOUT: Duration = Duration::from_secs(60);

/// What TaskManagers are told about heartbeats.
#[derive(Clone, Copy, Debug)]
pub struct HeartbeatTiming {
    pub interval_ms: u32,
    pub timeout_ms: u32,
}

/// The service.
pub struct JobManagerRpc {
    dispatcher: Arc<Dispatcher>,
    timing: HeartbeatTiming,
}

pub fn service(
    dispatcher: Arc<Dispatcher>,
    timing: HeartbeatTiming,
) -> JobManagerServiceServer<JobManagerRpc> {
    JobManagerServiceServer::new(JobManagerRpc { dispatcher, timing })
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

type Answer<T> = std::result::Result<Response<T>, Status>;

fn answer<T>(result: Result<T>) -> Answer<T> {
    result.map(Response::new).map_err(|e| error_to_status(&e))
}

impl JobManagerRpc {
    fn epoch(&self) -> LeaderEpoch {
        self.dispatcher.context().leader_epoch
    }

    /// Fences both ends: the caller must know this leader, and this leader the caller.
    fn admit(&self, task_manager: &str, epoch: u64) -> std::result::Result<TaskManagerId, Status> {
        if epoch != self.epoch().0 {
            return Err(Status::failed_precondition(format!(
                "leader epoch {epoch} is not the present one, {}; register again",
                self.epoch()
            )));
        }
        let id = TaskManagerId(task_manager.to_owned());
        if !self.dispatcher.context().cluster.knows(&id) {
            return Err(Status::not_found(format!("TaskManager {id} is not registered")));
        }
        Ok(id)
    }

    /// As [`Self::admit`], for a call that is about one task; an unknown TaskManager's tasks
    /// are of the past.
    fn admit_task(
        &self,
        task_manager: &str,
        epoch: u64,
        attempt: Option<v1::AttemptId>,
    ) -> std::result::Result<(TaskManagerId, ExecutionAttemptId, JobHandle), Status> {
        let id = self
            .admit(task_manager, epoch)
            .map_err(|status| Status::failed_precondition(status.message()))?;
        let attempt = attempt_from_wire(attempt).map_err(|e| error_to_status(&e))?;
        let job = self.dispatcher.running(attempt.job).ok_or_else(|| {
            Status::failed_precondition(format!("job {} does not run here", attempt.job))
        })?;
        Ok((id, attempt, job))
    }
}

fn decoded<T: serde::de::DeserializeOwned + Default>(bytes: &Bytes, what: &str) -> Result<T> {
    if bytes.is_empty() { Ok(T::default()) } else { json_from_wire(bytes, what) }
}

#[tonic::async_trait]
impl JobManagerService for JobManagerRpc {
    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Answer<v1::RegisterResponse> {
        let request = request.into_inner();
        if request.task_manager.is_empty() || request.slots == 0 {
            return Err(Status::invalid_argument(
                "a TaskManager needs an id and at least one slot",
            ));
        }
        self.dispatcher.context().cluster.register(TaskManagerInfo {
            id: TaskManagerId(request.task_manager),
            rpc_addr: request.rpc_addr,
            data_addr: request.data_addr,
            slots: request.slots,
            version: request.version,
        });
        Ok(Response::new(v1::RegisterResponse {
            leader_epoch: self.epoch().0,
            heartbeat_interval_ms: self.timing.interval_ms,
            heartbeat_timeout_ms: self.timing.timeout_ms,
        }))
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Answer<v1::HeartbeatResponse> {
        let request = request.into_inner();
        let id = self.admit(&request.task_manager, request.leader_epoch)?;
        let process = decoded(&request.process, "process figures").unwrap_or_default();
        if !self.dispatcher.context().cluster.heartbeat(&id, process) {
            return Err(Status::not_found(format!("TaskManager {id} is not registered")));
        }
        let mut reports: BTreeMap<_, Vec<(ExecutionAttemptId, TaskMetrics)>> = BTreeMap::new();
        let mut reported = Vec::with_capacity(request.tasks.len());
        for task in request.tasks {
            let attempt = attempt_from_wire(task.attempt).map_err(|e| error_to_status(&e))?;
            // Figures that cannot be read must not cost the heartbeat.
            let metrics = decoded(&task.metrics, "task metrics").unwrap_or_default();
            reported.push(attempt);
            reports.entry(attempt.job).or_default().push((attempt, metrics));
        }
        for job in self.dispatcher.running_jobs() {
            let tasks = reports.remove(&job.id).unwrap_or_default();
            let message = JobMessage::Heartbeat { task_manager: id.clone(), tasks };
            // A job too busy for this one gets the next.
            let _ = job.mailbox.try_send(message);
        }
        let cancel = self.dispatcher.unexpected(&id, &reported);
        Ok(Response::new(v1::HeartbeatResponse {
            leader_epoch: self.epoch().0,
            cancel: cancel.iter().map(attempt_to_wire).collect(),
        }))
    }

    async fn update_task_state(
        &self,
        request: Request<v1::UpdateTaskStateRequest>,
    ) -> Answer<v1::Ack> {
        let request = request.into_inner();
        let (task_manager, attempt, job) =
            self.admit_task(&request.task_manager, request.leader_epoch, request.attempt)?;
        let state = serde_json::from_value(serde_json::Value::String(request.state.clone()))
            .map_err(|_| {
                Status::invalid_argument(format!("`{}` is not a task state", request.state))
            })?;
        let last = decoded(&request.final_snapshot, "the final snapshot")
            .map_err(|e| error_to_status(&e))?;
        let metrics = decoded(&request.metrics, "the metrics").map_err(|e| error_to_status(&e))?;
        let error = request.failure.map(|f| failure_from_wire(Some(f)));
        let report = TaskReport { state, error, last, metrics };
        let message = |reply| JobMessage::TaskState { task_manager, attempt, report, reply };
        answer(job.ask(message).await.and_then(|r| r).map(|()| v1::Ack {}))
    }

    async fn acknowledge_checkpoint(
        &self,
        request: Request<v1::AcknowledgeCheckpointRequest>,
    ) -> Answer<v1::Ack> {
        let request = request.into_inner();
        let (task_manager, attempt, job) =
            self.admit_task(&request.task_manager, request.leader_epoch, request.attempt)?;
        let snapshot =
            json_from_wire(&request.snapshot, "the snapshot").map_err(|e| error_to_status(&e))?;
        let id = CheckpointId(request.checkpoint);
        let message =
            |reply| JobMessage::Acknowledge { task_manager, attempt, id, snapshot, reply };
        answer(job.ask(message).await.and_then(|r| r).map(|()| v1::Ack {}))
    }

    async fn decline_checkpoint(
        &self,
        request: Request<v1::DeclineCheckpointRequest>,
    ) -> Answer<v1::Ack> {
        let request = request.into_inner();
        let (task_manager, attempt, job) =
            self.admit_task(&request.task_manager, request.leader_epoch, request.attempt)?;
        let error = failure_from_wire(request.failure);
        let id = CheckpointId(request.checkpoint);
        let message = |reply| JobMessage::Decline { task_manager, attempt, id, error, reply };
        answer(job.ask(message).await.and_then(|r| r).map(|()| v1::Ack {}))
    }

    async fn request_splits(
        &self,
        request: Request<v1::RequestSplitsRequest>,
    ) -> Answer<v1::RequestSplitsResponse> {
        let request = request.into_inner();
        let (task_manager, attempt, job) =
            self.admit_task(&request.task_manager, request.leader_epoch, request.attempt)?;
        let last_checkpoint = CheckpointId(request.last_checkpoint);
        let message =
            |reply| JobMessage::RequestSplits { task_manager, attempt, last_checkpoint, reply };
        let given = job.ask(message).await.and_then(|r| r);
        answer(given.and_then(|given| {
            let (splits, no_more, retry_after_ms) = match given {
                SplitsAnswer::Splits(splits) => (splits, false, 0),
                SplitsAnswer::RetryAfterMs(ms) => (Vec::new(), false, ms),
                SplitsAnswer::NoMore => (Vec::new(), true, 0),
            };
            let splits = json_to_wire(&splits)?;
            Ok(v1::RequestSplitsResponse { splits, no_more, retry_after_ms })
        }))
    }

    async fn align_watermarks(
        &self,
        request: Request<v1::AlignWatermarksRequest>,
    ) -> Answer<v1::AlignWatermarksResponse> {
        let request = request.into_inner();
        let (task_manager, attempt, job) =
            self.admit_task(&request.task_manager, request.leader_epoch, request.attempt)?;
        let report = Report { watermark: request.watermark };
        let message = |reply| JobMessage::AlignWatermarks { task_manager, attempt, report, reply };
        let told = job.ask(message).await.and_then(|r| r);
        answer(told.map(|Elsewhere { least, alone }| v1::AlignWatermarksResponse { least, alone }))
    }
}

/// Calls TaskManagers; keeps one connection per address.
pub struct TonicGateway {
    epoch: LeaderEpoch,
    secret: Option<ClusterSecret>,
    channels: Mutex<BTreeMap<String, Channel>>,
}

/// Connections kept; beyond that any one goes (it is opened again when needed).
const MAX_CHANNELS: usize = 1024;

impl TonicGateway {
    /// With a secret every call proves it.
    pub fn new(epoch: LeaderEpoch, secret: Option<ClusterSecret>) -> Self {
        Self { epoch, secret, channels: Mutex::default() }
    }

    fn client(
        &self,
        addr: &str,
    ) -> std::result::Result<TaskManagerServiceClient<Prover<Channel>>, GatewayError> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(addr) {
            Some(channel) => channel.clone(),
            None => {
                let channel = endpoint(addr)?.connect_lazy();
                if channels.len() >= MAX_CHANNELS {
                    channels.pop_first();
                }
                channels.insert(addr.to_owned(), channel.clone());
                channel
            }
        };
        Ok(TaskManagerServiceClient::new(Prover::new(channel, self.secret.clone()))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE))
    }

    /// Sorts what went wrong: a refused or broken connection means that the process is gone.
    fn failed(&self, addr: &str, status: &Status) -> GatewayError {
        let error = status_to_error(&format!("TaskManager at {addr}"), status);
        if status.code() == tonic::Code::Unavailable && is_connection_error(status) {
            let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
            channels.remove(addr);
            return GatewayError::Unreachable(error);
        }
        GatewayError::Refused(error)
    }
}

/// Whether the status was made here by the transport, because of an I/O error, rather than
/// sent by the other side.
fn is_connection_error(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind as K;
            return matches!(
                io.kind(),
                K::ConnectionRefused
                    | K::ConnectionReset
                    | K::ConnectionAborted
                    | K::BrokenPipe
                    | K::NotConnected
                    | K::UnexpectedEof
            );
        }
        cause = error.source();
    }
    false
}

#[async_trait]
impl TaskManagerGateway for TonicGateway {
    async fn submit_task(&self, addr: &str, deployment: &TaskDeployment) -> GatewayResult {
        let request = v1::SubmitTaskRequest {
            leader_epoch: self.epoch.0,
            deployment: json_to_wire(deployment).map_err(GatewayError::Refused)?,
        };
        let outcome = self.client(addr)?.submit_task(request).await;
        outcome.map(|_| ()).map_err(|status| self.failed(addr, &status))
    }

    async fn cancel_task(&self, addr: &str, attempt: ExecutionAttemptId) -> GatewayResult {
        let request = v1::CancelTaskRequest {
            leader_epoch: self.epoch.0,
            attempt: Some(attempt_to_wire(&attempt)),
        };
        let outcome = self.client(addr)?.cancel_task(request).await;
        outcome.map(|_| ()).map_err(|status| self.failed(addr, &status))
    }

    async fn trigger_checkpoint(
        &self,
        addr: &str,
        attempts: &[ExecutionAttemptId],
        id: CheckpointId,
        triggered_at_ms: i64,
    ) -> GatewayResult {
        let request = v1::TriggerCheckpointRequest {
            leader_epoch: self.epoch.0,
            attempts: attempts.iter().map(attempt_to_wire).collect(),
            checkpoint: id.0,
            triggered_at_ms,
        };
        let outcome = self.client(addr)?.trigger_checkpoint(request).await;
        outcome.map(|_| ()).map_err(|status| self.failed(addr, &status))
    }

    async fn notify_complete(
        &self,
        addr: &str,
        attempts: &[ExecutionAttemptId],
        id: CheckpointId,
    ) -> GatewayResult {
        let request = self.notice(attempts, id);
        let outcome = self.client(addr)?.notify_checkpoint_complete(request).await;
        outcome.map(|_| ()).map_err(|status| self.failed(addr, &status))
    }

    async fn notify_aborted(
        &self,
        addr: &str,
        attempts: &[ExecutionAttemptId],
        id: CheckpointId,
    ) -> GatewayResult {
        let request = self.notice(attempts, id);
        let outcome = self.client(addr)?.notify_checkpoint_aborted(request).await;
        outcome.map(|_| ()).map_err(|status| self.failed(addr, &status))
    }

    async fn logs(&self, addr: &str) -> std::result::Result<Vec<LogInfo>, GatewayError> {
        let answer = self.get_logs(addr, "", 0).await?;
        json_from_wire(&answer.logs, "the list of logs").map_err(GatewayError::Refused)
    }

    async fn log_text(
        &self,
        addr: &str,
        log: &str,
        tail_bytes: u64,
    ) -> std::result::Result<Option<String>, GatewayError> {
        Ok(self.get_logs(addr, log, tail_bytes).await?.text)
    }

    async fn dump(&self, addr: &str) -> std::result::Result<ProcessDump, GatewayError> {
        let request = v1::DumpRequest { leader_epoch: self.epoch.0 };
        let answer = self.client(addr)?.dump(request).await;
        let answer = answer.map_err(|status| self.failed(addr, &status))?.into_inner();
        json_from_wire(&answer.dump, "the dump").map_err(GatewayError::Refused)
    }

    async fn profile(
        &self,
        addr: &str,
        seconds: u32,
    ) -> std::result::Result<CpuProfile, GatewayError> {
        let request = v1::ProfileRequest { leader_epoch: self.epoch.0, seconds };
        // Not over the channel of the other calls, whose answers must come sooner.
        let within = Duration::from_secs(u64::from(seconds)) + PROFILE_TIMEOUT;
        let channel = endpoint(addr)?.timeout(within).connect_lazy();
        let mut client = TaskManagerServiceClient::new(Prover::new(channel, self.secret.clone()))
            .max_decoding_message_size(MAX_MESSAGE);
        let answer = client.profile(request).await;
        let answer = answer.map_err(|status| self.failed(addr, &status))?.into_inner();
        json_from_wire(&answer.profile, "the profile").map_err(GatewayError::Refused)
    }

    async fn tap(
        &self,
        addr: &str,
        request: &TapRequest,
    ) -> std::result::Result<TapStream, GatewayError> {
        let wire = v1::TapRequest {
            leader_epoch: self.epoch.0,
            attempt: Some(attempt_to_wire(&request.attempt)),
            operator: request.operator.clone(),
            rows_per_second: request.rows_per_second,
            limit: request.limit,
        };
        let opened = self.client(addr)?.tap(wire).await;
        let rows = opened.map_err(|status| self.failed(addr, &status))?.into_inner();
        let addr = addr.to_owned();
        Ok(rows.map(move |message| tapped(&addr, message)).boxed())
    }

    async fn results(
        &self,
        addr: &str,
        attempt: ExecutionAttemptId,
    ) -> std::result::Result<ResultStream, GatewayError> {
        let leader_epoch = self.epoch.0;
        let wire = v1::ResultsRequest { leader_epoch, attempt: Some(attempt_to_wire(&attempt)) };
        // Over a connection of its own: a slow reader must not hold other calls up.
        let channel = endpoint(addr)?.connect_lazy();
        let mut client = TaskManagerServiceClient::new(Prover::new(channel, self.secret.clone()))
            .max_decoding_message_size(MAX_MESSAGE);
        let opened = client.results(wire).await;
        let rows = opened.map_err(|status| self.failed(addr, &status))?.into_inner();
        let addr = addr.to_owned();
        let decoded = rows.map(move |message| {
            let message =
                message.map_err(|s| status_to_error(&format!("TaskManager at {addr}"), &s))?;
            json_from_wire(&message.rows, "the rows of a query")
        });
        Ok(decoded.boxed())
    }
}

/// One message of a tap.
fn tapped(addr: &str, message: std::result::Result<v1::TapRows, Status>) -> Result<TapBatch> {
    let message = message.map_err(|s| status_to_error(&format!("TaskManager at {addr}"), &s))?;
    Ok(TapBatch {
        schema: json_from_wire(&message.schema, "the schema of a tap")?,
        rows: json_from_wire(&message.rows, "the rows of a tap")?,
        dropped: message.dropped,
    })
}

fn endpoint(addr: &str) -> std::result::Result<Endpoint, GatewayError> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(|e| {
        let text = format!("`{addr}` is not the address of a TaskManager");
        GatewayError::Unreachable(Error::user(text).caused_by(e))
    })?;
    Ok(endpoint.connect_timeout(CONNECT_TIMEOUT).timeout(CALL_TIMEOUT).tcp_nodelay(true))
}

impl TonicGateway {
    async fn get_logs(
        &self,
        addr: &str,
        log: &str,
        tail_bytes: u64,
    ) -> std::result::Result<v1::GetLogsResponse, GatewayError> {
        let leader_epoch = self.epoch.0;
        let request = v1::GetLogsRequest { leader_epoch, log: log.to_owned(), tail_bytes };
        let answer = self.client(addr)?.get_logs(request).await;
        answer.map(Response::into_inner).map_err(|status| self.failed(addr, &status))
    }

    fn notice(
        &self,
        attempts: &[ExecutionAttemptId],
        id: CheckpointId,
    ) -> v1::NotifyCheckpointRequest {
        v1::NotifyCheckpointRequest {
            leader_epoch: self.epoch.0,
            attempts: attempts.iter().map(attempt_to_wire).collect(),
            checkpoint: id.0,
        }
    }
}

#[cfg(test)]
mod tests;
