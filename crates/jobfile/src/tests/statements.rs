//! Jobs whose statements are SQL: `sqlFile`, settings, `type: sql`.

use model::operator_spec::OperatorSpec;

use super::plan;

const HEAD: &str = "apiVersion: weir.dev/v1\nkind: StreamJob\nmetadata: { name: a }\nspec:\n";

fn codes(text: &str) -> Vec<(String, Option<String>, usize, usize)> {
    let failed = plan(text).map(|_| ()).unwrap_err();
    let place = |d: crate::Diagnostic| (d.code.to_owned(), d.file, d.line, d.column);
    failed.items.into_iter().map(place).collect()
}

#[test]
fn a_file_of_statements_is_planned_like_the_statements_themselves() {
    let sql = std::fs::read_to_string(super::testdata("sql/counts.sql")).unwrap();
    let by_file = format!("{HEAD}  parallelism: 2\n  sqlFile: sql/counts.sql\n");
    let file = plan(&by_file).map_err(|d| d.to_string()).unwrap();
    let indented: String = sql.lines().map(|l| format!("    {l}\n")).collect();
    let inline = plan(&format!("{HEAD}  parallelism: 2\n  sql: |\n{indented}"));
    let inline = inline.map_err(|d| d.to_string()).unwrap();
    assert_eq!(file.graph.vertices, inline.graph.vertices);
    assert!(file.graph.job_file.contains("sql: |2\n"), "self-contained");
    assert!(!file.graph.job_file.contains("sqlFile"));
    // What a job manager makes of that text is the same.
    let again = plan(&file.graph.job_file).map_err(|d| d.to_string()).unwrap();
    assert_eq!(again.graph, file.graph);
}

#[test]
fn mistakes_point_into_the_file_of_statements() {
    let found = codes(&format!("{HEAD}  sqlFile: sql/wrong.sql\n"));
    let file = Some("sql/wrong.sql".to_owned());
    assert_eq!(found, [("E0303".to_owned(), file, 5, 8)]);
    let found = codes(&format!("{HEAD}  sqlFile: sql/missing.sql\n"));
    assert_eq!(found, [("E0110".to_owned(), None, 5, 12)]);
    let found = codes(&format!("{HEAD}  sqlFile: sql/counts.sql\n  sql: SELECT 1\n"));
    assert_eq!(found, [("E0107".to_owned(), None, 5, 3)]);
}

#[test]
fn unknown_settings_are_errors_and_foreign_ones_doubts() {
    let script = |settings: &str| {
        let indented = "CREATE TABLE o (k STRING, v BIGINT, t TIMESTAMP(3), note STRING) WITH ('connector' = 'print'); \
             CREATE TABLE n (k STRING, v BIGINT, t TIMESTAMP(3), note STRING) WITH ('connector' = 'numbers'); \
             INSERT INTO o SELECT * FROM n;";
        format!("{HEAD}  sql: |\n    {settings}\n    {indented}\n")
    };
    let failed = plan(&script("SET 'parallelism.defualt' = '2';")).map(|_| ()).unwrap_err();
    let first = &failed.items[0];
    assert_eq!((first.code, first.line), ("E0529", 6));
    assert_eq!(first.label.as_deref(), Some("did you mean `parallelism.default`?"));
    let planned = plan(&script("SET 'taskmanager.numberOfTaskSlots' = '2';"));
    let warnings = planned.map_err(|d| d.to_string()).unwrap().warnings;
    assert!(warnings.iter().any(|w| w.code == "W0502" && w.line == 6), "{warnings:?}");
}

const GRAPH: &str = "  sources:
    numbers: { connector: numbers, watermark: { column: t, delay: 1s } }
  transforms:
    totals:
      type: sql
      inputs: [numbers]
      sql: |
        SELECT k, SUM(v) AS total, window_end
        FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(t), INTERVAL '1' HOUR))
        GROUP BY k, window_start, window_end
    large: { type: filter, inputs: [totals], where: total > 10 }
  sinks:
    out: { connector: print, inputs: [large] }
";

#[test]
fn a_transform_may_be_a_query() {
    let planned = plan(&format!("{HEAD}{GRAPH}")).map_err(|d| d.to_string()).unwrap();
    let operators: Vec<_> = planned.graph.operators().collect();
    let is_window =
        |o: &&&model::job_graph::OperatorNode| matches!(o.spec, OperatorSpec::WindowAggregate(_));
    let window = operators.iter().find(is_window).unwrap();
    assert!(window.name.starts_with("totals$"), "{}", window.name);
    assert!(window.uid.starts_with("totals."), "{}", window.uid);
    let result = operators.iter().find(|o| o.uid == "totals").unwrap();
    let names: Vec<&str> = result.output.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names[..2], ["k", "total"]);
    assert!(planned.graph.origin.places.contains_key("totals"));
}

#[test]
fn mistakes_of_a_query_stand_in_the_job_file() {
    let found = codes(&format!("{HEAD}{}", GRAPH.replace("SUM(v)", "SUM(w)")));
    assert_eq!(found, [("E0303".to_owned(), None, 12, 23)]);
    let found = codes(&format!("{HEAD}{}", GRAPH.replace("TABLE numbers", "TABLE numbres")));
    assert_eq!(found[0].0, "E0511");
    let two = GRAPH.replace("SELECT k,", "SELECT 1; SELECT k,");
    assert_eq!(codes(&format!("{HEAD}{two}"))[0].0, "E0530");
    let unread = GRAPH.replace("total > 10", "totl > 10");
    assert_eq!(codes(&format!("{HEAD}{unread}"))[0].0, "E0303", "its columns are known");
}
