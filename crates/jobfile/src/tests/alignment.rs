//! `watermarkAlignment` of a source, and what is said when it cannot work.

use model::operator_spec::{OperatorSpec, WatermarkAlignment};

use super::plan;

fn file(source: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1
kind: StreamJob
metadata: {{ name: aligned }}
spec:
  sources:
    clicks:
      connector: numbers
{source}
  sinks:
    out: {{ connector: print, inputs: [clicks] }}
"
    )
}

fn alignment(source: &str) -> Option<WatermarkAlignment> {
    let graph = plan(&file(source)).unwrap_or_else(|e| panic!("{e}")).graph;
    match &graph.vertices[0].operators[0].spec {
        OperatorSpec::Source { alignment, .. } => alignment.clone(),
        other => panic!("{other:?}"),
    }
}

fn complaint(source: &str) -> String {
    plan(&file(source)).map(|_| ()).unwrap_err().to_string()
}

const WATERMARK: &str = "      watermark: { column: t }\n";

#[test]
fn the_group_is_the_source_unless_it_is_named() {
    assert_eq!(alignment(WATERMARK), None);
    let own = alignment(&format!("{WATERMARK}      watermarkAlignment: {{ maxDrift: 5s }}"));
    let own = own.expect("an alignment");
    assert_eq!(
        (own.group.as_str(), own.max_drift_ms, own.update_interval_ms),
        ("clicks", 5000, 100)
    );
    let shared = alignment(&format!(
        "{WATERMARK}      watermarkAlignment: {{ maxDrift: 1m, group: all, updateInterval: 20ms }}"
    ));
    let shared = shared.expect("an alignment");
    assert_eq!(
        (shared.group.as_str(), shared.max_drift_ms, shared.update_interval_ms),
        ("all", 60_000, 20)
    );
}

#[test]
fn what_cannot_work_is_said() {
    let text = complaint("      watermarkAlignment: { maxDrift: 5s }");
    assert!(text.contains("needs a watermark in the same chain"), "{text}");
    let text = complaint(&format!("{WATERMARK}      watermarkAlignment: {{ group: all }}"));
    assert!(text.contains("lacks `maxDrift`"), "{text}");
    let text =
        complaint(&format!("{WATERMARK}      watermarkAlignment: {{ maxDrift: 5s, drift: 1s }}"));
    assert!(text.contains("drift"), "{text}");
}
