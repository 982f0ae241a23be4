//! The JobMaster: the actor that runs one job. Takes messages one by one, turns them into
//! events of [`JobState`] and carries out its actions (`perform.rs`). It never waits on
//! anything but its mailbox and the clock; all I/O runs in spawned tasks that report back.
//! Started by `dispatcher.rs`.

mod commit;
mod discard;
mod perform;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::checkpoint::Manifest;
use model::connector::Connectors;
use model::deployment::SubtaskSnapshot;
use model::execution_state::ExecutionState;
use model::job_graph::JobGraph;
use model::metrics::TaskMetrics;
use model::{
    CheckpointId, Clock, Error, ExecutionAttemptId, JobId, LeaderEpoch, Result, TaskManagerId,
    VertexId,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::checkpoint::store::CheckpointStore;
use crate::checkpoint::{CheckpointEvent, Token};
use crate::cluster::Cluster;
use crate::details::{self, JobSnapshot};
use crate::gateway::TaskManagerGateway;
use crate::job_metrics::JobMetrics;
use crate::job_state::{JobEvent, JobState};
use crate::source_coordinator::{SourceHandle, SplitsAnswer, SplitsRequest};
use crate::watermark_alignment::{Elsewhere, Report, WatermarkAlignment};

pub use restore::Prepared;

use commit::Sinks;

/// Messages that may wait. RPC handlers wait for room; the cluster never does.
const MAILBOX: usize = 1024;

/// What a TaskManager says of one task.
#[derive(Debug)]
pub struct TaskReport {
    pub state: ExecutionState,
    /// With FAILED.
    pub error: Option<Error>,
    /// With FINISHED: its last committables.
    pub last: SubtaskSnapshot,
    /// With every terminal state: its last counters.
    pub metrics: Option<TaskMetrics>,
}

/// What an actor may be told.
#[expect(clippy::large_enum_variant, reason = "few are on their way at a time")]
pub enum JobMessage {
    Event(JobEvent),
    TaskState {
        task_manager: TaskManagerId,
        attempt: ExecutionAttemptId,
        report: TaskReport,
        reply: oneshot::Sender<Result<()>>,
    },
    Acknowledge {
        task_manager: TaskManagerId,
        attempt: ExecutionAttemptId,
        id: CheckpointId,
        snapshot: SubtaskSnapshot,
        reply: oneshot::Sender<Result<()>>,
    },
    Decline {
        task_manager: TaskManagerId,
        attempt: ExecutionAttemptId,
        id: CheckpointId,
        error: Error,
        reply: oneshot::Sender<Result<()>>,
    },
    RequestSplits {
        task_manager: TaskManagerId,
        attempt: ExecutionAttemptId,
        last_checkpoint: CheckpointId,
        reply: oneshot::Sender<Result<SplitsAnswer>>,
    },
    AlignWatermarks {
        task_manager: TaskManagerId,
        attempt: ExecutionAttemptId,
        report: Report,
        reply: oneshot::Sender<Result<Elsewhere>>,
    },
    /// What a TaskManager runs of this job.
    Heartbeat {
        task_manager: TaskManagerId,
        tasks: Vec<(ExecutionAttemptId, TaskMetrics)>,
    },
    Prepared {
        attempt: model::Attempt,
        outcome: Result<Prepared>,
        settled: Option<(CheckpointId, String)>,
    },
    ManifestWritten {
        manifest: Arc<Manifest>,
        outcome: Result<String>,
    },
    /// Answered when the checkpoint is committed, or with why it is not.
    TriggerCheckpoint {
        reply: oneshot::Sender<Result<CheckpointId>>,
    },
    Cancel,
    Describe {
        reply: oneshot::Sender<JobSnapshot>,
    },
}

/// What every job master shares.
#[derive(Clone)]
pub struct JobContext {
    pub leader_epoch: LeaderEpoch,
    pub cluster: Arc<Cluster>,
    pub gateway: Arc<dyn TaskManagerGateway>,
    pub checkpoints: Arc<dyn CheckpointStore>,
    pub connectors: Arc<dyn Connectors>,
    pub clock: Arc<dyn Clock>,
    pub random: Random,
}

/// Draws job ids and writer tokens.
pub type Random = Arc<dyn Fn() -> u128 + Send + Sync>;

/// One job to run.
pub struct JobSpec {
    pub id: JobId,
    pub graph: Arc<JobGraph>,
    pub submitted_at_ms: i64,
    /// The checkpoint it was submitted with, and its URI.
    pub from: Option<(String, Arc<Manifest>)>,
}

/// Tasks that may run, by attempt; read by the heartbeat handler.
pub type Expected = Arc<Mutex<BTreeMap<ExecutionAttemptId, TaskManagerId>>>;

/// How to reach a running job.
#[derive(Clone)]
pub struct JobHandle {
    pub id: JobId,
    pub name: String,
    pub mailbox: mpsc::Sender<JobMessage>,
    expected: Expected,
}

impl JobHandle {
    /// Whether `attempt` may run on that TaskManager.
    pub fn expects(&self, attempt: &ExecutionAttemptId, task_manager: &TaskManagerId) -> bool {
        let expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.get(attempt) == Some(task_manager)
    }

    /// Asks for something that is answered through a channel.
    ///
    /// # Errors
    /// Fenced: the job is over.
    pub async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> JobMessage,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let over = || Error::fenced(format!("job {} is over", self.id));
        self.mailbox.send(message(reply)).await.map_err(|_| over())?;
        answer.await.map_err(|_| over())
    }
}

pub struct JobMaster {
    spec: JobSpec,
    context: JobContext,
    state: JobState,
    mailbox: mpsc::Receiver<JobMessage>,
    /// For what is spawned to report back.
    own: mpsc::Sender<JobMessage>,
    expected: Expected,
    sinks: Arc<Sinks>,
    sources: BTreeMap<VertexId, SourceHandle>,
    alignment: WatermarkAlignment,
    /// The newest complete checkpoint of this job, or what the present attempt started from.
    manifest: Option<Arc<Manifest>>,
    metrics: JobMetrics,
    deploying: CancellationToken,
    waiting: BTreeMap<Token, oneshot::Sender<Result<CheckpointId>>>,
    tokens: u64,
    /// Vertices whose source never ends by itself.
    unbounded: BTreeSet<VertexId>,
}

impl JobMaster {
    /// Checks every source and sink of the job. Nothing runs yet.
    pub fn new(spec: JobSpec, context: JobContext) -> Result<(Self, JobHandle)> {
        let (own, mailbox) = mpsc::channel(MAILBOX);
        let now_ms = context.clock.now_ms();
        let mut state = JobState::new(spec.id, &spec.graph, now_ms);
        if let Some((_, manifest)) = &spec.from {
            state.starts_from(manifest.checkpoint);
        }
        let sinks = Arc::new(Sinks::new(&spec.graph, context.connectors.as_ref())?);
        let unbounded = restore::check_sources(&spec.graph, context.connectors.as_ref())?;
        let expected = Expected::default();
        let handle = JobHandle {
            id: spec.id,
            name: spec.graph.name.clone(),
            mailbox: own.clone(),
            expected: expected.clone(),
        };
        let alignment = WatermarkAlignment::new(&spec.graph);
        let master = Self {
            spec,
            context,
            state,
            mailbox,
            own,
            expected,
            sinks,
            sources: BTreeMap::new(),
            alignment,
            manifest: None,
            metrics: JobMetrics::default(),
            deploying: CancellationToken::new(),
            waiting: BTreeMap::new(),
            tokens: 0,
            unbounded,
        };
        Ok((master, handle))
    }

    /// Runs the job to its end; returns how it ended.
    pub async fn run(mut self) -> JobSnapshot {
        self.context.cluster.join(self.spec.id, self.own.clone());
        self.event(JobEvent::Start);
        while !self.state.status().is_terminal() {
            let pause = self.state.next_deadline_ms().map(|deadline| {
                let ms = deadline.saturating_sub(self.context.clock.now_ms()).clamp(0, 3_600_000);
                Duration::from_millis(ms as u64)
            });
            let alarm = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! { biased;
                () = alarm => self.event(JobEvent::Tick),
                message = self.mailbox.recv() => match message {
                    Some(message) => self.message(message),
                    // Cannot be: we hold a sender ourselves.
                    None => break,
                },
            }
        }
        self.sources.clear();
        self.context.cluster.leave(self.spec.id);
        self.discard_checkpoints().await;
        self.snapshot()
    }

    fn event(&mut self, event: JobEvent) {
        let actions = self.state.on_event(self.context.clock.now_ms(), event);
        // Before anything is deployed: a heartbeat must not cancel what we just started.
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = self.state.expected();
        for action in actions {
            self.perform(action);
        }
    }

    fn message(&mut self, message: JobMessage) {
        match message {
            JobMessage::Event(event) => self.event(event),
            JobMessage::TaskState { task_manager, attempt, report, reply } => {
                let checked = self.state.check(&attempt, Some(&task_manager));
                let outcome = checked.map(|task| {
                    let TaskReport { state, error, last, metrics } = report;
                    if let Some(metrics) = metrics {
                        self.metrics.report(self.context.clock.now_ms(), task, metrics);
                    }
                    self.event(JobEvent::TaskState { task, state, error, last });
                });
                let _ = reply.send(outcome);
            }
            JobMessage::Acknowledge { task_manager, attempt, id, snapshot, reply } => {
                let checked = self.state.check(&attempt, Some(&task_manager));
                let outcome = checked.map(|task| {
                    let attempt = attempt.attempt;
                    let event = CheckpointEvent::Acknowledged { attempt, id, task, snapshot };
                    self.event(JobEvent::Checkpoint(event));
                });
                let _ = reply.send(outcome);
            }
            JobMessage::Decline { task_manager, attempt, id, error, reply } => {
                let checked = self.state.check(&attempt, Some(&task_manager));
                let outcome = checked.map(|task| {
                    let error = error.at(self.state.graph().task_name(task));
                    let attempt = attempt.attempt;
                    let event = CheckpointEvent::Declined { attempt, id, error };
                    self.event(JobEvent::Checkpoint(event));
                });
                let _ = reply.send(outcome);
            }
            JobMessage::RequestSplits { task_manager, attempt, last_checkpoint, reply } => {
                self.request_splits(&task_manager, attempt, last_checkpoint, reply);
            }
            JobMessage::AlignWatermarks { task_manager, attempt, report, reply } => {
                let checked = self.state.check(&attempt, Some(&task_manager));
                let outcome = checked.map(|task| {
                    let graph = self.state.graph();
                    self.alignment.on_report(graph, (task, &task_manager), report)
                });
                let _ = reply.send(outcome);
            }
            JobMessage::Heartbeat { task_manager, tasks } => self.heartbeat(task_manager, tasks),
            JobMessage::Prepared { attempt, outcome, settled } => {
                self.prepared(attempt, outcome, settled);
            }
            JobMessage::ManifestWritten { manifest, outcome } => {
                let id = manifest.checkpoint;
                if outcome.is_ok() {
                    self.manifest = Some(manifest);
                }
                let event = CheckpointEvent::ManifestWritten { id, outcome };
                self.event(JobEvent::Checkpoint(event));
            }
            JobMessage::TriggerCheckpoint { reply } => {
                self.tokens += 1;
                let token = Token(self.tokens);
                self.waiting.insert(token, reply);
                self.event(JobEvent::Checkpoint(CheckpointEvent::Manual { token }));
            }
            JobMessage::Cancel => self.event(JobEvent::Cancel),
            JobMessage::Describe { reply } => {
                let _ = reply.send(self.snapshot());
            }
        }
    }

    fn request_splits(
        &self,
        task_manager: &TaskManagerId,
        attempt: ExecutionAttemptId,
        last_checkpoint: CheckpointId,
        reply: oneshot::Sender<Result<SplitsAnswer>>,
    ) {
        let refused = match self.state.check(&attempt, Some(task_manager)) {
            Err(error) => error,
            Ok(task) => match self.sources.get(&task.vertex) {
                Some(source) => {
                    let subtask = task.subtask;
                    return source.request(SplitsRequest { subtask, last_checkpoint, reply });
                }
                // The attempt is being canceled.
                None => Error::fenced(format!("task {attempt} has no source coordinator")),
            },
        };
        let _ = reply.send(Err(refused));
    }

    fn heartbeat(
        &mut self,
        task_manager: TaskManagerId,
        tasks: Vec<(ExecutionAttemptId, TaskMetrics)>,
    ) {
        let now_ms = self.context.clock.now_ms();
        let mut ids = Vec::with_capacity(tasks.len());
        for (attempt, metrics) in tasks {
            if let Ok(task) = self.state.check(&attempt, Some(&task_manager)) {
                self.metrics.report(now_ms, task, metrics);
                ids.push(attempt);
            }
        }
        self.event(JobEvent::Report { id: task_manager, tasks: ids });
    }

    fn snapshot(&self) -> JobSnapshot {
        let now_ms = self.context.clock.now_ms();
        let mut snapshot = details::snapshot(&self.spec, &self.state, &self.metrics, now_ms);
        snapshot.unbounded = self.unbounded.clone();
        snapshot
    }
}

#[cfg(test)]
mod tests;
