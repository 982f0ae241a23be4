//! From the counters that tasks send with heartbeats to rates. Pure. Owned by `job_master`,
//! read by `details.rs`.

use std::collections::{BTreeMap, VecDeque};

use model::metrics::{MAX_SPLITS, TaskMetrics};
use serde::Serialize;

use crate::execution_graph::TaskKey;

/// Rates are over the last this many milliseconds.
const WINDOW_MS: i64 = 2_000;
/// Samples kept per task, whatever the heartbeat interval.
const MAX_SAMPLES: usize = 64;

/// What one task, or a vertex, does per second. Shares in percent of one task's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    pub records_in_per_second: f64,
    pub records_out_per_second: f64,
    pub bytes_in_per_second: f64,
    pub bytes_out_per_second: f64,
    pub busy_percent: f64,
    pub backpressured_percent: f64,
    pub idle_percent: f64,
}

/// The last reports of every task of the present attempt.
#[derive(Debug, Default)]
pub struct JobMetrics {
    samples: BTreeMap<TaskKey, VecDeque<(i64, TaskMetrics)>>,
}

impl JobMetrics {
    /// A new attempt counts from zero.
    pub fn clear(&mut self) {
        self.samples.clear();
    }

    pub fn report(&mut self, now_ms: i64, task: TaskKey, metrics: TaskMetrics) {
        let samples = self.samples.entry(task).or_default();
        while samples.len() >= MAX_SAMPLES
            || (samples.len() > 2 && samples.front().is_some_and(|(t, _)| now_ms - t > WINDOW_MS))
        {
            samples.pop_front();
        }
        samples.push_back((now_ms, metrics));
    }

    /// The newest counters of a task.
    pub fn latest(&self, task: TaskKey) -> Option<&TaskMetrics> {
        self.samples.get(&task)?.back().map(|(_, m)| m)
    }

    /// Zero without two samples, and when the last is older than the window.
    pub fn rates(&self, now_ms: i64, task: TaskKey) -> Rates {
        let Some(samples) = self.samples.get(&task) else { return Rates::default() };
        let (Some((t0, first)), Some((t1, last))) = (samples.front(), samples.back()) else {
            return Rates::default();
        };
        let ms = (t1 - t0) as f64;
        if ms <= 0.0 || now_ms - t1 > WINDOW_MS {
            return Rates::default();
        }
        let per_second = |from: u64, to: u64| to.saturating_sub(from) as f64 * 1000.0 / ms;
        let percent = |from: u64, to: u64| (to.saturating_sub(from) as f64 * 100.0 / ms).min(100.0);
        Rates {
            records_in_per_second: per_second(first.records_in, last.records_in),
            records_out_per_second: per_second(first.records_out, last.records_out),
            bytes_in_per_second: per_second(first.bytes_in, last.bytes_in),
            bytes_out_per_second: per_second(first.bytes_out, last.bytes_out),
            busy_percent: percent(first.busy_ms, last.busy_ms),
            backpressured_percent: percent(first.backpressured_ms, last.backpressured_ms),
            idle_percent: percent(first.idle_ms, last.idle_ms),
        }
    }
}

/// Counters of several tasks as one: sums, the least watermark, the worst latency.
pub fn combine<'a>(tasks: impl Iterator<Item = &'a TaskMetrics>) -> TaskMetrics {
    let mut total = TaskMetrics::default();
    let mut first = true;
    for task in tasks {
        total.records_in += task.records_in;
        total.records_out += task.records_out;
        total.bytes_in += task.bytes_in;
        total.bytes_out += task.bytes_out;
        total.late_records += task.late_records;
        total.bad_records_skipped += task.bad_records_skipped;
        total.bad_records_dead_lettered += task.bad_records_dead_lettered;
        total.busy_ms += task.busy_ms;
        total.backpressured_ms += task.backpressured_ms;
        total.idle_ms += task.idle_ms;
        total.state_bytes += task.state_bytes;
        total.queued_bytes += task.queued_bytes;
        // A task without a watermark holds back the vertex's.
        total.watermark = match (first, total.watermark, task.watermark) {
            (true, _, mark) => mark,
            (false, Some(a), Some(b)) => Some(a.min(b)),
            (false, _, _) => None,
        };
        total.latency_us = match (total.latency_us, task.latency_us) {
            (Some(a), Some(b)) => Some([a[0].max(b[0]), a[1].max(b[1]), a[2].max(b[2])]),
            (a, b) => a.or(b),
        };
        combine_details(&mut total, task);
        first = false;
    }
    total.splits.sort_by_key(|split| split.watermark);
    total.splits.truncate(MAX_SPLITS);
    total
}

/// The source that had a record last, all that is pending, the greatest lags and times, the
/// splits that are furthest behind.
fn combine_details(total: &mut TaskMetrics, task: &TaskMetrics) {
    fn join<T>(a: Option<T>, b: Option<T>, of: impl FnOnce(T, T) -> T) -> Option<T> {
        match (a, b) {
            (Some(a), Some(b)) => Some(of(a, b)),
            (a, b) => a.or(b),
        }
    }
    total.source_idle_ms = join(total.source_idle_ms, task.source_idle_ms, u64::min);
    total.pending_records = join(total.pending_records, task.pending_records, |a, b| a + b);
    total.fetch_event_time_lag_ms =
        join(total.fetch_event_time_lag_ms, task.fetch_event_time_lag_ms, i64::max);
    total.splits.extend(task.splits.iter().cloned());
    total.hot_key_group =
        join(total.hot_key_group, task.hot_key_group, |a, b| if b.share > a.share { b } else { a });
    for operator in &task.operators {
        match total.operators.iter_mut().find(|o| o.uid == operator.uid) {
            Some(sum) => {
                sum.records_in += operator.records_in;
                sum.records_out += operator.records_out;
                sum.state_bytes += operator.state_bytes;
            }
            None => total.operators.push(operator.clone()),
        }
    }
    total.alignment_ms = total.alignment_ms.max(task.alignment_ms);
    total.restore_ms = total.restore_ms.max(task.restore_ms);
}

/// Rates of several tasks as one: sums of flows, means of shares.
pub fn combine_rates(tasks: &[Rates]) -> Rates {
    let n = tasks.len().max(1) as f64;
    let sum = |of: fn(&Rates) -> f64| tasks.iter().map(of).sum::<f64>();
    Rates {
        records_in_per_second: sum(|r| r.records_in_per_second),
        records_out_per_second: sum(|r| r.records_out_per_second),
        bytes_in_per_second: sum(|r| r.bytes_in_per_second),
        bytes_out_per_second: sum(|r| r.bytes_out_per_second),
        busy_percent: sum(|r| r.busy_percent) / n,
        backpressured_percent: sum(|r| r.backpressured_percent) / n,
        idle_percent: sum(|r| r.idle_percent) / n,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{SubtaskIndex, VertexId};

    #[test]
    fn rates_are_over_the_window() {
        let task = TaskKey { vertex: VertexId(1), subtask: SubtaskIndex(0) };
        let mut metrics = JobMetrics::default();
        for step in 0..5_u64 {
            let sample =
                TaskMetrics { records_in: step * 100, busy_ms: step * 250, ..Default::default() };
            metrics.report(step as i64 * 500, task, sample);
        }
        let rates = metrics.rates(2000, task);
        assert_eq!((rates.records_in_per_second, rates.busy_percent), (200.0, 50.0));
        assert_eq!(metrics.rates(9000, task), Rates::default());
    }

    #[test]
    fn the_watermark_of_many_is_the_least() {
        let with = |watermark| TaskMetrics { watermark, ..Default::default() };
        assert_eq!(combine([with(Some(5)), with(Some(3))].iter()).watermark, Some(3));
        assert_eq!(combine([with(Some(5)), with(None)].iter()).watermark, None);
        assert_eq!(combine([with(None), with(Some(5))].iter()).watermark, None);
    }
}
