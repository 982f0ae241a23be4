//! One job as Prometheus series: ours and Flink's, from a snapshot. Pure. Called by
//! `rest/metrics.rs`.
//!
//! A job with many tasks is folded: one series per vertex instead of one per task.

use std::collections::BTreeMap;

use model::VertexId;
use model::execution_state::{ExecutionState, JobStatus};
use model::metrics::TaskMetrics;
use telemetry::catalog as names;
use telemetry::prometheus::Exposition;

use crate::details::{JobDetails, JobSnapshot, SubtaskDetails, VertexDetails};
use crate::health::{self, HealthState, Progress};
use crate::job_metrics::Rates;

/// With more tasks a job's series are summed per vertex.
pub const MAX_TASK_SERIES: usize = 200;
/// A task that waits for room longer than this share of its time is backpressured (Flink's
/// limit of LOW).
const BACKPRESSURED_PERCENT: f64 = 10.0;

/// What a snapshot does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub now_ms: i64,
    /// The job manager's host.
    pub host: &'a str,
    /// The hosts of task managers.
    pub hosts: &'a BTreeMap<String, String>,
    pub progress: Option<&'a Progress>,
}

/// Adds everything known of one job. Jobs that ended well have no series.
pub fn add_job(out: &mut Exposition, snapshot: &JobSnapshot, around: &Surroundings<'_>) {
    let details = &snapshot.details;
    if matches!(details.status, JobStatus::Finished | JobStatus::Canceled) {
        return;
    }
    let id = details.id.to_string();
    let job = Job { snapshot, around, id: &id, name: &details.name };
    job.add_state(out);
    job.add_checkpoints(out);
    if !details.status.is_terminal() {
        job.add_event_time(out);
        job.add_vertices(out);
    }
}

struct Job<'a> {
    snapshot: &'a JobSnapshot,
    around: &'a Surroundings<'a>,
    id: &'a str,
    name: &'a str,
}

fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1000.0
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

impl<'a> Job<'a> {
    fn labels(&self) -> [(&'a str, &'a str); 2] {
        [("job", self.name), ("job_id", self.id)]
    }

    fn flink_labels(&self) -> [(&'a str, &'a str); 3] {
        [("job_id", self.id), ("job_name", self.name), ("host", self.around.host)]
    }

    fn details(&self) -> &'a JobDetails {
        &self.snapshot.details
    }

    fn add_state(&self, out: &mut Exposition) {
        let (details, labels) = (self.details(), self.labels());
        let flink = self.flink_labels();
        let uptime_ms =
            self.around.progress.and_then(|p| p.running_ms(self.around.now_ms)).unwrap_or(0);
        out.add(&names::JOB_UP, &labels, flag(details.status == JobStatus::Running));
        out.add(&names::JOB_HEALTHY, &labels, flag(details.health.state == HealthState::Ok));
        out.add(&names::JOB_UPTIME, &labels, seconds(uptime_ms));
        out.add(&names::FLINK_JOB_UPTIME, &flink, uptime_ms.max(0) as f64);
        out.add(&names::JOB_RESTARTS, &labels, f64::from(details.restarts));
        out.add(&names::FLINK_JOB_RESTARTS, &flink, f64::from(details.restarts));
        let restored = self.snapshot.restored.as_ref().map_or(-1, |r| r.restored_at_ms);
        out.add(&names::FLINK_RESTORE_TIMESTAMP, &flink, restored as f64);
        for slo in &details.slos {
            let labels = [labels[0], labels[1], ("slo", slo.slo.name())];
            out.add(&names::JOB_SLO_BREACHED, &labels, flag(slo.breached));
        }
    }

    fn add_checkpoints(&self, out: &mut Exposition) {
        let (summary, labels) = (&self.details().checkpoints, self.labels());
        let flink = self.flink_labels();
        for (outcome, count) in [("completed", summary.completed), ("failed", summary.failed)] {
            let labels = [labels[0], labels[1], ("outcome", outcome)];
            out.add(&names::JOB_CHECKPOINTS, &labels, count as f64);
        }
        let in_progress = flag(summary.in_progress.is_some());
        out.add(&names::JOB_CHECKPOINTS_IN_PROGRESS, &labels, in_progress);
        out.add(&names::FLINK_CHECKPOINTS_COMPLETED, &flink, summary.completed as f64);
        out.add(&names::FLINK_CHECKPOINTS_FAILED, &flink, summary.failed as f64);
        out.add(&names::FLINK_CHECKPOINTS_TOTAL, &flink, summary.triggered as f64);
        out.add(&names::FLINK_CHECKPOINTS_IN_PROGRESS, &flink, in_progress);
        if let Some(latest) = &summary.latest {
            let (written, whole) = (latest.written_bytes as f64, latest.state_bytes as f64);
            out.add(&names::JOB_CHECKPOINT_LAST_SIZE, &labels, whole);
            out.add(&names::JOB_CHECKPOINT_LAST_WRITTEN, &labels, written);
            out.add(&names::FLINK_CHECKPOINT_SIZE, &flink, written);
            out.add(&names::FLINK_CHECKPOINT_FULL_SIZE, &flink, whole);
            if let Some(ms) = latest.duration_ms {
                out.add(&names::JOB_CHECKPOINT_LAST_DURATION, &labels, seconds(ms));
                out.add(&names::FLINK_CHECKPOINT_DURATION, &flink, ms as f64);
            }
        }
        let config = &self.snapshot.graph.checkpoint;
        if let Some(interval_ms) = config.interval_ms {
            let since = summary.latest.as_ref().map(|l| l.triggered_at_ms);
            let age_ms = self.around.now_ms - since.unwrap_or(self.details().submitted_at_ms);
            out.add(&names::JOB_CHECKPOINT_AGE, &labels, seconds(age_ms));
            out.add(&names::JOB_CHECKPOINT_INTERVAL, &labels, seconds(interval_ms));
        }
        out.add(&names::JOB_CHECKPOINT_TIMEOUT, &labels, seconds(config.timeout_ms));
    }

    /// By the vertices that end in a sink, have event time, and still run.
    fn add_event_time(&self, out: &mut Exposition) {
        let now_ms = self.around.now_ms;
        let is_sink = |v: &&VertexDetails| {
            let vertex = self.snapshot.graph.vertex(v.id);
            vertex.is_some_and(|vertex| vertex.is_sink()) && !health::is_over(v)
        };
        let sinks = || self.details().vertices.iter().filter(is_sink);
        let timed = |v: &&VertexDetails| self.around.progress.is_some_and(|p| p.is_timed(v.id));
        let watermark = sinks().filter(timed).filter_map(|v| v.watermark).min();
        let lag_ms = watermark.filter(|w| *w != i64::MAX).map(|w| now_ms.saturating_sub(w));
        out.add_some(&names::JOB_EVENT_TIME_LAG, &self.labels(), lag_ms.map(seconds));
        let since = |v: &VertexDetails| self.around.progress?.watermark_since_ms(v.id);
        let stalled_ms = sinks().filter_map(since).map(|since| now_ms - since).max();
        out.add_some(&names::JOB_WATERMARK_STALLED, &self.labels(), stalled_ms.map(seconds));
    }

    fn add_vertices(&self, out: &mut Exposition) {
        let vertices = &self.details().vertices;
        let tasks: usize = vertices.iter().map(|v| v.subtasks.len()).sum();
        let folded = tasks > MAX_TASK_SERIES;
        let count = if folded { tasks } else { 0 };
        out.add(&names::SERIES_FOLDED, &self.labels(), count as f64);
        let vertex_names = unique(vertices.iter().map(|v| v.name.as_str()));
        let source_names = unique(vertices.iter().map(health::source_name));
        let sink_names = unique(vertices.iter().map(sink_name));
        for (index, vertex) in vertices.iter().enumerate() {
            let name = &vertex_names[index];
            let source = self.is_source(vertex.id).then_some(source_names[index].as_str());
            self.add_operators(out, vertex, name);
            if let Some(source) = source
                && !health::is_over(vertex)
            {
                self.add_source(out, &vertex.metrics, source);
            }
            self.add_latency(out, &vertex.metrics, &sink_names[index]);
            if folded {
                let task = Task::folded(vertex, name, source);
                self.add_task(out, &task);
                continue;
            }
            for subtask in &vertex.subtasks {
                let task = Task::of(vertex.id, subtask, name, source);
                self.add_task(out, &task);
            }
        }
    }

    fn is_source(&self, vertex: VertexId) -> bool {
        self.snapshot.graph.vertex(vertex).is_some_and(model::job_graph::JobVertex::is_source)
    }

    fn add_source(&self, out: &mut Exposition, metrics: &TaskMetrics, source: &str) {
        let [job, id] = self.labels();
        let labels = [job, id, ("source", source)];
        let silent = metrics.source_idle_ms.map(|ms| ms as f64 / 1000.0);
        out.add_some(&names::SOURCE_SILENT, &labels, silent);
        let pending = metrics.pending_records.map(|n| n as f64);
        out.add_some(&names::SOURCE_PENDING_RECORDS, &labels, pending);
        let lag = metrics.fetch_event_time_lag_ms.map(seconds);
        out.add_some(&names::SOURCE_EVENT_TIME_LAG, &labels, lag);
    }

    fn add_latency(&self, out: &mut Exposition, metrics: &TaskMetrics, sink: &str) {
        let Some(latency) = metrics.latency_us else { return };
        let [job, id] = self.labels();
        for (quantile, us) in ["0.5", "0.99", "1"].iter().zip(latency) {
            let labels = [job, id, ("sink", sink), ("quantile", quantile)];
            out.add(&names::SINK_LATENCY, &labels, us as f64 / 1e6);
        }
    }

    fn add_operators(&self, out: &mut Exposition, vertex: &VertexDetails, name: &str) {
        let [job, id] = self.labels();
        for operator in &vertex.metrics.operators {
            let labels = [job, id, ("vertex", name), ("operator", operator.uid.as_str())];
            out.add(&names::OPERATOR_RECORDS_IN, &labels, operator.records_in as f64);
            out.add(&names::OPERATOR_RECORDS_OUT, &labels, operator.records_out as f64);
            out.add(&names::OPERATOR_STATE, &labels, operator.state_bytes as f64);
        }
    }

    fn add_task(&self, out: &mut Exposition, task: &Task<'_>) {
        let [job, id] = self.labels();
        let labels = [
            job,
            id,
            ("vertex", task.vertex),
            ("subtask", task.subtask.as_str()),
            ("taskmanager", task.task_manager),
        ];
        let m = task.metrics;
        for (metric, count) in [
            (&names::TASK_RECORDS_IN, m.records_in),
            (&names::TASK_RECORDS_OUT, m.records_out),
            (&names::TASK_BYTES_IN, m.bytes_in),
            (&names::TASK_BYTES_OUT, m.bytes_out),
            (&names::TASK_LATE_RECORDS, m.late_records),
            (&names::TASK_STATE, m.state_bytes),
            (&names::TASK_QUEUED, m.queued_bytes),
        ] {
            out.add(metric, &labels, count as f64);
        }
        let bad = [("skip", m.bad_records_skipped), ("dead_letter", m.bad_records_dead_lettered)];
        for (policy, count) in bad {
            let [a, b, c, d, e] = labels;
            let labels = [a, b, c, d, e, ("policy", policy)];
            out.add(&names::TASK_BAD_RECORDS, &labels, count as f64);
        }
        for (metric, percent) in [
            (&names::TASK_BUSY, task.rates.busy_percent),
            (&names::TASK_BACKPRESSURED, task.rates.backpressured_percent),
            (&names::TASK_IDLE, task.rates.idle_percent),
        ] {
            out.add(metric, &labels, percent / 100.0);
        }
        let watermark = m.watermark.filter(|w| *w != i64::MAX);
        out.add_some(&names::TASK_WATERMARK, &labels, watermark.map(|w| w as f64 / 1000.0));
        out.add(&names::TASK_ALIGNMENT, &labels, m.alignment_ms as f64 / 1000.0);
        out.add(&names::TASK_RESTORE, &labels, m.restore_ms as f64 / 1000.0);
        let hot = m.hot_key_group.map(|h| h.share);
        out.add_some(&names::TASK_HOT_KEY_GROUP, &labels, hot);
        self.add_flink_task(out, task);
    }

    fn add_flink_task(&self, out: &mut Exposition, task: &Task<'_>) {
        let vertex = task.id.to_string();
        let host = self.around.hosts.get(task.task_manager).map_or("", String::as_str);
        let common = [
            ("job_id", self.id),
            ("job_name", self.name),
            ("task_id", vertex.as_str()),
            ("task_name", task.vertex),
        ];
        let place = [
            ("subtask_index", task.subtask.as_str()),
            ("tm_id", task.task_manager),
            ("host", host),
        ];
        let labels = [common.as_slice(), place.as_slice()].concat();
        let (m, r) = (task.metrics, task.rates);
        for (metric, value) in [
            (&names::FLINK_BUSY, r.busy_percent * 10.0),
            (&names::FLINK_IDLE, r.idle_percent * 10.0),
            (&names::FLINK_BACKPRESSURED, r.backpressured_percent * 10.0),
            (&names::FLINK_IS_BACKPRESSURED, flag(r.backpressured_percent > BACKPRESSURED_PERCENT)),
            (&names::FLINK_RECORDS_IN, m.records_in as f64),
            (&names::FLINK_RECORDS_OUT, m.records_out as f64),
            (&names::FLINK_RECORDS_IN_RATE, r.records_in_per_second),
            (&names::FLINK_RECORDS_OUT_RATE, r.records_out_per_second),
            (&names::FLINK_BYTES_IN_RATE, r.bytes_in_per_second),
            (&names::FLINK_BYTES_OUT_RATE, r.bytes_out_per_second),
            // Flink says so before the first watermark.
            (&names::FLINK_WATERMARK, m.watermark.unwrap_or(i64::MIN) as f64),
            (&names::FLINK_ALIGNMENT, m.alignment_ms as f64 * 1e6),
        ] {
            out.add(metric, &labels, value);
        }
        let Some(source) = task.source else { return };
        let operator = [("operator_name", source)];
        let labels = [common.as_slice(), operator.as_slice(), place.as_slice()].concat();
        let pending = m.pending_records.map(|n| n as f64);
        out.add_some(&names::FLINK_PENDING_RECORDS, &labels, pending);
        let lag = m.fetch_event_time_lag_ms.map(|ms| ms as f64);
        out.add_some(&names::FLINK_FETCH_LAG, &labels, lag);
        let idle = m.source_idle_ms.map(|ms| ms as f64);
        out.add_some(&names::FLINK_SOURCE_IDLE, &labels, idle);
    }
}

/// What one series per metric is made of: a subtask, or all of a vertex.
struct Task<'a> {
    id: VertexId,
    vertex: &'a str,
    subtask: String,
    task_manager: &'a str,
    source: Option<&'a str>,
    metrics: &'a TaskMetrics,
    rates: &'a Rates,
}

impl<'a> Task<'a> {
    fn of(
        id: VertexId,
        subtask: &'a SubtaskDetails,
        vertex: &'a str,
        source: Option<&'a str>,
    ) -> Self {
        // Of a task that has ended only the counters mean something.
        let runs = subtask.state == ExecutionState::Running;
        Self {
            id,
            vertex,
            subtask: subtask.subtask.to_string(),
            task_manager: subtask.task_manager.as_ref().map_or("", |t| &t.0),
            source: source.filter(|_| runs),
            metrics: &subtask.metrics,
            rates: &subtask.rates,
        }
    }

    fn folded(details: &'a VertexDetails, vertex: &'a str, source: Option<&'a str>) -> Self {
        Self {
            id: details.id,
            vertex,
            subtask: String::new(),
            task_manager: "",
            source,
            metrics: &details.metrics,
            rates: &details.rates,
        }
    }
}

fn sink_name(vertex: &VertexDetails) -> &str {
    vertex.operators.last().map_or(&vertex.name, |o| &o.name)
}

/// The names, with a number behind those that were there before: two series must not have
/// the same labels.
fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    names
        .map(|name| {
            let count = seen.entry(name).or_default();
            *count += 1;
            if *count == 1 { name.to_owned() } else { format!("{name} #{count}") }
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
