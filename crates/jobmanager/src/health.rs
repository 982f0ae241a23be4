//! Is the job all right? What moves in a job is remembered from second to second
//! ([`Progress`]), and judged ([`judge`]). Pure: snapshots and the time come in.
//! Driven by `observer.rs`; shown in the job's details.
//!
//! A job whose source fell silent, or whose watermark stands still, is never `ok`, also
//! without `spec.slo`: after a minute, or after `slo.silence` and `slo.freshness` where the
//! job file sets them.

use std::collections::{BTreeMap, BTreeSet};

use model::execution_state::{ExecutionState, JobStatus};
use model::job_graph::{JobEdge, JobGraph};
use model::operator_spec::OperatorSpec;
use model::{Attempt, VertexId};
use serde::Serialize;

use crate::checkpoint::history::CheckpointStatus;
use crate::details::{JobSnapshot, VertexDetails};
use crate::job_state::JobState;
use crate::slo::{RateWindow, SloKind, show_ms};

/// An unbounded source without a record for longer is silent.
pub const SILENT_AFTER_MS: i64 = 60_000;
/// A watermark that did not rise for longer stands still.
pub const STALLED_AFTER_MS: i64 = 60_000;
/// A checkpoint is too old after so many intervals, and at least a minute.
pub const TOO_OLD_INTERVALS: i64 = 3;
/// Dead letters count for so long.
const DEAD_LETTERS_MS: i64 = 60_000;
/// From this share of its time on a task counts as backpressured (Flink's HIGH).
pub const BACKPRESSURED_PERCENT: f64 = 50.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HealthState {
    Ok,
    Degraded,
    Failing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ReasonKind {
    Failed,
    Restarting,
    WaitingForSlots,
    SilentSource,
    WatermarkStalled,
    CheckpointFailing,
    CheckpointTooOld,
    DeadLetters,
    Freshness,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    pub kind: ReasonKind,
    pub text: String,
    pub since_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    pub state: HealthState,
    /// Empty when it is ok; worst first.
    pub reasons: Vec<Reason>,
}

impl Health {
    fn of(mut reasons: Vec<Reason>) -> Self {
        reasons.sort_by_key(|r| (r.kind, r.since_ms));
        let state = match reasons.first().map(|r| r.kind) {
            None => HealthState::Ok,
            Some(ReasonKind::Failed | ReasonKind::Restarting) => HealthState::Failing,
            Some(_) => HealthState::Degraded,
        };
        Self { state, reasons }
    }

    /// What the status alone says.
    pub fn of_status(state: &JobState, now_ms: i64) -> Self {
        let status = state.status();
        let since = state.status_since().iter().find(|(s, _)| *s == status).map(|(_, t)| *t);
        let reason = status_reason(status, state.failure(), state.message());
        let since_ms = since.unwrap_or(now_ms);
        Self::of(reason.into_iter().map(|(kind, text)| Reason { kind, text, since_ms }).collect())
    }
}

fn status_reason(
    status: JobStatus,
    failure: Option<&str>,
    message: Option<&str>,
) -> Option<(ReasonKind, String)> {
    let why = failure.unwrap_or("no cause is known");
    match status {
        JobStatus::Failed | JobStatus::Failing => {
            Some((ReasonKind::Failed, format!("the job failed: {why}")))
        }
        JobStatus::Restarting => {
            Some((ReasonKind::Restarting, format!("the job restarts after a failure: {why}")))
        }
        JobStatus::Created => message.map(|waits| (ReasonKind::WaitingForSlots, waits.to_owned())),
        _ => None,
    }
}

/// A value and when it last changed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moved<T> {
    value: T,
    at_ms: i64,
}

impl<T: PartialEq> Moved<T> {
    fn see(&mut self, value: T, now_ms: i64) {
        if self.value != value {
            *self = Self { value, at_ms: now_ms };
        }
    }
}

/// What moved, and when, in one job.
#[derive(Debug)]
pub struct Progress {
    attempt: Attempt,
    running_since_ms: Option<i64>,
    /// Records of every unbounded source that still runs.
    sources: BTreeMap<VertexId, Moved<u64>>,
    /// Watermarks of vertices that have event time and still run.
    watermarks: BTreeMap<VertexId, Moved<Option<i64>>>,
    backpressured: BTreeMap<VertexId, i64>,
    /// Vertices behind a Watermark operator.
    timed: Option<BTreeSet<VertexId>>,
    bad_records: u64,
    /// Dead letters of all attempts so far.
    pub dead_letters: u64,
    recent_dead_letters: RateWindow,
    checkpoint_failing_since_ms: Option<i64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            attempt: Attempt(0),
            running_since_ms: None,
            sources: BTreeMap::new(),
            watermarks: BTreeMap::new(),
            backpressured: BTreeMap::new(),
            timed: None,
            bad_records: 0,
            dead_letters: 0,
            recent_dead_letters: RateWindow::new(DEAD_LETTERS_MS),
            checkpoint_failing_since_ms: None,
        }
    }
}

impl Progress {
    /// To be called about once a second.
    pub fn on_tick(&mut self, now_ms: i64, snapshot: &JobSnapshot) {
        let details = &snapshot.details;
        if self.attempt != details.attempt {
            let (dead_letters, timed) = (self.dead_letters, self.timed.take());
            let recent = std::mem::replace(&mut self.recent_dead_letters, RateWindow::new(1));
            *self = Self {
                attempt: details.attempt,
                dead_letters,
                timed,
                recent_dead_letters: recent,
                ..Self::default()
            };
        }
        if details.status != JobStatus::Running {
            self.running_since_ms = None;
            return;
        }
        self.running_since_ms.get_or_insert(now_ms);
        let timed = self.timed.get_or_insert_with(|| timed_vertices(&snapshot.graph));
        let mut bad_records = 0;
        for vertex in &details.vertices {
            let metrics = &vertex.metrics;
            bad_records += metrics.bad_records_dead_lettered + metrics.bad_records_skipped;
            if is_over(vertex) {
                self.sources.remove(&vertex.id);
                self.watermarks.remove(&vertex.id);
                self.backpressured.remove(&vertex.id);
                continue;
            }
            if snapshot.unbounded.contains(&vertex.id) {
                let value = metrics.records_in;
                let seen = self.sources.entry(vertex.id);
                seen.or_insert(Moved { value, at_ms: now_ms }).see(value, now_ms);
            }
            if timed.contains(&vertex.id) {
                let value = vertex.watermark;
                let seen = self.watermarks.entry(vertex.id);
                seen.or_insert(Moved { value, at_ms: now_ms }).see(value, now_ms);
            }
            if worst_backpressure(vertex) >= BACKPRESSURED_PERCENT {
                self.backpressured.entry(vertex.id).or_insert(now_ms);
            } else {
                self.backpressured.remove(&vertex.id);
            }
        }
        let fresh = bad_records.saturating_sub(self.bad_records);
        self.bad_records = bad_records;
        self.dead_letters += fresh;
        self.recent_dead_letters.add(now_ms, fresh);
        self.note_checkpoints(now_ms, snapshot);
    }

    fn note_checkpoints(&mut self, now_ms: i64, snapshot: &JobSnapshot) {
        let newest = snapshot.checkpoints.iter().rev();
        let newest = newest.clone().find(|r| r.status != CheckpointStatus::InProgress);
        let failing = newest.is_some_and(|r| {
            r.status == CheckpointStatus::Failed && r.attempt == snapshot.details.attempt
        });
        if failing {
            self.checkpoint_failing_since_ms.get_or_insert(now_ms);
        } else {
            self.checkpoint_failing_since_ms = None;
        }
    }

    /// How long the job has been running without a break, ms.
    pub fn running_ms(&self, now_ms: i64) -> Option<i64> {
        self.running_since_ms.map(|since| now_ms - since)
    }

    /// When the source had its last record, if it is one that never ends.
    pub fn last_record_at_ms(&self, vertex: VertexId) -> Option<i64> {
        self.sources.get(&vertex).map(|m| m.at_ms)
    }

    /// Since when the vertex's watermark is what it is; `None` without event time.
    pub fn watermark_since_ms(&self, vertex: VertexId) -> Option<i64> {
        let moved = self.watermarks.get(&vertex)?;
        // The end of time does not rise any more.
        (moved.value != Some(i64::MAX)).then_some(moved.at_ms)
    }

    pub fn backpressured_since_ms(&self, vertex: VertexId) -> Option<i64> {
        self.backpressured.get(&vertex).copied()
    }

    /// The longest silence of a source that never ends, ms.
    pub fn silence_ms(&self, now_ms: i64) -> Option<i64> {
        self.sources.values().map(|m| now_ms - m.at_ms).max()
    }

    /// Whether the vertex has event time.
    pub fn is_timed(&self, vertex: VertexId) -> bool {
        self.timed.as_ref().is_some_and(|t| t.contains(&vertex))
    }
}

/// Every task of it has ended.
pub fn is_over(vertex: &VertexDetails) -> bool {
    !vertex.subtasks.is_empty() && vertex.subtasks.iter().all(|s| s.state.is_terminal())
}

/// Of its running subtask that is worst off.
pub fn worst_backpressure(vertex: &VertexDetails) -> f64 {
    let running = vertex.subtasks.iter().filter(|s| s.state == ExecutionState::Running);
    running.map(|s| s.rates.backpressured_percent).fold(0.0, f64::max)
}

fn timed_vertices(graph: &JobGraph) -> BTreeSet<VertexId> {
    let mut timed = BTreeSet::new();
    // In topological order, so one pass finds everything behind them.
    for vertex in &graph.vertices {
        let own = vertex.operators.iter().any(|o| matches!(o.spec, OperatorSpec::Watermark { .. }));
        let mut inputs = graph.inputs_of(vertex.id);
        if own || inputs.any(|(_, edge)| timed.contains(&edge.from) && !is_dead_letter(graph, edge))
        {
            timed.insert(vertex.id);
        }
    }
    timed
}

/// Records that cannot be read have no event time, so no watermark goes with them.
fn is_dead_letter(graph: &JobGraph, edge: &JobEdge) -> bool {
    let from = graph.vertex(edge.from);
    let side = edge.output.checked_sub(1).and_then(|at| from?.side_outputs.get(at));
    side.is_some_and(|side| side.name == "deadLetter")
}

/// How long a source may be silent and a watermark stand still, ms.
pub fn thresholds(graph: &JobGraph) -> (i64, i64) {
    let slo = &graph.slo;
    (slo.silence_ms.unwrap_or(SILENT_AFTER_MS), slo.freshness_ms.unwrap_or(STALLED_AFTER_MS))
}

/// The job's health. `breached`: SLOs that are broken, with since when and their values.
pub fn judge(
    now_ms: i64,
    snapshot: &JobSnapshot,
    progress: &Progress,
    breached: &[(SloKind, i64, String)],
) -> Health {
    let details = &snapshot.details;
    let mut reasons = Vec::new();
    let name = crate::details::status_name(details.status);
    let since = details.timestamps.get(&name).and_then(serde_json::Value::as_i64);
    let status =
        status_reason(details.status, details.failure.as_deref(), details.message.as_deref());
    if let Some((kind, text)) = status {
        reasons.push(Reason { kind, text, since_ms: since.unwrap_or(now_ms) });
    }
    if details.status == JobStatus::Running {
        standstill(now_ms, snapshot, progress, &mut reasons);
        checkpoints(now_ms, snapshot, progress, &mut reasons);
        let dead = progress.recent_dead_letters.within(now_ms);
        if dead > 0 {
            reasons.push(Reason {
                kind: ReasonKind::DeadLetters,
                text: format!("{dead} bad records were set aside in the last minute"),
                since_ms: progress.recent_dead_letters.oldest_ms(now_ms).unwrap_or(now_ms),
            });
        }
    }
    if !details.status.is_terminal() {
        for (slo, since_ms, text) in breached {
            let kind = match slo {
                SloKind::Freshness => ReasonKind::Freshness,
                SloKind::Silence => ReasonKind::SilentSource,
                SloKind::CheckpointAge => ReasonKind::CheckpointTooOld,
                SloKind::RestartRate => ReasonKind::Restarting,
                SloKind::DeadLetterRate => ReasonKind::DeadLetters,
            };
            if reasons.iter().all(|r| r.kind != kind) {
                reasons.push(Reason { kind, text: text.clone(), since_ms: *since_ms });
            }
        }
    }
    Health::of(reasons)
}

fn standstill(now_ms: i64, snapshot: &JobSnapshot, progress: &Progress, reasons: &mut Vec<Reason>) {
    let (silent_after, stalled_after) = thresholds(&snapshot.graph);
    for vertex in &snapshot.details.vertices {
        if let Some(at) = progress.last_record_at_ms(vertex.id)
            && now_ms - at >= silent_after
        {
            let quiet = show_ms(now_ms - at);
            reasons.push(Reason {
                kind: ReasonKind::SilentSource,
                text: format!("source `{}` has had no record for {quiet}", source_name(vertex)),
                since_ms: at,
            });
        }
    }
    // Behind the first vertex that stands still all others do, too.
    let stalled = snapshot.details.vertices.iter().find_map(|vertex| {
        let since = progress.watermark_since_ms(vertex.id)?;
        (now_ms - since >= stalled_after).then_some((vertex, since))
    });
    if let Some((vertex, since_ms)) = stalled {
        let still = show_ms(now_ms - since_ms);
        reasons.push(Reason {
            kind: ReasonKind::WatermarkStalled,
            text: format!("the watermark of `{}` has stood still for {still}", vertex.name),
            since_ms,
        });
    }
}

/// A source's own name: that of the first operator of its chain.
pub fn source_name(vertex: &VertexDetails) -> &str {
    vertex.operators.first().map_or(&vertex.name, |o| &o.name)
}

/// How old the newest complete checkpoint is, or how long the job runs without one.
pub fn checkpoint_age_ms(now_ms: i64, snapshot: &JobSnapshot, progress: &Progress) -> Option<i64> {
    snapshot.graph.checkpoint.interval_ms?;
    let latest = snapshot.details.checkpoints.latest.as_ref().map(|l| l.triggered_at_ms);
    // A job that was down for long gets an interval to take its next one.
    let running = progress.running_ms(now_ms)?;
    Some(latest.map_or(running, |at| now_ms - at))
}

fn checkpoints(
    now_ms: i64,
    snapshot: &JobSnapshot,
    progress: &Progress,
    reasons: &mut Vec<Reason>,
) {
    if let Some(since_ms) = progress.checkpoint_failing_since_ms {
        let cause = snapshot.details.checkpoints.last_failure.as_deref().unwrap_or("unknown");
        reasons.push(Reason {
            kind: ReasonKind::CheckpointFailing,
            text: format!("the newest checkpoint failed: {cause}"),
            since_ms,
        });
    }
    let Some(interval) = snapshot.graph.checkpoint.interval_ms else { return };
    let limit = (interval * TOO_OLD_INTERVALS).max(60_000);
    let running = progress.running_ms(now_ms).unwrap_or(0);
    if let Some(age) = checkpoint_age_ms(now_ms, snapshot, progress)
        && age > limit
        && running > limit.min(interval * 2)
    {
        reasons.push(Reason {
            kind: ReasonKind::CheckpointTooOld,
            text: format!("no checkpoint was completed for {}", show_ms(age)),
            since_ms: now_ms - age,
        });
    }
}

#[cfg(test)]
mod tests;
