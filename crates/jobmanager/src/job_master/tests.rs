//! A whole job's life through the JobMaster; the test plays the TaskManagers.

use super::*;
use crate::checkpoint::history::CheckpointStatus;
use crate::fixtures::{self, Call, FakeConnectors, FakeGateway, MemoryStore};
use bytes::Bytes;
use model::config::RestartStrategy;
use model::deployment::{CommittableBytes, TaskDeployment};
use model::execution_state::JobStatus;
use model::{Attempt, ErrorKind, SystemClock};
use std::sync::atomic::{AtomicU64, Ordering};

struct World {
    connectors: Arc<FakeConnectors>,
    store: Arc<MemoryStore>,
    gateway: Arc<FakeGateway>,
    calls: mpsc::UnboundedReceiver<Call>,
    context: JobContext,
    /// Where each attempt was deployed.
    places: BTreeMap<ExecutionAttemptId, TaskManagerId>,
}

impl World {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (gateway, calls) = FakeGateway::new();
        let connectors = Arc::new(FakeConnectors::default());
        let store = Arc::new(MemoryStore::default());
        let drawn = AtomicU64::new(1);
        let context = JobContext {
            leader_epoch: LeaderEpoch(1),
            cluster: Arc::new(Cluster::new(LeaderEpoch(1), 60_000, clock.clone())),
            gateway: gateway.clone(),
            checkpoints: store.clone(),
            connectors: connectors.clone(),
            clock,
            random: Arc::new(move || u128::from(drawn.fetch_add(1, Ordering::SeqCst))),
        };
        for id in ["a", "b", "c"] {
            context.cluster.register(fixtures::task_manager(id, 1));
        }
        Self { connectors, store, gateway, calls, context, places: BTreeMap::new() }
    }

    fn start(
        &self,
        id: u128,
        from: Option<(String, Arc<Manifest>)>,
    ) -> (JobHandle, tokio::task::JoinHandle<JobSnapshot>) {
        let graph = Arc::new(fixtures::graph(2));
        let spec = JobSpec { id: JobId(id), graph, submitted_at_ms: 0, from };
        let (master, handle) = JobMaster::new(spec, self.context.clone()).unwrap();
        (handle, tokio::spawn(master.run()))
    }

    async fn call(&mut self) -> Call {
        self.calls.recv().await.expect("the job master calls")
    }

    /// Takes the four deployments and reports every task as running.
    async fn deployed(&mut self, job: &JobHandle) -> Vec<TaskDeployment> {
        let mut all = Vec::new();
        while all.len() < 4 {
            if let Call::Submit(deployment) = self.call().await {
                let slots = self.context.cluster.task_managers();
                let place = ["a", "b", "c"]
                    .map(|id| TaskManagerId(id.to_owned()))
                    .into_iter()
                    .find(|id| job.expects(&deployment.attempt, id));
                assert!(place.is_some(), "expected nowhere: {slots:?}");
                self.places.insert(deployment.attempt, place.unwrap());
                all.push(*deployment);
            }
        }
        for deployment in &all {
            self.report(job, deployment.attempt, ExecutionState::Running).await.unwrap();
        }
        all
    }

    async fn report(
        &self,
        job: &JobHandle,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
    ) -> Result<()> {
        let last = SubtaskSnapshot::default();
        self.report_with(job, attempt, state, last).await
    }

    async fn report_with(
        &self,
        job: &JobHandle,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        last: SubtaskSnapshot,
    ) -> Result<()> {
        let task_manager = self.places[&attempt].clone();
        let report = TaskReport { state, error: None, last, metrics: None };
        let message = |reply| JobMessage::TaskState { task_manager, attempt, report, reply };
        job.ask(message).await.and_then(|r| r)
    }

    async fn acknowledge(
        &self,
        job: &JobHandle,
        attempt: ExecutionAttemptId,
        id: CheckpointId,
        snapshot: SubtaskSnapshot,
    ) -> Result<()> {
        let task_manager = self.places[&attempt].clone();
        let message =
            |reply| JobMessage::Acknowledge { task_manager, attempt, id, snapshot, reply };
        job.ask(message).await.and_then(|r| r)
    }

    /// Asks for splits until the enumerator has discovered them.
    async fn splits(
        &self,
        job: &JobHandle,
        attempt: ExecutionAttemptId,
        last: u64,
    ) -> Result<SplitsAnswer> {
        loop {
            let task_manager = self.places[&attempt].clone();
            let last_checkpoint = CheckpointId(last);
            let message =
                |reply| JobMessage::RequestSplits { task_manager, attempt, last_checkpoint, reply };
            match job.ask(message).await.and_then(|r| r)? {
                SplitsAnswer::RetryAfterMs(50) => tokio::task::yield_now().await,
                other => return Ok(other),
            }
        }
    }

    /// Takes the trigger to both sources.
    async fn triggered(&mut self) -> CheckpointId {
        let (mut sources, mut checkpoint) = (0, CheckpointId(0));
        while sources < 2 {
            if let Call::Trigger { attempts, id } = self.call().await {
                sources += attempts.len();
                checkpoint = id;
            }
        }
        checkpoint
    }

    /// Takes the next notice of a complete checkpoint.
    async fn completed(&mut self) -> CheckpointId {
        loop {
            if let Call::Complete(id) = self.call().await {
                return id;
            }
        }
    }

    fn kill(&self, id: &str) {
        self.gateway.down.lock().unwrap().insert(format!("{id}:1"));
    }
}

fn split(id: &str) -> model::source::Split {
    model::source::Split { id: id.into(), data: Bytes::new() }
}

fn committable(text: String) -> CommittableBytes {
    CommittableBytes(Bytes::from(text))
}

/// What a task of a checkpoint answers: readers hold a split, writers have staged a file.
fn snapshot_of(deployment: &TaskDeployment, id: CheckpointId) -> SubtaskSnapshot {
    let subtask = deployment.attempt.subtask;
    let mut snapshot = SubtaskSnapshot::default();
    if deployment.vertex.is_source() {
        snapshot.splits = vec![split(&format!("held-{subtask}"))];
    } else {
        snapshot.committables = vec![committable(format!("{id}/{subtask}"))];
    }
    snapshot
}

async fn take_checkpoint(
    world: &mut World,
    job: &JobHandle,
    tasks: &[TaskDeployment],
) -> CheckpointId {
    let asking = job.clone();
    let asked = tokio::spawn(async move {
        asking.ask(|reply| JobMessage::TriggerCheckpoint { reply }).await.and_then(|r| r)
    });
    let id = world.triggered().await;
    for task in tasks {
        world.acknowledge(job, task.attempt, id, snapshot_of(task, id)).await.unwrap();
    }
    assert_eq!(asked.await.unwrap().unwrap(), id);
    id
}

async fn finish_all(world: &World, job: &JobHandle, tasks: &[TaskDeployment]) {
    for task in tasks {
        let mut last = SubtaskSnapshot::default();
        if task.vertex.is_sink() {
            last.committables = vec![committable(format!("end/{}", task.attempt.subtask))];
        }
        // The last report may find the job over already; it is answered all the same.
        let state = ExecutionState::Finished;
        world.report_with(job, task.attempt, state, last).await.unwrap();
    }
}

#[tokio::test]
async fn a_job_survives_the_loss_of_a_task_manager() {
    let mut world = World::new();
    let (job, running) = world.start(7, None);
    let first = world.deployed(&job).await;
    assert!(first[0].vertex.is_sink() && first[3].vertex.is_source(), "consumers first");
    assert!(first.iter().all(|d| d.restore.is_none()));

    let source = first[2].attempt;
    let given = world.splits(&job, source, 0).await.unwrap();
    assert_eq!(given, SplitsAnswer::Splits(vec![split("s3")]));
    let id = take_checkpoint(&mut world, &job, &first).await;
    assert_eq!(world.completed().await, id);
    let committed = || world.connectors.committed.lock().unwrap().clone();
    assert_eq!(committed(), ["1/0", "1/1"]);
    assert!(world.store.manifests.lock().unwrap().contains_key(&(job.id, id)));

    // The one that runs subtask 0 dies; its neighbour's task fails for it.
    let lost = world.places[&source].clone();
    world.kill(&lost.0);
    let neighbour = first.iter().find(|d| world.places[&d.attempt] != lost).unwrap().attempt;
    world.report(&job, neighbour, ExecutionState::Failed).await.unwrap();
    let survivors = first.iter().filter(|d| world.places[&d.attempt] != lost).count();
    let mut canceled = Vec::new();
    while canceled.len() < survivors - 1 {
        if let Call::Cancel(attempt) = world.call().await {
            canceled.push(attempt);
        }
    }
    for attempt in &canceled {
        world.report(&job, *attempt, ExecutionState::Canceled).await.unwrap();
    }

    let second = world.deployed(&job).await;
    assert!(second.iter().all(|d| d.attempt.attempt == Attempt(2)));
    assert!(second.iter().all(|d| world.places[&d.attempt] != lost));
    assert!(second.iter().all(|d| d.restore.as_ref().is_some_and(|r| r.checkpoint == id)));
    assert_eq!(world.connectors.kept.lock().unwrap().len(), 1);
    assert_eq!(world.connectors.committed.lock().unwrap().len(), 4, "committed again on restore");

    // What wakes up after its replacement took over is refused.
    let stale = world.acknowledge(&job, source, CheckpointId(2), SubtaskSnapshot::default()).await;
    assert_eq!(stale.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(world.splits(&job, source, 9).await.unwrap_err().kind(), ErrorKind::Fenced);

    // Splits of lost readers are handed out again, none twice.
    let mut again = Vec::new();
    let reader = second[2].attempt;
    while let SplitsAnswer::Splits(splits) = world.splits(&job, reader, 1).await.unwrap() {
        again.extend(splits.into_iter().map(|s| s.id));
    }
    again.sort();
    assert_eq!(again, ["held-0", "held-1", "s0", "s1", "s2"]);

    finish_all(&world, &job, &second).await;
    let end = running.await.unwrap();
    assert_eq!(end.details.status, JobStatus::Finished);
    assert_eq!((end.details.restarts, end.details.attempt), (1, Attempt(2)));
    let committed = world.connectors.committed.lock().unwrap().clone();
    assert_eq!(&committed[4..], ["end/0", "end/1"]);
    assert_eq!(end.details.checkpoints.completed, 2);
    let left = world.store.manifests.lock().unwrap().keys().filter(|k| k.0 == job.id).count();
    assert_eq!(left, 0, "a finished job needs no checkpoint");
    assert_eq!(world.context.cluster.slots(), (2, 2), "slots are given back");
}

#[tokio::test]
async fn no_splits_are_handed_out_behind_a_checkpoint() {
    let mut world = World::new();
    let (job, _running) = world.start(7, None);
    let tasks = world.deployed(&job).await;
    let asking = job.clone();
    let asked = tokio::spawn(async move {
        asking.ask(|reply| JobMessage::TriggerCheckpoint { reply }).await.and_then(|r| r)
    });
    let id = world.triggered().await;
    let source = tasks[2].attempt;
    assert_eq!(world.splits(&job, source, 0).await.unwrap(), SplitsAnswer::RetryAfterMs(20));
    assert!(matches!(world.splits(&job, source, id.0).await.unwrap(), SplitsAnswer::Splits(_)));
    for task in &tasks {
        world.acknowledge(&job, task.attempt, id, SubtaskSnapshot::default()).await.unwrap();
    }
    asked.await.unwrap().unwrap();
    assert!(matches!(world.splits(&job, source, 0).await.unwrap(), SplitsAnswer::Splits(_)));
}

#[tokio::test]
async fn a_manifest_whose_answer_was_lost_is_found_by_the_restart() {
    let mut world = World::new();
    let (job, running) = world.start(7, None);
    let first = world.deployed(&job).await;
    *world.store.lose_answer.lock().unwrap() = true;
    let asking = job.clone();
    let asked = tokio::spawn(async move {
        asking.ask(|reply| JobMessage::TriggerCheckpoint { reply }).await.and_then(|r| r)
    });
    let id = world.triggered().await;
    for task in &first {
        world.acknowledge(&job, task.attempt, id, snapshot_of(task, id)).await.unwrap();
    }
    assert!(asked.await.unwrap().is_err());
    let mut canceled = 0;
    while canceled < 4 {
        if let Call::Cancel(attempt) = world.call().await {
            canceled += 1;
            world.report(&job, attempt, ExecutionState::Canceled).await.unwrap();
        }
    }
    let second = world.deployed(&job).await;
    assert!(second.iter().all(|d| d.restore.as_ref().is_some_and(|r| r.checkpoint == id)));
    assert_eq!(*world.connectors.committed.lock().unwrap(), ["1/0", "1/1"]);
    let snapshot = job.ask(|reply| JobMessage::Describe { reply }).await.unwrap();
    assert_eq!(snapshot.checkpoints[0].status, CheckpointStatus::Completed);
    finish_all(&world, &job, &second).await;
    assert_eq!(running.await.unwrap().details.status, JobStatus::Finished);
}

#[tokio::test]
async fn a_deletion_that_failed_is_made_up_for() {
    let mut world = World::new();
    let (job, _running) = world.start(7, None);
    let tasks = world.deployed(&job).await;
    *world.store.fail_delete.lock().unwrap() = true;
    let mut newest = CheckpointId(0);
    // The job file retains three; the fourth's deletion fails, a later list finds what is left.
    for _ in 0..20 {
        newest = take_checkpoint(&mut world, &job, &tasks).await;
        let failed = !*world.store.fail_delete.lock().unwrap();
        if failed && world.store.manifests.lock().unwrap().len() == 3 {
            break;
        }
    }
    let left: Vec<u64> = world.store.manifests.lock().unwrap().keys().map(|k| k.1.0).collect();
    assert!(newest.0 > 4 && !left.contains(&1) && left.len() == 3, "{left:?} of {newest}");
}

#[tokio::test]
async fn a_job_starts_from_another_jobs_checkpoint() {
    let mut world = World::new();
    let (job, running) = world.start(7, None);
    let tasks = world.deployed(&job).await;
    let id = take_checkpoint(&mut world, &job, &tasks).await;
    let manifest = world.store.manifests.lock().unwrap()[&(job.id, id)].clone();
    job.mailbox.send(JobMessage::Cancel).await.unwrap_or_else(|_| panic!("the job runs"));
    let mut canceled = 0;
    while canceled < 4 {
        if let Call::Cancel(attempt) = world.call().await {
            canceled += 1;
            world.report(&job, attempt, ExecutionState::Canceled).await.unwrap();
        }
    }
    assert_eq!(running.await.unwrap().details.status, JobStatus::Canceled);
    assert!(world.store.manifests.lock().unwrap().is_empty(), "nor does a canceled one");
    let (heir, running) = world.start(8, Some(("there".into(), Arc::new(manifest))));
    let tasks = world.deployed(&heir).await;
    assert!(tasks.iter().all(|d| d.restore.as_ref().is_some_and(|r| r.checkpoint == id)));
    let next = take_checkpoint(&mut world, &heir, &tasks).await;
    assert_eq!(next, CheckpointId(id.0 + 1), "ids go on");
    finish_all(&world, &heir, &tasks).await;
    let end = running.await.unwrap();
    assert_eq!(
        (end.details.status, end.details.from.as_deref()),
        (JobStatus::Finished, Some("there"))
    );
}

#[tokio::test]
async fn a_task_that_cannot_be_deployed_fails_the_attempt() {
    let mut world = World::new();
    for id in ["a", "b", "c"] {
        world.kill(id);
    }
    let mut graph = fixtures::graph(2);
    graph.restart = RestartStrategy::None;
    let spec = JobSpec { id: JobId(9), graph: Arc::new(graph), submitted_at_ms: 0, from: None };
    let (master, _handle) = JobMaster::new(spec, world.context.clone()).unwrap();
    let end = master.run().await;
    assert_eq!(end.details.status, JobStatus::Failed);
    assert!(end.details.failure.unwrap().contains("connection refused"));
    assert!(world.calls.try_recv().is_err());
    assert!(world.context.cluster.slots().0 < 3, "who does not answer is lost");
}

#[tokio::test]
async fn a_manifest_that_was_never_written_leaves_the_job_without_it() {
    let mut world = World::new();
    let (job, running) = world.start(7, None);
    let first = world.deployed(&job).await;
    let id = take_checkpoint(&mut world, &job, &first).await;
    *world.store.lose_answer.lock().unwrap() = true;
    let asking = job.clone();
    let asked = tokio::spawn(async move {
        asking.ask(|reply| JobMessage::TriggerCheckpoint { reply }).await.and_then(|r| r)
    });
    let doubtful = world.triggered().await;
    for task in &first {
        world.acknowledge(&job, task.attempt, doubtful, SubtaskSnapshot::default()).await.unwrap();
    }
    assert!(asked.await.unwrap().is_err());
    world.store.manifests.lock().unwrap().remove(&(job.id, doubtful));
    let mut canceled = 0;
    while canceled < 4 {
        if let Call::Cancel(attempt) = world.call().await {
            canceled += 1;
            world.report(&job, attempt, ExecutionState::Canceled).await.unwrap();
        }
    }
    let second = world.deployed(&job).await;
    assert!(second.iter().all(|d| d.restore.as_ref().is_some_and(|r| r.checkpoint == id)));
    finish_all(&world, &job, &second).await;
    assert_eq!(running.await.unwrap().details.checkpoints.failed, 1);
}
