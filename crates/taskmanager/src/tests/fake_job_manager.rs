//! A job manager that records what it is told and answers as a test says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use model::ExecutionAttemptId;
use model::deployment::SubtaskSnapshot;
use proto::v1::job_manager_service_server::{JobManagerService, JobManagerServiceServer};
use proto::v1::{self, Ack};
use tokio::sync::mpsc;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// What a TaskManager said.
#[derive(Debug)]
pub(super) enum Said {
    Register(v1::RegisterRequest),
    /// State, and what came with it.
    State(ExecutionAttemptId, String, Option<v1::Failure>, Option<SubtaskSnapshot>),
    Acknowledged(ExecutionAttemptId, u64, SubtaskSnapshot),
}

pub(super) struct FakeJobManager {
    pub addr: String,
    pub said: mpsc::UnboundedReceiver<Said>,
    pub script: Arc<Script>,
}

/// How it answers.
#[derive(Default)]
pub(super) struct Script {
    pub epoch: AtomicU64,
    /// So many registrations are refused first.
    pub refuse_registrations: AtomicU32,
    /// So many state updates fail first, as if the network did it.
    pub lose_updates: AtomicU32,
    /// The next heartbeat is answered with NOT_FOUND.
    pub forget: AtomicU32,
    pub heartbeat: Mutex<Option<v1::HeartbeatRequest>>,
    pub cancel: Mutex<Vec<v1::AttemptId>>,
}

impl FakeJobManager {
    pub(super) async fn start(epoch: u64) -> Self {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await;
        let listener = listener.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let (sender, said) = mpsc::unbounded_channel();
        let script = Arc::new(Script { epoch: AtomicU64::new(epoch), ..Script::default() });
        let service = FakeService { said: sender, script: Arc::clone(&script) };
        let serve = Server::builder()
            .add_service(JobManagerServiceServer::new(service))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(serve);
        Self { addr, said, script }
    }

    pub(super) async fn registration(&mut self) -> v1::RegisterRequest {
        loop {
            if let Said::Register(request) = self.said.recv().await.unwrap() {
                return request;
            }
        }
    }

    /// The next state reported of any attempt.
    pub(super) async fn state(
        &mut self,
    ) -> (ExecutionAttemptId, String, Option<v1::Failure>, Option<SubtaskSnapshot>) {
        loop {
            if let Said::State(attempt, state, failure, last) = self.said.recv().await.unwrap() {
                return (attempt, state, failure, last);
            }
        }
    }

    /// Waits for a heartbeat that satisfies `good`.
    pub(super) async fn heartbeat(&self, good: impl Fn(&v1::HeartbeatRequest) -> bool) {
        while !self.script.heartbeat.lock().unwrap().as_ref().is_some_and(&good) {
            tokio::task::yield_now().await;
        }
    }
}

struct FakeService {
    said: mpsc::UnboundedSender<Said>,
    script: Arc<Script>,
}

fn count_down(counter: &AtomicU32) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

#[tonic::async_trait]
impl JobManagerService for FakeService {
    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        if count_down(&self.script.refuse_registrations) {
            return Err(Status::unavailable("starting"));
        }
        self.said.send(Said::Register(request.into_inner())).unwrap();
        Ok(Response::new(v1::RegisterResponse {
            leader_epoch: self.script.epoch.load(Ordering::SeqCst),
            heartbeat_interval_ms: 20,
            heartbeat_timeout_ms: 60_000,
        }))
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        if count_down(&self.script.forget) {
            return Err(Status::not_found("unknown task manager"));
        }
        *self.script.heartbeat.lock().unwrap() = Some(request.into_inner());
        Ok(Response::new(v1::HeartbeatResponse {
            leader_epoch: self.script.epoch.load(Ordering::SeqCst),
            cancel: std::mem::take(&mut *self.script.cancel.lock().unwrap()),
        }))
    }

    async fn update_task_state(
        &self,
        request: Request<v1::UpdateTaskStateRequest>,
    ) -> Result<Response<Ack>, Status> {
        if count_down(&self.script.lose_updates) {
            return Err(Status::unavailable("lost"));
        }
        let request = request.into_inner();
        let last = &request.final_snapshot;
        let last = (!last.is_empty()).then(|| serde_json::from_slice(last).unwrap());
        let attempt = proto::attempt_from_wire(request.attempt).unwrap();
        self.said.send(Said::State(attempt, request.state, request.failure, last)).unwrap();
        Ok(Response::new(Ack {}))
    }

    async fn acknowledge_checkpoint(
        &self,
        request: Request<v1::AcknowledgeCheckpointRequest>,
    ) -> Result<Response<Ack>, Status> {
        let request = request.into_inner();
        let attempt = proto::attempt_from_wire(request.attempt).unwrap();
        let snapshot = serde_json::from_slice(&request.snapshot).unwrap();
        self.said.send(Said::Acknowledged(attempt, request.checkpoint, snapshot)).unwrap();
        Ok(Response::new(Ack {}))
    }

    async fn decline_checkpoint(
        &self,
        _request: Request<v1::DeclineCheckpointRequest>,
    ) -> Result<Response<Ack>, Status> {
        Ok(Response::new(Ack {}))
    }

    async fn request_splits(
        &self,
        _request: Request<v1::RequestSplitsRequest>,
    ) -> Result<Response<v1::RequestSplitsResponse>, Status> {
        Ok(Response::new(v1::RequestSplitsResponse { no_more: true, ..Default::default() }))
    }

    async fn align_watermarks(
        &self,
        _request: Request<v1::AlignWatermarksRequest>,
    ) -> Result<Response<v1::AlignWatermarksResponse>, Status> {
        Ok(Response::new(v1::AlignWatermarksResponse { least: None, alone: true }))
    }
}
