//! The service over real connections, and what the client makes of a dead TaskManager.

use super::*;
use crate::fixtures::FakeConnectors;
use crate::{JobManagerOptions, JobManagerParts, PlanFailure, Planner, RunningJobManager, start};
use model::job_graph::JobGraph;
use model::{Attempt, JobId, SubtaskIndex, VertexId};
use proto::v1::job_manager_service_client::JobManagerServiceClient;

struct NoPlanner;

impl Planner for NoPlanner {
    fn plan(&self, _: &str) -> std::result::Result<JobGraph, PlanFailure> {
        Err(PlanFailure { text: "none".into(), diagnostics: serde_json::Value::Null })
    }
}

async fn server(
    storage: &tempfile::TempDir,
) -> (RunningJobManager, JobManagerServiceClient<Channel>) {
    let options = JobManagerOptions::new(format!("file://{}", storage.path().display()));
    let parts = JobManagerParts {
        connectors: Arc::new(FakeConnectors::default()),
        planner: Arc::new(NoPlanner),
    };
    let server = start(options, parts).await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", server.rpc_addr)).unwrap();
    let client = JobManagerServiceClient::new(endpoint.connect().await.unwrap());
    (server, client)
}

fn attempt() -> ExecutionAttemptId {
    ExecutionAttemptId {
        job: JobId(1),
        vertex: VertexId(2),
        subtask: SubtaskIndex(0),
        attempt: Attempt(1),
    }
}

fn heartbeat(epoch: u64) -> v1::HeartbeatRequest {
    v1::HeartbeatRequest {
        task_manager: "tm".into(),
        leader_epoch: epoch,
        tasks: vec![v1::TaskReport {
            attempt: Some(attempt_to_wire(&attempt())),
            metrics: Bytes::new(),
        }],
        process: Bytes::from_static(b"{\"rss_bytes\":1}"),
    }
}

#[tokio::test]
async fn task_managers_register_and_are_fenced() {
    let storage = tempfile::tempdir().unwrap();
    let (server, mut client) = server(&storage).await;
    let request = v1::RegisterRequest {
        task_manager: "tm".into(),
        rpc_addr: "127.0.0.1:1".into(),
        data_addr: "127.0.0.1:1".into(),
        slots: 2,
        version: "test".into(),
    };
    let epoch = server.dispatcher().context().leader_epoch.0;
    let unknown = client.heartbeat(heartbeat(epoch)).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let registered = client.register(request).await.unwrap().into_inner();
    assert_eq!((registered.leader_epoch, registered.heartbeat_timeout_ms), (epoch, 1500));
    let old = client.heartbeat(heartbeat(epoch - 1)).await.unwrap_err();
    assert_eq!(old.code(), tonic::Code::FailedPrecondition);
    // Nobody expects that task.
    let answer = client.heartbeat(heartbeat(epoch)).await.unwrap().into_inner();
    assert_eq!(answer.cancel, [attempt_to_wire(&attempt())]);
    assert_eq!(server.dispatcher().context().cluster.slots(), (2, 2));
    let stale = v1::UpdateTaskStateRequest {
        task_manager: "tm".into(),
        leader_epoch: epoch,
        attempt: Some(attempt_to_wire(&attempt())),
        state: "RUNNING".into(),
        failure: None,
        final_snapshot: Bytes::new(),
        metrics: Bytes::new(),
    };
    let refused = client.update_task_state(stale).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    // Nobody listens at port 1: without heartbeats that is soon found out.
    while server.dispatcher().context().cluster.slots() != (0, 0) {
        tokio::task::yield_now().await;
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_dead_task_manager_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let gateway = TonicGateway::new(LeaderEpoch(1), None);
    let error = gateway.cancel_task(&addr, attempt()).await.unwrap_err();
    assert!(matches!(error, GatewayError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_means_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let closing = tokio::spawn(async move {
        // Accepts and dies, as a killed process does.
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_zero_linger().unwrap();
        drop(stream);
    });
    let gateway = TonicGateway::new(LeaderEpoch(1), None);
    let outcome = gateway.cancel_task(&addr, attempt()).await;
    closing.await.unwrap();
    assert!(outcome.is_err());
    let again = gateway.cancel_task(&addr, attempt()).await.unwrap_err();
    assert!(matches!(again, GatewayError::Unreachable(_)), "{again:?}");
}
