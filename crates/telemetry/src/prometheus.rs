//! The Prometheus text format, version 0.0.4. Families come in the order of the catalog,
//! each with its HELP and TYPE once. Used by the `/metrics` of both roles.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::catalog::{self, Kind, Metric};

/// What `/metrics` answers with.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Label names with their values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// One answer to a scrape, being put together.
#[derive(Debug, Default)]
pub struct Exposition {
    /// The lines of each family, by its name.
    families: BTreeMap<&'static str, String>,
}

impl Exposition {
    pub fn new() -> Self {
        Self::default()
    }

    /// One sample. The caller gives each set of labels at most once per metric.
    pub fn add(&mut self, metric: &Metric, labels: Labels<'_>, value: f64) {
        let lines = self.families.entry(metric.name).or_default();
        line(lines, metric.name, "", labels, None, value);
    }

    /// As [`Self::add`], when there is a value.
    pub fn add_some(&mut self, metric: &Metric, labels: Labels<'_>, value: Option<f64>) {
        if let Some(value) = value {
            self.add(metric, labels, value);
        }
    }

    /// A histogram: `bounds` are upper bounds, ascending; `counts` has one entry per bound and
    /// one for what is above the last, not cumulated.
    pub fn add_histogram(
        &mut self,
        metric: &Metric,
        labels: Labels<'_>,
        (bounds, counts): (&[f64], &[u64]),
        sum: f64,
    ) {
        let lines = self.families.entry(metric.name).or_default();
        let mut total = 0;
        for (index, count) in counts.iter().enumerate() {
            total += count;
            let bound = bounds.get(index).map_or_else(|| "+Inf".to_owned(), |b| number(*b));
            line(lines, metric.name, "_bucket", labels, Some(("le", &bound)), total as f64);
        }
        line(lines, metric.name, "_sum", labels, None, sum);
        line(lines, metric.name, "_count", labels, None, total as f64);
    }

    /// The text. Families without samples are left out.
    pub fn render(self) -> String {
        let mut text = String::new();
        for metric in catalog::all() {
            let Some(lines) = self.families.get(metric.name) else { continue };
            let _ = writeln!(text, "# HELP {} {}", metric.name, escape_help(metric.help));
            let _ = writeln!(text, "# TYPE {} {}", metric.name, metric.kind.name());
            text.push_str(lines);
        }
        text
    }
}

fn line(
    out: &mut String,
    name: &str,
    suffix: &str,
    labels: Labels<'_>,
    last: Option<(&str, &str)>,
    value: f64,
) {
    out.push_str(name);
    out.push_str(suffix);
    let mut separator = '{';
    for (label, text) in labels.iter().copied().chain(last) {
        out.push(separator);
        separator = ',';
        out.push_str(label);
        out.push_str("=\"");
        escape_value(out, text);
        out.push('"');
    }
    if separator == ',' {
        out.push('}');
    }
    out.push(' ');
    out.push_str(&number(value));
    out.push('\n');
}

/// As Prometheus reads numbers.
fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{value}")
    }
}

fn escape_value(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

fn escape_help(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

impl Kind {
    /// As in a TYPE line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_grouped_and_labels_escaped() {
        let mut exposition = Exposition::new();
        exposition.add(&catalog::JOB_UP, &[("job", "a \"b\"\\\n")], 1.0);
        exposition.add(&catalog::JOBMANAGER_TASKMANAGERS, &[], 2.0);
        exposition.add(&catalog::JOB_UP, &[("job", "c")], 0.0);
        let text = exposition.render();
        let samples: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "weir_jobmanager_taskmanagers 2",
                r#"weir_job_up{job="a \"b\"\\\n"} 1"#,
                r#"weir_job_up{job="c"} 0"#
            ]
        );
        assert_eq!(text.matches("# TYPE weir_job_up gauge").count(), 1);
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_at_infinity() {
        let mut exposition = Exposition::new();
        let counts = [1, 2, 3];
        exposition.add_histogram(
            &catalog::STORAGE_REQUEST_SECONDS,
            &[("operation", "get")],
            (&[0.01, 1.0], &counts),
            4.5,
        );
        let text = exposition.render();
        for line in [
            "# TYPE weir_storage_request_seconds histogram",
            r#"weir_storage_request_seconds_bucket{operation="get",le="0.01"} 1"#,
            r#"weir_storage_request_seconds_bucket{operation="get",le="1"} 3"#,
            r#"weir_storage_request_seconds_bucket{operation="get",le="+Inf"} 6"#,
            r#"weir_storage_request_seconds_sum{operation="get"} 4.5"#,
            r#"weir_storage_request_seconds_count{operation="get"} 6"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn numbers_are_written_as_prometheus_reads_them() {
        assert_eq!(number(f64::INFINITY), "+Inf");
        assert_eq!(number(f64::NAN), "NaN");
        assert_eq!(number(1e-7), "0.0000001");
        assert_eq!(number(12_345_678_901.0), "12345678901");
    }
}
