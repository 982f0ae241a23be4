//! `spec.slo`, and where operators stand in the file.

use model::config::{SloRate, WebhookConfig};

use super::plan;

fn job(slo: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1\nkind: StreamJob\nmetadata: {{ name: a }}\nspec:\n  \
         slo: {slo}\n  sources:\n    clicks:\n      connector: numbers\n  \
         sinks:\n    out: {{ connector: filesystem, inputs: [clicks], path: /out, format: json }}\n"
    )
}

#[test]
fn slos_are_read_and_secrets_stay_references() {
    let text = job("{ freshness: 30s, silence: 1m, checkpointAge: 5m, restartRate: 3/1h, \
         deadLetterRate: 10 / 1m, webhook: { url: \"http://h${env:HOME_DIR}\", \
         secret: \"${env:HOME_DIR}\" } }");
    let graph = plan(&text).unwrap_or_else(|d| panic!("{d}")).graph;
    let slo = &graph.slo;
    assert_eq!((slo.freshness_ms, slo.silence_ms), (Some(30_000), Some(60_000)));
    assert_eq!(slo.restart_rate, Some(SloRate { count: 3, per_ms: 3_600_000 }));
    assert_eq!(slo.dead_letter_rate, Some(SloRate { count: 10, per_ms: 60_000 }));
    let webhook = WebhookConfig {
        url: "http://h${env:HOME_DIR}".into(),
        secret: Some("${env:HOME_DIR}".into()),
    };
    assert_eq!(slo.webhook, Some(webhook));
    let json = serde_json::to_string(&graph).unwrap();
    assert!(!json.contains("/home/x"), "no value of a variable lies in the graph");
    let again: model::job_graph::JobGraph = serde_json::from_str(&json).unwrap();
    assert_eq!(again, graph);
    let place = graph.origin.places["clicks"];
    assert_eq!((place.line, place.column), (7, 5));
    assert_eq!(graph.origin.places["out"].line, 10);
}

#[test]
fn wrong_slos_are_explained() {
    for (slo, code, part) in [
        ("{ freshness: 30 }", "E0108", "`30s` meant"),
        ("{ freshnes: 30s }", "E0104", "`freshness`"),
        ("{ silence: 10ms }", "E0107", "at least 1s"),
        ("{ restartRate: 3 }", "E0108", "3/1h"),
        ("{ restartRate: 3/1ms }", "E0108", "between 1s and 1d"),
        ("{ restartRate: [3] }", "E0106", "rate"),
        ("{ webhook: { secret: \"${env:HOME_DIR}\" } }", "E0105", "url"),
        ("{ webhook: { url: ftp://h } }", "E0107", "http"),
        ("{ webhook: { url: http://h, secret: abc } }", "E0107", "${env:NAME}"),
        ("30s", "E0106", "mapping"),
    ] {
        let found = plan(&job(slo)).unwrap_err().to_string();
        assert!(found.contains(code) && found.contains(part), "{slo}: {found}");
    }
}
