//! The tasks of this process: starts them on core threads, passes the job manager's words
//! on to them, reports how they fare. Called by `rpc.rs` and `heartbeat.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use model::deployment::TaskDeployment;
use model::execution_state::ExecutionState;
use model::{
    AllocationId, CheckpointBarrier, Clock, Error, ExecutionAttemptId, LeaderEpoch, Result,
};
use proto::v1;
use runtime::core_threads::{CoreTask, CoreThreads};
use runtime::task::{SharedMetrics, TaskCommand, TaskControl, TaskOutcome, TaskSetup};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::TaskManagerParts;
use crate::attempts::Attempts;
use crate::exchange::DataExchange;
use crate::job_manager::{JobManagerClient, StateReport, TaskLine};
use crate::session::{Session, Sessions};
use crate::slot_table::SlotTable;
use crate::snapshots::Storages;

/// Checkpoint triggers and notices that a task has not taken up yet.
const COMMANDS_QUEUED: usize = 64;
/// INITIALIZING and RUNNING, with room to spare.
const REPORTS_QUEUED: usize = 8;

pub(crate) struct TaskExecutor {
    pub(crate) sessions: Sessions,
    pub(crate) client: JobManagerClient,
    pub(crate) parts: TaskManagerParts,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) exchange: Arc<DataExchange>,
    pub(crate) cores: CoreThreads,
    pub(crate) io: tokio::runtime::Handle,
    pub(crate) storages: Storages,
    pub(crate) tasks: Mutex<Tasks>,
    /// Notified whenever a task has left the table.
    pub(crate) ended: Notify,
    /// No task is taken any more, and those that end are failures to the job manager.
    pub(crate) stopping: AtomicBool,
}

pub(crate) struct Tasks {
    pub(crate) slots: SlotTable,
    attempts: Attempts,
    running: BTreeMap<ExecutionAttemptId, Running>,
}

impl Tasks {
    pub(crate) fn new(slots: SlotTable) -> Self {
        Self { slots, attempts: Attempts::default(), running: BTreeMap::new() }
    }
}

/// A task from its deployment until the job manager has heard of its end.
struct Running {
    commands: mpsc::Sender<TaskCommand>,
    cancel: CancellationToken,
    metrics: Arc<SharedMetrics>,
    line: Arc<TaskLine>,
}

/// What `supervise` needs besides the task itself.
struct Supervision {
    attempt: ExecutionAttemptId,
    allocation: AllocationId,
    session: Session,
    cancel: CancellationToken,
    reports: mpsc::Receiver<StateReport>,
}

impl TaskExecutor {
    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a task. Repeating a deployment is harmless. Fails with kind Fenced for an
    /// older leader or attempt, External when there is no slot or we are stopping.
    pub(crate) fn submit(
        self: &Arc<Self>,
        epoch: LeaderEpoch,
        deployment: TaskDeployment,
    ) -> Result<()> {
        let session = self.sessions.admit(epoch)?;
        if self.stopping.load(Ordering::SeqCst) {
            return Err(Error::external("this task manager is stopping"));
        }
        let (attempt, allocation) = (deployment.attempt, deployment.allocation);
        let mut tasks = self.lock();
        if !tasks.attempts.admit(attempt)? {
            return Ok(());
        }
        for (other, running) in &tasks.running {
            if other.job == attempt.job && other.attempt < attempt.attempt {
                running.cancel.cancel();
            }
        }
        let core = match tasks.slots.acquire(allocation, attempt) {
            Ok(core) => core,
            Err(error) => {
                tasks.attempts.forget(&attempt);
                return Err(error);
            }
        };
        let cancel = session.ended.child_token();
        let (commands, commanded) = mpsc::channel(COMMANDS_QUEUED);
        let (reports, reported) = mpsc::channel(REPORTS_QUEUED);
        let metrics = Arc::<SharedMetrics>::default();
        let line = TaskLine { client: self.client.clone(), session: session.clone(), reports };
        let line = Arc::new(line);
        let running = Running {
            commands,
            cancel: cancel.clone(),
            metrics: Arc::clone(&metrics),
            line: Arc::clone(&line),
        };
        tasks.running.insert(attempt, running);
        drop(tasks);
        let task = self.setup(deployment, line, commanded, cancel.clone(), metrics);
        let task = task.map(|setup| {
            self.cores.spawn(core, Box::new(move || runtime::task::run(setup).boxed_local()))
        });
        tracing::info!(%attempt, core, "task deployed");
        let supervision = Supervision { attempt, allocation, session, cancel, reports: reported };
        self.io.spawn(Arc::clone(self).supervise(task, supervision));
        Ok(())
    }

    fn setup(
        &self,
        deployment: TaskDeployment,
        control: Arc<TaskLine>,
        commands: mpsc::Receiver<TaskCommand>,
        cancel: CancellationToken,
        metrics: Arc<SharedMetrics>,
    ) -> Result<TaskSetup> {
        let backend = (self.parts.backends)(deployment.state.backend)?;
        let storage = &deployment.checkpoint_storage;
        let checkpoints = self.storages.for_job(storage, deployment.attempt.job)?;
        Ok(TaskSetup {
            deployment,
            exchange: Arc::clone(&self.exchange) as _,
            connectors: Arc::clone(&self.parts.connectors),
            expressions: Arc::clone(&self.parts.expressions),
            backend,
            checkpoints,
            control,
            clock: Arc::clone(&self.clock),
            commands,
            cancel,
            metrics,
            io: self.io.clone(),
        })
    }

    /// Reports a task's states in order, waits for its end, frees its slot, reports the end.
    async fn supervise(
        self: Arc<Self>,
        task: Result<CoreTask<TaskOutcome>>,
        mut supervision: Supervision,
    ) {
        let attempt = supervision.attempt;
        let ended = match task {
            Err(error) => Err(error),
            Ok(mut task) => loop {
                tokio::select! {
                    biased;
                    Some(report) = supervision.reports.recv() => {
                        self.report(&supervision.session, attempt, report).await;
                    }
                    ended = &mut task => break ended,
                }
            },
        };
        while let Ok(report) = supervision.reports.try_recv() {
            self.report(&supervision.session, attempt, report).await;
        }
        self.lock().slots.release(supervision.allocation, &attempt);
        let mut last = self.last_report(attempt, ended, &supervision.cancel);
        let metrics = self.lock().running.get(&attempt).map(|r| r.metrics.snapshot());
        if let Some(metrics) = metrics {
            last = last.with_metrics(&metrics);
        }
        self.report(&supervision.session, attempt, last).await;
        self.lock().running.remove(&attempt);
        self.ended.notify_waiters();
    }

    fn last_report(
        &self,
        attempt: ExecutionAttemptId,
        ended: Result<TaskOutcome>,
        cancel: &CancellationToken,
    ) -> StateReport {
        let stopped = || StateReport::failed(&Error::external("its task manager was stopped"));
        match ended {
            Ok(TaskOutcome::Finished(snapshot)) => {
                tracing::info!(%attempt, "task finished");
                StateReport::finished(&snapshot).unwrap_or_else(|e| StateReport::failed(&e))
            }
            Ok(TaskOutcome::Canceled) if self.stopping.load(Ordering::SeqCst) => stopped(),
            Ok(TaskOutcome::Canceled) => {
                tracing::info!(%attempt, "task canceled");
                StateReport::of(ExecutionState::Canceled)
            }
            // What a task says while it is torn down is of no interest to anybody.
            Err(error) if cancel.is_cancelled() => {
                tracing::debug!(%attempt, error = error.chain(), "task canceled, with an error");
                StateReport::of(ExecutionState::Canceled)
            }
            Err(error) => {
                tracing::warn!(%attempt, kind = ?error.kind(), error = error.chain(), "task failed");
                StateReport::failed(&error)
            }
        }
    }

    async fn report(&self, session: &Session, attempt: ExecutionAttemptId, report: StateReport) {
        let state = report.state;
        if let Err(error) = self.client.update_task_state(session, attempt, report).await {
            tracing::info!(%attempt, ?state, reason = error.chain(), "nobody takes this report");
        }
    }

    /// Cancels a task; its CANCELED follows. One that is not here counts as canceled, and
    /// its deployment, should it still come, is ignored.
    pub(crate) fn cancel(
        self: &Arc<Self>,
        epoch: LeaderEpoch,
        attempt: ExecutionAttemptId,
    ) -> Result<()> {
        let session = self.sessions.admit(epoch)?;
        if self.cancel_running(&attempt) {
            return Ok(());
        }
        // Older than what has been here is as good as gone.
        let _ = self.lock().attempts.admit(attempt);
        let executor = Arc::clone(self);
        self.io.spawn(async move {
            let canceled = StateReport::of(ExecutionState::Canceled);
            executor.report(&session, attempt, canceled).await;
        });
        Ok(())
    }

    /// Cancels a task if it is here.
    pub(crate) fn cancel_running(&self, attempt: &ExecutionAttemptId) -> bool {
        let tasks = self.lock();
        let running = tasks.running.get(attempt);
        if let Some(running) = running {
            running.cancel.cancel();
        }
        running.is_some()
    }

    /// Starts a checkpoint at the named tasks. One that is too far behind to listen declines.
    pub(crate) fn trigger(
        &self,
        epoch: LeaderEpoch,
        attempts: &[ExecutionAttemptId],
        barrier: CheckpointBarrier,
    ) -> Result<()> {
        for attempt in self.tell(epoch, attempts, TaskCommand::TriggerCheckpoint(barrier))? {
            let line = self.lock().running.get(&attempt).map(|r| Arc::clone(&r.line));
            let Some(line) = line else { continue };
            self.io.spawn(async move {
                let reason = Error::external("the task has too many checkpoint commands waiting");
                let _ = line.decline(attempt, barrier.id, reason).await;
            });
        }
        Ok(())
    }

    /// Passes a command on. Returns the tasks that have no room for it; those that have
    /// ended are left out.
    pub(crate) fn tell(
        &self,
        epoch: LeaderEpoch,
        attempts: &[ExecutionAttemptId],
        command: TaskCommand,
    ) -> Result<Vec<ExecutionAttemptId>> {
        self.sessions.admit(epoch)?;
        let tasks = self.lock();
        let full = |attempt: &&ExecutionAttemptId| {
            let running = tasks.running.get(*attempt);
            let sent = running.map(|r| r.commands.try_send(command));
            matches!(sent, Some(Err(mpsc::error::TrySendError::Full(_))))
        };
        Ok(attempts.iter().filter(full).copied().collect())
    }

    /// What runs here, for the heartbeat: the truth as the job manager sees it.
    pub(crate) fn reports(&self) -> Vec<v1::TaskReport> {
        let tasks = self.lock();
        let report = |(attempt, running): (&ExecutionAttemptId, &Running)| v1::TaskReport {
            attempt: Some(proto::attempt_to_wire(attempt)),
            metrics: proto::json_to_wire(&running.metrics.snapshot()).unwrap_or_default(),
        };
        tasks.running.iter().map(report).collect()
    }

    /// Waits until no task is left that has been canceled, at most `patience`.
    pub(crate) async fn drained(&self, patience: Duration) {
        let waiting = async {
            loop {
                let ended = self.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if !self.lock().running.values().any(|r| r.cancel.is_cancelled()) {
                    return;
                }
                ended.await;
            }
        };
        if tokio::time::timeout(patience, waiting).await.is_err() {
            tracing::warn!("some tasks do not end after they were canceled");
        }
    }

    /// Takes no more tasks and cancels those that run; the job manager hears that they failed.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.stopping.store(true, Ordering::SeqCst);
        for running in self.lock().running.values() {
            running.cancel.cancel();
        }
        self.drained(patience).await;
    }
}
