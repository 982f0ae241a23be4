//! Scripted jobs, judged.

use model::execution_state::{ExecutionState, JobStatus};
use model::job_graph::SideOutput;

use super::*;
use crate::checkpoint::history::{CheckpointKind, CheckpointRecord};
use crate::fixtures::{advance, running_snapshot};
use model::CheckpointId;
use std::sync::Arc;

/// Looks once a second from `from` to `to` (s), changing the job in between.
fn watch(
    progress: &mut Progress,
    snapshot: &mut JobSnapshot,
    seconds: std::ops::Range<i64>,
    mut change: impl FnMut(&mut JobSnapshot, i64),
) -> Health {
    let end = seconds.end;
    for second in seconds {
        change(snapshot, second * 1000);
        progress.on_tick(second * 1000, snapshot);
    }
    judge((end - 1) * 1000, snapshot, progress, &[])
}

fn kinds(health: &Health) -> Vec<ReasonKind> {
    health.reasons.iter().map(|r| r.kind).collect()
}

fn without_checkpoints(snapshot: &mut JobSnapshot) {
    Arc::make_mut(&mut snapshot.graph).checkpoint.interval_ms = None;
}

#[test]
fn a_job_that_moves_is_ok() {
    let (mut progress, mut snapshot) = (Progress::default(), running_snapshot());
    without_checkpoints(&mut snapshot);
    let health = watch(&mut progress, &mut snapshot, 0..300, advance);
    assert_eq!((health.state, health.reasons.len()), (HealthState::Ok, 0));
}

#[test]
fn a_silent_source_is_never_ok() {
    let (mut progress, mut snapshot) = (Progress::default(), running_snapshot());
    watch(&mut progress, &mut snapshot, 0..10, advance);
    let health = watch(&mut progress, &mut snapshot, 10..60, |_, _| {});
    assert_eq!(health.state, HealthState::Ok, "not yet: {health:?}");
    let health = watch(&mut progress, &mut snapshot, 60..120, |_, _| {});
    assert_eq!(health.state, HealthState::Degraded);
    assert_eq!(kinds(&health), [ReasonKind::SilentSource, ReasonKind::WatermarkStalled]);
    assert_eq!(health.reasons[0].since_ms, 9_000);
    assert!(health.reasons[0].text.contains("`numbers`"), "{health:?}");
    let health = watch(&mut progress, &mut snapshot, 120..122, advance);
    assert_eq!(health.state, HealthState::Ok, "it came back: {health:?}");
}

#[test]
fn the_job_file_says_what_silence_is() {
    let (mut progress, mut snapshot) = (Progress::default(), running_snapshot());
    let graph = Arc::make_mut(&mut snapshot.graph);
    graph.slo.silence_ms = Some(5_000);
    graph.slo.freshness_ms = Some(3_600_000);
    let health = watch(&mut progress, &mut snapshot, 0..7, |_, _| {});
    assert_eq!(kinds(&health), [ReasonKind::SilentSource]);
}

#[test]
fn a_bounded_or_finished_source_is_not_silent() {
    let (mut progress, mut snapshot) = (Progress::default(), running_snapshot());
    snapshot.unbounded.clear();
    without_checkpoints(&mut snapshot);
    let health = watch(&mut progress, &mut snapshot, 0..200, |s, now| {
        // Its watermark rises, but it reads nothing for long.
        s.details.vertices.iter_mut().for_each(|v| v.watermark = Some(now));
    });
    assert_eq!(health.state, HealthState::Ok, "{health:?}");
    let (mut progress, mut snapshot) = (Progress::default(), running_snapshot());
    without_checkpoints(&mut snapshot);
    for vertex in &mut snapshot.details.vertices {
        vertex.subtasks.iter_mut().for_each(|s| s.state = ExecutionState::Finished);
    }
    let health = watch(&mut progress, &mut snapshot, 0..200, |_, _| {});
    assert_eq!(health.state, HealthState::Ok, "{health:?}");
}

#[test]
fn a_watermark_that_never_comes_stands_still() {
    let (mut progress, mut snapshot) = (Progress::default(), running_snapshot());
    without_checkpoints(&mut snapshot);
    let health = watch(&mut progress, &mut snapshot, 0..100, |s, _| {
        for vertex in &mut s.details.vertices {
            vertex.metrics.records_in += 1;
            vertex.watermark = None;
        }
    });
    assert_eq!(kinds(&health), [ReasonKind::WatermarkStalled]);
    // The end of time does not have to rise.
    let health = watch(&mut progress, &mut snapshot, 100..200, |s, _| {
        for vertex in &mut s.details.vertices {
            vertex.metrics.records_in += 1;
            vertex.watermark = Some(i64::MAX);
        }
    });
    assert_eq!(health.state, HealthState::Ok, "{health:?}");
}

#[test]
fn a_restart_starts_the_clocks_anew() {
    let (mut progress, mut snapshot) = (Progress::default(), running_snapshot());
    without_checkpoints(&mut snapshot);
    watch(&mut progress, &mut snapshot, 0..100, |_, _| {});
    snapshot.details.status = JobStatus::Restarting;
    snapshot.details.failure = Some("lost a machine".into());
    let health = watch(&mut progress, &mut snapshot, 100..101, |_, _| {});
    assert_eq!(
        (health.state, kinds(&health)),
        (HealthState::Failing, vec![ReasonKind::Restarting])
    );
    snapshot.details.status = JobStatus::Running;
    snapshot.details.attempt = Attempt(2);
    let health = watch(&mut progress, &mut snapshot, 101..102, |_, _| {});
    assert_eq!(health.state, HealthState::Ok, "{health:?}");
}

#[test]
fn old_and_failing_checkpoints_and_dead_letters_show() {
    let (mut progress, mut snapshot) = (Progress::default(), running_snapshot());
    Arc::make_mut(&mut snapshot.graph).checkpoint.interval_ms = Some(10_000);
    let health = watch(&mut progress, &mut snapshot, 0..100, advance);
    assert_eq!(kinds(&health), [ReasonKind::CheckpointTooOld]);
    snapshot.checkpoints.push(CheckpointRecord {
        id: CheckpointId(3),
        kind: CheckpointKind::Periodic,
        status: CheckpointStatus::Failed,
        attempt: snapshot.details.attempt,
        triggered_at_ms: 99_000,
        ended_at_ms: Some(99_500),
        committed_at_ms: None,
        duration_ms: None,
        state_bytes: 0,
        written_bytes: 0,
        acknowledged: 0,
        total: 4,
        cause: Some("the disk is full".into()),
        path: None,
        subtasks: Vec::new(),
    });
    snapshot.details.vertices[0].metrics.bad_records_dead_lettered = 3;
    let health = watch(&mut progress, &mut snapshot, 100..101, advance);
    let expected =
        [ReasonKind::CheckpointFailing, ReasonKind::CheckpointTooOld, ReasonKind::DeadLetters];
    assert_eq!(kinds(&health), expected);
    let breached = [(SloKind::Freshness, 5, "SLO freshness is broken: 43s".to_owned())];
    let health = judge(100_000, &snapshot, &progress, &breached);
    assert!(kinds(&health).contains(&ReasonKind::Freshness));
}

#[test]
fn bad_records_kept_aside_have_no_event_time_that_could_stand_still() {
    let mut graph = running_snapshot().graph.as_ref().clone();
    let (from, to) = (graph.vertices[0].id, graph.vertices[1].id);
    let schema = graph.vertices[0].operators[0].output.clone();
    let mut timed = |name: &str| {
        let side = SideOutput { operator: 0, name: name.to_owned(), schema: schema.clone() };
        graph.vertices[0].side_outputs = vec![side];
        graph.edges.iter_mut().for_each(|edge| edge.output = 1);
        timed_vertices(&graph)
    };
    assert_eq!(timed("late"), BTreeSet::from([from, to]));
    assert_eq!(timed("deadLetter"), BTreeSet::from([from]));
}
