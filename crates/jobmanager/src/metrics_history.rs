//! The last ten minutes of a job's figures, one point a second, for charts. Pure. Owned by
//! `observer.rs`, read by `rest/`.

use std::collections::{BTreeMap, VecDeque};

use model::VertexId;

use crate::details::{JobDetails, VertexDetails};

/// Points kept: ten minutes.
pub const MAX_POINTS: usize = 600;
/// Vertices of a job with a history of their own.
pub const MAX_VERTICES: usize = 200;

/// What is kept of every vertex.
pub const VERTEX_METRICS: [&str; 11] = [
    "recordsInPerSecond",
    "recordsOutPerSecond",
    "bytesInPerSecond",
    "bytesOutPerSecond",
    "busyPercent",
    "backpressuredPercent",
    "idlePercent",
    "watermark",
    "stateBytes",
    "queuedBytes",
    "lateRecords",
];
/// What is kept of the job as a whole.
pub const JOB_METRICS: [&str; 4] =
    ["recordsPerSecond", "watermark", "stateBytes", "checkpointDurationMs"];

#[derive(Debug)]
struct Series<const N: usize> {
    points: VecDeque<(i64, [f64; N])>,
}

impl<const N: usize> Default for Series<N> {
    fn default() -> Self {
        Self { points: VecDeque::new() }
    }
}

impl<const N: usize> Series<N> {
    fn push(&mut self, now_ms: i64, values: [f64; N]) {
        if self.points.len() == MAX_POINTS {
            self.points.pop_front();
        }
        self.points.push_back((now_ms, values));
    }

    fn since(&self, metric: usize, since_ms: i64) -> Vec<(i64, Option<f64>)> {
        let points = self.points.iter().filter(|(at, _)| *at >= since_ms);
        points.map(|(at, v)| (*at, Some(v[metric]).filter(|v| v.is_finite()))).collect()
    }
}

/// Of one job.
#[derive(Debug, Default)]
pub struct MetricsHistory {
    job: Series<4>,
    vertices: BTreeMap<VertexId, Series<11>>,
}

/// Times with values; `None` where there was none.
pub type Points = Vec<(i64, Option<f64>)>;

impl MetricsHistory {
    pub fn on_tick(&mut self, now_ms: i64, details: &JobDetails) {
        let or_nan = |value: Option<i64>| value.map_or(f64::NAN, |v| v as f64);
        let watermark = details.vertices.iter().filter_map(|v| v.watermark).min();
        let latest = details.checkpoints.latest.as_ref();
        self.job.push(
            now_ms,
            [
                details.sources.records_per_second,
                or_nan(watermark.filter(|w| *w != i64::MAX)),
                details.vertices.iter().map(|v| v.metrics.state_bytes as f64).sum(),
                or_nan(latest.and_then(|l| l.duration_ms)),
            ],
        );
        for vertex in details.vertices.iter().take(MAX_VERTICES) {
            self.vertices.entry(vertex.id).or_default().push(now_ms, values(vertex));
        }
    }

    /// `None`: there is no such metric, or no such vertex.
    pub fn points(&self, vertex: Option<VertexId>, metric: &str, since_ms: i64) -> Option<Points> {
        match vertex {
            None => {
                let index = JOB_METRICS.iter().position(|m| *m == metric)?;
                Some(self.job.since(index, since_ms))
            }
            Some(id) => {
                let index = VERTEX_METRICS.iter().position(|m| *m == metric)?;
                Some(self.vertices.get(&id)?.since(index, since_ms))
            }
        }
    }
}

fn values(vertex: &VertexDetails) -> [f64; 11] {
    let (rates, metrics) = (&vertex.rates, &vertex.metrics);
    let watermark = vertex.watermark.filter(|w| *w != i64::MAX);
    [
        rates.records_in_per_second,
        rates.records_out_per_second,
        rates.bytes_in_per_second,
        rates.bytes_out_per_second,
        rates.busy_percent,
        rates.backpressured_percent,
        rates.idle_percent,
        watermark.map_or(f64::NAN, |w| w as f64),
        metrics.state_bytes as f64,
        metrics.queued_bytes as f64,
        metrics.late_records as f64,
    ]
}
