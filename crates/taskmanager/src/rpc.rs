//! TaskManagerService: decodes the job manager's calls and hands them to the executor.
//! Nothing is decided here.

use std::sync::Arc;

use model::{CheckpointBarrier, CheckpointId, ExecutionAttemptId, LeaderEpoch};
use proto::v1::{
    Ack, CancelTaskRequest, NotifyCheckpointRequest, SubmitTaskRequest, TriggerCheckpointRequest,
};
use proto::{attempt_from_wire, error_to_status, json_from_wire, v1};
use runtime::task::TaskCommand;
use tonic::{Request, Response, Status};

use crate::task_executor::TaskExecutor;

pub(crate) struct TaskManagerRpc {
    pub(crate) executor: Arc<TaskExecutor>,
}

type Answer = Result<Response<Ack>, Status>;

fn answer(result: model::Result<()>) -> Answer {
    result.map(|()| Response::new(Ack {})).map_err(|e| error_to_status(&e))
}

fn attempts(wire: Vec<v1::AttemptId>) -> Result<Vec<ExecutionAttemptId>, Status> {
    let decode = |id| attempt_from_wire(Some(id)).map_err(|e| error_to_status(&e));
    wire.into_iter().map(decode).collect()
}

impl TaskManagerRpc {
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

    async fn notify_checkpoint_aborted(&self, request: Request<NotifyCheckpointRequest>) -> Answer {
        self.notify(request.into_inner(), TaskCommand::CheckpointAborted)
    }
}
