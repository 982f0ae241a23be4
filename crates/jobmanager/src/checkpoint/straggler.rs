//! Where the time of a checkpoint went: per subtask on a common clock, who was last, and the
//! spread over the last checkpoints. Pure. Called by `rest/` and by `why.rs`.

use model::{SubtaskIndex, VertexId};
use serde::Serialize;

use crate::checkpoint::history::{CheckpointRecord, CheckpointStatus, SubtaskRecord};

/// What a subtask does between trigger and acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// The barrier is on its way to it.
    BarrierArrival,
    Alignment,
    Sync,
    /// Encoding and storing beside the task.
    Upload,
    /// Until the job manager heard of it.
    Acknowledgement,
}

/// The subtask that a checkpoint waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Straggler {
    pub vertex: VertexId,
    pub subtask: SubtaskIndex,
    /// In which it was longest.
    pub phase: Phase,
    pub ms: i64,
}

/// One subtask's part, in ms since the epoch and ms.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubtaskTimes {
    pub triggered_at_ms: i64,
    pub barrier_arrived_at_ms: i64,
    pub alignment_ms: f64,
    pub sync_ms: f64,
    pub upload_ms: f64,
    pub acknowledged_at_ms: i64,
    pub state_bytes: u64,
    pub written_bytes: u64,
}

fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// The record's times on the checkpoint's clock.
pub fn times(record: &CheckpointRecord, subtask: &SubtaskRecord) -> SubtaskTimes {
    let timings = &subtask.timings;
    SubtaskTimes {
        triggered_at_ms: record.triggered_at_ms,
        barrier_arrived_at_ms: record.triggered_at_ms + (timings.start_delay_us / 1000) as i64,
        alignment_ms: ms(timings.alignment_us),
        sync_ms: ms(timings.sync_us),
        upload_ms: ms(timings.async_us),
        acknowledged_at_ms: subtask.acknowledged_at_ms,
        state_bytes: timings.state_bytes,
        written_bytes: timings.written_bytes,
    }
}

/// The last to acknowledge, and its longest phase. `None` before anybody did.
pub fn of(record: &CheckpointRecord) -> Option<Straggler> {
    let took_part = record.subtasks.iter().filter(|s| !s.finished);
    let last = took_part.max_by_key(|s| {
        let t = &s.timings;
        let own = t.start_delay_us + t.alignment_us + t.sync_us + t.async_us;
        (s.acknowledged_at_ms, own)
    })?;
    let t = &last.timings;
    let known = t.start_delay_us + t.alignment_us + t.sync_us + t.async_us;
    let total = (last.acknowledged_at_ms - record.triggered_at_ms).max(0) as u64 * 1000;
    let phases = [
        (Phase::BarrierArrival, t.start_delay_us),
        (Phase::Alignment, t.alignment_us),
        (Phase::Sync, t.sync_us),
        (Phase::Upload, t.async_us),
        (Phase::Acknowledgement, total.saturating_sub(known)),
    ];
    // Of equal ones the earlier.
    let (phase, us) = phases.into_iter().rev().max_by_key(|(_, us)| *us)?;
    Some(Straggler { vertex: last.vertex, subtask: last.subtask, phase, ms: (us / 1000) as i64 })
}

/// Spread of one figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    pub min: f64,
    pub avg: f64,
    pub max: f64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
}

impl Percentiles {
    /// `None` without values. Nearest rank.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (first, last) = (*values.first()?, *values.last()?);
        let at = |share: f64| {
            let rank = (share * values.len() as f64).ceil().max(1.0) as usize;
            values[rank.min(values.len()) - 1]
        };
        Some(Self {
            min: first,
            avg: values.iter().sum::<f64>() / values.len() as f64,
            max: last,
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
        })
    }
}

/// Over the complete checkpoints among `records`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    pub end_to_end_ms: Option<Percentiles>,
    pub state_bytes: Option<Percentiles>,
    pub written_bytes: Option<Percentiles>,
    /// The longest alignment of each checkpoint.
    pub alignment_ms: Option<Percentiles>,
}

impl Spread {
    pub fn of(records: &[CheckpointRecord]) -> Self {
        let complete = || records.iter().filter(|r| r.status == CheckpointStatus::Completed);
        let alignment = |r: &CheckpointRecord| {
            r.subtasks.iter().map(|s| ms(s.timings.alignment_us)).fold(0.0, f64::max)
        };
        Self {
            end_to_end_ms: Percentiles::of(
                complete().filter_map(|r| r.duration_ms).map(|d| d as f64).collect(),
            ),
            state_bytes: Percentiles::of(complete().map(|r| r.state_bytes as f64).collect()),
            written_bytes: Percentiles::of(complete().map(|r| r.written_bytes as f64).collect()),
            alignment_ms: Percentiles::of(complete().map(alignment).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::history::CheckpointKind;
    use model::deployment::SnapshotTimings;
    use model::{Attempt, CheckpointId};

    fn record(subtasks: Vec<SubtaskRecord>) -> CheckpointRecord {
        CheckpointRecord {
            id: CheckpointId(1),
            kind: CheckpointKind::Periodic,
            status: CheckpointStatus::Completed,
            attempt: Attempt(1),
            triggered_at_ms: 1_000,
            ended_at_ms: Some(1_100),
            committed_at_ms: None,
            duration_ms: Some(100),
            state_bytes: 10,
            written_bytes: 4,
            acknowledged: 2,
            total: 2,
            cause: None,
            path: None,
            subtasks,
        }
    }

    fn subtask(index: u32, at: i64, timings: SnapshotTimings) -> SubtaskRecord {
        SubtaskRecord {
            vertex: VertexId(7),
            subtask: SubtaskIndex(index),
            acknowledged_at_ms: at,
            finished: false,
            timings,
        }
    }

    #[test]
    fn the_last_one_is_named_with_its_longest_phase() {
        let quick = SnapshotTimings { start_delay_us: 2_000, ..Default::default() };
        let slow = SnapshotTimings {
            start_delay_us: 3_000,
            alignment_us: 10_000,
            sync_us: 1_000,
            async_us: 60_000,
            state_bytes: 5,
            written_bytes: 3,
        };
        let one = record(vec![subtask(0, 1_004, quick), subtask(1, 1_080, slow.clone())]);
        let found = of(&one).unwrap();
        assert_eq!((found.subtask, found.phase, found.ms), (SubtaskIndex(1), Phase::Upload, 60));
        let at = times(&one, &one.subtasks[1]);
        assert_eq!((at.barrier_arrived_at_ms, at.upload_ms), (1_003, 60.0));
        assert_eq!((at.state_bytes, at.written_bytes), (5, 3));
        let spread = Spread::of(std::slice::from_ref(&one));
        let bytes = [spread.state_bytes, spread.written_bytes].map(|of| of.map(|p| p.p50));
        assert_eq!(bytes, [Some(10.0), Some(4.0)]);
        let late = record(vec![subtask(1, 1_500, slow)]);
        assert_eq!(of(&late).unwrap().phase, Phase::Acknowledgement);
        assert_eq!(of(&record(Vec::new())), None);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let spread = Percentiles::of((1..=100).map(f64::from).collect()).unwrap();
        assert_eq!((spread.min, spread.avg, spread.max), (1.0, 50.5, 100.0));
        assert_eq!((spread.p50, spread.p99, spread.p999), (50.0, 99.0, 100.0));
        assert_eq!(Percentiles::of(Vec::new()), None);
        assert_eq!(Percentiles::of(vec![3.0]).unwrap().p50, 3.0);
    }
}
