//! Registration, tasks from deployment to end, and the loss of the job manager.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::config::StateConfig;
use model::connector::{SinkSpec, SourceSpec};
use model::deployment::TaskDeployment;
use model::job_graph::{JobVertex, OperatorNode};
use model::key_group::KeyGroupRange;
use model::operator_spec::OperatorSpec;
use model::{
    AllocationId, Attempt, ExecutionAttemptId, JobId, LeaderEpoch, SubtaskIndex, VertexId,
};
use proto::v1;
use proto::v1::task_manager_service_client::TaskManagerServiceClient;
use state::HeapBackend;
use tokio::sync::mpsc;
use tonic::Code;
use tonic::transport::Channel;

use super::fake_connectors::{FakeConnectors, NoExpressions, schema};
use super::fake_job_manager::{FakeJobManager, Said};
use crate::{RunningTaskManager, TaskManagerOptions, TaskManagerParts, start};

pub(super) const EPOCH: u64 = 3;

pub(super) struct Cluster {
    job_manager: FakeJobManager,
    pub(super) task_manager: RunningTaskManager,
    pub(super) client: TaskManagerServiceClient<Channel>,
    dropped: mpsc::UnboundedReceiver<()>,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        let mut job_manager = FakeJobManager::start(EPOCH).await;
        job_manager.script.refuse_registrations.store(2, Ordering::SeqCst);
        let (sender, dropped) = mpsc::unbounded_channel();
        let parts = TaskManagerParts {
            connectors: Arc::new(FakeConnectors { dropped: sender }),
            expressions: Arc::new(NoExpressions),
            backends: Arc::new(|_| Ok(Arc::new(HeapBackend) as _)),
        };
        let options = TaskManagerOptions {
            metrics_addr: Some(([127, 0, 0, 1], 0).into()),
            state_dir: Some(std::env::temp_dir()),
            ..TaskManagerOptions::new(job_manager.addr.clone(), 2)
        };
        let task_manager = start(options, parts).await.unwrap();
        let registration = job_manager.registration().await;
        assert_eq!(registration.task_manager, task_manager.id.0);
        assert_eq!((registration.slots, &registration.rpc_addr), (2, &task_manager.rpc_addr));
        // From its first heartbeat on it is known to know the epoch.
        job_manager.heartbeat(|h| h.leader_epoch == EPOCH).await;
        let addr = format!("http://{}", task_manager.rpc_addr);
        let client = TaskManagerServiceClient::connect(addr).await.unwrap();
        Self { job_manager, task_manager, client, dropped }
    }

    pub(super) async fn submit(
        &mut self,
        epoch: u64,
        deployment: &TaskDeployment,
    ) -> Result<(), Code> {
        let deployment = serde_json::to_vec(deployment).unwrap().into();
        let request = v1::SubmitTaskRequest { leader_epoch: epoch, deployment };
        self.client.submit_task(request).await.map(|_| ()).map_err(|s| s.code())
    }

    async fn cancel(&mut self, attempt: ExecutionAttemptId) {
        let attempt = Some(proto::attempt_to_wire(&attempt));
        let request = v1::CancelTaskRequest { leader_epoch: EPOCH, attempt };
        self.client.cancel_task(request).await.unwrap();
    }

    pub(super) async fn expect(&mut self, attempt: ExecutionAttemptId, states: &[&str]) {
        for state in states {
            let (of, reported, failure, _) = self.job_manager.state().await;
            assert_eq!((of, reported.as_str()), (attempt, *state), "{failure:?}");
        }
    }
}

pub(super) fn attempt(subtask: u32, attempt: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        job: JobId(1),
        vertex: VertexId(2),
        subtask: SubtaskIndex(subtask),
        attempt: Attempt(attempt),
    }
}

pub(super) fn deployment(attempt: ExecutionAttemptId, connector: &str) -> TaskDeployment {
    let node = |uid: &str, spec, inputs| OperatorNode {
        uid: uid.to_owned(),
        name: uid.to_owned(),
        spec,
        inputs,
        output: schema(),
    };
    let source = SourceSpec {
        connector: connector.to_owned(),
        options: serde_json::json!({}),
        declared_schema: None,
        projection: None,
        pushdown: Default::default(),
    };
    let sink = SinkSpec {
        connector: "nothing".to_owned(),
        options: serde_json::json!({}),
        schema: schema(),
    };
    TaskDeployment {
        leader_epoch: LeaderEpoch(EPOCH),
        allocation: AllocationId(u128::from(attempt.subtask.0) + 1),
        attempt,
        job_name: "test".to_owned(),
        vertex: JobVertex {
            id: attempt.vertex,
            name: "in -> out".to_owned(),
            parallelism: 2,
            operators: vec![
                node(
                    "in",
                    OperatorSpec::Source { source, dead_letter: false, alignment: None },
                    vec![],
                ),
                node("out", OperatorSpec::Sink { sink }, vec![schema()]),
            ],
            side_outputs: Vec::new(),
        },
        max_parallelism: 128,
        key_groups: KeyGroupRange::all(128),
        state: StateConfig::default(),
        checkpoint_storage: "memory://life".to_owned(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        restore: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_task_finishes_and_hands_over_its_committables() {
    let mut cluster = Cluster::start().await;
    cluster.job_manager.script.lose_updates.store(2, Ordering::SeqCst);
    let task = attempt(0, 1);
    cluster.submit(EPOCH, &deployment(task, "empty")).await.unwrap();
    cluster.expect(task, &["INITIALIZING", "RUNNING"]).await;
    let (_, state, _, last) = cluster.job_manager.state().await;
    assert_eq!(state, "FINISHED");
    let last = last.expect("FINISHED carries the last snapshot");
    assert!(last.finished);
    assert_eq!(last.committables.len(), 1);
    // Its slot is free again, and a repeated deployment does not run it again.
    cluster.submit(EPOCH, &deployment(task, "empty")).await.unwrap();
    cluster.job_manager.heartbeat(|h| h.tasks.is_empty()).await;
    cluster.task_manager.shutdown().await;
    while let Ok(said) = cluster.job_manager.said.try_recv() {
        assert!(!matches!(said, Said::State(..)), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_run_are_reported_and_are_canceled() {
    let mut cluster = Cluster::start().await;
    let task = attempt(0, 1);
    cluster.submit(EPOCH, &deployment(task, "endless")).await.unwrap();
    cluster.submit(EPOCH, &deployment(task, "endless")).await.unwrap();
    cluster.expect(task, &["INITIALIZING", "RUNNING"]).await;
    let wire = proto::attempt_to_wire(&task);
    let running =
        |h: &v1::HeartbeatRequest| h.tasks.len() == 1 && h.tasks[0].attempt.as_ref() == Some(&wire);
    cluster.job_manager.heartbeat(running).await;
    cluster
        .job_manager
        .heartbeat(|h| String::from_utf8_lossy(&h.process).contains("rss_bytes"))
        .await;
    cluster.cancel(task).await;
    cluster.expect(task, &["CANCELED"]).await;
    cluster.dropped.recv().await.unwrap();
    // Canceling what is not here is answered too, and its deployment comes too late.
    let late = attempt(1, 1);
    cluster.cancel(late).await;
    cluster.expect(late, &["CANCELED"]).await;
    cluster.submit(EPOCH, &deployment(late, "endless")).await.unwrap();
    cluster.job_manager.heartbeat(|h| h.tasks.is_empty()).await;
    // A heartbeat's answer may cancel as well.
    let other = attempt(0, 2);
    cluster.submit(EPOCH, &deployment(other, "endless")).await.unwrap();
    cluster.expect(other, &["INITIALIZING", "RUNNING"]).await;
    cluster.job_manager.script.cancel.lock().unwrap().push(proto::attempt_to_wire(&other));
    cluster.expect(other, &["CANCELED"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_cannot_start_fails_with_its_reason() {
    let mut cluster = Cluster::start().await;
    let task = attempt(0, 1);
    cluster.submit(EPOCH, &deployment(task, "mystery")).await.unwrap();
    let failure = loop {
        let (_, state, failure, _) = cluster.job_manager.state().await;
        if state == "FAILED" {
            break failure.unwrap();
        }
    };
    assert_eq!(failure.kind, "user");
    assert!(failure.message.contains("mystery"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_leaders_and_attempts_are_refused() {
    let mut cluster = Cluster::start().await;
    let old = cluster.submit(EPOCH - 1, &deployment(attempt(0, 1), "endless")).await;
    assert_eq!(old, Err(Code::FailedPrecondition));
    let request = v1::TriggerCheckpointRequest { leader_epoch: 1, ..Default::default() };
    let refused = cluster.client.trigger_checkpoint(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);

    let first = attempt(0, 1);
    cluster.submit(EPOCH, &deployment(first, "endless")).await.unwrap();
    cluster.expect(first, &["INITIALIZING", "RUNNING"]).await;
    // A newer attempt of the job ends what is left of the older one.
    let second = attempt(1, 2);
    cluster.submit(EPOCH, &deployment(second, "endless")).await.unwrap();
    cluster.dropped.recv().await.unwrap();
    let stale = cluster.submit(EPOCH, &deployment(attempt(1, 1), "endless")).await;
    assert_eq!(stale, Err(Code::FailedPrecondition));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_are_a_limit() {
    let mut cluster = Cluster::start().await;
    for subtask in 0..2 {
        cluster.submit(EPOCH, &deployment(attempt(subtask, 1), "endless")).await.unwrap();
    }
    let third = deployment(attempt(2, 1), "endless");
    assert_eq!(cluster.submit(EPOCH, &third).await, Err(Code::Unavailable));
    cluster.cancel(attempt(0, 1)).await;
    loop {
        let (of, state, ..) = cluster.job_manager.state().await;
        if (of, state.as_str()) == (attempt(0, 1), "CANCELED") {
            break;
        }
    }
    cluster.submit(EPOCH, &third).await.expect("CANCELED means that the slot is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_is_acknowledged() {
    let mut cluster = Cluster::start().await;
    let task = attempt(0, 1);
    cluster.submit(EPOCH, &deployment(task, "endless")).await.unwrap();
    cluster.expect(task, &["INITIALIZING", "RUNNING"]).await;
    let request = v1::TriggerCheckpointRequest {
        leader_epoch: EPOCH,
        attempts: vec![proto::attempt_to_wire(&task)],
        checkpoint: 9,
        triggered_at_ms: 1,
    };
    cluster.client.trigger_checkpoint(request).await.unwrap();
    let (of, checkpoint, snapshot) = loop {
        if let Said::Acknowledged(of, id, snapshot) = cluster.job_manager.said.recv().await.unwrap()
        {
            break (of, id, snapshot);
        }
    };
    assert_eq!((of, checkpoint), (task, 9));
    assert_eq!(snapshot.splits[0].id, "all");
    assert_eq!(snapshot.committables.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_task_manager_drops_its_tasks_and_registers_anew() {
    let mut cluster = Cluster::start().await;
    let task = attempt(0, 1);
    cluster.submit(EPOCH, &deployment(task, "endless")).await.unwrap();
    cluster.expect(task, &["INITIALIZING", "RUNNING"]).await;
    cluster.job_manager.script.forget.store(1, Ordering::SeqCst);
    cluster.job_manager.registration().await;
    cluster.dropped.try_recv().expect("the task ended before the new registration");
    cluster.job_manager.heartbeat(|h| h.tasks.is_empty()).await;
    // A new leader's epoch does the same.
    let task = attempt(0, 2);
    cluster.submit(EPOCH, &deployment(task, "endless")).await.unwrap();
    cluster.expect(task, &["INITIALIZING", "RUNNING"]).await;
    cluster.job_manager.script.epoch.store(EPOCH + 1, Ordering::SeqCst);
    cluster.job_manager.registration().await;
    cluster.dropped.try_recv().expect("the task ended before the new registration");
    // Once it has read the answer, which its heartbeats show, the old leader is refused.
    cluster.job_manager.heartbeat(|h| h.leader_epoch == EPOCH + 1).await;
    let refused = cluster.submit(EPOCH, &deployment(attempt(0, 3), "endless")).await;
    assert_eq!(refused, Err(Code::FailedPrecondition));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_tells_that_its_tasks_failed() {
    let mut cluster = Cluster::start().await;
    let task = attempt(0, 1);
    cluster.submit(EPOCH, &deployment(task, "endless")).await.unwrap();
    cluster.expect(task, &["INITIALIZING", "RUNNING"]).await;
    cluster.task_manager.shutdown().await;
    let (_, state, failure, _) = cluster.job_manager.state().await;
    assert_eq!(state, "FAILED");
    assert_eq!(failure.unwrap().kind, "external");
}
