//! One scripted job for every answer.

use std::sync::Arc;

use model::deployment::SnapshotTimings;
use model::metrics::HotKeyGroup;
use model::{Attempt, CheckpointId};

use super::*;
use crate::checkpoint::history::{CheckpointKind, SubtaskRecord};
use crate::fixtures::{advance, running_snapshot};
use crate::timeline::AttemptRecord;

/// Seen once a second for so many seconds, moving or not.
fn seen(snapshot: &mut JobSnapshot, seconds: i64, moves: bool) -> (Progress, i64) {
    let mut progress = Progress::default();
    let mut now_ms = 0;
    for second in 0..=seconds {
        now_ms = second * 1000;
        if moves {
            advance(snapshot, now_ms);
        }
        progress.on_tick(now_ms, snapshot);
    }
    (progress, now_ms)
}

fn kinds(why: &Why) -> Vec<EvidenceKind> {
    why.evidence.iter().map(|e| e.kind).collect()
}

fn rates(snapshot: &mut JobSnapshot, vertex: usize, busy: [f64; 2], waits: [f64; 2]) {
    for (subtask, (busy, waits)) in
        snapshot.details.vertices[vertex].subtasks.iter_mut().zip(busy.into_iter().zip(waits))
    {
        subtask.rates.busy_percent = busy;
        subtask.rates.backpressured_percent = waits;
    }
}

fn checkpoint(subtasks: Vec<SubtaskRecord>, status: CheckpointStatus) -> CheckpointRecord {
    CheckpointRecord {
        id: CheckpointId(9),
        kind: CheckpointKind::Periodic,
        status,
        attempt: Attempt(1),
        triggered_at_ms: 1_000,
        ended_at_ms: None,
        committed_at_ms: None,
        duration_ms: None,
        state_bytes: 0,
        written_bytes: 0,
        acknowledged: subtasks.len(),
        total: 4,
        cause: None,
        path: None,
        subtasks,
    }
}

#[test]
fn nothing_holds_it_back() {
    let mut snapshot = running_snapshot();
    rates(&mut snapshot, 1, [30.0, 40.0], [0.0, 0.0]);
    let (progress, now_ms) = seen(&mut snapshot, 100, true);
    let why = explain(now_ms, &snapshot, &progress);
    assert!(why.healthy && why.sentence.starts_with("Nothing holds it back"), "{why:?}");
    assert!(why.sentence.contains("`out`") && why.sentence.contains("40%"), "{why:?}");
    assert_eq!(kinds(&why), [EvidenceKind::Healthy]);
}

#[test]
fn a_silent_source_is_named() {
    let mut snapshot = running_snapshot();
    let (progress, now_ms) = seen(&mut snapshot, 90, false);
    let why = explain(now_ms, &snapshot, &progress);
    assert!(!why.healthy);
    assert_eq!(
        why.sentence,
        "Source `numbers` has been silent for 1m 30s: nothing arrives to be processed."
    );
    assert_eq!(why.evidence[0].kind, EvidenceKind::SilentSource);
    assert_eq!(why.evidence[0].since_ms, Some(0));
}

#[test]
fn the_split_that_holds_the_watermark_is_named() {
    let mut snapshot = running_snapshot();
    snapshot.unbounded.clear();
    let split = |id: &str, watermark, last_record_at_ms, idle| SplitMetrics {
        id: id.into(),
        watermark: Some(watermark),
        last_record_at_ms,
        idle,
    };
    let subtasks = &mut snapshot.details.vertices[0].subtasks;
    subtasks[0].metrics.watermark = Some(500);
    subtasks[1].metrics.watermark = Some(100);
    subtasks[1].metrics.splits = vec![
        split("p-3", 50, 0, true),
        split("p-7", 100, 2_000, false),
        split("p-9", 400, 9, false),
    ];
    let (progress, now_ms) = seen(&mut snapshot, 90, false);
    let why = explain(now_ms, &snapshot, &progress);
    assert!(why.sentence.contains("split `p-7` of source `numbers`"), "{}", why.sentence);
    let evidence = &why.evidence[0];
    assert_eq!(evidence.kind, EvidenceKind::WatermarkHeld);
    assert_eq!((evidence.split.as_deref(), evidence.subtask), (Some("p-7"), Some(SubtaskIndex(1))));
    assert_eq!((evidence.since_ms, evidence.value), (Some(2_000), Some(100.0)));
}

#[test]
fn behind_backpressure_stands_the_slow_operator() {
    let mut snapshot = running_snapshot();
    // The first red box is not it: it only waits.
    rates(&mut snapshot, 0, [10.0, 10.0], [90.0, 88.0]);
    rates(&mut snapshot, 1, [99.0, 40.0], [0.0, 0.0]);
    let (progress, now_ms) = seen(&mut snapshot, 30, true);
    let why = explain(now_ms, &snapshot, &progress);
    assert_eq!(kinds(&why)[..2], [EvidenceKind::SlowOperator, EvidenceKind::Backpressure]);
    assert!(why.sentence.starts_with("`out` (line 12 of the job file) is too slow"), "{why:?}");
    assert!(why.sentence.contains("subtask 0"), "uneven: {}", why.sentence);
    assert_eq!(why.evidence[0].vertex, Some(snapshot.details.vertices[1].id));
    assert_eq!(why.evidence[1].vertex, Some(snapshot.details.vertices[0].id));
}

#[test]
fn a_hot_key_group_is_named() {
    let mut snapshot = running_snapshot();
    rates(&mut snapshot, 1, [95.0, 5.0], [0.0, 0.0]);
    let to = snapshot.details.vertices[1].id;
    let hot = HotKeyGroup { group: 42, share: 0.91, to, to_subtask: 0 };
    snapshot.details.vertices[0].subtasks[1].metrics.hot_key_group = Some(hot);
    let (progress, now_ms) = seen(&mut snapshot, 30, true);
    let why = explain(now_ms, &snapshot, &progress);
    assert!(why.sentence.contains("key group 42 has 91%"), "{why:?}");
    assert_eq!(kinds(&why), [EvidenceKind::HotKeyGroup]);
    // Who carries it with ease is not held back.
    rates(&mut snapshot, 1, [5.0, 5.0], [0.0, 0.0]);
    assert!(explain(now_ms, &snapshot, &progress).healthy);
}

#[test]
fn a_slow_checkpoint_names_its_straggler() {
    let mut snapshot = running_snapshot();
    Arc::make_mut(&mut snapshot.graph).checkpoint.interval_ms = Some(10_000);
    let vertex = snapshot.details.vertices[1].id;
    let record = |subtask, at, async_us| SubtaskRecord {
        vertex,
        subtask: SubtaskIndex(subtask),
        acknowledged_at_ms: at,
        finished: false,
        timings: SnapshotTimings { async_us, ..Default::default() },
    };
    let subtasks = vec![record(0, 1_100, 5), record(1, 41_000, 39_000_000)];
    let mut slow = checkpoint(subtasks, CheckpointStatus::Completed);
    slow.duration_ms = Some(40_000);
    snapshot.checkpoints.push(slow);
    let (progress, now_ms) = seen(&mut snapshot, 50, true);
    let why = explain(now_ms, &snapshot, &progress);
    assert_eq!(
        why.sentence,
        "Checkpoint 9 took 40s: subtask 1 of `out` was last and uploaded its state for 39s."
    );
    // One under way names who is missing.
    snapshot.checkpoints[0] = checkpoint(Vec::new(), CheckpointStatus::InProgress);
    let why = explain(now_ms, &snapshot, &progress);
    assert!(why.sentence.contains("subtask 0 of") && why.sentence.contains("0 of 4"), "{why:?}");
}

#[test]
fn the_last_restart_is_told_with_its_cause() {
    let mut snapshot = running_snapshot();
    let attempt = |n, cause: Option<&str>| {
        Arc::new(AttemptRecord {
            attempt: Attempt(n),
            started_at_ms: 0,
            running_at_ms: Some(20_000),
            ended_at_ms: None,
            restored_from: Some(CheckpointId(6)),
            cause: cause.map(str::to_owned),
            downtime_ms: Some(900),
            vertices: Vec::new(),
        })
    };
    snapshot.attempts = vec![attempt(1, Some("lost TaskManager tm-1")), attempt(2, None)];
    let (progress, now_ms) = seen(&mut snapshot, 50, true);
    let why = explain(now_ms, &snapshot, &progress);
    assert!(why.healthy, "it runs again");
    assert!(why.sentence.contains("restarted 30s ago from checkpoint 6"), "{why:?}");
    assert!(why.sentence.contains("lost TaskManager tm-1"));
    assert_eq!(kinds(&why), [EvidenceKind::Restarted]);
}

#[test]
fn what_the_status_says_comes_first() {
    let mut snapshot = running_snapshot();
    snapshot.details.status = JobStatus::Created;
    snapshot.details.message = Some("waiting for 3 more slots, 1 are free".into());
    let progress = Progress::default();
    let why = explain(0, &snapshot, &progress);
    assert_eq!(why.sentence, "It is waiting for 3 more slots, 1 are free.");
    assert_eq!(kinds(&why), [EvidenceKind::WaitingForSlots]);
    snapshot.details.status = JobStatus::Failed;
    snapshot.details.failure = Some("out (1/2): disk full".into());
    let why = explain(0, &snapshot, &progress);
    assert!(!why.healthy && why.sentence == "It failed: out (1/2): disk full.", "{why:?}");
    snapshot.details.status = JobStatus::Restarting;
    assert!(explain(0, &snapshot, &progress).sentence.contains("disk full"));
    snapshot.details.status = JobStatus::Finished;
    assert!(explain(0, &snapshot, &progress).healthy);
    let empty = &mut snapshot;
    empty.details.status = JobStatus::Running;
    empty.details.vertices.clear();
    let _ = Arc::clone(&empty.graph);
    assert!(explain(0, empty, &progress).healthy, "an odd job panics nobody");
}
