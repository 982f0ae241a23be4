//! Looks at every job once a second and remembers what one look cannot show: how long
//! things have stood still, which SLOs are broken, the figures of the last minutes. Adds
//! that to the jobs' details and sends webhooks. A shell around `health.rs`, `slo.rs`,
//! `metrics_history.rs` and `webhook.rs`; owned by `dispatcher.rs`, run by `server.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::execution_state::JobStatus;
use model::{Clock, JobId, Result, TaskManagerId, VertexId};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::details::JobSnapshot;
use crate::dispatcher::Dispatcher;
use crate::health::{self, Progress};
use crate::metrics_history::{MetricsHistory, Points};
use crate::rest::figure;
use crate::slo::{Facts, SloAction, SloCore};
use crate::traces::JobTraces;
use crate::webhook::{self, Outbox, Subject};
use crate::why::{self, Why};

/// How often jobs are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// Ended jobs whose figures are still kept.
const MAX_ENDED: usize = 20;
/// Streams of events that may be open at a time.
pub const MAX_STREAMS: usize = 512;

/// What is remembered of one job. Pure.
#[derive(Debug)]
pub struct JobMonitor {
    progress: Progress,
    slo: SloCore,
    history: MetricsHistory,
    traces: JobTraces,
}

impl JobMonitor {
    pub fn new(snapshot: &JobSnapshot) -> Self {
        Self {
            progress: Progress::default(),
            slo: SloCore::new(&snapshot.graph.slo),
            history: MetricsHistory::default(),
            traces: JobTraces::default(),
        }
    }

    /// Once a second.
    pub fn on_tick(&mut self, now_ms: i64, snapshot: &JobSnapshot) -> Vec<SloAction> {
        self.progress.on_tick(now_ms, snapshot);
        self.history.on_tick(now_ms, &snapshot.details);
        let facts = facts(now_ms, snapshot, &self.progress);
        self.slo.on_tick(now_ms, &facts)
    }

    pub fn why(&self, now_ms: i64, snapshot: &JobSnapshot) -> Why {
        why::explain(now_ms, snapshot, &self.progress)
    }
}

/// What the SLOs are measured by.
fn facts(now_ms: i64, snapshot: &JobSnapshot, progress: &Progress) -> Facts {
    let details = &snapshot.details;
    let mut facts = Facts {
        restarts: u64::from(details.restarts),
        dead_letters: progress.dead_letters,
        ended_well: matches!(details.status, JobStatus::Finished | JobStatus::Canceled),
        ..Facts::default()
    };
    if details.status == JobStatus::Running {
        facts.silence_ms = progress.silence_ms(now_ms);
        facts.checkpoint_age_ms = health::checkpoint_age_ms(now_ms, snapshot, progress);
        facts.freshness_ms = freshness_ms(now_ms, snapshot, progress);
    }
    facts
}

/// How far the least watermark of the sinks lies behind the clock; before the first one, how
/// long the job runs.
fn freshness_ms(now_ms: i64, snapshot: &JobSnapshot, progress: &Progress) -> Option<i64> {
    let is_sink = |id| snapshot.graph.vertex(id).is_some_and(model::job_graph::JobVertex::is_sink);
    let sinks = snapshot.details.vertices.iter();
    let sinks = sinks.filter(|v| is_sink(v.id) && progress.is_timed(v.id) && !health::is_over(v));
    let lag = |watermark: Option<i64>| match watermark {
        Some(i64::MAX) => Some(0),
        Some(watermark) => Some(now_ms.saturating_sub(watermark).max(0)),
        None => progress.running_ms(now_ms),
    };
    sinks.filter_map(|v| lag(v.watermark)).max()
}

/// What a TaskManager's process does per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessRates {
    /// Of one processor: two busy ones are 200.
    pub cpu_percent: f64,
    pub in_per_second: f64,
    pub out_per_second: f64,
    /// Of the whole machine, in the same measure.
    pub machine_percent: f64,
}

/// Time, processor time (ms), bytes received and sent, the machine's processor time (ms).
type ProcessSample = [i64; 5];

#[derive(Default)]
struct Memory {
    /// The last two looks at each TaskManager.
    processes: BTreeMap<TaskManagerId, (ProcessSample, ProcessSample)>,
    monitors: BTreeMap<JobId, JobMonitor>,
    ended: VecDeque<JobId>,
    outbox: Outbox,
}

/// The shell.
pub struct Observer {
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
    streams: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Observer {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            memory: Mutex::default(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            stop: CancellationToken::new(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Counts the streams of events that are open.
    pub fn streams(&self) -> &Arc<Semaphore> {
        &self.streams
    }

    /// Ends every stream of events.
    pub fn stopped(&self) -> &CancellationToken {
        &self.stop
    }

    /// Looks at one job.
    pub fn observe(&self, snapshot: &JobSnapshot) {
        let now_ms = self.clock.now_ms();
        let id = snapshot.details.id;
        let mut memory = self.memory();
        if memory.ended.contains(&id) {
            return;
        }
        let Memory { monitors, outbox, .. } = &mut *memory;
        let monitor = monitors.entry(id).or_insert_with(|| JobMonitor::new(snapshot));
        for action in monitor.on_tick(now_ms, snapshot) {
            notify(now_ms, outbox, snapshot, &action);
        }
        if let Some(tracer) = telemetry::tracer() {
            monitor.traces.on_tick(snapshot).into_iter().for_each(|span| tracer.export(span));
        }
    }

    /// The job is over; its last look.
    pub fn finish(&self, snapshot: &mut JobSnapshot) {
        self.observe(snapshot);
        self.decorate(snapshot);
        let mut memory = self.memory();
        memory.ended.push_back(snapshot.details.id);
        if memory.ended.len() > MAX_ENDED
            && let Some(id) = memory.ended.pop_front()
        {
            memory.monitors.remove(&id);
            memory.outbox.forget(id);
        }
    }

    /// Adds to a fresh snapshot what is remembered.
    pub fn decorate(&self, snapshot: &mut JobSnapshot) {
        let now_ms = self.clock.now_ms();
        let memory = self.memory();
        let job = snapshot.details.id;
        let Some(monitor) = memory.monitors.get(&job) else {
            snapshot.details.slos =
                SloCore::new(&snapshot.graph.slo).statuses(|_| Default::default());
            return;
        };
        let breached = monitor.slo.breached();
        snapshot.details.health = health::judge(now_ms, snapshot, &monitor.progress, &breached);
        snapshot.details.slos =
            monitor.slo.statuses(|slo| memory.outbox.state(Subject { job, slo }));
    }

    /// Reads what is remembered of how a job moved; `None`: nothing is.
    pub fn progress<T>(&self, job: JobId, read: impl FnOnce(Option<&Progress>) -> T) -> T {
        read(self.memory().monitors.get(&job).map(|monitor| &monitor.progress))
    }

    /// What holds the job back.
    pub fn why(&self, snapshot: &JobSnapshot) -> Why {
        let now_ms = self.clock.now_ms();
        match self.memory().monitors.get(&snapshot.details.id) {
            Some(monitor) => monitor.why(now_ms, snapshot),
            None => why::explain(now_ms, snapshot, &Progress::default()),
        }
    }

    /// Figures of the last minutes. `None`: nothing is known by that name.
    pub fn history(
        &self,
        job: JobId,
        vertex: Option<VertexId>,
        metric: &str,
        since_ms: i64,
    ) -> Option<Points> {
        self.memory().monitors.get(&job)?.history.points(vertex, metric, since_ms)
    }

    /// Looks at the TaskManagers' processes.
    fn observe_processes(&self, dispatcher: &Dispatcher) {
        let managers = dispatcher.context().cluster.task_managers();
        let mut memory = self.memory();
        let known: Vec<TaskManagerId> = managers.iter().map(|t| t.info.id.clone()).collect();
        memory.processes.retain(|id, _| known.contains(id));
        for manager in managers {
            let figure = |name| figure(&manager.process, name).unwrap_or(0);
            let sample = [
                manager.last_heartbeat_ms,
                figure("cpuMs"),
                figure("networkInBytes"),
                figure("networkOutBytes"),
                figure("machineBusyMs"),
            ];
            let entry = memory.processes.entry(manager.info.id).or_insert((sample, sample));
            // A late heartbeat is no second without work, and then one with twice as much.
            if sample[0] > entry.1[0] {
                *entry = (entry.1, sample);
            }
        }
    }

    /// `None`: it was seen only once.
    pub fn process_rates(&self, id: &TaskManagerId) -> Option<ProcessRates> {
        let memory = self.memory();
        let (from, to) = memory.processes.get(id)?;
        let ms = (to[0] - from[0]) as f64;
        let per_second = |i: usize| (to[i] - from[i]).max(0) as f64 * 1000.0 / ms;
        (ms > 0.0).then(|| ProcessRates {
            cpu_percent: per_second(1) / 10.0,
            in_per_second: per_second(2),
            out_per_second: per_second(3),
            machine_percent: per_second(4) / 10.0,
        })
    }

    /// Until `stop`.
    pub async fn run(
        self: Arc<Self>,
        dispatcher: Arc<Dispatcher>,
        stop: CancellationToken,
    ) -> Result<()> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(webhook::PATIENCE)
            .build()
            .map_err(|e| model::Error::internal("cannot start an HTTP client").caused_by(e))?;
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! { biased;
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            self.observe_processes(&dispatcher);
            for snapshot in dispatcher.running_snapshots().await {
                self.observe(&snapshot);
            }
            let now_ms = self.clock.now_ms();
            let due = self.memory().outbox.due(now_ms);
            for delivery in due {
                let (observer, client) = (self.clone(), client.clone());
                let environment = dispatcher.job_environment().clone();
                tokio::spawn(async move {
                    let outcome = webhook::post(&client, &delivery, now_ms, &environment).await;
                    if let Err(error) = &outcome {
                        tracing::warn!(delivery = delivery.id, error = error.chain(), "webhook");
                    }
                    let now_ms = observer.clock.now_ms();
                    observer.memory().outbox.done(now_ms, delivery.id, outcome.is_ok());
                });
            }
        }
        self.stop.cancel();
        Ok(())
    }
}

fn notify(now_ms: i64, outbox: &mut Outbox, snapshot: &JobSnapshot, action: &SloAction) {
    let (event, notice) = match action {
        SloAction::Fire(notice) => ("fire", notice),
        SloAction::Clear(notice) => ("clear", notice),
    };
    let details = &snapshot.details;
    tracing::warn!(
        job = %details.id, name = details.name, slo = notice.slo.name(), event,
        value = notice.value, limit = notice.limit, "SLO"
    );
    let Some(target) = &snapshot.graph.slo.webhook else { return };
    let words = match action {
        SloAction::Fire(_) => "is broken",
        SloAction::Clear(_) => "is kept again",
    };
    let body = json!({
        "event": event,
        "slo": notice.slo,
        "job": { "id": details.id, "name": details.name },
        "limit": notice.limit,
        "value": notice.value,
        "sinceMs": notice.since_ms,
        "atMs": now_ms,
        "text": format!(
            "job {}: SLO {} {words}: {}, limit {}",
            details.name, notice.slo.name(), notice.value, notice.limit
        ),
    });
    let subject = Subject { job: details.id, slo: notice.slo };
    outbox.push(now_ms, subject, target.clone(), body.to_string());
}
