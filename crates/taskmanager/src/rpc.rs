//! TaskManagerService: decodes the job manager's calls and hands them to the executor.
//! Nothing is decided here.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use model::inspection::ProcessDump;
use model::{CheckpointBarrier, CheckpointId, ExecutionAttemptId, LeaderEpoch};
use proto::v1::{
    Ack, CancelTaskRequest, DumpRequest, DumpResponse, GetLogsRequest, GetLogsResponse,
    NotifyCheckpointRequest, ProfileRequest, ProfileResponse, ResultRows, ResultsRequest,
    SubmitTaskRequest, TapRequest, TapRows, TriggerCheckpointRequest,
};
use proto::{attempt_from_wire, error_to_status, json_from_wire, v1};
use runtime::task::TaskCommand;
use tonic::{Request, Response, Status};

use crate::task_executor::TaskExecutor;
use crate::{results, tap, wire};

pub(crate) struct TaskManagerRpc {
    pub(crate) executor: Arc<TaskExecutor>,
}

type Answer = Result<Response<Ack>, Status>;
type Shown<T> = Result<Response<T>, Status>;

fn encoded<T: serde::Serialize>(value: &T) -> Result<bytes::Bytes, Status> {
    proto::json_to_wire(value).map_err(|e| error_to_status(&e))
}

fn answer(result: model::Result<()>) -> Answer {
    result.map(|()| Response::new(Ack {})).map_err(|e| error_to_status(&e))
}

fn attempts(wire: Vec<v1::AttemptId>) -> Result<Vec<ExecutionAttemptId>, Status> {
    let decode = |id| attempt_from_wire(Some(id)).map_err(|e| error_to_status(&e));
    wire.into_iter().map(decode).collect()
}

impl TaskManagerRpc {
    fn admit(&self, epoch: u64) -> Result<(), Status> {
        let admitted = self.executor.sessions.admit(LeaderEpoch(epoch));
        admitted.map(drop).map_err(|e| error_to_status(&e))
    }

    fn notify(
        &self,
        request: NotifyCheckpointRequest,
        command: impl Fn(CheckpointId) -> TaskCommand,
    ) -> Answer {
        let attempts = attempts(request.attempts)?;
        let command = command(CheckpointId(request.checkpoint));
        let told = self.executor.tell(LeaderEpoch(request.leader_epoch), &attempts, command);
        answer(told.map(|full| {
            // A lost notice delays a task's clean-up only: a later one covers it.
            if !full.is_empty() {
                tracing::warn!(tasks = full.len(), ?command, "tasks had no room for a notice");
            }
        }))
    }
}

#[tonic::async_trait]
impl v1::task_manager_service_server::TaskManagerService for TaskManagerRpc {
    async fn submit_task(&self, request: Request<SubmitTaskRequest>) -> Answer {
        let request = request.into_inner();
        let deployment = json_from_wire(&request.deployment, "the task deployment")
            .map_err(|e| error_to_status(&e))?;
        answer(self.executor.submit(LeaderEpoch(request.leader_epoch), deployment))
    }

    async fn cancel_task(&self, request: Request<CancelTaskRequest>) -> Answer {
        let request = request.into_inner();
        let attempt = attempt_from_wire(request.attempt).map_err(|e| error_to_status(&e))?;
        answer(self.executor.cancel(LeaderEpoch(request.leader_epoch), attempt))
    }

    async fn trigger_checkpoint(&self, request: Request<TriggerCheckpointRequest>) -> Answer {
        let request = request.into_inner();
        let attempts = attempts(request.attempts)?;
        let barrier = CheckpointBarrier {
            id: CheckpointId(request.checkpoint),
            triggered_at_ms: request.triggered_at_ms,
        };
        answer(self.executor.trigger(LeaderEpoch(request.leader_epoch), &attempts, barrier))
    }

    async fn notify_checkpoint_complete(
        &self,
        request: Request<NotifyCheckpointRequest>,
    ) -> Answer {
        self.notify(request.into_inner(), TaskCommand::CheckpointComplete)
    }

    async fn get_logs(&self, request: Request<GetLogsRequest>) -> Shown<GetLogsResponse> {
        let request = request.into_inner();
        self.admit(request.leader_epoch)?;
        let ring = telemetry::log_ring();
        let tail_bytes = request.tail_bytes.min(wire::MAX_LOG_BYTES);
        Ok(Response::new(GetLogsResponse {
            logs: encoded(&ring.list())?,
            text: ring.tail(&request.log, tail_bytes),
        }))
    }

    async fn dump(&self, request: Request<DumpRequest>) -> Shown<DumpResponse> {
        self.admit(request.into_inner().leader_epoch)?;
        let mut dump = ProcessDump { threads: telemetry::threads(), tasks: Vec::new() };
        for (core, task) in self.executor.dump() {
            let thread = format!("core-{core}");
            let runs = task.doing.starts_with("running");
            if let Some(thread) = dump.threads.iter_mut().find(|t| t.name == thread && runs) {
                thread.stack.push(task.doing.clone());
                thread.stack.push(format!("task `{}` ({})", task.name, task.subtask));
            }
            dump.tasks.push(task);
        }
        Ok(Response::new(DumpResponse { dump: encoded(&dump)? }))
    }

    async fn profile(&self, request: Request<ProfileRequest>) -> Shown<ProfileResponse> {
        let request = request.into_inner();
        self.admit(request.leader_epoch)?;
        let profile = telemetry::profile(request.seconds).await;
        let mut profile = profile.map_err(|e| error_to_status(&e))?;
        self.executor.name_tasks(&mut profile);
        Ok(Response::new(ProfileResponse { profile: encoded(&profile)? }))
    }

    type TapStream = BoxStream<'static, Result<TapRows, Status>>;

    async fn tap(&self, request: Request<TapRequest>) -> Shown<Self::TapStream> {
        let request = request.into_inner();
        self.admit(request.leader_epoch)?;
        if !self.executor.taps {
            return Err(Status::permission_denied("this task manager runs with --taps off"));
        }
        let attempt = attempt_from_wire(request.attempt).map_err(|e| error_to_status(&e))?;
        let bounds = (request.rows_per_second.min(100) as usize, request.limit as usize);
        let reader = self.executor.tap(&attempt, &request.operator, bounds);
        let reader = reader.map_err(|e| error_to_status(&e))?;
        let rows = futures::stream::unfold(reader, |mut reader| async {
            let sample = reader.next().await?;
            let shown = tap::shown(&sample).map_err(|e| error_to_status(&e));
            let rows =
                shown.map(|s| TapRows { schema: s.schema, rows: s.rows, dropped: s.dropped });
            Some((rows, reader))
        });
        Ok(Response::new(rows.boxed()))
    }

    type ResultsStream = BoxStream<'static, Result<ResultRows, Status>>;

    async fn results(&self, request: Request<ResultsRequest>) -> Shown<Self::ResultsStream> {
        let request = request.into_inner();
        self.admit(request.leader_epoch)?;
        if !self.executor.taps {
            return Err(Status::permission_denied("this task manager runs with --taps off"));
        }
        let attempt = attempt_from_wire(request.attempt).map_err(|e| error_to_status(&e))?;
        let reader = self.executor.results(&attempt).map_err(|e| error_to_status(&e))?;
        let messages = futures::stream::unfold(reader, |mut reader| async {
            let batch = reader.next().await?;
            let rows = match results::encoded(&batch) {
                Ok(messages) => messages.into_iter().map(|rows| Ok(ResultRows { rows })).collect(),
                Err(error) => vec![Err(error_to_status(&error))],
            };
            Some((futures::stream::iter(rows), reader))
        });
        Ok(Response::new(messages.flatten().boxed()))
    }

    async fn notify_checkpoint_aborted(&self, request: Request<NotifyCheckpointRequest>) -> Answer {
        self.notify(request.into_inner(), TaskCommand::CheckpointAborted)
    }
}
