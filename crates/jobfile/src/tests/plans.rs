use model::job_graph::{JobGraph, Partitioning};
use model::operator_spec::OperatorSpec;

use super::{golden, plan, testdata};

fn planned(name: &str) -> (JobGraph, String) {
    let text = std::fs::read_to_string(testdata(&format!("plans/{name}.yaml"))).unwrap();
    match plan(&text) {
        Ok(planned) => {
            let warnings = crate::Diagnostics { file: "job.yaml".into(), items: planned.warnings };
            (planned.graph, warnings.to_string())
        }
        Err(diagnostics) => panic!("{name} does not plan:\n{diagnostics}"),
    }
}

#[test]
fn golden_plans() {
    for name in ["flights", "joins", "changelog", "smallest"] {
        let (graph, warnings) = planned(name);
        golden(
            &format!("plans/{name}.txt"),
            &format!("{}\n{warnings}", crate::explain::text(&graph)),
        );
        golden(&format!("plans/{name}.dot"), &crate::explain::dot(&graph));
        let json = serde_json::to_string_pretty(&crate::explain::json(&graph)).unwrap();
        golden(&format!("plans/{name}.json"), &format!("{json}\n"));
        let wire = serde_json::to_string(&graph).unwrap();
        let back: JobGraph = serde_json::from_str(&wire).unwrap();
        assert_eq!(back, graph, "{name} does not survive JSON");
        assert_eq!(planned(name).0, graph, "{name} is not planned the same twice");
    }
}

/// State moves between parallelisms: vertices, chains and uids must not depend on it.
#[test]
fn the_shape_does_not_depend_on_parallelism() {
    let text = std::fs::read_to_string(testdata("plans/flights.yaml")).unwrap();
    let shape = |parallelism: u32| {
        let text = text.replace("  parallelism: 2", &format!("  parallelism: {parallelism}"));
        let graph = plan(&text).map_err(|d| d.to_string()).unwrap().graph;
        let vertices: Vec<_> = graph
            .vertices
            .iter()
            .map(|v| (v.id, v.operators.iter().map(|o| o.uid.clone()).collect::<Vec<_>>()))
            .collect();
        (vertices, graph.edges.len())
    };
    assert_eq!(shape(1), shape(2));
    assert_eq!(shape(2), shape(7));
}

#[test]
fn sources_read_only_what_is_used() {
    let (graph, _) = planned("flights");
    let source = graph.operators().find(|o| o.uid == "flights").unwrap();
    let OperatorSpec::Source { source: spec, dead_letter, .. } = &source.spec else { panic!() };
    // The late rows of `sessions` go to a sink whole, hence everything is read.
    assert!(spec.projection.is_none() && *dead_letter);
    let (graph, _) = planned("joins");
    let source = graph.operators().find(|o| o.uid == "persons").unwrap();
    let OperatorSpec::Source { source: spec, .. } = &source.spec else { panic!() };
    assert_eq!(spec.projection.as_deref().unwrap(), ["id", "name", "city", "ts"]);
    assert_eq!(source.output.fields().len(), 4);
}

#[test]
fn two_stages_hash_on_the_keys_between() {
    let (graph, _) = planned("flights");
    let global = graph.vertices.iter().find(|v| v.operators[0].uid == "hourly").unwrap();
    let (_, edge) = graph.inputs_of(global.id).next().unwrap();
    assert_eq!(
        edge.partitioning,
        Partitioning::Hash { columns: vec!["carrier".into(), "origin".into()] }
    );
    assert!(edge.schema.index_of("$pane").is_ok());
    let session = graph.operators().filter(|o| o.uid.starts_with("sessions")).count();
    assert_eq!(session, 2, "sessions run in one stage");
}

#[test]
fn variables_are_substituted() {
    let text = std::fs::read_to_string(testdata("plans/flights.yaml")).unwrap();
    let text = text.replace("${env:DATA:-/data}", "$${x}${env:HOME_DIR}");
    let graph = plan(&text).map_err(|d| d.to_string()).unwrap().graph;
    let OperatorSpec::Source { source, .. } = &graph.vertices[0].operators[0].spec else {
        panic!()
    };
    assert_eq!(source.options["path"], "${x}/home/x/flights.parquet");
    assert_eq!(source.options["onBadRecord"], "dead-letter");
    assert!(source.options.get("deadLetter").is_none());
}

#[test]
fn the_json_schema_names_what_the_reader_takes() {
    let schema = crate::json_schema(&super::connectors::TestConnectors);
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let transforms =
        &schema["properties"]["spec"]["properties"]["transforms"]["additionalProperties"]["oneOf"];
    let types: Vec<&str> = transforms
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["properties"]["type"]["const"].as_str().unwrap())
        .collect();
    assert_eq!(types, crate::nodes::transform_types());
    golden("job.schema.json", &format!("{}\n", serde_json::to_string_pretty(&schema).unwrap()));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_fine() {
    let text = std::fs::read_to_string(testdata("plans/joins.yaml")).unwrap();
    let plain = plan(&text).map_err(|d| d.to_string()).unwrap().graph;
    let dos = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let graph = plan(&dos).map_err(|d| d.to_string()).unwrap().graph;
    assert_eq!(graph.vertices, plain.vertices);
    let broken = dos.replace("select: [id, name", "select: [id, nam");
    let diagnostics = plan(&broken).unwrap_err();
    assert_eq!(diagnostics.items[0].snippet.trim_end(), diagnostics.items[0].snippet);
    let line = &diagnostics.items[0].snippet;
    let marked: String = line.chars().skip(diagnostics.items[0].column - 1).take(3).collect();
    assert_eq!(marked, "nam");
}

/// `$columns` and `$input` projects, chains and hashes between operators with the same keys.
#[test]
fn the_same_keys_need_no_second_exchange() {
    let (graph, _) = planned("changelog");
    let chain = graph.vertices.iter().find(|v| v.operators[0].uid == "big").unwrap();
    let uids: Vec<&str> = chain.operators.iter().map(|o| o.uid.as_str()).collect();
    assert_eq!(uids, ["big", "totals$input", "totals", "high", "out"]);
    let hashes = graph.edges.iter().filter(|e| matches!(e.partitioning, Partitioning::Hash { .. }));
    assert_eq!(hashes.count(), 2);
}
