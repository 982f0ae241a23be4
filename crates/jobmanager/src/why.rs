//! What holds a job back right now: one plain sentence, and the evidence for it. Pure: a
//! snapshot, what moved and the time come in. Called by `observer.rs` for `GET .../why`.
//!
//! The findings are made in order of weight, and the first one makes the sentence: ended,
//! failed, restarting, no slots, a silent source, a watermark that stands still, a slow
//! operator, a hot key group, a slow checkpoint, a restart not long ago, nothing.

use model::execution_state::{ExecutionState, JobStatus};
use model::metrics::SplitMetrics;
use model::{SubtaskIndex, VertexId};
use serde::Serialize;

use crate::checkpoint::history::{CheckpointRecord, CheckpointStatus};
use crate::checkpoint::straggler::{self, Phase};
use crate::details::{JobSnapshot, SubtaskDetails, VertexDetails};
use crate::health::{self, BACKPRESSURED_PERCENT, Progress};
use crate::slo::show_ms;

/// A key group with this share of a vertex's rows is hot, when it is also
/// [`HOT_TIMES`] its fair share.
const HOT_SHARE: f64 = 0.15;
const HOT_TIMES: f64 = 3.0;
/// A subtask this much busier than the mean is named.
const UNEVEN: f64 = 1.25;
/// From this share of its time on, percent, a task's figure says that it is busy.
const BUSY_ENOUGH: f64 = 50.0;
/// A restart is worth a word for so long.
const RECENT_RESTART_MS: i64 = 300_000;
/// A checkpoint is slow from this share of its timeout on, or of its interval.
const SLOW_OF_TIMEOUT: f64 = 0.5;
/// No checkpoint is slow below this, ms.
const SLOW_AT_LEAST_MS: i64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EvidenceKind {
    Ended,
    Failed,
    Restarting,
    Starting,
    WaitingForSlots,
    SilentSource,
    WatermarkHeld,
    Backpressure,
    SlowOperator,
    HotKeyGroup,
    SlowCheckpoint,
    Restarted,
    Healthy,
}

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    pub kind: EvidenceKind,
    pub text: String,
    pub vertex: Option<VertexId>,
    pub subtask: Option<SubtaskIndex>,
    pub split: Option<String>,
    pub value: Option<f64>,
    pub since_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    pub sentence: String,
    /// What the sentence rests on comes first.
    pub evidence: Vec<Evidence>,
    /// Nothing holds it back.
    pub healthy: bool,
}

impl Evidence {
    fn new(kind: EvidenceKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            vertex: None,
            subtask: None,
            split: None,
            value: None,
            since_ms: None,
        }
    }
    fn at(mut self, vertex: VertexId) -> Self {
        self.vertex = Some(vertex);
        self
    }
    fn since(mut self, ms: Option<i64>) -> Self {
        self.since_ms = ms;
        self
    }
    fn value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }
}

/// A sentence with what it rests on.
struct Finding {
    sentence: String,
    evidence: Vec<Evidence>,
}

/// A job with what is remembered of it.
struct Scene<'a> {
    now_ms: i64,
    snapshot: &'a JobSnapshot,
    progress: &'a Progress,
}

/// The whole answer.
pub fn explain(now_ms: i64, snapshot: &JobSnapshot, progress: &Progress) -> Why {
    let scene = Scene { now_ms, snapshot, progress };
    let mut findings: Vec<Finding> = scene.status().into_iter().collect();
    if snapshot.details.status == JobStatus::Running {
        let looks = [
            scene.silent_source(),
            scene.held_watermark(),
            scene.slow_operator(),
            scene.hot_key_group(),
            scene.slow_checkpoint(),
            scene.recent_restart(),
        ];
        findings.extend(looks.into_iter().flatten());
    }
    // A restart that is over explains a bad moment, but holds nothing back by itself.
    let healthy = findings.iter().all(|f| {
        f.evidence.iter().all(|e| matches!(e.kind, EvidenceKind::Restarted | EvidenceKind::Ended))
    });
    if findings.is_empty() {
        findings.push(scene.healthy());
    }
    let mut sentences = findings.iter().map(|f| f.sentence.clone());
    let sentence = sentences.next().unwrap_or_default();
    let evidence = findings.into_iter().flat_map(|f| f.evidence).collect();
    Why { sentence, evidence, healthy }
}

impl Scene<'_> {
    fn entered(&self, status: JobStatus) -> Option<i64> {
        let name = crate::details::status_name(status);
        self.snapshot.details.timestamps.get(&name).and_then(serde_json::Value::as_i64)
    }

    fn ago(&self, since_ms: i64) -> String {
        show_ms(self.now_ms - since_ms)
    }

    fn status(&self) -> Option<Finding> {
        let details = &self.snapshot.details;
        let cause = details.failure.as_deref().unwrap_or("no cause is known");
        let since = self.entered(details.status);
        let (kind, sentence) = match details.status {
            JobStatus::Running => return None,
            JobStatus::Finished => {
                (EvidenceKind::Ended, "It has finished: all its input is read.".to_owned())
            }
            JobStatus::Canceled | JobStatus::Cancelling => {
                (EvidenceKind::Ended, "It was canceled.".to_owned())
            }
            JobStatus::Failed | JobStatus::Failing => {
                (EvidenceKind::Failed, format!("It failed: {}", full_stop(cause)))
            }
            JobStatus::Restarting => {
                let times = details.restarts;
                let sentence = format!(
                    "It restarts (number {times}) because of a failure: {}",
                    full_stop(cause)
                );
                (EvidenceKind::Restarting, sentence)
            }
            JobStatus::Created => match &details.message {
                Some(message) => {
                    (EvidenceKind::WaitingForSlots, format!("It is {}", full_stop(message)))
                }
                None => (EvidenceKind::Starting, "Its tasks are being started.".to_owned()),
            },
        };
        // The cause names the task in which it was.
        let text = match kind {
            EvidenceKind::Failed | EvidenceKind::Restarting => cause.to_owned(),
            _ => sentence.clone(),
        };
        let mut evidence = Evidence::new(kind, text).since(since);
        if kind == EvidenceKind::WaitingForSlots {
            let missing = details.slots.needed.saturating_sub(details.slots.held);
            evidence.value = Some(missing as f64);
        }
        Some(Finding { sentence, evidence: vec![evidence] })
    }

    fn silent_source(&self) -> Option<Finding> {
        let (silent_after, _) = health::thresholds(&self.snapshot.graph);
        let mut evidence = Vec::new();
        let mut worst: Option<(i64, &VertexDetails)> = None;
        for vertex in &self.snapshot.details.vertices {
            let Some(at) = self.progress.last_record_at_ms(vertex.id) else { continue };
            if self.now_ms - at < silent_after {
                continue;
            }
            let name = health::source_name(vertex);
            let text = format!("source `{name}` had its last record {} ago", self.ago(at));
            let found = Evidence::new(EvidenceKind::SilentSource, text).at(vertex.id);
            evidence.push(found.since(Some(at)).value((self.now_ms - at) as f64));
            if worst.is_none_or(|(since, _)| at < since) {
                worst = Some((at, vertex));
            }
        }
        let (since, vertex) = worst?;
        let others = match evidence.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let sentence = format!(
            "Source `{}`{others} has been silent for {}: nothing arrives to be processed.",
            health::source_name(vertex),
            self.ago(since)
        );
        Some(Finding { sentence, evidence })
    }

    /// The first vertex whose watermark stands still, and who holds it there.
    fn held_watermark(&self) -> Option<Finding> {
        let (_, stalled_after) = health::thresholds(&self.snapshot.graph);
        let (vertex, since) = self.snapshot.details.vertices.iter().find_map(|vertex| {
            let since = self.progress.watermark_since_ms(vertex.id)?;
            (self.now_ms - since >= stalled_after).then_some((vertex, since))
        })?;
        let still = self.ago(since);
        let holder = holder_of(vertex);
        let (who, mut evidence) = match holder {
            Some((subtask, Some(split))) => {
                let text = format!(
                    "split `{}` of `{}`, read by subtask {}, had its last record {} ago",
                    split.id,
                    vertex.name,
                    subtask.subtask,
                    self.ago(split.last_record_at_ms)
                );
                let mut evidence = Evidence::new(EvidenceKind::WatermarkHeld, text);
                evidence.split = Some(split.id.clone());
                evidence.subtask = Some(subtask.subtask);
                evidence.value = split.watermark.map(|w| w as f64);
                evidence.since_ms = Some(split.last_record_at_ms);
                let who =
                    format!("split `{}` of source `{}`", split.id, health::source_name(vertex));
                (who, evidence)
            }
            Some((subtask, None)) => {
                let at = subtask.metrics.watermark;
                let text = match at {
                    Some(_) => {
                        format!("subtask {} of `{}` is the last", subtask.subtask, vertex.name)
                    }
                    None => format!(
                        "subtask {} of `{}` has no watermark yet",
                        subtask.subtask, vertex.name
                    ),
                };
                let mut evidence = Evidence::new(EvidenceKind::WatermarkHeld, text);
                evidence.subtask = Some(subtask.subtask);
                evidence.value = at.map(|w| w as f64);
                evidence.since_ms = Some(since);
                (format!("subtask {} of `{}`", subtask.subtask, vertex.name), evidence)
            }
            None => {
                let text = format!("the watermark of `{}` does not rise", vertex.name);
                let evidence = Evidence::new(EvidenceKind::WatermarkHeld, text).since(Some(since));
                (format!("`{}`", vertex.name), evidence)
            }
        };
        evidence.vertex = Some(vertex.id);
        let sentence = format!(
            "The watermark has stood still for {still}: {who} holds it back, and windows behind it \
             do not close."
        );
        Some(Finding { sentence, evidence: vec![evidence] })
    }

    /// Behind the first backpressured vertex: the busy one that is not backpressured itself.
    fn slow_operator(&self) -> Option<Finding> {
        let vertices = &self.snapshot.details.vertices;
        let first = vertices.iter().find(|v| backpressured(v))?;
        let culprit = self.behind(first)?;
        let busiest = running(culprit)
            .max_by(|a, b| a.rates.busy_percent.total_cmp(&b.rates.busy_percent))?;
        let percent = busiest.rates.busy_percent;
        let since = self.progress.backpressured_since_ms(first.id);
        let waits = health::worst_backpressure(first);
        let pressed = Evidence::new(
            EvidenceKind::Backpressure,
            format!("`{}` spends {waits:.0}% of its time waiting for room downstream", first.name),
        );
        let place = self.place(culprit);
        // A task counts its time when a batch is done: within a long one the figure says nothing.
        let told = percent >= BUSY_ENOUGH;
        let subtask = format!("subtask {} of `{}`", busiest.subtask, culprit.name);
        let slow = Evidence::new(
            EvidenceKind::SlowOperator,
            match told {
                true => format!("{subtask} is busy {percent:.0}% of its time"),
                false => format!("{subtask} does not take its input as fast as it comes"),
            },
        );
        let mut slow = slow.at(culprit.id).since(since).value(percent);
        slow.subtask = Some(busiest.subtask);
        let mean = running(culprit).map(|s| s.rates.busy_percent).sum::<f64>()
            / running(culprit).count().max(1) as f64;
        let uneven = culprit.parallelism > 1 && percent > mean * UNEVEN;
        let which = match uneven {
            true => format!(
                ", above all its subtask {} ({percent:.0}% busy, mean {mean:.0}%)",
                busiest.subtask
            ),
            false if told => format!(" ({percent:.0}% busy)"),
            false => String::new(),
        };
        let sentence = format!(
            "`{}`{place} is too slow{which}: everything from `{}` on waits for it.",
            culprit.name, first.name
        );
        let pressed = pressed.at(first.id).since(since).value(waits);
        Some(Finding { sentence, evidence: vec![slow, pressed] })
    }

    /// The busiest vertex downstream of `from` that is reached through backpressured ones
    /// only and is not backpressured itself.
    fn behind(&self, from: &VertexDetails) -> Option<&VertexDetails> {
        let vertices = &self.snapshot.details.vertices;
        let mut pressed = vec![from.id];
        let mut found: Option<&VertexDetails> = None;
        for vertex in vertices {
            let mut inputs = self.snapshot.graph.inputs_of(vertex.id);
            if !inputs.any(|(_, edge)| pressed.contains(&edge.from)) {
                continue;
            }
            if backpressured(vertex) {
                pressed.push(vertex.id);
            } else if found.is_none_or(|f| busy(vertex) > busy(f)) {
                found = Some(vertex);
            }
        }
        found
    }

    /// ` (line 12 of the job file)`.
    fn place(&self, vertex: &VertexDetails) -> String {
        let mut uids = vertex.operators.iter().map(|o| &o.uid);
        let place = uids.find_map(|uid| self.snapshot.graph.origin.places.get(uid));
        place.map_or_else(String::new, |p| format!(" (line {} of the job file)", p.line))
    }

    fn hot_key_group(&self) -> Option<Finding> {
        let vertices = &self.snapshot.details.vertices;
        let samples =
            vertices.iter().flat_map(|v| &v.subtasks).filter_map(|s| s.metrics.hot_key_group);
        let hot = samples.max_by(|a, b| a.share.total_cmp(&b.share))?;
        let target = vertices.iter().find(|v| v.id == hot.to)?;
        let fair = 1.0 / f64::from(target.parallelism.max(1));
        // With one subtask nothing is uneven.
        if target.parallelism < 2
            || hot.share < HOT_SHARE
            || hot.share < fair.min(0.5) * HOT_TIMES / 2.0
        {
            return None;
        }
        let subtask = SubtaskIndex(hot.to_subtask);
        let loaded = target.subtasks.get(hot.to_subtask as usize)?;
        // A hot group that its subtask carries with ease holds nothing back.
        if loaded.rates.busy_percent < BACKPRESSURED_PERCENT {
            return None;
        }
        let percent = hot.share * 100.0;
        let text = format!(
            "key group {} gets {percent:.0}% of the rows of `{}`, all in subtask {subtask}",
            hot.group, target.name
        );
        let mut evidence = Evidence::new(EvidenceKind::HotKeyGroup, text).at(target.id);
        evidence.subtask = Some(subtask);
        evidence.value = Some(hot.share);
        let sentence = format!(
            "One key is hot: key group {} has {percent:.0}% of the rows of `{}`, and subtask \
             {subtask} cannot share them.",
            hot.group, target.name
        );
        Some(Finding { sentence, evidence: vec![evidence] })
    }

    fn slow_checkpoint(&self) -> Option<Finding> {
        let record = self.snapshot.checkpoints.last()?;
        let config = &self.snapshot.graph.checkpoint;
        let took = record.duration_ms.unwrap_or(self.now_ms - record.triggered_at_ms);
        let limit = (config.timeout_ms as f64 * SLOW_OF_TIMEOUT)
            .min(config.interval_ms.unwrap_or(i64::MAX) as f64)
            .max(SLOW_AT_LEAST_MS as f64);
        let failed = record.status == CheckpointStatus::Failed
            && record.attempt == self.snapshot.details.attempt;
        if (took as f64) < limit && !failed {
            return None;
        }
        let (who, evidence) = self.straggler(record);
        let sentence = match (failed, record.status) {
            (true, _) => {
                let cause = record.cause.as_deref().unwrap_or("no cause is known");
                format!("Checkpoint {} failed: {}", record.id, full_stop(cause))
            }
            (_, CheckpointStatus::InProgress) => {
                format!("Checkpoint {} has been under way for {}: {who}.", record.id, show_ms(took))
            }
            _ => format!("Checkpoint {} took {}: {who}.", record.id, show_ms(took)),
        };
        let evidence = evidence.value(took as f64).since(Some(record.triggered_at_ms));
        Some(Finding { sentence, evidence: vec![evidence] })
    }

    /// Which subtask a checkpoint waits, or waited, for, and in which phase.
    fn straggler(&self, record: &CheckpointRecord) -> (String, Evidence) {
        let kind = EvidenceKind::SlowCheckpoint;
        let name = |id: VertexId| {
            let vertex = self.snapshot.details.vertices.iter().find(|v| v.id == id);
            vertex.map_or_else(|| id.to_string(), |v| v.name.clone())
        };
        if record.status != CheckpointStatus::Completed {
            let vertices = self.snapshot.details.vertices.iter();
            let tasks = vertices.flat_map(|v| v.subtasks.iter().map(move |s| (v, s)));
            let missing: Vec<_> = tasks
                .filter(|(v, s)| {
                    let same = |r: &crate::checkpoint::history::SubtaskRecord| {
                        r.vertex == v.id && r.subtask == s.subtask
                    };
                    !s.state.is_terminal() && !record.subtasks.iter().any(same)
                })
                .collect();
            if let Some((vertex, subtask)) = missing.first() {
                let who = format!(
                    "subtask {} of `{}` has not acknowledged it ({} of {} have)",
                    subtask.subtask, vertex.name, record.acknowledged, record.total
                );
                let mut evidence = Evidence::new(kind, who.clone()).at(vertex.id);
                evidence.subtask = Some(subtask.subtask);
                return (who, evidence);
            }
        }
        match straggler::of(record) {
            Some(last) => {
                let what = match last.phase {
                    Phase::BarrierArrival => "waited for its barrier",
                    Phase::Alignment => "aligned its inputs",
                    Phase::Sync => "froze its state",
                    Phase::Upload => "uploaded its state",
                    Phase::Acknowledgement => "was acknowledging",
                };
                let who = format!(
                    "subtask {} of `{}` was last and {what} for {}",
                    last.subtask,
                    name(last.vertex),
                    show_ms(last.ms)
                );
                let mut evidence = Evidence::new(kind, who.clone()).at(last.vertex);
                evidence.subtask = Some(last.subtask);
                (who, evidence)
            }
            None => {
                let who = "no task has acknowledged it".to_owned();
                (who.clone(), Evidence::new(kind, who))
            }
        }
    }

    fn recent_restart(&self) -> Option<Finding> {
        let [.., before, present] = self.snapshot.attempts.as_slice() else { return None };
        let since = present.running_at_ms?;
        if self.now_ms - since > RECENT_RESTART_MS {
            return None;
        }
        let cause = before.cause.as_deref().unwrap_or("no cause is known");
        let from = match present.restored_from {
            Some(id) => format!("from checkpoint {id}"),
            None => "from the beginning".to_owned(),
        };
        let down = present.downtime_ms.map(show_ms).unwrap_or_default();
        let text = format!("it stood still for {down} and went on {from}; the cause: {cause}");
        let evidence = Evidence::new(EvidenceKind::Restarted, text).since(Some(since));
        let sentence = format!(
            "Nothing holds it back now, but it restarted {} ago {from} because of a failure: {}",
            self.ago(since),
            full_stop(cause)
        );
        Some(Finding { sentence, evidence: vec![evidence] })
    }

    fn healthy(&self) -> Finding {
        let vertices = &self.snapshot.details.vertices;
        let busiest = vertices.iter().max_by(|a, b| busy(a).total_cmp(&busy(b)));
        let rate = self.snapshot.details.sources.records_per_second;
        let sentence = match busiest {
            Some(vertex) => format!(
                "Nothing holds it back: it reads {rate:.0} records a second, and its busiest part, \
                 `{}`, is busy {:.0}% of its time.",
                vertex.name,
                busy(vertex)
            ),
            None => "Nothing holds it back.".to_owned(),
        };
        let mut evidence = Evidence::new(EvidenceKind::Healthy, sentence.clone());
        if let Some(vertex) = busiest {
            evidence = evidence.at(vertex.id).value(busy(vertex));
        }
        Finding { sentence, evidence: vec![evidence] }
    }
}

fn running(vertex: &VertexDetails) -> impl Iterator<Item = &SubtaskDetails> {
    vertex.subtasks.iter().filter(|s| s.state == ExecutionState::Running)
}

fn backpressured(vertex: &VertexDetails) -> bool {
    health::worst_backpressure(vertex) >= BACKPRESSURED_PERCENT
}

/// Of its busiest running subtask.
fn busy(vertex: &VertexDetails) -> f64 {
    running(vertex).map(|s| s.rates.busy_percent).fold(0.0, f64::max)
}

/// The subtask with the least watermark, and the split in it, where splits are known.
fn holder_of(vertex: &VertexDetails) -> Option<(&SubtaskDetails, Option<&SplitMetrics>)> {
    let subtask = running(vertex).min_by_key(|s| s.metrics.watermark)?;
    let active = subtask.metrics.splits.iter().filter(|s| !s.idle);
    Some((subtask, active.min_by_key(|s| (s.watermark, s.last_record_at_ms))))
}

fn full_stop(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests;
