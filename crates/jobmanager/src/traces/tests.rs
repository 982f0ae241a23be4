//! Spans from made-up lives.

use std::sync::Arc;

use model::deployment::SnapshotTimings;
use model::{SubtaskIndex, VertexId};

use super::*;
use crate::checkpoint::history::CheckpointKind;
use crate::job_exposition::tests::snapshot;
use crate::timeline::{StateEntry, SubtaskStates, VertexStates};

fn attempt(
    number: u32,
    started: i64,
    running: Option<i64>,
    ended: Option<i64>,
) -> Arc<AttemptRecord> {
    let states = vec![StateEntry { state: ExecutionState::Deploying, at_ms: started + 10 }];
    Arc::new(AttemptRecord {
        attempt: Attempt(number),
        started_at_ms: started,
        running_at_ms: running,
        ended_at_ms: ended,
        restored_from: (number > 1).then_some(CheckpointId(4)),
        cause: ended.map(|_| "lost TaskManager tm-1".to_owned()),
        downtime_ms: None,
        vertices: vec![VertexStates {
            vertex: VertexId(1),
            name: "numbers".into(),
            subtasks: vec![SubtaskStates { subtask: SubtaskIndex(0), task_manager: None, states }],
        }],
    })
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|s| s.name).collect()
}

#[test]
fn a_life_is_one_trace_and_each_span_comes_once() {
    let mut traces = JobTraces::default();
    let mut job = snapshot(1);
    job.details.submitted_at_ms = 1_000;
    job.attempts = vec![attempt(1, 1_000, Some(1_300), None)];
    let first = traces.on_tick(&job);
    assert_eq!(names(&first), ["job.submit", "job.deploy"]);
    assert_eq!((first[0].start_us, first[0].end_us), (1_000_000, 1_010_000));
    assert_eq!((first[1].start_us, first[1].end_us), (1_010_000, 1_300_000));
    assert_eq!(first[1].parent, Some(first[0].id));
    assert!(traces.on_tick(&job).is_empty());

    job.attempts =
        vec![attempt(1, 1_000, Some(1_300), Some(5_000)), attempt(2, 5_100, Some(5_400), None)];
    let second = traces.on_tick(&job);
    assert_eq!(names(&second), ["job.recover", "job.deploy"]);
    assert_eq!((second[0].start_us, second[0].end_us), (5_000_000, 5_400_000));
    assert_eq!(second[0].parent, Some(first[0].id));
    assert_eq!(second[1].parent, Some(second[0].id));
    assert!(second[0].attributes.contains(&("checkpoint", 4.into())));
    assert!(second[0].attributes.contains(&("cause", "lost TaskManager tm-1".into())));
    let all: Vec<&Span> = first.iter().chain(&second).collect();
    assert!(all.iter().all(|s| s.trace == TraceId(job.details.id.0)));
    let ids: BTreeSet<SpanId> = all.iter().map(|s| s.id).collect();
    assert_eq!(ids.len(), all.len());
}

#[test]
fn an_attempt_that_never_ran_is_an_error() {
    let mut job = snapshot(1);
    job.attempts = vec![attempt(1, 1_000, None, Some(2_000))];
    let spans = JobTraces::default().on_tick(&job);
    assert_eq!(spans[1].error.as_deref(), Some("lost TaskManager tm-1"));
}

#[test]
fn a_checkpoint_shows_what_every_subtask_did() {
    let mut job = snapshot(1);
    job.attempts.clear();
    let timings = SnapshotTimings {
        start_delay_us: 5_000,
        alignment_us: 2_000,
        sync_us: 300,
        async_us: 40_000,
        state_bytes: 9,
        written_bytes: 2,
    };
    let subtask = |finished| SubtaskRecord {
        vertex: job.details.vertices[0].id,
        subtask: SubtaskIndex(0),
        acknowledged_at_ms: 60,
        finished,
        timings: timings.clone(),
    };
    let record = |id, status| CheckpointRecord {
        id: CheckpointId(id),
        kind: CheckpointKind::Periodic,
        status,
        attempt: Attempt(1),
        triggered_at_ms: 10,
        ended_at_ms: Some(70),
        committed_at_ms: None,
        duration_ms: Some(60),
        state_bytes: 9,
        written_bytes: 2,
        acknowledged: 1,
        total: 1,
        cause: (status == CheckpointStatus::Failed).then(|| "timed out".to_owned()),
        path: None,
        subtasks: vec![subtask(false), subtask(true)],
    };
    job.checkpoints = vec![
        record(1, CheckpointStatus::Completed),
        record(2, CheckpointStatus::Failed),
        record(3, CheckpointStatus::InProgress),
    ];
    let mut traces = JobTraces::default();
    let spans = traces.on_tick(&job);
    let one = ["checkpoint", "checkpoint.align", "checkpoint.sync", "checkpoint.upload"];
    assert_eq!(names(&spans), [one, one].concat());
    let times: Vec<(i64, i64)> = spans[..4].iter().map(|s| (s.start_us, s.end_us)).collect();
    assert_eq!(times, [(10_000, 70_000), (15_000, 17_000), (17_000, 17_300), (17_300, 57_300)]);
    assert!(spans[1..4].iter().all(|s| s.parent == Some(spans[0].id)));
    assert_ne!(spans[0].trace, spans[4].trace);
    assert_eq!(spans[4].error.as_deref(), Some("timed out"));
    assert!(traces.on_tick(&job).is_empty());
}
