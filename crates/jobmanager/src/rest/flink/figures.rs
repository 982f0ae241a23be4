//! Numbers in Flink's shapes: I/O counters, summaries over subtasks and over checkpoints.
//! Pure. Used by `vertices.rs`, `subtasks.rs`, `checkpoints.rs`, `metrics.rs`.

use model::metrics::TaskMetrics;
use serde_json::{Map, Value, json};

/// A number with a fraction; what is no number is the text `NaN`, as Flink's JSON has it.
pub(super) fn float(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| "NaN".into(), Value::Number)
}

/// The counters of a task or of several.
pub(super) fn io(metrics: &TaskMetrics, complete: bool) -> Value {
    json!({
        "read-bytes": metrics.bytes_in,
        "read-bytes-complete": complete,
        "write-bytes": metrics.bytes_out,
        "write-bytes-complete": complete,
        "read-records": metrics.records_in,
        "read-records-complete": complete,
        "write-records": metrics.records_out,
        "write-records-complete": complete,
        "accumulated-backpressured-time": metrics.backpressured_ms,
        "accumulated-idle-time": metrics.idle_ms,
        "accumulated-busy-time": float(metrics.busy_ms as f64),
    })
}

/// Flink's summary of each counter over subtasks.
pub(super) fn io_summary<'a>(tasks: impl Iterator<Item = &'a TaskMetrics> + Clone) -> Value {
    let of = |get: fn(&TaskMetrics) -> u64| {
        spread(tasks.clone().map(|m| i64::try_from(get(m)).unwrap_or(i64::MAX)).collect())
    };
    json!({
        "read-bytes": of(|m| m.bytes_in),
        "write-bytes": of(|m| m.bytes_out),
        "read-records": of(|m| m.records_in),
        "write-records": of(|m| m.records_out),
        "accumulated-backpressured-time": of(|m| m.backpressured_ms),
        "accumulated-idle-time": of(|m| m.idle_ms),
        "accumulated-busy-time": of(|m| m.busy_ms),
    })
}

/// Minimum, quartiles and the rest over subtasks, whole numbers.
pub(super) fn spread(mut values: Vec<i64>) -> Value {
    values.sort_unstable();
    let sum = values.iter().fold(0_i64, |sum, v| sum.saturating_add(*v));
    let average = if values.is_empty() { 0 } else { sum / values.len() as i64 };
    let at = |q: f64| quantile(&values, q).map_or(0, |v| v as i64);
    json!({
        "min": values.first().copied().unwrap_or(0),
        "avg": average,
        "max": values.last().copied().unwrap_or(0),
        "sum": sum,
        "p25": at(0.25),
        "median": at(0.5),
        "p75": at(0.75),
        "p95": at(0.95),
    })
}

/// The summary of a figure over checkpoints or over the subtasks of one. Percentiles are the
/// text `NaN` while there is nothing to take them of.
pub(super) fn summary(mut values: Vec<i64>) -> Value {
    values.sort_unstable();
    let sum = values.iter().fold(0_i64, |sum, v| sum.saturating_add(*v));
    let average = if values.is_empty() { 0 } else { sum / values.len() as i64 };
    let mut summary = Map::new();
    summary.insert("min".into(), values.first().copied().unwrap_or(0).into());
    summary.insert("max".into(), values.last().copied().unwrap_or(0).into());
    summary.insert("avg".into(), average.into());
    for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)] {
        summary.insert(name.into(), float(quantile(&values, q).unwrap_or(f64::NAN)));
    }
    summary.into()
}

/// Linear between neighbours, on positions `q * (n + 1)`, as Flink's statistics take it.
fn quantile(sorted: &[i64], q: f64) -> Option<f64> {
    let (first, last) = (*sorted.first()? as f64, *sorted.last()? as f64);
    let position = q * (sorted.len() + 1) as f64;
    let below = position.floor() as usize;
    if below < 1 {
        return Some(first);
    }
    if below >= sorted.len() {
        return Some(last);
    }
    let (low, high) = (sorted[below - 1] as f64, sorted[below] as f64);
    Some(low + (position - position.floor()) * (high - low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_summarise_is_nan_in_text() {
        let empty = summary(Vec::new());
        assert_eq!(
            (&empty["min"], &empty["p50"], &empty["p999"]),
            (&json!(0), &json!("NaN"), &json!("NaN"))
        );
        let one = summary(vec![7]);
        assert_eq!((&one["avg"], &one["p50"]), (&json!(7), &json!(7.0)));
    }

    #[test]
    fn percentiles_lie_between_neighbours() {
        let sorted: Vec<i64> = (1..=9).collect();
        assert_eq!(quantile(&sorted, 0.5), Some(5.0));
        assert_eq!(quantile(&sorted, 0.25), Some(2.5));
        assert_eq!(quantile(&sorted, 0.999), Some(9.0));
        assert_eq!(spread(vec![3, 1, 2])["median"], 2);
    }
}
