//! The life of a job as spans: submission, deployments, recoveries, checkpoints. Pure: looks
//! at snapshots and says what has ended since the last look. Driven by `observer.rs`, and only
//! when traces are exported.
//!
//! Everything of a job's life is one trace whose id is the job's; a checkpoint is a trace of
//! its own. Ids are made from what the spans are about: nothing has to be carried around.

use std::collections::BTreeSet;

use model::execution_state::ExecutionState;
use model::{Attempt, CheckpointId};
use telemetry::{Span, SpanId, TraceId};

use crate::checkpoint::history::{CheckpointRecord, CheckpointStatus, SubtaskRecord};
use crate::details::JobSnapshot;
use crate::timeline::AttemptRecord;

/// What of one job was told already.
#[derive(Debug, Default)]
pub struct JobTraces {
    submitted: bool,
    attempts: BTreeSet<Attempt>,
    checkpoints: BTreeSet<CheckpointId>,
}

/// Kinds of spans, as part of their ids.
const SUBMIT: u64 = 1;
const DEPLOY: u64 = 2;
const RECOVER: u64 = 3;

impl JobTraces {
    /// The spans that have ended since the last look.
    pub fn on_tick(&mut self, snapshot: &JobSnapshot) -> Vec<Span> {
        let mut spans = Vec::new();
        self.submission(snapshot, &mut spans);
        let attempts = &snapshot.attempts;
        for (index, attempt) in attempts.iter().enumerate() {
            let over = attempt.running_at_ms.or(attempt.ended_at_ms);
            if let Some(end_ms) = over
                && self.attempts.insert(attempt.attempt)
            {
                let before = index.checked_sub(1).map(|i| &*attempts[i]);
                start_of_attempt(snapshot, (before, attempt), end_ms, &mut spans);
            }
        }
        if let Some(oldest) = attempts.first() {
            self.attempts = self.attempts.split_off(&oldest.attempt);
        }
        for record in &snapshot.checkpoints {
            let ended = record.status != CheckpointStatus::InProgress;
            if ended && self.checkpoints.insert(record.id) {
                checkpoint(snapshot, record, &mut spans);
            }
        }
        if let Some(oldest) = snapshot.checkpoints.first() {
            self.checkpoints = self.checkpoints.split_off(&oldest.id);
        }
        spans
    }

    fn submission(&mut self, snapshot: &JobSnapshot, spans: &mut Vec<Span>) {
        let details = &snapshot.details;
        let first = snapshot.attempts.first().filter(|a| a.attempt == Attempt(1));
        let begun = first.and_then(|a| deploying_at(a).or(a.running_at_ms));
        let end_ms = begun.or(details.ended_at_ms);
        let Some(end_ms) = end_ms.filter(|_| !self.submitted) else { return };
        self.submitted = true;
        spans.push(Span {
            trace: TraceId(details.id.0.max(1)),
            id: id(details.id.0, SUBMIT, 0),
            parent: None,
            name: "job.submit",
            start_us: details.submitted_at_ms.saturating_mul(1000),
            end_us: end_ms.saturating_mul(1000),
            attributes: vec![
                ("job", details.name.clone().into()),
                ("job_id", details.id.to_string().into()),
                ("vertices", details.vertices.len().into()),
            ],
            error: None,
        });
    }
}

/// When the first task of the attempt was handed over.
fn deploying_at(attempt: &AttemptRecord) -> Option<i64> {
    let states = attempt.vertices.iter().flat_map(|v| &v.subtasks).flat_map(|s| &s.states);
    states.filter(|s| s.state == ExecutionState::Deploying).map(|s| s.at_ms).min()
}

fn start_of_attempt(
    snapshot: &JobSnapshot,
    (before, attempt): (Option<&AttemptRecord>, &AttemptRecord),
    end_ms: i64,
    spans: &mut Vec<Span>,
) {
    let job = snapshot.details.id.0;
    let number = u64::from(attempt.attempt.0);
    let failed = attempt.running_at_ms.is_none();
    let error = failed.then(|| attempt.cause.clone().unwrap_or_else(|| "never ran".to_owned()));
    let mut attributes = vec![
        ("job", snapshot.details.name.clone().into()),
        ("job_id", snapshot.details.id.to_string().into()),
        ("attempt", number.into()),
    ];
    if let Some(checkpoint) = attempt.restored_from {
        attributes.push(("checkpoint", checkpoint.0.into()));
    }
    let span = |name, kind, parent, start_ms: i64| Span {
        trace: TraceId(job.max(1)),
        id: id(job, kind, number),
        parent: Some(parent),
        name,
        start_us: start_ms.saturating_mul(1000),
        end_us: end_ms.saturating_mul(1000),
        attributes: attributes.clone(),
        error: error.clone(),
    };
    let submit = id(job, SUBMIT, 0);
    let mut parent = submit;
    if let Some(before) = before {
        parent = id(job, RECOVER, number);
        let from_ms = before.ended_at_ms.unwrap_or(attempt.started_at_ms);
        let mut recover = span("job.recover", RECOVER, submit, from_ms);
        if let Some(cause) = &before.cause {
            recover.attributes.push(("cause", cause.clone().into()));
        }
        spans.push(recover);
    }
    let from_ms = deploying_at(attempt).unwrap_or(attempt.started_at_ms);
    spans.push(span("job.deploy", DEPLOY, parent, from_ms));
}

fn checkpoint(snapshot: &JobSnapshot, record: &CheckpointRecord, spans: &mut Vec<Span>) {
    let details = &snapshot.details;
    let trace = TraceId(trace_of(details.id.0, record.id.0));
    let own = id(trace.0, 0, 0);
    let failed = record.status == CheckpointStatus::Failed;
    spans.push(Span {
        trace,
        id: own,
        parent: None,
        name: "checkpoint",
        start_us: record.triggered_at_ms.saturating_mul(1000),
        end_us: record.ended_at_ms.unwrap_or(record.triggered_at_ms).saturating_mul(1000),
        attributes: vec![
            ("job", details.name.clone().into()),
            ("job_id", details.id.to_string().into()),
            ("checkpoint", record.id.0.into()),
            ("attempt", record.attempt.0.into()),
            ("state_bytes", record.state_bytes.into()),
            ("written_bytes", record.written_bytes.into()),
        ],
        error: failed.then(|| record.cause.clone().unwrap_or_else(|| "failed".to_owned())),
    });
    for (index, subtask) in record.subtasks.iter().enumerate().filter(|(_, s)| !s.finished) {
        let vertex = details.vertices.iter().find(|v| v.id == subtask.vertex);
        let vertex = vertex.map_or_else(|| subtask.vertex.to_string(), |v| v.name.clone());
        for (phase, (name, start_us, end_us)) in phases(record, subtask).into_iter().enumerate() {
            spans.push(Span {
                trace,
                id: id(trace.0, 1 + phase as u64, index as u64),
                parent: Some(own),
                name,
                start_us,
                end_us,
                attributes: vec![
                    ("vertex", vertex.clone().into()),
                    ("subtask", subtask.subtask.0.into()),
                    ("state_bytes", subtask.timings.state_bytes.into()),
                    ("written_bytes", subtask.timings.written_bytes.into()),
                ],
                error: None,
            });
        }
    }
}

/// One after the other from the first barrier on.
fn phases(record: &CheckpointRecord, subtask: &SubtaskRecord) -> [(&'static str, i64, i64); 3] {
    let us = |us: u64| i64::try_from(us).unwrap_or(i64::MAX / 4);
    let timings = &subtask.timings;
    let arrived = record.triggered_at_ms.saturating_mul(1000) + us(timings.start_delay_us);
    let aligned = arrived + us(timings.alignment_us);
    let frozen = aligned + us(timings.sync_us);
    [
        ("checkpoint.align", arrived, aligned),
        ("checkpoint.sync", aligned, frozen),
        ("checkpoint.upload", frozen, frozen + us(timings.async_us)),
    ]
}

/// Spreads the bits (splitmix64's finisher).
fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn id(of: u128, kind: u64, number: u64) -> SpanId {
    let seed = mix(of as u64) ^ mix((of >> 64) as u64).rotate_left(1);
    SpanId(mix(seed ^ mix(kind << 48 | (number + 1))).max(1))
}

fn trace_of(job: u128, checkpoint: u64) -> u128 {
    let low = mix(job as u64 ^ mix(checkpoint));
    let high = mix((job >> 64) as u64 ^ mix(!checkpoint));
    (u128::from(high) << 64 | u128::from(low)).max(1)
}

#[cfg(test)]
mod tests;
