//! The tasks of this process: starts them on core threads, passes the job manager's words
//! on to them, reports how they fare. Called by `rpc.rs` and `heartbeat.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt;
use model::deployment::TaskDeployment;
use model::execution_state::ExecutionState;
use model::inspection::{CpuProfile, ProfiledTask, TaskDump};
use model::{
    AllocationId, CheckpointBarrier, Clock, Error, ExecutionAttemptId, LeaderEpoch, Result,
};
use proto::v1;
use runtime::core_threads::{CoreTask, CoreThreads};
use runtime::results::ResultReader;
use runtime::tap::{TapReader, Taps};
use runtime::task::{
    AlignmentGroups, SharedMetrics, TaskCommand, TaskControl, TaskOutcome, TaskSetup,
};
use state::StateBackend;
use telemetry::Marked;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

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
    pub(crate) started_at_ms: i64,
    /// Whether rows may be looked at.
    pub(crate) taps: bool,
    /// Whether tasks find out the figures that cost something.
    pub(crate) task_metrics: bool,
    pub(crate) slots: u32,
    pub(crate) exchange: Arc<DataExchange>,
    pub(crate) cores: CoreThreads,
    pub(crate) io: tokio::runtime::Handle,
    pub(crate) storages: Storages,
    pub(crate) alignment: Arc<AlignmentGroups>,
    pub(crate) tasks: Mutex<Tasks>,
    /// Notified whenever a task has left the table.
    pub(crate) ended: Notify,
    /// No task is taken any more, and those that end are failures to the job manager.
    pub(crate) stopping: AtomicBool,
}

pub(crate) struct Tasks {
    pub(crate) slots: SlotTable,
    /// Backends in use: of a few kinds, whose memory is counted once each.
    backends: Vec<Weak<dyn StateBackend>>,
    attempts: Attempts,
    /// Of the task deployed last.
    mark: u32,
    running: BTreeMap<ExecutionAttemptId, Running>,
}

impl Tasks {
    pub(crate) fn new(slots: SlotTable) -> Self {
        Self {
            slots,
            backends: Vec::new(),
            attempts: Attempts::default(),
            mark: 0,
            running: BTreeMap::new(),
        }
    }
}

impl Tasks {
    fn remember(&mut self, backend: &Arc<dyn StateBackend>) {
        self.backends.retain(|known| known.strong_count() > 0);
        let backend = Arc::downgrade(backend);
        if !self.backends.iter().any(|known| Weak::ptr_eq(known, &backend)) {
            self.backends.push(backend);
        }
    }
}

/// A task from its deployment until the job manager has heard of its end.
struct Running {
    commands: mpsc::Sender<TaskCommand>,
    cancel: CancellationToken,
    metrics: Arc<SharedMetrics>,
    taps: Arc<Taps>,
    line: Arc<TaskLine>,
    /// The vertex's name.
    name: String,
    core: usize,
    /// Of its samples in a profile.
    mark: u32,
}

/// What `supervise` needs besides the task itself.
struct Supervision {
    attempt: ExecutionAttemptId,
    allocation: AllocationId,
    session: Session,
    cancel: CancellationToken,
    reports: mpsc::Receiver<StateReport>,
}

/// See [`TaskExecutor::totals`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub tasks: usize,
    pub slots_taken: usize,
    pub state_bytes: u64,
    pub queued_bytes: u64,
    /// Of the state backends, outside of the tables in memory.
    pub cold_bytes: u64,
}

/// Every log line of a task carries this.
fn task_span(deployment: &TaskDeployment) -> tracing::Span {
    let ExecutionAttemptId { job, subtask, attempt, .. } = deployment.attempt;
    tracing::info_span!(
        "task",
        %job,
        job_name = deployment.job_name,
        vertex = deployment.vertex.name,
        subtask = subtask.0,
        attempt = attempt.0,
    )
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
        let metrics = match self.task_metrics {
            true => SharedMetrics::default(),
            false => SharedMetrics::off(),
        };
        let metrics = Arc::new(metrics);
        let taps = Arc::new(Taps::of(&deployment.vertex));
        let line = TaskLine { client: self.client.clone(), session: session.clone(), reports };
        let line = Arc::new(line);
        tasks.mark = tasks.mark.wrapping_add(1);
        let mark = tasks.mark;
        let running = Running {
            commands,
            cancel: cancel.clone(),
            metrics: Arc::clone(&metrics),
            taps: Arc::clone(&taps),
            line: Arc::clone(&line),
            name: deployment.vertex.name.clone(),
            core,
            mark,
        };
        let span = task_span(&deployment);
        tasks.running.insert(attempt, running);
        drop(tasks);
        let figures = (metrics, taps);
        let task = self.setup(deployment, line, commanded, cancel.clone(), figures);
        let within = span.clone();
        let task = task.map(|setup| {
            let run = move || {
                let task = runtime::task::run(setup).instrument(within).boxed_local();
                Marked::new(task, mark).boxed_local()
            };
            self.cores.spawn(core, Box::new(run))
        });
        span.in_scope(|| tracing::info!(core, "task deployed"));
        let supervision = Supervision { attempt, allocation, session, cancel, reports: reported };
        self.io.spawn(Arc::clone(self).supervise(task, supervision).instrument(span));
        Ok(())
    }

    fn setup(
        &self,
        deployment: TaskDeployment,
        control: Arc<TaskLine>,
        commands: mpsc::Receiver<TaskCommand>,
        cancel: CancellationToken,
        (metrics, taps): (Arc<SharedMetrics>, Arc<Taps>),
    ) -> Result<TaskSetup> {
        let backend = (self.parts.backends)(deployment.state.backend)?;
        self.lock().remember(&backend);
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
            alignment: Arc::clone(&self.alignment),
            clock: Arc::clone(&self.clock),
            commands,
            cancel,
            metrics,
            taps,
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
        let mut last = self.last_report(ended, &supervision.cancel);
        let now_ms = self.clock.now_ms();
        let metrics = self.lock().running.get(&attempt).map(|r| r.metrics.snapshot(now_ms));
        if let Some(metrics) = metrics {
            last = last.with_metrics(&metrics);
        }
        self.report(&supervision.session, attempt, last).await;
        if let Some(running) = self.lock().running.remove(&attempt) {
            running.taps.close_all();
        }
        self.ended.notify_waiters();
    }

    fn last_report(&self, ended: Result<TaskOutcome>, cancel: &CancellationToken) -> StateReport {
        let stopped = || StateReport::failed(&Error::external("its task manager was stopped"));
        match ended {
            Ok(TaskOutcome::Finished(snapshot)) => {
                tracing::info!("task finished");
                StateReport::finished(&snapshot).unwrap_or_else(|e| StateReport::failed(&e))
            }
            Ok(TaskOutcome::Canceled) if self.stopping.load(Ordering::SeqCst) => stopped(),
            Ok(TaskOutcome::Canceled) => {
                tracing::info!("task canceled");
                StateReport::of(ExecutionState::Canceled)
            }
            // What a task says while it is torn down is of no interest to anybody.
            Err(error) if cancel.is_cancelled() => {
                tracing::debug!(error = error.chain(), "task canceled, with an error");
                StateReport::of(ExecutionState::Canceled)
            }
            Err(error) => {
                tracing::warn!(kind = ?error.kind(), error = error.chain(), "task failed");
                StateReport::failed(&error)
            }
        }
    }

    async fn report(&self, session: &Session, attempt: ExecutionAttemptId, report: StateReport) {
        let state = report.state;
        if let Err(error) = self.client.update_task_state(session, attempt, report).await {
            // Also said of tasks that never ran here, hence outside of a task's span.
            tracing::info!(id = %attempt, ?state, reason = error.chain(), "nobody takes this report");
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
        let now_ms = self.clock.now_ms();
        let tasks = self.lock();
        let report = |(attempt, running): (&ExecutionAttemptId, &Running)| v1::TaskReport {
            attempt: Some(proto::attempt_to_wire(attempt)),
            metrics: proto::json_to_wire(&running.metrics.snapshot(now_ms)).unwrap_or_default(),
        };
        tasks.running.iter().map(report).collect()
    }

    /// What every task does at this moment, each with the core thread it runs on.
    pub(crate) fn dump(&self) -> Vec<(usize, TaskDump)> {
        let tasks = self.lock();
        let dump = |(attempt, running): (&ExecutionAttemptId, &Running)| TaskDump {
            job: attempt.job,
            vertex: attempt.vertex,
            name: running.name.clone(),
            subtask: attempt.subtask,
            attempt: attempt.attempt,
            state: match running.cancel.is_cancelled() {
                true => ExecutionState::Canceling,
                false => running.metrics.state(),
            },
            doing: running.metrics.doing(),
        };
        tasks.running.iter().map(|task| (task.1.core, dump(task))).collect()
    }

    /// Puts into each stack of a profile whose turn it was, and calls it after that vertex.
    pub(crate) fn name_tasks(&self, profile: &mut CpuProfile) {
        let tasks = self.lock();
        let of_mark: BTreeMap<u32, (&ExecutionAttemptId, &Running)> =
            tasks.running.iter().map(|task| (task.1.mark, task)).collect();
        for stack in &mut profile.stacks {
            let Some(thread) = stack.frames.first_mut() else { continue };
            let Some(mark) = telemetry::marked_number(thread) else { continue };
            match of_mark.get(&mark) {
                Some((attempt, running)) => {
                    thread.clone_from(&running.name);
                    let ExecutionAttemptId { job, vertex, subtask, .. } = **attempt;
                    stack.task = Some(ProfiledTask { job, vertex, subtask });
                }
                None => "a task that has ended".clone_into(thread),
            }
        }
    }

    /// Opens a tap of a task that runs here.
    ///
    /// # Errors
    /// User: no such task or operator here. External: too many look at it already.
    pub(crate) fn tap(
        &self,
        attempt: &ExecutionAttemptId,
        operator: &str,
        (rows_per_second, limit): (usize, usize),
    ) -> Result<TapReader> {
        let taps = self.lock().running.get(attempt).map(|r| Arc::clone(&r.taps));
        let taps = taps.ok_or_else(|| Error::user(format!("task {attempt} does not run here")))?;
        taps.open(operator, rows_per_second, limit)
    }

    /// Opens the results of a task that runs here.
    ///
    /// # Errors
    /// User: no such task here, it has none, or somebody reads them already.
    pub(crate) fn results(&self, attempt: &ExecutionAttemptId) -> Result<ResultReader> {
        let taps = self.lock().running.get(attempt).map(|r| Arc::clone(&r.taps));
        let taps = taps.ok_or_else(|| Error::user(format!("task {attempt} does not run here")))?;
        taps.results.open()
    }

    /// Sums over the tasks that run here, and slots taken.
    pub(crate) fn totals(&self) -> Totals {
        let tasks = self.lock();
        let mut totals = Totals { slots_taken: tasks.slots.taken(), ..Totals::default() };
        let backends = tasks.backends.iter().filter_map(Weak::upgrade);
        totals.cold_bytes = backends.map(|backend| backend.memory_bytes()).sum();
        for running in tasks.running.values() {
            let (state_bytes, queued_bytes) = running.metrics.memory();
            totals.tasks += 1;
            totals.state_bytes += state_bytes;
            totals.queued_bytes += queued_bytes;
        }
        totals
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
