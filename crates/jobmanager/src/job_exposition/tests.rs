//! A job's series, and a whole scrape of the job manager, from made-up snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::job_graph::{OperatorNode, SideOutput};
use model::metrics::{HotKeyGroup, OperatorMetrics};
use model::operator_spec::OperatorSpec;
use model::{JobId, SubtaskIndex, TaskManagerId};
use telemetry::catalog::Role;

use super::*;
use crate::details::{self, LatestCheckpoint};
use crate::execution_graph::TaskKey;
use crate::fixtures;
use crate::job_master::JobSpec;
use crate::job_metrics::JobMetrics;
use crate::job_state::JobState;
use crate::slo::{SloKind, SloStatus};

const NOW_MS: i64 = 100_000;

fn task_metrics(vertex: VertexId) -> TaskMetrics {
    TaskMetrics {
        records_in: 10,
        watermark: Some(95_000),
        latency_us: Some([1_000, 2_000, 3_000]),
        source_idle_ms: Some(1_500),
        pending_records: Some(4),
        fetch_event_time_lag_ms: Some(2_500),
        hot_key_group: Some(HotKeyGroup { group: 3, share: 0.5, to: vertex, to_subtask: 1 }),
        operators: vec![OperatorMetrics { uid: "op".into(), records_in: 7, ..Default::default() }],
        alignment_ms: 250,
        ..TaskMetrics::default()
    }
}

/// A running job of two vertices in which everything is known.
pub(crate) fn snapshot(parallelism: u32) -> JobSnapshot {
    let mut graph = fixtures::graph(parallelism);
    let node = graph.vertices[0].operators[0].clone();
    let spec =
        OperatorSpec::Watermark { column: "id".into(), delay_ms: 500, idle_timeout_ms: None };
    let inputs = vec![node.output.clone()];
    graph.vertices[0].operators.push(OperatorNode {
        uid: "marks".into(),
        name: "marks".into(),
        spec,
        inputs,
        output: node.output,
    });
    graph.checkpoint.interval_ms = Some(10_000);
    let graph = Arc::new(graph);
    let spec = JobSpec { id: JobId(7), graph, submitted_at_ms: 50_000, from: None };
    let state = JobState::new(spec.id, &spec.graph, spec.submitted_at_ms);
    let mut metrics = JobMetrics::default();
    for vertex in &spec.graph.vertices {
        for subtask in 0..parallelism {
            let key = TaskKey { vertex: vertex.id, subtask: SubtaskIndex(subtask) };
            metrics.report(NOW_MS, key, task_metrics(vertex.id));
        }
    }
    let mut snapshot = details::snapshot(&spec, &state, &metrics, NOW_MS);
    snapshot.details.status = JobStatus::Running;
    for subtask in snapshot.details.vertices.iter_mut().flat_map(|v| &mut v.subtasks) {
        subtask.state = ExecutionState::Running;
        subtask.task_manager = Some(TaskManagerId("tm-1".into()));
    }
    snapshot.details.checkpoints.latest = Some(LatestCheckpoint {
        id: model::CheckpointId(3),
        path: None,
        triggered_at_ms: 96_000,
        duration_ms: Some(1_250),
        state_bytes: 4_096,
        written_bytes: 512,
    });
    snapshot.details.slos = vec![SloStatus {
        slo: SloKind::Freshness,
        limit: "1s".into(),
        value: Some("5s".into()),
        breached: true,
        since_ms: Some(90_000),
        webhook: Default::default(),
    }];
    snapshot
}

/// As remembered after two looks, the second of which saw nothing new.
pub(crate) fn progress(snapshot: &JobSnapshot) -> Progress {
    let mut progress = Progress::default();
    progress.on_tick(NOW_MS - 8_000, snapshot);
    progress.on_tick(NOW_MS - 1_000, snapshot);
    progress
}

pub(crate) fn add(out: &mut Exposition, snapshot: &JobSnapshot) {
    let hosts = BTreeMap::from([("tm-1".to_owned(), "host-1".to_owned())]);
    let progress = progress(snapshot);
    let around =
        Surroundings { now_ms: NOW_MS, host: "jm", hosts: &hosts, progress: Some(&progress) };
    add_job(out, snapshot, &around);
}

fn text(snapshot: &JobSnapshot) -> String {
    let mut out = Exposition::new();
    add(&mut out, snapshot);
    out.render()
}

fn value(text: &str, series: &str) -> f64 {
    let found = text.lines().find_map(|l| l.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

/// No two samples with the same name and labels.
pub(crate) fn assert_unique(text: &str) {
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(series), "{series} is there twice");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn a_running_job_has_its_series() {
    let text = text(&snapshot(2));
    assert_unique(&text);
    let job = format!("job=\"numbers to out\",job_id=\"{}\"", JobId(7));
    let flink_job = |name: &str| {
        let labels = format!("job_id=\"{}\",job_name=\"numbers to out\",host=\"jm\"", JobId(7));
        format!("flink_jobmanager_job_{name}{{{labels}}}")
    };
    for (series, expected) in [
        (format!("weir_job_up{{{job}}}"), 1.0),
        (format!("weir_job_uptime_seconds{{{job}}}"), 8.0),
        (format!("weir_job_checkpoint_age_seconds{{{job}}}"), 4.0),
        (format!("weir_job_checkpoint_interval_seconds{{{job}}}"), 10.0),
        (format!("weir_job_checkpoint_last_duration_seconds{{{job}}}"), 1.25),
        (format!("weir_job_checkpoint_last_size_bytes{{{job}}}"), 4096.0),
        (format!("weir_job_checkpoint_last_written_bytes{{{job}}}"), 512.0),
        (format!("weir_job_slo_breached{{{job},slo=\"freshness\"}}"), 1.0),
        (format!("weir_job_event_time_lag_seconds{{{job}}}"), 5.0),
        (format!("weir_job_watermark_stalled_seconds{{{job}}}"), 8.0),
        (format!("weir_source_silent_seconds{{{job},source=\"numbers\"}}"), 1.5),
        (format!("weir_source_pending_records{{{job},source=\"numbers\"}}"), 8.0),
        (format!("weir_sink_latency_seconds{{{job},sink=\"out\",quantile=\"0.99\"}}"), 0.002),
        (
            format!(
                "weir_task_records_in_total{{{job},vertex=\"numbers\",subtask=\"1\",taskmanager=\"tm-1\"}}"
            ),
            10.0,
        ),
        (format!("weir_operator_records_in_total{{{job},vertex=\"out\",operator=\"op\"}}"), 14.0),
        (format!("weir_metrics_series_folded{{{job}}}"), 0.0),
        (flink_job("lastCheckpointDuration"), 1250.0),
        (flink_job("lastCheckpointSize"), 512.0),
        (flink_job("lastCheckpointFullSize"), 4096.0),
    ] {
        assert_eq!(value(&text, &series), expected, "{series}");
    }
    let flink = text.lines().find(|l| l.starts_with("flink_taskmanager_job_task_busyTime"));
    let flink = flink.unwrap();
    for label in ["subtask_index=\"0\"", "tm_id=\"tm-1\"", "host=\"host-1\"", "task_id=\""] {
        assert!(flink.contains(label), "{flink}");
    }
}

/// The only sink takes what leaves the source by the side output `side`.
fn with_side_output(side: &str) -> JobSnapshot {
    let mut snapshot = snapshot(1);
    let mut graph = snapshot.graph.as_ref().clone();
    let schema = graph.vertices[0].operators[0].output.clone();
    graph.vertices[0].side_outputs = vec![SideOutput { operator: 0, name: side.into(), schema }];
    graph.edges[0].output = 1;
    snapshot.graph = Arc::new(graph);
    snapshot
}

#[test]
fn a_sink_of_bad_records_does_not_make_event_time_stand_still() {
    let event_time = |side: &str| {
        let text = text(&with_side_output(side));
        let names = ["weir_job_watermark_stalled_seconds{", "weir_job_event_time_lag_seconds{"];
        names.map(|name| text.lines().any(|l| l.starts_with(name)))
    };
    assert_eq!(event_time("late"), [true, true], "late rows have event time");
    assert_eq!(event_time("deadLetter"), [false, false], "what cannot be read has none");
}

#[test]
fn a_job_with_many_tasks_is_folded() {
    let parallelism = 101;
    let text = text(&snapshot(parallelism));
    assert_unique(&text);
    let job = format!("job=\"numbers to out\",job_id=\"{}\"", JobId(7));
    assert_eq!(value(&text, &format!("weir_metrics_series_folded{{{job}}}")), 202.0);
    let records = text.lines().filter(|l| l.starts_with("weir_task_records_in_total"));
    assert_eq!(records.count(), 2, "one per vertex");
    let folded =
        format!("weir_task_records_in_total{{{job},vertex=\"out\",subtask=\"\",taskmanager=\"\"}}");
    assert_eq!(value(&text, &folded), 1010.0);
}

#[test]
fn a_job_that_is_over_is_down_or_gone() {
    let mut snapshot = snapshot(1);
    snapshot.details.status = JobStatus::Failed;
    let failed = text(&snapshot);
    assert!(failed.lines().any(|l| l.starts_with("weir_job_up{") && l.ends_with(" 0")));
    assert!(!failed.contains("weir_task_"), "{failed}");
    for status in [JobStatus::Finished, JobStatus::Canceled] {
        snapshot.details.status = status;
        assert_eq!(text(&snapshot), "");
    }
}

#[test]
fn equal_names_get_numbers() {
    assert_eq!(unique(["a", "b", "a", "a"].into_iter()), ["a", "b", "a #2", "a #3"]);
}

#[test]
fn every_job_metric_of_the_catalog_is_filled() {
    let text = text(&snapshot(1));
    let of_jobs = |name: &str| {
        let cluster = name.starts_with("weir_jobmanager_")
            || name.starts_with("weir_process_")
            || name.starts_with("weir_storage_")
            || (name.starts_with("flink_jobmanager_") && !name.starts_with("flink_jobmanager_job"));
        !cluster
    };
    for metric in telemetry::catalog::all().filter(|m| m.role == Role::JobManager) {
        if of_jobs(metric.name) {
            let kind = format!("# TYPE {} {}\n", metric.name, metric.kind.name());
            assert!(text.contains(&kind), "{} has no sample", metric.name);
        }
    }
}
